//! Receives security events (RFC 8417) and revokes what they name, so that a log-out or a stolen password at the
//! identity provider ends its access tokens here.
//!
//! 1. Each [`Transmitter`] has keys, an audience, and the issuers for which it may speak. It cannot revoke tokens of
//!    another issuer.
//! 2. [`EventReceiver::receive`] reads one security event token (SET) with the strict code that reads access tokens.
//!    With the feature `axum`, `EventReceiver::into_router` is an endpoint for push delivery (RFC 8935).
//! 3. A SET is acknowledged only after the store has confirmed the revocation. It is in force in this process at once,
//!    and in other processes as [`RevocationCache::revoke`](crate::RevocationCache::revoke) describes.
//! 4. A repeated SET has no further effect: the dates in it decide, so nothing has to remember it. SETs may arrive in
//!    any order. Only a SET about an event in the future moves the cut-off again, to the time of the repetition.
//!
//! # Events
//!
//! | event | what is revoked |
//! |---|---|
//! | CAEP `session-revoked` | the session of a complex subject, else all tokens of the subject |
//! | CAEP `credential-change`; RISC `account-disabled`, `account-purged`, `sessions-revoked`, `credential-compromise` | all tokens of the subject |
//! | SSF `verification` | nothing |
//! | others | nothing. They are acknowledged and counted in [`Receipt::unknown_events`] |
//!
//! All tokens of a subject are those whose `iat` is at the cut-off or before. The cut-off is `event_timestamp` of the
//! event, else `iat` of the SET, but not later than the time of receipt, plus the leeway of the issuer's policy.
//!
//! # Subjects
//!
//! The subject is `sub_id` (RFC 9493) of the format `iss_sub`, `opaque` or `complex` with `user` and `session` (SSF
//! 1.0). An `opaque` subject needs a transmitter that speaks for exactly one issuer: its `id` is the `sub` or `sid`
//! there.
//! A subject of another format is acknowledged, and [`Receipt::unmapped_subjects`] counts its events.

#[cfg(feature = "axum")]
mod router;

use std::{fmt, sync::Arc};

#[cfg(feature = "jwks")]
use crate::RejectionKind;
use crate::{
    Authenticator, ConfigError, Issuer, KeySource, UnixTime,
    claims::{ClaimsSet, Registered, UntypedClaims},
    issuer_policy::is_same_type,
    json::{Object, Value},
    jws::{self, Compact, Header, Scratch},
    revocation::RevokeError,
};

/// The maximum length of a SET, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;

const REVOKING: [&str; 5] = [
    "https://schemas.openid.net/secevent/caep/event-type/credential-change",
    "https://schemas.openid.net/secevent/risc/event-type/account-disabled",
    "https://schemas.openid.net/secevent/risc/event-type/account-purged",
    "https://schemas.openid.net/secevent/risc/event-type/sessions-revoked",
    "https://schemas.openid.net/secevent/risc/event-type/credential-compromise",
];
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// A sender of security events, and the issuers for which it may speak.
pub struct Transmitter {
    policy: Issuer,
    speaks_for: Vec<Arc<str>>,
    /// A hash of the secret. The time of a comparison of hashes tells nothing about the secret.
    secret: Option<[u8; 32]>,
}

impl Transmitter {
    /// A transmitter whose SETs have this `iss`, are signed by one of `keys`, and have this `aud`. It speaks for no
    /// issuer until [`add_issuer`](Self::add_issuer) is called.
    #[must_use]
    pub fn new(
        name: impl Into<Arc<str>>,
        keys: impl Into<KeySource>,
        audience: impl Into<Box<str>>,
    ) -> Self {
        let policy = Issuer::new(name, keys).audience(audience);
        Self { policy, speaks_for: Vec::new(), secret: None }
    }

    /// Lets the transmitter revoke the subjects and sessions of one more issuer, by a name of an issuer of the
    /// [`Authenticator`]. Subjects must have exactly this `iss`. Default: none.
    #[must_use]
    pub fn add_issuer(mut self, name: impl Into<Arc<str>>) -> Self {
        self.speaks_for.push(name.into());
        self
    }

    /// Requires `Authorization: Bearer` with this secret of the stream, beside the signature. Default: none. It is
    /// compared in a time that does not depend on it.
    #[must_use]
    pub fn with_secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secret = Some(jws::sha256(secret.as_ref()));
        self
    }

    fn only_issuer(&self) -> Option<Arc<str>> {
        match self.speaks_for.as_slice() {
            [only] => Some(Arc::clone(only)),
            _ => None,
        }
    }
}

impl fmt::Debug for Transmitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmitter")
            .field("name", &self.policy.name())
            .field("speaks_for", &self.speaks_for)
            .field("has_secret", &self.secret.is_some())
            .finish_non_exhaustive()
    }
}

/// Verifies security events and revokes what they name, by the rules of the [module](self).
pub struct EventReceiver<C = UntypedClaims> {
    authenticator: Authenticator<C>,
    transmitters: Arc<[Transmitter]>,
}

/// What a SET has done, after the store has confirmed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The number of events that revoked something.
    pub revoking_events: usize,
    /// The number of events of unknown types. They had no effect.
    pub unknown_events: usize,
    /// The number of events about a subject that this crate cannot map to `sub` or `sid`. **Nothing was revoked.**
    pub unmapped_subjects: usize,
}

/// Why a SET was not accepted (RFC 8935 section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The SET breaks a rule, or is about an issuer for which the transmitter may not speak.
    #[error("the SET is not valid: expected {0}")]
    InvalidRequest(&'static str),
    /// No key of the transmitter verifies the signature.
    #[error("no key of the transmitter verifies the signature")]
    InvalidKey,
    /// No transmitter has the name in `iss`.
    #[error("`iss` is not a configured transmitter")]
    InvalidIssuer,
    /// `aud` is not the audience of the transmitter.
    #[error("`aud` does not have the expected audience")]
    InvalidAudience,
    /// The secret of the stream is absent or wrong.
    #[error("the secret of the stream is absent or wrong")]
    AuthenticationFailed,
    /// The keys of the transmitter or the revocation store are not available. Send the SET again later.
    #[error("the keys or the revocation store are not available now")]
    Unavailable,
}

enum Thing {
    Subject { issuer: Arc<str>, id: String, cut_off: UnixTime },
    Session { issuer: Arc<str>, id: String },
}

impl<C: Send + Sync + 'static> EventReceiver<C> {
    /// A receiver that revokes through this authenticator.
    ///
    /// # Errors
    /// [`ConfigError::InvalidTransmitter`] if the authenticator has no revocation cache, if a transmitter speaks for no
    /// issuer or for one that the authenticator does not have, or if two transmitters have one name. Otherwise as
    /// [`AuthenticatorBuilder::build`](crate::AuthenticatorBuilder::build) for an issuer.
    pub fn new(
        authenticator: Authenticator<C>,
        transmitters: impl IntoIterator<Item = Transmitter>,
    ) -> Result<Self, ConfigError> {
        let transmitters: Arc<[Transmitter]> = transmitters.into_iter().collect();
        for (position, transmitter) in transmitters.iter().enumerate() {
            transmitter.policy.validate()?;
            if transmitter.speaks_for.is_empty() {
                return Err(ConfigError::InvalidTransmitter(
                    "at least one issuer for each transmitter",
                ));
            }
            if !transmitter.speaks_for.iter().all(|name| authenticator.can_revoke(name)) {
                let expected = "a revocation cache, and issuers of the authenticator";
                return Err(ConfigError::InvalidTransmitter(expected));
            }
            let mut earlier = transmitters.iter().take(position);
            if earlier.any(|other| other.policy.name() == transmitter.policy.name()) {
                return Err(ConfigError::InvalidTransmitter("one transmitter for each name"));
            }
        }
        Ok(Self { authenticator, transmitters })
    }

    /// Verifies a SET and revokes what its events name. `secret` is the Bearer credential of the request, if it has
    /// one.
    ///
    /// A SET that names an issuer for which the transmitter may not speak revokes nothing. If the store fails, a
    /// repetition of the SET completes what it revokes.
    ///
    /// # Errors
    /// [`EventError`]. The SET may be sent again after [`EventError::Unavailable`].
    pub async fn receive(&self, set: &[u8], secret: Option<&[u8]>) -> Result<Receipt, EventError> {
        let (things, receipt) = match self.read(set, secret) {
            #[cfg(feature = "jwks")]
            Err(NotRead::UnknownKey { transmitter, key_set }) => {
                let remote =
                    self.transmitters.get(transmitter).and_then(|it| it.policy.remote_keys());
                let remote = remote.ok_or(EventError::InvalidKey)?;
                let wait = remote.ask(RejectionKind::UnknownKey, key_set).map_err(of_key)?;
                let waited = wait.until_answered().await;
                self.read(set, secret).map_err(|error| match error {
                    NotRead::UnknownKey { key_set, .. } => {
                        of_key(waited.verdict(RejectionKind::UnknownKey, key_set))
                    }
                    NotRead::Invalid(error) => error,
                })?
            }
            Err(NotRead::Invalid(error)) => return Err(error),
            Ok(read) => read,
        };
        for thing in things {
            let outcome = match thing {
                Thing::Subject { issuer, id, cut_off } => {
                    self.authenticator.revoke_subject_until(&issuer, &id, cut_off).await
                }
                Thing::Session { issuer, id } => {
                    self.authenticator.revoke_session(&issuer, &id).await
                }
            };
            match outcome {
                Ok(()) | Err(RevokeError::Expired) => {}
                Err(_) => return Err(EventError::Unavailable),
            }
        }
        Ok(receipt)
    }

    fn read(&self, set: &[u8], secret: Option<&[u8]>) -> Result<(Vec<Thing>, Receipt), NotRead> {
        let invalid = EventError::InvalidRequest;
        let compact = Compact::parse(set, MAX_LENGTH)
            .map_err(|_| invalid("a compact JWS of at most 64 KiB"))?;
        let header = Header::read(&compact).map_err(|_| invalid("a header with a known `alg`"))?;
        if !header.typ().is_some_and(|typ| is_same_type(typ, "secevent+jwt")) {
            return Err(invalid("`typ` of `secevent+jwt`").into());
        }
        let payload = compact.decode_payload().map_err(|_| invalid("base64url"))?;
        let text = str::from_utf8(&payload).map_err(|_| invalid("UTF-8"))?;
        let mut claims = ClaimsSet::unread(text);
        claims.read().ok_or(invalid("claims as a strict JSON object"))?;
        let name = claims.string(Registered::Iss).ok().flatten();
        let name = name.ok_or(EventError::InvalidIssuer)?;
        let position = self.transmitters.iter().position(|it| name.is(it.policy.name()));
        let position = position.ok_or(EventError::InvalidIssuer)?;
        let transmitter = self.transmitters.get(position).ok_or(EventError::InvalidIssuer)?;
        if let Some(expected) = &transmitter.secret
            && secret.map(jws::sha256).as_ref() != Some(expected)
        {
            return Err(EventError::AuthenticationFailed.into());
        }
        let clock = self.authenticator.clock();
        let keys = transmitter.policy.current_keys(&**clock);
        let mut scratch = Scratch::new();
        let signature = compact.decode_signature(&mut scratch).map_err(|_| invalid("base64url"))?;
        if keys.verify(&header, compact.signing_input(), signature).is_err() {
            #[cfg(feature = "jwks")]
            if transmitter.policy.remote_keys().is_some()
                && (keys.is_empty() || header.key_id().is_some_and(|id| !keys.has_key_id(id)))
            {
                return Err(NotRead::UnknownKey { transmitter: position, key_set: keys.number() });
            }
            return Err(EventError::InvalidKey.into());
        }
        Ok(transmitter.events(&mut claims, clock.now())?)
    }
}

impl Transmitter {
    /// What the verified SET revokes. The cut-offs do not include the leeway.
    fn events(
        &self,
        claims: &mut ClaimsSet<'_>,
        now: UnixTime,
    ) -> Result<(Vec<Thing>, Receipt), EventError> {
        let invalid = EventError::InvalidRequest;
        let audience = claims.audience("aud").map_err(|_| EventError::InvalidAudience)?;
        if !self.policy.accepts_audience(&mut audience.iter().map(|span| claims.at(*span))) {
            return Err(EventError::InvalidAudience);
        }
        let issued_at = claims.numeric_date(Registered::Iat).ok().flatten();
        let issued_at = issued_at.ok_or(invalid("`iat` as a number"))?;
        if issued_at > self.policy.latest_issued_at(now) {
            return Err(invalid("`iat` that is not in the future"));
        }
        let expires_at = claims.numeric_date(Registered::Exp);
        let expires_at = expires_at.map_err(|_| invalid("`exp` as a number"))?;
        if expires_at.is_some_and(|expires_at| expires_at + self.policy.leeway() <= now) {
            return Err(invalid("`exp` that has not passed"));
        }
        let id = claims.string(Registered::Jti).ok().flatten();
        if id.is_none_or(|id| id.is_empty()) {
            return Err(invalid("`jti` as a string"));
        }
        let members = claims.members();
        let events = object(members.get("events")).ok_or(invalid("`events` as an object"))?;
        let (mut things, mut receipt) = (Vec::new(), Receipt::default());
        let mut is_empty = true;
        for name in events.names() {
            is_empty = false;
            let name = name.resolve();
            let event = object(events.get(&name)).ok_or(invalid("each event as an object"))?;
            let is_of_session = name == SESSION_REVOKED;
            if name == VERIFICATION {
                continue;
            }
            if !is_of_session && !REVOKING.contains(&&*name) {
                receipt.unknown_events += 1;
                continue;
            }
            let subject = object(members.get("sub_id")).ok_or(invalid("`sub_id` as an object"))?;
            let happened_at = match event.get("event_timestamp") {
                None => issued_at,
                Some(Value::Number(seconds)) => crate::claims::whole_seconds(seconds)
                    .map(UnixTime::from_secs)
                    .ok_or(invalid("`event_timestamp` in seconds"))?,
                Some(_) => return Err(invalid("`event_timestamp` as a number")),
            };
            match self.thing(&subject, is_of_session, happened_at.min(now))? {
                Some(thing) => {
                    things.push(thing);
                    receipt.revoking_events += 1;
                }
                None => receipt.unmapped_subjects += 1,
            }
        }
        if is_empty {
            return Err(invalid("at least one event"));
        }
        Ok((things, receipt))
    }

    fn thing(
        &self,
        subject: &Object<'_>,
        is_of_session: bool,
        cut_off: UnixTime,
    ) -> Result<Option<Thing>, EventError> {
        let invalid = EventError::InvalidRequest;
        if text(subject, "format")?.is_none_or(|format| format != "complex") {
            let named = self.named(subject)?;
            return Ok(named.map(|(issuer, id)| Thing::Subject { issuer, id, cut_off }));
        }
        let part = |name| match subject.get(name) {
            None => Ok(None),
            value => object(value).map(Some).ok_or(invalid("parts of a subject as objects")),
        };
        let (user, session) = (part("user")?, part("session")?);
        let user = user.map(|user| self.named(&user)).transpose()?.flatten();
        let session = session.map(|session| self.named(&session)).transpose()?.flatten();
        Ok(match (user, session) {
            (_, Some((issuer, id))) if is_of_session => Some(Thing::Session { issuer, id }),
            (Some((issuer, id)), _) => Some(Thing::Subject { issuer, id, cut_off }),
            (None, Some((issuer, id))) => Some(Thing::Session { issuer, id }),
            (None, None) => None,
        })
    }

    /// The issuer and the id of a simple subject. `None` if its format is not known here.
    fn named(&self, subject: &Object<'_>) -> Result<Option<(Arc<str>, String)>, EventError> {
        let invalid = EventError::InvalidRequest;
        let format = text(subject, "format")?.ok_or(invalid("`format` of the subject"))?;
        let (issuer, id) = match &*format {
            "iss_sub" => {
                let issuer = text(subject, "iss")?.ok_or(invalid("`iss` of the subject"))?;
                let known = self.speaks_for.iter().find(|name| ***name == *issuer);
                let known = known.ok_or(invalid("an issuer for which the transmitter speaks"))?;
                (Some(Arc::clone(known)), text(subject, "sub")?)
            }
            "opaque" => (self.only_issuer(), text(subject, "id")?),
            _ => return Ok(None),
        };
        let id = id.filter(|id| !id.is_empty()).ok_or(invalid("the id of the subject"))?;
        Ok(issuer.map(|issuer| (issuer, id)))
    }
}

fn object<'a>(value: Option<Value<'a>>) -> Option<Object<'a>> {
    match value {
        Some(Value::Object(text)) => Object::parse(text),
        _ => None,
    }
}

fn text(members: &Object<'_>, name: &str) -> Result<Option<String>, EventError> {
    let Some(value) = members.get(name) else { return Ok(None) };
    let text = value.as_cow().ok_or(EventError::InvalidRequest("strings in the subject"))?;
    Ok(Some(text.into_owned()))
}

#[cfg(feature = "jwks")]
fn of_key(kind: RejectionKind) -> EventError {
    match kind {
        RejectionKind::KeysUnavailable => EventError::Unavailable,
        _ => EventError::InvalidKey,
    }
}

enum NotRead {
    Invalid(EventError),
    #[cfg(feature = "jwks")]
    UnknownKey {
        transmitter: usize,
        key_set: u64,
    },
}

impl From<EventError> for NotRead {
    fn from(error: EventError) -> Self {
        Self::Invalid(error)
    }
}

impl<C> Clone for EventReceiver<C> {
    fn clone(&self) -> Self {
        let transmitters = Arc::clone(&self.transmitters);
        Self { authenticator: self.authenticator.clone(), transmitters }
    }
}

impl<C> fmt::Debug for EventReceiver<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventReceiver")
            .field("transmitters", &self.transmitters)
            .finish_non_exhaustive()
    }
}
