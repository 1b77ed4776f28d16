//! Tests the rules of the module one by one, on a store whose answers the test controls.

mod answers;
mod denials;
mod memory;
mod pending;
mod races;
mod shared_lookups;
mod simulation;
mod sources;
mod unavailable;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{in_flight::Reply, *};
use crate::{
    UnixTime,
    claims::{Clock, ManualClock},
};

const NOW: u64 = 1_700_000_000;
const EXPIRES_AT: u64 = NOW + 3_600;
const BOUND: Duration = Duration::from_secs(30);
const MOMENT: Duration = Duration::from_nanos(1);

/// A token's facts, owned.
#[derive(Clone)]
struct Token {
    issuer: Arc<str>,
    id: Arc<str>,
    subject: Option<Arc<str>>,
    issued_at: u64,
    session: Option<Arc<str>>,
    key: Option<Arc<str>>,
    thumbprint: Arc<str>,
}

fn token(id: &str) -> Token {
    Token {
        issuer: "https://issuer.example".into(),
        id: id.into(),
        subject: Some("alice".into()),
        issued_at: NOW - 10,
        session: Some("session".into()),
        key: Some("key".into()),
        thumbprint: "thumbprint".into(),
    }
}

impl Token {
    fn facts(&self) -> TokenFacts<'_> {
        TokenFacts {
            issuer: &self.issuer,
            token_id: &self.id,
            subject: self.subject.as_deref(),
            issued_at: at(self.issued_at),
            session_id: self.session.as_deref(),
            key_id: self.key.as_ref(),
            key_thumbprint: &self.thumbprint,
            expires_at: at(EXPIRES_AT),
        }
    }

    fn itself(&self) -> Named {
        Revocable::token(self.issuer.clone(), self.id.clone()).into()
    }

    fn subject_until(&self, cut_off: u64) -> Named {
        let subject = self.subject.clone().unwrap();
        Named { thing: Revocable::subject(self.issuer.clone(), subject), date: at(cut_off) }
    }

    /// One revocation of each kind that affects the token.
    fn each_kind(&self) -> [Named; 5] {
        let issuer = || self.issuer.clone();
        [
            self.itself(),
            self.subject_until(self.issued_at),
            Revocable::session(issuer(), self.session.clone().unwrap()).into(),
            Revocable::key(issuer(), self.key.clone().unwrap()).into(),
            Revocable::key(issuer(), self.thumbprint.clone()).into(),
        ]
    }
}

/// A thing with a date. The date is the cut-off of an entry about the thing, and the time of issue of a token in a
/// lookup.
#[derive(Clone, Debug, PartialEq)]
struct Named {
    thing: Revocable,
    date: UnixTime,
}

impl From<Revocable> for Named {
    fn from(thing: Revocable) -> Self {
        Self { thing, date: UnixTime::MAX }
    }
}

const fn at(seconds: u64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

/// A revocation of tokens that expire by this second.
fn entry(named: impl Into<Named>, expires_by: u64) -> RevocationEntry {
    let Named { thing, date } = named.into();
    RevocationEntry::new(thing, at(expires_by)).with_cut_off(date)
}

type Told = Result<Verdict, StoreError>;

/// A store that answers when the test calls `answers`, or always gives the same answer at once. Clones are one store.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    always: Option<Behavior>,
    asked: usize,
    waiting: VecDeque<oneshot::Sender<Told>>,
    /// The revocations that it received.
    revoked: Vec<RevocationEntry>,
    forgets: bool,
}

#[derive(Clone, Copy)]
enum Behavior {
    Answers(Verdict),
    Fails,
    Panics,
}

impl Store {
    fn by_hand() -> Self {
        Self::default()
    }

    fn new(behavior: Behavior) -> Self {
        let store = Self::default();
        store.set_behavior(behavior);
        store
    }

    fn set_behavior(&self, behavior: Behavior) {
        self.script(|script| script.always = Some(behavior));
    }

    fn fails_to_revoke(&self) {
        self.script(|script| script.forgets = true);
    }

    /// Answers the oldest waiting question.
    fn answers(&self, told: Told) {
        // A question that was dropped takes no answer.
        let _ = self.script(|script| script.waiting.pop_front()).unwrap().send(told);
    }

    fn asked(&self) -> usize {
        self.script(|script| script.asked)
    }

    fn revoked(&self) -> Vec<RevocationEntry> {
        self.script(|script| script.revoked.clone())
    }

    fn script<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }
}

impl RevocationStore for Store {
    fn look_up<'a>(&'a self, _: &'a Lookup) -> BoxFuture<'a, Told> {
        let always = self.script(|script| {
            script.asked += 1;
            script.always
        });
        Box::pin(async move {
            match always {
                Some(Behavior::Answers(verdict)) => Ok(verdict),
                Some(Behavior::Fails) => Err(StoreError::new("down")),
                Some(Behavior::Panics) => panic!("a store's own bug"),
                None => {
                    let (answer, told) = oneshot::channel();
                    self.script(|script| script.waiting.push_back(answer));
                    told.await.unwrap()
                }
            }
        })
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.script(|script| {
                script.revoked.push(entry.clone());
                if script.forgets { Err(StoreError::new("down")) } else { Ok(()) }
            })
        })
    }
}

/// A cache with a clock that shows [`NOW`].
fn cache(store: &Store) -> (RevocationCache, ManualClock) {
    let clock = ManualClock::at(at(NOW));
    (RevocationCache::new(store.clone(), BOUND).with_clock(clock.clone()), clock)
}

/// The verdict, from the cache or from the store.
async fn check(cache: &RevocationCache, token: &Token) -> Reply {
    match cache.checker.check(&token.facts(), &RevocationMemo::new(true)) {
        RevocationCheck::Done(answer) => answer,
        RevocationCheck::Pending(answer) => answer.await,
    }
}

/// The verdict, if the cache knows it without a lookup.
fn local_verdict(cache: &RevocationCache, token: &Token) -> Option<Reply> {
    match cache.checker.check(&token.facts(), &RevocationMemo::new(true)) {
        RevocationCheck::Done(answer) => Some(answer),
        RevocationCheck::Pending(_) => None,
    }
}

/// A check that has reached the store, or that has joined a lookup.
fn ask(cache: &RevocationCache, token: &Token) -> BoxFuture<'static, Reply> {
    let RevocationCheck::Pending(mut answer) =
        cache.checker.check(&token.facts(), &RevocationMemo::new(true))
    else {
        panic!("no lookup was needed")
    };
    assert!(poll(&mut answer).is_pending());
    answer
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn an_error_keeps_the_error_of_the_store_as_its_source() {
    let error = StoreError::new("down");
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("down"));
    assert!(StoreError::timed_out().source().is_none());
}

#[test]
fn public_types_cross_threads_and_debug_shows_no_contents() {
    fn is_shared<T: Clone + Send + Sync + std::fmt::Debug + 'static>(value: &T) -> String {
        format!("{value:?}")
    }
    let (cache, _) = cache(&Store::by_hand());
    cache.apply(&entry(token("secret-id").itself(), EXPIRES_AT));
    let memory = MemoryStore::new();
    for shown in
        [is_shared(&cache), is_shared(&memory), is_shared(&token("secret-id").itself().thing)]
    {
        assert!(!shown.contains("secret") && !shown.contains("issuer.example"), "{shown}");
    }
}
