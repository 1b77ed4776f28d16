//! Revocation entries: looks them up, writes them and their outbox entries, and ends the rows that they concern.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use super::{
    database::{Database, Transaction},
    statement::{Failure, Row, Sql, Value},
};
use tower_bearer::{
    UnixTime,
    revocation::{Lookup, Revocable, RevocableKind, RevocationEntry, Verdict, outbox::OutboxEntry},
};

/// How many ids one statement looks up. A token can be revoked by five things.
pub(crate) const IDS: usize = 5;

/// Looks up an entry for each of the things, with one round trip for five things.
pub(crate) async fn look_up(
    database: &Database,
    lookup: &Lookup,
    now: UnixTime,
) -> Result<Verdict, Failure> {
    let mut start = None;
    for things in lookup.things().chunks(IDS) {
        let lookup = EntryLookup::new(things, lookup.issued_at());
        let rows = database.look_up(LOOK_UP, &lookup.values()).await?;
        start = start.into_iter().chain(lookup.revoked_from(&rows)?).min();
    }
    Ok(Verdict::starting_at(start, now))
}

/// The statement for the values of an [`EntryLookup`].
pub(crate) const LOOK_UP: &str =
    "SELECT id, starts_at, cut_off FROM bearer_denials WHERE id IN ($1, $2, $3, $4, $5)";

/// Looks up the entries for up to [`IDS`] things of a token.
pub(crate) struct EntryLookup {
    ids: Vec<[u8; 32]>,
    issued_at: UnixTime,
}

impl EntryLookup {
    pub(crate) fn new(things: &[Revocable], issued_at: UnixTime) -> Self {
        Self { ids: things.iter().map(id_of).collect(), issued_at }
    }

    /// One statement serves any number of ids: the last id fills the unused places.
    pub(crate) fn values(&self) -> Vec<Value> {
        let mut values: Vec<Value> = self.ids.iter().map(|id| Value::Bytes(id.into())).collect();
        while let (Some(last), true) = (values.last().cloned(), values.len() < IDS) {
            values.push(last);
        }
        values
    }

    /// Returns the time from which the token is revoked.
    pub(crate) fn revoked_from(&self, rows: &[Row]) -> Result<Option<UnixTime>, Failure> {
        let mut earliest = None;
        for row in rows {
            let (id, starts_at, cut_off) = (row.hash(0)?, row.time(1)?, row.time(2)?);
            if self.ids.contains(&id) && self.issued_at <= cut_off {
                earliest = earliest.into_iter().chain([starts_at]).min();
            }
        }
        Ok(earliest)
    }
}

/// Returns the id of a thing's entry in `bearer_denials`. It has a fixed length, however long the name of the thing is:
/// an index of PostgreSQL takes no key above 2.7 KB.
pub(crate) fn id_of(thing: &Revocable) -> [u8; 32] {
    let (issuer, name) = (thing.issuer(), thing.id());
    let mut input = Vec::with_capacity(16 + issuer.len() + name.len());
    input.extend_from_slice(&number_of(thing.kind()).to_be_bytes());
    input.extend_from_slice(&(issuer.len() as u64).to_be_bytes());
    input.extend_from_slice(issuer.as_bytes());
    input.extend_from_slice(name.as_bytes());
    Sha256::digest(&input).into()
}

/// Returns the number of a kind in the tables.
fn number_of(kind: RevocableKind) -> i64 {
    match kind {
        RevocableKind::Token => 0,
        RevocableKind::Subject => 1,
        RevocableKind::Session => 2,
        RevocableKind::Key => 3,
    }
}

fn kind_of(number: i64) -> Result<RevocableKind, Failure> {
    match number {
        0 => Ok(RevocableKind::Token),
        1 => Ok(RevocableKind::Subject),
        2 => Ok(RevocableKind::Session),
        3 => Ok(RevocableKind::Key),
        _ => Err(Failure::UnreadableRow),
    }
}

/// Returns the number of the lock under which tokens of this thing are issued and revoked. Two things that have the
/// same lock by chance wait for each other. That is the only effect.
pub(crate) fn lock_of(thing: &Revocable) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = id_of(thing);
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Writes several revocation entries in one step.
pub(crate) async fn revoke(
    transaction: &mut Transaction,
    entries: &[RevocationEntry],
) -> Result<(), Failure> {
    let locks = entries.iter().filter_map(|entry| match entry.thing().kind() {
        RevocableKind::Subject | RevocableKind::Session => Some(lock_of(entry.thing())),
        RevocableKind::Token | RevocableKind::Key => None,
    });
    transaction.lock(locks.collect()).await?;
    write_entries(transaction, entries).await?;
    Ok(())
}

/// How many entries one statement writes.
const AT_ONCE: usize = 100;

/// Ends the rows that the entries concern, and writes the entries. Returns them as they are stored. The caller holds
/// the locks under which tokens of subjects and sessions are issued.
///
/// Several entries share their statements. One round trip for each would keep the connection, and the lock of the
/// owner, for seconds.
pub(crate) async fn write_entries(
    transaction: &mut Transaction,
    entries: &[RevocationEntry],
) -> Result<Vec<RevocationEntry>, Failure> {
    let mut stored = Vec::with_capacity(entries.len());
    for alike in entries.chunk_by(share_statements) {
        for some in alike.chunks(AT_ONCE) {
            let latest = end_rows(transaction, some).await?;
            for entry in some {
                let mut entry = entry.clone();
                if let Some(latest_expiry) = latest.get(entry.thing().id()) {
                    entry.cover_tokens_until(*latest_expiry);
                }
                stored.push(entry);
            }
        }
    }
    record(transaction, &stored).await?;
    Ok(stored)
}

/// Returns whether the same statements end the rows of both.
fn share_statements(one: &RevocationEntry, other: &RevocationEntry) -> bool {
    let kind = one.thing().kind();
    matches!(kind, RevocableKind::Token | RevocableKind::Session)
        && kind == other.thing().kind()
        && one.thing().issuer() == other.thing().issuer()
        && one.starts_at() == other.starts_at()
}

/// Ends the rows of tokens, or the private tokens and the rows of sessions. Returns the latest expiry of the tokens
/// that each entry ends, by the name of its thing: the entry must be kept at least as long. This includes private
/// tokens although their rows are ended, because verifiers look up revocation entries only.
///
/// A subject and a session can have any number of rows, and the work of a revocation must not depend on that number. So
/// these rows are not written: every reader compares them with the cut-off of their subject and the revocation of their
/// session.
async fn end_rows(
    transaction: &mut Transaction,
    alike: &[RevocationEntry],
) -> Result<HashMap<Arc<str>, UnixTime>, Failure> {
    let Some(first) = alike.first() else { return Ok(HashMap::new()) };
    let mut values = vec![Value::id(first.thing().issuer())];
    values.extend(alike.iter().map(|entry| Value::id(entry.thing().id())));
    match first.thing().kind() {
        RevocableKind::Token => {
            let sql = for_names(EXPIRY_OF_PRIVATE, alike.len());
            let latest = latest_of_each(&transaction.fetch(sql, values.clone()).await?)?;
            values.push(Value::time(first.starts_at()));
            for sql in END_TOKEN {
                transaction.execute(for_names(sql, alike.len()), values.clone()).await?;
            }
            Ok(latest)
        }
        RevocableKind::Session => {
            for sql in END_SESSION {
                transaction.execute(for_names(sql, alike.len()), values.clone()).await?;
            }
            let sql = for_names(LATEST_OF_SESSION, alike.len());
            latest_of_each(&transaction.fetch(sql, values).await?)
        }
        RevocableKind::Subject => {
            let latest = latest(&transaction.fetch(LATEST_OF_OWNER, values).await?, &[2, 3])?;
            Ok(latest.map(|latest| (Arc::clone(first.thing().id()), latest)).into_iter().collect())
        }
        RevocableKind::Key => Ok(HashMap::new()),
    }
}

/// Reads rows with a name and an expiry.
fn latest_of_each(rows: &[Row]) -> Result<HashMap<Arc<str>, UnixTime>, Failure> {
    let mut latest = HashMap::new();
    for row in rows {
        let (name, expires_at) = (row.id(0)?, row.time(1)?);
        let known = latest.entry(name).or_insert(expires_at);
        *known = expires_at.max(*known);
    }
    Ok(latest)
}

/// Returns a statement about one name for this number of names. The value after the names moves with them.
fn for_names(sql: &'static str, count: usize) -> Sql {
    if count == 1 {
        return sql.into();
    }
    let names: Vec<String> = (2..count + 2).map(|place| format!("${place}")).collect();
    let after = format!("${}", count + 2);
    Sql::Built(sql.replace("$3", &after).replace("($2)", &format!("({})", names.join(", "))))
}

/// Returns the latest time in these columns of the only row.
pub(crate) fn latest(rows: &[Row], columns: &[usize]) -> Result<Option<UnixTime>, Failure> {
    let row = rows.first().ok_or(Failure::UnreadableRow)?;
    let mut latest = None;
    for column in columns {
        latest = latest.max(row.optional_time(*column)?);
    }
    Ok(latest)
}

const END_TOKEN: [&str; 2] = [
    "UPDATE bearer_refresh_tokens SET dies_at = $3 WHERE issuer = $1 AND token_id IN ($2) AND dies_at > $3",
    "UPDATE bearer_private_tokens SET dies_at = $3 WHERE issuer = $1 AND token_id IN ($2) AND dies_at > $3",
];
/// A private token does not share its session with other tokens.
const END_SESSION: [&str; 2] = [
    "UPDATE bearer_private_tokens SET dies_at = 0 WHERE issuer = $1 AND session_id IN ($2) AND dies_at > 0",
    DELETE_SESSION,
];
pub(crate) const DELETE_SESSION: &str =
    "DELETE FROM bearer_sessions WHERE issuer = $1 AND session_id IN ($2)";
const EXPIRY_OF_PRIVATE: &str =
    "SELECT token_id, expires_at FROM bearer_private_tokens WHERE issuer = $1 AND token_id IN ($2)";
const LATEST_OF_SESSION: &str = "
    SELECT session_id, max(expires_at) FROM bearer_refresh_tokens
    WHERE issuer = $1 AND session_id IN ($2) GROUP BY session_id
    UNION ALL
    SELECT session_id, max(expires_at) FROM bearer_private_tokens
    WHERE issuer = $1 AND session_id IN ($2) GROUP BY session_id";
/// Each maximum is the last entry of an index.
pub(crate) const LATEST_OF_OWNER: &str = "
    SELECT (SELECT max(issued_at) FROM bearer_refresh_tokens WHERE issuer = $1 AND subject = $2),
           (SELECT max(issued_at) FROM bearer_private_tokens WHERE issuer = $1 AND subject = $2),
           (SELECT max(expires_at) FROM bearer_refresh_tokens WHERE issuer = $1 AND subject = $2),
           (SELECT max(expires_at) FROM bearer_private_tokens WHERE issuer = $1 AND subject = $2)";

/// Writes revocation entries, and their entries in the outbox. An entry is never weakened: the earlier start, the later
/// end and the later cut-off apply.
pub(crate) async fn record(
    transaction: &mut Transaction,
    entries: &[RevocationEntry],
) -> Result<(), Failure> {
    let ids: HashSet<[u8; 32]> = entries.iter().map(|entry| id_of(entry.thing())).collect();
    // One statement cannot write the same row twice.
    let at_once = if ids.len() < entries.len() { 1 } else { AT_ONCE };
    for some in entries.chunks(at_once) {
        let values = some.iter().flat_map(|entry| {
            let id = Value::Bytes(id_of(entry.thing()).into());
            values_of(entry).into_iter().chain([id])
        });
        transaction.execute(for_rows(WRITE_ENTRY, 7, some.len()), values.collect()).await?;
        let values = some.iter().flat_map(values_of).collect();
        let rows = transaction.fetch(for_rows(WRITE_OUTBOX, 6, some.len()), values).await?;
        for row in &rows {
            transaction.add_entry(read_entry(row)?);
        }
    }
    Ok(())
}

fn values_of(entry: &RevocationEntry) -> [Value; 6] {
    let thing = entry.thing();
    [
        Value::int(number_of(thing.kind())),
        Value::id(thing.issuer()),
        Value::id(thing.id()),
        Value::time(entry.starts_at()),
        Value::time(entry.cut_off()),
        Value::time(entry.obsolete_after()),
    ]
}

/// Returns a statement that inserts one row for this number of rows.
fn for_rows(sql: &'static str, columns: usize, count: usize) -> Sql {
    if count == 1 {
        return sql.into();
    }
    let row = |row: usize| {
        let places: Vec<String> =
            (1..=columns).map(|place| format!("${}", row * columns + place)).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<String> = (0..count).map(row).collect();
    Sql::Built(sql.replace(&row(0), &rows.join(", ")))
}

const WRITE_ENTRY: &str = "
    INSERT INTO bearer_denials (kind, issuer, name, starts_at, cut_off, keep_until, id)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (id) DO UPDATE SET
        starts_at = CASE WHEN excluded.starts_at < bearer_denials.starts_at
                         THEN excluded.starts_at ELSE bearer_denials.starts_at END,
        cut_off = CASE WHEN excluded.cut_off > bearer_denials.cut_off
                       THEN excluded.cut_off ELSE bearer_denials.cut_off END,
        keep_until = CASE WHEN excluded.keep_until > bearer_denials.keep_until
                          THEN excluded.keep_until ELSE bearer_denials.keep_until END";
/// `read_entry` expects these columns.
const WRITE_OUTBOX: &str = "
    INSERT INTO bearer_outbox (kind, issuer, name, starts_at, cut_off, keep_until)
    VALUES ($1, $2, $3, $4, $5, $6)
    RETURNING id, kind, issuer, name, starts_at, cut_off, keep_until";

/// Lists entries in the order of the hash of the name.
pub(crate) async fn list(
    database: &Database,
    after: Option<&Revocable>,
    limit: usize,
    now: UnixTime,
) -> Result<Vec<RevocationEntry>, Failure> {
    // `read_entry` expects a number in the first column.
    let sql =
        "SELECT 0 + kind, kind, issuer, name, starts_at, cut_off, keep_until FROM bearer_denials
               WHERE id > $1 AND keep_until >= $2 ORDER BY id LIMIT $3";
    let after = after.map_or_else(Vec::new, |thing| id_of(thing).to_vec());
    let values = [Value::Bytes(after), Value::time(now), Value::limit(limit)];
    let rows = database.read(sql, &values).await?;
    rows.iter().map(|row| Ok(read_entry(row)?.revocation)).collect()
}

/// Reads a row with these columns: id in the outbox, kind, issuer, name, start, cut-off, end.
pub(crate) fn read_entry(row: &Row) -> Result<OutboxEntry, Failure> {
    let thing = Revocable::new(kind_of(row.int(1)?)?, row.id(2)?, row.id(3)?);
    let revocation = RevocationEntry::restored(thing, row.time(6)?)
        .with_cut_off(row.time(5)?)
        .with_start(row.time(4)?);
    Ok(OutboxEntry::new(row.int(0)?, revocation))
}
