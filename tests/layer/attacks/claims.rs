//! Rows 40 to 53: what the claims of a token that is genuinely signed may not be.

use std::{net::TcpListener, time::Duration};

use tower_bearer::{Issuer, Key, RejectionKind, claims::MAX_LEEWAY};

use super::{
    forge::{CLAIMS, claims_with, hs256, issuer_with, sign_with_secret},
    server::Server,
};
use crate::common::{
    requests::{NOW, issuer, token_with},
    tokens::{SECRET, sign_hs256, sign_hs256_with},
};

const HEADER: &str = r#"{"alg":"HS256"}"#;
/// The outcome of a token that is admitted.
const GOOD: Option<RejectionKind> = None;

async fn assert_outcome(server: &Server, claims: &str, refused: Option<RejectionKind>) {
    let token = sign_hs256(HEADER, claims);
    match refused {
        None => server.assert_admitted(&token).await,
        Some(kind) => server.assert_refused(&token, kind).await,
    }
}

/// A good claim set but for the value of `exp`.
fn with_exp(exp: &str) -> String {
    CLAIMS.replace("1800000060", exp)
}

/// A good claim set but for its `aud`, with the comma in front.
fn with_aud(aud: &str) -> String {
    CLAIMS.replace(r#","aud":"api://orders""#, aud)
}

fn with_iss(iss: &str) -> String {
    CLAIMS.replace(r#""https://issuer.example""#, iss)
}

#[tokio::test]
async fn row_40_an_exp_of_another_type_is_rejected_and_never_absent() {
    let server = Server::start().await;
    assert_outcome(&server, &with_exp("1800000060"), GOOD).await;
    for exp in [
        "\"1800000060\"",
        "\"never\"",
        "\"\"",
        "true",
        "false",
        "null",
        "[]",
        "[1800000060]",
        "{}",
        "{\"exp\":1800000060}",
    ] {
        assert_outcome(&server, &with_exp(exp), Some(RejectionKind::InvalidClaim)).await;
    }
}

#[tokio::test]
async fn row_41_an_exp_out_of_range_is_rejected_without_overflow() {
    let server = Server::start().await;
    for exp in ["1800000060", "9007199254740992"] {
        assert_outcome(&server, &with_exp(exp), GOOD).await;
    }
    for exp in ["0", "1", "0.5", "0e99", "1e-300", "1799999970"] {
        assert_outcome(&server, &with_exp(exp), Some(RejectionKind::Expired)).await;
    }
    for exp in [
        "-1",
        "-1800000060",
        "-0.1",
        "-1e308",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "18446744075509551676",
        "1e300",
        "99999999999999999999999999999999999999",
    ] {
        assert_outcome(&server, &with_exp(exp), Some(RejectionKind::InvalidClaim)).await;
    }
    for exp in ["1e999", "-1e999", "NaN", "Infinity", "-Infinity", "0x6b49d200"] {
        assert_outcome(&server, &with_exp(exp), Some(RejectionKind::MalformedClaims)).await;
    }
}

#[tokio::test]
async fn row_42_a_fraction_of_exp_is_cut_off() {
    let strict = || [issuer().with_leeway(Duration::ZERO)];
    let before = Server::trusting_at(NOW + 59, strict()).await;
    let at = Server::trusting_at(NOW + 60, strict()).await;
    for exp in ["1800000060", "1800000060.0", "1800000060.9", "1800000060.99999999999999999999"] {
        assert_outcome(&before, &with_exp(exp), GOOD).await;
        assert_outcome(&at, &with_exp(exp), Some(RejectionKind::Expired)).await;
    }
}

#[tokio::test]
async fn row_43_a_token_without_exp_is_rejected() {
    let server = Server::start().await;
    assert_outcome(&server, CLAIMS, GOOD).await;
    for name in ["", "Exp", "EXP", "exp ", "expires", "nbf"] {
        let claims = match name {
            "" => CLAIMS.replace(r#","exp":1800000060"#, ""),
            "nbf" => CLAIMS.replace(r#""exp":1800000060"#, r#""nbf":1799999999"#),
            name => CLAIMS.replace(r#""exp""#, &format!("\"{name}\"")),
        };
        assert_outcome(&server, &claims, Some(RejectionKind::MissingClaim)).await;
    }
}

#[tokio::test]
async fn row_44_nbf_and_iat_beyond_the_leeway_or_of_another_type_are_rejected() {
    let server = Server::start().await;
    for (claim, kind) in
        [("nbf", RejectionKind::NotYetValid), ("iat", RejectionKind::IssuedInFuture)]
    {
        let with = |value: &str| claims_with(&format!(r#""{claim}":{value}"#));
        for value in ["0", "1800000000", "1800000030", "1800000030.9"] {
            assert_outcome(&server, &with(value), GOOD).await;
        }
        for value in ["1800000031", "1800003600", "9007199254740992"] {
            assert_outcome(&server, &with(value), Some(kind)).await;
        }
        for value in ["\"0\"", "\"\"", "null", "true", "false", "[0]", "{}", "-1", "1e300"] {
            assert_outcome(&server, &with(value), Some(RejectionKind::InvalidClaim)).await;
        }
    }
}

#[tokio::test]
async fn row_45_leeway_saturates_at_both_ends_of_time() {
    let widest = || [issuer().with_leeway(MAX_LEEWAY)];
    let last = "9007199254740992";
    let from_the_beginning = with_exp(last).replace('}', r#","nbf":0,"iat":0}"#);
    for now in [0, 1, 299, 300, 301, (1 << 53) + 299] {
        let server = Server::trusting_at(now, widest()).await;
        assert_outcome(&server, &from_the_beginning, GOOD).await;
    }
    for now in [(1 << 53) + 300, u64::MAX - 300, u64::MAX - 1, u64::MAX] {
        let server = Server::trusting_at(now, widest()).await;
        assert_outcome(&server, &from_the_beginning, Some(RejectionKind::Expired)).await;
    }
    let beginning = Server::trusting_at(0, widest()).await;
    assert_outcome(&beginning, &with_exp("0"), GOOD).await;
    let later = Server::trusting_at(300, widest()).await;
    assert_outcome(&later, &with_exp("0"), Some(RejectionKind::Expired)).await;
    for (claim, kind) in
        [("nbf", RejectionKind::NotYetValid), ("iat", RejectionKind::IssuedInFuture)]
    {
        let claims = claims_with(&format!(r#""{claim}":{last}"#));
        assert_outcome(&beginning, &claims, Some(kind)).await;
    }
}

#[tokio::test]
async fn row_46_an_aud_without_the_exact_member_is_rejected() {
    let server = Server::start().await;
    for aud in [
        r#","aud":"api://orders""#,
        r#","aud":["api://orders"]"#,
        r#","aud":["api://stock","api://orders"]"#,
        r#","aud":"\u0061pi://orders""#,
    ] {
        assert_outcome(&server, &with_aud(aud), GOOD).await;
    }
    assert_outcome(&server, &with_aud(""), Some(RejectionKind::MissingClaim)).await;
    for aud in [
        r#""""#,
        r#"[""]"#,
        r#""api://stock""#,
        r#"["api://stock"]"#,
        r#""api://order""#,
        r#""api://orders2""#,
        r#""xapi://orders""#,
        r#""api""#,
        r#""api://orders api://stock""#,
        r#""api://orders,api://stock""#,
        r#"["api://order","s"]"#,
        r#""*""#,
        r#""api://*""#,
    ] {
        let claims = with_aud(&format!(r#","aud":{aud}"#));
        assert_outcome(&server, &claims, Some(RejectionKind::WrongAudience)).await;
    }
    for aud in [
        "[]",
        "null",
        "true",
        "0",
        "{}",
        r#"{"api://orders":"api://orders"}"#,
        r#"["api://orders",0]"#,
        r#"["api://orders",null]"#,
        r#"[["api://orders"]]"#,
    ] {
        let claims = with_aud(&format!(r#","aud":{aud}"#));
        assert_outcome(&server, &claims, Some(RejectionKind::InvalidClaim)).await;
    }
}

#[tokio::test]
async fn row_47_an_aud_is_compared_byte_by_byte() {
    let expected = "https://api.example/orders";
    let key = || Key::hs256(SECRET).unwrap();
    let server =
        Server::trusting([Issuer::new("https://issuer.example", key()).audience(expected)]).await;
    let claims = |aud: &str| with_aud(&format!(r#","aud":"{aud}""#));
    assert_outcome(&server, &claims(expected), GOOD).await;
    for aud in [
        "https://api.example/orders/",
        "http://api.example/orders",
        "api.example/orders",
        "//api.example/orders",
        "HTTPS://api.example/orders",
        "https://API.example/orders",
        "https://api.example/Orders",
        "https://api.example:443/orders",
        "https://api.example/orders?",
        "https://api.example/orders#",
        "https://api.example/./orders",
        "https://api.example/%6frders",
        " https://api.example/orders",
        "https://api.example/orders ",
        "https://api.example/orders\\u0000",
        "https://api.ex\u{430}mple/orders",
    ] {
        assert_outcome(&server, &claims(aud), Some(RejectionKind::WrongAudience)).await;
    }
}

#[tokio::test]
async fn row_48_an_iss_is_compared_byte_by_byte() {
    let server = Server::start().await;
    for iss in [r#""https://issuer.example""#, r#""https:\/\/issuer.example""#] {
        assert_outcome(&server, &with_iss(iss), GOOD).await;
    }
    for iss in [
        "https://issuer.example/",
        "https://issuer.exampl",
        "https://issuer",
        "https://",
        "issuer.example",
        "http://issuer.example",
        "HTTPS://ISSUER.EXAMPLE",
        "https://Issuer.example",
        "https://issuer.example.evil.example",
        "https://issuer.example@evil.example",
        "https://evil.example/https://issuer.example",
        "https://issuer.example ",
        " https://issuer.example",
        "https://issuer.example\\u0000",
        "https://issuer.ex\u{430}mple",
        "https://i\\u017fsuer.example",
        "https://issuer.example,https://issuer.example",
    ] {
        let claims = with_iss(&format!("\"{iss}\""));
        assert_outcome(&server, &claims, Some(RejectionKind::UnknownIssuer)).await;
    }
    for iss in [r#"["https://issuer.example"]"#, "[]", "null", "0", "true", "{}", r#""""#] {
        assert_outcome(&server, &with_iss(iss), Some(RejectionKind::InvalidClaim)).await;
    }
    let without = CLAIMS.replace(r#""iss":"https://issuer.example","#, "");
    assert_outcome(&server, &without, Some(RejectionKind::MissingClaim)).await;
}

/// The keys of an issuer that is not configured are not looked for anywhere.
#[tokio::test]
async fn row_49_no_request_is_sent_to_an_unknown_iss() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::start().await;
    assert_outcome(&server, CLAIMS, GOOD).await;
    for scheme in ["http", "https"] {
        let claims = with_iss(&format!("\"{scheme}://{address}\""));
        assert_outcome(&server, &claims, Some(RejectionKind::UnknownIssuer)).await;
    }
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    // A connection would have been seen.
    let _connection = std::net::TcpStream::connect(address).unwrap();
    assert!(listener.accept().is_ok());
}

#[tokio::test]
async fn row_50_a_key_of_one_issuer_cannot_sign_for_another() {
    let (our_secret, other_secret) = (SECRET, [9; 32]);
    for kid in ["", r#","kid":"k""#] {
        let key = |secret: &[u8]| {
            let key = Key::hs256(secret).unwrap();
            if kid.is_empty() { key } else { key.with_key_id("k") }
        };
        let other =
            Issuer::new("https://other.example", key(&other_secret)).audience("api://orders");
        let server = Server::trusting([issuer_with(key(our_secret)), other]).await;
        let header = format!(r#"{{"alg":"HS256"{kid}}}"#);
        let ours = CLAIMS.to_owned();
        let others = with_iss(r#""https://other.example""#);
        let sign = |secret: &[u8], claims: &str| sign_hs256_with(secret, &header, claims);
        server.assert_admitted(&sign(our_secret, &ours)).await;
        server.assert_admitted(&sign(&other_secret, &others)).await;
        for token in [sign(&other_secret, &ours), sign(our_secret, &others)] {
            server.assert_refused(&token, RejectionKind::BadSignature).await;
        }
    }
}

#[tokio::test]
async fn row_51_names_that_are_not_strings_are_rejected() {
    let server = Server::start().await;
    for claim in ["sub", "jti", "sid"] {
        let with = |value: &str| {
            let without = CLAIMS.replace(r#""sub":"me","#, "");
            without.replace('}', &format!(r#","{claim}":{value}}}"#))
        };
        assert_outcome(&server, &with("\"me\""), GOOD).await;
        for value in ["0", "1", "null", "true", "{}", r#"{"id":"me"}"#, "[]", r#"["me"]"#, "\"\""] {
            assert_outcome(&server, &with(value), Some(RejectionKind::InvalidClaim)).await;
        }
    }
}

#[tokio::test]
async fn row_52_tokens_of_another_kind_are_not_access_tokens() {
    let server = Server::start().await;
    let typed = |typ: &str| hs256(&format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#));
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
        server.assert_admitted(&typed(typ)).await;
    }
    for typ in [
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
        "oauth-authz-req+jwt",
        "rt+jwt",
        "JWE",
        "JOSE",
        "at+jwt+x",
        "application/application/at+jwt",
        "text/at+jwt",
        "",
    ] {
        server.assert_refused(&typed(typ), RejectionKind::WrongType).await;
    }
    let with = |members: &str| sign_with_secret(HEADER, claims_with(members));
    for kind in ["access", "private", "Bearer"] {
        server.assert_admitted(&with(&format!(r#""token_type":"{kind}""#))).await;
    }
    let refresh = with(r#""token_type":"refresh""#);
    server.assert_refused(&refresh, RejectionKind::WrongTokenUse).await;

    // An id_token is meant for a client, so its `aud` is not this service.
    let id_token = with_aud(r#","aud":"client-1","nonce":"n","at_hash":"h""#);
    assert_outcome(&server, &id_token, Some(RejectionKind::WrongAudience)).await;
    // Where client and service have one name, `typ` tells them apart (RFC 9068 section 4).
    let strict = Server::trusting([issuer().require_typ("at+jwt")]).await;
    for typ in ["at+jwt", "application/at+jwt"] {
        strict.assert_admitted(&typed(typ)).await;
    }
    for token in [typed("JWT"), hs256(HEADER)] {
        strict.assert_refused(&token, RejectionKind::WrongType).await;
    }
    // Refresh tokens by another claim, as a policy may name it.
    let policy = Server::trusting([issuer().require_claim_value("token_use", "access")]).await;
    policy.assert_admitted(&with(r#""token_use":"access""#)).await;
    for members in [r#""token_use":"id""#, r#""token_use":["access"]"#] {
        policy.assert_refused(&with(members), RejectionKind::WrongTokenUse).await;
    }
    policy.assert_refused(&hs256(HEADER), RejectionKind::MissingClaim).await;
}

/// The issuer may sign log-out tokens and security events with the keys of its access tokens.
#[tokio::test]
async fn a_token_with_events_is_never_an_access_token() {
    let servers = [
        Server::start().await,
        Server::trusting([issuer().allow_null_claims().allow_unverified_cnf()]).await,
    ];
    let headers = [HEADER, r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"alg":"HS256","typ":"at+jwt"}"#];
    for (server, header) in servers.iter().flat_map(|server| headers.map(|it| (server, it))) {
        let with = |members: &str| sign_with_secret(header, claims_with(members));
        // A name that only looks like it is a claim like any other.
        for twin in [r#""event":{}"#, r#""Events":{}"#, r#""own":{"events":{}}"#] {
            server.assert_admitted(&with(twin)).await;
        }
        for events in [
            r#"{"http://schemas.openid.net/event/backchannel-logout":{}}"#,
            r#"{"https://schemas.openid.net/secevent/caep/event-type/session-revoked":{}}"#,
            "{}",
            "[]",
            "null",
            r#""""#,
            "0",
        ] {
            let token = with(&format!(r#""events":{events}"#));
            server.assert_refused(&token, RejectionKind::WrongTokenUse).await;
        }
        let escaped = with(r#""\u0065vents":{}"#);
        server.assert_refused(&escaped, RejectionKind::WrongTokenUse).await;
    }
}

#[tokio::test]
async fn row_53_a_token_that_is_bound_to_a_key_is_not_a_bearer_token() {
    let server = Server::start().await;
    let lenient = Server::trusting([issuer().allow_unverified_cnf()]).await;
    server.assert_admitted(&hs256(HEADER)).await;
    for cnf in [
        r#"{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#,
        r#"{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}"#,
        r#"{"jwk":{"kty":"EC"}}"#,
        r#"{"unknown":1}"#,
        // What cannot be read is no reason to look away.
        "{}",
        "null",
        "false",
        "[]",
        "\"\"",
        "0",
    ] {
        let token = token_with(&format!(r#""exp":1800000060,"cnf":{cnf}"#));
        server.assert_refused(&token, RejectionKind::UnverifiedConfirmation).await;
        lenient.assert_admitted(&token).await;
    }
}
