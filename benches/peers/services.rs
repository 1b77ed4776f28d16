//! From request to response: each middleware around the same trivial service.

use std::{convert::Infallible, hint::black_box, sync::Arc, time::Duration};

use aliri_oauth2::{Authority, HasScope, Scope};
use axum::extract::FromRequestParts;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION},
};
use http_body_util::{Empty, Full};
use jwt_authorizer::IntoLayer;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_bearer::{
    Algorithm, AuthenticatorBuilder, BearerLayer, RevocationCache, revocation::MemoryStore,
};
use tower_http::auth::AsyncRequireAuthorizationLayer;

use crate::{
    fixture::{AUDIENCE, Claims, ISSUER, SECRET, jwks, peer, public_pem},
    libraries::{AliriClaims, aliri_policy, builder, has_aliri, jsonwebtoken_key},
};

pub(crate) type Body = Empty<Bytes>;

/// Handles one request.
pub(crate) type Handle = Box<dyn FnMut(Request<Body>) -> StatusCode>;

/// A request as a server makes it from the bytes that it has read: two headers whose bytes are already in memory.
pub(crate) fn request(credential: Option<&HeaderValue>) -> Request<Body> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::from_static("/orders");
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(credential) = credential {
        request.headers_mut().insert(AUTHORIZATION, credential.clone());
    }
    request
}

/// Only the service behind every middleware: the floor.
pub(crate) fn bare() -> Handle {
    handle(service_fn(inner))
}

/// The middlewares that support `algorithm`. Each requires `iss`, `aud` and `exp`.
pub(crate) fn services(algorithm: Algorithm) -> Vec<(&'static str, Handle)> {
    let cold = builder(algorithm).with_token_cache_capacity(0);
    let cached = builder(algorithm).cache_hmac_tokens();
    let mut services = vec![
        ("tower-bearer", tower_bearer(cold)),
        ("tower-bearer_cached", tower_bearer(cached)),
        ("by_hand", by_hand(algorithm)),
        ("axum-jwt-auth", axum_jwt_auth(algorithm)),
        ("jwt-authorizer", jwt_authorizer(algorithm)),
        ("tower-oauth2-resource-server", tower_oauth2_resource_server(algorithm)),
    ];
    if has_aliri(algorithm) {
        services.push(("aliri_tower", aliri_tower(algorithm)));
    }
    services
}

async fn inner(request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    black_box(request.extensions().len());
    Ok(Response::new(Full::from("ok")))
}

fn handle<S, B>(mut service: S) -> Handle
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + 'static,
{
    Box::new(move |request| call(&mut service, request).status())
}

/// One whole request through a service that is always ready.
fn call<S>(service: &mut S, request: Request<Body>) -> S::Response
where
    S: Service<Request<Body>, Error = Infallible>,
{
    let ready = service.ready().now_or_never().expect("always ready");
    let response = ready.unwrap_or_else(|never| match never {}).call(request);
    match response.now_or_never().expect("nothing to wait for") {
        Ok(response) => black_box(response),
        Err(never) => match never {},
    }
}

/// The whole layer, with a revocation cache that has the answer after the first request.
fn tower_bearer(builder: AuthenticatorBuilder<Claims>) -> Handle {
    let revocation = RevocationCache::new(MemoryStore::new(), Duration::from_secs(3_600));
    let authenticator = builder.revocation(revocation).build().expect("the policy is good");
    handle(BearerLayer::new(authenticator).layer(service_fn(inner)))
}

/// A service without a crate for this: the asynchronous authorization of tower-http around `jsonwebtoken::decode`.
fn by_hand(algorithm: Algorithm) -> Handle {
    let policy = Arc::new(jsonwebtoken_key(algorithm));
    let authorize = move |mut request: Request<Body>| {
        let policy = Arc::clone(&policy);
        async move {
            let credential = request.headers().get(AUTHORIZATION);
            let token = credential.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
            let (key, validation) = &*policy;
            match token.map(|token| jsonwebtoken::decode::<Claims>(token, key, validation)) {
                Some(Ok(token)) => {
                    request.extensions_mut().insert(token.claims);
                    Ok(request)
                }
                Some(Err(_)) | None => Err(refused(StatusCode::UNAUTHORIZED)),
            }
        }
    };
    handle(AsyncRequireAuthorizationLayer::new(authorize).layer(service_fn(inner)))
}

fn refused(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// An extractor. It is called directly, without a router around it.
fn axum_jwt_auth(algorithm: Algorithm) -> Handle {
    use jsonwebtoken10::{DecodingKey, Validation};
    let key = match algorithm {
        Algorithm::HS256 => Ok(DecodingKey::from_secret(SECRET.as_bytes())),
        Algorithm::RS256 | Algorithm::PS256 => {
            DecodingKey::from_rsa_pem(public_pem(algorithm).as_bytes())
        }
        Algorithm::ES256 => DecodingKey::from_ec_pem(public_pem(algorithm).as_bytes()),
        _ => DecodingKey::from_ed_pem(public_pem(algorithm).as_bytes()),
    };
    let name = algorithm.to_string().parse().expect("both know the names of RFC 7518");
    let mut validation = Validation::new(name);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.validate_nbf = true;
    let keys = vec![key.expect("the test keys are good")];
    let decoder = axum_jwt_auth::LocalDecoder::new(keys, validation).expect("a good policy");
    let decoder: axum_jwt_auth::Decoder<Claims> = Arc::new(decoder);
    handle(service_fn(move |request: Request<Body>| {
        let decoder = Arc::clone(&decoder);
        async move {
            let (mut parts, body) = request.into_parts();
            let user =
                axum_jwt_auth::Claims::<Claims>::from_request_parts(&mut parts, &decoder).await;
            match user {
                Ok(user) => {
                    parts.extensions.insert(user.claims);
                    inner(Request::from_parts(parts, body)).await
                }
                Err(error) => {
                    Ok(refused(axum::response::IntoResponse::into_response(error).status()))
                }
            }
        }
    }))
}

fn jwt_authorizer(algorithm: Algorithm) -> Handle {
    use jwt_authorizer::{AuthError, JwtAuthorizer, Validation};

    /// The layer of that crate needs services that can answer with its errors. This type does so without a boxed body.
    struct Answer(Response<Full<Bytes>>);

    impl From<AuthError> for Answer {
        fn from(error: AuthError) -> Self {
            Self(refused(axum07::response::Response::from(error).status()))
        }
    }

    let authorizer: JwtAuthorizer<Claims> = match algorithm {
        Algorithm::HS256 => JwtAuthorizer::from_secret(SECRET),
        Algorithm::RS256 | Algorithm::PS256 => {
            JwtAuthorizer::from_rsa_pem_text(&public_pem(algorithm))
        }
        Algorithm::ES256 => JwtAuthorizer::from_ec_pem_text(&public_pem(algorithm)),
        _ => JwtAuthorizer::from_ed_pem_text(&public_pem(algorithm)),
    };
    let validation = Validation::new().iss(&[ISSUER]).aud(&[AUDIENCE]).nbf(true);
    let authorizer = authorizer.validation(validation);
    let authorizer = block_on(authorizer.build()).expect("the test keys are good");
    let mut service = authorizer
        .into_layer()
        .layer(service_fn(|request| async { inner(request).await.map(Answer) }));
    Box::new(move |request| call(&mut service, request).0.status())
}

fn tower_oauth2_resource_server(algorithm: Algorithm) -> Handle {
    use tower_oauth2_resource_server::{
        server::OAuth2ResourceServer, tenant::TenantConfiguration, validation::ClaimsValidationSpec,
    };
    let spec = ClaimsValidationSpec::new().iss(ISSUER).aud(&vec![AUDIENCE.to_owned()]).exp(true);
    let tenant = TenantConfiguration::static_builder(jwks(algorithm))
        .claims_validation(spec)
        .allowed_algorithms(&[peer(algorithm)])
        .build()
        .expect("a good policy");
    let server = OAuth2ResourceServer::<Claims>::builder().add_tenant(tenant).build();
    let server = block_on(server).expect("a good policy");
    handle(server.into_layer::<Full<Bytes>>().layer(service_fn(inner)))
}

fn aliri_tower(algorithm: Algorithm) -> Handle {
    let (keys, validator) = aliri_policy(algorithm);
    let layer = aliri_tower::Oauth2Authorizer::new()
        .with_claims::<AliriClaims<Scope>>()
        .with_terse_error_handler::<Full<Bytes>>()
        .jwt_layer(Authority::new(keys, validator));
    handle(layer.layer(service_fn(inner)))
}

impl HasScope for AliriClaims<Scope> {
    fn scope(&self) -> &Scope {
        &self.scope
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}
