//! Accounts: whoever turns credentials into a subject.

use std::{collections::HashMap, fmt, sync::Arc};

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use tower_bearer::{BoxFuture, revocation::StoreError};

/// What somebody logs in with. The password is wiped from memory when this is dropped, and shown nowhere.
#[non_exhaustive]
pub struct Credentials {
    /// The user name: an e-mail address, as it was typed.
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

/// Turns credentials into an account. The service author's; [`Passwords`](super::Passwords) is a ready one.
pub trait Accounts: Send + Sync + 'static {
    /// Whether an account could have these credentials. Default: `true`.
    ///
    /// If this is `false`, the log-in gets the answer of a wrong password and is not counted by the throttle. So this
    /// must be cheap: it must not look anything up or hash, and must not depend on what is stored.
    /// [`Passwords`](super::Passwords) answers `false` for credentials beyond its limits of length, or with a NUL.
    fn is_well_formed(&self, credentials: &Credentials) -> bool {
        let _ = credentials;
        true
    }

    /// The active account that the credentials open. It must read the account after this is called, not before.
    ///
    /// It is called a second time with the same credentials if the subject's tokens were revoked during the log-in, or
    /// up to 30 seconds before it. Credentials that can be checked only once fail then, and the user has to log in
    /// again.
    ///
    /// A log-in counts from the moment at which the account was read. If you change a password or close an account,
    /// call [`TokenIssuer::revoke_subject`](super::TokenIssuer::revoke_subject) after it: then no log-in with the old
    /// credentials succeeds, also if it was already in progress. Without that call one that was in progress succeeds.
    ///
    /// Unknown users, inactive ones and wrong passwords are one answer, [`AccountsError::NoActiveAccount`], and should
    /// be one cost: whoever measures must not learn who has an account.
    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>>;

    /// Whether a subject's account is there and active: asked at each refresh, which is refused otherwise, before the
    /// token is used and again after it. There is no default, because the one that costs nothing would let people who
    /// left go on for as long as they refresh.
    ///
    /// Access tokens of an account that is closed or suspended live for their hour, and its private tokens until they
    /// expire: call [`TokenIssuer::revoke_subject`](super::TokenIssuer::revoke_subject) as well.
    ///
    /// # Errors
    /// When the accounts cannot be asked: the refresh is answered 503. The token is not used, unless they fail only
    /// when they are asked again.
    fn is_active<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<bool, StoreError>>;
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

    fn is_active<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        (**self).is_active(subject)
    }
}

/// Why credentials open no account.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountsError {
    /// No active account has these credentials.
    #[error("no active account has these credentials")]
    NoActiveAccount,
    /// Too many are being checked at this moment.
    #[error("too many passwords are being checked: try again later")]
    Busy,
    /// The accounts could not be asked.
    #[error("the accounts could not be asked")]
    Unavailable(#[source] StoreError),
}

/// An account, as the answer to a log-in shows it.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Account {
    /// `sub` of its tokens: never given to another account, not even after this one is gone.
    pub subject: Arc<str>,
    /// Its number.
    pub id: i64,
    /// Its e-mail address.
    pub email: String,
    /// Its user name; the e-mail address unless set.
    pub username: String,
    /// The company that it belongs to.
    pub company_id: Option<i64>,
    /// Whether the e-mail address was verified.
    pub is_verified: bool,
    /// What else is known about the person: an object.
    pub profile: Map<String, Value>,
}

impl Account {
    /// An account whose subject is its number.
    #[must_use]
    pub fn new(id: i64, email: impl Into<String>) -> Self {
        let email = email.into();
        Self {
            subject: id.to_string().into(),
            id,
            username: email.clone(),
            email,
            company_id: None,
            is_verified: false,
            profile: Map::new(),
        }
    }
}

impl fmt::Debug for Account {
    /// Shows the number only.
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
    /// Whether it may log in and refresh. What it was issued before is good until it expires, private tokens included:
    /// who sets this to `false` also calls [`TokenIssuer::revoke_subject`](super::TokenIssuer::revoke_subject).
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

/// Where accounts and password hashes are kept, for [`Passwords`](super::Passwords).
pub trait AccountStore: Send + Sync + 'static {
    /// The account of an e-mail address, which is [`normalized`](normalize_email).
    ///
    /// # Errors
    /// When the store cannot answer.
    fn find_by_email<'a>(
        &'a self,
        email: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredAccount>, StoreError>>;

    /// The account of a [`subject`](Account::subject).
    ///
    /// # Errors
    /// When the store cannot answer.
    fn find_by_subject<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredAccount>, StoreError>>;

    /// Puts a new hash of the same password in the place of `old_hash`, and changes nothing where the hash is another
    /// by now. It is no way to change a password: after that
    /// [`TokenIssuer::revoke_subject`](super::TokenIssuer::revoke_subject) must be called, and after this nothing.
    ///
    /// # Errors
    /// When it was not, or may not have been, replaced.
    fn replace_hash<'a>(
        &'a self,
        account_id: i64,
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
        account_id: i64,
        old_hash: &'a str,
        new_hash: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        (**self).replace_hash(account_id, old_hash, new_hash)
    }
}

/// The form in which e-mail addresses are compared and stored: ASCII letters in lower case, nothing else.
///
/// Mail servers may tell `A@` from `a@` but none does; two accounts that differ in it would be one person's. White space
/// is kept, so that an address with a space in front is simply unknown. Letters beyond ASCII are left alone: to fold
/// them makes different addresses one (RFC 6530 leaves their comparison to the receiver).
#[must_use]
pub fn normalize_email(email: &str) -> String {
    email.to_ascii_lowercase()
}

/// Accounts in memory, for tests and demonstrations.
#[derive(Default)]
pub struct MemoryAccounts(std::sync::Mutex<HashMap<String, StoredAccount>>);

impl MemoryAccounts {
    /// No accounts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps an account under its e-mail address, in place of the one that was there.
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
        account_id: i64,
        old_hash: &'a str,
        new_hash: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut accounts = self.accounts();
        let found = accounts
            .values_mut()
            .find(|stored| stored.account.id == account_id && stored.password_hash == old_hash);
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
