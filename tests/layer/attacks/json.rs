//! Rows 32 to 35: header and claims are one strict JSON object each.

use tower_bearer::{BearerLayer, RejectionKind};

use super::{
    forge::{CLAIMS, claims_with, hs256, sign_with_secret},
    server::Server,
};
use crate::common::requests::builder;

const HEADER: &str = r#"{"alg":"HS256"}"#;

#[tokio::test]
async fn row_32_a_duplicate_name_is_rejected() {
    let server = Server::start().await;
    server.assert_admitted(&hs256(HEADER)).await;
    for header in [
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"HS256","typ":"JWT","typ":"JWT"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
        r#"{"alg":"HS256","x":1,"x":2}"#,
        r#"{"alg":"HS256","x":{"y":1,"y":1}}"#,
        r#"{"alg":"HS256","x":[[{"y":1,"y":1}]]}"#,
        r#"{"alg":"HS256","":1,"":1}"#,
    ] {
        server.assert_refused(&hs256(header), RejectionKind::MalformedHeader).await;
    }
    for members in [
        r#""exp":1800000060"#,
        r#""exp":9000000000"#,
        r#""aud":"api://orders""#,
        r#""aud":"api://stock""#,
        r#""iss":"https://issuer.example""#,
        r#""iss":"https://other.example""#,
        r#""sub":"admin""#,
        r#""x":1,"x":1"#,
        r#""x":{"y":{"z":1,"z":2}}"#,
        r#""x":[1,{"y":1,"y":1}]"#,
    ] {
        let token = sign_with_secret(HEADER, claims_with(members));
        server.assert_refused(&token, RejectionKind::MalformedClaims).await;
    }
    // One name at two levels is no duplicate.
    let token = sign_with_secret(
        r#"{"alg":"HS256","x":{"alg":"none"}}"#,
        claims_with(r#""x":{"exp":1,"sub":"admin"},"y":[{"exp":1},{"exp":2}]"#),
    );
    server.assert_admitted(&token).await;
}

#[tokio::test]
async fn row_33_an_escaped_name_is_the_same_name_and_only_utf_8_is_text() {
    let server = Server::start().await;
    server.assert_admitted(&hs256(HEADER)).await;
    let claims = |members: &str| sign_with_secret(HEADER, claims_with(members));
    server.assert_admitted(&hs256(r#"{"\u0061l\u0067":"HS256"}"#)).await;
    server.assert_admitted(&hs256(r#"{"alg":"\u0048S256"}"#)).await;
    let escaped = CLAIMS.replace(r#""exp""#, r#""\u0065xp""#);
    server.assert_admitted(&sign_with_secret(HEADER, escaped)).await;
    server.assert_admitted(&claims(r#""x":"\ud83d\ude00 \u00e9 é 😀""#)).await;

    for header in [r#"{"alg":"HS256","\u0061lg":"HS256"}"#, r#"{"al\u0067":"none","alg":"HS256"}"#]
    {
        server.assert_refused(&hs256(header), RejectionKind::MalformedHeader).await;
    }
    for members in
        [r#""\u0065xp":9000000000"#, r#""su\u0062":"admin""#, r#""x":{"y":1,"\u0079":1}"#]
    {
        server.assert_refused(&claims(members), RejectionKind::MalformedClaims).await;
    }

    let utf_16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    };
    let encodings = |text: &str| {
        let (start, end) = text.split_at(text.len() - 1);
        let with =
            |bytes: &[u8]| [start.as_bytes(), b",\"x\":\"", bytes, b"\"", end.as_bytes()].concat();
        [
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [b"\xfe\xff".to_vec(), utf_16(text, u16::to_be_bytes)].concat(),
            [b"\xff\xfe".to_vec(), utf_16(text, u16::to_le_bytes)].concat(),
            utf_16(text, u16::to_be_bytes),
            utf_16(text, u16::to_le_bytes),
            with(b"\xff"),
            with(b"\x80"),
            // Overlong forms, a surrogate, beyond the last character, and a sequence that is cut off.
            with(b"\xc0\xaf"),
            with(b"\xe0\x80\xaf"),
            with(b"\xed\xa0\x80"),
            with(b"\xf4\x90\x80\x80"),
            with(b"\xe2\x82"),
            // The same as escapes.
            with(br"\ud800"),
            with(br"\udc00"),
            with(br"\ud800\ud800"),
            with(br"\ud800x"),
            with(br"\u00g0"),
            with(br"\x41"),
            with(b"\x00"),
            with(b"\n"),
        ]
    };
    for bytes in encodings(HEADER) {
        let token = sign_with_secret(bytes, CLAIMS);
        server.assert_refused(&token, RejectionKind::MalformedHeader).await;
    }
    for bytes in encodings(CLAIMS) {
        let token = sign_with_secret(HEADER, bytes);
        server.assert_refused(&token, RejectionKind::MalformedClaims).await;
    }
}

#[tokio::test]
async fn row_34_claims_that_are_not_one_object_are_rejected() {
    let server = Server::start().await;
    server.assert_admitted(&hs256(HEADER)).await;
    let around = |text: &str| {
        vec![
            format!("[{text}]"),
            format!("{text}{text}"),
            format!("{text},"),
            format!("{text} x"),
            format!("{text}\0"),
            format!("{text}//"),
            format!("/**/{text}"),
            text[..text.len() - 1].to_owned(),
            text[1..].to_owned(),
            format!("{},}}", &text[..text.len() - 1]),
            text.replace('"', "'"),
            format!("{text:?}"),
        ]
    };
    let others = ["[]", "null", "true", "0", "\"\"", "", " ", "NaN", "undefined", "{", "}"];
    let others = || others.into_iter().map(str::to_owned);
    for header in around(HEADER).into_iter().chain(others()) {
        // Without any header the text is no compact token.
        let kind = if header.is_empty() {
            RejectionKind::MalformedToken
        } else {
            RejectionKind::MalformedHeader
        };
        server.assert_refused(&hs256(&header), kind).await;
    }
    for claims in around(CLAIMS).into_iter().chain(others()) {
        let token = sign_with_secret(HEADER, claims);
        server.assert_refused(&token, RejectionKind::MalformedClaims).await;
    }
    // Names by which a reader of JSON may take an object for a number, or for text that it never looked at.
    for name in ["Number", "RawValue"] {
        let value = format!(r#"{{"$serde_json::private::{name}":"1"}}"#);
        let header = hs256(&format!(r#"{{"alg":"HS256","x":{value}}}"#));
        server.assert_refused(&header, RejectionKind::MalformedHeader).await;
        let claims = sign_with_secret(HEADER, claims_with(&format!(r#""x":{value}"#)));
        server.assert_refused(&claims, RejectionKind::MalformedClaims).await;
    }
    // White space around the object is JSON's own.
    server
        .assert_admitted(&sign_with_secret(" {\"alg\" :\t\"HS256\"}\n", format!("\r\n {CLAIMS} ")))
        .await;
}

#[tokio::test]
async fn row_35_deep_nesting_and_huge_numbers_are_rejected() {
    let server = Server::start().await;
    server.assert_admitted(&hs256(HEADER)).await;
    // The object itself is the first level.
    let arrays = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", r#"{"x":"#.repeat(depth), "}".repeat(depth));
    let header = |value: &str| hs256(&format!(r#"{{"alg":"HS256","x":{value}}}"#));
    let claims = |value: &str| sign_with_secret(HEADER, claims_with(&format!(r#""x":{value}"#)));
    let digits = |count: usize| "9".repeat(count);

    for value in [
        arrays(31),
        objects(31),
        "1e300".to_owned(),
        "-1e308".to_owned(),
        "1e-400".to_owned(),
        digits(300),
    ] {
        server.assert_admitted(&header(&value)).await;
        server.assert_admitted(&claims(&value)).await;
    }
    for value in [
        arrays(32),
        objects(32),
        arrays(129),
        arrays(2_000),
        objects(900),
        "[".repeat(5_000),
        "1e309".to_owned(),
        "1e400".to_owned(),
        "-1e400".to_owned(),
        "1e99999999999999999999".to_owned(),
        digits(310),
        digits(5_000),
        "NaN".to_owned(),
        "Infinity".to_owned(),
        "0x10".to_owned(),
        "01".to_owned(),
        "1.".to_owned(),
        ".5".to_owned(),
        "+1".to_owned(),
        "1e".to_owned(),
    ] {
        server.assert_refused(&header(&value), RejectionKind::MalformedHeader).await;
        server.assert_refused(&claims(&value), RejectionKind::MalformedClaims).await;
    }
}

/// With a longer limit, as a service may set it, depth is still bounded.
#[tokio::test]
async fn row_35_a_hundred_thousand_levels_do_not_overflow_the_stack() {
    let authenticator = builder().with_max_token_length(1 << 20);
    let layer = BearerLayer::new(authenticator.build().unwrap());
    let server = Server::with(layer).await;
    server.assert_admitted(&hs256(HEADER)).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let claims = sign_with_secret(HEADER, claims_with(&format!(r#""x":{deep}"#)));
    server.assert_refused(&claims, RejectionKind::MalformedClaims).await;
    let header = hs256(&format!(r#"{{"alg":"HS256","x":{deep}}}"#));
    server.assert_refused(&header, RejectionKind::MalformedHeader).await;
}
