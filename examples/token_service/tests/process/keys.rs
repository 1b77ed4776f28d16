//! Signing keys that an operator adds and retires while the service runs.

use std::{
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{Directory, Service, commands::succeed_with};

/// 20 seconds is the shortest publication: twice the interval in which replicas read the keys.
const PUBLICATION: (&str, &str) = ("KEY_PUBLICATION", "20");

/// Far more than a busy machine needs.
const GIVE_UP: Duration = Duration::from_secs(120);

/// The tokens of a log-in, and a private token.
struct Tokens {
    access: String,
    refresh: String,
    private: String,
}

impl Tokens {
    fn of(service: &Service) -> Self {
        let body = json!({"username": crate::EMAIL, "password": crate::PASSWORD});
        let login = service.call("POST", "/api/v1/auth/login/", None, Some(body)).json();
        let [access, refresh] = pair(&login);
        let (_, private) = service.create(&access);
        Self { access, refresh, private }
    }

    fn key_ids(&self) -> [String; 3] {
        [&self.access, &self.refresh, &self.private].map(|token| key_id(token))
    }
}

fn pair(answer: &Value) -> [String; 2] {
    ["access_token", "refresh_token"].map(|name| answer[name].as_str().unwrap().to_owned())
}

/// The `kid` of a token.
fn key_id(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

fn refresh(service: &Service, token: &str) -> (u16, Option<[String; 2]>) {
    let body = json!({"refresh_token": token});
    let answer = service.call("POST", "/api/v1/auth/refresh/", None, Some(body));
    (answer.status, (answer.status == 200).then(|| pair(&answer.json())))
}

/// The ids of the published keys.
fn published(service: &Service) -> Vec<String> {
    let keys = service.call("GET", "/.well-known/jwks.json", None, None).json();
    let keys = keys["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// Asks again and again until there is an answer.
fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < GIVE_UP, "{what}");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_running_service_signs_with_an_added_key_and_drops_a_stolen_one() {
    let directory = Directory::new("keys");
    let settings = [("REVOCATION_BOUND", "1"), PUBLICATION];
    let service = Service::start(&directory, &settings);
    let old = Tokens::of(&service);
    let [first, ..] = old.key_ids();
    assert_eq!(old.key_ids(), [&*first; 3]);

    let added = succeed_with(&directory, "token_service keys add", &settings);
    let second = added.strip_prefix("added ").unwrap().split(',').next().unwrap().to_owned();
    let begin = Instant::now();
    wait_for("the new key is not published", || {
        published(&service).contains(&second).then_some(())
    });
    // Until it signs, a session gets tokens of the first key.
    let mut session = Tokens::of(&service);
    assert_eq!(session.key_ids(), [&*first; 3]);
    wait_for("the new key does not sign", || {
        let (status, renewed) = refresh(&service, &session.refresh);
        assert_eq!(status, 200);
        [session.access, session.refresh] = renewed.unwrap();
        assert_eq!(service.me(&session.access), 200);
        (key_id(&session.access) == second).then_some(())
    });
    // The command was a moment earlier.
    assert!(begin.elapsed() > Duration::from_secs(19), "{:?}", begin.elapsed());
    let new = Tokens::of(&service);
    assert_eq!(new.key_ids(), [&*second; 3]);

    // Tokens of the first key stay valid. The session above shows that for its refresh tokens.
    for token in [&old.access, &old.private, &session.private, &new.access, &new.private] {
        assert_eq!(service.me(token), 200);
    }

    let retire = format!("token_service keys retire --compromised {first}");
    succeed_with(&directory, &retire, &settings);
    for token in [&old.access, &old.private, &session.private] {
        wait_for("a token of the stolen key is valid", || (service.me(token) == 401).then_some(()));
    }
    // A replica needs up to 10 seconds to read the keys again. Then it rejects the refresh tokens, too.
    wait_for("the stolen key is published", || (published(&service) == [&*second]).then_some(()));
    assert_eq!(refresh(&service, &old.refresh).0, 401);
    // No token of the other key has ended.
    for token in [&new.access, &new.private, &session.access] {
        assert_eq!(service.me(token), 200);
    }
    assert_eq!(refresh(&service, &new.refresh).0, 200);
    assert_eq!(Tokens::of(&service).key_ids(), [&*second; 3]);
}
