use std::time::Duration;

use serde_json::{Value, json};

use super::{
    DAY, ISSUER, NOW, log_in, secs,
    staff::{Staff, State, scopes},
};
use crate::{
    ClientInfo, Credentials, ListQuery, LoginError, PrivateTokenError, TokenIssuer,
    claims::sha256,
    store::{MemoryTokenStore, NewRefreshToken, NewSession, Owner, RefreshRotation, TokenStore},
};
use tower_bearer::{Algorithm, Authenticated, claims::ManualClock, jws::SigningKey};

const ALL: &str = "introspect orders:read orders:write private_tokens tokens:admin";

async fn claims(issuer: &TokenIssuer, token: &str) -> Value {
    let token = issuer.authenticator().authenticate(token).await.unwrap();
    serde_json::from_str(token.registered().as_json()).unwrap()
}

fn text_of_scopes(access: &Authenticated) -> String {
    access.scopes().iter().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn an_access_token_has_the_claims_of_rfc_9068_and_its_owners_scopes() {
    let clock = ManualClock::at(NOW);
    let staff = Staff::with_scopes("orders:write orders:read");
    let issuer = staff.issuer(&clock).build().unwrap();
    let (tokens, _) = log_in(&issuer, "ada").await;
    let found = claims(&issuer, &tokens.access_token).await;
    for (name, expected) in [
        ("iss", json!(ISSUER)),
        ("sub", json!("ada")),
        ("aud", json!("api")),
        ("iat", json!(NOW.as_secs())),
        ("exp", json!(NOW.as_secs() + 3600)),
        ("scope", json!("orders:read orders:write")),
        ("client_id", json!(ISSUER)),
        ("auth_time", json!(NOW.as_secs())),
        ("amr", json!(["pwd"])),
    ] {
        assert_eq!(found[name], expected, "{name}");
    }
    // No other claim is new.
    assert_eq!(found.as_object().unwrap().len(), 12);

    staff.set_scopes("");
    let (tokens, _) = log_in(&issuer, "ada").await;
    assert!(claims(&issuer, &tokens.access_token).await.get("scope").is_none());
}

#[tokio::test]
async fn the_operator_names_the_client_of_access_and_private_tokens() {
    let clock = ManualClock::at(NOW);
    let staff = Staff::with_scopes("a");
    let issuer = staff.issuer(&clock).with_client_id("web shop").build().unwrap();
    let (tokens, access) = log_in(&issuer, "ada").await;
    let private = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    for token in [&tokens.access_token, &private.data] {
        assert_eq!(claims(&issuer, token).await["client_id"], "web shop");
    }
    let private = claims(&issuer, &private.data).await;
    assert!(private.get("auth_time").is_none() && private.get("amr").is_none());
}

#[tokio::test]
async fn auth_time_stays_that_of_the_log_in() {
    let clock = ManualClock::at(NOW);
    let issuer = Staff::with_scopes("").issuer(&clock).build().unwrap();
    let (mut tokens, _) = log_in(&issuer, "ada").await;
    for _ in 0..3 {
        clock.advance(secs(3600));
        tokens = issuer.refresh(&tokens.refresh_token).await.unwrap();
        assert_eq!(claims(&issuer, &tokens.access_token).await["auth_time"], NOW.as_secs());
    }
}

#[tokio::test]
async fn a_refresh_takes_the_scopes_that_the_account_has_now() {
    let clock = ManualClock::at(NOW);
    let staff = Staff::with_scopes("a b");
    let issuer = staff.issuer(&clock).build().unwrap();
    let (mut tokens, _) = log_in(&issuer, "ada").await;
    for text in ["b", "", "a b c"] {
        staff.set_scopes(text);
        tokens = issuer.refresh(&tokens.refresh_token).await.unwrap();
        let access = issuer.authenticator().authenticate(&tokens.access_token).await.unwrap();
        assert_eq!(text_of_scopes(&access), text);
    }
}

#[tokio::test]
async fn a_log_in_whose_account_is_closed_before_its_end_fails() {
    let clock = ManualClock::at(NOW);
    for state in [State::Closed, State::AnotherSubject] {
        let staff = Staff::with_scopes("");
        let issuer = staff.issuer(&clock).build().unwrap();
        staff.set(state);
        let credentials = Credentials::new("ada", "right");
        let refused = issuer.log_in(&credentials, &ClientInfo::new()).await;
        assert!(matches!(refused, Err(LoginError::NoActiveAccount)));
    }
}

#[tokio::test]
async fn a_repeat_within_the_grace_gets_an_access_token_with_the_same_id() {
    let clock = ManualClock::at(NOW);
    let issuer = Staff::with_scopes("a").issuer(&clock);
    let issuer = issuer.with_refresh_reuse_grace(secs(30)).build().unwrap();
    let (first, _) = log_in(&issuer, "ada").await;
    let one = issuer.refresh(&first.refresh_token).await.unwrap();
    clock.advance(secs(30));
    let other = issuer.refresh(&first.refresh_token).await.unwrap();
    let [one, other] = [&one, &other].map(|tokens| tokens.access_token.clone());
    assert_eq!(claims(&issuer, &one).await, claims(&issuer, &other).await);
    assert_ne!(
        claims(&issuer, &one).await["jti"],
        claims(&issuer, &first.access_token).await["jti"]
    );
}

/// The claims of a refresh token, with the members and the order of the version before scopes.
fn old_claims(jti: &str) -> String {
    let (iat, exp) = (NOW.as_secs(), NOW.as_secs() + 86400);
    let names = format!(r#""iss":"{ISSUER}","sub":"ada","aud":"api","jti":"{jti}","sid":"s""#);
    format!(r#"{{{names},"iat":{iat},"exp":{exp},"token_type":"refresh"}}"#)
}

fn old_record(jti: &str) -> NewRefreshToken {
    let hash = sha256(old_claims(jti).as_bytes());
    NewRefreshToken::new(Owner::new(ISSUER, "ada"), jti, "s", NOW, NOW + DAY, hash)
}

#[tokio::test]
async fn a_refresh_token_of_an_earlier_version_refreshes() {
    let clock = ManualClock::at(NOW);
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let issuer = Staff::with_scopes("a").issuer_on(store.clone(), key.clone(), &clock);
    let issuer = issuer.with_refresh_reuse_grace(secs(30)).build().unwrap();
    store.open_session(&NewSession::new(old_record("1"))).await.unwrap();
    let hash = sha256(old_claims("1").as_bytes());
    let rotation = RefreshRotation::new("1", hash, old_record("2"), NOW, NOW + DAY);
    store.use_refresh(&rotation).await.unwrap();
    let sign = |jti: &str| key.sign("refresh+jwt", &old_claims(jti)).unwrap();

    // A repeat of the first token gets the second, and an access token of which the store does not know.
    let repeated = issuer.refresh(&sign("1")).await.unwrap();
    let payload = |token: &str| token.split('.').nth(1).map(str::to_owned);
    assert_eq!(payload(&repeated.refresh_token), payload(&sign("2")));
    // The second token refreshes, and so does its successor.
    clock.advance(secs(60));
    let next = issuer.refresh(&repeated.refresh_token).await.unwrap();
    let last = issuer.refresh(&next.refresh_token).await.unwrap();
    for tokens in [&repeated, &next, &last] {
        let claims = claims(&issuer, &tokens.access_token).await;
        assert!(claims.get("auth_time").is_none(), "nobody knows when the log-in was");
        assert_eq!((&claims["scope"], &claims["amr"]), (&json!("a"), &json!(["pwd"])));
    }
}

#[tokio::test]
async fn a_private_token_has_the_scopes_that_were_asked_for() {
    let clock = ManualClock::at(NOW);
    let staff = Staff::with_scopes(ALL);
    let issuer = staff.issuer(&clock).allow_private_token_management().build().unwrap();
    let (_, access) = log_in(&issuer, "ada").await;
    let plain = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap();
    assert_eq!(plain.token.scopes, scopes("orders:read orders:write"), "and no reserved one");
    for asked in ["", "orders:read", ALL] {
        let asked = scopes(asked);
        let created = issuer
            .create_private_token_with_scopes(&access, "ci", NOW + DAY, &asked)
            .await
            .unwrap();
        assert_eq!(created.token.scopes, asked);
        let token = issuer.authenticator().authenticate(&created.data).await.unwrap();
        assert_eq!(text_of_scopes(&token), asked.to_string());
        assert_eq!(claims(&issuer, &created.data).await.get("scope").is_none(), asked.is_empty());
    }
}

#[tokio::test]
async fn a_scope_that_the_owner_lacks_now_is_refused() {
    let clock = ManualClock::at(NOW);
    let staff = Staff::with_scopes("a b");
    let issuer = staff.issuer(&clock).build().unwrap();
    let (_, access) = log_in(&issuer, "ada").await;
    let create = async |asked: &str| {
        let asked = scopes(asked);
        issuer.create_private_token_with_scopes(&access, "ci", NOW + DAY, &asked).await
    };
    staff.set_scopes("b c");
    for refused in ["a", "a b", "d", "B", "b: c"] {
        let answer = create(refused).await;
        assert!(matches!(answer, Err(PrivateTokenError::ScopeNotAvailable)), "{refused}");
    }
    assert_eq!(create("b c").await.unwrap().token.scopes, scopes("b c"));
    staff.set(State::Away);
    assert!(matches!(create("").await, Err(PrivateTokenError::Unavailable(_))));
    for state in [State::Closed, State::AnotherSubject] {
        staff.set(state);
        assert!(matches!(create("").await, Err(PrivateTokenError::NotAccess)));
    }
    staff.set_scopes("");
    let page = issuer.list_private_tokens(&access, &ListQuery::new()).await.unwrap();
    assert_eq!(page.count, 1);
}

#[tokio::test]
async fn a_rotation_keeps_the_scopes_that_the_owner_still_has() {
    let clock = ManualClock::at(NOW);
    let staff = Staff::with_scopes("a b introspect");
    let issuer = staff.issuer(&clock).build().unwrap();
    let (_, access) = log_in(&issuer, "ada").await;
    let asked = scopes("a b introspect");
    let made = issuer.create_private_token_with_scopes(&access, "ci", NOW + DAY, &asked).await;
    let mut id = made.unwrap().token.id;
    for (now, expected) in
        [("a b introspect new", "a b introspect"), ("b introspect c", "b introspect"), ("a b", "b")]
    {
        staff.set_scopes(now);
        let next = issuer.rotate_private_token(&access, id, NOW + DAY, Duration::ZERO).await;
        let next = next.unwrap();
        assert_eq!(next.token.scopes, scopes(expected));
        let token = issuer.authenticator().authenticate(&next.data).await.unwrap();
        assert_eq!(text_of_scopes(&token), expected);
        id = next.token.id;
    }
    staff.set(State::Closed);
    let refused = issuer.rotate_private_token(&access, id, NOW + DAY, Duration::ZERO).await;
    assert!(matches!(refused, Err(PrivateTokenError::NotAccess)));
}
