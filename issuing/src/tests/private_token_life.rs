use std::time::Duration;

use super::{DAY, Everybody, ISSUER, NOW, issuer, log_in, refusal, secs};
use crate::{
    ListQuery, LogOutError, PrivateTokenError, RevokeAllError, TokenIssuer, store::MemoryTokenStore,
};
use tower_bearer::revocation::outbox::Outbox;
use tower_bearer::{
    Algorithm, Authenticated, RejectionKind, UnixTime, claims::ManualClock, jws::SigningKey,
};

#[tokio::test]
async fn a_private_token_lives_until_the_second_that_was_chosen() {
    let (issuer, clock) = issuer();
    let (_, access) = log_in(&issuer, "ada").await;
    let made = issuer.create_private_token(&access, "  ci  ", NOW + 90 * DAY).await.unwrap();
    assert_eq!(&*made.token.name, "ci");
    clock.advance(90 * DAY - secs(1));
    assert_eq!(refusal(&issuer, &made.data).await, None);
    clock.advance(Duration::from_secs(1));
    assert_eq!(refusal(&issuer, &made.data).await, Some(RejectionKind::Expired));
}

#[tokio::test]
async fn names_and_expiries_out_of_bounds_are_refused_and_nothing_is_kept() {
    let (issuer, _) = issuer();
    let (_, access) = log_in(&issuer, "ada").await;
    let create = async |name: &str, expires_at| {
        issuer.create_private_token(&access, name, expires_at).await.map(drop)
    };
    let later = NOW + secs(1);
    use PrivateTokenError as E;
    assert!(matches!(create("", later).await, Err(E::BlankName)));
    assert!(matches!(create(" \t\n", later).await, Err(E::BlankName)));
    assert!(matches!(create(&"ä".repeat(256), later).await, Err(E::NameTooLong)));
    assert!(matches!(create("a\0b", later).await, Err(E::NulInName)));
    assert!(matches!(create("a", NOW).await, Err(E::ExpiryPast)));
    assert!(matches!(create("a", UnixTime::EPOCH).await, Err(E::ExpiryPast)));
    for too_far in [NOW + 366 * DAY + secs(1), UnixTime::MAX] {
        assert!(matches!(create("a", too_far).await, Err(E::ExpiryTooFar { .. })));
    }
    let page = issuer.list_private_tokens(&access, &ListQuery::new()).await.unwrap();
    assert_eq!(page.count, 0);
    assert!(create(&"ä".repeat(255), later).await.is_ok());
    assert!(create("a", NOW + 366 * DAY).await.is_ok());
}

#[tokio::test]
async fn a_revoked_token_is_refused_by_the_next_request_and_is_not_found_again() {
    let (issuer, _) = issuer();
    let (_, access) = log_in(&issuer, "ada").await;
    let (_, bob) = log_in(&issuer, "bob").await;
    let made = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    // The answer "not revoked" is cached now.
    assert_eq!(refusal(&issuer, &made.data).await, None);
    let others = issuer.revoke_private_token(&bob, made.token.id).await;
    assert!(matches!(others, Err(PrivateTokenError::NotFound)));
    assert_eq!(refusal(&issuer, &made.data).await, None);
    issuer.revoke_private_token(&access, made.token.id).await.unwrap();
    assert_eq!(refusal(&issuer, &made.data).await, Some(RejectionKind::Revoked));
    let again = issuer.revoke_private_token(&access, made.token.id).await;
    assert!(matches!(again, Err(PrivateTokenError::NotFound)));
}

#[tokio::test]
async fn a_rotation_without_overlap_ends_the_old_token_at_once() {
    let (issuer, _) = issuer();
    let (_, access) = log_in(&issuer, "ada").await;
    let old = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    assert_eq!(refusal(&issuer, &old.data).await, None);
    let new = issuer
        .rotate_private_token(&access, old.token.id, NOW + 2 * DAY, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(&*new.token.name, "ci");
    assert_eq!(refusal(&issuer, &old.data).await, Some(RejectionKind::Revoked));
    assert_eq!(refusal(&issuer, &new.data).await, None);
}

#[tokio::test]
async fn a_rotated_token_ends_everywhere_in_the_second_its_overlap_ends() {
    let clock = ManualClock::at(NOW);
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    // Two processes on one store.
    let [issuer, other] = [(); 2].map(|()| {
        let builder = TokenIssuer::builder(ISSUER, "api", key.clone(), store.clone(), Everybody);
        builder.with_clock(clock.clone()).build().unwrap()
    });
    let (_, access) = log_in(&issuer, "ada").await;
    let old = issuer.create_private_token(&access, "ci", NOW + 9 * DAY).await.unwrap();
    assert_eq!(refusal(&issuer, &old.data).await, None);
    // The operator's maximum of one day limits the overlap.
    issuer.rotate_private_token(&access, old.token.id, NOW + 9 * DAY, Duration::MAX).await.unwrap();
    clock.advance(DAY - secs(1));
    for process in [&issuer, &other] {
        assert_eq!(refusal(process, &old.data).await, None);
    }
    clock.advance(Duration::from_secs(1));
    for process in [&issuer, &other] {
        assert_eq!(refusal(process, &old.data).await, Some(RejectionKind::Revoked));
    }
}

#[tokio::test]
async fn the_operators_maximum_of_private_tokens_is_kept() {
    let clock = ManualClock::at(NOW);
    assert!(super::builder(&clock).with_max_private_tokens(0).build().is_err());
    let issuer = super::builder(&clock).with_max_private_tokens(2).build().unwrap();
    let (_, access) = log_in(&issuer, "ada").await;
    let create = async || issuer.create_private_token(&access, "ci", NOW + DAY).await;
    let rotate = async |id, overlap| {
        issuer.rotate_private_token(&access, id, NOW + DAY, Duration::from_secs(overlap)).await
    };
    let first = create().await.unwrap().token.id;
    create().await.unwrap();
    use PrivateTokenError::TooMany;
    assert!(matches!(create().await, Err(TooMany { maximum: 2 })));
    rotate(first, 60).await.unwrap();
    rotate(first, 60).await.unwrap();
    assert!(matches!(rotate(first, 60).await, Err(TooMany { maximum: 2 })));
    rotate(first, 0).await.unwrap();
    assert!(matches!(create().await, Err(TooMany { maximum: 2 })));
    let (_, bob) = log_in(&issuer, "bob").await;
    issuer.create_private_token(&bob, "ci", NOW + DAY).await.unwrap();
}

#[tokio::test]
async fn a_private_token_manages_no_tokens() {
    let (issuer, _) = issuer();
    let (tokens, access) = log_in(&issuer, "ada").await;
    let made = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    let leaked = issuer.authenticator().authenticate(&made.data).await.unwrap();
    let (id, later) = (made.token.id, NOW + DAY);
    use PrivateTokenError::NotAccess;
    assert!(matches!(issuer.create_private_token(&leaked, "x", later).await, Err(NotAccess)));
    assert!(matches!(issuer.list_private_tokens(&leaked, &ListQuery::new()).await, Err(NotAccess)));
    let rotated = issuer.rotate_private_token(&leaked, id, later, Duration::ZERO).await;
    assert!(matches!(rotated, Err(NotAccess)));
    assert!(matches!(issuer.revoke_private_token(&leaked, id).await, Err(NotAccess)));
    assert!(matches!(issuer.revoke_all(&leaked).await, Err(RevokeAllError::NotAccess)));
    let logged_out = issuer.log_out(&leaked, &tokens.refresh_token).await;
    assert!(matches!(logged_out, Err(LogOutError::NotAccess)));
    assert_eq!(refusal(&issuer, &made.data).await, None);
}

#[tokio::test]
async fn no_log_out_ends_a_private_token() {
    let (issuer, _) = issuer();
    let (tokens, access) = log_in(&issuer, "ada").await;
    let made = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    issuer.log_out(&access, &tokens.refresh_token).await.unwrap();
    assert_eq!(refusal(&issuer, &made.data).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_last_use_is_written_down_behind_the_requests() {
    let (issuer, clock) = issuer();
    let (_, access) = log_in(&issuer, "ada").await;
    let made = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    let last_used = async || {
        let page = issuer.list_private_tokens(&access, &ListQuery::new()).await.unwrap();
        page.tokens.first().and_then(|token| token.last_used_at)
    };
    let maintenance = issuer.spawn_maintenance();
    tokio::time::advance(Duration::from_secs(1)).await;
    clock.advance(Duration::from_secs(5));
    assert_eq!(refusal(&issuer, &made.data).await, None);
    assert_eq!(last_used().await, None, "no request waits for it");
    tokio::time::timeout(Duration::from_secs(120), async {
        while last_used().await.is_none() {
            tokio::time::advance(Duration::from_secs(10)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(last_used().await, Some(NOW + secs(5)));
    assert!(maintenance.health().is_ok());
    maintenance.shutdown().await;
}

#[tokio::test]
async fn a_clock_that_leaps_ahead_deletes_no_revocation() {
    let clock = ManualClock::at(NOW);
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let on_the_store = || {
        TokenIssuer::builder(ISSUER, "api", key.clone(), store.clone(), Everybody)
            .with_clock(clock.clone())
            .build()
            .unwrap()
    };
    let issuer = on_the_store();
    let (_, access) = log_in(&issuer, "ada").await;
    let made = issuer.create_private_token(&access, "ci", NOW + 10 * DAY).await.unwrap();
    issuer.revoke_private_token(&access, made.token.id).await.unwrap();
    issuer.rotate_key(SigningKey::generate(Algorithm::ES256).unwrap());
    clock.set_unix_time(NOW + 1000 * DAY);
    issuer.maintain().await.unwrap();
    clock.set_unix_time(NOW);
    assert_eq!(issuer.keys().handle().snapshot().len(), 2, "nor a key that is needed");
    // A new process, which has only the data of the store.
    assert_eq!(refusal(&on_the_store(), &made.data).await, Some(RejectionKind::Revoked));
    assert_eq!(store.outbox(10).await.unwrap().len(), 1);

    clock.advance(12 * DAY);
    issuer.maintain().await.unwrap();
    assert!(store.outbox(10).await.unwrap().is_empty(), "what is over is swept in the end");
}

#[tokio::test]
async fn an_access_token_that_another_process_revoked_does_nothing() {
    let clock = ManualClock::at(NOW);
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let [here, elsewhere] = [(); 2].map(|()| {
        TokenIssuer::builder(ISSUER, "api", key.clone(), store.clone(), Everybody)
            .with_clock(clock.clone())
            .build()
            .unwrap()
    });
    for name in ["ada", "bob"] {
        let (tokens, access) = log_in(&here, name).await;
        let id = here.create_private_token(&access, "ci", NOW + DAY).await.unwrap().token.id;
        let there = elsewhere.authenticator().authenticate(&tokens.access_token).await.unwrap();
        clock.advance(Duration::from_secs(1));
        match name {
            "ada" => elsewhere.revoke_all(&there).await.unwrap(),
            _ => elsewhere.log_out(&there, &tokens.refresh_token).await.unwrap(),
        }
        assert_eq!(refusal(&here, &tokens.access_token).await, None, "it is not known here yet");
        nothing_is_done_with(&here, &access, id).await;
    }
    let (_, access) = log_in(&here, "bob").await;
    let page = here.list_private_tokens(&access, &ListQuery::new()).await.unwrap();
    assert_eq!(page.count, 1, "neither more nor less than before");
}

#[tokio::test]
async fn an_access_token_that_has_expired_since_it_was_verified_does_nothing() {
    let (issuer, clock) = issuer();
    let (tokens, access) = log_in(&issuer, "ada").await;
    let id = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap().token.id;
    clock.advance(Duration::from_secs(3600));
    nothing_is_done_with(&issuer, &access, id).await;
    assert!(matches!(issuer.revoke_all(&access).await, Err(RevokeAllError::NotAccess)));
    let logged_out = issuer.log_out(&access, &tokens.refresh_token).await;
    assert!(matches!(logged_out, Err(LogOutError::NotAccess)));
}

async fn nothing_is_done_with(issuer: &TokenIssuer, access: &Authenticated, id: i64) {
    use PrivateTokenError::NotAccess;
    let later = NOW + DAY;
    assert!(matches!(issuer.create_private_token(access, "x", later).await, Err(NotAccess)));
    assert!(matches!(issuer.list_private_tokens(access, &ListQuery::new()).await, Err(NotAccess)));
    let rotated = issuer.rotate_private_token(access, id, later, Duration::ZERO).await;
    assert!(matches!(rotated, Err(NotAccess)));
    assert!(matches!(issuer.revoke_private_token(access, id).await, Err(NotAccess)));
}
