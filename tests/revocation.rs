//! Revocation as a service author meets it: through the authenticator, with a store of their own.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use common::tokens::{SECRET, block_on, sign_hs256};
use tower_bearer::{
    Authenticator, BoxFuture, Issuer, Key, RejectionKind, RevocationCache, Verifier,
    claims::{ManualClock, UntypedClaims},
    revocation::{MemoryStore, OnUnavailable, Revocable, RevocationStore, StoreError, Verdict},
};

const NOW: u64 = 1_800_000_000;
const BOUND: Duration = Duration::from_secs(30);

/// In front of a memory store: a wire that can be cut.
#[derive(Clone)]
struct Wire {
    store: MemoryStore,
    is_cut: Arc<AtomicBool>,
}

impl RevocationStore for Wire {
    fn look_up<'a>(&'a self, token: &'a [Revocable]) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        if self.is_cut.load(SeqCst) {
            return Box::pin(async { Err(StoreError::new("connection reset")) });
        }
        self.store.look_up(token)
    }

    fn revoke<'a>(
        &'a self,
        what: &'a Revocable,
        keep_until: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        if self.is_cut.load(SeqCst) {
            return Box::pin(async { Err(StoreError::new("connection reset")) });
        }
        self.store.revoke(what, keep_until)
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
        let clock = ManualClock::at(NOW);
        let wire = Wire { store: store.clone(), is_cut: Arc::default() };
        let issuer =
            Issuer::new("https://issuer.example", Key::hs256(SECRET).unwrap().with_key_id("k1"))
                .audience("api://orders");
        let verifier = Verifier::<UntypedClaims>::builder()
            .issuer(issuer)
            .with_clock(clock.clone())
            .build()
            .unwrap();
        let revocation = RevocationCache::new(wire.clone(), BOUND)
            .with_clock(clock.clone())
            .with_on_unavailable(on_unavailable);
        let authenticator = Authenticator::new(verifier).with_revocation(revocation.clone());
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
fn revoking_the_token_at_hand_refuses_it_and_no_other() {
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
fn a_cut_off_refuses_the_subject_s_older_tokens_and_those_that_do_not_tell_their_age() {
    let service = Service::new();
    let cutoff = NOW - 60;
    let subject =
        Revocable::Subject { issuer: issuer(), subject: "alice".into(), issued_at: cutoff };
    block_on(service.revocation.revoke(subject, NOW + 600)).unwrap();
    for (more, outcome) in [
        (format!(r#","iat":{cutoff}"#), Err(RejectionKind::Revoked)),
        (String::new(), Err(RejectionKind::Revoked)),
        (format!(r#","iat":{}"#, cutoff + 1), Ok(())),
    ] {
        assert_eq!(service.outcome(&token("a", &more)), outcome, "{more}");
    }
}

#[test]
fn a_session_ends_with_all_of_its_tokens() {
    let service = Service::new();
    let session = Revocable::Session { issuer: issuer(), id: "s1".into() };
    assert_eq!(service.outcome(&token("a", r#","sid":"s1""#)), Ok(()));
    block_on(service.revocation.revoke(session, NOW + 600)).unwrap();
    assert_eq!(service.outcome(&token("a", r#","sid":"s1""#)), Err(RejectionKind::Revoked));
    assert_eq!(service.outcome(&token("b", r#","sid":"s1""#)), Err(RejectionKind::Revoked));
    assert_eq!(service.outcome(&token("c", r#","sid":"s2""#)), Ok(()));
}

#[test]
fn a_key_takes_its_tokens_with_it() {
    let service = Service::new();
    assert_eq!(service.outcome(&token("a", "")), Ok(()));
    for (id, outcome) in [("k2", Ok(())), ("k1", Err(RejectionKind::Revoked))] {
        let key = Revocable::Key { issuer: issuer(), id: id.into() };
        block_on(service.revocation.revoke(key, NOW + 600)).unwrap();
        assert_eq!(service.outcome(&token("a", "")), outcome, "{id}");
    }
}

#[test]
fn a_revocation_in_one_process_reaches_another_after_the_bound() {
    let store = MemoryStore::new().with_clock(ManualClock::at(NOW));
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
fn a_store_that_cannot_be_reached_is_unavailable_and_not_a_bad_token() {
    let service = Service::new();
    service.wire.is_cut.store(true, SeqCst);
    assert_eq!(service.outcome(&token("a", "")), Err(RejectionKind::RevocationUnavailable));
    service.wire.is_cut.store(false, SeqCst);
    assert_eq!(service.outcome(&token("a", "")), Ok(()));
}

#[test]
fn a_revocation_that_the_store_did_not_take_is_an_error_and_holds_here() {
    let service = Service::beside(&MemoryStore::new(), OnUnavailable::Allow);
    let user = block_on(service.authenticator.authenticate(&token("a", ""))).unwrap();
    service.wire.is_cut.store(true, SeqCst);
    assert!(block_on(service.revocation.revoke_token(&user)).is_err());
    assert_eq!(service.outcome(&token("a", "")), Err(RejectionKind::Revoked));
    assert_eq!(service.outcome(&token("b", "")), Ok(()), "by `Allow`");
    assert_eq!(service.revocation.stats().allowed, 1);
}
