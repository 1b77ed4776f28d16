//! Revocation as a contract: what it promises, how the three modes keep the promise, and what they cost.
//!
//! A JWT is valid until it expires. Revocation is the list of exceptions. The central question is: **how late may a
//! process learn of an exception?** This crate makes that a number, the *staleness bound*. It is an argument of
//! [`RevocationCache::new`](crate::RevocationCache::new), so every service chooses its own.
//! [`guide::deployments`](super::deployments) follows one revocation step by step, with every failure.
//!
//! # What can be revoked
//!
//! | | revokes | named by |
//! |---|---|---|
//! | [`Token`](crate::revocation::RevocableKind::Token) | one token | `jti`, the claim that the policy names, or the SHA-256 of header and claims |
//! | [`Subject`](crate::revocation::RevocableKind::Subject) | all tokens of a subject that were issued at the cut-off or before | `sub`, and the cut-off |
//! | [`Session`](crate::revocation::RevocableKind::Session) | all tokens of one log-in | `sid` |
//! | [`Key`](crate::revocation::RevocableKind::Key) | all tokens that one key verifies | the configured id of the key, or its [thumbprint](crate::Key::thumbprint); never the `kid` of a token |
//!
//! * Revoke one token with [`revoke_token`](crate::RevocationCache::revoke_token).
//! * For the rest use [`revoke_subject`](crate::Authenticator::revoke_subject),
//!   [`revoke_session`](crate::Authenticator::revoke_session) and [`revoke_key`](crate::Authenticator::revoke_key) of
//!   the authenticator. They compute how long the revocation entry is kept. An issuer or a key that is not configured
//!   is an error.
//! * [`RevocationCache::revoke`](crate::RevocationCache::revoke) checks no names. A name that matches nothing is not an
//!   error there.
//!
//! Four rules for cut-offs and names:
//!
//! 1. Every revocation entry contains the issuer. So one tenant cannot revoke the tokens of another.
//! 2. The clock of another issuer may be ahead. A cut-off "as of now" is therefore 30 seconds in the future, or the
//!    leeway that the policy accepts on `iat`. A token of a new log-in within that time is rejected too.
//! 3. A token without `iat` is rejected by every cut-off of its subject, because its age is unknown.
//! 4. Cut-offs count whole seconds. A token that was issued in the second of the cut-off is rejected. A `TokenIssuer`
//!    (crate `tower-bearer-issuing`) dates the tokens that it issues afterwards later than the cut-off.
//!
//! # When a revocation is seen
//!
//! | made | seen |
//! |---|---|
//! | **in this process**, by [`revoke`](crate::RevocationCache::revoke) | by the very next request, before the store has answered. If the store fails, `revoke` returns an error, and the revocation entry still holds in this process |
//! | **in another process, and pushed** ([`apply`](crate::RevocationCache::apply)) | by the next request after the message |
//! | **in another process, and the message was lost** | by every request that starts more than the bound after the store recorded it |
//! | **in another process, while the store is down** | not before the store answers again. Cached answers are used for the rest of the bound. After that, requests get 503 by default. With [`ServeStale`](crate::revocation::OnUnavailable::ServeStale) the bound grows by its age. With [`Allow`](crate::revocation::OnUnavailable::Allow) there is no bound |
//!
//! The layer does not interrupt a request that it has accepted. A long stream calls
//! [`recheck`](crate::Authenticator::recheck): see [`how_to::streams`](super::how_to::streams).
//!
//! The bound counts from when a question was *sent*, not from when its answer came. A store that reads from a replica
//! adds the lag of the replica. The clocks of different machines do not matter to the bound. Each process measures ages
//! with its own monotonic and wall clock, and takes the larger age. So an answer does not become younger when a machine
//! is suspended or a clock is set back.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use tower_bearer::{
//!     Authenticator, Issuer, RejectionKind, RevocationCache, UnixTime, claims::ManualClock,
//!     revocation::MemoryStore,
//! };
//! # use tower_bearer::{Algorithm, Key};
//! # let key = Key::hs256([7; 32])?;
//! # let token = jsonwebtoken::encode(
//! #     &jsonwebtoken::Header::default(),
//! #     &serde_json::json!({ "iss": "https://issuer.example", "aud": "api://orders", "sub": "ada", "jti": "1", "exp": 4_000 }),
//! #     &jsonwebtoken::EncodingKey::from_secret(&[7; 32]),
//! # )?;
//!
//! let clock = ManualClock::at(UnixTime::from_secs(1_000));
//! let issuer = Issuer::new("https://issuer.example", key).audience("api://orders");
//! let authenticator = Authenticator::builder().issuer(issuer).with_clock(clock.clone()).build()?;
//!
//! // Two processes that share a store, each with its cache.
//! let store = MemoryStore::new().with_clock(clock.clone());
//! let cache = || RevocationCache::new(store.clone(), Duration::from_secs(30)).with_clock(clock.clone());
//! let (here, there) = (cache(), cache());
//! let authenticator_here = authenticator.clone().with_revocation(here.clone());
//! let authenticator_there = authenticator.with_revocation(there.clone());
//!
//! let user = authenticator_here.authenticate(&token).await?;
//! authenticator_there.authenticate(&token).await?;
//!
//! here.revoke_token(&user).await?;
//! let refused = authenticator_here.authenticate(&token).await.unwrap_err();
//! assert_eq!(refused.kind(), RejectionKind::Revoked);
//!
//! // The other process uses its cached answer until it is older than the bound,
//! clock.advance(Duration::from_secs(30));
//! authenticator_there.authenticate(&token).await?;
//! // and asks the store after that.
//! clock.advance(Duration::from_secs(1));
//! let refused = authenticator_there.authenticate(&token).await.unwrap_err();
//! assert_eq!(refused.kind(), RejectionKind::Revoked);
//! # Ok(()) }
//! ```
//!
//! # The three modes
//!
//! | | memory | Redis, bound and push | deny-list |
//! |---|---|---|---|
//! | store | [`MemoryStore`](crate::revocation::MemoryStore) | `tower_bearer_redis::RedisStore`, with `tower_bearer_redis::RedisStore::push_to` | `tower_bearer_redis::DenyList`, cache with a bound of zero |
//! | for | one process, tests | a fleet | a fleet that wants no round trip, and has memory for the whole list |
//! | a token that is new to the process costs | nothing | one command to Redis | a lookup in a table in memory |
//! | a token that was seen within the bound costs | nothing | nothing | the same lookup in memory |
//! | other processes usually see a revocation | never | when the message arrives | when the next entry of the stream arrives |
//! | other processes see it at the latest | never | after the bound | after the bound of the list, or they answer 503 |
//! | when the process ends | **all entries are lost**, and revoked tokens are valid again | Redis keeps them | Redis keeps them |
//! | Redis is down | | cached answers for the rest of the bound, then 503 | the list for the rest of the bound, then 503 |
//! | Redis has lost its data | | this is noticed: 503 until Redis is seeded again | the same, at once |
//!
//! If an SQL database is the source of truth, there are three ways. `tower_bearer_sql::SqlStore` answers
//! lookups itself. Or a `tower_bearer_sql::SqlDenyList` keeps a copy of the database in each process, as in the right
//! column with the database in the place of Redis: PostgreSQL notifies the processes, and with SQLite they poll. A
//! database that has lost revocations is not noticed at once: the documentation of `tower_bearer_sql` has a table of
//! this. Or an `tower_bearer_redis::OutboxRelay` in each process copies its revocation
//! entries to Redis, and seeds a Redis that is empty or has lost entries. The fleet then behaves as in the middle
//! column, later by a few milliseconds. If the process that revoked has died, it is later by the interval of the relay,
//! and by the lease of 2 seconds if that process had it. The bound then counts from when an entry was copied. A relay
//! that cannot reach the database, or may not write to Redis, delays the entry without limit. Only its events and
//! metrics report this.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use tower_bearer::{RevocationCache, revocation::MemoryStore};
//! use tower_bearer_redis::{DenyList, RedisStore};
//!
//! let memory = RevocationCache::new(MemoryStore::new(), Duration::ZERO);
//!
//! let redis = RedisStore::connect("redis://redis.internal").await?;
//! let shared = RevocationCache::new(redis.clone(), Duration::from_secs(30));
//! redis.push_to(&shared);
//!
//! let deny_list = DenyList::follow(&redis, Duration::from_secs(10));
//! let deny_listed = RevocationCache::new(deny_list, Duration::ZERO);
//! # let _ = (memory, shared, deny_listed);
//! # Ok(()) }
//! ```
//!
//! # Choosing the bound
//!
//! The bound answers the question "if a message is lost, how long is a stolen token still accepted?". A short bound
//! asks the store more often: at most once in each bound for each token in use, whatever its rate of requests. With
//! pushes the bound is a safety net, and 30 seconds are enough. Without pushes it *is* the delay. A bound of zero asks
//! the store at every request.
//!
//! # What an operator watches
//!
//! [`RevocationCache::stats`](crate::RevocationCache::stats), or the metrics and events of
//! [`telemetry`](crate::telemetry):
//!
//! * `failures` and `timed_out`: the store has a problem. `unavailable`: users see it.
//! * `allowed` and `served_stale`: a policy that you have set passes requests without an answer of the store.
//! * `tower_bearer_revocation_relay_errors_total` and the event `revocations not carried`: a relay cannot copy.
//! * `tower_bearer_redis::PushStats` and `tower_bearer_redis::DenyListStats`:
//!   messages, gaps and snapshots.
//! * the [health](crate::BackgroundTask::health) of `RedisStore::task`, `Pushes::task`, `DenyList::task` and of
//!   the task that `OutboxRelay::spawn` returns: whether it runs, and the kind of its last failure.
//!
//! # Tests
//!
//! | claim | test |
//! |---|---|
//! | the next request sees a local revocation, also under load | `tests/revocation/through_the_layer.rs` `under_load_the_next_request_sees_every_local_revocation` |
//! | the bound holds, and counts from when the question was sent | `tests/revocation/through_the_layer.rs` `a_revocation_of_another_process_is_seen_after_the_bound` |
//! | a revocation during a lookup is never lost, in any interleaving of the threads | `tests/interleavings/revocation/model.rs` `a_revocation_during_a_lookup_of_the_same_token_is_never_lost` |
//! | a known revocation entry wins over every setting and every store | `tests/revocation/through_the_layer.rs` `a_local_revocation_wins_over_a_store_that_lies` |
//! | three processes over a real Redis | `redis/tests/redis/processes.rs` `a_revocation_of_process_a_is_rejected_by_b_and_c` |
//! | no revoked token passes after the bound, whatever happens to the network | `redis/tests/redis/faults.rs` `no_revoked_token_passes_after_the_bound_with_network_faults` |
//! | an empty Redis is unavailable until an operator initialises or seeds it | `redis/tests/redis/seeding.rs` `an_empty_redis_is_unavailable_until_it_is_initialised` |
//! | a Redis that has lost data is unavailable | `redis/tests/redis/losses.rs` `data_that_went_backwards_is_unavailable_for_the_whole_fleet` |
//! | a failover by Sentinel, and a stale sentinel | `redis/tests/redis/sentinel.rs` `a_failover_by_sentinels_is_followed`, `redis/tests/redis/sentinel.rs` `a_stale_sentinel_does_not_lead_back_to_the_old_master` |
//! | a slot of a Redis Cluster moves, and its owner fails | `redis/tests/redis/cluster.rs` `a_cluster_never_answers_wrongly_while_slots_move_and_masters_fail` |
//!
//! # Measured
//!
//! The bench `revocation` wrote the rest of this page, `benches/revocation/results.md`.
//!
#![doc = include_str!("../../benches/revocation/results.md")]
