//! Rows 27 to 31, and 36 to 39: the text of a token, before anything in it is read.

use base64::{
    Engine,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};
use tower_bearer::RejectionKind;

use super::{
    forge::{
        CLAIMS, authenticate, claims_with, hs256, opened, parts, sign_with_secret, with_signature,
    },
    server::Server,
};
use crate::common::{requests::authenticator, tokens::base64url};

const HEADER: &str = r#"{"alg":"HS256"}"#;

async fn server() -> (Server, String) {
    let (server, good) = (Server::start().await, hs256(HEADER));
    server.assert_admitted(&good).await;
    (server, good)
}

async fn refuse_all<T: AsRef<str>>(
    server: &Server,
    kind: RejectionKind,
    tokens: impl IntoIterator<Item = T>,
) {
    for token in tokens {
        server.assert_refused(token.as_ref(), kind).await;
    }
}

#[tokio::test]
async fn row_27_a_token_without_exactly_three_parts_is_rejected() {
    let (server, good) = server().await;
    let [h, c, s] = parts(&good);
    refuse_all(
        &server,
        RejectionKind::MalformedToken,
        [
            h.to_owned(),
            format!("{h}.{c}"),
            format!("{h}.{c}."),
            format!(".{c}.{s}"),
            format!("..{s}"),
            format!("{h}.."),
            format!("{h}{c}{s}"),
            format!("{good}."),
            format!(".{good}"),
            format!("{good}.{s}"),
            format!("{h}..{c}.{s}"),
            format!("{h}.{c}..{s}"),
            format!("{good}.{h}.{c}"),
            format!("{h}.{c}.A"),
            ".".to_owned(),
            "..".to_owned(),
            "...".to_owned(),
            "a..b.c".to_owned(),
        ],
    )
    .await;
    let empty_claims = authenticate(&format!("{h}."));
    server.assert_refused(&empty_claims, RejectionKind::MalformedClaims).await;
    let (_, signature) = opened(&good);
    for length in [1, 16, 31] {
        let truncated = with_signature(&good, &signature[..length]);
        server.assert_refused(&truncated, RejectionKind::BadSignature).await;
    }
}

#[tokio::test]
async fn row_28_thousands_of_dots_are_rejected() {
    let (server, good) = server().await;
    let [h, c, s] = parts(&good);
    refuse_all(
        &server,
        RejectionKind::MalformedToken,
        [
            ".".repeat(8192),
            "a.".repeat(4096),
            format!("{good}{}", ".".repeat(4096)),
            format!("{}{good}", ".".repeat(4096)),
            format!("{h}{}{c}.{s}", ".".repeat(4096)),
        ],
    )
    .await;
    refuse_all(
        &server,
        RejectionKind::TokenTooLong,
        [".".repeat(8193), ".".repeat(300_000), "a.".repeat(150_000)],
    )
    .await;
}

/// Whatever is no b64token is a bad request and no bad token.
#[tokio::test]
async fn row_29_json_serialisations_and_jwe_are_rejected() {
    let (server, good) = server().await;
    let [h, c, s] = parts(&good);
    let flattened = format!(r#"{{"payload":"{c}","protected":"{h}","signature":"{s}"}}"#);
    let general =
        format!(r#"{{"payload":"{c}","signatures":[{{"protected":"{h}","signature":"{s}"}}]}}"#);
    let twice = format!(
        r#"{{"payload":"{c}","signatures":[{{"protected":"{h}","signature":"AA"}},{{"protected":"{h}","signature":"{s}"}}]}}"#
    );
    for json in [flattened, general, twice] {
        server.assert_refused(&json, RejectionKind::MalformedCredential).await;
        server.assert_refused(&base64url(&json), RejectionKind::MalformedToken).await;
        let three = format!("{}..", base64url(&json));
        server.assert_refused(&three, RejectionKind::MalformedToken).await;
    }
    let jwe = base64url(r#"{"alg":"dir","enc":"A128GCM"}"#);
    refuse_all(
        &server,
        RejectionKind::MalformedToken,
        [format!("{jwe}..AAAA.{c}.AAAA"), format!("{jwe}.AAAA.AAAA.{c}.AAAA")],
    )
    .await;
}

#[tokio::test]
async fn row_30_crit_is_rejected_whatever_it_contains() {
    let (server, _) = server().await;
    for header in [
        r#"{"alg":"HS256","crit":["exp"],"exp":1800000060}"#,
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":["bork"],"bork":1}"#,
        r#"{"alg":"HS256","crit":["http://example.invalid/x"]}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":["exp","exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":["alg"]}"#,
        r#"{"alg":"HS256","kid":"k","crit":["kid"]}"#,
        r#"{"alg":"HS256","crit":["crit"]}"#,
        r#"{"alg":"HS256","crit":[""]}"#,
        r#"{"alg":"HS256","crit":[1,null]}"#,
        r#"{"alg":"HS256","crit":"exp"}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","crit":false}"#,
        r#"{"alg":"HS256","crit":{"exp":true}}"#,
        r#"{"alg":"HS256","\u0063rit":["exp"]}"#,
    ] {
        server.assert_refused(&hs256(header), RejectionKind::UnsupportedHeader).await;
    }
    let two = r#"{"alg":"HS256","crit":[],"crit":["exp"]}"#;
    server.assert_refused(&hs256(two), RejectionKind::MalformedHeader).await;
    // What is not critical may be ignored (RFC 7515 section 4).
    for header in [r#"{"alg":"HS256","exp":1,"bork":{"a":[1]}}"#, r#"{"alg":"HS256","CRIT":[]}"#] {
        server.assert_admitted(&hs256(header)).await;
    }
}

#[tokio::test]
async fn row_31_an_unencoded_payload_is_rejected() {
    let (server, good) = server().await;
    for header in [
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","b64":true,"crit":["b64"]}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","b64":null}"#,
        r#"{"alg":"HS256","b64":"false"}"#,
    ] {
        server.assert_refused(&hs256(header), RejectionKind::UnsupportedHeader).await;
        // Signed as RFC 7797 would have it, sent with its claims encoded, and as they are.
        let header = base64url(header);
        let genuine = authenticate(&format!("{header}.{CLAIMS}"));
        let (_, code) = genuine.rsplit_once('.').unwrap();
        let encoded = format!("{header}.{}.{code}", parts(&good)[1]);
        server.assert_refused(&encoded, RejectionKind::UnsupportedHeader).await;
        server.assert_refused(&genuine, RejectionKind::MalformedCredential).await;
    }
}

/// A good token whose three parts all have unused bits in their last character and both characters that the two
/// alphabets of base64 disagree about.
fn token_with_everything() -> String {
    let has_everything =
        |part: &str| !part.len().is_multiple_of(4) && part.contains('-') && part.contains('_');
    (0..10_000)
        .map(|number| {
            let header = format!(r#"{{"alg":"HS256","x":"???>>>{}"}}"#, "x".repeat(number % 3));
            sign_with_secret(header, claims_with(&format!(r#""x":"???>>>{number}""#)))
        })
        .find(|token| parts(token).into_iter().all(has_everything))
        .unwrap()
}

/// The same bytes, or none, in other characters.
fn other_spellings(part: &str) -> Vec<String> {
    let (start, last) = part.split_at(part.len() - 1);
    // Its unused bits are zero; in the next character one is set.
    let next = char::from(last.as_bytes()[0] + 1);
    // A lone last character holds no byte.
    let lone = "A".repeat(5 - part.len() % 4);
    vec![
        format!("{start}{next}"),
        URL_SAFE.encode(URL_SAFE_NO_PAD.decode(part).unwrap()),
        format!("{part}="),
        format!("{part}=="),
        format!("{part}==="),
        format!("={part}"),
        part.replace('-', "+"),
        part.replace('_', "/"),
        part.replace('-', "+").replace('_', "/"),
        part.replacen('-', "~", 1),
        format!("{part}{lone}"),
    ]
}

#[tokio::test]
async fn row_36_there_is_one_spelling_of_each_token() {
    let server = Server::start().await;
    let good = token_with_everything();
    server.assert_admitted(&good).await;
    let [h, c, s] = parts(&good);
    // With a genuine code over what was sent, so that only the spelling is wrong.
    let headers = other_spellings(h).into_iter().map(|h| authenticate(&format!("{h}.{c}")));
    let claims = other_spellings(c).into_iter().map(|c| authenticate(&format!("{h}.{c}")));
    let signatures = other_spellings(s).into_iter().map(|s| format!("{h}.{c}.{s}"));
    for token in headers.chain(claims).chain(signatures) {
        // Over HTTP a `=` that is not at the end is no bad token but a bad request: it ends a b64token.
        let is_b64token = !token.trim_end_matches('=').contains('=');
        let kind = if is_b64token {
            RejectionKind::MalformedToken
        } else {
            RejectionKind::MalformedCredential
        };
        server.assert_refused(&token, kind).await;
        let rejection = authenticator().authenticate(&token).await.unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::MalformedToken, "{token}");
    }
}

/// White space, `?` and bytes that are no ASCII cannot stand in a credential, and line breaks not in a header: over
/// HTTP they are a bad request. Tokens that come another way have them refused as well.
#[tokio::test]
async fn row_36_bytes_outside_of_the_alphabet_are_rejected_at_any_position() {
    let (server, good) = server().await;
    let [h, c, s] = parts(&good);
    for odd in [" ", "\t", "?", "*", "%3D", "\u{e9}", "\"", "\u{ff0e}"] {
        for (token, signed) in [
            (format!("{h}{odd}.{c}.{s}"), authenticate(&format!("{h}{odd}.{c}"))),
            (format!("{h}.{odd}{c}.{s}"), authenticate(&format!("{h}.{odd}{c}"))),
            (format!("{h}.{c}.{s}{odd}A"), format!("{h}.{c}.{odd}{s}")),
        ] {
            for token in [token, signed] {
                server.assert_refused(&token, RejectionKind::MalformedCredential).await;
                let rejection = authenticator().authenticate(&token).await.unwrap_err();
                assert_eq!(rejection.kind(), RejectionKind::MalformedToken, "{token:?}");
            }
        }
    }
    for odd in ["\n", "\r", "\r\n", "\0", "\u{b}", "\u{feff}", "\u{a0}"] {
        for token in [
            format!("{good}{odd}"),
            format!("{odd}{good}"),
            authenticate(&format!("{h}{odd}.{c}")),
            authenticate(&format!("{h}.{c}{odd}")),
        ] {
            let rejection = authenticator().authenticate(&token).await.unwrap_err();
            assert_eq!(rejection.kind(), RejectionKind::MalformedToken, "{token:?}");
        }
    }
}

#[tokio::test]
async fn row_37_one_byte_over_the_limit_is_too_long() {
    let server = Server::start().await;
    let of_length = |length: usize| {
        let token = |pad: usize, more: usize| {
            let header = format!(r#"{{"alg":"HS256","x":"{}"}}"#, "x".repeat(more));
            sign_with_secret(header, claims_with(&format!(r#""x":"{}""#, "x".repeat(pad))))
        };
        (0..4)
            .flat_map(|more| (5_900..6_100).map(move |pad| (pad, more)))
            .map(|(pad, more)| token(pad, more))
            .find(|token| token.len() == length)
            .unwrap()
    };
    server.assert_admitted(&of_length(8_192)).await;
    server.assert_refused(&of_length(8_193), RejectionKind::TokenTooLong).await;
    server.assert_refused(&"a".repeat(8_193), RejectionKind::TokenTooLong).await;
    server.assert_refused(&"a".repeat(300_000), RejectionKind::TokenTooLong).await;
    server.assert_refused(&"a".repeat(8_192), RejectionKind::MalformedToken).await;
}

/// Claims of a good token in DEFLATE (RFC 1951).
const DEFLATED_CLAIMS: &[u8] = b"\xab\x56\xca\x2c\x2e\x56\xb2\x52\xca\x28\x29\x29\x28\xb6\xd2\xd7\
    \x07\xf2\x4a\x53\x8b\xf4\x52\x2b\x12\x73\x0b\x72\x52\x95\x74\x94\x12\x4b\x53\x80\xd2\x89\x05\x99\
    \x40\xc9\xfc\xa2\x94\xd4\xa2\x62\xa0\x60\x71\x69\x12\x48\x30\x25\x11\xc8\x4e\xad\x28\x50\xb2\x32\
    \xb4\x30\x00\x03\x33\x83\x5a\x00";

#[tokio::test]
async fn row_38_nothing_is_decompressed_and_no_password_is_stretched() {
    let (server, good) = server().await;
    let [_, c, s] = parts(&good);
    // `zip` is a member of a JWE alone: what a JWS does not know it ignores, and so does not decompress (RFC 7515
    // section 4).
    for zip in [r#""DEF""#, r#""RS256""#, r#""NONE""#, "null", "1"] {
        let header = format!(r#"{{"alg":"HS256","zip":{zip}}}"#);
        server.assert_admitted(&hs256(&header)).await;
        let compressed = sign_with_secret(&header, DEFLATED_CLAIMS);
        server.assert_refused(&compressed, RejectionKind::MalformedClaims).await;
        let jwe = format!("{}.AAAA.AAAA.{c}.{s}", base64url(header));
        server.assert_refused(&jwe, RejectionKind::MalformedToken).await;
    }
    for header in [
        r#"{"alg":"HS256","enc":"A128GCM"}"#,
        r#"{"alg":"dir","enc":"A128GCM","zip":"DEF"}"#,
        r#"{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"AA"}"#,
    ] {
        server.assert_refused(&hs256(header), RejectionKind::UnsupportedHeader).await;
        let jwe = format!("{}.AAAA.AAAA.{c}.{s}", base64url(header));
        server.assert_refused(&jwe, RejectionKind::MalformedToken).await;
    }
    for header in [
        r#"{"alg":"PBES2-HS512+A256KW","p2c":2147483647,"p2s":"AA"}"#,
        r#"{"alg":"dir"}"#,
        r#"{"alg":"RSA-OAEP"}"#,
        r#"{"alg":"ECDH-ES"}"#,
        r#"{"alg":"A128KW"}"#,
    ] {
        server.assert_refused(&hs256(header), RejectionKind::UnsupportedAlgorithm).await;
    }
    // Without its `alg` a `p2c` is an unknown member.
    server.assert_admitted(&hs256(r#"{"alg":"HS256","p2c":2147483647}"#)).await;
}

#[tokio::test]
async fn row_39_a_token_in_a_token_is_rejected() {
    let (server, good) = server().await;
    for cty in ["JWT", "jwt", "Jwt", "application/jwt", "APPLICATION/JWT"] {
        let header = format!(r#"{{"alg":"HS256","cty":"{cty}"}}"#);
        let nested = sign_with_secret(&header, &good);
        server.assert_refused(&nested, RejectionKind::UnsupportedHeader).await;
        server.assert_refused(&hs256(&header), RejectionKind::UnsupportedHeader).await;
    }
    for nested in [good.clone(), format!("\"{good}\""), hs256(r#"{"alg":"none"}"#)] {
        let token = sign_with_secret(HEADER, nested);
        server.assert_refused(&token, RejectionKind::MalformedClaims).await;
    }
    server
        .assert_refused(&hs256(r#"{"alg":"HS256","cty":1}"#), RejectionKind::MalformedHeader)
        .await;
    server.assert_admitted(&hs256(r#"{"alg":"HS256","cty":"json"}"#)).await;
}
