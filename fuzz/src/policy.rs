//! A second implementation of the default policy of a verifier, with the values of serde_json.
//!
//! It trusts three keys: HS256 with `kid` `hs`, ES256 with `kid` `es`, EdDSA without one.

use serde_json::{Map, Value};

use crate::{
    AUDIENCE, ISSUER,
    json::{literals, strict},
    signer::{Signer, parts},
};

const LEEWAY: u64 = 30;
const MAX_TOKEN_LENGTH: usize = 8 * 1024;

/// The largest integer that every JSON reader reads exactly.
const MAX_SECONDS: u64 = 1 << 53;

/// The registered claims of an accepted token.
#[derive(Debug, PartialEq, Eq)]
pub struct Registered {
    pub subject: Option<String>,
    pub token_id: Option<String>,
    pub session_id: Option<String>,
    pub audience: Vec<String>,
    pub scopes: Vec<String>,
    pub expires_at: u64,
    pub not_before: Option<u64>,
    pub issued_at: Option<u64>,
}

/// Judges a token at this time. The error is the name of the rule that rejects it.
pub fn judge(token: &str, now: u64) -> Result<Registered, &'static str> {
    if token.len() > MAX_TOKEN_LENGTH {
        return Err("length");
    }
    let [header, claims, _] = parts(token.as_bytes()).ok_or("compact")?;
    let signer = judge_header(&header)?;
    if !signer.has_signed(token) {
        return Err("signature");
    }
    judge_claims(&claims, now)
}

/// The signer that the header of a token names.
pub fn judge_header(header: &[u8]) -> Result<Signer, &'static str> {
    let (signer, typ) = judge_jws_header(header)?;
    match typ.map(|typ| short(&typ)).as_deref() {
        None | Some("jwt" | "at+jwt") => Ok(signer),
        Some(_) => Err("typ"),
    }
}

/// The signer that the header of a JWS of any type names, and its `typ`.
pub fn judge_jws_header(header: &[u8]) -> Result<(Signer, Option<String>), &'static str> {
    let members = strict(header).ok_or("header")?;
    if ["crit", "b64", "enc"].iter().any(|name| members.contains_key(*name)) {
        return Err("extension");
    }
    let alg = members.get("alg").and_then(Value::as_str).ok_or("alg")?;
    let signer = Signer::of(alg).ok_or("alg")?;
    let kid = optional(&members, "kid")?;
    if kid.is_some_and(|kid| kid.len() > 1024) {
        return Err("kid");
    }
    let may_sign = match kid {
        None => true,
        Some("hs") => signer == Signer::Hs256,
        Some("es") => signer == Signer::Es256,
        Some(_) => signer == Signer::EdDsa,
    };
    if !may_sign {
        return Err("kid");
    }
    let typ = optional(&members, "typ")?;
    if optional(&members, "cty")?.is_some_and(|cty| short(cty) == "jwt") {
        return Err("cty");
    }
    Ok((signer, typ.map(str::to_owned)))
}

/// A media type in lower case, without `application/`.
pub(crate) fn short(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ).to_owned()
}

pub fn judge_claims(text: &[u8], now: u64) -> Result<Registered, &'static str> {
    let claims = strict(text).ok_or("claims")?;
    if claims.get("iss").is_some_and(Value::is_array) {
        return Err("iss array");
    }
    if claims.get("iss").and_then(Value::as_str) != Some(ISSUER) {
        return Err("iss");
    }
    let literals = literals(text);
    let date = |name| literals.get(name).map(|literal| seconds(literal.get()).ok_or("date"));
    let expires_at = date("exp").ok_or("exp")??;
    let not_before = date("nbf").transpose()?;
    let issued_at = date("iat").transpose()?;
    if now >= expires_at + LEEWAY {
        return Err("expired");
    }
    if [not_before, issued_at].into_iter().flatten().any(|date| date > now + LEEWAY) {
        return Err("not yet");
    }
    let audience = strings(&claims, "aud")?.ok_or("aud")?;
    if !audience.iter().any(|audience| audience == AUDIENCE) {
        return Err("aud");
    }
    let mut scopes = Vec::new();
    for name in ["scope", "scp"] {
        let is_array = claims.get(name).is_some_and(Value::is_array);
        let found = strings(&claims, name)?.unwrap_or_default();
        if is_array && found.iter().any(|scope| scope.contains(' ')) {
            return Err("scope");
        }
        let words = found.iter().flat_map(|scopes| scopes.split(' '));
        scopes.extend(words.filter(|scope| !scope.is_empty()).map(str::to_owned));
    }
    let name = |name| match optional(&claims, name)? {
        Some("") => Err("empty"),
        text => Ok(text.map(str::to_owned)),
    };
    let registered = Registered {
        subject: name("sub")?,
        token_id: name("jti")?,
        session_id: name("sid")?,
        audience,
        scopes,
        expires_at,
        not_before,
        issued_at,
    };
    if claims.get("token_type").and_then(Value::as_str) == Some("refresh") {
        return Err("token_type");
    }
    if claims.contains_key("events") {
        return Err("events");
    }
    if claims.contains_key("cnf") {
        return Err("cnf");
    }
    Ok(registered)
}

pub(crate) fn optional<'m>(
    members: &'m Map<String, Value>,
    name: &str,
) -> Result<Option<&'m str>, &'static str> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("type"),
    }
}

/// A string or an array of strings. An audience must not be empty.
fn strings(members: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, &'static str> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(vec![text.clone()])),
        Some(Value::Array(elements)) => {
            let strings = elements.iter().map(|element| element.as_str().map(str::to_owned));
            strings.collect::<Option<Vec<_>>>().map(Some).ok_or("type")
        }
        Some(_) => Err("type"),
    }
}

/// The whole seconds of a number. It reads digit by digit, because a double would round.
pub(crate) fn seconds(literal: &str) -> Option<u64> {
    if !literal.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    let exponent = i128::from(exponent.parse::<i64>().ok()?);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let leading = digits.len() - significant.len();
    // The number of significant digits before the decimal point.
    let places = whole.len() as i128 - leading as i128 + exponent;
    if significant.is_empty() || places <= 0 {
        return Some(0);
    }
    if places > 16 {
        return None;
    }
    let places = places as usize;
    let text: String = significant.chars().chain(std::iter::repeat('0')).take(places).collect();
    text.parse().ok().filter(|seconds| *seconds <= MAX_SECONDS)
}
