use super::{
    Bench, HOUR, ISSUER, NOW, ada, answered, bob, by, called, entry, named, private, rotated,
    scopes, secs, session, side_by_side, subject, token,
};
use crate::store::{
    Called, Caller, Insertion, ListQuery, Owner, PrivateRotation, PrivateToken,
    RotatedPrivateToken, TokenStore,
};
use tower_bearer::{
    UnixTime,
    revocation::{KEEP_AFTER_EXPIRY, Revocable},
};

impl<S: TokenStore> Bench<S> {
    async fn rotate(&self, id: i64, successor: &str, dies_at: UnixTime) -> Option<PrivateToken> {
        let rotation = rotated(ada(), id, successor, dies_at);
        match called(self.store.rotate_private(&by(ada()), &rotation).await) {
            PrivateRotation::Rotated { new, .. } => Some(new),
            PrivateRotation::NotFound => None,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) async fn what_is_created_is_listed_as_it_was_given<S: TokenStore>(bench: Bench<S>) {
    let created = bench.create(ada(), "p.1", "build server").await;
    let expected = PrivateToken::new(created.id, "build server", NOW, NOW + HOUR);
    assert_eq!(created, expected.with_scopes(scopes("orders:read orders:write")));
    let page = called(bench.store.list_private(&by(ada()), &ListQuery::new(), NOW).await);
    assert_eq!(page.map(|page| page.tokens), Some(vec![created]));
    for known_by in [token("p.1"), session("session of p.1"), subject("ada", NOW)] {
        assert!(!bench.is_refused(known_by).await);
    }
}

pub(super) async fn each_token_keeps_its_own_scopes<S: TokenStore>(bench: Bench<S>) {
    let mut expected = Vec::new();
    for (number, text) in ["", "a", "a b:* c"].into_iter().enumerate() {
        let new = private(ada(), &format!("p.{number}"), "a").with_scopes(scopes(text));
        let created = bench.create_token(new).await;
        assert_eq!(created.scopes, scopes(text));
        expected.push(created);
    }
    // A rotation takes the scopes of the successor, not those of the old token.
    let rotation = rotated(ada(), expected[2].id, "p.new", NOW);
    let successor = rotation.successor.clone().with_scopes(scopes("c"));
    let rotation = RotatedPrivateToken { successor, ..rotation };
    let outcome = called(bench.store.rotate_private(&by(ada()), &rotation).await);
    let PrivateRotation::Rotated { new, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(new.scopes, scopes("c"));
    expected[2] = new;
    let page = called(bench.store.list_private(&by(ada()), &ListQuery::new(), NOW).await);
    assert_eq!(page.map(|page| page.tokens), Some(expected));
}

pub(super) async fn each_token_keeps_its_own_key<S: TokenStore>(bench: Bench<S>) {
    let mut expected = Vec::new();
    for (number, key) in [None, Some("key"), Some("Key")].into_iter().enumerate() {
        let new = private(ada(), &format!("p.{number}"), "a");
        let new = new.with_key_thumbprint(key.map(Into::into));
        let created = bench.create_token(new).await;
        assert_eq!(created.key_thumbprint.as_deref(), key);
        let found = called(bench.store.find_private(&by(ada()), created.id, NOW).await);
        assert_eq!(found.as_ref(), Some(&created));
        expected.push(created);
    }
    let page = called(bench.store.list_private(&by(ada()), &ListQuery::new(), NOW).await);
    assert_eq!(page.map(|page| page.tokens), Some(expected));
}

pub(super) async fn a_token_is_found_as_long_as_it_is_listed<S: TokenStore>(bench: Bench<S>) {
    let find =
        async |owner: Owner, id, now| called(bench.store.find_private(&by(owner), id, now).await);
    let token = bench.create(ada(), "p.1", "a").await;
    assert_eq!(find(ada(), token.id, NOW).await, Some(token.clone()));
    assert_eq!(find(ada(), token.id, NOW + HOUR).await, Some(token.clone()), "expired");
    let namesake = Owner::new("https://other.example", "ada");
    for (owner, id) in [(bob(), token.id), (namesake, token.id), (ada(), 0), (ada(), i64::MIN)] {
        assert_eq!(find(owner, id, NOW).await, None);
    }
    bench.rotate(token.id, "p.2", NOW + secs(60)).await;
    assert_eq!(find(ada(), token.id, NOW + secs(59)).await, Some(token.clone()));
    assert_eq!(find(ada(), token.id, NOW + secs(60)).await, None);

    let token = bench.create(ada(), "p.3", "a").await;
    answered(bench.store.deny(&[entry(subject("ada", NOW), NOW + HOUR)]).await);
    assert_eq!(find(ada(), token.id, NOW).await, None, "behind the cut-off");
}

pub(super) async fn an_id_is_given_once<S: TokenStore>(bench: Bench<S>) {
    let one = bench.create(ada(), "p.1", "a").await;
    let far = NOW + HOUR + KEEP_AFTER_EXPIRY + secs(1);
    assert_eq!(answered(bench.store.sweep(far, 10).await), 1);
    let other = bench.create(bob(), "p.2", "a").await;
    assert_ne!(one.id, other.id, "the number of a token that was swept");
}

pub(super) async fn a_revoked_token_is_gone_and_refused<S: TokenStore>(bench: Bench<S>) {
    let (one, other) =
        (bench.create(ada(), "p.1", "a").await, bench.create(ada(), "p.2", "a").await);
    let denial = called(bench.store.revoke_private(&by(ada()), one.id, NOW).await);
    let denial = denial.unwrap_or_else(|| panic!("not found"));
    assert_eq!(named(&denial), token("p.1"));
    assert_eq!(denial.starts_at(), UnixTime::EPOCH);
    assert!(denial.obsolete_after() >= NOW + HOUR + KEEP_AFTER_EXPIRY);
    assert!(bench.is_refused(token("p.1")).await);
    assert!(!bench.is_refused(token("p.2")).await);
    assert_eq!(bench.listed(ada(), NOW).await, [other.id]);
    assert_eq!(called(bench.store.revoke_private(&by(ada()), one.id, NOW).await), None);
    assert_eq!(bench.rotate(one.id, "p.3", NOW).await, None);
}

pub(super) async fn of_many_revocations_at_once_one_succeeds<S: TokenStore>(bench: Bench<S>) {
    let id = bench.create(ada(), "p.1", "a").await.id;
    let answers = side_by_side(&bench.store, |store, _| async move {
        store.revoke_private(&by(ada()), id, NOW).await
    })
    .await;
    assert_eq!(answers.into_iter().filter_map(Called::done).flatten().count(), 1);
    assert_eq!(bench.outbox().await, [token("p.1")]);
}

pub(super) async fn nobody_reaches_somebody_elses<S: TokenStore>(bench: Bench<S>) {
    let id = bench.create(ada(), "p.1", "a").await.id;
    let namesake = Owner::new("https://other.example", "ada");
    for other in [bob(), namesake] {
        assert_eq!(called(bench.store.revoke_private(&by(other.clone()), id, NOW).await), None);
        let rotation = rotated(other.clone(), id, "p.2", NOW);
        let outcome = called(bench.store.rotate_private(&by(other.clone()), &rotation).await);
        assert_eq!(outcome, PrivateRotation::NotFound);
        assert!(bench.listed(other, NOW).await.is_empty());
    }
    for none in [0, -1, i64::MAX, i64::MIN] {
        assert_eq!(called(bench.store.revoke_private(&by(ada()), none, NOW).await), None);
    }
    assert_eq!(bench.listed(ada(), NOW).await, [id]);
    assert!(bench.outbox().await.is_empty());
}

pub(super) async fn a_rotation_keeps_the_name_and_ends_the_old_token_at_once<S: TokenStore>(
    bench: Bench<S>,
) {
    let old = bench.create(ada(), "p.1", "build server").await;
    let new = bench.rotate(old.id, "p.2", NOW).await.unwrap_or_else(|| panic!("not found"));
    assert_ne!(new.id, old.id);
    assert_eq!(&*new.name, "build server");
    assert!(bench.is_refused(token("p.1")).await);
    assert!(!bench.is_refused(token("p.2")).await);
    assert_eq!(bench.listed(ada(), NOW).await, [new.id]);
    assert_eq!(bench.outbox().await, [token("p.1")]);
}

pub(super) async fn of_many_rotations_at_once_one_succeeds<S: TokenStore>(bench: Bench<S>) {
    let id = bench.create(ada(), "p.1", "a").await.id;
    let answers = side_by_side(&bench.store, |store, n| async move {
        store.rotate_private(&by(ada()), &rotated(ada(), id, &format!("p.new {n}"), NOW)).await
    })
    .await;
    let done =
        answers.iter().filter(|answer| !matches!(answer, Called::Done(PrivateRotation::NotFound)));
    assert_eq!(done.count(), 1);
    assert_eq!(bench.listed(ada(), NOW).await.len(), 1);
}

pub(super) async fn what_dies_at_once_is_dead_by_every_clock<S: TokenStore>(bench: Bench<S>) {
    let revoked = bench.create(ada(), "p.revoked", "a").await.id;
    called(bench.store.revoke_private(&by(ada()), revoked, NOW).await);
    let old = bench.create(ada(), "p.old", "a").await.id;
    let new = bench.rotate(old, "p.new", NOW).await.unwrap_or_else(|| panic!("not found"));
    // A caller's clock, and this store's clock, are behind the clock by which the tokens were ended.
    let behind = NOW - secs(300);
    bench.clock.set_unix_time(behind);
    for token_id in ["p.revoked", "p.old"] {
        assert!(bench.is_refused(token(token_id)).await, "{token_id}");
    }
    assert_eq!(bench.listed(ada(), behind).await, [new.id]);
    for id in [revoked, old] {
        assert_eq!(called(bench.store.revoke_private(&by(ada()), id, behind).await), None);
    }
    assert_eq!(bench.outbox().await, [token("p.revoked"), token("p.old")], "others are told");
}

pub(super) async fn an_overlap_ends_when_it_was_said_to<S: TokenStore>(bench: Bench<S>) {
    let old = bench.create(ada(), "p.1", "a").await;
    let new =
        bench.rotate(old.id, "p.2", NOW + secs(60)).await.unwrap_or_else(|| panic!("not found"));
    assert_eq!(bench.listed(ada(), NOW + secs(59)).await, [old.id, new.id]);
    assert_eq!(bench.listed(ada(), NOW + secs(60)).await, [new.id]);
    bench.clock.advance(secs(59));
    assert!(!bench.is_refused(token("p.1")).await);
    bench.clock.advance(secs(1));
    assert!(bench.is_refused(token("p.1")).await);
    assert!(!bench.is_refused(token("p.2")).await);
    bench.clock.advance(HOUR);
    assert!(bench.is_refused(token("p.1")).await, "for as long as it could be used");

    let next =
        bench.rotate(new.id, "p.3", NOW + secs(90)).await.unwrap_or_else(|| panic!("not found"));
    let revoked = called(bench.store.revoke_private(&by(ada()), new.id, NOW + secs(70)).await);
    assert!(revoked.is_some(), "within the overlap it can be revoked");
    assert!(bench.is_refused(token("p.2")).await);
    assert_eq!(bench.listed(ada(), NOW + secs(70)).await, [next.id]);
}

pub(super) async fn an_overlap_does_not_outlive_the_token_nor_an_earlier_end<S: TokenStore>(
    bench: Bench<S>,
) {
    let old = bench.create(ada(), "p.1", "a").await;
    for (successor, dies_at, expected) in [
        ("p.2", NOW + 2 * HOUR, NOW + HOUR),
        ("p.3", NOW + secs(60), NOW + secs(60)),
        ("p.4", NOW + secs(90), NOW + secs(60)),
    ] {
        let rotation = rotated(ada(), old.id, successor, dies_at);
        match called(bench.store.rotate_private(&by(ada()), &rotation).await) {
            PrivateRotation::Rotated { old, .. } => assert_eq!(old.starts_at(), expected),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.listed(ada(), NOW + secs(60)).await.len(), 3);
}

pub(super) async fn an_expired_token_is_listed<S: TokenStore>(bench: Bench<S>) {
    let mut expired = private(ada(), "p.1", "a");
    expired.expires_at = NOW + secs(1);
    let id = bench.create_token(expired).await.id;
    assert_eq!(bench.listed(ada(), NOW + secs(2)).await, [id]);
    let denied = called(bench.store.revoke_private(&by(ada()), id, NOW + secs(2)).await);
    assert!(denied.is_some(), "and can be deleted");
}

pub(super) async fn a_revoked_caller_does_nothing<S: TokenStore>(bench: Bench<S>) {
    let id = bench.create(ada(), "p.1", "a").await.id;
    let key = (Revocable::key(ISSUER, "signed by this"), UnixTime::MAX);
    let later = entry(token("later"), NOW + HOUR).with_start(NOW + HOUR);
    let caller = |token_id: &str, session: &str| Caller::new(ada(), token_id, session, NOW);
    let denials = [entry(token("jti"), NOW + HOUR), later, entry(session("sid"), NOW + HOUR)];
    answered(bench.store.deny(&denials).await);
    answered(bench.store.deny(&[entry(key, NOW + HOUR)]).await);
    let cut_off = caller("good", "good");
    let by_key = caller("good", "good").with_key_id("signed by this");
    bench.does_nothing(caller("jti", "good"), id).await;
    bench.does_nothing(caller("later", "good"), id).await;
    bench.does_nothing(caller("good", "sid"), id).await;
    bench.does_nothing(by_key, id).await;
    let by_thumbprint = caller("good", "good").with_key_id("another");
    bench.does_nothing(by_thumbprint.with_key_thumbprint("signed by this"), id).await;
    let with_key = cut_off.clone().with_key_id("another").with_key_thumbprint("a third");
    let renamed = called(bench.store.list_private(&with_key, &ListQuery::new(), NOW).await);
    assert_eq!(renamed.map(|page| page.count), Some(1), "who is good is not refused");

    answered(bench.store.revoke(&entry(subject("ada", NOW), NOW + HOUR)).await);
    bench.does_nothing(cut_off, id).await;
    assert!(bench.listed(ada(), NOW).await.is_empty(), "by the cut-off and nothing before");
    assert!(!bench.is_refused(token("p.1")).await);
}

pub(super) async fn an_operator_reaches_every_subject_of_the_own_issuer<S: TokenStore>(
    bench: Bench<S>,
) {
    let (one, other) =
        (bench.create(ada(), "p.1", "a").await.id, bench.create(ada(), "p.2", "b").await.id);
    let (operator, stranger) = (by(bob()), by(Owner::new("https://other.example", "ada")));
    let all = ListQuery::new();
    let listed = async |caller: &Caller, subject: &str| {
        let page = called(bench.store.list_private_of(caller, subject, &all, NOW).await);
        let page = page.unwrap_or_else(|| panic!("no first page"));
        page.tokens.iter().map(|token| token.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(&operator, "ada").await, [one, other]);
    assert!(listed(&operator, "bob").await.is_empty());
    assert!(listed(&stranger, "ada").await.is_empty(), "another issuer");

    let revoke = async |caller: &Caller, id| {
        called(bench.store.revoke_private_of_any(caller, id, NOW).await)
    };
    assert_eq!(revoke(&stranger, one).await, None, "another issuer");
    for none in [0, -1, i64::MAX, i64::MIN] {
        assert_eq!(revoke(&operator, none).await, None);
    }
    assert!(bench.outbox().await.is_empty());
    let (subject_of_one, denial) = revoke(&operator, one).await.unwrap_or_else(|| panic!("none"));
    assert_eq!((&*subject_of_one, named(&denial)), ("ada", token("p.1")));
    assert_eq!(denial.starts_at(), UnixTime::EPOCH);
    assert!(bench.is_refused(token("p.1")).await && !bench.is_refused(token("p.2")).await);
    assert_eq!(listed(&operator, "ada").await, [other]);
    assert_eq!(revoke(&operator, one).await, None, "twice");
    assert_eq!(bench.outbox().await, [token("p.1")]);

    let operator = Caller::new(bob(), "gone", "gone", NOW);
    answered(bench.store.deny(&[entry(token("gone"), NOW + HOUR)]).await);
    let revoked = answered(bench.store.revoke_private_of_any(&operator, other, NOW).await);
    assert_eq!(revoked, Called::Revoked);
    let unknown = answered(bench.store.revoke_private_of_any(&operator, 0, NOW).await);
    assert_eq!(unknown, Called::Revoked);
    let listed = answered(bench.store.list_private_of(&operator, "ada", &all, NOW).await);
    assert_eq!(listed, Called::Revoked);
    assert!(!bench.is_refused(token("p.2")).await);
}

pub(super) async fn of_many_operators_at_once_one_revokes<S: TokenStore>(bench: Bench<S>) {
    let id = bench.create(ada(), "p.1", "a").await.id;
    let answers = side_by_side(&bench.store, |store, number| async move {
        // The owner and an operator at the same time.
        if number % 2 == 0 {
            let revoked = store.revoke_private_of_any(&by(bob()), id, NOW).await;
            revoked.map(|called| called.done().flatten().map(|(_, entry)| entry))
        } else {
            store.revoke_private(&by(ada()), id, NOW).await.map(|called| called.done().flatten())
        }
    })
    .await;
    assert_eq!(answers.into_iter().flatten().count(), 1);
    assert_eq!(bench.outbox().await, [token("p.1")]);
}

pub(super) async fn no_more_than_the_quota_is_created_at_once<S: TokenStore>(bench: Bench<S>) {
    let answers = side_by_side(&bench.store, |store, n| async move {
        let new = private(ada(), &format!("p.{n}"), "a").with_quota(5);
        store.create_private(&by(ada()), &new).await
    })
    .await;
    let done = answers.iter().filter(|answer| matches!(answer, Called::Done(Insertion::Done(_))));
    assert_eq!(done.count(), 5);
    let full = Called::Done(Insertion::QuotaReached);
    assert_eq!(answers.iter().filter(|answer| **answer == full).count(), answers.len() - 5);
    assert_eq!(bench.listed(ada(), NOW).await.len(), 5);
    bench.create_token(private(bob(), "p.bob", "a").with_quota(1)).await;
}

pub(super) async fn only_good_tokens_count_for_the_quota<S: TokenStore>(bench: Bench<S>) {
    let is_full = async |token_id: &str, now| {
        let mut new = private(ada(), token_id, "a").with_quota(1);
        new.issued_at = now;
        match called(bench.store.create_private(&by(ada()), &new).await) {
            Insertion::Done(_) => false,
            Insertion::QuotaReached => true,
            other => panic!("{other:?}"),
        }
    };
    let revoked = bench.create(ada(), "p.revoked", "a").await.id;
    assert!(is_full("p.1", NOW).await);
    called(bench.store.revoke_private(&by(ada()), revoked, NOW).await);
    let mut short = private(ada(), "p.expires", "a").with_quota(1);
    short.expires_at = NOW + secs(10);
    bench.create_token(short).await;
    assert!(is_full("p.2", NOW + secs(9)).await);
    assert!(!is_full("p.3", NOW + secs(10)).await);
    assert!(is_full("p.4", NOW + secs(10)).await);
    answered(bench.store.revoke_owner(&ada(), NOW + secs(20), NOW + HOUR).await);
    assert!(!is_full("p.5", NOW + secs(21)).await);
    assert!(is_full("p.6", NOW + secs(21)).await);
}

pub(super) async fn a_rotation_keeps_to_twice_the_quota<S: TokenStore>(bench: Bench<S>) {
    let first = bench.create(ada(), "p.1", "a").await.id;
    let second = bench.create(ada(), "p.2", "a").await.id;
    let rotate = async |id, successor: &str, dies_at| {
        let mut rotation = rotated(ada(), id, successor, dies_at);
        rotation.successor.quota = 2;
        called(bench.store.rotate_private(&by(ada()), &rotation).await)
    };
    let is_done = |answer| matches!(answer, PrivateRotation::Rotated { .. });
    assert!(is_done(rotate(first, "p.3", NOW + secs(60)).await));
    assert!(is_done(rotate(second, "p.4", NOW + secs(60)).await));
    assert_eq!(rotate(second, "p.5", NOW + secs(60)).await, PrivateRotation::QuotaReached);
    let told = bench.outbox().await;
    assert_eq!(bench.listed(ada(), NOW).await.len(), 4, "nothing has changed");
    assert!(is_done(rotate(second, "p.5", NOW).await), "the number stays the same");
    assert_eq!(bench.listed(ada(), NOW).await.len(), 4);
    assert_eq!(bench.outbox().await.len(), told.len() + 1);
    assert_eq!(rotate(second, "p.6", NOW + secs(60)).await, PrivateRotation::NotFound);
}

impl<S: TokenStore> Bench<S> {
    async fn does_nothing(&self, caller: Caller, id: i64) {
        let mut new = private(ada(), "p.new", "a");
        new.issued_at = NOW + secs(1);
        let mut rotation = rotated(ada(), id, "p.new", NOW);
        rotation.successor.issued_at = NOW + secs(1);
        let told = self.outbox().await;
        let created = answered(self.store.create_private(&caller, &new).await);
        assert_eq!(created, Called::Revoked);
        let listed = answered(self.store.list_private(&caller, &ListQuery::new(), NOW).await);
        assert_eq!(listed, Called::Revoked);
        let found = answered(self.store.find_private(&caller, id, NOW).await);
        assert_eq!(found, Called::Revoked);
        let rotated = answered(self.store.rotate_private(&caller, &rotation).await);
        assert_eq!(rotated, Called::Revoked);
        let revoked = answered(self.store.revoke_private(&caller, id, NOW).await);
        assert_eq!(revoked, Called::Revoked);
        assert_eq!(self.outbox().await, told);
        assert!(self.listed(ada(), NOW).await.iter().all(|listed| *listed == id));
    }
}
