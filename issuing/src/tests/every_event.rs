//! The action behind each kind of audit event, and the fields of the event as the guide documents them.

use std::{collections::BTreeSet, fs, net::IpAddr, path::Path, sync::Arc};

use futures_util::future::join_all;
use tower_bearer::{
    Algorithm, Authenticated, BoxFuture, claims::ManualClock, jws::SigningKey,
    revocation::StoreError,
};

use super::{DAY, ISSUER, NOW, secs};
use crate::{
    Account, AccountStore, Accounts, AccountsError, ClientInfo, Credentials, ListQuery,
    ManagedAccounts, NewAccount, PasswordChange, SessionQuery, TokenIssuer, TokenPair,
    audit::{AuditEvent, AuditKind, AuditLog, AuditQuery, AuditSink, QUEUE},
    scopes::ScopeSet,
    store::MemoryTokenStore,
};

const ADDRESS: [u8; 4] = [192, 0, 2, 7];
const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "the password of ada";

/// Compares passwords as plain texts, because hashes take long.
struct Plain(MemoryTokenStore);

impl Accounts for Plain {
    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>> {
        Box::pin(async move {
            let found = self.0.find_by_email(&credentials.username).await.unwrap();
            let found = found.ok_or(AccountsError::NoActiveAccount)?;
            let subject = Arc::clone(&found.account.subject);
            let is_right = found.is_active && found.password_hash == *credentials.password;
            is_right.then_some(found.account).ok_or(AccountsError::Rejected { subject })
        })
    }

    fn find_active<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<Account>, StoreError>> {
        Box::pin(async move {
            let found = self.0.find_by_subject(subject).await?;
            Ok(found.filter(|stored| stored.is_active).map(|stored| stored.account))
        })
    }
}

struct Bench {
    store: MemoryTokenStore,
    /// A handle for the client at [`ADDRESS`].
    issuer: TokenIssuer,
    client: ClientInfo,
    subject: Arc<str>,
}

impl Bench {
    async fn new() -> Self {
        let clock = ManualClock::at(NOW);
        let store = MemoryTokenStore::new().with_clock(clock.clone());
        let ada = NewAccount::new(EMAIL, PASSWORD);
        let ada = store.add_account(&ada).await.unwrap().unwrap();
        let key = SigningKey::generate(Algorithm::ES256).unwrap();
        let issuer = TokenIssuer::builder(ISSUER, "api", key, store.clone(), Plain(store.clone()))
            .with_managed_accounts(store.clone())
            .with_audit(store.clone())
            .with_clock(clock)
            .build()
            .unwrap();
        let client = ClientInfo::new().with_address(ADDRESS);
        let issuer = issuer.for_client(&client);
        Self { store, issuer, client, subject: ada.subject }
    }

    async fn log_in(&self) -> (TokenPair, Authenticated) {
        let credentials = Credentials::new(EMAIL, PASSWORD);
        let tokens = self.issuer.log_in(&credentials, &self.client).await.unwrap().tokens;
        let access = self.issuer.authenticator().authenticate(&tokens.access_token).await.unwrap();
        (tokens, access)
    }

    async fn fail_to_log_in(&self) {
        let credentials = Credentials::new(EMAIL, "wrong");
        self.issuer.log_in(&credentials, &self.client).await.unwrap_err();
    }

    async fn create_token(&self, access: &Authenticated) -> i64 {
        let created = self.issuer.create_private_token(access, "a name", NOW + DAY).await;
        created.unwrap().token.id
    }

    /// An operator, who is another client.
    fn operator(&self) -> TokenIssuer {
        self.issuer.by_operator("an operator")
    }

    async fn events(&self) -> Vec<AuditEvent> {
        self.issuer.maintain().await.unwrap();
        self.issuer.maintain().await.unwrap();
        let query = AuditQuery::new(ISSUER).with_limit(u32::MAX);
        let page = AuditLog::list(&self.store, &query).await.unwrap();
        page.records.into_iter().map(|record| record.event).collect()
    }
}

/// Does what causes an event of this kind.
#[allow(clippy::too_many_lines, reason = "one arm for each kind")]
async fn cause(kind: AuditKind, bench: &Bench) {
    let Bench { issuer, client, subject, .. } = bench;
    match kind {
        AuditKind::LoginSucceeded => drop(bench.log_in().await),
        AuditKind::LoginFailed => bench.fail_to_log_in().await,
        AuditKind::LoginThrottled => {
            for _ in 0..6 {
                bench.fail_to_log_in().await;
            }
        }
        AuditKind::Refreshed => {
            let (tokens, _) = bench.log_in().await;
            issuer.refresh(&tokens.refresh_token).await.unwrap();
        }
        AuditKind::RefreshReused => {
            let (tokens, _) = bench.log_in().await;
            issuer.refresh(&tokens.refresh_token).await.unwrap();
            issuer.refresh(&tokens.refresh_token).await.unwrap_err();
        }
        AuditKind::RefreshThrottled => {
            let (tokens, _) = bench.log_in().await;
            join_all((0..20).map(|_| issuer.refresh(&tokens.refresh_token))).await;
        }
        AuditKind::LoggedOut => {
            let (tokens, access) = bench.log_in().await;
            issuer.log_out(&access, &tokens.refresh_token).await.unwrap();
        }
        AuditKind::SessionRevoked => {
            let (_, access) = bench.log_in().await;
            let page = issuer.list_sessions(&access, &SessionQuery::new()).await.unwrap();
            issuer.revoke_session(&access, page.sessions[0].id).await.unwrap();
        }
        AuditKind::TokenCreated => {
            let (_, access) = bench.log_in().await;
            bench.create_token(&access).await;
        }
        AuditKind::TokenRotated => {
            let (_, access) = bench.log_in().await;
            let id = bench.create_token(&access).await;
            issuer.rotate_private_token(&access, id, NOW + DAY, secs(0)).await.unwrap();
        }
        AuditKind::TokenRevoked => {
            let (_, access) = bench.log_in().await;
            let id = bench.create_token(&access).await;
            issuer.revoke_private_token(&access, id).await.unwrap();
        }
        AuditKind::TokenRevokedByHolder => {
            let (tokens, _) = bench.log_in().await;
            issuer.revoke_token(&tokens.access_token, client).await.unwrap();
        }
        AuditKind::AllRevoked => {
            let (_, access) = bench.log_in().await;
            issuer.revoke_all(&access).await.unwrap();
        }
        AuditKind::PasswordChanged => {
            let (_, access) = bench.log_in().await;
            let change = PasswordChange::new(PASSWORD, "another password");
            issuer.change_password(&access, &change, client).await.unwrap();
        }
        AuditKind::PasswordRejected => {
            let (_, access) = bench.log_in().await;
            let change = PasswordChange::new("wrong", "another password");
            issuer.change_password(&access, &change, client).await.unwrap_err();
        }
        AuditKind::AccountAdded => {
            let bob = NewAccount::new("bob@example.org", "a hash");
            bench.operator().add_account(&bob).await.unwrap();
        }
        AuditKind::AccountClosed => bench.operator().close_account(subject).await.unwrap(),
        AuditKind::AccountReopened => {
            bench.operator().close_account(subject).await.unwrap();
            bench.operator().reopen_account(subject).await.unwrap();
        }
        AuditKind::AccountDeleted => {
            bench.log_in().await;
            bench.operator().delete_account(subject).await.unwrap();
        }
        AuditKind::ScopesChanged => {
            let scopes = ScopeSet::new(["orders:read"]).unwrap();
            bench.operator().set_scopes(subject, scopes).await.unwrap();
        }
        AuditKind::OperatorRead => {
            let (_, access) = bench.log_in().await;
            let query = ListQuery::new();
            issuer.list_for_operator(&access, client, subject, &query).await.unwrap();
        }
        AuditKind::OperatorRejected => {
            let (_, access) = bench.log_in().await;
            issuer.record_rejected_operator(&access, client, Some(9));
        }
        AuditKind::KeyAdded | AuditKind::KeyRetired => {
            issuer.rotate_key(SigningKey::generate(Algorithm::ES256).unwrap());
        }
        AuditKind::KeyRevoked => {
            let key = issuer.keys().active(issuer.now()).unwrap();
            issuer.revoke_key(key.verifying_key().thumbprint()).await.unwrap();
        }
        AuditKind::EventsLost => {
            for _ in 0..=QUEUE {
                issuer.record(AuditKind::KeyAdded, |_| {});
            }
        }
    }
}

/// The fields that an event has, except those that depend on who called.
fn fields(event: &AuditEvent) -> BTreeSet<String> {
    let fields = [
        ("subject", event.subject.is_some()),
        ("session_id", event.session_id.is_some()),
        ("token_id", event.token_id.is_some()),
        ("private_token_id", event.private_token_id.is_some()),
        ("new_private_token_id", event.new_private_token_id.is_some()),
        ("key", event.key.is_some()),
    ];
    fields.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned()).collect()
}

/// The fields in the table of the guide.
fn documented(kind: AuditKind) -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/guide/audit.rs");
    let page = fs::read_to_string(page).unwrap();
    let start = format!("//! | `{}` | ", kind.as_str());
    let row = page.lines().find_map(|line| line.strip_prefix(&start));
    let (_, fields) =
        row.unwrap_or_else(|| panic!("{kind:?} is documented")).split_once(" | ").unwrap();
    fields.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[tokio::test]
async fn each_kind_has_an_action_that_causes_it_with_these_fields() {
    for kind in AuditKind::ALL {
        let bench = Bench::new().await;
        cause(*kind, &bench).await;
        let events = bench.events().await;
        let event = events.iter().find(|event| event.kind == *kind);
        let event = event.unwrap_or_else(|| panic!("{kind:?} was caused: {events:?}"));
        assert_eq!(fields(event), documented(*kind), "{kind:?}");
        assert_eq!((event.at, &*event.issuer, event.count), (NOW, ISSUER, 1), "{kind:?}");
        let has_subject = event.subject.is_some() && *kind != AuditKind::AccountAdded;
        assert!(!has_subject || event.subject.as_deref() == Some(&*bench.subject), "{kind:?}");
        let address = Some(IpAddr::from(ADDRESS));
        let has_no_client = [AuditKind::AccountDeleted, AuditKind::EventsLost].contains(kind);
        assert_eq!(event.address, address.filter(|_| !has_no_client), "{kind:?}");
    }
}

#[tokio::test]
async fn an_operator_is_the_actor_and_a_user_is_not() {
    let bench = Bench::new().await;
    let (tokens, access) = bench.log_in().await;
    bench.operator().close_account(&bench.subject).await.unwrap();
    bench.operator().reopen_account(&bench.subject).await.unwrap();
    let (_, _) = bench.log_in().await;
    bench.issuer.refresh(&tokens.refresh_token).await.unwrap_err();
    bench.issuer.revoke_all(&access).await.unwrap();
    for event in bench.events().await {
        let is_by_operator =
            [AuditKind::AccountClosed, AuditKind::AccountReopened].contains(&event.kind);
        assert_eq!(event.actor.is_some(), is_by_operator, "{event:?}");
    }
}

#[tokio::test]
async fn a_deleted_account_leaves_one_event_without_an_address() {
    let bench = Bench::new().await;
    let (_, access) = bench.log_in().await;
    bench.create_token(&access).await;
    bench.events().await;
    // This one is still in the queue.
    bench.create_token(&access).await;
    bench.operator().delete_account(&bench.subject).await.unwrap();
    let events = bench.events().await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [AuditKind::AccountDeleted]);
    assert_eq!((events[0].address, events[0].actor.as_deref()), (None, Some("an operator")));
}

/// A sink that is always away.
struct Away;

impl AuditSink for Away {
    fn record<'a>(&'a self, _: &'a [AuditEvent]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Err(StoreError::timed_out()) })
    }
}

#[tokio::test]
async fn the_event_of_a_deletion_is_stored_in_the_same_step() {
    let clock = ManualClock::at(NOW);
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let client = ClientInfo::new().with_address(ADDRESS);
    let build = |with_sink: bool| {
        let key = SigningKey::generate(Algorithm::ES256).unwrap();
        let issuer = TokenIssuer::builder(ISSUER, "api", key, store.clone(), Plain(store.clone()))
            .with_managed_accounts(store.clone())
            .with_clock(clock.clone());
        let issuer = if with_sink { issuer.with_audit(Away) } else { issuer };
        issuer.build().unwrap().for_client(&client).by_operator("an operator")
    };
    let events = async || {
        let page = AuditLog::list(&store, &AuditQuery::new(ISSUER)).await.unwrap();
        page.records.into_iter().map(|record| record.event).collect::<Vec<_>>()
    };
    let (issuer, silent) = (build(true), build(false));
    for (email, is_managed) in [(EMAIL, true), ("bob@example.org", false)] {
        let subject = issuer.add_account(&NewAccount::new(email, PASSWORD)).await.unwrap().subject;
        match is_managed {
            true => issuer.delete_account(&subject).await.unwrap(),
            false => issuer.delete_personal_data(&subject).await.unwrap(),
        }
        let event = &events().await[0];
        assert_eq!((event.kind, event.at), (AuditKind::AccountDeleted, NOW));
        assert_eq!((&event.subject, event.address), (&Some(subject), None));
        assert_eq!(event.actor.as_deref(), Some("an operator"));
        assert_eq!(event.keep_until, NOW + 180 * DAY);
    }
    // Without a sink nothing is kept.
    let carol = NewAccount::new("carol@example.org", PASSWORD);
    let subject = silent.add_account(&carol).await.unwrap().subject;
    silent.delete_account(&subject).await.unwrap();
    silent.delete_personal_data("dan").await.unwrap();
    assert_eq!(events().await.len(), 2);
}

#[tokio::test]
async fn a_failed_log_in_of_an_unknown_user_names_nobody() {
    let bench = Bench::new().await;
    let unknown = Credentials::new("a password in the wrong field", "wrong");
    bench.issuer.log_in(&unknown, &bench.client).await.unwrap_err();
    let events = bench.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind, &events[0].subject), (AuditKind::LoginFailed, &None));
}
