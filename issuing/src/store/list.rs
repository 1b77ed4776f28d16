//! Selects and orders the private tokens in a list.

use std::fmt;

use super::PrivateToken;

/// A query for a page of an owner's private tokens. By default it asks for the first 20 of all tokens, ordered by
/// number.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListQuery {
    /// The order. The first entry has the highest priority, and `true` means descending. Ties are ordered by number,
    /// ascending, so that pages never overlap.
    pub ordering: Vec<(SortBy, bool)>,
    /// Only tokens whose [`fold`]ed name contains this text, which is folded too. No character of it has a special
    /// meaning.
    pub search: Option<String>,
    /// The page.
    pub page: Page,
    /// How many tokens are on a page. 0 means 1.
    pub page_size: u32,
}

impl ListQuery {
    /// Asks for the first 20 of all tokens.
    #[must_use]
    pub fn new() -> Self {
        Self { ordering: Vec::new(), search: None, page: Page::Number(1), page_size: 20 }
    }

    /// Adds an order, with lower priority than the ones that were added before.
    #[must_use]
    pub fn add_ordering(mut self, by: SortBy, descending: bool) -> Self {
        self.ordering.push((by, descending));
        self
    }

    /// Only tokens whose name contains this text. Default: any name.
    #[must_use]
    pub fn with_search(mut self, text: impl Into<String>) -> Self {
        self.search = Some(text.into());
        self
    }

    /// Sets the page. Default: the first.
    #[must_use]
    pub fn with_page(mut self, page: Page) -> Self {
        self.page = page;
        self
    }

    /// Sets how many tokens are on a page. Default: 20.
    #[must_use]
    pub fn with_page_size(mut self, page_size: u32) -> Self {
        self.page_size = page_size;
        self
    }

    /// The number of the page among `count` tokens, and how many tokens come before it. `None` if the page does not
    /// exist. For stores.
    #[must_use]
    pub fn locate(&self, count: u64) -> Option<(u64, u64)> {
        self.page.locate(count, self.page_size)
    }
}

impl Default for ListQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// The property by which private tokens are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortBy {
    /// The number.
    Id,
    /// The name, by its bytes. This is the order of code points, in which `Z` comes before `a`.
    Name,
    /// The expiry.
    ExpiresAt,
    /// The time of issue.
    CreatedAt,
    /// The last use. Tokens that were never used come first in ascending order.
    LastUsedAt,
}

/// The page of a list that a query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// By number. The first page is 1.
    Number(u64),
    /// The last page.
    Last,
}

impl Page {
    /// The number of this page among `count` items, and how many items come before it.
    pub(super) fn locate(self, count: u64, page_size: u32) -> Option<(u64, u64)> {
        let size = u64::from(page_size.max(1));
        let last = count.div_ceil(size).max(1);
        let number = match self {
            Self::Number(number) => number,
            Self::Last => last,
        };
        (1..=last).contains(&number).then(|| (number, (number - 1) * size))
    }
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
    /// Does not show the search text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListQuery")
            .field("ordering", &self.ordering)
            .field("page", &self.page)
            .field("page_size", &self.page_size)
            .finish_non_exhaustive()
    }
}

/// The form in which names are searched: Unicode lower case ([`str::to_lowercase`]). Nothing else is changed: accents
/// matter, composed and decomposed letters differ, and `ß` is not `ss`.
///
/// A database may fold less or differently. So a store keeps the folded name next to the name.
///
/// ```
/// assert_eq!(tower_bearer_issuing::store::fold("CI Straße ÄÖ 100%"), "ci straße äö 100%");
/// ```
#[must_use]
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}
