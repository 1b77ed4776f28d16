//! A token store that is the memory of one process.

mod denials;
mod rows;

use std::{
    collections::{BTreeMap, HashMap},
    fmt, future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{
    denials::DenialRows,
    rows::{PrivateRow, PrivateRows, RefreshRow, RefreshRows},
};
use super::{
    Called, Caller, Denial, Insertion, KEEP_AFTER_EXPIRY, ListQuery, NewPrivateToken,
    NewRefreshToken, OutboxEntry, Owner, PrivateRotation, PrivateToken, PrivateTokenPage,
    RefreshRotation, RefreshUse, RotatedPrivateToken, Step, TokenStore, TokenUse,
};
use tower_bearer::{
    BoxFuture,
    claims::{Clock, SystemClock},
    revocation::{
        Revocable, RevocationStore, StoreError, Verdict,
        outbox::{Acknowledged, NewEntries, Outbox},
    },
};

/// Everything in memory, for tests and demonstrations; clones share it. It is lost when the process ends: nobody can
/// refresh then, private tokens are listed no more, and **what was revoked is good again until it expires**.
#[derive(Clone)]
pub struct MemoryTokenStore {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    new_entries: Arc<NewEntries>,
}

/// Behind one lock, so that every method is one step.
#[derive(Default)]
struct State {
    refresh: RefreshRows,
    private: PrivateRows,
    denials: DenialRows,
    outbox: BTreeMap<i64, Denial>,
    last_entry: i64,
    keys: HashMap<String, [u8; 32]>,
    /// Until when they are kept.
    devices: HashMap<[u8; 32], u64>,
    /// What is kept of each fleet, by its name.
    fleets: HashMap<String, Acknowledged>,
}

impl MemoryTokenStore {
    /// An empty store, on the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clock: Arc::new(SystemClock::default()),
            state: Arc::default(),
            new_entries: Arc::default(),
        }
    }

    /// Tells by `clock` which denials are in force. Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.clock.unix_time().as_secs()
    }

    /// Takes a step that may write outbox entries, and hands those to a relay.
    fn step<T>(&self, step: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let before = state.last_entry;
        let answer = step(&mut state);
        let new = state.outbox.range(before.saturating_add(1)..);
        let new = new.map(|(id, denial)| OutboxEntry::new(*id, denial.clone())).collect();
        self.new_entries.add(new);
        answer
    }
}

impl State {
    /// The rows end, the denial stands, others are told: one step.
    fn deny(&mut self, mut denial: Denial) {
        match &denial.what {
            Revocable::Token { issuer, id } => {
                self.refresh.end_token(issuer, id, denial.from);
                self.private.end_token(issuer, id, denial.from);
                let [_, expires_at] = self
                    .private
                    .latest_of(|token| token.token_id == *id && token.owner.issuer == *issuer);
                denial.keep_until = denial.keep_until.max(keep_until_after(expires_at));
            }
            Revocable::Session { issuer, id } => {
                let is_concerned = |token: &NewRefreshToken| {
                    token.session_id == *id && token.owner.issuer == *issuer
                };
                let is_private = |token: &NewPrivateToken| {
                    token.session_id == *id && token.owner.issuer == *issuer
                };
                let [_, refresh] = self.refresh.latest_of(is_concerned);
                let [_, private] = self.private.latest_of(is_private);
                let expires_at = refresh.max(private);
                denial.keep_until = denial.keep_until.max(keep_until_after(expires_at));
                self.refresh.end(is_concerned);
                self.private.end(is_private);
            }
            Revocable::Subject { issuer, subject, issued_at } => {
                let owner = Owner::new(Arc::clone(issuer), Arc::clone(subject));
                let [_, expires_at] = self.latest_of(&owner);
                denial.keep_until = denial.keep_until.max(keep_until_after(expires_at));
                self.refresh.end(|row| row.issued_at <= *issued_at && row.owner == owner);
                self.private.end(|row| row.issued_at <= *issued_at && row.owner == owner);
            }
            Revocable::Key { .. } => {}
        }
        self.denials.insert(&denial);
        self.last_entry += 1;
        self.outbox.insert(self.last_entry, denial);
    }

    /// The cut-off of the owner that a row issued at `issued_at` would be behind.
    fn in_the_way(&self, owner: &Owner, issued_at: u64) -> Option<u64> {
        self.denials.cut_off(owner).filter(|cut_off| issued_at <= *cut_off)
    }

    /// A step that somebody wants taken: not if their access token is denied, from whatever time on.
    fn called<T>(&mut self, caller: &Caller, step: impl FnOnce(&mut Self) -> T) -> Called<T> {
        if caller.revocables().iter().any(|what| self.denials.denied_from(what).is_some()) {
            return Called::Revoked;
        }
        Called::Done(step(self))
    }

    fn open_session(&mut self, first: &NewRefreshToken) -> Insertion<()> {
        if let Some(cut_off) = self.in_the_way(&first.owner, first.issued_at) {
            return Insertion::CutOff(cut_off);
        }
        self.refresh.insert(first.clone());
        Insertion::Done(())
    }

    fn use_refresh(&mut self, rotation: &RefreshRotation) -> RefreshUse {
        let RefreshRotation { used, used_hash, successor, now, .. } = rotation;
        let Some(row) = self.refresh.get(&successor.owner.issuer, used).filter(|row| {
            row.token.hash == *used_hash
                && row.token.owner == successor.owner
                && row.token.session_id == successor.session_id
        }) else {
            return RefreshUse::Unknown;
        };
        if row.dies_at <= *now || self.in_the_way(&row.token.owner, row.token.issued_at).is_some() {
            return RefreshUse::Revoked;
        }
        let Some((at, next)) = row.used.clone() else {
            self.refresh.mark_used(&successor.owner.issuer, used, *now, &successor.token_id);
            self.refresh.insert(successor.clone());
            return RefreshUse::Rotated;
        };
        let next = self.refresh.get(&successor.owner.issuer, &next);
        if rotation.reuse_grace > 0
            && *now <= at.saturating_add(rotation.reuse_grace)
            && let Some(RefreshRow { token, used: None, .. }) = next
        {
            return RefreshUse::Repeated(token.clone());
        }
        let session = Revocable::Session {
            issuer: Arc::clone(&successor.owner.issuer),
            id: Arc::clone(&successor.session_id),
        };
        self.deny(Denial::new(session, rotation.keep_session_denial_until));
        RefreshUse::Reused
    }

    /// The latest `issued_at` and the latest `expires_at` of an owner's rows.
    fn latest_of(&self, owner: &Owner) -> [u64; 2] {
        let [a, b] = self.refresh.latest_of(|token| token.owner == *owner);
        let [c, d] = self.private.latest_of(|token| token.owner == *owner);
        [a.max(c), b.max(d)]
    }

    fn create_private(&mut self, token: &NewPrivateToken) -> Insertion<PrivateToken> {
        if let Some(cut_off) = self.in_the_way(&token.owner, token.issued_at) {
            return Insertion::CutOff(cut_off);
        }
        if self.private.count_live(&token.owner, token.issued_at) >= token.quota {
            return Insertion::QuotaReached;
        }
        Insertion::Done(self.private.insert(token.clone()).view())
    }

    fn rotate_private(&mut self, rotation: &RotatedPrivateToken) -> PrivateRotation {
        let owner = &rotation.successor.owner;
        let Some(old) = self.private.find(owner, rotation.id, rotation.now) else {
            return PrivateRotation::NotFound;
        };
        if let Some(cut_off) = self.in_the_way(owner, rotation.successor.issued_at) {
            return PrivateRotation::CutOff(cut_off);
        }
        let live = self.private.count_live(owner, rotation.now);
        if rotation.most_before().is_some_and(|most| live >= most) {
            return PrivateRotation::QuotaReached;
        }
        let mut successor = rotation.successor.clone();
        successor.name = Arc::clone(&old.token.name);
        let denial = old.denial(rotation.old_from());
        self.deny(denial.clone());
        PrivateRotation::Rotated { new: self.private.insert(successor).view(), old: denial }
    }

    fn revoke_private(&mut self, owner: &Owner, id: i64, now: u64) -> Option<Denial> {
        let denial = self.private.find(owner, id, now)?.denial(0);
        self.deny(denial.clone());
        Some(denial)
    }

    fn revoke_owner(&mut self, owner: &Owner, now: u64, keep_until: u64) -> u64 {
        let [issued_at, _] = self.latest_of(owner);
        let cut_off = now.max(issued_at).max(self.denials.cut_off(owner).unwrap_or(0));
        let (issuer, subject) = (Arc::clone(&owner.issuer), Arc::clone(&owner.subject));
        let what = Revocable::Subject { issuer, subject, issued_at: cut_off };
        self.deny(Denial::new(what, keep_until));
        cut_off
    }

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

    fn sweep(&mut self, now: u64, limit: usize) -> usize {
        let is_over = |expires_at: u64| expires_at.saturating_add(KEEP_AFTER_EXPIRY) < now;
        let mut swept = self.refresh.sweep(limit, |row| is_over(row.token.expires_at));
        let is_ended = |row: &PrivateRow| is_over(row.token.expires_at.min(row.dies_at));
        swept += self.private.sweep(limit - swept, is_ended);
        swept += self.denials.sweep(limit - swept, now);
        let over = self.outbox.iter().filter(|(_, denial)| denial.keep_until < now);
        let over: Vec<i64> = over.map(|(id, _)| *id).take(limit - swept).collect();
        for id in &over {
            self.outbox.remove(id);
        }
        swept += over.len();
        let over = self.devices.iter().filter(|(_, keep_until)| **keep_until < now);
        let over: Vec<[u8; 32]> = over.map(|(id, _)| *id).take(limit - swept).collect();
        for id in &over {
            self.devices.remove(id);
        }
        swept + over.len()
    }
}

impl TokenStore for MemoryTokenStore {
    fn open_session<'a>(&'a self, first: &'a NewRefreshToken) -> Step<'a, Insertion<()>> {
        done(self.state().open_session(first))
    }

    fn use_refresh<'a>(&'a self, rotation: &'a RefreshRotation) -> Step<'a, RefreshUse> {
        done(self.step(|state| state.use_refresh(rotation)))
    }

    fn create_private<'a>(
        &'a self,
        caller: &'a Caller,
        token: &'a NewPrivateToken,
    ) -> Step<'a, Called<Insertion<PrivateToken>>> {
        done(self.state().called(caller, |state| state.create_private(token)))
    }

    fn list_private<'a>(
        &'a self,
        caller: &'a Caller,
        query: &'a ListQuery,
        now: u64,
    ) -> Step<'a, Called<Option<PrivateTokenPage>>> {
        done(self.state().called(caller, |state| state.private.list(&caller.owner, query, now)))
    }

    fn rotate_private<'a>(
        &'a self,
        caller: &'a Caller,
        rotation: &'a RotatedPrivateToken,
    ) -> Step<'a, Called<PrivateRotation>> {
        done(self.step(|state| state.called(caller, |state| state.rotate_private(rotation))))
    }

    fn revoke_private<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: u64,
    ) -> Step<'a, Called<Option<Denial>>> {
        done(self.step(|state| {
            state.called(caller, |state| state.revoke_private(&caller.owner, id, now))
        }))
    }

    fn revoke_owner<'a>(&'a self, owner: &'a Owner, now: u64, keep_until: u64) -> Step<'a, u64> {
        done(self.step(|state| state.revoke_owner(owner, now, keep_until)))
    }

    fn deny<'a>(&'a self, denials: &'a [Denial]) -> Step<'a, ()> {
        self.step(|state| denials.iter().cloned().for_each(|denial| state.deny(denial)));
        done(())
    }

    fn sweep(&self, now: u64, limit: usize) -> Step<'_, usize> {
        done(self.state().sweep(now, limit))
    }

    fn touch<'a>(&'a self, uses: &'a [TokenUse]) -> Step<'a, ()> {
        let mut state = self.state();
        for one in uses {
            state.private.touch(&one.issuer, &one.token_id, one.at);
        }
        done(())
    }

    fn shared_key<'a>(&'a self, name: &'a str, candidate: &'a [u8; 32]) -> Step<'a, [u8; 32]> {
        done(*self.state().keys.entry(name.to_owned()).or_insert(*candidate))
    }

    fn note_device<'a>(&'a self, device: &'a [u8; 32], keep_until: u64) -> Step<'a, ()> {
        let mut state = self.state();
        let kept = state.devices.entry(*device).or_insert(keep_until);
        *kept = keep_until.max(*kept);
        done(())
    }

    fn knows_device<'a>(&'a self, device: &'a [u8; 32], now: u64) -> Step<'a, bool> {
        done(self.state().devices.get(device).is_some_and(|keep_until| *keep_until >= now))
    }
}

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

    fn denials<'a>(&'a self, after: Option<&'a Revocable>, limit: usize) -> Step<'a, Vec<Denial>> {
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
    fn look_up<'a>(&'a self, token: &'a [Revocable]) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        let now = self.now();
        let state = self.state();
        let start = token.iter().filter_map(|what| state.denials.denied_from(what)).min();
        done(match start {
            None => Verdict::NotRevoked,
            Some(start) if start <= now => Verdict::Revoked,
            Some(start) => Verdict::RevokedFrom(start),
        })
    }

    fn revoke<'a>(
        &'a self,
        what: &'a Revocable,
        keep_until: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.step(|state| state.deny(Denial::new(what.clone(), keep_until)));
        done(())
    }
}

/// 0 where there are no rows.
fn keep_until_after(latest_expiry: u64) -> u64 {
    if latest_expiry == 0 { 0 } else { latest_expiry.saturating_add(KEEP_AFTER_EXPIRY) }
}

fn done<'a, T: Send + 'a>(answer: T) -> Step<'a, T> {
    Box::pin(future::ready(Ok(answer)))
}

impl Default for MemoryTokenStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryTokenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTokenStore").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn it_is_a_token_store() {
        conformance::check(async |clock| MemoryTokenStore::new().with_clock(clock)).await;
    }
}
