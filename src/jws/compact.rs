//! Strict reader of the compact serialisation (RFC 7515 section 7.1), for the verifier.

use base64_simd::{AsOut as _, URL_SAFE_NO_PAD};
use memchr::memchr;
use smallvec::SmallVec;

use super::JwsError;

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
        decode_for_a_look(self.header, scratch)
    }

    /// Allocates exactly the needed size, because the caller keeps the bytes.
    pub(crate) fn decode_payload(&self) -> Result<Vec<u8>, JwsError> {
        decode_base64url(self.payload).ok_or(JwsError::NotCompact)
    }

    pub(crate) fn decode_signature<'s>(
        &self,
        scratch: &'s mut Scratch,
    ) -> Result<&'s [u8], JwsError> {
        decode_for_a_look(self.signature, scratch)
    }
}

/// A buffer for decoded bytes that are not kept. It is on the stack for up to 512 bytes, the signature of a 4096-bit
/// RSA key.
pub(crate) type Scratch = SmallVec<[u8; 512]>;

fn decode_for_a_look<'s>(part: &[u8], scratch: &'s mut Scratch) -> Result<&'s [u8], JwsError> {
    scratch.clear();
    scratch.resize(decoded_length(part.len()), 0);
    decode_into(part, scratch).ok_or(JwsError::NotCompact)?;
    Ok(scratch)
}

pub(super) fn decode_base64url(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![0; decoded_length(text.len())];
    decode_into(text, &mut bytes)?;
    Some(bytes)
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
    fn bytes_outside_the_alphabet_are_refused_wherever_they_stand() {
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
            let look = decode_for_a_look(part.as_bytes(), &mut Scratch::new()).map(<[u8]>::len);
            assert_eq!(look, Err(JwsError::NotCompact), "{part:?}");
        }
    }
}
