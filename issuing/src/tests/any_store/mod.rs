//! Tests that every token store runs. `tower-bearer-sql` includes this folder, so the tests use only the public API.

pub(crate) mod account_changes;
pub(crate) mod deleted_account;
pub(crate) mod keys;
pub(crate) mod overtaken;
pub(crate) mod replicas;
pub(crate) mod revocation_table;

use std::time::Duration;

use tower_bearer::{BoxFuture, RejectionKind, UnixTime, revocation::StoreError};
use tower_bearer_issuing::{Account, Accounts, AccountsError, Credentials, TokenIssuer};

pub(crate) const NOW: UnixTime = UnixTime::from_secs(2_000_000_000);
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Every account has the password `right`, and the user name is the subject.
pub(crate) struct Everybody;

impl Accounts for Everybody {
    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>> {
        Box::pin(async {
            let name = credentials.username.as_str();
            let account = Account::new(1, name).with_subject(name);
            match credentials.password.as_str() {
                "right" => Ok(account),
                "busy" => Err(AccountsError::Busy),
                _ => Err(AccountsError::NoActiveAccount),
            }
        })
    }

    fn find_active<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<Account>, StoreError>> {
        let account = Account::new(1, subject).with_subject(subject);
        Box::pin(std::future::ready(Ok(Some(account))))
    }
}

/// Why the layer rejects a token. `None` if it accepts the token.
pub(crate) async fn refusal(issuer: &TokenIssuer, token: &str) -> Option<RejectionKind> {
    issuer.authenticator().authenticate(token).await.err().map(|rejection| rejection.kind())
}
