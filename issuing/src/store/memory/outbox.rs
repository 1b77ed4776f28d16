//! The outbox and the revocation entries of the memory store, for relays and lookups.

use super::{MemoryTokenStore, State, done};
use crate::store::Step;
use tower_bearer::{
    BoxFuture,
    revocation::{
        Lookup, Revocable, RevocationEntry, RevocationStore, StoreError, Verdict,
        outbox::{Acknowledged, Outbox, OutboxEntry},
    },
};

impl Outbox for MemoryTokenStore {
    fn outbox(&self, limit: usize) -> Step<'_, Vec<OutboxEntry>> {
        let state = self.state();
        done(
            state
                .outbox
                .iter()
                .take(limit)
                .map(|(id, denial)| OutboxEntry::new(*id, denial.clone()))
                .collect(),
        )
    }

    fn denials<'a>(
        &'a self,
        after: Option<&'a Revocable>,
        limit: usize,
    ) -> Step<'a, Vec<RevocationEntry>> {
        let now = self.now();
        done(self.state().denials.list(after, limit, now))
    }

    fn outbox_done<'a>(&'a self, ids: &'a [i64], acknowledged: &'a Acknowledged) -> Step<'a, bool> {
        done(self.state().outbox_done(ids, acknowledged))
    }

    fn acknowledged<'a>(&'a self, fleet: &'a str) -> Step<'a, Option<Acknowledged>> {
        done(self.state().fleets.get(fleet).cloned())
    }

    fn begin_generation<'a>(&'a self, new: &'a Acknowledged) -> Step<'a, ()> {
        self.state().fleets.insert(new.fleet.clone(), new.clone());
        done(())
    }

    fn change_server<'a>(&'a self, kept: &'a Acknowledged, server: &'a str) -> Step<'a, bool> {
        done(self.state().change_server(kept, server))
    }

    fn new_entries(&self) -> BoxFuture<'_, Vec<OutboxEntry>> {
        Box::pin(self.new_entries.take())
    }
}

impl RevocationStore for MemoryTokenStore {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        let start = self.state().denials.denied_from(lookup);
        done(Verdict::starting_at(start, self.now()))
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        self.step(|state| state.deny(entry.clone()));
        done(())
    }
}

impl State {
    fn outbox_done(&mut self, ids: &[i64], acknowledged: &Acknowledged) -> bool {
        let kept = self.fleets.get_mut(&acknowledged.fleet);
        let Some(kept) = kept.filter(|kept| {
            kept.generation == acknowledged.generation && kept.server == acknowledged.server
        }) else {
            return false;
        };
        if kept.count < acknowledged.count {
            kept.clone_from(acknowledged);
        }
        for id in ids {
            self.outbox.remove(id);
        }
        true
    }

    fn change_server(&mut self, kept: &Acknowledged, server: &str) -> bool {
        let now = self.fleets.get_mut(&kept.fleet).filter(|now| **now == *kept);
        let Some(now) = now else { return false };
        server.clone_into(&mut now.server);
        true
    }
}
