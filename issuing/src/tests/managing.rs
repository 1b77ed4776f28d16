//! Attacks with a private token that may manage private tokens.

use std::time::Duration;

use super::{
    DAY, NOW, log_in, refusal, secs,
    staff::{Staff, State, scopes},
};
use crate::{
    CreatedPrivateToken, ListQuery, LogOutError, PrivateTokenError, RevokeAllError, TokenIssuer,
    TokenPair, store::MemoryTokenStore,
};
use tower_bearer::{
    Algorithm, Authenticated, RejectionKind, UnixTime,
    claims::ManualClock,
    jws::SigningKey,
    revocation::{Revocable, RevocationEntry, RevocationStore},
};

const OWNER: &str = "a b private_tokens";

/// Ada's issuer, her log-in, and a private token that may manage and has the scope `a`.
struct Bench {
    staff: Staff,
    issuer: TokenIssuer,
    /// Another process on the same store, in which the operator has not allowed it.
    strict: TokenIssuer,
    store: MemoryTokenStore,
    clock: ManualClock,
    tokens: TokenPair,
    access: Authenticated,
    made: CreatedPrivateToken,
    manager: Authenticated,
}

impl Bench {
    async fn new() -> Self {
        let clock = ManualClock::at(NOW);
        let staff = Staff::with_scopes(OWNER);
        let store = MemoryTokenStore::new().with_clock(clock.clone());
        let key = SigningKey::generate(Algorithm::ES256).unwrap();
        let builder = || staff.issuer_on(store.clone(), key.clone(), &clock);
        let issuer = builder().allow_private_token_management().build().unwrap();
        let strict = builder().build().unwrap();
        let (tokens, access) = log_in(&issuer, "ada").await;
        let asked = scopes("a private_tokens");
        let made = issuer
            .create_private_token_with_scopes(&access, "manager", NOW + 10 * DAY, &asked)
            .await
            .unwrap();
        let manager = issuer.authenticator().authenticate(&made.data).await.unwrap();
        Self { staff, issuer, strict, store, clock, tokens, access, made, manager }
    }

    async fn create(
        &self,
        caller: &Authenticated,
        asked: &str,
        expires_at: UnixTime,
    ) -> Result<CreatedPrivateToken, PrivateTokenError> {
        let asked = scopes(asked);
        self.issuer.create_private_token_with_scopes(caller, "x", expires_at, &asked).await
    }

    async fn rotate(
        &self,
        id: i64,
        expires_at: UnixTime,
    ) -> Result<CreatedPrivateToken, PrivateTokenError> {
        self.issuer.rotate_private_token(&self.manager, id, expires_at, Duration::ZERO).await
    }

    /// The manager can do nothing at all.
    async fn is_powerless(&self) {
        let (issuer, manager) = (&self.issuer, &self.manager);
        let count = async || {
            let page = issuer.list_private_tokens(&self.access, &ListQuery::new()).await;
            page.map(|page| page.count).ok()
        };
        let before = count().await;
        let id = self.made.token.id;
        let created = issuer.create_private_token(manager, "x", NOW + DAY).await.err();
        let listed = issuer.list_private_tokens(manager, &ListQuery::new()).await.err();
        let rotated = self.rotate(id, NOW + DAY).await.err();
        let revoked = issuer.revoke_private_token(manager, id).await.err();
        for error in [created, listed, rotated, revoked] {
            assert!(matches!(error, Some(PrivateTokenError::NotAccess)), "{error:?}");
        }
        assert_eq!(count().await, before);
    }
}

#[tokio::test]
async fn without_permission_of_the_operator_no_private_token_manages() {
    let bench = Bench::new().await;
    let asked = scopes("private_tokens");
    let strict = &bench.strict;
    let access = strict.authenticator().authenticate(&bench.tokens.access_token).await.unwrap();
    let created = strict.create_private_token_with_scopes(&access, "x", NOW + DAY, &asked).await;
    assert!(matches!(created, Err(PrivateTokenError::ScopeNotAvailable)));
    // A token from the time before the operator took the permission back.
    let manager = strict.authenticator().authenticate(&bench.made.data).await.unwrap();
    let created = strict.create_private_token(&manager, "x", NOW + DAY).await;
    assert!(matches!(created, Err(PrivateTokenError::NotAccess)));
    let listed = strict.list_private_tokens(&manager, &ListQuery::new()).await;
    assert!(matches!(listed, Err(PrivateTokenError::NotAccess)));
    // Its rotation loses the scope, so that it does not come back with the permission.
    let id = bench.made.token.id;
    let rotated =
        strict.rotate_private_token(&access, id, NOW + DAY, Duration::ZERO).await.unwrap();
    assert_eq!(rotated.token.scopes, scopes("a"));
}

#[tokio::test]
async fn a_manager_creates_lists_rotates_and_revokes_and_does_nothing_else() {
    let bench = Bench::new().await;
    let (issuer, manager) = (&bench.issuer, &bench.manager);
    let created = bench.create(manager, "a", NOW + DAY).await.unwrap();
    assert_eq!(refusal(issuer, &created.data).await, None);
    let rotated = bench.rotate(created.token.id, NOW + DAY).await.unwrap();
    assert_eq!(refusal(issuer, &created.data).await, Some(RejectionKind::Revoked));
    let page = issuer.list_private_tokens(manager, &ListQuery::new()).await.unwrap();
    assert_eq!(page.count, 2);
    issuer.revoke_private_token(manager, rotated.token.id).await.unwrap();
    assert_eq!(refusal(issuer, &rotated.data).await, Some(RejectionKind::Revoked));

    let refresh = &bench.tokens.refresh_token;
    assert!(matches!(issuer.log_out(manager, refresh).await, Err(LogOutError::NotAccess)));
    assert!(matches!(issuer.revoke_all(manager).await, Err(RevokeAllError::NotAccess)));
    assert_eq!(refusal(issuer, &bench.tokens.access_token).await, None);
    issuer.refresh(refresh).await.unwrap();
}

#[tokio::test]
async fn a_private_token_without_the_scope_manages_nothing() {
    let mut bench = Bench::new().await;
    for asked in ["", "a b"] {
        let plain = bench.create(&bench.access, asked, NOW + DAY).await.unwrap();
        bench.manager = bench.issuer.authenticator().authenticate(&plain.data).await.unwrap();
        bench.is_powerless().await;
    }
}

#[tokio::test]
async fn a_manager_gives_no_scope_that_it_lacks() {
    let bench = Bench::new().await;
    let later = NOW + DAY;
    for asked in ["b", "a b", "b private_tokens", "c", "introspect", "tokens:admin"] {
        let answer = bench.create(&bench.manager, asked, later).await;
        assert!(matches!(answer, Err(PrivateTokenError::ScopeNotAvailable)), "{asked}");
    }
    // Without a request, it gives what it has and nothing reserved, not what its owner has.
    let plain = bench.issuer.create_private_token(&bench.manager, "x", later).await.unwrap();
    assert_eq!(plain.token.scopes, scopes("a"));
    let asked = bench.create(&bench.manager, "a private_tokens", later).await.unwrap();
    assert_eq!(asked.token.scopes, scopes("a private_tokens"));

    // What its child creates cannot have more either.
    let child = bench.issuer.authenticator().authenticate(&asked.data).await.unwrap();
    let answer = bench.create(&child, "b", later).await;
    assert!(matches!(answer, Err(PrivateTokenError::ScopeNotAvailable)));

    // It has a scope that the owner has lost, and its token was not revoked.
    bench.staff.set_scopes("b private_tokens");
    let answer = bench.create(&bench.manager, "a", later).await;
    assert!(matches!(answer, Err(PrivateTokenError::ScopeNotAvailable)));
    let plain = bench.issuer.create_private_token(&bench.manager, "x", later).await.unwrap();
    assert!(plain.token.scopes.is_empty());
}

#[tokio::test]
async fn a_manager_does_not_rotate_a_token_with_more_scopes() {
    let bench = Bench::new().await;
    let strong = bench.create(&bench.access, "a b", NOW + DAY).await.unwrap();
    let answer = bench.rotate(strong.token.id, NOW + DAY).await;
    assert!(matches!(answer, Err(PrivateTokenError::MoreScopesThanCaller)));
    assert_eq!(refusal(&bench.issuer, &strong.data).await, None, "and it does not end");
    // Also not if the owner has lost the scope, so that the new token would not have it.
    bench.staff.set_scopes("a private_tokens");
    let answer = bench.rotate(strong.token.id, NOW + DAY).await;
    assert!(matches!(answer, Err(PrivateTokenError::MoreScopesThanCaller)));
    let weak = bench.create(&bench.access, "a", NOW + DAY).await.unwrap();
    assert_eq!(bench.rotate(weak.token.id, NOW + DAY).await.unwrap().token.scopes, scopes("a"));
}

#[tokio::test]
async fn a_manager_gives_no_expiry_later_than_its_own() {
    let bench = Bench::new().await;
    let own = NOW + 10 * DAY;
    let answer = bench.create(&bench.manager, "a", own + secs(1)).await;
    assert!(matches!(answer, Err(PrivateTokenError::ExpiryAfterCaller)));
    let child = bench.create(&bench.manager, "a private_tokens", own).await.unwrap();
    let answer = bench.rotate(child.token.id, own + secs(1)).await;
    assert!(matches!(answer, Err(PrivateTokenError::ExpiryAfterCaller)));
    assert_eq!(refusal(&bench.issuer, &child.data).await, None);
    // It rotates itself, and gains no time.
    let itself = bench.rotate(bench.made.token.id, own).await.unwrap();
    assert_eq!(itself.token.expires_at, own);
    bench.is_powerless().await;
}

#[tokio::test]
async fn a_manager_without_permission_of_its_owner_manages_nothing() {
    let bench = Bench::new().await;
    bench.staff.set_scopes("a b");
    bench.is_powerless().await;
    bench.staff.set(State::Closed);
    bench.is_powerless().await;
    bench.staff.set(State::AnotherSubject);
    bench.is_powerless().await;
    bench.staff.set(State::Away);
    let created = bench.create(&bench.manager, "a", NOW + DAY).await;
    assert!(matches!(created, Err(PrivateTokenError::Unavailable(_))));
    bench.staff.set_scopes(OWNER);
    bench.create(&bench.manager, "a", NOW + DAY).await.unwrap();
}

#[tokio::test]
async fn a_revoked_manager_manages_nothing_before_the_next_lookup() {
    let registered = |bench: &Bench| {
        let claims = bench.manager.registered();
        [claims.token_id(), claims.session_id()].map(|id| id.unwrap().to_owned())
    };
    let until = NOW + 10 * DAY;
    // The store knows, and no process was told.
    for revoked in 0..4 {
        let bench = Bench::new().await;
        let [token, session] = registered(&bench);
        let thing = match revoked {
            0 => Revocable::token(super::ISSUER, token),
            1 => Revocable::session(super::ISSUER, session),
            2 => Revocable::subject(super::ISSUER, "ada"),
            _ => Revocable::key(super::ISSUER, bench.manager.key_thumbprint()),
        };
        let entry = RevocationEntry::new(thing, until).with_cut_off(NOW);
        bench.store.revoke(&entry).await.unwrap();
        bench.is_powerless().await;
    }
    // Its own rotation is enough, although the overlap has not ended.
    let bench = Bench::new().await;
    let id = bench.made.token.id;
    bench.issuer.rotate_private_token(&bench.access, id, until, DAY).await.unwrap();
    assert_eq!(refusal(&bench.issuer, &bench.made.data).await, None, "it is still valid");
    bench.is_powerless().await;
}

#[tokio::test]
async fn an_expired_manager_manages_nothing() {
    let bench = Bench::new().await;
    bench.clock.advance(10 * DAY);
    bench.is_powerless().await;
}

#[tokio::test]
async fn the_layer_of_private_tokens_accepts_whoever_may_manage_them() {
    let bench = Bench::new().await;
    let plain = bench.create(&bench.access, "a b", NOW + DAY).await.unwrap().data;
    let access = &bench.tokens.access_token;
    let accepts = async |issuer: &TokenIssuer, token: &str| {
        issuer.manager_authenticator().authenticate(token).await.map(drop).map_err(|r| r.kind())
    };
    for (issuer, token, expected) in [
        (&bench.issuer, access, None),
        (&bench.issuer, &bench.made.data, None),
        (&bench.issuer, &plain, Some(RejectionKind::CheckFailed)),
        (&bench.strict, access, None),
        (&bench.strict, &bench.made.data, Some(RejectionKind::CheckFailed)),
        (&bench.strict, &plain, Some(RejectionKind::CheckFailed)),
    ] {
        assert_eq!(accepts(issuer, token).await.err(), expected);
    }
    let caller = bench.issuer.manager_authenticator().authenticate(access).await.unwrap();
    bench.issuer.create_private_token(&caller, "x", NOW + DAY).await.unwrap();
}
