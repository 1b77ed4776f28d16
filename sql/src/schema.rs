//! Creates the tables, and migrates them to the current version.

use super::{
    database::{Database, Transaction, Writes},
    failure::Failure,
    options::OpenError,
    value::Value,
};

/// The migrations for SQLite and for PostgreSQL, in order. Never change one; only add new ones. The version of a
/// database is the number of migrations that it has run.
const MIGRATIONS: [(&str, &str); 2] = [
    (include_str!("schema/sqlite_1.sql"), include_str!("schema/postgres_1.sql")),
    (include_str!("schema/sqlite_2.sql"), include_str!("schema/postgres_2.sql")),
];

/// An arbitrary number. It must be the same in every process.
const LOCK: i64 = 0x746f_7765_7262_6561;

/// Migrates the tables to the current version in one transaction. If several processes start together, one migrates and
/// the others wait. A process that dies in the middle leaves nothing behind.
///
/// If the tables are up to date, they are only read. So a role that must not create tables can open the store.
pub(super) async fn migrate(database: &Database) -> Result<(), OpenError> {
    let mut transaction = database.begin(Writes::All).await?;
    // Making an index can take longer than any other step may take, and the other processes wait for it.
    transaction.without_timeouts().await?;
    transaction.lock(vec![LOCK]).await?;
    let found = version(database, &mut transaction).await?;
    let known = MIGRATIONS.len() as u64;
    if found > known {
        return Err(OpenError::NewerSchema { found, known });
    }
    if found == 0 {
        transaction.run("CREATE TABLE bearer_schema (version BIGINT NOT NULL)").await?;
        transaction.run("INSERT INTO bearer_schema (version) VALUES (0)").await?;
    }
    let missing = MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX));
    for (sqlite, postgres) in missing {
        transaction.run(database.spell(sqlite, postgres)).await?;
    }
    if found < known {
        let sql = "UPDATE bearer_schema SET version = $1";
        transaction.execute(sql, vec![Value::count(known)]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Returns the version of the tables, or 0 if there are none.
async fn version(database: &Database, transaction: &mut Transaction) -> Result<u64, Failure> {
    let exists = database.spell(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = 'bearer_schema'",
        "SELECT 'bearer_schema' WHERE to_regclass('bearer_schema') IS NOT NULL",
    );
    if transaction.fetch(exists, vec![]).await?.is_empty() {
        return Ok(0);
    }
    let rows = transaction.fetch("SELECT version FROM bearer_schema", vec![]).await?;
    rows.first().ok_or(Failure::Unreadable)?.count(0)
}
