//! Opens sessions and rotates refresh tokens.

use std::sync::Arc;

use super::{
    cut_offs::{blocking_cut_off, lock_of_owner, subject_of},
    session_list,
};
use crate::{
    database::{Database, Transaction},
    entries::{EntryLookup, LOOK_UP, lock_of, revoke},
    statement::{Failure, Row, Value},
};
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocationEntry, StoreError},
};
use tower_bearer_issuing::store::{
    Insertion, NewRefreshToken, NewSession, RefreshRotation, RefreshUse,
};

pub(super) async fn open(
    transaction: &mut Transaction,
    new: &NewSession,
) -> Result<Insertion<()>, Failure> {
    let first = &new.first;
    transaction.lock(vec![lock_of_owner(&first.owner)]).await?;
    if let Some(cut_off) = blocking_cut_off(transaction, &first.owner, first.issued_at).await? {
        return Ok(Insertion::CutOff(cut_off));
    }
    insert(transaction, first).await?;
    session_list::begin(transaction, new).await?;
    Ok(Insertion::Done(()))
}

/// Uses a refresh token once.
pub(super) async fn use_refresh(
    database: &Database,
    rotation: &RefreshRotation,
) -> Result<RefreshUse, StoreError> {
    let ended = find_ended(database, rotation).await;
    match ended.map_err(|failure| StoreError::from(failure).with_nothing_written())? {
        Some(answer) => Ok(answer),
        None => {
            let lock = lock_of_owner(&rotation.successor.owner);
            database
                .step_of_owner(lock, move |mut transaction| async move {
                    let answer = rotate(&mut transaction, rotation).await?;
                    Ok((transaction, answer))
                })
                .await
        }
    }
}

/// Answers for a token that is unknown, is bound to another key or has ended, without a transaction and without locks.
/// None of this can change, and a flood of ended tokens must not use the locks and connections that revocations need.
/// Returns `None` for all other tokens.
async fn find_ended(
    database: &Database,
    rotation: &RefreshRotation,
) -> Result<Option<RefreshUse>, Failure> {
    let RefreshRotation { used, successor, now, .. } = rotation;
    let values = [Value::id(&successor.owner.issuer), Value::id(used)];
    let rows = database.read(FIND, &values).await?;
    let row = rows.first().map(|row| read_token(row, successor, used)).transpose()?;
    let Some(row) = row.filter(|row| is_used_token(row, rotation)) else {
        return Ok(Some(RefreshUse::Unknown));
    };
    if row.token.key_thumbprint != successor.key_thumbprint {
        return Ok(Some(RefreshUse::OtherKey));
    }
    let lookup = lookup_of(&row.token);
    let is_ended = row.dies_at <= *now
        || lookup.revoked_from(&database.read(LOOK_UP, &lookup.values()).await?)?.is_some();
    Ok(is_ended.then_some(RefreshUse::Revoked))
}

/// Rotates a refresh token, under the locks of the owner and the session. So no cut-off and no end of the session can
/// be written between reading the used token and writing its successor. They would miss the successor.
async fn rotate(
    transaction: &mut Transaction,
    rotation: &RefreshRotation,
) -> Result<RefreshUse, Failure> {
    let RefreshRotation { used, successor, now, .. } = rotation;
    let owner = &successor.owner;
    let session = session_of(successor);
    transaction.lock(vec![lock_of_owner(owner), lock_of(&session)]).await?;

    let row = find(transaction, successor, used).await?;
    let Some(row) = row.filter(|row| is_used_token(row, rotation)) else {
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
        session_list::refreshed(transaction, successor).await?;
        return Ok(RefreshUse::Rotated);
    };
    if rotation.reuse_grace.as_secs() > 0
        && *now <= at + rotation.reuse_grace
        && let Some(FoundToken { token, used: None, .. }) =
            find(transaction, successor, &next).await?
    {
        return Ok(RefreshUse::Repeated(token));
    }
    revoke(transaction, &[RevocationEntry::new(session, rotation.session_expires_by)]).await?;
    Ok(RefreshUse::Reused)
}

/// Returns whether a refresh token is behind its owner's cut-off, or its session is revoked. Call it under the locks of
/// both.
async fn is_ended(transaction: &mut Transaction, token: &NewRefreshToken) -> Result<bool, Failure> {
    let lookup = lookup_of(token);
    let rows = transaction.fetch(LOOK_UP, lookup.values()).await?;
    Ok(lookup.revoked_from(&rows)?.is_some())
}

/// Looks up the cut-off of the owner and the end of the session.
fn lookup_of(token: &NewRefreshToken) -> EntryLookup {
    EntryLookup::new(&[subject_of(&token.owner), session_of(token)], token.issued_at)
}

fn session_of(token: &NewRefreshToken) -> Revocable {
    Revocable::session(Arc::clone(&token.owner.issuer), Arc::clone(&token.session_id))
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

/// Finds the token with this id, of the issuer of `template`.
async fn find(
    transaction: &mut Transaction,
    template: &NewRefreshToken,
    id: &str,
) -> Result<Option<FoundToken>, Failure> {
    let values = vec![Value::id(&template.owner.issuer), Value::id(id)];
    let rows = transaction.fetch(FIND, values).await?;
    rows.first().map(|row| read_token(row, template, id)).transpose()
}

fn read_token(row: &Row, template: &NewRefreshToken, id: &str) -> Result<FoundToken, Failure> {
    let mut token = template.clone();
    token.owner.subject = row.id(0)?;
    token.token_id = id.into();
    token.session_id = row.id(1)?;
    token.issued_at = row.time(2)?;
    token.expires_at = row.time(3)?;
    token.hash = row.hash(4)?;
    token.access_token_id = row.optional_id(8)?;
    token.key_thumbprint = row.optional_text(9)?.map(Into::into);
    let used = match row.optional_time(5)? {
        Some(at) => Some((at, row.id(6)?)),
        None => None,
    };
    Ok(FoundToken { token, used, dies_at: row.time(7)? })
}

/// Returns whether this is the token that is used: its hash, owner and session must be equal.
fn is_used_token(row: &FoundToken, rotation: &RefreshRotation) -> bool {
    let RefreshRotation { used_hash, successor, .. } = rotation;
    row.token.hash == *used_hash
        && row.token.owner == successor.owner
        && row.token.session_id == successor.session_id
}

const FIND: &str = "
    SELECT subject, session_id, issued_at, expires_at, hash, used_at, successor, dies_at, access_id, key_thumbprint
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
        Value::int(i64::MAX),
        Value::optional_id(token.access_token_id.as_deref()),
        Value::optional_text(token.key_thumbprint.as_deref()),
    ];
    transaction.execute(INSERT, values).await?;
    Ok(())
}

const INSERT: &str = "
    INSERT INTO bearer_refresh_tokens
        (issuer, token_id, subject, session_id, issued_at, expires_at, hash, dies_at, access_id, key_thumbprint)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

/// Returns the subject of the tokens of a session.
pub(super) async fn subject_of_session(
    database: &Database,
    issuer: &str,
    session_id: &str,
) -> Result<Option<Arc<str>>, Failure> {
    for sql in SUBJECT_OF_SESSION {
        let rows = database.read(sql, &[Value::id(issuer), Value::id(session_id)]).await?;
        if let Some(row) = rows.first() {
            return row.id(0).map(Some);
        }
    }
    Ok(None)
}

const SUBJECT_OF_SESSION: [&str; 2] = [
    "SELECT subject FROM bearer_refresh_tokens WHERE issuer = $1 AND session_id = $2 LIMIT 1",
    "SELECT subject FROM bearer_private_tokens WHERE issuer = $1 AND session_id = $2 LIMIT 1",
];
