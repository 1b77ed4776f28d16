use futures_util::FutureExt;

use super::{
    Bench, HOUR, ISSUER, NOW, ada, answered, bob, by, called, entry, named, private, refresh,
    rotated, rotation, secs, session, subject, token,
};
use crate::store::{ListQuery, RefreshUse, TokenStore, TokenUse};
use tower_bearer::{
    UnixTime,
    revocation::{KEEP_AFTER_EXPIRY, RevocationEntry, Verdict, outbox::Acknowledged},
};

pub(super) async fn every_revocation_is_in_the_outbox_until_it_is_done<S: TokenStore>(
    bench: Bench<S>,
) {
    let id = bench.create(ada(), "p.1", "a").await.id;
    answered(bench.store.open_session(&refresh(bob(), "s", "1").into()).await);
    assert!(bench.outbox().await.is_empty(), "what is issued is no revocation");

    called(bench.store.revoke_private(&by(ada()), id, NOW).await);
    answered(bench.store.use_refresh(&rotation(bob(), "s", "1", "2")).await);
    answered(bench.store.use_refresh(&rotation(bob(), "s", "1", "3")).await);
    answered(bench.store.revoke(&entry(token("foreign"), NOW + HOUR)).await);
    answered(bench.store.revoke_owner(&bob(), NOW, NOW + HOUR).await);
    let expected = [token("p.1"), session("s"), token("foreign"), subject("bob", NOW)];
    assert_eq!(bench.outbox().await, expected);
    assert_eq!(bench.outbox().await, expected, "they are given again until they are done");

    let entries = answered(bench.store.outbox(10).await);
    let done: Vec<i64> = entries.iter().take(2).map(|entry| entry.id).collect();
    bench.outbox_done(&done).await;
    bench.outbox_done(&done).await;
    assert_eq!(bench.outbox().await, [token("foreign"), subject("bob", NOW)]);
    assert!(bench.is_refused(token("p.1")).await, "what is passed on stays revoked");
}

pub(super) async fn what_a_fleet_has_acknowledged_is_kept<S: TokenStore>(bench: Bench<S>) {
    let kept = async |fleet: &str| answered(bench.store.acknowledged(fleet).await);
    let mark =
        |generation: &str, count, hash| Acknowledged::new("a:", generation, "s", count, [hash; 8]);
    assert_eq!(kept("a:").await, None);
    for new in [mark("g", 0, 0), mark("h", 7, 7), Acknowledged::new("b:", "i", "s", 0, [0; 8])] {
        answered(bench.store.begin_generation(&new).await);
        assert_eq!(kept(&new.fleet).await, Some(new));
    }
    for (acknowledged, expected) in [
        (mark("h", 9, 9), mark("h", 9, 9)),
        (mark("h", 8, 8), mark("h", 9, 9)),
        (mark("h", u64::from(u32::MAX) + 1, 255), mark("h", u64::from(u32::MAX) + 1, 255)),
    ] {
        assert!(answered(bench.store.outbox_done(&[], &acknowledged).await));
        assert_eq!(kept("a:").await, Some(expected));
    }
    assert_eq!(kept("b:").await, Some(Acknowledged::new("b:", "i", "s", 0, [0; 8])));
}

pub(super) async fn only_the_generation_that_is_kept_empties_the_outbox<S: TokenStore>(
    bench: Bench<S>,
) {
    answered(bench.store.revoke(&entry(token("x"), NOW + HOUR)).await);
    let ids = [answered(bench.store.outbox(1).await)[0].id];
    let mark = |generation: &str| Acknowledged::new("a:", generation, "s", 5, [5; 8]);
    assert!(!answered(bench.store.outbox_done(&ids, &mark("g")).await), "none is kept");
    answered(bench.store.begin_generation(&mark("g")).await);
    answered(bench.store.begin_generation(&Acknowledged::new("a:", "h", "s", 0, [0; 8])).await);
    assert!(!answered(bench.store.outbox_done(&ids, &mark("g")).await), "an older one");
    let kept = answered(bench.store.acknowledged("a:").await);
    assert_eq!(kept, Some(Acknowledged::new("a:", "h", "s", 0, [0; 8])));
    assert_eq!(bench.outbox().await, [token("x")]);
    assert!(answered(bench.store.outbox_done(&ids, &mark("h")).await));
    assert!(bench.outbox().await.is_empty());
}

pub(super) async fn only_the_server_that_is_kept_empties_the_outbox<S: TokenStore>(
    bench: Bench<S>,
) {
    answered(bench.store.revoke(&entry(token("x"), NOW + HOUR)).await);
    let ids = [answered(bench.store.outbox(1).await)[0].id];
    let mark = |server: &str, count| Acknowledged::new("a:", "g", server, count, [5; 8]);
    answered(bench.store.begin_generation(&mark("old", 5)).await);
    assert!(answered(bench.store.change_server(&mark("old", 5), "new").await));
    assert!(!answered(bench.store.outbox_done(&ids, &mark("old", 6)).await));
    assert_eq!(answered(bench.store.acknowledged("a:").await), Some(mark("new", 5)));
    assert_eq!(bench.outbox().await, [token("x")]);
    assert!(answered(bench.store.outbox_done(&ids, &mark("new", 6)).await));
    assert!(bench.outbox().await.is_empty());
}

pub(super) async fn a_server_changes_only_if_nothing_else_has_changed<S: TokenStore>(
    bench: Bench<S>,
) {
    let kept = Acknowledged::new("a:", "g", "old", 5, [5; 8]);
    assert!(!answered(bench.store.change_server(&kept, "new").await), "none is kept");
    answered(bench.store.begin_generation(&kept).await);
    for other in [
        Acknowledged::new("b:", "g", "old", 5, [5; 8]),
        Acknowledged::new("a:", "h", "old", 5, [5; 8]),
        Acknowledged::new("a:", "g", "new", 5, [5; 8]),
        Acknowledged::new("a:", "g", "old", 4, [5; 8]),
        Acknowledged::new("a:", "g", "old", 5, [4; 8]),
    ] {
        assert!(!answered(bench.store.change_server(&other, "new").await), "{other:?}");
    }
    assert_eq!(answered(bench.store.acknowledged("a:").await), Some(kept.clone()));
    assert!(answered(bench.store.change_server(&kept, "new").await));
    assert!(!answered(bench.store.change_server(&kept, "newer").await), "only once");
    let expected = Acknowledged::new("a:", "g", "new", 5, [5; 8]);
    assert_eq!(answered(bench.store.acknowledged("a:").await), Some(expected));
}

/// A store may leave entries out, so this checks only the entries that it gives.
pub(super) async fn new_entries_are_in_the_outbox<S: TokenStore>(bench: Bench<S>) {
    // The store reports new entries from the first call on.
    assert!(bench.store.new_entries().now_or_never().is_none());
    let id = bench.create(ada(), "p.1", "a").await.id;
    called(
        bench.store.rotate_private(&by(ada()), &rotated(ada(), id, "p.2", NOW + secs(60))).await,
    );
    answered(bench.store.deny(&[entry(session("x"), NOW + HOUR)]).await);
    answered(bench.store.revoke(&entry(token("x"), NOW + HOUR)).await);
    let mut given = Vec::new();
    while let Some(entries) = bench.store.new_entries().now_or_never() {
        assert!(!entries.is_empty());
        given.extend(entries);
    }
    let outbox = answered(bench.store.outbox(10).await);
    assert!(given.iter().all(|entry| outbox.contains(entry)));
    assert!(given.iter().map(|entry| entry.id).is_sorted_by(|one, other| one < other));
}

pub(super) async fn the_outbox_has_what_starts_later_at_once<S: TokenStore>(bench: Bench<S>) {
    let id = bench.create(ada(), "p.1", "a").await.id;
    called(
        bench.store.rotate_private(&by(ada()), &rotated(ada(), id, "p.2", NOW + secs(60))).await,
    );
    answered(bench.store.revoke(&entry(token("later"), NOW + HOUR)).await);
    let entries = answered(bench.store.outbox(10).await);
    let starts: Vec<_> =
        entries.iter().map(|e| (named(&e.revocation), e.revocation.starts_at())).collect();
    assert_eq!(starts, [(token("p.1"), NOW + secs(60)), (token("later"), UnixTime::EPOCH)]);
    let look_up = async || bench.look_up(token("p.1")).await;
    bench.clock.advance(secs(59));
    assert_eq!(look_up().await, Verdict::RevokedFrom(NOW + secs(60)));
    bench.clock.advance(secs(1));
    assert_eq!(look_up().await, Verdict::Revoked);
}

pub(super) async fn the_outbox_is_read_in_order_and_in_parts<S: TokenStore>(bench: Bench<S>) {
    let all: Vec<_> = (0..7).map(|n| token(&format!("{n}"))).collect();
    for what in &all {
        answered(bench.store.revoke(&entry(what.clone(), NOW + HOUR)).await);
    }
    let mut read = Vec::new();
    loop {
        let part = answered(bench.store.outbox(3).await);
        if part.is_empty() {
            break;
        }
        assert!(part.len() <= 3);
        let ids: Vec<i64> = part.iter().map(|entry| entry.id).collect();
        assert!(ids.is_sorted());
        read.extend(part.iter().map(|entry| named(&entry.revocation)));
        bench.outbox_done(&ids).await;
    }
    assert_eq!(read, all);
}

pub(super) async fn all_denials_are_listed_once_and_in_parts<S: TokenStore>(bench: Bench<S>) {
    let id = bench.create(ada(), "p.1", "a").await.id;
    called(
        bench.store.rotate_private(&by(ada()), &rotated(ada(), id, "p.2", NOW + secs(60))).await,
    );
    let all =
        [token("x"), session("x"), subject("x", NOW - secs(5)), subject("y", NOW), token("y")];
    for what in &all {
        answered(bench.store.revoke(&entry(what.clone(), NOW + HOUR)).await);
    }
    answered(bench.store.revoke(&entry(subject("x", NOW - secs(9)), NOW)).await);
    answered(bench.store.revoke(&entry(token("over"), NOW - secs(1))).await);
    for entry in answered(bench.store.outbox(10).await) {
        bench.outbox_done(&[entry.id]).await;
    }

    let mut listed: Vec<RevocationEntry> = Vec::new();
    loop {
        let after = listed.last().map(RevocationEntry::thing);
        let part = answered(bench.store.denials(after, 2).await);
        if part.is_empty() {
            break;
        }
        assert!(part.len() <= 2);
        listed.extend(part);
    }
    assert_eq!(listed.len(), all.len() + 1);
    for what in all {
        assert!(listed.contains(&entry(what, NOW + HOUR)));
    }
    let overlap = listed.iter().find(|entry| named(entry) == token("p.1"));
    assert_eq!(
        overlap.map(RevocationEntry::starts_at),
        Some(NOW + secs(60)),
        "before its overlap has ended"
    );
}

pub(super) async fn what_concerns_nobody_is_swept_and_nothing_else<S: TokenStore>(bench: Bench<S>) {
    bench.create(ada(), "p.1", "a").await;
    answered(bench.store.open_session(&refresh(ada(), "s", "1").into()).await);
    let last = NOW + HOUR + KEEP_AFTER_EXPIRY;
    answered(bench.store.deny(&[entry(token("x"), last)]).await);
    assert_eq!(answered(bench.store.sweep(last, 10).await), 0);
    let used = answered(bench.store.use_refresh(&rotation(ada(), "s", "1", "2")).await);
    assert_eq!(used, RefreshUse::Rotated);
    assert_eq!(bench.listed(ada(), last).await.len(), 1);
    assert!(bench.is_refused(token("x")).await);

    // The private token, two refresh tokens, their session, the revocation entry and its outbox entry.
    assert_eq!(answered(bench.store.sweep(last + secs(1), 10).await), 6);
    assert!(bench.listed(ada(), last + secs(1)).await.is_empty());
    assert!(bench.outbox().await.is_empty());
    assert!(!bench.is_refused(token("x")).await);
    let used = answered(bench.store.use_refresh(&rotation(ada(), "s", "2", "3")).await);
    assert_eq!(used, RefreshUse::Unknown);
}

pub(super) async fn private_tokens_that_have_ended_are_swept_before_they_expire<S: TokenStore>(
    bench: Bench<S>,
) {
    let revoked = bench.create(ada(), "p.revoked", "a").await.id;
    called(bench.store.revoke_private(&by(ada()), revoked, NOW).await);
    let old = bench.create(ada(), "p.old", "a").await.id;
    called(
        bench.store.rotate_private(&by(ada()), &rotated(ada(), old, "p.new", NOW + secs(60))).await,
    );
    let last = NOW + secs(60) + KEEP_AFTER_EXPIRY;
    assert!(last < NOW + HOUR);
    assert_eq!(answered(bench.store.sweep(NOW, 10).await), 1, "the revoked one");
    assert_eq!(answered(bench.store.sweep(last, 10).await), 0);
    assert_eq!(answered(bench.store.sweep(last + secs(1), 10).await), 1, "the rotated one");
    assert_eq!(bench.listed(ada(), NOW).await.len(), 1);
    assert!(bench.is_refused(token("p.revoked")).await, "its denial is kept");
    bench.clock.advance(secs(60));
    assert!(bench.is_refused(token("p.old")).await);
    assert_eq!(bench.outbox().await, [token("p.revoked"), token("p.old")]);
}

pub(super) async fn a_sweep_keeps_to_its_limit<S: TokenStore>(bench: Bench<S>) {
    for n in 0..5 {
        bench.create(ada(), &format!("p.{n}"), "a").await;
        answered(bench.store.open_session(&refresh(ada(), "s", &format!("{n}")).into()).await);
    }
    let mut swept = Vec::new();
    for _ in 0..5 {
        swept.push(answered(bench.store.sweep(NOW + 2 * HOUR, 3).await));
    }
    // Five private tokens, five refresh tokens and their session.
    assert_eq!(swept, [3, 3, 3, 2, 0]);
}

pub(super) async fn the_latest_use_counts<S: TokenStore>(bench: Bench<S>) {
    bench.create_token(private(ada(), "p.1", "a")).await;
    let used = |issuer, at| TokenUse::new(issuer, "p.1", at);
    let uses = [
        used(ISSUER, NOW + secs(5)),
        used(ISSUER, NOW + secs(2)),
        used("https://other.example", NOW + secs(9)),
        TokenUse::new(ISSUER, "unknown", NOW),
    ];
    answered(bench.store.touch(&uses).await);
    answered(bench.store.touch(&[used(ISSUER, NOW + secs(3))]).await);
    answered(bench.store.touch(&[]).await);
    let page = called(bench.store.list_private(&by(ada()), &ListQuery::new(), NOW).await);
    let last_used = page.map(|page| page.tokens.iter().map(|token| token.last_used_at).collect());
    assert_eq!(last_used, Some(vec![Some(NOW + secs(5))]));
}
