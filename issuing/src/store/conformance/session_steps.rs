use super::{Bench, HOUR, NOW, ada, answered, bob, refresh, rotation, secs, session, side_by_side};
use crate::store::{Insertion, NewRefreshToken, Owner, RefreshUse, TokenStore};
use tower_bearer::UnixTime;

impl<S: TokenStore> Bench<S> {
    async fn open(&self, owner: Owner, session: &str, token_id: &str) {
        let opened =
            answered(self.store.open_session(&refresh(owner, session, token_id).into()).await);
        assert_eq!(opened, Insertion::Done(()));
    }

    async fn use_now(&self, used: &str, successor: &str) -> RefreshUse {
        answered(self.store.use_refresh(&rotation(ada(), "s", used, successor)).await)
    }

    async fn use_with_grace(&self, used: &str, successor: &str, now: UnixTime) -> RefreshUse {
        let mut rotation = rotation(ada(), "s", used, successor).with_reuse_grace(secs(30));
        rotation.now = now;
        answered(self.store.use_refresh(&rotation).await)
    }
}

pub(super) async fn a_refresh_token_is_used_once<S: TokenStore>(bench: Bench<S>) {
    bench.open(ada(), "s", "1").await;
    assert_eq!(bench.use_now("1", "2").await, RefreshUse::Rotated);
    assert!(!bench.is_refused(session("s")).await);
    assert_eq!(bench.use_now("2", "3").await, RefreshUse::Rotated);
    assert_eq!(bench.use_now("1", "x").await, RefreshUse::Reused);
    assert!(bench.is_refused(session("s")).await);
    for used in ["1", "2", "3"] {
        assert_eq!(bench.use_now(used, "y").await, RefreshUse::Revoked);
    }
    for never_kept in ["x", "y"] {
        assert_eq!(bench.use_now(never_kept, "z").await, RefreshUse::Unknown);
    }
}

pub(super) async fn of_many_uses_at_once_one_rotates<S: TokenStore>(bench: Bench<S>) {
    bench.open(ada(), "s", "1").await;
    let answers = side_by_side(&bench.store, |store, n| async move {
        store.use_refresh(&rotation(ada(), "s", "1", &format!("successor {n}"))).await
    })
    .await;
    let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    assert_eq!(count(RefreshUse::Rotated), 1);
    assert_eq!(count(RefreshUse::Reused) + count(RefreshUse::Revoked), answers.len() - 1);
    assert!(bench.is_refused(session("s")).await);
}

pub(super) async fn an_unknown_token_is_not_used<S: TokenStore>(bench: Bench<S>) {
    bench.open(ada(), "s", "1").await;
    let mut other_hash = rotation(ada(), "s", "1", "2");
    other_hash.used_hash = [0xff; 32];
    let other_issuer = Owner::new("https://other.example", "ada");
    for unknown in [
        rotation(ada(), "s", "none", "2"),
        rotation(ada(), "other session", "1", "2"),
        rotation(bob(), "s", "1", "2"),
        rotation(other_issuer, "s", "1", "2"),
        other_hash,
    ] {
        assert_eq!(answered(bench.store.use_refresh(&unknown).await), RefreshUse::Unknown);
    }
    assert_eq!(bench.use_now("1", "2").await, RefreshUse::Rotated);
}

pub(super) async fn a_repeat_within_the_grace_gets_the_same_successor<S: TokenStore>(
    bench: Bench<S>,
) {
    bench.open(ada(), "s", "1").await;
    assert_eq!(bench.use_with_grace("1", "2", NOW).await, RefreshUse::Rotated);
    let same = RefreshUse::Repeated(refresh(ada(), "s", "2"));
    assert_eq!(bench.use_with_grace("1", "x", NOW).await, same);
    assert_eq!(bench.use_with_grace("1", "y", NOW + secs(30)).await, same);
    assert_eq!(bench.use_with_grace("2", "3", NOW + secs(30)).await, RefreshUse::Rotated);
}

/// A row of an earlier version names none.
pub(super) async fn a_repeat_names_the_access_token_of_the_successor<S: TokenStore>(
    bench: Bench<S>,
) {
    for (session, access_token_id) in [("s", None), ("t", Some("access".into()))] {
        bench.open(ada(), session, &format!("{session}1")).await;
        let successor = format!("{session}2");
        let mut rotation = rotation(ada(), session, &format!("{session}1"), &successor);
        rotation.successor.access_token_id.clone_from(&access_token_id);
        assert_eq!(answered(bench.store.use_refresh(&rotation).await), RefreshUse::Rotated);
        let mut repeat = rotation.clone().with_reuse_grace(secs(30));
        repeat.successor = refresh(ada(), session, "x");
        let RefreshUse::Repeated(kept) = answered(bench.store.use_refresh(&repeat).await) else {
            panic!("it was not repeated")
        };
        assert_eq!(kept.access_token_id, access_token_id);
    }
}

pub(super) async fn of_many_uses_at_once_within_the_grace_all_get_one_successor<S: TokenStore>(
    bench: Bench<S>,
) {
    bench.open(ada(), "s", "1").await;
    let answers = side_by_side(&bench.store, |store, n| async move {
        let rotation =
            rotation(ada(), "s", "1", &format!("successor {n}")).with_reuse_grace(secs(30));
        store.use_refresh(&rotation).await.map(|answer| (answer, rotation.successor))
    })
    .await;
    let kept: Vec<&NewRefreshToken> = answers
        .iter()
        .filter_map(|(answer, own)| (*answer == RefreshUse::Rotated).then_some(own))
        .collect();
    let [kept] = *kept.as_slice() else { panic!("{} rotated", kept.len()) };
    for (answer, _) in &answers {
        if *answer != RefreshUse::Rotated {
            assert_eq!(*answer, RefreshUse::Repeated(kept.clone()));
        }
    }
}

pub(super) async fn a_repeat_after_the_grace_or_after_the_successor_was_used_ends_the_session<
    S: TokenStore,
>(
    bench: Bench<S>,
) {
    bench.open(ada(), "s", "1").await;
    bench.use_with_grace("1", "2", NOW).await;
    assert_eq!(bench.use_with_grace("1", "x", NOW + secs(31)).await, RefreshUse::Reused);
    assert!(bench.is_refused(session("s")).await);

    bench.open(ada(), "t", "a").await;
    for (used, successor, expected) in [
        ("a", "b", RefreshUse::Rotated),
        ("b", "c", RefreshUse::Rotated),
        ("a", "x", RefreshUse::Reused),
    ] {
        let rotation = rotation(ada(), "t", used, successor).with_reuse_grace(secs(30));
        assert_eq!(answered(bench.store.use_refresh(&rotation).await), expected);
    }
    assert!(bench.is_refused(session("t")).await);
}

pub(super) async fn a_session_keeps_its_key<S: TokenStore>(bench: Bench<S>) {
    let with_key = |used: &str, successor: &str, key: Option<&str>| {
        let mut rotation = rotation(ada(), "s", used, successor);
        rotation.successor = rotation.successor.with_key_thumbprint(key.map(Into::into));
        rotation
    };
    let use_with = async |used: &str, successor: &str, key| {
        let rotation = with_key(used, successor, key);
        answered(bench.store.use_refresh(&rotation).await)
    };
    let first = refresh(ada(), "s", "1").with_key_thumbprint(Some("key".into()));
    answered(bench.store.open_session(&first.into()).await);
    for other in [None, Some("other"), Some("KEY"), Some("")] {
        assert_eq!(use_with("1", "x", other).await, RefreshUse::OtherKey, "{other:?}");
    }
    assert_eq!(use_with("1", "2", Some("key")).await, RefreshUse::Rotated);
    // Without the key, a used token neither ends the session nor gets its successor.
    for other in [None, Some("other")] {
        assert_eq!(use_with("1", "x", other).await, RefreshUse::OtherKey, "{other:?}");
    }
    assert!(!bench.is_refused(session("s")).await);
    assert_eq!(use_with("2", "3", None).await, RefreshUse::OtherKey);
    assert_eq!(use_with("2", "3", Some("key")).await, RefreshUse::Rotated);
    assert_eq!(use_with("1", "x", Some("key")).await, RefreshUse::Reused);

    // A session without a key stays without one.
    bench.open(ada(), "t", "a").await;
    let mut unbound = rotation(ada(), "t", "a", "b");
    unbound.successor.key_thumbprint = Some("key".into());
    assert_eq!(answered(bench.store.use_refresh(&unbound).await), RefreshUse::OtherKey);
    unbound.successor.key_thumbprint = None;
    assert_eq!(answered(bench.store.use_refresh(&unbound).await), RefreshUse::Rotated);
}

pub(super) async fn a_repeat_within_the_grace_needs_the_key<S: TokenStore>(bench: Bench<S>) {
    let with_key = |successor: &str, key: Option<&str>| {
        let mut rotation = rotation(ada(), "s", "1", successor).with_reuse_grace(secs(30));
        rotation.successor = rotation.successor.with_key_thumbprint(key.map(Into::into));
        rotation
    };
    let first = refresh(ada(), "s", "1").with_key_thumbprint(Some("key".into()));
    answered(bench.store.open_session(&first.into()).await);
    let rotation = with_key("2", Some("key"));
    assert_eq!(answered(bench.store.use_refresh(&rotation).await), RefreshUse::Rotated);
    for other in [None, Some("other")] {
        let other = with_key("x", other);
        assert_eq!(answered(bench.store.use_refresh(&other).await), RefreshUse::OtherKey);
    }
    let again = answered(bench.store.use_refresh(&with_key("x", Some("key"))).await);
    assert_eq!(again, RefreshUse::Repeated(rotation.successor));
}

pub(super) async fn sessions_do_not_touch_each_other<S: TokenStore>(bench: Bench<S>) {
    bench.open(ada(), "s", "1").await;
    bench.open(ada(), "other", "o1").await;
    bench.use_now("1", "2").await;
    assert_eq!(bench.use_now("1", "x").await, RefreshUse::Reused);
    let other = rotation(ada(), "other", "o1", "o2");
    assert_eq!(answered(bench.store.use_refresh(&other).await), RefreshUse::Rotated);
    assert!(!bench.is_refused(session("other")).await);
    bench.clock.advance(HOUR);
    assert!(bench.is_refused(session("s")).await, "kept as long as was asked");
}

pub(super) async fn the_subject_of_a_session_is_found_also_after_its_end<S: TokenStore>(
    bench: Bench<S>,
) {
    bench.open(ada(), "s", "1").await;
    bench.create(bob(), "p.1", "a").await;
    let other = Owner::new("https://other.example", "carol");
    bench.open(other, "of another issuer", "1").await;
    let subject = async |session_id: &str| {
        answered(bench.store.subject_of_session(super::ISSUER, session_id).await)
    };
    for _ in 0..2 {
        assert_eq!(subject("s").await.as_deref(), Some("ada"));
        assert_eq!(subject("session of p.1").await.as_deref(), Some("bob"));
        for unknown in ["of another issuer", "", "S"] {
            assert_eq!(subject(unknown).await, None, "{unknown}");
        }
        let ended = ["s", "session of p.1"].map(|id| super::entry(session(id), NOW + HOUR));
        answered(bench.store.deny(&ended).await);
    }
}
