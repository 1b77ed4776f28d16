//! What is removed: rows that concern nobody any more, and outbox entries that were passed on.

use super::{
    database::{Database, Transaction},
    failure::Failure,
    value::{Sql, Value},
};
use crate::issuing::store::{Acknowledged, KEEP_AFTER_EXPIRY};

pub(super) async fn sweep(
    transaction: &mut Transaction,
    now: u64,
    limit: usize,
) -> Result<usize, Failure> {
    let expired = now.saturating_sub(KEEP_AFTER_EXPIRY);
    let steps = [
        (SWEEP_REFRESH, expired),
        (SWEEP_PRIVATE, expired),
        (SWEEP_DENIALS, now),
        (SWEEP_OUTBOX, now),
    ];
    let mut swept = 0;
    for (sql, before) in steps {
        let values = vec![Value::time(before), Value::limit(limit.saturating_sub(swept))];
        let rows = transaction.execute(sql, values).await?;
        swept += usize::try_from(rows).unwrap_or(usize::MAX);
    }
    Ok(swept)
}

const SWEEP_REFRESH: &str = "
    DELETE FROM bearer_refresh_tokens WHERE id IN
        (SELECT id FROM bearer_refresh_tokens WHERE expires_at < $1 ORDER BY id LIMIT $2)";
const SWEEP_PRIVATE: &str = "
    DELETE FROM bearer_private_tokens WHERE id IN
        (SELECT id FROM bearer_private_tokens WHERE expires_at < $1 ORDER BY id LIMIT $2)";
/// The date is asked for again: a denial that was prolonged since it was found stays.
const SWEEP_DENIALS: &str = "
    DELETE FROM bearer_denials WHERE keep_until < $1 AND id IN
        (SELECT id FROM bearer_denials WHERE keep_until < $1 ORDER BY id LIMIT $2)";
const SWEEP_OUTBOX: &str = "
    DELETE FROM bearer_outbox WHERE id IN
        (SELECT id FROM bearer_outbox WHERE keep_until < $1 ORDER BY id LIMIT $2)";

/// Removes entries that a fleet has acknowledged, unless it is of another generation by now.
pub(super) async fn forget_entries(
    transaction: &mut Transaction,
    ids: &[i64],
    acknowledged: &Acknowledged,
) -> Result<bool, Failure> {
    // First: the row is locked until the commit, so that no seeding begins in between.
    if transaction.execute(ADVANCE, values_of(acknowledged)).await? == 0 {
        return Ok(false);
    }
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    // SQLite takes 32766 values in a statement, PostgreSQL twice as many.
    for some in ids.chunks(500) {
        let places: Vec<String> = (1..=some.len()).map(|place| format!("${place}")).collect();
        let sql = format!("DELETE FROM bearer_outbox WHERE id IN ({})", places.join(", "));
        let values = some.iter().copied().map(Value::Int).collect();
        transaction.execute(Sql::Built(sql), values).await?;
    }
    Ok(true)
}

const ADVANCE: &str = "
    UPDATE bearer_fleets SET
        count = CASE WHEN count < $3 THEN $3 ELSE count END,
        hash = CASE WHEN count < $3 THEN $4 ELSE hash END
    WHERE name = $1 AND generation = $2";

pub(super) async fn acknowledged(
    database: &Database,
    fleet: &str,
) -> Result<Option<Acknowledged>, Failure> {
    let sql = "SELECT generation, count, hash FROM bearer_fleets WHERE name = $1";
    let rows = database.read(sql, &[Value::text(fleet)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let hash = row.bytes(2)?.try_into().map_err(|_| Failure::Unreadable)?;
    Ok(Some(Acknowledged::new(fleet, row.text(0)?, row.time(1)?, hash)))
}

pub(super) async fn begin_generation(
    transaction: &mut Transaction,
    new: &Acknowledged,
) -> Result<(), Failure> {
    transaction.execute(REPLACE, values_of(new)).await?;
    Ok(())
}

const REPLACE: &str = "
    INSERT INTO bearer_fleets (name, generation, count, hash) VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO UPDATE SET
        generation = excluded.generation, count = excluded.count, hash = excluded.hash";

fn values_of(acknowledged: &Acknowledged) -> Vec<Value> {
    let Acknowledged { fleet, generation, count, hash } = acknowledged;
    vec![
        Value::text(fleet),
        Value::text(generation),
        Value::time(*count),
        Value::Bytes(hash.to_vec()),
    ]
}
