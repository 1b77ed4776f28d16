//! The revocation entries of the memory store, with their dates.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::Owner;
use tower_bearer::{
    UnixTime,
    revocation::{Lookup, Revocable, RevocableKind, RevocationEntry},
};

#[derive(Default)]
pub(super) struct DenialRows(HashMap<Revocable, Dates>);

struct Dates {
    from: UnixTime,
    cut_off: UnixTime,
    obsolete_after: UnixTime,
}

impl DenialRows {
    /// An entry never weakens an earlier one: the earlier start, the later end and the later cut-off apply.
    pub(super) fn insert(&mut self, entry: &RevocationEntry) {
        let new = Dates {
            from: entry.starts_at(),
            cut_off: entry.cut_off(),
            obsolete_after: entry.obsolete_after(),
        };
        match self.0.entry(entry.thing().clone()) {
            Entry::Vacant(entry) => {
                entry.insert(new);
            }
            Entry::Occupied(mut entry) => {
                let old = entry.get_mut();
                old.from = old.from.min(new.from);
                old.cut_off = old.cut_off.max(new.cut_off);
                old.obsolete_after = old.obsolete_after.max(new.obsolete_after);
            }
        }
    }

    /// The time from which a token is revoked, or `None` if it is not revoked.
    pub(super) fn denied_from(&self, lookup: &Lookup) -> Option<UnixTime> {
        let dates = lookup.things().iter().filter_map(|thing| self.0.get(thing));
        let matching = dates.filter(|dates| lookup.issued_at() <= dates.cut_off);
        matching.map(|dates| dates.from).min()
    }

    pub(super) fn cut_off(&self, owner: &Owner) -> Option<UnixTime> {
        let subject = Revocable::subject(Arc::clone(&owner.issuer), Arc::clone(&owner.subject));
        self.0.get(&subject).map(|dates| dates.cut_off)
    }

    /// Lists entries in the order of kind, issuer and id.
    pub(super) fn list(
        &self,
        after: Option<&Revocable>,
        limit: usize,
        now: UnixTime,
    ) -> Vec<RevocationEntry> {
        let after = after.map(order_of);
        let is_kept = |dates: &Dates| dates.obsolete_after >= now;
        let mut rows: Vec<_> = self
            .0
            .iter()
            .filter(|(name, dates)| is_kept(dates) && Some(order_of(name)) > after)
            .collect();
        rows.sort_unstable_by_key(|(name, _)| order_of(name));
        rows.truncate(limit);
        let entry = |(thing, dates): (&Revocable, &Dates)| {
            RevocationEntry::restored(thing.clone(), dates.obsolete_after)
                .with_cut_off(dates.cut_off)
                .with_start(dates.from)
        };
        rows.into_iter().map(entry).collect()
    }

    pub(super) fn sweep(&mut self, limit: usize, now: UnixTime) -> usize {
        let over = self.0.iter().filter(|(_, dates)| dates.obsolete_after < now);
        let over: Vec<Revocable> = over.map(|(name, _)| name.clone()).take(limit).collect();
        for name in &over {
            self.0.remove(name);
        }
        over.len()
    }
}

fn order_of(thing: &Revocable) -> (RevocableKind, &str, &str) {
    (thing.kind(), thing.issuer(), thing.id())
}
