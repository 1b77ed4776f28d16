//! Creates the tables, or migrates them to the current version.

use super::{
    database::{Database, Transaction},
    open::OpenError,
    session_copy,
    statement::{Failure, Value},
};

/// The migrations for SQLite and for PostgreSQL, in order. Never change one; only add new ones. The version of a
/// database is the number of migrations that it has run.
const MIGRATIONS: [(&str, &str); 8] = [
    (include_str!("schema/sqlite_1.sql"), include_str!("schema/postgres_1.sql")),
    (include_str!("schema/sqlite_2.sql"), include_str!("schema/postgres_2.sql")),
    (include_str!("schema/sqlite_3.sql"), include_str!("schema/postgres_3.sql")),
    (include_str!("schema/sqlite_4.sql"), include_str!("schema/postgres_4.sql")),
    (include_str!("schema/sqlite_5.sql"), include_str!("schema/postgres_5.sql")),
    (include_str!("schema/sqlite_6.sql"), include_str!("schema/postgres_6.sql")),
    (include_str!("schema/sqlite_7.sql"), include_str!("schema/postgres_7.sql")),
    (include_str!("schema/sqlite_8.sql"), include_str!("schema/postgres_8.sql")),
];

/// The version with all new tables. The next one needs the sessions of earlier versions, and copying them takes time.
pub(crate) const TABLES: u64 = 3;

/// The version with the keys that tokens are bound to.
const KEY_THUMBPRINTS: u64 = 5;

/// The version in which processes can follow the revocations.
const CHANGES: u64 = 8;

/// The major version of the tables that this build can use. Tables of a later version and the same major version have
/// only additions. A new migration that an older version cannot live with also raises `bearer_schema.major`.
pub(crate) const KNOWN_MAJOR: u64 = 1;

/// An arbitrary number. It must be the same in every process.
pub(crate) const MIGRATION_LOCK: i64 = 0x746f_7765_7262_6561;

/// What a migration has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// The version of the tables before. 0 if there were none.
    pub from: u64,
    /// The version of the tables now. It is higher than that of this build if a newer one has migrated them.
    pub to: u64,
}

/// Migrates the tables to the current version. If several processes start together, one migrates and the others wait. A
/// process that dies in the middle leaves nothing that the next one could not continue.
///
/// If the tables are up to date, they are only read. So a role that must not create tables can open the store. Tables
/// of a later version with the same major version are used as they are.
pub(crate) async fn migrate(database: &Database) -> Result<Migration, OpenError> {
    let known = MIGRATIONS.len() as u64;
    let Migration { from, mut to } = migrate_to(database, TABLES).await?;
    while to < known {
        session_copy::copy(database).await.map_err(OpenError::Unavailable)?;
        // In its own transaction: the lock of one migration ends before the next one makes an index.
        to = migrate_to(database, to + 1).await?.to;
    }
    Ok(Migration { from, to })
}

/// Migrates the tables to this version in one transaction, and new tables to the current version.
async fn migrate_to(database: &Database, target: u64) -> Result<Migration, OpenError> {
    let mut transaction = database.begin().await?;
    // Making an index can take longer than any other step may take, and the other processes wait for it.
    transaction.without_timeouts().await?;
    transaction.lock(vec![MIGRATION_LOCK]).await?;
    let found = version(database, &mut transaction).await?;
    let known = MIGRATIONS.len() as u64;
    if found > known {
        return match major(&mut transaction).await? {
            KNOWN_MAJOR => Ok(Migration { from: found, to: found }),
            major => Err(OpenError::NewerSchema { major, found, known }),
        };
    }
    if found >= target {
        return Ok(Migration { from: found, to: found });
    }
    let target = if found == 0 { known } else { target };
    if found == 0 {
        transaction.run("CREATE TABLE bearer_schema (version BIGINT NOT NULL)").await?;
        transaction.run("INSERT INTO bearer_schema (version) VALUES (0)").await?;
    }
    for version in found + 1..=target {
        // An operator has set the version back, to start an earlier version of the program.
        if has_columns(database, &mut transaction, version).await? {
            continue;
        }
        let (sqlite, postgres) = MIGRATIONS[usize::try_from(version).unwrap_or(usize::MAX) - 1];
        transaction.run(database.sql_for(sqlite, postgres)).await?;
    }
    let sql = "UPDATE bearer_schema SET version = $1";
    transaction.execute(sql, vec![Value::count(target)]).await?;
    transaction.commit().await?;
    Ok(Migration { from: found, to: target })
}

/// Returns whether the columns that this migration adds are there, whatever the version says. A migration that can be
/// repeated has none.
async fn has_columns(
    database: &Database,
    transaction: &mut Transaction,
    migration: u64,
) -> Result<bool, Failure> {
    // The last column of each migration.
    let sql = match migration {
        TABLES => database.sql_for(
            "SELECT name FROM pragma_table_info('bearer_schema') WHERE name = 'major'",
            "SELECT 'major' FROM pg_attribute
             WHERE attrelid = to_regclass('bearer_schema') AND attname = 'major' AND NOT attisdropped",
        ),
        KEY_THUMBPRINTS => database.sql_for(
            "SELECT name FROM pragma_table_info('bearer_private_tokens') WHERE name = 'key_thumbprint'",
            "SELECT 'key_thumbprint' FROM pg_attribute
             WHERE attrelid = to_regclass('bearer_private_tokens') AND attname = 'key_thumbprint'
               AND NOT attisdropped",
        ),
        CHANGES => database.sql_for(
            "SELECT name FROM pragma_table_info('bearer_denials') WHERE name = 'changed'",
            "SELECT 'changed' FROM pg_attribute
             WHERE attrelid = to_regclass('bearer_denials') AND attname = 'changed' AND NOT attisdropped",
        ),
        _ => return Ok(false),
    };
    Ok(!transaction.fetch(sql, vec![]).await?.is_empty())
}

/// Returns the version of the tables, or 0 if there are none.
pub(crate) async fn version(
    database: &Database,
    transaction: &mut Transaction,
) -> Result<u64, Failure> {
    let exists = database.sql_for(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = 'bearer_schema'",
        "SELECT 'bearer_schema' WHERE to_regclass('bearer_schema') IS NOT NULL",
    );
    if transaction.fetch(exists, vec![]).await?.is_empty() {
        return Ok(0);
    }
    let rows = transaction.fetch("SELECT version FROM bearer_schema", vec![]).await?;
    rows.first().ok_or(Failure::UnreadableRow)?.count(0)
}

/// Returns the major version of tables of a later version. Tables have it from version 3 on.
async fn major(transaction: &mut Transaction) -> Result<u64, Failure> {
    let rows = transaction.fetch("SELECT major FROM bearer_schema", vec![]).await?;
    rows.first().ok_or(Failure::UnreadableRow)?.count(0)
}
