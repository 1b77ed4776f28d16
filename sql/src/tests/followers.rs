//! Deny-lists and pushes: what they see, when, and what they keep when the database fails or loses data.

use std::{sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use super::{
    super::{SqlDenyList, SqlStore, SqlStoreOptions},
    Directory, HOUR, ISSUER, NOW, entry, lookup_of,
    replays::Proxy,
    server::{PgBouncer, Postgres},
    session, token,
};
use tower_bearer::{
    RevocationCache, UnixTime,
    claims::{Clock, ManualClock, SystemClock},
    revocation::{Lookup, Revocable, RevocationStore, Verdict},
    test_util::revocation_conformance,
};

/// No test reaches this bound.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// So often that a test is short.
const OFTEN: Duration = Duration::from_millis(25);

async fn until(what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !is_true().await {
        assert!(begin.elapsed() < Duration::from_secs(30), "never {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Follows without notifications.
async fn polling(url: &str) -> SqlDenyList {
    let store = SqlStoreOptions::new().with_notifications(false).open(url).await.unwrap();
    current(SqlDenyList::follow(&store, NEVER).with_poll_interval(OFTEN)).await
}

/// Follows by notifications: no poll comes in time.
async fn notified(url: &str) -> SqlDenyList {
    let store = SqlStore::open(url).await.unwrap();
    let list = current(SqlDenyList::follow(&store, NEVER).with_poll_interval(HOUR)).await;
    until("notified", async || {
        store.revoke(&entry(token("first"), end())).await.unwrap();
        list.stats().notifications > 0
    })
    .await;
    list
}

async fn current(list: SqlDenyList) -> SqlDenyList {
    until("current", async || list.stats().is_current).await;
    list
}

fn end() -> UnixTime {
    SystemClock::default().now() + HOUR
}

async fn verdict(list: &SqlDenyList, thing: Revocable) -> Verdict {
    let lookup = Lookup::new([thing], SystemClock::default().now());
    list.look_up(&lookup).await.unwrap()
}

async fn is_revoked(list: &SqlDenyList, id: &str) -> bool {
    verdict(list, token(id)).await == Verdict::Revoked
}

async fn sees(list: &SqlDenyList, id: &str) {
    until("seen", async || is_revoked(list, id).await).await;
}

/// The same as [`sees`], for a list whose lookups may fail for a while.
async fn becomes_revoked(list: &SqlDenyList, id: &str) {
    let lookup = Lookup::new([token(id)], SystemClock::default().now());
    until("revoked", async || {
        list.look_up(&lookup).await.is_ok_and(|verdict| verdict == Verdict::Revoked)
    })
    .await;
}

async fn revoke(store: &SqlStore, id: &str) {
    store.revoke(&entry(token(id), end())).await.unwrap();
}

/// Inserts a row as a process of version 7 of the tables does.
async fn insert(connection: &mut PgConnection, id: &str) {
    let hex: String =
        crate::entries::id_of(&token(id)).iter().map(|byte| format!("{byte:02x}")).collect();
    let sql = format!(
        "INSERT INTO bearer_denials (kind, issuer, name, starts_at, cut_off, keep_until, id)
         VALUES (0, convert_to('{ISSUER}', 'UTF8'), convert_to('{id}', 'UTF8'), 0, {0}, {1}, '\\x{hex}')",
        i64::MAX,
        end().as_secs()
    );
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deny_list_on_sqlite_keeps_every_rule() {
    let directory = Directory::new();
    keeps_every_rule(async |number| directory.url(&format!("{number}.db"))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_deny_list_on_postgres_keeps_every_rule() {
    let server = Postgres::start();
    keeps_every_rule(async |number| server.database(&format!("rule{number}")).await).await;
}

async fn keeps_every_rule(url: impl AsyncFn(u32) -> String) {
    let count = std::sync::atomic::AtomicU32::new(0);
    revocation_conformance::check(async |clock: ManualClock| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let store = SqlStore::open(&url(number).await).await.unwrap().with_clock(clock.clone());
        current(SqlDenyList::follow(&store, NEVER).with_clock(clock)).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_on_sqlite_sees_each_kind_and_each_change() {
    let directory = Directory::new();
    sees_each_kind_and_each_change(&directory.url("kinds.db")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn another_process_on_postgres_sees_each_kind_and_each_change() {
    let server = Postgres::start();
    sees_each_kind_and_each_change(&server.database("kinds").await).await;
}

async fn sees_each_kind_and_each_change(url: &str) {
    let writer = SqlStore::open(url).await.unwrap();
    let now = SystemClock::default().now();
    // Before the list begins, and after it.
    revoke(&writer, "earlier").await;
    let list = polling(url).await;
    assert!(is_revoked(&list, "earlier").await);
    for thing in
        [token("t"), session("s"), Revocable::key(ISSUER, "k"), Revocable::subject(ISSUER, "whole")]
    {
        writer.revoke(&entry(thing.clone(), end())).await.unwrap();
        until("seen", async || verdict(&list, thing.clone()).await == Verdict::Revoked).await;
    }
    let ada = Revocable::subject(ISSUER, "ada");
    for cut_off in [now - HOUR, now] {
        writer.revoke(&entry(ada.clone(), end()).with_cut_off(cut_off)).await.unwrap();
        let lookup = Lookup::new([ada.clone()], cut_off);
        until("seen", async || list.look_up(&lookup).await.unwrap() == Verdict::Revoked).await;
        let later = Lookup::new([ada.clone()], now + HOUR);
        assert_eq!(list.look_up(&later).await.unwrap(), Verdict::NotRevoked);
    }
    for start in [now + HOUR, now + HOUR / 2] {
        writer.revoke(&entry(token("later"), end()).with_start(start)).await.unwrap();
        let expected = Verdict::RevokedFrom(start);
        until("seen", async || verdict(&list, token("later")).await == expected).await;
    }
    // A deleted row, and the next one: numbers do not come again.
    let last = entry(token("over"), now - HOUR);
    writer.revoke(&last).await.unwrap();
    writer.delete_obsolete(now, 10).await.unwrap();
    for id in ["next", "after it"] {
        revoke(&writer, id).await;
        sees(&list, id).await;
    }
    assert_eq!(list.stats().snapshots, 1);
    assert_eq!(list.stats().missing, 0);
    assert!(list.task().health().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_row_that_commits_late_is_not_missed() {
    let server = Postgres::start();
    let url = server.database("late").await;
    let list = polling(&url).await;
    let [mut one, mut two, mut three] = [
        PgConnection::connect(&url).await.unwrap(),
        PgConnection::connect(&url).await.unwrap(),
        PgConnection::connect(&url).await.unwrap(),
    ];
    for round in 0..5 {
        let [first, second, third] =
            ["first", "second", "third"].map(|name| format!("{name}{round}"));
        let (mut early, mut late) = (one.begin().await.unwrap(), two.begin().await.unwrap());
        insert(&mut early, &first).await;
        insert(&mut late, &second).await;
        // A subtransaction has an id of its own.
        late.execute("SAVEPOINT a").await.unwrap();
        insert(&mut late, &third).await;
        late.commit().await.unwrap();
        sees(&list, &second).await;
        sees(&list, &third).await;
        // Polls find changes while the earlier transaction is open.
        let between = format!("between{round}");
        insert(&mut three, &between).await;
        sees(&list, &between).await;
        assert!(!is_revoked(&list, &first).await);
        early.commit().await.unwrap();
        sees(&list, &first).await;
    }
    assert_eq!(list.stats().snapshots, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_batch_of_many_changes_is_read_completely() {
    let server = Postgres::start();
    let url = server.database("batch").await;
    let list = polling(&url).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    for number in 0..2_500 {
        insert(&mut transaction, &number.to_string()).await;
    }
    transaction.commit().await.unwrap();
    until("all", async || list.stats().denials == 2_500).await;
    let snapshot = polling(&url).await;
    assert_eq!(snapshot.stats().denials, 2_500);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_notification_makes_a_process_poll_at_once() {
    let server = Postgres::start();
    let url = server.database("notified").await;
    let list = notified(&url).await;
    let writer = SqlStore::open(&url).await.unwrap();
    revoke(&writer, "a").await;
    sees(&list, "a").await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    insert(&mut connection, "by an older process").await;
    sees(&list, "by an older process").await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
    let listeners: i64 = connection.fetch_one(sql).await.unwrap().get(0);
    assert_eq!(listeners, 1);

    // Many entries of one transaction are one notification.
    let before = list.stats().notifications;
    let mut transaction = connection.begin().await.unwrap();
    for number in 0..1_000 {
        insert(&mut transaction, &number.to_string()).await;
    }
    transaction.commit().await.unwrap();
    sees(&list, "999").await;
    assert_eq!(list.stats().notifications, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_lost_connection_for_notifications_is_replaced() {
    let server = Postgres::start();
    let url = server.database("replaced").await;
    let store = SqlStore::open(&url).await.unwrap();
    let list = current(SqlDenyList::follow(&store, NEVER).with_poll_interval(OFTEN)).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for round in 0..2 {
        let before = list.stats().notifications;
        until("notified", async || {
            revoke(&store, "a").await;
            list.stats().notifications > before
        })
        .await;
        if round == 0 {
            let sql =
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
            connection.execute(sql).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres and pgbouncer"]
async fn polls_alone_work_through_pgbouncer() {
    let server = Postgres::start();
    let direct = server.database("pooled").await;
    let writer = SqlStore::open(&direct).await.unwrap();
    let bouncer = PgBouncer::start(&server);
    let url = bouncer.url("pooled") + "&statement-cache-capacity=0";
    let store = SqlStore::open(&url).await.unwrap();
    let list = current(SqlDenyList::follow(&store, NEVER).with_poll_interval(OFTEN)).await;
    for id in ["a", "b", "c"] {
        revoke(&writer, id).await;
        sees(&list, id).await;
    }
    // LISTEN has succeeded, and its connection is deaf.
    assert_eq!(list.stats().notifications, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_list_follows_a_server_that_was_killed_and_started_again() {
    let mut server = Postgres::start();
    let url = server.database("killed").await;
    let list = polling(&url).await;
    let writer = SqlStore::open(&url).await.unwrap();
    revoke(&writer, "before").await;
    sees(&list, "before").await;
    for round in 0..2 {
        server.kill_and_restart();
        assert!(is_revoked(&list, "before").await);
        let id = format!("after {round}");
        until("written", async || writer.revoke(&entry(token(&id), end())).await.is_ok()).await;
        sees(&list, &id).await;
    }
    until("read again", async || list.stats().snapshots == 3).await;
    assert_eq!(list.stats().missing, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_frozen_server_makes_lookups_fail_after_the_bound() {
    let server = Postgres::start();
    let url = server.database("frozen").await;
    let writer = SqlStore::open(&url).await.unwrap();
    let list = current(SqlDenyList::follow(&writer, Duration::from_secs(1))).await;
    revoke(&writer, "before").await;
    sees(&list, "before").await;
    server.signal("STOP");
    until("too old", async || !list.stats().is_current).await;
    let error = list.look_up(&lookup_of(token("before"))).await.unwrap_err();
    assert_eq!(error.kind(), "out_of_date");
    server.signal("CONT");
    until("written", async || writer.revoke(&entry(token("after"), end())).await.is_ok()).await;
    for id in ["after", "before"] {
        becomes_revoked(&list, id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_list_recovers_from_a_network_that_swallows_bytes() {
    let server = Postgres::start();
    let direct = server.database("swallowed").await;
    let proxy = Proxy::to(server.socket()).await;
    let writer = SqlStore::open(&direct).await.unwrap();
    let store = proxy.open_with(SqlStoreOptions::new(), "swallowed").await;
    let list = current(SqlDenyList::follow(&store, Duration::from_secs(1))).await;
    proxy.swallow(true);
    until("too old", async || !list.stats().is_current).await;
    revoke(&writer, "meanwhile").await;
    assert!(list.look_up(&lookup_of(token("meanwhile"))).await.is_err());
    // The next connection is swallowed too.
    until("failing", async || !list.task().health().is_ok()).await;
    proxy.swallow(false);
    becomes_revoked(&list, "meanwhile").await;
    assert_eq!(list.stats().snapshots, 1, "it is the same server");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_process_forgets_nothing_when_an_old_backup_is_restored() {
    let mut server = Postgres::start();
    let url = server.database("restored").await;
    let writer = SqlStore::open(&url).await.unwrap();
    revoke(&writer, "in the backup").await;
    server.end_with("QUIT");
    server.back_up();
    server.start_again();
    let list = polling(&url).await;
    let lost = ["lost", "lost too"];
    for id in lost {
        until("written", async || writer.revoke(&entry(token(id), end())).await.is_ok()).await;
        sees(&list, id).await;
    }
    assert_eq!(list.stats().missing, 0);

    server.end_with("QUIT");
    server.restore();
    server.start_again();
    // Transactions have the same ids again, so a list that did not notice would miss this entry.
    let mut connection = PgConnection::connect(&url).await.unwrap();
    insert(&mut connection, "new").await;
    sees(&list, "new").await;
    assert_eq!(list.stats().missing, 2);
    for id in lost {
        assert!(is_revoked(&list, id).await, "{id}");
    }
    // What is lost: a process that starts now does not know the entries.
    let later = polling(&url).await;
    assert!(is_revoked(&later, "in the backup").await);
    assert!(!is_revoked(&later, "lost").await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_process_forgets_nothing_when_the_tables_are_made_again() {
    let server = Postgres::start();
    let url = server.database("emptied").await;
    let list = polling(&url).await;
    let writer = SqlStore::open(&url).await.unwrap();
    revoke(&writer, "kept").await;
    sees(&list, "kept").await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.unwrap();
    until("failing", async || !list.task().health().is_ok()).await;
    SqlStore::open(&url).await.unwrap();
    until("read again", async || list.stats().snapshots == 2).await;
    assert!(is_revoked(&list, "kept").await);
    assert_eq!(list.stats().missing, 1);
    until("written", async || writer.revoke(&entry(token("new"), end())).await.is_ok()).await;
    sees(&list, "new").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_standby_does_not_bring_a_list_up_to_date() {
    let mut server = Postgres::start();
    let list = polling(&server.database("standby").await).await;
    server.end_with("INT");
    server.become_standby();
    server.start_again();
    until("failing", async || list.task().health().last_error == Some("standby")).await;
    assert_eq!(list.stats().snapshots, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_by_30_seconds_hide_no_revocation() {
    let directory = Directory::new();
    let url = directory.url("skew.db");
    let skew = Duration::from_secs(30);
    let clocks = [ManualClock::at(NOW - skew), ManualClock::at(NOW), ManualClock::at(NOW + skew)];
    let mut lists = Vec::new();
    for clock in &clocks {
        let store = SqlStore::open(&url).await.unwrap().with_clock(clock.clone());
        let list = SqlDenyList::follow(&store, NEVER).with_poll_interval(OFTEN);
        lists.push(current(list.with_clock(clock.clone())).await);
    }
    // Kept for a minute, which is how much clocks may differ.
    for (number, list) in lists.iter().enumerate() {
        let thing = token(&number.to_string());
        list.revoke(&entry(thing.clone(), NOW + skew * 2)).await.unwrap();
        for other in &lists {
            let lookup = lookup_of(thing.clone());
            until("seen", async || other.look_up(&lookup).await.unwrap() == Verdict::Revoked).await;
        }
    }
    let start = NOW + HOUR;
    lists[2].revoke(&entry(token("later"), start + HOUR).with_start(start)).await.unwrap();
    for (clock, list) in clocks.iter().zip(&lists) {
        let lookup = lookup_of(token("later"));
        let expected = Verdict::RevokedFrom(start);
        until("seen", async || list.look_up(&lookup).await.unwrap() == expected).await;
        clock.advance(HOUR + skew);
        assert_eq!(list.look_up(&lookup).await.unwrap(), Verdict::Revoked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_used_up_to_its_bound_and_not_longer() {
    let clock = ManualClock::at(NOW);
    let store = SqlStore::open("sqlite::memory:").await.unwrap().with_clock(clock.clone());
    let bound = Duration::from_secs(10);
    let list = SqlDenyList::follow(&store, bound).with_clock(clock.clone());
    let list = current(list).await;
    list.task().shutdown().await;
    clock.advance(bound);
    assert!(list.look_up(&lookup_of(token("a"))).await.is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(list.look_up(&lookup_of(token("a"))).await.unwrap_err().kind(), "out_of_date");
    assert!(!format!("{list:?}").contains("sqlite"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_gets_the_revocations_of_other_processes_on_sqlite() {
    let directory = Directory::new();
    a_cache_gets_the_revocations_of_other_processes(&directory.url("pushes.db")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_cache_gets_the_revocations_of_other_processes_on_postgres() {
    let server = Postgres::start();
    a_cache_gets_the_revocations_of_other_processes(&server.database("pushes").await).await;
}

async fn a_cache_gets_the_revocations_of_other_processes(url: &str) {
    let store = SqlStore::open(url).await.unwrap();
    let writer = SqlStore::open(url).await.unwrap();
    revoke(&writer, "earlier").await;
    let cache = RevocationCache::new(store.clone(), HOUR);
    let task = store.push_to(&cache);
    // Until the first poll, nothing is pushed.
    until("pushed", async || {
        revoke(&writer, "a").await;
        cache.stats().denials == 1
    })
    .await;
    revoke(&writer, "b").await;
    until("pushed", async || cache.stats().denials == 2).await;
    assert!(task.health().is_ok());
    drop(cache);
    until("ended", async || {
        revoke(&store, "wakes").await;
        !task.health().is_running
    })
    .await;
}

/// Prints the delay from the acknowledgement of a revocation until another process rejects the token, the speed of
/// revocations, and the time of a snapshot. `REVOCATIONS` and `ROWS` make it larger.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn delays_and_snapshots_are_measured() {
    let number = |name: &str, default: u32| {
        std::env::var(name).map_or(default, |value| value.parse().unwrap())
    };
    let (revocations, rows) = (number("REVOCATIONS", 5), number("ROWS", 10_000));
    let server = Postgres::start();
    let url = server.database("measured").await;
    let writer = SqlStore::open(&url).await.unwrap();
    let polls = SqlStoreOptions::new().with_notifications(false).open(&url).await.unwrap();
    let polls = current(SqlDenyList::follow(&polls, NEVER)).await;
    let lists = [
        ("notified", notified(&url).await, revocations, 20),
        // Each takes a second, and must not be in step with the polls.
        ("polling each second", polls, revocations.min(100), 1_000),
    ];
    for (name, list, revocations, longest_pause) in lists {
        let mut delays = Vec::new();
        for revocation in 0..revocations {
            let id = format!("{name} {revocation}");
            let pause = Duration::from_millis(u64::from(revocation * 377 % longest_pause));
            tokio::time::sleep(pause).await;
            revoke(&writer, &id).await;
            let begin = std::time::Instant::now();
            while !is_revoked(&list, &id).await {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            delays.push(begin.elapsed());
        }
        delays.sort();
        let [median, p99] = [50, 99].map(|percent| delays[(delays.len() - 1) * percent / 100]);
        println!("{name}: median {median:?}, p99 {p99:?}, max {:?}", delays[delays.len() - 1]);
    }

    let mut connection = PgConnection::connect(&url).await.unwrap();
    for (name, change) in [
        ("with notifications", ""),
        (
            "without notifications",
            "ALTER TABLE bearer_denials DISABLE TRIGGER bearer_denials_notify",
        ),
        ("without triggers", "ALTER TABLE bearer_denials DISABLE TRIGGER USER"),
    ] {
        connection.execute(change).await.unwrap();
        for clients in [1, 8] {
            let options = SqlStoreOptions::new().with_revocation_connections(clients);
            let store = Arc::new(options.open(&url).await.unwrap());
            let begin = std::time::Instant::now();
            let working: Vec<_> = (0..clients)
                .map(|client| {
                    let (store, name) = (Arc::clone(&store), name.to_owned());
                    tokio::spawn(async move {
                        for revocation in 0..revocations {
                            revoke(&store, &format!("{name} {client} {revocation}")).await;
                        }
                    })
                })
                .collect();
            for client in working {
                client.await.unwrap();
            }
            let speed = f64::from(revocations * clients) / begin.elapsed().as_secs_f64();
            println!("{name}, {clients} connections: {speed:.0} revocations a second");
        }
    }
    connection.execute("ALTER TABLE bearer_denials ENABLE TRIGGER USER").await.unwrap();

    let sql = format!(
        "INSERT INTO bearer_denials (kind, issuer, name, starts_at, cut_off, keep_until, id)
         SELECT 0, convert_to('{ISSUER}', 'UTF8'), convert_to(n::text, 'UTF8'), 0, {}, {},
             sha256(convert_to(n::text, 'UTF8'))
         FROM generate_series(1, {rows}) AS n",
        i64::MAX,
        end().as_secs()
    );
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    let memory = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap() / 1024
    };
    let before = memory();
    let begin = std::time::Instant::now();
    let list = current(SqlDenyList::follow(&writer, NEVER)).await;
    let (took, denials) = (begin.elapsed(), list.stats().denials);
    println!("snapshot of {denials} rows: {took:?}, {} MiB more", memory() - before);
}
