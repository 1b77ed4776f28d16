//! Several stores on one database, each with separate connections.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use futures_util::FutureExt;

use super::{
    super::{OpenError, SqlStore, SqlStoreOptions, token_store::private_tokens},
    HOUR, ISSUER, NOW, caller, create, entry, listed, lookup_of, private, refresh, rotation, secs,
    session, token,
};
use tower_bearer::revocation::outbox::Outbox;
use tower_bearer::{
    UnixTime,
    revocation::{Lookup, RevocationStore, Verdict, outbox::Acknowledged},
};
use tower_bearer_issuing::store::{Called, Caller, Insertion, RefreshUse, TokenStore};

const ROUNDS: usize = 40;

macro_rules! on_each_database {
    ($($test:ident)+) => {
        mod sqlite {
            use super::super::Directory;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    let directory = Directory::new();
                    super::$test(&directory.url("store.db")).await;
                }
            )+
        }

        #[tokio::test(flavor = "multi_thread")]
        #[ignore = "needs postgres"]
        async fn postgres_keeps_all_of_these_rules() {
            let server = super::server::Postgres::start();
            $($test(&server.database(stringify!($test)).await).await;)+
        }
    };
}

on_each_database! {
    stores_that_open_at_once_make_the_tables_once
    one_store_sees_the_revocation_of_another_at_its_next_lookup
    a_session_that_ends_while_it_is_rotated_has_no_valid_successor
    no_token_survives_a_cut_off_that_is_written_while_it_is_issued
    one_of_two_stores_rotates
    dropped_steps_leave_nothing_behind
    the_next_step_does_not_commit_what_a_dropped_step_left
    a_step_that_did_not_begin_reports_that_nothing_was_written
    only_a_newer_major_schema_is_rejected
    a_migration_opens_nothing_and_can_be_repeated
    new_entries_go_to_the_store_that_has_written_them
    entries_that_are_removed_as_a_seeding_begins_are_in_its_denials
    entries_are_removed_or_the_server_changes_but_never_both
}

async fn two(url: &str) -> (SqlStore, SqlStore) {
    (SqlStore::open(url).await.unwrap(), SqlStore::open(url).await.unwrap())
}

async fn stores_that_open_at_once_make_the_tables_once(url: &str) {
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let url = url.to_owned();
            tokio::spawn(async move { SqlStore::open(&url).await })
        })
        .collect();
    for (n, store) in opening.into_iter().enumerate() {
        create(&store.await.unwrap().unwrap(), &n.to_string()).await;
    }
    assert_eq!(listed(&SqlStore::open(url).await.unwrap()).await.len(), 8);
}

async fn one_store_sees_the_revocation_of_another_at_its_next_lookup(url: &str) {
    let (one, other) = two(url).await;
    for n in 0..ROUNDS {
        let name = n.to_string();
        let id = create(&one, &name).await.id;
        let what = Lookup::new([token(&name), session(&name)], NOW);
        assert_eq!(other.look_up(&what).await.unwrap(), Verdict::NotRevoked);
        assert!(
            one.revoke_private(&caller(), id, NOW - HOUR).await.unwrap().done().unwrap().is_some()
        );
        assert_eq!(other.with_clock_at(NOW).look_up(&what).await.unwrap(), Verdict::Revoked);
        assert_eq!(other.revoke_private(&caller(), id, NOW).await.unwrap().done().unwrap(), None);
    }
}

impl SqlStore {
    fn with_clock_at(&self, now: UnixTime) -> Self {
        self.clone().with_clock(tower_bearer::claims::ManualClock::at(now))
    }
}

async fn a_session_that_ends_while_it_is_rotated_has_no_valid_successor(url: &str) {
    let (one, other) = two(url).await;
    for n in 0..ROUNDS {
        let sid = format!("s{n}");
        let (first, next) = (format!("{n}.1"), format!("{n}.2"));
        one.open_session(&refresh(&sid, &first).into()).await.unwrap();
        let rotation = rotation(&sid, &first, &next);
        let what = entry(session(&sid), NOW + HOUR);
        let (used, ended) = tokio::join!(one.use_refresh(&rotation), other.revoke(&what));
        ended.unwrap();
        assert!(matches!(used.unwrap(), RefreshUse::Rotated | RefreshUse::Revoked));
        let outcome = one.use_refresh(&super::rotation(&sid, &next, "last")).await.unwrap();
        assert!(matches!(outcome, RefreshUse::Unknown | RefreshUse::Revoked), "{outcome:?}");
    }
}

async fn no_token_survives_a_cut_off_that_is_written_while_it_is_issued(url: &str) {
    let (one, other) = two(url).await;
    for n in 0..ROUNDS {
        let subject = tower_bearer_issuing::store::Owner::new(ISSUER, format!("subject {n}"));
        let mut token = private(&format!("{n}"));
        token.owner = subject.clone();
        let caller = Caller::new(subject.clone(), "caller", "session", NOW);
        let later = Caller::new(subject.clone(), "caller", "session", NOW + secs(1));
        let (created, cut_off) = tokio::join!(
            one.create_private(&caller, &token),
            other.revoke_owner(&subject, NOW, NOW + HOUR)
        );
        assert_eq!(cut_off.unwrap(), NOW);
        if let Called::Done(Insertion::Done(token)) = created.unwrap() {
            let revoked = one.revoke_private(&later, token.id, NOW).await.unwrap();
            assert_eq!(revoked, Called::Done(None), "a token behind a cut-off is valid");
        }
    }
}

async fn one_of_two_stores_rotates(url: &str) {
    let (one, other) = two(url).await;
    for n in 0..ROUNDS {
        let sid = format!("s{n}");
        let first = format!("{n}.1");
        one.open_session(&refresh(&sid, &first).into()).await.unwrap();
        let left = rotation(&sid, &first, &format!("{n}.left"));
        let right = rotation(&sid, &first, &format!("{n}.right"));
        let (left, right) = tokio::join!(one.use_refresh(&left), other.use_refresh(&right));
        let outcomes = [left.unwrap(), right.unwrap()];
        assert!(outcomes.contains(&RefreshUse::Rotated), "{outcomes:?}");
        assert!(outcomes.contains(&RefreshUse::Reused), "{outcomes:?}");
    }
}

/// Drops each step after a different number of polls. The next step works, and what was not committed is not in the
/// database.
async fn dropped_steps_leave_nothing_behind(url: &str) {
    let store = one_connection(url).await;
    let caller = caller();
    let mut completed = 0;
    for n in 0..60_u32 {
        let token = private(&format!("dropped {n}"));
        let mut step = store.create_private(&caller, &token);
        for _ in 0..=n % 20 {
            let polled = |context: &mut Context<'_>| {
                Poll::Ready(step.as_mut().poll(context).map(|answer| answer.is_ok()))
            };
            if let Poll::Ready(is_done) = poll_fn(polled).await {
                assert!(is_done);
                completed += 1;
                break;
            }
            tokio::time::sleep(std::time::Duration::from_micros(u64::from(n) * 20)).await;
        }
    }
    println!("{completed} of 60 steps were done before they were dropped");
    create(&store, "whole").await;
    let tokens = listed(&store).await;
    assert!(tokens.len() > completed, "what was answered is kept");
    for token in &tokens {
        assert!(
            store.revoke_private(&caller, token.id, NOW).await.unwrap().done().unwrap().is_some()
        );
    }
    let entries = store.outbox(1000).await.unwrap();
    assert_eq!(entries.len(), tokens.len());
    if url.starts_with("postgres") {
        let sql = "SELECT pid FROM pg_stat_activity
                   WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        assert!(store.database.read(sql, &[]).await.unwrap().is_empty());
    }
}

async fn the_next_step_does_not_commit_what_a_dropped_step_left(url: &str) {
    let store = one_connection(url).await;
    for n in 0..5 {
        let mut transaction = store.database.begin().await.unwrap();
        let dropped = private(&format!("dropped {n}"));
        private_tokens::create(&mut transaction, &caller(), &dropped).await.unwrap();
        drop(transaction);
        create(&store, &n.to_string()).await;
    }
    let names: Vec<_> = listed(&store).await.iter().map(|token| token.name.to_string()).collect();
    assert_eq!(names, ["0", "1", "2", "3", "4"]);
}

async fn a_step_that_did_not_begin_reports_that_nothing_was_written(url: &str) {
    let options = SqlStoreOptions::new().with_max_connections(1);
    let store =
        options.with_wait_timeout(std::time::Duration::from_millis(500)).open(url).await.unwrap();
    store.open_session(&refresh("s", "1").into()).await.unwrap();
    let held = store.database.begin().await.unwrap();
    let failure = store.create_private(&caller(), &private("a")).await.unwrap_err();
    assert!(failure.is_nothing_written(), "{failure}");
    let failure = store.use_refresh(&rotation("s", "1", "2")).await.unwrap_err();
    assert!(failure.is_nothing_written(), "{failure}");
    drop(held);
    let used = store.use_refresh(&rotation("s", "1", "2")).await.unwrap();
    assert_eq!(used, RefreshUse::Rotated);
}

/// A store with one connection, at least for writes.
async fn one_connection(url: &str) -> SqlStore {
    SqlStoreOptions::new().with_max_connections(1).open(url).await.unwrap()
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn connections_that_postgres_has_closed_are_replaced() {
    let server = super::server::Postgres::start();
    let url = server.database("cut").await;
    let (store, other) = (one_connection(&url).await, SqlStore::open(&url).await.unwrap());
    let cut = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for n in 0..5 {
        let name = n.to_string();
        create(&store, &name).await;
        // From the second round on, there is one for lookups, too.
        let connections = if n == 0 { 1 } else { 2 };
        assert_eq!(other.database.read(cut, &[]).await.unwrap().len(), connections);
        create(&store, &format!("{n} again")).await;
        assert_eq!(other.database.read(cut, &[]).await.unwrap().len(), 1);
        assert_eq!(store.look_up(&lookup_of(token(&name))).await.unwrap(), Verdict::NotRevoked);
    }
}

async fn new_entries_go_to_the_store_that_has_written_them(url: &str) {
    let (one, other) = two(url).await;
    for store in [&one, &other] {
        assert!(store.new_entries().now_or_never().is_none(), "nothing is written yet");
    }
    for n in 0..3 {
        one.revoke(&entry(token(&n.to_string()), NOW + HOUR)).await.unwrap();
    }
    let given = one.clone().new_entries().await;
    assert_eq!(given, other.outbox(10).await.unwrap());
    assert_eq!(given.len(), 3);
    for store in [&one, &other] {
        assert!(store.new_entries().now_or_never().is_none());
    }
}

/// A slow relay removes the entries, while another relay seeds.
async fn entries_that_are_removed_as_a_seeding_begins_are_in_its_denials(url: &str) {
    let (one, other) = two(url).await;
    let mark = |generation: String| Acknowledged::new("a:", generation, "s", 1, [1; 8]);
    for n in 0..ROUNDS {
        let (old, new) = (mark(format!("g{n}")), mark(format!("g{}", n + 1)));
        one.begin_generation(&old).await.unwrap();
        let (removed, denials) = tokio::join!(
            async {
                one.revoke(&entry(token(&n.to_string()), NOW + HOUR)).await.unwrap();
                let id = one.outbox(1000).await.unwrap().pop().unwrap().id;
                one.outbox_done(&[id], &old).await.unwrap()
            },
            async {
                other.begin_generation(&new).await.unwrap();
                other.denials(None, 1000).await.unwrap()
            }
        );
        let is_there = denials.iter().any(|denial| *denial.thing() == token(&n.to_string()));
        let left = one.outbox(1000).await.unwrap();
        let is_left = left.iter().any(|entry| *entry.revocation.thing() == token(&n.to_string()));
        assert_ne!(removed, is_left);
        assert!(is_there || is_left, "neither the outbox nor the seeding has it");
        assert!(!one.outbox_done(&[], &old).await.unwrap());
    }
}

/// A slow relay removes the entries, while another relay compares.
async fn entries_are_removed_or_the_server_changes_but_never_both(url: &str) {
    let (one, other) = two(url).await;
    for n in 0..ROUNDS {
        let mark = |count| Acknowledged::new("a:", format!("g{n}"), "old", count, [1; 8]);
        one.begin_generation(&mark(1)).await.unwrap();
        let (kept, later) = (mark(1), mark(2));
        let (removed, changed) =
            tokio::join!(one.outbox_done(&[], &later), other.change_server(&kept, "new"));
        assert_ne!(removed.unwrap(), changed.unwrap());
    }
}

async fn only_a_newer_major_schema_is_rejected(url: &str) {
    let store = SqlStore::open(url).await.unwrap();
    let set = async |sql| {
        let mut transaction = store.database.begin().await.unwrap();
        transaction.run(sql).await.unwrap();
        transaction.commit().await.unwrap();
    };
    set("UPDATE bearer_schema SET version = 99").await;
    let newer = SqlStore::open(url).await.unwrap();
    create(&newer, "beside a newer version").await;
    let migration = SqlStore::migrate(url).await.unwrap();
    assert_eq!((migration.from, migration.to), (99, 99), "it is not changed");

    set("UPDATE bearer_schema SET major = 2").await;
    for refusal in [SqlStore::open(url).await.map(|_| ()), SqlStore::migrate(url).await.map(|_| ())]
    {
        let refusal = refusal.unwrap_err();
        let is_rejected =
            matches!(refusal, OpenError::NewerSchema { major: 2, found: 99, known: 8 });
        assert!(is_rejected, "{refusal:?}");
    }
    assert_eq!(listed(&newer).await.len(), 1, "a store that is open keeps working");
}

async fn a_migration_opens_nothing_and_can_be_repeated(url: &str) {
    let migrations = futures_util::future::join_all((0..4).map(|_| SqlStore::migrate(url))).await;
    let from: Vec<u64> = migrations.into_iter().map(|done| done.unwrap().from).collect();
    assert_eq!(from.iter().filter(|from| **from == 0).count(), 1, "one has migrated: {from:?}");
    assert_eq!(SqlStore::migrate(url).await.unwrap().from, 8);
    if url.starts_with("postgres") {
        let store = one_connection(url).await;
        let others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
                      AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        assert!(store.database.read(others, &[]).await.unwrap().is_empty());
    }
    create(&SqlStore::open(url).await.unwrap(), "after").await;
}
