//! Tests with a store that takes a step and then does not answer, or that is not available.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{DAY, Everybody, ISSUER, NOW, log_in, refusal};
use crate::{
    ClientInfo, Credentials, LoginError, PrivateTokenError, RefreshError, RevokeAllError,
    TokenIssuer,
    audit::AuditEvent,
    store::{
        Called, Caller, Insertion, ListQuery, MemoryTokenStore, NewPrivateToken, NewSession, Owner,
        PrivateRotation, PrivateToken, PrivateTokenPage, RefreshRotation, RefreshUse,
        RotatedPrivateToken, SessionPage, SessionQuery, Step, TokenStore, TokenUse,
    },
};
use tower_bearer::{
    Algorithm, BoxFuture, RejectionKind, UnixTime,
    claims::ManualClock,
    jws::SigningKey,
    revocation::{
        Lookup, Revocable, RevocationEntry, RevocationStore, StoreError, Verdict,
        outbox::{Acknowledged, Outbox, OutboxEntry},
    },
};

/// While `is_mute`, it takes every step but its answers are lost. While `is_gone`, it takes no step. It answers
/// lookups.
struct Mute {
    store: MemoryTokenStore,
    is_mute: Arc<AtomicBool>,
    is_gone: Arc<AtomicBool>,
    /// While this is set, the use of a token is not written, and the step never ends.
    is_stuck: Arc<AtomicBool>,
    /// While this is set, noting a device fails.
    is_forgetful: Arc<AtomicBool>,
    /// How often the issuer tried to note a device.
    noted: Arc<AtomicUsize>,
}

impl Mute {
    fn on(store: MemoryTokenStore) -> Self {
        let [is_mute, is_gone, is_stuck, is_forgetful] = [(); 4].map(|()| Arc::default());
        Self { store, is_mute, is_gone, is_stuck, is_forgetful, noted: Arc::default() }
    }

    fn lost<'a, T: Send + 'a>(&self, step: impl FnOnce() -> Step<'a, T>) -> Step<'a, T> {
        let is_mute = Arc::clone(&self.is_mute);
        if self.is_gone.load(Ordering::Relaxed) {
            let error = StoreError::timed_out().with_nothing_written();
            return Box::pin(std::future::ready(Err(error)));
        }
        let step = step();
        Box::pin(async move {
            // If the request is cancelled, it is cancelled here.
            tokio::task::yield_now().await;
            let answer = step.await;
            if is_mute.load(Ordering::Relaxed) { Err(StoreError::timed_out()) } else { answer }
        })
    }
}

macro_rules! mute {
    ($($step:ident($($name:ident: $type:ty),*) -> $answer:ty;)+) => {
        impl TokenStore for Mute {
            $(fn $step<'a>(&'a self, $($name: $type),*) -> Step<'a, $answer> {
                self.lost(|| self.store.$step($($name),*))
            })+

            fn sweep(&self, now: UnixTime, limit: usize) -> Step<'_, usize> {
                self.lost(|| self.store.sweep(now, limit))
            }

            fn touch<'a>(&'a self, uses: &'a [TokenUse]) -> Step<'a, ()> {
                if self.is_stuck.load(Ordering::Relaxed) {
                    return Box::pin(std::future::pending());
                }
                self.lost(|| self.store.touch(uses))
            }

            fn note_device<'a>(
                &'a self,
                device: &'a [u8; 32],
                account: &'a [u8; 32],
                keep_until: UnixTime,
            ) -> Step<'a, ()> {
                self.noted.fetch_add(1, Ordering::Relaxed);
                if self.is_forgetful.load(Ordering::Relaxed) {
                    return Box::pin(std::future::ready(Err(StoreError::timed_out())));
                }
                self.lost(|| self.store.note_device(device, account, keep_until))
            }
        }
    };
}

mute! {
    open_session(new: &'a NewSession) -> Insertion<()>;
    use_refresh(rotation: &'a RefreshRotation) -> RefreshUse;
    create_private(caller: &'a Caller, token: &'a NewPrivateToken) -> Called<Insertion<PrivateToken>>;
    list_private(caller: &'a Caller, query: &'a ListQuery, now: UnixTime) -> Called<Option<PrivateTokenPage>>;
    find_private(caller: &'a Caller, id: i64, now: UnixTime) -> Called<Option<PrivateToken>>;
    list_private_of(caller: &'a Caller, subject: &'a str, query: &'a ListQuery, now: UnixTime)
        -> Called<Option<PrivateTokenPage>>;
    rotate_private(caller: &'a Caller, rotation: &'a RotatedPrivateToken) -> Called<PrivateRotation>;
    revoke_private(caller: &'a Caller, id: i64, now: UnixTime) -> Called<Option<RevocationEntry>>;
    revoke_private_of_any(caller: &'a Caller, id: i64, now: UnixTime) -> Called<Option<(Arc<str>, RevocationEntry)>>;
    list_sessions(caller: &'a Caller, query: &'a SessionQuery, now: UnixTime) -> Called<Option<SessionPage>>;
    revoke_session(caller: &'a Caller, id: i64, now: UnixTime, by: UnixTime) -> Called<Option<RevocationEntry>>;
    delete_personal_data(owner: &'a Owner, now: UnixTime, by: UnixTime, event: Option<&'a AuditEvent>) -> UnixTime;
    subject_of_session(issuer: &'a str, session_id: &'a str) -> Option<Arc<str>>;
    revoke_owner(owner: &'a Owner, now: UnixTime, tokens_expire_by: UnixTime) -> UnixTime;
    deny(denials: &'a [RevocationEntry]) -> ();
    shared_key(name: &'a str, candidate: &'a [u8; 32]) -> [u8; 32];
    knows_device(device: &'a [u8; 32], now: UnixTime) -> bool;
}

impl Outbox for Mute {
    fn outbox(&self, limit: usize) -> Step<'_, Vec<OutboxEntry>> {
        self.lost(|| self.store.outbox(limit))
    }

    fn outbox_done<'a>(&'a self, ids: &'a [i64], acknowledged: &'a Acknowledged) -> Step<'a, bool> {
        self.lost(|| self.store.outbox_done(ids, acknowledged))
    }

    fn acknowledged<'a>(&'a self, fleet: &'a str) -> Step<'a, Option<Acknowledged>> {
        self.lost(|| self.store.acknowledged(fleet))
    }

    fn begin_generation<'a>(&'a self, new: &'a Acknowledged) -> Step<'a, ()> {
        self.lost(|| self.store.begin_generation(new))
    }

    fn change_server<'a>(&'a self, kept: &'a Acknowledged, server: &'a str) -> Step<'a, bool> {
        self.lost(|| self.store.change_server(kept, server))
    }

    fn denials<'a>(
        &'a self,
        after: Option<&'a Revocable>,
        limit: usize,
    ) -> Step<'a, Vec<RevocationEntry>> {
        self.lost(|| self.store.denials(after, limit))
    }
}

impl RevocationStore for Mute {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        self.store.look_up(lookup)
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        self.lost(|| self.store.revoke(entry))
    }
}

async fn let_others_run() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

fn issuer() -> (TokenIssuer, Arc<AtomicBool>) {
    let [is_mute, is_gone] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    (issuer_on(Arc::clone(&is_mute), is_gone), is_mute)
}

fn issuer_on(is_mute: Arc<AtomicBool>, is_gone: Arc<AtomicBool>) -> TokenIssuer {
    let clock = ManualClock::at(NOW);
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let store = Mute { is_mute, is_gone, ..Mute::on(store) };
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let builder = TokenIssuer::builder(ISSUER, "api", key, store, Everybody).with_clock(clock);
    builder.build().unwrap()
}

#[tokio::test]
async fn a_revocation_whose_answer_was_lost_is_seen_by_the_next_request() {
    let (issuer, is_mute) = issuer();
    let (tokens, access) = log_in(&issuer, "ada").await;
    let made = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    assert_eq!(refusal(&issuer, &made.data).await, None);
    is_mute.store(true, Ordering::Relaxed);
    let lost = issuer.revoke_private_token(&access, made.token.id).await;
    assert!(matches!(lost, Err(PrivateTokenError::Unavailable(_))));
    assert_eq!(refusal(&issuer, &made.data).await, Some(RejectionKind::Revoked));

    issuer.refresh(&tokens.refresh_token).await.unwrap_err();
    let reused = issuer.refresh(&tokens.refresh_token).await;
    assert!(matches!(reused, Err(RefreshError::Unavailable(_))));
    assert_eq!(refusal(&issuer, &tokens.access_token).await, Some(RejectionKind::Revoked));
}

#[tokio::test]
async fn revoke_all_holds_here_although_the_store_is_gone() {
    let is_gone = Arc::new(AtomicBool::new(false));
    let issuer = issuer_on(Arc::default(), Arc::clone(&is_gone));
    let (_, access) = log_in(&issuer, "ada").await;
    issuer.revoke_all(&access).await.unwrap();
    // These tokens are dated a second later, after the cut-off.
    let (tokens, access) = log_in(&issuer, "ada").await;
    is_gone.store(true, Ordering::Relaxed);
    let lost = issuer.revoke_all(&access).await;
    assert!(matches!(lost, Err(RevokeAllError::Unavailable(_))));
    assert_eq!(refusal(&issuer, &tokens.access_token).await, Some(RejectionKind::Revoked));
}

#[tokio::test]
async fn only_a_step_that_may_have_revoked_makes_cached_answers_doubtful() {
    let [is_mute, is_gone] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let issuer = issuer_on(Arc::clone(&is_mute), Arc::clone(&is_gone));
    let (bob, _) = log_in(&issuer, "bob").await;
    let (ada, access) = log_in(&issuer, "ada").await;
    let made = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    let look_ups = async || {
        assert_eq!(refusal(&issuer, &bob.access_token).await, None);
        issuer.revocation().stats().look_ups
    };
    let before = look_ups().await;

    is_gone.store(true, Ordering::Relaxed);
    issuer.refresh(&ada.refresh_token).await.unwrap_err();
    issuer.log_out(&access, &ada.refresh_token).await.unwrap_err();
    issuer.revoke_private_token(&access, made.token.id).await.unwrap_err();
    issuer.revoke_subject("eve").await.unwrap_err();
    assert_eq!(look_ups().await, before, "nothing was written");

    is_gone.store(false, Ordering::Relaxed);
    is_mute.store(true, Ordering::Relaxed);
    issuer.log_out(&access, &ada.refresh_token).await.unwrap_err();
    assert_eq!(look_ups().await, before, "this process refuses all that a log-out ends");
    issuer.refresh(&ada.refresh_token).await.unwrap_err();
    assert_eq!(look_ups().await, before + 1);
    issuer.revoke_private_token(&access, made.token.id).await.unwrap_err();
    assert_eq!(look_ups().await, before + 2);
}

#[tokio::test]
async fn a_right_password_is_counted_although_the_store_is_gone() {
    let issuer = issuer_on(Arc::default(), Arc::new(AtomicBool::new(true)));
    let ada = Credentials::new("ada", "right");
    for _ in 0..30 {
        let failed = issuer.log_in(&ada, &ClientInfo::new()).await;
        assert!(matches!(failed, Err(LoginError::Unavailable(_))));
    }
    let next = issuer.log_in(&ada, &ClientInfo::new()).await;
    assert!(matches!(next, Err(LoginError::Throttled { .. })), "{next:?}");
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_a_revocation() {
    let (issuer, _) = issuer();
    let (_, access) = log_in(&issuer, "ada").await;
    let made = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    assert_eq!(refusal(&issuer, &made.data).await, None);
    let request = issuer.revoke_private_token(&access, made.token.id);
    assert!(futures_util::FutureExt::now_or_never(request).is_none(), "it was under way");
    let_others_run().await;
    assert_eq!(refusal(&issuer, &made.data).await, Some(RejectionKind::Revoked));
}

#[tokio::test]
async fn a_failure_to_note_a_device_does_not_fail_the_log_in() {
    let clock = ManualClock::at(NOW);
    let store = Mute::on(MemoryTokenStore::new().with_clock(clock.clone()));
    let (is_forgetful, noted) = (Arc::clone(&store.is_forgetful), Arc::clone(&store.noted));
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let builder = TokenIssuer::builder(ISSUER, "api", key, store, Everybody);
    let issuer = builder.with_clock(clock.clone()).build().unwrap();
    let noted_by_a_log_in = async || {
        noted.store(0, Ordering::Relaxed);
        let home = Some([198, 51, 100, 7].into());
        issuer.log_in(&Credentials::new("ada", "right"), &home.into()).await.unwrap();
        noted.load(Ordering::Relaxed)
    };
    is_forgetful.store(true, Ordering::Relaxed);
    assert_eq!(noted_by_a_log_in().await, 1);
    is_forgetful.store(false, Ordering::Relaxed);
    assert_eq!(noted_by_a_log_in().await, 1, "tried again");
    assert_eq!(noted_by_a_log_in().await, 0, "once a day");
    clock.advance(DAY);
    assert_eq!(noted_by_a_log_in().await, 1);
}

#[tokio::test]
async fn a_use_that_could_not_be_written_is_written_later() {
    let (issuer, is_mute) = issuer();
    let (_, access) = log_in(&issuer, "ada").await;
    let made = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    assert_eq!(refusal(&issuer, &made.data).await, None);
    is_mute.store(true, Ordering::Relaxed);
    issuer.maintain().await.unwrap_err();
    is_mute.store(false, Ordering::Relaxed);
    issuer.maintain().await.unwrap();
    let page = issuer.list_private_tokens(&access, &ListQuery::new()).await.unwrap();
    assert_eq!(page.tokens.first().and_then(|token| token.last_used_at), Some(NOW));
}

#[tokio::test(start_paused = true)]
async fn a_use_is_not_lost_if_the_maintenance_is_shut_down_meanwhile() {
    let clock = ManualClock::at(NOW);
    let store = Mute::on(MemoryTokenStore::new().with_clock(clock.clone()));
    let is_stuck = Arc::clone(&store.is_stuck);
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let builder = TokenIssuer::builder(ISSUER, "api", key, store, Everybody);
    let issuer = builder.with_clock(clock).build().unwrap();
    let (_, access) = log_in(&issuer, "ada").await;
    let made = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    assert_eq!(refusal(&issuer, &made.data).await, None);

    is_stuck.store(true, Ordering::Relaxed);
    let maintenance = issuer.spawn_maintenance();
    let_others_run().await;
    assert!(issuer.last_used().take().next_batch(1).is_none(), "the task has taken the use");
    maintenance.shutdown().await;
    assert!(!issuer.spawn_maintenance().health().is_running, "it does not start again");

    is_stuck.store(false, Ordering::Relaxed);
    issuer.maintain().await.unwrap();
    let page = issuer.list_private_tokens(&access, &ListQuery::new()).await.unwrap();
    assert_eq!(page.tokens.first().and_then(|token| token.last_used_at), Some(NOW));
}

#[tokio::test(start_paused = true)]
async fn the_maintenance_reports_failures_and_ends_with_the_issuer() {
    let is_gone = Arc::new(AtomicBool::new(true));
    let issuer = issuer_on(Arc::default(), Arc::clone(&is_gone));
    let maintenance = issuer.spawn_maintenance();
    let_others_run().await;
    assert_eq!(maintenance.health().last_error, Some("timed_out"));
    is_gone.store(false, Ordering::Relaxed);
    let again = issuer.clone().spawn_maintenance();
    tokio::time::advance(Duration::from_secs(60)).await;
    let_others_run().await;
    assert!(again.health().is_ok(), "{again:?}");
    assert_eq!(again.health(), maintenance.health());
    drop(issuer);
    let_others_run().await;
    assert!(!maintenance.health().is_running);
}
