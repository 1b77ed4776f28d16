//! What is denied, who is told of it, and which rows it ends.

use std::sync::Arc;

use super::{
    database::{Database, Transaction},
    failure::Failure,
    value::{Row, Value, time_to_int},
};
use sha2::{Digest, Sha256};
use tower_bearer::revocation::{
    Revocable, Verdict,
    outbox::{Denial, OutboxEntry},
};
use tower_bearer_issuing::store::{Caller, KEEP_AFTER_EXPIRY, NewRefreshToken, Owner};

const TOKEN: i64 = 0;
const SUBJECT: i64 = 1;
const SESSION: i64 = 2;
const KEY: i64 = 3;

/// What a [`Revocable`] is called in the tables.
struct Name<'a> {
    kind: i64,
    issuer: &'a str,
    name: &'a str,
    /// Of a subject; for all else the time of issue is no matter.
    cut_off: u64,
}

impl<'a> Name<'a> {
    fn of(what: &'a Revocable) -> Self {
        let (kind, issuer, name, cut_off) = match what {
            Revocable::Token { issuer, id } => (TOKEN, issuer, id, u64::MAX),
            Revocable::Subject { issuer, subject, issued_at } => {
                (SUBJECT, issuer, subject, *issued_at)
            }
            Revocable::Session { issuer, id } => (SESSION, issuer, id, u64::MAX),
            Revocable::Key { issuer, id } => (KEY, issuer, id, u64::MAX),
        };
        Self { kind, issuer, name, cut_off }
    }

    /// Short and of one length, whatever a token calls itself: an index of PostgreSQL takes no key beyond 2.7 KB.
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

/// The lock under which an owner's tokens are issued and cut off.
pub(super) fn lock_of_owner(owner: &Owner) -> i64 {
    lock_of(&subject(owner, 0))
}

/// The lock under which a session's refresh tokens follow each other and end.
pub(super) fn lock_of_session(issuer: &Arc<str>, id: &Arc<str>) -> i64 {
    lock_of(&Revocable::Session { issuer: Arc::clone(issuer), id: Arc::clone(id) })
}

/// Two things that share a lock by chance wait for each other, and nothing else.
fn lock_of(what: &Revocable) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = Name::of(what).hash();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

pub(super) fn subject(owner: &Owner, issued_at: u64) -> Revocable {
    let (issuer, subject) = (Arc::clone(&owner.issuer), Arc::clone(&owner.subject));
    Revocable::Subject { issuer, subject, issued_at }
}

/// How many names one statement looks up: a token can be revoked by five things.
const NAMES: usize = 5;

/// One round trip for each five names.
pub(super) async fn look_up(
    database: &Database,
    token: &[Revocable],
    now: u64,
) -> Result<Verdict, Failure> {
    let mut start = None;
    for some in token.chunks(NAMES) {
        let asked = Asked::of(some);
        let rows = database.look_up(LOOK_UP, &asked.values()).await?;
        start = start.into_iter().chain(asked.denied_from(&rows)?).min();
    }
    Ok(match start {
        None => Verdict::NotRevoked,
        Some(start) if start <= now => Verdict::Revoked,
        Some(start) => Verdict::RevokedFrom(start),
    })
}

/// Whether the caller's access token is denied, from whatever time on. Under the owner's lock, so that no cut-off comes
/// between this look and what follows.
pub(super) async fn is_revoked(
    transaction: &mut Transaction,
    caller: &Caller,
) -> Result<bool, Failure> {
    let asked = Asked::of(&caller.revocables());
    Ok(asked.denied_from(&transaction.fetch(LOOK_UP, asked.values()).await?)?.is_some())
}

/// Up to [`NAMES`] names to look up, each with the time of issue.
struct Asked(Vec<([u8; 32], u64)>);

impl Asked {
    fn of(some: &[Revocable]) -> Self {
        let asked = some.iter().map(|what| match what {
            Revocable::Subject { issued_at, .. } => (Name::of(what).hash(), *issued_at),
            _ => (Name::of(what).hash(), 0),
        });
        Self(asked.collect())
    }

    /// One statement for any number: what is missing is asked for twice.
    fn values(&self) -> Vec<Value> {
        let mut values: Vec<Value> = self.0.iter().map(|(id, _)| Value::Bytes(id.into())).collect();
        while let (Some(last), true) = (values.last().cloned(), values.len() < NAMES) {
            values.push(last);
        }
        values
    }

    /// The second from which any of them is denied.
    fn denied_from(&self, rows: &[Row]) -> Result<Option<u64>, Failure> {
        let mut earliest = None;
        for row in rows {
            let (id, starts_at, cut_off) = (row.hash(0)?, row.time(1)?, row.time(2)?);
            let mut concerned = self.0.iter().filter(|(asked, _)| *asked == id);
            if concerned.any(|(_, issued_at)| *issued_at <= cut_off) {
                earliest = earliest.into_iter().chain([starts_at]).min();
            }
        }
        Ok(earliest)
    }
}

pub(super) const LOOK_UP: &str =
    "SELECT id, starts_at, cut_off FROM bearer_denials WHERE id IN ($1, $2, $3, $4, $5)";

/// The owner's cut-off, if a row issued at `issued_at` would be behind it. Under the owner's lock.
pub(super) async fn in_the_way(
    transaction: &mut Transaction,
    owner: &Owner,
    issued_at: u64,
) -> Result<Option<u64>, Failure> {
    let cut_off = cut_off(transaction, owner).await?;
    Ok(cut_off.filter(|cut_off| time_to_int(issued_at) <= time_to_int(*cut_off)))
}

pub(super) async fn cut_off(
    transaction: &mut Transaction,
    owner: &Owner,
) -> Result<Option<u64>, Failure> {
    let rows = transaction.fetch(CUT_OFF, vec![id_of_cut_off(owner)]).await?;
    rows.first().map(|row| row.time(0)).transpose()
}

const CUT_OFF: &str = "SELECT cut_off FROM bearer_denials WHERE id = $1";

/// By what an owner's cut-off is found in `bearer_denials`.
pub(super) fn id_of_cut_off(owner: &Owner) -> Value {
    Value::Bytes(Name::of(&subject(owner, 0)).hash().into())
}

/// Whether a refresh token is behind its owner's cut-off, or its session is denied. Under the locks of both.
pub(super) async fn is_ended(
    transaction: &mut Transaction,
    token: &NewRefreshToken,
) -> Result<bool, Failure> {
    let asked = Asked::of(&ends_of(token));
    Ok(asked.denied_from(&transaction.fetch(LOOK_UP, asked.values()).await?)?.is_some())
}

/// As [`is_ended`], without a transaction and without locks: `true` stays true.
pub(super) async fn was_ended(
    database: &Database,
    token: &NewRefreshToken,
) -> Result<bool, Failure> {
    let asked = Asked::of(&ends_of(token));
    Ok(asked.denied_from(&database.read(LOOK_UP, &asked.values()).await?)?.is_some())
}

fn ends_of(token: &NewRefreshToken) -> [Revocable; 2] {
    let (issuer, id) = (Arc::clone(&token.owner.issuer), Arc::clone(&token.session_id));
    [subject(&token.owner, token.issued_at), Revocable::Session { issuer, id }]
}

/// Several denials in one step.
pub(super) async fn deny(transaction: &mut Transaction, denials: &[Denial]) -> Result<(), Failure> {
    let locks = denials.iter().filter_map(|denial| match denial.what {
        Revocable::Subject { .. } | Revocable::Session { .. } => Some(lock_of(&denial.what)),
        Revocable::Token { .. } | Revocable::Key { .. } => None,
    });
    transaction.lock(locks.collect()).await?;
    for denial in denials {
        let latest_expiry = end_rows(transaction, denial).await?;
        let mut denial = denial.clone();
        denial.keep_until = denial.keep_until.max(keep_until_after(latest_expiry));
        record(transaction, &denial).await?;
    }
    Ok(())
}

/// Ends the rows of a token, and the private token of a session. Returns the latest expiry of the tokens that end by
/// the denial itself: it must be kept as long as they are. A private token is among them although its row is ended,
/// because verifiers ask for denials only.
///
/// A subject and a session can have any number of rows, and a revocation must not depend on their number. So these rows
/// are not written: every reader compares them with the cut-off of their subject and the denial of their session.
async fn end_rows(transaction: &mut Transaction, denial: &Denial) -> Result<u64, Failure> {
    let Name { kind, issuer, name, .. } = Name::of(&denial.what);
    let mut values = vec![Value::id(issuer), Value::id(name)];
    match kind {
        TOKEN => {
            let expiry = transaction.fetch(EXPIRY_OF_PRIVATE, values.clone()).await?;
            values.push(Value::time(denial.from));
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
        _ => Ok(0),
    }
}

/// The latest time in these columns of the one row.
fn latest(rows: &[Row], columns: &[usize]) -> Result<u64, Failure> {
    let row = rows.first().ok_or(Failure::Unreadable)?;
    let mut latest = 0;
    for column in columns {
        latest = latest.max(row.optional_time(*column)?.unwrap_or(0));
    }
    Ok(latest)
}

/// 0 where there are no rows.
fn keep_until_after(latest_expiry: u64) -> u64 {
    if latest_expiry == 0 { 0 } else { latest_expiry.saturating_add(KEEP_AFTER_EXPIRY) }
}

const END_TOKEN: [&str; 2] = [
    "UPDATE bearer_refresh_tokens SET dies_at = $3 WHERE issuer = $1 AND token_id = $2 AND dies_at > $3",
    "UPDATE bearer_private_tokens SET dies_at = $3 WHERE issuer = $1 AND token_id = $2 AND dies_at > $3",
];
/// A private token shares its session with no other token.
const END_SESSION: &str = "UPDATE bearer_private_tokens SET dies_at = 0 WHERE issuer = $1 AND session_id = $2 AND dies_at > 0";
const EXPIRY_OF_PRIVATE: &str =
    "SELECT max(expires_at) FROM bearer_private_tokens WHERE issuer = $1 AND token_id = $2";
const LATEST_OF_SESSION: &str = "
    SELECT (SELECT max(expires_at) FROM bearer_refresh_tokens WHERE issuer = $1 AND session_id = $2),
           (SELECT max(expires_at) FROM bearer_private_tokens WHERE issuer = $1 AND session_id = $2)";
/// Each maximum is the end of an index.
const LATEST_OF_OWNER: &str = "
    SELECT (SELECT max(issued_at) FROM bearer_refresh_tokens WHERE issuer = $1 AND subject = $2),
           (SELECT max(issued_at) FROM bearer_private_tokens WHERE issuer = $1 AND subject = $2),
           (SELECT max(expires_at) FROM bearer_refresh_tokens WHERE issuer = $1 AND subject = $2),
           (SELECT max(expires_at) FROM bearer_private_tokens WHERE issuer = $1 AND subject = $2)";

/// Writes a denial and its entry in the outbox. Nothing is ever weakened: the earlier beginning, the later end and the
/// later cut-off hold.
pub(super) async fn record(transaction: &mut Transaction, denial: &Denial) -> Result<(), Failure> {
    let name = Name::of(&denial.what);
    let from = denial.starts_at();
    let row = |from| {
        vec![
            Value::Int(name.kind),
            Value::id(name.issuer),
            Value::id(name.name),
            Value::time(from),
            Value::time(name.cut_off),
            Value::time(denial.keep_until),
        ]
    };
    let mut values = row(from);
    values.push(Value::Bytes(name.hash().into()));
    transaction.execute(RECORD, values).await?;
    let rows = transaction.fetch(TELL, row(from)).await?;
    let id = rows.first().ok_or(Failure::Unreadable)?.int(0)?;
    transaction.add_entry(OutboxEntry::new(id, denial.clone().with_from(from)));
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

/// Denies all that an owner was issued so far; returns the cut-off.
pub(super) async fn revoke_owner(
    transaction: &mut Transaction,
    owner: &Owner,
    now: u64,
    keep_until: u64,
) -> Result<u64, Failure> {
    transaction.lock(vec![lock_of_owner(owner)]).await?;
    let earlier = cut_off(transaction, owner).await?.unwrap_or(0);
    let values = vec![Value::id(&owner.issuer), Value::id(&owner.subject)];
    let rows = transaction.fetch(LATEST_OF_OWNER, values).await?;
    let cut_off = now.max(earlier).max(latest(&rows, &[0, 1])?);
    let keep_until = keep_until.max(keep_until_after(latest(&rows, &[2, 3])?));
    record(transaction, &Denial::new(subject(owner, cut_off), keep_until)).await?;
    Ok(cut_off)
}

pub(super) async fn outbox(database: &Database, limit: usize) -> Result<Vec<OutboxEntry>, Failure> {
    let rows = database.read(OUTBOX, &[Value::limit(limit)]).await?;
    rows.iter().map(entry).collect()
}

/// Ids begin with 1. The condition makes every planner read by the key, and so no more than the limit.
pub(super) const OUTBOX: &str = "
    SELECT id, kind, issuer, name, starts_at, cut_off, keep_until FROM bearer_outbox
    WHERE id > 0 ORDER BY id LIMIT $1";

/// By the hash of the name.
pub(super) async fn list(
    database: &Database,
    after: Option<&Revocable>,
    limit: usize,
    now: u64,
) -> Result<Vec<Denial>, Failure> {
    // The first column is there for `entry`, which reads it.
    let sql =
        "SELECT 0 + kind, kind, issuer, name, starts_at, cut_off, keep_until FROM bearer_denials
               WHERE id > $1 AND keep_until >= $2 ORDER BY id LIMIT $3";
    let after = after.map_or_else(Vec::new, |what| Name::of(what).hash().to_vec());
    let values = [Value::Bytes(after), Value::time(now), Value::limit(limit)];
    let rows = database.read(sql, &values).await?;
    rows.iter().map(|row| Ok(entry(row)?.denial)).collect()
}

fn entry(row: &Row) -> Result<OutboxEntry, Failure> {
    let (issuer, id) = (row.id(2)?, row.id(3)?);
    let what = match row.int(1)? {
        TOKEN => Revocable::Token { issuer, id },
        SUBJECT => Revocable::Subject { issuer, subject: id, issued_at: row.time(5)? },
        SESSION => Revocable::Session { issuer, id },
        KEY => Revocable::Key { issuer, id },
        _ => return Err(Failure::Unreadable),
    };
    let denial = Denial::new(what, row.time(6)?).with_from(row.time(4)?);
    Ok(OutboxEntry::new(row.int(0)?, denial))
}
