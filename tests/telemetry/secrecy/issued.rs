//! Nothing of accounts and of the tokens that are issued in what is logged and counted.

use std::{sync::LazyLock, time::Duration};

use tower_bearer::{
    Algorithm, RejectionKind,
    claims::{Clock, SystemClock},
    jws::SigningKey,
    telemetry::Collector,
};
use tower_bearer_issuing::{
    Account, ClientInfo, Credentials, LoginError, MemoryAccounts, Passwords, StoredAccount,
    TokenIssuer,
    audit::{AuditLog, AuditQuery},
    hash_password,
    store::MemoryTokenStore,
};

use super::{
    hidden::{Hidden, hidden},
    marked::{EMAIL, LOG, SUBJECT},
};

const PASSWORD: &str = "pWd~Tg6Nq1Zx8Hc4";

#[tokio::test]
async fn log_ins_refreshes_and_log_outs_leave_nothing_behind() {
    LazyLock::force(&LOG);
    let accounts = MemoryAccounts::new();
    let mut account = Account::new(7, EMAIL);
    account.subject = SUBJECT.into();
    accounts.insert(StoredAccount::new(account, hash_password(PASSWORD).unwrap()));
    let store = MemoryTokenStore::new();
    let issuer = TokenIssuer::builder(
        "https://issuer.example",
        "api://orders",
        SigningKey::generate(Algorithm::ES256).unwrap(),
        store.clone(),
        Passwords::new(accounts).unwrap(),
    )
    .with_audit(store.clone())
    .build()
    .unwrap();
    let collector = Collector::new().add_source(issuer.clone());

    let log_in = async |password: &str| {
        issuer
            .log_in(&Credentials::new(EMAIL, password), &ClientInfo::new())
            .await
            .map(|login| login.tokens)
    };
    let mut tokens = vec![log_in(PASSWORD).await.unwrap(), log_in(PASSWORD).await.unwrap()];
    while !matches!(log_in(&PASSWORD[1..]).await, Err(LoginError::Throttled { .. })) {}
    tokens.push(issuer.refresh(&tokens[0].refresh_token).await.unwrap());
    issuer.refresh(&tokens[0].refresh_token).await.unwrap_err();
    let user = issuer.authenticator().authenticate(&tokens[1].access_token).await.unwrap();
    let tomorrow = SystemClock::default().now() + Duration::from_secs(24 * 3_600);
    let private = issuer.create_private_token(&user, "name", tomorrow).await.unwrap();
    issuer.log_out(&user, &tokens[1].refresh_token).await.unwrap();
    let mut ids = vec![user.revocation_id().to_owned()];
    ids.extend(user.registered().session_id().map(str::to_owned));
    for pair in &tokens {
        let refused = issuer.authenticator().authenticate(&pair.access_token).await.unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::Revoked);
    }

    let all = || tokens.iter().flat_map(|pair| [&*pair.access_token, &*pair.refresh_token]);
    let mut hidden = hidden(all());
    hidden.add(PASSWORD);
    ids.iter().for_each(|id| hidden.add(id));
    hidden.add_token(&private.data);
    collector.collect();
    let metrics = LOG.metrics();
    for outcome in ["succeeded", "no_active_account", "throttled", "reused"] {
        assert!(metrics.contains(&format!("{outcome:?}")), "{metrics}");
    }
    hidden.assert_not_in(&metrics);
    hidden.assert_not_in(&LOG.text());

    // Audit events name the subject and ids, and nothing else.
    let mut secrets = Hidden::default();
    [PASSWORD, EMAIL].iter().for_each(|secret| secrets.add(secret));
    all().chain([&*private.data]).for_each(|token| secrets.add_token(token));
    let audit = LOG.audit();
    for kind in ["login_succeeded", "login_failed", "login_throttled", "refresh_reused"] {
        assert!(audit.contains(&format!("audit: {kind} issuer=")), "{audit}");
    }
    let session_id = user.registered().session_id().unwrap();
    assert!(audit.contains(SUBJECT) && audit.contains(session_id), "{audit}");
    secrets.assert_not_in(&audit);
    issuer.maintain().await.unwrap();
    let query = AuditQuery::new("https://issuer.example").with_subject(SUBJECT).with_limit(1000);
    let page = store.list(&query).await.unwrap();
    assert!(page.records.len() > 5);
    hidden.assert_not_printed(&query);
    hidden.assert_not_printed(&page);
}
