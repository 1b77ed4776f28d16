//! `POST introspect/` (RFC 7662): it says what the layer does, and never why.

use http::{Method, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower_bearer::{Algorithm, jws::SigningKey};
use tower_bearer_issuing::ClientInfo;

use crate::api::{Answer, Api, Call, FORM, NOW, Tokens, slowly};

const INACTIVE: &str = r#"{"active":false}"#;

async fn introspect(api: &Api, caller: &str, token: &str) -> Answer {
    let call = Call::new(Method::POST, "/introspect/").token(Some(caller));
    api.call(call.body(FORM, format!("token={token}"))).await
}

#[tokio::test]
async fn an_active_token_is_described_by_its_own_claims() {
    let api = Api::new();
    let caller = api.introspector();
    let token = api.sign(
        "at+jwt",
        json!({
            "scope": "orders:read b", "client_id": "shop", "auth_time": NOW - 5, "amr": ["pwd"],
            "nbf": NOW, "secret": "not shown", "active": {"not": "shown"},
        }),
    );
    let answer = introspect(&api, &caller, &token).await;
    let expected = json!({
        "active": true, "scope": "orders:read b", "client_id": "shop", "token_type": "Bearer",
        "exp": NOW + 3600, "iat": NOW, "nbf": NOW, "sub": "7", "aud": "api",
        "iss": "https://issuer.example", "jti": "signed", "sid": "signed", "auth_time": NOW - 5,
        "amr": ["pwd"],
    });
    assert_eq!(answer.json(), expected);
    answer.is(200, &[], &answer.body.clone());
    assert!(answer.body.starts_with(r#"{"active":true,"#), "{}", answer.body);
}

#[tokio::test]
async fn access_and_private_tokens_of_a_log_in_are_active() {
    let api = Api::new();
    let caller = api.introspector();
    let ada = api.log_in("ada").await;
    let (_, private) = api.create(&ada.access, "ci").await;
    for (token, exp) in [(&ada.access, NOW + 3600), (&private, NOW + 86_400)] {
        let answer = introspect(&api, &caller, token).await.json();
        assert_eq!((&answer["active"], &answer["exp"]), (&json!(true), &json!(exp)), "{answer}");
        assert_eq!((&answer["sub"], &answer["token_type"]), (&json!("7"), &json!("Bearer")));
    }
}

#[tokio::test]
async fn every_other_token_gets_the_same_bytes() {
    let api = Api::new();
    let caller = api.introspector();
    let ada = api.log_in("ada").await;
    let (id, private) = api.create(&ada.access, "ci").await;
    api.delete(&format!("/private_tokens/{id}/"), &ada.access).await;
    let logged_out = api.log_in("bob").await;
    let body = json!({"refresh_token": logged_out.refresh});
    api.post("/logout/", Some(&logged_out.access), body).await;
    let stranger = SigningKey::generate(Algorithm::ES256).unwrap();
    for token in [
        "x".to_owned(),
        "a.b.c".to_owned(),
        "%00%FF".to_owned(),
        "x".repeat(60_000),
        ada.refresh.clone(),
        private,
        logged_out.access,
        format!("{}x", ada.access),
        stranger.sign("at+jwt", &api.claims("access").to_string()).unwrap(),
        api.sign("at+jwt", json!({"exp": NOW})),
        api.sign("at+jwt", json!({"aud": "another service"})),
        api.sign("at+jwt", json!({"iss": "https://other.example"})),
        api.sign("at+jwt", json!({"cnf": {"jkt": "x"}})),
        api.sign("at+jwt", json!({"token_type": "refresh"})),
        api.sign("JWT", json!({})),
        api.sign("refresh+jwt", json!({"token_type": "refresh"})),
    ] {
        introspect(&api, &caller, &token).await.is(200, &[], INACTIVE);
    }
    assert_eq!(introspect(&api, &caller, &ada.access).await.json()["active"], true);
}

#[tokio::test]
async fn a_caller_needs_the_scope() {
    const CHALLENGE: &str = r#"Bearer realm="api", error="insufficient_scope", scope="introspect""#;
    const DENIED: &str = concat!(
        r#"{"code":"permission_denied","#,
        r#""detail":"You do not have permission to perform this action."}"#
    );
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let (_, private) = api.create(&ada.access, "ci").await;
    let other = api.sign("at+jwt", json!({"scope": "introspection introspect:x tokens:admin"}));
    for caller in [&ada.access, &private, &other] {
        let answer = introspect(&api, caller, &ada.access).await;
        answer.is(403, &[("www-authenticate", CHALLENGE)], DENIED);
    }
    let call = Call::new(Method::POST, "/introspect/").body(FORM, format!("token={}", ada.access));
    api.call(call).await.is_not_authenticated();
    let refresh = api.sign("refresh+jwt", json!({"token_type": "refresh", "scope": "introspect"}));
    for caller in ["a.b.c", &ada.refresh, &refresh] {
        introspect(&api, caller, &ada.access).await.is_token_not_valid();
    }
}

#[tokio::test]
async fn a_private_token_with_the_scope_may_ask() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let caller = api.sign(
        "at+jwt",
        json!({"token_type": "private", "jti": "p.x", "exp": NOW + 86_400, "scope": "introspect"}),
    );
    assert_eq!(introspect(&api, &caller, &ada.access).await.json()["active"], true);
    // Other calls of the API do not take it.
    api.get("/private_tokens/", &caller).await.is_token_not_valid();
}

#[tokio::test]
async fn only_a_form_with_one_token_is_read() {
    let api = Api::new();
    let (caller, ada) = (api.introspector(), api.log_in("ada").await);
    let token = &ada.access;
    let in_query = format!("/introspect/?token={token}");
    for (path, form) in [
        ("/introspect/", String::new()),
        ("/introspect", "token=".into()),
        ("/introspect", format!("token={token}&token={token}")),
        (&in_query, String::new()),
        (&in_query, "token_type_hint=access_token".into()),
    ] {
        let call = Call::new(Method::POST, path).token(Some(&caller)).body(FORM, form);
        api.call(call).await.is(400, &[], r#"{"error":"invalid_request"}"#);
    }
    let call = Call::new(Method::POST, "/introspect/").token(Some(&caller));
    let answer = api.call(call.json(&json!({"token": token}))).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let call = Call::new(Method::POST, "/introspect/").token(Some(&caller));
    let answer = api.call(call.body(FORM, "x".repeat(70_000))).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn without_the_store_there_is_no_answer() {
    let api = Api::new();
    let (caller, ada) = (api.introspector(), api.log_in("ada").await);
    // The answer about the caller is known for the staleness bound.
    introspect(&api, &caller, "x").await.is(200, &[], INACTIVE);
    api.wire.cut();
    let answer = introspect(&api, &caller, &ada.access).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("5")));
    assert_eq!(api.me(&ada.access).await.status.as_u16(), 503);
    introspect(&api, &caller, "x").await.is(200, &[], INACTIVE);
    api.wire.mend();
    assert_eq!(introspect(&api, &caller, &ada.access).await.json()["active"], true);
}

#[tokio::test]
async fn a_caller_that_ends_while_the_form_is_sent_gets_no_answer() {
    for is_revoked in [true, false] {
        let api = Api::new();
        let (caller, ada) = (api.introspector(), api.log_in("ada").await);
        let end = async || {
            if is_revoked {
                api.issuer.revoke_token(&caller, &ClientInfo::new()).await.unwrap();
            } else {
                api.advance(3600);
            }
        };
        let form = format!("token={}", ada.access);
        slowly(&api, "/introspect/", &caller, FORM, form, end).await.is_token_not_valid();
    }
}

/// What can happen to the tokens of a person.
#[derive(Clone, Copy, Debug)]
enum Event {
    LogIn,
    Create,
    Refresh(usize),
    Rotate(u64),
    RevokePrivate,
    LogOut,
    RevokeAll,
    RevokeByHolder(usize),
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => Just(Event::LogIn),
        3 => Just(Event::Create),
        2 => (0..8_usize).prop_map(Event::Refresh),
        1 => prop_oneof![Just(0), Just(600)].prop_map(Event::Rotate),
        1 => Just(Event::RevokePrivate),
        1 => Just(Event::LogOut),
        1 => Just(Event::RevokeAll),
        2 => (0..12_usize).prop_map(Event::RevokeByHolder),
        2 => prop_oneof![Just(1), Just(31), Just(600), Just(3600)].prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..12)
}

#[derive(Default)]
struct Known {
    sessions: Vec<Tokens>,
    /// Every token that there ever was.
    all: Vec<String>,
    private: Option<i64>,
}

impl Known {
    async fn happens(&mut self, api: &Api, event: Event) {
        let session = self.sessions.last();
        let access = session.map(|tokens| tokens.access.clone());
        match event {
            Event::LogIn => {
                let tokens = api.log_in("ada").await;
                self.add(tokens);
            }
            Event::Create => {
                let body = json!({"name": "ci", "expiration_time": api.date(7200)});
                let answer = api.post("/private_tokens/", access.as_deref(), body).await;
                self.add_private(&answer);
            }
            Event::Refresh(number) => {
                let Some(tokens) = self.sessions.get(number) else { return };
                let body = json!({"refresh_token": tokens.refresh});
                let answer = api.post("/refresh/", None, body).await;
                if answer.status == StatusCode::OK {
                    self.add(Tokens::of(&answer));
                }
            }
            Event::Rotate(overlap) => {
                let Some(id) = self.private else { return };
                let body = json!({"expiration_time": api.date(7200), "overlap_seconds": overlap});
                let path = format!("/private_tokens/{id}/rotate/");
                let answer = api.post(&path, access.as_deref(), body).await;
                self.add_private(&answer);
            }
            Event::RevokePrivate => {
                let (Some(id), Some(access)) = (self.private, access) else { return };
                api.delete(&format!("/private_tokens/{id}/"), &access).await;
            }
            Event::LogOut => {
                let Some(tokens) = session else { return };
                let body = json!({"refresh_token": tokens.refresh});
                api.post("/logout/", Some(&tokens.access), body).await;
            }
            Event::RevokeAll => {
                api.post("/revoke_all/", access.as_deref(), json!({})).await;
            }
            Event::RevokeByHolder(number) => {
                let Some(token) = self.all.get(number) else { return };
                let _ = api.issuer.revoke_token(token, &ClientInfo::new()).await;
            }
            Event::Pass(seconds) => api.advance(seconds),
        }
    }

    fn add(&mut self, tokens: Tokens) {
        self.all.extend([tokens.access.clone(), tokens.refresh.clone()]);
        self.sessions.push(tokens);
    }

    fn add_private(&mut self, answer: &Answer) {
        if answer.status == StatusCode::CREATED {
            let created: Value = answer.json();
            self.private = created["id"].as_i64();
            self.all.push(created["data"].as_str().unwrap().to_owned());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn introspection_says_exactly_what_the_layer_does(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (api, mut known) = (Api::new(), Known::default());
            for event in events {
                known.happens(&api, event).await;
                let caller = api.introspector();
                for token in &known.all {
                    let is_let_through = api.me(token).await.status == StatusCode::OK;
                    let answer = introspect(&api, &caller, token).await;
                    assert_eq!(answer.json()["active"], is_let_through, "{event:?}");
                    assert_eq!(is_let_through, answer.body != INACTIVE);
                }
            }
        });
    }
}
