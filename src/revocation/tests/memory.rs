use super::*;

async fn verdict(store: &MemoryStore, what: &[Revocable]) -> Verdict {
    store.look_up(what).await.unwrap()
}

#[tokio::test]
async fn each_kind_is_revoked_for_clones_too_and_nothing_else_is() {
    for kind in 0..5 {
        let store = MemoryStore::default();
        let what = token("a").each_kind();
        assert_eq!(verdict(&store, &what).await, Verdict::NotRevoked);
        store.clone().revoke(&what[kind], u64::MAX).await.unwrap();
        for (other, asked) in what.iter().enumerate() {
            let expected = if other == kind { Verdict::Revoked } else { Verdict::NotRevoked };
            assert_eq!(verdict(&store, std::slice::from_ref(asked)).await, expected);
        }
        assert_eq!(verdict(&store, &what).await, Verdict::Revoked);
    }
}

#[tokio::test]
async fn a_revocation_is_kept_through_its_last_second() {
    let clock = ManualClock::at(NOW);
    let store = MemoryStore::new().with_clock(clock.clone());
    let what = [token("a").itself()];
    store.revoke(&what[0], NOW + 10).await.unwrap();
    store.revoke(&what[0], NOW + 5).await.unwrap();
    clock.advance(Duration::from_secs(10));
    assert_eq!(verdict(&store, &what).await, Verdict::Revoked);
    clock.advance(Duration::from_secs(1));
    assert_eq!(verdict(&store, &what).await, Verdict::NotRevoked);
}

#[tokio::test]
async fn the_latest_cut_off_holds() {
    let store = MemoryStore::new();
    store.revoke(&token("a").subject_until(NOW), u64::MAX).await.unwrap();
    store.revoke(&token("a").subject_until(NOW - 100), u64::MAX).await.unwrap();
    assert_eq!(verdict(&store, &[token("a").subject_until(NOW)]).await, Verdict::Revoked);
    assert_eq!(verdict(&store, &[token("a").subject_until(NOW + 1)]).await, Verdict::NotRevoked);
    assert_eq!(verdict(&store, &[token("a").subject_until(0)]).await, Verdict::Revoked);
}

#[tokio::test]
async fn a_revocation_through_one_cache_reaches_another_within_the_bound() {
    let (store, clock) = (MemoryStore::new(), ManualClock::at(NOW));
    let one = RevocationCache::new(store.clone(), BOUND).with_clock(clock.clone());
    let other = RevocationCache::new(store, BOUND).with_clock(clock.clone());
    assert_eq!(check(&other, &token("a")).await, Answer::NotRevoked);
    one.revoke(token("a").itself(), u64::MAX).await.unwrap();
    assert_eq!(check(&one, &token("a")).await, Answer::Revoked);
    assert_eq!(check(&other, &token("a")).await, Answer::NotRevoked);
    clock.advance(BOUND + MOMENT);
    assert_eq!(check(&other, &token("a")).await, Answer::Revoked);
}
