//! Guards a small API. It accepts the tokens of another issuer. Without settings it accepts demo tokens that it makes
//! itself.
//!
//! `cargo run -p resource_server`, then the `curl` lines that it prints. `--help` lists the settings.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

mod demo;
mod metrics;
mod settings;
mod sharing;

use std::{env, error::Error, net::SocketAddr, process::ExitCode, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use http_server::Limits;
use tokio::net::TcpListener;
use tower_bearer::{
    Authenticated, Authenticator, BearerLayer, RevocationCache, health::HealthChecks,
    jwks::RemoteJwks, telemetry::Collector,
};

use self::{
    metrics::Metrics,
    settings::{DpopSettings, Trusted, certificates, max_token_length, resource, setting, step_up},
    sharing::{Sharing, initialise_redis, revocation},
};

const HELP: &str = "\
resource_server: an API that only opens for a valid Bearer JWT

  GET  /whoami   the claims of the token
  GET  /admin    for tokens with the scope `admin`
  GET  /transfer for tokens of a recent and strong log-in: see STEP_UP_ACR and STEP_UP_MAX_AGE
  POST /logout   revokes the token that it is called with
  GET  /healthz  200 as long as the process answers
  GET  /readyz   200, or 503 while this process cannot work; with one JSON entry for each part

Settings, from the environment:
  OIDC_ISSUER    URL of the issuer, without /.well-known/...; its metadata name the address of its keys
  JWKS_URL       or: URL of the JWK set of the issuer
  JWKS_FILE      or: file with the JWK set
  HS256_SECRET   or: the secret that the issuer signs with, 32 bytes or more
  ISSUER         the `iss` of its tokens; required [with OIDC_ISSUER: the same URL]
  TENANTS        for Microsoft Entra: the accepted tenants, separated by commas; ISSUER is then a
                 template, https://login.microsoftonline.com/{tenantid}/v2.0, and OIDC_ISSUER is
                 https://login.microsoftonline.com/organizations/v2.0 [one tenant, named in ISSUER]
  AUDIENCE       the `aud` of tokens for this API; required, unless RESOURCE is set [RESOURCE]
  RESOURCE       the identifier of this API, an https URL such as https://api.example/orders. Serves
                 its metadata document (RFC 9728) without a token, names it in the challenges of
                 401 and 403, and names the scope `admin` in those of /admin [none]
  STEP_UP_ACR    GET /transfer requires one of these values of `acr` (RFC 9470), separated by
                 spaces [urn:example:mfa]
  STEP_UP_MAX_AGE  GET /transfer requires a log-in (`auth_time`) at most this many seconds ago [300]
  DPOP           accept tokens that are bound to a key (RFC 9449), with a DPoP proof: allowed, or
                 required to reject tokens without a binding [bound tokens are rejected]
  PUBLIC_URL     the URLs of this API that clients use, separated by commas: what the `htu` of proofs
                 begins with [http:// and the address where it listens]
  DPOP_NONCE     required: every proof needs a nonce of this API [none]
  DPOP_NONCE_KEY the key of nonces, the same in all processes: 32 random bytes as base64url [random]
  CLIENT_CERT_HEADER  accept certificate-bound tokens (RFC 8705). A proxy sends the certificate of the
                 client in this header, as in RFC 9440: client-cert [bound tokens are rejected]
  TRUSTED_PROXIES  the proxies whose header counts, addresses and networks separated by commas, such
                 as 192.0.2.7,10.0.0.0/8 [127.0.0.0/8,::1]
  RSA_ALGORITHMS algorithms of RSA keys that do not name one, separated by commas, such as
                 RS256,PS256; for OIDC_ISSUER and JWKS_URL [RS256]
  REFETCH_ON_BAD_SIGNATURE  true: fetch the keys again if the signature of a token does not verify,
                 at most once in 30 seconds; for OIDC_ISSUER and JWKS_URL [false]
  STATUS_LISTS   the URL under which the issuer publishes Token Status Lists; a token that is revoked
                 there is rejected [`status` is ignored]
  ALLOW_NULL_CLAIMS  true: aud, nbf, jti and scope that are null count as absent [false]
  INTEGER_SUBJECT  true: sub is an integer, and not a string [false]
  MAX_TOKEN_LENGTH  the longest token that is accepted, in bytes, up to 1048576 [8192]
  ADDR           where to listen [127.0.0.1:3000]
  REDIS_URL      Redis or Valkey through which processes share revocations and used DPoP proofs,
                 redis:// or rediss:// [memory of this process]. Sentinel and Redis Cluster:
                 rediss-sentinel://user:password@host,host/name and rediss-cluster://user:password@host,host
  DATABASE_URL   or: the database of a token_service, postgres:// or sqlite:, through which processes
                 share revocations, but not used DPoP proofs. Each process has a copy of all
                 revocations. The token_service deletes those that are obsolete [none]
  METRICS_ADDR   where to serve GET /metrics for Prometheus: an address that clients cannot reach [none]

Run it once with --initialise-redis before the first start. This declares that the Redis at REDIS_URL holds
all revocations. After a loss of data, run it again if the lost revocations do not matter. Until then
requests get 503. Requests with a DPoP proof get 503 for two more minutes, and for two minutes after each
restart of Redis.

With none of the first four it makes a key pair and prints tokens to try. Then it uses no other setting than
ISSUER, AUDIENCE, RESOURCE, STEP_UP_ACR, STEP_UP_MAX_AGE, DPOP, PUBLIC_URL, DPOP_NONCE, DPOP_NONCE_KEY,
CLIENT_CERT_HEADER, TRUSTED_PROXIES, MAX_TOKEN_LENGTH, ADDR, REDIS_URL, DATABASE_URL and METRICS_ADDR.";

/// The time after which the service warns that it has no keys yet.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    if env::args().skip(1).any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let initialises = env::args().nth(1).is_some_and(|argument| argument == "--initialise-redis");
    let outcome = if initialises { initialise_redis().await } else { run().await };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            print_causes(error.source());
            eprintln!("--help lists the settings");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let address = setting("ADDR").unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let metrics = match setting("METRICS_ADDR") {
        Some(address) => Some(Metrics::at(&address).await?),
        None => None,
    };
    let resource = resource()?;
    let step_up = step_up()?;
    let Trusted { issuer, remote, demo } = Trusted::from_environment(resource.as_ref())?;
    let max_token_length = max_token_length()?;
    let dpop = DpopSettings::from_environment()?;
    let certificates = certificates()?;

    // The central part of the example: which issuer is trusted, what is revoked, and which routes are guarded.
    let (revocation, sharing) = revocation().await?;
    let authenticator = Authenticator::builder()
        .issuer(issuer)
        .with_max_token_length(max_token_length)
        .revocation(revocation.clone())
        .build()?;
    let collector = Collector::new().add_authenticator(&authenticator);
    let collector = sharing.iter().fold(collector, |all, sharing| sharing.add_to_collector(all));
    let listener = listen("ADDR", &address).await?;
    let address = listener.local_addr()?;
    let mut layer = BearerLayer::new(authenticator);
    if let Some(dpop) = dpop {
        let mut dpop = dpop.dpop(&format!("http://{address}"))?;
        if let Some(store) = sharing.as_ref().and_then(Sharing::replay_store) {
            dpop = dpop.with_replay_store(store);
        }
        layer = layer.with_dpop(dpop);
    }
    if let Some(certificates) = certificates {
        layer = layer.with_client_certificates(certificates);
    }
    if let Some(resource) = &resource {
        layer = layer.with_resource(resource.clone());
    }
    // One layer for both, so that the challenge of its 401 names the scope. Without a resource it does not.
    let admin_layer = match &resource {
        Some(_) => layer.clone().and_require_scopes(["admin"]),
        None => (layer.clone(), layer.require_scopes(["admin"])),
    };

    let mut app = Router::new()
        .route("/transfer", get(transfer))
        .route_layer(layer.require_authentication(step_up))
        .route("/whoami", get(whoami))
        .route("/logout", post(logout))
        .with_state(revocation)
        .route_layer(layer.clone())
        .merge(Router::new().route("/admin", get(admin)).route_layer(admin_layer));
    if let Some(metadata) = layer.resource_metadata() {
        // Outside of the layer: clients read it before they have a token.
        app = app.merge(metadata.into_router());
    }
    let app = app.fallback(not_found).method_not_allowed_fallback(method_not_allowed);

    let health = health(remote.as_ref(), sharing.as_ref());
    let app = app.merge(health.into_router());

    let stop = http_server::stop_signal()?;
    println!("listening on http://{address}");
    if let Some(metrics) = metrics {
        println!("metrics on http://{}/metrics", metrics.address()?);
        tokio::spawn(metrics.serve(collector));
    }
    if let Some(keys) = &remote {
        tokio::spawn(warn_without_keys(keys.clone()));
    }
    if let Some(demo) = demo {
        demo.print(address, resource.as_ref())?;
    }
    http_server::serve(listener, app, Limits::default(), stop).await;
    if let Some(keys) = remote {
        keys.task().shutdown().await;
    }
    if let Some(sharing) = sharing {
        sharing.task().shutdown().await;
    }
    Ok(())
}

/// The parts of this process, for `/readyz`. Without keys it can authenticate no request, but other replicas may have
/// keys. All replicas share Redis or the database.
fn health(keys: Option<&RemoteJwks>, sharing: Option<&Sharing>) -> HealthChecks {
    let mut checks = HealthChecks::new();
    if let Some(keys) = keys.cloned() {
        checks = checks.add_task(&keys.task()).add_part("keys", move || {
            let is_usable = keys.health().is_usable();
            async move { if is_usable { Ok(()) } else { Err("no_keys") } }
        });
    }
    match sharing {
        Some(sharing) => sharing.add_to(checks),
        None => checks,
    }
}

async fn listen(setting: &str, address: &str) -> Result<TcpListener, Box<dyn Error>> {
    let address: SocketAddr = address
        .parse()
        .map_err(|_| format!("{setting} is not an address and port, such as 127.0.0.1:3000"))?;
    let listener = TcpListener::bind(address).await;
    Ok(listener.map_err(|error| format!("cannot listen on {address}: {error}"))?)
}

/// Until the keys are there, the layer answers 503 to tokens.
async fn warn_without_keys(keys: RemoteJwks) {
    if tokio::time::timeout(PATIENCE, keys.ready()).await.is_ok() {
        for refused in keys.health().keys().refused() {
            eprintln!("warning: a key of the set cannot be used: {refused}");
        }
        return;
    }
    eprintln!("warning: there are no keys yet");
    let health = keys.health();
    print_causes(health.last_error().map(|error| error as &dyn Error));
}

fn print_causes(mut cause: Option<&(dyn Error + 'static)>) {
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}

async fn whoami(user: Authenticated) -> Json<serde_json::Value> {
    Json(user.claims().as_map().clone().into())
}

async fn admin(user: Authenticated) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "admin": user.registered().subject() }))
}

async fn transfer(user: Authenticated) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "transfer": user.registered().subject() }))
}

async fn logout(
    State(revocation): State<RevocationCache>,
    user: Authenticated,
) -> Result<StatusCode, StatusCode> {
    revocation.revoke_token(&user).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn not_found() -> (StatusCode, Json<serde_json::Value>) {
    (StatusCode::NOT_FOUND, Json(serde_json::json!({ "detail": "Not found." })))
}

async fn method_not_allowed() -> (StatusCode, Json<serde_json::Value>) {
    (StatusCode::METHOD_NOT_ALLOWED, Json(serde_json::json!({ "detail": "Method not allowed." })))
}
