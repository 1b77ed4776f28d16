//! Records who did what: log-ins, tokens, accounts, keys, and the actions of operators.
//!
//! A service gives the issuer an [`AuditSink`] with
//! [`with_audit`](crate::TokenIssuerBuilder::with_audit). With the feature `tracing`, each event is also logged, at
//! level INFO and target `tower_bearer::audit`. The guide of `tower-bearer` has a page about auditing, with the table
//! of all kinds.
//!
//! 1. **An event describes an action that has happened.** It is recorded after the store has acknowledged the action,
//!    and before the client gets its answer.
//! 2. **An event contains no secret**: no token, no password, no e-mail address. It contains subjects, ids, addresses
//!    and thumbprints. This is the only output of the issuer that names a subject. Its `Debug` does not.
//! 3. **The sink neither delays nor fails a request.** Events wait in memory, at most [`QUEUE`]. A background task
//!    gives them to the sink, usually at once. If the sink fails, the task tries again, so a sink can get an event
//!    twice.
//! 4. **Events can be lost, but not silently.** If the queue is full, new events are lost. An event that the sink
//!    [refuses](REFUSED) is lost, too, so that it does not block the others. Lost events are counted in
//!    `tower_bearer_audit_events_total`, a warning is logged, and the sink gets an event [`AuditKind::EventsLost`] with
//!    their number. Events that wait when a process is killed are lost without a trace. At a regular end,
//!    [`TokenIssuer::maintain`](crate::TokenIssuer::maintain) or
//!    [`TokenIssuer::flush_audit`](crate::TokenIssuer::flush_audit) writes them all.
//!    [`AuditKind::AccountDeleted`] is never lost if the store is the sink: the store keeps it in the step that
//!    deletes.
//! 5. **Clients cannot fill the log.** Anyone can cause [`AuditKind::LoginFailed`], [`AuditKind::LoginThrottled`] and
//!    [`AuditKind::RefreshThrottled`]. Of each kind, a process records 30 at once and then 12 in a minute. A client
//!    with tokens can cause [`AuditKind::Refreshed`] and [`AuditKind::TokenRevokedByHolder`] often, and an operator
//!    [`AuditKind::OperatorRejected`]. Of each kind, a process records 30 at once for each subject or operator, and
//!    then one in a minute. Further events are counted. The next round of [`maintain`](crate::TokenIssuer::maintain)
//!    records one event for them, without subject and address, with their number as [`count`](AuditEvent::count).
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tower_bearer::{Algorithm, jws::SigningKey};
//! use tower_bearer_issuing::{
//!     ClientInfo, Credentials, MemoryAccounts, Passwords, TokenIssuer,
//!     audit::{AuditKind, AuditLog, AuditQuery},
//!     store::MemoryTokenStore,
//! };
//!
//! let store = MemoryTokenStore::new();
//! let accounts = Passwords::new(MemoryAccounts::new())?;
//! let key = SigningKey::generate(Algorithm::ES256)?;
//! let issuer = TokenIssuer::builder("https://issuer.example", "api", key, store.clone(), accounts)
//!     .with_audit(store.clone())
//!     .build()?;
//!
//! let client = ClientInfo::new().with_address([192, 0, 2, 7]);
//! issuer.log_in(&Credentials::new("eve@example.org", "guess"), &client).await.unwrap_err();
//! issuer.maintain().await?;
//! let page = store.list(&AuditQuery::new("https://issuer.example")).await?;
//! assert_eq!(page.records[0].event.kind, AuditKind::LoginFailed);
//! # Ok(()) }
//! # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
//! ```

mod event;
mod queue;
mod recorder;

use std::{fmt, sync::Arc};

pub use self::event::{AuditEvent, AuditKind};
pub use self::queue::{QUEUE, REFUSED};
pub(crate) use self::recorder::{Origin, Recorder};
use tower_bearer::{BoxFuture, revocation::StoreError};

/// Keeps audit events. [`MemoryTokenStore`](crate::store::MemoryTokenStore) and `SqlStore` of `tower-bearer-sql` are
/// sinks. You can also implement it, for example to send the events to another system.
pub trait AuditSink: Send + Sync + 'static {
    /// Keeps these events, in this order. Calls do not overlap in one process.
    ///
    /// An event should be kept until its [`keep_until`](AuditEvent::keep_until). The issuer gives up a call after 30
    /// seconds.
    ///
    /// A sink that forgets deleted accounts keeps only [`AuditEvent::without_subject`] of events about them, and the
    /// event [`AuditKind::AccountDeleted`], once.
    ///
    /// # Errors
    /// If the events were not, or may not have been, kept. The issuer then calls again with the same events. If the
    /// [kind](StoreError::kind) of the error is [`REFUSED`], it gives each event alone, and those that are refused
    /// again are lost.
    fn record<'a>(&'a self, events: &'a [AuditEvent]) -> BoxFuture<'a, Result<(), StoreError>>;
}

impl<T: AuditSink + ?Sized> AuditSink for Arc<T> {
    fn record<'a>(&'a self, events: &'a [AuditEvent]) -> BoxFuture<'a, Result<(), StoreError>> {
        (**self).record(events)
    }
}

/// Reads audit events that a sink has kept.
pub trait AuditLog: Send + Sync + 'static {
    /// A page of the events that match, the newest first.
    ///
    /// # Errors
    /// If the log cannot be read.
    fn list<'a>(&'a self, query: &'a AuditQuery) -> BoxFuture<'a, Result<AuditPage, StoreError>>;
}

impl<T: AuditLog + ?Sized> AuditLog for Arc<T> {
    fn list<'a>(&'a self, query: &'a AuditQuery) -> BoxFuture<'a, Result<AuditPage, StoreError>> {
        (**self).list(query)
    }
}

/// A page of an audit log, the newest event first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditPage {
    /// The events. An event of a kind that this version does not know is left out.
    pub records: Vec<AuditRecord>,
    /// [`AuditQuery::before`] of the next page. `None` if there are no older events.
    pub next: Option<i64>,
}

impl AuditPage {
    /// A page with these events.
    #[must_use]
    pub fn new(records: Vec<AuditRecord>, next: Option<i64>) -> Self {
        Self { records, next }
    }
}

/// An event that was kept, with its number.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditRecord {
    /// Its number. Later records of a log have greater numbers. Replicas write at the same time, so the order of
    /// numbers and the order of [`at`](AuditEvent::at) can differ by moments.
    pub id: i64,
    /// The event.
    pub event: AuditEvent,
}

impl AuditRecord {
    /// A record with this number.
    #[must_use]
    pub fn new(id: i64, event: AuditEvent) -> Self {
        Self { id, event }
    }
}

impl fmt::Debug for AuditRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditRecord").field("id", &self.id).field("event", &self.event).finish()
    }
}

/// Asks for the newest events of an issuer.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditQuery {
    /// The issuer.
    pub issuer: Arc<str>,
    /// Only events about this subject. Default: all events.
    pub subject: Option<Arc<str>>,
    /// Only events with a smaller number: [`AuditPage::next`] of the page before. Default: the newest events.
    pub before: Option<i64>,
    /// How many events to return at most. 0 means 1. Default: 20.
    pub limit: u32,
}

impl AuditQuery {
    /// Asks for the 20 newest events.
    #[must_use]
    pub fn new(issuer: impl Into<Arc<str>>) -> Self {
        Self { issuer: issuer.into(), subject: None, before: None, limit: 20 }
    }

    /// Only events about this subject.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<Arc<str>>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Only events that are older than this record.
    #[must_use]
    pub fn with_before(mut self, id: i64) -> Self {
        self.before = Some(id);
        self
    }

    /// Sets how many events to return at most.
    #[must_use]
    pub fn with_limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

impl fmt::Debug for AuditQuery {
    /// Does not show the subject.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditQuery")
            .field("before", &self.before)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
