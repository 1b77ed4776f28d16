//! Recognises a public key that was passed as an HMAC secret (RFC 8725 section 3.1), for the constructors of `Key`.
//!
//! A public key is known to everyone, so an HMAC with it proves nothing. Servers read secrets and keys from files and
//! variables, where it is easy to confuse the two (CVE-2023-48223, CVE-2026-34950). This module recognises:
//!
//! 1. DER: a `SubjectPublicKeyInfo`, an `RSAPublicKey`, a certificate.
//! 2. Text with a PEM block anywhere in it, whatever text comes before.
//! 3. A JSON Web Key or a set of them.
//! 4. Any of these in base64 or base64url, with or without padding, in lines, and also encoded several times.
//!
//! In text, white space, byte order marks and the zeros of UTF-16 are ignored.

use base64_simd::STANDARD_NO_PAD;
use x509_cert::{
    Certificate,
    der::{Decode as _, asn1::UintRef},
    spki::SubjectPublicKeyInfoRef,
};
use zeroize::Zeroizing;

pub(super) fn is_public_key(secret: &[u8]) -> bool {
    is_public_der(secret) || is_public_text(secret)
}

fn is_public_text(secret: &[u8]) -> bool {
    let is_text =
        |byte: &u8| !matches!(byte, b' ' | b'\t'..=b'\r' | 0 | 0xEF | 0xBB | 0xBF | 0xFE | 0xFF);
    let mut text = Zeroizing::new(Vec::with_capacity(secret.len()));
    text.extend(secret.iter().copied().filter(is_text));
    let is_json = matches!(text.first(), Some(b'{' | b'['));
    contains(&text, b"-----BEGIN")
        || is_json && contains(&text, b"\"kty\"")
        || from_base64(&mut text).is_some_and(|bytes| is_public_key(&bytes))
}

/// Decodes text in either alphabet. Padding is optional.
fn from_base64(text: &mut [u8]) -> Option<Zeroizing<Vec<u8>>> {
    for byte in text.iter_mut() {
        match byte {
            b'-' => *byte = b'+',
            b'_' => *byte = b'/',
            _ => {}
        }
    }
    let end = text.iter().rposition(|byte| *byte != b'=')? + 1;
    let text = text.get(..end)?;
    STANDARD_NO_PAD.decode_to_vec(text).ok().map(Zeroizing::new)
}

/// Whether this is a public key or a certificate, for any algorithm.
fn is_public_der(der: &[u8]) -> bool {
    SubjectPublicKeyInfoRef::from_der(der).is_ok()
        || Certificate::from_der(der).is_ok()
        || matches!(Vec::<UintRef<'_>>::from_der(der).as_deref(), Ok([_, _]))
}

pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
