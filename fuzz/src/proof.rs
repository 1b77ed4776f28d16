//! A second implementation of the rules of DPoP proofs (RFC 9449 section 4.3), for one key and one public URL.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    json::{literals, strict},
    policy::{optional, seconds, short},
    signer::{Signer, base64url, parts},
};

/// The public URL of the service.
pub const PUBLIC_URL: &str = "https://api.example/v1";

const MAX_LENGTH: usize = 8 * 1024;
const MAX_AGE: u64 = 60;
const LEEWAY: u64 = 30;

/// The coordinates of the test key of `Signer::Es256`.
pub const X: &str = "tvhQf3MwXw7wskGbPDk2g__wc1xhc4bgiwX2W_pwMm4";
pub const Y: &str = "4k-_rAC69e5JsyK5LvoXGhjsGf0zoxBwTlZxa5ykuU8";

/// The RFC 7638 thumbprint of that key.
pub fn thumbprint() -> String {
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{X}","y":"{Y}"}}"#);
    base64url(Sha256::digest(members))
}

/// `ath` of a token.
pub fn token_hash(token: &str) -> String {
    base64url(Sha256::digest(token))
}

/// What a proof must be about.
pub struct Expected<'e> {
    pub method: &'e str,
    pub path: &'e str,
    pub token: &'e str,
    pub now: u64,
}

/// Judges a proof. The error is the name of the rule that rejects it.
pub fn judge(proof: &[u8], expected: &Expected<'_>) -> Result<(), &'static str> {
    if proof.len() > MAX_LENGTH {
        return Err("length");
    }
    let [header, claims, _] = parts(proof).ok_or("compact")?;
    judge_header(&header)?;
    judge_claims(&claims, expected)?;
    let proof = str::from_utf8(proof).map_err(|_| "compact")?;
    if Signer::Es256.has_signed(proof) { Ok(()) } else { Err("signature") }
}

fn judge_header(header: &[u8]) -> Result<(), &'static str> {
    let members = strict(header).ok_or("header")?;
    if ["crit", "b64", "enc"].iter().any(|name| members.contains_key(*name)) {
        return Err("extension");
    }
    if members.get("alg").and_then(Value::as_str) != Some("ES256") {
        return Err("alg");
    }
    if optional(&members, "kid")?.is_some_and(|kid| kid.len() > 1024) {
        return Err("kid");
    }
    if optional(&members, "cty")?.is_some_and(|cty| short(cty) == "jwt") {
        return Err("cty");
    }
    if optional(&members, "typ")?.map(short).as_deref() != Some("dpop+jwt") {
        return Err("typ");
    }
    match members.get("jwk") {
        Some(Value::Object(jwk)) => judge_key(jwk),
        _ => Err("jwk"),
    }
}

fn judge_key(jwk: &Map<String, Value>) -> Result<(), &'static str> {
    let present = |name: &str| {
        jwk.get(name).filter(|value| {
            !value.is_null() && !value.as_array().is_some_and(|elements| elements.is_empty())
        })
    };
    let is = |name: &str, text: &str| present(name).and_then(Value::as_str) == Some(text);
    if ["d", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|name| present(name).is_some()) {
        return Err("private");
    }
    let is_ours = is("kty", "EC") && is("crv", "P-256") && is("x", X) && is("y", Y);
    let may_be = |name: &str, text: &str| present(name).is_none() || is(name, text);
    if !is_ours || !may_be("use", "sig") || !may_be("alg", "ES256") {
        return Err("key");
    }
    if present("kid").is_some_and(|kid| !kid.is_string()) {
        return Err("kid of the key");
    }
    match present("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().all(Value::is_string) => {
            let verifies = operations.iter().any(|operation| operation == "verify");
            if verifies { Ok(()) } else { Err("key_ops") }
        }
        Some(_) => Err("key_ops"),
    }
}

fn judge_claims(text: &[u8], expected: &Expected<'_>) -> Result<(), &'static str> {
    let claims = strict(text).ok_or("claims")?;
    let jti = optional(&claims, "jti")?.ok_or("jti")?;
    if !(1..=256).contains(&jti.chars().count()) {
        return Err("jti");
    }
    optional(&claims, "nonce")?;
    if optional(&claims, "htm")? != Some(expected.method) {
        return Err("htm");
    }
    let target = Url::parse(&format!("{PUBLIC_URL}{}", expected.path)).ok_or("target")?;
    if Url::parse(optional(&claims, "htu")?.ok_or("htu")?) != Some(target) {
        return Err("htu");
    }
    if optional(&claims, "ath")? != Some(&*token_hash(expected.token)) {
        return Err("ath");
    }
    let literals = literals(text);
    let issued_at = literals.get("iat").and_then(|literal| seconds(literal.get())).ok_or("iat")?;
    if issued_at + MAX_AGE < expected.now || issued_at > expected.now + LEEWAY {
        return Err("time");
    }
    Ok(())
}

/// A URL in a form in which equivalent URLs are equal (RFC 3986 section 6.2.2 and 6.2.3).
#[derive(Debug, PartialEq, Eq)]
struct Url {
    is_secure: bool,
    host: String,
    port: String,
    /// Each byte, and whether it is percent-encoded.
    segments: Vec<Vec<(u8, bool)>>,
}

impl Url {
    /// `None` if it is not an `http` or `https` URL without credentials.
    fn parse(text: &str) -> Option<Self> {
        let text = text.split(['?', '#']).next()?;
        let colon = text.find(':')?;
        let (scheme, rest) =
            (text[..colon].to_ascii_lowercase(), text[colon..].strip_prefix("://")?);
        let is_secure = match scheme.as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let mut segments = rest.split('/').map(characters).collect::<Option<Vec<_>>>()?;
        let authority = segments.remove(0);
        let text = |characters: &[(u8, bool)]| {
            let text = characters.iter().map(|(byte, is_encoded)| match is_encoded {
                true => format!("%{byte:02x}"),
                false => char::from(*byte).to_ascii_lowercase().to_string(),
            });
            text.collect::<String>()
        };
        let authority = text(&authority);
        if authority.contains('@') {
            return None;
        }
        // The last colon outside of brackets begins the port.
        let (host, port) = match authority.rfind(':') {
            Some(colon) if authority.rfind(']').is_none_or(|bracket| bracket < colon) => {
                (&authority[..colon], &authority[colon + 1..])
            }
            _ => (&*authority, ""),
        };
        let default_port = if is_secure { "443" } else { "80" };
        let port = if port == default_port { "" } else { port };
        if host.is_empty() {
            return None;
        }
        Some(Self {
            is_secure,
            host: host.to_owned(),
            port: port.to_owned(),
            segments: without_dots(segments),
        })
    }
}

/// The bytes of a part of a URL. Encoded unreserved characters are the same as plain ones.
fn characters(text: &str) -> Option<Vec<(u8, bool)>> {
    let mut bytes = text.bytes();
    let mut characters = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let value = digit(digits[0])? * 16 + digit(digits[1])?;
            let value = u8::try_from(value).ok()?;
            let is_unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
            characters.push((value, !is_unreserved));
        } else if (b'!'..=b'~').contains(&byte) && !br#""<>\^`{|}"#.contains(&byte) {
            characters.push((byte, false));
        } else {
            return None;
        }
    }
    Some(characters)
}

fn without_dots(segments: Vec<Vec<(u8, bool)>>) -> Vec<Vec<(u8, bool)>> {
    let dot = (b'.', false);
    let count = segments.len();
    let mut kept = Vec::new();
    for (position, segment) in segments.into_iter().enumerate() {
        let is_dot = segment == [dot];
        let is_double = segment == [dot, dot];
        if is_double {
            kept.pop();
        }
        if !is_dot && !is_double {
            kept.push(segment);
        } else if position + 1 == count {
            kept.push(Vec::new());
        }
    }
    // A URL without a path has the path `/`.
    if kept.is_empty() {
        kept.push(Vec::new());
    }
    kept
}
