//! Opens sessions and rotates refresh tokens.

use std::sync::Arc;

use super::{
    database::{Database, Transaction},
    denials::{deny, in_the_way, is_ended, lock_of_owner, lock_of_session, was_ended},
    failure::Failure,
    value::{Row, Value},
};
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocationEntry},
};
use tower_bearer_issuing::store::{Insertion, NewRefreshToken, RefreshRotation, RefreshUse};

pub(super) async fn open(
    transaction: &mut Transaction,
    first: &NewRefreshToken,
) -> Result<Insertion<()>, Failure> {
    transaction.lock(vec![lock_of_owner(&first.owner)]).await?;
    if let Some(cut_off) = in_the_way(transaction, &first.owner, first.issued_at).await? {
        return Ok(Insertion::CutOff(cut_off));
    }
    insert(transaction, first).await?;
    Ok(Insertion::Done(()))
}

/// Answers for a token that is unknown or has ended, without a transaction and without locks. Neither state can change,
/// and a flood of ended tokens must not use the locks and connections that revocations need. Returns `None` for all
/// other tokens.
pub(super) async fn find_dead(
    database: &Database,
    rotation: &RefreshRotation,
) -> Result<Option<RefreshUse>, Failure> {
    let RefreshRotation { used, successor, now, .. } = rotation;
    let values = [Value::id(&successor.owner.issuer), Value::id(used)];
    let rows = database.read(FIND, &values).await?;
    let row = rows.first().map(|row| found(row, successor, used)).transpose()?;
    let Some(row) = row.filter(|row| is_meant(row, rotation)) else {
        return Ok(Some(RefreshUse::Unknown));
    };
    let is_dead = row.dies_at <= *now || was_ended(database, &row.token).await?;
    Ok(is_dead.then_some(RefreshUse::Revoked))
}

/// Rotates a refresh token, under the locks of the owner and the session. So no cut-off and no end of the session can
/// be written between reading the used token and writing its successor. They would miss the successor.
pub(super) async fn use_once(
    transaction: &mut Transaction,
    rotation: &RefreshRotation,
) -> Result<RefreshUse, Failure> {
    let RefreshRotation { used, successor, now, .. } = rotation;
    let (owner, session_id) = (&successor.owner, &successor.session_id);
    let locks = vec![lock_of_owner(owner), lock_of_session(&owner.issuer, session_id)];
    transaction.lock(locks).await?;

    let row = find(transaction, successor, used).await?;
    let Some(row) = row.filter(|row| is_meant(row, rotation)) else {
        return Ok(RefreshUse::Unknown);
    };
    if row.dies_at <= *now || is_ended(transaction, &row.token).await? {
        return Ok(RefreshUse::Revoked);
    }
    let Some((at, next)) = row.used else {
        let values = vec![
            Value::id(&owner.issuer),
            Value::id(used),
            Value::time(*now),
            Value::id(&successor.token_id),
        ];
        transaction.execute(MARK_USED, values).await?;
        insert(transaction, successor).await?;
        return Ok(RefreshUse::Rotated);
    };
    if rotation.reuse_grace.as_secs() > 0
        && *now <= at + rotation.reuse_grace
        && let Some(FoundToken { token, used: None, .. }) =
            find(transaction, successor, &next).await?
    {
        return Ok(RefreshUse::Repeated(token));
    }
    let (issuer, id) = (Arc::clone(&owner.issuer), Arc::clone(session_id));
    let session = RevocationEntry::new(Revocable::session(issuer, id), rotation.session_expires_by);
    deny(transaction, &[session]).await?;
    Ok(RefreshUse::Reused)
}

const MARK_USED: &str = "
    UPDATE bearer_refresh_tokens SET used_at = $3, successor = $4
    WHERE issuer = $1 AND token_id = $2";

struct FoundToken {
    token: NewRefreshToken,
    /// When the token was used, and the `jti` of its successor.
    used: Option<(UnixTime, Arc<str>)>,
    dies_at: UnixTime,
}

/// Finds the token with this id, of the issuer of `like`.
async fn find(
    transaction: &mut Transaction,
    like: &NewRefreshToken,
    id: &str,
) -> Result<Option<FoundToken>, Failure> {
    let values = vec![Value::id(&like.owner.issuer), Value::id(id)];
    let rows = transaction.fetch(FIND, values).await?;
    rows.first().map(|row| found(row, like, id)).transpose()
}

fn found(row: &Row, like: &NewRefreshToken, id: &str) -> Result<FoundToken, Failure> {
    let mut token = like.clone();
    token.owner.subject = row.id(0)?;
    token.token_id = id.into();
    token.session_id = row.id(1)?;
    token.issued_at = row.time(2)?;
    token.expires_at = row.time(3)?;
    token.hash = row.hash(4)?;
    let used = match (row.optional_time(5)?, row.optional_bytes(6)?) {
        (Some(at), Some(_)) => Some((at, row.id(6)?)),
        _ => None,
    };
    Ok(FoundToken { token, used, dies_at: row.time(7)? })
}

/// Returns whether this is the token that is used: its hash, owner and session must be equal.
fn is_meant(row: &FoundToken, rotation: &RefreshRotation) -> bool {
    let RefreshRotation { used_hash, successor, .. } = rotation;
    row.token.hash == *used_hash
        && row.token.owner == successor.owner
        && row.token.session_id == successor.session_id
}

const FIND: &str = "
    SELECT subject, session_id, issued_at, expires_at, hash, used_at, successor, dies_at
    FROM bearer_refresh_tokens WHERE issuer = $1 AND token_id = $2";

async fn insert(transaction: &mut Transaction, token: &NewRefreshToken) -> Result<(), Failure> {
    let values = vec![
        Value::id(&token.owner.issuer),
        Value::id(&token.token_id),
        Value::id(&token.owner.subject),
        Value::id(&token.session_id),
        Value::time(token.issued_at),
        Value::time(token.expires_at),
        Value::Bytes(token.hash.into()),
        Value::Int(i64::MAX),
    ];
    transaction.execute(INSERT, values).await?;
    Ok(())
}

const INSERT: &str = "
    INSERT INTO bearer_refresh_tokens
        (issuer, token_id, subject, session_id, issued_at, expires_at, hash, dies_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
