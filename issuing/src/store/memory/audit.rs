//! The audit events of the memory store.

use std::{collections::BTreeMap, sync::Arc};

use super::{MemoryTokenStore, done};
use crate::{
    audit::{AuditEvent, AuditKind, AuditLog, AuditPage, AuditQuery, AuditRecord, AuditSink},
    store::Owner,
};
use tower_bearer::{BoxFuture, UnixTime, revocation::StoreError};

#[derive(Default)]
pub(super) struct AuditRows {
    rows: BTreeMap<i64, AuditEvent>,
    last_id: i64,
}

impl AuditRows {
    /// Keeps an event. If it says that an account was deleted, earlier events about that account are deleted. If the
    /// account is already deleted, only what an operator did is kept, without the subject.
    pub(super) fn insert(&mut self, event: &AuditEvent) {
        let mut kept = Some(event.clone());
        if let Some(subject) = &event.subject {
            let owner = Owner::new(Arc::clone(&event.issuer), Arc::clone(subject));
            match (event.kind, self.is_deleted(&owner)) {
                (AuditKind::AccountDeleted, true) => kept = None,
                (AuditKind::AccountDeleted, false) => self.delete_of(&owner),
                (_, true) => kept = event.without_subject(),
                (_, false) => {}
            }
        }
        if let Some(event) = kept {
            self.last_id += 1;
            self.rows.insert(self.last_id, event);
        }
    }

    /// Deletes the events about an owner, except that the account was deleted. What operators did stays, without the
    /// owner.
    pub(super) fn delete_of(&mut self, owner: &Owner) {
        self.rows.retain(|_, event| {
            let is_kept = event.kind == AuditKind::AccountDeleted
                || !is_about(event, &owner.issuer, &owner.subject);
            let left = event.without_subject().filter(|_| !is_kept);
            match left {
                Some(left) => {
                    *event = left;
                    true
                }
                None => is_kept,
            }
        });
    }

    fn is_deleted(&self, owner: &Owner) -> bool {
        self.rows.values().any(|event| {
            event.kind == AuditKind::AccountDeleted
                && is_about(event, &owner.issuer, &owner.subject)
        })
    }

    fn list(&self, query: &AuditQuery) -> AuditPage {
        let AuditQuery { issuer, subject, before, limit } = query;
        let rows = self.rows.range(..before.unwrap_or(i64::MAX)).rev();
        let mut matching = rows.filter(|(_, event)| match subject {
            Some(subject) => is_about(event, issuer, subject),
            None => event.issuer == *issuer,
        });
        let limit = usize::try_from((*limit).max(1)).unwrap_or(usize::MAX);
        let records: Vec<AuditRecord> = matching
            .by_ref()
            .take(limit)
            .map(|(id, event)| AuditRecord::new(*id, event.clone()))
            .collect();
        let last = records.last().map(|record| record.id);
        AuditPage::new(records, last.filter(|_| matching.next().is_some()))
    }

    pub(super) fn sweep(&mut self, limit: usize, now: UnixTime) -> usize {
        let over = self.rows.iter().filter(|(_, event)| event.keep_until < now);
        let over: Vec<i64> = over.map(|(id, _)| *id).take(limit).collect();
        for id in &over {
            self.rows.remove(id);
        }
        over.len()
    }
}

fn is_about(event: &AuditEvent, issuer: &str, subject: &str) -> bool {
    *event.issuer == *issuer && event.subject.as_deref() == Some(subject)
}

/// Keeps the events in memory, without a limit except their retention.
impl AuditSink for MemoryTokenStore {
    fn record<'a>(&'a self, events: &'a [AuditEvent]) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut state = self.state();
        events.iter().for_each(|event| state.audit.insert(event));
        done(())
    }
}

impl AuditLog for MemoryTokenStore {
    fn list<'a>(&'a self, query: &'a AuditQuery) -> BoxFuture<'a, Result<AuditPage, StoreError>> {
        done(self.state().audit.list(query))
    }
}
