//! What the example writes for common mistakes, compared with stored texts. `INSTA_UPDATE=always cargo test -p
//! explain_token` stores them again: read the difference before you commit it.

#[path = "../src/report.rs"]
mod report;

use std::sync::LazyLock;

use insta::assert_snapshot;
use tower_bearer::{
    Authenticator, Issuer, Key, KeySet, UnixTime,
    claims::ManualClock,
    test_util::{TestIssuer, TestToken},
};

/// 2027-01-15T08:00:00Z.
const NOW: u64 = 1_800_000_000;

static ISSUER: LazyLock<TestIssuer> = LazyLock::new(|| {
    TestIssuer::new()
        .with_name("https://issuer.example")
        .with_audience("api://orders")
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
});

/// Without `jti`, which is a different one in each run.
fn token() -> TestToken {
    ISSUER.token().scope("orders:read").without("jti")
}

async fn explain(token: &str) -> String {
    let authenticator: Authenticator = ISSUER.authenticator();
    stable(&report::text(&authenticator.explain(token).await, false))
}

/// The report with fixed key ids: the keys of the tests are new ones in each run.
fn stable(report: &str) -> String {
    let keys: serde_json::Value = serde_json::from_str(&ISSUER.jwks_json()).expect("a JWK set");
    let key_id = keys["keys"][0]["kid"].as_str().expect("a key with an id");
    let is_part_of_id =
        |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let report = report.replace(key_id, "test-key");
    // The id of any other key is a thumbprint of 43 characters.
    let words = report.split_inclusive(|character| !is_part_of_id(character)).map(|word| {
        let id = word.trim_end_matches(|character| !is_part_of_id(character));
        if id.len() == 43 { word.replace(id, "other-key") } else { word.to_owned() }
    });
    words.collect()
}

macro_rules! explained {
    ($($test:ident: $token:expr;)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                assert_snapshot!(explain($token.as_ref()).await);
            }
        )*
    };
}

explained! {
    an_accepted_token: token().issue();
    an_expired_token: token().claim("exp", NOW - 720).issue();
    a_token_that_is_not_valid_yet: token().claim("nbf", NOW + 3_600).issue();
    a_wrong_audience: token().for_audience("api://billing").issue();
    an_issuer_with_a_trailing_slash: token().claim("iss", "https://issuer.example/").issue();
    an_unknown_key: token().of_unknown_key().issue();
    a_bound_token: token().claim("cnf", serde_json::json!({ "jkt": "secret" })).issue();
    a_refresh_token: token().claim("token_type", "refresh").issue();
    a_token_without_expiry: token().without("exp").issue();
    a_text_that_is_not_a_token: "eyJhbGciOiJIUzI1NiJ9";
}

async fn explain_with(keys: KeySet, token: &str) -> String {
    let policy = Issuer::new("https://issuer.example", keys).audience("api://orders");
    let builder = Authenticator::builder().claims().issuer(policy);
    let builder = builder.with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    let authenticator: Authenticator = builder.build().expect("a policy");
    stable(&report::text(&authenticator.explain(token).await, false))
}

#[tokio::test]
async fn a_key_that_was_refused_when_it_was_loaded() {
    let keys = ISSUER.jwks_json();
    let weak = r#"{"kty":"RSA","kid":"billing-2019","n":"AQAB","e":"AQAB"}"#;
    let both = keys.replace(r#""keys":["#, &format!(r#""keys":[{weak},"#));
    let both = KeySet::from_jwks_json(&both).expect("one good key");
    assert_snapshot!(explain_with(both, &token().of_unknown_key().issue()).await);
}

#[tokio::test]
async fn a_wrong_algorithm() {
    let key = Key::hs256([7; 32]).expect("a secret").with_key_id("shared");
    assert_snapshot!(explain_with(KeySet::new([key]), &token().issue()).await);
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
