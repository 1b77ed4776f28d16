//! What an audit event says.

use std::{fmt, net::IpAddr, sync::Arc};

use tower_bearer::UnixTime;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident => $name:literal,)+) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum AuditKind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl AuditKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The name in logs, tables and the operator API. It does not change.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// The kind with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$kind),)+
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// A user logged in: a session began.
    LoginSucceeded => "login_succeeded",
    /// Credentials were wrong, or the account is unknown or inactive. The event has a subject if an account has the
    /// user name and [`Accounts`](crate::Accounts) reports it
    /// ([`AccountsError::Rejected`](crate::AccountsError::Rejected)).
    LoginFailed => "login_failed",
    /// There were too many attempts to log in. The credentials were not checked.
    LoginThrottled => "login_throttled",
    /// A refresh token was exchanged for new tokens.
    Refreshed => "refreshed",
    /// A refresh token that was used before was presented again. Its session was revoked.
    RefreshReused => "refresh_reused",
    /// There were too many refreshes of one session at once.
    RefreshThrottled => "refresh_throttled",
    /// A user logged out: a session was revoked. If the two tokens of the request belong to different sessions, there
    /// is an event for each.
    LoggedOut => "logged_out",
    /// A session was revoked, by its owner or an operator.
    SessionRevoked => "session_revoked",
    /// A private token was created.
    TokenCreated => "token_created",
    /// A private token was replaced by a new one.
    TokenRotated => "token_rotated",
    /// A private token was revoked, by its owner or an operator.
    TokenRevoked => "token_revoked",
    /// Someone who has a token revoked it with `POST revoke/`.
    TokenRevokedByHolder => "token_revoked_by_holder",
    /// All tokens of a subject were revoked, by the subject, the service or an operator.
    AllRevoked => "all_revoked",
    /// A password was changed or set.
    PasswordChanged => "password_changed",
    /// A user wanted to change the password and gave a wrong current password.
    PasswordRejected => "password_rejected",
    /// An account was added.
    AccountAdded => "account_added",
    /// An account was closed.
    AccountClosed => "account_closed",
    /// A closed account was opened again.
    AccountReopened => "account_reopened",
    /// An account was deleted, and its earlier events with it. The event has no address. A subject has at most one.
    AccountDeleted => "account_deleted",
    /// The scopes of an account were changed.
    ScopesChanged => "scopes_changed",
    /// An operator read data of others with the operator API.
    OperatorRead => "operator_read",
    /// A call of the operator API was rejected, for example with 400 or 404. It has read and changed nothing.
    OperatorRejected => "operator_rejected",
    /// A signing key was added, or is the first one.
    KeyAdded => "key_added",
    /// A key signs no more tokens. The tokens that it has signed stay valid.
    KeyRetired => "key_retired",
    /// All tokens of a key were revoked. If it was retired as compromised, it signs no more tokens either.
    KeyRevoked => "key_revoked",
    /// This number of events was lost: the sink did not accept events for too long, or it refused them.
    EventsLost => "events_lost",
}

/// Something that happened, for the audit log. `Debug` shows only the kind, the time and the count.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEvent {
    /// What happened.
    pub kind: AuditKind,
    /// When it happened.
    pub at: UnixTime,
    /// The issuer in which it happened.
    pub issuer: Arc<str>,
    /// `sub` of the account that it happened to.
    pub subject: Option<Arc<str>>,
    /// Who did it, if it was not the subject: `sub` of an operator, or the name that a tool has given
    /// ([`TokenIssuer::by_operator`](crate::TokenIssuer::by_operator)).
    pub actor: Option<Arc<str>>,
    /// The address of the client, as far as the service knows it.
    pub address: Option<IpAddr>,
    /// `sid` of the session that it is about.
    pub session_id: Option<Arc<str>>,
    /// `jti` of the token that it is about.
    pub token_id: Option<Arc<str>>,
    /// The number of the private token that it is about.
    pub private_token_id: Option<i64>,
    /// The number of the private token that takes its place, after a rotation.
    pub new_private_token_id: Option<i64>,
    /// The thumbprint or the id of the key that it is about.
    pub key: Option<Arc<str>>,
    /// How many events this one stands for. More than 1 if events were left out or lost.
    pub count: u64,
    /// Until when the event should be kept.
    pub keep_until: UnixTime,
}

impl AuditEvent {
    /// An event that is kept forever. The other fields are empty, and the count is 1.
    #[must_use]
    pub fn new(kind: AuditKind, issuer: impl Into<Arc<str>>, at: UnixTime) -> Self {
        Self {
            kind,
            at,
            issuer: issuer.into(),
            subject: None,
            actor: None,
            address: None,
            session_id: None,
            token_id: None,
            private_token_id: None,
            new_private_token_id: None,
            key: None,
            count: 1,
            keep_until: UnixTime::MAX,
        }
    }

    /// The part of the event that may be kept if its subject was deleted: what an operator or a tool did, and when,
    /// without the subject and its sessions and tokens. `None` if there is no [`actor`](Self::actor), or if the actor
    /// is the subject: then all of the event is about the subject.
    #[must_use]
    pub fn without_subject(&self) -> Option<Self> {
        if self.actor.is_none() || self.actor == self.subject {
            return None;
        }
        let mut event = self.clone();
        (event.subject, event.session_id, event.token_id) = (None, None, None);
        (event.private_token_id, event.new_private_token_id) = (None, None);
        Some(event)
    }
}

impl fmt::Debug for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditEvent")
            .field("kind", &self.kind)
            .field("at", &self.at)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_kind_has_its_own_name() {
        let names: HashSet<_> = AuditKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), AuditKind::ALL.len());
        for kind in AuditKind::ALL {
            assert_eq!(AuditKind::from_name(kind.as_str()), Some(*kind));
        }
        assert_eq!(AuditKind::from_name("LoginFailed"), None);
    }

    #[test]
    fn only_an_event_of_somebody_else_stays_without_its_subject() {
        let of = |actor: Option<&str>| {
            let mut event = AuditEvent::new(AuditKind::AllRevoked, Arc::from("iss"), UnixTime::MAX);
            event.subject = Some("ada".into());
            event.actor = actor.map(Into::into);
            event.without_subject()
        };
        let kept = of(Some("an operator")).unwrap();
        assert_eq!((kept.subject, kept.actor.as_deref()), (None, Some("an operator")));
        assert!(of(None).is_none() && of(Some("ada")).is_none());
    }
}
