//! Tokens that are bound to a key of the client (DPoP, RFC 9449): `cargo run -p quickstart_dpop`.
//!
//! The program starts a server, calls it as a client, and prints what happens. Then it serves until you stop it.

#![allow(clippy::print_stdout, reason = "it talks to the terminal")]

mod client;

use std::{env, error::Error};

use axum::{Router, http::Uri, routing::get};
use serde_json::json;
use tower_bearer::{
    Algorithm, Authenticated, Authenticator, BearerLayer, Issuer,
    claims::{Clock as _, SystemClock},
    dpop::Dpop,
    jws::SigningKey,
};

use crate::client::{Client, send};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "api://orders";

async fn orders(user: Authenticated) -> String {
    format!("the orders of {}\n", user.registered().subject().unwrap_or("somebody"))
}

/// The server: one more line than without DPoP.
fn app(issuer: &SigningKey, public_url: &str) -> Result<Router, Box<dyn Error>> {
    let issuer = Issuer::new(ISSUER, issuer.verifying_key()).audience(AUDIENCE);
    let authenticator = Authenticator::builder().issuer(issuer).build()?;
    let layer = BearerLayer::new(authenticator).with_dpop(Dpop::new([public_url])?.required());
    Ok(Router::new().route("/orders", get(orders)).route_layer(layer))
}

/// What an authorization server does after the client has proved its key: it puts the thumbprint into the token.
fn bound_token(issuer: &SigningKey, thumbprint: &str) -> Result<String, Box<dyn Error>> {
    let now = SystemClock::default().now().as_secs();
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 3600,
        "cnf": { "jkt": thumbprint },
    });
    Ok(issuer.sign("at+jwt", &claims.to_string())?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let issuer = SigningKey::generate(Algorithm::ES256)?;
    let server = tokio::spawn(axum::serve(listener, app(&issuer, &url)?).into_future());

    let client = Client::new()?;
    let token = bound_token(&issuer, &client.thumbprint())?;
    let orders: Uri = format!("{url}/orders").parse()?;
    let proof = client.proof("GET", &orders, &token)?;
    let dpop = format!("DPoP {token}");
    for (what, authorization, proof) in [
        ("token and proof", dpop.as_str(), Some(&proof)),
        ("the same proof again", &dpop, Some(&proof)),
        ("a stolen token, without a proof", &dpop, None),
        ("a stolen token, as Bearer", &format!("Bearer {token}"), None),
        (
            "a proof by the key of the thief",
            &dpop,
            Some(&Client::new()?.proof("GET", &orders, &token)?),
        ),
        ("a proof for another method", &dpop, Some(&client.proof("POST", &orders, &token)?)),
        ("a new proof", &dpop, Some(&client.proof("GET", &orders, &token)?)),
    ] {
        let (status, body) = send(&orders, authorization, proof).await?;
        println!("{what}: {status} {}", body.trim_end());
    }

    println!("\nlistening on {url}. With a proof that is valid once, for a minute:\n");
    let proof = client.proof("GET", &orders, &token)?;
    println!("curl -i {orders} -H 'Authorization: DPoP {token}' -H 'DPoP: {proof}'");
    server.await??;
    Ok(())
}
