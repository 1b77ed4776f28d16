//! How many connections there are, and which callers wait for which.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use sqlx::{Connection as _, Executor as _, Row as _};

use super::{
    super::{SqlStore, SqlStoreOptions, database::Database, entries::lock_of},
    HOUR, ISSUER, NOW, caller, create, entry, listed, lookup_of, owner, private, refresh, rotation,
    token,
};
use tower_bearer::revocation::outbox::Outbox;
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocationStore, Verdict},
};
use tower_bearer_issuing::{
    AccountChange, AccountOutcome, AccountUpdate, ManagedAccounts as _, NewAccount,
    scopes::ScopeSet,
    store::{
        Insertion, KeyChange, KeyOutcome, KeyStore as _, ListQuery, NewRefreshToken, Owner,
        RefreshUse, TokenStore,
    },
};

/// Few connections and a short timeout, so that a caller that waits for one fails soon.
fn few_connections() -> SqlStoreOptions {
    SqlStoreOptions::new().with_max_connections(2).with_wait_timeout(Duration::from_millis(500))
}

async fn backends(observer: &mut sqlx::PgConnection) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
               AND backend_type = 'client backend' AND application_name = ''";
    observer.fetch_one(sql).await.unwrap().get(0)
}

/// Drops one of five different calls after 10 milliseconds.
async fn drop_a_call(store: &SqlStore, number: usize) {
    let moment = Duration::from_millis(10);
    match number % 5 {
        0 => {
            let new = private(&format!("dropped {number}"));
            let caller = caller();
            drop(tokio::time::timeout(moment, store.create_private(&caller, &new)).await);
        }
        1 => {
            let (caller, query) = (caller(), ListQuery::new());
            drop(tokio::time::timeout(moment, store.list_private(&caller, &query, NOW)).await);
        }
        2 => drop(tokio::time::timeout(moment, store.look_up(&lookup_of(token("a")))).await),
        3 => drop(
            tokio::time::timeout(moment, store.revoke_owner(&owner(), UnixTime::from_secs(1), NOW))
                .await,
        ),
        _ => drop(tokio::time::timeout(moment, store.outbox(10)).await),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn dropped_calls_never_exceed_the_pools() {
    let server = super::server::Postgres::start();
    let url = server.database("dropped").await;
    let options = SqlStoreOptions::new().with_max_connections(3).with_lookup_connections(2);
    let store = options.open(&url).await.unwrap();
    let named = format!("{url}&application_name=observer");
    let mut observer = sqlx::PgConnection::connect(&named).await.unwrap();
    let mut locker = sqlx::PgConnection::connect(&named).await.unwrap();
    create(&store, "before").await;

    let tables = "BEGIN; LOCK TABLE bearer_private_tokens, bearer_denials, bearer_outbox";
    locker.execute(sqlx::raw_sql(tables)).await.unwrap();
    let mut most = 0;
    for number in 0..100 {
        drop_a_call(&store, number).await;
        most = most.max(backends(&mut observer).await);
    }
    assert_eq!(most, 6, "3 for all, 1 for revocations, 2 for lookups");
    locker.execute("ROLLBACK").await.unwrap();

    create(&store, "after").await;
    assert_eq!(store.look_up(&lookup_of(token("a"))).await.unwrap(), Verdict::NotRevoked);
    assert!(listed(&store).await.iter().any(|token| &*token.name == "after"));
    store.revoke_owner(&owner(), NOW, NOW + HOUR).await.unwrap();
    assert_eq!(listed(&store).await.len(), 0);
    assert_eq!(backends(&mut observer).await, 6);
}

/// A proxy in front of the server's socket. While it is stalled, it passes questions on, but neither answers nor the
/// ends of connections.
async fn stalling_proxy(url: &str) -> (String, tokio::sync::watch::Sender<bool>) {
    use tokio::net::{TcpListener, TcpStream, UnixStream};
    let (stall, stalls) = tokio::sync::watch::channel(false);
    let (database, rest) = url.strip_prefix("postgres:///").unwrap().split_once("?host=").unwrap();
    let socket = format!("{}/.s.PGSQL.5432", rest.split('&').next().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = UnixStream::connect(&socket).await.unwrap();
            let (near_read, near_write) = TcpStream::into_split(near);
            let (far_read, far_write) = far.into_split();
            tokio::spawn(forward(near_read, far_write, false, stalls.clone()));
            tokio::spawn(forward(far_read, near_write, true, stalls.clone()));
        }
    });
    (format!("postgres://tester@{address}/{database}?sslmode=disable"), stall)
}

async fn forward(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    is_answer: bool,
    mut stalls: tokio::sync::watch::Receiver<bool>,
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut bytes = [0; 4096];
    loop {
        let count = from.read(&mut bytes).await.unwrap_or(0);
        if is_answer || count == 0 {
            drop(stalls.wait_for(|is_stalled| !is_stalled).await);
        }
        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn calls_dropped_while_they_connect_never_exceed_the_pools() {
    let server = super::server::Postgres::start();
    let direct = server.database("stalled").await;
    let (url, stall) = stalling_proxy(&direct).await;
    let options = SqlStoreOptions::new().with_max_connections(3).with_lookup_connections(2);
    let store = options.open(&url).await.unwrap();
    let named = format!("{direct}&application_name=observer");
    let mut observer = sqlx::PgConnection::connect(&named).await.unwrap();
    stall.send_replace(true);
    let mut most = 0;
    for number in 0..100 {
        drop_a_call(&store, number).await;
        most = most.max(backends(&mut observer).await);
    }
    assert_eq!(most, 6, "3 for all, 1 for revocations, 2 for lookups");
    stall.send_replace(false);
    create(&store, "after").await;
    assert_eq!(store.look_up(&lookup_of(token("a"))).await.unwrap(), Verdict::NotRevoked);
    store.revoke_owner(&owner(), NOW, NOW + HOUR).await.unwrap();
    assert!(backends(&mut observer).await <= 6);
}

/// The next step makes a new connection, and does not wait for the lost server a second time.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_connection_without_an_answer_is_given_up_once() {
    let server = super::server::Postgres::start();
    let direct = server.database("silent").await;
    let (url, stall) = stalling_proxy(&direct).await;
    let store = few_connections().with_max_connections(1).open(&url).await.unwrap();
    let named = format!("{direct}&application_name=observer");
    let mut observer = sqlx::PgConnection::connect(&named).await.unwrap();
    let mut transaction = store.database.begin().await.unwrap();
    stall.send_replace(true);
    assert!(transaction.fetch("SELECT 1", vec![]).await.is_err());
    drop(transaction);
    // The server has ended the transaction of the connection that was given up, and so its backend.
    assert_eq!(backends(&mut observer).await, 0);
    store.create_private(&caller(), &private("next")).await.unwrap_err();
    assert_eq!(backends(&mut observer).await, 1);
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn revocations_do_not_wait_for_other_connections() {
    let server = super::server::Postgres::start();
    let store = few_connections().open(&server.database("revocations").await).await.unwrap();
    let id = create(&store, "mine").await.id;
    let Database { writers, lookups, .. } = &store.database;
    let mut held = Vec::new();
    for pool in [writers, writers, lookups] {
        held.push(pool.acquire().await.unwrap());
    }
    store.create_private(&caller(), &private("late")).await.unwrap_err();
    assert!(store.revoke_private(&caller(), id, NOW).await.unwrap().done().unwrap().is_some());
    store.deny(&[entry(super::session("s"), NOW + HOUR)]).await.unwrap();
    store.revoke(&entry(token("t"), NOW + HOUR)).await.unwrap();
    store.revoke_owner(&owner(), NOW, NOW + HOUR).await.unwrap();
    drop(held);
    assert_eq!(store.outbox(10).await.unwrap().len(), 4);
}

/// Something blocks the lock of an account. Its calls wait, and all others are answered.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn one_account_keeps_at_most_one_connection_busy() {
    let server = super::server::Postgres::start();
    let url = server.database("one_account").await;
    let long = SqlStoreOptions::new().with_wait_timeout(Duration::from_secs(30));
    let store = long.open(&url).await.unwrap();
    for n in 0..8 {
        let first = refresh(&format!("session {n}"), &n.to_string());
        store.open_session(&first.into()).await.unwrap();
    }
    let mut locker = sqlx::PgConnection::connect(&url).await.unwrap();
    let subject = Revocable::subject(ISSUER, &*owner().subject);
    let lock = format!("BEGIN; SELECT pg_advisory_xact_lock({})", lock_of(&subject));
    locker.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(lock))).await.unwrap();
    let refreshes: Vec<_> = (0..8)
        .map(|n| {
            let store = store.clone();
            let rotation = rotation(&format!("session {n}"), &n.to_string(), &format!("next {n}"));
            tokio::spawn(async move { store.use_refresh(&rotation).await.unwrap() })
        })
        .collect();
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while locker.fetch_one(waiting).await.unwrap().get::<i64, _>(0) == 0 {
        assert!(std::time::Instant::now() < deadline, "no refresh waits for the lock");
    }

    let bob = Owner::new(ISSUER, "bob");
    let first = NewRefreshToken::new(bob, "of bob", "of bob", NOW, NOW + HOUR, [7; 32]);
    let new = first.into();
    let log_in = tokio::time::timeout(Duration::from_secs(20), store.open_session(&new)).await;
    assert_eq!(log_in.expect("it does not wait").unwrap(), Insertion::Done(()));
    assert_eq!(locker.fetch_one(waiting).await.unwrap().get::<i64, _>(0), 1);
    locker.execute("ROLLBACK").await.unwrap();
    for refresh in refreshes {
        assert_eq!(refresh.await.unwrap(), RefreshUse::Rotated);
    }
}

/// Without its records of keys, a replica stops signing after a day.
#[tokio::test]
#[ignore = "needs postgres"]
async fn records_of_keys_are_reachable_while_other_connections_are_blocked() {
    let server = super::server::Postgres::start();
    let store = few_connections().open(&server.database("keys").await).await.unwrap();
    let Database { writers, .. } = &store.database;
    let held = (writers.acquire().await.unwrap(), writers.acquire().await.unwrap());
    store.create_private(&caller(), &private("late")).await.unwrap_err();
    let add = KeyChange::Add {
        thumbprint: "thumbprint".into(),
        now: NOW,
        publication: HOUR,
        only_as_first: true,
        needed_until: NOW + HOUR,
    };
    let added = store.change_keys(ISSUER, &add).await.unwrap();
    assert!(matches!(added, KeyOutcome::Done(_)), "{added:?}");
    assert_eq!(store.keys(ISSUER).await.unwrap().len(), 1);
    drop(held);
}

/// The deletion of an account revokes first, and deletes on the connections for everything.
#[tokio::test]
#[ignore = "needs postgres"]
async fn a_deletion_does_not_keep_the_connection_for_revocations() {
    let server = super::server::Postgres::start();
    let store = few_connections().open(&server.database("deletion").await).await.unwrap();
    let new = NewAccount::new("ada@example.org", "!");
    let ada = store.add_account(&new).await.unwrap().unwrap();
    let owner = Owner::new(ISSUER, &*ada.subject);
    let Database { writers, .. } = &store.database;
    let held = (writers.acquire().await.unwrap(), writers.acquire().await.unwrap());
    let delete = AccountUpdate::new(owner, AccountChange::Delete, NOW);
    let another = entry(token("of another"), NOW + HOUR);
    let (deleted, revoked) = tokio::join!(store.change_account(&delete), store.revoke(&another));
    revoked.unwrap();
    assert!(!deleted.unwrap_err().is_nothing_written(), "the account is revoked");
    let lookup = lookup_of(Revocable::subject(ISSUER, &*ada.subject));
    assert_eq!(store.look_up(&lookup).await.unwrap(), Verdict::Revoked);
    drop(held);
    let deleted = store.change_account(&delete).await.unwrap();
    assert!(matches!(deleted, AccountOutcome::Changed(_)), "{deleted:?}");
}

/// One change of an account revokes a thousand tokens. It keeps the connection for revocations, so it must be short.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_loss_of_scopes_of_many_tokens_needs_few_statements() {
    let server = super::server::Postgres::start();
    let direct = SqlStore::open(&server.database("scopes").await).await.unwrap();
    let mut new = NewAccount::new("ada@example.org", "!");
    new.scopes = ScopeSet::from_text("a").unwrap();
    let ada = direct.add_account(&new).await.unwrap().unwrap();
    let owner = Owner::new(ISSUER, &*ada.subject);
    for n in 0..1000 {
        let id = n.to_string();
        let mut first = refresh(&id, &id).with_access_token_id(format!("access {n}"));
        first.owner = owner.clone();
        direct.open_session(&first.into()).await.unwrap();
    }
    let proxy = super::replays::Proxy::to(server.socket()).await;
    let store = proxy.open_with(SqlStoreOptions::new(), "scopes").await;
    let lose = AccountUpdate::new(owner, AccountChange::SetScopes(ScopeSet::default()), NOW);
    proxy.take_pieces();
    let changed = store.change_account(&lose).await.unwrap();
    let pieces = proxy.take_pieces();
    let AccountOutcome::Changed(entries) = changed else { panic!("it was not changed") };
    assert_eq!(entries.len(), 1000);
    // Each wait for the database holds up other revocations.
    assert!((10..300).contains(&pieces), "{pieces}");
    let lookup = lookup_of(token("access 999"));
    assert_eq!(store.look_up(&lookup).await.unwrap(), Verdict::Revoked);
}

#[tokio::test]
async fn lookups_in_sqlite_do_not_wait_for_lists_and_writes() {
    let directory = super::Directory::new();
    let store = few_connections().open(&directory.url("tokens.db")).await.unwrap();
    let Database { writers, readers, .. } = &store.database;
    let held = (writers.acquire().await.unwrap(), readers.acquire().await.unwrap());
    assert!(store.list_private(&caller(), &ListQuery::new(), NOW).await.is_err());
    assert_eq!(store.look_up(&lookup_of(token("a"))).await.unwrap(), Verdict::NotRevoked);
    drop(held);
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn lookups_in_postgresql_do_not_wait_for_lists_and_writes() {
    let server = super::server::Postgres::start();
    let store = few_connections().open(&server.database("lookups").await).await.unwrap();
    let Database { writers, readers, .. } = &store.database;
    let held = (writers.acquire().await.unwrap(), readers.acquire().await.unwrap());
    assert!(store.list_private(&caller(), &ListQuery::new(), NOW).await.is_err());
    assert_eq!(store.look_up(&lookup_of(token("a"))).await.unwrap(), Verdict::NotRevoked);
    drop(held);
}

/// Making an index of a large table takes longer than any other step may take.
#[tokio::test]
#[ignore = "needs postgres"]
async fn only_a_migration_has_no_timeouts() {
    let server = super::server::Postgres::start();
    let url = server.database("timeouts").await;
    let store = few_connections().with_max_connections(1).open(&url).await.unwrap();
    for (is_migration, expected) in [(true, ["0", "0"]), (false, ["1s", "500ms"])] {
        let mut transaction = store.database.begin().await.unwrap();
        if is_migration {
            transaction.without_timeouts().await.unwrap();
        }
        for (sql, expected) in ["SHOW statement_timeout", "SHOW lock_timeout"].iter().zip(expected)
        {
            let rows = transaction.fetch(*sql, vec![]).await.unwrap();
            assert_eq!(rows[0].text(0).unwrap(), expected, "{sql}");
        }
        transaction.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_revocation_in_sqlite_waits_for_one_other_write_at_most() {
    let directory = super::Directory::new();
    let store = SqlStore::open(&directory.url("tokens.db")).await.unwrap();
    let transaction = store.database.begin().await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let others: Vec<_> = (0..50)
        .map(|number| {
            let (store, done) = (store.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let new = private(&number.to_string());
                store.create_private(&caller(), &new).await.unwrap();
                done.fetch_add(1, SeqCst);
            })
        })
        .collect();
    run_other_tasks().await;
    let (revoking, before) = (store.clone(), Arc::clone(&done));
    let revocation = tokio::spawn(async move {
        revoking.revoke_owner(&owner(), NOW, NOW + HOUR).await.unwrap();
        before.load(SeqCst)
    });
    run_other_tasks().await;
    drop(transaction);
    assert!(revocation.await.unwrap() <= 1, "50 other writes wait");
    for other in others {
        other.await.unwrap();
    }
}

/// Lets every task run as far as it can.
async fn run_other_tasks() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

/// A storm of log-ins, requests with new tokens, and revocations at once. With 4 connections all of them are answered.
/// The printed times compare the defaults with more connections. The wait timeout is long, because the machine of a
/// test may be busy.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_storm_is_answered_with_four_connections() {
    let server = super::server::Postgres::start();
    for (name, options) in [
        ("four", SqlStoreOptions::new()),
        (
            "sixteen",
            SqlStoreOptions::new()
                .with_max_connections(10)
                .with_revocation_connections(2)
                .with_lookup_connections(4),
        ),
    ] {
        let url = server.database(name).await;
        let store = options.with_wait_timeout(Duration::from_secs(60)).open(&url).await.unwrap();
        let named = format!("{url}&application_name=observer");
        let mut observer = sqlx::PgConnection::connect(&named).await.unwrap();
        let [log_ins, lookups, revocations] = storm(&store).await;
        let count = backends(&mut observer).await;
        assert!(name != "four" || count <= 4, "{count} connections");
        println!(
            "{name} connections ({count} used): slowest and median of 1000 log-ins {log_ins:?}, "
        );
        println!("  of 1000 lookups {lookups:?}, of 100 revocations {revocations:?}");
    }
}

/// The slowest and the median time of each kind of call. All calls begin at once.
async fn storm(store: &SqlStore) -> [[Duration; 2]; 3] {
    let begin = std::time::Instant::now();
    let log_ins = (0..1000).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let first = super::refresh(&format!("session {number}"), &format!("storm {number}"));
            store.open_session(&first.into()).await.unwrap();
            begin.elapsed()
        })
    });
    let log_ins: Vec<_> = log_ins.collect();
    let lookups = (0..1000).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let asked = lookup_of(token(&number.to_string()));
            assert_eq!(store.look_up(&asked).await.unwrap(), Verdict::NotRevoked);
            begin.elapsed()
        })
    });
    let lookups: Vec<_> = lookups.collect();
    let revocations = (0..100).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let revoked = entry(token(&format!("revoked {number}")), NOW + HOUR);
            store.revoke(&revoked).await.unwrap();
            begin.elapsed()
        })
    });
    let revocations: Vec<_> = revocations.collect();
    [
        slowest_and_median(log_ins).await,
        slowest_and_median(lookups).await,
        slowest_and_median(revocations).await,
    ]
}

async fn slowest_and_median(calls: Vec<tokio::task::JoinHandle<Duration>>) -> [Duration; 2] {
    let mut times = Vec::new();
    for call in calls {
        times.push(call.await.unwrap());
    }
    times.sort_unstable();
    [times[times.len() - 1], times[times.len() / 2]]
}
