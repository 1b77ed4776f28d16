use super::*;

async fn verdict(store: &MemoryStore, what: &[Named]) -> Verdict {
    let issued_at = what.iter().map(|named| named.date).min().unwrap();
    let things = what.iter().map(|named| named.thing.clone());
    store.look_up(&Lookup::new(things, issued_at)).await.unwrap()
}

#[cfg(feature = "test-util")]
#[tokio::test]
async fn it_keeps_every_rule_of_a_revocation_store() {
    let make = async |clock| MemoryStore::new().with_clock(clock);
    crate::test_util::revocation_conformance::check(make).await;
}

/// A revocation that the store keeps through this second.
fn kept(named: Named, obsolete_after: u64) -> RevocationEntry {
    RevocationEntry::restored(named.thing, at(obsolete_after)).with_cut_off(named.date)
}

#[tokio::test]
async fn each_kind_is_revoked_for_clones_too_and_nothing_else_is() {
    for kind in 0..5 {
        let store = MemoryStore::default();
        let what = token("a").each_kind();
        assert_eq!(verdict(&store, &what).await, Verdict::NotRevoked);
        store.clone().revoke(&kept(what[kind].clone(), u64::MAX)).await.unwrap();
        for (other, asked) in what.iter().enumerate() {
            let expected = if other == kind { Verdict::Revoked } else { Verdict::NotRevoked };
            assert_eq!(verdict(&store, std::slice::from_ref(asked)).await, expected);
        }
        assert_eq!(verdict(&store, &what).await, Verdict::Revoked);
    }
}

#[tokio::test]
async fn a_revocation_is_kept_through_its_last_second() {
    let clock = ManualClock::at(at(NOW));
    let store = MemoryStore::new().with_clock(clock.clone());
    let what = [token("a").itself()];
    store.revoke(&kept(what[0].clone(), NOW + 10)).await.unwrap();
    store.revoke(&kept(what[0].clone(), NOW + 5)).await.unwrap();
    clock.advance(Duration::from_secs(10));
    assert_eq!(verdict(&store, &what).await, Verdict::Revoked);
    clock.advance(Duration::from_secs(1));
    assert_eq!(verdict(&store, &what).await, Verdict::NotRevoked);
}

#[tokio::test]
async fn the_latest_cut_off_holds() {
    let store = MemoryStore::new();
    store.revoke(&kept(token("a").subject_until(NOW), u64::MAX)).await.unwrap();
    store.revoke(&kept(token("a").subject_until(NOW - 100), u64::MAX)).await.unwrap();
    assert_eq!(verdict(&store, &[token("a").subject_until(NOW)]).await, Verdict::Revoked);
    assert_eq!(verdict(&store, &[token("a").subject_until(NOW + 1)]).await, Verdict::NotRevoked);
    assert_eq!(verdict(&store, &[token("a").subject_until(0)]).await, Verdict::Revoked);
}

#[tokio::test]
async fn a_revocation_through_one_cache_reaches_another_within_the_bound() {
    let (store, clock) = (MemoryStore::new(), ManualClock::at(at(NOW)));
    let one = RevocationCache::new(store.clone(), BOUND).with_clock(clock.clone());
    let other = RevocationCache::new(store, BOUND).with_clock(clock.clone());
    assert_eq!(check(&other, &token("a")).await, Ok(Verdict::NotRevoked));
    one.revoke(&entry(token("a").itself(), u64::MAX)).await.unwrap();
    assert_eq!(check(&one, &token("a")).await, Ok(Verdict::Revoked));
    assert_eq!(check(&other, &token("a")).await, Ok(Verdict::NotRevoked));
    clock.advance(BOUND + MOMENT);
    assert_eq!(check(&other, &token("a")).await, Ok(Verdict::Revoked));
}
