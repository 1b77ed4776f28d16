use super::{
    Bench, HOUR, ISSUER, NOW, Named, ada, answered, bob, by, called, entry, private, refresh,
    rotated, rotation, secs, session, subject, token,
};
use crate::store::{Insertion, PrivateRotation, RefreshUse, TokenStore};
use tower_bearer::{
    UnixTime,
    revocation::{KEEP_AFTER_EXPIRY, Lookup, Revocable, RevocationEntry, Verdict},
};

impl<S: TokenStore> Bench<S> {
    async fn revoke(&self, what: Named) {
        answered(self.store.revoke(&entry(what, NOW + HOUR)).await);
    }
}

fn key(id: &str) -> Named {
    (Revocable::key(ISSUER, id), UnixTime::MAX)
}

pub(super) async fn what_is_denied_is_refused_and_nothing_else<S: TokenStore>(bench: Bench<S>) {
    for what in [token("x"), session("x"), key("x")] {
        assert!(!bench.is_refused(what.clone()).await);
        bench.revoke(what.clone()).await;
        assert!(bench.is_refused(what).await);
    }
    let elsewhere = (Revocable::token("https://other.example", "x"), UnixTime::MAX);
    for other in [token("y"), token("X"), elsewhere, subject("x", NOW)] {
        assert!(!bench.is_refused(other.clone()).await, "{other:?}");
    }
    let look_up = async |things: &[Named]| {
        let things = things.iter().map(|(thing, _)| thing.clone());
        answered(bench.store.look_up(&Lookup::new(things, NOW)).await)
    };
    let one_of_them = [token("y"), subject("y", NOW), session("x")];
    assert_eq!(look_up(&one_of_them).await, Verdict::Revoked);
    let the_last = [token("y"), subject("y", NOW), session("y"), key("y"), key("x"), key("z")];
    for count in [5, 6] {
        let asked = the_last.get(6 - count..).unwrap_or_default();
        assert_eq!(look_up(asked).await, Verdict::Revoked);
    }
    bench.clock.advance(HOUR);
    assert!(bench.is_refused(token("x")).await, "kept as long as was asked");
}

pub(super) async fn a_denial_is_never_weakened<S: TokenStore>(bench: Bench<S>) {
    let long = [entry(token("x"), NOW + HOUR), entry(subject("ada", NOW), NOW + HOUR)];
    answered(bench.store.deny(&long).await);
    let short = [
        entry(token("x"), NOW + secs(1)).with_start(NOW + HOUR),
        entry(subject("ada", NOW - secs(10)), NOW + secs(1)),
    ];
    answered(bench.store.deny(&short).await);
    answered(bench.store.sweep(NOW + secs(2), 10).await);
    assert!(bench.is_refused(token("x")).await);
    assert!(bench.is_refused(subject("ada", NOW)).await);
    answered(bench.store.deny(&[entry(token("x"), NOW + 2 * HOUR)]).await);
    answered(bench.store.sweep(NOW + HOUR + secs(1), 10).await);
    assert!(bench.is_refused(token("x")).await);
    assert!(!bench.is_refused(subject("ada", NOW)).await);
}

pub(super) async fn a_denial_ends_the_rows_that_it_concerns<S: TokenStore>(bench: Bench<S>) {
    let kept = bench.create(bob(), "p.kept", "a").await.id;
    for (token_id, what) in [
        ("p.token", token("p.token")),
        ("p.session", session("session of p.session")),
        ("p.subject", subject("ada", NOW)),
    ] {
        let id = bench.create(ada(), token_id, "a").await.id;
        bench.revoke(what).await;
        assert!(bench.listed(ada(), NOW).await.is_empty(), "{token_id}");
        assert_eq!(called(bench.store.revoke_private(&by(ada()), id, NOW).await), None);
        let rotation = rotated(ada(), id, "p.new", NOW);
        let outcome = called(bench.store.rotate_private(&by(ada()), &rotation).await);
        assert_eq!(outcome, PrivateRotation::NotFound);
    }
    assert_eq!(bench.listed(bob(), NOW).await, [kept]);

    let ends = [session("s"), token("first 1"), subject("bob", NOW)];
    for (n, what) in ends.into_iter().enumerate() {
        let first = format!("first {n}");
        answered(bench.store.open_session(&refresh(bob(), "s", &first).into()).await);
        bench.revoke(what).await;
        let rotation = rotation(bob(), "s", &first, "next");
        let outcome = answered(bench.store.use_refresh(&rotation).await);
        assert_eq!(outcome, RefreshUse::Revoked);
    }
}

pub(super) async fn a_refresh_token_that_is_denied_from_a_time_on_is_good_until_then<
    S: TokenStore,
>(
    bench: Bench<S>,
) {
    for first in ["1", "a"] {
        answered(bench.store.open_session(&refresh(ada(), "s", first).into()).await);
        let later = entry(token(first), NOW + HOUR).with_start(NOW + secs(10));
        answered(bench.store.deny(&[later]).await);
    }
    let used_at = |used, successor, now| {
        let mut rotation = rotation(ada(), "s", used, successor);
        rotation.now = now;
        rotation
    };
    let used = answered(bench.store.use_refresh(&used_at("1", "2", NOW + secs(9))).await);
    assert_eq!(used, RefreshUse::Rotated);
    let used = answered(bench.store.use_refresh(&used_at("a", "b", NOW + secs(10))).await);
    assert_eq!(used, RefreshUse::Revoked);
}

pub(super) async fn several_denials_are_one_call<S: TokenStore>(bench: Bench<S>) {
    let denials = [session("a"), session("b")].map(|what| entry(what, NOW + HOUR));
    answered(bench.store.deny(&denials).await);
    assert!(bench.is_refused(session("a")).await && bench.is_refused(session("b")).await);
    assert_eq!(bench.outbox().await, [session("a"), session("b")]);
    answered(bench.store.deny(&[]).await);
    assert_eq!(bench.outbox().await.len(), 2);
    // One thing twice: the later date holds.
    let twice = [HOUR, 2 * HOUR].map(|kept| entry(token("c"), NOW + kept));
    answered(bench.store.deny(&twice).await);
    bench.clock.advance(2 * HOUR);
    assert!(bench.is_refused(token("c")).await);
}

/// More than a store may write with one statement. The private tokens end, and each entry is kept as long as its own.
pub(super) async fn a_few_hundred_denials_are_one_call<S: TokenStore>(bench: Bench<S>) {
    let ids: Vec<String> = (0..250).map(|n| format!("p.{n}")).collect();
    for (id, hours) in ids.iter().zip((1..=3).cycle()).take(9) {
        let mut token = private(ada(), id, "a");
        token.expires_at = NOW + hours * HOUR;
        bench.create_token(token).await;
    }
    bench.create(ada(), "kept", "a").await;
    let denials: Vec<_> = ids.iter().map(|id| entry(token(id), NOW + HOUR)).collect();
    answered(bench.store.deny(&denials).await);
    for id in &ids {
        assert!(bench.is_refused(token(id)).await, "{id}");
    }
    assert!(!bench.is_refused(token("kept")).await);
    assert_eq!(bench.outbox().await.len(), 250);
    assert_eq!(bench.listed(ada(), NOW).await.len(), 1);
    let entries = answered(bench.store.denials(None, 1000).await);
    for (id, hours) in ids.iter().zip((1..=3).cycle()).take(9) {
        let of_token = entries.iter().find(|entry| **entry.thing().id() == **id);
        let kept = of_token.map(RevocationEntry::obsolete_after);
        assert!(kept >= Some(NOW + hours * HOUR), "{id}");
        assert!(kept < Some(NOW + (hours + 1) * HOUR), "{id}");
    }
}

pub(super) async fn a_cut_off_refuses_what_was_issued_by_it<S: TokenStore>(bench: Bench<S>) {
    bench.create(ada(), "p.1", "a").await;
    answered(bench.store.open_session(&refresh(ada(), "s", "1").into()).await);
    let others = bench.create(bob(), "p.2", "a").await.id;
    let cut_off = answered(bench.store.revoke_owner(&ada(), NOW, NOW + HOUR).await);
    assert_eq!(cut_off, NOW);
    assert!(bench.is_refused(subject("ada", NOW)).await);
    assert!(bench.is_refused(subject("ada", UnixTime::EPOCH)).await);
    assert!(!bench.is_refused(subject("ada", NOW + secs(1))).await);
    assert!(!bench.is_refused(subject("bob", NOW)).await);
    assert!(bench.listed(ada(), NOW).await.is_empty());
    assert_eq!(bench.listed(bob(), NOW).await, [others]);
    let used = answered(bench.store.use_refresh(&rotation(ada(), "s", "1", "2")).await);
    assert_eq!(used, RefreshUse::Revoked);
    assert_eq!(bench.outbox().await, [subject("ada", NOW)]);
    let earlier = answered(bench.store.revoke_owner(&ada(), NOW - secs(100), NOW + HOUR).await);
    assert_eq!(earlier, NOW, "the latest cut-off holds");
    assert!(bench.is_refused(subject("ada", NOW)).await);
}

pub(super) async fn a_cut_off_reaches_what_another_clock_has_dated_later<S: TokenStore>(
    bench: Bench<S>,
) {
    let mut ahead = private(ada(), "p.1", "a");
    ahead.issued_at = NOW + secs(5);
    bench.create_token(ahead).await;
    assert_eq!(answered(bench.store.revoke_owner(&ada(), NOW, NOW + HOUR).await), NOW + secs(5));
    assert!(bench.is_refused(subject("ada", NOW + secs(5))).await);
    let mut ahead = refresh(bob(), "s", "1");
    ahead.issued_at = NOW + secs(7);
    answered(bench.store.open_session(&ahead.clone().into()).await);
    assert_eq!(answered(bench.store.revoke_owner(&bob(), NOW, NOW + HOUR).await), NOW + secs(7));
}

pub(super) async fn a_cut_off_outlives_the_tokens_that_it_reaches<S: TokenStore>(bench: Bench<S>) {
    let far = NOW + 1000 * HOUR;
    let mut long = private(ada(), "p.1", "a");
    long.expires_at = far;
    bench.create_token(long).await;
    let mut long = refresh(bob(), "s", "1");
    long.expires_at = far;
    answered(bench.store.open_session(&long.clone().into()).await);
    for (owner, name) in [(ada(), "ada"), (bob(), "bob")] {
        answered(bench.store.revoke_owner(&owner, NOW, NOW + HOUR).await);
        answered(bench.store.sweep(far + KEEP_AFTER_EXPIRY, 10).await);
        assert!(bench.is_refused(subject(name, NOW)).await, "{name}");
    }
    answered(bench.store.sweep(far + KEEP_AFTER_EXPIRY + secs(1), 10).await);
    assert!(!bench.is_refused(subject("ada", NOW)).await, "and no longer");
}

pub(super) async fn a_short_denial_is_kept_as_long_as_the_rows_that_it_ends<S: TokenStore>(
    bench: Bench<S>,
) {
    let private = bench.create(ada(), "p.1", "a").await.id;
    for (owner, session) in [(ada(), "a"), (bob(), "b")] {
        answered(bench.store.open_session(&refresh(owner, session, session).into()).await);
    }
    for (what, owner, session) in [(subject("ada", NOW), ada(), "a"), (session("b"), bob(), "b")] {
        answered(bench.store.revoke(&entry(what.clone(), NOW + secs(1))).await);
        answered(bench.store.sweep(NOW + HOUR + KEEP_AFTER_EXPIRY, 10).await);
        assert!(bench.is_refused(what).await);
        let used = rotation(owner, session, session, "next");
        assert_eq!(answered(bench.store.use_refresh(&used).await), RefreshUse::Revoked);
    }
    assert!(bench.listed(ada(), NOW).await.is_empty());
    assert_eq!(called(bench.store.revoke_private(&by(ada()), private, NOW).await), None);
}

pub(super) async fn a_short_denial_is_kept_as_long_as_the_private_token_that_it_ends<
    S: TokenStore,
>(
    bench: Bench<S>,
) {
    for (id, what) in [("p.1", session("session of p.1")), ("p.2", token("p.2"))] {
        bench.create(ada(), id, "a").await;
        answered(bench.store.revoke(&entry(what.clone(), NOW + secs(1))).await);
        answered(bench.store.sweep(NOW + HOUR + KEEP_AFTER_EXPIRY, 10).await);
        assert!(bench.is_refused(what.clone()).await, "{id} has not expired");
        answered(bench.store.sweep(NOW + HOUR + KEEP_AFTER_EXPIRY + secs(1), 10).await);
        assert!(!bench.is_refused(what).await, "and no longer");
    }
}

pub(super) async fn nothing_is_issued_behind_a_cut_off<S: TokenStore>(bench: Bench<S>) {
    let old = {
        let mut later = private(ada(), "p.old", "a");
        later.issued_at = NOW + secs(10);
        bench.create_token(later).await.id
    };
    bench.revoke(subject("ada", NOW)).await;
    let opened = answered(bench.store.open_session(&refresh(ada(), "s", "1").into()).await);
    assert_eq!(opened, Insertion::CutOff(NOW));
    let created = called(bench.store.create_private(&by(ada()), &private(ada(), "p.1", "a")).await);
    assert_eq!(created, Insertion::CutOff(NOW));
    let rotation = rotated(ada(), old, "p.new", NOW);
    let outcome = called(bench.store.rotate_private(&by(ada()), &rotation).await);
    assert_eq!(outcome, PrivateRotation::CutOff(NOW));
    assert_eq!(bench.listed(ada(), NOW).await, [old]);
    assert!(!bench.is_refused(token("p.old")).await, "nothing has changed");
    let mut later = private(ada(), "p.1", "a");
    later.issued_at = NOW + secs(1);
    bench.create_token(later).await;
}
