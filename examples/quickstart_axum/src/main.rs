//! Puts the layer on axum: `cargo run -p quickstart_axum`, then
//! `curl -i http://127.0.0.1:3000/orders -H "Authorization: Bearer $TOKEN"`.

use axum::{Router, routing::get};
use serde::Deserialize;
use tower_bearer::{Authenticated, Authenticator, BearerLayer, Issuer, Key, RevocationCache};

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

async fn orders(user: Authenticated<Claims>) -> String {
    format!("the orders of {}\n", user.claims().sub)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = std::env::var("HS256_SECRET")
        .map_err(|_| "set HS256_SECRET to the secret of your issuer, 32 bytes or more")?;
    let issuer =
        Issuer::new("https://issuer.example", Key::hs256(secret)?).audience("api://orders");
    let authenticator = Authenticator::builder()
        .claims::<Claims>()
        .issuer(issuer)
        .revocation(RevocationCache::in_memory())
        .build()?;
    let layer = BearerLayer::new(authenticator);

    let app = Router::new()
        .route("/orders", get(orders))
        .route_layer(layer.require_scopes(["orders:read"]))
        .route_layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app).await?;
    Ok(())
}
