//! Things that can be revoked: tokens, subjects, sessions and keys.

use std::{fmt, sync::Arc};

/// One thing by which tokens can be revoked: a token, a subject, a session or a key of an issuer.
///
/// It always includes the issuer: otherwise one tenant could revoke the tokens of another. The issuer has the name of
/// its [`Issuer`](crate::Issuer) policy, whichever spelling the token uses
/// ([`RegisteredClaims::issuer`](crate::claims::RegisteredClaims::issuer)).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Revocable {
    kind: RevocableKind,
    issuer: Arc<str>,
    id: Arc<str>,
}

/// The kinds of things by which tokens can be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RevocableKind {
    /// One token, by its id. The id is `jti`, or the claim that the issuer's policy names, or the SHA-256 of
    /// `header.payload` in hexadecimal.
    Token,
    /// The tokens of a subject, by `sub`, that were issued at the [cut-off](super::RevocationEntry::cut_off) or before.
    Subject,
    /// Every token of a session, by `sid`.
    Session,
    /// Every token that a key verifies. The id is the key's own id ([`Key::key_id`](crate::Key::key_id)) or its
    /// [thumbprint](crate::Key::thumbprint), which every key has.
    ///
    /// The `kid` in a token's header does not count: the client chooses it, and a key without an id verifies tokens
    /// with any `kid`.
    Key,
}

impl Revocable {
    /// A thing of this kind, of this issuer and with this id.
    #[must_use]
    pub fn new(kind: RevocableKind, issuer: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { kind, issuer: issuer.into(), id: id.into() }
    }

    /// One token, by its id.
    #[must_use]
    pub fn token(issuer: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self::new(RevocableKind::Token, issuer, id)
    }

    /// The tokens of a subject.
    #[must_use]
    pub fn subject(issuer: impl Into<Arc<str>>, subject: impl Into<Arc<str>>) -> Self {
        Self::new(RevocableKind::Subject, issuer, subject)
    }

    /// The tokens of a session.
    #[must_use]
    pub fn session(issuer: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self::new(RevocableKind::Session, issuer, id)
    }

    /// The tokens that a key verifies, by its id or thumbprint.
    #[must_use]
    pub fn key(issuer: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self::new(RevocableKind::Key, issuer, id)
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> RevocableKind {
        self.kind
    }

    /// The issuer's name in its policy.
    #[must_use]
    pub fn issuer(&self) -> &Arc<str> {
        &self.issuer
    }

    /// The token's id, the subject, the session's id, or the key's id or thumbprint.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }
}

impl fmt::Debug for Revocable {
    /// Shows only the kind: ids and subjects are claims, and claims must not be in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(..)", self.kind)
    }
}
