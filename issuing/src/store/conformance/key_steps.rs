use std::sync::Arc;

use super::{Bench, HOUR, ISSUER, NOW, answered, refresh, secs, side_by_side};
use crate::store::{KeyChange, KeyOutcome, KeyRecord, KeyStore, Owner, TokenStore};
use tower_bearer::{
    UnixTime,
    revocation::{KEEP_AFTER_EXPIRY, Lookup, Revocable, Verdict},
};

fn first(thumbprint: &str) -> KeyChange {
    KeyChange::Add {
        thumbprint: thumbprint.into(),
        now: NOW,
        publication: HOUR,
        only_as_first: true,
        needed_until: UnixTime::EPOCH,
    }
}

fn add(thumbprint: &str, now: UnixTime) -> KeyChange {
    let (thumbprint, needed_until) = (thumbprint.into(), UnixTime::EPOCH);
    KeyChange::Add { thumbprint, now, publication: HOUR, only_as_first: false, needed_until }
}

fn sign(thumbprint: &str, needed_until: UnixTime) -> KeyChange {
    KeyChange::Use { thumbprint: thumbprint.into(), now: NOW, needed_until }
}

fn retire(thumbprint: &str, now: UnixTime) -> KeyChange {
    KeyChange::Retire { thumbprint: thumbprint.into(), now }
}

impl<S: KeyStore> Bench<S> {
    async fn change_key(&self, change: KeyChange) -> KeyOutcome {
        answered(self.store.change_keys(ISSUER, &change).await)
    }

    async fn key_record(&self, thumbprint: &str) -> Option<KeyRecord> {
        let records = answered(self.store.keys(ISSUER).await);
        records.into_iter().find(|record| *record.thumbprint == *thumbprint)
    }
}

pub(super) async fn a_record_comes_back_as_it_was_written<S: TokenStore + KeyStore>(
    bench: Bench<S>,
) {
    assert_eq!(answered(bench.store.keys(ISSUER).await), []);
    let KeyOutcome::Done(written) = bench.change_key(first("a")).await else { panic!("not added") };
    assert_eq!(written, KeyRecord::new("a", NOW, NOW));
    assert_eq!(bench.key_record("a").await, Some(written));
    bench.change_key(sign("a", UnixTime::MAX)).await;
    bench.change_key(add("b", NOW)).await;
    bench.change_key(sign("b", NOW + HOUR)).await;
    bench.change_key(retire("b", NOW + secs(1))).await;
    let expected = KeyRecord { needed_until: UnixTime::MAX, ..KeyRecord::new("a", NOW, NOW) };
    assert_eq!(bench.key_record("a").await, Some(expected));
    let expected = KeyRecord {
        signs_until: Some(NOW + secs(1)),
        needed_until: NOW + HOUR,
        ..KeyRecord::new("b", NOW, NOW + HOUR)
    };
    assert_eq!(bench.key_record("b").await, Some(expected));
}

pub(super) async fn issuers_have_separate_keys<S: TokenStore + KeyStore>(bench: Bench<S>) {
    bench.change_key(first("a")).await;
    let other = "https://other.example";
    assert_eq!(answered(bench.store.keys(other).await), []);
    let added = answered(bench.store.change_keys(other, &first("b")).await);
    assert_eq!(added, KeyOutcome::Done(KeyRecord::new("b", NOW, NOW)));
    assert_eq!(bench.key_record("b").await, None);
}

pub(super) async fn of_many_first_keys_at_once_one_is_recorded<S: TokenStore + KeyStore>(
    bench: Bench<S>,
) {
    let outcomes = side_by_side(&bench.store, |store, n| async move {
        store.change_keys(ISSUER, &first(&n.to_string())).await
    })
    .await;
    let done = outcomes.iter().filter(|outcome| matches!(outcome, KeyOutcome::Done(_)));
    assert_eq!(done.count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == KeyOutcome::NotFirst).count(), 15);
    assert_eq!(answered(bench.store.keys(ISSUER).await).len(), 1);
}

pub(super) async fn no_first_key_is_recorded_beside_tokens<S: TokenStore + KeyStore>(
    bench: Bench<S>,
) {
    let other = Owner::new("https://other.example", "ada");
    answered(bench.store.open_session(&refresh(other, "s", "1").into()).await);
    bench.create(super::ada(), "p.1", "a").await;
    for change in [first("a"), add("a", NOW)] {
        assert_eq!(bench.change_key(change).await, KeyOutcome::TokensWithoutKey);
    }
    let adopted = KeyChange::Add {
        thumbprint: "a".into(),
        now: NOW,
        publication: HOUR,
        only_as_first: true,
        needed_until: NOW + HOUR,
    };
    let expected = KeyRecord { needed_until: NOW + HOUR, ..KeyRecord::new("a", NOW, NOW) };
    assert_eq!(bench.change_key(adopted).await, KeyOutcome::Done(expected));
    let added = bench.change_key(add("b", NOW)).await;
    assert_eq!(added, KeyOutcome::Done(KeyRecord::new("b", NOW, NOW + HOUR)));
}

pub(super) async fn a_use_prolongs_a_key_and_never_shortens_it<S: TokenStore + KeyStore>(
    bench: Bench<S>,
) {
    bench.change_key(first("a")).await;
    side_by_side(&bench.store, |store, n| async move {
        store.change_keys(ISSUER, &sign("a", NOW + secs(n as u64))).await
    })
    .await;
    assert_eq!(bench.key_record("a").await.map(|key| key.needed_until), Some(NOW + secs(15)));
    assert_eq!(bench.change_key(sign("unknown", NOW)).await, KeyOutcome::UnknownKey);
    bench.change_key(add("b", NOW - HOUR)).await;
    bench.change_key(retire("a", NOW)).await;
    assert_eq!(bench.change_key(sign("a", NOW + HOUR)).await, KeyOutcome::Ended);
}

pub(super) async fn of_many_equal_changes_at_once_one_is_made<S: TokenStore + KeyStore>(
    bench: Bench<S>,
) {
    for change in [first("a"), add("b", NOW - HOUR), retire("a", NOW)] {
        let outcomes = side_by_side(&bench.store, |store, _| {
            let change = change.clone();
            async move { store.change_keys(ISSUER, &change).await }
        });
        let outcomes = outcomes.await;
        let done = outcomes.iter().filter(|outcome| matches!(outcome, KeyOutcome::Done(_)));
        assert_eq!(done.count(), 1, "{outcomes:?}");
        let same = outcomes.iter().filter(|outcome| matches!(outcome, KeyOutcome::Unchanged(_)));
        assert_eq!(same.count(), 15, "{outcomes:?}");
    }
}

pub(super) async fn of_two_signers_only_one_is_retired<S: TokenStore + KeyStore>(bench: Bench<S>) {
    bench.change_key(first("a")).await;
    bench.change_key(add("b", NOW - HOUR)).await;
    let outcomes = side_by_side(&bench.store, |store, n| async move {
        let thumbprint = if n % 2 == 0 { "a" } else { "b" };
        store.change_keys(ISSUER, &retire(thumbprint, NOW)).await
    })
    .await;
    assert!(outcomes.contains(&KeyOutcome::OnlySigner), "{outcomes:?}");
    let records = answered(bench.store.keys(ISSUER).await);
    assert_eq!(records.iter().filter(|key| key.may_sign(NOW)).count(), 1);
}

pub(super) async fn a_compromised_key_is_revoked_in_the_same_step<S: TokenStore + KeyStore>(
    bench: Bench<S>,
) {
    bench.change_key(first("a")).await;
    bench.change_key(sign("a", NOW + 9 * HOUR)).await;
    let change = KeyChange::RetireCompromised {
        thumbprint: "a".into(),
        now: NOW,
        tokens_expire_by: NOW + HOUR,
        replacement: Some("b".into()),
    };
    let KeyOutcome::Replaced { replacement, .. } = bench.change_key(change.clone()).await else {
        panic!("it was the only key")
    };
    assert_eq!(replacement, KeyRecord::new("b", NOW, NOW));
    let key: Arc<str> = "a".into();
    let lookup = |id| Lookup::new([Revocable::key(ISSUER, id)], NOW);
    let verdict = answered(bench.store.look_up(&lookup(key)).await);
    assert_eq!(verdict, Verdict::Revoked);
    assert_eq!(answered(bench.store.look_up(&lookup("b".into())).await), Verdict::NotRevoked);
    let outbox = answered(bench.store.outbox(10).await);
    let kept: Vec<_> = outbox.iter().map(|entry| entry.revocation.obsolete_after()).collect();
    assert_eq!(kept, [NOW + 9 * HOUR + KEEP_AFTER_EXPIRY], "as long as its tokens");
    // A repetition changes nothing.
    let again = bench.change_key(change).await;
    assert!(matches!(again, KeyOutcome::Unchanged(key) if key.is_compromised));
    assert_eq!(answered(bench.store.keys(ISSUER).await).len(), 2);
    assert_eq!(bench.change_key(sign("a", NOW + 99 * HOUR)).await, KeyOutcome::Ended);
}
