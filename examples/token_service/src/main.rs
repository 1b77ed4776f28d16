//! The whole token API (log-in, refresh, private tokens, revocation), and an endpoint that needs its tokens.
//!
//! `cargo run -p token_service`, then the `curl` lines that it prints. `--help` lists the settings.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

mod page;
mod peer;
mod settings;
mod signing_key;
mod walkthrough;

use std::{error::Error, net::SocketAddr, process::ExitCode, time::Duration};

use axum::{
    Json, Router,
    http::{StatusCode, header},
    response::Html,
    routing::get,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tower_bearer::{Authenticated, BackgroundTask};
use tower_bearer_issuing::{
    AccountStore, Passwords, TokenApi, TokenIssuer, hash_password, normalize_email,
};
use tower_bearer_redis::{OutboxRelay, RedisStore};
use tower_bearer_sql::{NewAccount, SqlStore};
use utoipa::OpenApi;

use self::{settings::Settings, walkthrough::Walkthrough};

/// How long running requests may take after the service gets a signal to stop.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Settings::read() {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            println!("{}", settings::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\n--help lists the settings");
            return ExitCode::from(2);
        }
    };
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    let (issuer, relay) = issuer(&settings).await?;
    let mut api = TokenApi::new(&issuer);
    if let Some(url) = &settings.public_url {
        api = api.with_public_url(url)?;
    }
    if let Some(header) = settings.trusted_proxy_header.clone() {
        api = api.with_peer_address(move |parts| peer::address(parts, &header));
    }
    // The whole service: an endpoint that needs tokens, and the API that issues the tokens.
    let app = Router::new()
        .route("/api/v1/me", get(me))
        .route_layer(issuer.layer())
        .nest("/api/v1/auth", api.into_router())
        .merge(issuer.jwks_router())
        .fallback(async || (StatusCode::NOT_FOUND, Json(json!({ "detail": "Not found." }))))
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, Json(json!({ "detail": "Method not allowed." })))
        });

    let listener = TcpListener::bind(settings.address)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", settings.address))?;
    let address = listener.local_addr()?;
    let base = settings.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let app = app.merge(documents(&base)?);
    let stop = stop_signal()?;
    let maintenance = issuer.spawn_maintenance();
    println!("listening on http://{address}");
    print!("{}", Walkthrough { address, settings: &settings });

    serve(listener, app, stop).await?;
    maintenance.shutdown().await;
    // Stores the uses of private tokens that are not stored yet.
    issuer.maintain().await?;
    if let Some(relay) = relay {
        // The entries that it has not published yet stay in the database for the next start.
        relay.shutdown().await;
    }
    Ok(())
}

/// The central part of the example: which key signs, where tokens and accounts are stored, and who may log in.
///
/// Also returns the task of the relay to Redis, if there is one.
async fn issuer(
    settings: &Settings,
) -> Result<(TokenIssuer, Option<BackgroundTask>), Box<dyn Error>> {
    let store = SqlStore::open(&settings.database_url).await?;
    add_demo_account(&store, settings).await?;
    let issuer = TokenIssuer::builder(
        settings.issuer.as_str(),
        settings.audience.as_str(),
        signing_key::load_or_create(&settings.key_file)?,
        store.clone(),
        Passwords::new(store.clone())?,
    );
    let issuer = issuer
        .with_revocation_bound(settings.revocation_bound)
        .with_refresh_reuse_grace(settings.refresh_reuse_grace)
        .build()?;
    let relay = match &settings.redis_url {
        Some(url) => Some(share_revocations(url, store, &issuer).await?),
        None => None,
    };
    Ok((issuer, relay))
}

/// The database is the source of truth. Redis notifies every process at once. Redis may lose its data at any time.
async fn share_revocations(
    url: &str,
    store: SqlStore,
    issuer: &TokenIssuer,
) -> Result<BackgroundTask, Box<dyn Error>> {
    // The start fails if settings are wrong. It does not fail if Redis is temporarily unreachable.
    let redis = RedisStore::builder(url).allow_unreachable_at_start().connect().await?;
    if redis.is_seeded().await.is_err() {
        eprintln!(
            "warning: Redis cannot be asked, and revocations take up to the bound until it can"
        );
    }
    redis.push_to(issuer.revocation());
    Ok(OutboxRelay::new(store, redis).spawn())
}

/// Adds the demo account. If an earlier start has already made it, this sets its password to that of this start.
async fn add_demo_account(store: &SqlStore, settings: &Settings) -> Result<(), Box<dyn Error>> {
    let hash = hash_password(settings.demo_password.as_str())?;
    let mut account = NewAccount::new(settings.demo_email.as_str(), hash.as_str());
    account.is_verified = true;
    if store.add_account(&account).await?.is_none()
        && let Some(there) = store.find_by_email(&normalize_email(&settings.demo_email)).await?
    {
        store.replace_hash(&there.account.subject, &there.password_hash, &hash).await?;
    }
    Ok(())
}

/// Answers requests until a signal to stop. Then it finishes the running requests, for at most [`PATIENCE`].
async fn serve(
    listener: TcpListener,
    app: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let (stopping, stopped) = oneshot::channel();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop.await;
        let _ = stopping.send(());
    });
    let too_late = async {
        let _ = stopped.await;
        let _ = tokio::time::timeout(PATIENCE, std::future::pending::<()>()).await;
    };
    tokio::select! {
        served = server => Ok(served?),
        () = too_late => Ok(()),
    }
}

/// Waits for SIGTERM or ctrl-c.
fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Who calls: the protected demo endpoint.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "demo", security(("access_token" = [])),
    responses(
        (status = 200, description = "The claims of the access or private token"),
        (status = 401, description = "No token, or one that is invalid or expired"),
    )
)]
async fn me(user: Authenticated) -> Json<Value> {
    Json(user.claims().as_map().clone().into())
}

/// The OpenAPI document of the whole service, as JSON and as a page. `base` is the URL of the service.
fn documents(base: &str) -> Result<Router, Box<dyn Error>> {
    #[derive(OpenApi)]
    #[openapi(
        paths(me),
        info(title = "token_service", description = "A service with its own tokens.")
    )]
    struct Service;

    let document = Service::openapi().nest("/api/v1/auth", TokenApi::openapi()).to_json()?;
    let page = page::of(&serde_json::from_str(&document)?, base);
    let json = ([(header::CONTENT_TYPE, "application/json")], document);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let page = ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page));
    Ok(Router::new()
        .route("/openapi.json", get(async move || json))
        .route("/", get(async move || page)))
}
