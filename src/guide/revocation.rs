//! Revocation as a contract: what is promised, how the three modes keep it, and what they cost.
//!
//! A JWT is good until it expires, whatever has happened since. Revocation is the list of exceptions, and the question is
//! always the same: **how late may a process be to know of one?** Here that is a number, the *bound*, and it is an argument
//! of [`RevocationCache::new`](crate::RevocationCache::new): nobody gets one by accident.
//!
//! # What can be revoked
//!
//! | | reaches | named by |
//! |---|---|---|
//! | [`Token`](crate::revocation::RevocableKind::Token) | one token | `jti`, the claim that the policy names, or the SHA-256 of header and claims |
//! | [`Subject`](crate::revocation::RevocableKind::Subject) | all that were issued to a subject at a moment or before | `sub`, and the cut-off |
//! | [`Session`](crate::revocation::RevocableKind::Session) | all of one log-in | `sid` |
//! | [`Key`](crate::revocation::RevocableKind::Key) | all that one key verifies | the key's configured id, or its [thumbprint](crate::Key::thumbprint); never the `kid` of a token |
//!
//! Revoke one token with [`revoke_token`](crate::RevocationCache::revoke_token). For the rest use
//! [`revoke_subject`](crate::Authenticator::revoke_subject), [`revoke_session`](crate::Authenticator::revoke_session)
//! and [`revoke_key`](crate::Authenticator::revoke_key) of the authenticator. They compute how long the revocation is
//! kept, and an issuer or a key that is not configured is an error.
//! [`RevocationCache::revoke`](crate::RevocationCache::revoke) asks no questions: a name that matches nothing is not an
//! error there.
//!
//! The clock of another issuer may be ahead. A cut-off "as of now" therefore lies 30 seconds in the future, or whatever
//! leeway the policy accepts on `iat`. A token of a new log-in within that time is rejected too.
//!
//! Always together with the issuer, so that no tenant revokes another's tokens. A token without `iat` is refused by any
//! cut-off of its subject: its age cannot be told. Cut-offs count whole seconds: what was issued in the very second of one
//! is refused. An issuer of its own ([`issuing`](crate::issuing)) dates what it issues afterwards behind it.
//!
//! # When a revocation is seen
//!
//! | made | seen |
//! |---|---|
//! | **here**, by [`revoke`](crate::RevocationCache::revoke) | by the very next request, before the store has even been told. If the store fails, `revoke` is an error and the denial holds in this process all the same |
//! | **elsewhere, and pushed** ([`apply`](crate::RevocationCache::apply)) | by the next request after the message |
//! | **elsewhere, and the message was lost** | by every request that starts more than the bound after the store recorded it |
//! | **elsewhere, while the store is down** | not yet. Remembered answers are used for the rest of the bound; then nobody can tell, and by default requests get 503. Under [`ServeStale`](crate::revocation::OnUnavailable::ServeStale) the bound grows by its age, under [`Allow`](crate::revocation::OnUnavailable::Allow) there is none |
//!
//! A request that has already been let in is not called back. What runs long looks again with
//! [`recheck`](crate::Authenticator::recheck): see [`how_to`](super::how_to::streams).
//!
//! The bound counts from when a question was *sent*, not from when its answer came. A store that reads from a replica adds
//! the replica's lag. Clocks of different machines do not matter to it: ages are measured by each process's own monotonic
//! and wall clock, whichever says more, so that neither a suspended machine nor a clock that is set back makes an answer
//! younger.
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
//! // There, an answer of this very second is used until it is older than the bound,
//! clock.advance(Duration::from_secs(30));
//! authenticator_there.authenticate(&token).await?;
//! // and no longer.
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
//! | store | [`MemoryStore`](crate::revocation::MemoryStore) | [`RedisStore`](crate::revocation::redis::RedisStore), with [`push_to`](crate::revocation::redis::RedisStore::push_to) | [`DenyList`](crate::revocation::redis::DenyList), cache with a bound of zero |
//! | for | one process, tests | a fleet | a fleet that wants no round trip, and has memory for the whole list |
//! | a token never seen before costs | nothing | one command to Redis | a look at a table in the process |
//! | a token that was seen within the bound | nothing | nothing | the same look |
//! | seen elsewhere, as a rule | never | when the message arrives | when the stream's next entry arrives |
//! | seen elsewhere, at the latest | never | after the bound | after the bound of the list, or it answers 503 |
//! | when the process ends | **all is lost**, and tokens that were revoked are good again | Redis keeps it | Redis keeps it |
//! | Redis is down | | remembered answers for the rest of the bound, then 503 | what is held for the rest of the bound, then 503 |
//! | Redis has lost its data | | noticed: 503 until it is seeded again | the same, at once |
//!
//! Where an SQL database is the truth, [`SqlStore`](crate::issuing::store::SqlStore) answers look-ups itself; or an
//! [`OutboxRelay`](crate::revocation::redis::OutboxRelay) in each process carries its revocations into Redis, and seeds
//! a Redis that is empty or has lost some. The fleet is then as in the middle column, later by a few milliseconds. If
//! the process that revoked has died, it is later by the relay's interval, and by the lease of 2 seconds if that process
//! had it. The bound then counts from when a revocation was carried: a relay that cannot reach the database, or may not
//! write to Redis, delays it without end, and only its events and metrics tell.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use tower_bearer::{
//!     RevocationCache,
//!     revocation::{MemoryStore, redis::{DenyList, RedisStore}},
//! };
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
//! It is the answer to "if a message is lost, how long may a stolen token go on?". A short one asks the store more often:
//! at most once in each bound for a token that is in use, whatever its rate of requests. With pushes it is a safety net,
//! and 30 seconds do no harm; without them it *is* the delay. Zero asks at every request.
//!
//! # What an operator watches
//!
//! [`RevocationCache::stats`](crate::RevocationCache::stats), or the metrics and events of [`telemetry`](crate::telemetry):
//! `failures` and `timed_out` say that the store is in trouble, `unavailable` that users see it, `allowed` and
//! `served_stale` that a policy which was spelled out is letting requests through unseen.
//! `tower_bearer_revocation_relay_errors_total` and the event `revocations not carried` say that a relay is stuck.
//! [`PushStats`](crate::revocation::redis::PushStats) and [`DenyListStats`](crate::revocation::redis::DenyListStats) tell
//! of messages, gaps and snapshots.
//!
//! # How it is shown
//!
//! | claim | test |
//! |---|---|
//! | the next request sees a local revocation, under load as well | `revocation_through_the_layer.rs` `under_load_the_next_request_sees_every_local_revocation` |
//! | the bound holds, and counts from the sending | `revocation_through_the_layer.rs` `what_is_revoked_elsewhere_is_seen_after_the_bound` |
//! | a revocation during a look-up is never lost, in any interleaving of the threads | `interleavings/revocation/model.rs` `a_revocation_during_a_look_up_of_the_same_token_is_never_lost` |
//! | known denials win over every setting and every store | `revocation_through_the_layer.rs` `a_local_revocation_wins_over_a_store_that_lies` |
//! | three processes over a real Redis | `redis/processes.rs` `what_process_a_revokes_b_and_c_refuse` |
//! | whatever happens to the wire, no revoked token passes after the bound | `redis/faults.rs` `no_revoked_token_passes_after_the_bound` |
//! | an empty Redis is unavailable until somebody has decided that it may be empty | `redis/seeding.rs` `an_empty_redis_is_unavailable_until_it_is_initialised` |
//! | so is one whose data went backwards | `redis/losses.rs` `data_that_went_backwards_is_unavailable_for_the_whole_fleet` |
//!
//! # Measured
//!
//! The rest of this page is `benches/revocation/results.md`, as the bench wrote it.
//!
#![doc = include_str!("../../benches/revocation/results.md")]
use crate::UnixTime;
