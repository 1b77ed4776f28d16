//! Your own revocation store: what it must do, and how to test it.
//!
//! A [`RevocationStore`](crate::revocation::RevocationStore) has two methods. `look_up` tells whether a token is
//! revoked, and `revoke` records a revocation entry. The [`RevocationCache`](crate::RevocationCache) in front of it
//! caches answers, shares lookups between requests, limits their time, and decides what a failure means. A store does
//! none of that. The file `examples/own_store/src/main.rs` in the repository is a complete store with its tests.
//!
//! A crate with a store needs this much of tower-bearer. The example is also a program, and so has more dependencies.
//!
//! ```toml
//! [dependencies]
//! tower-bearer = { version = "0.1", default-features = false }
//!
//! [dev-dependencies]
//! tower-bearer = { version = "0.1", features = ["test-util"] }
//! tokio = { version = "1", features = ["macros", "rt"] }
//! ```
//!
//! # The rules
//!
//! 1. **A lookup that is sent after `revoke` has returned finds the entry**, from any process. Return from `revoke`
//!    only when the entry can no longer be lost.
//! 2. **Fail, never guess.** Return [`StoreError`](crate::revocation::StoreError) if you cannot answer. The cache
//!    answers 503 by default ([`OnUnavailable`](crate::revocation::OnUnavailable)).
//! 3. **Revoking again never weakens.** The latest cut-off, the latest
//!    [`obsolete_after`](crate::revocation::RevocationEntry::obsolete_after) and the earliest start of one thing hold
//!    together.
//! 4. **Compare all three parts of a thing**: kind, issuer and id, byte by byte. An id can be any text.
//! 5. **Do not block the thread.** A timeout cannot interrupt a blocked thread.
//!
//! # Dates
//!
//! Every date is a [`UnixTime`](crate::UnixTime): whole seconds since the Unix epoch. Store
//! [`as_secs`](crate::UnixTime::as_secs) and read it with [`from_secs`](crate::UnixTime::from_secs). Many databases
//! have only signed numbers: [`UnixTime::MAX`](crate::UnixTime::MAX) means "never", so store it as the largest number
//! that fits, and read that number as `MAX` again. To convert a `SystemTime` use `UnixTime::from`, which rounds down.
//!
//! [`RevocationEntry::new`](crate::revocation::RevocationEntry::new) adds the margin after the tokens' expiry, once.
//! Keep the date of `obsolete_after` as it is, and restore an entry that you read with
//! [`RevocationEntry::restored`](crate::revocation::RevocationEntry::restored), which adds nothing:
//!
//! ```
//! use tower_bearer::{UnixTime, revocation::{Revocable, RevocableKind, RevocationEntry}};
//!
//! let ada = Revocable::subject("https://issuer.example", "ada");
//! let expires_by = UnixTime::from_secs(1_900_003_600);
//! let entry = RevocationEntry::new(ada, expires_by).with_cut_off(UnixTime::from_secs(1_900_000_000));
//!
//! // One row: kind, issuer, id and three dates.
//! let thing = entry.thing();
//! assert_eq!(thing.kind(), RevocableKind::Subject);
//! let (issuer, id) = (thing.issuer().clone(), thing.id().clone());
//! let dates = [entry.cut_off(), entry.starts_at(), entry.obsolete_after()].map(UnixTime::as_secs);
//!
//! let [cut_off, starts_at, obsolete_after] = dates.map(UnixTime::from_secs);
//! let read = RevocationEntry::restored(Revocable::subject(issuer, id), obsolete_after)
//!     .with_cut_off(cut_off)
//!     .with_start(starts_at);
//! assert_eq!(read, entry);
//! ```
//!
//! [`Lookup::verdict`](crate::revocation::Lookup::verdict) applies cut-offs and starts to the entries that you found.
//!
//! # A store that was emptied
//!
//! An empty store says "not revoked" about every token. If your store can lose its data (a cache server, a restored
//! backup, a failover to a replica that lags), it must notice the loss and fail until it is filled again. Write a
//! marker when the store is set up, read the marker in the same query as the entries, and return an error without it.
//! `tower_bearer_redis::RedisStore` does that with its generation.
//!
//! # Revocations of other processes
//!
//! By default, a process sees a revocation of another process after the bound at the latest. If you have a stream of
//! revocations (a message queue, `LISTEN`), connect it to the cache:
//!
//! * Call [`RevocationCache::apply`](crate::RevocationCache::apply) for each entry of the stream. The next request sees
//!   it.
//! * Call [`RevocationCache::doubt`](crate::RevocationCache::doubt) after each reconnect and each gap. Cached answers
//!   from before are then stale, and tokens are looked up again.
//!
//! # The conformance suite
//!
//! `test_util::revocation_conformance` (feature `test-util`) checks the rules on your store, each on an empty one:
//!
//! ```
//! # #[cfg(feature = "test-util")]
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{revocation::MemoryStore, test_util::revocation_conformance};
//!
//! // Your store in place of `MemoryStore`.
//! revocation_conformance::check(async |clock| MemoryStore::new().with_clock(clock)).await;
//! # }
//! # #[cfg(not(feature = "test-util"))] fn main() {}
//! ```
//!
//! If a rule is broken, it panics with a sentence such as "broken rule: revoking again does not lower a cut-off". It
//! cannot check that an entry outlives a crash, or that other processes see it: test these two with your
//! database. `sql/src/tests/crash.rs` and `redis/tests/redis/processes.rs` in the repository are examples.
