//! The token life cycle: log in, refresh, private tokens, revocation.

mod accounts;
mod claims;
mod error;
mod issuer;
mod last_used;
mod maintenance;
mod passwords;
mod private_tokens;
mod revoking;
mod sessions;
mod signing_keys;
pub mod store;
mod throttle;
mod tokens;

pub use self::accounts::{
    Account, AccountStore, Accounts, AccountsError, Credentials, MemoryAccounts, StoredAccount,
    normalize_email,
};
pub use self::error::{LogOutError, LoginError, PrivateTokenError, RefreshError, RevokeAllError};
pub use self::issuer::{TokenIssuer, TokenIssuerBuilder};
pub use self::passwords::{HashingFailed, MAX_EMAIL, MAX_PASSWORD, Passwords, hash_password};
pub use self::signing_keys::SigningKeys;
pub use self::store::{ListQuery, Page, PrivateToken, PrivateTokenPage, SortBy, TokenStore};
pub use self::tokens::{CreatedPrivateToken, Login, TokenPair};
