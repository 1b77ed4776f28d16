//! Stores accounts with their password hashes.

use serde_json::Value as Json;

use super::{
    cut_offs::{id_of_cut_off, lock_of_owner, revoke_owner},
    personal_data::Deletion,
    private_tokens::is_revoked,
};
use crate::{
    SqlStore,
    database::{Database, Transaction},
    entries::{LATEST_OF_OWNER, latest, write_entries},
    statement::{Failure, Row, Value},
};
use tower_bearer::{
    BoxFuture,
    revocation::{RevocationEntry, StoreError},
};
use tower_bearer_issuing::{
    Account, AccountChange, AccountId, AccountOutcome, AccountPage, AccountQuery, AccountStore,
    AccountUpdate, ListedAccount, ManagedAccounts, NewAccount, StoredAccount, normalize_email,
    scopes::ScopeSet,
    store::{LostScopes, Step},
};

impl AccountStore for SqlStore {
    fn find_by_email<'a>(
        &'a self,
        email: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredAccount>, StoreError>> {
        Box::pin(async move { Ok(find(&self.database, FIND_BY_EMAIL, email).await?) })
    }

    fn find_by_subject<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredAccount>, StoreError>> {
        Box::pin(async move { Ok(find(&self.database, FIND_BY_SUBJECT, subject).await?) })
    }

    fn replace_hash<'a>(
        &'a self,
        subject: &'a str,
        old_hash: &'a str,
        new_hash: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.database.step(move |mut transaction| async move {
            replace(&mut transaction, subject, old_hash, new_hash).await?;
            Ok((transaction, ()))
        }))
    }
}

impl ManagedAccounts for SqlStore {
    fn add_account<'a>(&'a self, account: &'a NewAccount) -> Step<'a, Option<Account>> {
        Box::pin(self.database.step(move |mut transaction| async move {
            let answer = insert(&mut transaction, account).await?;
            Ok((transaction, answer))
        }))
    }

    fn list_accounts<'a>(&'a self, query: &'a AccountQuery) -> Step<'a, AccountPage> {
        Box::pin(async move { Ok(list(&self.database, query).await?) })
    }

    fn change_account<'a>(&'a self, update: &'a AccountUpdate) -> Step<'a, AccountOutcome> {
        Box::pin(async move {
            let changed = self.database.revoking_step(move |mut transaction| async move {
                let answer = change(&mut transaction, update).await?;
                Ok((transaction, answer))
            });
            let outcome = changed.await?;
            match (&update.change, &outcome) {
                (AccountChange::Delete, AccountOutcome::Changed(entries)) => {
                    delete(&self.database, update, entries).await
                }
                _ => Ok(outcome),
            }
        })
    }
}

/// Deletes the account of an owner whose tokens were revoked by the entry. Other revocations do not wait for that.
async fn delete(
    database: &Database,
    update: &AccountUpdate,
    entries: &[RevocationEntry],
) -> Result<AccountOutcome, StoreError> {
    let mut changed = Vec::with_capacity(entries.len());
    let deletion = Deletion {
        owner: &update.owner,
        now: update.now,
        tokens_expire_by: update.tokens_expire_by,
        account: true,
        event: update.deletion_event.as_ref(),
    };
    for entry in entries {
        changed.push(deletion.run(database, entry.clone()).await?);
    }
    Ok(AccountOutcome::Changed(changed))
}

async fn find(
    database: &Database,
    sql: &'static str,
    name: &str,
) -> Result<Option<StoredAccount>, Failure> {
    // PostgreSQL has no NUL in texts.
    if database.is_postgres() && name.contains('\0') {
        return Ok(None);
    }
    let rows = database.read(sql, &[Value::text(name)]).await?;
    rows.first().map(read_account).transpose()
}

const FIND_BY_EMAIL: &str = "
    SELECT id, subject, email, username, password_hash, is_active, is_verified, profile, scopes, company_id, company_text
    FROM bearer_accounts WHERE email_key = $1";
const FIND_BY_SUBJECT: &str = "
    SELECT id, subject, email, username, password_hash, is_active, is_verified, profile, scopes, company_id, company_text
    FROM bearer_accounts WHERE subject = $1";

fn read_account(row: &Row) -> Result<StoredAccount, Failure> {
    let mut account = Account::new(row.int(0)?, row.text(2)?);
    account.subject = row.text(1)?.into();
    account.username = row.text(3)?;
    account.is_verified = row.int(6)? != 0;
    account.profile = serde_json::from_str(&row.text(7)?).map_err(|_| Failure::UnreadableRow)?;
    account.scopes = row.scopes(8)?;
    account.company_id = match row.optional_text(10)? {
        Some(text) => Some(text.into()),
        None => row.optional_int(9)?.map(AccountId::from),
    };
    let mut stored = StoredAccount::new(account, row.text(4)?);
    stored.is_active = row.int(5)? != 0;
    Ok(stored)
}

/// Adds the row, and then sets its subject: the subject is the number, which is known only after the insert.
async fn insert(
    transaction: &mut Transaction,
    new: &NewAccount,
) -> Result<Option<Account>, Failure> {
    let email_key = normalize_email(&new.email);
    let (company_number, company_text) = match &new.company_id {
        None => (None, None),
        Some(AccountId::Number(number)) => (Some(*number), None),
        Some(AccountId::Text(text)) => (None, Some(&**text)),
    };
    let values = vec![
        Value::Text(email_key),
        Value::text(&new.email),
        Value::text(&new.username),
        Value::text(&new.password_hash),
        Value::int(i64::from(new.is_active)),
        Value::int(i64::from(new.is_verified)),
        Value::Text(Json::Object(new.profile.clone()).to_string()),
        Value::Text(new.scopes.to_string()),
        Value::int(company_number),
        Value::optional_text(company_text),
    ];
    let rows = transaction.fetch(INSERT, values).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let id = row.int(0)?;
    let mut account = Account::new(id, &*new.email).with_scopes(new.scopes.clone());
    account.username.clone_from(&new.username);
    account.company_id.clone_from(&new.company_id);
    account.is_verified = new.is_verified;
    account.profile.clone_from(&new.profile);
    let values = vec![Value::int(id), Value::text(&account.subject)];
    transaction.execute(SET_SUBJECT, values).await?;
    Ok(Some(account))
}

/// The address takes the place of the subject until the number is known, later in the transaction. It is unique too.
const INSERT: &str = "
    INSERT INTO bearer_accounts
        (subject, email_key, email, username, password_hash, is_active, is_verified, profile, scopes, company_id,
         company_text)
    VALUES ('new ' || $1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (email_key) DO NOTHING
    RETURNING id";
const SET_SUBJECT: &str = "UPDATE bearer_accounts SET subject = $2 WHERE id = $1";

async fn replace(
    transaction: &mut Transaction,
    subject: &str,
    old_hash: &str,
    new_hash: &str,
) -> Result<(), Failure> {
    let sql =
        "UPDATE bearer_accounts SET password_hash = $3 WHERE subject = $1 AND password_hash = $2";
    let values = vec![Value::text(subject), Value::text(old_hash), Value::text(new_hash)];
    transaction.execute(sql, values).await?;
    Ok(())
}

/// Reads one account more than the limit, to know whether there are more.
async fn list(database: &Database, query: &AccountQuery) -> Result<AccountPage, Failure> {
    let search = query.search.as_deref().map(normalize_email).unwrap_or_default();
    // PostgreSQL has no NUL in texts.
    if database.is_postgres() && search.contains('\0') {
        return Ok(AccountPage::new(Vec::new(), None));
    }
    let limit = query.limit.max(1) as usize;
    let values = [Value::int(query.after), Value::Text(search), Value::limit(limit + 1)];
    let rows = database.read(LIST, &values).await?;
    let mut accounts = Vec::with_capacity(rows.len().min(limit));
    let mut last = None;
    for row in rows.iter().take(limit) {
        let StoredAccount { account, is_active, .. } = read_account(row)?;
        last = Some(row.int(0)?);
        accounts.push(ListedAccount::new(account, is_active));
    }
    Ok(AccountPage::new(accounts, last.filter(|_| rows.len() > limit)))
}

/// Both databases find no difference if the search text is not in the address.
const LIST: &str = "
    SELECT id, subject, email, username, password_hash, is_active, is_verified, profile, scopes, company_id, company_text
    FROM bearer_accounts WHERE id > $1 AND ($2 = '' OR replace(email_key, $2, '') <> email_key)
    ORDER BY id LIMIT $3";

/// Makes the change and its revocations, under the lock of the owner. So no token of the owner is issued in between.
async fn change(
    transaction: &mut Transaction,
    update: &AccountUpdate,
) -> Result<AccountOutcome, Failure> {
    let owner = &update.owner;
    transaction.lock(vec![lock_of_owner(owner)]).await?;
    if let Some(caller) = &update.caller
        && is_revoked(transaction, caller).await?
    {
        return Ok(AccountOutcome::CallerRevoked);
    }
    // PostgreSQL has no NUL in texts.
    if owner.subject.contains('\0') {
        return Ok(AccountOutcome::NotFound);
    }
    let subject = Value::text(&owner.subject);
    let changed = match &update.change {
        AccountChange::ChangePassword { old_hash, new_hash } => {
            let values = vec![subject.clone(), Value::text(old_hash), Value::text(new_hash)];
            transaction.execute(CHANGE_PASSWORD, values).await?
        }
        AccountChange::SetPassword { new_hash } => {
            transaction.execute(SET_PASSWORD, vec![subject.clone(), Value::text(new_hash)]).await?
        }
        // A deleted account is closed first. It is deleted with the last of its rows, so a deletion that failed can be
        // repeated.
        AccountChange::Close | AccountChange::Delete => {
            transaction.execute(SET_ACTIVE, vec![subject.clone(), Value::int(0)]).await?
        }
        AccountChange::Reopen => {
            transaction.execute(SET_ACTIVE, vec![subject.clone(), Value::int(1)]).await?
        }
        AccountChange::SetScopes(scopes) => return set_scopes(transaction, update, scopes).await,
    };
    if changed == 0 {
        let exists = !transaction.fetch(FIND_BY_SUBJECT, vec![subject]).await?.is_empty();
        return Ok(if exists { AccountOutcome::OtherPassword } else { AccountOutcome::NotFound });
    }
    if !update.change.ends_all_tokens() {
        return Ok(AccountOutcome::Changed(Vec::new()));
    }
    let entry = revoke_owner(transaction, owner, update.now, update.tokens_expire_by).await?;
    Ok(AccountOutcome::Changed(vec![entry]))
}

const CHANGE_PASSWORD: &str = "
    UPDATE bearer_accounts SET password_hash = $3
    WHERE subject = $1 AND password_hash = $2 AND is_active = 1";
const SET_PASSWORD: &str = "UPDATE bearer_accounts SET password_hash = $2 WHERE subject = $1";
const SET_ACTIVE: &str = "UPDATE bearer_accounts SET is_active = $2 WHERE subject = $1";

/// Replaces the scopes of an account, and revokes the tokens that hold a lost one. The owner's lock keeps tokens from
/// being issued in between. A session that ends needs no lock of its own: a refresh holds both.
async fn set_scopes(
    transaction: &mut Transaction,
    update: &AccountUpdate,
    scopes: &ScopeSet,
) -> Result<AccountOutcome, Failure> {
    let owner = &update.owner;
    let rows = transaction.fetch(SCOPES, vec![Value::text(&owner.subject)]).await?;
    let Some(row) = rows.first() else { return Ok(AccountOutcome::NotFound) };
    let old = row.scopes(0)?;
    let values = vec![Value::text(&owner.subject), Value::Text(scopes.to_string())];
    transaction.execute(SET_SCOPES, values).await?;
    let Some(lost) = LostScopes::of(update, &old, scopes) else {
        return Ok(AccountOutcome::Changed(Vec::new()));
    };
    let lost = with_tokens(transaction, update, lost).await?;
    let entries = match lost.entries() {
        Some(entries) => write_entries(transaction, &entries).await?,
        None => {
            let AccountUpdate { now, tokens_expire_by, .. } = update;
            vec![revoke_owner(transaction, owner, *now, *tokens_expire_by).await?]
        }
    };
    Ok(AccountOutcome::Changed(entries))
}

const SCOPES: &str = "SELECT scopes FROM bearer_accounts WHERE subject = $1";
const SET_SCOPES: &str = "UPDATE bearer_accounts SET scopes = $2 WHERE subject = $1";

/// Adds the tokens of the owner that may be valid.
async fn with_tokens(
    transaction: &mut Transaction,
    update: &AccountUpdate,
    mut lost: LostScopes,
) -> Result<LostScopes, Failure> {
    let owner = &update.owner;
    let of_owner = |date| {
        let limit = Value::limit(LostScopes::MOST_READ + 1);
        let owner = [Value::id(&owner.issuer), Value::id(&owner.subject)];
        owner.into_iter().chain([Value::time(date), id_of_cut_off(&update.owner), limit]).collect()
    };
    let values = vec![Value::id(&owner.issuer), Value::id(&owner.subject)];
    let newest = latest(&transaction.fetch(LATEST_OF_OWNER, values).await?, &[0, 1])?;
    let after = LostScopes::issued_after(update.now, newest);
    for row in transaction.fetch(RECENT_REFRESH, of_owner(after)).await? {
        lost.add_refresh(row.id(0)?, row.time(1)?, row.optional_id(2)?);
    }
    for row in transaction.fetch(PRIVATE, of_owner(after)).await? {
        lost.add_private(row.id(0)?, row.time(1)?, &row.scopes(2)?);
    }
    Ok(lost)
}

const RECENT_REFRESH: &str = "
    SELECT session_id, issued_at, access_id FROM bearer_refresh_tokens
    WHERE issuer = $1 AND subject = $2 AND issued_at > $3
      AND issued_at > COALESCE((SELECT cut_off FROM bearer_denials AS d WHERE d.id = $4), -1)
    LIMIT $5";
const PRIVATE: &str = "
    SELECT token_id, expires_at, scopes FROM bearer_private_tokens
    WHERE issuer = $1 AND subject = $2 AND dies_at > $3 AND expires_at > $3 AND scopes <> ''
      AND issued_at > COALESCE((SELECT cut_off FROM bearer_denials AS d WHERE d.id = $4), -1)
    LIMIT $5";
