//! The issuer as a whole, on the memory store.

mod failing;
pub(super) mod overtaken;
mod private_tokens;
pub(super) mod replicas;
mod sessions;
mod verifying;

use std::time::Duration;

use super::{
    Account, Accounts, AccountsError, Credentials, TokenIssuer, TokenIssuerBuilder, TokenPair,
    store::MemoryTokenStore,
};
use crate::{
    Algorithm, Authenticated, BoxFuture, RejectionKind, UnixTime, claims::ManualClock,
    jws::SigningKey, revocation::StoreError,
};

const NOW: UnixTime = UnixTime::from_secs(2_000_000_000);
const ISSUER: &str = "https://issuer.example";
const DAY: Duration = Duration::from_secs(24 * 3600);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Everybody's password is `right`, and the user name is the subject. `gone` has left since, and about `away` nobody
/// can be asked.
pub(super) struct Everybody;

impl Accounts for Everybody {
    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>> {
        Box::pin(async {
            let mut account = Account::new(1, credentials.username.as_str());
            account.subject = credentials.username.as_str().into();
            match credentials.password.as_str() {
                "right" => Ok(account),
                "busy" => Err(AccountsError::Busy),
                _ => Err(AccountsError::NoActiveAccount),
            }
        })
    }

    fn is_active<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(std::future::ready(match subject {
            "away" => Err(StoreError::timed_out()),
            subject => Ok(subject != "gone"),
        }))
    }
}

fn builder(clock: &ManualClock) -> TokenIssuerBuilder {
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    TokenIssuer::builder(ISSUER, "api", key, store, Everybody).with_clock(clock.clone())
}

fn issuer() -> (TokenIssuer, ManualClock) {
    let clock = ManualClock::at(NOW);
    (builder(&clock).build().unwrap(), clock)
}

async fn log_in(issuer: &TokenIssuer, name: &str) -> (TokenPair, Authenticated) {
    let tokens = issuer.log_in(&Credentials::new(name, "right"), None).await.unwrap().tokens;
    let access = issuer.authenticator().authenticate(&tokens.access_token).await.unwrap();
    (tokens, access)
}

/// What the layer says about a token: nothing where it lets it through.
async fn refusal(issuer: &TokenIssuer, token: &str) -> Option<RejectionKind> {
    issuer.authenticator().authenticate(token).await.err().map(|rejection| rejection.kind())
}

#[test]
fn every_call_can_be_made_from_a_handler() {
    fn is_send<T: Send>(_: &T) {}
    fn handlers(issuer: &TokenIssuer, access: &Authenticated, credentials: &Credentials) {
        is_send(&issuer.log_in(credentials, None));
        is_send(&issuer.refresh(""));
        is_send(&issuer.log_out(access, ""));
        is_send(&issuer.create_private_token(access, "", NOW));
        is_send(&issuer.list_private_tokens(access, &super::ListQuery::new()));
        is_send(&issuer.rotate_private_token(access, 0, NOW, Duration::ZERO));
        is_send(&issuer.revoke_private_token(access, 0));
        is_send(&issuer.revoke_all(access));
        is_send(&issuer.revoke_subject(""));
        is_send(&issuer.revoke_key(""));
        is_send(&issuer.run_maintenance());
    }
    let _ = handlers;
}

#[test]
fn settings_outside_of_their_limits_are_refused() {
    let clock = ManualClock::at(NOW);
    let grace = |seconds| {
        builder(&clock).with_refresh_reuse_grace(Duration::from_secs(seconds)).build().is_ok()
    };
    assert!(grace(30) && !grace(31));
    assert!(builder(&clock).with_refresh_lifetime(Duration::ZERO).build().is_err());
    assert!(builder(&clock).with_max_private_lifetime(Duration::MAX).build().is_err());
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let store = MemoryTokenStore::new();
    assert!(TokenIssuer::builder(ISSUER, "", key, store, Everybody).build().is_err());
}
