//! The token life cycle: log in, refresh, private tokens, revocation.
//!
//! A [`TokenIssuer`] makes three kinds of tokens for the subjects of its [`Accounts`], keeps what must be known of them in
//! a [`TokenStore`], and gives the layers that accept them. It knows no HTTP; the [`router`] does.
//!
//! 1. **Access tokens live for one hour**, private tokens until the time that was chosen when they were made, refresh
//!    tokens as long as the operator says. The kinds never mix: refresh tokens have another `typ`, each kind its
//!    `token_type`, and what manages tokens takes access tokens only.
//! 2. **Ids are random**: 144 bits from the operating system for `jti` and `sid`. A private token has a `sid` of its own,
//!    so that no log-out ends it.
//! 3. **No token is stored**, only the SHA-256 of its claims.
//! 4. **A refresh token is used once.** Presented again it ends its session: the refresh tokens and access tokens with its
//!    `sid`. Within [`with_refresh_reuse_grace`](TokenIssuerBuilder::with_refresh_reuse_grace) a repeat gets the same
//!    successor: its claims are written again from what is stored and signed again. The signature differs then (ECDSA's
//!    always do), the token does not: it is known by its id and the hash of its claims.
//!    Each use asks whether the subject still has an [active account](Accounts::is_active).
//! 5. **What is revoked is refused by the next request in this process**, and elsewhere after the bound of the
//!    [`RevocationCache`](tower_bearer::RevocationCache) at the latest. It is acknowledged once the store has it. If the store
//!    fails meanwhile, no earlier "not revoked" is trusted in this process.
//! 6. **Who hangs up stops nothing halfway**: what revokes runs to its end on a task of its own.
//! 7. **After a cut-off** ([`revoke_all`](TokenIssuer::revoke_all)) what is issued is dated behind it: a second into the
//!    future at most, as a rule, which verifiers allow for. An access token lives for one hour from that date.
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tower_bearer::{Algorithm, RejectionKind, jws::SigningKey};
//! use tower_bearer_issuing::{
//!     Account, Credentials, MemoryAccounts, Passwords, StoredAccount, TokenIssuer, hash_password,
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
//! let login = issuer.log_in(&Credentials::new("ada@example.org", "a long one"), None).await?;
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
//! A tokio runtime is needed. One task in each process should run [`run_maintenance`](TokenIssuer::run_maintenance).

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Tests that other members include name this crate as they do.
#[cfg(test)]
extern crate self as tower_bearer_issuing;

mod accounts;
mod claims;
mod error;
mod issuer;
mod known_devices;
mod last_used;
mod maintenance;
mod passwords;
mod private_tokens;
mod rate;
mod refreshes;
mod revoking;
pub mod router;
mod sessions;
mod signing_keys;
pub mod store;
pub mod telemetry;
#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests;
mod throttle;
mod tokens;

pub use self::accounts::{
    Account, AccountStore, Accounts, AccountsError, Credentials, MemoryAccounts, StoredAccount,
    normalize_email,
};
pub use self::error::{LogOutError, LoginError, PrivateTokenError, RefreshError, RevokeAllError};
pub use self::issuer::{TokenIssuer, TokenIssuerBuilder};
pub use self::passwords::{HashingFailed, MAX_EMAIL, MAX_PASSWORD, Passwords, hash_password};
pub use self::router::TokenApi;
pub use self::signing_keys::SigningKeys;
pub use self::store::{ListQuery, Page, PrivateToken, PrivateTokenPage, SortBy, TokenStore};
pub use self::tokens::{CreatedPrivateToken, Login, TokenPair};

/// The example of the README compiles.
#[cfg(all(doctest, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
#[doc = include_str!("../README.md")]
struct Readme;
