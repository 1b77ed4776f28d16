//! The OpenAPI document says what the router does: every call, and every status of each, no more and no less.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Value, json};
use tower_bearer_issuing::{TokenApi, TokenIssuerBuilder};

use crate::api::{Api, Call, FORM};

type Seen = BTreeSet<(String, String, u16)>;

fn document() -> Value {
    serde_json::from_str(&TokenApi::openapi().to_json().unwrap()).unwrap()
}

fn documented() -> Seen {
    let mut seen = Seen::new();
    for (path, methods) in document()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for status in operation["responses"].as_object().unwrap().keys() {
                seen.insert((method.to_uppercase(), path.clone(), status.parse().unwrap()));
            }
        }
    }
    seen
}

/// One service and what it answers to everything that is done to it below.
struct Observed {
    api: Api,
    seen: Seen,
    /// The bodies of the answers that the document has an example for, by call and status.
    bodies: BTreeMap<(String, String, u16), Vec<Value>>,
}

impl Observed {
    async fn see(&mut self, template: &str, call: Call<'_>, method: &str) {
        let answer = self.api.call(call).await;
        let key = (method.to_owned(), template.to_owned(), answer.status.as_u16());
        if let Ok(body) = serde_json::from_str(&answer.body) {
            self.bodies.entry(key.clone()).or_default().push(body);
        }
        self.seen.insert(key);
        Self::holds_what_is_documented(
            template,
            method,
            &answer.status.as_u16().to_string(),
            &answer.body,
        );
    }

    /// Everything that the standard endpoints answer while the store answers.
    async fn see_standard_calls(&mut self, large: &str) {
        let introspect = "/introspect/";
        let (caller, ada) = (self.api.introspector(), self.api.log_in("ada").await);
        for (content_type, body) in
            [(FORM, "token=x"), (FORM, ""), ("text/plain", "x"), (FORM, large)]
        {
            let call = |path| Call::new(Method::POST, path).body(content_type, body);
            self.see("/revoke/", call("/revoke/"), "POST").await;
            self.see(introspect, call(introspect).token(Some(&caller)), "POST").await;
        }
        let form = format!("token={}", ada.access);
        for token in [None, Some("not b64"), Some("a.b.c"), Some(&*ada.access), Some(&*caller)] {
            let call = Call::new(Method::POST, introspect).token(token).body(FORM, form.clone());
            self.see(introspect, call, "POST").await;
        }
        for _ in 0..20 {
            let call = Call::new(Method::POST, "/revoke/").body(FORM, "token=x");
            self.see("/revoke/", call, "POST").await;
        }
    }

    /// Everything that operators get while the store answers.
    async fn see_operator_calls(&mut self, bodies: &[(&str, &str)]) {
        let (operator, ada) = (self.api.operator(), self.api.log_in("ada").await);
        let (id, _) = self.api.create(&ada.access, "ci").await;
        let one = format!("/admin/private_tokens/{id}/");
        let (list, revoke) = ("/admin/private_tokens/", "/admin/revoke/");
        let audit = "/admin/audit/";
        self.api.issuer.maintain().await.unwrap();
        let calls = [
            ("GET", list, "/admin/private_tokens/?subject=7"),
            ("GET", list, "/admin/private_tokens/?subject=7&page=9"),
            ("GET", list, list),
            ("GET", audit, audit),
            ("GET", audit, "/admin/audit/?before=x"),
            ("GET", audit, "/admin/audit/?subject=%00"),
            ("DELETE", "/admin/private_tokens/{id}/", &*one),
            ("DELETE", "/admin/private_tokens/{id}/", &*one),
            ("POST", revoke, revoke),
        ];
        let others = [None, Some("not b64"), Some("a.b.c"), Some(&*ada.access), Some(&*operator)];
        for (method, template, path) in calls {
            for token in others {
                let call = Call::new(method.parse().unwrap(), path).token(token);
                self.see(template, call, method).await;
            }
        }
        for (content_type, body) in bodies {
            let call = Call::new(Method::POST, revoke).token(Some(&operator));
            self.see(revoke, call.body(content_type, *body), "POST").await;
        }
        let call = Call::new(Method::POST, revoke).token(Some(&operator));
        self.see(revoke, call.json(&json!({"session": "x"})), "POST").await;
    }

    /// What an operator gets now from each call.
    async fn see_every_operator_call(&mut self, operator: &str) {
        for (method, template, path) in [
            ("GET", "/admin/private_tokens/", "/admin/private_tokens/?subject=7"),
            ("GET", "/admin/audit/", "/admin/audit/"),
            ("DELETE", "/admin/private_tokens/{id}/", "/admin/private_tokens/1/"),
            ("POST", "/admin/revoke/", "/admin/revoke/"),
        ] {
            let call = Call::new(method.parse().unwrap(), path).token(Some(operator));
            self.see(template, call.json(&json!({"session": "x"})), method).await;
        }
    }

    /// The members of an answer are those of its schema.
    fn holds_what_is_documented(template: &str, method: &str, status: &str, body: &str) {
        let document = document();
        let operation = &document["paths"][template][method.to_lowercase()];
        let schema = &operation["responses"][status]["content"]["application/json"]["schema"];
        let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) else {
            assert_eq!(body, "", "{method} {template} {status} documents no body");
            return;
        };
        if name == "FieldErrors" {
            return;
        }
        let body: Value = serde_json::from_str(body).unwrap();
        let has: BTreeSet<_> = body.as_object().unwrap().keys().collect();
        let schemas = &document["components"]["schemas"];
        let variants = match schemas[name]["oneOf"].as_array() {
            Some(variants) => {
                let name = |one: &Value| {
                    one["$ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
                };
                variants.iter().map(name).collect()
            }
            None => vec![name.to_owned()],
        };
        let has_no_other = variants.iter().any(|name| {
            if name == "FieldErrors" {
                return body.as_object().unwrap().values().all(Value::is_array);
            }
            let properties = schemas[name]["properties"].as_object().unwrap();
            has.is_subset(&properties.keys().collect())
        });
        assert!(has_no_other, "{method} {template} {status}: {has:?} {variants:?}");
    }
}

#[tokio::test]
async fn the_document_has_exactly_the_statuses_and_error_bodies_of_the_router() {
    let api = Api::build(TokenIssuerBuilder::allow_private_token_management, |api| api);
    let mut observed = Observed { api, seen: Seen::new(), bodies: BTreeMap::new() };
    let expiry = "2027-01-16T08:00:00Z";
    let login = json!({"username": "ada@example.org", "password": "right"});
    let wrong = json!({"username": "eve@example.org", "password": "wrong"});
    let large = "x".repeat(70_000);

    let bodies: &[(&str, &str)] =
        &[("application/json", "{}"), ("text/plain", "x"), ("application/json", &large)];
    for (content_type, body) in bodies {
        for path in ["/login/", "/refresh/"] {
            let call = Call::new(Method::POST, path).body(content_type, *body);
            observed.see(path, call, "POST").await;
        }
    }
    observed.see("/login/", Call::new(Method::POST, "/login/").json(&login), "POST").await;
    for _ in 0..6 {
        observed.see("/login/", Call::new(Method::POST, "/login/").json(&wrong), "POST").await;
    }
    let first = observed.api.log_in("ada").await;
    for _ in 0..2 {
        let refresh = json!({"refresh_token": first.refresh});
        observed
            .see("/refresh/", Call::new(Method::POST, "/refresh/").json(&refresh), "POST")
            .await;
    }

    observed.see_standard_calls(&large).await;
    observed.see_operator_calls(bodies).await;

    let ada = observed.api.log_in("ada").await;
    let (id, _) = observed.api.create(&ada.access, "ci").await;
    let (one, rotate) = (format!("/private_tokens/{id}/"), format!("/private_tokens/{id}/rotate/"));
    let other = observed.api.log_in("ada").await.access;
    let sessions = observed.api.get("/sessions/", &other).await.json();
    let session = format!("/sessions/{}/", sessions["results"][0]["id"]);
    let refresh = json!({"refresh_token": ada.refresh});
    let new = json!({"name": "x", "expiration_time": expiry});
    let overlap = json!({"expiration_time": expiry, "overlap_seconds": 60});
    let nothing = json!({});
    let calls = [
        ("POST", "/private_tokens/", "/private_tokens/", &new),
        ("GET", "/private_tokens/", "/private_tokens/", &nothing),
        ("GET", "/private_tokens/", "/private_tokens/?page=9", &nothing),
        ("GET", "/private_tokens/", "/private_tokens/?q=%00", &nothing),
        ("POST", "/private_tokens/{id}/rotate/", &*rotate, &overlap),
        ("POST", "/private_tokens/{id}/rotate/", "/private_tokens/0/rotate/", &overlap),
        ("DELETE", "/private_tokens/{id}/", &*one, &nothing),
        ("DELETE", "/private_tokens/{id}/", &*one, &nothing),
        ("GET", "/sessions/", "/sessions/", &nothing),
        ("GET", "/sessions/", "/sessions/?page=9", &nothing),
        ("DELETE", "/sessions/{id}/", &*session, &nothing),
        ("DELETE", "/sessions/{id}/", &*session, &nothing),
        ("POST", "/logout/", "/logout/", &refresh),
    ];
    observed.api.grant("orders:read private_tokens");
    let strong = observed.api.create_with(&ada.access, json!(["orders:read"])).await.0;
    let manager = observed.api.create_with(&ada.access, json!(["private_tokens"])).await.1;
    let rotate_strong = format!("/private_tokens/{strong}/rotate/");
    let call = Call::new(Method::POST, &rotate_strong).token(Some(&manager)).json(&overlap);
    observed.see("/private_tokens/{id}/rotate/", call, "POST").await;

    // The last call ends the session, so all that is refused comes first.
    for (method, template, path, _) in &calls {
        let call = || Call::new(method.parse().unwrap(), path);
        observed.see(template, call(), method).await;
        observed.see(template, call().token(Some("not b64")), method).await;
        observed.see(template, call().token(Some("a.b.c")), method).await;
        if *method == "POST" {
            for (content_type, body) in bodies {
                let call = call().token(Some(&ada.access)).body(content_type, *body);
                observed.see(template, call, method).await;
            }
        }
    }
    for (method, template, path, body) in &calls {
        let call = Call::new(method.parse().unwrap(), path).token(Some(&ada.access));
        let call = if *method == "POST" { call.json(body) } else { call };
        observed.see(template, call, method).await;
    }
    let ada = observed.api.log_in("ada").await;
    let everything = "/revoke_all/";
    for token in [None, Some("not b64"), Some("a.b.c"), Some(&*ada.access)] {
        let call = Call::new(Method::POST, everything).token(token);
        observed.see(everything, call, "POST").await;
    }

    let passwords = |password| json!({"password": password, "new_password": "a new password"});
    let password = "/password/";
    for token in [None, Some("not b64"), Some("a.b.c")] {
        observed.see(password, Call::new(Method::POST, password).token(token), "POST").await;
    }
    let changer = observed.api.log_in("ada").await.access;
    let change = || Call::new(Method::POST, password).token(Some(&changer));
    for (content_type, body) in bodies {
        observed.see(password, change().body(content_type, *body), "POST").await;
    }
    observed.see(password, change().json(&passwords("right")), "POST").await;
    let changer = observed.api.log_in("ada").await.access;

    let ada = observed.api.log_in("bob").await;
    let other = json!({"refresh_token": observed.api.log_in("bob").await.refresh});
    let wire = observed.api.wire.clone();
    let held =
        (wire.lists.write().await, wire.refreshes.write().await, wire.revocations.write().await);
    for _ in 0..17 {
        observed.api.start(Call::new(Method::POST, "/refresh/").json(&other)).await;
    }
    observed.see("/refresh/", Call::new(Method::POST, "/refresh/").json(&other), "POST").await;
    let operator = observed.api.operator();
    for _ in 0..20 {
        for (method, path) in [
            (Method::GET, "/admin/private_tokens/?subject=7"),
            (Method::DELETE, "/admin/private_tokens/1/"),
        ] {
            observed.api.start(Call::new(method, path).token(Some(&operator))).await;
        }
    }
    observed.see_every_operator_call(&operator).await;
    for _ in 0..20 {
        let [list, revocation] =
            [(Method::GET, "/private_tokens/"), (Method::DELETE, "/private_tokens/1/")]
                .map(|(method, path)| Call::new(method, path).token(Some(&ada.access)));
        observed.api.start(list).await;
        observed.api.start(revocation).await;
    }
    for (method, template, path, body) in &calls {
        if *template != "/logout/" {
            let call = Call::new(method.parse().unwrap(), path).token(Some(&ada.access));
            observed.see(template, call.json(body), method).await;
        }
    }
    drop(held);

    let refresh = json!({"refresh_token": ada.refresh});
    // The calls that waited end first, so that they do not use up the limit of the subject.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    for _ in 0..6 {
        let call = Call::new(Method::POST, password).token(Some(&ada.access));
        observed.see(password, call.json(&passwords("wrong")), "POST").await;
    }
    let caller = observed.api.introspector();
    let form = format!("token={}", ada.access);
    // The answer about the caller is known when the store is lost, and that about the token is not.
    assert_eq!(observed.api.me(&caller).await.status, 200);
    observed.api.wire.cut();
    let call = Call::new(Method::POST, password).token(Some(&changer));
    observed.see(password, call.json(&passwords("busy")), "POST").await;
    for path in ["/revoke/", "/introspect/"] {
        let token = Some(&*caller).filter(|_| path == "/introspect/");
        let call = Call::new(Method::POST, path).token(token).body(FORM, form.clone());
        observed.see(path, call, "POST").await;
    }
    observed.see("/login/", Call::new(Method::POST, "/login/").json(&login), "POST").await;
    observed.see("/refresh/", Call::new(Method::POST, "/refresh/").json(&refresh), "POST").await;
    observed
        .see(everything, Call::new(Method::POST, everything).token(Some(&ada.access)), "POST")
        .await;
    for (method, template, path, body) in &calls {
        let call = Call::new(method.parse().unwrap(), path).token(Some(&ada.access)).json(body);
        observed.see(template, call, method).await;
    }
    observed.see_every_operator_call(&operator).await;

    assert_eq!(observed.seen, documented());
    let document = document();
    for (method, path, status) in observed.seen.iter().filter(|(_, _, status)| *status >= 400) {
        let operation = &document["paths"][path][method.to_lowercase()];
        let response = &operation["responses"][status.to_string()];
        let example = &response["content"]["application/json"]["example"];
        let bodies = &observed.bodies[&(method.clone(), path.clone(), *status)];
        assert!(bodies.contains(example), "{method} {path} {status}: {example} {bodies:?}");
    }
}

/// The names in an object, or in an array of strings.
fn names(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(members) => members.keys().cloned().collect(),
        _ => value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().into()).collect(),
    }
}

#[tokio::test]
async fn required_and_nullable_fields_of_requests_are_documented() {
    let api = Api::new();
    let access = api.log_in("ada").await.access;
    let document = document();
    for (path, schema) in [
        ("/login/", "Login"),
        ("/refresh/", "RefreshToken"),
        ("/logout/", "RefreshToken"),
        ("/password/", "Passwords"),
        ("/private_tokens/", "NewPrivateToken"),
        ("/private_tokens/1/rotate/", "Rotation"),
    ] {
        let schema = &document["components"]["schemas"][schema];
        let missing = api.post(path, Some(&access), json!({})).await;
        assert_eq!(names(&missing.json()), names(&schema["required"]), "{path}");
        let properties = schema["properties"].as_object().unwrap();
        let nulls: Value = properties.keys().map(|name| (name.clone(), Value::Null)).collect();
        let nulls = api.post(path, Some(&access), nulls).await.json();
        for (name, property) in properties.iter().filter(|(name, _)| *name != "email") {
            assert!(property["type"].is_string(), "{path} {name}: {property}");
            assert_eq!(nulls[name], json!(["This field may not be null."]), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn members_of_answers_that_are_always_there_are_documented_as_required() {
    let api = Api::new();
    let body = json!({"username": "ada@example.org", "password": "right"});
    let login = api.post("/login/", None, body).await.json();
    let access = login["access_token"].as_str().unwrap();
    api.create(access, "ci").await;
    let list = api.get("/private_tokens/", access).await.json();
    let sessions = api.get("/sessions/", access).await.json();
    let document = document();
    for (schema, answer) in [
        ("LoggedIn", &login),
        ("Listed", &list),
        ("ListedToken", &list["results"][0]),
        ("ListedSessions", &sessions),
        ("ListedSession", &sessions["results"][0]),
    ] {
        let required = &document["components"]["schemas"][schema]["required"];
        assert_eq!(names(answer), names(required), "{schema}");
    }
    let schemas = &document["components"]["schemas"];
    for (schema, member) in [("ListedToken", "last_used_at"), ("ListedSession", "user_agent")] {
        let property = &schemas[schema]["properties"][member];
        assert!(property["type"].as_array().unwrap().contains(&json!("null")), "{property}");
    }
    // A number, a string or null.
    let company = &schemas["LoggedIn"]["properties"]["company_id"]["oneOf"];
    assert!(company.as_array().unwrap().contains(&json!({"type": "null"})), "{company}");
    let id = schemas["AccountId"]["oneOf"].as_array().unwrap();
    let types: Vec<&Value> = id.iter().map(|kind| &kind["type"]).collect();
    assert_eq!(types, ["integer", "string"]);
}

#[test]
fn the_document_is_openapi_3_1_and_names_how_to_authenticate() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let scheme = &document["components"]["securitySchemes"]["access_token"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&json!("http"), &json!("bearer")));
    let paths = &document["paths"];
    for (path, method, security) in [
        ("/login/", "post", json!([{}])),
        ("/refresh/", "post", json!([{}])),
        ("/logout/", "post", json!([{"access_token": []}])),
        ("/private_tokens/", "get", json!([{"access_token": []}])),
    ] {
        assert_eq!(paths[path][method]["security"], security, "{path}");
    }
}
