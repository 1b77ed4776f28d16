//! Measures the calls of an issuer among a million private tokens, of which one owner has ten thousand.
//!
//! `cargo bench -p tower-bearer-sql --all-features --bench issuer` prints a table for SQLite in a file and for
//! PostgreSQL, which it starts. `-- --write` writes it to `sql/benches/results.md`.

#![allow(missing_docs, reason = "a bench")]
#![allow(clippy::print_stdout, reason = "it prints its results")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::{
    fmt::Write,
    path::Path,
    time::{Duration, Instant},
};

use tower_bearer::{
    UnixTime,
    claims::{Clock, SystemClock},
    revocation::{Revocable, RevocationEntry, RevocationStore},
};
use tower_bearer_issuing::store::{
    Called, Caller, Insertion, ListQuery, NewPrivateToken, Owner, Page, PrivateToken, TokenStore,
};
use tower_bearer_sql::SqlStore;

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../src/tests/server.rs"]
mod server;

const ALL: u32 = 1_000_000;
const OF_ONE: u32 = 10_000;
const CALLS: usize = 200;
const ISSUER: &str = "https://issuer.example";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let page = runtime.block_on(measure());
    println!("{page}");
    if std::env::args().any(|argument| argument == "--write") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results.md");
        std::fs::write(path, page).unwrap();
    }
}

async fn measure() -> String {
    let mut page = format!(
        "# An issuer with {ALL} private tokens\n\n\
         Written by `cargo bench -p tower-bearer-sql --all-features --bench issuer -- --write` on {} cores, {} build. \
         One owner has {OF_ONE} of the tokens, and makes {CALLS} calls of each kind, one after the other. Database and \
         caller are on the same machine.\n\n\
         | database | call | median | p99 | maximum |\n|---|---|---|---|---|\n",
        std::thread::available_parallelism().map_or(0, usize::from),
        if cfg!(debug_assertions) { "an **unoptimised**" } else { "an optimised" },
    );
    let directory = std::env::temp_dir().join(format!("bearer-issuer-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    page += &of_sqlite(&directory.join("issuer.db")).await;
    std::fs::remove_dir_all(&directory).unwrap();

    let server = server::Postgres::start();
    let url = server.database("issuer").await;
    let store = SqlStore::open(&url).await.unwrap();
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let numbers = "SELECT n, convert_to(n::text, 'UTF8') AS name FROM generate_series(1, ALL) AS n";
    let fill = filling(numbers, |text| format!("convert_to({text}, 'UTF8')"));
    sqlx::query(sqlx::AssertSqlSafe(fill)).execute(&pool).await.unwrap();
    sqlx::query("ANALYZE").execute(&pool).await.unwrap();
    page += &rows("PostgreSQL", &store).await;
    page
}

async fn of_sqlite(file: &Path) -> String {
    let url = format!("sqlite:{}", file.display());
    let store = SqlStore::open(&url).await.unwrap();
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let numbers =
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ALL)
                   SELECT n, CAST(n AS BLOB) AS name FROM numbers";
    let fill = filling(numbers, |text| format!("CAST({text} AS BLOB)"));
    sqlx::query(sqlx::AssertSqlSafe(fill)).execute(&pool).await.unwrap();
    pool.close().await;
    rows("SQLite", &store).await
}

/// Returns a statement that inserts all tokens. Every hundredth is of the owner `ada`.
fn filling(numbers: &str, bytes: impl Fn(&str) -> String) -> String {
    let (numbers, now) = (numbers.replace("ALL", &ALL.to_string()), now().as_secs());
    let (issuer, expires_at) = (bytes(&format!("'{ISSUER}'")), now + 30 * 24 * 60 * 60);
    let subject =
        format!("CASE WHEN n % {} = 0 THEN 'ada' ELSE 'user ' || (n % 1000) END", ALL / OF_ONE);
    let hash = bytes("'01234567890123456789012345678901'");
    format!(
        "INSERT INTO bearer_private_tokens (issuer, token_id, subject, session_id, name, name_folded,
            issued_at, expires_at, hash, dies_at)
         SELECT {issuer}, name, {}, name, 'token ' || n, 'token ' || n, {} + n, {expires_at}, {hash}, {expires_at}
         FROM ({numbers}) AS many",
        bytes(&subject),
        now - u64::from(ALL) - 1,
    )
}

async fn rows(database: &str, store: &SqlStore) -> String {
    let mut page = String::new();
    let mut add = |call: &str, mut times: Vec<Duration>| {
        times.sort_unstable();
        let at = |part: f64| text(times[((times.len() - 1) as f64 * part).round() as usize]);
        let (median, p99, maximum) = (at(0.5), at(0.99), at(1.0));
        writeln!(page, "| {database} | {call} | {median} | {p99} | {maximum} |").unwrap();
    };
    let caller = caller();
    let first = ListQuery::new();
    let last = ListQuery::new().with_page(Page::Last);
    let found = ListQuery::new().with_search("77");
    for (call, query) in
        [("list, 20 of 10 000", &first), ("list, the last page", &last), ("list, search", &found)]
    {
        let times = timed(async |_| {
            assert!(!listed(store, &caller, query).await.is_empty());
        });
        add(call, times.await);
    }
    let create = async |n: usize| {
        let name = format!("new {n}");
        let session = format!("session of {name}");
        let new =
            NewPrivateToken::new(owner(), &*name, session, &*name, [now(), now() + DAY], [7; 32]);
        let created = store.create_private(&caller, &new).await.unwrap();
        assert!(matches!(created, Called::Done(Insertion::Done(_))));
    };
    add("create", timed(create).await);
    let some = listed(store, &caller, &ListQuery::new().with_page_size(CALLS as u32)).await;
    let revoke = async |n: usize| {
        let revoked = store.revoke_private(&caller, some[n].id, now()).await.unwrap();
        assert!(matches!(revoked, Called::Done(Some(_))));
    };
    add("revoke one", timed(revoke).await);
    let revoke = async |n: usize| {
        let thing = Revocable::token(ISSUER, format!("other {n}"));
        store.revoke(&RevocationEntry::restored(thing, now() + DAY)).await.unwrap();
    };
    add("revoke an access token", timed(revoke).await);
    let sweep = async |_| assert_eq!(store.delete_obsolete(now() - DAY, 500).await.unwrap(), 0);
    add("sweep, nothing to do", timed(sweep).await);
    let revoke_all = async |_| {
        store.revoke_owner(&owner(), now(), now() + DAY).await.unwrap();
    };
    add("revoke all of one owner", timed(revoke_all).await);
    page
}

async fn listed(store: &SqlStore, caller: &Caller, query: &ListQuery) -> Vec<PrivateToken> {
    let page = store.list_private(caller, query, now()).await.unwrap();
    page.done().flatten().map(|page| page.tokens).unwrap_or_default()
}

async fn timed(call: impl AsyncFn(usize)) -> Vec<Duration> {
    let mut times = Vec::with_capacity(CALLS);
    for number in 0..CALLS {
        let begin = Instant::now();
        call(number).await;
        times.push(begin.elapsed());
    }
    times
}

fn owner() -> Owner {
    Owner::new(ISSUER, "ada")
}

fn caller() -> Caller {
    Caller::new(owner(), "caller", "session of the caller", now() + DAY)
}

fn now() -> UnixTime {
    SystemClock::default().now()
}

fn text(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}
