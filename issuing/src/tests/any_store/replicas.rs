//! Known devices that replicas share. Every store runs these tests.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{DAY, Everybody, ISSUER, NOW};
use tower_bearer::{Algorithm, claims::ManualClock, jws::SigningKey};
use tower_bearer_issuing::{
    Account, ClientInfo, Credentials, LoginError, MAX_PASSWORD, MemoryAccounts, Passwords,
    StoredAccount, TokenIssuer, TokenIssuerBuilder, TokenStore, hash_password,
    store::MemoryTokenStore,
};

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// Runs every test, each on an empty store.
pub(crate) async fn check<S: TokenStore + Clone>(make: impl AsyncFn(ManualClock) -> S) {
    let begin = async || {
        let clock = ManualClock::at(NOW);
        Bench { store: make(clock.clone()).await, clock }
    };
    an_attack_on_one_replica_does_not_lock_out_whom_another_knows(begin().await).await;
    a_device_is_known_until_its_retention_has_passed(begin().await).await;
    without_retention_nothing_is_shared(begin().await).await;
    another_issuer_on_the_store_knows_nothing(begin().await).await;
}

struct Bench<S> {
    store: S,
    clock: ManualClock,
}

impl<S: TokenStore + Clone> Bench<S> {
    fn builder(&self, issuer: &str) -> TokenIssuerBuilder {
        let key = SigningKey::generate(Algorithm::ES256).unwrap();
        TokenIssuer::builder(issuer, "api", key, self.store.clone(), Everybody)
            .with_clock(self.clock.clone())
    }

    fn replica(&self) -> TokenIssuer {
        self.builder(ISSUER).build().unwrap()
    }
}

async fn log_in(issuer: &TokenIssuer, password: &str, peer: IpAddr) -> Result<(), LoginError> {
    issuer.log_in(&Credentials::new("Ada", password), &Some(peer).into()).await.map(|_| ())
}

async fn is_let_in(issuer: &TokenIssuer, peer: IpAddr) -> bool {
    match log_in(issuer, "right", peer).await {
        Ok(()) => true,
        Err(LoginError::Throttled { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Tries wrong passwords until the account is at its limit.
async fn attack(issuer: &TokenIssuer) {
    for _ in 0..50 {
        if matches!(log_in(issuer, "wrong", ELSEWHERE).await, Err(LoginError::Throttled { .. })) {
            return;
        }
    }
    panic!("the account has no limit");
}

async fn an_attack_on_one_replica_does_not_lock_out_whom_another_knows<S>(bench: Bench<S>)
where
    S: TokenStore + Clone,
{
    let (one, other) = (bench.replica(), bench.replica());
    assert!(is_let_in(&one, HOME).await);
    attack(&other).await;
    assert!(is_let_in(&other, HOME).await);
    assert!(!is_let_in(&other, ELSEWHERE).await, "only from where she is known");
    assert!(is_let_in(&other, HOME).await, "and again");
}

async fn a_device_is_known_until_its_retention_has_passed<S>(bench: Bench<S>)
where
    S: TokenStore + Clone,
{
    assert!(is_let_in(&bench.replica(), HOME).await);
    bench.clock.advance(90 * DAY);
    let other = bench.replica();
    attack(&other).await;
    assert!(is_let_in(&other, HOME).await, "on the last day");
    // This attempt was a log-in from that address.
    bench.clock.advance(90 * DAY + Duration::from_secs(1));
    let other = bench.replica();
    attack(&other).await;
    assert!(!is_let_in(&other, HOME).await);
}

async fn without_retention_nothing_is_shared<S: TokenStore + Clone>(bench: Bench<S>) {
    let replica =
        || bench.builder(ISSUER).with_known_device_retention(Duration::ZERO).build().unwrap();
    assert!(is_let_in(&replica(), HOME).await);
    let other = replica();
    attack(&other).await;
    assert!(!is_let_in(&other, HOME).await);
}

async fn another_issuer_on_the_store_knows_nothing<S: TokenStore + Clone>(bench: Bench<S>) {
    assert!(is_let_in(&bench.replica(), HOME).await);
    let other = bench.builder("https://other.example").build().unwrap();
    attack(&other).await;
    assert!(!is_let_in(&other, HOME).await);
}

async fn ada() -> (TokenIssuer, ManualClock) {
    let accounts = Arc::new(MemoryAccounts::new());
    let hash = hash_password("right").unwrap();
    accounts.insert(StoredAccount::new(Account::new(1, "ada"), hash));
    let passwords = Passwords::new(accounts).unwrap().with_limits(1, 64);
    let clock = ManualClock::at(NOW);
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let issuer = TokenIssuer::builder(ISSUER, "api", key, store, passwords);
    (issuer.with_clock(clock.clone()).build().unwrap(), clock)
}

#[tokio::test]
async fn credentials_that_are_never_hashed_lock_nobody_out() {
    let (issuer, _) = ada().await;
    let long = "x".repeat(MAX_PASSWORD + 1);
    for password in [&*long, "right"] {
        let name = if password == "right" { "ada\0" } else { "ada" };
        for _ in 0..40 {
            let credentials = Credentials::new(name, password);
            let refused = issuer.log_in(&credentials, &Some(ELSEWHERE).into()).await;
            assert!(matches!(refused, Err(LoginError::NoActiveAccount)));
        }
    }
    assert!(is_let_in(&issuer, ELSEWHERE).await);
}

#[tokio::test]
async fn eight_parallel_jobs_log_in_to_one_account() {
    for peer in [None, Some(HOME)] {
        let (issuer, _) = ada().await;
        let credentials = Credentials::new("ada", "right");
        let client = ClientInfo::from(peer);
        let jobs = (0..8).map(|_| issuer.log_in(&credentials, &client));
        for job in futures_util::future::join_all(jobs).await {
            job.unwrap();
        }
    }
}

#[tokio::test]
async fn the_queue_of_parallel_log_ins_overflows_into_throttling() {
    let (issuer, _) = ada().await;
    let credentials = Credentials::new("ada", "right");
    let client = ClientInfo::new();
    let jobs = (0..24).map(|_| issuer.log_in(&credentials, &client));
    let outcomes = futures_util::future::join_all(jobs).await;
    let throttled =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(LoginError::Throttled { .. })));
    assert_eq!(throttled.count(), 3, "five run and sixteen wait");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 21);
}
