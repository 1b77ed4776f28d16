//! Keeps the rows that owners see as their sessions, lists them, and revokes sessions.

use std::{slice, sync::Arc};

use super::{
    cut_offs::{id_of_cut_off, lock_of_owner},
    paging,
    private_tokens::{is_revoked, of_owner},
};
use crate::{
    database::{Database, Transaction},
    entries::{self, DELETE_SESSION, EntryLookup, IDS, LOOK_UP, id_of, lock_of, look_up},
    statement::{Failure, Row, Sql, Value},
};
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocationEntry, StoreError, Verdict},
};
use tower_bearer_issuing::store::{
    Called, Caller, NewRefreshToken, NewSession, Owner, Session, SessionPage, SessionQuery,
    SessionSortBy,
};

/// Writes the row of a session that begins.
pub(super) async fn begin(transaction: &mut Transaction, new: &NewSession) -> Result<(), Failure> {
    insert(transaction, new, new.first.issued_at).await
}

/// Writes into a session's row that it was refreshed. If a replica of an older version has opened the session, there is
/// no row. Then this writes one. Call it under the lock of the session.
pub(super) async fn refreshed(
    transaction: &mut Transaction,
    successor: &NewRefreshToken,
) -> Result<(), Failure> {
    let session = vec![Value::id(&successor.owner.issuer), Value::id(&successor.session_id)];
    let mut values = session.clone();
    values.push(Value::time(successor.issued_at));
    values.push(Value::time(successor.session_expires_at()));
    if transaction.execute(REFRESHED, values).await? > 0 {
        return Ok(());
    }
    let rows = transaction.fetch(EARLY_TOKEN, session).await?;
    let created_at = rows.first().map_or(Ok(successor.issued_at), |row| row.time(0))?;
    insert(transaction, &NewSession::new(successor.clone()), created_at).await
}

const REFRESHED: &str = "
    UPDATE bearer_sessions
    SET last_used_at = CASE WHEN $3 > last_used_at THEN $3 ELSE last_used_at END,
        expires_at = CASE WHEN $4 > expires_at THEN $4 ELSE expires_at END
    WHERE issuer = $1 AND session_id = $2";
/// Finds the first refresh token of a session, or another early one if the lifetime was changed.
const EARLY_TOKEN: &str = "
    SELECT issued_at FROM bearer_refresh_tokens WHERE issuer = $1 AND session_id = $2
    ORDER BY expires_at LIMIT 1";

async fn insert(
    transaction: &mut Transaction,
    new: &NewSession,
    created_at: UnixTime,
) -> Result<(), Failure> {
    let NewSession { first, user_agent, .. } = new;
    // PostgreSQL has no NUL in texts.
    let user_agent = user_agent.as_deref().unwrap_or_default().replace('\0', "");
    let values = vec![
        Value::id(&first.owner.issuer),
        Value::id(&first.session_id),
        Value::id(&first.owner.subject),
        Value::time(created_at),
        Value::time(first.issued_at),
        Value::time(first.session_expires_at()),
        Value::Text(user_agent),
    ];
    transaction.execute(INSERT, values).await?;
    Ok(())
}

/// Ids of sessions are random, so there is no conflict in practice. If there is one, the earlier row stays.
const INSERT: &str = "
    INSERT INTO bearer_sessions (issuer, session_id, subject, created_at, last_used_at, expires_at, user_agent)
    VALUES ($1, $2, $3, $4, $5, $6, NULLIF($7, ''))
    ON CONFLICT (issuer, session_id) DO NOTHING";

/// Revokes a session that [`list`] would list at `now`.
pub(super) async fn revoke(
    transaction: &mut Transaction,
    caller: &Caller,
    id: i64,
    now: UnixTime,
    tokens_expire_by: UnixTime,
) -> Result<Called<Option<RevocationEntry>>, Failure> {
    let owner = &caller.owner;
    // Both locks must be taken at once, so the name of the session is read before.
    let rows = transaction.fetch(NAME, of_owner(owner, [Value::int(id)])).await?;
    let name = rows.first().map(|row| row.id(0)).transpose()?;
    let session = name.map(|name| Revocable::session(Arc::clone(&owner.issuer), name));
    let locks = session.iter().map(lock_of).chain([lock_of_owner(owner)]);
    transaction.lock(locks.collect()).await?;
    if is_revoked(transaction, caller).await? {
        return Ok(Called::Revoked);
    }
    let values = of_owner(owner, [Value::time(now), id_of_cut_off(owner), Value::int(id)]);
    let is_listed = !transaction.fetch(IS_LISTED, values).await?.is_empty();
    let Some(session) = session.filter(|_| is_listed) else { return Ok(Called::Done(None)) };
    // A process of an earlier version has revoked the session, and left its row.
    let lookup = EntryLookup::new(slice::from_ref(&session), UnixTime::EPOCH);
    if !transaction.fetch(LOOK_UP, lookup.values()).await?.is_empty() {
        return Ok(Called::Done(None));
    }
    let entry = RevocationEntry::new(session, tokens_expire_by);
    // This also deletes the row.
    entries::revoke(transaction, slice::from_ref(&entry)).await?;
    Ok(Called::Done(Some(entry)))
}

const NAME: &str =
    "SELECT session_id FROM bearer_sessions WHERE issuer = $1 AND subject = $2 AND id = $3";
const IS_LISTED: &str = "
    SELECT id FROM bearer_sessions
    WHERE issuer = $1 AND subject = $2 AND expires_at > $3
      AND last_used_at > COALESCE((SELECT cut_off FROM bearer_denials AS d WHERE d.id = $4), -1)
      AND id = $5";

/// Lists sessions. The caller is looked up after the page was read: if the caller is not revoked then, it was not
/// revoked while the page was read.
///
/// A process of an earlier version revokes a session and leaves its row. Such a row is deleted when it is found, and
/// the page is read again.
pub(super) async fn list(
    database: &Database,
    caller: &Caller,
    query: &SessionQuery,
    now: UnixTime,
) -> Result<Called<Option<SessionPage>>, StoreError> {
    let page = loop {
        let (page, names) = page(database, caller, query, now).await?;
        let revoked = revoked_among(database, &caller.owner, names).await?;
        if revoked.is_empty() {
            break page;
        }
        delete_rows(database, &revoked).await?;
    };
    // The caller also counts as revoked if the entry starts later.
    Ok(match look_up(database, &caller.lookup(), UnixTime::MAX).await? {
        Verdict::Revoked | Verdict::RevokedFrom(_) => Called::Revoked,
        Verdict::NotRevoked => Called::Done(page),
    })
}

/// Reads a page, and the names of the sessions on it.
async fn page(
    database: &Database,
    caller: &Caller,
    query: &SessionQuery,
    now: UnixTime,
) -> Result<(Option<SessionPage>, Vec<Arc<str>>), Failure> {
    let mut values = of_owner(&caller.owner, [Value::time(now), id_of_cut_off(&caller.owner)]);
    values.extend(paging::bounds(query.page, query.page_size));
    let rows = database.read(Sql::Built(page_sql(query)), &values).await?;
    let count = rows.first().ok_or(Failure::UnreadableRow)?.count(0)?;
    let Some((number, _)) = query.locate(count) else { return Ok((None, Vec::new())) };
    let (mut sessions, mut names) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        // An empty page has one row, with only the count.
        if let Some(id) = row.optional_int(1)? {
            let name = row.id(2)?;
            sessions.push(read_session(row, id, *name == *caller.session_id)?);
            names.push(name);
        }
    }
    Ok((Some(SessionPage::new(count, number, sessions)), names))
}

/// Returns which of these sessions of the owner are revoked.
async fn revoked_among(
    database: &Database,
    owner: &Owner,
    names: Vec<Arc<str>>,
) -> Result<Vec<Revocable>, Failure> {
    let session = |name| Revocable::session(Arc::clone(&owner.issuer), name);
    let sessions: Vec<Revocable> = names.into_iter().map(session).collect();
    let mut revoked = Vec::new();
    for some in sessions.chunks(IDS) {
        let lookup = EntryLookup::new(some, UnixTime::EPOCH);
        let rows = database.read(LOOK_UP, &lookup.values()).await?;
        let found: Result<Vec<[u8; 32]>, Failure> = rows.iter().map(|row| row.hash(0)).collect();
        let found = found?;
        revoked.extend(some.iter().filter(|one| found.contains(&id_of(one))).cloned());
    }
    Ok(revoked)
}

async fn delete_rows(database: &Database, revoked: &[Revocable]) -> Result<(), StoreError> {
    let deletion = database.step(move |mut transaction| async move {
        for session in revoked {
            let values = vec![Value::id(session.issuer()), Value::id(session.id())];
            transaction.execute(DELETE_SESSION, values).await?;
        }
        Ok((transaction, ()))
    });
    deletion.await
}

pub(crate) fn page_sql(query: &SessionQuery) -> String {
    let column = |by: &SessionSortBy| match by {
        SessionSortBy::CreatedAt => "created_at",
        SessionSortBy::LastUsedAt => "last_used_at",
        SessionSortBy::ExpiresAt => "expires_at",
        _ => "id",
    };
    let ordering = query.ordering.iter().map(|(by, descending)| (column(by), *descending));
    let columns = "listed.id, listed.session_id, listed.created_at, listed.last_used_at, listed.expires_at, \
                   COALESCE(listed.user_agent, '') AS user_agent";
    paging::page_sql("bearer_sessions", LISTED, columns, ordering, query.page)
}

/// A session has ended if its latest refresh token is behind the owner's cut-off. The row of a revoked session is
/// deleted.
const LISTED: &str = "
    issuer = $1 AND subject = $2 AND expires_at > $3
      AND last_used_at > COALESCE((SELECT cut_off FROM bearer_denials AS d WHERE d.id = $4), -1)";

fn read_session(row: &Row, id: i64, is_current: bool) -> Result<Session, Failure> {
    let mut session = Session::new(id, row.time(3)?, row.time(4)?, row.time(5)?);
    session.is_current = is_current;
    let user_agent = Some(row.text(6)?).filter(|name| !name.is_empty());
    session.user_agent = user_agent.map(Into::into);
    Ok(session)
}
