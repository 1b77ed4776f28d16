//! Shares revocations between the processes of a fleet through Redis or Valkey.
//!
//! 1. **One round trip for each lookup.** The command reads the revocation entries that may concern the token. It also
//!    reads the *generation*, which is written when the fleet is set up and is lost with the data.
//! 2. **An empty Redis does not mean "not revoked".** Without a generation every lookup fails, until
//!    [`RedisStore::initialise`] or [`RedisStore::seed`] has written one. The setting
//!    [`OnUnavailable`](tower_bearer::revocation::OnUnavailable) of the cache decides how a failed lookup is answered.
//! 3. **A Redis that went back in time has lost data.** Redis counts the revocations and keeps a hash over all of them
//!    beside the count. Each process remembers the count and the hash of each answer, of each acknowledgement and of
//!    its own check, which runs at least once a second. A process removes the generation if it sees a lower count, the
//!    same count with a different hash, a different revocation in the place of the last one that it knows, or a
//!    generation that another one has replaced. The whole fleet is then unavailable until it is seeded again. A restart
//!    from an old snapshot, or a failover to a replica that lagged, looks like this.
//! 4. **A revocation is one atomic step.** The step writes the revocation entry, counts it, adds it to the stream and
//!    publishes the message to the fleet. With [`with_wait`](RedisBuilder::with_wait) the store acknowledges a
//!    revocation only when replicas have it. Without a generation `revoke` writes the entry and returns an error,
//!    because rule 3 does not protect it yet.
//! 5. **Redis must not evict keys, and must not have evicted any.** The store rejects a server with a
//!    `maxmemory-policy` other than `noeviction`, or with `evicted_keys` above 0. It checks this at start and once a
//!    second. Either of the two removes the generation, because the right setting does not bring evicted keys back. The
//!    store also rejects a server that is a replica.
//! 6. **Pushes make revocation fast, the staleness bound makes it safe.** [`RedisStore::push_to`] puts the revocations
//!    of other processes in force as soon as they are published. After a reconnect or a gap in the count, it marks the
//!    cached answers as [stale](tower_bearer::RevocationCache::doubt). A revocation that no push has delivered is seen
//!    after the staleness bound of the cache at the latest. Pushes are signed with the generation. A client that may
//!    publish but not read keys cannot revoke anything. It can cause one doubt a second at most.
//! 7. **Background tasks are [`BackgroundTask`](tower_bearer::BackgroundTask)s**: [`RedisStore::task`],
//!    [`Pushes::task`], [`DenyList::task`] and [`OutboxRelay::spawn`] return them. Use them to stop the tasks and for
//!    health checks.
//! 8. **A DPoP proof is accepted once in the whole fleet**, with [`RedisStore::replay_store`]. After each restart,
//!    failover or loss of data, the store rejects proofs for one proof window. See [`RedisReplayStore`].
//! 9. **Names are hashed at rest.** Keys and the stream contain dates and 128 bits of a SHA-256, not ids and subjects.
//!    Messages contain the ids and subjects, because a cache needs them. Redis does not keep messages.
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
//! Call this once, when the fleet is set up. Call it again only after a person has decided that the lost data does not
//! matter:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # use tower_bearer_redis::RedisStore;
//! RedisStore::connect("redis://redis.internal").await?.initialise().await?;
//! # Ok(()) }
//! ```
//!
//! If a store with an [`Outbox`](tower_bearer::revocation::outbox::Outbox) is the source of truth, use an
//! [`OutboxRelay`]. It copies the revocations of that store to Redis, and seeds a Redis that is empty or has lost some.
//! If you want no round trip for lookups, use a [`DenyList`]: it holds all revocation entries in each process.
//!
//! # What the operator decides
//!
//! * **How durable the data is.** Rule 3 needs a process that remembers. If the whole fleet restarts together with a
//!   Redis that has lost its last revocations, no process can notice the loss. Use `appendonly yes` with
//!   `appendfsync always`, or keep the source of truth in SQL and let an [`OutboxRelay`] copy it to Redis. The database
//!   remembers what Redis has acknowledged to the relay, and the relay seeds a Redis that has lost it. Two more losses
//!   cannot be noticed. The first is a revocation that is lost within one second, if the only process that has seen it
//!   has ended too. The second is a revocation that was replaced and is older than the latest 100 000, because the
//!   stream of changes keeps only those.
//! * **Which server is the master.** The store leaves a server that has become a replica, or whose connection has
//!   ended, within one second plus the command timeout. So in a failover the staleness bound is longer by about 1.5
//!   seconds. A master may be cut off from its replacement and still answer. The processes that reach it trust it, so
//!   the failover software must stop it. A master that rejects writes, for example because of `min-replicas-to-write`,
//!   cannot record a loss of data. Until it accepts writes again, only the processes that have noticed the loss are
//!   unavailable.
//! * **What else is in that server.** Evicted keys of other programs count too, and a snapshot of a [`DenyList`] reads
//!   all keys. A separate server is best. After an eviction, do this in this order: set `noeviction`, run
//!   `CONFIG RESETSTAT`, and seed again. The first process that has checked the server has removed the generation. If
//!   the server forbids `CONFIG`, as many managed services do, restart it or fail over to a replica: both begin to count
//!   evictions at 0. The store itself never uses `CONFIG`. If `INFO` hides the policy or the number of evictions, see
//!   [`allow_unknown_evictions`](RedisBuilder::allow_unknown_evictions).
//! * **Redis compares dates.** Redis keeps a revocation entry until
//!   [`KEEP_AFTER_EXPIRY`](tower_bearer::revocation::KEEP_AFTER_EXPIRY) after the expiry of the token. A server whose
//!   clock is further ahead than that removes entries too early.
//! * **Which rights the ACL user needs**: `~<prefix>*`, `&<prefix>*`, and
//!   `+get +set +mget +del +expireat +xadd +xrange +eval +publish +subscribe +info +time +wait +select +hello`.
//!   A client that may read these keys can sign pushes. A client that may write them can remove revocation entries. It
//!   can also hide an entry behind a key that is not a string, because a lookup treats such a key as missing. Give
//!   these rights to no other client. In a cluster the user also needs `+cluster|slots +cluster|nodes`, on every node.
//!   The user of the sentinels needs `+sentinel|get-master-addr-by-name +sentinel|master +hello`.
//! * **Topology**: one server or one name that leads to the current master, Sentinel, or Redis Cluster. See
//!   [below](#topologies).
//!
//! # Topologies
//!
//! The URL decides, see [`RedisStore::builder`]. Before each connection the store asks all sentinels, or all nodes of
//! the cluster, that the URL names. It asks them at the same time, and waits for at most half of the connect timeout.
//! The answer with the highest configuration epoch counts. The store asks again once a second. It leaves a server that
//! still answers if the answers name another one. If fewer than a majority of them answer, an epoch that is lower than
//! one that this process has seen does not count. If none answers, the store keeps its connection.
//!
//! | topology | promise | what a failover can lose | how it is noticed | test |
//! |---|---|---|---|---|
//! | one server or name | the store leaves a server that became a replica, within a second plus the command timeout | what replicas did not have; [`with_wait`](RedisBuilder::with_wait) bounds it | rule 3 | `losses.rs` `data_that_went_backwards_is_unavailable_for_the_whole_fleet` |
//! | Sentinel | the store follows the latest master that the reachable sentinels know, also if the old one still answers | the same | rule 3 | `sentinel.rs` `a_failover_by_sentinels_is_followed`, `a_master_that_most_sentinels_replaced_is_left`, `a_stale_sentinel_does_not_lead_back_to_the_old_master` |
//! | Cluster | the store follows the owner of the one slot of the fleet. While that slot moves, a lookup that may need the other node is an error | the same | rule 3, and errors of Redis (`MOVED`, `ASK`, `TRYAGAIN`, `CLUSTERDOWN`) | `cluster.rs` `a_cluster_never_answers_wrongly_while_slots_move_and_masters_fail`, `entries_that_have_moved_do_not_count_as_missing_after_a_failover` |
//!
//! **Sentinel.** A process that reaches only an old master, and at its start only sentinels that have missed the
//! failover, trusts them. To limit that, set `min-replicas-to-write` and `min-replicas-max-lag`: the old master then
//! rejects revocations. A process that was connected before keeps an old master for as long as it reaches no sentinel.
//!
//! **Cluster.** All keys of a fleet have one hash tag, so they are in one slot of one node. A fleet does not get faster
//! with more nodes. Keep these rules:
//!
//! * Name at least all masters in the URL. The store then stops as soon as one of them imports the slot. Redis forgets
//!   that a slot moves if the node that gives it away fails in the middle, and its replica would take moved entries for
//!   missing ones. The store notices this only at the importing node, and only if that node answers.
//! * Keep `cluster-allow-reads-when-down no`, which is the default. A node that is cut off then stops answering after
//!   `cluster-node-timeout`. Until then, a process that reaches only that node trusts it.
//! * Do not give a slot to another node while its old owner still has keys of it, as `CLUSTER SETSLOT` and
//!   `--cluster fix` can do. Entries would be missing at the new owner. If it happened, seed again.
//! * While the slot moves, most lookups fail, because entries that do not exist could be at either node. Cached answers
//!   stay in force until the staleness bound. Move the slot quickly, for example with `redis-cli --cluster reshard`,
//!   when the load is low. The store works again within about 2 seconds after the move.
//! * Pushes use `PUBLISH`, which the cluster bus brings to every node. `SPUBLISH` is not used: one message for each
//!   revocation is not a load that needs it.
//!
//! # TLS
//!
//! Use `rediss://` in place of `redis://` for TLS. The store then uses TLS 1.2 or 1.3 by rustls with AWS-LC, also if
//! another backend checks signatures. The certificate of the server must be for the host of the URL. It must be issued
//! by one of the bundled authorities of Mozilla's programme. For private authorities see
//! [`RedisBuilder::with_root_pem`] and [`add_root_pem`](RedisBuilder::add_root_pem). For a client certificate see
//! [`with_client_certificate_pem`](RedisBuilder::with_client_certificate_pem). You cannot turn off the check of
//! certificates. `redis://` sends everything unencrypted, the password too. Use it only in a trusted network.
//!
//! # What a process knows about Redis
//!
//! Each process remembers the generation, and the highest count with its hash. Each answer of Redis, and a check once a
//! second, moves its view of Redis along these arrows:
//!
//! ```text
//!                     start
//!                       |
//!                       v        1 (from every other state)
//!           +-----------------------+
//!           |     NOT CONNECTED     |<--------------------
//!           +-----------------------+
//!             | 2       | 3       | 4
//!             v         v         v
//!   +------------+ 3 +----------+ 4 +-----------+
//!   |            |-->|          |-->|           |
//!   | NOT SEEDED |   | COMPLETE |   | DATA LOST |
//!   |            |<--|          |<--|           |
//!   +------------+ 2 +----------+ 5 +-----------+
//!         ^                               | 2
//!         +-------------------------------+
//! ```
//!
//! | arrow | cause |
//! |---|---|
//! | 1 | the connection failed; a command or the check timed out; the server is a replica, or sentinels or the cluster name another master; the slot of the fleet moves; the server evicts keys or has evicted some, and then the process also removes the generation |
//! | 2 | an answer without a generation: Redis is empty, or a process has removed the generation |
//! | 3 | an answer with a new generation, after `initialise`, `seed` or a relay; or with the known one, and a count that is not lower, with the same hash if it is the same count |
//! | 4 | an answer with a lower count, with the same count and a different hash, or with a generation that another one has replaced; or the check finds a different revocation in the place of the latest known one. The process asks Redis to remove the generation, so arrow 2 follows in the whole fleet |
//! | 5 | Redis still has the latest known revocation after all, because the answer was late; or an answer with a new generation |
//!
//! | state | lookup | [`revoke`](tower_bearer::revocation::RevocationStore::revoke) |
//! |---|---|---|
//! | not connected | error, at once; right after the loss of a connection, after the first attempt to reconnect | error, and nothing is written |
//! | not seeded, data lost | error | error, but the entry is written |
//! | complete | "not revoked", "revoked", or "revoked from" a date | the entry is written and acknowledged |
//!
//! An answer to a question that was sent before the process learned a newer generation is an error, and does not change
//! the state. If [`RedisStore::task`] is stopped, the process stays in "not connected".
//!
//! Two components keep answers for a while, so these have an age. It counts from when the question was sent:
//!
//! | component | within the staleness bound | older |
//! |---|---|---|
//! | [`RevocationCache`](tower_bearer::RevocationCache) | the cached "not revoked", unless a [doubt](tower_bearer::RevocationCache::doubt) has marked it as stale | a lookup as above |
//! | [`DenyList`] | looked up in memory; in "not seeded" and "data lost" an error | error |
//!
//! # While Redis cannot be relied on
//!
//! Redis may be killed, stopped, behind a network that drops packets silently, or back without its data. The setting
//! [`OnUnavailable`](tower_bearer::revocation::OnUnavailable) of the cache then decides:
//!
//! | token | `Deny` | `ServeStale(age)` | `Allow` |
//! |---|---|---|---|
//! | last lookup, within the bound: "not revoked" | until the bound | until the bound + `age` | accepted |
//! | no lookup yet | 503 | 503 | accepted |
//! | revoked elsewhere since its last lookup | until the bound | until the bound + `age` | until Redis is back |
//! | known to be revoked, or revoked here | 401 | 401 | 401 |
//!
//! A time in a cell is the latest time at which the token is accepted.
//!
//! If there is no connection, a lookup fails at once. If the connection was lost just now, a lookup first waits for the
//! first attempt to reconnect. On a connection that has gone silent, a lookup fails after the command timeout. The
//! store gives such a connection up within one second plus the command timeout. Then each process tries to reconnect.
//! The first pause is 50 milliseconds, each pause is twice as long as the one before, and the longest is 2 seconds. A
//! random part of up to half is taken off each pause. You do not have to restart anything. A Redis that is back without
//! its data stays unavailable until it is seeded. One that is back with its data answers as before. A slow replica
//! delays revocations that [wait](RedisBuilder::with_wait) for it, but not lookups.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod connection;
mod data_loss;
mod deny_list;
mod deny_list_entries;
mod error;
mod keys;
mod pushes;
mod reconnect;
mod relay;
mod replays;
mod snapshot;
mod store;
pub mod telemetry;
mod topology;

pub use self::builder::RedisBuilder;
pub use self::deny_list::{DenyList, DenyListStats};
pub use self::error::ConnectError;
pub use self::pushes::{PushStats, Pushes};
pub use self::relay::OutboxRelay;
pub use self::replays::RedisReplayStore;
pub use self::store::RedisStore;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
