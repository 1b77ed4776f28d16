//! A client of part two of the token API, in Python: against the process on SQLite and PostgreSQL, and against a router
//! on the memory store under two prefixes.

use std::{net::TcpListener, process::Command};

use axum::{Json, Router, routing::get};
use serde_json::Value;
use tower_bearer::{Algorithm, Authenticated, health::HealthChecks, jws::SigningKey};
use tower_bearer_issuing::{
    NewAccount, Passwords, TokenApi, TokenIssuer, hash_password, scopes::ScopeSet,
    store::MemoryTokenStore,
};

use super::{Directory, PASSWORD, Service, example, postgres::Postgres};

/// The accounts of a run, and their scopes.
const ACCOUNTS: [(&str, &str); 4] = [
    ("owner", "orders:read orders:write private_tokens"),
    ("robot", "introspect"),
    ("operator", "tokens:admin"),
    ("locked", ""),
];

/// The audience of the tokens of the other service.
const OTHER_AUDIENCE: &str = "api://other";

const SUPPORTED_SCOPES: [&str; 2] = ["orders:read", "orders:write"];

#[test]
fn a_client_of_part_two_uses_the_process_on_sqlite() {
    let directory = Directory::new("part-two");
    use_the_process(&directory, "sqlite:own.db");
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_client_of_part_two_uses_the_process_on_postgres() {
    let server = Postgres::start();
    let directory = Directory::new("part-two-pg");
    use_the_process(&directory, &server.database("token_service").await);
}

fn use_the_process(directory: &Directory, database: &str) {
    // The issuer's name contains the port, so the port must be known before the service starts.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let issuer = format!("http://{address}/shop");
    let settings = [
        ("DATABASE_URL", database),
        ("ISSUER", &issuer),
        ("CLIENT_ID", "shop"),
        ("SUPPORTED_SCOPES", &SUPPORTED_SCOPES.join(" ")),
        ("ALLOW_PRIVATE_TOKEN_MANAGEMENT", "1"),
    ];
    for (name, scopes) in ACCOUNTS {
        let mut add = example(directory);
        add.args(["account", "add", &email("process", name)]).envs(settings);
        add.args(scopes.split_whitespace().flat_map(|scope| ["--scope", scope]));
        let output = add.env("ACCOUNT_PASSWORD", PASSWORD).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let service = Service::start(directory, &[&settings[..], &[("ADDR", &address)]].concat());
    let other = [&settings[..], &[("AUDIENCE", OTHER_AUDIENCE)]].concat();
    let other = Service::start(directory, &other);
    run(&service.address, "/api/v1/auth", &issuer, &other.address, "process");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_part_two_uses_both_prefixes_of_a_router() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let name = format!("http://{address}/shop");
    let (store, key) = (MemoryTokenStore::new(), SigningKey::generate(Algorithm::ES256).unwrap());
    let prefixes = [("one", "/api/v1"), ("two", "/api/v1/auth")];
    let other = issuer(&name, OTHER_AUDIENCE, &key, &store);
    for (run, _) in prefixes {
        for (account, scopes) in ACCOUNTS {
            let mut new = NewAccount::new(email(run, account), hash_password(PASSWORD).unwrap());
            new.scopes = ScopeSet::from_text(scopes).unwrap();
            other.add_account(&new).await.unwrap();
        }
    }
    let other_listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other_address = other_listener.local_addr().unwrap().to_string();
    let service = issuer(&name, "api://demo", &key, &store);
    let tasks = [(listener, service), (other_listener, other)].map(|(listener, issuer)| {
        let app = app(&issuer, &store);
        tokio::spawn(async move { axum::serve(listener, app).await })
    });
    for (name_of_run, prefix) in prefixes {
        let (address, name, other) = (address.clone(), name.clone(), other_address.clone());
        let client = move || run(&address, prefix, &name, &other, name_of_run);
        tokio::task::spawn_blocking(client).await.unwrap();
    }
    for task in tasks {
        task.abort();
    }
}

fn issuer(name: &str, audience: &str, key: &SigningKey, store: &MemoryTokenStore) -> TokenIssuer {
    let passwords = Passwords::new(store.clone()).unwrap();
    TokenIssuer::builder(name, audience, key.clone(), store.clone(), passwords)
        .with_managed_accounts(store.clone())
        .with_audit(store.clone())
        .with_client_id("shop")
        .allow_private_token_management()
        .build()
        .unwrap()
}

/// The API under both prefixes, and what a service has around it.
fn app(issuer: &TokenIssuer, store: &MemoryTokenStore) -> Router {
    let api = || {
        let api = TokenApi::new(issuer).with_audit_log(store.clone());
        api.with_supported_scopes(SUPPORTED_SCOPES).unwrap()
    };
    let me = async |user: Authenticated| Json(Value::from(user.claims().as_map().clone()));
    Router::new()
        .route("/api/v1/me", get(me))
        .route_layer(issuer.layer())
        .merge(api().metadata_router("/api/v1/auth"))
        .merge(issuer.jwks_router())
        .nest("/api/v1", api().into_router())
        .nest("/api/v1/auth", api().into_router())
        .merge(HealthChecks::new().add_task(issuer.audit_writer()).into_router())
}

fn email(run: &str, account: &str) -> String {
    format!("{run}.{account}@example.org")
}

fn run(address: &str, prefix: &str, issuer: &str, other: &str, name: &str) {
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/part_two_client.py");
    let [root, other] = [address, other].map(|address| format!("http://{address}"));
    // Without files of bytecode beside the module that the client imports.
    let output = Command::new("python3")
        .args(["-B", client, &root, prefix, issuer, &other, name, PASSWORD])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("ok: ").count(), 12, "{said}");
}
