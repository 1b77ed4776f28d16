//! Revocations that a fleet shares through Redis or Valkey.
//!
//! 1. **One round trip for each look-up**: the denials that may concern a token, and in the same answer the
//!    *generation*, which is written when the fleet is set up and lost with the data.
//! 2. **An empty Redis is not "not revoked".** Without a generation every look-up fails, until
//!    [`RedisStore::initialise`] or [`RedisStore::seed`] has written one; what that means for a request is the cache's
//!    [`OnUnavailable`](tower_bearer::revocation::OnUnavailable).
//! 3. **Data that went backwards is lost data.** Revocations are counted in Redis, and a hash over all of them stands
//!    beside the count. Each process remembers what it was answered, what it was acknowledged, and what it sees at least
//!    once a second. Shown less, or as much with another hash, or another revocation in the place of the last that it
//!    knows, or a generation that another has followed, it removes the generation: the whole fleet is unavailable until it
//!    is seeded again. That is what a restart from an old snapshot, or a failover to a replica that lagged, looks like.
//! 4. **A revocation is one atomic step**: the denial, its place in the count, the stream and the message to
//!    the fleet. With [`with_wait`](RedisBuilder::with_wait) it is acknowledged only when replicas have it. Without a
//!    generation `revoke` writes it and answers with an error, because rule 3 does not protect it yet.
//! 5. **Nothing may evict**, nor have evicted: a `maxmemory-policy` other than `noeviction`, or `evicted_keys` above 0, is
//!    refused at start and looked for once a second. Either removes the generation, because what was evicted does not
//!    come back with the right setting. A server that is a replica is refused as well.
//! 6. **Pushes make it fast, the bound makes it safe.** [`RedisStore::push_to`] puts revocations of other processes in
//!    force as they happen. After a reconnection or a gap in the count, cached answers are
//!    [doubted](RevocationCache::doubt). What no push has brought is seen after the cache's bound at the latest. Pushes are
//!    signed with the generation: who may publish and not read keys revokes nothing, and raises one doubt a second at most.
//! 7. **Names are hashed at rest.** Keys and stream hold dates and 128 bits of a SHA-256 in place of ids and
//!    subjects; messages, which Redis does not keep, name them, because that is what a cache is told.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use tower_bearer::RevocationCache;
//! use tower_bearer_redis::RedisStore;
//!
//! let store = RedisStore::connect("redis://service:password@redis.internal:6379/0?protocol=resp3").await?;
//! let revocation = RevocationCache::new(store.clone(), Duration::from_secs(30));
//! store.push_to(&revocation);
//! # Ok(()) }
//! ```
//!
//! Once, when the fleet is set up, and again by somebody who has decided that what was lost does not matter:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # use tower_bearer_redis::RedisStore;
//! RedisStore::connect("redis://redis.internal").await?.initialise().await?;
//! # Ok(()) }
//! ```
//!
//! If a store with an [`Outbox`](tower_bearer::revocation::outbox::Outbox) is the source of truth, [`OutboxRelay`] carries its revocations here
//! and seeds a Redis that is empty or has lost some. For fleets that want no look-up at all, [`DenyList`] holds
//! everything that is revoked in each process.
//!
//! # What the operator decides
//!
//! * **How lasting the data is.** Rule 3 needs a process that remembers. A fleet that is restarted together with a Redis
//!   that has lost its last revocations cannot know: use `appendonly yes` with `appendfsync always`, or keep the truth
//!   in SQL, from where an [`OutboxRelay`] carries it here. The database remembers what Redis has
//!   acknowledged to the relay, and the relay seeds a Redis that has lost it. Nor can a fleet know what is lost within
//!   the second before anybody but a process that is gone, too, has seen it, or what was replaced beyond the 100 000 latest
//!   revocations, which the stream of changes holds.
//! * **Who is the master.** A server that has become a replica, or whose connection ends, is left within a second and the
//!   command timeout: in a failover "the bound" is the bound and about 1.5 seconds. A master that is cut off from its
//!   replacement, and goes on answering, is believed by whoever still reaches it: to stop it is the failover's work.
//!   One that refuses writes, as `min-replicas-to-write` makes it, cannot be told of a loss: meanwhile those who have noticed
//!   it are unavailable, and no others.
//! * **What else is in that server.** Evictions of anybody's keys count, and a snapshot of a [`DenyList`] reads them all: a
//!   server of its own is best. After an eviction: set `noeviction`, `CONFIG RESETSTAT` (a restart does it, too), and seed
//!   again. That order; the first process that has looked has removed the generation.
//! * **Dates are compared by Redis.** Denials are kept until [`KEEP_AFTER_EXPIRY`](tower_bearer::revocation::KEEP_AFTER_EXPIRY)
//!   after the token's expiry; a server whose clock is further ahead than that forgets too early.
//! * **What the ACL user needs**: `~<prefix>*`, `&<prefix>*`, and
//!   `+get +set +mget +del +expireat +xadd +xrange +eval +publish +subscribe +info +wait +select +hello`. Who may read
//!   these keys can sign pushes, and who may write them can take denials away, or hide one behind a key that is no string,
//!   which look-ups take for none: let it be nobody else.
//! * One server, or a name that leads to the one that is the master now. Redis Cluster and Sentinel are not asked.
//!
//! # TLS
//!
//! `rediss://` in place of `redis://` asks for it: TLS 1.2 or 1.3 by rustls with AWS-LC, whichever backend checks
//! signatures. The server's certificate must be for the host of the URL, and from one of the bundled authorities of
//! Mozilla's programme; for private ones see [`RedisBuilder::with_root_pem`] and
//! [`add_root_pem`](RedisBuilder::add_root_pem), for a certificate of the client's own
//! [`with_client_certificate_pem`](RedisBuilder::with_client_certificate_pem). There is no way to leave certificates
//! unchecked. `redis://` is unencrypted, password and all: for a network that is trusted.
//!
//! # While Redis cannot be relied on
//!
//! Killed, stopped, behind a wire that swallows, or back without its data, by the cache's
//! [`OnUnavailable`](tower_bearer::revocation::OnUnavailable):
//!
//! | token | `Deny` | `ServeStale(age)` | `Allow` |
//! |---|---|---|---|
//! | "not revoked" was asked for within the bound | passes until the bound | until the bound + `age` | passes |
//! | never asked about | 503 | 503 | passes |
//! | revoked elsewhere since it was asked about | passes until the bound at most | until the bound + `age` at most | passes until Redis is back |
//! | known to be revoked, or revoked here | 401 | 401 | 401 |
//!
//! A look-up fails at once where there is no connection, and after the command timeout on one that has gone silent, which
//! is given up within a second and that timeout. Then each process tries to connect, after 50 milliseconds first and every
//! 2 seconds in the end, and half of each pause is by chance. Nothing has to be restarted. A Redis that is back without
//! its data stays unavailable until it is seeded; one that is back with its data answers as before. A slow replica delays
//! revocations that [wait](RedisBuilder::with_wait) for it, and no look-up.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod deny_list;
mod dial;
mod error;
mod generation;
mod health;
mod lease;
mod ledger;
mod link;
mod mark;
mod message;
mod names;
mod pauses;
mod pushes;
mod reading;
mod record;
mod relay;
pub mod telemetry;
mod tls;
mod waiting;

use std::{fmt, slice, sync::Arc};

pub use self::builder::RedisBuilder;
pub use self::deny_list::{DenyList, DenyListStats};
pub use self::error::ConnectError;
pub use self::pushes::{PushStats, Pushes};
pub use self::relay::OutboxRelay;
use self::{
    dial::Dialer,
    error::Failure,
    generation::forsaking,
    health::Health,
    link::Link,
    mark::{Mark, MarkReply, Objection, Seen},
    names::{Dates, Name, Space},
    record::Record,
    waiting::Waiting,
};
use tower_bearer::{
    BoxFuture, RevocationCache, UnixTime,
    revocation::{Lookup, RevocationEntry, RevocationStore, StoreError, Verdict},
};

/// Revocations in Redis, under the rules of the [module](self); clones share connections.
///
/// It reconnects on its own, for as long as a clone is there. While it is not connected, look-ups fail at once.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    space: Arc<Space>,
    link: Link,
    /// For revocations that wait for replicas.
    waiting: Option<Waiting>,
    seen: Arc<Seen>,
    health: Health,
    /// For connections of pushes.
    dialer: Dialer,
}

impl RedisStore {
    /// Connects with the default settings: [`builder`](Self::builder) has others.
    ///
    /// # Errors
    /// As [`RedisBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// The settings of a store at `redis://[user[:password]@]host[:port][/database][?protocol=resp3]`, the same with
    /// `rediss://` for TLS, or `unix:///path[?db=..&user=..&pass=..&protocol=resp3]`.
    pub fn builder(url: &str) -> RedisBuilder {
        RedisBuilder::new(url)
    }

    /// Puts what other processes revoke in force in `cache`, as it happens, and doubts its answers when something may
    /// have been missed.
    ///
    /// A task of the runtime does it, until the last clone of the cache is gone or the runtime ends; it takes a
    /// connection of its own. Call it once for each cache: the cache of this store, or one in front of another store
    /// whose revocations are carried here.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn push_to(&self, cache: &RevocationCache) -> Pushes {
        Pushes::start(self.clone(), cache.downgrade())
    }

    async fn ask(&self, lookup: &Lookup) -> Result<Verdict, Failure> {
        let before = self.0.seen.mark();
        let space = &self.0.space;
        let mut command = ::redis::cmd("MGET");
        command.arg(&space.generation).arg(&space.count);
        for thing in lookup.things() {
            command.arg(space.denial(Name::of(thing)));
        }
        let answer: Vec<Option<Vec<u8>>> = self.0.link.send(&command).await?;
        let (Some(generation), Some(count)) = (answer.first(), answer.get(1)) else {
            return Err(Failure::Unreadable);
        };
        self.judge(before, Mark::read(generation.as_deref(), count.as_deref())?).await?;
        let denials = answer.get(2..).unwrap_or_default();
        if denials.len() != lookup.things().len() {
            return Err(Failure::Unreadable);
        }
        let mut start = None;
        for denial in denials.iter().flatten() {
            let Dates { cut_off, starts_at, .. } = Dates::read(denial)?;
            if cut_off >= lookup.issued_at().as_secs() {
                start = start.into_iter().chain([starts_at]).min();
            }
        }
        Ok(match start {
            None => Verdict::NotRevoked,
            Some(0) => Verdict::Revoked,
            Some(start) => Verdict::RevokedFrom(UnixTime::from_secs(start)),
        })
    }

    /// Whether an answer is about all the data: `before` was known when its question was sent.
    async fn judge(&self, before: Option<Mark>, mark: Mark) -> Result<Mark, Failure> {
        match self.0.seen.judge(before.as_ref(), &mark) {
            Ok(()) => Ok(mark),
            Err(Objection::Lost(lost)) => {
                // Where it fails, the next answer leads here again.
                let removed = self.0.link.send(&forsaking(&self.0.space, &lost)).await;
                if let Ok(0_u64) = removed {
                    self.0.seen.settle(&lost);
                }
                Err(Failure::WentBackwards)
            }
            Err(Objection::Overtaken) => Err(Failure::Overtaken),
        }
    }

    /// What stands in Redis now about generation and count.
    async fn look_at_the_mark(&self) -> Result<Mark, Failure> {
        self.mark_over(self.0.link.current().await?).await
    }

    /// As [`look_at_the_mark`](Self::look_at_the_mark), over the connection with this number only.
    async fn mark_over(&self, link: u64) -> Result<Mark, Failure> {
        let before = self.0.seen.mark();
        let command = Mark::command(&self.0.space);
        let reply: MarkReply = self.0.link.send_over(link, &command).await?;
        self.judge(before, Mark::of(&reply)?).await
    }

    /// Identifies the server behind the connection with this number.
    async fn server_over(&self, link: u64) -> Result<String, Failure> {
        // All sections: before version 7, Redis takes only one name.
        let info: String = self.0.link.send_over(link, &::redis::cmd("INFO")).await?;
        health::server(&info)
    }

    /// Writes entries over the connection with this number only, and returns the mark that Redis has acknowledged them
    /// with. `NotSeeded` means that they were written and are not safe: without a generation nobody would notice that
    /// Redis loses them again.
    async fn record(&self, link: u64, entries: &[RevocationEntry]) -> Result<Mark, Failure> {
        let mut before = self.0.seen.mark();
        if before.is_none() {
            // It is not seeded, or was seeded just now.
            before = self.mark_over(link).await.ok();
        }
        let generation = before.as_ref().map(|mark| &*mark.generation);
        let command = Record::of(&self.0.space, entries).command(generation);
        let reply: MarkReply = self.0.link.send_over(link, &command).await?;
        // What was acknowledged must not be gone when this process asks next.
        let mark = self.judge(before, Mark::of(&reply)?).await?;
        if let Some(waiting) = &self.0.waiting {
            waiting.confirm(&self.0.space, mark.count).await?;
        }
        Ok(mark)
    }
}

impl RevocationStore for RedisStore {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        Box::pin(async move { Ok(self.ask(lookup).await?) })
    }

    /// It fails while Redis has no generation, because it was emptied or is being seeded. The revocation was written
    /// all the same, and a seeding keeps it. But nobody would notice if Redis loses it before the seeding has finished, so
    /// it is not acknowledged: revoke again until it succeeds.
    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let link = self.0.link.current().await?;
            self.record(link, slice::from_ref(entry)).await?;
            Ok(())
        })
    }
}

impl fmt::Debug for RedisStore {
    /// Shows neither address nor password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.0.space.prefix)
            .field("is_connected", &self.0.link.is_up())
            .finish_non_exhaustive()
    }
}

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
