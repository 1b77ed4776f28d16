//! Reads a token's text for the verifier: the three parts of the compact serialisation (RFC 7515 section 7.1), and the
//! protected header (RFC 7515 section 4).
//!
//! 1. [`Compact`] splits the token and decodes its parts. It accepts only canonical base64url.
//! 2. [`Header`] reads the members that this crate uses, rejects extensions, and ignores all other members.
//! 3. [`KnownHeaders`] remembers the headers of verified tokens: an issuer writes the same few headers again and again.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use base64_simd::{AsOut as _, URL_SAFE_NO_PAD};
use memchr::memchr;
use smallvec::SmallVec;

use super::{Algorithm, JwsError};
use crate::json::{Object, Value};

/// The three parts of a compact JWS, still encoded.
#[derive(Clone, Copy)]
pub(crate) struct Compact<'a> {
    signing_input: &'a [u8],
    header: &'a [u8],
    /// May be empty (RFC 7515 section 7.1 allows it). An empty payload is then rejected as claims, because it is not
    /// JSON.
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Compact<'a> {
    /// Splits `token` at its two dots.
    ///
    /// The length is checked before any byte is read. A token without exactly two dots costs one pass. The alphabet of
    /// each part is checked when the part is decoded. Every part is decoded before a token is accepted.
    pub(crate) fn parse(token: &'a [u8], max_len: usize) -> Result<Self, JwsError> {
        if token.len() > max_len {
            return Err(JwsError::TooLong);
        }
        Self::split(token).ok_or(JwsError::NotCompact)
    }

    fn split(token: &'a [u8]) -> Option<Self> {
        let (header, rest) = split_at_dot(token)?;
        let (payload, signature) = split_at_dot(rest)?;
        if header.is_empty() || signature.is_empty() || memchr(b'.', signature).is_some() {
            return None;
        }
        let signing_input = token.get(..header.len() + 1 + payload.len())?;
        Some(Self { signing_input, header, payload, signature })
    }

    /// The bytes that are signed: header, dot and payload as they were sent.
    pub(crate) fn signing_input(&self) -> &'a [u8] {
        self.signing_input
    }

    /// The header as it was sent.
    pub(crate) fn encoded_header(&self) -> &'a [u8] {
        self.header
    }

    pub(crate) fn decode_header<'s>(&self, scratch: &'s mut Scratch) -> Result<&'s [u8], JwsError> {
        decode_to_scratch(self.header, scratch)
    }

    /// Allocates exactly the needed size, because the caller keeps the bytes.
    pub(crate) fn decode_payload(&self) -> Result<Vec<u8>, JwsError> {
        decode_base64url(self.payload).ok_or(JwsError::NotCompact)
    }

    pub(crate) fn decode_signature<'s>(
        &self,
        scratch: &'s mut Scratch,
    ) -> Result<&'s [u8], JwsError> {
        decode_to_scratch(self.signature, scratch)
    }
}

/// A buffer for decoded bytes that are not kept. It is on the stack for up to 512 bytes, the signature of a 4096-bit
/// RSA key.
pub(crate) type Scratch = SmallVec<[u8; 512]>;

fn decode_to_scratch<'s>(part: &[u8], scratch: &'s mut Scratch) -> Result<&'s [u8], JwsError> {
    scratch.clear();
    scratch.resize(decoded_length(part.len()), 0);
    decode_into(part, scratch).ok_or(JwsError::NotCompact)?;
    Ok(scratch)
}

pub(crate) fn decode_base64url(text: &[u8]) -> Option<Vec<u8>> {
    // It does not zero the memory first. An allocator may take a slower way for zeroed memory.
    let bytes = URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
    (bytes.len() == decoded_length(text.len())).then_some(bytes)
}

/// Decodes one part: base64url without padding, whose unused last bits are zero. So two different texts never decode to
/// the same bytes (RFC 7515 section 2, RFC 4648 section 3.5).
fn decode_into(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    let length = bytes.len();
    let decoded = URL_SAFE_NO_PAD.decode(text, bytes.as_out()).ok()?;
    (decoded.len() == length).then_some(())
}

/// Four characters encode three bytes. One leftover character encodes no byte, and the decoder rejects it.
fn decoded_length(characters: usize) -> usize {
    characters / 4 * 3 + (characters % 4).saturating_sub(1)
}

fn split_at_dot(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memchr(b'.', bytes)?;
    Some((bytes.get(..dot)?, bytes.get(dot + 1..)?))
}

/// The longest accepted `kid`, in bytes.
const MAX_KEY_ID: usize = 1024;

/// The members that this crate uses.
///
/// `jwk`, `jku`, `x5u`, `x5c`, `x5t` and unknown members are ignored. Keys come only from the key set, so such a member
/// neither helps an attacker nor makes a valid token invalid (RFC 8725 section 3.10). `zip` is ignored too. Only a JWE
/// can have it, but LinkedIn writes `"zip":"RS256"` into valid tokens. Nothing is ever decompressed.
pub(crate) struct Header<'a> {
    algorithm: Algorithm,
    key_id: Option<Cow<'a, str>>,
    typ: Option<Cow<'a, str>>,
}

impl<'a> Header<'a> {
    /// Reads the decoded header.
    pub(crate) fn parse(json: &'a [u8]) -> Result<Self, JwsError> {
        let members =
            str::from_utf8(json).ok().and_then(Object::parse).ok_or(JwsError::MalformedHeader)?;
        // These extensions change the meaning of the bytes. This crate implements none of them, so it cannot accept
        // them (RFC 7515 section 4.1.11). `enc` belongs to a JWE, which is not a JWS. The values do not matter.
        if ["crit", "b64", "enc"].into_iter().any(|name| members.get(name).is_some()) {
            return Err(JwsError::UnsupportedHeader);
        }
        let name = members.get("alg").and_then(Value::as_cow).ok_or(JwsError::MalformedHeader)?;
        let algorithm = Algorithm::from_name(&name).ok_or(JwsError::UnsupportedAlgorithm)?;
        let key_id = text(&members, "kid")?;
        if key_id.as_ref().is_some_and(|id| id.len() > MAX_KEY_ID) {
            return Err(JwsError::MalformedHeader);
        }
        let typ = text(&members, "typ")?;
        // A nested token would need a second verification (RFC 7519 section 5.2).
        if text(&members, "cty")?.is_some_and(|cty| is_jwt(&cty)) {
            return Err(JwsError::UnsupportedHeader);
        }
        Ok(Self { algorithm, key_id, typ })
    }

    /// Reads the header of a token.
    pub(crate) fn read(token: &Compact<'_>) -> Result<Header<'static>, JwsError> {
        let mut scratch = Scratch::new();
        Ok(Header::parse(token.decode_header(&mut scratch)?)?.to_static())
    }

    /// A copy that does not borrow.
    pub(crate) fn to_static(&self) -> Header<'static> {
        let owned = |text: Option<&str>| text.map(|text| Cow::Owned(text.to_owned()));
        Header { algorithm: self.algorithm, key_id: owned(self.key_id()), typ: owned(self.typ()) }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    pub(crate) fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }
}

/// A member that must be a string if it is present.
fn text<'a>(members: &Object<'a>, name: &str) -> Result<Option<Cow<'a, str>>, JwsError> {
    match members.get(name) {
        None => Ok(None),
        Some(value) => value.as_cow().map(Some).ok_or(JwsError::MalformedHeader),
    }
}

/// Media types are compared without case, and `application/` is optional (RFC 7515 section 4.1.10).
fn is_jwt(cty: &str) -> bool {
    cty.eq_ignore_ascii_case("JWT") || cty.eq_ignore_ascii_case("application/JWT")
}

/// The number of remembered headers. They are compared one by one.
const CAPACITY: usize = 16;

/// If the list is full, one in this many verified tokens with an unknown header replaces the oldest header. So headers
/// of rotated keys get a place, and more headers than fit do not rewrite the list at every request.
const REPLACE_ONE_IN: usize = 1_024;

/// Remembers parsed headers by their encoded bytes.
///
/// Parsing a header is a pure function of its bytes, so a remembered header equals a header that is parsed again. The
/// key set still decides each time which keys a header means. Only headers under a verified signature are remembered,
/// so an attacker without a key cannot fill the list.
pub(crate) struct KnownHeaders {
    list: ArcSwap<Vec<Arc<KnownHeader>>>,
    unknown: AtomicUsize,
}

struct KnownHeader {
    encoded: Box<[u8]>,
    header: Header<'static>,
}

/// The list at one moment.
pub(crate) struct Snapshot(Guard<Arc<Vec<Arc<KnownHeader>>>>);

impl KnownHeaders {
    pub(crate) fn new() -> Self {
        Self { list: ArcSwap::default(), unknown: AtomicUsize::new(0) }
    }

    pub(crate) fn load(&self) -> Snapshot {
        Snapshot(self.list.load())
    }

    /// Remembers a header that was not in the list. Call it after the token's signature is verified.
    pub(crate) fn remember(&self, encoded: &[u8], header: &Header<'_>) {
        let unknown = self.unknown.fetch_add(1, Ordering::Relaxed);
        if self.list.load().len() >= CAPACITY && !unknown.is_multiple_of(REPLACE_ONE_IN) {
            return;
        }
        let known = Arc::new(KnownHeader { encoded: encoded.into(), header: header.to_static() });
        self.list.rcu(|list| {
            let others = list.iter().filter(|other| other.encoded != known.encoded);
            let kept = others.take(CAPACITY - 1).map(Arc::clone);
            std::iter::once(Arc::clone(&known)).chain(kept).collect::<Vec<_>>()
        });
    }
}

impl Snapshot {
    pub(crate) fn find(&self, encoded: &[u8]) -> Option<&Header<'static>> {
        self.0.iter().find(|known| *known.encoded == *encoded).map(|known| &known.header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(token: &str) -> Result<[String; 3], JwsError> {
        let compact = Compact::parse(token.as_bytes(), 8192)?;
        assert_eq!(compact.signing_input, [compact.header, b".", compact.payload].concat());
        Ok([compact.header, compact.payload, compact.signature]
            .map(|part| String::from_utf8(part.to_vec()).unwrap()))
    }

    #[test]
    fn three_parts_are_split_at_their_dots() {
        assert_eq!(parts("aA0.-_.z9"), Ok(["aA0", "-_", "z9"].map(str::to_owned)));
        let [header, payload, signature] = ["h".repeat(95), "p".repeat(64), "s".repeat(33)];
        let token = format!("{header}.{payload}.{signature}");
        assert_eq!(parts(&token), Ok([header, payload, signature]));
    }

    #[test]
    fn the_payload_alone_may_be_empty() {
        assert_eq!(parts("a..c"), Ok(["a", "", "c"].map(str::to_owned)));
        for token in ["", ".", "..", ".b.c", "a.b.", "a..", ".b.", "..c"] {
            assert_eq!(parts(token), Err(JwsError::NotCompact), "{token:?}");
        }
    }

    #[test]
    fn any_other_number_of_dots_is_refused() {
        for token in ["abc", "a.b", "a.b.c.d", "a.b.c.", ".a.b.c", "a...b", "a.b..c", "a.b.c.d.e"] {
            assert_eq!(parts(token), Err(JwsError::NotCompact), "{token:?}");
        }
        assert_eq!(parts(&".".repeat(8192)), Err(JwsError::NotCompact));
        assert_eq!(parts(&"a.".repeat(4096)), Err(JwsError::NotCompact));
    }

    #[test]
    fn bytes_outside_the_alphabet_are_rejected_at_every_position() {
        let good = format!("{}.{}.{}", "h".repeat(70), "p".repeat(70), "s".repeat(70));
        assert!(parts(&good).is_ok());
        for place in 0..good.len() {
            for byte in [
                b'=', b'+', b'/', b' ', b'?', b'\n', 0, 0x7f, 0x80, 0xff, b'@', b'[', b'`', b'{',
                b':',
            ] {
                let mut bad = good.clone().into_bytes();
                bad[place] = byte;
                let refused = Compact::parse(&bad, 8192).and_then(|compact| {
                    let scratch = &mut Scratch::new();
                    compact.decode_header(scratch)?;
                    compact.decode_payload()?;
                    compact.decode_signature(scratch).map(|_| ())
                });
                assert_eq!(refused, Err(JwsError::NotCompact), "{byte} at {place}");
            }
        }
    }

    #[test]
    fn exactly_the_64_characters_are_the_alphabet() {
        let is_decoded = |byte: &u8| decode_base64url(&[*byte, b'A', b'A', b'A']).is_some();
        let alphabet: Vec<u8> = (0..=u8::MAX).filter(is_decoded).collect();
        assert_eq!(alphabet, b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz");
        for length in [1, 2, 3, 5, 31, 32, 33, 64, 65, 200] {
            let padding = vec![b'A'; length];
            for byte in (0..=u8::MAX).filter(|byte| !alphabet.contains(byte)) {
                let part = [&padding[..], &[byte, b'A'], &padding[..]].concat();
                assert_eq!(decode_base64url(&part), None, "{byte:#x} after {length}");
            }
        }
    }

    #[test]
    fn one_byte_over_the_limit_is_too_long_whatever_it_is() {
        assert!(Compact::parse(b"a.b.c", 5).is_ok());
        assert_eq!(Compact::parse(b"a.b.c", 4).map(|_| ()), Err(JwsError::TooLong));
        assert_eq!(Compact::parse(&[0; 5], 4).map(|_| ()), Err(JwsError::TooLong));
    }

    #[test]
    fn only_canonical_base64url_is_decoded() {
        assert_eq!(decode_base64url(b"_-8"), Some(vec![0xff, 0xef]));
        assert_eq!(decode_base64url(b""), Some(vec![]));
        // Nonzero trailing bits, a lone last character, padding, the other alphabet, white space.
        for part in ["_-9", "_-8A_", "_-8=", "/+8", "_-8\n", " _-8", "_-?8"] {
            assert_eq!(decode_base64url(part.as_bytes()), None, "{part:?}");
            let look = decode_to_scratch(part.as_bytes(), &mut Scratch::new()).map(<[u8]>::len);
            assert_eq!(look, Err(JwsError::NotCompact), "{part:?}");
        }
    }
}

#[cfg(test)]
mod header_tests {
    use super::*;

    fn refusal(json: &str) -> Option<JwsError> {
        Header::parse(json.as_bytes()).err()
    }

    #[test]
    fn algorithm_key_id_and_type_are_read() {
        let header = Header::parse(br#"{"typ":"at+jwt","alg":"ES256","kid":"k\u00e91"}"#).unwrap();
        assert_eq!(header.algorithm(), Algorithm::ES256);
        assert_eq!(header.key_id(), Some("k\u{e9}1"));
        assert_eq!(header.typ(), Some("at+jwt"));
        let header = Header::parse(br#"{"alg":"HS256"}"#).unwrap();
        assert!(header.key_id().is_none() && header.typ().is_none());
    }

    #[test]
    fn an_escaped_name_is_the_same_name() {
        assert_eq!(refusal(r#"{"\u0061lg":"HS256"}"#), None);
        assert_eq!(
            refusal(r#"{"alg":"HS256","\u0063rit":["exp"]}"#),
            Some(JwsError::UnsupportedHeader)
        );
    }

    #[test]
    fn a_text_that_is_not_a_strict_object_is_malformed() {
        assert_eq!(refusal(r#"{"alg":"HS256"}"#), None);
        for json in [
            "",
            "null",
            "[]",
            r#""alg""#,
            "{}",
            r#"{"alg":"HS256"} {}"#,
            r#"{"alg":"HS256","alg":"HS256"}"#,
            r#"{"alg":"HS256","\u0061lg":"HS256"}"#,
            "\u{feff}{\"alg\":\"HS256\"}",
        ] {
            assert_eq!(refusal(json), Some(JwsError::MalformedHeader), "{json}");
        }
        assert!(Header::parse(b"{\"alg\":\"HS256\",\"kid\":\"\xff\"}").is_err());
    }

    #[test]
    fn alg_is_one_of_the_known_names_exactly() {
        for name in [
            "none",
            "None",
            "NONE",
            "nOnE",
            "",
            "hs256",
            "HS256 ",
            " HS256",
            "HS256\\u0000",
            "HS1",
            "ES256K",
            "RSA-OAEP",
            "dir",
        ] {
            let json = format!(r#"{{"alg":"{name}"}}"#);
            assert_eq!(refusal(&json), Some(JwsError::UnsupportedAlgorithm), "{json}");
        }
        for value in ["null", "256", "true", r#"["HS256"]"#, r#"{"a":"HS256"}"#] {
            let json = format!(r#"{{"alg":{value}}}"#);
            assert_eq!(refusal(&json), Some(JwsError::MalformedHeader), "{json}");
        }
    }

    #[test]
    fn extensions_are_refused_whatever_their_value() {
        for name in ["crit", "b64", "enc"] {
            for value in ["null", "true", "[]", r#"["exp"]"#, r#""DEF""#, "0", "{}"] {
                let json = format!(r#"{{"alg":"HS256","{name}":{value}}}"#);
                assert_eq!(refusal(&json), Some(JwsError::UnsupportedHeader), "{json}");
            }
        }
    }

    #[test]
    fn members_that_name_keys_and_unknown_members_are_ignored() {
        for member in [
            r#""jwk":{"kty":"oct","k":"AAAA"}"#,
            r#""jku":"https://attacker.example""#,
            r#""x5u":7"#,
            r#""x5c":["MIIB"]"#,
            r#""x5t":null"#,
            r#""x5t#S256":"""#,
            r#""Crit":["x"]"#,
            r#""p2c":1000000"#,
            r#""zip":"RS256""#,
            r#""zip":"NONE""#,
            r#""zip":"DEF""#,
            r#""zip":null"#,
        ] {
            assert_eq!(refusal(&format!(r#"{{"alg":"HS256",{member}}}"#)), None, "{member}");
        }
    }

    #[test]
    fn kid_typ_and_cty_are_strings() {
        for name in ["kid", "typ", "cty"] {
            assert_eq!(refusal(&format!(r#"{{"alg":"HS256","{name}":"a\u0000/../b"}}"#)), None);
            for value in ["null", "1", "[]", r#"["a"]"#, "{}", "false"] {
                let json = format!(r#"{{"alg":"HS256","{name}":{value}}}"#);
                assert_eq!(refusal(&json), Some(JwsError::MalformedHeader), "{json}");
            }
        }
    }

    #[test]
    fn a_kid_has_at_most_1024_bytes() {
        let with = |length| format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(length));
        assert_eq!(refusal(&with(1024)), None);
        assert_eq!(refusal(&with(1025)), Some(JwsError::MalformedHeader));
    }

    #[test]
    fn a_nested_token_is_refused() {
        for cty in ["JWT", "jwt", "Jwt", "application/jwt", "APPLICATION/JWT"] {
            let json = format!(r#"{{"alg":"HS256","cty":"{cty}"}}"#);
            assert_eq!(refusal(&json), Some(JwsError::UnsupportedHeader), "{json}");
        }
        assert_eq!(refusal(r#"{"alg":"HS256","cty":"application/json"}"#), None);
    }
}

#[cfg(test)]
mod known_header_tests {
    use super::*;

    fn remember(headers: &KnownHeaders, key_id: &str) {
        let json = format!("{{\"alg\":\"HS256\",\"kid\":\"{key_id}\"}}");
        headers.remember(key_id.as_bytes(), &Header::parse(json.as_bytes()).unwrap());
    }

    fn knows(headers: &KnownHeaders, key_id: &str) -> bool {
        let list = headers.load();
        let found = list.find(key_id.as_bytes());
        found.is_some_and(|header| header.key_id() == Some(key_id))
    }

    #[test]
    fn a_remembered_header_is_found_by_exactly_its_bytes() {
        let headers = KnownHeaders::new();
        assert!(!knows(&headers, "a"));
        remember(&headers, "a");
        remember(&headers, "a");
        assert!(knows(&headers, "a") && !knows(&headers, "") && !knows(&headers, "aa"));
        assert_eq!(headers.load().0.len(), 1);
    }

    #[test]
    fn a_full_list_seldom_replaces_its_oldest_header_by_a_new_one() {
        let headers = KnownHeaders::new();
        for number in 0..CAPACITY {
            remember(&headers, &number.to_string());
        }
        for _ in CAPACITY..REPLACE_ONE_IN {
            remember(&headers, "new");
        }
        assert!(!knows(&headers, "new") && knows(&headers, "0"));
        remember(&headers, "new");
        assert!(knows(&headers, "new") && !knows(&headers, "0") && knows(&headers, "1"));
        assert_eq!(headers.load().0.len(), CAPACITY);
    }
}
