//! Clients as integrators write them, in Python and in PHP, against the process and against a router under two
//! prefixes.

use std::process::Command;

use axum::Router;
use sqlx::Connection as _;
use tower_bearer::{Algorithm, jws::SigningKey};
use tower_bearer_issuing::{
    Account, MemoryAccounts, Passwords, StoredAccount, TokenApi, TokenIssuer, hash_password,
    store::MemoryTokenStore,
};

use super::{Directory, EMAIL, PASSWORD, Service};

/// The id of a company, as the vendor has it.
const COMPANY: &str = "0b1e7d0c-9a0f-4b1c-8f0e-3a5c1d2e4f60";

#[tokio::test]
async fn an_integrator_in_python_uses_the_process() {
    use_the_process("integrator-py", "python3", "integrator.py").await;
}

#[tokio::test]
#[ignore = "needs php"]
async fn an_integrator_in_php_uses_the_process() {
    use_the_process("integrator-php", "php", "integrator.php").await;
}

async fn use_the_process(directory: &str, program: &str, client: &str) {
    let directory = Directory::new(directory);
    let service = Service::start(&directory, &[]);
    let base = format!("http://{}/api/v1/auth", service.address);
    run(program, client, &base, "null");
    let file = directory.0.join("token_service.db");
    let url = format!("sqlite:{}", file.display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let sql = "UPDATE bearer_accounts SET company_text = $1";
    sqlx::query(sql).bind(COMPANY).execute(&mut database).await.unwrap();
    run(program, client, &base, COMPANY);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integrator_in_python_uses_both_prefixes_of_a_router() {
    use_both_prefixes("python3", "integrator.py").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs php"]
async fn an_integrator_in_php_uses_both_prefixes_of_a_router() {
    use_both_prefixes("php", "integrator.php").await;
}

/// Each client checks that the links of a list have its prefix.
async fn use_both_prefixes(program: &'static str, client: &'static str) {
    let issuer = issuer();
    let app = Router::new()
        .nest("/api/v1", TokenApi::new(&issuer).into_router())
        .nest("/api/v1/auth", TokenApi::new(&issuer).into_router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    for prefix in ["/api/v1", "/api/v1/auth"] {
        let base = format!("http://{address}{prefix}");
        tokio::task::spawn_blocking(move || run(program, client, &base, COMPANY)).await.unwrap();
    }
    server.abort();
}

fn issuer() -> TokenIssuer {
    let mut account = Account::new(1, EMAIL);
    account.company_id = Some(COMPANY.into());
    let accounts = MemoryAccounts::new();
    accounts.insert(StoredAccount::new(account, hash_password(PASSWORD).unwrap().as_str()));
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let (store, accounts) = (MemoryTokenStore::new(), Passwords::new(accounts).unwrap());
    let issuer = TokenIssuer::builder("https://issuer.example", "api://demo", key, store, accounts);
    issuer.build().unwrap()
}

fn run(program: &str, client: &str, base: &str, company: &str) {
    let client = format!("{}/tests/clients/{client}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(program)
        .args([&client, base, EMAIL, PASSWORD, company])
        .env("no_proxy", "127.0.0.1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("ok: ").count(), 6, "{said}");
}
