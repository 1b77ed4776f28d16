//! One process of the fleet, as the tests see it.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tower_bearer::{
    Authenticator, Issuer, Key, KeySet, RejectionKind, RevocationCache, UnixTime,
    revocation::{Lookup, OnUnavailable, Revocable, RevocationEntry},
};
use tower_bearer_redis::{Pushes, RedisStore};

use crate::common::tokens::{SECRET, sign_hs256};

pub(crate) const BOUND: Duration = Duration::from_millis(1_500);

/// So long that nothing but a push can be the reason.
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) struct Service {
    pub(crate) store: RedisStore,
    pub(crate) revocation: RevocationCache,
    pub(crate) authenticator: Authenticator,
}

/// What a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passes,
    Revoked,
    Unavailable,
}

pub(crate) use Outcome::{Passes, Revoked, Unavailable};

impl Service {
    pub(crate) async fn at(url: &str) -> Self {
        Self::with(url, OnUnavailable::Deny, BOUND).await
    }

    pub(crate) async fn with(url: &str, on_unavailable: OnUnavailable, bound: Duration) -> Self {
        Self::over(RedisStore::connect(url).await.unwrap(), on_unavailable, bound)
    }

    pub(crate) fn over(store: RedisStore, on_unavailable: OnUnavailable, bound: Duration) -> Self {
        let revocation =
            RevocationCache::new(store.clone(), bound).with_on_unavailable(on_unavailable);
        let authenticator = authenticator(&revocation);
        Self { store, revocation, authenticator }
    }

    /// Pushes arrive once this has returned.
    pub(crate) async fn listen(&self) -> Pushes {
        let pushes = self.store.push_to(&self.revocation);
        eventually("pushes", async || pushes.stats().is_connected).await;
        pushes
    }

    pub(crate) async fn ask(&self, token: &str) -> Outcome {
        ask(&self.authenticator, token).await
    }

    pub(crate) async fn revoke(&self, what: Revocable) {
        let entry = RevocationEntry::new(what, UnixTime::from_secs(now() + 600));
        self.revocation.revoke(&entry.with_cut_off(UnixTime::from_secs(now()))).await.unwrap();
    }
}

pub(crate) fn authenticator(revocation: &RevocationCache) -> Authenticator {
    let key = |id: &str| Key::hs256(SECRET).unwrap().with_key_id(id);
    let issuer = Issuer::new(ISSUER, KeySet::new([key("k1"), key("k2")])).audience("api://orders");
    let authenticator = Authenticator::builder().issuer(issuer).build().unwrap();
    authenticator.with_revocation(revocation.clone())
}

pub(crate) async fn ask(authenticator: &Authenticator, token: &str) -> Outcome {
    match authenticator.authenticate(token).await {
        Ok(_) => Passes,
        Err(refused) => match refused.kind() {
            RejectionKind::Revoked => Revoked,
            RejectionKind::RevocationUnavailable => Unavailable,
            other => panic!("{other:?}"),
        },
    }
}

const ISSUER: &str = "https://issuer.example";

pub(crate) fn issuer() -> Arc<str> {
    ISSUER.into()
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token of alice's first session, issued a minute before the first of them was made: the same whenever it is asked for,
/// so that what is remembered about it is.
pub(crate) fn token(id: &str) -> String {
    token_issued_at(id, *BEGIN - 60)
}

static BEGIN: LazyLock<u64> = LazyLock::new(now);

pub(crate) fn token_issued_at(id: &str, iat: u64) -> String {
    token_of("k1", id, "alice", "s1", iat)
}

fn token_of(key: &str, id: &str, subject: &str, session: &str, iat: u64) -> String {
    let exp = *BEGIN + 3_600;
    let claims = format!(
        r#"{{"iss":"{ISSUER}","aud":"api://orders","exp":{exp},"iat":{iat},"jti":"{id}","sub":"{subject}","sid":"{session}"}}"#
    );
    sign_hs256(&format!(r#"{{"alg":"HS256","kid":"{key}"}}"#), &claims)
}

/// One token for each kind, and what revokes it and no other.
pub(crate) fn one_of_every_kind() -> [(String, Revocable); 4] {
    let iat = *BEGIN - 60;
    let subject = Revocable::subject(issuer(), "bob");
    [
        (token_of("k1", "by id", "alice", "s1", iat), id("by id")),
        (token_of("k1", "by subject", "bob", "s1", iat), subject),
        (token_of("k1", "by session", "alice", "s2", iat), Revocable::session(issuer(), "s2")),
        (token_of("k2", "by key", "alice", "s1", iat), Revocable::key(issuer(), "k2")),
    ]
}

/// A revocation of everything that was issued until now, kept through a second.
pub(crate) fn entry(thing: Revocable, obsolete_after: u64) -> RevocationEntry {
    let at = UnixTime::from_secs;
    RevocationEntry::restored(thing, at(obsolete_after)).with_cut_off(at(now()))
}

/// The question about a token that was issued when a [`token`] was.
pub(crate) fn asked(things: impl IntoIterator<Item = Revocable>) -> Lookup {
    Lookup::new(things, UnixTime::from_secs(*BEGIN - 60))
}

pub(crate) fn id(id: &str) -> Revocable {
    Revocable::token(issuer(), id)
}

/// All that a [`token`] can be revoked by.
pub(crate) fn every_kind(of: &str) -> [Revocable; 4] {
    [
        id(of),
        Revocable::subject(issuer(), "alice"),
        Revocable::session(issuer(), "s1"),
        Revocable::key(issuer(), "k1"),
    ]
}

/// Waits for something to come true, which must not take long.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    begin.elapsed()
}
