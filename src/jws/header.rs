//! Reads the protected header (RFC 7515 section 4), for the verifier: which members are read, rejected and ignored.

use std::borrow::Cow;

use super::{Algorithm, Compact, JwsError, Scratch};
use crate::json::{Object, Value};

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

#[cfg(test)]
mod tests {
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
    fn what_is_no_strict_object_is_malformed() {
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
