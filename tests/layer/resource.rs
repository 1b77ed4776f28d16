//! The metadata of a protected resource (RFC 9728), the challenges that name it, scopes, and step-up authentication
//! (RFC 9470).

use std::{convert::Infallible, time::Duration};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use tower::{Layer, Service, util::BoxCloneSyncService};
use tower_bearer::{
    BearerLayer, ConfigError, Issuer, Key, ProtectedResource, RejectionKind, RequiredScopes,
    ResourceMetadata, RevocationCache, ScopeHierarchy, UnixTime,
    claims::ManualClock,
    rejection::ProblemJson,
    require::RequiredAuthentication,
    test_util::{FakeStore, StoreBehavior},
};

use crate::common::{
    requests::{
        Body, NOW, Outcome, body, builder, get, layer, open, send, token, token_for, token_with,
        with_bearer,
    },
    tokens::SECRET,
};

const METADATA: &str = "https://api.example/.well-known/oauth-protected-resource/mcp";

fn resource() -> ProtectedResource {
    ProtectedResource::new("https://api.example/mcp").unwrap()
}

fn metadata() -> ResourceMetadata {
    layer().with_resource(resource()).resource_metadata().unwrap()
}

fn document(layer: &BearerLayer) -> Value {
    serde_json::from_str(layer.resource_metadata().unwrap().document()).unwrap()
}

fn challenge(outcome: &Outcome) -> Option<&str> {
    outcome.headers.get(WWW_AUTHENTICATE).map(|challenge| challenge.to_str().unwrap())
}

#[test]
fn the_well_known_path_comes_between_host_and_path() {
    let origin = "https://api.example";
    for (path, expected) in [
        ("", ""),
        ("/", ""),
        ("/mcp", "/mcp"),
        ("/mcp/", "/mcp/"),
        ("/a/b", "/a/b"),
        ("/a%20b", "/a%20b"),
    ] {
        let resource = ProtectedResource::new(&format!("{origin}{path}")).unwrap();
        let expected = format!("/.well-known/oauth-protected-resource{expected}");
        assert_eq!(resource.identifier(), format!("{origin}{path}"));
        assert_eq!(resource.metadata_path(), expected);
        assert_eq!(resource.metadata_url(), format!("{origin}{expected}"));
    }
    let with_port = ProtectedResource::new("http://127.0.0.1:3000/mcp").unwrap();
    let expected = "http://127.0.0.1:3000/.well-known/oauth-protected-resource/mcp";
    assert_eq!(with_port.metadata_url(), expected);
}

#[test]
fn an_identifier_that_is_not_an_https_url_is_an_error() {
    for identifier in [
        "",
        "api.example",
        "/mcp",
        "https://",
        "https:///mcp",
        "http://api.example/mcp",
        "http://10.0.0.1/mcp",
        "http://localhost.example/mcp",
        "ftp://api.example",
        "urn:example:api",
        "https://api.example/mcp?a=b",
        "https://api.example/mcp?",
        "https://api.example/mcp#part",
        "https://api.example#",
        "https://user@api.example/",
        "https://user:password@api.example/",
        "https://api.example/a\"b",
        "https://api.example/a\\b",
        "https://api.example/a b",
        "https://api.example/{a}",
        "https://api.example/{",
        "https://api.example/a|b",
        "https://api.example/a^b",
        "https://api.example/`",
        "https://api.example/\u{e9}",
        "https://api.example/\n",
        "https://api.example/../admin",
        "https://api.example/a/./b",
        "https://api.example/a/%2e%2E/b",
        "https://api.example/%2e",
    ] {
        let error = ProtectedResource::new(identifier).unwrap_err();
        assert!(matches!(error, ConfigError::InvalidResource(_)), "{identifier:?}: {error}");
    }
    for identifier in ["http://localhost:3000", "http://127.1.2.3/mcp", "http://[::1]:80/mcp"] {
        assert!(ProtectedResource::new(identifier).is_ok(), "{identifier}");
    }
}

#[test]
fn a_document_has_the_configured_members_and_no_empty_ones() {
    let plain = document(&layer().with_resource(resource()));
    let expected = json!({
        "resource": "https://api.example/mcp",
        "authorization_servers": ["https://issuer.example"],
        "bearer_methods_supported": ["header"],
    });
    assert_eq!(plain, expected);

    let resource = resource()
        .with_scopes(["orders:read", "orders:write"])
        .unwrap()
        .with_name("Orders \"and\" more")
        .with_documentation("https://docs.example/")
        .unwrap();
    let full = document(&layer().allow_query("access_token").with_resource(resource));
    let expected = json!({
        "resource": "https://api.example/mcp",
        "authorization_servers": ["https://issuer.example"],
        "bearer_methods_supported": ["header", "query"],
        "scopes_supported": ["orders:read", "orders:write"],
        "resource_name": "Orders \"and\" more",
        "resource_documentation": "https://docs.example/",
    });
    assert_eq!(full, expected);
    assert!(layer().resource_metadata().is_none());
}

#[test]
fn bearer_methods_are_those_of_rfc_6750_that_are_allowed() {
    let methods = |layer: BearerLayer| {
        document(&layer.with_resource(resource())).get("bearer_methods_supported").cloned()
    };
    assert_eq!(methods(layer().allow_cookie("session")), Some(json!(["header"])));
    // Clients know only the parameter `access_token`.
    assert_eq!(methods(layer().allow_query("token")), Some(json!(["header"])));
    let custom = layer().credential_header(http::HeaderName::from_static("x-token"));
    assert_eq!(methods(custom), None);
}

#[test]
fn the_tenants_of_an_issuer_are_authorization_servers_if_they_are_listed() {
    let servers = |tenants: Option<&[&str]>| {
        let key = Key::hs256(SECRET).unwrap();
        let issuer = Issuer::multi_tenant("https://login.example/{tenantid}/v2.0", key);
        let issuer = match tenants {
            Some(tenants) => issuer.tenants(tenants.iter().copied()),
            None => issuer.allow_any_tenant(),
        };
        let authenticator = builder().issuer(issuer.audience("api://orders")).build().unwrap();
        let layer = BearerLayer::new(authenticator).with_resource(resource());
        document(&layer)["authorization_servers"].clone()
    };
    let expected = json!([
        "https://issuer.example",
        "https://login.example/one/v2.0",
        "https://login.example/two/v2.0"
    ]);
    assert_eq!(servers(Some(&["one", "two"])), expected);
    assert_eq!(servers(None), json!(["https://issuer.example"]));
}

#[test]
fn scopes_that_clients_must_not_ask_for_are_an_error() {
    for scope in ["offline_access", "", "a b", "a\"b", "\u{e9}"] {
        let error = resource().with_scopes([scope]).unwrap_err();
        assert!(matches!(error, ConfigError::InvalidScope(_)), "{scope:?}: {error}");
    }
    for url in ["", "docs.example", "javascript:alert(1)", "data:text/html,x", "/docs"] {
        assert!(resource().with_documentation(url).is_err(), "{url:?}");
    }
}

#[tokio::test]
async fn the_document_is_served_without_a_token() {
    let metadata = metadata();
    let url = "/.well-known/oauth-protected-resource/mcp";
    let length = metadata.document().len().to_string();
    let expected = vec![
        ("access-control-allow-origin", "*"),
        ("cache-control", "public, max-age=3600"),
        ("content-length", &length),
        ("content-type", "application/json"),
    ];
    for (method, content) in [(Method::GET, metadata.document()), (Method::HEAD, "")] {
        let outcome =
            send(metadata.clone(), body(Request::builder().method(method).uri(url))).await;
        assert_eq!(outcome.status, StatusCode::OK);
        assert_eq!(outcome.headers(), expected);
        assert_eq!(outcome.body, content);
    }

    let preflight = Request::options(url)
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "mcp-protocol-version");
    let outcome = send(metadata.clone(), body(preflight)).await;
    assert_eq!(outcome.status, StatusCode::NO_CONTENT);
    let expected = vec![
        ("access-control-allow-headers", "*, Authorization"),
        ("access-control-allow-methods", "GET, HEAD"),
        ("access-control-allow-origin", "*"),
        ("access-control-max-age", "3600"),
        ("allow", "GET, HEAD, OPTIONS"),
    ];
    assert_eq!(outcome.headers(), expected);

    for method in [Method::POST, Method::PUT, Method::DELETE, Method::TRACE] {
        let outcome =
            send(metadata.clone(), body(Request::builder().method(method).uri(url))).await;
        assert_eq!(outcome.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(outcome.headers(), [("allow", "GET, HEAD, OPTIONS")]);
    }
}

#[tokio::test]
async fn the_document_is_served_at_its_exact_path_only() {
    for path in [
        "/",
        "/mcp",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/",
        "/.well-known/oauth-protected-resource/mcp/",
        "/.well-known/oauth-protected-resource//mcp",
        "/.well-known/oauth-protected-resource/MCP",
        "/.well-known/oauth-protected-resource/mcp/../mcp",
        "/.well-known/oauth-protected-resource/%6dcp",
        "/.well-known/oauth-protected-resource/other",
        "//.well-known/oauth-protected-resource/mcp",
    ] {
        let outcome = send(metadata(), body(get(path))).await;
        assert_eq!(outcome.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(outcome.body, "", "{path}");
    }
    let with_query = "/.well-known/oauth-protected-resource/mcp?resource=https://evil.example";
    assert_eq!(send(metadata(), body(get(with_query))).await.body, metadata().document());
}

#[tokio::test]
async fn nothing_of_a_request_is_in_the_document_or_a_challenge() {
    let hostile = |path: &str| {
        let mut request =
            get(&format!("https://evil.example{path}")).header("host", "evil.example");
        for (name, value) in [
            ("forwarded", "host=evil.example;proto=http;by=evil"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "evil"),
            ("x-forwarded-prefix", "/evil"),
            ("x-original-url", "/evil"),
            ("origin", "https://evil.example"),
            ("mcp-protocol-version", "evil"),
        ] {
            request = request.header(name, value);
        }
        body(request)
    };
    let path = "/.well-known/oauth-protected-resource/mcp";
    let plain = send(metadata(), body(get(path))).await;
    let outcome = send(metadata(), hostile(path)).await;
    assert_eq!((outcome.headers(), &outcome.body), (plain.headers(), &plain.body));

    let service = layer().with_resource(resource()).and_require_scopes(["admin"]).layer(open());
    let plain = send(service.clone(), body(get("/"))).await;
    let outcome = send(service, hostile("/evil?scope=evil&resource=evil")).await;
    assert_eq!(outcome.status, StatusCode::UNAUTHORIZED);
    assert_eq!((outcome.headers(), &outcome.body), (plain.headers(), &plain.body));
}

type Inner = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Sends the request as it is, as gRPC, and to a layer that answers with problem details. All have one challenge.
async fn challenge_of<L, B>(of: impl Fn(BearerLayer) -> L, request: Request<Body>) -> Option<String>
where
    L: Layer<Inner>,
    L::Service: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = bytes::Bytes>,
    B::Error: std::fmt::Debug,
{
    let inner = || Inner::new(open());
    let mut grpc = request.clone();
    *grpc.method_mut() = Method::POST;
    grpc.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let with_resource = layer().with_resource(resource());
    let plain = send(of(with_resource.clone()).layer(inner()), request.clone()).await;
    let other = send(of(with_resource.clone()).layer(inner()), grpc).await;
    let problem = send(of(with_resource.with_responder(ProblemJson)).layer(inner()), request).await;
    assert_eq!(challenge(&plain), challenge(&other));
    assert_eq!(challenge(&plain), challenge(&problem));
    challenge(&plain).map(str::to_owned)
}

#[tokio::test]
async fn every_401_and_403_names_the_metadata_and_400_and_503_do_not() {
    let stacked = |layer: BearerLayer| {
        let require = layer.require_scopes(["orders:write", "admin"]);
        (layer, require)
    };
    let together = |layer: BearerLayer| layer.and_require_scopes(["orders:write", "admin"]);
    let none = body(get("/"));
    let bad = with_bearer("a.b.c");
    let poor = with_bearer(&token_for("orders:write"));
    let malformed = body(get("/").header(AUTHORIZATION, "Bearer"));

    let plain = format!(r#"Bearer realm="api", resource_metadata="{METADATA}""#);
    let scope = r#"scope="orders:write admin""#;
    let with_scope = format!(r#"Bearer realm="api", {scope}, resource_metadata="{METADATA}""#);
    assert_eq!(challenge_of(stacked, none.clone()).await, Some(plain));
    assert_eq!(challenge_of(together, none).await, Some(with_scope));

    let error = r#"error="invalid_token", error_description="Token is invalid or expired""#;
    let plain = format!(r#"Bearer realm="api", {error}, resource_metadata="{METADATA}""#);
    let with_scope =
        format!(r#"Bearer realm="api", {error}, {scope}, resource_metadata="{METADATA}""#);
    assert_eq!(challenge_of(stacked, bad.clone()).await, Some(plain));
    assert_eq!(challenge_of(together, bad).await, Some(with_scope));

    let error = r#"error="insufficient_scope""#;
    let expected =
        format!(r#"Bearer realm="api", {error}, {scope}, resource_metadata="{METADATA}""#);
    assert_eq!(challenge_of(stacked, poor.clone()).await, Some(expected.clone()));
    assert_eq!(challenge_of(together, poor).await, Some(expected));

    let expected = Some(r#"Bearer realm="api", error="invalid_request""#.to_owned());
    assert_eq!(challenge_of(stacked, malformed.clone()).await, expected);
    assert_eq!(challenge_of(together, malformed).await, expected);

    let cache = RevocationCache::new(FakeStore::new(StoreBehavior::Fails), Duration::ZERO);
    let unavailable = BearerLayer::new(builder().revocation(cache).build().unwrap());
    let service = unavailable.with_resource(resource()).and_require_scopes(["admin"]).layer(open());
    let outcome = send(service, with_bearer(&token())).await;
    assert_eq!((outcome.status.as_u16(), challenge(&outcome)), (503, None));
}

#[tokio::test]
async fn a_cookie_from_another_site_gets_a_challenge_with_the_metadata() {
    let service = layer().allow_cookie("session").with_resource(resource()).layer(open());
    let request = Request::post("/").header("cookie", format!("session={}", token()));
    let outcome = send(service, body(request)).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::CrossSite));
    let expected = format!(r#"Bearer realm="api", resource_metadata="{METADATA}""#);
    assert_eq!(challenge(&outcome), Some(&*expected));
}

#[tokio::test]
async fn the_scope_of_a_challenge_does_not_depend_on_the_token() {
    let layer = layer().with_resource(resource()).optional();
    let service = layer.layer(layer.require_scopes(["admin"]).layer(open()));
    let scopes = ["", "admi", "orders:read", "offline_access", "secret:of:other:tenant"];
    let mut challenges = Vec::new();
    for scopes in scopes {
        let outcome = send(service.clone(), with_bearer(&token_for(scopes))).await;
        assert_eq!(outcome.status, StatusCode::FORBIDDEN);
        challenges.push(challenge(&outcome).unwrap().to_owned());
    }
    challenges.dedup();
    assert_eq!(challenges.len(), 1);
    assert!(challenges[0].contains(r#", scope="admin", "#));
    // An anonymous request learns the scopes of the route as well.
    let outcome = send(service, body(get("/"))).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::MissingCredential));
    assert!(challenge(&outcome).unwrap().contains(r#"scope="admin""#));
}

#[tokio::test]
async fn a_route_may_require_any_scope_or_one_that_implies_it() {
    let hierarchy =
        ScopeHierarchy::new([("admin", ["orders:write"]), ("orders:write", ["orders:read"])]);
    let any = RequiredScopes::any(["orders:read", "audit"]).with_hierarchy(&hierarchy.unwrap());
    let service = layer().and_require_scopes(any).layer(open());
    for (scopes, status) in [
        ("orders:read", 200),
        ("audit", 200),
        ("orders:write", 200),
        ("admin", 200),
        ("other audit", 200),
        ("orders", 403),
        ("", 403),
    ] {
        let outcome = send(service.clone(), with_bearer(&token_for(scopes))).await;
        assert_eq!(outcome.status, status, "{scopes}");
        if status == 403 {
            let expected =
                r#"Bearer realm="api", error="insufficient_scope", scope="orders:read audit""#;
            assert_eq!(challenge(&outcome), Some(expected));
        }
    }
}

const STEP_UP_BODY: &str = concat!(
    r#"{"code":"insufficient_user_authentication","#,
    r#""detail":"A more recent or stronger authentication is required."}"#
);

fn required() -> RequiredAuthentication {
    RequiredAuthentication::new()
        .with_acr_values(["urn:example:mfa", "gold"])
        .unwrap()
        .with_max_age(Duration::from_secs(300))
}

async fn step_up(required: RequiredAuthentication, members: &str) -> Outcome {
    let layer = layer();
    let service = layer.layer(layer.require_authentication(required).layer(open()));
    send(service, with_bearer(&token_with(&format!(r#""exp":{}{members}"#, NOW + 60)))).await
}

#[tokio::test]
async fn a_token_of_a_weak_or_old_login_gets_a_step_up_challenge() {
    let rejected = Some(RejectionKind::InsufficientUserAuthentication);
    let invalid = Some(RejectionKind::InvalidClaim);
    let at =
        |acr: &str, time: &dyn std::fmt::Display| format!(r#","acr":{acr},"auth_time":{time}"#);
    for (members, expected) in [
        (at(r#""gold""#, &NOW), None),
        (at(r#""urn:example:mfa""#, &(NOW - 300)), None),
        // The leeway of the issuer is 30 seconds.
        (at(r#""gold""#, &(NOW - 330)), None),
        (at(r#""gold""#, &(NOW - 331)), rejected),
        (at(r#""gold""#, &(NOW + 30)), None),
        (at(r#""gold""#, &(NOW + 31)), rejected),
        (at(r#""gold""#, &format!("{}.5", NOW - 10)), None),
        (at(r#""GOLD""#, &NOW), rejected),
        (at(r#""""#, &NOW), rejected),
        (at(r#""silver""#, &"\"now\""), invalid),
        (String::new(), rejected),
        (r#","acr":"gold""#.to_owned(), rejected),
        (format!(r#","auth_time":{NOW}"#), rejected),
        (at("7", &NOW), invalid),
        (at("null", &NOW), invalid),
        (at(r#"["gold"]"#, &NOW), invalid),
        (at(r#""gold""#, &"\"1800000000\""), invalid),
        (at(r#""gold""#, &"null"), invalid),
        // Numbers that are not dates after 1970.
        (at(r#""gold""#, &"-1"), rejected),
        (at(r#""gold""#, &"1e300"), rejected),
        (r#","auth_time":"now""#.to_owned(), invalid),
        (r#","acr":7"#.to_owned(), invalid),
    ] {
        let outcome = step_up(required(), &members).await;
        assert_eq!(outcome.rejection, expected, "{members}");
        let code = expected.map_or(200, |_| 401);
        assert_eq!(outcome.status, code, "{members}");
    }
    let outcome = step_up(required(), "").await;
    assert_eq!(outcome.body, STEP_UP_BODY);
    let expected = concat!(
        r#"Bearer realm="api", error="insufficient_user_authentication", "#,
        r#"error_description="A more recent or stronger authentication is required.", "#,
        r#"acr_values="urn:example:mfa gold", max_age=300"#
    );
    assert_eq!(challenge(&outcome), Some(expected));
}

#[tokio::test]
async fn claims_that_are_not_required_are_not_looked_at() {
    let only_age = RequiredAuthentication::new().with_max_age(Duration::from_secs(300));
    let members = format!(r#","acr":7,"auth_time":{NOW}"#);
    step_up(only_age.clone(), &members).await.assert_passed();
    let outcome = step_up(only_age, "").await;
    assert!(challenge(&outcome).unwrap().ends_with(r#"required.", max_age=300"#));

    let only_acr = RequiredAuthentication::new().with_acr_values(["gold"]).unwrap();
    step_up(only_acr.clone(), r#","acr":"gold","auth_time":"x""#).await.assert_passed();
    let outcome = step_up(only_acr, "").await;
    assert!(challenge(&outcome).unwrap().ends_with(r#"required.", acr_values="gold""#));

    step_up(RequiredAuthentication::new(), r#","acr":7,"auth_time":"x""#).await.assert_passed();
    for value in ["", "a b", "a\"b"] {
        assert!(RequiredAuthentication::new().with_acr_values([value]).is_err(), "{value:?}");
    }
}

#[tokio::test]
async fn the_age_of_a_login_counts_by_the_clock_and_leeway_of_the_issuer() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let issuer = Issuer::new("https://strict.example", Key::hs256(SECRET).unwrap())
        .audience("api://orders")
        .with_leeway(Duration::ZERO);
    let authenticator = builder().issuer(issuer).with_clock(clock.clone()).build().unwrap();
    let layer = BearerLayer::new(authenticator);
    let required = RequiredAuthentication::new().with_max_age(Duration::from_secs(60));
    let service = layer.layer(layer.require_authentication(required).layer(open()));
    let claims = format!(
        r#"{{"iss":"https://strict.example","aud":"api://orders","exp":{},"auth_time":{NOW}}}"#,
        NOW + 3600
    );
    let token = crate::common::tokens::sign_hs256(r#"{"alg":"HS256"}"#, &claims);
    clock.advance(Duration::from_secs(60));
    send(service.clone(), with_bearer(&token)).await.assert_passed();
    clock.advance(Duration::from_secs(1));
    let outcome = send(service, with_bearer(&token)).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::InsufficientUserAuthentication));
}

#[tokio::test]
async fn a_step_up_challenge_names_the_metadata_in_every_protocol() {
    let step_up = |layer: BearerLayer| {
        let require = layer.require_authentication(required());
        (layer, require)
    };
    let challenge = challenge_of(step_up, with_bearer(&token())).await.unwrap();
    let expected = format!(r#"max_age=300, resource_metadata="{METADATA}""#);
    assert!(challenge.ends_with(&expected), "{challenge}");

    let layer = layer();
    let service = layer.layer(layer.require_authentication(required()).layer(open()));
    let mut request = with_bearer(&token());
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let outcome = send(service, request).await;
    assert_eq!(outcome.headers["grpc-status"], "16");
}

#[tokio::test]
async fn without_a_resource_a_401_has_neither_scope_nor_metadata() {
    let error = r#"error="invalid_token", error_description="Token is invalid or expired""#;
    let invalid = format!(r#"Bearer realm="api", {error}"#);
    let poor = r#"Bearer realm="api", error="insufficient_scope", scope="admin""#;
    let layer = layer();
    let require = layer.require_scopes(["admin"]);
    for (layer, request, expected) in [
        (layer.clone(), body(get("/")), r#"Bearer realm="api""#),
        (layer.clone(), with_bearer("a.b.c"), &*invalid),
        (layer.clone(), with_bearer(&token()), poor),
        (layer.clone().optional(), body(get("/")), r#"Bearer realm="api""#),
        // The layer that let the request through decides how it is rejected.
        (
            layer.clone().optional().with_realm("other").unwrap(),
            body(get("/")),
            r#"Bearer realm="other""#,
        ),
    ] {
        let outcome = send(layer.layer(require.layer(open())), request).await;
        assert_eq!(challenge(&outcome), Some(expected));
    }
}
