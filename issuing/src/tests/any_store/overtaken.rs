//! Revocations during a log-in or a refresh. Every store runs these tests.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{DAY, ISSUER, NOW, refusal};
use tower_bearer::{
    Algorithm, BoxFuture, RejectionKind, claims::ManualClock, jws::SigningKey,
    revocation::StoreError,
};
use tower_bearer_issuing::{
    Account, Accounts, AccountsError, ClientInfo, Credentials, LoginError, PrivateTokenError,
    RefreshError, TokenIssuer, TokenPair, TokenStore, scopes::ScopeSet,
};

/// Runs every test, each on an empty store.
pub(crate) async fn check<S: TokenStore + Clone>(make: impl AsyncFn(ManualClock) -> S) {
    let begin = async |seconds_behind| {
        let clock = ManualClock::at(NOW);
        Bench::new(make(clock.clone()).await, clock, seconds_behind)
    };
    for seconds_behind in [0, 29] {
        a_replaced_password_fails(begin(seconds_behind).await).await;
        a_closed_account_fails(begin(seconds_behind).await).await;
    }
    a_right_password_is_let_in_behind_the_cut_off(begin(0).await).await;
    a_revocation_during_the_second_check_reaches_the_session(begin(0).await).await;
    a_refresh_for_an_account_that_was_closed_fails(begin(0).await).await;
    a_scope_that_is_lost_during_a_log_in_is_not_signed(begin(0).await).await;
    a_scope_that_is_lost_during_a_refresh_is_not_signed(begin(0).await).await;
    a_refresh_that_is_overtaken_gives_nothing_valid(begin(0).await).await;
    no_private_token_is_made_for_a_revoked_caller(begin(0).await).await;
}

type Event = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One account, `ada`. A question about it reads its state at once, and is answered after the next event.
struct Ada {
    password: Mutex<Option<&'static str>>,
    scopes: Mutex<&'static str>,
    events: Mutex<VecDeque<Event>>,
    checks: AtomicUsize,
}

impl Ada {
    /// `None` closes the account.
    fn set_password(&self, password: Option<&'static str>) {
        *self.password.lock().unwrap() = password;
    }

    fn account(&self, subject: &str) -> Account {
        let scopes = ScopeSet::from_text(*self.scopes.lock().unwrap()).unwrap();
        Account::new(1, "ada@example.org").with_subject(subject).with_scopes(scopes)
    }

    async fn next_event(&self) {
        let event = self.events.lock().unwrap().pop_front();
        if let Some(event) = event {
            event.await;
        }
    }
}

impl Accounts for Ada {
    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>> {
        self.checks.fetch_add(1, Ordering::SeqCst);
        let is_right = *self.password.lock().unwrap() == Some(credentials.password.as_str());
        let account = self.account("ada");
        Box::pin(async move {
            self.next_event().await;
            is_right.then_some(account).ok_or(AccountsError::NoActiveAccount)
        })
    }

    fn find_active<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<Account>, StoreError>> {
        let account = self.account(subject);
        let is_active = self.password.lock().unwrap().is_some();
        Box::pin(async move {
            self.next_event().await;
            Ok(is_active.then_some(account))
        })
    }
}

/// Two replicas on one store.
struct Bench {
    ada: Arc<Ada>,
    here: TokenIssuer,
    /// The clock of this replica may be behind.
    there: TokenIssuer,
}

impl Bench {
    fn new<S: TokenStore + Clone>(store: S, clock: ManualClock, seconds_behind: u64) -> Self {
        let ada = Arc::new(Ada {
            password: Mutex::new(Some("old")),
            scopes: Mutex::new("a b"),
            events: Mutex::default(),
            checks: AtomicUsize::new(0),
        });
        let key = SigningKey::generate(Algorithm::ES256).unwrap();
        let builder =
            |store: S| TokenIssuer::builder(ISSUER, "api", key.clone(), store, Arc::clone(&ada));
        let here = builder(store.clone()).with_clock(clock).build().unwrap();
        let behind = ManualClock::at(NOW - Duration::from_secs(seconds_behind));
        let there = builder(store).with_clock(behind).build().unwrap();
        Self { ada, here, there }
    }

    /// At the next question about the account, its password changes and its tokens are revoked.
    fn next(&self, password: Option<&'static str>) {
        let (ada, there) = (Arc::clone(&self.ada), self.there.clone());
        self.ada.events.lock().unwrap().push_back(Box::pin(async move {
            ada.set_password(password);
            there.revoke_subject("ada").await.unwrap();
        }));
    }

    /// At the next question about the account, it loses the scope `b`.
    fn next_loses_b(&self) {
        let ada = Arc::clone(&self.ada);
        self.ada.events.lock().unwrap().push_back(Box::pin(async move {
            *ada.scopes.lock().unwrap() = "a";
        }));
    }

    async fn scopes(&self, tokens: &TokenPair) -> String {
        let access = self.here.authenticator().authenticate(&tokens.access_token).await.unwrap();
        access.scopes().iter().collect::<Vec<_>>().join(" ")
    }

    async fn log_in(&self, password: &str) -> Result<TokenPair, LoginError> {
        let login = self.here.log_in(&Credentials::new("ada", password), &ClientInfo::new()).await;
        login.map(|login| login.tokens)
    }

    async fn is_dead(&self, tokens: &TokenPair) -> bool {
        refusal(&self.here, &tokens.access_token).await == Some(RejectionKind::Revoked)
            && refusal(&self.there, &tokens.access_token).await == Some(RejectionKind::Revoked)
            && self.here.refresh(&tokens.refresh_token).await.is_err()
    }
}

async fn a_replaced_password_fails(bench: Bench) {
    bench.next(Some("new"));
    assert!(matches!(bench.log_in("old").await, Err(LoginError::NoActiveAccount)));
    let tokens = bench.log_in("new").await.unwrap();
    assert_eq!(refusal(&bench.here, &tokens.access_token).await, None, "in the same second");
    bench.here.refresh(&tokens.refresh_token).await.unwrap();
}

async fn a_closed_account_fails(bench: Bench) {
    bench.next(None);
    assert!(matches!(bench.log_in("old").await, Err(LoginError::NoActiveAccount)));
}

async fn a_right_password_is_let_in_behind_the_cut_off(bench: Bench) {
    bench.next(Some("old"));
    let tokens = bench.log_in("old").await.unwrap();
    assert_eq!(bench.ada.checks.load(Ordering::SeqCst), 2, "it was checked again");
    assert_eq!(refusal(&bench.here, &tokens.access_token).await, None);
    bench.here.refresh(&tokens.refresh_token).await.unwrap();
}

async fn a_revocation_during_the_second_check_reaches_the_session(bench: Bench) {
    bench.next(Some("old"));
    bench.next(Some("new"));
    let tokens = bench.log_in("old").await.unwrap();
    assert!(bench.is_dead(&tokens).await);
}

/// This holds even without a revocation.
async fn a_refresh_for_an_account_that_was_closed_fails(bench: Bench) {
    let tokens = bench.log_in("old").await.unwrap();
    let ada = Arc::clone(&bench.ada);
    let close: Event = Box::pin(async move { ada.set_password(None) });
    bench.ada.events.lock().unwrap().push_back(close);
    let refreshed = bench.here.refresh(&tokens.refresh_token).await;
    assert!(matches!(refreshed, Err(RefreshError::NotValid)));
}

async fn a_scope_that_is_lost_during_a_log_in_is_not_signed(bench: Bench) {
    assert_eq!(bench.scopes(&bench.log_in("old").await.unwrap()).await, "a b");
    bench.next_loses_b();
    assert_eq!(bench.scopes(&bench.log_in("old").await.unwrap()).await, "a");
}

async fn a_scope_that_is_lost_during_a_refresh_is_not_signed(bench: Bench) {
    let tokens = bench.log_in("old").await.unwrap();
    bench.next_loses_b();
    let tokens = bench.here.refresh(&tokens.refresh_token).await.unwrap();
    assert_eq!(bench.scopes(&tokens).await, "a");
}

async fn a_refresh_that_is_overtaken_gives_nothing_valid(bench: Bench) {
    let tokens = bench.log_in("old").await.unwrap();
    bench.next(Some("old"));
    let refreshed = bench.here.refresh(&tokens.refresh_token).await;
    assert!(matches!(refreshed, Err(RefreshError::NotValid)));

    let tokens = bench.log_in("old").await.unwrap();
    let nothing: Event = Box::pin(std::future::ready(()));
    bench.ada.events.lock().unwrap().push_back(nothing);
    bench.next(Some("old"));
    let tokens = bench.here.refresh(&tokens.refresh_token).await.unwrap();
    assert!(bench.is_dead(&tokens).await);
}

async fn no_private_token_is_made_for_a_revoked_caller(bench: Bench) {
    let tokens = bench.log_in("old").await.unwrap();
    let access = bench.here.authenticator().authenticate(&tokens.access_token).await.unwrap();
    let made = bench.here.create_private_token(&access, "a", NOW + DAY).await.unwrap();
    bench.there.revoke_subject("ada").await.unwrap();
    let created = bench.here.create_private_token(&access, "b", NOW + DAY).await;
    assert!(matches!(created, Err(PrivateTokenError::NotAccess)));
    let rotated =
        bench.here.rotate_private_token(&access, made.token.id, NOW + DAY, Duration::ZERO).await;
    assert!(matches!(rotated, Err(PrivateTokenError::NotAccess)));

    // Only a caller that was issued after the cut-off gets a token there.
    let tokens = bench.log_in("old").await.unwrap();
    let access = bench.here.authenticator().authenticate(&tokens.access_token).await.unwrap();
    let made = bench.here.create_private_token(&access, "c", NOW + DAY).await.unwrap();
    assert_eq!(refusal(&bench.here, &made.data).await, None);
}
