//! What is denied, and from when to when.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::{Denial, Owner};
use tower_bearer::revocation::Revocable;

#[derive(Default)]
pub(super) struct DenialRows(HashMap<Revocable, Dates>);

struct Dates {
    from: u64,
    /// Of a subject; `u64::MAX` for all else, whose time of issue is no matter.
    cut_off: u64,
    keep_until: u64,
}

impl DenialRows {
    /// Nothing is ever weakened: the earlier beginning, the later end and the later cut-off hold.
    pub(super) fn insert(&mut self, denial: &Denial) {
        let (name, cut_off) = name_of(&denial.what);
        let new = Dates { from: denial.starts_at(), cut_off, keep_until: denial.keep_until };
        match self.0.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(new);
            }
            Entry::Occupied(mut entry) => {
                let old = entry.get_mut();
                old.from = old.from.min(new.from);
                old.cut_off = old.cut_off.max(new.cut_off);
                old.keep_until = old.keep_until.max(new.keep_until);
            }
        }
    }

    /// The second from which it is denied, if it is.
    pub(super) fn denied_from(&self, what: &Revocable) -> Option<u64> {
        let (name, issued_at) = match what {
            Revocable::Subject { .. } => name_of(what),
            _ => (what.clone(), 0),
        };
        self.0.get(&name).filter(|dates| issued_at <= dates.cut_off).map(|dates| dates.from)
    }

    pub(super) fn cut_off(&self, owner: &Owner) -> Option<u64> {
        let (issuer, subject) = (Arc::clone(&owner.issuer), Arc::clone(&owner.subject));
        let name = Revocable::Subject { issuer, subject, issued_at: 0 };
        self.0.get(&name).map(|dates| dates.cut_off)
    }

    /// By kind, issuer and name.
    pub(super) fn list(&self, after: Option<&Revocable>, limit: usize, now: u64) -> Vec<Denial> {
        let after = after.map(order_of);
        let is_kept = |dates: &Dates| dates.keep_until >= now;
        let mut rows: Vec<_> = self
            .0
            .iter()
            .filter(|(name, dates)| is_kept(dates) && Some(order_of(name)) > after)
            .collect();
        rows.sort_unstable_by_key(|(name, _)| order_of(name));
        rows.truncate(limit);
        let denial = |(name, dates): (&Revocable, &Dates)| {
            let what = match name {
                Revocable::Subject { issuer, subject, .. } => {
                    let (issuer, subject) = (Arc::clone(issuer), Arc::clone(subject));
                    Revocable::Subject { issuer, subject, issued_at: dates.cut_off }
                }
                other => other.clone(),
            };
            Denial::new(what, dates.keep_until).with_from(dates.from)
        };
        rows.into_iter().map(denial).collect()
    }

    pub(super) fn sweep(&mut self, limit: usize, now: u64) -> usize {
        let over = self.0.iter().filter(|(_, dates)| dates.keep_until < now);
        let over: Vec<Revocable> = over.map(|(name, _)| name.clone()).take(limit).collect();
        for name in &over {
            self.0.remove(name);
        }
        over.len()
    }
}

/// A subject is one whatever its cut-off.
fn name_of(what: &Revocable) -> (Revocable, u64) {
    match what {
        Revocable::Subject { issuer, subject, issued_at } => {
            let (issuer, subject) = (Arc::clone(issuer), Arc::clone(subject));
            (Revocable::Subject { issuer, subject, issued_at: 0 }, *issued_at)
        }
        Revocable::Token { .. } | Revocable::Session { .. } | Revocable::Key { .. } => {
            (what.clone(), u64::MAX)
        }
    }
}

fn order_of(what: &Revocable) -> (u8, &str, &str) {
    match what {
        Revocable::Token { issuer, id } => (0, issuer, id),
        Revocable::Subject { issuer, subject, .. } => (1, issuer, subject),
        Revocable::Session { issuer, id } => (2, issuer, id),
        Revocable::Key { issuer, id } => (3, issuer, id),
    }
}
