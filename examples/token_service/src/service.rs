//! `serve`: the token API and an endpoint that needs its tokens, until a signal to stop.

use axum::{
    Json, Router,
    http::{StatusCode, Uri},
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_bearer::{Authenticated, dpop::Dpop};
use tower_bearer_issuing::TokenApi;

use crate::{
    api_document,
    demo::DemoAccount,
    failure::Outcome,
    health,
    issuer::Replica,
    peer,
    settings::{Settings, warnings},
    walkthrough::Walkthrough,
};

pub(crate) async fn run(settings: &Settings) -> Outcome {
    for warning in warnings::of(settings) {
        eprintln!("warning: {warning}");
    }
    let replica = Replica::open(settings).await?;
    let demo = match &settings.demo {
        Some(demo) => Some(DemoAccount::add(&replica.issuer, &replica.store, demo).await?),
        None => None,
    };
    let listener = TcpListener::bind(settings.address)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", settings.address))?;
    let address = listener.local_addr()?;
    let base = settings.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let maintenance = replica.issuer.spawn_maintenance();
    let app = app(&replica, settings, &base)?
        .merge(api_document::router(&base)?)
        .merge(health::checks(&replica, &maintenance, settings).into_router());
    let stop = http_server::stop_signal()?;
    println!("listening on http://{address}");
    if let Some(demo) = &demo {
        print!("{}", Walkthrough { address, demo, settings });
    }
    http_server::serve(listener, app, settings.limits, stop).await;
    replica.close(&maintenance).await
}

/// An endpoint that needs tokens, and the API that issues the tokens. `base` is the public URL, or the address.
fn app(replica: &Replica, settings: &Settings, base: &str) -> Outcome<Router> {
    let issuer = &replica.issuer;
    let mut api = TokenApi::new(issuer).with_audit_log(replica.store.clone());
    if let Some(url) = &settings.public_url {
        api = api.with_public_url(url)?;
    }
    if let Some(scopes) = &settings.supported_scopes {
        api = api.with_supported_scopes(scopes.iter())?;
    }
    let mut layer = issuer.layer();
    if settings.allows_dpop {
        let mut dpop = Dpop::new([base])?;
        if let Some(sharing) = &replica.sharing {
            dpop = dpop.with_replay_store(sharing.redis.replay_store());
        }
        layer = layer.with_dpop(dpop.clone());
        api = api.with_dpop(dpop);
    }
    if let Some(header) = settings.trusted_proxy_header.clone() {
        api = api.with_peer_address(move |parts| peer::address(parts, &header));
    }
    // A proxy may have removed the path of the public URL. Browsers see it.
    let prefix = match &settings.public_url {
        Some(url) => url.parse::<Uri>()?.path().trim_end_matches('/').to_owned(),
        None => String::new(),
    };
    let page = api.page(format!("{prefix}/api/v1/auth"))?;
    Ok(Router::new()
        .route("/api/v1/me", get(me))
        .route_layer(layer)
        .merge(api.metadata_router("/api/v1/auth"))
        .nest("/api/v1/auth", api.into_router())
        .merge(issuer.jwks_router())
        .nest_service("/tokens", page.into_router())
        .fallback(async || (StatusCode::NOT_FOUND, Json(json!({ "detail": "Not found." }))))
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, Json(json!({ "detail": "Method not allowed." })))
        }))
}

/// Who calls: the protected demo endpoint.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "demo", security(("access_token" = [])),
    responses(
        (status = 200, description = "The claims of the access or private token"),
        (status = 401, description = "No token, or one that is invalid or expired"),
    )
)]
pub(crate) async fn me(user: Authenticated) -> Json<Value> {
    Json(user.claims().as_map().clone().into())
}
