//! Statements find their rows by an index.

use super::{
    super::{SqlStore, database::Database, denials::LOOK_UP, value::Sql},
    token,
};
use crate::issuing::store::{Denial, TokenStore};

/// Statements with ids in place of their other values, and the column by which the index must find.
const OTHERS: [(&str, &str); 6] = [
    (
        "UPDATE bearer_refresh_tokens SET dies_at = 0 WHERE issuer = $1 AND session_id = $2 AND dies_at > 0",
        "session_id",
    ),
    (
        "UPDATE bearer_private_tokens SET dies_at = 0 WHERE issuer = $1 AND session_id = $2 AND dies_at > 0",
        "session_id",
    ),
    (
        "SELECT max(issued_at) FROM bearer_refresh_tokens WHERE issuer = $1 AND subject = $2",
        "subject",
    ),
    (
        "SELECT max(issued_at) FROM bearer_private_tokens WHERE issuer = $1 AND subject = $2",
        "subject",
    ),
    (
        "UPDATE bearer_private_tokens SET last_used_at = 1 WHERE issuer = $1 AND token_id = $2",
        "token_id",
    ),
    (
        "UPDATE bearer_refresh_tokens SET used_at = 1 WHERE issuer = $1 AND token_id = $2",
        "token_id",
    ),
];

async fn fill(store: &SqlStore) {
    let denials: Vec<Denial> =
        (0..3000).map(|n| Denial::new(token(&n.to_string()), super::NOW)).collect();
    store.deny(&denials).await.unwrap();
}

/// The plan as text, one line for each step.
async fn plan(database: &Database, explain: &str, sql: &str, column: usize) -> String {
    let mut sql = format!("{explain} {sql}");
    let literal = database.spell("x'07'", "'\\x07'::bytea");
    for place in ["$1", "$2", "$3", "$4"] {
        sql = sql.replace(place, literal);
    }
    let rows = database.read_built(|| Sql::Built(sql.clone()), &[]).await.unwrap();
    rows.iter().map(|row| row.text(column).unwrap() + "\n").collect()
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_searches_by_an_index_and_never_scans() {
    let store = SqlStore::open("sqlite::memory:").await.unwrap();
    fill(&store).await;
    for (sql, column) in [(LOOK_UP, "id")].into_iter().chain(OTHERS) {
        let plan = plan(&store.database, "EXPLAIN QUERY PLAN", sql, 3).await;
        assert!(plan.contains(&format!("{column}=?")) && !plan.contains("SCAN"), "{sql}: {plan}");
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgres_looks_up_by_an_index() {
    let Some(server) = super::server::Server::start() else { return };
    let store = SqlStore::open(&server.database("plans").await).await.unwrap();
    fill(&store).await;
    let mut transaction = store.database.begin().await.unwrap();
    transaction.run("ANALYZE").await.unwrap();
    transaction.commit().await.unwrap();
    let chosen = plan(&store.database, "EXPLAIN", LOOK_UP, 0).await;
    assert!(chosen.contains("bearer_denials_pkey") && !chosen.contains("Seq Scan"), "{chosen}");
    for (sql, column) in OTHERS {
        // The tables are empty, and an empty table is read whole: what is asked is whether an index could serve.
        let chosen = without_scans(&store.database, sql).await;
        let column = format!("({column} = ");
        let mut lines = chosen.lines();
        let found = lines.any(|line| line.contains("Index Cond") && line.contains(&column));
        assert!(found && !chosen.contains("Seq Scan"), "{sql}: {chosen}");
    }
}

/// The plan where reading a table whole costs too much.
#[cfg(feature = "postgres")]
async fn without_scans(database: &Database, sql: &str) -> String {
    let mut transaction = database.begin().await.unwrap();
    transaction.run("SET LOCAL enable_seqscan = off").await.unwrap();
    let mut sql = format!("EXPLAIN {sql}");
    for place in ["$1", "$2"] {
        sql = sql.replace(place, "'\\x07'::bytea");
    }
    let rows = transaction.fetch(Sql::Built(sql), vec![]).await.unwrap();
    rows.iter().map(|row| row.text(0).unwrap() + "\n").collect()
}
