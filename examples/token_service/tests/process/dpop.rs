//! `DPOP`: clients bind their tokens to a key.

use serde_json::json;
use tower_bearer::test_util::{ProofKey, TestProof};

use crate::{Answer, Directory, EMAIL, PASSWORD, Service, example};

const LOGIN: &str = "/api/v1/auth/login/";
const REFRESH: &str = "/api/v1/auth/refresh/";

/// A client with a key, which calls the service at a public URL.
struct Client<'a> {
    service: &'a Service,
    key: ProofKey,
    base: String,
}

impl Client<'_> {
    fn log_in(&self) -> Answer {
        let body = json!({"username": EMAIL, "password": PASSWORD}).to_string();
        self.send("POST", LOGIN, "", &self.token_request(LOGIN), &body)
    }

    fn refresh(&self, token: &str) -> Answer {
        let body = json!({"refresh_token": token}).to_string();
        self.send("POST", REFRESH, "", &self.token_request(REFRESH), &body)
    }

    fn me(&self, token: &str) -> u16 {
        let path = "/api/v1/me";
        let proof = self.key.proof("GET", &format!("{}{path}", self.base), token);
        let authorization = format!("Authorization: DPoP {token}\r\n");
        self.send("GET", path, &authorization, &proof, "").status
    }

    fn token_request(&self, path: &str) -> TestProof {
        self.key.proof("POST", &format!("{}{path}", self.base), "").without("ath")
    }

    fn send(&self, method: &str, path: &str, more: &str, proof: &TestProof, body: &str) -> Answer {
        let headers = format!("{more}DPoP: {}\r\n", proof.issue());
        self.service.send(method, path, &headers, body)
    }
}

#[test]
fn with_dpop_a_client_binds_its_tokens_to_its_key() {
    for public_url in ["", "https://api.example/shop/"] {
        let directory = Directory::new("dpop");
        let settings = [("DPOP", "allowed"), ("PUBLIC_URL", public_url)];
        let service = Service::start(&directory, &settings);
        let base = match public_url {
            "" => format!("http://{}", service.address),
            url => url.trim_end_matches('/').to_owned(),
        };
        let client = Client { service: &service, key: ProofKey::new(), base };
        let login = client.log_in().json();
        assert_eq!(login["token_type"], "DPoP");
        let access = login["access_token"].as_str().unwrap();
        assert_eq!((client.me(access), service.me(access)), (200, 401));

        let token = login["refresh_token"].as_str().unwrap();
        let body = json!({"refresh_token": token});
        let stolen = service.call("POST", REFRESH, None, Some(body));
        assert_eq!((stolen.status, &stolen.json()["error"]), (400, &json!("invalid_dpop_proof")));
        let thief = Client { service: &service, key: ProofKey::new(), base: client.base.clone() };
        assert_eq!(thief.refresh(token).status, 400);
        assert_eq!(client.refresh(token).json()["token_type"], "DPoP");

        // Other clients work as before.
        assert_eq!(service.me(&service.log_in()), 200);
    }
}

#[test]
fn without_the_setting_proofs_have_no_effect() {
    let directory = Directory::new("no-dpop");
    let service = Service::start(&directory, &[]);
    let base = format!("http://{}", service.address);
    let client = Client { service: &service, key: ProofKey::new(), base };
    let login = client.log_in().json();
    assert!(login.get("token_type").is_none(), "{login}");
    assert_eq!(service.me(login["access_token"].as_str().unwrap()), 200);
}

#[test]
fn another_value_of_dpop_is_an_error_at_the_start() {
    let directory = Directory::new("dpop-value");
    let output = example(&directory).env("DPOP", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("DPOP is not off or allowed"), "{said}");
}
