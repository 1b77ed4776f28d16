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
    for place in ["$1", "$2", "$3", "$4", "$5"] {
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
    transaction.run(MANY).await.unwrap();
    transaction.commit().await.unwrap();
    let chosen = plan(&store.database, "EXPLAIN", LOOK_UP, 0).await;
    assert!(chosen.contains("bearer_denials_pkey") && !chosen.contains("Seq Scan"), "{chosen}");
    for (sql, column) in OTHERS {
        let chosen = plan(&store.database, "EXPLAIN", sql, 0).await;
        let column = format!("({column} = ");
        let mut lines = chosen.lines();
        let found = lines.any(|line| line.contains("Index Cond") && line.contains(&column));
        assert!(found && !chosen.contains("Seq Scan"), "{sql}: {chosen}");
    }
}

/// Enough rows of one issuer that reading them all, or all of the issuer's, is dear.
#[cfg(feature = "postgres")]
const MANY: &str = "
    INSERT INTO bearer_refresh_tokens
        (issuer, token_id, subject, session_id, issued_at, expires_at, hash, dies_at)
    SELECT '\\x07', name, name, name, 1, 1, name, 1
    FROM (SELECT convert_to(n::text, 'UTF8') AS name FROM generate_series(1, 5000) AS n) AS names;
    INSERT INTO bearer_private_tokens
        (issuer, token_id, subject, session_id, name, name_folded, issued_at, expires_at, hash, dies_at)
    SELECT issuer, token_id, subject, session_id, '', '', 1, 1, hash, 1 FROM bearer_refresh_tokens;
    ANALYZE";
