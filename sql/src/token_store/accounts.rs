//! Stores accounts with their password hashes.

use std::fmt;

use serde_json::{Map, Value as Json};

use crate::{
    SqlStore,
    database::{Database, Transaction},
    statement::{Failure, Row, Value},
};
use tower_bearer::{BoxFuture, revocation::StoreError};
use tower_bearer_issuing::{
    Account, AccountId, AccountStore, StoredAccount, normalize_email, scopes::ScopeSet,
};

/// A new account. The store assigns its number and its subject.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewAccount {
    /// The e-mail address. No other account may have it. Addresses are compared as [`normalize_email`] describes.
    pub email: String,
    /// The password hash, as a PHC string: `$argon2id$v=19$...`.
    pub password_hash: String,
    /// The user name.
    pub username: String,
    /// The company of the account.
    pub company_id: Option<AccountId>,
    /// Whether the account may log in.
    pub is_active: bool,
    /// Whether the e-mail address was verified.
    pub is_verified: bool,
    /// Other data about the user, as a JSON object.
    pub profile: Map<String, Json>,
    /// What the account may do.
    pub scopes: ScopeSet,
}

impl NewAccount {
    /// Returns an active account without scopes. Its user name is its e-mail address.
    #[must_use]
    pub fn new(email: impl Into<String>, password_hash: impl Into<String>) -> Self {
        let email = email.into();
        Self {
            username: email.clone(),
            email,
            password_hash: password_hash.into(),
            company_id: None,
            is_active: true,
            is_verified: false,
            profile: Map::new(),
            scopes: ScopeSet::default(),
        }
    }
}

impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAccount").finish_non_exhaustive()
    }
}

impl SqlStore {
    /// Adds an account. If an account has this e-mail address already, returns `None` and changes nothing. So you can
    /// repeat the call.
    ///
    /// # Errors
    /// If the account was not added, or may not have been added.
    pub async fn add_account(&self, account: &NewAccount) -> Result<Option<Account>, StoreError> {
        self.database
            .step(move |mut transaction| async move {
                let answer = insert(&mut transaction, account).await?;
                Ok((transaction, answer))
            })
            .await
    }
}

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
