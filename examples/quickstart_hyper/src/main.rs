//! Puts the layer on bare hyper: `cargo run -p quickstart_hyper`, then
//! `curl -i http://127.0.0.1:3000/ -H "Authorization: Bearer $TOKEN"`.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tower::{ServiceBuilder, service_fn};
use tower_bearer::{Authenticated, Authenticator, BearerLayer, Issuer, Key};

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let subject = request
        .extensions()
        .get::<Authenticated>()
        .and_then(|user| user.registered().subject().map(str::to_owned));
    let text = format!("hello {}\n", subject.as_deref().unwrap_or("stranger"));
    Ok(Response::new(Full::from(text)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = std::env::var("HS256_SECRET")
        .map_err(|_| "set HS256_SECRET to the secret of your issuer, 32 bytes or more")?;
    let issuer =
        Issuer::new("https://issuer.example", Key::hs256(secret)?).audience("api://orders");
    let authenticator = Authenticator::builder().issuer(issuer).build()?;
    let layer = BearerLayer::new(authenticator);
    let service = ServiceBuilder::new().layer(layer).service(service_fn(hello));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            // An error of a client affects only its own connection.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
