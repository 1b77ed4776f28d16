//! `Authenticator::explain`: the same verdict as `authenticate`, and nothing in its text that must not be shown.

use std::time::Duration;

use serde_json::Value;
use tower_bearer::{
    Authenticated, Authenticator, CheckError, Issuer, Key, Rejection, RejectionKind,
    RevocationCache, UnixTime,
    claims::ManualClock,
    explain::CheckOutcome,
    jws::KeySet,
    revocation::{Revocable, RevocationEntry},
    test_util::{FakeStore, StoreBehavior, TestIssuer},
};

use crate::common::tokens::{SECRET, base64url, block_on, sign_hs256};

const NOW: u64 = 1_800_000_000;

/// Asserts that the explanation has the verdict that `authenticate` gave, and that its checks fit the verdict.
pub(crate) fn assert_explained<C: Send + Sync + 'static>(
    authenticator: &Authenticator<C>,
    token: &str,
    outcome: &Result<Authenticated<C>, Rejection>,
) {
    let explanation = block_on(authenticator.explain(token));
    let expected = outcome.as_ref().err().map(Rejection::kind);
    assert_eq!(explanation.rejection(), expected, "{token}");
    assert_eq!(explanation.checks().len(), 18);
    let failed = explanation.failed().map(|check| check.number);
    assert_eq!(failed.is_some(), expected.is_some(), "{explanation}");
    for (check, number) in explanation.checks().iter().zip(1..) {
        assert_eq!(check.number, number);
        let fits = match failed {
            Some(failed) if number > failed => check.outcome == CheckOutcome::NotReached,
            Some(failed) if number == failed => check.outcome == CheckOutcome::Failed,
            _ => matches!(check.outcome, CheckOutcome::Passed | CheckOutcome::Skipped),
        };
        assert!(fits, "{explanation}");
    }
    if let (Some(failed), Some(kind)) = (failed, expected) {
        assert!(checks_of(kind).contains(&failed), "{kind} is not an outcome of check {failed}");
    }
}

/// The checks of the list that can end with this kind.
fn checks_of(kind: RejectionKind) -> &'static [u8] {
    match kind {
        RejectionKind::TokenTooLong => &[1],
        RejectionKind::MalformedToken => &[2],
        RejectionKind::MalformedHeader
        | RejectionKind::UnsupportedAlgorithm
        | RejectionKind::UnsupportedHeader => &[3],
        RejectionKind::MalformedClaims => &[4],
        RejectionKind::UnknownIssuer => &[5, 8],
        RejectionKind::WrongType => &[6],
        RejectionKind::UnknownKey
        | RejectionKind::AlgorithmMismatch
        | RejectionKind::KeysUnavailable => &[7],
        RejectionKind::BadSignature => &[7, 8],
        RejectionKind::Expired
        | RejectionKind::NotYetValid
        | RejectionKind::IssuedInFuture
        | RejectionKind::TooOld
        | RejectionKind::LifetimeTooLong => &[9],
        RejectionKind::WrongAudience => &[10],
        RejectionKind::WrongTokenUse => &[11],
        RejectionKind::UnverifiedConfirmation
        | RejectionKind::MissingProof
        | RejectionKind::MalformedProof
        | RejectionKind::UnusableProofKey
        | RejectionKind::BadProofSignature
        | RejectionKind::WrongProofTarget
        | RejectionKind::WrongProofToken
        | RejectionKind::ProofNotCurrent
        | RejectionKind::UseDpopNonce => &[12],
        RejectionKind::ReplayedProof | RejectionKind::ReplayUnavailable => &[18],
        RejectionKind::ClaimsMismatch => &[14],
        RejectionKind::MissingClaim | RejectionKind::InvalidClaim => &[5, 8, 9, 10, 11, 13],
        RejectionKind::CheckFailed | RejectionKind::CheckUnavailable => &[15, 17],
        RejectionKind::ForeignStatusList => &[13],
        RejectionKind::Revoked
        | RejectionKind::RevocationUnavailable
        | RejectionKind::StatusInvalid
        | RejectionKind::StatusSuspended
        | RejectionKind::StatusOther
        | RejectionKind::StatusIndexOutOfRange => &[16],
        RejectionKind::StatusUnavailable => &[13, 16],
        kind => panic!("no check ends with {kind}"),
    }
}

fn clock() -> ManualClock {
    ManualClock::at(UnixTime::from_secs(NOW))
}

fn issuer() -> Issuer {
    Issuer::new("https://issuer.example", Key::hs256(SECRET).unwrap()).audience("api://orders")
}

fn token(members: &str) -> String {
    let claims = format!(
        r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{},"jti":"one"{members}}}"#,
        NOW + 60
    );
    sign_hs256(r#"{"alg":"HS256"}"#, &claims)
}

#[test]
fn own_checks_and_revocation_are_explained_with_the_verdict_of_requests() {
    let build = |build: &dyn Fn(
        tower_bearer::AuthenticatorBuilder,
    ) -> tower_bearer::AuthenticatorBuilder| {
        build(Authenticator::builder().claims().issuer(issuer()).with_clock(clock()))
            .build()
            .unwrap()
    };
    let revoking = RevocationCache::in_memory();
    let entry = RevocationEntry::new(
        Revocable::token("https://issuer.example", "one"),
        UnixTime::from_secs(NOW + 60),
    );
    block_on(revoking.revoke(&entry)).unwrap();
    let failing = RevocationCache::new(FakeStore::new(StoreBehavior::Fails), Duration::ZERO);
    let rejects = |_: &tower_bearer::VerifiedToken| Err(CheckError::Rejected);
    for (authenticator, failed, skipped) in [
        (build(&|builder| builder), None, vec![8, 15, 16, 17, 18]),
        (build(&|builder| builder.add_check(rejects)), Some(15), vec![8]),
        (build(&|builder| builder.add_pure_check(rejects)), Some(15), vec![8]),
        (build(&|builder| builder.revocation(revoking.clone())), Some(16), vec![8, 15]),
        (build(&|builder| builder.revocation(failing.clone())), Some(16), vec![8, 15]),
        (
            build(&|builder| builder.add_async_check(|_| async { Err(CheckError::Unavailable) })),
            Some(17),
            vec![8, 15, 16],
        ),
    ] {
        let outcome = block_on(authenticator.authenticate(&token("")));
        assert_explained(&authenticator, &token(""), &outcome);
        let explanation = block_on(authenticator.explain(&token("")));
        assert_eq!(explanation.failed().map(|check| check.number), failed);
        let of = |wanted| {
            let checks = explanation.checks().iter();
            checks.filter(|check| check.outcome == wanted).map(|check| check.number).collect()
        };
        let found: Vec<u8> = of(CheckOutcome::Skipped);
        assert_eq!(found, skipped, "{explanation}");
    }
}

#[test]
fn a_cached_token_is_explained_with_the_verdict_of_the_next_request() {
    let clock = clock();
    let authenticator = Authenticator::builder()
        .claims::<tower_bearer::claims::UntypedClaims>()
        .issuer(issuer())
        .with_clock(clock.clone())
        .cache_hmac_tokens()
        .build()
        .unwrap();
    for _ in 0..4 {
        let outcome = block_on(authenticator.authenticate(&token("")));
        assert_explained(&authenticator, &token(""), &outcome);
        clock.advance(Duration::from_secs(45));
    }
}

#[test]
fn every_mistake_shows_what_was_expected_and_what_was_found() {
    let explain = |issuer: Issuer, token: &str| {
        let builder = Authenticator::builder().claims().issuer(issuer).with_clock(clock());
        let authenticator: Authenticator = builder.build().unwrap();
        block_on(authenticator.explain(token))
    };
    let header = |header: &str| {
        let claims = format!(
            r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{}}}"#,
            NOW + 60
        );
        sign_hs256(header, &claims)
    };
    let replaced = |from: &str, to: &str| {
        let claims = format!(
            r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{}}}"#,
            NOW + 60
        );
        sign_hs256(r#"{"alg":"HS256"}"#, &claims.replace(from, to))
    };
    for (token, number, expected, found) in [
        ("x".repeat(9000), 1, "at most 8192 bytes", "length 9000 bytes"),
        ("a.b".to_owned(), 2, "three parts of base64url", "parts 2, and part 1 is not base64url"),
        (header(r#"{"alg":"none"}"#), 3, "a known `alg`", "alg none"),
        (
            replaced("issuer.example", "issuer.example/"),
            5,
            "https://issuer.example",
            "iss https://issuer.example/",
        ),
        (header(r#"{"alg":"HS256","typ":"dpop+jwt"}"#), 6, "`at+jwt`", "typ dpop+jwt"),
        (header(r#"{"alg":"HS512","kid":"old"}"#), 7, "HS256 without kid", "kid old"),
        (replaced("\"exp\":1", "\"exp\":0.1"), 9, "with 30 s of leeway", "exp 0"),
        (replaced("api://orders", "api://other"), 10, "api://orders", "aud api://other"),
        (token(r#","cnf":{"jkt":"secret-thumbprint"}"#), 12, "no `cnf`", "cnf a key (DPoP)"),
    ] {
        let explanation = explain(issuer(), &token);
        let failed = explanation.failed().unwrap();
        assert_eq!(failed.number, number, "{explanation}");
        assert!(failed.expected.contains(expected), "{explanation}");
        let text: Vec<String> =
            failed.found.iter().map(|found| format!("{} {}", found.name, found.value)).collect();
        assert!(text.iter().any(|text| text == found), "{text:?}");
    }
    let explanation = explain(issuer().require_claim("tier"), &token(""));
    assert!(explanation.to_string().contains("missing tier"), "{explanation}");
}

#[test]
fn keys_that_were_refused_are_listed_with_the_reason() {
    let weak = r#"{"kty":"RSA","kid":"weak","n":"AQAB","e":"AQAB"}"#;
    let good = TestIssuer::new().jwks_json();
    let both = good.replace(r#""keys":["#, &format!(r#""keys":[{weak},"#));
    let keys = KeySet::from_jwks_json(&both).unwrap();
    let issuer = Issuer::new("https://issuer.example", keys).audience("api://orders");
    let builder = Authenticator::builder().claims().issuer(issuer).with_clock(clock());
    let authenticator: Authenticator = builder.build().unwrap();
    let explanation = block_on(authenticator.explain(&token("")));
    let failed = explanation.failed().unwrap();
    assert_eq!(failed.number, 7);
    assert!(failed.expected.contains("These keys were refused: key 0"), "{}", failed.expected);
    assert!(
        failed.expected.contains("weak") && failed.expected.contains("2048"),
        "{}",
        failed.expected
    );
}

#[test]
fn an_explanation_shows_no_secret_of_a_token_and_nothing_for_a_terminal() {
    let builder = Authenticator::builder().claims().issuer(issuer()).with_clock(clock());
    let authenticator: Authenticator = builder.build().unwrap();
    let members = r#","sub":"SECRET-1","sid":"SECRET-2","email":"SECRET-3","cnf":{"jkt":"SECRET-4"},"scope":"orders:read""#;
    let token = token(members);
    let explanation = block_on(authenticator.explain(&token));
    let everything =
        format!("{explanation}{explanation:?}{}", serde_json::to_string(&explanation).unwrap());
    let signature = token.rsplit('.').next().unwrap();
    for secret in ["SECRET", signature, &token, "\"one\""] {
        assert!(!everything.contains(secret), "{secret}");
    }
    assert!(everything.contains("orders:read"));

    let header =
        base64url("{\"alg\":\"\\u001b[31mHS256\",\"kid\":\"a\\nb\\u202e\",\"typ\":\"\\u0007\"}");
    let claims = base64url("{\"iss\":\"\\u001b]0;title\\u0007\",\"aud\":[\"\\r\\n\",7]}");
    let hostile = format!("{header}.{claims}.AAAA");
    let explanation = block_on(authenticator.explain(&hostile));
    let everything = format!("{explanation}{}", serde_json::to_string(&explanation).unwrap());
    let is_harmless = |character: char| character == '\n' || !character.is_control();
    assert!(everything.chars().all(is_harmless), "{everything:?}");
    assert!(!everything.contains('\u{202e}'));
    let text = explanation.to_string();
    assert!(text.lines().count() < 30, "{text}");
}

#[test]
fn a_claim_that_is_the_audience_of_an_issuer_is_not_shown() {
    let issuer = issuer().audience_from("client_id");
    let builder = Authenticator::builder().claims().issuer(issuer).with_clock(clock());
    let authenticator: Authenticator = builder.build().unwrap();
    let token = token(r#","client_id":"SECRET""#);
    let explanation = block_on(authenticator.explain(&token));
    let failed = explanation.failed().unwrap();
    assert_eq!(failed.number, 10);
    assert!(failed.expected.ends_with("in `client_id`"), "{}", failed.expected);
    let text = explanation.to_string();
    assert!(text.contains("audience claim present") && text.contains("aud api://orders"), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
}

#[test]
fn the_json_of_an_explanation_has_the_checks_and_the_verdict() {
    let builder = Authenticator::builder().claims().issuer(issuer()).with_clock(clock());
    let authenticator: Authenticator = builder.build().unwrap();
    let json = |token: &str| -> Value {
        let explanation = block_on(authenticator.explain(token));
        serde_json::from_str(&serde_json::to_string(&explanation).unwrap()).unwrap()
    };
    let accepted = json(&token(""));
    assert_eq!(accepted["accepted"], true);
    assert_eq!(accepted["rejection"], Value::Null);
    assert_eq!(accepted["now"], NOW);
    assert_eq!(accepted["checks"][8]["found"][0]["value"], NOW + 60);
    let rejected = json("a.b.c");
    assert_eq!(rejected["accepted"], false);
    assert_eq!(rejected["rejection"], "malformed_token");
    assert_eq!(rejected["checks"][1]["outcome"], "failed");
    assert_eq!(rejected["checks"][2]["outcome"], "not_reached");
}
