//! `rediss://`, with the server's own TLS.

use std::{error::Error, path::PathBuf};

use rcgen::{CertifiedKey, KeyPair};
use tower_bearer::revocation::{RevocationStore, Verdict};
use tower_bearer_redis::{ConnectError, RedisBuilder, RedisStore};

use crate::{
    authority::Authority,
    proxy::Proxy,
    server::{Server, free_port},
    service::{
        HOUR, Passes, Revoked, Service, Unavailable, asked, entry, eventually, id, now, token,
    },
};

/// A server that speaks TLS on a port of its own.
struct Encrypted {
    server: Server,
    port: u16,
    files: PathBuf,
}

impl Encrypted {
    /// With a certificate for `host`; `options` as for a server.
    fn start(authority: &Authority, host: &str, options: &[&str]) -> Self {
        Self::start_until(authority, host, 2099, options)
    }

    fn start_until(authority: &Authority, host: &str, until: i32, options: &[&str]) -> Self {
        let port = free_port();
        let files = std::env::temp_dir().join(format!("bearer-tls-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&files).unwrap();
        let CertifiedKey { cert, signing_key } = authority.certify(host, until);
        let file = |name: &str, text: &str| {
            let path = files.join(name);
            std::fs::write(&path, text).unwrap();
            path.into_os_string().into_string().unwrap()
        };
        let (cert, key) = (file("cert", &cert.pem()), file("key", &signing_key.serialize_pem()));
        let (authority, port_text) = (file("authority", &authority.pem), port.to_string());
        let mut all = vec!["--tls-port", &port_text, "--tls-cert-file", &cert];
        all.extend(["--tls-key-file", &key, "--tls-ca-cert-file", &authority]);
        all.extend(options);
        let server = Server::start_with(&all);
        Self { server, port, files }
    }

    fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port)
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.files);
    }
}

/// Whoever asks need not show a certificate.
const ANYBODY: [&str; 2] = ["--tls-auth-clients", "no"];

fn trusting(url: &str, authority: &Authority) -> RedisBuilder {
    RedisStore::builder(url).with_root_pem(&authority.pem).unwrap()
}

fn is_untrusted(result: Result<RedisStore, ConnectError>) -> bool {
    let Err(ConnectError::Unavailable(error)) = result else { return false };
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &error.to_string();
        cause = error.source();
    }
    text.contains(
        "the TLS connection to Redis failed: expected a server with TLS and a trusted certificate",
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn lookups_pushes_and_the_deny_list_use_tls() {
    let authority = Authority::new("trusted");
    for protocol in ["", "/0?protocol=resp3"] {
        let redis = Encrypted::start(&authority, "127.0.0.1", &ANYBODY);
        // Nobody can ask it in the clear.
        let wire = Proxy::to(redis.port).await;
        let url = wire.url().replace("redis://", "rediss://") + protocol;
        let connect = async || trusting(&url, &authority).connect().await.unwrap();
        let (one, other) = (connect().await, connect().await);
        one.initialise().await.unwrap();
        let service = Service::over(other.clone(), Default::default(), HOUR);
        let pushes = service.listen().await;
        let list = tower_bearer_redis::DenyList::follow(&other, HOUR);
        assert_eq!(service.ask(&token("a")).await, Passes);
        one.revoke(&entry(id("a"), now() + 600)).await.unwrap();
        eventually("push", async || service.ask(&token("a")).await == Revoked).await;
        let listed = async || matches!(list.look_up(&asked([id("a")])).await, Ok(Verdict::Revoked));
        eventually("followed", listed).await;

        // What was lost with a connection comes back with the next.
        wire.swallow(true);
        one.revoke(&entry(id("b"), now() + 600)).await.unwrap_err();
        eventually("noticed", async || !pushes.stats().is_connected).await;
        assert_eq!(service.ask(&token("c")).await, Unavailable);
        wire.swallow(false);
        wire.cut();
        eventually("back", async || service.ask(&token("c")).await == Passes).await;
    }
    assert!(rustls::crypto::CryptoProvider::get_default().is_none(), "none was installed");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_server_needs_a_trusted_certificate_for_the_right_host() {
    let (trusted, other) = (Authority::new("trusted"), Authority::new("other"));
    let right = Encrypted::start(&trusted, "127.0.0.1", &ANYBODY);
    let foreign = Encrypted::start(&other, "127.0.0.1", &ANYBODY);
    let another_host = Encrypted::start(&trusted, "redis.example", &ANYBODY);
    let expired = Encrypted::start_until(&trusted, "127.0.0.1", 2021, &ANYBODY);

    let both = RedisStore::builder(&foreign.url()).with_root_pem(&trusted.pem).unwrap();
    let both = both.add_root_pem(&other.pem).unwrap();
    assert!(both.connect().await.is_ok());
    assert!(trusting(&right.url(), &trusted).connect().await.is_ok());
    let upper_case = right.url().replace("rediss", "VALKEYS");
    assert!(trusting(&upper_case, &trusted).connect().await.is_ok());

    for (what, untrusted) in [
        ("bundled roots only", RedisStore::builder(&right.url())),
        ("another authority", trusting(&foreign.url(), &trusted)),
        ("another host", trusting(&another_host.url(), &trusted)),
        ("expired", trusting(&expired.url(), &trusted)),
    ] {
        assert!(is_untrusted(untrusted.connect().await), "{what}");
    }
    // Which is no absence, either.
    let lazy = trusting(&foreign.url(), &trusted).allow_unreachable_at_start();
    assert!(is_untrusted(lazy.connect().await));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn tls_and_plain_text_do_not_mix() {
    let authority = Authority::new("trusted");
    let redis = Encrypted::start(&authority, "127.0.0.1", &ANYBODY);
    let plain = redis.server.url().replace("redis://", "rediss://");
    let error = trusting(&plain, &authority).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Unavailable(_)), "{error:?}");
    let encrypted = redis.url().replace("rediss://", "redis://");
    let error = RedisStore::connect(&encrypted).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_demands_a_client_certificate_gets_it() {
    let authority = Authority::new("trusted");
    let redis = Encrypted::start(&authority, "127.0.0.1", &[]);
    let CertifiedKey { cert, signing_key } = authority.certify("service.example", 2099);
    let known = trusting(&redis.url(), &authority)
        .with_client_certificate_pem(cert.pem(), signing_key.serialize_pem())
        .unwrap();
    assert!(!format!("{known:?}").contains("PRIVATE"));
    known.connect().await.unwrap().initialise().await.unwrap();

    let error = trusting(&redis.url(), &authority).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_check_of_certificates_cannot_be_turned_off() {
    for url in ["rediss://127.0.0.1/#insecure", "rediss://127.0.0.1#insecure", "redis://a#b"] {
        let error = RedisStore::connect(url).await.unwrap_err();
        assert!(matches!(error, ConnectError::UrlFragment), "{url}: {error:?}");
    }
    let authority = Authority::new("trusted");
    for parameter in ["insecure=true", "ssl_cert_reqs=none", "tls=false", "verify=0"] {
        let redis = Encrypted::start(&authority, "127.0.0.1", &ANYBODY);
        let url = format!("{}/0?{parameter}", redis.url());
        assert!(is_untrusted(RedisStore::connect(&url).await), "{parameter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_cluster_is_reached_over_tls() {
    let (authority, bus) = (Authority::new("trusted"), free_port().to_string());
    let mut options = ANYBODY.to_vec();
    options.extend(["--tls-cluster", "yes", "--cluster-enabled", "yes", "--cluster-port", &bus]);
    let redis = Encrypted::start(&authority, "127.0.0.1", &options);
    assert_eq!(redis.server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), "+OK");
    let url = redis.url().replace("rediss:", "rediss-cluster:");
    let store = trusting(&url, &authority).allow_unreachable_at_start().connect().await.unwrap();
    eventually("seeded", async || store.initialise().await.is_ok()).await;
    store.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    assert_eq!(store.look_up(&asked([id("a")])).await.unwrap(), Verdict::Revoked);
    assert!(is_untrusted(RedisStore::connect(&url).await));
}

#[test]
fn unusable_pem_is_an_error_of_its_setter() {
    let builder = || RedisStore::builder("rediss://redis.example");
    for odd in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"] {
        assert!(matches!(builder().with_root_pem(odd), Err(ConnectError::Roots(_))), "{odd}");
        assert!(matches!(builder().add_root_pem(odd), Err(ConnectError::Roots(_))), "{odd}");
    }
    let CertifiedKey { cert, signing_key } = Authority::new("a").certify("a", 2099);
    let (cert, key) = (cert.pem(), signing_key.serialize_pem());
    let of_another = KeyPair::generate().unwrap().serialize_pem();
    for (cert, key) in [("", &*key), (&*cert, ""), (&*key, &*cert), (&*cert, &*of_another)] {
        let refused = builder().with_client_certificate_pem(cert, key);
        assert!(matches!(refused, Err(ConnectError::ClientCertificate)));
    }
    assert!(builder().with_client_certificate_pem(cert, key).is_ok());
}
