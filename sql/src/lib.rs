//! A token store in SQLite or PostgreSQL.
//!
//! The URL decides which database: `sqlite:tokens.db` (feature `sqlite`, SQLite is built in) or
//! `postgres://user@host/database` (feature `postgres`). The rest of the code is the same for both, and keeps the
//! contract of [`TokenStore`]:
//!
//! 1. **Each method that writes is one transaction.** The exception is a refresh token that has ended: the store
//!    answers for it without a transaction. SQLite: `BEGIN IMMEDIATE` on the one connection that writes. PostgreSQL:
//!    READ COMMITTED under advisory locks named after the owner and the session. So no token is issued behind a
//!    cut-off, or behind the end of a session, that is being written at the same time. A transaction that conflicts
//!    with another one is tried a few times.
//! 2. **Acknowledged means written.** SQLite syncs a write-ahead log at each commit. PostgreSQL raises
//!    `synchronous_commit` to `on` if it would wait for less. A dropped future, a failed statement or a killed process
//!    leaves nothing half done: a transaction that was not committed is rolled back before its connection is used
//!    again.
//! 3. **A revocation and its outbox entry are written in one transaction.** Its work does not grow with the number of
//!    tokens that it ends. It does not wait for a connection that other steps keep busy (SQLite: it waits for one other
//!    write at most). No table contains a token: tables contain only ids, and SHA-256 hashes of claims. Passwords are
//!    stored as their hashes.
//! 4. **A lookup is one indexed query**: one round trip, on a connection that is only for lookups (SQLite in memory: on
//!    its only connection). It sees what any process has committed before the query was sent.
//! 5. **Opening the store creates the tables, or migrates them to the current version.** One process at a time does
//!    this. The store rejects tables of a newer version. The names of the tables begin with `bearer_`, so they can be
//!    in a database with other tables.
//!
//! ```
//! # #[cfg(all(feature = "sqlite", any(feature = "aws-lc-rs", feature = "rust-crypto")))]
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
//! # #[cfg(not(all(feature = "sqlite", any(feature = "aws-lc-rs", feature = "rust-crypto"))))] fn main() {}
//! ```
//!
//! Caveats:
//! * Needs Rust 1.94, as sqlx does, and a tokio runtime with its timer.
//! * Put an SQLite file on a local disk: the store depends on file locks, and network file systems do not keep them.
//!   Only the owner can read the file.
//! * `sqlite::memory:` is lost when the store is dropped. For the consequences see
//!   [`MemoryTokenStore`](tower_bearer_issuing::store::MemoryTokenStore).
//! * The URL of PostgreSQL must lead to the primary: a standby answers with the data that it has received so far. Over
//!   a network use `sslmode=verify-full`. The default, `prefer`, continues without TLS if the server has none.
//! * PostgreSQL has no NUL in texts: a private token's name or an account with a NUL is an error there.
//! * Issuers and subjects longer than about a kilobyte do not fit into the indexes of PostgreSQL: sessions and private
//!   tokens for them are errors. Revocations may have names of any length.

// Without a database feature this crate is empty.
#![cfg(any(feature = "postgres", feature = "sqlite"))]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod accounts;
mod connect;
mod connection;
mod database;
mod denials;
mod devices;
mod failure;
mod options;
mod private_tokens;
mod schema;
mod sessions;
#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests;
mod upkeep;
mod value;

use std::{fmt, slice, sync::Arc};

pub use self::accounts::NewAccount;
use self::database::{Database, Writes};
pub use self::options::{OpenError, SqlStoreOptions};
use tower_bearer::revocation::outbox::{Acknowledged, NewEntries, Outbox, OutboxEntry};
use tower_bearer::{
    BoxFuture, UnixTime,
    claims::{Clock, SystemClock},
    revocation::{Lookup, Revocable, RevocationEntry, RevocationStore, StoreError, Verdict},
};
use tower_bearer_issuing::store::{
    Called, Caller, Insertion, ListQuery, NewPrivateToken, NewRefreshToken, Owner, PrivateRotation,
    PrivateToken, PrivateTokenPage, RefreshRotation, RefreshUse, RotatedPrivateToken, Step,
    TokenStore, TokenUse,
};

/// Sessions, private tokens, revocations, the outbox and accounts in a database. Clones share its connections.
#[derive(Clone)]
pub struct SqlStore {
    database: Database,
    clock: Arc<dyn Clock>,
    new_entries: Arc<NewEntries>,
}

impl SqlStore {
    /// Opens the database of this URL, and creates its tables or migrates them to the current version. Creates the
    /// SQLite file if there is none. [`SqlStoreOptions`] has settings.
    ///
    /// # Errors
    /// If the URL or the tables are not for this build, or the database cannot be reached.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        SqlStoreOptions::new().open(url).await
    }

    /// Sets the clock that decides which revocation entries are in force. Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn over(database: Database) -> Self {
        Self { database, clock: Arc::new(SystemClock::default()), new_entries: Arc::default() }
    }

    fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

/// Runs one transaction, and repeats it if it conflicts with another one. A failure after which it is not known whether
/// the commit has happened is never treated as a conflict. A failure before the commit is sent means that nothing was
/// written.
macro_rules! step {
    ($store:expr, |$transaction:ident| $work:expr) => {
        step!($store, crate::database::Writes::All, |$transaction| $work)
    };
    ($store:expr, $writes:expr, |$transaction:ident| $work:expr) => {{
        let store = $store;
        let step: BoxFuture<'_, Result<_, StoreError>> = Box::pin(async move {
            let mut retries = store.database.retries();
            loop {
                let mut is_committing = false;
                let taken = async {
                    let mut $transaction = store.database.begin($writes).await?;
                    let answer = $work.await?;
                    let entries = $transaction.take_entries();
                    is_committing = true;
                    $transaction.commit().await?;
                    Ok((answer, entries))
                };
                let taken: Result<(_, Vec<_>), crate::failure::Failure> = taken.await;
                match taken {
                    Err(failure) if failure.is_conflict() => {
                        let paused = retries.pause_after(failure).await;
                        paused.map_err(|conflict| {
                            StoreError::from(conflict).with_nothing_written()
                        })?;
                    }
                    Err(failure) if !is_committing => {
                        return Err(StoreError::from(failure).with_nothing_written());
                    }
                    taken => {
                        let (answer, entries) = taken?;
                        store.new_entries.add(entries);
                        return Ok(answer);
                    }
                }
            }
        });
        step
    }};
}
use step;

impl TokenStore for SqlStore {
    fn open_session<'a>(&'a self, first: &'a NewRefreshToken) -> Step<'a, Insertion<()>> {
        step!(self, |transaction| sessions::open(&mut transaction, first))
    }

    fn use_refresh<'a>(&'a self, rotation: &'a RefreshRotation) -> Step<'a, RefreshUse> {
        Box::pin(async move {
            let dead = sessions::find_dead(&self.database, rotation).await;
            match dead.map_err(|failure| StoreError::from(failure).with_nothing_written())? {
                Some(answer) => Ok(answer),
                None => {
                    step!(self, |transaction| sessions::use_once(&mut transaction, rotation)).await
                }
            }
        })
    }

    fn create_private<'a>(
        &'a self,
        caller: &'a Caller,
        token: &'a NewPrivateToken,
    ) -> Step<'a, Called<Insertion<PrivateToken>>> {
        step!(self, |transaction| private_tokens::create(&mut transaction, caller, token))
    }

    fn list_private<'a>(
        &'a self,
        caller: &'a Caller,
        query: &'a ListQuery,
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateTokenPage>>> {
        Box::pin(async move { Ok(private_tokens::list(&self.database, caller, query, now).await?) })
    }

    fn rotate_private<'a>(
        &'a self,
        caller: &'a Caller,
        rotation: &'a RotatedPrivateToken,
    ) -> Step<'a, Called<PrivateRotation>> {
        step!(self, |transaction| private_tokens::rotate(&mut transaction, caller, rotation))
    }

    fn revoke_private<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
    ) -> Step<'a, Called<Option<RevocationEntry>>> {
        step!(self, Writes::Revocations, |transaction| {
            private_tokens::revoke(&mut transaction, caller, id, now)
        })
    }

    fn revoke_owner<'a>(
        &'a self,
        owner: &'a Owner,
        now: UnixTime,
        tokens_expire_by: UnixTime,
    ) -> Step<'a, UnixTime> {
        step!(self, Writes::Revocations, |transaction| {
            denials::revoke_owner(&mut transaction, owner, now, tokens_expire_by)
        })
    }

    fn deny<'a>(&'a self, denials: &'a [RevocationEntry]) -> Step<'a, ()> {
        step!(self, Writes::Revocations, |transaction| denials::deny(&mut transaction, denials))
    }

    fn sweep(&self, now: UnixTime, limit: usize) -> Step<'_, usize> {
        step!(self, |transaction| upkeep::sweep(&mut transaction, now, limit))
    }

    fn touch<'a>(&'a self, uses: &'a [TokenUse]) -> Step<'a, ()> {
        step!(self, |transaction| private_tokens::touch(&mut transaction, uses))
    }

    fn shared_key<'a>(&'a self, name: &'a str, candidate: &'a [u8; 32]) -> Step<'a, [u8; 32]> {
        step!(self, |transaction| devices::shared_key(&mut transaction, name, candidate))
    }

    fn note_device<'a>(&'a self, device: &'a [u8; 32], keep_until: UnixTime) -> Step<'a, ()> {
        step!(self, |transaction| devices::note(&mut transaction, device, keep_until))
    }

    fn knows_device<'a>(&'a self, device: &'a [u8; 32], now: UnixTime) -> Step<'a, bool> {
        Box::pin(async move { Ok(devices::knows(&self.database, device, now).await?) })
    }
}

impl Outbox for SqlStore {
    fn outbox(&self, limit: usize) -> Step<'_, Vec<OutboxEntry>> {
        Box::pin(async move { Ok(denials::outbox(&self.database, limit).await?) })
    }

    fn denials<'a>(
        &'a self,
        after: Option<&'a Revocable>,
        limit: usize,
    ) -> Step<'a, Vec<RevocationEntry>> {
        let now = self.now();
        Box::pin(async move { Ok(denials::list(&self.database, after, limit, now).await?) })
    }

    fn outbox_done<'a>(&'a self, ids: &'a [i64], acknowledged: &'a Acknowledged) -> Step<'a, bool> {
        step!(self, |transaction| upkeep::forget_entries(&mut transaction, ids, acknowledged))
    }

    fn acknowledged<'a>(&'a self, fleet: &'a str) -> Step<'a, Option<Acknowledged>> {
        Box::pin(async move { Ok(upkeep::acknowledged(&self.database, fleet).await?) })
    }

    fn begin_generation<'a>(&'a self, new: &'a Acknowledged) -> Step<'a, ()> {
        step!(self, |transaction| upkeep::begin_generation(&mut transaction, new))
    }

    fn change_server<'a>(&'a self, kept: &'a Acknowledged, server: &'a str) -> Step<'a, bool> {
        step!(self, |transaction| upkeep::change_server(&mut transaction, kept, server))
    }

    fn new_entries(&self) -> BoxFuture<'_, Vec<OutboxEntry>> {
        Box::pin(self.new_entries.take())
    }
}

impl RevocationStore for SqlStore {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        let now = self.now();
        Box::pin(async move { Ok(denials::look_up(&self.database, lookup, now).await?) })
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        step!(self, Writes::Revocations, |transaction| {
            denials::deny(&mut transaction, slice::from_ref(entry))
        })
    }
}

impl fmt::Debug for SqlStore {
    /// Shows neither the URL nor the clock.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").finish_non_exhaustive()
    }
}

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
