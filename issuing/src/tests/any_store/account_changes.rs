//! Changes of accounts, also during a log-in or a refresh. Every store runs these tests.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{DAY, ISSUER, NOW, refusal};
use tower_bearer::{
    Algorithm, Authenticated, BoxFuture, RejectionKind, claims::ManualClock, jws::SigningKey,
    revocation::StoreError,
};
use tower_bearer_issuing::{
    Account, AccountError, AccountQuery, AccountStore, Accounts, AccountsError,
    ChangePasswordError, ClientInfo, Credentials, LoginError, ManagedAccounts, NewAccount,
    NewPasswordError, PasswordChange, Passwords, RefreshError, TokenIssuer, TokenPair, TokenStore,
    hash_password,
};

const EMAIL: &str = "Ada@example.org";
const OLD: &str = "the old password";
const NEW: &str = "a new password";

fn client() -> ClientInfo {
    ClientInfo::new().with_address([192, 0, 2, 1])
}

/// Runs every test, each on an empty store.
pub(crate) async fn check<S: TokenStore + ManagedAccounts + Clone>(
    make: impl AsyncFn(ManualClock) -> S,
) {
    let begin = async |seconds_behind| {
        let clock = ManualClock::at(NOW);
        Bench::new(make(clock.clone()).await, clock, seconds_behind).await
    };
    for seconds_behind in [0, 29] {
        a_log_in_with_the_old_password_in_progress_fails(begin(seconds_behind).await).await;
        a_log_in_to_an_account_that_is_closed_meanwhile_fails(begin(seconds_behind).await).await;
        a_log_in_to_an_account_that_is_deleted_meanwhile_fails(begin(seconds_behind).await).await;
    }
    a_refresh_of_an_account_that_is_closed_meanwhile_fails(begin(0).await).await;
    an_owner_changes_the_password_and_everything_ends(begin(0).await).await;
    a_change_that_breaks_a_rule_changes_nothing(begin(0).await).await;
    of_two_changes_with_the_same_password_one_succeeds(begin(0).await).await;
    wrong_passwords_count_for_the_throttle_of_log_ins(begin(0).await).await;
    a_closed_account_is_opened_again_without_its_old_tokens(begin(0).await).await;
    a_deleted_account_is_gone(begin(0).await).await;
    an_issuer_that_manages_no_accounts_changes_none(begin(0).await).await;
}

type Event = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Accounts that are read at once. The answer comes after the next event.
struct Slow<S> {
    passwords: Passwords<S>,
    events: Mutex<VecDeque<Event>>,
}

impl<S> Slow<S> {
    async fn next_event(&self) {
        let event = self.events.lock().unwrap().pop_front();
        if let Some(event) = event {
            event.await;
        }
    }
}

impl<S: AccountStore> Accounts for Slow<S> {
    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>> {
        Box::pin(async move {
            let answer = self.passwords.authenticate(credentials).await;
            self.next_event().await;
            answer
        })
    }

    fn find_active<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<Account>, StoreError>> {
        Box::pin(async move {
            let answer = self.passwords.find_active(subject).await;
            self.next_event().await;
            answer
        })
    }
}

/// Two replicas on one store, with one account.
struct Bench<S> {
    accounts: Arc<Slow<S>>,
    store: S,
    here: TokenIssuer,
    /// The clock of this replica may be behind.
    there: TokenIssuer,
    ada: Account,
}

impl<S: TokenStore + ManagedAccounts + Clone> Bench<S> {
    async fn new(store: S, clock: ManualClock, seconds_behind: u64) -> Self {
        let passwords = Passwords::new(store.clone()).unwrap();
        let accounts = Arc::new(Slow { passwords, events: Mutex::default() });
        let key = SigningKey::generate(Algorithm::ES256).unwrap();
        let replica = |clock| {
            TokenIssuer::builder(ISSUER, "api", key.clone(), store.clone(), Arc::clone(&accounts))
                .with_managed_accounts(store.clone())
                .with_clock(clock)
                .build()
                .unwrap()
        };
        let here = replica(clock);
        let there = replica(ManualClock::at(NOW - Duration::from_secs(seconds_behind)));
        let new = NewAccount::new(EMAIL, hash_password(OLD).unwrap());
        let ada = here.add_account(&new).await.unwrap();
        Self { accounts, here, there, ada, store }
    }

    /// Before the next question about an account is answered, this happens on the other replica.
    fn next<F>(&self, event: impl FnOnce(TokenIssuer, Arc<str>) -> F + Send + 'static)
    where
        F: Future<Output = Result<(), AccountError>> + Send + 'static,
    {
        let event = event(self.there.clone(), Arc::clone(&self.ada.subject));
        let event: Event = Box::pin(async move { event.await.unwrap() });
        self.accounts.events.lock().unwrap().push_back(event);
    }

    async fn log_in(&self, password: &str) -> Result<TokenPair, LoginError> {
        let login = self.here.log_in(&Credentials::new(EMAIL, password), &client()).await;
        login.map(|login| login.tokens)
    }

    async fn access(&self, tokens: &TokenPair) -> Authenticated {
        self.here.authenticator().authenticate(&tokens.access_token).await.unwrap()
    }

    async fn change(&self, access: &Authenticated, new: &str) -> Result<(), ChangePasswordError> {
        self.here.change_password(access, &PasswordChange::new(OLD, new), &client()).await
    }

    async fn is_dead(&self, token: &str) -> bool {
        refusal(&self.here, token).await == Some(RejectionKind::Revoked)
            && refusal(&self.there, token).await == Some(RejectionKind::Revoked)
    }
}

async fn a_log_in_with_the_old_password_in_progress_fails<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts + Clone,
{
    bench.next(async |there, ada| there.set_password(&ada, NEW).await);
    assert!(matches!(bench.log_in(OLD).await, Err(LoginError::NoActiveAccount)));
    let tokens = bench.log_in(NEW).await.unwrap();
    assert_eq!(refusal(&bench.here, &tokens.access_token).await, None, "in the same second");
    bench.here.refresh(&tokens.refresh_token).await.unwrap();
}

async fn a_log_in_to_an_account_that_is_closed_meanwhile_fails<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts + Clone,
{
    bench.next(async |there, ada| there.close_account(&ada).await);
    assert!(matches!(bench.log_in(OLD).await, Err(LoginError::NoActiveAccount)));
}

async fn a_log_in_to_an_account_that_is_deleted_meanwhile_fails<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts + Clone,
{
    bench.next(async |there, ada| there.delete_account(&ada).await);
    assert!(matches!(bench.log_in(OLD).await, Err(LoginError::NoActiveAccount)));
}

async fn a_refresh_of_an_account_that_is_closed_meanwhile_fails<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts + Clone,
{
    let tokens = bench.log_in(OLD).await.unwrap();
    bench.next(async |there, ada| there.close_account(&ada).await);
    let refreshed = bench.here.refresh(&tokens.refresh_token).await;
    assert!(matches!(refreshed, Err(RefreshError::NotValid)));
    bench.here.reopen_account(&bench.ada.subject).await.unwrap();

    // The account is closed after the last time that it was read. The tokens are dead before the client has them.
    let tokens = bench.log_in(OLD).await.unwrap();
    bench.next(async |_, _| Ok(()));
    bench.next(async |there, ada| there.close_account(&ada).await);
    let tokens = bench.here.refresh(&tokens.refresh_token).await.unwrap();
    assert!(bench.is_dead(&tokens.access_token).await);
    let refreshed = bench.here.refresh(&tokens.refresh_token).await;
    assert!(matches!(refreshed, Err(RefreshError::NotValid)));
}

async fn an_owner_changes_the_password_and_everything_ends<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts + Clone,
{
    let (tokens, other) = (bench.log_in(OLD).await.unwrap(), bench.log_in(OLD).await.unwrap());
    let access = bench.access(&tokens).await;
    let private = bench.here.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    bench.change(&access, NEW).await.unwrap();
    for token in [&tokens.access_token, &other.access_token, &private.data] {
        assert!(bench.is_dead(token).await);
    }
    for token in [&tokens.refresh_token, &other.refresh_token] {
        assert!(bench.here.refresh(token).await.is_err());
    }
    assert!(matches!(bench.log_in(OLD).await, Err(LoginError::NoActiveAccount)));
    let tokens = bench.log_in(NEW).await.unwrap();
    assert_eq!(refusal(&bench.there, &tokens.access_token).await, None, "in the same second");
    // The token that made the change cannot make another one.
    let again =
        bench.here.change_password(&access, &PasswordChange::new(NEW, OLD), &client()).await;
    assert!(matches!(again, Err(ChangePasswordError::NotAccess)));
}

async fn a_change_that_breaks_a_rule_changes_nothing<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts + Clone,
{
    let tokens = bench.log_in(OLD).await.unwrap();
    let access = bench.access(&tokens).await;
    let long = "x".repeat(1025);
    for (new, expected) in [
        ("1234567", NewPasswordError::TooShort),
        (&*long, NewPasswordError::TooLong),
        ("ada@EXAMPLE.org", NewPasswordError::IsEmail),
        (OLD, NewPasswordError::IsOld),
        ("12345678\0", NewPasswordError::ContainsNul),
    ] {
        let changed = bench.change(&access, new).await;
        assert!(matches!(changed, Err(ChangePasswordError::NewPassword(e)) if e == expected));
        if new != OLD {
            let set = bench.here.set_password(&bench.ada.subject, new).await;
            assert!(matches!(set, Err(AccountError::NewPassword(error)) if error == expected));
        }
    }
    let private = bench.here.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    let private = bench.here.authenticator().authenticate(&private.data).await.unwrap();
    let changed = bench.change(&private, NEW).await;
    assert!(matches!(changed, Err(ChangePasswordError::NotAccess)), "a private token");
    assert_eq!(refusal(&bench.here, &tokens.access_token).await, None);
    bench.log_in(OLD).await.unwrap();
}

async fn of_two_changes_with_the_same_password_one_succeeds<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts + Clone,
{
    let (one, other) = (bench.log_in(OLD).await.unwrap(), bench.log_in(OLD).await.unwrap());
    let (one, other) = (bench.access(&one).await, bench.access(&other).await);
    let (there, client) = (PasswordChange::new(OLD, "another new one"), client());
    let (here, there) =
        tokio::join!(bench.change(&one, NEW), bench.there.change_password(&other, &there, &client));
    assert_ne!(here.is_ok(), there.is_ok());
    for failed in [&here, &there].into_iter().filter_map(|outcome| outcome.as_ref().err()) {
        let is_late =
            matches!(failed, ChangePasswordError::NotAccess | ChangePasswordError::WrongPassword);
        assert!(is_late, "{failed}");
    }
    let right = if here.is_ok() { NEW } else { "another new one" };
    bench.log_in(right).await.unwrap();
}

async fn wrong_passwords_count_for_the_throttle_of_log_ins<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts + Clone,
{
    let access = bench.access(&bench.log_in(OLD).await.unwrap()).await;
    let wrong = PasswordChange::new("not the old one", NEW);
    for attempt in 0..5 {
        let changed = bench.here.change_password(&access, &wrong, &client()).await;
        assert!(matches!(changed, Err(ChangePasswordError::WrongPassword)), "{attempt}");
    }
    let throttled = bench.change(&access, NEW).await;
    assert!(matches!(throttled, Err(ChangePasswordError::Throttled { .. })));
    assert!(matches!(bench.log_in(OLD).await, Err(LoginError::Throttled { .. })));
}

async fn a_closed_account_is_opened_again_without_its_old_tokens<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts + Clone,
{
    let tokens = bench.log_in(OLD).await.unwrap();
    for _ in 0..2 {
        bench.here.close_account(&bench.ada.subject).await.unwrap();
        assert!(bench.is_dead(&tokens.access_token).await);
        assert!(matches!(bench.log_in(OLD).await, Err(LoginError::NoActiveAccount)));
    }
    bench.here.reopen_account(&bench.ada.subject).await.unwrap();
    assert!(bench.is_dead(&tokens.access_token).await);
    assert!(bench.here.refresh(&tokens.refresh_token).await.is_err());
    let tokens = bench.log_in(OLD).await.unwrap();
    assert_eq!(refusal(&bench.here, &tokens.access_token).await, None);
}

async fn a_deleted_account_is_gone<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts + Clone,
{
    let Bench { here, ada, .. } = &bench;
    let new = NewAccount::new("ada@EXAMPLE.org", hash_password(NEW).unwrap());
    assert!(matches!(here.add_account(&new).await, Err(AccountError::EmailTaken)));
    let tokens = bench.log_in(OLD).await.unwrap();
    here.delete_account(&ada.subject).await.unwrap();
    assert!(bench.is_dead(&tokens.access_token).await);
    for outcome in [
        here.close_account(&ada.subject).await,
        here.set_password(&ada.subject, NEW).await,
        here.delete_account(&ada.subject).await,
    ] {
        assert!(matches!(outcome, Err(AccountError::NotFound)));
    }
    assert!(here.list_accounts(&AccountQuery::new()).await.unwrap().accounts.is_empty());
    let again = here.add_account(&new).await.unwrap();
    assert_ne!(again.subject, ada.subject);
    assert!(bench.is_dead(&tokens.access_token).await);
    for wrong in ["", "a\0b", &"x".repeat(321)] {
        let added = here.add_account(&NewAccount::new(wrong, "!")).await;
        assert!(matches!(added, Err(AccountError::InvalidEmail)));
    }
}

async fn an_issuer_that_manages_no_accounts_changes_none<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts + Clone,
{
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let store = bench.store.clone();
    let issuer = TokenIssuer::builder(ISSUER, "api", key, store, Arc::clone(&bench.accounts));
    let issuer = issuer.with_clock(ManualClock::at(NOW)).build().unwrap();
    let tokens =
        issuer.log_in(&Credentials::new(EMAIL, OLD), &ClientInfo::new()).await.unwrap().tokens;
    let access = issuer.authenticator().authenticate(&tokens.access_token).await.unwrap();
    let changed =
        issuer.change_password(&access, &PasswordChange::new(OLD, NEW), &ClientInfo::new()).await;
    assert!(matches!(changed, Err(ChangePasswordError::NotManaged)));
    let closed = issuer.close_account(&bench.ada.subject).await;
    assert!(matches!(closed, Err(AccountError::NotManaged)));
    assert_eq!(refusal(&issuer, &tokens.access_token).await, None);
}
