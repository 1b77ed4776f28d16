//! The accounts that users log in to, and how their credentials are checked.

use std::{collections::HashMap, fmt, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::scopes::ScopeSet;

use tower_bearer::{BoxFuture, revocation::StoreError};

/// The credentials of a log-in. The password is wiped from memory when this is dropped, and `Debug` does not show it.
#[non_exhaustive]
pub struct Credentials {
    /// The user name: an e-mail address, as the user typed it.
    pub username: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl Credentials {
    /// A user name with a password.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: Zeroizing::new(password.into()) }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Finds the account of credentials. You implement this for your service, or use [`Passwords`](super::Passwords).
pub trait Accounts: Send + Sync + 'static {
    /// Whether an account could have these credentials. Default: `true`.
    ///
    /// If this is `false`, the log-in gets the answer of a wrong password, and the throttle does not count it. So this
    /// must be cheap. It must not look anything up or hash, and must not depend on stored data.
    /// [`Passwords`](super::Passwords) answers `false` if the credentials exceed its maximum lengths, or if the user
    /// name contains a NUL.
    fn is_well_formed(&self, credentials: &Credentials) -> bool {
        let _ = credentials;
        true
    }

    /// Returns the active account with these credentials. It must read the account after the call begins, not before.
    ///
    /// The issuer calls it a second time with the same credentials if the subject's tokens were revoked during the
    /// log-in, or up to 30 seconds before it. Credentials that can be checked only once fail then, and the user has to
    /// log in again.
    ///
    /// A log-in counts from the moment at which the account was read. If you change a password or close an account,
    /// call [`TokenIssuer::revoke_subject`](super::TokenIssuer::revoke_subject) after that. Then no log-in with the old
    /// credentials succeeds, even if it was already in progress. Without that call, a log-in that was in progress
    /// succeeds.
    ///
    /// Unknown users, inactive users and wrong passwords must get the same answer, [`AccountsError::NoActiveAccount`]
    /// or [`AccountsError::Rejected`].
    /// They should also cost the same, so that a client that measures times does not learn who has an account.
    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>>;

    /// Returns the account of a subject, with the [scopes](Account::scopes) that it has now, if it exists and is
    /// active. There is no default, because a default without a check would let people who left refresh forever.
    ///
    /// The issuer asks this at the end of each log-in, at each refresh before the token is used and again after it, and
    /// when private tokens are created or rotated. If the answer is `None`, or an account with another subject, the
    /// issuer rejects the call. Of the account, only the scopes are used. It must be read after the call begins: from a
    /// cache, an access token could get scopes that its owner has lost.
    ///
    /// Access tokens of an account that is closed or suspended, or has lost scopes, live for the rest of their hour,
    /// and private tokens until they expire. To end them, also call
    /// [`TokenIssuer::revoke_subject`](super::TokenIssuer::revoke_subject) after the change.
    ///
    /// # Errors
    /// If the accounts are not available. The answer of the API is then 503. A refresh token was not used, unless only
    /// the second check failed.
    fn find_active<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<Account>, StoreError>>;
}

impl<T: Accounts + ?Sized> Accounts for Arc<T> {
    fn is_well_formed(&self, credentials: &Credentials) -> bool {
        (**self).is_well_formed(credentials)
    }

    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>> {
        (**self).authenticate(credentials)
    }

    fn find_active<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<Account>, StoreError>> {
        (**self).find_active(subject)
    }
}

/// Why credentials do not open an account.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum AccountsError {
    /// No active account has these credentials.
    #[error("no active account has these credentials")]
    NoActiveAccount,
    /// The same as [`NoActiveAccount`](Self::NoActiveAccount), if an account has the user name, but it is inactive or
    /// has another password. The client gets the same answer. Only the audit event contains the subject. Return it only
    /// if a client cannot tell the difference by the time that the answer takes.
    #[error("no active account has these credentials")]
    Rejected {
        /// `sub` of the account.
        subject: Arc<str>,
    },
    /// Too many passwords are being checked at this moment.
    #[error("too many passwords are being checked: try again later")]
    Busy,
    /// The accounts were not available.
    #[error("the accounts are not available")]
    Unavailable(#[source] StoreError),
}

impl fmt::Debug for AccountsError {
    /// Does not show the subject.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoActiveAccount => f.write_str("NoActiveAccount"),
            Self::Rejected { .. } => f.debug_struct("Rejected").finish_non_exhaustive(),
            Self::Busy => f.write_str("Busy"),
            Self::Unavailable(error) => f.debug_tuple("Unavailable").field(error).finish(),
        }
    }
}

/// The id of an account or a company, as the answer to a log-in shows it: a JSON number or a string.
///
/// ```
/// use tower_bearer_issuing::AccountId;
///
/// assert_eq!(serde_json::to_string(&AccountId::from(7))?, "7");
/// assert_eq!(serde_json::to_string(&AccountId::from("7"))?, r#""7""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum AccountId {
    /// A JSON number. JavaScript reads numbers above 2^53 as the nearest double.
    Number(i64),
    /// A JSON string, such as a UUID.
    Text(String),
}

impl From<i64> for AccountId {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for AccountId {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for AccountId {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl fmt::Debug for AccountId {
    /// Shows a number only: a string may be personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(_) => f.write_str("Text(..)"),
        }
    }
}

/// An account, as the answer to a log-in shows it.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Account {
    /// `sub` of its tokens. Never give it to another account, not even after this one is deleted.
    pub subject: Arc<str>,
    /// Its id.
    pub id: AccountId,
    /// Its e-mail address.
    pub email: String,
    /// Its user name. Default: the e-mail address.
    pub username: String,
    /// The company that it belongs to.
    pub company_id: Option<AccountId>,
    /// Whether the e-mail address was verified.
    pub is_verified: bool,
    /// Further data about the person, as a JSON object.
    pub profile: Map<String, Value>,
    /// What it may do. Its access tokens have these scopes. The answer to a log-in does not show them.
    pub scopes: ScopeSet,
}

impl Account {
    /// An account without scopes. Its subject is its id.
    #[must_use]
    pub fn new(id: impl Into<AccountId>, email: impl Into<String>) -> Self {
        let (id, email) = (id.into(), email.into());
        Self {
            subject: id.to_string().into(),
            id,
            username: email.clone(),
            email,
            company_id: None,
            is_verified: false,
            profile: Map::new(),
            scopes: ScopeSet::default(),
        }
    }

    /// Sets the subject. Default: the id.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<Arc<str>>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Sets the scopes. Default: none.
    #[must_use]
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }
}

impl fmt::Debug for Account {
    /// Shows the id only, and only if it is a number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An account with its password hash, as it is stored.
#[derive(Clone)]
#[non_exhaustive]
pub struct StoredAccount {
    /// The account.
    pub account: Account,
    /// Whether the account may log in and refresh. Tokens that were issued before stay valid until they expire, private
    /// tokens included. If you set this to `false`, also call
    /// [`TokenIssuer::revoke_subject`](super::TokenIssuer::revoke_subject).
    pub is_active: bool,
    /// The password hash, as a PHC string: `$argon2id$v=19$...`.
    pub password_hash: String,
}

impl StoredAccount {
    /// An active account.
    #[must_use]
    pub fn new(account: Account, password_hash: impl Into<String>) -> Self {
        Self { account, is_active: true, password_hash: password_hash.into() }
    }
}

impl fmt::Debug for StoredAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredAccount").field("account", &self.account).finish_non_exhaustive()
    }
}

/// A place for accounts and password hashes, for [`Passwords`](super::Passwords).
pub trait AccountStore: Send + Sync + 'static {
    /// Finds the account with an e-mail address. The address is [`normalized`](normalize_email).
    ///
    /// # Errors
    /// If the store cannot answer.
    fn find_by_email<'a>(
        &'a self,
        email: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredAccount>, StoreError>>;

    /// Finds the account with a [`subject`](Account::subject).
    ///
    /// # Errors
    /// If the store cannot answer.
    fn find_by_subject<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredAccount>, StoreError>>;

    /// Replaces a subject's `old_hash` with a new hash of the same password. If the stored hash is no longer
    /// `old_hash`, this changes nothing. Do not use it to change a password: after a changed password you must call
    /// [`TokenIssuer::revoke_subject`](super::TokenIssuer::revoke_subject), after this call you need not.
    ///
    /// # Errors
    /// If the hash was not, or may not have been, replaced.
    fn replace_hash<'a>(
        &'a self,
        subject: &'a str,
        old_hash: &'a str,
        new_hash: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

impl<T: AccountStore + ?Sized> AccountStore for Arc<T> {
    fn find_by_email<'a>(
        &'a self,
        email: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredAccount>, StoreError>> {
        (**self).find_by_email(email)
    }

    fn find_by_subject<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredAccount>, StoreError>> {
        (**self).find_by_subject(subject)
    }

    fn replace_hash<'a>(
        &'a self,
        subject: &'a str,
        old_hash: &'a str,
        new_hash: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        (**self).replace_hash(subject, old_hash, new_hash)
    }
}

/// The form in which e-mail addresses are compared and stored: ASCII letters in lower case. All else stays as it is.
///
/// Mail servers may distinguish `A@` from `a@`, but in practice they do not: two accounts that differ only in case
/// would belong to one person. White space is kept, so an address with a leading space is unknown. Letters beyond ASCII
/// are not folded: folding would make different addresses equal (RFC 6530 leaves their comparison to the receiver).
#[must_use]
pub fn normalize_email(email: &str) -> String {
    email.to_ascii_lowercase()
}

/// Accounts in memory, for tests and demonstrations.
#[derive(Default)]
pub struct MemoryAccounts(std::sync::Mutex<HashMap<String, StoredAccount>>);

impl MemoryAccounts {
    /// An empty collection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores an account under its e-mail address. It replaces an earlier account with that address.
    pub fn insert(&self, stored: StoredAccount) {
        self.accounts().insert(normalize_email(&stored.account.email), stored);
    }

    fn accounts(&self) -> std::sync::MutexGuard<'_, HashMap<String, StoredAccount>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl AccountStore for MemoryAccounts {
    fn find_by_email<'a>(
        &'a self,
        email: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredAccount>, StoreError>> {
        let found = self.accounts().get(email).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn find_by_subject<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredAccount>, StoreError>> {
        let accounts = self.accounts();
        let found = accounts.values().find(|stored| *stored.account.subject == *subject).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn replace_hash<'a>(
        &'a self,
        subject: &'a str,
        old_hash: &'a str,
        new_hash: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut accounts = self.accounts();
        let found = accounts
            .values_mut()
            .find(|stored| *stored.account.subject == *subject && stored.password_hash == old_hash);
        if let Some(stored) = found {
            stored.password_hash = new_hash.into();
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

impl fmt::Debug for MemoryAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryAccounts").finish_non_exhaustive()
    }
}
