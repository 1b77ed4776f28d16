//! Stores revocation entries in PostgreSQL or SQLite, so that every process that shares the database rejects the same
//! tokens.
//!
//! [`SqlStore`] has two uses:
//!
//! * **A resource server** looks up and writes revocation entries: `SqlStore` is a
//!   [`RevocationStore`](tower_bearer::revocation::RevocationStore) and an
//!   [`Outbox`](tower_bearer::revocation::outbox::Outbox). This needs no other feature than `postgres` or `sqlite`.
//! * **An issuer** also stores sessions, private tokens and accounts: with the feature `issuing`, `SqlStore` is a
//!   `TokenStore`, an `AccountStore` and a `ManagedAccounts` of `tower-bearer-issuing`.
//!
//! Both can share one database, because the tables are the same.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tower_bearer::{
//!     UnixTime,
//!     revocation::{Lookup, Revocable, RevocationEntry, RevocationStore, Verdict, outbox::Outbox},
//! };
//! use tower_bearer_sql::SqlStore;
//!
//! let store = SqlStore::open("sqlite::memory:").await?;
//! let token = Revocable::token("https://issuer.example", "7f3a");
//! let lookup = Lookup::new([token.clone()], UnixTime::from_secs(1_900_000_000));
//! assert_eq!(store.look_up(&lookup).await?, Verdict::NotRevoked);
//! store.revoke(&RevocationEntry::new(token, UnixTime::from_secs(4_102_444_800))).await?;
//! assert_eq!(store.look_up(&lookup).await?, Verdict::Revoked);
//! assert_eq!(store.outbox(10).await?.len(), 1);
//! # Ok(()) }
//! ```
//!
//! The URL decides which database: `sqlite:tokens.db` (feature `sqlite`, SQLite is built in) or
//! `postgres://user@host/database` (feature `postgres`). The rest of the code is the same for both, and keeps these
//! rules:
//!
//! 1. **Each method that writes is one transaction.** There are two exceptions. For a refresh token that has ended,
//!    the store answers without a transaction. The deletion of an account or of personal data revokes in a first
//!    transaction, and deletes a few hundred rows in each further one. SQLite: `BEGIN IMMEDIATE` on the one
//!    connection that writes. PostgreSQL: READ COMMITTED under advisory locks named after the owner and the
//!    session. So no token is issued behind a cut-off, or behind the end of a session, that is being written at the
//!    same time. A transaction that conflicts with another one is tried a few times.
//! 2. **Acknowledged means written.** SQLite syncs a write-ahead log at each commit. PostgreSQL raises
//!    `synchronous_commit` to `on` if it would wait for less. A dropped future, a failed statement or a killed process
//!    leaves nothing half done: a transaction that was not committed is rolled back before its connection is used
//!    again.
//! 3. **A revocation and its outbox entry are written in one transaction.** Its work does not grow with the number
//!    of tokens that it ends. It does not wait for a connection that other steps keep busy (SQLite: it waits for
//!    one other write at most). Other steps of one account take turns: they keep at most one connection of a
//!    process busy. No table contains a token: tables contain only ids, and SHA-256 hashes of claims. Passwords are
//!    stored as their hashes.
//! 4. **A lookup is one indexed query**: one round trip, on a connection that is only for lookups (SQLite in memory: on
//!    its only connection). It sees what any process has committed before the query was sent.
//! 5. **Opening the store creates the tables, or migrates them to the current version.** One process at a time does
//!    this. [`SqlStore::migrate`] does only that. The store uses tables of a newer version as they are, and rejects
//!    them if their major version is newer. The names of the tables begin with `bearer_`, so they can be
//!    in a database with other tables.
//!
//! # Several processes
//!
//! A database is enough for a fleet: Redis is not needed. There are three ways to see the revocations of other
//! processes.
//!
//! | way | a lookup | a revocation of another process is seen |
//! |---|---|---|
//! | a `RevocationCache` in front of [`SqlStore`] | one query, if no answer is cached | after the staleness bound of the cache |
//! | the same, with [`SqlStore::push_to`]: for issuers | the same | after milliseconds (PostgreSQL notifies), or a second |
//! | a `RevocationCache` with a bound of zero in front of [`SqlDenyList`]: for resource servers | memory, no query | the same; after the bound of the list the process answers an error |
//!
//! Both followers poll: they read the rows that changed since the last poll. A transaction that is open for long keeps
//! the begin of this range back, so each poll reads the rows since then again. A poll that takes long is followed by a
//! pause of the same length.
//!
//! In PostgreSQL a trigger of version 8 of the tables writes the id of the transaction into each row, and sends a
//! notification at the end of each statement. Rows of processes of version 7 have both too. PostgreSQL commits
//! transactions with notifications one after the other. If that is too slow for your revocations, drop the trigger
//! `bearer_denials_notify`: polls then work alone. Triggers do not run for data that is loaded with
//! `session_replication_role = replica` or `--disable-triggers`. Restart the processes after that.
//!
//! | topology | promise | what a failover can lose | how it is noticed | test |
//! |---|---|---|---|---|
//! | one PostgreSQL server | every acknowledged revocation is seen after the next poll; with a server that does not answer, lookups fail after the bound | nothing: a crash loses no commit | the task of the follower reports failures | `a_list_follows_a_server_that_was_killed_and_started_again`, `a_frozen_server_makes_lookups_fail_after_the_bound` |
//! | PostgreSQL with a synchronous standby | the same | nothing, if the standby that takes over was synchronous | the same | the same, because a new server is found by its start |
//! | PostgreSQL with an asynchronous standby | the same until the failover | the revocations that the standby had not received. Processes that had polled them keep them until they end. Other processes, and those that start later, accept these tokens | [`DenyListStats::missing`] of a process that had polled them. **No process notices it if none of them had** | `a_process_forgets_nothing_when_an_old_backup_is_restored` |
//! | a backup of PostgreSQL that was restored | the same | everything after the backup, as above | the same | the same |
//! | a standby behind the URL | it does not bring the list up to date, because it can lag: lookups fail after the bound | | the task reports `standby` | `a_standby_does_not_bring_a_list_up_to_date` |
//! | PostgreSQL behind PgBouncer in transaction mode | the same, by polls alone | as its server | [`DenyListStats::notifications`] stays 0 | `polls_alone_work_through_pgbouncer` |
//! | SQLite in a file | the same, by polls | nothing. Stop the processes before you restore a backup | | `another_process_on_sqlite_sees_each_kind_and_each_change` |
//!
//! The tests are in `sql/src/tests/followers.rs`. One of them, `delays_and_snapshots_are_measured`, prints the delay
//! from the acknowledgement of a revocation until another process rejects the token. On 2026-11-27, with PostgreSQL 15
//! on the same machine with 2 cores, and an unoptimised build:
//!
//! | way | revocations | median | p99 | maximum |
//! |---|---|---|---|---|
//! | with notifications | 1000 | 2.3 ms | 4.4 ms | 6.1 ms |
//! | polls alone, one each second | 100 | 506 ms | 985 ms | 1000 ms |
//!
//! In the same run, 8 connections wrote 1661 revocations per second with notifications and 1938 without.
//!
//! Caveats:
//! * Needs Rust 1.94, as sqlx does, a tokio runtime with its timer, and PostgreSQL 13 or later, or the built-in SQLite.
//! * Put an SQLite file on a local disk: the store depends on file locks, and network file systems do not keep them.
//!   Only the owner can read the file.
//! * `sqlite::memory:` is lost when the store is dropped: every revocation with it.
//! * The URL of PostgreSQL must lead to the primary: a standby answers with the data that it has received so far. Over
//!   a network use `sslmode=verify-full`. The default, `prefer`, continues without TLS if the server has none.
//! * PostgreSQL has no NUL in texts: a private token's name or an account with a NUL is an error there.
//! * Issuers and subjects longer than about a kilobyte do not fit into the indexes of PostgreSQL: sessions and private
//!   tokens for them are errors. Revocations may have names of any length.
//! * Opening and writing do not delete obsolete rows. `TokenIssuer::spawn_maintenance` does that. Without an issuer, call
//!   [`SqlStore::delete_obsolete`].

// Without a database feature this crate is empty.
#![cfg(any(feature = "postgres", feature = "sqlite"))]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod connection;
mod database;
mod deny_list;
mod entries;
mod migration;
mod open;
mod outbox;
mod session_copy;
mod statement;
mod store;
mod sweep;
#[cfg(all(test, feature = "issuing", any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests;
#[cfg(feature = "issuing")]
mod token_store;

pub use self::deny_list::{DenyListStats, SqlDenyList};
pub use self::migration::Migration;
pub use self::open::{OpenError, SqlStoreOptions};
pub use self::store::SqlStore;

/// Compiles the examples of the README.
#[cfg(all(doctest, feature = "issuing"))]
#[doc = include_str!("../README.md")]
struct Readme;
