//! The demo account, for a first try.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_bearer_issuing::{
    AccountStore, Accounts, AccountsError, Credentials, ManagedAccounts, NewAccount, Passwords,
    TokenIssuer, hash_password, normalize_email,
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
    /// Adds the account. If an earlier start has made it with another password, this sets the password of this start.
    /// Then all earlier sessions and private tokens of the account end.
    pub(crate) async fn add(issuer: &TokenIssuer, store: &SqlStore, demo: &Demo) -> Outcome<Self> {
        let password = match &demo.password {
            Some(password) => password.clone(),
            None => random_password()?,
        };
        let mut account = NewAccount::new(demo.email.as_str(), hash_password(password.as_str())?);
        account.is_verified = true;
        if store.add_account(&account).await?.is_none() {
            set_password(issuer, store, &demo.email, &password).await?;
        }
        let has_own_password = demo.password.is_some();
        Ok(Self { email: demo.email.clone(), password, has_own_password })
    }
}

/// Sets the password of the account that is there, unless it already has this password.
async fn set_password(
    issuer: &TokenIssuer,
    store: &SqlStore,
    email: &str,
    password: &str,
) -> Outcome {
    let passwords = Passwords::new(store.clone())?;
    match passwords.authenticate(&Credentials::new(email, password)).await {
        Ok(_) => return Ok(()),
        Err(AccountsError::NoActiveAccount | AccountsError::Rejected { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(there) = store.find_by_email(&normalize_email(email)).await? {
        let issuer = issuer.by_operator("token_service serve");
        issuer.set_password(&there.account.subject, password).await?;
    }
    Ok(())
}

fn random_password() -> Result<String, &'static str> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|_| "the system has no random bytes")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
