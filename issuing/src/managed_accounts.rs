//! Accounts that the issuer adds, lists and changes.
//!
//! A [`ManagedAccounts`] is the store of the accounts and of their tokens. So a change of an account and the
//! revocations that it requires are one step. [`MemoryTokenStore`](crate::store::MemoryTokenStore) and `SqlStore` of
//! `tower-bearer-sql` implement it. A command line can use such a store without an issuer:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tower_bearer::claims::{Clock, SystemClock};
//! use tower_bearer_issuing::{
//!     AccountChange, AccountOutcome, AccountUpdate, ManagedAccounts, NewAccount, hash_password,
//!     store::{MemoryTokenStore, Owner},
//! };
//!
//! let store = MemoryTokenStore::new();
//! let hash = hash_password("a long one")?;
//! let ada = store.add_account(&NewAccount::new("ada@example.org", hash)).await?;
//! let ada = ada.ok_or("the address has an account")?;
//!
//! let owner = Owner::new("https://issuer.example", ada.subject);
//! let close = AccountUpdate::new(owner, AccountChange::Close, SystemClock::default().now());
//! let outcome = store.change_account(&close).await?;
//! assert!(matches!(outcome, AccountOutcome::Changed(revocations) if revocations.len() == 1));
//! # Ok(()) }
//! ```

use std::{fmt, sync::Arc, time::Duration};

use serde_json::{Map, Value};

use crate::{
    Account, AccountId, AccountStore,
    audit::AuditEvent,
    scopes::ScopeSet,
    store::{Caller, Owner, Step},
};
use tower_bearer::{UnixTime, revocation::RevocationEntry};

/// How long tokens without a row in the store live at most, if a command line does not know the settings of the issuer.
const LONGEST_LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Adds, lists and changes accounts. An implementation is also the [`TokenStore`](crate::TokenStore) of the tokens of
/// these accounts.
///
/// 1. **A change and the revocations that it requires are one step**: both happen, or neither does.
///    [`AccountChange`] states which change revokes tokens. Each revocation has its outbox entry. Only
///    [`AccountChange::Delete`] may revoke in an earlier step.
/// 2. **A subject is never given to a second account**, not even after the first account was deleted. Verifiers would
///    accept the tokens of the first for the second.
/// 3. **Steps of one owner do not overlap**: a session or a private token of the owner is issued before the change, and
///    is revoked with it, or after the change. Then it has a date after the cut-off.
///
/// The suite `conformance` checks these rules ([`check_accounts`](crate::store::conformance::check_accounts), feature
/// `test-util`).
pub trait ManagedAccounts: AccountStore {
    /// Adds an account. Assigns its number and its subject. Returns `None` if an account has this e-mail address
    /// already, and changes nothing then. So you can repeat the call.
    ///
    /// # Errors
    /// If the account was not added, or may not have been added.
    fn add_account<'a>(&'a self, account: &'a NewAccount) -> Step<'a, Option<Account>>;

    /// Lists accounts in the order of their numbers, closed accounts included.
    ///
    /// # Errors
    /// If the store cannot answer.
    fn list_accounts<'a>(&'a self, query: &'a AccountQuery) -> Step<'a, AccountPage>;

    /// Changes an account, and revokes what the change requires.
    ///
    /// # Errors
    /// If the change was not made, or may not have been made. It was certainly not made if the error
    /// [says so](tower_bearer::revocation::StoreError::is_nothing_written).
    fn change_account<'a>(&'a self, update: &'a AccountUpdate) -> Step<'a, AccountOutcome>;
}

impl<T: ManagedAccounts + ?Sized> ManagedAccounts for Arc<T> {
    fn add_account<'a>(&'a self, account: &'a NewAccount) -> Step<'a, Option<Account>> {
        (**self).add_account(account)
    }

    fn list_accounts<'a>(&'a self, query: &'a AccountQuery) -> Step<'a, AccountPage> {
        (**self).list_accounts(query)
    }

    fn change_account<'a>(&'a self, update: &'a AccountUpdate) -> Step<'a, AccountOutcome> {
        (**self).change_account(update)
    }
}

/// A new account. The store assigns its number and its subject.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewAccount {
    /// The e-mail address. No other account may have it. Addresses are compared as
    /// [`normalize_email`](crate::normalize_email) describes.
    pub email: String,
    /// The password hash, as a PHC string: `$argon2id$v=19$...`.
    pub password_hash: String,
    /// The user name.
    pub username: String,
    /// The company of the account.
    pub company_id: Option<AccountId>,
    /// Whether the account may log in.
    pub is_active: bool,
    /// Whether the e-mail address was verified.
    pub is_verified: bool,
    /// Other data about the user, as a JSON object.
    pub profile: Map<String, Value>,
    /// What the account may do.
    pub scopes: ScopeSet,
}

impl NewAccount {
    /// Returns an active account without scopes. Its user name is its e-mail address.
    #[must_use]
    pub fn new(email: impl Into<String>, password_hash: impl Into<String>) -> Self {
        let email = email.into();
        Self {
            username: email.clone(),
            email,
            password_hash: password_hash.into(),
            company_id: None,
            is_active: true,
            is_verified: false,
            profile: Map::new(),
            scopes: ScopeSet::default(),
        }
    }
}

/// A query for a part of the list of accounts. By default it asks for the first 100 of all accounts.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountQuery {
    /// Only accounts whose e-mail address contains this text. It is compared as
    /// [`normalize_email`](crate::normalize_email) describes. No character of it has a special meaning.
    pub search: Option<String>,
    /// Only accounts with a number above this one: [`AccountPage::next`] of the part before.
    pub after: i64,
    /// How many accounts the answer has at most. 0 means 1.
    pub limit: u32,
}

impl AccountQuery {
    /// Asks for the first 100 of all accounts.
    #[must_use]
    pub fn new() -> Self {
        Self { search: None, after: i64::MIN, limit: 100 }
    }

    /// Only accounts whose e-mail address contains this text. Default: any address.
    #[must_use]
    pub fn with_search(mut self, text: impl Into<String>) -> Self {
        self.search = Some(text.into());
        self
    }

    /// Continues after the part of the list whose [`next`](AccountPage::next) this is. Default: from the beginning.
    #[must_use]
    pub fn with_after(mut self, number: i64) -> Self {
        self.after = number;
        self
    }

    /// Sets how many accounts the answer has at most. Default: 100.
    #[must_use]
    pub fn with_limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

impl Default for AccountQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// A part of the list of accounts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AccountPage {
    /// The accounts, in the order of their numbers.
    pub accounts: Vec<ListedAccount>,
    /// For [`AccountQuery::with_after`], if there are more accounts.
    pub next: Option<i64>,
}

impl AccountPage {
    /// A part of the list, and where it continues.
    #[must_use]
    pub fn new(accounts: Vec<ListedAccount>, next: Option<i64>) -> Self {
        Self { accounts, next }
    }
}

/// An account in a list.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ListedAccount {
    /// The account.
    pub account: Account,
    /// Whether it may log in. A closed account may not.
    pub is_active: bool,
}

impl ListedAccount {
    /// An account that may log in or not.
    #[must_use]
    pub fn new(account: Account, is_active: bool) -> Self {
        Self { account, is_active }
    }
}

/// A change of an account.
///
/// A change that [ends all tokens](Self::ends_all_tokens) revokes everything that was issued to the subject before:
/// the step writes a cut-off like [`TokenStore::revoke_owner`](crate::TokenStore::revoke_owner).
// A store must make every change, so a new one must break its build.
#[derive(Clone, PartialEq, Eq)]
pub enum AccountChange {
    /// The owner changes the password. Ends all tokens. If the account is closed, or if its hash is not `old_hash` any
    /// more, nothing changes. So of two changes at once one succeeds.
    ChangePassword {
        /// The hash that the old password was compared with.
        old_hash: String,
        /// The hash of the new password.
        new_hash: String,
    },
    /// An operator sets the password, also of a closed account. Ends all tokens.
    SetPassword {
        /// The hash of the new password.
        new_hash: String,
    },
    /// The account may not log in and refresh any more. Ends all tokens, also if it is closed already.
    Close,
    /// A closed account may log in again. Tokens that were revoked stay revoked.
    Reopen,
    /// Gives the account these scopes. If it loses scopes, access tokens that were issued before are revoked, and so
    /// are private tokens that hold a lost scope ([`LostScopes`](crate::store::LostScopes)). Refresh tokens stay.
    /// Gaining scopes revokes nothing.
    SetScopes(ScopeSet),
    /// Ends all tokens, and deletes the account with its sessions and private tokens. The revocation entry stays until
    /// every token has expired. Another account can get the e-mail address, but not the subject.
    ///
    /// The deletion can take long, so a store may revoke in an earlier step, and delete the account in the last one. If
    /// it fails in between, the error must not state that nothing was written. The change can be repeated then.
    Delete,
}

impl AccountChange {
    /// Whether the change revokes every token that was issued to the subject before.
    #[must_use]
    pub fn ends_all_tokens(&self) -> bool {
        match self {
            Self::ChangePassword { .. } | Self::SetPassword { .. } | Self::Close | Self::Delete => {
                true
            }
            Self::Reopen | Self::SetScopes(_) => false,
        }
    }
}

/// A change of an account, as a step of a store.
#[derive(Clone)]
#[non_exhaustive]
pub struct AccountUpdate {
    /// The subject of the account, and the issuer whose tokens are revoked.
    pub owner: Owner,
    /// The change.
    pub change: AccountChange,
    /// The owner's access token, if it makes the change. If it is revoked at the moment of the step, nothing changes.
    pub caller: Option<Caller>,
    /// The time of the change.
    pub now: UnixTime,
    /// The latest `exp` of a token that was issued to the subject. The revocation is kept until then, or until the
    /// latest expiry among the rows of the owner if that is later.
    pub tokens_expire_by: UnixTime,
    /// For [`AccountChange::Delete`]: the event that the account was deleted. A store that is an audit sink keeps it in
    /// the same step, so that it is not lost. Other changes, and other stores, ignore it.
    pub deletion_event: Option<AuditEvent>,
}

impl AccountUpdate {
    /// A change at `now` by an operator. A revocation is kept for 366 days, which is the default maximum lifetime of a
    /// private token, or longer if the store knows of a token that lives longer.
    #[must_use]
    pub fn new(owner: Owner, change: AccountChange, now: UnixTime) -> Self {
        let tokens_expire_by = now + LONGEST_LIFETIME;
        Self { owner, change, caller: None, now, tokens_expire_by, deletion_event: None }
    }

    /// Makes the change on behalf of this access token. By default an operator makes it.
    #[must_use]
    pub fn by(mut self, caller: Caller) -> Self {
        self.caller = Some(caller);
        self
    }

    /// Sets the latest `exp` of a token that was issued to the subject. Default: 366 days from now.
    #[must_use]
    pub fn with_tokens_expiring_by(mut self, latest: UnixTime) -> Self {
        self.tokens_expire_by = latest;
        self
    }

    /// Sets the audit event of a deletion. Default: none.
    #[must_use]
    pub fn with_deletion_event(mut self, event: AuditEvent) -> Self {
        self.deletion_event = Some(event);
        self
    }
}

/// The outcome of a change of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccountOutcome {
    /// The caller's access token is revoked: by its id, session, key, or a cut-off of its subject. Nothing has changed.
    CallerRevoked,
    /// There is no account with this subject. Nothing has changed.
    NotFound,
    /// The password is not the old one any more, or the account is closed. Nothing has changed. Only
    /// [`AccountChange::ChangePassword`] has this outcome.
    OtherPassword,
    /// The change was made. These are the revocation entries that it wrote.
    Changed(Vec<RevocationEntry>),
}

/// Implements `Debug` without content. Addresses, subjects and hashes must not be in a log.
macro_rules! debug_without_content {
    ($($name:literal $type:ty),+ $(,)?) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).finish_non_exhaustive()
            }
        }
    )+};
}

debug_without_content! {
    "NewAccount" NewAccount,
    "AccountQuery" AccountQuery,
    "AccountUpdate" AccountUpdate,
}

impl fmt::Debug for AccountChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChangePassword { .. } => "ChangePassword(..)",
            Self::SetPassword { .. } => "SetPassword(..)",
            Self::Close => "Close",
            Self::Reopen => "Reopen",
            Self::SetScopes(_) => "SetScopes(..)",
            Self::Delete => "Delete",
        })
    }
}
