//! Log-ins and refreshes.

use tower_bearer::{
    Algorithm, BoxFuture, UnixTime, claims::ManualClock, jws::SigningKey, revocation::StoreError,
    telemetry::Collector,
};
use tower_bearer_issuing::{
    Account, Accounts, AccountsError, ClientInfo, Credentials, TokenIssuer, store::MemoryTokenStore,
};

use super::recording::record;
use crate::common::requests::NOW;

/// The password says what becomes of the attempt.
struct Everybody;

impl Accounts for Everybody {
    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>> {
        Box::pin(async {
            match credentials.password.as_str() {
                "right" => Ok(Account::new(1, credentials.username.as_str())),
                "busy" => Err(AccountsError::Busy),
                "away" => Err(AccountsError::Unavailable(StoreError::timed_out())),
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

fn issuer() -> TokenIssuer {
    let store = MemoryTokenStore::new().with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    TokenIssuer::builder("https://issuer.example", "api", key, store, Everybody)
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
        .build()
        .unwrap()
}

#[test]
fn log_ins_are_counted_by_outcome() {
    let recorded = record(async {
        let issuer = issuer();
        let log_in = async |password: &str| {
            let credentials = Credentials::new("somebody@example.org", password);
            issuer.log_in(&credentials, &ClientInfo::new()).await.is_ok()
        };
        for password in ["right", "busy", "away", "right"] {
            log_in(password).await;
        }
        for _ in 0..7 {
            assert!(!log_in("wrong").await);
        }
    });
    assert_eq!(
        recorded.all("log_ins"),
        [
            (r#"log_ins_total{outcome="busy"}"#, 1.0),
            (r#"log_ins_total{outcome="no_active_account"}"#, 5.0),
            (r#"log_ins_total{outcome="succeeded"}"#, 2.0),
            (r#"log_ins_total{outcome="throttled"}"#, 2.0),
            (r#"log_ins_total{outcome="unavailable"}"#, 1.0),
        ]
    );
}

#[test]
fn a_reused_refresh_token_is_counted_apart_from_an_invalid_one() {
    let recorded = record(async {
        let issuer = issuer();
        let credentials = Credentials::new("somebody@example.org", "right");
        let first =
            issuer.log_in(&credentials, &ClientInfo::new()).await.unwrap().tokens.refresh_token;
        issuer.refresh(&first).await.unwrap();
        // It ends its session, and is no good after that.
        issuer.refresh(&first).await.unwrap_err();
        issuer.refresh(&first).await.unwrap_err();
        issuer.refresh("a.b.c").await.unwrap_err();
        Collector::new().add_source(issuer.clone()).collect();
    });
    assert_eq!(
        recorded.all("refreshes"),
        [
            (r#"refreshes_total{outcome="not_valid"}"#, 2.0),
            (r#"refreshes_total{outcome="reused"}"#, 1.0),
            (r#"refreshes_total{outcome="succeeded"}"#, 1.0),
        ]
    );
    assert_eq!(recorded.all("revocation_denials"), [("revocation_denials{}", 1.0)]);
}
