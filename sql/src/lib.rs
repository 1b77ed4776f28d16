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
//! Caveats:
//! * Needs Rust 1.94, as sqlx does, and a tokio runtime with its timer.
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
mod entries;
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

pub use self::open::{Migration, OpenError, SqlStoreOptions};
pub use self::store::SqlStore;

/// Compiles the examples of the README.
#[cfg(all(doctest, feature = "issuing"))]
#[doc = include_str!("../README.md")]
struct Readme;
