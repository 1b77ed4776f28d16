//! Rows 58 to 61: what is remembered between requests, and who is asked.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use tower_bearer::{
    Authenticator, BearerLayer, Issuer, Key, KeySet, KeySetHandle, RejectionKind, RevocationCache,
    UnixTime,
    claims::ManualClock,
    revocation::{
        MemoryStore, OnUnavailable, Revocable, RevocationEntry, RevocationStore, Verdict,
    },
    test_util::{FakeStore, StoreBehavior},
};

use super::{
    forge::{CLAIMS, claims_with, hs256, issuer_with, opened, with_signature},
    server::Server,
};
use crate::common::{
    requests::{NOW, issuer, token_with},
    tokens::{SECRET, sha256_hex, sign_hs256, sign_hs256_with},
};

const HEADER: &str = r#"{"alg":"HS256"}"#;
const BOUND: Duration = Duration::from_secs(30);
const NOT_REVOKED: StoreBehavior = StoreBehavior::Answers(Verdict::NotRevoked);

/// A server with a revocation cache before `store`, all on one clock.
async fn guarded(
    store: impl RevocationStore,
    issuers: impl IntoIterator<Item = Issuer>,
    on_unavailable: OnUnavailable,
) -> (Server, RevocationCache, ManualClock) {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let revocation = RevocationCache::new(store, BOUND)
        .with_clock(clock.clone())
        .with_on_unavailable(on_unavailable);
    let builder = Authenticator::builder().with_clock(clock.clone()).revocation(revocation.clone());
    let builder = issuers.into_iter().fold(builder, |builder, issuer| builder.issuer(issuer));
    let layer = BearerLayer::new(builder.build().unwrap());
    (Server::with(layer).await, revocation, clock)
}

fn by_id(issuer: &str, id: &str) -> Revocable {
    Revocable::token(issuer, id)
}

/// What is remembered is remembered under all that was asked about, part by part.
#[tokio::test]
async fn row_58_two_tokens_never_share_a_cache_entry() {
    let named =
        |name: &str| Issuer::new(name, Key::hs256(SECRET).unwrap()).audience("api://orders");
    let token = |iss: &str, members: &str| {
        let claims = claims_with(members).replace("https://issuer.example", iss);
        sign_hs256(HEADER, &claims)
    };
    let (server, revocation, _) =
        guarded(MemoryStore::new(), [named("a"), named("ab")], OnUnavailable::Deny).await;
    // Put together, issuer and id read the same.
    let (revoked, other) = (token("a", r#""jti":"bc""#), token("ab", r#""jti":"c""#));
    let same_id = token("ab", r#""jti":"bc""#);
    // The id of one kind is the id of another kind.
    let session = token("a", r#""jti":"d","sid":"bc""#);
    let subject = token("a", r#""jti":"e""#);
    for token in [&revoked, &other, &same_id, &session, &subject] {
        server.assert_admitted(token).await;
    }
    revocation
        .revoke(&RevocationEntry::new(by_id("a", "bc"), UnixTime::from_secs(NOW + 60)))
        .await
        .unwrap();
    server.assert_refused(&revoked, RejectionKind::Revoked).await;
    for token in [&other, &same_id, &session, &subject] {
        server.assert_admitted(token).await;
    }
    // One id, two subjects: the answer about one is none about the other.
    let (mine, yours) = (r#""jti":"f""#, r#""jti":"f","sid":"s""#);
    server.assert_admitted(&token("a", mine)).await;
    let session = Revocable::session("a", "s");
    revocation.revoke(&RevocationEntry::new(session, UnixTime::from_secs(NOW + 60))).await.unwrap();
    server.assert_refused(&token("a", yours), RejectionKind::Revoked).await;
    server.assert_admitted(&token("a", mine)).await;
}

#[tokio::test]
async fn row_59_a_cached_token_is_rejected_after_it_has_expired() {
    let (server, _, clock) = guarded(MemoryStore::new(), [issuer()], OnUnavailable::Deny).await;
    // Neither has an `iat`.
    let (short, long) = (hs256(HEADER), token_with(&format!(r#""exp":{}"#, NOW + 600)));
    for _ in 0..2 {
        server.assert_admitted(&short).await;
        server.assert_admitted(&long).await;
    }
    clock.advance(Duration::from_secs(60 + 29));
    server.assert_admitted(&short).await;
    clock.advance(Duration::from_secs(1));
    server.assert_refused(&short, RejectionKind::Expired).await;
    server.assert_admitted(&long).await;
}

#[tokio::test]
async fn row_59_a_cached_token_is_rejected_after_its_key_is_removed() {
    let key = |secret: &[u8], id: &'static str| Key::hs256(secret).unwrap().with_key_id(id);
    let handle = KeySetHandle::new(KeySet::new([key(SECRET, "old")]));
    let (server, ..) =
        guarded(MemoryStore::new(), [issuer_with(handle.clone())], OnUnavailable::Deny).await;
    let new_secret = [8; 32];
    let (old, new) = (
        hs256(r#"{"alg":"HS256","kid":"old"}"#),
        sign_hs256_with(&new_secret, r#"{"alg":"HS256","kid":"new"}"#, CLAIMS),
    );
    for _ in 0..2 {
        server.assert_admitted(&old).await;
    }
    server.assert_refused(&new, RejectionKind::UnknownKey).await;
    handle.replace(KeySet::new([key(SECRET, "old"), key(&new_secret, "new")]));
    server.assert_admitted(&old).await;
    server.assert_admitted(&new).await;
    handle.replace(KeySet::new([key(&new_secret, "new")]));
    server.assert_refused(&old, RejectionKind::UnknownKey).await;
    server.assert_admitted(&new).await;
    // Another key under the old name.
    handle.replace(KeySet::new([key(&new_secret, "old")]));
    server.assert_refused(&old, RejectionKind::BadSignature).await;
    handle.replace(KeySet::default());
    server.assert_refused(&new, RejectionKind::UnknownKey).await;
}

#[tokio::test]
async fn row_59_a_cached_token_is_rejected_after_it_is_revoked() {
    let store = MemoryStore::new().with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    let (server, revocation, clock) = guarded(store.clone(), [issuer()], OnUnavailable::Deny).await;
    let token = |id: &str| token_with(&format!(r#""exp":{},"jti":"{id}""#, NOW + 600));
    for id in ["here", "elsewhere", "neither"] {
        server.assert_admitted(&token(id)).await;
    }
    // Here: at once. Elsewhere: after the bound at the latest.
    revocation
        .revoke(&RevocationEntry::new(
            by_id("https://issuer.example", "here"),
            UnixTime::from_secs(NOW + 600),
        ))
        .await
        .unwrap();
    store
        .revoke(&RevocationEntry::restored(
            by_id("https://issuer.example", "elsewhere"),
            UnixTime::from_secs(NOW + 960),
        ))
        .await
        .unwrap();
    server.assert_refused(&token("here"), RejectionKind::Revoked).await;
    clock.advance(BOUND + Duration::from_nanos(1));
    server.assert_refused(&token("elsewhere"), RejectionKind::Revoked).await;
    server.assert_admitted(&token("neither")).await;
}

#[tokio::test]
async fn row_60_only_valid_tokens_are_cached_and_within_bounds() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let revocation =
        RevocationCache::new(MemoryStore::new(), BOUND).with_clock(clock).with_capacity(10);
    let authenticator =
        super::server::authenticator_at(NOW, [issuer()]).with_revocation(revocation.clone());
    let server = Server::with(BearerLayer::new(authenticator)).await;
    let good = hs256(HEADER);
    for number in 0..100_u32 {
        let random = sha256_hex(&number.to_be_bytes());
        let (_, signature) = opened(&good);
        let bad_signature = [&signature[4..], &number.to_be_bytes()].concat();
        let stranger = sign_hs256_with(random.as_bytes(), HEADER, CLAIMS);
        for (token, kind) in [
            (random.clone(), RejectionKind::MalformedToken),
            (format!("{random}.{random}.{random}"), RejectionKind::MalformedHeader),
            (stranger, RejectionKind::BadSignature),
            (with_signature(&good, &bad_signature), RejectionKind::BadSignature),
            (hs256(&format!(r#"{{"alg":"{random}"}}"#)), RejectionKind::UnsupportedAlgorithm),
            (
                sign_hs256(HEADER, &CLAIMS.replace("https://issuer.example", &random)),
                RejectionKind::UnknownIssuer,
            ),
        ] {
            server.assert_refused(&token, kind).await;
        }
    }
    let nothing = revocation.stats();
    assert_eq!((nothing.look_ups, nothing.answers), (0, 0));
    assert_eq!((nothing.denials, nothing.in_flight), (0, 0));
    server.assert_admitted(&good).await;
    assert_eq!(revocation.stats().look_ups, 1);
    assert_eq!(revocation.stats().answers, 1);
    for number in 0..100 {
        let token = token_with(&format!(r#""exp":{},"jti":"{number}""#, NOW + 60));
        server.assert_admitted(&token).await;
    }
    let stats = revocation.stats();
    assert_eq!(stats.look_ups, 101);
    assert!(stats.answers <= 10 && stats.in_flight == 0, "{stats:?}");
}

fn token_named(id: &str) -> String {
    token_with(&format!(r#""exp":{},"jti":"{id}""#, NOW + 3_600))
}

#[tokio::test(start_paused = true)]
async fn row_61_a_store_that_cannot_answer_is_503_and_never_a_pass() {
    for habit in [StoreBehavior::Fails, StoreBehavior::Hangs, StoreBehavior::Panics] {
        let store = FakeStore::new(NOT_REVOKED);
        let (server, revocation, clock) =
            guarded(store.clone(), [issuer()], OnUnavailable::Deny).await;
        server.assert_admitted(&token_named("known")).await;
        server.assert_admitted(&token_named("revoked")).await;
        store.set_behavior(habit);
        let unavailable = RejectionKind::RevocationUnavailable;
        server.assert_refused(&token_named("new"), unavailable).await;
        // A token that is bad anyway is never asked about.
        let asked = store.lookups();
        let bad = sign_hs256_with(&[1; 32], HEADER, CLAIMS);
        server.assert_refused(&bad, RejectionKind::BadSignature).await;
        assert_eq!(store.lookups(), asked);
        // A denial that is known needs no store, and is in force whatever comes of telling it.
        let revoked = by_id("https://issuer.example", "revoked");
        let revoked = RevocationEntry::new(revoked, UnixTime::from_secs(NOW + 3_600));
        let told = AssertUnwindSafe(revocation.revoke(&revoked)).catch_unwind();
        assert!(!matches!(told.now_or_never(), Some(Ok(Ok(())))));
        server.assert_refused(&token_named("revoked"), RejectionKind::Revoked).await;
        clock.advance(BOUND * 2);
        server.assert_refused(&token_named("known"), unavailable).await;
        server.assert_refused(&token_named("revoked"), RejectionKind::Revoked).await;

        store.set_behavior(NOT_REVOKED);
        server.assert_admitted(&token_named("new")).await;
        server.assert_admitted(&token_named("known")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn row_61_no_policy_for_outages_overrides_a_denial() {
    for habit in [StoreBehavior::Fails, StoreBehavior::Hangs, StoreBehavior::Panics] {
        for policy in [OnUnavailable::Allow, OnUnavailable::ServeStale(BOUND * 10)] {
            let store = FakeStore::new(NOT_REVOKED);
            let (server, revocation, clock) = guarded(store.clone(), [issuer()], policy).await;
            server.assert_admitted(&token_named("known")).await;
            server.assert_admitted(&token_named("revoked")).await;
            let revoked = by_id("https://issuer.example", "revoked");
            revocation
                .revoke(&RevocationEntry::new(revoked, UnixTime::from_secs(NOW + 3_600)))
                .await
                .unwrap();
            store.set_behavior(habit);
            clock.advance(BOUND * 2);
            server.assert_admitted(&token_named("known")).await;
            server.assert_refused(&token_named("revoked"), RejectionKind::Revoked).await;
            let (stats, new) = (revocation.stats(), token_named("new"));
            match policy {
                OnUnavailable::Allow => {
                    // Over HTTP/1 and HTTP/2.
                    assert_eq!(stats.allowed, 2);
                    server.assert_admitted(&new).await;
                }
                _ => {
                    assert_eq!(stats.served_stale, 2);
                    server.assert_refused(&new, RejectionKind::RevocationUnavailable).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn row_61_a_store_that_lies_removes_no_denial() {
    let store = FakeStore::new(NOT_REVOKED);
    let (server, revocation, clock) = guarded(store.clone(), [issuer()], OnUnavailable::Deny).await;
    for id in ["here", "there", "neither"] {
        server.assert_admitted(&token_named(id)).await;
    }
    revocation
        .revoke(&RevocationEntry::new(
            by_id("https://issuer.example", "here"),
            UnixTime::from_secs(NOW + 3_600),
        ))
        .await
        .unwrap();
    clock.advance(BOUND * 2);
    store.set_behavior(StoreBehavior::Answers(Verdict::Revoked));
    server.assert_refused(&token_named("there"), RejectionKind::Revoked).await;
    store.set_behavior(NOT_REVOKED);
    for _ in 0..3 {
        server.assert_refused(&token_named("here"), RejectionKind::Revoked).await;
        server.assert_refused(&token_named("there"), RejectionKind::Revoked).await;
        server.assert_admitted(&token_named("neither")).await;
        clock.advance(BOUND * 2);
    }
}
