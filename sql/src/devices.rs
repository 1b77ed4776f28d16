//! Keeps the devices from which users have logged in, and keys that all processes share.

use super::{
    database::{Database, Transaction},
    failure::Failure,
    value::Value,
};
use tower_bearer::UnixTime;

/// Returns the key that is stored under `name`. If there was none, stores and returns `candidate`.
pub(super) async fn shared_key(
    transaction: &mut Transaction,
    name: &str,
    candidate: &[u8; 32],
) -> Result<[u8; 32], Failure> {
    let values = vec![Value::text(name), Value::Bytes(candidate.into())];
    transaction.execute(KEEP_KEY, values).await?;
    // A process that inserts at the same time has committed by now, so this statement sees its row.
    let rows = transaction.fetch(FIND_KEY, vec![Value::text(name)]).await?;
    rows.first().ok_or(Failure::Unreadable)?.hash(0)
}

const KEEP_KEY: &str =
    "INSERT INTO bearer_secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
const FIND_KEY: &str = "SELECT value FROM bearer_secrets WHERE name = $1";

pub(super) async fn note(
    transaction: &mut Transaction,
    device: &[u8; 32],
    keep_until: UnixTime,
) -> Result<(), Failure> {
    let values = vec![Value::Bytes(device.into()), Value::time(keep_until)];
    transaction.execute(NOTE, values).await?;
    Ok(())
}

const NOTE: &str = "
    INSERT INTO bearer_known_devices (id, keep_until) VALUES ($1, $2)
    ON CONFLICT (id) DO UPDATE SET keep_until = excluded.keep_until
    WHERE excluded.keep_until > bearer_known_devices.keep_until";

pub(super) async fn knows(
    database: &Database,
    device: &[u8; 32],
    now: UnixTime,
) -> Result<bool, Failure> {
    let values = [Value::Bytes(device.into()), Value::time(now)];
    Ok(!database.read(KNOWS, &values).await?.is_empty())
}

const KNOWS: &str =
    "SELECT keep_until FROM bearer_known_devices WHERE id = $1 AND keep_until >= $2";
