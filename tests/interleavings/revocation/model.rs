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
    Revocable, TokenFacts,
    dated::{DatedAnswer, Sent},
    known::{Judgement, Known},
};
use crate::claims::{ManualClock, Moment};

const NOW: u64 = 1_800_000_000;
const LATER: u64 = NOW + 600;

/// One token, one remembered answer, one store, as threads share them.
struct Shared {
    known: Known,
    clock: ManualClock,
    issuer: Arc<str>,
    key: Arc<str>,
    remembered: Mutex<Option<Arc<DatedAnswer>>>,
    is_in_store: AtomicBool,
    /// `revoke` has returned.
    is_revoked: AtomicBool,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            known: Known::new(),
            clock: ManualClock::at(NOW),
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
            issued_at: NOW,
            session_id: Some("i"),
            key_id: Some(&self.key),
            key_thumbprint: &self.key,
            expires_at: LATER,
        }
    }

    fn kind(&self, kind: usize) -> Revocable {
        let issuer = self.issuer.clone();
        match kind {
            0 => Revocable::Token { issuer, id: "a".into() },
            1 => Revocable::Subject { issuer, subject: "s".into(), issued_at: NOW },
            2 => Revocable::Session { issuer, id: "i".into() },
            _ => Revocable::Key { issuer, id: "k".into() },
        }
    }

    /// As `RevocationCache::check` begins.
    fn ask_here(&self) -> (Sent, Judgement) {
        self.known.start_due(&self.clock);
        let sent = Sent { epoch: self.known.epoch(), at: Moment::of(&self.clock) };
        let remembered = self.remembered.lock().unwrap().clone();
        let judgement =
            self.known.judge(sent.epoch, remembered.as_deref(), &self.token(), &self.clock);
        (sent, judgement)
    }

    /// As a request goes on: asks the store where it has to, and remembers what that said.
    fn request(&self) -> Judgement {
        let started_after = self.is_revoked.load(Acquire);
        let (sent, mut judgement) = self.ask_here();
        if judgement == Judgement::Open {
            judgement = Judgement::Revoked;
            if !self.is_in_store.load(Acquire) {
                *self.remembered.lock().unwrap() = Some(Arc::new(DatedAnswer::new(sent, 0)));
                if !self.known.refuse(&self.token(), &self.clock) {
                    judgement = Judgement::NotRevoked;
                }
            }
        }
        assert!(!started_after || judgement == Judgement::Revoked, "began after the revocation");
        judgement
    }

    /// As `RevocationCache::revoke`, where `store_is_told` says whether the store takes it.
    fn revoke(&self, kind: usize, store_is_told: bool) {
        self.known.deny(&self.kind(kind), LATER, &self.clock);
        if store_is_told {
            self.is_in_store.store(true, Release);
        }
        self.is_revoked.store(true, Release);
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    // Every interleaving in which no more than three times a thread is interrupted that could have gone on.
    builder.preemption_bound = Some(3);
    builder.max_branches = 100_000;
    builder.check(model);
}

#[test]
fn a_revocation_during_a_look_up_of_the_same_token_is_never_lost() {
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
            assert_eq!(shared.request(), Judgement::Revoked);
        });
    }
}

#[test]
fn an_answer_that_readers_carry_on_from_epoch_to_epoch_does_not_outlast_a_revocation() {
    check(|| {
        let shared = Shared::new();
        assert_eq!(shared.request(), Judgement::NotRevoked);
        let other = Revocable::Token { issuer: "other".into(), id: "b".into() };
        shared.known.deny(&other, LATER, &shared.clock);
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
        assert_eq!(shared.request(), Judgement::Revoked);
    });
}

#[test]
fn a_revocation_that_starts_is_seen_by_every_request_from_its_start_on() {
    check(|| {
        let shared = Shared::new();
        assert_eq!(shared.request(), Judgement::NotRevoked);
        let start = NOW + 10;
        shared.known.deny_from(&shared.kind(0), start, LATER, &shared.clock);
        assert_eq!(shared.request(), Judgement::NotRevoked);
        let time = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.clock.set_unix_time(start);
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
        assert_eq!(shared.request(), Judgement::Revoked);
    });
}

#[test]
fn a_doubt_concerns_every_question_that_was_sent_before_it() {
    check(|| {
        let shared = Shared::new();
        let is_sent = Arc::new(AtomicBool::new(false));
        let doubter = {
            let (shared, is_sent) = (Arc::clone(&shared), Arc::clone(&is_sent));
            thread::spawn(move || {
                let was_sent = is_sent.load(Acquire);
                shared.known.doubt();
                was_sent
            })
        };
        let (sent, _) = shared.ask_here();
        is_sent.store(true, Release);
        *shared.remembered.lock().unwrap() = Some(Arc::new(DatedAnswer::new(sent, 0)));
        // Another request carries the answer on, if it may.
        shared.ask_here();
        if doubter.join().unwrap() {
            assert_eq!(shared.ask_here().1, Judgement::Open);
        }
    });
}
