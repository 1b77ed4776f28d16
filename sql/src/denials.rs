//! Revocation entries: writes them and their outbox entries, looks them up, and ends the rows that they concern.

use std::sync::Arc;

use super::{
    database::{Database, Transaction},
    failure::Failure,
    value::{Row, Value, as_kept},
};
use sha2::{Digest, Sha256};
use tower_bearer::{
    UnixTime,
    revocation::{Lookup, Revocable, RevocableKind, RevocationEntry, Verdict, outbox::OutboxEntry},
};
use tower_bearer_issuing::store::{Caller, NewRefreshToken, Owner};

const TOKEN: i64 = 0;
const SUBJECT: i64 = 1;
const SESSION: i64 = 2;
const KEY: i64 = 3;

/// The name of a [`Revocable`] in the tables.
struct Name<'a> {
    kind: i64,
    issuer: &'a str,
    name: &'a str,
}

impl<'a> Name<'a> {
    fn of(thing: &'a Revocable) -> Self {
        let kind = match thing.kind() {
            RevocableKind::Token => TOKEN,
            RevocableKind::Subject => SUBJECT,
            RevocableKind::Session => SESSION,
            RevocableKind::Key => KEY,
        };
        Self { kind, issuer: thing.issuer(), name: thing.id() }
    }

    /// Returns a short name of fixed length, however long the id is: an index of PostgreSQL takes no key above 2.7 KB.
    fn hash(&self) -> [u8; 32] {
        let Self { kind, issuer, name, .. } = self;
        let mut input = Vec::with_capacity(16 + issuer.len() + name.len());
        input.extend_from_slice(&kind.to_be_bytes());
        input.extend_from_slice(&(issuer.len() as u64).to_be_bytes());
        input.extend_from_slice(issuer.as_bytes());
        input.extend_from_slice(name.as_bytes());
        Sha256::digest(&input).into()
    }
}

/// The lock under which the tokens of an owner are issued and cut off.
pub(super) fn lock_of_owner(owner: &Owner) -> i64 {
    lock_of(&subject(owner))
}

/// The lock under which the refresh tokens of a session are rotated and ended.
pub(super) fn lock_of_session(issuer: &Arc<str>, id: &Arc<str>) -> i64 {
    lock_of(&Revocable::session(Arc::clone(issuer), Arc::clone(id)))
}

/// Two things that have the same lock by chance wait for each other. That is the only effect.
fn lock_of(what: &Revocable) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = Name::of(what).hash();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn subject(owner: &Owner) -> Revocable {
    Revocable::subject(Arc::clone(&owner.issuer), Arc::clone(&owner.subject))
}

/// How many names one statement looks up. A token can be revoked by five things.
const NAMES: usize = 5;

/// Looks up names with one round trip for each five names.
pub(super) async fn look_up(
    database: &Database,
    lookup: &Lookup,
    now: UnixTime,
) -> Result<Verdict, Failure> {
    let mut start = None;
    for some in lookup.things().chunks(NAMES) {
        let asked = Asked::of(some, lookup.issued_at());
        let rows = database.look_up(LOOK_UP, &asked.values()).await?;
        start = start.into_iter().chain(asked.denied_from(&rows)?).min();
    }
    Ok(Verdict::starting_at(start, now))
}

/// Returns whether the caller's access token is revoked, also if the entry starts later. Call it under the owner's
/// lock, so that no cut-off is written between this check and the following statements.
pub(super) async fn is_revoked(
    transaction: &mut Transaction,
    caller: &Caller,
) -> Result<bool, Failure> {
    let lookup = caller.lookup();
    let asked = Asked::of(lookup.things(), lookup.issued_at());
    Ok(asked.denied_from(&transaction.fetch(LOOK_UP, asked.values()).await?)?.is_some())
}

/// Up to [`NAMES`] names to look up, for a token with this time of issue.
struct Asked {
    names: Vec<[u8; 32]>,
    issued_at: UnixTime,
}

impl Asked {
    fn of(things: &[Revocable], issued_at: UnixTime) -> Self {
        Self { names: things.iter().map(|thing| Name::of(thing).hash()).collect(), issued_at }
    }

    /// One statement serves any number of names: the last name fills the unused places.
    fn values(&self) -> Vec<Value> {
        let mut values: Vec<Value> = self.names.iter().map(|id| Value::Bytes(id.into())).collect();
        while let (Some(last), true) = (values.last().cloned(), values.len() < NAMES) {
            values.push(last);
        }
        values
    }

    /// Returns the time from which the token is revoked.
    fn denied_from(&self, rows: &[Row]) -> Result<Option<UnixTime>, Failure> {
        let mut earliest = None;
        for row in rows {
            let (id, starts_at, cut_off) = (row.hash(0)?, row.time(1)?, row.time(2)?);
            if self.names.contains(&id) && self.issued_at <= cut_off {
                earliest = earliest.into_iter().chain([starts_at]).min();
            }
        }
        Ok(earliest)
    }
}

pub(super) const LOOK_UP: &str =
    "SELECT id, starts_at, cut_off FROM bearer_denials WHERE id IN ($1, $2, $3, $4, $5)";

/// Returns the owner's cut-off, if a row issued at `issued_at` would be behind it. Call it under the owner's lock.
pub(super) async fn in_the_way(
    transaction: &mut Transaction,
    owner: &Owner,
    issued_at: UnixTime,
) -> Result<Option<UnixTime>, Failure> {
    let cut_off = cut_off(transaction, owner).await?;
    Ok(cut_off.filter(|cut_off| as_kept(issued_at) <= *cut_off))
}

pub(super) async fn cut_off(
    transaction: &mut Transaction,
    owner: &Owner,
) -> Result<Option<UnixTime>, Failure> {
    let rows = transaction.fetch(CUT_OFF, vec![id_of_cut_off(owner)]).await?;
    rows.first().map(|row| row.time(0)).transpose()
}

const CUT_OFF: &str = "SELECT cut_off FROM bearer_denials WHERE id = $1";

/// Returns the id of an owner's cut-off in `bearer_denials`.
pub(super) fn id_of_cut_off(owner: &Owner) -> Value {
    Value::Bytes(Name::of(&subject(owner)).hash().into())
}

/// Returns whether a refresh token is behind its owner's cut-off, or its session is revoked. Call it under the locks of
/// both.
pub(super) async fn is_ended(
    transaction: &mut Transaction,
    token: &NewRefreshToken,
) -> Result<bool, Failure> {
    let asked = Asked::of(&ends_of(token), token.issued_at);
    Ok(asked.denied_from(&transaction.fetch(LOOK_UP, asked.values()).await?)?.is_some())
}

/// The same as [`is_ended`], without a transaction and without locks. `true` cannot become false later.
pub(super) async fn was_ended(
    database: &Database,
    token: &NewRefreshToken,
) -> Result<bool, Failure> {
    let asked = Asked::of(&ends_of(token), token.issued_at);
    Ok(asked.denied_from(&database.read(LOOK_UP, &asked.values()).await?)?.is_some())
}

fn ends_of(token: &NewRefreshToken) -> [Revocable; 2] {
    let (issuer, id) = (Arc::clone(&token.owner.issuer), Arc::clone(&token.session_id));
    [subject(&token.owner), Revocable::session(issuer, id)]
}

/// Writes several revocation entries in one step.
pub(super) async fn deny(
    transaction: &mut Transaction,
    entries: &[RevocationEntry],
) -> Result<(), Failure> {
    let locks = entries.iter().filter_map(|entry| match entry.thing().kind() {
        RevocableKind::Subject | RevocableKind::Session => Some(lock_of(entry.thing())),
        RevocableKind::Token | RevocableKind::Key => None,
    });
    transaction.lock(locks.collect()).await?;
    for entry in entries {
        let mut entry = entry.clone();
        if let Some(latest_expiry) = end_rows(transaction, &entry).await? {
            entry.cover_tokens_until(latest_expiry);
        }
        record(transaction, &entry).await?;
    }
    Ok(())
}

/// Ends the rows of a token, and the private token of a session. Returns the latest expiry of the tokens that the entry
/// ends: the entry must be kept at least as long. This includes private tokens although their rows are ended, because
/// verifiers look up revocation entries only.
///
/// A subject and a session can have any number of rows, and the work of a revocation must not depend on that number. So
/// these rows are not written: every reader compares them with the cut-off of their subject and the revocation of their
/// session.
async fn end_rows(
    transaction: &mut Transaction,
    entry: &RevocationEntry,
) -> Result<Option<UnixTime>, Failure> {
    let Name { kind, issuer, name } = Name::of(entry.thing());
    let mut values = vec![Value::id(issuer), Value::id(name)];
    match kind {
        TOKEN => {
            let expiry = transaction.fetch(EXPIRY_OF_PRIVATE, values.clone()).await?;
            values.push(Value::time(entry.starts_at()));
            for sql in END_TOKEN {
                transaction.execute(sql, values.clone()).await?;
            }
            latest(&expiry, &[0])
        }
        SESSION => {
            transaction.execute(END_SESSION, values.clone()).await?;
            latest(&transaction.fetch(LATEST_OF_SESSION, values).await?, &[0, 1])
        }
        SUBJECT => latest(&transaction.fetch(LATEST_OF_OWNER, values).await?, &[2, 3]),
        _ => Ok(None),
    }
}

/// Returns the latest time in these columns of the only row.
fn latest(rows: &[Row], columns: &[usize]) -> Result<Option<UnixTime>, Failure> {
    let row = rows.first().ok_or(Failure::Unreadable)?;
    let mut latest = None;
    for column in columns {
        latest = latest.max(row.optional_time(*column)?);
    }
    Ok(latest)
}

const END_TOKEN: [&str; 2] = [
    "UPDATE bearer_refresh_tokens SET dies_at = $3 WHERE issuer = $1 AND token_id = $2 AND dies_at > $3",
    "UPDATE bearer_private_tokens SET dies_at = $3 WHERE issuer = $1 AND token_id = $2 AND dies_at > $3",
];
/// A private token does not share its session with other tokens.
const END_SESSION: &str = "UPDATE bearer_private_tokens SET dies_at = 0 WHERE issuer = $1 AND session_id = $2 AND dies_at > 0";
const EXPIRY_OF_PRIVATE: &str =
    "SELECT max(expires_at) FROM bearer_private_tokens WHERE issuer = $1 AND token_id = $2";
const LATEST_OF_SESSION: &str = "
    SELECT (SELECT max(expires_at) FROM bearer_refresh_tokens WHERE issuer = $1 AND session_id = $2),
           (SELECT max(expires_at) FROM bearer_private_tokens WHERE issuer = $1 AND session_id = $2)";
/// Each maximum is the last entry of an index.
const LATEST_OF_OWNER: &str = "
    SELECT (SELECT max(issued_at) FROM bearer_refresh_tokens WHERE issuer = $1 AND subject = $2),
           (SELECT max(issued_at) FROM bearer_private_tokens WHERE issuer = $1 AND subject = $2),
           (SELECT max(expires_at) FROM bearer_refresh_tokens WHERE issuer = $1 AND subject = $2),
           (SELECT max(expires_at) FROM bearer_private_tokens WHERE issuer = $1 AND subject = $2)";

/// Writes a revocation entry, and its entry in the outbox. An entry is never weakened: the earlier start, the later end
/// and the later cut-off apply.
pub(super) async fn record(
    transaction: &mut Transaction,
    entry: &RevocationEntry,
) -> Result<(), Failure> {
    let name = Name::of(entry.thing());
    let row = || {
        vec![
            Value::Int(name.kind),
            Value::id(name.issuer),
            Value::id(name.name),
            Value::time(entry.starts_at()),
            Value::time(entry.cut_off()),
            Value::time(entry.obsolete_after()),
        ]
    };
    let mut values = row();
    values.push(Value::Bytes(name.hash().into()));
    transaction.execute(RECORD, values).await?;
    let rows = transaction.fetch(TELL, row()).await?;
    let id = rows.first().ok_or(Failure::Unreadable)?.int(0)?;
    transaction.add_entry(OutboxEntry::new(id, entry.clone()));
    Ok(())
}

const RECORD: &str = "
    INSERT INTO bearer_denials (kind, issuer, name, starts_at, cut_off, keep_until, id)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (id) DO UPDATE SET
        starts_at = CASE WHEN excluded.starts_at < bearer_denials.starts_at
                         THEN excluded.starts_at ELSE bearer_denials.starts_at END,
        cut_off = CASE WHEN excluded.cut_off > bearer_denials.cut_off
                       THEN excluded.cut_off ELSE bearer_denials.cut_off END,
        keep_until = CASE WHEN excluded.keep_until > bearer_denials.keep_until
                          THEN excluded.keep_until ELSE bearer_denials.keep_until END";
const TELL: &str = "
    INSERT INTO bearer_outbox (kind, issuer, name, starts_at, cut_off, keep_until)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";

/// Revokes all tokens that an owner was issued so far, and returns the cut-off.
pub(super) async fn revoke_owner(
    transaction: &mut Transaction,
    owner: &Owner,
    now: UnixTime,
    tokens_expire_by: UnixTime,
) -> Result<UnixTime, Failure> {
    transaction.lock(vec![lock_of_owner(owner)]).await?;
    let earlier = cut_off(transaction, owner).await?;
    let values = vec![Value::id(&owner.issuer), Value::id(&owner.subject)];
    let rows = transaction.fetch(LATEST_OF_OWNER, values).await?;
    let cut_off = earlier.max(latest(&rows, &[0, 1])?).map_or(now, |latest| now.max(latest));
    let mut entry = RevocationEntry::new(subject(owner), tokens_expire_by).with_cut_off(cut_off);
    if let Some(latest_expiry) = latest(&rows, &[2, 3])? {
        entry.cover_tokens_until(latest_expiry);
    }
    record(transaction, &entry).await?;
    Ok(cut_off)
}

pub(super) async fn outbox(database: &Database, limit: usize) -> Result<Vec<OutboxEntry>, Failure> {
    let rows = database.read(OUTBOX, &[Value::limit(limit)]).await?;
    rows.iter().map(entry).collect()
}

/// Ids begin with 1. The condition makes every query planner read by the key, so it reads no more rows than the limit.
pub(super) const OUTBOX: &str = "
    SELECT id, kind, issuer, name, starts_at, cut_off, keep_until FROM bearer_outbox
    WHERE id > 0 ORDER BY id LIMIT $1";

/// Lists entries in the order of the hash of the name.
pub(super) async fn list(
    database: &Database,
    after: Option<&Revocable>,
    limit: usize,
    now: UnixTime,
) -> Result<Vec<RevocationEntry>, Failure> {
    // `entry` expects an id in the first column.
    let sql =
        "SELECT 0 + kind, kind, issuer, name, starts_at, cut_off, keep_until FROM bearer_denials
               WHERE id > $1 AND keep_until >= $2 ORDER BY id LIMIT $3";
    let after = after.map_or_else(Vec::new, |what| Name::of(what).hash().to_vec());
    let values = [Value::Bytes(after), Value::time(now), Value::limit(limit)];
    let rows = database.read(sql, &values).await?;
    rows.iter().map(|row| Ok(entry(row)?.revocation)).collect()
}

fn entry(row: &Row) -> Result<OutboxEntry, Failure> {
    let kind = match row.int(1)? {
        TOKEN => RevocableKind::Token,
        SUBJECT => RevocableKind::Subject,
        SESSION => RevocableKind::Session,
        KEY => RevocableKind::Key,
        _ => return Err(Failure::Unreadable),
    };
    let revocation =
        RevocationEntry::restored(Revocable::new(kind, row.id(2)?, row.id(3)?), row.time(6)?)
            .with_cut_off(row.time(5)?)
            .with_start(row.time(4)?);
    Ok(OutboxEntry::new(row.int(0)?, revocation))
}
