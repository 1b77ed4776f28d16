use std::time::Duration;

use http::{Request, Response, StatusCode};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::{DAY, NOW, builder, issuer, log_in, refusal, secs};
use crate::{ListQuery, LogOutError, PrivateTokenError, RevokeAllError};
use tower_bearer::{
    Algorithm, Authenticator, BearerLayer, Issuer, KeySet, RejectionKind, claims::ManualClock,
    jws::SigningKey, revocation::RevokeError,
};

async fn status(layer: BearerLayer, token: &str) -> StatusCode {
    let service = layer.layer(service_fn(async |_: Request<String>| {
        Ok::<_, std::convert::Infallible>(Response::new(String::new()))
    }));
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    service.oneshot(request.body(String::new()).unwrap()).await.unwrap().status()
}

#[tokio::test]
async fn each_layer_takes_its_kinds_and_none_takes_a_refresh_token() {
    let (issuer, _) = issuer();
    let (tokens, access) = log_in(&issuer, "ada").await;
    let private = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap().data;
    for (token, both, access_only) in [
        (&tokens.access_token, StatusCode::OK, StatusCode::OK),
        (&private, StatusCode::OK, StatusCode::UNAUTHORIZED),
        (&tokens.refresh_token, StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(status(issuer.layer(), token).await, both);
        assert_eq!(status(issuer.access_layer(), token).await, access_only);
    }
}

#[tokio::test]
async fn a_token_without_a_known_kind_is_refused() {
    let (issuer, _) = issuer();
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    issuer.rotate_key(key.clone());
    let token = |kind: &str| {
        let claims = format!(
            r#"{{"iss":"{}","sub":"x","aud":"api","jti":"j","sid":"s","iat":{},"exp":{}{kind}}}"#,
            super::ISSUER,
            NOW.as_secs(),
            (NOW + secs(60)).as_secs()
        );
        key.sign("at+jwt", &claims).unwrap()
    };
    assert_eq!(refusal(&issuer, &token(r#","token_type":"access""#)).await, None);
    for kind in ["", r#","token_type":"other""#, r#","token_type":["access"]"#] {
        assert!(refusal(&issuer, &token(kind)).await.is_some(), "{kind}");
    }
    let refresh = refusal(&issuer, &token(r#","token_type":"refresh""#)).await;
    assert_eq!(refresh, Some(RejectionKind::WrongTokenUse));
}

#[tokio::test]
async fn another_service_verifies_by_the_public_keys_alone() {
    let (issuer, clock) = issuer();
    let (tokens, _) = log_in(&issuer, "ada").await;
    let keys = KeySet::from_jwks_json(&issuer.jwks_json()).unwrap();
    let policy = Issuer::new(super::ISSUER, keys).audience("api").require_typ("at+jwt");
    let authenticator = Authenticator::builder().issuer(policy).with_clock(clock).build().unwrap();
    let elsewhere = authenticator;
    assert!(elsewhere.authenticate(&tokens.access_token).await.is_ok());
    assert!(elsewhere.authenticate(&tokens.refresh_token).await.is_err());
}

/// These calls must reject a token that a verifier with other keys has accepted.
#[tokio::test]
async fn calls_reject_a_token_of_another_verifier_with_the_same_name() {
    let (issuer, clock) = issuer();
    let (tokens, access) = log_in(&issuer, "ada").await;
    let foreign_key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let claims = access.registered().as_json();
    let forged = foreign_key.sign("at+jwt", claims).unwrap();
    let policy = |keys: KeySet| Issuer::new(super::ISSUER, keys).audience("api");
    let authenticate = async |policy: Issuer, token: &str| {
        let authenticator = Authenticator::builder().issuer(policy);
        let authenticator = authenticator.with_clock(clock.clone()).build().unwrap();
        authenticator.authenticate(token).await.unwrap()
    };
    let forged = authenticate(policy(foreign_key.verifying_key().into()), &forged).await;
    let own_keys = KeySet::from_jwks_json(&issuer.jwks_json()).unwrap();
    let lax = authenticate(policy(own_keys), &tokens.access_token).await;
    for foreign in [forged, lax] {
        let created = issuer.create_private_token(&foreign, "ci", NOW + DAY).await;
        assert!(matches!(created, Err(PrivateTokenError::NotAccess)));
        let listed = issuer.list_private_tokens(&foreign, &ListQuery::new()).await;
        assert!(matches!(listed, Err(PrivateTokenError::NotAccess)));
        let rotated = issuer.rotate_private_token(&foreign, 1, NOW + DAY, Duration::ZERO).await;
        assert!(matches!(rotated, Err(PrivateTokenError::NotAccess)));
        let revoked = issuer.revoke_private_token(&foreign, 1).await;
        assert!(matches!(revoked, Err(PrivateTokenError::NotAccess)));
        let logged_out = issuer.log_out(&foreign, &tokens.refresh_token).await;
        assert!(matches!(logged_out, Err(LogOutError::NotAccess)));
        let revoked = issuer.revoke_all(&foreign).await;
        assert!(matches!(revoked, Err(RevokeAllError::NotAccess)));
    }

    let own = authenticate(issuer.policy(), &tokens.access_token).await;
    assert!(issuer.create_private_token(&own, "ci", NOW + DAY).await.is_ok());
}

#[tokio::test]
async fn a_revoked_signing_key_ends_what_it_signed_and_nothing_else() {
    let (issuer, _) = issuer();
    let (tokens, access) = log_in(&issuer, "ada").await;
    let private = issuer.create_private_token(&access, "ci", NOW + DAY).await.unwrap().data;
    let old = access.key_thumbprint().to_owned();
    assert_eq!(access.key_id(), Some(&*old));
    let next = SigningKey::generate(Algorithm::EdDSA).unwrap().with_key_id("next");
    let next_thumbprint = next.verifying_key().thumbprint().to_owned();
    issuer.rotate_key(next);
    let (new, _) = log_in(&issuer, "ada").await;
    match issuer.revoke_key("another").await {
        Err(RevokeError::UnknownKey { known }) => {
            let known: Vec<&str> = known.iter().map(|known| &**known).collect();
            assert_eq!(known, ["next", &*next_thumbprint, &*old]);
        }
        other => panic!("{other:?}"),
    }
    issuer.revoke_key(&old).await.unwrap();
    assert_eq!(refusal(&issuer, &tokens.access_token).await, Some(RejectionKind::Revoked));
    assert_eq!(refusal(&issuer, &private).await, Some(RejectionKind::Revoked));
    assert_eq!(refusal(&issuer, &new.access_token).await, None);
    let created = issuer.create_private_token(&access, "x", NOW + DAY).await;
    assert!(matches!(created, Err(PrivateTokenError::NotAccess)));
}

#[tokio::test]
async fn an_old_key_is_forgotten_after_its_last_token_has_expired() {
    let (issuer, clock) = issuer();
    let (_, access) = log_in(&issuer, "ada").await;
    let year = NOW + 366 * DAY;
    let old = issuer.create_private_token(&access, "ci", year).await.unwrap().data;
    let next = SigningKey::generate(Algorithm::EdDSA).unwrap();
    issuer.keys().announce(next.clone());
    assert!(issuer.jwks_json().contains(next.key_id()), "published before it signs");
    assert!(issuer.jwks_json().contains(r#""EC""#));
    issuer.rotate_key(next);
    let (new, _) = log_in(&issuer, "ada").await;
    assert_eq!(refusal(&issuer, &new.access_token).await, None);
    clock.advance(366 * DAY - secs(1));
    issuer.maintain().await.unwrap();
    assert_eq!(refusal(&issuer, &old).await, None);
    clock.advance(2 * DAY);
    issuer.maintain().await.unwrap();
    assert_eq!(issuer.keys().handle().snapshot().len(), 1);
    assert!(!issuer.jwks_json().contains(r#""EC""#), "the old key was of that type");
}

#[tokio::test]
async fn an_old_key_verifies_refresh_tokens_that_outlive_private_ones() {
    let clock = ManualClock::at(NOW);
    let month = 30 * DAY;
    let issuer = builder(&clock)
        .with_max_private_lifetime(Duration::from_secs(3600))
        .with_refresh_lifetime(month)
        .build()
        .unwrap();
    let (tokens, _) = log_in(&issuer, "ada").await;
    issuer.rotate_key(SigningKey::generate(Algorithm::ES256).unwrap());
    clock.advance(month - secs(1));
    issuer.maintain().await.unwrap();
    assert!(issuer.refresh(&tokens.refresh_token).await.is_ok());
}

#[tokio::test]
async fn nothing_is_shown_of_what_is_secret() {
    let (issuer, _) = issuer();
    let (tokens, access) = log_in(&issuer, "ada").await;
    let made = issuer.create_private_token(&access, "the name", NOW + DAY).await.unwrap();
    let credentials = crate::Credentials::new("ada", "hunter2");
    let shown = format!("{issuer:?} {tokens:?} {made:?} {credentials:?}");
    for secret in [&tokens.access_token, &tokens.refresh_token, &made.data] {
        assert!(!shown.contains(secret.as_str()));
    }
    for secret in ["hunter2", "the name", "ada"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
