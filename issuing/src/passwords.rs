//! Checks passwords with Argon2id, for services that keep their accounts in an `AccountStore`.

use std::{fmt, sync::Arc, thread};

use argon2::{
    Argon2, Params, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task,
};
use zeroize::Zeroizing;

use super::{
    Account, AccountStore, Accounts, AccountsError, Credentials, StoredAccount, normalize_email,
};
use tower_bearer::{BoxFuture, ConfigError, revocation::StoreError};

/// The longest accepted password, in bytes.
pub const MAX_PASSWORD: usize = 1024;

/// The longest accepted e-mail address, in bytes (RFC 5321 section 4.5.3.1, with the `@`).
pub const MAX_EMAIL: usize = 320;

/// How many hashes wait. [`Passwords::with_limits`] overrides it.
const DEFAULT_WAITING: usize = 64;

/// Checks the passwords of the accounts in an [`AccountStore`].
///
/// 1. **Argon2id** ([RFC 9106](https://www.rfc-editor.org/rfc/rfc9106)), with the parameters that OWASP recommends: 19
///    MiB, two passes. The next log-in replaces a hash with less memory, fewer passes, or another variant of Argon2.
/// 2. **An unknown account, an inactive account and a wrong password cost the same**: one hash each. If no account is
///    found, or if its stored text is not an Argon2 hash, the password is compared with a dummy hash. (A hash with
///    other parameters costs what these parameters demand, until it is replaced.)
///    Only the [audit log](crate::audit) shows whether the account exists ([`AccountsError::Rejected`]).
/// 3. **Memory and threads are bounded**: [`with_limits`](Self::with_limits) sets how many hashes run at once, outside
///    the asynchronous threads, and how many wait. The next log-in gets [`AccountsError::Busy`].
/// 4. **Input is bounded** before any hash or lookup. A log-in fails with [`AccountsError::NoActiveAccount`] if its
///    password is longer than [`MAX_PASSWORD`] bytes, or if its address is longer than [`MAX_EMAIL`] bytes or contains
///    a NUL.
/// 5. **Passwords are wiped from memory** after use: the [`Credentials`], their copy on the hashing thread, and the
///    body that the router read. Copies in the HTTP server and in the JSON reader are not wiped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer_issuing::{
///     Account, Accounts, Credentials, MemoryAccounts, Passwords, StoredAccount, hash_password,
/// };
///
/// let accounts = MemoryAccounts::new();
/// let hash = hash_password("correct horse battery staple")?;
/// accounts.insert(StoredAccount::new(Account::new(1, "ada@example.org"), hash));
///
/// let passwords = Passwords::new(accounts)?;
/// let credentials = Credentials::new("Ada@example.org", "correct horse battery staple");
/// assert_eq!(&*passwords.authenticate(&credentials).await?.subject, "1");
/// # Ok(()) }
/// ```
pub struct Passwords<S> {
    store: S,
    /// A dummy hash, of a random password that is not kept.
    nobody: Arc<str>,
    running: Arc<Semaphore>,
    /// The hashes that run and the hashes that wait.
    admitted: Arc<Semaphore>,
}

impl<S: AccountStore> Passwords<S> {
    /// Checks the accounts of `store`. At most four hashes run at once, or one for each processor if there are fewer
    /// processors. 64 more hashes wait.
    ///
    /// # Errors
    /// [`ConfigError::NoRandomness`] if the operating system has no random bytes, or if the dummy hash cannot be
    /// computed.
    pub fn new(store: S) -> Result<Self, ConfigError> {
        let mut password = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *password).map_err(|_| ConfigError::NoRandomness)?;
        let nobody = hash(&*password).map_err(|_| ConfigError::NoRandomness)?.into();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let (running, admitted) = limits(processors.min(4), DEFAULT_WAITING);
        Ok(Self { store, nobody, running, admitted })
    }

    /// Sets how many hashes run at once, and how many more wait. At least one hash runs. Default: the limits of
    /// [`new`](Self::new). Each running hash takes 19 MiB and a processor.
    #[must_use]
    pub fn with_limits(mut self, running: usize, waiting: usize) -> Self {
        (self.running, self.admitted) = limits(running.max(1), waiting);
        self
    }

    /// The permits to hash, for tests that hold them.
    #[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
    pub(super) fn slots(&self) -> Arc<Semaphore> {
        Arc::clone(&self.running)
    }

    async fn open(&self, credentials: &Credentials) -> Result<Account, AccountsError> {
        let Credentials { username, password } = credentials;
        if !is_bounded(credentials) {
            return Err(AccountsError::NoActiveAccount);
        }
        let admitted = Arc::clone(&self.admitted);
        let _admitted = admitted.try_acquire_owned().map_err(|_| AccountsError::Busy)?;
        let email = normalize_email(username);
        let found = self.store.find_by_email(&email).await.map_err(AccountsError::Unavailable)?;
        // From here on, all log-ins take the same steps.
        let stored = found.as_ref().map_or(&*self.nobody, |found| &found.password_hash);
        let stored: Arc<str> = stored.into();
        let running = Arc::clone(&self.running);
        let running = running.acquire_owned().await.map_err(|_| AccountsError::Busy)?;
        let checked = Checked { stored: Arc::clone(&stored), nobody: Arc::clone(&self.nobody) };
        let outcome = off_thread(running, checked, Zeroizing::clone(password)).await?;
        match (found, outcome) {
            (Some(StoredAccount { account, is_active: true, .. }), Outcome::Right { better }) => {
                if let Some(better) = better {
                    // If this fails, the old hash is still valid. The next log-in tries again.
                    let _ = self.store.replace_hash(&account.subject, &stored, &better).await;
                }
                Ok(account)
            }
            (Some(StoredAccount { account, .. }), _) => {
                Err(AccountsError::Rejected { subject: account.subject })
            }
            (None, _) => Err(AccountsError::NoActiveAccount),
        }
    }
}

impl<S: AccountStore> Accounts for Passwords<S> {
    fn is_well_formed(&self, credentials: &Credentials) -> bool {
        is_bounded(credentials)
    }

    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>> {
        Box::pin(self.open(credentials))
    }

    fn find_active<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<Account>, StoreError>> {
        Box::pin(async move {
            let found = self.store.find_by_subject(subject).await?;
            Ok(found.filter(|stored| stored.is_active).map(|stored| stored.account))
        })
    }
}

impl<S> fmt::Debug for Passwords<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

fn is_bounded(Credentials { username, password }: &Credentials) -> bool {
    password.len() <= MAX_PASSWORD && username.len() <= MAX_EMAIL && !username.contains('\0')
}

/// Hashes a new password, as a PHC string for [`StoredAccount`]. This takes tens of milliseconds, so do not call it on
/// an asynchronous thread.
///
/// # Errors
/// If the operating system has no random bytes or not enough memory.
pub fn hash_password(password: impl Into<String>) -> Result<String, HashingFailed> {
    hash(Zeroizing::new(password.into()).as_bytes()).map_err(|_| HashingFailed)
}

/// A password could not be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password could not be hashed: the system has too little memory or no random bytes")]
#[non_exhaustive]
pub struct HashingFailed;

pub(super) fn hash(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| argon2::password_hash::Error::Crypto)?;
    Argon2::default().hash_password_with_salt(password, &salt).map(|hash| hash.to_string())
}

fn limits(running: usize, waiting: usize) -> (Arc<Semaphore>, Arc<Semaphore>) {
    let admitted = running.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
    (
        Arc::new(Semaphore::new(running.min(Semaphore::MAX_PERMITS))),
        Arc::new(Semaphore::new(admitted)),
    )
}

/// The hashes that a password is compared with.
struct Checked {
    stored: Arc<str>,
    nobody: Arc<str>,
}

enum Outcome {
    Wrong,
    /// `better` is a hash with the current parameters, if the stored hash is weaker.
    Right {
        better: Option<String>,
    },
}

/// Runs the hash on a blocking thread, with its permit. If the client hangs up, the hash still runs and holds its
/// memory, so it also keeps its permit.
async fn off_thread(
    running: OwnedSemaphorePermit,
    checked: Checked,
    password: Zeroizing<String>,
) -> Result<Outcome, AccountsError> {
    let check = move || {
        let _running = running;
        checked.check(password.as_bytes())
    };
    task::spawn_blocking(check)
        .await
        .map_err(|panicked| AccountsError::Unavailable(StoreError::new(panicked)))
}

impl Checked {
    fn check(&self, password: &[u8]) -> Outcome {
        let stored = PasswordHash::new(&self.stored).ok().filter(can_be_compared);
        let Some(stored) = stored else {
            // Not an Argon2 hash: an account without a password must cost as much as the others.
            let _ = Argon2::default().verify_password(password, &*self.nobody);
            return Outcome::Wrong;
        };
        if Argon2::default().verify_password(password, &stored).is_err() {
            return Outcome::Wrong;
        }
        let better = is_weaker(&stored).then(|| hash(password).ok()).flatten();
        Outcome::Right { better }
    }
}

/// Whether verifying this hash runs Argon2. An incomplete hash, or a hash of another algorithm, is rejected without
/// one.
fn can_be_compared(stored: &PasswordHash) -> bool {
    let is_whole = stored.salt.is_some() && stored.hash.is_some();
    is_whole
        && argon2::Algorithm::try_from(stored.algorithm.as_str()).is_ok()
        && stored.version.is_none_or(|version| argon2::Version::try_from(version).is_ok())
        && Params::try_from(stored).is_ok()
}

fn is_weaker(stored: &PasswordHash) -> bool {
    let is_argon2id = stored.algorithm.as_str() == "argon2id";
    let today = Params::default();
    !is_argon2id
        || Params::try_from(stored).is_ok_and(|stored| {
            stored.m_cost() < today.m_cost() || stored.t_cost() < today.t_cost()
        })
}

#[cfg(test)]
mod tests {
    use std::{
        future,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::MemoryAccounts;

    fn weak_hash(password: &str) -> String {
        let params = Params::new(64, 1, 1, None).unwrap();
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        argon2.hash_password_with_salt(password.as_bytes(), &[7; 16]).unwrap().to_string()
    }

    fn passwords() -> Passwords<Arc<MemoryAccounts>> {
        let accounts = MemoryAccounts::new();
        accounts.insert(StoredAccount::new(Account::new(1, "Ada@Example.org"), weak_hash("right")));
        let mut gone = StoredAccount::new(Account::new(2, "gone@example.org"), weak_hash("right"));
        gone.is_active = false;
        accounts.insert(gone);
        accounts.insert(StoredAccount::new(Account::new(3, "none@example.org"), "!"));
        Passwords::new(Arc::new(accounts)).unwrap()
    }

    async fn open(passwords: &Passwords<Arc<MemoryAccounts>>, email: &str, password: &str) -> bool {
        match passwords.authenticate(&Credentials::new(email, password)).await {
            Ok(_) => true,
            Err(AccountsError::NoActiveAccount | AccountsError::Rejected { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn a_wrong_password_names_the_subject_for_the_audit_log_only() {
        let passwords = passwords();
        for (email, password, subject) in [
            ("ada@example.org", "wrong", Some("1")),
            ("gone@example.org", "right", Some("2")),
            ("none@example.org", "!", Some("3")),
            ("nobody@example.org", "right", None),
        ] {
            let outcome = passwords.authenticate(&Credentials::new(email, password)).await;
            let error = outcome.unwrap_err();
            assert_eq!(error.to_string(), AccountsError::NoActiveAccount.to_string());
            match error {
                AccountsError::Rejected { subject: named } => assert_eq!(Some(&*named), subject),
                other => assert!(subject.is_none(), "{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn the_case_of_the_address_does_not_matter_for_a_log_in() {
        let passwords = passwords();
        assert!(open(&passwords, "ADA@example.ORG", "right").await);
        for (email, password) in [
            ("ada@example.org", "wrong"),
            ("ada@example.org", ""),
            (" ada@example.org", "right"),
            ("nobody@example.org", "right"),
            ("gone@example.org", "right"),
            ("none@example.org", "!"),
            ("ada@example.org\0", "right"),
        ] {
            assert!(!open(&passwords, email, password).await, "{email} {password}");
        }
    }

    #[tokio::test]
    async fn a_weaker_hash_is_replaced_at_log_in_and_a_good_one_is_kept() {
        let passwords = passwords();
        assert!(open(&passwords, "ada@example.org", "right").await);
        let hash = |stored: Option<StoredAccount>| stored.unwrap().password_hash;
        let replaced = hash(passwords.store.find_by_email("ada@example.org").await.unwrap());
        assert!(replaced.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{replaced}");
        assert!(open(&passwords, "ada@example.org", "right").await);
        let kept = hash(passwords.store.find_by_email("ada@example.org").await.unwrap());
        assert_eq!(kept, replaced);
    }

    #[tokio::test]
    async fn active_is_whose_account_is_there_and_may_log_in() {
        let passwords = passwords();
        for (subject, is_active) in
            [("1", true), ("2", false), ("3", true), ("4", false), ("", false)]
        {
            let found = passwords.find_active(subject).await.unwrap();
            assert_eq!(found.is_some(), is_active, "{subject}");
        }
        assert!(Passwords::new(Nobody::default()).unwrap().find_active("1").await.is_err());
    }

    #[tokio::test]
    async fn an_overlong_password_is_nobodys_and_is_not_hashed() {
        let passwords = passwords().with_limits(1, 0);
        let permit = passwords.admitted.clone().acquire_owned().await.unwrap();
        // All permits are taken, so this answer needed no hash.
        assert!(!open(&passwords, "ada@example.org", &"x".repeat(MAX_PASSWORD + 1)).await);
        drop(permit);
    }

    #[tokio::test]
    async fn more_than_may_run_and_wait_are_turned_away() {
        let passwords = passwords().with_limits(1, 1);
        let running = passwords.running.clone().acquire_owned().await.unwrap();
        let credentials = Credentials::new("ada@example.org", "right");
        let mut waiting =
            [passwords.authenticate(&credentials), passwords.authenticate(&credentials)];
        waiting.iter_mut().for_each(|one| {
            assert!(futures_util::FutureExt::now_or_never(one).is_none());
        });
        let third = passwords.authenticate(&credentials).await;
        assert!(matches!(third, Err(AccountsError::Busy)));
        drop(running);
        for one in waiting {
            assert!(one.await.is_ok());
        }
        assert!(passwords.authenticate(&credentials).await.is_ok());
    }

    /// A store that counts lookups and finds no account.
    #[derive(Default)]
    struct Nobody(AtomicUsize);

    impl AccountStore for Nobody {
        fn find_by_email<'a>(
            &'a self,
            _: &'a str,
        ) -> BoxFuture<'a, Result<Option<StoredAccount>, StoreError>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(future::ready(Err(StoreError::timed_out())))
        }

        fn find_by_subject<'a>(
            &'a self,
            _: &'a str,
        ) -> BoxFuture<'a, Result<Option<StoredAccount>, StoreError>> {
            Box::pin(future::ready(Err(StoreError::timed_out())))
        }

        fn replace_hash<'a>(
            &'a self,
            _: &'a str,
            _: &'a str,
            _: &'a str,
        ) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(future::ready(Ok(())))
        }
    }

    #[tokio::test]
    async fn a_store_that_fails_is_unavailable_and_no_wrong_password() {
        let passwords = Passwords::new(Nobody::default()).unwrap();
        let answer = passwords.authenticate(&Credentials::new("a@b", "x")).await;
        assert!(matches!(answer, Err(AccountsError::Unavailable(_))));
        assert_eq!(passwords.store.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the cost is what is tested")]
    fn an_account_whose_stored_text_is_no_argon2_costs_a_hash() {
        let nobody: Arc<str> = hash(b"nobody's").unwrap().into();
        let ours = hash(b"right").unwrap();
        let (cut, _) = ours.rsplit_once('$').unwrap();
        for stored in [
            "!",
            "$scrypt$ln=17,r=8,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA",
            "$argon2id$v=99$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA",
            "$argon2id$v=19$m=1,t=0,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA",
            cut,
        ] {
            let checked = Checked { stored: stored.into(), nobody: Arc::clone(&nobody) };
            let begun = std::time::Instant::now();
            assert!(matches!(checked.check(b"nobody's"), Outcome::Wrong), "{stored}");
            // Two passes over 19 MiB take longer than this on any machine.
            assert!(begun.elapsed() > std::time::Duration::from_millis(1), "{stored}");
        }
    }

    #[test]
    fn unknown_users_are_compared_with_a_hash_that_costs_the_same() {
        let nobody = passwords().nobody;
        let nobody = PasswordHash::new(&nobody).unwrap();
        let ours = hash(b"x").unwrap();
        let ours = PasswordHash::new(&ours).unwrap();
        assert_eq!(nobody.params, ours.params);
        assert_eq!(nobody.algorithm, ours.algorithm);
    }
}
