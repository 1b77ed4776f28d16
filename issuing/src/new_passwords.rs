//! The rules for new passwords, and their hashing.

use tokio::task;
use zeroize::Zeroizing;

use super::{
    MAX_PASSWORD, normalize_email,
    passwords::hash,
    rate::{ConcurrencyLimits, Permit},
};
use tower_bearer::revocation::StoreError;

/// The shortest accepted new password, in characters (NIST SP 800-63B section 5.1.1.2).
pub const MIN_PASSWORD: usize = 8;

/// How many new passwords are hashed at once, and how many wait. Each hash takes 19 MiB and a processor.
const RUNNING: usize = 2;
const WAITING: usize = 64;

/// Why a password is not accepted as a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NewPasswordError {
    /// It has fewer than [`MIN_PASSWORD`] characters.
    #[error("the new password is too short: expected at least {MIN_PASSWORD} characters")]
    TooShort,
    /// It has more than [`MAX_PASSWORD`] bytes.
    #[error("the new password is too long: expected at most {MAX_PASSWORD} bytes")]
    TooLong,
    /// It contains a NUL, with which the token API rejects a log-in.
    #[error("the new password contains a NUL character: remove it")]
    ContainsNul,
    /// It is the e-mail address of the account, in any case.
    #[error("the new password is the e-mail address of the account: choose another one")]
    IsEmail,
    /// It is the old password.
    #[error("the new password is the old password: choose another one")]
    IsOld,
}

/// Checks a new password for the account with this e-mail address: it has at least [`MIN_PASSWORD`] characters and at
/// most [`MAX_PASSWORD`] bytes, contains no NUL, and is not the address. White space counts. There are no rules about
/// kinds of characters, because such rules make passwords easier to guess.
///
/// [`TokenIssuer::change_password`](crate::TokenIssuer::change_password) and
/// [`set_password`](crate::TokenIssuer::set_password) check it. A command line that changes the store without an issuer
/// calls it before [`hash_password`](crate::hash_password).
///
/// ```
/// use tower_bearer_issuing::{NewPasswordError, check_new_password};
///
/// assert_eq!(check_new_password("a long one", "ada@example.org"), Ok(()));
/// assert_eq!(check_new_password("a short", "ada@example.org"), Err(NewPasswordError::TooShort));
/// assert_eq!(check_new_password("Ada@example.org", "ada@example.org"), Err(NewPasswordError::IsEmail));
/// ```
///
/// # Errors
/// The first rule that the password breaks.
pub fn check_new_password(password: &str, email: &str) -> Result<(), NewPasswordError> {
    if password.len() > MAX_PASSWORD {
        return Err(NewPasswordError::TooLong);
    }
    if password.chars().count() < MIN_PASSWORD {
        return Err(NewPasswordError::TooShort);
    }
    if password.contains('\0') {
        return Err(NewPasswordError::ContainsNul);
    }
    if normalize_email(password) == normalize_email(email) {
        return Err(NewPasswordError::IsEmail);
    }
    Ok(())
}

/// Hashes new passwords outside of the asynchronous threads, a few at once.
pub(super) struct NewHashes(ConcurrencyLimits);

impl NewHashes {
    pub(super) fn new() -> Self {
        Self(ConcurrencyLimits::new(1, RUNNING, WAITING))
    }

    /// Fails if too many passwords wait for their hash, or if the system has no memory or no random bytes.
    pub(super) async fn hash(&self, password: &str) -> Result<String, StoreError> {
        let permit = self.0.acquire(0).await;
        let permit = permit.ok_or_else(|| nothing_written("too many passwords are hashed"))?;
        let password = Zeroizing::new(password.to_owned());
        off_thread(permit, password).await
    }
}

/// If the client hangs up, the hash still runs and holds its memory, so it also keeps its permit.
async fn off_thread(permit: Permit, password: Zeroizing<String>) -> Result<String, StoreError> {
    let hashing = task::spawn_blocking(move || {
        let _permit = permit;
        hash(password.as_bytes())
    });
    match hashing.await {
        Ok(Ok(hash)) => Ok(hash),
        Ok(Err(_)) | Err(_) => Err(nothing_written("a password could not be hashed")),
    }
}

fn nothing_written(reason: &'static str) -> StoreError {
    StoreError::new(reason).with_nothing_written()
}
