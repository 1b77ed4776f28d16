//! An identity provider of others, found by discovery: `oidc-provider`, run by Node.js.
//!
//! `OIDC_PROVIDER_DIR` names the directory in which npm has installed it.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use http::{Request, header::AUTHORIZATION};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::Layer;
use tower_bearer::{
    Authenticator, BearerLayer, Issuer, RejectionKind, UnixTime,
    claims::{Clock, ManualClock, SystemClock},
    client_certificate::{CertificateSource, ClientCertificate},
    dpop::Dpop,
    jwks::RemoteJwks,
    test_util::{ProofKey, TestProof},
};

use crate::{
    common::{
        requests::{Body, open, send},
        tokens::base64url,
    },
    signer::AUDIENCE,
};

/// Killed when the test is done with it.
struct Provider {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    issuer: String,
}

impl Provider {
    fn start() -> Self {
        let directory = std::env::var_os("OIDC_PROVIDER_DIR").expect(
            "OIDC_PROVIDER_DIR is not set: install `oidc-provider` with npm and set it to that directory",
        );
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/oidc_provider.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .env("OIDC_PROVIDER_DIR", directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`node` does not start: install Node.js");
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut provider = Self { process, input, output, issuer: String::new() };
        provider.issuer = provider.line_that_begins_with("http://");
        provider
    }

    fn told_to(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
        self.line_that_begins_with("done ");
    }

    fn line_that_begins_with(&mut self, prefix: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the provider ended");
            if line.starts_with(prefix) {
                return line.trim_end().to_owned();
            }
        }
    }

    /// A token by the client credentials grant (RFC 6749 section 4.4) for a resource (RFC 8707).
    async fn token(&self, algorithm: &str) -> String {
        self.token_of("service", algorithm, "").await
    }

    /// The same for this client, with more header lines.
    async fn token_of(&self, client: &str, algorithm: &str, lines: &str) -> String {
        let address = self.issuer.strip_prefix("http://").unwrap();
        let body = format!(
            "grant_type=client_credentials&scope=orders:read&resource=https://orders.example/{algorithm}"
        );
        let credentials = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("{client}:a+secret+of+the+tests"),
        );
        let request = format!(
            "POST /token HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {credentials}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             {lines}Connection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream =
            TcpStream::connect(address.replace("localhost", "127.0.0.1")).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let json = &answer
            [answer.find('{').unwrap_or_else(|| panic!("{answer}"))..=answer.rfind('}').unwrap()];
        let answer: serde_json::Value = serde_json::from_str(json).unwrap();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The system's time, with its monotonic part moved on by the test: the token's times are the provider's.
#[derive(Clone)]
struct Ahead(ManualClock);

impl Clock for Ahead {
    fn unix_time(&self) -> Duration {
        SystemClock::default().unix_time()
    }

    fn monotonic(&self) -> Duration {
        SystemClock::default().monotonic() + self.0.monotonic()
    }
}

#[tokio::test]
#[ignore = "needs node and oidc-provider"]
async fn tokens_of_an_openid_provider_are_verified_through_a_rotation() {
    let mut provider = Provider::start();
    let clock = Ahead(ManualClock::at(UnixTime::from_secs(0)));
    let keys = RemoteJwks::discover(&provider.issuer).unwrap().with_clock(clock.clone());
    let issuer = Issuer::new(provider.issuer.as_str(), keys.clone())
        .audience(AUDIENCE)
        .require_typ("at+jwt");
    let authenticator = Authenticator::builder().issuer(issuer).build().unwrap();
    let says = async |token: &str| {
        authenticator.authenticate(token).await.map_err(|rejection| rejection.kind())
    };

    let mut first = Vec::new();
    for algorithm in ["RS256", "ES256", "PS256"] {
        let token = provider.token(algorithm).await;
        let user = says(&token).await.unwrap_or_else(|kind| panic!("{algorithm}: {kind}"));
        assert_eq!(user.registered().issuer(), provider.issuer);
        assert_eq!(user.claims().get("client_id").and_then(|id| id.as_str()), Some("service"));
        assert!(user.registered().scopes().iter().any(|scope| scope == "orders:read"));
        first.push(token);
    }
    assert_eq!(keys.health().attempts(), 1);
    assert_eq!(keys.health().key_ids().collect::<Vec<_>>(), ["RS256-1", "ES256-1", "PS256-1"]);
    let changed = format!("{}A", first[0].trim_end_matches(|last| last != '.'));
    assert!(says(&changed).await.is_err());

    // Published and used at once: the first token with the new key has it fetched.
    provider.told_to("publish");
    provider.told_to("rotate");
    clock.0.advance(Duration::from_secs(30));
    let second = provider.token("RS256").await;
    assert!(says(&second).await.is_ok());
    assert_eq!(keys.health().attempts(), 2);
    assert!(says(&first[0]).await.is_ok(), "the old key is still published");

    provider.told_to("withdraw");
    clock.0.advance(Duration::from_secs(30));
    assert_eq!(says(&with_unknown_key(&first[0])).await.unwrap_err(), RejectionKind::UnknownKey);
    assert_eq!(keys.health().attempts(), 3);
    for token in &first {
        assert_eq!(says(token).await.unwrap_err(), RejectionKind::UnknownKey);
    }
    assert!(says(&second).await.is_ok());
}

/// What a layer of this service decides about a token of the provider.
async fn decision(layer: &BearerLayer, request: Request<Body>) -> Option<RejectionKind> {
    let outcome = send(layer.layer(open()), request).await;
    assert_eq!(outcome.rejection.is_none(), outcome.status == 200);
    outcome.rejection
}

fn request(authorization: String) -> Request<Body> {
    Request::get("/").header(AUTHORIZATION, authorization).body(Body::default()).unwrap()
}

#[tokio::test]
#[ignore = "needs node and oidc-provider"]
async fn tokens_that_an_openid_provider_binds_need_their_proof() {
    let provider = Provider::start();
    let keys = RemoteJwks::discover(&provider.issuer).unwrap();
    let issuer = Issuer::new(provider.issuer.as_str(), keys).audience(AUDIENCE);
    let authenticator: Authenticator = Authenticator::builder().issuer(issuer).build().unwrap();
    let layer = BearerLayer::new(authenticator)
        .with_dpop(Dpop::new(["https://api.example"]).unwrap())
        .with_client_certificates(CertificateSource::extension());
    let refused = Some(RejectionKind::UnverifiedConfirmation);

    let key = ProofKey::new();
    let proof = key.proof("POST", &format!("{}/token", provider.issuer), "").without("ath");
    let lines = format!("DPoP: {}\r\n", proof.issue());
    let token = provider.token_of("service", "ES256", &lines).await;
    let with = |proof: &TestProof| {
        let mut request = request(format!("DPoP {token}"));
        request.headers_mut().insert("dpop", proof.value());
        request
    };
    let proof = key.proof("GET", "https://api.example/", &token);
    assert_eq!(decision(&layer, with(&proof)).await, None);
    assert_eq!(decision(&layer, with(&proof)).await, Some(RejectionKind::ReplayedProof));
    let stolen = ProofKey::new().proof("GET", "https://api.example/", &token);
    assert_eq!(decision(&layer, with(&stolen)).await, refused);
    assert_eq!(decision(&layer, request(format!("Bearer {token}"))).await, refused);

    let names = vec!["client".to_owned()];
    let own = rcgen::generate_simple_self_signed(names.clone()).unwrap().cert;
    let other = rcgen::generate_simple_self_signed(names).unwrap().cert;
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, own.der());
    let lines = format!("Client-Cert: :{base64}:\r\n");
    let token = provider.token_of("certificate", "ES256", &lines).await;
    for (certificate, expected) in [(Some(&own), None), (Some(&other), refused), (None, refused)] {
        let mut request = request(format!("Bearer {token}"));
        if let Some(certificate) = certificate {
            request.extensions_mut().insert(ClientCertificate::from_der(certificate.der()));
        }
        assert_eq!(decision(&layer, request).await, expected);
    }
}

/// The token under another key's id.
fn with_unknown_key(token: &str) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", base64url(r#"{"alg":"RS256","typ":"at+jwt","kid":"unknown"}"#))
}
