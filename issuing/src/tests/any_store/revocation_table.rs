//! Walks through the table of what revokes what, as it is in the documentation. Every store runs this test.

use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode, header};
use tower::ServiceExt as _;

use super::{DAY, ISSUER, NOW, keys::Folder, refusal};
use tower_bearer::{Authenticated, claims::ManualClock};
use tower_bearer_issuing::{
    Account, ClientInfo, CreatedPrivateToken, Credentials, DirectoryKeys, KeyDirectory,
    ManagedAccounts, NewAccount, PasswordChange, Passwords, SessionQuery, TokenIssuer, TokenPair,
    TokenStore, hash_password, scopes::ScopeSet, store::KeyStore,
};

const TABLE: &str = include_str!("../../what_is_revoked.md");
const EMAIL: &str = "ada@example.org";
const OPERATOR: &str = "operator@example.org";
const OLD: &str = "the old password";
const NEW: &str = "a new password";
const OVERLAP: Duration = Duration::from_secs(60);
/// How long a new key is published before it signs.
const PUBLICATION: Duration = Duration::from_secs(20);

/// Does what each row of the table says, each on an empty store, and compares each column.
pub(crate) async fn check<S: TokenStore + ManagedAccounts + KeyStore + Clone>(
    make: impl AsyncFn(ManualClock) -> S,
) {
    let [columns, rows @ ..] = &*cells() else { panic!("the table has no head") };
    assert_eq!(rows.len(), 23);
    let hash = hash_password(OLD).unwrap();
    for row in rows {
        let clock = ManualClock::at(NOW);
        let bench = Bench::new(make(clock.clone()).await, clock, &hash).await;
        bench.act(&row[0]).await;
        let found = bench.are_alive().await;
        assert_eq!(row.len(), 1 + found.len(), "{row:?}");
        for ((column, cell), is_alive) in columns.iter().zip(row).skip(1).zip(found) {
            let expected = match &**cell {
                "stays" | "stay" => true,
                "ends" | "end" => false,
                other => panic!("{other}"),
            };
            assert_eq!(is_alive, expected, "{}: {column}", row[0]);
        }
    }
}

/// The head and the rows of the table.
fn cells() -> Vec<Vec<String>> {
    let lines = TABLE.lines().filter(|line| !line.starts_with("|---"));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    lines.map(cells).collect()
}

/// Two replicas on one store. One acts, and both are asked.
struct Bench<S> {
    store: S,
    clock: ManualClock,
    directory: KeyDirectory,
    keys: [DirectoryKeys; 2],
    here: TokenIssuer,
    there: TokenIssuer,
    ada: Account,
    /// The first tokens of the session that acts, and those after a refresh.
    first: TokenPair,
    current: TokenPair,
    other_session: TokenPair,
    with_scope: CreatedPrivateToken,
    without: CreatedPrivateToken,
    /// It is removed when it is dropped.
    _folder: Folder,
}

impl<S: TokenStore + ManagedAccounts + KeyStore + Clone> Bench<S> {
    async fn new(store: S, clock: ManualClock, hash: &str) -> Self {
        let folder = Folder::new();
        let directory = KeyDirectory::new(&folder.0, ISSUER)
            .with_publication(PUBLICATION)
            .with_clock(clock.clone());
        let open = async || directory.clone().open(store.clone()).await.unwrap();
        let keys = [open().await, open().await];
        let [here, there] = [&keys[0], &keys[1]].map(|keys| {
            let passwords = Passwords::new(store.clone()).unwrap();
            TokenIssuer::builder(ISSUER, "api", keys.signing_keys(), store.clone(), passwords)
                .with_managed_accounts(store.clone())
                .with_clock(clock.clone())
                .build()
                .unwrap()
        });
        let add = async |email, held| {
            let mut new = NewAccount::new(email, hash);
            new.scopes = scopes(held);
            here.add_account(&new).await.unwrap()
        };
        let ada = add(EMAIL, "the-scope another").await;
        add(OPERATOR, "tokens:admin").await;
        let (first, other_session) = (log_in(&here, EMAIL).await, log_in(&here, EMAIL).await);
        let current = here.refresh(&first.refresh_token).await.unwrap();
        let access = here.authenticator().authenticate(&current.access_token).await.unwrap();
        let create = async |scope| {
            let (expiry, scopes) = (NOW + DAY, scopes(scope));
            let created =
                here.create_private_token_with_scopes(&access, scope, expiry, &scopes).await;
            created.unwrap()
        };
        let (with_scope, without) = (create("the-scope").await, create("another").await);
        Self {
            store,
            clock,
            directory,
            keys,
            here,
            there,
            ada,
            first,
            current,
            other_session,
            with_scope,
            without,
            _folder: folder,
        }
    }

    async fn caller(&self) -> Authenticated {
        self.here.authenticator().authenticate(&self.current.access_token).await.unwrap()
    }

    async fn act(&self, row: &str) {
        let Self { here, ada, first, current, with_scope, .. } = self;
        let (caller, subject, id) = (self.caller().await, &*ada.subject, with_scope.token.id);
        let ids = caller.registered();
        match row {
            "a log-out" => here.log_out(&caller, &current.refresh_token).await.unwrap(),
            "a refresh" => drop(here.refresh(&current.refresh_token).await.unwrap()),
            "a second use of a refresh token" => {
                here.refresh(&first.refresh_token).await.unwrap_err();
            }
            "the caller ends another session (`DELETE sessions/{id}/`)" => {
                let listed = here.list_sessions(&caller, &SessionQuery::new()).await.unwrap();
                let other = listed.sessions.iter().find(|session| !session.is_current).unwrap();
                self.calls(
                    "DELETE",
                    &format!("/sessions/{}/", other.id),
                    &current.access_token,
                    "",
                )
                .await;
            }
            "`POST revoke/` with the access token" => self.presents(&current.access_token).await,
            "`POST revoke/` with the refresh token" => self.presents(&current.refresh_token).await,
            "`POST revoke/` with a private token with the scope" => {
                self.presents(&with_scope.data).await;
            }
            "an operator revokes a private token with the scope (`DELETE admin/private_tokens/{id}/`)" =>
            {
                let path = format!("/admin/private_tokens/{id}/");
                self.calls("DELETE", &path, &self.operator().await, "").await;
            }
            "an operator revokes the session (`POST admin/revoke/`)" => {
                self.revokes("session", ids.session_id().unwrap()).await;
            }
            "an operator revokes the subject (`POST admin/revoke/`)" => {
                self.revokes("subject", subject).await;
            }
            "an operator revokes the key, which was retired before (`POST admin/revoke/`)" => {
                let key = caller.key_id().unwrap();
                self.directory.add(&self.store).await.unwrap();
                self.refresh_keys().await;
                self.clock.advance(PUBLICATION);
                self.refresh_keys().await;
                self.directory.retire(&self.store, key).await.unwrap();
                self.refresh_keys().await;
                self.revokes("key", key).await;
            }
            "the key is compromised (`keys retire --compromised`)" => {
                let key = caller.key_id().unwrap();
                self.directory.retire_compromised(&self.store, key).await.unwrap();
                self.refresh_keys().await;
            }
            "a private token with the scope is revoked" => {
                here.revoke_private_token(&caller, id).await.unwrap();
            }
            "a private token with the scope is rotated without an overlap" => {
                here.rotate_private_token(&caller, id, NOW + DAY, Duration::ZERO).await.unwrap();
            }
            "a private token with the scope is rotated, and the overlap has not ended" => {
                here.rotate_private_token(&caller, id, NOW + DAY, OVERLAP).await.unwrap();
                self.clock.advance(OVERLAP - Duration::from_secs(1));
            }
            "a private token with the scope is rotated, and the overlap has ended" => {
                here.rotate_private_token(&caller, id, NOW + DAY, OVERLAP).await.unwrap();
                self.clock.advance(OVERLAP);
            }
            "`revoke_all`" => here.revoke_all(&caller).await.unwrap(),
            "the owner changes the password" => {
                let change = PasswordChange::new(OLD, NEW);
                here.change_password(&caller, &change, &ClientInfo::new()).await.unwrap();
            }
            "an operator sets the password" => here.set_password(subject, NEW).await.unwrap(),
            "the account is closed" => here.close_account(subject).await.unwrap(),
            "the account is deleted" => here.delete_account(subject).await.unwrap(),
            "the account gains a scope" => {
                here.set_scopes(subject, scopes("the-scope another third")).await.unwrap();
            }
            "the account loses the scope" => {
                here.set_scopes(subject, scopes("another")).await.unwrap();
            }
            other => panic!("the test does not know how to do this: {other}"),
        }
    }

    async fn refresh_keys(&self) {
        for keys in &self.keys {
            keys.refresh().await;
        }
    }

    async fn presents(&self, token: &str) {
        self.calls("POST", "/revoke/", "", &format!("token={token}")).await;
    }

    async fn revokes(&self, what: &str, name: &str) {
        let body = format!("{{\"{what}\":\"{name}\"}}");
        self.calls("POST", "/admin/revoke/", &self.operator().await, &body).await;
    }

    async fn operator(&self) -> String {
        log_in(&self.here, OPERATOR).await.access_token
    }

    /// Makes a call of the token API, which must succeed.
    async fn calls(&self, method: &str, path: &str, token: &str, body: &str) {
        let media = if body.starts_with('{') { "json" } else { "x-www-form-urlencoded" };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, format!("application/{media}"));
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let status = self.here.router().oneshot(request).await.unwrap().status();
        assert!(matches!(status, StatusCode::OK | StatusCode::NO_CONTENT), "{path}: {status}");
    }

    /// Which tokens are valid, in the order of the columns. Both replicas must agree. A refresh token is asked last,
    /// because that uses it up.
    async fn are_alive(&self) -> [bool; 7] {
        let accepts = async |token: &str| {
            let here = refusal(&self.here, token).await.is_none();
            assert_eq!(here, refusal(&self.there, token).await.is_none(), "on both replicas");
            here
        };
        let [caller, other, with_scope, without, elsewhere] = [
            accepts(&self.current.access_token).await,
            accepts(&self.first.access_token).await,
            accepts(&self.with_scope.data).await,
            accepts(&self.without.data).await,
            accepts(&self.other_session.access_token).await,
        ];
        let refreshes = async |token: &str| self.there.refresh(token).await.is_ok();
        let other_refresh = refreshes(&self.other_session.refresh_token).await;
        let refresh = refreshes(&self.current.refresh_token).await;
        [caller, other, refresh, with_scope, without, elsewhere, other_refresh]
    }
}

fn scopes(text: &str) -> ScopeSet {
    ScopeSet::from_text(text).unwrap()
}

async fn log_in(issuer: &TokenIssuer, email: &str) -> TokenPair {
    let credentials = Credentials::new(email, OLD);
    issuer.log_in(&credentials, &ClientInfo::new()).await.unwrap().tokens
}
