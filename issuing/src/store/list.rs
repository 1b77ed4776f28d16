//! Which private tokens are listed, and in what order.

use std::fmt;

use super::PrivateToken;

/// Which of an owner's private tokens are wanted. By default: all, by their numbers, the first 20.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListQuery {
    /// Orders by these, the first counting most; `true` is descending. Whatever they leave open is ordered by number,
    /// ascending, so that pages never overlap.
    pub ordering: Vec<(SortBy, bool)>,
    /// Only tokens whose [`fold`]ed name contains this text once it is folded too. No character of it is special.
    pub search: Option<String>,
    /// Which page.
    pub page: Page,
    /// How many are on a page; 0 is read as 1.
    pub page_size: u32,
}

impl ListQuery {
    /// The first 20 of all.
    #[must_use]
    pub fn new() -> Self {
        Self { ordering: Vec::new(), search: None, page: Page::Number(1), page_size: 20 }
    }

    /// Orders by this too, after what was added before.
    #[must_use]
    pub fn add_ordering(mut self, by: SortBy, descending: bool) -> Self {
        self.ordering.push((by, descending));
        self
    }

    /// Only tokens whose name contains this. Default: any name.
    #[must_use]
    pub fn with_search(mut self, text: impl Into<String>) -> Self {
        self.search = Some(text.into());
        self
    }

    /// Another page than the first.
    #[must_use]
    pub fn with_page(mut self, page: Page) -> Self {
        self.page = page;
        self
    }

    /// This many on a page, in place of 20.
    #[must_use]
    pub fn with_page_size(mut self, page_size: u32) -> Self {
        self.page_size = page_size;
        self
    }

    /// The number of the page among `count` tokens, and how many tokens stand before it; `None` where it does not
    /// exist. For stores.
    #[must_use]
    pub fn locate(&self, count: u64) -> Option<(u64, u64)> {
        let size = u64::from(self.page_size.max(1));
        let last = count.div_ceil(size).max(1);
        let number = match self.page {
            Page::Number(number) => number,
            Page::Last => last,
        };
        (1..=last).contains(&number).then(|| (number, (number - 1) * size))
    }
}

impl Default for ListQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// What private tokens are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortBy {
    /// The number.
    Id,
    /// The name, by its bytes: the order of code points, in which `Z` stands before `a`.
    Name,
    /// The expiry.
    ExpiresAt,
    /// The time of issue.
    CreatedAt,
    /// The last use; tokens that never were used come before all others.
    LastUsedAt,
}

/// Which page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// By number, from 1.
    Number(u64),
    /// The last one there is.
    Last,
}

/// A page of private tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrivateTokenPage {
    /// How many tokens match, on all pages.
    pub count: u64,
    /// The number of this page, from 1.
    pub number: u64,
    /// The tokens on it.
    pub tokens: Vec<PrivateToken>,
}

impl PrivateTokenPage {
    /// Page `number` of `count` tokens.
    #[must_use]
    pub fn new(count: u64, number: u64, tokens: Vec<PrivateToken>) -> Self {
        Self { count, number, tokens }
    }
}

impl fmt::Debug for ListQuery {
    /// Does not show what is searched for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListQuery")
            .field("ordering", &self.ordering)
            .field("page", &self.page)
            .field("page_size", &self.page_size)
            .finish_non_exhaustive()
    }
}

/// The form in which names are searched: Unicode lower case ([`str::to_lowercase`]), and nothing else: accents count,
/// composed and decomposed letters differ, and `ß` is not `ss`.
///
/// A database folds less than this or differently, so a store keeps the folded name beside the name.
///
/// ```
/// assert_eq!(tower_bearer_issuing::store::fold("CI Straße ÄÖ 100%"), "ci straße äö 100%");
/// ```
#[must_use]
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}
