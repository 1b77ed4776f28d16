//! Selects and orders the sessions in a list.

use super::{Page, Session};

/// A query for a page of an owner's sessions. By default it asks for the first 20 of all sessions, ordered by number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionQuery {
    /// The order. The first entry has the highest priority, and `true` means descending. Ties are ordered by number,
    /// ascending, so that pages never overlap.
    pub ordering: Vec<(SessionSortBy, bool)>,
    /// The page.
    pub page: Page,
    /// How many sessions are on a page. 0 means 1.
    pub page_size: u32,
}

impl SessionQuery {
    /// Asks for the first 20 of all sessions.
    #[must_use]
    pub fn new() -> Self {
        Self { ordering: Vec::new(), page: Page::Number(1), page_size: 20 }
    }

    /// Adds an order, with lower priority than the ones that were added before.
    #[must_use]
    pub fn add_ordering(mut self, by: SessionSortBy, descending: bool) -> Self {
        self.ordering.push((by, descending));
        self
    }

    /// Sets the page. Default: the first.
    #[must_use]
    pub fn with_page(mut self, page: Page) -> Self {
        self.page = page;
        self
    }

    /// Sets how many sessions are on a page. Default: 20.
    #[must_use]
    pub fn with_page_size(mut self, page_size: u32) -> Self {
        self.page_size = page_size;
        self
    }

    /// The number of the page among `count` sessions, and how many sessions come before it. `None` if the page does
    /// not exist. For stores.
    #[must_use]
    pub fn locate(&self, count: u64) -> Option<(u64, u64)> {
        self.page.locate(count, self.page_size)
    }
}

impl Default for SessionQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// The property by which sessions are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionSortBy {
    /// The number.
    Id,
    /// The log-in.
    CreatedAt,
    /// The latest refresh.
    LastUsedAt,
    /// The expiry.
    ExpiresAt,
}

/// A page of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionPage {
    /// How many sessions the owner has, on all pages.
    pub count: u64,
    /// The number of this page, from 1.
    pub number: u64,
    /// The sessions on it.
    pub sessions: Vec<Session>,
}

impl SessionPage {
    /// Page `number` of `count` sessions.
    #[must_use]
    pub fn new(count: u64, number: u64, sessions: Vec<Session>) -> Self {
        Self { count, number, sessions }
    }
}
