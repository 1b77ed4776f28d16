//! The metadata of the issuer (RFC 8414): where they are, what they say, and when there are none.

use axum::{Router, body::Body};
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_bearer::{Algorithm, dpop::Dpop, jws::SigningKey};
use tower_bearer_issuing::{
    MemoryAccounts, Passwords, TokenApi, TokenIssuer, store::MemoryTokenStore,
};

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

fn issuer(name: &str) -> TokenIssuer {
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let accounts = Passwords::new(MemoryAccounts::new()).unwrap();
    TokenIssuer::builder(name, "api", key, MemoryTokenStore::new(), accounts).build().unwrap()
}

fn service(issuer: &TokenIssuer, api: TokenApi) -> Router {
    Router::new()
        .merge(api.metadata_router("/api/v1/auth"))
        .merge(issuer.jwks_router())
        .nest("/api/v1/auth", api.into_router())
}

/// The status, the cache control and the body.
async fn get(router: &Router, path: &str) -> (u16, String, String) {
    send(router, Method::GET, path).await
}

async fn send(router: &Router, method: Method, path: &str) -> (u16, String, String) {
    let request = Request::builder().method(method).uri(path).header("host", "evil.example");
    let request = request.header("x-forwarded-host", "evil.example").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let cached = response.headers().get("cache-control").map(|value| value.to_str().unwrap());
    let cached = cached.unwrap_or_default().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, cached, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_document_names_the_issuer_its_keys_and_its_endpoints() {
    let issuer = issuer("https://issuer.example");
    let router = service(&issuer, TokenApi::new(&issuer));
    for path in [OAUTH, OPENID] {
        let (status, cached, body) = get(&router, path).await;
        assert_eq!((status, &*cached), (200, "public, max-age=300"), "{path}");
        let expected = json!({
            "issuer": "https://issuer.example",
            "jwks_uri": "https://issuer.example/.well-known/jwks.json",
            "revocation_endpoint": "https://issuer.example/api/v1/auth/revoke/",
            "revocation_endpoint_auth_methods_supported": ["none"],
            "introspection_endpoint": "https://issuer.example/api/v1/auth/introspect/",
            "introspection_endpoint_auth_methods_supported": ["Bearer"],
            "scopes_supported": ["introspect", "tokens:admin"],
            "response_types_supported": [],
            "grant_types_supported": [],
        });
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected, "{path}");
        assert_eq!(send(&router, Method::POST, path).await.0, 405);
        assert_eq!(send(&router, Method::HEAD, path).await.0, 200);
    }
}

#[tokio::test]
async fn with_dpop_the_document_names_the_algorithms_of_proofs() {
    let issuer = issuer("https://issuer.example");
    let dpop = Dpop::new(["https://issuer.example"]).unwrap();
    let dpop = dpop.with_algorithms([Algorithm::ES256, Algorithm::EdDSA]).unwrap();
    let router = TokenApi::new(&issuer).with_dpop(dpop).metadata_router("/api/v1/auth");
    let (_, _, body) = get(&router, OAUTH).await;
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document["dpop_signing_alg_values_supported"], json!(["ES256", "EdDSA"]));
}

#[tokio::test]
async fn the_place_follows_the_path_of_the_issuer_and_its_name_is_kept() {
    for (name, oauth, openid) in [
        ("https://a.example/", OAUTH.to_owned(), OPENID.to_owned()),
        ("https://a.example/x/y", format!("{OAUTH}/x/y"), format!("/x/y{OPENID}")),
        ("https://a.example/x/", format!("{OAUTH}/x"), format!("/x{OPENID}")),
        ("https://a.example/:x/*y", format!("{OAUTH}/:x/*y"), format!("/:x/*y{OPENID}")),
        ("https://A.example:8443/%7Ex", format!("{OAUTH}/%7Ex"), format!("/%7Ex{OPENID}")),
        ("http://127.0.0.1:3000/x", format!("{OAUTH}/x"), format!("/x{OPENID}")),
        ("http://localhost", OAUTH.to_owned(), OPENID.to_owned()),
    ] {
        let issuer = issuer(name);
        let router = service(&issuer, TokenApi::new(&issuer));
        for path in [oauth, openid] {
            let (status, _, body) = get(&router, &path).await;
            assert_eq!(status, 200, "{path}");
            assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["issuer"], name);
        }
        for other in ["/a/b", "/other/y", "/x/y/z", "/"] {
            assert_eq!(get(&router, &format!("{OAUTH}{other}")).await.0, 404, "{name} {other}");
        }
    }
}

#[tokio::test]
async fn urls_begin_with_the_public_url_and_never_with_a_host_of_the_request() {
    let issuer = issuer("https://issuer.example/shop");
    for (public, prefix, jwks, revoke) in [
        (
            None,
            "/api/v1/auth",
            "https://issuer.example/.well-known/jwks.json",
            "https://issuer.example/api/v1/auth/revoke/",
        ),
        (
            Some("https://api.example/base/"),
            "api",
            "https://api.example/base/.well-known/jwks.json",
            "https://api.example/base/api/revoke/",
        ),
        (
            Some("http://[::1]:3000"),
            "",
            "http://[::1]:3000/.well-known/jwks.json",
            "http://[::1]:3000/revoke/",
        ),
    ] {
        let api = TokenApi::new(&issuer);
        let api = match public {
            Some(url) => api.with_public_url(url).unwrap(),
            None => api,
        };
        let (_, _, body) = get(&api.metadata_router(prefix), &format!("{OAUTH}/shop")).await;
        let document: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&document["jwks_uri"], &document["revocation_endpoint"]),
            (&json!(jwks), &json!(revoke))
        );
        assert_eq!(document["issuer"], "https://issuer.example/shop");
        assert!(!body.contains("evil"), "{body}");
    }
}

#[tokio::test]
async fn an_issuer_whose_name_is_not_a_safe_url_has_no_metadata() {
    for name in ["token_service", "http://issuer.example", "http://10.0.0.1", "https://a.example?x"]
    {
        let issuer = issuer(name);
        let router = service(&issuer, TokenApi::new(&issuer));
        for path in [OAUTH, OPENID] {
            assert_eq!(get(&router, path).await.0, 404, "{name} {path}");
        }
        assert_eq!(get(&router, "/.well-known/jwks.json").await.0, 200);
    }
}
