//! A token store in the memory of one process, for tests and demonstrations.

mod accounts;
mod audit;
mod denials;
mod keys;
mod outbox;
mod rows;
mod sessions;

use std::{
    collections::{BTreeMap, HashMap},
    fmt, future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{
    accounts::AccountRows,
    audit::AuditRows,
    denials::DenialRows,
    keys::KeyRecords,
    rows::{PrivateRow, PrivateRows, RefreshRow, RefreshRows},
    sessions::SessionRows,
};
use super::{
    Called, Caller, Insertion, ListQuery, NewPrivateToken, NewRefreshToken, NewSession, Owner,
    PrivateRotation, PrivateToken, PrivateTokenPage, RefreshRotation, RefreshUse,
    RotatedPrivateToken, Session, SessionPage, SessionQuery, SessionSortBy, Step, TokenStore,
    TokenUse,
};
use crate::audit::AuditEvent;
use tower_bearer::{
    UnixTime,
    claims::{Clock, SystemClock},
    revocation::{
        KEEP_AFTER_EXPIRY, Revocable, RevocableKind, RevocationEntry,
        outbox::{Acknowledged, NewEntries, OutboxEntry},
    },
};

/// Keeps tokens and accounts in memory, for tests and demonstrations. Clones share it.
///
/// All data is lost when the process ends. Then refresh tokens no longer work, private tokens are not listed any more,
/// and **revoked tokens are valid again until they expire**.
#[derive(Clone)]
pub struct MemoryTokenStore {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    new_entries: Arc<NewEntries>,
}

/// All data, behind one lock, so that every method is one step.
#[derive(Default)]
struct State {
    refresh: RefreshRows,
    private: PrivateRows,
    sessions: SessionRows,
    denials: DenialRows,
    accounts: AccountRows,
    outbox: BTreeMap<i64, RevocationEntry>,
    last_entry: i64,
    keys: HashMap<String, [u8; 32]>,
    devices: HashMap<[u8; 32], Device>,
    key_records: KeyRecords,
    audit: AuditRows,
    /// The acknowledged state of each fleet, by its name.
    fleets: HashMap<String, Acknowledged>,
}

struct Device {
    account: [u8; 32],
    keep_until: UnixTime,
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

    /// Sets the clock that decides which revocations are in force. Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// Runs a step that may write outbox entries, and passes these entries to a relay.
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
    /// Ends the rows, stores the entry, and adds it to the outbox, in one step. Returns the entry as it was stored.
    fn deny(&mut self, mut entry: RevocationEntry) -> RevocationEntry {
        let (issuer, id) = (Arc::clone(entry.thing().issuer()), Arc::clone(entry.thing().id()));
        let latest_expiry = match entry.thing().kind() {
            RevocableKind::Token => {
                self.refresh.end_token(&issuer, &id, entry.starts_at());
                self.private.end_token(&issuer, &id, entry.starts_at());
                let is_private =
                    |token: &NewPrivateToken| token.token_id == id && token.owner.issuer == issuer;
                let [_, expires_at] = self.private.latest_of(is_private);
                expires_at
            }
            RevocableKind::Session => {
                let is_concerned = |token: &NewRefreshToken| {
                    token.session_id == id && token.owner.issuer == issuer
                };
                let is_private = |token: &NewPrivateToken| {
                    token.session_id == id && token.owner.issuer == issuer
                };
                let [_, refresh] = self.refresh.latest_of(is_concerned);
                let [_, private] = self.private.latest_of(is_private);
                self.refresh.end(is_concerned);
                self.private.end(is_private);
                self.sessions.end(&issuer, &id);
                refresh.max(private)
            }
            RevocableKind::Subject => {
                let (owner, cut_off) = (Owner::new(issuer, id), entry.cut_off());
                let [_, expires_at] = self.latest_of(&owner);
                self.refresh.end(|row| row.issued_at <= cut_off && row.owner == owner);
                self.private.end(|row| row.issued_at <= cut_off && row.owner == owner);
                expires_at
            }
            RevocableKind::Key => UnixTime::EPOCH,
        };
        if latest_expiry > UnixTime::EPOCH {
            entry.cover_tokens_until(latest_expiry);
        }
        self.denials.insert(&entry);
        self.last_entry += 1;
        self.outbox.insert(self.last_entry, entry.clone());
        entry
    }

    /// The owner's cut-off, if a row issued at `issued_at` is not later than it.
    fn in_the_way(&self, owner: &Owner, issued_at: UnixTime) -> Option<UnixTime> {
        self.denials.cut_off(owner).filter(|cut_off| issued_at <= *cut_off)
    }

    /// Runs a step for a caller, unless the caller's access token is revoked. An entry that starts later counts too.
    fn called<T>(&mut self, caller: &Caller, step: impl FnOnce(&mut Self) -> T) -> Called<T> {
        if self.denials.denied_from(&caller.lookup()).is_some() {
            return Called::Revoked;
        }
        Called::Done(step(self))
    }

    fn open_session(&mut self, new: &NewSession) -> Insertion<()> {
        let first = &new.first;
        if let Some(cut_off) = self.in_the_way(&first.owner, first.issued_at) {
            return Insertion::CutOff(cut_off);
        }
        self.refresh.insert(first.clone());
        self.sessions.begin(new);
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
        if row.token.key_thumbprint != successor.key_thumbprint {
            return RefreshUse::OtherKey;
        }
        if row.dies_at <= *now || self.in_the_way(&row.token.owner, row.token.issued_at).is_some() {
            return RefreshUse::Revoked;
        }
        let Some((at, next)) = row.used.clone() else {
            let begun = row.token.issued_at;
            self.refresh.mark_used(&successor.owner.issuer, used, *now, &successor.token_id);
            self.refresh.insert(successor.clone());
            self.sessions.refreshed(successor, begun);
            return RefreshUse::Rotated;
        };
        let next = self.refresh.get(&successor.owner.issuer, &next);
        if rotation.reuse_grace.as_secs() > 0
            && *now <= at + rotation.reuse_grace
            && let Some(RefreshRow { token, used: None, .. }) = next
        {
            return RefreshUse::Repeated(token.clone());
        }
        let issuer = Arc::clone(&successor.owner.issuer);
        let session = Revocable::session(issuer, Arc::clone(&successor.session_id));
        self.deny(RevocationEntry::new(session, rotation.session_expires_by));
        RefreshUse::Reused
    }

    /// The latest `issued_at` and the latest `expires_at` of an owner's rows.
    fn latest_of(&self, owner: &Owner) -> [UnixTime; 2] {
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

    fn revoke_private(&mut self, owner: &Owner, id: i64, now: UnixTime) -> Option<RevocationEntry> {
        let denial = self.private.find(owner, id, now)?.denial(UnixTime::EPOCH);
        self.deny(denial.clone());
        Some(denial)
    }

    fn revoke_private_of_any(
        &mut self,
        issuer: &Arc<str>,
        id: i64,
        now: UnixTime,
    ) -> Option<(Arc<str>, RevocationEntry)> {
        let owner = self.private.owner_of(id).filter(|owner| owner.issuer == *issuer)?;
        let denial = self.revoke_private(&owner, id, now)?;
        Some((owner.subject, denial))
    }

    /// Revokes all tokens that an owner was issued so far.
    fn cut_off(
        &mut self,
        owner: &Owner,
        now: UnixTime,
        tokens_expire_by: UnixTime,
    ) -> RevocationEntry {
        let [issued_at, _] = self.latest_of(owner);
        let cut_off = now.max(issued_at).max(self.denials.cut_off(owner).unwrap_or_default());
        let subject = Revocable::subject(Arc::clone(&owner.issuer), Arc::clone(&owner.subject));
        self.deny(RevocationEntry::new(subject, tokens_expire_by).with_cut_off(cut_off))
    }

    fn sweep(&mut self, now: UnixTime, limit: usize) -> usize {
        let is_over = |expires_at: UnixTime| expires_at + KEEP_AFTER_EXPIRY < now;
        let mut swept = self.refresh.sweep(limit, |row| is_over(row.token.expires_at));
        let is_ended = |row: &PrivateRow| is_over(row.token.expires_at.min(row.dies_at));
        swept += self.private.sweep(limit - swept, is_ended);
        swept += self.sessions.sweep(limit - swept, is_over);
        swept += self.denials.sweep(limit - swept, now);
        let over = self.outbox.iter().filter(|(_, entry)| entry.obsolete_after() < now);
        let over: Vec<i64> = over.map(|(id, _)| *id).take(limit - swept).collect();
        for id in &over {
            self.outbox.remove(id);
        }
        swept += over.len();
        let over = self.devices.iter().filter(|(_, device)| device.keep_until < now);
        let over: Vec<[u8; 32]> = over.map(|(id, _)| *id).take(limit - swept).collect();
        for id in &over {
            self.devices.remove(id);
        }
        swept += over.len();
        swept + self.audit.sweep(limit - swept, now)
    }
}

impl TokenStore for MemoryTokenStore {
    fn open_session<'a>(&'a self, new: &'a NewSession) -> Step<'a, Insertion<()>> {
        done(self.state().open_session(new))
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
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateTokenPage>>> {
        done(self.state().called(caller, |state| state.private.list(&caller.owner, query, now)))
    }

    fn find_private<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateToken>>> {
        done(self.state().called(caller, |state| {
            state.private.find(&caller.owner, id, now).map(PrivateRow::view)
        }))
    }

    fn list_private_of<'a>(
        &'a self,
        caller: &'a Caller,
        subject: &'a str,
        query: &'a ListQuery,
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateTokenPage>>> {
        let owner = Owner::new(Arc::clone(&caller.owner.issuer), subject);
        done(self.state().called(caller, |state| state.private.list(&owner, query, now)))
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
        now: UnixTime,
    ) -> Step<'a, Called<Option<RevocationEntry>>> {
        done(self.step(|state| {
            state.called(caller, |state| state.revoke_private(&caller.owner, id, now))
        }))
    }

    fn revoke_private_of_any<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
    ) -> Step<'a, Called<Option<(Arc<str>, RevocationEntry)>>> {
        done(self.step(|state| {
            let issuer = &caller.owner.issuer;
            state.called(caller, |state| state.revoke_private_of_any(issuer, id, now))
        }))
    }

    fn list_sessions<'a>(
        &'a self,
        caller: &'a Caller,
        query: &'a SessionQuery,
        now: UnixTime,
    ) -> Step<'a, Called<Option<SessionPage>>> {
        done(self.state().called(caller, |state| state.list_sessions(caller, query, now)))
    }

    fn revoke_session<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
        tokens_expire_by: UnixTime,
    ) -> Step<'a, Called<Option<RevocationEntry>>> {
        done(self.step(|state| {
            state.called(caller, |state| {
                state.revoke_session(&caller.owner, id, now, tokens_expire_by)
            })
        }))
    }

    fn revoke_owner<'a>(
        &'a self,
        owner: &'a Owner,
        now: UnixTime,
        tokens_expire_by: UnixTime,
    ) -> Step<'a, UnixTime> {
        done(self.step(|state| state.cut_off(owner, now, tokens_expire_by).cut_off()))
    }

    fn delete_personal_data<'a>(
        &'a self,
        owner: &'a Owner,
        now: UnixTime,
        tokens_expire_by: UnixTime,
        event: Option<&'a AuditEvent>,
    ) -> Step<'a, UnixTime> {
        done(self.step(|state| {
            let entry = state.cut_off(owner, now, tokens_expire_by);
            state.delete_personal_data(owner, event);
            entry.cut_off()
        }))
    }

    fn subject_of_session<'a>(
        &'a self,
        issuer: &'a str,
        session_id: &'a str,
    ) -> Step<'a, Option<Arc<str>>> {
        done(self.state().subject_of_session(issuer, session_id))
    }

    fn deny<'a>(&'a self, denials: &'a [RevocationEntry]) -> Step<'a, ()> {
        self.step(|state| denials.iter().cloned().for_each(|denial| drop(state.deny(denial))));
        done(())
    }

    fn sweep(&self, now: UnixTime, limit: usize) -> Step<'_, usize> {
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

    fn note_device<'a>(
        &'a self,
        device: &'a [u8; 32],
        account: &'a [u8; 32],
        keep_until: UnixTime,
    ) -> Step<'a, ()> {
        let mut state = self.state();
        let new = Device { account: *account, keep_until };
        let kept = state.devices.entry(*device).or_insert(new);
        (kept.account, kept.keep_until) = (*account, keep_until.max(kept.keep_until));
        done(())
    }

    fn knows_device<'a>(&'a self, device: &'a [u8; 32], now: UnixTime) -> Step<'a, bool> {
        done(self.state().devices.get(device).is_some_and(|device| device.keep_until >= now))
    }
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
        conformance::check_keys(async |clock| MemoryTokenStore::new().with_clock(clock)).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn it_is_an_audit_log() {
        conformance::check_audit(async |clock| MemoryTokenStore::new().with_clock(clock)).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn it_keeps_the_rules_of_managed_accounts() {
        conformance::check_accounts(async |clock| MemoryTokenStore::new().with_clock(clock)).await;
    }

    #[cfg(feature = "test-util")]
    #[tokio::test]
    async fn it_is_a_revocation_store() {
        let make = async |clock| MemoryTokenStore::new().with_clock(clock);
        tower_bearer::test_util::revocation_conformance::check(make).await;
    }
}
