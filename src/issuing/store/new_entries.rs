//! Outbox entries that this process has just written.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::OutboxEntry;

/// Entries that wait for a relay. More are left to the backlog.
const MOST: usize = 10_000;

/// Hands the entries that a store has written to a relay in the same process.
#[derive(Default)]
pub(super) struct NewEntries {
    /// `None` until a relay asks for the first time.
    waiting: Mutex<Option<Vec<OutboxEntry>>>,
    arrived: Notify,
}

impl NewEntries {
    /// To be called when the entries are committed.
    pub(super) fn add(&self, entries: Vec<OutboxEntry>) {
        if entries.is_empty() {
            return;
        }
        if let Some(waiting) = &mut *self.waiting() {
            let room = MOST.saturating_sub(waiting.len());
            waiting.extend(entries.into_iter().take(room));
            self.arrived.notify_one();
        }
    }

    /// Waits until there are entries.
    pub(super) async fn take(&self) -> Vec<OutboxEntry> {
        loop {
            let entries = std::mem::take(self.waiting().get_or_insert_default());
            if !entries.is_empty() {
                return entries;
            }
            self.arrived.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Vec<OutboxEntry>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
