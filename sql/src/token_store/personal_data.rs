//! Deletes what the database knows of an owner.

use super::audit::delete_events;
use crate::{
    database::Transaction,
    statement::{Failure, Row, Value},
};
use tower_bearer_issuing::store::{DEVICE_KEY, Owner, device_account};

/// How many rows one statement deletes. An owner can have so many rows that one statement for all would run into its
/// timeout.
const BATCH: u64 = 1000;

/// Deletes every row about an owner: sessions with their user agents, refresh tokens, private tokens, audit events and
/// known devices. Revocation entries stay. They are needed until the owner's tokens have expired. The audit event that
/// the account was deleted stays too.
///
/// Revoke the owner's tokens before, in the same transaction ([`revoke_owner`](super::cut_offs::revoke_owner)). The
/// length of the revocation depends on rows that are deleted here. The account itself, if it is in this database, is
/// not deleted here.
pub(crate) async fn delete_personal_data(
    transaction: &mut Transaction,
    owner: &Owner,
) -> Result<(), Failure> {
    let of_owner = [Value::id(&owner.issuer), Value::id(&owner.subject)];
    for sql in ROWS_OF_OWNER {
        delete_all(transaction, sql, &of_owner).await?;
    }
    delete_events(transaction, owner).await?;
    let keys = transaction.fetch(FIND_KEY, vec![Value::text(DEVICE_KEY)]).await?;
    // Without the key no device was ever stored.
    let Some(key) = keys.first().map(|row: &Row| row.hash(0)).transpose()? else { return Ok(()) };
    let account = Value::Bytes(device_account(&key, owner).into());
    delete_all(transaction, DEVICES_OF_ACCOUNT, &[account]).await
}

async fn delete_all(
    transaction: &mut Transaction,
    sql: &'static str,
    values: &[Value],
) -> Result<(), Failure> {
    while transaction.execute(sql, values.to_vec()).await? >= BATCH {}
    Ok(())
}

/// The limit of each is [`BATCH`].
const ROWS_OF_OWNER: [&str; 3] = [
    "DELETE FROM bearer_sessions WHERE id IN (
        SELECT id FROM bearer_sessions WHERE issuer = $1 AND subject = $2 LIMIT 1000)",
    "DELETE FROM bearer_refresh_tokens WHERE id IN (
        SELECT id FROM bearer_refresh_tokens WHERE issuer = $1 AND subject = $2 LIMIT 1000)",
    "DELETE FROM bearer_private_tokens WHERE id IN (
        SELECT id FROM bearer_private_tokens WHERE issuer = $1 AND subject = $2 LIMIT 1000)",
];
const DEVICES_OF_ACCOUNT: &str = "DELETE FROM bearer_known_devices WHERE id IN (
        SELECT id FROM bearer_known_devices WHERE account = $1 LIMIT 1000)";
const FIND_KEY: &str = "SELECT value FROM bearer_secrets WHERE name = $1";
