//! Deletes what the database knows of an owner.

use super::{
    audit::{delete_events, replace_events},
    cut_offs::{lock_of_owner, revoke_later_tokens},
};
use crate::{
    database::{Database, Transaction},
    statement::{Failure, Row, Value},
};
use tower_bearer::{
    UnixTime,
    revocation::{RevocationEntry, StoreError},
};
use tower_bearer_issuing::{
    audit::AuditEvent,
    store::{DEVICE_KEY, Owner, device_account},
};

/// How many rows one statement deletes. An owner can have so many rows that one statement for all would run into its
/// timeout.
pub(super) const BATCH: u64 = 500;

/// The deletion of every row about an owner: sessions with their user agents, refresh tokens, private tokens, audit
/// events and known devices. Revocation entries stay. They are needed until the owner's tokens have expired. The audit
/// event that the account was deleted stays too. If there is none yet, the last step stores `event`.
///
/// An owner can have very many rows, so the deletion has several steps, and other steps come in between. None of them
/// uses a connection for revocations.
pub(super) struct Deletion<'a> {
    pub(super) owner: &'a Owner,
    pub(super) now: UnixTime,
    pub(super) tokens_expire_by: UnixTime,
    /// Whether the last step also deletes the account of the subject.
    pub(super) account: bool,
    pub(super) event: Option<&'a AuditEvent>,
}

impl Deletion<'_> {
    /// Deletes the rows of an owner whose tokens were revoked by this entry. If a token is issued meanwhile, it is
    /// revoked before its row is deleted. Returns the entry, which is later then.
    ///
    /// An error never states that nothing was written, because the revocation was written.
    pub(super) async fn run(
        &self,
        database: &Database,
        mut revoked: RevocationEntry,
    ) -> Result<RevocationEntry, StoreError> {
        loop {
            let earlier = &revoked;
            let lock = lock_of_owner(self.owner);
            let deleted = database.step_of_owner(lock, move |mut transaction| async move {
                let answer = self.delete_some(&mut transaction, earlier.clone()).await?;
                Ok((transaction, answer))
            });
            let deleted = deleted.await.map_err(|error| StoreError::of_kind(error.kind(), error));
            let (entry, is_done) = deleted?;
            if is_done {
                return Ok(entry);
            }
            revoked = entry;
        }
    }

    /// Deletes a part of the rows. Returns whether no row is left.
    async fn delete_some(
        &self,
        transaction: &mut Transaction,
        revoked: RevocationEntry,
    ) -> Result<(RevocationEntry, bool), Failure> {
        let Self { owner, now, tokens_expire_by, account, event } = self;
        // The length of a revocation depends on rows that are deleted here.
        let revoked =
            revoke_later_tokens(transaction, owner, revoked, *now, *tokens_expire_by).await?;
        let of_owner = vec![Value::id(&owner.issuer), Value::id(&owner.subject)];
        for sql in ROWS_OF_OWNER {
            if transaction.execute(sql, of_owner.clone()).await? >= BATCH {
                return Ok((revoked, false));
            }
        }
        if delete_devices(transaction, owner).await? >= BATCH
            || !delete_events(transaction, owner).await?
        {
            return Ok((revoked, false));
        }
        if *account {
            transaction.execute(DELETE_ACCOUNT, vec![Value::text(&owner.subject)]).await?;
        }
        // Other processes cannot write events from here until the commit, so this comes last.
        replace_events(transaction, owner, *event).await?;
        Ok((revoked, true))
    }
}

async fn delete_devices(transaction: &mut Transaction, owner: &Owner) -> Result<u64, Failure> {
    let keys = transaction.fetch(FIND_KEY, vec![Value::text(DEVICE_KEY)]).await?;
    // Without the key no device was ever stored.
    let Some(key) = keys.first().map(|row: &Row| row.hash(0)).transpose()? else { return Ok(0) };
    let account = Value::Bytes(device_account(&key, owner).into());
    transaction.execute(DEVICES_OF_ACCOUNT, vec![account]).await
}

/// The limit of each is [`BATCH`].
const ROWS_OF_OWNER: [&str; 3] = [
    "DELETE FROM bearer_sessions WHERE id IN (
        SELECT id FROM bearer_sessions WHERE issuer = $1 AND subject = $2 LIMIT 500)",
    "DELETE FROM bearer_refresh_tokens WHERE id IN (
        SELECT id FROM bearer_refresh_tokens WHERE issuer = $1 AND subject = $2 LIMIT 500)",
    "DELETE FROM bearer_private_tokens WHERE id IN (
        SELECT id FROM bearer_private_tokens WHERE issuer = $1 AND subject = $2 LIMIT 500)",
];
const DEVICES_OF_ACCOUNT: &str = "DELETE FROM bearer_known_devices WHERE id IN (
        SELECT id FROM bearer_known_devices WHERE account = $1 LIMIT 500)";
const FIND_KEY: &str = "SELECT value FROM bearer_secrets WHERE name = $1";
const DELETE_ACCOUNT: &str = "DELETE FROM bearer_accounts WHERE subject = $1";
