//! The outbox: reads its entries, removes those that a fleet has acknowledged, and keeps what each fleet has
//! acknowledged.

use super::{
    database::{Database, Transaction},
    entries::read_entry,
    statement::{Failure, Sql, Value},
};
use tower_bearer::revocation::outbox::{Acknowledged, OutboxEntry};

/// Returns the oldest entries of the outbox.
pub(crate) async fn oldest(database: &Database, limit: usize) -> Result<Vec<OutboxEntry>, Failure> {
    let rows = database.read(OLDEST, &[Value::limit(limit)]).await?;
    rows.iter().map(read_entry).collect()
}

/// Ids begin with 1. The condition makes every query planner read by the key, so it reads no more rows than the limit.
pub(crate) const OLDEST: &str = "
    SELECT id, kind, issuer, name, starts_at, cut_off, keep_until FROM bearer_outbox
    WHERE id > 0 ORDER BY id LIMIT $1";

/// Removes entries that a fleet has acknowledged, unless the store keeps another generation or server for it by now.
pub(crate) async fn remove(
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
        let values = some.iter().copied().map(Value::int).collect();
        transaction.execute(Sql::Built(remove_sql(some.len())), values).await?;
    }
    Ok(true)
}

pub(crate) fn remove_sql(count: usize) -> String {
    let places: Vec<String> = (1..=count).map(|place| format!("${place}")).collect();
    format!("DELETE FROM bearer_outbox WHERE id IN ({})", places.join(", "))
}

const ADVANCE: &str = "
    UPDATE bearer_fleets SET
        count = CASE WHEN count < $3 THEN $3 ELSE count END,
        hash = CASE WHEN count < $3 THEN $4 ELSE hash END
    WHERE name = $1 AND generation = $2 AND server = $5";

pub(crate) async fn acknowledged(
    database: &Database,
    fleet: &str,
) -> Result<Option<Acknowledged>, Failure> {
    let sql = "SELECT generation, count, hash, server FROM bearer_fleets WHERE name = $1";
    let rows = database.read(sql, &[Value::text(fleet)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let hash = row.bytes(2)?.try_into().map_err(|_| Failure::UnreadableRow)?;
    Ok(Some(Acknowledged::new(fleet, row.text(0)?, row.text(3)?, row.count(1)?, hash)))
}

pub(crate) async fn begin_generation(
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

pub(crate) async fn change_server(
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
