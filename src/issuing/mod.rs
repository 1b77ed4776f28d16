//! The token life cycle: log in, refresh, private tokens, revocation.

mod accounts;
mod error;
mod issuer;
pub mod store;
mod tokens;

pub use self::accounts::{
    Account, AccountStore, Accounts, AccountsError, Credentials, MemoryAccounts, StoredAccount,
    normalize_email,
};
pub use self::error::{LogOutError, LoginError, PrivateTokenError, RefreshError, RevokeAllError};
pub use self::issuer::TokenIssuer;
pub use self::store::{ListQuery, Page, PrivateToken, PrivateTokenPage, SortBy, TokenStore};
pub use self::tokens::{CreatedPrivateToken, Login, TokenPair};
