//! Walks through the table of what revokes what, as it is in the documentation. Every store runs this test.

use super::{DAY, ISSUER, NOW, refusal};
use tower_bearer::{Algorithm, Authenticated, claims::ManualClock, jws::SigningKey};
use tower_bearer_issuing::{
    Account, ClientInfo, CreatedPrivateToken, Credentials, ManagedAccounts, NewAccount,
    PasswordChange, Passwords, TokenIssuer, TokenPair, TokenStore, hash_password, scopes::ScopeSet,
};

const TABLE: &str = include_str!("../../what_is_revoked.md");
const EMAIL: &str = "ada@example.org";
const OLD: &str = "the old password";
const NEW: &str = "a new password";

/// Does what each row of the table says, each on an empty store, and compares each column.
pub(crate) async fn check<S: TokenStore + ManagedAccounts + Clone>(
    make: impl AsyncFn(ManualClock) -> S,
) {
    let [columns, rows @ ..] = &*cells() else { panic!("the table has no head") };
    assert_eq!(rows.len(), 12);
    for row in rows {
        let clock = ManualClock::at(NOW);
        let bench = Bench::new(make(clock.clone()).await, &clock).await;
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
struct Bench {
    here: TokenIssuer,
    there: TokenIssuer,
    ada: Account,
    /// The first tokens of the session that acts, and those after a refresh.
    first: TokenPair,
    current: TokenPair,
    other_session: TokenPair,
    with_scope: CreatedPrivateToken,
    without: CreatedPrivateToken,
}

impl Bench {
    async fn new<S: TokenStore + ManagedAccounts + Clone>(store: S, clock: &ManualClock) -> Self {
        let key = SigningKey::generate(Algorithm::ES256).unwrap();
        let replica = || {
            let passwords = Passwords::new(store.clone()).unwrap();
            TokenIssuer::builder(ISSUER, "api", key.clone(), store.clone(), passwords)
                .with_managed_accounts(store.clone())
                .with_clock(clock.clone())
                .build()
                .unwrap()
        };
        let (here, there) = (replica(), replica());
        let mut new = NewAccount::new(EMAIL, hash_password(OLD).unwrap());
        new.scopes = scopes("the-scope another");
        let ada = here.add_account(&new).await.unwrap();
        let log_in = async || {
            let credentials = Credentials::new(EMAIL, OLD);
            here.log_in(&credentials, &ClientInfo::new()).await.unwrap().tokens
        };
        let (first, other_session) = (log_in().await, log_in().await);
        let current = here.refresh(&first.refresh_token).await.unwrap();
        let access = here.authenticator().authenticate(&current.access_token).await.unwrap();
        let create = async |scope| {
            let (expiry, scopes) = (NOW + DAY, scopes(scope));
            let created =
                here.create_private_token_with_scopes(&access, scope, expiry, &scopes).await;
            created.unwrap()
        };
        let (with_scope, without) = (create("the-scope").await, create("another").await);
        Self { here, there, ada, first, current, other_session, with_scope, without }
    }

    async fn caller(&self) -> Authenticated {
        self.here.authenticator().authenticate(&self.current.access_token).await.unwrap()
    }

    async fn act(&self, row: &str) {
        let Self { here, ada, first, current, with_scope, .. } = self;
        let (caller, subject, id) = (self.caller().await, &*ada.subject, with_scope.token.id);
        match row {
            "a log-out" => here.log_out(&caller, &current.refresh_token).await.unwrap(),
            "a refresh" => drop(here.refresh(&current.refresh_token).await.unwrap()),
            "a second use of a refresh token" => {
                here.refresh(&first.refresh_token).await.unwrap_err();
            }
            "a private token with the scope is revoked" => {
                here.revoke_private_token(&caller, id).await.unwrap();
            }
            "a private token with the scope is rotated without an overlap" => {
                let overlap = std::time::Duration::ZERO;
                here.rotate_private_token(&caller, id, NOW + DAY, overlap).await.unwrap();
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
