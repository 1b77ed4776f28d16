//! Lists the sessions that versions before 3 of the tables opened.
//!
//! 1. **Other processes keep working meanwhile.** The rows are copied in small steps. SQLite has one writer, which
//!    waits by trying again, so there is a pause after each step, as long as the step.
//! 2. **Each step can be repeated.** A process that ends in the middle leaves no gap: the next one begins again.
//! 3. A session that an older process opens later gets its row at its next refresh in a process of this version.

use tokio::time::Instant;

use super::{
    database::{Database, Transaction},
    migration::{self, MIGRATION_LOCK},
    statement::{Failure, Value},
};
use tower_bearer::revocation::StoreError;

/// How many refresh tokens one step reads.
const TOKENS: usize = 2000;

#[expect(
    clippy::disallowed_methods,
    reason = "a process that waits for SQLite's lock does not report it"
)]
pub(crate) async fn copy(database: &Database) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let begin = Instant::now();
        let step = database.step(move |mut transaction| async move {
            let last = copy_some(database, &mut transaction, after).await?;
            Ok((transaction, last))
        });
        let Some(last) = step.await? else { return Ok(()) };
        after = last;
        if !database.is_postgres() {
            tokio::time::sleep(begin.elapsed()).await;
        }
    }
}

/// Copies the sessions of the next tokens by their number. Returns the last number, or `None` if there are no more, or
/// if another process has finished the migration. Revoked sessions were removed then, and must not be copied again.
async fn copy_some(
    database: &Database,
    transaction: &mut Transaction,
    after: i64,
) -> Result<Option<i64>, Failure> {
    transaction.without_timeouts().await?;
    transaction.lock(vec![MIGRATION_LOCK]).await?;
    if migration::version(database, transaction).await? > migration::TABLES {
        return Ok(None);
    }
    let values = vec![Value::int(after), Value::limit(TOKENS)];
    let rows = transaction.fetch(LAST, values).await?;
    let Some(last) = rows.first().ok_or(Failure::UnreadableRow)?.optional_int(0)? else {
        return Ok(None);
    };
    transaction.execute(COPY, vec![Value::int(after), Value::int(last)]).await?;
    Ok(Some(last))
}

const LAST: &str = "
    SELECT max(id) FROM (
        SELECT id FROM bearer_refresh_tokens WHERE id > $1 ORDER BY id LIMIT $2) AS next";

/// Revoked sessions are removed at the end, when all rows are there.
const COPY: &str = "
    INSERT INTO bearer_sessions (issuer, session_id, subject, created_at, last_used_at, expires_at)
    SELECT issuer, session_id, subject, begun, refreshed,
           CASE WHEN expiry > refreshed + 3600 THEN expiry ELSE refreshed + 3600 END
    FROM (
        SELECT issuer, session_id, subject,
               min(issued_at) AS begun, max(issued_at) AS refreshed, max(expires_at) AS expiry
        FROM bearer_refresh_tokens WHERE id > $1 AND id <= $2
        GROUP BY issuer, session_id, subject
    ) AS found WHERE 1 = 1
    ON CONFLICT (issuer, session_id) DO UPDATE SET
        created_at = CASE WHEN excluded.created_at < bearer_sessions.created_at
                          THEN excluded.created_at ELSE bearer_sessions.created_at END,
        last_used_at = CASE WHEN excluded.last_used_at > bearer_sessions.last_used_at
                            THEN excluded.last_used_at ELSE bearer_sessions.last_used_at END,
        expires_at = CASE WHEN excluded.expires_at > bearer_sessions.expires_at
                          THEN excluded.expires_at ELSE bearer_sessions.expires_at END";
