//! Creates, lists, rotates and revokes private tokens.

use std::{slice, sync::Arc};

use super::{
    cut_offs::{blocking_cut_off, id_of_cut_off, lock_of_owner},
    paging,
};
use crate::{
    database::{Database, Transaction},
    entries::{EntryLookup, LOOK_UP, look_up, record},
    statement::{Failure, Row, Sql, Value},
};
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocationEntry, Verdict},
};
use tower_bearer_issuing::store::{
    Called, Caller, Insertion, ListQuery, NewPrivateToken, Owner, PrivateRotation, PrivateToken,
    PrivateTokenPage, RotatedPrivateToken, SortBy, TokenUse, fold,
};

pub(crate) async fn create(
    transaction: &mut Transaction,
    caller: &Caller,
    token: &NewPrivateToken,
) -> Result<Called<Insertion<PrivateToken>>, Failure> {
    transaction.lock(vec![lock_of_owner(&token.owner)]).await?;
    if is_revoked(transaction, caller).await? {
        return Ok(Called::Revoked);
    }
    if let Some(cut_off) = blocking_cut_off(transaction, &token.owner, token.issued_at).await? {
        return Ok(Called::Done(Insertion::CutOff(cut_off)));
    }
    if has_at_least(transaction, &token.owner, token.quota, token.issued_at).await? {
        return Ok(Called::Done(Insertion::QuotaReached));
    }
    let token = insert(transaction, token, Arc::clone(&token.name)).await?;
    Ok(Called::Done(Insertion::Done(token)))
}

pub(super) async fn rotate(
    transaction: &mut Transaction,
    caller: &Caller,
    rotation: &RotatedPrivateToken,
) -> Result<Called<PrivateRotation>, Failure> {
    let RotatedPrivateToken { id, successor, now, .. } = rotation;
    let owner = &successor.owner;
    transaction.lock(vec![lock_of_owner(owner)]).await?;
    if is_revoked(transaction, caller).await? {
        return Ok(Called::Revoked);
    }
    let values = of_owner(owner, [Value::int(*id), Value::time(*now), id_of_cut_off(owner)]);
    if transaction.fetch(IS_LISTED, values).await?.is_empty() {
        return Ok(Called::Done(PrivateRotation::NotFound));
    }
    if let Some(cut_off) = blocking_cut_off(transaction, owner, successor.issued_at).await? {
        return Ok(Called::Done(PrivateRotation::CutOff(cut_off)));
    }
    if let Some(limit) = rotation.most_before()
        && has_at_least(transaction, owner, limit, *now).await?
    {
        return Ok(Called::Done(PrivateRotation::QuotaReached));
    }
    let Some((old, name)) = end(transaction, owner, *id, rotation.old_from(), *now).await? else {
        return Ok(Called::Done(PrivateRotation::NotFound));
    };
    record(transaction, slice::from_ref(&old)).await?;
    let new = insert(transaction, successor, name).await?;
    Ok(Called::Done(PrivateRotation::Rotated { new, old }))
}

pub(super) async fn revoke(
    transaction: &mut Transaction,
    caller: &Caller,
    id: i64,
    now: UnixTime,
) -> Result<Called<Option<RevocationEntry>>, Failure> {
    let owner = &caller.owner;
    transaction.lock(vec![lock_of_owner(owner)]).await?;
    if is_revoked(transaction, caller).await? {
        return Ok(Called::Revoked);
    }
    let Some((denial, _)) = end(transaction, owner, id, UnixTime::EPOCH, now).await? else {
        return Ok(Called::Done(None));
    };
    record(transaction, slice::from_ref(&denial)).await?;
    Ok(Called::Done(Some(denial)))
}

/// Revokes a token of any owner of the caller's issuer. Also returns the subject.
pub(super) async fn revoke_of_any(
    transaction: &mut Transaction,
    caller: &Caller,
    id: i64,
    now: UnixTime,
) -> Result<Called<Option<(Arc<str>, RevocationEntry)>>, Failure> {
    let issuer = &caller.owner.issuer;
    // The number and the owner of a row never change, so they can be read before the lock is taken.
    let rows = transaction.fetch(OWNER, vec![Value::id(issuer), Value::int(id)]).await?;
    let owner = match rows.first() {
        Some(row) => Some(Owner::new(Arc::clone(issuer), row.id(0)?)),
        None => None,
    };
    let owners = owner.iter().chain([&caller.owner]);
    transaction.lock(owners.map(lock_of_owner).collect()).await?;
    if is_revoked(transaction, caller).await? {
        return Ok(Called::Revoked);
    }
    let Some(owner) = owner else { return Ok(Called::Done(None)) };
    let Some((denial, _)) = end(transaction, &owner, id, UnixTime::EPOCH, now).await? else {
        return Ok(Called::Done(None));
    };
    record(transaction, slice::from_ref(&denial)).await?;
    Ok(Called::Done(Some((owner.subject, denial))))
}

const OWNER: &str = "SELECT subject FROM bearer_private_tokens WHERE issuer = $1 AND id = $2";

/// Returns whether the caller's access token is revoked, also if the entry starts later. Call it under the owner's
/// lock, so that no cut-off is written between this check and the following statements.
pub(super) async fn is_revoked(
    transaction: &mut Transaction,
    caller: &Caller,
) -> Result<bool, Failure> {
    let lookup = caller.lookup();
    let lookup = EntryLookup::new(lookup.things(), lookup.issued_at());
    let rows = transaction.fetch(LOOK_UP, lookup.values()).await?;
    Ok(lookup.revoked_from(&rows)?.is_some())
}

/// Ends a listed token at `from`, or at its expiry or its current end, if that is earlier. Returns its revocation entry
/// and its name.
///
/// One statement finds and ends the token. If two calls come at the same time, the second waits for the first, and then
/// sees the end that the first has set.
async fn end(
    transaction: &mut Transaction,
    owner: &Owner,
    id: i64,
    from: UnixTime,
    now: UnixTime,
) -> Result<Option<(RevocationEntry, Arc<str>)>, Failure> {
    let dates = [Value::int(id), Value::time(now), id_of_cut_off(owner), Value::time(from)];
    let rows = transaction.fetch(END, of_owner(owner, dates)).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let token = Revocable::token(Arc::clone(&owner.issuer), row.id(0)?);
    let entry = RevocationEntry::new(token, row.time(2)?).with_start(row.time(3)?);
    Ok(Some((entry, row.text(1)?.into())))
}

const END: &str = "
    UPDATE bearer_private_tokens SET dies_at = CASE
        WHEN $6 <= expires_at AND $6 <= dies_at THEN $6
        WHEN expires_at <= dies_at THEN expires_at
        ELSE dies_at END
    WHERE issuer = $1 AND subject = $2 AND id = $3 AND dies_at > $4
      AND issued_at > COALESCE((SELECT cut_off FROM bearer_denials AS d WHERE d.id = $5), -1)
    RETURNING token_id, name, expires_at, dies_at";
const IS_LISTED: &str = "
    SELECT id FROM bearer_private_tokens
    WHERE issuer = $1 AND subject = $2 AND id = $3 AND dies_at > $4
      AND issued_at > COALESCE((SELECT cut_off FROM bearer_denials AS d WHERE d.id = $5), -1)";

/// Returns whether an owner has at least this many tokens that are valid at `now`. Call it under the owner's lock.
async fn has_at_least(
    transaction: &mut Transaction,
    owner: &Owner,
    limit: u64,
    now: UnixTime,
) -> Result<bool, Failure> {
    let values = of_owner(owner, [Value::time(now), id_of_cut_off(owner), Value::count(limit)]);
    let rows = transaction.fetch(COUNT_VALID, values).await?;
    Ok(rows.first().ok_or(Failure::UnreadableRow)?.count(0)? >= limit)
}

/// Stops counting at the given number. It uses the index on `issued_at` (the `+` excludes the index on `expires_at`),
/// so tokens before the cut-off cost nothing.
pub(crate) const COUNT_VALID: &str = "
    SELECT count(*) FROM (
        SELECT id FROM bearer_private_tokens
        WHERE issuer = $1 AND subject = $2 AND dies_at > $3 AND +expires_at > $3
          AND issued_at > COALESCE((SELECT cut_off FROM bearer_denials AS d WHERE d.id = $4), -1)
        LIMIT $5) AS valid";

pub(super) fn of_owner<const N: usize>(owner: &Owner, more: [Value; N]) -> Vec<Value> {
    let mut values = vec![Value::id(&owner.issuer), Value::id(&owner.subject)];
    values.extend(more);
    values
}

async fn insert(
    transaction: &mut Transaction,
    token: &NewPrivateToken,
    name: Arc<str>,
) -> Result<PrivateToken, Failure> {
    let values = vec![
        Value::id(&token.owner.issuer),
        Value::id(&token.token_id),
        Value::id(&token.owner.subject),
        Value::id(&token.session_id),
        Value::text(&name),
        Value::Text(fold(&name)),
        Value::time(token.issued_at),
        Value::time(token.expires_at),
        Value::Bytes(token.hash.into()),
        Value::int(i64::MAX),
        Value::Text(token.scopes.to_string()),
        Value::optional_text(token.key_thumbprint.as_deref()),
    ];
    let rows = transaction.fetch(INSERT, values).await?;
    let id = rows.first().ok_or(Failure::UnreadableRow)?.int(0)?;
    let view = PrivateToken::new(id, name, token.issued_at, token.expires_at);
    Ok(view.with_scopes(token.scopes.clone()).with_key_thumbprint(token.key_thumbprint.clone()))
}

const INSERT: &str = "
    INSERT INTO bearer_private_tokens
        (issuer, token_id, subject, session_id, name, name_folded, issued_at, expires_at, hash, dies_at, scopes,
         key_thumbprint)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    RETURNING id";

/// Lists tokens. The caller is looked up after the page was read: if the caller is not revoked then, it was not revoked
/// while the page was read.
pub(super) async fn list(
    database: &Database,
    caller: &Caller,
    query: &ListQuery,
    now: UnixTime,
) -> Result<Called<Option<PrivateTokenPage>>, Failure> {
    list_of(database, caller, &caller.owner, query, now).await
}

/// Lists the tokens of an owner for a caller, who may be another subject.
pub(super) async fn list_of(
    database: &Database,
    caller: &Caller,
    owner: &Owner,
    query: &ListQuery,
    now: UnixTime,
) -> Result<Called<Option<PrivateTokenPage>>, Failure> {
    let page = page(database, owner, query, now).await?;
    called(database, caller, page).await
}

/// Finds a listed token. The caller is looked up afterwards, as in [`list`].
pub(super) async fn find(
    database: &Database,
    caller: &Caller,
    id: i64,
    now: UnixTime,
) -> Result<Called<Option<PrivateToken>>, Failure> {
    let owner = &caller.owner;
    let values = of_owner(owner, [Value::int(id), Value::time(now), id_of_cut_off(owner)]);
    let rows = database.read(FIND, &values).await?;
    let token = rows.first().map(read_token).transpose()?.flatten();
    called(database, caller, token).await
}

/// `read_token` expects a number in the first column.
const FIND: &str = "
    SELECT 0 + id, id, name, issued_at, expires_at, last_used_at, scopes, key_thumbprint FROM bearer_private_tokens
    WHERE issuer = $1 AND subject = $2 AND id = $3 AND dies_at > $4
      AND issued_at > COALESCE((SELECT cut_off FROM bearer_denials AS d WHERE d.id = $5), -1)";

/// Returns what was read for a caller, unless the caller is revoked. An entry that starts later counts too.
async fn called<T>(database: &Database, caller: &Caller, read: T) -> Result<Called<T>, Failure> {
    Ok(match look_up(database, &caller.lookup(), UnixTime::MAX).await? {
        Verdict::Revoked | Verdict::RevokedFrom(_) => Called::Revoked,
        Verdict::NotRevoked => Called::Done(read),
    })
}

/// Reads the count and the page in one statement, so that both are from the same moment.
async fn page(
    database: &Database,
    owner: &Owner,
    query: &ListQuery,
    now: UnixTime,
) -> Result<Option<PrivateTokenPage>, Failure> {
    let search = query.search.as_deref().map(fold);
    let mut values = of_owner(owner, [Value::time(now), id_of_cut_off(owner)]);
    values.extend(paging::bounds(query.page, query.page_size));
    let search = match search {
        None => "",
        // PostgreSQL has no NUL in texts, so no name contains this text.
        Some(search) if database.is_postgres() && search.contains('\0') => " AND 1 = 0",
        Some(search) => {
            values.push(Value::Text(search));
            database.sql_for(" AND instr(name_folded, $7) > 0", " AND strpos(name_folded, $7) > 0")
        }
    };
    let rows = database.read(Sql::Built(page_sql(query, search)), &values).await?;
    let count = rows.first().ok_or(Failure::UnreadableRow)?.count(0)?;
    let Some((number, _)) = query.locate(count) else { return Ok(None) };
    let tokens: Result<Vec<_>, _> =
        rows.iter().filter_map(|row| read_token(row).transpose()).collect();
    Ok(Some(PrivateTokenPage::new(count, number, tokens?)))
}

/// `search` is a condition, or empty.
pub(crate) fn page_sql(query: &ListQuery, search: &str) -> String {
    let conditions = format!(
        "issuer = $1 AND subject = $2 AND dies_at > $3
           AND issued_at > COALESCE((SELECT cut_off FROM bearer_denials AS d WHERE d.id = $4), -1){search}"
    );
    let columns = "listed.id, listed.name, listed.issued_at, listed.expires_at, listed.last_used_at, listed.scopes, \
                   listed.key_thumbprint";
    let column = |by: &SortBy| match by {
        SortBy::Id => "id",
        SortBy::Name => "name",
        SortBy::ExpiresAt => "expires_at",
        SortBy::CreatedAt => "issued_at",
        SortBy::LastUsedAt => "last_used_at",
    };
    let ordering = query.ordering.iter().map(|(by, descending)| (column(by), *descending));
    paging::page_sql("bearer_private_tokens", &conditions, columns, ordering, query.page)
}

/// Returns `None` for the row of an empty page, which has only the count.
fn read_token(row: &Row) -> Result<Option<PrivateToken>, Failure> {
    let Some(id) = row.optional_int(1)? else { return Ok(None) };
    let mut token = PrivateToken::new(id, row.text(2)?, row.time(3)?, row.time(4)?);
    token.last_used_at = row.optional_time(5)?;
    token.scopes = row.scopes(6)?;
    token.key_thumbprint = row.optional_text(7)?.map(Into::into);
    Ok(Some(token))
}

/// Updates tokens in sorted order, so that two calls with the same tokens do not deadlock.
pub(super) async fn touch(transaction: &mut Transaction, uses: &[TokenUse]) -> Result<(), Failure> {
    let mut uses: Vec<&TokenUse> = uses.iter().collect();
    uses.sort_by(|one, other| (&one.issuer, &one.token_id).cmp(&(&other.issuer, &other.token_id)));
    for one in uses {
        let values = vec![Value::id(&one.issuer), Value::id(&one.token_id), Value::time(one.at)];
        transaction.execute(TOUCH, values).await?;
    }
    Ok(())
}

const TOUCH: &str = "
    UPDATE bearer_private_tokens SET last_used_at = $3
    WHERE issuer = $1 AND token_id = $2 AND (last_used_at IS NULL OR last_used_at < $3)";
