//! What is removed: rows that concern nobody any more, and outbox entries that were passed on.

use super::{
    database::Transaction,
    failure::Failure,
    value::{Sql, Value},
};
use crate::issuing::store::KEEP_AFTER_EXPIRY;

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
        (SWEEP_DEVICES, now),
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
/// By the index, in its order. The date is asked for again, as with denials.
const SWEEP_DEVICES: &str = "
    DELETE FROM bearer_known_devices WHERE keep_until < $1 AND id IN
        (SELECT id FROM bearer_known_devices WHERE keep_until < $1 ORDER BY keep_until LIMIT $2)";

pub(super) async fn forget_entries(
    transaction: &mut Transaction,
    ids: &[i64],
) -> Result<(), Failure> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    // SQLite takes 32766 values in a statement, PostgreSQL twice as many.
    for some in ids.chunks(500) {
        let places: Vec<String> = (1..=some.len()).map(|place| format!("${place}")).collect();
        let sql = format!("DELETE FROM bearer_outbox WHERE id IN ({})", places.join(", "));
        let values = some.iter().copied().map(Value::Int).collect();
        transaction.execute(Sql::Built(sql), values).await?;
    }
    Ok(())
}
