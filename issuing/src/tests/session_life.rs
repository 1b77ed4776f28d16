use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    DAY, Everybody, ISSUER, NOW, builder, issuer, log_in, refusal, secs,
    staff::{Staff, State},
};
use crate::{
    ClientInfo, Credentials, LogOutError, LoginError, RefreshError, TokenIssuer,
    store::MemoryTokenStore,
};
use tower_bearer::{
    Algorithm, RejectionKind,
    claims::{Clock, ManualClock},
    jws::SigningKey,
};

#[tokio::test]
async fn an_access_token_lives_for_one_hour_to_the_second() {
    let (issuer, clock) = issuer();
    let (tokens, access) = log_in(&issuer, "ada").await;
    assert_eq!(tokens.access_expires_at, NOW + secs(3600));
    assert_eq!(access.registered().expires_at(), NOW + secs(3600));
    clock.advance(Duration::from_secs(3599));
    assert_eq!(refusal(&issuer, &tokens.access_token).await, None);
    clock.advance(Duration::from_secs(1));
    assert_eq!(refusal(&issuer, &tokens.access_token).await, Some(RejectionKind::Expired));
}

/// A clock that advances by a second at each reading.
#[derive(Clone)]
struct Ticking(Arc<AtomicU64>);

impl Clock for Ticking {
    fn unix_time(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn a_cut_off_that_comes_while_tokens_are_signed_reaches_all_of_them() {
    let clock = ManualClock::at(NOW);
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let slow = TokenIssuer::builder(ISSUER, "api", key.clone(), store.clone(), Everybody)
        .with_clock(Ticking(Arc::new(AtomicU64::new(NOW.as_secs()))))
        .build()
        .unwrap();
    let other = TokenIssuer::builder(ISSUER, "api", key, store, Everybody)
        .with_clock(clock.clone())
        .build()
        .unwrap();
    let credentials = Credentials::new("ada", "right");
    let first = slow.log_in(&credentials, &ClientInfo::new()).await.unwrap().tokens;
    let second = slow.refresh(&first.refresh_token).await.unwrap();
    other.revoke_subject("ada").await.unwrap();
    clock.advance(Duration::from_secs(60));
    for tokens in [first, second] {
        let refused = refusal(&other, &tokens.access_token).await;
        assert_eq!(refused, Some(RejectionKind::Revoked));
        assert!(other.refresh(&tokens.refresh_token).await.is_err());
    }
}

#[tokio::test]
async fn a_refresh_rotates_and_keeps_the_session() {
    let (issuer, clock) = issuer();
    let (first, access) = log_in(&issuer, "ada").await;
    clock.advance(Duration::from_secs(3600));
    let second = issuer.refresh(&first.refresh_token).await.unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_eq!(second.refresh_expires_at, NOW + secs(3600) + DAY);
    let again = issuer.authenticator().authenticate(&second.access_token).await.unwrap();
    assert_eq!(again.registered().session_id(), access.registered().session_id());
    assert_eq!(again.registered().subject(), Some("ada"));
}

#[tokio::test]
async fn a_reused_refresh_token_ends_its_own_session_and_no_other() {
    let (issuer, _) = issuer();
    let (first, _) = log_in(&issuer, "ada").await;
    let (other, _) = log_in(&issuer, "ada").await;
    let second = issuer.refresh(&first.refresh_token).await.unwrap();
    assert!(matches!(issuer.refresh(&first.refresh_token).await, Err(RefreshError::NotValid)));
    for token in [&first.access_token, &second.access_token] {
        assert_eq!(refusal(&issuer, token).await, Some(RejectionKind::Revoked));
    }
    assert!(matches!(issuer.refresh(&second.refresh_token).await, Err(RefreshError::NotValid)));
    assert_eq!(refusal(&issuer, &other.access_token).await, None);
    assert!(issuer.refresh(&other.refresh_token).await.is_ok());
}

#[tokio::test]
async fn a_repeat_within_the_grace_gets_the_same_successor() {
    let clock = ManualClock::at(NOW);
    let grace = Duration::from_secs(10);
    let issuer = builder(&clock).with_refresh_reuse_grace(grace).build().unwrap();
    let (first, _) = log_in(&issuer, "ada").await;
    let one = issuer.refresh(&first.refresh_token).await.unwrap();
    clock.advance(grace);
    let key = tower_bearer::jws::SigningKey::generate(tower_bearer::Algorithm::ES256).unwrap();
    issuer.rotate_key(key);
    let other = issuer.refresh(&first.refresh_token).await.unwrap();
    let claims = |token: &str| token.split('.').nth(1).map(str::to_owned);
    assert_eq!(claims(&one.refresh_token), claims(&other.refresh_token));
    // Both copies are the same token.
    assert!(issuer.refresh(&other.refresh_token).await.is_ok());
    clock.advance(grace + Duration::from_secs(1));
    assert!(issuer.refresh(&one.refresh_token).await.is_err());
    assert_eq!(refusal(&issuer, &other.access_token).await, Some(RejectionKind::Revoked));
}

#[tokio::test]
async fn only_a_living_refresh_token_refreshes() {
    let (issuer, clock) = issuer();
    let (tokens, access) = log_in(&issuer, "ada").await;
    let private = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap().data;
    let (head, tail) = tokens.refresh_token.rsplit_once('.').unwrap();
    let tampered = format!("{head}.{}", tail.chars().rev().collect::<String>());
    let long = "a".repeat(1 << 20);
    for token in ["", "a.b.c", &tokens.access_token, &private, &tampered, &long] {
        assert!(matches!(issuer.refresh(token).await, Err(RefreshError::NotValid)));
    }
    clock.advance(DAY);
    assert!(issuer.refresh(&tokens.refresh_token).await.is_err(), "expired to the second");
}

#[tokio::test]
async fn who_has_no_active_account_any_more_does_not_refresh() {
    let clock = ManualClock::at(NOW);
    let staff = Staff::with_scopes("");
    let issuer = staff.issuer(&clock).build().unwrap();
    let (tokens, _) = log_in(&issuer, "ada").await;
    staff.set(State::Away);
    for _ in 0..2 {
        let unknown = issuer.refresh(&tokens.refresh_token).await;
        assert!(matches!(unknown, Err(RefreshError::Unavailable(_))), "and it is not used");
    }
    for state in [State::Closed, State::AnotherSubject] {
        staff.set(state);
        let refused = issuer.refresh(&tokens.refresh_token).await;
        assert!(matches!(refused, Err(RefreshError::NotValid)), "and it is not used");
    }
    assert_eq!(refusal(&issuer, &tokens.access_token).await, None);
    staff.set_scopes("");
    issuer.refresh(&tokens.refresh_token).await.unwrap();
}

#[tokio::test]
async fn of_one_refresh_token_presented_many_times_at_once_one_answer_is_good() {
    let (issuer, _) = issuer();
    let (tokens, _) = log_in(&issuer, "ada").await;
    let calls = (0..20).map(|_| issuer.refresh(&tokens.refresh_token));
    let answers = futures_util::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(refusal(&issuer, &tokens.access_token).await, Some(RejectionKind::Revoked));
}

#[tokio::test]
async fn log_out_ends_both_sessions_of_one_subject_only() {
    let (issuer, _) = issuer();
    let (ada, ada_access) = log_in(&issuer, "ada").await;
    let (elsewhere, _) = log_in(&issuer, "ada").await;
    let (bob, _) = log_in(&issuer, "bob").await;
    let other = issuer.log_out(&ada_access, &bob.refresh_token).await;
    assert!(matches!(other, Err(LogOutError::OtherSubject)));
    let not_refresh = issuer.log_out(&ada_access, &ada.access_token).await;
    assert!(matches!(not_refresh, Err(LogOutError::NotRefresh)));
    assert_eq!(refusal(&issuer, &ada.access_token).await, None);

    issuer.log_out(&ada_access, &elsewhere.refresh_token).await.unwrap();
    for tokens in [&ada, &elsewhere] {
        assert_eq!(refusal(&issuer, &tokens.access_token).await, Some(RejectionKind::Revoked));
        assert!(issuer.refresh(&tokens.refresh_token).await.is_err());
    }
    assert_eq!(refusal(&issuer, &bob.access_token).await, None);
}

#[tokio::test]
async fn revoke_all_ends_everything_and_who_logs_in_at_once_is_let_in() {
    let (issuer, _) = issuer();
    let (bob, _) = log_in(&issuer, "bob").await;
    for _ in 0..3 {
        let (tokens, access) = log_in(&issuer, "ada").await;
        let private = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
        issuer.revoke_all(&access).await.unwrap();
        for token in [&tokens.access_token, &private.data] {
            assert_eq!(refusal(&issuer, token).await, Some(RejectionKind::Revoked));
        }
        assert!(issuer.refresh(&tokens.refresh_token).await.is_err());
    }
    let (tokens, access) = log_in(&issuer, "ada").await;
    assert_eq!(access.registered().issued_at(), Some(NOW + secs(3)));
    assert_eq!(access.registered().expires_at(), NOW + secs(3 + 3600));
    assert!(issuer.refresh(&tokens.refresh_token).await.is_ok());
    assert_eq!(refusal(&issuer, &bob.access_token).await, None);
}

#[tokio::test]
async fn a_wrong_password_is_rejected_and_the_sixth_attempt_is_throttled() {
    let (issuer, clock) = issuer();
    let try_with = async |name: &str, password: &str| {
        issuer.log_in(&Credentials::new(name, password), &ClientInfo::new()).await.map(drop)
    };
    for name in ["ada", "ADA", "Ada", "ada", "ada"] {
        assert!(matches!(try_with(name, "wrong").await, Err(LoginError::NoActiveAccount)));
    }
    match try_with("ada", "right").await {
        Err(LoginError::Throttled { retry_after }) => {
            assert_eq!(retry_after, Duration::from_secs(10));
            clock.advance(retry_after);
        }
        other => panic!("{other:?}"),
    }
    assert!(try_with("ada", "right").await.is_ok());
}

#[tokio::test]
async fn a_known_client_logs_in_during_an_attack_and_busy_is_not_a_failure() {
    let (issuer, _) = issuer();
    let from = async |host: u8, password: &str| {
        let peer = Some(IpAddr::from([192, 0, 2, host]));
        issuer.log_in(&Credentials::new("ada", password), &peer.into()).await.map(drop)
    };
    from(1, "right").await.unwrap();
    for host in 2..100 {
        assert!(matches!(from(1, "busy").await, Err(LoginError::Busy)));
        assert!(from(host, "wrong").await.is_err());
    }
    assert!(matches!(from(200, "right").await, Err(LoginError::Throttled { .. })));
    assert!(from(1, "right").await.is_ok());
}
