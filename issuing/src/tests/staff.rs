//! Accounts that change between the calls of a test.

use std::sync::{Arc, Mutex};

use super::ISSUER;
use crate::{
    Account, Accounts, AccountsError, Credentials, TokenIssuer, TokenIssuerBuilder,
    scopes::ScopeSet, store::MemoryTokenStore,
};
use tower_bearer::{
    Algorithm, BoxFuture, claims::ManualClock, jws::SigningKey, revocation::StoreError,
};

/// Every user name is the subject of an account with the password `right`. All accounts are in the same state. The
/// state does not matter when the password is checked, as if it changed right after that.
#[derive(Clone)]
pub(super) struct Staff(Arc<Mutex<State>>);

#[derive(Clone)]
pub(super) enum State {
    Active(ScopeSet),
    Closed,
    /// Questions fail.
    Away,
    /// A faulty implementation, which answers with the account of another subject.
    AnotherSubject,
}

pub(super) fn scopes(text: &str) -> ScopeSet {
    ScopeSet::from_text(text).unwrap()
}

impl Staff {
    pub(super) fn with_scopes(text: &str) -> Self {
        Self(Arc::new(Mutex::new(State::Active(scopes(text)))))
    }

    pub(super) fn set(&self, state: State) {
        *self.0.lock().unwrap() = state;
    }

    pub(super) fn set_scopes(&self, text: &str) {
        self.set(State::Active(scopes(text)));
    }

    /// An issuer on a new memory store.
    pub(super) fn issuer(&self, clock: &ManualClock) -> TokenIssuerBuilder {
        let key = SigningKey::generate(Algorithm::ES256).unwrap();
        self.issuer_on(MemoryTokenStore::new().with_clock(clock.clone()), key, clock)
    }

    pub(super) fn issuer_on(
        &self,
        store: MemoryTokenStore,
        key: SigningKey,
        clock: &ManualClock,
    ) -> TokenIssuerBuilder {
        TokenIssuer::builder(ISSUER, "api", key, store, self.clone()).with_clock(clock.clone())
    }

    fn find(&self, subject: &str) -> Result<Option<Account>, StoreError> {
        match self.0.lock().unwrap().clone() {
            State::Active(scopes) => {
                Ok(Some(Account::new(1, subject).with_subject(subject).with_scopes(scopes)))
            }
            State::Closed => Ok(None),
            State::Away => Err(StoreError::timed_out()),
            State::AnotherSubject => Ok(Some(Account::new(1, subject).with_subject("another"))),
        }
    }
}

impl Accounts for Staff {
    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>> {
        let name = credentials.username.as_str();
        let account = Account::new(1, name).with_subject(name);
        let is_right = credentials.password.as_str() == "right";
        let account = is_right.then_some(account).ok_or(AccountsError::NoActiveAccount);
        Box::pin(std::future::ready(account))
    }

    fn find_active<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<Account>, StoreError>> {
        Box::pin(std::future::ready(self.find(subject)))
    }
}
