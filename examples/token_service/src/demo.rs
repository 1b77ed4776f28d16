//! The demo account, for a first try.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_bearer_issuing::{
    AccountStore, ManagedAccounts, NewAccount, hash_password, normalize_email,
};
use tower_bearer_sql::SqlStore;

use crate::{failure::Outcome, settings::Demo};

/// The account of this start.
pub(crate) struct DemoAccount {
    pub(crate) email: String,
    pub(crate) password: String,
    /// Whether the operator chose the password. Then it is not printed.
    pub(crate) has_own_password: bool,
}

impl DemoAccount {
    /// Adds the account. If an earlier start has already made it, this sets its password to that of this start.
    pub(crate) async fn add(store: &SqlStore, demo: &Demo) -> Outcome<Self> {
        let password = match &demo.password {
            Some(password) => password.clone(),
            None => random_password()?,
        };
        let hash = hash_password(password.as_str())?;
        let mut account = NewAccount::new(demo.email.as_str(), hash.as_str());
        account.is_verified = true;
        if store.add_account(&account).await?.is_none()
            && let Some(there) = store.find_by_email(&normalize_email(&demo.email)).await?
        {
            store.replace_hash(&there.account.subject, &there.password_hash, &hash).await?;
        }
        let has_own_password = demo.password.is_some();
        Ok(Self { email: demo.email.clone(), password, has_own_password })
    }
}

fn random_password() -> Result<String, &'static str> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|_| "the system has no random bytes")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
