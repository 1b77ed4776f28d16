use super::*;

/// The longest leeway plus a minute, in seconds.
const GRACE: u64 = 360;

#[tokio::test]
async fn a_revocation_of_any_kind_is_seen_by_the_very_next_check() {
    for kind in 0..5 {
        let (cache, _) = cache(&Store::new(Behavior::Answers(Verdict::NotRevoked)));
        let token = token("a");
        assert_eq!(check(&cache, &token).await, Ok(Verdict::NotRevoked));
        assert_eq!(local_verdict(&cache, &token), Some(Ok(Verdict::NotRevoked)));
        let what = token.each_kind()[kind].clone();
        cache.revoke(&entry(what.clone(), EXPIRES_AT)).await.unwrap();
        assert_eq!(local_verdict(&cache, &token), Some(Ok(Verdict::Revoked)), "{what:?}");
    }
}

#[tokio::test]
async fn a_revocation_of_any_kind_affects_nothing_else() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, _) = cache(&store);
    let mut other = token("a");
    other.issuer = "https://other.example".into();
    let mut mixed_up = token("session");
    mixed_up.subject = Some("a".into());
    mixed_up.session = Some("key".into());
    mixed_up.key = Some("alice".into());
    mixed_up.thumbprint = "a".into();
    for what in token("a").each_kind() {
        cache.revoke(&entry(what, EXPIRES_AT)).await.unwrap();
    }
    assert_eq!(check(&cache, &other).await, Ok(Verdict::NotRevoked));
    assert_eq!(check(&cache, &mixed_up).await, Ok(Verdict::NotRevoked));
}

#[tokio::test]
async fn a_token_without_subject_session_or_key_is_rejected_by_its_id_alone() {
    let (cache, _) = cache(&Store::new(Behavior::Answers(Verdict::NotRevoked)));
    let bare = Token { subject: None, session: None, key: None, ..token("a") };
    let bare = Token { thumbprint: "of another key".into(), ..bare };
    for what in &token("a").each_kind()[1..] {
        cache.apply(&entry(what.clone(), EXPIRES_AT));
    }
    assert_eq!(check(&cache, &bare).await, Ok(Verdict::NotRevoked));
    cache.apply(&entry(bare.itself(), EXPIRES_AT));
    assert_eq!(check(&cache, &bare).await, Ok(Verdict::Revoked));
}

#[tokio::test]
async fn the_denial_is_in_force_before_the_store_is_asked() {
    struct Watchful(Mutex<Option<RevocationCache>>);
    impl RevocationStore for Watchful {
        fn look_up<'a>(&'a self, _: &'a Lookup) -> BoxFuture<'a, Told> {
            Box::pin(async { Ok(Verdict::NotRevoked) })
        }
        fn revoke<'a>(&'a self, _: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
            let cache = self.0.lock().unwrap().take().unwrap();
            assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
            Box::pin(async { Ok(()) })
        }
    }
    let store = Arc::new(Watchful(Mutex::new(None)));
    let cache = RevocationCache::new(store.clone(), BOUND);
    *store.0.lock().unwrap() = Some(cache.clone());
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    cache.revoke(&entry(token("a").itself(), u64::MAX)).await.unwrap();
    assert!(store.0.lock().unwrap().is_none());
}

#[tokio::test]
async fn a_store_that_fails_to_revoke_is_an_error_and_the_denial_stays() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    store.fails_to_revoke();
    let (cache, clock) = cache(&store);
    let error = cache.revoke(&entry(token("a").itself(), EXPIRES_AT)).await.unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("the revocation store failed"));
    clock.advance(BOUND + BOUND);
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
}

#[tokio::test]
async fn a_store_that_says_not_revoked_does_not_overrule_a_denial() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache(&store);
    cache.revoke(&entry(token("a").itself(), EXPIRES_AT)).await.unwrap();
    for _ in 0..10 {
        assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::Revoked));
        clock.advance(BOUND + MOMENT);
    }
    assert_eq!(store.asked(), 0);
}

#[tokio::test]
async fn a_denial_is_kept_until_the_leeway_cap_and_a_minute_after_the_token() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache(&store);
    cache.revoke(&entry(token("a").itself(), EXPIRES_AT)).await.unwrap();
    assert_eq!(store.revoked(), [entry(token("a").itself(), EXPIRES_AT)]);
    assert_eq!(store.revoked()[0].obsolete_after(), at(EXPIRES_AT + GRACE));

    clock.advance(Duration::from_secs(EXPIRES_AT + GRACE - NOW));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
    clock.advance(Duration::from_secs(1));
    assert_eq!(local_verdict(&cache, &token("a")), None);
}

#[tokio::test]
async fn a_denial_is_over_only_when_both_clocks_say_so() {
    let (cache, clock) = cache(&Store::by_hand());
    cache.apply(&entry(token("a").itself(), EXPIRES_AT));
    let last = EXPIRES_AT + GRACE;
    clock.set_unix_time(at(last + 1_000_000));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
    clock.set_unix_time(at(NOW));
    clock.advance(Duration::from_secs(last - NOW));
    clock.set_unix_time(at(last + 1));
    assert_eq!(
        local_verdict(&cache, &token("a")),
        Some(Ok(Verdict::Revoked)),
        "the last monotonic second"
    );
    clock.advance(Duration::from_secs(1));
    clock.set_unix_time(at(last));
    assert_eq!(
        local_verdict(&cache, &token("a")),
        Some(Ok(Verdict::Revoked)),
        "the last second of the wall clock"
    );
    clock.set_unix_time(at(last + 1));
    assert_eq!(local_verdict(&cache, &token("a")), None);
}

#[tokio::test]
async fn a_jump_of_the_wall_clock_removes_no_denial() {
    let (cache, clock) = cache(&Store::by_hand());
    for number in 0..10_000 {
        cache.apply(&entry(token(&number.to_string()).itself(), EXPIRES_AT));
    }
    clock.set_unix_time(at(EXPIRES_AT + 100_000));
    for number in 10_000..40_000 {
        cache.apply(&entry(token(&number.to_string()).itself(), EXPIRES_AT + 200_000));
    }
    clock.set_unix_time(at(NOW));
    for number in 0..40_000 {
        assert_eq!(
            local_verdict(&cache, &token(&number.to_string())),
            Some(Ok(Verdict::Revoked)),
            "{number}"
        );
    }
}

#[tokio::test]
async fn a_new_cut_off_does_not_restore_an_obsolete_one() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache(&store);
    cache.apply(&entry(token("a").subject_until(u64::MAX), NOW));
    clock.advance(Duration::from_secs(GRACE + 1));
    cache.apply(&entry(token("a").subject_until(NOW - 100), EXPIRES_AT));
    assert_eq!(local_verdict(&cache, &token("a")), None);
}

#[tokio::test]
async fn a_denial_without_an_end_stays() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache(&store);
    cache.revoke(&entry(token("a").itself(), u64::MAX)).await.unwrap();
    assert_eq!(store.revoked(), [entry(token("a").itself(), u64::MAX)]);
    clock.set_unix_time(at(u64::MAX));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
}

#[tokio::test]
async fn revoking_again_does_not_shorten_a_denial() {
    let (cache, clock) = cache(&Store::by_hand());
    cache.apply(&entry(token("a").itself(), EXPIRES_AT));
    cache.apply(&entry(token("a").itself(), NOW));
    clock.set_unix_time(at(EXPIRES_AT));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));

    cache.apply(&entry(token("a").itself(), EXPIRES_AT + 1_000));
    clock.set_unix_time(at(EXPIRES_AT + 1_000));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
}

#[tokio::test]
async fn a_cut_off_rejects_what_was_issued_at_it_or_before() {
    let (cache, _) = cache(&Store::new(Behavior::Answers(Verdict::NotRevoked)));
    cache.apply(&entry(token("a").subject_until(NOW), EXPIRES_AT));
    for (issued_at, answer) in [
        (0, Ok(Verdict::Revoked)),
        (NOW - 1, Ok(Verdict::Revoked)),
        (NOW, Ok(Verdict::Revoked)),
        (NOW + 1, Ok(Verdict::NotRevoked)),
    ] {
        let token = Token { issued_at, ..token("a") };
        assert_eq!(check(&cache, &token).await, answer, "{issued_at}");
    }
}

#[tokio::test]
async fn an_earlier_cut_off_does_not_lower_a_later_one() {
    let (cache, clock) = cache(&Store::new(Behavior::Answers(Verdict::NotRevoked)));
    cache.apply(&entry(token("a").subject_until(NOW), NOW));
    cache.apply(&entry(token("a").subject_until(NOW - 100), EXPIRES_AT));
    clock.set_unix_time(at(EXPIRES_AT));
    assert_eq!(
        local_verdict(&cache, &Token { issued_at: NOW, ..token("a") }),
        Some(Ok(Verdict::Revoked))
    );

    cache.apply(&entry(token("a").subject_until(NOW + 100), EXPIRES_AT));
    assert_eq!(
        local_verdict(&cache, &Token { issued_at: NOW + 100, ..token("a") }),
        Some(Ok(Verdict::Revoked))
    );
    assert_eq!(local_verdict(&cache, &Token { issued_at: NOW + 101, ..token("a") }), None);
}

#[tokio::test]
async fn a_store_that_says_revoked_is_not_asked_again() {
    let store = Store::new(Behavior::Answers(Verdict::Revoked));
    let (cache, clock) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::Revoked));
    store.set_behavior(Behavior::Answers(Verdict::NotRevoked));
    clock.advance(Duration::from_secs(EXPIRES_AT + GRACE - NOW));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
    assert_eq!(store.asked(), 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(local_verdict(&cache, &token("a")), None);
}

#[tokio::test]
async fn a_revoked_token_does_not_revoke_its_subject_session_or_key() {
    let store = Store::new(Behavior::Answers(Verdict::Revoked));
    let (cache, _) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::Revoked));
    store.set_behavior(Behavior::Answers(Verdict::NotRevoked));
    assert_eq!(check(&cache, &token("b")).await, Ok(Verdict::NotRevoked));
}

#[tokio::test]
async fn apply_revokes_without_writing_to_the_store() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, _) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    cache.apply(&entry(token("a").itself(), EXPIRES_AT));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
    assert!(store.revoked().is_empty());
}

#[test]
fn a_hundred_thousand_denials_stay_beside_a_small_answer_cache() {
    let clock = ManualClock::at(at(NOW));
    let cache = RevocationCache::new(Store::by_hand(), BOUND).with_clock(clock).with_capacity(10);
    let tokens: Vec<_> = (0..100_000).map(|number| token(&format!("{number:06}"))).collect();
    for token in &tokens {
        cache.apply(&entry(token.itself(), EXPIRES_AT));
    }
    assert_eq!(cache.stats().denials, 100_000);
    assert!(tokens.iter().all(|token| local_verdict(&cache, token) == Some(Ok(Verdict::Revoked))));
    let others = (0..1_000).map(|number| token(&format!("other {number}")));
    assert!(others.into_iter().all(|other| local_verdict(&cache, &other).is_none()));
}

#[test]
fn obsolete_denials_are_removed_when_new_ones_arrive() {
    let (cache, clock) = cache(&Store::by_hand());
    for day in 0..10_u64 {
        let expires_at = NOW + day * 86_400;
        for number in 0..20_000 {
            cache.apply(&entry(token(&format!("{day}-{number}")).itself(), expires_at));
        }
        assert!(local_verdict(&cache, &token(&format!("{day}-0"))) == Some(Ok(Verdict::Revoked)));
        clock.advance(Duration::from_secs(86_400));
    }
    let denials = cache.stats().denials;
    assert!((20_000..=60_000).contains(&denials), "{denials}");
}

#[test]
fn clones_share_denials_whatever_their_settings_and_clocks() {
    let (cache, _) = cache(&Store::by_hand());
    let clone = cache.clone().with_capacity(5).with_clock(ManualClock::at(at(NOW + 1_000_000_000)));
    clone.apply(&entry(token("a").itself(), EXPIRES_AT));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
}

#[tokio::test]
async fn a_cache_without_a_store_revokes_in_its_own_process() {
    let clock = ManualClock::at(at(NOW));
    let cache = RevocationCache::in_memory().with_clock(clock.clone());
    for what in token("a").each_kind() {
        let cache = RevocationCache::in_memory().with_clock(clock.clone());
        assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
        cache.revoke(&entry(what.clone(), EXPIRES_AT)).await.unwrap();
        assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)), "{what:?}");
    }
    cache.apply(&entry(token("a").itself(), EXPIRES_AT).with_start(at(NOW + 10)));
    cache.doubt();
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
    clock.advance(Duration::from_secs(10));
    assert_eq!(local_verdict(&cache.clone(), &token("a")), Some(Ok(Verdict::Revoked)));
    let error = cache.revoke(&entry(token("b").itself(), NOW - 1_000)).await;
    assert!(matches!(error, Err(RevokeError::Expired)));
}

/// There are many of them, so that the map compares names whose hashes begin with the same bits.
#[test]
fn the_same_ids_of_another_issuer_or_kind_are_not_denied() {
    let clock = ManualClock::at(UnixTime::from_secs(1_000));
    let denials = super::super::local_state::Denials::new();
    let refuses = |thing: Revocable| {
        denials.denies_lookup(&Lookup::new([thing], UnixTime::from_secs(900)), &clock)
    };
    for number in 0..20_000 {
        let thing = Revocable::token("a", number.to_string());
        denials.insert(&thing, UnixTime::MAX, UnixTime::from_secs(2_000), &clock);
    }
    for number in 0..20_000 {
        let id = number.to_string();
        assert!(refuses(Revocable::token("a", id.as_str())), "{number}");
        assert!(!refuses(Revocable::token("b", id.as_str())), "{number}");
        assert!(!refuses(Revocable::session("a", id.as_str())), "{number}");
    }
}
