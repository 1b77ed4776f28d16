//! Adds, lists and changes the accounts of an issuer.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use super::{
    Account, AccountChange, AccountError, AccountOutcome, AccountPage, AccountQuery, AccountUpdate,
    ChangePasswordError, ClientInfo, Credentials, LoginError, MAX_EMAIL, ManagedAccounts,
    NewAccount, NewPasswordError, StoredAccount, TokenIssuer, audit::AuditKind, check_new_password,
    normalize_email, scopes::ScopeSet, store::Caller,
};
use tower_bearer::{
    Authenticated,
    revocation::{Lookup, RevocationEntry, StoreError, Verdict},
};

/// How often a change of a password is tried if a log-in replaces the hash of the same password meanwhile.
const TRIES: usize = 3;

/// The old and the new password of an account. Both are wiped from memory when this is dropped, and `Debug` does not
/// show them.
#[non_exhaustive]
pub struct PasswordChange {
    /// The password that the account has.
    pub password: Zeroizing<String>,
    /// The password that it gets.
    pub new_password: Zeroizing<String>,
}

impl PasswordChange {
    /// Replaces `password` with `new_password`.
    #[must_use]
    pub fn new(password: impl Into<String>, new_password: impl Into<String>) -> Self {
        let (password, new_password) = (password.into(), new_password.into());
        Self { password: Zeroizing::new(password), new_password: Zeroizing::new(new_password) }
    }
}

impl PasswordChange {
    fn check(&self, account: &Account) -> Result<(), NewPasswordError> {
        check_new_password(&self.new_password, &account.email)?;
        if *self.new_password == *self.password {
            return Err(NewPasswordError::IsOld);
        }
        Ok(())
    }
}

impl fmt::Debug for PasswordChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordChange").finish_non_exhaustive()
    }
}

/// These calls need [`with_managed_accounts`](crate::TokenIssuerBuilder::with_managed_accounts). Calls by subject are
/// for operators: check who calls them.
impl TokenIssuer {
    /// Whether the issuer manages accounts.
    #[must_use]
    pub fn manages_accounts(&self) -> bool {
        self.managed_accounts().is_some()
    }

    /// Adds an account. The store assigns its subject.
    ///
    /// # Errors
    /// [`AccountError::InvalidEmail`], [`AccountError::EmailTaken`], [`AccountError::NotManaged`] or
    /// [`AccountError::Unavailable`].
    pub async fn add_account(&self, account: &NewAccount) -> Result<Account, AccountError> {
        let NewAccount { email, .. } = account;
        if email.is_empty() || email.len() > MAX_EMAIL || email.contains('\0') {
            return Err(AccountError::InvalidEmail);
        }
        let added = self.managed()?.add_account(account).await?;
        let added = added.ok_or(AccountError::EmailTaken)?;
        self.record(AuditKind::AccountAdded, |event| {
            event.subject = Some(Arc::clone(&added.subject));
        });
        Ok(added)
    }

    /// A part of the list of accounts.
    ///
    /// # Errors
    /// [`AccountError::NotManaged`] or [`AccountError::Unavailable`].
    pub async fn list_accounts(&self, query: &AccountQuery) -> Result<AccountPage, AccountError> {
        Ok(self.managed()?.list_accounts(query).await?)
    }

    /// Changes the caller's password. Every session and every private token of the account ends, the caller's included:
    /// it has to log in again.
    ///
    /// The old password is checked like that of a log-in: it costs the same, and a wrong one counts for the same
    /// limits. `client` has the client's address, as for [`log_in`](Self::log_in). The rules for the new password are
    /// those of [`check_new_password`], and it must differ from the old one.
    ///
    /// Of two changes at once one succeeds.
    ///
    /// # Errors
    /// See [`ChangePasswordError`]. Nothing has changed then, with one exception: after
    /// [`ChangePasswordError::Unavailable`] the password may have been changed.
    pub async fn change_password<C>(
        &self,
        access: &Authenticated<C>,
        change: &PasswordChange,
        client: &ClientInfo,
    ) -> Result<(), ChangePasswordError> {
        self.for_client(client).try_to_change_password(access, change, client).await
    }

    async fn try_to_change_password<C>(
        &self,
        access: &Authenticated<C>,
        change: &PasswordChange,
        client: &ClientInfo,
    ) -> Result<(), ChangePasswordError> {
        let accounts = self.managed_accounts().ok_or(ChangePasswordError::NotManaged)?;
        let caller = self.caller(access).ok_or(ChangePasswordError::NotAccess)?;
        for _ in 0..TRIES {
            let found = accounts.find_by_subject(&caller.owner.subject).await?;
            let stored = found.filter(|stored| stored.is_active);
            let stored = stored.ok_or(ChangePasswordError::NotAccess)?;
            change.check(&stored.account)?;
            self.check_password(&stored, &change.password, client).await?;
            let new_hash = self.new_hashes().hash(&change.new_password).await?;
            let old_hash = stored.password_hash;
            let change = AccountChange::ChangePassword { old_hash, new_hash };
            match self
                .change_account(accounts, &caller.owner.subject, change, Some(&caller))
                .await?
            {
                AccountOutcome::Changed(_) => return Ok(()),
                // The log-in that checked the password has replaced a weak hash, or another change was faster.
                AccountOutcome::OtherPassword => {}
                AccountOutcome::CallerRevoked | AccountOutcome::NotFound => {
                    return Err(ChangePasswordError::NotAccess);
                }
            }
        }
        Err(ChangePasswordError::Busy)
    }

    /// Sets the password of an account, also of a closed one. Every session and every private token of it ends.
    ///
    /// # Errors
    /// [`AccountError::NewPassword`], [`AccountError::NotFound`], [`AccountError::NotManaged`] or
    /// [`AccountError::Unavailable`].
    pub async fn set_password(&self, subject: &str, password: &str) -> Result<(), AccountError> {
        let stored = self.managed()?.find_by_subject(subject).await?;
        let StoredAccount { account, .. } = stored.ok_or(AccountError::NotFound)?;
        check_new_password(password, &account.email)?;
        let new_hash = self.new_hashes().hash(password).await?;
        self.change_as_operator(subject, AccountChange::SetPassword { new_hash }).await
    }

    /// Closes an account: it cannot log in or refresh any more, and every session and every private token of it ends.
    /// The next request in this process is rejected. You can repeat the call.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::NotManaged`] or [`AccountError::Unavailable`].
    pub async fn close_account(&self, subject: &str) -> Result<(), AccountError> {
        self.change_as_operator(subject, AccountChange::Close).await
    }

    /// Lets a closed account log in again. Tokens that were revoked stay revoked.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::NotManaged`] or [`AccountError::Unavailable`].
    pub async fn reopen_account(&self, subject: &str) -> Result<(), AccountError> {
        self.change_as_operator(subject, AccountChange::Reopen).await
    }

    /// Gives an account these scopes. If it loses scopes, its access tokens that were issued before are revoked, and so
    /// are the private tokens that hold a lost scope. Its sessions stay: the next refresh gives an access token with
    /// the scopes that are left. In rare cases more is revoked than that: see [`LostScopes`](crate::store::LostScopes).
    /// Gaining scopes revokes nothing.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::NotManaged`] or [`AccountError::Unavailable`].
    pub async fn set_scopes(&self, subject: &str, scopes: ScopeSet) -> Result<(), AccountError> {
        self.change_as_operator(subject, AccountChange::SetScopes(scopes)).await
    }

    /// Deletes an account. Every session and every private token of it ends and is deleted with it, and so are its
    /// known devices and its audit events. The revocation entry stays until every token has expired. The event that the
    /// account was deleted stays as long as other events. A store that is the audit sink keeps it in the step that
    /// deletes the account. If the call fails, the account may already be closed and its tokens revoked. Then repeat
    /// the call.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::NotManaged`] or [`AccountError::Unavailable`].
    pub async fn delete_account(&self, subject: &str) -> Result<(), AccountError> {
        self.change_as_operator(subject, AccountChange::Delete).await
    }

    /// Checks the password of an account like a log-in does: at the same cost, and under the same limits.
    async fn check_password(
        &self,
        stored: &StoredAccount,
        password: &Zeroizing<String>,
        client: &ClientInfo,
    ) -> Result<(), ChangePasswordError> {
        let StoredAccount { account, .. } = stored;
        let mut credentials = Credentials::new(&*account.email, "");
        credentials.password.clone_from(password);
        if !self.accounts().is_well_formed(&credentials) {
            return Err(ChangePasswordError::WrongPassword);
        }
        let attempt =
            self.begin_attempt(&normalize_email(&account.email), client.address()).await?;
        match self.authenticate(&credentials, AuditKind::PasswordRejected).await {
            Ok(found) if found.subject == account.subject => {
                attempt.succeeded();
                Ok(())
            }
            // The attempt counts, because it failed.
            Ok(_) | Err(LoginError::NoActiveAccount) => Err(ChangePasswordError::WrongPassword),
            Err(other) => {
                attempt.was_none();
                Err(other.into())
            }
        }
    }

    async fn change_as_operator(
        &self,
        subject: &str,
        change: AccountChange,
    ) -> Result<(), AccountError> {
        match self.change_account(self.managed()?, subject, change, None).await? {
            AccountOutcome::Changed(_) => Ok(()),
            _ => Err(AccountError::NotFound),
        }
    }

    /// Makes a change, and lets this process know its revocations. It runs to its end, even if the client hangs up.
    async fn change_account(
        &self,
        accounts: &Arc<dyn ManagedAccounts>,
        subject: &str,
        change: AccountChange,
        caller: Option<&Caller>,
    ) -> Result<AccountOutcome, StoreError> {
        let now = self.now();
        // A token that was issued right after a cut-off has a date in the future. It counts as issued before now.
        let cut_off = caller.map_or(now, |caller| now.max(caller.issued_at));
        let mut update = AccountUpdate::new(self.owner(subject), change, cut_off)
            .with_tokens_expiring_by(self.keep_cut_off_until(cut_off));
        update.caller = caller.cloned();
        if update.change == AccountChange::Delete {
            update.deletion_event = self.deletion_event(&update.owner);
        }
        let (issuer, accounts) = (self.clone(), Arc::clone(accounts));
        let kind = audited_as(&update.change);
        self.to_the_end(async move {
            let outcome = match accounts.change_account(&update).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    issuer.record_started_deletion(&update, &error);
                    return Err(error);
                }
            };
            if let AccountOutcome::Changed(entries) = &outcome {
                entries.iter().for_each(|entry| issuer.revocation().apply(entry));
                let subject = Arc::clone(&update.owner.subject);
                issuer.record(kind, |event| event.subject = Some(subject));
                issuer.store_if_unknown(entries).await?;
            }
            Ok(outcome)
        })
        .await
    }

    /// Records that an account was closed, if its deletion may have begun and did not end.
    fn record_started_deletion(&self, update: &AccountUpdate, error: &StoreError) {
        if update.change == AccountChange::Delete && !error.is_nothing_written() {
            let subject = Arc::clone(&update.owner.subject);
            self.record(AuditKind::AccountClosed, |event| event.subject = Some(subject));
        }
    }

    /// Writes entries to the token store, if it does not have them: the accounts may be in another store, although they
    /// should not.
    async fn store_if_unknown(&self, entries: &[RevocationEntry]) -> Result<(), StoreError> {
        let Some(first) = entries.first() else { return Ok(()) };
        let lookup = Lookup::new([first.thing().clone()], first.cut_off());
        if self.store().look_up(&lookup).await? != Verdict::NotRevoked {
            return Ok(());
        }
        self.store().deny(entries).await
    }

    fn managed(&self) -> Result<&Arc<dyn ManagedAccounts>, AccountError> {
        self.managed_accounts().ok_or(AccountError::NotManaged)
    }
}

fn audited_as(change: &AccountChange) -> AuditKind {
    match change {
        AccountChange::ChangePassword { .. } | AccountChange::SetPassword { .. } => {
            AuditKind::PasswordChanged
        }
        AccountChange::Close => AuditKind::AccountClosed,
        AccountChange::Reopen => AuditKind::AccountReopened,
        AccountChange::SetScopes(_) => AuditKind::ScopesChanged,
        AccountChange::Delete => AuditKind::AccountDeleted,
    }
}
