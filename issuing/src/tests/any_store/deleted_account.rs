//! The deletion of an account leaves no personal data but what SECURITY.md names. Every store runs this test.

use super::{DAY, ISSUER, NOW};
use tower_bearer::{
    Algorithm, UnixTime, claims::ManualClock, jws::SigningKey, revocation::Revocable,
};
use tower_bearer_issuing::{
    Account, AccountQuery, AccountStore, ClientInfo, Credentials, ListQuery, ManagedAccounts,
    NewAccount, Passwords, SessionQuery, TokenIssuer, TokenStore,
    audit::{AuditEvent, AuditKind, AuditLog, AuditQuery, AuditSink},
    hash_password,
    store::{Caller, DEVICE_KEY, Owner, device_account},
};

const PASSWORD: &str = "a long password";

/// Deletes one of two accounts that have done the same.
pub(crate) async fn check<S>(make: impl AsyncFn(ManualClock) -> S)
where
    S: TokenStore + ManagedAccounts + AccountStore + AuditSink + AuditLog + Clone,
{
    let clock = ManualClock::at(NOW);
    let store = make(clock.clone()).await;
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let passwords = Passwords::new(store.clone()).unwrap();
    let issuer = TokenIssuer::builder(ISSUER, "api", key, store.clone(), passwords)
        .with_managed_accounts(store.clone())
        .with_audit(store.clone())
        .with_clock(clock)
        .build()
        .unwrap();
    let hash = hash_password(PASSWORD).unwrap();
    let person = live(&issuer, &store, "person", 1, &hash).await;
    let other = live(&issuer, &store, "other", 2, &hash).await;
    issuer.maintain().await.unwrap();
    for account in [&person, &other] {
        let known = Known::of(&store, account).await;
        assert_eq!((known.agents.len(), known.names.len()), (2, 1), "{known:?}");
        assert!(known.is_account && known.is_listed && known.is_device, "{known:?}");
        assert!(known.events.iter().any(|event| event.address.is_some()), "{known:?}");
        assert!(known.events.len() > 5, "{known:?}");
    }
    let of_other = Known::of(&store, &other).await;

    issuer.delete_account(&person.subject).await.unwrap();
    issuer.maintain().await.unwrap();
    let known = Known::of(&store, &person).await;
    let kinds: Vec<AuditKind> = known.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [AuditKind::AccountDeleted]);
    assert!(known.events.iter().all(|event| event.address.is_none()), "{known:?}");
    let left = Known { events: Vec::new(), ..known };
    assert_eq!(left, Known::default());
    assert_eq!(Known::of(&store, &other).await, of_other, "the other account keeps everything");
    let all = AuditQuery::new(ISSUER);
    for record in AuditLog::list(&store, &all).await.unwrap().records {
        assert_ne!(record.event.address, Some([192, 0, 2, 1].into()), "{:?}", record.event.kind);
    }

    // The revocation stays until the last token that it can concern has expired.
    let subject = Revocable::subject(ISSUER, &*person.subject);
    let entries = store.denials(None, 10).await.unwrap();
    let things: Vec<&Revocable> = entries.iter().map(|entry| entry.thing()).collect();
    assert_eq!(things, [&subject]);
    while store.sweep(NOW + 400 * DAY, 100).await.unwrap() > 0 {}
    assert!(store.denials(None, 10).await.unwrap().is_empty());
    assert!(store.outbox(10).await.unwrap().is_empty());
}

/// Does what leaves personal data: log-ins that succeed and fail, a refresh, a private token.
async fn live<S: TokenStore>(
    issuer: &TokenIssuer,
    store: &S,
    name: &str,
    number: u8,
    hash: &str,
) -> Account {
    let email = format!("{name}@example.org");
    let account = issuer.add_account(&NewAccount::new(&*email, hash)).await.unwrap();
    let agent = format!("agent of {name}");
    let client = ClientInfo::new().with_address([192, 0, 2, number]).with_user_agent(&agent);
    issuer.log_in(&Credentials::new(&*email, PASSWORD), &client).await.unwrap();
    issuer.log_in(&Credentials::new(&*email, "not it"), &client).await.unwrap_err();
    let login = issuer.log_in(&Credentials::new(&*email, PASSWORD), &client).await.unwrap();
    let tokens = issuer.for_client(&client).refresh(&login.tokens.refresh_token).await.unwrap();
    let access = issuer.authenticator().authenticate(&tokens.access_token).await.unwrap();
    let token = format!("token of {name}");
    issuer.create_private_token(&access, &token, NOW + DAY).await.unwrap();
    // The issuer has stored the device of the log-in, too. Its id is a secret of the issuer.
    let key = store.shared_key(DEVICE_KEY, &[0; 32]).await.unwrap();
    let of_account = device_account(&key, &Owner::new(ISSUER, &*account.subject));
    store.note_device(&device_of(&account), &of_account, NOW + DAY).await.unwrap();
    account
}

fn device_of(account: &Account) -> [u8; 32] {
    std::array::from_fn(|n| account.subject.as_bytes().get(n).copied().unwrap_or(0))
}

/// What a store knows about a person.
#[derive(Debug, Default, PartialEq)]
struct Known {
    is_account: bool,
    is_listed: bool,
    is_device: bool,
    agents: Vec<String>,
    names: Vec<String>,
    events: Vec<AuditEvent>,
}

impl Known {
    async fn of<S>(store: &S, account: &Account) -> Self
    where
        S: TokenStore + ManagedAccounts + AuditLog,
    {
        let owner = Owner::new(ISSUER, &*account.subject);
        // The revocation does not reach this token, so the store does not hide rows from it.
        let caller = Caller::new(owner, "caller", "session of the caller", UnixTime::MAX);
        let sessions = store.list_sessions(&caller, &SessionQuery::new(), NOW).await.unwrap();
        let sessions = sessions.done().unwrap().unwrap().sessions;
        let tokens = store.list_private(&caller, &ListQuery::new(), NOW).await.unwrap();
        let tokens = tokens.done().unwrap().unwrap().tokens;
        let accounts = store.list_accounts(&AccountQuery::new()).await.unwrap().accounts;
        let of_subject = AuditQuery::new(ISSUER).with_subject(&*account.subject);
        let records = AuditLog::list(store, &of_subject).await.unwrap().records;
        let by_email = store.find_by_email(&account.email).await.unwrap();
        let by_subject = store.find_by_subject(&account.subject).await.unwrap();
        assert_eq!(by_email.is_some(), by_subject.is_some());
        let agent = |one: &tower_bearer_issuing::Session| one.user_agent.as_deref().map(Into::into);
        Self {
            is_account: by_email.is_some(),
            is_listed: accounts.iter().any(|one| one.account.subject == account.subject),
            is_device: store.knows_device(&device_of(account), NOW).await.unwrap(),
            agents: sessions.iter().filter_map(agent).collect(),
            names: tokens.iter().map(|token| token.name.to_string()).collect(),
            events: records.into_iter().map(|record| record.event).collect(),
        }
    }
}
