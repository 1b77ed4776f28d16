//! Stores and lists audit events.
//!
//! The events of a deleted account are deleted together with it, in the step that stores [`AuditKind::AccountDeleted`].
//! Other processes may still hold events about the account. They are not stored any more. Of events that an operator
//! caused, the part without the subject stays.

use std::{borrow::Cow, collections::HashSet, net::IpAddr, sync::Arc};

use serde_json::{Map, Value as Json};

use crate::{
    SqlStore,
    database::Transaction,
    statement::{Failure, Row, Sql, Value},
    token_store::personal_data::BATCH,
};
use tower_bearer::{BoxFuture, revocation::StoreError};
use tower_bearer_issuing::{
    audit::{AuditEvent, AuditKind, AuditLog, AuditPage, AuditQuery, AuditRecord, AuditSink},
    store::Owner,
};

/// An arbitrary number. It must be the same in every process.
const AUDIT_LOCK: i64 = 0x746f_7765_7262_6175;

impl AuditSink for SqlStore {
    fn record<'a>(&'a self, events: &'a [AuditEvent]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.database.step(move |mut transaction| async move {
            // Between the question which accounts are deleted and the commit, no other process deletes one.
            transaction.lock(vec![AUDIT_LOCK]).await?;
            for of_issuer in events.chunk_by(|one, other| one.issuer == other.issuer) {
                record(&mut transaction, of_issuer).await?;
            }
            Ok((transaction, ()))
        }))
    }
}

impl AuditLog for SqlStore {
    fn list<'a>(&'a self, query: &'a AuditQuery) -> BoxFuture<'a, Result<AuditPage, StoreError>> {
        Box::pin(async move {
            let limit = usize::try_from(query.limit.max(1)).unwrap_or(usize::MAX);
            let mut values = vec![
                Value::id(&query.issuer),
                Value::int(query.before.unwrap_or(i64::MAX)),
                // One more shows whether there is a next page.
                Value::limit(limit.saturating_add(1)),
            ];
            let sql = match &query.subject {
                Some(subject) => {
                    values.push(Value::id(subject));
                    NEWEST_OF_SUBJECT
                }
                None => NEWEST,
            };
            let mut rows = self.database.read(sql, &values).await?;
            let has_more = rows.len() > limit;
            rows.truncate(limit);
            let next = rows.last().filter(|_| has_more).map(|row| row.int(0)).transpose()?;
            let records: Result<Vec<Option<AuditRecord>>, Failure> =
                rows.iter().map(|row| read(&query.issuer, row)).collect();
            Ok(AuditPage::new(records?.into_iter().flatten().collect(), next))
        })
    }
}

const NEWEST: &str = "
    SELECT id, at, event, subject, address, details, keep_until FROM bearer_audit
    WHERE issuer = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
const NEWEST_OF_SUBJECT: &str = "
    SELECT id, at, event, subject, address, details, keep_until FROM bearer_audit
    WHERE issuer = $1 AND subject = $4 AND id < $2 ORDER BY id DESC LIMIT $3";

/// Deletes the events about an owner, as [`delete_events`] does. If there is no event of the deletion yet, stores
/// `event`.
pub(super) async fn replace_events(
    transaction: &mut Transaction,
    owner: &Owner,
    event: Option<&AuditEvent>,
) -> Result<(), Failure> {
    transaction.lock(vec![AUDIT_LOCK]).await?;
    while !delete_events(transaction, owner).await? {}
    match event {
        Some(event) => record(transaction, std::slice::from_ref(event)).await,
        None => Ok(()),
    }
}

/// Deletes up to [`BATCH`] events about an owner, except that the account was deleted. What operators did stays,
/// without the owner. Returns whether no event is left.
pub(super) async fn delete_events(
    transaction: &mut Transaction,
    owner: &Owner,
) -> Result<bool, Failure> {
    let values = vec![
        Value::id(&owner.issuer),
        Value::id(&owner.subject),
        Value::text(AuditKind::AccountDeleted.as_str()),
        Value::text(WITH_ACTOR),
    ];
    if transaction.execute(DELETE, values.clone()).await? >= BATCH {
        return Ok(false);
    }
    let rows = transaction.fetch(BY_OPERATORS, values).await?;
    for row in &rows {
        let id = Value::int(row.int(0)?);
        // An event of a newer version may have fields that this version does not know.
        let record = read(&owner.issuer, row)?;
        match record.and_then(|record| record.event.without_subject()) {
            Some(event) => {
                let details = Value::Text(Json::Object(details(&event)).to_string());
                transaction.execute(FORGET_SUBJECT, vec![id, details]).await?
            }
            None => transaction.execute(DELETE_ONE, vec![id]).await?,
        };
    }
    Ok(rows.len() < MAX_FORGOTTEN)
}

/// A pattern for `details` with an actor. Inside of a JSON text, each quotation mark has a backslash before it.
const WITH_ACTOR: &str = "%\"actor\":%";

/// A part of the events, so that an account with very many events does not exceed the timeout of a statement.
const DELETE: &str = "
    DELETE FROM bearer_audit WHERE id IN (
        SELECT id FROM bearer_audit
        WHERE issuer = $1 AND subject = $2 AND event <> $3 AND details NOT LIKE $4 LIMIT 500)";
/// Each of these events needs its own statement, so one step changes fewer of them.
const MAX_FORGOTTEN: usize = 100;
const BY_OPERATORS: &str = "
    SELECT id, at, event, subject, address, details, keep_until FROM bearer_audit
    WHERE issuer = $1 AND subject = $2 AND event <> $3 AND details LIKE $4 LIMIT 100";
const FORGET_SUBJECT: &str = "UPDATE bearer_audit SET subject = NULL, details = $2 WHERE id = $1";
const DELETE_ONE: &str = "DELETE FROM bearer_audit WHERE id = $1";

/// Stores events of one issuer.
async fn record(transaction: &mut Transaction, events: &[AuditEvent]) -> Result<(), Failure> {
    let Some(AuditEvent { issuer, .. }) = events.first() else { return Ok(()) };
    let mut deleted = deleted_before(transaction, events).await?;
    let mut deleted_now = HashSet::new();
    for event in events.iter().filter(|event| event.kind == AuditKind::AccountDeleted) {
        let Some(subject) = &event.subject else { continue };
        if deleted.insert(subject.as_bytes().to_vec()) {
            let owner = Owner::new(Arc::clone(issuer), Arc::clone(subject));
            while !delete_events(transaction, &owner).await? {}
            deleted_now.insert(subject.as_bytes());
        }
    }
    let mut kept = Vec::with_capacity(events.len());
    for event in events {
        kept.extend(match &event.subject {
            // A subject has one such event.
            Some(subject) if event.kind == AuditKind::AccountDeleted => {
                deleted_now.remove(subject.as_bytes()).then_some(Cow::Borrowed(event))
            }
            Some(subject) if deleted.contains(subject.as_bytes()) => {
                event.without_subject().map(Cow::Owned)
            }
            _ => Some(Cow::Borrowed(event)),
        });
    }
    for some in kept.chunks(500) {
        let values = some.iter().flat_map(|event| values(event)).collect();
        transaction.execute(Sql::Built(insert_sql(some.len())), values).await?;
    }
    Ok(())
}

/// Returns which of the subjects were deleted earlier.
async fn deleted_before(
    transaction: &mut Transaction,
    events: &[AuditEvent],
) -> Result<HashSet<Vec<u8>>, Failure> {
    let Some(AuditEvent { issuer, .. }) = events.first() else { return Ok(HashSet::new()) };
    let subjects: HashSet<&Arc<str>> =
        events.iter().filter_map(|event| event.subject.as_ref()).collect();
    let subjects: Vec<Value> = subjects.into_iter().map(|subject| Value::id(subject)).collect();
    let mut deleted = HashSet::new();
    for some in subjects.chunks(500) {
        let mut values = vec![Value::id(issuer)];
        values.extend_from_slice(some);
        let rows = transaction.fetch(Sql::Built(deleted_sql(some.len())), values).await?;
        for row in &rows {
            deleted.insert(row.bytes(0)?);
        }
    }
    Ok(deleted)
}

/// The condition on the event is that of the index.
pub(crate) fn deleted_sql(count: usize) -> String {
    let places: Vec<String> = (2..=count + 1).map(|place| format!("${place}")).collect();
    let places = places.join(", ");
    format!(
        "SELECT subject FROM bearer_audit
         WHERE issuer = $1 AND event = 'account_deleted' AND subject IN ({places})"
    )
}

/// For this number of events.
pub(crate) fn insert_sql(count: usize) -> String {
    let row = |row: usize| {
        let places: Vec<String> = (1..=7).map(|place| format!("${}", 7 * row + place)).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<String> = (0..count).map(row).collect();
    let rows = rows.join(", ");
    format!(
        "INSERT INTO bearer_audit (issuer, at, event, subject, address, details, keep_until) VALUES {rows}"
    )
}

fn values(event: &AuditEvent) -> [Value; 7] {
    [
        Value::id(&event.issuer),
        Value::time(event.at),
        Value::text(event.kind.as_str()),
        Value::optional_id(event.subject.as_deref().filter(|subject| fits(subject))),
        Value::optional_text(event.address.map(|address| address.to_string()).as_deref()),
        Value::Text(Json::Object(details(event)).to_string()),
        Value::time(event.keep_until),
    ]
}

/// The longest text of an event, in bytes. PostgreSQL indexes at most 2704 bytes of a row.
const MAX_TEXT: usize = 1000;

fn fits(text: &str) -> bool {
    text.len() <= MAX_TEXT
}

/// The beginning of a text, if it is too long.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// The fields that no statement searches. A subject that is too long is left out, and only its length is kept. The
/// events of a deleted account are found by their subjects, so a part of one must not be anywhere else.
fn details(event: &AuditEvent) -> Map<String, Json> {
    let text = |text: &Option<Arc<str>>| text.as_deref().map(|text| Json::from(shortened(text)));
    let long_subject = event.subject.as_deref().filter(|subject| !fits(subject));
    let fields = [
        ("subject_bytes", long_subject.map(|subject| Json::from(subject.len()))),
        ("actor", text(&event.actor)),
        ("session_id", text(&event.session_id)),
        ("token_id", text(&event.token_id)),
        ("private_token_id", event.private_token_id.map(Json::from)),
        ("new_private_token_id", event.new_private_token_id.map(Json::from)),
        ("key", text(&event.key)),
        ("count", (event.count != 1).then(|| Json::from(event.count))),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Returns `None` for an event whose kind this version does not know.
fn read(issuer: &Arc<str>, row: &Row) -> Result<Option<AuditRecord>, Failure> {
    let Some(kind) = AuditKind::from_name(&row.text(2)?) else { return Ok(None) };
    let details: Map<String, Json> =
        serde_json::from_str(&row.text(5)?).map_err(|_| Failure::UnreadableRow)?;
    let text = |name| details.get(name).and_then(Json::as_str).map(Arc::from);
    let number = |name| details.get(name).and_then(Json::as_i64);
    let mut event = AuditEvent::new(kind, Arc::clone(issuer), row.time(1)?);
    event.subject = row.optional_id(3)?;
    event.address = row.optional_text(4)?.and_then(|address| address.parse::<IpAddr>().ok());
    event.keep_until = row.time(6)?;
    event.actor = text("actor");
    event.session_id = text("session_id");
    event.token_id = text("token_id");
    event.key = text("key");
    event.private_token_id = number("private_token_id");
    event.new_private_token_id = number("new_private_token_id");
    event.count = details.get("count").and_then(Json::as_u64).unwrap_or(1);
    Ok(Some(AuditRecord::new(row.int(0)?, event)))
}
