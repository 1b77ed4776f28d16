use std::sync::Arc;

use loom::{
    model::Builder,
    sync::{
        Mutex,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    thread,
};

use super::{
    Revocable, RevocationEntry, TokenFacts, Verdict,
    local_state::{CachedAnswer, LocalState, Sent},
};
use crate::{
    UnixTime,
    claims::{ManualClock, Moment},
};

const NOW: u64 = 1_800_000_000;
const LATER: u64 = NOW + 600;

/// One token, one remembered answer, one store, as threads share them.
struct Shared {
    local: LocalState,
    clock: ManualClock,
    issuer: Arc<str>,
    key: Arc<str>,
    remembered: Mutex<Option<Arc<CachedAnswer>>>,
    is_in_store: AtomicBool,
    /// `revoke` has returned.
    is_revoked: AtomicBool,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            local: LocalState::new(),
            clock: ManualClock::at(UnixTime::from_secs(NOW)),
            issuer: "issuer".into(),
            key: "k".into(),
            remembered: Mutex::new(None),
            is_in_store: AtomicBool::new(false),
            is_revoked: AtomicBool::new(false),
        })
    }

    fn token(&self) -> TokenFacts<'_> {
        TokenFacts {
            issuer: &self.issuer,
            token_id: "a",
            subject: Some("s"),
            issued_at: UnixTime::from_secs(NOW),
            session_id: Some("i"),
            key_id: Some(&self.key),
            key_thumbprint: &self.key,
            expires_at: UnixTime::from_secs(LATER),
        }
    }

    fn kind(&self, kind: usize) -> RevocationEntry {
        let issuer = self.issuer.clone();
        let thing = match kind {
            0 => Revocable::token(issuer, "a"),
            1 => Revocable::subject(issuer, "s"),
            2 => Revocable::session(issuer, "i"),
            _ => Revocable::key(issuer, "k"),
        };
        entry(thing).with_cut_off(UnixTime::from_secs(NOW))
    }

    /// As `RevocationChecker::check` begins.
    fn ask_here(&self) -> (Sent, Option<Verdict>) {
        self.local.start_due(&self.clock);
        let sent = Sent { epoch: self.local.epoch(), at: Moment::of(&self.clock) };
        let remembered = self.remembered.lock().unwrap().clone();
        let verdict =
            self.local.decide(sent.epoch, remembered.as_deref(), &self.token(), &self.clock);
        (sent, verdict)
    }

    /// As a request goes on: asks the store where it has to, and remembers what that said.
    fn request(&self) -> Verdict {
        let started_after = self.is_revoked.load(Acquire);
        let (sent, verdict) = self.ask_here();
        let verdict = verdict.unwrap_or_else(|| self.ask_the_store(sent));
        assert!(!started_after || verdict == Verdict::Revoked, "began after the revocation");
        verdict
    }

    fn ask_the_store(&self, sent: Sent) -> Verdict {
        if self.is_in_store.load(Acquire) {
            return Verdict::Revoked;
        }
        *self.remembered.lock().unwrap() = Some(Arc::new(CachedAnswer::new(sent, 0)));
        match self.local.denies(&self.token(), &self.clock) {
            true => Verdict::Revoked,
            false => Verdict::NotRevoked,
        }
    }

    /// As `RevocationCache::revoke`, where `store_is_told` says whether the store takes it.
    fn revoke(&self, kind: usize, store_is_told: bool) {
        self.local.apply(&self.kind(kind), &self.clock);
        if store_is_told {
            self.is_in_store.store(true, Release);
        }
        self.is_revoked.store(true, Release);
    }
}

fn entry(thing: Revocable) -> RevocationEntry {
    RevocationEntry::restored(thing, UnixTime::from_secs(LATER))
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    // Every interleaving in which no more than three times a thread is interrupted that could have gone on.
    builder.preemption_bound = Some(3);
    builder.max_branches = 100_000;
    builder.check(model);
}

#[test]
fn a_revocation_during_a_lookup_of_the_same_token_is_never_lost() {
    for (kind, store_is_told) in [(0, true), (0, false), (1, false), (2, false), (3, false)] {
        check(move || {
            let shared = Shared::new();
            let revoker = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.revoke(kind, store_is_told))
            };
            shared.request();
            shared.request();
            revoker.join().unwrap();
            assert_eq!(shared.request(), Verdict::Revoked);
        });
    }
}

#[test]
fn an_answer_that_readers_renew_does_not_outlast_a_revocation() {
    check(|| {
        let shared = Shared::new();
        assert_eq!(shared.request(), Verdict::NotRevoked);
        let other = Revocable::token("other", "b");
        shared.local.apply(&entry(other), &shared.clock);
        let revoker = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.revoke(0, false))
        };
        let reader = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.request())
        };
        shared.request();
        revoker.join().unwrap();
        reader.join().unwrap();
        assert_eq!(shared.request(), Verdict::Revoked);
    });
}

#[test]
fn a_revocation_that_starts_is_seen_by_every_request_from_its_start_on() {
    check(|| {
        let shared = Shared::new();
        assert_eq!(shared.request(), Verdict::NotRevoked);
        let start = NOW + 10;
        let later = shared.kind(0).with_start(UnixTime::from_secs(start));
        shared.local.apply(&later, &shared.clock);
        assert_eq!(shared.request(), Verdict::NotRevoked);
        let time = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.clock.set_unix_time(UnixTime::from_secs(start));
                shared.is_revoked.store(true, Release);
            })
        };
        let reader = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.request())
        };
        shared.request();
        time.join().unwrap();
        reader.join().unwrap();
        assert_eq!(shared.request(), Verdict::Revoked);
    });
}

#[test]
fn a_doubt_applies_to_every_lookup_that_was_sent_before_it() {
    check(|| {
        let shared = Shared::new();
        let is_sent = Arc::new(AtomicBool::new(false));
        let doubter = {
            let (shared, is_sent) = (Arc::clone(&shared), Arc::clone(&is_sent));
            thread::spawn(move || {
                let was_sent = is_sent.load(Acquire);
                shared.local.doubt();
                was_sent
            })
        };
        let (sent, _) = shared.ask_here();
        is_sent.store(true, Release);
        *shared.remembered.lock().unwrap() = Some(Arc::new(CachedAnswer::new(sent, 0)));
        // Another request carries the answer on, if it may.
        shared.ask_here();
        if doubter.join().unwrap() {
            assert_eq!(shared.ask_here().1, None);
        }
    });
}
