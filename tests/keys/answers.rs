//! Answers that are none: whatever comes, good keys stay.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    common::{requests::NOW, tokens::fixture},
    gate::{Gate, UNAVAILABLE, UNKNOWN},
    server::{Answer, Server},
    signer::{Signer, set},
};

/// Short of the timeout, and long for whatever does not hang, on a busy machine too.
const BRIEF: Duration = Duration::from_millis(1_500);

fn says(body: &str) -> Answer {
    Answer::Says(200, String::new(), body.to_owned())
}

/// What must not replace good keys, with what health tells about it.
fn bad_answers(server: &Server) -> Vec<(Answer, &'static str)> {
    let evil = server.url("/evil");
    let too_late =
        "the server did not answer in time: expected a complete answer within `with_fetch_timeout`";
    let too_long = "the answer is too long: expected at most 1048576 bytes for keys, or `with_max_list_size` for a list";
    let unusable = "the answer of the key server is not a key set that can be used";
    let large = format!(r#"{{"keys":[],"padding":"{}"}}"#, "x".repeat(1024 * 1024));
    vec![
        (Answer::status(500), "the server answered 500: expected 200"),
        (Answer::status(404), "the server answered 404: expected 200"),
        (Answer::status(204), "the server answered 204: expected 200"),
        (Answer::status(304), "the server answered 304: expected 200"),
        (Answer::redirect(301, &evil), "the server answered 301: expected 200"),
        (Answer::redirect(302, &evil), "the server answered 302: expected 200"),
        (Answer::redirect(307, &evil), "the server answered 307: expected 200"),
        (Answer::redirect(308, "http://169.254.169.254/"), "the server answered 308: expected 200"),
        (Answer::Hangs, too_late),
        (Answer::Drips(set(&[&Signer::new("z")])), too_late),
        (Answer::Endless, too_long),
        (says(&large), too_long),
        (
            Answer::BreaksOff,
            "the exchange with the server failed: check its address, its certificate and the network",
        ),
        (
            Answer::Says(200, "Content-Encoding: gzip\r\n".to_owned(), set(&[&Signer::new("z")])),
            "the server answered with the content encoding \"gzip\": expected none, as was requested",
        ),
        (says(""), unusable),
        (says("<!DOCTYPE html><html><body>sign in</body></html>"), unusable),
        (says("{}"), unusable),
        (says("[]"), unusable),
        (says("null"), unusable),
        (says(r#"{"keys":[]}"#), unusable),
        (says(r#"{"keys":{}}"#), unusable),
        (
            says(
                r#"{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]}"#,
            ),
            unusable,
        ),
        (says(r#"{"keys":[{"kty":"AKP","kid":"a","alg":"ML-DSA-44","pub":"AAAA"}]}"#), unusable),
        (says(r#"{"keys":[],"keys":[]}"#), unusable),
        (says(&"[".repeat(100_000)), unusable),
        (
            says(&format!(r#"{{"keys":[{}{}]}}"#, Signer::new("z").jwk(), ",0".repeat(1_000))),
            unusable,
        ),
    ]
}

#[tokio::test]
async fn no_bad_answer_replaces_good_keys() {
    let (a, z) = (Signer::new("a"), Signer::new("z"));
    let server = Server::start().await;
    server.serves("/evil", Answer::keys(&set(&[&z])));
    server.serves("/keys", Answer::keys(&set(&[&a])));
    let clock = server.clock.clone();
    let keys = server.keys("/keys").with_fetch_timeout(BRIEF);
    let gate = Gate::new(&keys, clock.clone());
    assert_eq!(gate.says(&a.token()).await, Ok(()));

    for (answer, error) in bad_answers(&server) {
        server.serves("/keys", answer);
        clock.advance(Duration::from_secs(31));
        assert_eq!(gate.says(&z.token()).await, UNAVAILABLE, "{error}");
        assert_eq!(keys.health().last_error().unwrap().to_string(), error);
        assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())), "{error}");
        assert_eq!(keys.health().key_ids().collect::<Vec<_>>(), ["a"]);
    }
    server.serves("/keys", Answer::keys(&set(&[&a])));
    clock.advance(Duration::from_secs(31));
    assert_eq!(gate.says(&z.token()).await, UNKNOWN);
    assert!(keys.health().last_error().is_none());
    assert_eq!(server.count("/evil"), 0, "no redirect was followed");
}

#[tokio::test]
async fn no_bad_answer_is_taken_for_the_first_keys() {
    let z = Signer::new("z");
    let server = Server::start().await;
    server.serves("/evil", Answer::keys(&set(&[&z])));
    for (answer, error) in bad_answers(&server) {
        server.serves("/keys", answer);
        let clock = server.clock.clone();
        let keys = server.keys("/keys").with_fetch_timeout(BRIEF);
        assert_eq!(Gate::new(&keys, clock).says(&z.token()).await, UNAVAILABLE, "{error}");
        assert!(!keys.health().is_usable());
    }
    assert_eq!(server.count("/evil"), 0, "no redirect was followed");
}

#[tokio::test]
async fn the_fetch_timeout_is_for_the_whole_exchange() {
    let server = Server::start().await;
    for answer in [Answer::Drips(set(&[&Signer::new("a")])), Answer::Hangs] {
        server.serves("/keys", answer);
        let keys = server.keys("/keys").with_fetch_timeout(Duration::from_millis(1_300));
        let began = Instant::now();
        keys.spawn();
        while keys.health().failures() == 0 {
            tokio::task::yield_now().await;
        }
        let took = began.elapsed().as_millis();
        assert!((1_300..2_300).contains(&took), "{took}");
    }
}

#[tokio::test]
async fn no_more_than_the_limit_is_read_of_an_endless_body() {
    let server = Server::start().await;
    server.serves("/keys", Answer::Endless);
    let keys = server.keys("/keys");
    let gate = Gate::new(&keys, server.clock.clone());
    assert_eq!(gate.says(&Signer::unknown("a")).await, UNAVAILABLE);
    // What the sockets hold on the way comes on top.
    assert!(server.written() < 16 * 1024 * 1024, "{}", server.written());
}

#[tokio::test]
async fn a_set_of_just_the_limit_is_taken() {
    let a = Signer::new("a");
    let small = set(&[&a]);
    let padding = " ".repeat(1024 * 1024 - small.len());
    let server = Server::start().await;
    server.serves("/keys", says(&format!("{small}{padding}")));
    let gate = Gate::new(&server.keys("/keys"), server.clock.clone());
    assert_eq!(gate.says(&a.token()).await, Ok(()));
}

#[tokio::test]
async fn a_set_with_unusable_keys_serves_its_usable_keys() {
    let (a, b, twin, other_twin) =
        (Signer::new("a"), Signer::new("b"), Signer::new("twin"), Signer::new("twin"));
    let odd = [
        a.jwk_with(r#","kid":"a","x5c":["AAAA"],"x5t":"AAAA","x5u":"http://169.254.169.254""#),
        // A provider's key for encryption, one of a type that is not known, secrets, weak and broken ones.
        b.jwk_with(r#","kid":"b","use":"enc""#),
        r#"{"kty":"AKP","kid":"post-quantum","alg":"ML-DSA-44","pub":"AAAA"}"#.to_owned(),
        r#"{"kty":"oct","kid":"secret","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}"#
            .to_owned(),
        r#"{"kty":"RSA","kid":"weak","n":"AQAB","e":"AQAB"}"#.to_owned(),
        b.jwk_with(r#","kid":"private","d":"AAAA""#),
        r#"{"kid":"no type"}"#.to_owned(),
        "7".to_owned(),
        twin.jwk(),
        other_twin.jwk(),
    ];
    let server = Server::start().await;
    server.serves("/keys", says(&format!(r#"{{"keys":[{}]}}"#, odd.join(","))));
    let keys = server.keys("/keys");
    let gate = Gate::new(&keys, server.clock.clone());
    for good in [&a, &twin, &other_twin] {
        assert_eq!(gate.says(&good.token()).await, Ok(()));
    }
    assert_eq!(gate.says(&b.token()).await, UNKNOWN);
    let health = keys.health();
    assert_eq!(health.keys().refused().len(), 7);
    assert_eq!(health.key_ids().collect::<Vec<_>>(), ["a", "twin", "twin"]);
}

#[tokio::test]
async fn rsa_keys_without_alg_are_for_rs256() {
    let keys: serde_json::Value = serde_json::from_slice(&fixture("../jwks.json")).unwrap();
    let (n, e) = (&keys["keys"][0]["n"], &keys["keys"][0]["e"]);
    let body = format!(r#"{{"keys":[{{"kty":"RSA","use":"sig","kid":"rsa","n":{n},"e":{e}}}]}}"#);
    let server = Server::start().await;
    server.serves("/keys", says(&body));
    let gate = Gate::new(&server.keys("/keys"), server.clock.clone());
    let claims = format!(
        r#"{{"iss":"{}","aud":"{}","exp":{}}}"#,
        crate::signer::ISSUER,
        crate::signer::AUDIENCE,
        NOW + 60
    );
    let sign = |name: &str, algorithm| {
        let header = format!(r#"{{"alg":"{name}","kid":"rsa"}}"#);
        crate::common::tokens::sign(algorithm, &crate::common::tokens::rsa_key(), &header, &claims)
    };
    assert_eq!(gate.says(&sign("RS256", jsonwebtoken::Algorithm::RS256)).await, Ok(()));
    assert!(gate.says(&sign("PS256", jsonwebtoken::Algorithm::PS256)).await.is_err());
}

#[tokio::test]
async fn rsa_keys_without_alg_are_for_the_algorithms_that_are_listed() {
    use tower_bearer::{Algorithm::*, Authenticator, ConfigError, Issuer};

    let keys: serde_json::Value = serde_json::from_slice(&fixture("../jwks.json")).unwrap();
    let (n, e) = (&keys["keys"][0]["n"], &keys["keys"][0]["e"]);
    let body = format!(r#"{{"keys":[{{"kty":"RSA","use":"sig","kid":"rsa","n":{n},"e":{e}}}]}}"#);
    let server = Server::start().await;
    server.serves("/keys", says(&body));
    let keys = server.keys("/keys").with_rsa_algorithms([PS256, RS512, PS256]);
    let gate = Gate::new(&keys, server.clock.clone());
    let claims = format!(
        r#"{{"iss":"{}","aud":"{}","exp":{}}}"#,
        crate::signer::ISSUER,
        crate::signer::AUDIENCE,
        NOW + 60
    );
    let sign = |name: &str, algorithm| {
        let header = format!(r#"{{"alg":"{name}","kid":"rsa"}}"#);
        crate::common::tokens::sign(algorithm, &crate::common::tokens::rsa_key(), &header, &claims)
    };
    assert_eq!(gate.says(&sign("PS256", jsonwebtoken::Algorithm::PS256)).await, Ok(()));
    assert_eq!(gate.says(&sign("RS512", jsonwebtoken::Algorithm::RS512)).await, Ok(()));
    assert!(gate.says(&sign("RS256", jsonwebtoken::Algorithm::RS256)).await.is_err());
    // One key still has one algorithm.
    assert!(gate.says(&sign("PS256", jsonwebtoken::Algorithm::RS512)).await.is_err());
    assert_eq!(keys.health().keys().len(), 2);

    let build = |listed: &[tower_bearer::Algorithm]| {
        let keys = server.keys("/keys").with_rsa_algorithms(listed.iter().copied());
        let issuer = Issuer::new(crate::signer::ISSUER, keys).allow_any_audience();
        Authenticator::builder().issuer(issuer).build().map(drop)
    };
    assert!(build(&[RS256]).is_ok());
    assert!(matches!(build(&[]), Err(ConfigError::OutOfRange(_))));
    for other in [HS256, ES256, EdDSA] {
        let refused = build(&[RS256, other]);
        assert!(matches!(refused, Err(ConfigError::KeyAlgorithmMismatch(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn the_client_sends_accept_and_user_agent() {
    let a = Signer::new("a");
    let server = Server::start().await;
    server.serves("/keys?p=b2c", Answer::keys(&set(&[&a])));
    server.keys("/keys?p=b2c").ready().await.unwrap();
    let request = &server.requests()[0];
    assert!(request.head.starts_with("get /keys?p=b2c http/1.1\r\n"), "{}", request.head);
    let host = server.origin.trim_start_matches("http://");
    for line in [
        // The API server of Kubernetes answers 406 unless it is asked for its own type.
        "accept: application/json, application/jwk-set+json, */*;q=0.1",
        "accept-encoding: identity",
        &format!("host: {host}"),
    ] {
        assert!(request.head.lines().any(|this| this == line), "{}", request.head);
    }
    assert!(request.head.contains("\r\nuser-agent: tower-bearer/"));
    assert!(!request.head.contains("if-none-match"));
}

#[tokio::test]
async fn cache_control_of_the_answer_sets_the_lifetime() {
    let a = Signer::new("a");
    let server = Server::start().await;
    let headers = "Cache-Control: public, max-age=7200\r\nAge: 200\r\n".to_owned();
    server.serves("/keys", Answer::Says(200, headers, set(&[&a])));
    let clock = server.clock.clone();
    let keys = server.keys("/keys");
    keys.ready().await.unwrap();
    clock.advance(Duration::from_secs(6_999));
    assert!(keys.health().is_fresh());
    clock.advance(Duration::from_secs(1));
    assert!(!keys.health().is_fresh() && keys.health().is_usable());
}
