//! Puts the layer on a tonic server, and calls it twice: `cargo run -p quickstart_tonic`.
//!
//! The service is gRPC's own health check, because its generated code is already available.

#![allow(clippy::print_stdout, reason = "a program talks to its user")]

use jsonwebtoken::{EncodingKey, Header};
use tokio_stream::{Empty, wrappers::TcpListenerStream};
use tonic::{
    Request, Response, Status,
    transport::{Endpoint, Server},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use tower_bearer::{
    Authenticator, BearerLayer, Issuer, Key, claims::UntypedClaims, tonic::authenticated,
};

struct Guarded;

#[tonic::async_trait]
impl Health for Guarded {
    type WatchStream = Empty<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let user = authenticated::<UntypedClaims, _>(&request)?;
        println!("the method sees the subject {:?}", user.registered().subject());
        Ok(Response::new(HealthCheckResponse { status: 1 }))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only check"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = [7; 32];
    let issuer =
        Issuer::new("https://issuer.example", Key::hs256(secret)?).audience("api://orders");
    let authenticator = Authenticator::builder().issuer(issuer).build()?;
    let layer = BearerLayer::new(authenticator);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = Server::builder().layer(layer).add_service(HealthServer::new(Guarded));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let mut client = HealthClient::new(Endpoint::from_shared(url)?.connect().await?);
    let refused = client.check(HealthCheckRequest::default()).await.unwrap_err();
    println!("without a token: {:?}, {}", refused.code(), refused.message());

    let expires_at = jsonwebtoken::get_current_timestamp() + 60;
    let claims = serde_json::json!({
        "iss": "https://issuer.example", "aud": "api://orders", "sub": "me", "exp": expires_at
    });
    let token =
        jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(&secret))?;
    let mut request = Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
    let answer = client.check(request).await?;
    println!("with a token: {:?}", answer.into_inner().status());
    Ok(())
}
