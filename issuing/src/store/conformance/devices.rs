use super::{Bench, NOW, answered, hash, secs, side_by_side};
use crate::store::TokenStore;

pub(super) async fn all_processes_get_the_key_that_was_kept_first<S: TokenStore>(bench: Bench<S>) {
    let keys = side_by_side(&bench.store, |store, n| async move {
        store.shared_key("a key", &hash(&n.to_string())).await
    })
    .await;
    let first = keys.first().copied();
    assert!(keys.iter().all(|key| Some(*key) == first), "all get one key");
    let other = answered(bench.store.shared_key("another key", &[0xff; 32]).await);
    assert_eq!(other, [0xff; 32], "each name has a key of its own");
}

pub(super) async fn a_device_is_known_until_the_latest_time_that_was_noted<S: TokenStore>(
    bench: Bench<S>,
) {
    let device = [7; 32];
    let knows = async |now| answered(bench.store.knows_device(&device, now).await);
    assert!(!knows(NOW).await);
    answered(bench.store.note_device(&device, &[1; 32], NOW + secs(10)).await);
    answered(bench.store.note_device(&device, &[1; 32], NOW + secs(5)).await);
    assert!(knows(NOW + secs(10)).await && !knows(NOW + secs(11)).await);
    answered(bench.store.note_device(&device, &[1; 32], NOW + secs(20)).await);
    assert!(knows(NOW + secs(20)).await && !knows(NOW + secs(21)).await);
    assert!(!answered(bench.store.knows_device(&[8; 32], NOW).await), "and no other");
}

pub(super) async fn an_expired_device_is_swept_and_no_other<S: TokenStore>(bench: Bench<S>) {
    for n in 0..3 {
        answered(bench.store.note_device(&[n; 32], &[1; 32], NOW + secs(n.into())).await);
    }
    assert_eq!(answered(bench.store.sweep(NOW + secs(2), 1).await), 1);
    assert_eq!(answered(bench.store.sweep(NOW + secs(2), 10).await), 1);
    assert!(!answered(bench.store.knows_device(&[1; 32], NOW).await));
    assert!(answered(bench.store.knows_device(&[2; 32], NOW).await));
}
