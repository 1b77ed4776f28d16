//! Security events: what they revoke, which are refused, and the endpoint for push delivery.

use std::time::Duration;

use axum::body::Body;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use proptest::{prelude::*, test_runner::TestRunner};
use tower::ServiceExt as _;
use tower_bearer::{
    Authenticator, ConfigError, Issuer, Key, RejectionKind, RevocationCache, UnixTime,
    claims::ManualClock,
    revocation::{MemoryStore, Verdict},
    security_events::{EventError, EventReceiver, MAX_LENGTH, Transmitter},
    test_util::{FakeStore, StoreBehavior},
};

use crate::common::{
    requests::{NOW, builder, token_with},
    tokens::{block_on, sign_hs256, sign_hs256_with},
};

const SECRET: [u8; 32] = [9; 32];
const HEADER: &str = r#"{"alg":"HS256","typ":"secevent+jwt"}"#;
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const ME: &str = r#"{"format":"iss_sub","iss":"https://issuer.example","sub":"me"}"#;

fn transmitter() -> Transmitter {
    let key = Key::hs256(SECRET).unwrap();
    Transmitter::new("https://events.example", key, "https://api.example/events")
        .add_issuer("https://issuer.example")
}

/// A service that accepts the tokens of two issuers, and a transmitter that speaks for one of them.
fn service() -> (Authenticator, EventReceiver) {
    service_with(RevocationCache::in_memory())
}

fn service_with(cache: RevocationCache) -> (Authenticator, EventReceiver) {
    let other = Issuer::new("https://other.example", Key::hs256([3; 32]).unwrap());
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let cache = cache.with_clock(clock);
    let authenticator =
        builder().issuer(other.audience("api://orders")).revocation(cache).build().unwrap();
    let receiver = EventReceiver::new(authenticator.clone(), [transmitter()]).unwrap();
    (authenticator, receiver)
}

fn claims(members: &str) -> String {
    format!(
        r#"{{"iss":"https://events.example","aud":"https://api.example/events","iat":{NOW},"jti":"1",{members}}}"#
    )
}

fn set_of(event: &str, subject: &str, details: &str) -> String {
    let members = format!(r#""sub_id":{subject},"events":{{"{event}":{{{details}}}}}"#);
    sign_hs256_with(&SECRET, HEADER, &claims(&members))
}

fn access_token(members: &str) -> String {
    token_with(&format!(r#""exp":{},{members}"#, NOW + 60))
}

fn outcome(authenticator: &Authenticator, token: &str) -> Result<(), RejectionKind> {
    block_on(authenticator.authenticate(token)).map(drop).map_err(|rejection| rejection.kind())
}

#[test]
fn each_event_revokes_the_tokens_of_its_subject_and_no_others() {
    let mine = access_token(&format!(r#""iat":{NOW}"#));
    let of_other = sign_hs256(
        r#"{"alg":"HS256"}"#,
        &format!(
            r#"{{"iss":"https://issuer.example","aud":"api://orders","sub":"you","iat":{NOW},"exp":{}}}"#,
            NOW + 60
        ),
    );
    let of_other_issuer = sign_hs256_with(
        &[3; 32],
        r#"{"alg":"HS256"}"#,
        &format!(
            r#"{{"iss":"https://other.example","aud":"api://orders","sub":"me","iat":{NOW},"exp":{}}}"#,
            NOW + 60
        ),
    );
    for event in [
        format!("{CAEP}session-revoked"),
        format!("{CAEP}credential-change"),
        format!("{RISC}account-disabled"),
        format!("{RISC}account-purged"),
        format!("{RISC}sessions-revoked"),
        format!("{RISC}credential-compromise"),
    ] {
        for subject in [ME, r#"{"format":"opaque","id":"me"}"#] {
            let (authenticator, receiver) = service();
            assert_eq!(outcome(&authenticator, &mine), Ok(()));
            let set = set_of(&event, subject, "");
            let receipt = block_on(receiver.receive(set.as_bytes(), None)).unwrap();
            assert_eq!(receipt.revoking_events, 1, "{event}");
            assert_eq!(outcome(&authenticator, &mine), Err(RejectionKind::Revoked), "{event}");
            assert_eq!(outcome(&authenticator, &of_other), Ok(()), "{event}");
            assert_eq!(outcome(&authenticator, &of_other_issuer), Ok(()), "{event}");
        }
    }
}

#[test]
fn a_revoked_session_ends_its_tokens_only() {
    let (authenticator, receiver) = service();
    let subject =
        format!(r#"{{"format":"complex","user":{ME},"session":{{"format":"opaque","id":"s1"}}}}"#);
    let set = set_of(&format!("{CAEP}session-revoked"), &subject, "");
    block_on(receiver.receive(set.as_bytes(), None)).unwrap();
    let of_session = |sid| outcome(&authenticator, &access_token(&format!(r#""sid":"{sid}""#)));
    assert_eq!(of_session("s1"), Err(RejectionKind::Revoked));
    assert_eq!(of_session("s2"), Ok(()));
}

#[test]
fn the_cut_off_is_the_time_of_the_event_and_never_in_the_future() {
    // 30 seconds of leeway are added.
    for (details, last) in [
        ("", NOW + 30),
        (r#""event_timestamp":1799999000"#, 1_799_999_030),
        (r#""event_timestamp":1900000000"#, NOW + 30),
    ] {
        let store = MemoryStore::new();
        let (authenticator, receiver) =
            service_with(RevocationCache::new(store, Duration::from_secs(1)));
        let set = set_of(&format!("{CAEP}credential-change"), ME, details);
        block_on(receiver.receive(set.as_bytes(), None)).unwrap();
        let issued = |at: u64| outcome(&authenticator, &access_token(&format!(r#""iat":{at}"#)));
        assert_eq!(issued(last), Err(RejectionKind::Revoked), "{details}");
        let next = if last == NOW + 30 { Err(RejectionKind::IssuedInFuture) } else { Ok(()) };
        assert_eq!(issued(last + 1), next, "{details}");
    }
}

#[test]
fn unknown_events_and_subjects_are_acknowledged_without_effect() {
    let (authenticator, receiver) = service();
    let verification = "https://schemas.openid.net/secevent/ssf/event-type/verification";
    let email = r#"{"format":"email","email":"me@example.com"}"#;
    let changed = format!("{CAEP}credential-change");
    for (event, subject, counts) in [
        (verification, ME, (0, 0, 0)),
        ("https://events.example/new", ME, (0, 1, 0)),
        (&changed, email, (0, 0, 1)),
    ] {
        let set = set_of(event, subject, "");
        let receipt = block_on(receiver.receive(set.as_bytes(), None)).unwrap();
        let found = (receipt.revoking_events, receipt.unknown_events, receipt.unmapped_subjects);
        assert_eq!(found, counts, "{event}");
    }
    assert_eq!(outcome(&authenticator, &access_token(r#""sid":"s""#)), Ok(()));
    // The events of one SET are independent.
    let both =
        format!(r#""sub_id":{ME},"events":{{"https://events.example/new":{{}},"{changed}":{{}}}}"#);
    let both = sign_hs256_with(&SECRET, HEADER, &claims(&both));
    let receipt = block_on(receiver.receive(both.as_bytes(), None)).unwrap();
    assert_eq!((receipt.revoking_events, receipt.unknown_events), (1, 1));
}

#[test]
fn a_set_that_breaks_a_rule_is_refused_and_revokes_nothing() {
    let good = format!(r#""sub_id":{ME},"events":{{"{CAEP}credential-change":{{}}}}"#);
    let valid = claims(&good);
    let changed = |from: &str, to: &str| {
        assert!(valid.contains(from), "{from}");
        sign_hs256_with(&SECRET, HEADER, &valid.replacen(from, to, 1))
    };
    let with_header = |header: &str| sign_hs256_with(&SECRET, header, &valid);
    let now = format!(r#""iat":{NOW}"#);
    let unsigned = with_header(r#"{"alg":"none","typ":"secevent+jwt"}"#);
    let (authenticator, receiver) = service();
    let mine = access_token(&now);
    let invalid = |error| matches!(error, EventError::InvalidRequest(_));
    for set in [
        with_header(r#"{"alg":"HS256"}"#),
        with_header(r#"{"alg":"HS256","typ":"JWT"}"#),
        with_header(r#"{"alg":"HS256","typ":"logout+jwt"}"#),
        unsigned,
        changed(&now, &format!(r#""iat":{}"#, NOW + 31)),
        changed(&now, r#""iat":"1""#),
        changed(&now, r#""x":1"#),
        changed(&now, &format!(r#"{now},"exp":{}"#, NOW - 31)),
        changed(r#""jti":"1""#, r#""x":"1""#),
        changed(r#""jti":"1""#, r#""jti":"1","jti":"2""#),
        changed(r#""events""#, r#""no_events""#),
        changed(r#""sub_id""#, r#""no_sub_id""#),
        changed(":{}", ":1"),
        changed(":{}", r#":{"event_timestamp":"1"}"#),
        changed(r#""sub":"me""#, r#""sub":1"#),
        changed(r#""sub":"me""#, r#""sub":"""#),
        // The transmitter does not speak for this issuer, which the service accepts.
        changed("https://issuer.example", "https://other.example"),
        changed("https://issuer.example", "https://issuer.example/"),
        "x".repeat(MAX_LENGTH + 1),
        "no.such.set".into(),
        mine.clone(),
    ] {
        let error = block_on(receiver.receive(set.as_bytes(), None)).unwrap_err();
        assert!(invalid(error), "{error:?}: {}", set.get(..40).unwrap_or(&set));
    }
    for (set, expected) in [
        (changed("https://events.example", "https://issuer.example"), EventError::InvalidIssuer),
        (changed("https://api.example/events", "api://orders"), EventError::InvalidAudience),
        (changed(r#""aud""#, r#""no_aud""#), EventError::InvalidAudience),
        (sign_hs256_with(&[1; 32], HEADER, &valid), EventError::InvalidKey),
        (sign_hs256(HEADER, &valid), EventError::InvalidKey),
    ] {
        assert_eq!(block_on(receiver.receive(set.as_bytes(), None)), Err(expected));
    }
    assert_eq!(outcome(&authenticator, &mine), Ok(()));
    let twin = with_header(HEADER);
    block_on(receiver.receive(twin.as_bytes(), None)).unwrap();
    assert_eq!(outcome(&authenticator, &mine), Err(RejectionKind::Revoked));
}

#[test]
fn a_set_is_not_an_access_token() {
    // One party is issuer and transmitter, with one key and one audience.
    let set = sign_hs256(
        HEADER,
        &format!(
            r#"{{"iss":"https://issuer.example","aud":"api://orders","iat":{NOW},"exp":{},"jti":"1","events":{{}}}}"#,
            NOW + 60
        ),
    );
    let (authenticator, _) = service();
    assert_eq!(outcome(&authenticator, &set), Err(RejectionKind::WrongType));
}

#[test]
fn a_receiver_that_could_revoke_nothing_is_not_built() {
    let key = || Key::hs256(SECRET).unwrap();
    let (authenticator, _) = service();
    let silent = Transmitter::new("https://events.example", key(), "a");
    let unknown = Transmitter::new("https://events.example", key(), "a").add_issuer("https://no");
    for transmitters in [vec![silent], vec![unknown], vec![transmitter(), transmitter()]] {
        let error = EventReceiver::new(authenticator.clone(), transmitters).unwrap_err();
        assert!(matches!(error, ConfigError::InvalidTransmitter(_)), "{error}");
    }
    let without_revocation = builder().build().unwrap();
    assert!(EventReceiver::new(without_revocation, [transmitter()]).is_err());
}

/// Sends a SET to the endpoint.
fn push(
    receiver: &EventReceiver,
    content_type: &str,
    bearer: &str,
    body: String,
) -> Response<Body> {
    let request = Request::post("/events").header("content-type", content_type);
    let request = request.header(AUTHORIZATION, bearer).body(Body::from(body)).unwrap();
    block_on(receiver.clone().into_router::<()>().oneshot(request)).unwrap()
}

#[test]
fn the_endpoint_answers_as_rfc_8935_demands() {
    let (authenticator, _) = service();
    let secured = transmitter().with_secret("of the stream");
    let receiver = EventReceiver::new(authenticator, [secured]).unwrap();
    let set = set_of(&format!("{CAEP}credential-change"), ME, "");
    let media_type = "application/secevent+jwt";
    for (content_type, bearer, body, status) in [
        (media_type, "Bearer of the stream", set.clone(), StatusCode::ACCEPTED),
        // A repetition.
        (media_type, "bearer of the stream", set.clone(), StatusCode::ACCEPTED),
        (media_type, "Bearer of the strean", set.clone(), StatusCode::BAD_REQUEST),
        (media_type, "Basic of the stream", set.clone(), StatusCode::BAD_REQUEST),
        (media_type, "Bearer of the stream", "x".into(), StatusCode::BAD_REQUEST),
        ("application/jwt", "Bearer of the stream", set, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (
            media_type,
            "Bearer of the stream",
            "x".repeat(MAX_LENGTH + 1),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        assert_eq!(push(&receiver, content_type, bearer, body).status(), status, "{bearer}");
    }
    let response = push(&receiver, media_type, "Bearer x", set_of("e", ME, ""));
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body = block_on(axum::body::to_bytes(response.into_body(), 1000)).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["err"], "authentication_failed");
    assert!(!format!("{receiver:?}").contains("of the stream"));
}

#[test]
fn a_store_that_fails_gets_503_and_the_repetition_is_stored() {
    let store = FakeStore::new(StoreBehavior::Fails);
    let cache = RevocationCache::new(store.clone(), Duration::ZERO);
    let (_, receiver) = service_with(cache);
    let set = set_of(&format!("{CAEP}credential-change"), ME, "");
    let response = push(&receiver, "application/secevent+jwt", "", set.clone());
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    store.set_behavior(StoreBehavior::Answers(Verdict::NotRevoked));
    let response = push(&receiver, "application/secevent+jwt", "", set);
    assert_eq!(response.status(), StatusCode::ACCEPTED);
}

/// Ten thousand events, some of them sent twice. The latest event of each subject decides.
#[test]
fn the_order_of_events_does_not_matter() {
    let events: Vec<(u64, u64)> = (0..10_000).map(|n| (n % 7, n * 7919 % 5000 / 2)).collect();
    let latest = |subject| {
        let ages = events.iter().filter(|event| event.0 == subject).map(|event| event.1);
        NOW - ages.min().unwrap()
    };
    let strategy = Just(events.clone()).prop_shuffle();
    let mut runner = TestRunner::new(ProptestConfig { cases: 3, ..ProptestConfig::default() });
    let checked = runner.run(&strategy, |events| {
        let (authenticator, receiver) = service();
        for (subject, age) in &events {
            let subject = format!(r#"{{"format":"opaque","id":"{subject}"}}"#);
            let details = format!(r#""event_timestamp":{}"#, NOW - age);
            let set = set_of(&format!("{CAEP}credential-change"), &subject, &details);
            block_on(receiver.receive(set.as_bytes(), None)).unwrap();
        }
        for subject in 0..7 {
            let issued = |at: u64| {
                let times = format!(r#""iat":{at},"exp":{}"#, NOW + 60);
                let claims = format!(
                    r#"{{"iss":"https://issuer.example","aud":"api://orders","sub":"{subject}",{times}}}"#
                );
                outcome(&authenticator, &sign_hs256(r#"{"alg":"HS256"}"#, &claims))
            };
            let last = latest(subject) + 30;
            prop_assert_eq!(issued(last), Err(RejectionKind::Revoked));
            prop_assert_ne!(issued(last + 1), Err(RejectionKind::Revoked));
        }
        Ok(())
    });
    checked.unwrap();
}
