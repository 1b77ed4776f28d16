//! Removes rows that are over and outbox entries that a fleet has acknowledged, and keeps what each fleet has
//! acknowledged.

use super::{
    database::{Database, Transaction},
    failure::Failure,
    value::{Row, Sql, Value},
};
use tower_bearer::UnixTime;
use tower_bearer::revocation::{KEEP_AFTER_EXPIRY, outbox::Acknowledged};

pub(super) async fn sweep(
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
pub(super) const SWEEPS: [(&str, &str, &str, ReadId); 6] = [
    (
        "SELECT id FROM bearer_refresh_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2",
        "bearer_refresh_tokens",
        "expires_at",
        |row| row.int(0).map(Value::Int),
    ),
    (
        "SELECT id FROM bearer_private_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2",
        "bearer_private_tokens",
        "expires_at",
        |row| row.int(0).map(Value::Int),
    ),
    // The second condition is the condition of the index, which has only ended tokens.
    (
        "SELECT id FROM bearer_private_tokens WHERE dies_at < $1 AND dies_at < 9223372036854775807
         ORDER BY dies_at LIMIT $2",
        "bearer_private_tokens",
        "dies_at",
        |row| row.int(0).map(Value::Int),
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
        |row| row.int(0).map(Value::Int),
    ),
    (
        "SELECT id FROM bearer_known_devices WHERE keep_until < $1 ORDER BY keep_until LIMIT $2",
        "bearer_known_devices",
        "keep_until",
        |row| row.bytes(0).map(Value::Bytes),
    ),
];

/// Compares the date again, so that an entry that was prolonged after it was found is kept.
pub(super) fn sweep_sql(table: &str, date: &str, count: usize) -> String {
    let places: Vec<String> = (2..=count + 1).map(|place| format!("${place}")).collect();
    format!("DELETE FROM {table} WHERE {date} < $1 AND id IN ({})", places.join(", "))
}

/// Removes entries that a fleet has acknowledged, unless the store keeps another generation or server for it by now.
pub(super) async fn forget_entries(
    transaction: &mut Transaction,
    ids: &[i64],
    acknowledged: &Acknowledged,
) -> Result<bool, Failure> {
    // This comes first: the row is locked until the commit, so that no seeding begins and no server changes in between.
    if transaction.execute(ADVANCE, values_of(acknowledged)).await? == 0 {
        return Ok(false);
    }
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    // SQLite takes 32766 values in a statement, PostgreSQL takes twice as many.
    for some in ids.chunks(500) {
        let values = some.iter().copied().map(Value::Int).collect();
        transaction.execute(Sql::Built(forget_sql(some.len())), values).await?;
    }
    Ok(true)
}

pub(super) fn forget_sql(count: usize) -> String {
    let places: Vec<String> = (1..=count).map(|place| format!("${place}")).collect();
    format!("DELETE FROM bearer_outbox WHERE id IN ({})", places.join(", "))
}

const ADVANCE: &str = "
    UPDATE bearer_fleets SET
        count = CASE WHEN count < $3 THEN $3 ELSE count END,
        hash = CASE WHEN count < $3 THEN $4 ELSE hash END
    WHERE name = $1 AND generation = $2 AND server = $5";

pub(super) async fn acknowledged(
    database: &Database,
    fleet: &str,
) -> Result<Option<Acknowledged>, Failure> {
    let sql = "SELECT generation, count, hash, server FROM bearer_fleets WHERE name = $1";
    let rows = database.read(sql, &[Value::text(fleet)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let hash = row.bytes(2)?.try_into().map_err(|_| Failure::Unreadable)?;
    Ok(Some(Acknowledged::new(fleet, row.text(0)?, row.text(3)?, row.count(1)?, hash)))
}

pub(super) async fn begin_generation(
    transaction: &mut Transaction,
    new: &Acknowledged,
) -> Result<(), Failure> {
    transaction.execute(REPLACE, values_of(new)).await?;
    Ok(())
}

const REPLACE: &str = "
    INSERT INTO bearer_fleets (name, generation, count, hash, server) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (name) DO UPDATE SET
        generation = excluded.generation, count = excluded.count, hash = excluded.hash,
        server = excluded.server";

pub(super) async fn change_server(
    transaction: &mut Transaction,
    kept: &Acknowledged,
    server: &str,
) -> Result<bool, Failure> {
    let mut values = values_of(kept);
    values.push(Value::text(server));
    Ok(transaction.execute(CHANGE_SERVER, values).await? != 0)
}

const CHANGE_SERVER: &str = "
    UPDATE bearer_fleets SET server = $6
    WHERE name = $1 AND generation = $2 AND count = $3 AND hash = $4 AND server = $5";

fn values_of(acknowledged: &Acknowledged) -> Vec<Value> {
    let Acknowledged { fleet, generation, server, count, hash, .. } = acknowledged;
    vec![
        Value::text(fleet),
        Value::text(generation),
        Value::count(*count),
        Value::Bytes(hash.to_vec()),
        Value::text(server),
    ]
}
