//! Issuers that tell where their keys are.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_bearer::{
    Authenticator, BoxFuture, ConfigError, Issuer, RejectionKind, UnixTime,
    claims::{ManualClock, SystemClock},
    jwks::{FetchError, FetchJwks, FetchRequest, Fetched, RemoteJwks},
};

use crate::{
    common::requests::NOW,
    gate::{Gate, Said, UNAVAILABLE, UNKNOWN},
    server::{Answer, Server},
    signer::{AUDIENCE, Signer, set},
};

const UNKNOWN_ISSUER: Said = Err((401, RejectionKind::UnknownIssuer));
const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

fn metadata(issuer: &str, keys: &str) -> Answer {
    let body = format!(
        r#"{{"issuer":"{issuer}","authorization_endpoint":"http://evil.example/","jwks_uri":"{keys}","x":[1]}}"#
    );
    Answer::Says(200, "Content-Type: application/json\r\n".to_owned(), body)
}

fn gate(name: &str, keys: &RemoteJwks, clock: &ManualClock) -> Gate {
    let issuer = Issuer::new(name, keys.clone()).audience(AUDIENCE);
    Gate::of([issuer], clock.clone())
}

#[tokio::test]
async fn keys_are_found_by_either_standard() {
    let a = Signer::new("a");
    for (path, well_known, asked) in [
        ("", OPENID.to_owned(), 2),
        ("/", OPENID.to_owned(), 2),
        ("/realms/one", format!("/realms/one{OPENID}"), 2),
        ("", OAUTH.to_owned(), 3),
        ("/realms/one", format!("{OAUTH}/realms/one"), 3),
    ] {
        let server = Server::start().await;
        let name = server.url(path);
        server.serves(&well_known, metadata(&name, &server.url("/keys")));
        server.serves("/keys", Answer::keys(&set(&[&a])));
        let issuer = Issuer::discover(&name).unwrap().audience(AUDIENCE);
        assert_eq!(issuer.name(), name);
        let gate = Gate::of([issuer], SystemClock::default());
        assert_eq!(gate.says(&a.token_of(&name)).await, Ok(()), "{well_known}");
        assert_eq!(server.requests().len(), asked, "{well_known}");
        assert_eq!(gate.says_at_once(&a.token_of(&name)), Some(Ok(())));
    }
}

#[tokio::test]
async fn metadata_in_html_are_ignored_and_the_other_standard_is_tried() {
    let a = Signer::new("a");
    let server = Server::start().await;
    server.serves(OPENID, Answer::Says(200, String::new(), "<html>".to_owned()));
    server.serves(OAUTH, metadata(&server.origin, &server.url("/keys")));
    server.serves("/keys", Answer::keys(&set(&[&a])));
    let keys = RemoteJwks::discover(&server.origin).unwrap();
    keys.ready().await.unwrap();
}

#[tokio::test]
async fn metadata_of_another_issuer_are_rejected_and_both_names_shown() {
    let a = Signer::new("a");
    let server = Server::start().await;
    let name = server.origin.clone();
    server.serves("/keys", Answer::keys(&set(&[&a])));
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let keys = RemoteJwks::discover(&name).unwrap().with_clock(clock.clone());
    let gate = gate(&name, &keys, &clock);
    let upper = name.to_ascii_uppercase();
    for other in ["https://other.example", &format!("{name}/"), &upper, ""] {
        server.serves(OPENID, metadata(other, &server.url("/keys")));
        // Not even the other standard's are asked then.
        server.serves(OAUTH, metadata(&name, &server.url("/keys")));
        assert_eq!(gate.says(&a.token_of(&name)).await, UNAVAILABLE);
        let text = keys.health().last_error().unwrap().to_string();
        assert!(
            text.contains(&format!("{other:?}")) && text.contains(&format!("{name:?}")),
            "{text}"
        );
        clock.advance(Duration::from_secs(30));
    }
    assert_eq!((server.count("/keys"), server.count(OAUTH)), (0, 0));

    server.serves(OPENID, Answer::status(404));
    server.serves(OAUTH, metadata("https://other.example", &server.url("/keys")));
    assert_eq!(gate.says(&a.token_of(&name)).await, UNAVAILABLE);
    let health = keys.health();
    assert!(matches!(health.last_error(), Some(FetchError::IssuerMismatch { .. })), "{health:?}");
    clock.advance(Duration::from_secs(30));

    server.serves(OPENID, metadata(&name, &server.url("/keys")));
    assert_eq!(gate.says(&a.token_of(&name)).await, Ok(()));
}

#[tokio::test]
async fn a_server_under_another_address_is_known_by_its_name() {
    let a = Signer::new("a");
    let server = Server::start().await;
    let name = "https://login.example";
    server.serves(OPENID, metadata(name, &server.url("/keys")));
    server.serves("/keys", Answer::keys(&set(&[&a])));
    let issuer = Issuer::discover_at(&server.origin, name).unwrap().audience(AUDIENCE);
    assert_eq!(issuer.name(), name);
    let gate = Gate::of([issuer], SystemClock::default());
    assert_eq!(gate.says(&a.token_of(name)).await, Ok(()));
    assert!(gate.says(&a.token_of(&server.origin)).await.is_err());
}

#[tokio::test]
async fn keys_that_move_are_found_again_after_a_failure_or_an_hour() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let server = Server::start().await;
    let name = server.origin.clone();
    server.serves(OPENID, metadata(&name, &server.url("/old")));
    server.serves("/old", Answer::Tagged("\"same\"".to_owned(), set(&[&a])));
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let keys = RemoteJwks::discover(&name).unwrap().with_clock(clock.clone());
    let gate = gate(&name, &keys, &clock);
    assert_eq!(gate.says(&a.token_of(&name)).await, Ok(()));

    // Metadata are not read again for each unknown key.
    server.serves(OPENID, metadata(&name, &server.url("/new")));
    server.serves("/new", Answer::Tagged("\"same\"".to_owned(), set(&[&a, &b])));
    clock.advance(Duration::from_secs(30));
    assert_eq!(gate.says(&b.token_of(&name)).await, UNKNOWN);
    assert_eq!((server.count(OPENID), server.count("/old"), server.count("/new")), (1, 2, 0));

    // One address' ETag is not another's.
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(gate.says(&b.token_of(&name)).await, Ok(()));
    assert_eq!((server.count(OPENID), server.count("/old"), server.count("/new")), (2, 2, 1));

    server.serves(OPENID, metadata(&name, &server.url("/newest")));
    server.serves("/new", Answer::status(410));
    server.serves("/newest", Answer::keys(&set(&[&b])));
    // The address fails, and the attempt after that asks for it anew.
    let c = Signer::new("c").token_of(&name);
    clock.advance(Duration::from_secs(30));
    assert_eq!(gate.says(&c).await, UNAVAILABLE);
    clock.advance(Duration::from_secs(30));
    assert_eq!(gate.says(&c).await, UNKNOWN);
    assert_eq!((server.count("/new"), server.count("/newest")), (2, 1));
}

#[tokio::test]
async fn metadata_may_not_point_to_plain_http_elsewhere() {
    let server = Server::start().await;
    let name = server.origin.clone();
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let keys = RemoteJwks::discover(&name).unwrap().with_clock(clock.clone());
    let gate = gate(&name, &keys, &clock);
    for (address, error) in [
        (
            "http://169.254.169.254/latest/meta-data",
            "the address of keys is plain http to another machine: expected https",
        ),
        (
            "http://keys.example/",
            "the address of keys is plain http to another machine: expected https",
        ),
        ("file:///etc/passwd", "the `jwks_uri` of the metadata cannot be used"),
        ("/keys", "the `jwks_uri` of the metadata cannot be used"),
    ] {
        server.serves(OPENID, metadata(&name, address));
        assert_eq!(gate.says(&Signer::new("a").token_of(&name)).await, UNAVAILABLE);
        assert_eq!(keys.health().last_error().unwrap().to_string(), error, "{address}");
        clock.advance(Duration::from_secs(30));
    }
}

#[tokio::test]
async fn without_metadata_the_first_failure_is_reported() {
    let server = Server::start().await;
    server.serves(OPENID, Answer::status(503));
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let keys = RemoteJwks::discover(&server.origin).unwrap().with_clock(clock.clone());
    let gate = gate(&server.origin, &keys, &clock);
    assert_eq!(gate.says(&Signer::new("a").token_of(&server.origin)).await, UNAVAILABLE);
    let health = keys.health();
    assert!(matches!(health.last_error(), Some(FetchError::Status(status)) if *status == 503));
    assert_eq!(server.count(OAUTH), 1);
}

#[test]
fn plain_http_to_another_machine_is_rejected_at_start_unless_allowed() {
    let build = |issuer: Issuer| Authenticator::builder().issuer(issuer).build();
    let url = "http://keys.internal/keys";
    let issuer = |keys: RemoteJwks| Issuer::new("https://issuer.example", keys).audience(AUDIENCE);

    let keys = RemoteJwks::new(url).unwrap();
    assert!(matches!(build(issuer(keys.clone())), Err(ConfigError::InsecureUrl)));
    build(issuer(keys.allow_http())).unwrap();
    let discovered = Issuer::discover("http://issuer.internal").unwrap().audience(AUDIENCE);
    assert!(matches!(build(discovered), Err(ConfigError::InsecureUrl)));
    build(issuer(RemoteJwks::new("https://issuer.example/keys").unwrap())).unwrap();
}

#[tokio::test]
async fn plain_http_to_another_machine_is_never_fetched_even_without_a_verifier() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let keys = RemoteJwks::new("http://192.0.2.1/keys").unwrap().with_clock(clock);
    keys.spawn();
    while keys.health().failures() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(keys.health().last_error(), Some(FetchError::Insecure)));
}

#[tokio::test]
async fn metadata_of_many_tenants_name_the_template_as_entra_does() {
    let a = Signer::new("a");
    let server = Server::start().await;
    let (template, tenant) = (server.url("/{tenantid}/v2.0"), "9188040d-6c67-4c5b-b112");
    let metadata = metadata(&template, &server.url("/keys"));
    server.serves(&format!("/organizations/v2.0{OPENID}"), metadata);
    server.serves("/keys", Answer::keys(&set(&[&a])));
    let url = server.url("/organizations/v2.0");
    let keys = RemoteJwks::discover_at(&url, template.as_str()).unwrap();
    let keys = keys.with_clock(server.clock.clone());
    let issuer = Issuer::multi_tenant(template, keys).tenants([tenant]).audience(AUDIENCE);
    let gate = Gate::of([issuer], server.clock.clone());
    let iss = |tenant: &str| server.url(&format!("/{tenant}/v2.0"));
    let token = |iss: &str, tid: &str| a.token_with(iss, &format!(r#","tid":"{tid}""#));
    assert_eq!(gate.says(&token(&iss(tenant), tenant)).await, Ok(()));
    assert_eq!(gate.says_at_once(&token(&iss("other"), "other")), Some(UNKNOWN_ISSUER));
    assert_eq!(gate.says_at_once(&token(&iss(tenant), "other")), Some(UNKNOWN_ISSUER));
}

#[tokio::test]
async fn a_repeated_member_that_is_not_used_does_not_make_metadata_unusable() {
    let a = Signer::new("a");
    let server = Server::start().await;
    let body = |more: &str| {
        let (issuer, keys) = (&server.origin, server.url("/keys"));
        let text = format!(r#"{{"x":1,"x":2,"issuer":"{issuer}","jwks_uri":"{keys}"{more}}}"#);
        Answer::Says(200, String::new(), text)
    };
    server.serves("/keys", Answer::keys(&set(&[&a])));
    server.serves(OPENID, body(""));
    let keys = RemoteJwks::discover(&server.origin).unwrap();
    keys.spawn();
    while keys.health().failures() == 0 && !keys.health().is_usable() {
        tokio::task::yield_now().await;
    }
    assert!(keys.health().last_error().is_none(), "{:?}", keys.health());

    server.serves(OPENID, body(r#","jwks_uri":"https://keys.example""#));
    let keys = RemoteJwks::discover(&server.origin).unwrap();
    keys.spawn();
    while keys.health().failures() == 0 {
        tokio::task::yield_now().await;
    }
    let error = keys.health().last_error().unwrap().to_string();
    assert!(error.contains("one member `jwks_uri`"), "{error}");
}

#[test]
fn a_url_of_the_wrong_kind_is_an_error_with_a_hint() {
    let well_known = format!("https://issuer.example{OPENID}");
    for (error, hint) in [
        (Issuer::discover(&well_known).map(drop), "the issuer's URL alone"),
        (RemoteJwks::discover_at(&well_known, "x").map(drop), "the issuer's URL alone"),
        (RemoteJwks::new(&well_known).map(drop), "pass the issuer's URL to `discover`"),
        (
            Issuer::discover("https://login.example/{tenantid}/v2.0").map(drop),
            "Issuer::multi_tenant",
        ),
    ] {
        let error = error.unwrap_err();
        assert!(matches!(error, ConfigError::InvalidUrl(_)), "{error:?}");
        assert!(error.to_string().contains(hint), "{error}");
    }
}

#[test]
fn an_issuer_does_not_take_another_issuers_metadata() {
    let keys = RemoteJwks::discover("https://one.example").unwrap();
    let issuer = Issuer::new("https://two.example", keys).audience(AUDIENCE);
    let built = Authenticator::builder().issuer(issuer).build();
    assert!(matches!(built, Err(ConfigError::ForeignMetadata)));
}

#[test]
fn an_invalid_url_is_an_error_at_once() {
    for url in ["", "issuer.example", "ftp://issuer.example", "https://u:p@issuer.example"] {
        assert!(matches!(RemoteJwks::new(url), Err(ConfigError::InvalidUrl(_))), "{url}");
        assert!(matches!(Issuer::discover(url), Err(ConfigError::InvalidUrl(_))), "{url}");
    }
}

/// An issuer elsewhere whose metadata name this address of its keys.
struct Elsewhere(&'static str);

impl FetchJwks for Elsewhere {
    fn fetch<'a>(
        &'a self,
        request: FetchRequest<'a>,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        let is_metadata = request.url().ends_with(OPENID);
        let document = if is_metadata {
            format!(r#"{{"issuer":"https://elsewhere.example","jwks_uri":"{}"}}"#, self.0)
        } else {
            set(&[&Signer::new("a")])
        };
        Box::pin(async move { Ok(Fetched::document(document)) })
    }
}

#[tokio::test]
async fn an_issuer_elsewhere_does_not_send_this_machine_to_its_own_ports() {
    let keys = |address, allows_http| {
        let keys = RemoteJwks::discover("https://elsewhere.example").unwrap();
        let keys = keys.with_fetcher(Elsewhere(address));
        if allows_http { keys.allow_http() } else { keys }
    };
    for inwards in [
        "http://127.0.0.1:9/x",
        "http://localhost/x",
        "HTTP://[::1]:80/x",
        "https://127.0.0.1:6379/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]:5432/",
        "https://2130706433/",
        "https://keys.localhost./",
    ] {
        for allows_http in [false, true] {
            let keys = keys(inwards, allows_http);
            keys.spawn();
            let wait = tokio::time::timeout(Duration::from_millis(50), keys.ready());
            assert!(wait.await.is_err(), "{inwards}");
            let health = keys.health();
            let error = health.last_error();
            assert!(matches!(error, Some(FetchError::LocalAddress)), "{inwards}: {health:?}");
        }
    }
    for elsewhere in ["https://keys.example/x", "https://10.0.0.1/x", "https://[fd00::1]/x"] {
        keys(elsewhere, false).ready().await.unwrap();
    }
    keys("http://keys.example/x", true).ready().await.unwrap();
}

/// Asks for addresses of other machines where the metadata name another origin.
#[tokio::test]
async fn only_addresses_of_metadata_must_be_remote() {
    struct Asks(Elsewhere, Arc<Mutex<Vec<bool>>>);
    impl FetchJwks for Asks {
        fn fetch<'a>(
            &'a self,
            request: FetchRequest<'a>,
        ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
            self.1.lock().unwrap().push(request.must_be_remote());
            self.0.fetch(request)
        }
    }
    for (address, expected) in [
        ("https://keys.example/x", true),
        ("https://elsewhere.example:6379/x", true),
        ("https://elsewhere.example/x", false),
    ] {
        let asked = Arc::new(Mutex::default());
        let keys = RemoteJwks::discover("https://elsewhere.example").unwrap();
        keys.with_fetcher(Asks(Elsewhere(address), Arc::clone(&asked))).ready().await.unwrap();
        assert_eq!(*asked.lock().unwrap(), [false, expected], "{address}");
    }
}
