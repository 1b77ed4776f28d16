//! Certificates.

use std::sync::Arc;

use rcgen::CertifiedKey;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;
use tower_bearer::jwks::{FetchError, HttpFetcher};

use crate::{
    authority::Authority,
    gate::{Gate, UNAVAILABLE},
    server::{Answer, Server},
    signer::{Signer, set},
};

/// A server with a certificate for `host`, valid until the year given.
async fn server(authority: &Authority, host: &str, until: i32) -> Server {
    let CertifiedKey { cert, signing_key } = authority.certify(host, until);
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.into()], key)
        .unwrap();
    Server::start_with_tls(TlsAcceptor::from(Arc::new(config))).await
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_for_the_right_host_is_demanded() {
    let (trusted, other) = (Authority::new("trusted"), Authority::new("other"));
    let bundled = || HttpFetcher::new().unwrap();
    let only = bundled().with_root_pem(&trusted.pem).unwrap();
    let added = bundled().add_root_pem(&trusted.pem).unwrap();
    let a = Signer::new("a");
    for (what, server, fetcher, is_good) in [
        ("right", server(&trusted, "localhost", 2099).await, only.clone(), true),
        ("right, added", server(&trusted, "localhost", 2099).await, added, true),
        ("another authority", server(&other, "localhost", 2099).await, only.clone(), false),
        ("a private authority", server(&trusted, "localhost", 2099).await, bundled(), false),
        ("another host", server(&trusted, "issuer.example", 2099).await, only.clone(), false),
        ("expired", server(&trusted, "localhost", 2021).await, only, false),
    ] {
        server.serves("/keys", Answer::keys(&set(&[&a])));
        let keys = server.keys("/keys").with_fetcher(fetcher);
        let said = Gate::new(&keys, server.clock.clone()).says(&a.token()).await;
        assert_eq!(said, if is_good { Ok(()) } else { UNAVAILABLE }, "{what}");
        assert_eq!(server.count("/keys"), usize::from(is_good), "{what}: no request without TLS");
        let health = keys.health();
        assert_eq!(matches!(health.last_error(), Some(FetchError::Client(_))), !is_good, "{what}");
    }
}

#[tokio::test]
async fn no_provider_of_the_process_is_installed_or_needed() {
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    let authority = Authority::new("trusted");
    let server = server(&authority, "localhost", 2099).await;
    server.serves("/keys", Answer::keys(&set(&[&Signer::new("a")])));
    let fetcher = HttpFetcher::new().unwrap().with_root_pem(&authority.pem).unwrap();
    server.keys("/keys").with_fetcher(fetcher).ready().await.unwrap();
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}

#[test]
fn the_roots_of_the_system_are_a_choice() {
    match HttpFetcher::new().unwrap().with_system_roots() {
        Ok(fetcher) => assert!(format!("{fetcher:?}").starts_with("HttpFetcher { roots: ")),
        Err(error) => assert!(matches!(error, tower_bearer::ConfigError::Roots(_)), "{error}"),
    }
}
