//! Deletes rows that are obsolete.

use super::{
    database::Transaction,
    statement::{Failure, Row, Sql, Value},
};
use tower_bearer::{UnixTime, revocation::KEEP_AFTER_EXPIRY};

/// Deletes at most `limit` rows that are obsolete at `now`, of all tables. Returns how many it has deleted.
pub(crate) async fn sweep(
    transaction: &mut Transaction,
    now: UnixTime,
    limit: usize,
) -> Result<usize, Failure> {
    // Two sweeps at the same time would delete the same rows in different orders.
    transaction.lock(vec![SWEEP_LOCK]).await?;
    let expired = now - KEEP_AFTER_EXPIRY;
    let mut swept = 0;
    for (find, table, date, id) in SWEEPS {
        let before = if date == "keep_until" { now } else { expired };
        let values = vec![Value::time(before), Value::limit(limit.saturating_sub(swept))];
        let rows = transaction.fetch(find, values).await?;
        let ids: Result<Vec<Value>, Failure> = rows.iter().map(id).collect();
        for some in ids?.chunks(500) {
            let mut values = vec![Value::time(before)];
            values.extend_from_slice(some);
            let sql = Sql::Built(sweep_sql(table, date, some.len()));
            let rows = transaction.execute(sql, values).await?;
            swept += usize::try_from(rows).unwrap_or(usize::MAX);
        }
    }
    Ok(swept)
}

/// An arbitrary number. It must be the same in every process.
const SWEEP_LOCK: i64 = 0x746f_7765_7262_7377;

type ReadId = fn(&Row) -> Result<Value, Failure>;

/// For each sweep: the statement that finds rows that are over, their table, the column of the date, and how an id is
/// read.
///
/// Rows are found in the order of the date, which has an index. In a different order, each sweep would read the whole
/// table, under SQLite's one lock. A separate statement deletes them: a query planner that does not know how many rows
/// a limit will find may read the whole table to delete them.
pub(crate) const SWEEPS: [(&str, &str, &str, ReadId); 8] = [
    (
        "SELECT id FROM bearer_refresh_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2",
        "bearer_refresh_tokens",
        "expires_at",
        |row| row.int(0).map(Value::int),
    ),
    (
        "SELECT id FROM bearer_private_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2",
        "bearer_private_tokens",
        "expires_at",
        |row| row.int(0).map(Value::int),
    ),
    // The second condition is the condition of the index, which has only ended tokens.
    (
        "SELECT id FROM bearer_private_tokens WHERE dies_at < $1 AND dies_at < 9223372036854775807
         ORDER BY dies_at LIMIT $2",
        "bearer_private_tokens",
        "dies_at",
        |row| row.int(0).map(Value::int),
    ),
    (
        "SELECT id FROM bearer_sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2",
        "bearer_sessions",
        "expires_at",
        |row| row.int(0).map(Value::int),
    ),
    (
        "SELECT id FROM bearer_denials WHERE keep_until < $1 ORDER BY keep_until LIMIT $2",
        "bearer_denials",
        "keep_until",
        |row| row.bytes(0).map(Value::Bytes),
    ),
    (
        "SELECT id FROM bearer_outbox WHERE keep_until < $1 ORDER BY keep_until LIMIT $2",
        "bearer_outbox",
        "keep_until",
        |row| row.int(0).map(Value::int),
    ),
    (
        "SELECT id FROM bearer_known_devices WHERE keep_until < $1 ORDER BY keep_until LIMIT $2",
        "bearer_known_devices",
        "keep_until",
        |row| row.bytes(0).map(Value::Bytes),
    ),
    (
        "SELECT id FROM bearer_audit WHERE keep_until < $1 ORDER BY keep_until LIMIT $2",
        "bearer_audit",
        "keep_until",
        |row| row.int(0).map(Value::int),
    ),
];

/// Compares the date again, so that an entry that was prolonged after it was found is kept.
pub(crate) fn sweep_sql(table: &str, date: &str, count: usize) -> String {
    let places: Vec<String> = (2..=count + 1).map(|place| format!("${place}")).collect();
    format!("DELETE FROM {table} WHERE {date} < $1 AND id IN ({})", places.join(", "))
}
