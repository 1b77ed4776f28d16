//! The accounts of the memory store.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::{MemoryTokenStore, State, done};
use crate::{
    Account, AccountChange, AccountOutcome, AccountPage, AccountQuery, AccountStore, AccountUpdate,
    ListedAccount, ManagedAccounts, NewAccount, StoredAccount, normalize_email,
    store::{Caller, LostScopes, NewRefreshToken, Step},
};
use tower_bearer::revocation::RevocationEntry;

/// The accounts by their numbers. A number is never used again.
#[derive(Default)]
pub(super) struct AccountRows {
    rows: BTreeMap<i64, StoredAccount>,
    last_id: i64,
}

impl AccountRows {
    fn by_email(&self, email: &str) -> Option<&StoredAccount> {
        self.rows.values().find(|stored| normalize_email(&stored.account.email) == email)
    }

    fn by_subject(&self, subject: &str) -> Option<&StoredAccount> {
        self.rows.values().find(|stored| *stored.account.subject == *subject)
    }

    fn by_subject_mut(&mut self, subject: &str) -> Option<&mut StoredAccount> {
        self.rows.values_mut().find(|stored| *stored.account.subject == *subject)
    }

    fn add(&mut self, new: &NewAccount) -> Option<Account> {
        if self.by_email(&normalize_email(&new.email)).is_some() {
            return None;
        }
        self.last_id += 1;
        let mut account = Account::new(self.last_id, &*new.email).with_scopes(new.scopes.clone());
        account.username.clone_from(&new.username);
        account.company_id.clone_from(&new.company_id);
        account.is_verified = new.is_verified;
        account.profile.clone_from(&new.profile);
        let mut stored = StoredAccount::new(account.clone(), &*new.password_hash);
        stored.is_active = new.is_active;
        self.rows.insert(self.last_id, stored);
        Some(account)
    }

    fn list(&self, query: &AccountQuery) -> AccountPage {
        let search = query.search.as_deref().map(normalize_email);
        let matches = |stored: &StoredAccount| {
            let email = normalize_email(&stored.account.email);
            search.as_deref().is_none_or(|search| email.contains(search))
        };
        let limit = query.limit.max(1) as usize;
        let after = (Bound::Excluded(query.after), Bound::Unbounded);
        let mut found = self.rows.range(after).filter(|(_, stored)| matches(stored));
        let page: Vec<_> = found.by_ref().take(limit).collect();
        let next = page.last().map(|(id, _)| **id).filter(|_| found.next().is_some());
        let listed = page.into_iter().map(|(_, StoredAccount { account, is_active, .. })| {
            ListedAccount::new(account.clone(), *is_active)
        });
        AccountPage::new(listed.collect(), next)
    }

    /// Makes the change, without its revocations. Returns the outcome if nothing was changed.
    fn change(&mut self, update: &AccountUpdate) -> Result<Revoke, AccountOutcome> {
        let Some(stored) = self.by_subject_mut(&update.owner.subject) else {
            return Err(AccountOutcome::NotFound);
        };
        match &update.change {
            AccountChange::ChangePassword { old_hash, new_hash } => {
                if !stored.is_active || stored.password_hash != *old_hash {
                    return Err(AccountOutcome::OtherPassword);
                }
                stored.password_hash.clone_from(new_hash);
            }
            AccountChange::SetScopes(scopes) => {
                let old = std::mem::replace(&mut stored.account.scopes, scopes.clone());
                let lost = LostScopes::of(update, &old, scopes);
                return Ok(lost.map_or(Revoke::Nothing, Revoke::Scopes));
            }
            AccountChange::SetPassword { new_hash } => stored.password_hash.clone_from(new_hash),
            AccountChange::Close => stored.is_active = false,
            AccountChange::Reopen => stored.is_active = true,
            AccountChange::Delete => {
                self.rows.retain(|_, stored| *stored.account.subject != *update.owner.subject);
            }
        }
        Ok(if update.change.ends_all_tokens() { Revoke::Everything } else { Revoke::Nothing })
    }
}

/// What a change revokes.
enum Revoke {
    Nothing,
    Everything,
    Scopes(LostScopes),
}

impl State {
    fn change_account(&mut self, update: &AccountUpdate) -> AccountOutcome {
        let lookup = update.caller.as_ref().map(Caller::lookup);
        if lookup.is_some_and(|lookup| self.denials.denied_from(&lookup).is_some()) {
            return AccountOutcome::CallerRevoked;
        }
        let entries = match self.accounts.change(update) {
            Err(outcome) => return outcome,
            Ok(Revoke::Nothing) => Vec::new(),
            Ok(Revoke::Everything) => vec![self.revoke_everything(update)],
            Ok(Revoke::Scopes(lost)) => self.revoke_scopes(update, lost),
        };
        if update.change == AccountChange::Delete {
            self.delete_personal_data(&update.owner, update.deletion_event.as_ref());
        }
        AccountOutcome::Changed(entries)
    }

    fn revoke_everything(&mut self, update: &AccountUpdate) -> RevocationEntry {
        self.cut_off(&update.owner, update.now, update.tokens_expire_by)
    }

    fn revoke_scopes(
        &mut self,
        update: &AccountUpdate,
        mut lost: LostScopes,
    ) -> Vec<RevocationEntry> {
        let AccountUpdate { owner, now, .. } = update;
        let cut_off = self.denials.cut_off(owner).unwrap_or_default();
        let refresh = self.refresh.of_owner(owner).map(|token| token.issued_at);
        let private = self.private.tokens().filter(|token| token.owner == *owner);
        let private = private.map(|token| token.issued_at);
        let newest = refresh.chain(private).max();
        let after = LostScopes::issued_after(*now, newest);
        let is_recent = |token: &&NewRefreshToken| token.issued_at > after.max(cut_off);
        for token in self.refresh.of_owner(owner).filter(is_recent) {
            let access_token_id = token.access_token_id.clone();
            lost.add_refresh(Arc::clone(&token.session_id), token.issued_at, access_token_id);
        }
        for token in self.private.listed(owner, after).filter(|token| token.expires_at > after) {
            lost.add_private(Arc::clone(&token.token_id), token.expires_at, &token.scopes);
        }
        match lost.entries() {
            Some(entries) => entries.into_iter().map(|entry| self.deny(entry)).collect(),
            None => vec![self.revoke_everything(update)],
        }
    }
}

impl AccountStore for MemoryTokenStore {
    fn find_by_email<'a>(&'a self, email: &'a str) -> Step<'a, Option<StoredAccount>> {
        done(self.state().accounts.by_email(email).cloned())
    }

    fn find_by_subject<'a>(&'a self, subject: &'a str) -> Step<'a, Option<StoredAccount>> {
        done(self.state().accounts.by_subject(subject).cloned())
    }

    fn replace_hash<'a>(
        &'a self,
        subject: &'a str,
        old_hash: &'a str,
        new_hash: &'a str,
    ) -> Step<'a, ()> {
        let mut state = self.state();
        let found = state.accounts.by_subject_mut(subject);
        if let Some(stored) = found.filter(|stored| stored.password_hash == old_hash) {
            stored.password_hash = new_hash.into();
        }
        done(())
    }
}

impl ManagedAccounts for MemoryTokenStore {
    fn add_account<'a>(&'a self, account: &'a NewAccount) -> Step<'a, Option<Account>> {
        done(self.state().accounts.add(account))
    }

    fn list_accounts<'a>(&'a self, query: &'a AccountQuery) -> Step<'a, AccountPage> {
        done(self.state().accounts.list(query))
    }

    fn change_account<'a>(&'a self, update: &'a AccountUpdate) -> Step<'a, AccountOutcome> {
        done(self.step(|state| state.change_account(update)))
    }
}
