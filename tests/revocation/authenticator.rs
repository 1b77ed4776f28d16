//! Revocation as a service author meets it: through the authenticator, with a store of their own.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tower_bearer::{
    Algorithm, Authenticator, BoxFuture, Issuer, Key, KeySet, KeySetHandle, RejectionKind,
    RevocationCache, UnixTime,
    claims::{MAX_LEEWAY, ManualClock},
    revocation::{
        Lookup, MemoryStore, OnUnavailable, Revocable, RevocationEntry, RevocationStore,
        RevokeError, StoreError, Verdict,
    },
};

use crate::common::tokens::{SECRET, block_on, fixture, sign_hs256};

const NOW: u64 = 1_800_000_000;
const BOUND: Duration = Duration::from_secs(30);

/// In front of a memory store: a wire that can be cut.
#[derive(Clone)]
struct Wire {
    store: MemoryStore,
    is_cut: Arc<AtomicBool>,
}

impl RevocationStore for Wire {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        if self.is_cut.load(SeqCst) {
            return Box::pin(async { Err(StoreError::new("connection reset")) });
        }
        self.store.look_up(lookup)
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        if self.is_cut.load(SeqCst) {
            return Box::pin(async { Err(StoreError::new("connection reset")) });
        }
        self.store.revoke(entry)
    }
}

struct Service {
    clock: ManualClock,
    wire: Wire,
    revocation: RevocationCache,
    authenticator: Authenticator,
}

impl Service {
    /// Shares `store` with other services.
    fn beside(store: &MemoryStore, on_unavailable: OnUnavailable) -> Self {
        let clock = ManualClock::at(UnixTime::from_secs(NOW));
        let wire = Wire { store: store.clone(), is_cut: Arc::default() };
        let issuer =
            Issuer::new("https://issuer.example", Key::hs256(SECRET).unwrap().with_key_id("k1"))
                .audience("api://orders");
        let authenticator =
            Authenticator::builder().issuer(issuer).with_clock(clock.clone()).build().unwrap();
        let revocation = RevocationCache::new(wire.clone(), BOUND)
            .with_clock(clock.clone())
            .with_on_unavailable(on_unavailable);
        let authenticator = authenticator.with_revocation(revocation.clone());
        Self { clock, wire, revocation, authenticator }
    }

    fn new() -> Self {
        Self::beside(&MemoryStore::new(), OnUnavailable::default())
    }

    fn outcome(&self, token: &str) -> Result<(), RejectionKind> {
        block_on(self.authenticator.authenticate(token)).map(drop).map_err(|refused| refused.kind())
    }
}

fn token(id: &str, more: &str) -> String {
    let claims = format!(
        r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{},"jti":"{id}","sub":"alice"{more}}}"#,
        NOW + 600
    );
    sign_hs256(r#"{"alg":"HS256"}"#, &claims)
}

fn issuer() -> Arc<str> {
    "https://issuer.example".into()
}

#[test]
fn revoke_token_rejects_this_token_and_no_other() {
    let service = Service::new();
    let user = block_on(service.authenticator.authenticate(&token("a", ""))).unwrap();
    block_on(service.revocation.revoke_token(&user)).unwrap();
    assert_eq!(service.outcome(&token("a", "")), Err(RejectionKind::Revoked));
    assert_eq!(
        block_on(service.authenticator.recheck(&user)).unwrap_err().kind(),
        RejectionKind::Revoked
    );
    assert_eq!(service.outcome(&token("b", "")), Ok(()));
}

#[test]
fn a_cut_off_rejects_older_tokens_and_tokens_without_iat() {
    let service = Service::new();
    let cutoff = NOW - 60;
    let subject = Revocable::subject(issuer(), "alice");
    let entry = RevocationEntry::new(subject, UnixTime::from_secs(NOW + 600));
    let entry = entry.with_cut_off(UnixTime::from_secs(cutoff));
    block_on(service.revocation.revoke(&entry)).unwrap();
    for (more, outcome) in [
        (format!(r#","iat":{cutoff}"#), Err(RejectionKind::Revoked)),
        (String::new(), Err(RejectionKind::Revoked)),
        (format!(r#","iat":{}"#, cutoff + 1), Ok(())),
    ] {
        assert_eq!(service.outcome(&token("a", &more)), outcome, "{more}");
    }
}

#[test]
fn a_revoked_session_revokes_its_tokens() {
    let service = Service::new();
    let session = Revocable::session(issuer(), "s1");
    assert_eq!(service.outcome(&token("a", r#","sid":"s1""#)), Ok(()));
    block_on(
        service.revocation.revoke(&RevocationEntry::new(session, UnixTime::from_secs(NOW + 600))),
    )
    .unwrap();
    assert_eq!(service.outcome(&token("a", r#","sid":"s1""#)), Err(RejectionKind::Revoked));
    assert_eq!(service.outcome(&token("b", r#","sid":"s1""#)), Err(RejectionKind::Revoked));
    assert_eq!(service.outcome(&token("c", r#","sid":"s2""#)), Ok(()));
}

#[test]
fn a_revoked_key_revokes_its_tokens() {
    let service = Service::new();
    assert_eq!(service.outcome(&token("a", "")), Ok(()));
    for (id, outcome) in [("k2", Ok(())), ("k1", Err(RejectionKind::Revoked))] {
        let key = Revocable::key(issuer(), id);
        block_on(
            service.revocation.revoke(&RevocationEntry::new(key, UnixTime::from_secs(NOW + 600))),
        )
        .unwrap();
        assert_eq!(service.outcome(&token("a", "")), outcome, "{id}");
    }
}

#[test]
fn a_revocation_in_one_process_reaches_another_after_the_bound() {
    let store = MemoryStore::new().with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    let one = Service::beside(&store, OnUnavailable::Deny);
    let other = Service::beside(&store, OnUnavailable::Deny);
    let user = block_on(one.authenticator.authenticate(&token("a", ""))).unwrap();
    assert_eq!(other.outcome(&token("a", "")), Ok(()));
    block_on(one.revocation.revoke_token(&user)).unwrap();
    other.clock.advance(BOUND);
    assert_eq!(other.outcome(&token("a", "")), Ok(()));
    other.clock.advance(Duration::from_nanos(1));
    assert_eq!(other.outcome(&token("a", "")), Err(RejectionKind::Revoked));
}

#[test]
fn an_unreachable_store_is_503_and_not_401() {
    let service = Service::new();
    service.wire.is_cut.store(true, SeqCst);
    assert_eq!(service.outcome(&token("a", "")), Err(RejectionKind::RevocationUnavailable));
    service.wire.is_cut.store(false, SeqCst);
    assert_eq!(service.outcome(&token("a", "")), Ok(()));
}

#[test]
fn a_revocation_that_the_store_did_not_confirm_holds_here() {
    let service = Service::beside(&MemoryStore::new(), OnUnavailable::Allow);
    let user = block_on(service.authenticator.authenticate(&token("a", ""))).unwrap();
    service.wire.is_cut.store(true, SeqCst);
    assert!(block_on(service.revocation.revoke_token(&user)).is_err());
    assert_eq!(service.outcome(&token("a", "")), Err(RejectionKind::Revoked));
    assert_eq!(service.outcome(&token("b", "")), Ok(()), "by `Allow`");
    assert_eq!(service.revocation.stats().allowed, 1);
}

/// Keeps what it is told to revoke.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<RevocationEntry>>>);

impl RevocationStore for Notes {
    fn look_up<'a>(&'a self, _: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        Box::pin(async { Ok(Verdict::NotRevoked) })
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.lock().unwrap().push(entry.clone());
        Box::pin(async { Ok(()) })
    }
}

fn policy(keys: impl Into<tower_bearer::KeySource>) -> Issuer {
    Issuer::new("https://issuer.example", keys).audience("api://orders")
}

fn authenticator(
    policy: Issuer,
    clock: &ManualClock,
    store: impl RevocationStore,
) -> Authenticator {
    let authenticator = Authenticator::builder().issuer(policy).with_clock(clock.clone());
    let cache = RevocationCache::new(store, BOUND).with_clock(clock.clone());
    authenticator.build().unwrap().with_revocation(cache)
}

fn outcome(authenticator: &Authenticator, token: &str) -> Result<(), RejectionKind> {
    block_on(authenticator.authenticate(token)).map(drop).map_err(|refused| refused.kind())
}

#[test]
fn a_key_without_an_id_is_revoked_by_thumbprint_and_never_by_kid() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let store = MemoryStore::new().with_clock(clock.clone());
    let key = Key::hs256(SECRET).unwrap();
    let [here, elsewhere] =
        [(); 2].map(|()| authenticator(policy(key.clone()), &clock, store.clone()));
    let claims =
        format!(r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{}}}"#, NOW + 600);
    let token = sign_hs256(r#"{"alg":"HS256","kid":"shown"}"#, &claims);
    let user = block_on(here.authenticate(&token)).unwrap();
    assert_eq!((user.key_id(), user.key_thumbprint()), (None, key.thumbprint()));

    let refused = block_on(here.revoke_key("https://issuer.example", "shown"));
    assert!(matches!(refused, Err(RevokeError::UnknownKey { .. })));
    assert_eq!(outcome(&here, &token), Ok(()));

    block_on(here.revoke_key("https://issuer.example", key.thumbprint())).unwrap();
    assert_eq!(outcome(&here, &token), Err(RejectionKind::Revoked));
    assert_eq!(outcome(&elsewhere, &token), Err(RejectionKind::Revoked), "the store was asked");
}

#[test]
fn an_unknown_key_is_an_error_that_lists_ids_and_thumbprints() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let public = Key::from_pem(Algorithm::ES256, fixture("p256.public.pem")).unwrap();
    let public = public.with_key_id("a\nb");
    let secret = Key::hs256(SECRET).unwrap().with_key_id("secret");
    let handle = KeySetHandle::new(KeySet::new([public.clone(), secret.clone()]));
    let authenticator = authenticator(policy(handle.clone()), &clock, Notes::default());
    let revoke = |key: &str| block_on(authenticator.revoke_key("https://issuer.example", key));
    let error = revoke("other").unwrap_err();
    let text = error.to_string();
    let RevokeError::UnknownKey { known } = error else { panic!("{error:?}") };
    let known: Vec<&str> = known.iter().map(|known| &**known).collect();
    assert_eq!(known, ["a\nb", public.thumbprint(), "secret"]);
    assert!(text.contains(public.thumbprint()) && !text.contains('\n'), "{text}");
    for known in ["a\nb", public.thumbprint(), "secret", secret.thumbprint()] {
        revoke(known).unwrap();
    }
    handle.replace(KeySet::new([secret]));
    assert!(matches!(revoke("a\nb"), Err(RevokeError::UnknownKey { .. })), "it was removed");
}

#[test]
fn an_unknown_issuer_or_no_cache_is_an_error() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let notes = Notes::default();
    let policy = policy(Key::hs256(SECRET).unwrap()).add_name("issuer.example");
    let without = Authenticator::builder().issuer(policy.clone()).build().unwrap();
    let error = block_on(without.revoke_subject("https://issuer.example", "alice")).unwrap_err();
    assert!(matches!(error, RevokeError::NoRevocation));

    let authenticator = authenticator(policy, &clock, notes.clone());
    for unknown in ["https://issuer.example/", "", "Issuer.example"] {
        match block_on(authenticator.revoke_session(unknown, "s1")).unwrap_err() {
            RevokeError::UnknownIssuer { known } => assert_eq!(known, [issuer()]),
            other => panic!("{other:?}"),
        }
    }
    assert!(notes.0.lock().unwrap().is_empty());
    block_on(authenticator.revoke_session("issuer.example", "s1")).unwrap();
    let what = notes.0.lock().unwrap()[0].thing().clone();
    assert!(what == Revocable::session(issuer(), "s1"), "by its own name");
}

#[test]
fn a_cut_off_includes_tokens_of_an_issuer_whose_clock_is_ahead() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let token = |iat: u64| token("a", &format!(r#","iat":{iat}"#));
    for leeway in [30, 5] {
        let store = MemoryStore::new().with_clock(clock.clone());
        let policy = policy(Key::hs256(SECRET).unwrap()).with_leeway(Duration::from_secs(leeway));
        let authenticator = authenticator(policy, &clock, store);
        let now = tower_bearer::claims::Clock::unix_time(&clock).as_secs();
        assert_eq!(outcome(&authenticator, &token(now + leeway)), Ok(()));
        block_on(authenticator.revoke_subject("https://issuer.example", "alice")).unwrap();
        for iat in [now - 1, now, now + leeway] {
            assert_eq!(outcome(&authenticator, &token(iat)), Err(RejectionKind::Revoked), "{iat}");
        }
        clock.advance(Duration::from_secs(1));
        assert_eq!(outcome(&authenticator, &token(now + leeway + 1)), Ok(()));
    }
}

#[test]
fn a_revocation_is_kept_for_the_maximum_lifetime_or_400_days() {
    const DAY: u64 = 24 * 3600;
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let slack = MAX_LEEWAY.as_secs() + 60;
    let policy = || policy(Key::hs256(SECRET).unwrap().with_key_id("k1"));
    for (policy, lifetime, of_key) in [
        (policy(), 400 * DAY, 400 * DAY + 30),
        (policy().with_max_lifetime(Duration::from_secs(3600)), 3600, 400 * DAY),
        (policy().with_max_lifetime(Duration::from_secs(500 * DAY)), 500 * DAY, 500 * DAY + 30),
    ] {
        let notes = Notes::default();
        let authenticator = authenticator(policy, &clock, notes.clone());
        block_on(authenticator.revoke_subject("https://issuer.example", "alice")).unwrap();
        block_on(authenticator.revoke_session("https://issuer.example", "s1")).unwrap();
        block_on(authenticator.revoke_key("https://issuer.example", "k1")).unwrap();
        let notes = notes.0.lock().unwrap();
        let kept: Vec<u64> = notes.iter().map(|entry| entry.obsolete_after().as_secs()).collect();
        let until = NOW + 30 + lifetime + slack;
        assert_eq!(kept, [until, until, NOW + of_key + slack]);
    }
}

#[test]
fn a_revocation_that_matches_no_valid_token_is_an_error() {
    let service = Service::new();
    let session = || Revocable::session(issuer(), "s1");
    let latest_kept = NOW - MAX_LEEWAY.as_secs() - 60;
    block_on(
        service
            .revocation
            .revoke(&RevocationEntry::new(session(), UnixTime::from_secs(latest_kept))),
    )
    .unwrap();
    for a_lifetime_and_no_date in [3600, latest_kept - 1] {
        let error =
            block_on(service.revocation.revoke(&RevocationEntry::new(
                session(),
                UnixTime::from_secs(a_lifetime_and_no_date),
            )));
        assert!(matches!(error, Err(RevokeError::Expired)));
    }
    let user = block_on(service.authenticator.authenticate(&token("a", ""))).unwrap();
    service.clock.advance(MAX_LEEWAY + Duration::from_secs(600 + 61));
    let error = block_on(service.revocation.revoke_token(&user));
    assert!(matches!(error, Err(RevokeError::Expired)));
}
