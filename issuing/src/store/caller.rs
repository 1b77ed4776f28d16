//! The caller of a step: the access token with which somebody manages tokens.

use std::{fmt, sync::Arc};

use super::Owner;
use tower_bearer::{
    UnixTime,
    revocation::{Lookup, Revocable},
};

/// The access token with which an owner calls. Earlier checks of this token may be outdated by the time of the step. So
/// the step checks the revocation entries of that moment again.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// The owner of the token.
    pub owner: Owner,
    /// `jti`.
    pub token_id: Arc<str>,
    /// `sid`.
    pub session_id: Arc<str>,
    /// `iat`.
    pub issued_at: UnixTime,
    /// The configured id of the key that verified it, if the key has one.
    pub key_id: Option<Arc<str>>,
    /// The [thumbprint](tower_bearer::Key::thumbprint) of that key.
    pub key_thumbprint: Option<Arc<str>>,
}

impl Caller {
    /// An access token of an owner, in a session.
    #[must_use]
    pub fn new(
        owner: Owner,
        token_id: impl Into<Arc<str>>,
        session_id: impl Into<Arc<str>>,
        issued_at: UnixTime,
    ) -> Self {
        let (token_id, session_id) = (token_id.into(), session_id.into());
        Self { owner, token_id, session_id, issued_at, key_id: None, key_thumbprint: None }
    }

    /// Sets the id of the key that verified the token. By default no key id is looked up.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<Arc<str>>) -> Self {
        self.key_id = Some(key_id.into());
        self
    }

    /// Sets the thumbprint of the key that verified the token. By default no thumbprint is looked up.
    #[must_use]
    pub fn with_key_thumbprint(mut self, thumbprint: impl Into<Arc<str>>) -> Self {
        self.key_thumbprint = Some(thumbprint.into());
        self
    }

    /// The lookup that checks whether the token is revoked. It asks about at most five things.
    #[must_use]
    pub fn lookup(&self) -> Lookup {
        let Owner { issuer, subject } = &self.owner;
        let issuer = || Arc::clone(issuer);
        let key_id = self.key_id.iter().filter(|id| Some(*id) != self.key_thumbprint.as_ref());
        let keys = key_id.chain(&self.key_thumbprint);
        let things = [
            Revocable::token(issuer(), Arc::clone(&self.token_id)),
            Revocable::session(issuer(), Arc::clone(&self.session_id)),
            Revocable::subject(issuer(), Arc::clone(subject)),
        ];
        let keys = keys.map(|id| Revocable::key(issuer(), Arc::clone(id)));
        Lookup::new(things.into_iter().chain(keys), self.issued_at)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

/// The outcome of a step on behalf of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Called<T> {
    /// The caller's access token is revoked: by its id, session, key, or a cut-off of its subject. Nothing was done.
    Revoked,
    /// The step's outcome.
    Done(T),
}

impl<T> Called<T> {
    /// The outcome of the step. `None` if the caller was revoked.
    #[must_use]
    pub fn done(self) -> Option<T> {
        match self {
            Self::Revoked => None,
            Self::Done(outcome) => Some(outcome),
        }
    }
}
