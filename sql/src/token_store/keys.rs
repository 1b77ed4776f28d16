//! The records of signing keys.

use tower_bearer::revocation::Revocable;
use tower_bearer_issuing::store::{KeyChange, KeyOutcome, KeyRecord, KeyStore, Step};

use crate::{
    SqlStore,
    database::Transaction,
    entries::{lock_of, revoke},
    statement::{Failure, Row, Value},
};

/// A replica that cannot use its records of keys stops signing. So these steps have neither the connections that
/// clients can keep busy, nor their queue. They are short, and only other changes of keys wait for their lock.
impl KeyStore for SqlStore {
    fn keys<'a>(&'a self, issuer: &'a str) -> Step<'a, Vec<KeyRecord>> {
        Box::pin(async move {
            let rows = self.database.look_up(LIST, &[Value::id(issuer)]).await?;
            Ok(read_all(&rows)?)
        })
    }

    fn change_keys<'a>(&'a self, issuer: &'a str, change: &'a KeyChange) -> Step<'a, KeyOutcome> {
        Box::pin(self.database.revoking_step(move |mut transaction| async move {
            let outcome = change_keys(&mut transaction, issuer, change).await?;
            Ok((transaction, outcome))
        }))
    }
}

async fn change_keys(
    transaction: &mut Transaction,
    issuer: &str,
    change: &KeyChange,
) -> Result<KeyOutcome, Failure> {
    // Only the issuer is part of the lock: a change concerns all keys of the issuer.
    transaction.lock(vec![lock_of(&Revocable::key(issuer, ""))]).await?;
    let rows = transaction.fetch(LIST, vec![Value::id(issuer)]).await?;
    let records = read_all(&rows)?;
    let has_tokens = records.is_empty() && has_tokens(transaction, issuer).await?;
    let decision = change.decide(issuer, &records, has_tokens);
    for record in &decision.records {
        transaction.execute(WRITE, values_of(issuer, record)).await?;
    }
    if let Some(entry) = decision.revocation {
        revoke(transaction, &[entry]).await?;
    }
    Ok(decision.outcome)
}

async fn has_tokens(transaction: &mut Transaction, issuer: &str) -> Result<bool, Failure> {
    for sql in ANY_TOKEN {
        if !transaction.fetch(sql, vec![Value::id(issuer)]).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_all(rows: &[Row]) -> Result<Vec<KeyRecord>, Failure> {
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<KeyRecord, Failure> {
    let mut record = KeyRecord::new(row.text(0)?, row.time(1)?, row.time(2)?);
    record.signs_until = row.optional_time(3)?;
    record.needed_until = row.time(4)?;
    record.is_compromised = row.int(5)? != 0;
    Ok(record)
}

fn values_of(issuer: &str, record: &KeyRecord) -> Vec<Value> {
    let signs_until = record.signs_until.map(|time| i64::try_from(time.as_secs()));
    vec![
        Value::id(issuer),
        Value::text(&record.thumbprint),
        Value::time(record.added_at),
        Value::time(record.signs_from),
        Value::int(signs_until.map(|seconds| seconds.unwrap_or(i64::MAX))),
        Value::time(record.needed_until),
        Value::int(i64::from(record.is_compromised)),
    ]
}

const LIST: &str = "
    SELECT thumbprint, added_at, signs_from, signs_until, needed_until, is_compromised
    FROM bearer_keys WHERE issuer = $1";
const WRITE: &str = "
    INSERT INTO bearer_keys
        (issuer, thumbprint, added_at, signs_from, signs_until, needed_until, is_compromised)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (issuer, thumbprint) DO UPDATE SET
        added_at = excluded.added_at, signs_from = excluded.signs_from,
        signs_until = excluded.signs_until, needed_until = excluded.needed_until,
        is_compromised = excluded.is_compromised";
/// Each reads one entry of an index.
const ANY_TOKEN: [&str; 2] = [
    "SELECT id FROM bearer_refresh_tokens WHERE issuer = $1 ORDER BY subject, issued_at LIMIT 1",
    "SELECT id FROM bearer_private_tokens WHERE issuer = $1 ORDER BY subject, issued_at LIMIT 1",
];
