//! Issues the tokens of a service: log-in, refresh, private tokens, revocation.
//!
//! A [`TokenIssuer`] makes three kinds of tokens for the subjects of its [`Accounts`], keeps their state in a
//! [`TokenStore`], and gives the layers that accept them. It has no HTTP code. The [`router`] has.
//!
//! 1. **Access tokens live for one hour.** A private token lives until the expiry that its owner chose. The operator
//!    sets the lifetime of refresh tokens. The kinds never mix: refresh tokens have another `typ`, each kind has its
//!    `token_type`, and calls that manage tokens accept only access tokens, unless the operator
//!    [allows more](TokenIssuerBuilder::allow_private_token_management).
//! 2. **Ids are random**: 144 bits from the operating system for `jti` and `sid`. Each private token has its own `sid`,
//!    so a log-out does not end it.
//! 3. **Tokens are not stored**, only the SHA-256 of their claims.
//! 4. **A refresh token is used once.** If it is presented again, its session ends: the refresh tokens and access
//!    tokens with its `sid`. Within [`with_refresh_reuse_grace`](TokenIssuerBuilder::with_refresh_reuse_grace) a repeat
//!    gets the same successor. The issuer writes the claims of the successor again from its stored record, and signs
//!    them again. Then the signature can differ (for example with ECDSA of aws-lc-rs, or after a key rotation). It is
//!    still the same token, because its id and the hash of its claims identify it. At each use, the issuer checks that
//!    the subject still has an [active account](Accounts::find_active).
//! 5. **The next request in this process rejects a revoked token.** Other processes reject it within the staleness
//!    bound of the [`RevocationCache`](tower_bearer::RevocationCache). The issuer acknowledges a revocation once the
//!    store has it. If the store fails during a revocation, this process no longer trusts earlier answers of "not
//!    revoked".
//! 6. **A client that hangs up does not stop a revocation halfway**: each revocation runs to its end on a separate
//!    task.
//! 7. **After a cut-off** ([`revoke_all`](TokenIssuer::revoke_all)) new tokens get a date after the cut-off. As a rule
//!    that is at most one second in the future, which verifiers allow. An access token lives for one hour from that
//!    date.
//! 8. **Tokens can be bound to a key of the client** (DPoP, RFC 9449): [`with_proof`](TokenIssuer::with_proof),
//!    [`TokenApi::with_dpop`]. A session and a private token keep their key. By default no token is bound.
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tower_bearer::{Algorithm, RejectionKind, jws::SigningKey};
//! use tower_bearer_issuing::{
//!     Account, ClientInfo, Credentials, MemoryAccounts, Passwords, StoredAccount, TokenIssuer, hash_password,
//!     store::MemoryTokenStore,
//! };
//!
//! let accounts = MemoryAccounts::new();
//! accounts.insert(StoredAccount::new(Account::new(7, "ada@example.org"), hash_password("a long one")?));
//! let issuer = TokenIssuer::builder(
//!     "https://issuer.example",
//!     "api://orders",
//!     SigningKey::generate(Algorithm::ES256)?,
//!     MemoryTokenStore::new(),
//!     Passwords::new(accounts)?,
//! )
//! .build()?;
//!
//! let credentials = Credentials::new("ada@example.org", "a long one");
//! let login = issuer.log_in(&credentials, &ClientInfo::new()).await?;
//! let user = issuer.authenticator().authenticate(&login.tokens.access_token).await?;
//! assert_eq!(user.registered().subject(), Some("7"));
//!
//! issuer.log_out(&user, &login.tokens.refresh_token).await?;
//! let refused = issuer.authenticator().authenticate(&login.tokens.access_token).await;
//! assert_eq!(refused.unwrap_err().kind(), RejectionKind::Revoked);
//! # Ok(()) }
//! # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
//! ```
//!
//! The issuer needs a Tokio runtime. Call [`spawn_maintenance`](TokenIssuer::spawn_maintenance) in each process.
//!
//! # What revokes what
//!
//! The table is about tokens that were issued before. A token that stays is valid until it expires. The test
//! `revocation_table` does what each row says on every store, and asks two replicas about each column.
//!
#![doc = include_str!("what_is_revoked.md")]
//!
//! A revoked key may still sign: then the tokens that it signs later are rejected, too. Let another key sign first
//! ([`rotate_key`](TokenIssuer::rotate_key), `keys add`), or retire the key as compromised.
//!
//! With [`with_managed_accounts`](TokenIssuerBuilder::with_managed_accounts), a change of an account and its
//! revocations are one step. If the accounts are elsewhere, call [`revoke_subject`](TokenIssuer::revoke_subject) after
//! each change that ends tokens. A log-in or refresh that is in progress during a change gets 401, or tokens that the
//! change has revoked.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Other members include some of this crate's tests. These tests use this name for the crate.
#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
extern crate self as tower_bearer_issuing;

mod account_calls;
mod accounts;
mod administration;
pub mod audit;
mod binding;
mod claims;
mod client;
mod error;
mod introspection;
mod issuer;
mod key_directory;
mod known_devices;
mod last_used;
mod lost_scopes;
mod maintenance;
mod managed_accounts;
mod managing;
mod new_passwords;
mod page;
mod passwords;
mod private_tokens;
mod rate;
mod refreshes;
mod revoking;
mod revoking_by_holder;
pub mod router;
pub mod scopes;
mod session_list;
mod sessions;
mod signing_keys;
pub mod store;
pub mod telemetry;
#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests;
mod throttle;

pub use self::account_calls::PasswordChange;
pub use self::accounts::{
    Account, AccountId, AccountStore, Accounts, AccountsError, Credentials, MemoryAccounts,
    StoredAccount, normalize_email,
};
pub use self::client::ClientInfo;
pub use self::error::{
    AccountError, ChangePasswordError, LogOutError, LoginError, PrivateTokenError, RefreshError,
    RevokeAllError, RevokeTokenError, SessionError,
};
pub use self::issuer::{TokenIssuer, TokenIssuerBuilder};
pub use self::key_directory::{
    CompromisedKey, DirectoryKeys, FileProblem, KeyDirectory, KeyDirectoryError, KeyState,
    ListedKey, RetiredKey,
};
pub use self::managed_accounts::{
    AccountChange, AccountOutcome, AccountPage, AccountQuery, AccountUpdate, ListedAccount,
    ManagedAccounts, NewAccount,
};
pub use self::new_passwords::{MIN_PASSWORD, NewPasswordError, check_new_password};
pub use self::page::{PageError, TokenPage};
pub use self::passwords::{HashingFailed, MAX_EMAIL, MAX_PASSWORD, Passwords, hash_password};
pub use self::private_tokens::CreatedPrivateToken;
pub use self::router::TokenApi;
pub use self::sessions::{Login, TokenPair};
pub use self::signing_keys::SigningKeys;
pub use self::store::{
    ListQuery, Page, PrivateToken, PrivateTokenPage, Session, SessionPage, SessionQuery,
    SessionSortBy, SortBy, TokenStore,
};

/// Compiles the example in the README.
#[cfg(all(doctest, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
#[doc = include_str!("../README.md")]
struct Readme;
