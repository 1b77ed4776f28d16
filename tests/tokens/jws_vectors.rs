//! The JWS examples of RFC 7520 section 4 and RFC 8037 appendix A.4, each beside one that is a bit off.
//!
//! Their payloads are no claims, so they stop at the JWS level.

#![cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]

use tower_bearer::{ConfigError, Key, KeySet, jws::JwsError};

/// RFC 7520 section 4, figure 7, in base64url.
const FRODO: &str = concat!(
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9h",
    "ZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3",
    "ZXB0IG9mZiB0by4",
);

/// RFC 7520 section 3.3, without what `{}` stands for.
const RSA: &str = concat!(
    r#"{"kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig","e":"AQAB","alg":"{}","n":""#,
    "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2w",
    "qVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bT",
    "wJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5",
    r#"iaiQkqgc5gHdrNP5zw"}"#,
);

/// Verified with `jwk` it yields its payload; with one bit of its signature turned it does not.
#[track_caller]
fn assert_verifies(jwk: &str, jws: &str, payload: &[u8]) {
    let keys = KeySet::from(Key::from_jwk_json(jwk).unwrap());
    assert_eq!(keys.verify_compact(jws.as_bytes()).as_deref(), Ok(payload));
    let signature = jws.rfind('.').unwrap() + 1;
    // The first character of the signature carries six of its bits: turn the lowest of them.
    let off = match jws.as_bytes()[signature] {
        first @ (b'A'..=b'Z' | b'a'..=b'z') => ((first - 1) ^ 1) + 1,
        first => first ^ 1,
    };
    let off = format!("{}{}{}", &jws[..signature], char::from(off), &jws[signature + 1..]);
    assert_eq!(keys.verify_compact(off.as_bytes()), Err(JwsError::BadSignature), "{off}");
}

/// The text of figure 7; its apostrophes are U+2019.
fn frodo() -> Vec<u8> {
    "It\u{2019}s a dangerous business, Frodo, going out your door. You step onto the road, and if you don't \
     keep your feet, there\u{2019}s no knowing where you might be swept off to."
        .as_bytes()
        .to_vec()
}

fn jws(header: &str, signature: &str) -> String {
    [header, FRODO, signature].join(".")
}

#[test]
fn rfc_7520_section_4_1_is_rs256() {
    let jws = jws(
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
        concat!(
            "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB",
            "-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxn",
            "t8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcI",
            "e8u9ipH84ogoree7vjbU5y18kDquDg",
        ),
    );
    assert_verifies(&RSA.replace("{}", "RS256"), &jws, &frodo());
}

#[test]
fn rfc_7520_section_4_2_is_ps384() {
    let jws = jws(
        "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
        concat!(
            "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6",
            "_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3",
            "lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6G",
            "YmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
        ),
    );
    assert_verifies(&RSA.replace("{}", "PS384"), &jws, &frodo());
}

#[test]
fn rfc_7520_section_4_3_is_es512() {
    let jwk = concat!(
        r#"{"kty":"EC","kid":"bilbo.baggins@hobbiton.example","use":"sig","crv":"P-521","#,
        r#""x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt","#,
        r#""y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1"}"#,
    );
    let jws = jws(
        "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
        concat!(
            "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDy",
            "YjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2",
        ),
    );
    match Key::from_jwk_json(jwk) {
        Err(ConfigError::UnsupportedByBackend(_)) if cfg!(not(feature = "aws-lc-rs")) => {}
        _ => assert_verifies(jwk, &jws, &frodo()),
    }
}

#[test]
fn rfc_7520_section_4_4_is_hs256() {
    let jwk = concat!(
        r#"{"kty":"oct","kid":"018c0ae5-4d9b-471b-bfd6-eef314bc7037","use":"sig","alg":"HS256","#,
        r#""k":"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"}"#,
    );
    let jws = jws(
        "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9",
        "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
    );
    assert_verifies(jwk, &jws, &frodo());
}

#[test]
fn rfc_8037_appendix_a_4_is_ed25519() {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let jws = concat!(
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    assert_verifies(jwk, jws, b"Example of Ed25519 signing");
}
