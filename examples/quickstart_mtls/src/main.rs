//! Tokens that are bound to a client certificate (RFC 8705): `cargo run -p quickstart_mtls`, and then the lines that it
//! prints. TLS ends in this process, with rustls.

#![allow(clippy::print_stdout, reason = "it talks to the terminal")]

mod certificates;

use std::{env, error::Error, fs, path::PathBuf, sync::Arc};

use axum::{Extension, Router, routing::get};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::{ServerConfig, server::WebPkiClientVerifier};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower_bearer::{
    Algorithm, Authenticated, Authenticator, BearerLayer, Issuer,
    claims::{Clock as _, SystemClock},
    client_certificate::{CertificateSource, ClientCertificate},
    jws::SigningKey,
};

use crate::certificates::Certificates;

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "api://orders";

async fn orders(user: Authenticated) -> String {
    format!("the orders of {}\n", user.registered().subject().unwrap_or("somebody"))
}

fn app(issuer: &SigningKey) -> Result<Router, Box<dyn Error>> {
    let issuer = Issuer::new(ISSUER, issuer.verifying_key()).audience(AUDIENCE);
    let authenticator = Authenticator::builder().issuer(issuer).build()?;
    let layer =
        BearerLayer::new(authenticator).with_client_certificates(CertificateSource::extension());
    Ok(Router::new().route("/orders", get(orders)).route_layer(layer))
}

/// Asks for a client certificate, and checks that our authority has issued it. Clients without one may connect: the
/// layer accepts their tokens if these are not bound.
fn tls(certificates: &Certificates) -> Result<TlsAcceptor, Box<dyn Error>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = Arc::new(certificates.roots()?);
    let clients = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;
    let (chain, key) = certificates.server()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves one connection. Each of its requests gets the certificate of the handshake.
async fn serve(
    stream: TcpStream,
    tls: TlsAcceptor,
    app: Router,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let stream = tls.accept(stream).await?;
    let (_, connection) = stream.get_ref();
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    let app = match certificate {
        Some(der) => app.layer(Extension(ClientCertificate::from_der(der))),
        None => app,
    };
    let service = TowerToHyperService::new(app);
    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
}

fn token(issuer: &SigningKey, bound_to: Option<&[u8]>) -> Result<String, Box<dyn Error>> {
    let now = SystemClock::default().now().as_secs();
    let mut claims =
        json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 3600 });
    if let Some(der) = bound_to {
        let thumbprint = ClientCertificate::from_der(der).thumbprint().to_string();
        claims["cnf"] = json!({ "x5t#S256": thumbprint });
    }
    Ok(issuer.sign("at+jwt", &claims.to_string())?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let folder = PathBuf::from(env::var("FOLDER").unwrap_or_else(|_| "quickstart_mtls".to_owned()));
    fs::create_dir_all(&folder)?;
    let certificates = Certificates::new()?;
    certificates.write_to(&folder)?;
    let issuer = SigningKey::generate(Algorithm::ES256)?;
    let (app, tls) = (app(&issuer)?, tls(&certificates)?);
    let listener = TcpListener::bind(&address).await?;

    let port = listener.local_addr()?.port();
    println!(
        "listening on https://localhost:{port}. The certificates are in {}.\n",
        folder.display()
    );
    let curl =
        format!("curl -i --cacert {0}/ca.pem https://localhost:{port}/orders", folder.display());
    let with = |name: &str| format!("--cert {0}/{name}.pem --key {0}/{name}.key", folder.display());
    let (bound, plain) = (token(&issuer, Some(certificates.client()))?, token(&issuer, None)?);
    println!("# 200\n{curl} {} -H 'Authorization: Bearer {bound}'", with("client"));
    println!("# 401: the token without its certificate\n{curl} -H 'Authorization: Bearer {bound}'");
    println!(
        "# 401: another certificate\n{curl} {} -H 'Authorization: Bearer {bound}'",
        with("other")
    );
    println!("# 200: a token that is not bound\n{curl} -H 'Authorization: Bearer {plain}'");
    loop {
        let (stream, _) = listener.accept().await?;
        let (tls, app) = (tls.clone(), app.clone());
        tokio::spawn(async move {
            // An error of a client affects only its own connection.
            let _ = serve(stream, tls, app).await;
        });
    }
}
