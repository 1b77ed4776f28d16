//! The grammar of compact JWS (RFC 7515 section 7.1) and the protected header.
//!
//! Input: one byte, and then a text. If the last bit of the byte is 0, the text is a whole token. If it is 1, the text
//! is a header, NUL, and a payload, and the target signs them.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tower_bearer::{
    Authenticator, KeySet, RejectionKind, UnixTime, claims::ManualClock, jws::JwsError,
};
use tower_bearer_fuzz::{
    NOW, block_on,
    policy::judge_jws_header,
    signer::{Signer, parts},
    trusted,
};

static KEYS: LazyLock<KeySet> = LazyLock::new(trusted::keys);

static AUTHENTICATOR: LazyLock<Authenticator> =
    LazyLock::new(|| trusted::builder(ManualClock::at(UnixTime::from_secs(NOW))).build().unwrap());

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        None => any_token(&[]),
        Some((choice, token)) if choice & 1 == 0 => any_token(token),
        Some((_, input)) => signed(input),
    }
});

fn any_token(token: &[u8]) {
    let verdict = KEYS.verify_compact(token);
    let parts = parts(token);
    match &parts {
        None => assert!(matches!(
            verdict,
            Err(JwsError::NotCompact
                | JwsError::MalformedHeader
                | JwsError::UnsupportedAlgorithm
                | JwsError::UnsupportedHeader)
        )),
        Some([header, payload, _]) => {
            let text = str::from_utf8(token).expect("base64url is ASCII");
            let is_good = judge_jws_header(header).is_ok_and(|(signer, _)| signer.has_signed(text));
            assert_ne!(verdict, Err(JwsError::NotCompact));
            assert_eq!(verdict.ok(), is_good.then(|| payload.clone()));
        }
    }
    if let Ok(text) = str::from_utf8(token) {
        let refused = block_on(AUTHENTICATOR.authenticate(text)).err().map(|error| error.kind());
        let expected = match (text.len(), parts.is_none()) {
            (8193.., _) => Some(RejectionKind::TokenTooLong),
            (_, true) => Some(RejectionKind::MalformedToken),
            _ => None,
        };
        match expected {
            Some(kind) => assert_eq!(refused, Some(kind)),
            None => assert_ne!(refused, Some(RejectionKind::MalformedToken)),
        }
    }
}

fn signed(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let (header, payload) = (parts.next().unwrap_or(&[]), parts.next().unwrap_or(&[]));
    let token = Signer::Hs256.sign(header, payload);
    let verdict = KEYS.verify_compact(token.as_bytes());
    let is_good = judge_jws_header(header).is_ok_and(|(signer, _)| signer == Signer::Hs256);
    assert_eq!(verdict.ok(), is_good.then(|| payload.to_vec()));
}
