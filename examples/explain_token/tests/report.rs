//! What the example writes for common mistakes, compared with stored texts. `INSTA_UPDATE=always cargo test -p
//! explain_token` stores them again: read the difference before you commit it.

#[path = "../report.rs"]
mod report;

use std::time::Duration;

use insta::assert_snapshot;
use tower_bearer::{
    Authenticator, Issuer, Key, KeySet, UnixTime,
    claims::ManualClock,
    test_util::{TestIssuer, TestToken},
};

/// 2027-01-15T08:00:00Z.
const NOW: u64 = 1_800_000_000;

fn issuer() -> TestIssuer {
    TestIssuer::new()
        .with_name("https://issuer.example")
        .with_audience("api://orders")
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
}

fn token() -> TestToken {
    issuer().token().scope("orders:read")
}

async fn explain(token: &str) -> String {
    let authenticator: Authenticator = issuer().authenticator();
    report::text(&authenticator.explain(token).await, false)
}

/// The key of the tests is a new one in each run.
fn with_fixed_ids(report: &str, keys: &str) -> String {
    let keys: serde_json::Value = serde_json::from_str(keys).expect("a JWK set");
    let key_id = keys["keys"][0]["kid"].as_str().expect("a key with an id");
    report.replace(key_id, "test-key")
}

macro_rules! explained {
    ($($test:ident: $token:expr;)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                let issuer = issuer();
                let report = explain(&$token).await;
                assert_snapshot!(with_fixed_ids(&report, &issuer.jwks_json()));
            }
        )*
    };
}

explained! {
    an_accepted_token: token().issue();
    an_expired_token: token().expires_in(Duration::ZERO).claim("exp", NOW - 720).issue();
    a_token_that_is_not_valid_yet: token().claim("nbf", NOW + 3_600).issue();
    a_wrong_audience: token().for_audience("api://billing").issue();
    an_issuer_with_a_trailing_slash: token().claim("iss", "https://issuer.example/").issue();
    an_unknown_key: token().of_unknown_key().issue();
    a_bound_token: token().claim("cnf", serde_json::json!({ "jkt": "secret" })).issue();
    a_refresh_token: token().claim("token_type", "refresh").issue();
    a_token_without_expiry: token().without("exp").issue();
    a_text_that_is_not_a_token: "eyJhbGciOiJIUzI1NiJ9".to_owned();
}

async fn explain_with(keys: KeySet, token: &str) -> String {
    let policy = Issuer::new("https://issuer.example", keys).audience("api://orders");
    let builder = Authenticator::builder().claims().issuer(policy);
    let builder = builder.with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    let authenticator: Authenticator = builder.build().expect("a policy");
    report::text(&authenticator.explain(token).await, false)
}

#[tokio::test]
async fn a_key_that_was_refused_when_it_was_loaded() {
    let keys = issuer().jwks_json();
    let weak = r#"{"kty":"RSA","kid":"billing-2019","n":"AQAB","e":"AQAB"}"#;
    let both = keys.replace(r#""keys":["#, &format!(r#""keys":[{weak},"#));
    let both = KeySet::from_jwks_json(&both).expect("one good key");
    let report = explain_with(both, &token().of_unknown_key().issue()).await;
    assert_snapshot!(with_fixed_ids(&report, &keys));
}

#[tokio::test]
async fn a_wrong_algorithm() {
    let key = Key::hs256([7; 32]).expect("a secret").with_key_id("shared");
    let report = explain_with(KeySet::new([key]), &token().issue()).await;
    assert_snapshot!(with_fixed_ids(&report, &issuer().jwks_json()));
}

#[test]
fn a_token_is_found_in_a_copied_header() {
    for text in [
        "a.b.c",
        " a.b.c\n",
        "Bearer a.b.c",
        "Authorization: Bearer a.b.c\r\n",
        "authorization:bearer a.b.c",
    ] {
        assert_eq!(report::token_in(text), "a.b.c", "{text:?}");
    }
    assert_eq!(report::token_in(""), "");
}
