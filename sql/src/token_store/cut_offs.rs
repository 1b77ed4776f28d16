//! Cut-offs: revokes all tokens of an owner, and compares tokens with the cut-off of their owner.

use std::{slice, sync::Arc};

use crate::{
    database::Transaction,
    entries::{LATEST_OF_OWNER, id_of, latest, lock_of, record},
    statement::{Failure, Value},
};
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocationEntry},
};
use tower_bearer_issuing::store::Owner;

/// Revokes all tokens that an owner was issued so far, and returns the revocation entry.
pub(super) async fn revoke_owner(
    transaction: &mut Transaction,
    owner: &Owner,
    now: UnixTime,
    tokens_expire_by: UnixTime,
) -> Result<RevocationEntry, Failure> {
    transaction.lock(vec![lock_of_owner(owner)]).await?;
    let earlier = cut_off(transaction, owner).await?;
    let values = vec![Value::id(&owner.issuer), Value::id(&owner.subject)];
    let rows = transaction.fetch(LATEST_OF_OWNER, values).await?;
    let cut_off = earlier.max(latest(&rows, &[0, 1])?).map_or(now, |latest| now.max(latest));
    let mut entry = RevocationEntry::new(subject_of(owner), tokens_expire_by).with_cut_off(cut_off);
    if let Some(latest_expiry) = latest(&rows, &[2, 3])? {
        entry.cover_tokens_until(latest_expiry);
    }
    record(transaction, slice::from_ref(&entry)).await?;
    Ok(entry)
}

/// Revokes the owner again if the owner has a row that `revoked` does not cover. Until the end of the transaction,
/// nothing is issued to the owner.
pub(super) async fn revoke_later_tokens(
    transaction: &mut Transaction,
    owner: &Owner,
    revoked: RevocationEntry,
    now: UnixTime,
    tokens_expire_by: UnixTime,
) -> Result<RevocationEntry, Failure> {
    transaction.lock(vec![lock_of_owner(owner)]).await?;
    let values = vec![Value::id(&owner.issuer), Value::id(&owner.subject)];
    let rows = transaction.fetch(LATEST_OF_OWNER, values).await?;
    if latest(&rows, &[0, 1])? <= Some(revoked.cut_off()) {
        return Ok(revoked);
    }
    revoke_owner(transaction, owner, now, tokens_expire_by).await
}

/// Returns the owner's cut-off, if a row issued at `issued_at` would be behind it. Call it under the owner's lock.
pub(super) async fn blocking_cut_off(
    transaction: &mut Transaction,
    owner: &Owner,
    issued_at: UnixTime,
) -> Result<Option<UnixTime>, Failure> {
    let cut_off = cut_off(transaction, owner).await?;
    Ok(cut_off.filter(|cut_off| as_stored(issued_at) <= *cut_off))
}

/// Returns the time as the database stores it: the largest number of 63 bits, and every later time, means "never".
fn as_stored(time: UnixTime) -> UnixTime {
    if time.as_secs() < i64::MAX.unsigned_abs() { time } else { UnixTime::MAX }
}

async fn cut_off(
    transaction: &mut Transaction,
    owner: &Owner,
) -> Result<Option<UnixTime>, Failure> {
    let rows = transaction.fetch(CUT_OFF, vec![id_of_cut_off(owner)]).await?;
    rows.first().map(|row| row.time(0)).transpose()
}

const CUT_OFF: &str = "SELECT cut_off FROM bearer_denials WHERE id = $1";

/// Returns the id of an owner's cut-off in `bearer_denials`.
pub(super) fn id_of_cut_off(owner: &Owner) -> Value {
    Value::Bytes(id_of(&subject_of(owner)).into())
}

/// Returns the number of the lock under which the tokens of an owner are issued and cut off.
pub(super) fn lock_of_owner(owner: &Owner) -> i64 {
    lock_of(&subject_of(owner))
}

pub(super) fn subject_of(owner: &Owner) -> Revocable {
    Revocable::subject(Arc::clone(&owner.issuer), Arc::clone(&owner.subject))
}
