//! Makes tokens from fuzz input. Most are well formed, with one or two unusual parts.

use std::fmt::Write;

use arbitrary::Arbitrary;

use crate::{AUDIENCE, ISSUER, signer::Signer};

#[derive(Debug, Arbitrary)]
pub struct Token<'a> {
    pub signer: Signer,
    /// Replaces the name of the signer's algorithm.
    alg: Option<Word<'a>>,
    header: Vec<Member<'a, HeaderName<'a>>>,
    claims: Vec<Member<'a, ClaimName<'a>>>,
    space: Space,
    forgery: u8,
    /// The time until the token expires: ten minutes, plus this many steps of eight seconds.
    end: i8,
}

#[derive(Debug, Arbitrary)]
struct Member<'a, N> {
    name: N,
    value: Json<'a>,
    /// Whether it is added next to an existing member of this name. Otherwise it replaces that member.
    is_added: bool,
    has_escapes: bool,
}

#[derive(Debug, PartialEq, Arbitrary)]
enum HeaderName<'a> {
    Typ,
    Kid,
    Cty,
    Alg,
    Extension(Extension),
    ReadByThem(ReadByThem),
    Other(&'a str),
}

#[derive(Debug, PartialEq, Arbitrary)]
enum Extension {
    Crit,
    B64,
    Enc,
}

/// Members whose type jsonwebtoken checks and this crate ignores (RFC 7515 section 4).
#[derive(Debug, PartialEq, Arbitrary)]
enum ReadByThem {
    Jwk,
    Jku,
    X5u,
    X5c,
    X5t,
    X5tS256,
    Url,
    Nonce,
    Zip,
}

#[derive(Debug, PartialEq, Arbitrary)]
enum ClaimName<'a> {
    Iss,
    Aud,
    Exp,
    Nbf,
    Iat,
    Sub,
    Jti,
    Sid,
    Scope,
    Scp,
    Cnf,
    TokenType,
    Other(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Json<'a> {
    Word(Word<'a>),
    /// Seconds from now.
    Seconds(i16),
    Fraction(i16, u8),
    Exponent(i64, i16),
    Integer(i64),
    Null,
    Bool(bool),
    List(Vec<Json<'a>>),
    Object(Vec<(&'a str, Json<'a>)>),
    Deep(u8),
}

#[derive(Debug, Arbitrary)]
enum Word<'a> {
    Issuer,
    Audience,
    Jwt,
    AccessToken,
    LongAccessToken,
    Refresh,
    Hs,
    Es,
    Hs256,
    Es256,
    EdDsa,
    None,
    Text(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Space {
    Without,
    Blank,
    Lines,
}

/// A token, and the same token without the header members that only jsonwebtoken reads.
#[derive(Debug)]
pub struct Texts {
    pub token: String,
    pub without_ignored: Option<String>,
    /// Whether dates have fractions. jsonwebtoken rounds them, and this crate truncates them.
    pub has_fractions: bool,
}

impl Token<'_> {
    pub fn render(&self, now: u64) -> Texts {
        let alg = match &self.alg {
            None => quoted(self.signer.alg(), false),
            Some(word) => quoted(word.text(), false),
        };
        let header = |keeps_ignored: bool| {
            let edits = self
                .header
                .iter()
                .filter(|member| keeps_ignored || !matches!(member.name, HeaderName::ReadByThem(_)))
                .map(|member| member.render(member.name.text(), now));
            self.object(vec![("alg", alg.clone(), false)], edits)
        };
        let base = vec![
            ("iss", quoted(ISSUER, false), false),
            ("aud", quoted(AUDIENCE, false), false),
            ("exp", (now + 600).saturating_add_signed(8 * i64::from(self.end)).to_string(), false),
        ];
        let claims = self.claims.iter().map(|member| member.render(member.name.text(), now));
        let claims = self.object(base, claims);
        let is_ignored =
            |member: &Member<'_, HeaderName<'_>>| matches!(member.name, HeaderName::ReadByThem(_));
        Texts {
            token: self.sign(&header(true), &claims),
            without_ignored: self
                .header
                .iter()
                .any(is_ignored)
                .then(|| self.sign(&header(false), &claims)),
            has_fractions: self
                .claims
                .iter()
                .any(|member| matches!(member.value, Json::Fraction(..) | Json::Exponent(..))),
        }
    }

    /// Most tokens are signed by the signer that they name. The others are common forgeries.
    fn sign(&self, header: &str, claims: &str) -> String {
        let [header, claims] = [header.as_bytes(), claims.as_bytes()];
        let token = self.signer.sign(header, claims);
        let (input, _) = token.rsplit_once('.').expect("a token has dots");
        match self.forgery {
            252 => format!("{input}."),
            253 => input.to_owned(),
            254 => Signer::ALL[(self.signer as usize + 1) % 3].sign(header, claims),
            255 => format!("{input}.{}", "A".repeat(token.len() - input.len() - 1)),
            _ => token,
        }
    }

    fn object<'n>(
        &self,
        mut members: Vec<(&'n str, String, bool)>,
        edits: impl Iterator<Item = (&'n str, String, bool, bool)>,
    ) -> String {
        for (name, value, has_escapes, is_added) in edits {
            match members.iter_mut().find(|(known, ..)| !is_added && *known == name) {
                Some(known) => *known = (name, value, has_escapes),
                None => members.push((name, value, has_escapes)),
            }
        }
        let space = match self.space {
            Space::Without => "",
            Space::Blank => " ",
            Space::Lines => "\r\n\t",
        };
        let members: Vec<String> = members
            .iter()
            .map(|(name, value, has_escapes)| {
                format!("{space}{}{space}:{space}{value}{space}", quoted(name, *has_escapes))
            })
            .collect();
        format!("{space}{{{}}}{space}", members.join(","))
    }
}

impl<N> Member<'_, N> {
    fn render<'n>(&self, name: &'n str, now: u64) -> (&'n str, String, bool, bool) {
        let mut value = String::new();
        self.value.render(now, self.has_escapes, &mut value);
        (name, value, self.has_escapes, self.is_added)
    }
}

impl HeaderName<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Typ => "typ",
            Self::Kid => "kid",
            Self::Cty => "cty",
            Self::Alg => "alg",
            Self::Extension(Extension::Crit) => "crit",
            Self::Extension(Extension::B64) => "b64",
            Self::Extension(Extension::Enc) => "enc",
            Self::ReadByThem(ReadByThem::Jwk) => "jwk",
            Self::ReadByThem(ReadByThem::Jku) => "jku",
            Self::ReadByThem(ReadByThem::X5u) => "x5u",
            Self::ReadByThem(ReadByThem::X5c) => "x5c",
            Self::ReadByThem(ReadByThem::X5t) => "x5t",
            Self::ReadByThem(ReadByThem::X5tS256) => "x5t#S256",
            Self::ReadByThem(ReadByThem::Url) => "url",
            Self::ReadByThem(ReadByThem::Nonce) => "nonce",
            Self::ReadByThem(ReadByThem::Zip) => "zip",
            Self::Other(name) => name,
        }
    }
}

impl ClaimName<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Iss => "iss",
            Self::Aud => "aud",
            Self::Exp => "exp",
            Self::Nbf => "nbf",
            Self::Iat => "iat",
            Self::Sub => "sub",
            Self::Jti => "jti",
            Self::Sid => "sid",
            Self::Scope => "scope",
            Self::Scp => "scp",
            Self::Cnf => "cnf",
            Self::TokenType => "token_type",
            Self::Other(name) => name,
        }
    }
}

impl Word<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Issuer => ISSUER,
            Self::Audience => AUDIENCE,
            Self::Jwt => "JWT",
            Self::AccessToken => "at+jwt",
            Self::LongAccessToken => "application/AT+JWT",
            Self::Refresh => "refresh",
            Self::Hs => "hs",
            Self::Es => "es",
            Self::Hs256 => "HS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::None => "none",
            Self::Text(text) => text,
        }
    }
}

impl Json<'_> {
    fn render(&self, now: u64, has_escapes: bool, text: &mut String) {
        let second = |offset: &i16| now.saturating_add_signed((*offset).into());
        let written = match self {
            Self::Word(word) => {
                text.push_str(&quoted(word.text(), has_escapes));
                Ok(())
            }
            Self::Seconds(offset) => write!(text, "{}", second(offset)),
            Self::Fraction(offset, part) => write!(text, "{}.{part}", second(offset)),
            Self::Exponent(number, exponent) => write!(text, "{number}e{exponent}"),
            Self::Integer(number) => write!(text, "{number}"),
            Self::Null => write!(text, "null"),
            Self::Bool(value) => write!(text, "{value}"),
            Self::List(elements) => {
                text.push('[');
                for (place, element) in elements.iter().enumerate() {
                    text.push_str(if place == 0 { "" } else { "," });
                    element.render(now, has_escapes, text);
                }
                text.push(']');
                Ok(())
            }
            Self::Object(members) => {
                text.push('{');
                for (place, (name, value)) in members.iter().enumerate() {
                    text.push_str(if place == 0 { "" } else { "," });
                    text.push_str(&quoted(name, has_escapes));
                    text.push(':');
                    value.render(now, has_escapes, text);
                }
                text.push('}');
                Ok(())
            }
            Self::Deep(levels) => {
                let levels = usize::from(*levels % 64);
                write!(text, "{}1{}", "[".repeat(levels), "]".repeat(levels))
            }
        };
        written.expect("writing to a string cannot fail");
    }
}

/// A JSON string. With `has_escapes`, its first character is written as an escape even if it needs none.
fn quoted(text: &str, has_escapes: bool) -> String {
    let plain = serde_json::to_string(text).expect("a string is JSON");
    match text.chars().next() {
        Some(first) if has_escapes => {
            let rest = serde_json::to_string(&text[first.len_utf8()..]).expect("a string is JSON");
            let mut escape = String::new();
            for unit in first.encode_utf16(&mut [0; 2]) {
                write!(escape, "\\u{unit:04x}").expect("writing to a string cannot fail");
            }
            format!("\"{escape}{}", &rest[1..])
        }
        _ => plain,
    }
}
