//! Every statement finds its rows by an index.
//!
//! The statements are read from the source, so that a new one is among them.

use std::{fs, path::Path};

use super::super::{
    SqlStore, SqlStoreOptions,
    database::Database,
    entries::LOOK_UP,
    outbox::{OLDEST, remove_sql},
    statement::{Row, Sql},
    sweep::{SWEEPS, sweep_sql},
    token_store::{
        audit::{deleted_sql, insert_sql},
        private_tokens::{COUNT_VALID, page_sql},
        session_list,
    },
};
use tower_bearer_issuing::store::{ListQuery, Page, SessionQuery, SessionSortBy, SortBy};

/// Returns every string in the source of this module that is a statement about its tables, and the statements that are
/// built at run time.
///
/// The statements of `open.rs` and `migration.rs` are left out: they run when a store is opened, on a table of one row.
fn statements(database: &Database) -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    for folder in [source.clone(), source.join("deny_list"), source.join("token_store")] {
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.ends_with(".rs") && !["open.rs", "migration.rs"].contains(&name.as_str()) {
                all.extend(texts(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    let verbs = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "];
    all.retain(|text| {
        verbs.iter().any(|verb| text.trim_start().starts_with(verb))
            && (text.contains("bearer_") || text.contains('{'))
    });
    assert!(all.iter().any(|text| text == LOOK_UP) && all.iter().any(|text| text == OLDEST));
    let count = all.len();
    all.retain(|text| !text.contains('{'));
    // These five are added below.
    assert_eq!(count - all.len(), 5, "a new text that is built at run time must be added below");
    // The statement that reads changes has a text for each database.
    let of_the_other = database.sql_for("xid8", "bearer_denial_changes");
    all.retain(|text| !text.contains(of_the_other));
    let search =
        database.sql_for(" AND instr(name_folded, $7) > 0", " AND strpos(name_folded, $7) > 0");
    let by_name = ListQuery::new().add_ordering(SortBy::Name, true);
    all.push(page_sql(&ListQuery::new(), search));
    all.push(page_sql(&by_name.with_page(Page::Last), ""));
    let by_use = SessionQuery::new().add_ordering(SessionSortBy::LastUsedAt, true);
    all.push(session_list::page_sql(&SessionQuery::new()));
    all.push(session_list::page_sql(&by_use.with_page(Page::Last)));
    all.push(remove_sql(3));
    all.push(deleted_sql(3));
    all.push(insert_sql(2));
    all.extend(SWEEPS.iter().map(|(_, table, date, _)| sweep_sql(table, date, 9)));
    assert!(all.len() > 30, "{}", all.len());
    all
}

/// Returns the contents of all string literals.
fn texts(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let (mark, after) = rest[at..].split_at(1);
        rest = match mark {
            "/" if after.starts_with('/') => after.split_once('\n').map_or("", |(_, rest)| rest),
            "'" if after.starts_with('\\') => &after[3..],
            "'" if after[1..].starts_with('\'') => &after[2..],
            "\"" => {
                let mut end = 0;
                while !after[end..].starts_with('"') {
                    end += if after[end..].starts_with('\\') { 2 } else { 1 };
                    while !after.is_char_boundary(end) {
                        end += 1;
                    }
                }
                found.push(after[..end].to_owned());
                &after[end + 1..]
            }
            _ => after,
        };
    }
    found
}

/// Returns how many parameters a statement has.
fn parameters(sql: &str) -> usize {
    (1..20).rev().find(|place| sql.contains(&format!("${place}"))).unwrap_or(0)
}

/// Many rows of many owners, sessions and dates. Few have expired, and most of the outbox is not in force.
const MANY: [(&str, &str); 6] = [
    (
        "bearer_refresh_tokens (issuer, token_id, subject, session_id, issued_at, expires_at, hash, dies_at)",
        "BYTES('i'), BYTES(n), BYTES(n % 1000), BYTES(n % 7000), n, 1000000 + n, BYTES(n), 9223372036854775807",
    ),
    (
        "bearer_private_tokens (issuer, token_id, subject, session_id, name, name_folded, issued_at, expires_at, hash, dies_at)",
        "BYTES('i'), BYTES(n), BYTES(n % 1000), BYTES(n), 'a', 'a', n, 1000000 + n, BYTES(n), 9223372036854775807",
    ),
    (
        "bearer_sessions (issuer, session_id, subject, created_at, last_used_at, expires_at)",
        "BYTES('i'), BYTES(n), BYTES(n % 1000), n, n, 1000000 + n",
    ),
    (
        "bearer_denials (id, kind, issuer, name, starts_at, cut_off, keep_until)",
        "BYTES(n), 0, BYTES('i'), BYTES(n), 0, 0, 1000000 + n",
    ),
    (
        "bearer_outbox (kind, issuer, name, starts_at, cut_off, keep_until)",
        "0, BYTES('i'), BYTES(n), 500000 + n, 0, 1000000 + n",
    ),
    (
        "bearer_accounts (subject, email_key, email, username, password_hash, is_active, is_verified, profile)",
        "TEXT(n), TEXT(n), 'a', 'a', 'a', 1, 1, '{}'",
    ),
];

/// Further tables, which have few rows in practice. Here they have many, so that an index is useful.
const MORE: [(&str, &str); 4] = [
    ("bearer_fleets (name, generation, count, hash, server)", "TEXT(n), 'g', 0, BYTES(n), 's'"),
    ("bearer_known_devices (id, account, keep_until)", "BYTES(n), BYTES(n % 7000), 1000000 + n"),
    ("bearer_secrets (name, value)", "TEXT(n), BYTES(n)"),
    (
        "bearer_audit (issuer, at, event, subject, details, keep_until)",
        "BYTES('i'), n, CASE WHEN n % 10 = 0 THEN 'account_deleted' ELSE 'refreshed' END, BYTES(n % 1000), '{}', 1000000 + n",
    ),
];

async fn fill(store: &SqlStore) {
    let database = &store.database;
    let [numbers, bytes, text] = [
        ("WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)", "WITH numbers AS (SELECT generate_series(1, 20000) AS n)"),
        ("CAST(($) AS BLOB)", "convert_to(($)::text, 'UTF8')"),
        ("CAST(($) AS TEXT)", "($)::text"),
    ]
    .map(|(sqlite, postgres)| database.sql_for(sqlite, postgres));
    let mut transaction = database.begin().await.unwrap();
    for (table, values) in MANY.into_iter().chain(MORE) {
        let values = called(&called(values, "BYTES(", bytes), "TEXT(", text);
        let sql = format!("{numbers} INSERT INTO {table} SELECT {values} FROM numbers");
        let sql = match database.sql_for("sqlite", "postgres") {
            "sqlite" => format!("INSERT INTO {table} {numbers} SELECT {values} FROM numbers"),
            _ => sql,
        };
        transaction.execute(Sql::Built(sql), vec![]).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

/// Replaces each call of `function` by `template`, with the argument in the place of `$`.
fn called(sql: &str, function: &str, template: &str) -> String {
    let mut parts = sql.split(function);
    let mut written = parts.next().unwrap().to_owned();
    for part in parts {
        let (argument, rest) = part.split_once(')').unwrap();
        written += &template.replace('$', argument);
        written += rest;
    }
    written
}

async fn analyze(store: &SqlStore) {
    let mut transaction = store.database.begin().await.unwrap();
    transaction.run("ANALYZE").await.unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn sqlite_finds_all_rows_by_an_index() {
    let store = SqlStore::open("sqlite::memory:").await.unwrap();
    fill(&store).await;
    // The plans must be good without ANALYZE and after it.
    for _ in 0..2 {
        for sql in statements(&store.database).into_iter().filter(|sql| !is_small(sql)) {
            let explain = Sql::Built(format!("EXPLAIN QUERY PLAN {sql}"));
            let rows = store.database.read(explain, &[]).await.unwrap();
            let lines: Vec<String> = rows.iter().map(|row| row.text(3).unwrap()).collect();
            for line in &lines {
                let is_scan = line.starts_with("SCAN bearer_") || line.starts_with("SCAN d ");
                assert!(!is_scan && !line.ends_with("(issuer=?)"), "{sql}: {lines:#?}");
            }
            let by_cut_off = lines
                .iter()
                .any(|line| line.contains("issued_at>?") || line.contains("last_used_at>?"));
            assert!(by_cut_off || !is_about_all_of_an_owner(&sql), "{sql}: {lines:#?}");
        }
        analyze(&store).await;
    }
}

#[tokio::test]
async fn sqlite_lists_tokens_by_an_index_up_to_the_page() {
    let store = SqlStore::open("sqlite::memory:").await.unwrap();
    fill(&store).await;
    let by_date = ListQuery::new().add_ordering(SortBy::CreatedAt, true);
    for query in [ListQuery::new(), by_date.with_page(Page::Last)] {
        let explain = Sql::Built(format!("EXPLAIN QUERY PLAN {}", page_sql(&query, "")));
        let rows = store.database.read(explain, &[]).await.unwrap();
        let lines: Vec<String> = rows.iter().map(|row| row.text(3).unwrap()).collect();
        let of_table: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("private_tokens") || line.contains("listed"))
            .collect();
        let [all, page] = of_table[..] else { panic!("{lines:#?}") };
        assert!(all.contains("USING COVERING INDEX bearer_private_tokens_listed"), "{lines:#?}");
        assert!(page.contains("listed USING INTEGER PRIMARY KEY"), "{lines:#?}");
    }
    let explain = Sql::Built(format!("EXPLAIN QUERY PLAN {COUNT_VALID}"));
    let rows = store.database.read(explain, &[]).await.unwrap();
    let covering =
        |row: &Row| row.text(3).unwrap().contains("COVERING INDEX bearer_private_tokens_listed");
    assert!(rows.iter().any(covering), "the count reads rows of the table");
}

/// An issuer has a few keys, and a replica needs all of them. Other statements read one entry of an index.
fn is_small(sql: &str) -> bool {
    sql.contains("FROM bearer_keys WHERE issuer = $1") || sql.ends_with("issued_at LIMIT 1")
}

/// Tokens before the cut-off must cost nothing.
fn is_about_all_of_an_owner(sql: &str) -> bool {
    sql.contains("count(*)")
        && ["bearer_private_tokens", "bearer_sessions"].iter().any(|table| sql.contains(table))
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn postgres_finds_all_rows_by_an_index() {
    let server = super::server::Postgres::start();
    let url = server.database("plans").await;
    let store = SqlStoreOptions::new().with_max_connections(1).open(&url).await.unwrap();
    fill(&store).await;
    analyze(&store).await;
    let all = statements(&store.database);
    let mut transaction = store.database.begin().await.unwrap();
    // Plans for any values, because PostgreSQL does not always plan a prepared statement again.
    transaction.run("SET LOCAL plan_cache_mode = force_generic_plan").await.unwrap();
    for (number, sql) in all.into_iter().filter(|sql| !is_small(sql)).enumerate() {
        let prepare = Sql::Built(format!("PREPARE p{number} AS {sql}"));
        transaction.execute(prepare, vec![]).await.unwrap();
        let nulls = vec!["NULL"; parameters(&sql)].join(", ");
        let nulls = if nulls.is_empty() { nulls } else { format!("({nulls})") };
        let explain = Sql::Built(format!("EXPLAIN (COSTS OFF) EXECUTE p{number}{nulls}"));
        let rows = transaction.fetch(explain, vec![]).await.unwrap();
        let plan: String = rows.iter().map(|row| row.text(0).unwrap() + "\n").collect();
        assert!(!plan.contains("Seq Scan"), "{sql}: {plan}");
        let [scans, conditions] = ["Index Scan|Index Only Scan|Bitmap Index Scan", "Index Cond"]
            .map(|words| plan.lines().filter(|l| words.split('|').any(|w| l.contains(w))).count());
        assert_eq!(scans, conditions, "an index is read as a whole: {sql}: {plan}");
        assert!(!plan.contains("Index Cond: (issuer = $1)\n"), "{sql}: {plan}");
        let by_cut_off = ["issued_at", "last_used_at"].map(|date| format!("({date} > COALESCE("));
        let by_cut_off = by_cut_off.iter().any(|condition| plan.contains(condition));
        assert!(by_cut_off || !is_about_all_of_an_owner(&sql), "{sql}: {plan}");
    }
}
