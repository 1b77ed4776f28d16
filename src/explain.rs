//! Explains to an operator why a token is accepted or rejected. Clients never see this.

use std::{any, fmt};

use base64_simd::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{Issuer, KeySet, RejectionKind, UnixTime, verifier::Verifier};

/// The longest text of a token that is shown. The rest is cut off.
const SHOWN: usize = 200;

/// Why an [`Authenticator`](crate::Authenticator) accepts or rejects a token:
/// [`Authenticator::explain`](crate::Authenticator::explain) makes it.
///
/// It is safe to print. Of the token it has only `alg`, `kid`, `typ`, `iss`, `aud`, `exp`, `nbf`, `iat`, `tid` and the
/// scopes, without control characters. It never has the signature, `sub`, `jti` or other claims.
///
/// `Display` writes one line for each check. `Serialize` writes the same as an object, with times in seconds since the
/// Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    checks: Vec<ExplainedCheck>,
    rejection: Option<RejectionKind>,
    now: UnixTime,
}

/// One check of the [list](crate::Authenticator#checks).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExplainedCheck {
    /// The number of the check in the list.
    pub number: u8,
    /// The name of the check.
    pub name: &'static str,
    /// How it ended.
    pub outcome: CheckOutcome,
    /// What the configuration expects.
    pub expected: String,
    /// What the token has, by name. Empty if it has nothing that may be shown.
    pub found: Vec<Found>,
}

/// A part of a token that may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Found {
    /// The name of the member or of the property.
    pub name: &'static str,
    /// Its value.
    pub value: FoundValue,
}

/// The value of a [`Found`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FoundValue {
    /// A text, without control characters and at most 200 characters long.
    Text(String),
    /// A time.
    Time(UnixTime),
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CheckOutcome {
    /// The token satisfies the check.
    Passed,
    /// The token does not satisfy it, or it could not be answered. It is the reason for the rejection.
    Failed,
    /// The configuration does not ask for the check.
    Skipped,
    /// An earlier check has failed.
    NotReached,
}

impl Explanation {
    /// Every check, in its order.
    #[must_use]
    pub fn checks(&self) -> &[ExplainedCheck] {
        &self.checks
    }

    /// The check that failed, if the token is rejected.
    #[must_use]
    pub fn failed(&self) -> Option<&ExplainedCheck> {
        self.checks.iter().find(|check| check.outcome == CheckOutcome::Failed)
    }

    /// Why the token is rejected. `None` if it is accepted.
    #[must_use]
    pub fn rejection(&self) -> Option<RejectionKind> {
        self.rejection
    }

    /// The time of the checks.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.now
    }

    /// `reached` is the number of the last check that began.
    pub(crate) fn new<C>(
        verifier: &Verifier<C>,
        token: &str,
        reached: u8,
        outcome: Result<(), RejectionKind>,
        has_revocation: bool,
    ) -> Self {
        let shown = Shown::of(token, verifier.max_token_length());
        let issuer = shown.claim("iss").and_then(Value::as_str);
        let issuer = issuer.and_then(|name| verifier.issuer_named(name));
        let describe = Describe { verifier, shown: &shown, issuer, token };
        let is_skipped = |number| match number {
            8 => issuer.is_some_and(|issuer| issuer.tenants().is_none()),
            15 => !verifier.has_checks(),
            16 => !has_revocation,
            17 => !verifier.has_async_checks(),
            // There is no request, and so no proof.
            18 => true,
            _ => false,
        };
        let checks = NAMES.iter().zip(1..).map(|(name, number)| {
            let outcome = match number.cmp(&reached) {
                _ if is_skipped(number) && (number < reached || outcome.is_ok()) => {
                    CheckOutcome::Skipped
                }
                std::cmp::Ordering::Equal if outcome.is_err() => CheckOutcome::Failed,
                std::cmp::Ordering::Greater if outcome.is_err() => CheckOutcome::NotReached,
                _ => CheckOutcome::Passed,
            };
            let (expected, found) = describe.check(number);
            ExplainedCheck { number, name, outcome, expected, found }
        });
        Self { checks: checks.collect(), rejection: outcome.err(), now: verifier.now() }
    }
}

/// The names of the checks, in their order.
const NAMES: [&str; 18] = [
    "length",
    "compact form",
    "protected header",
    "claims are JSON",
    "issuer",
    "type",
    "signature",
    "tenant",
    "times",
    "audience",
    "required claims",
    "binding to a key",
    "id for revocation",
    "claims fit their type",
    "own checks",
    "revocation",
    "asynchronous checks",
    "first use of the proof",
];

/// The parts of a token that can be read, whether or not the token is valid. This reader is lenient, because it only
/// shows; it decides nothing.
struct Shown {
    parts: usize,
    /// The number of the first part that is not base64url.
    undecodable: Option<usize>,
    header: Option<Map<String, Value>>,
    claims: Option<Map<String, Value>>,
}

impl Shown {
    fn of(token: &str, max_length: usize) -> Self {
        if token.len() > max_length {
            return Self { parts: 0, undecodable: None, header: None, claims: None };
        }
        let mut parts = token.split('.');
        let mut object = || {
            let bytes = URL_SAFE_NO_PAD.decode_to_vec(parts.next()?).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        let (header, claims) = (object(), object());
        let is_undecodable = |part: &str| URL_SAFE_NO_PAD.decode_to_vec(part).is_err();
        let undecodable = token.split('.').position(is_undecodable).map(|position| position + 1);
        Self { parts: token.split('.').count(), undecodable, header, claims }
    }

    /// `None` if the token is too long to be read.
    fn describe_parts(&self) -> Option<String> {
        let parts = (self.parts > 0).then(|| self.parts.to_string())?;
        Some(match self.undecodable {
            Some(part) => format!("{parts}, and part {part} is not base64url"),
            None => parts,
        })
    }

    fn header(&self, name: &str) -> Option<&Value> {
        self.header.as_ref()?.get(name)
    }

    fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.as_ref()?.get(name)
    }
}

struct Describe<'a, C> {
    verifier: &'a Verifier<C>,
    shown: &'a Shown,
    issuer: Option<&'a Issuer>,
    token: &'a str,
}

impl<C> Describe<'_, C> {
    /// What is expected and what was found.
    fn check(&self, number: u8) -> (String, Vec<Found>) {
        let shown = self.shown;
        let header = |name| text(name, shown.header(name));
        let claim = |name| text(name, shown.claim(name));
        match number {
            1 => {
                let expected = format!("at most {} bytes", self.verifier.max_token_length());
                (expected, vec![Found::text("length", format!("{} bytes", self.token.len()))])
            }
            2 => {
                let parts = shown.describe_parts().map(|parts| Found::text("parts", parts));
                ("three parts of base64url without padding".into(), parts.into_iter().collect())
            }
            3 => {
                let found = ["alg", "kid", "typ"].into_iter().filter_map(header).collect();
                ("a known `alg`, no `crit`, `b64` and `enc`".into(), found)
            }
            4 => {
                let is_object = if shown.claims.is_some() { "an object" } else { "not an object" };
                let expected = "a JSON object without duplicate names".into();
                (expected, vec![Found::text("claims", is_object)])
            }
            5 => (one_of(self.verifier.issuer_names()), claim("iss").into_iter().collect()),
            6 => {
                let expected = self.issuer.map_or_else(String::new, Issuer::describe_types);
                (expected, vec![header("typ").unwrap_or_else(|| Found::absent("typ"))])
            }
            7 => self.signature(),
            8 => {
                let expected = self.issuer.map_or_else(String::new, Issuer::describe_tenants);
                (expected, claim("tid").into_iter().collect())
            }
            9 => {
                let times = ["exp", "nbf", "iat"].into_iter();
                let found = times.filter_map(|name| time(name, shown.claim(name))).collect();
                (self.issuer.map_or_else(String::new, Issuer::describe_times), found)
            }
            10 => {
                let expected = self.issuer.map_or_else(String::new, Issuer::describe_audiences);
                let found = [claim("aud"), claim("scope"), claim("scp")].into_iter().flatten();
                let mut found: Vec<Found> = found.collect();
                let audience_claim = self.issuer.map_or("aud", Issuer::audience_claim);
                if audience_claim == "aud" {
                    return (expected, found);
                }
                // Another claim may be personal. So only its presence is shown.
                let is_there =
                    if shown.claim(audience_claim).is_some() { "present" } else { "absent" };
                found.push(Found::text("audience claim", is_there));
                (format!("{expected} in `{audience_claim}`"), found)
            }
            11 => {
                let required = self.issuer.map_or_else(Vec::new, Issuer::names_of_required_claims);
                let missing = required.iter().filter(|name| shown.claim(name).is_none());
                let missing: Vec<&str> = missing.map(|name| &**name).collect();
                let mut found = match missing.as_slice() {
                    [] => Vec::new(),
                    missing => vec![Found::text("missing", missing.join(", "))],
                };
                if shown.claim("events").is_some() {
                    found.push(Found::text("events", "present"));
                }
                (describe_required(&required), found)
            }
            12 => {
                let allows = self.issuer.is_some_and(Issuer::allows_unverified_cnf);
                let expected = if allows {
                    "`cnf` is not checked"
                } else {
                    "no `cnf`: without a request, nothing proves that the sender may use a bound token"
                };
                (expected.into(), vec![Found::text("cnf", describe_binding(shown.claim("cnf")))])
            }
            13 => {
                let claim = self.issuer.and_then(Issuer::chosen_token_id_claim);
                let expected = match claim {
                    Some(claim) => format!("`{claim}` as the id"),
                    None => "`jti` as the id, or a hash of the token".into(),
                };
                match self.issuer.and_then(Issuer::describe_status_lists) {
                    Some(status) => (format!("{expected}, and {status}"), Vec::new()),
                    None => (expected, Vec::new()),
                }
            }
            14 => (format!("claims for {}", any::type_name::<C>()), Vec::new()),
            15 => ("the checks of this service".into(), Vec::new()),
            16 => {
                let expected = "neither token, subject, session nor key is revoked";
                let has_lists = self.issuer.and_then(Issuer::describe_status_lists).is_some();
                let status =
                    if has_lists { ", and the status is 0 in its status list" } else { "" };
                (format!("{expected}{status}"), Vec::new())
            }
            17 => ("the asynchronous checks of this service".into(), Vec::new()),
            _ => ("a DPoP proof that was not used before".into(), Vec::new()),
        }
    }

    fn signature(&self) -> (String, Vec<Found>) {
        let found = ["alg", "kid"].into_iter();
        let found = found.filter_map(|name| text(name, self.shown.header(name))).collect();
        let Some(issuer) = self.issuer else { return (String::new(), found) };
        let keys = issuer.current_keys(&**self.verifier.clock());
        (describe_keys(&keys), found)
    }
}

/// What `cnf` binds the token to. Its values are not shown.
fn describe_binding(cnf: Option<&Value>) -> &'static str {
    let Some(cnf) = cnf else { return "absent" };
    let members = cnf.as_object().filter(|members| members.len() == 1);
    match members.and_then(|members| members.keys().next()).map(String::as_str) {
        Some("x5t#S256") => "a client certificate",
        Some("jkt") => "a key (DPoP)",
        _ => "present",
    }
}

fn describe_keys(keys: &KeySet) -> String {
    if keys.is_empty() && keys.refused().is_empty() {
        return "a key of this issuer, but there are none now".into();
    }
    let listed: Vec<String> = keys
        .iter()
        .map(|key| match key.key_id() {
            Some(id) => format!("{} {}", key.algorithm(), printable(id)),
            None => format!("{} without kid", key.algorithm()),
        })
        .collect();
    let mut expected = format!("one of these keys: {}", listed.join(", "));
    if !keys.refused().is_empty() {
        let refused: Vec<String> =
            keys.refused().iter().map(|key| printable(&key.to_string())).collect();
        expected += &format!(". These keys were refused: {}", refused.join("; "));
    }
    expected
}

fn describe_required(required: &[Box<str>]) -> String {
    match required {
        [] => "no refresh token, log-out token or security event".into(),
        names => {
            format!("{}, and no refresh token, log-out token or security event", names.join(", "))
        }
    }
}

fn one_of(names: Vec<std::sync::Arc<str>>) -> String {
    let names: Vec<String> = names.iter().map(|name| printable(name)).collect();
    match names.as_slice() {
        [only] => only.clone(),
        names => format!("one of {}", names.join(", ")),
    }
}

impl Found {
    fn text(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: FoundValue::Text(value.into()) }
    }

    fn absent(name: &'static str) -> Self {
        Self::text(name, "absent")
    }
}

/// A string, or an array of strings, without control characters. Other values show only their type.
fn text(name: &'static str, value: Option<&Value>) -> Option<Found> {
    let shown = match value? {
        Value::String(text) => printable(text),
        Value::Array(elements) => {
            let texts: Vec<&str> = elements.iter().filter_map(Value::as_str).collect();
            printable(&texts.join(", "))
        }
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(_) => "a number".into(),
        Value::Object(_) => "an object".into(),
    };
    Some(Found::text(name, shown))
}

fn time(name: &'static str, value: Option<&Value>) -> Option<Found> {
    let value = value?;
    let seconds = value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| (0.0..9e15).contains(seconds))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        Some(seconds as u64)
    });
    match seconds {
        Some(seconds) => {
            Some(Found { name, value: FoundValue::Time(UnixTime::from_secs(seconds)) })
        }
        None => text(name, Some(value)),
    }
}

/// The text without anything that a terminal could act on, and not longer than [`SHOWN`].
fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    // Quotes and backslashes do nothing in a terminal.
    shown = shown.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().count() > SHOWN {
        shown.push('…');
    }
    shown
}

impl fmt::Display for FoundValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Time(time) => write!(f, "{}", time.as_secs()),
        }
    }
}

impl Serialize for FoundValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Time(time) => serializer.serialize_u64(time.as_secs()),
        }
    }
}

impl CheckOutcome {
    /// The outcome in one or two words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::NotReached => "not reached",
        }
    }
}

impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Object<'a> {
            accepted: bool,
            rejection: Option<&'static str>,
            now: u64,
            checks: &'a [ExplainedCheck],
        }
        let object = Object {
            accepted: self.rejection.is_none(),
            rejection: self.rejection.map(RejectionKind::as_str),
            now: self.now.as_secs(),
            checks: &self.checks,
        };
        object.serialize(serializer)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let outcome = check.outcome.as_str();
            writeln!(f, "{:2} {:11} {}", check.number, outcome, check.name)?;
            if check.outcome == CheckOutcome::Failed {
                writeln!(f, "   expected: {}", check.expected)?;
                for found in &check.found {
                    writeln!(f, "   found: {} {}", found.name, found.value)?;
                }
            }
        }
        match self.rejection {
            None => f.write_str("accepted"),
            Some(kind) => write!(f, "rejected: {kind}"),
        }
    }
}
