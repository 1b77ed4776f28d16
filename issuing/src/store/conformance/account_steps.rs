use super::{
    Bench, ISSUER, NOW, answered, by, private, refresh, rotation, secs, session, side_by_side,
    subject, token,
};
use crate::{
    Account, AccountChange, AccountOutcome, AccountQuery, AccountUpdate, ManagedAccounts,
    NewAccount, StoredAccount,
    scopes::ScopeSet,
    store::{Insertion, LostScopes, NewRefreshToken, Owner, RefreshUse, TokenStore},
};
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocationEntry},
};

/// A password hash of these tests. No store reads hashes.
const OLD: &str = "$argon2id$old";
const NEW: &str = "$argon2id$new";

/// Every change that ends all tokens.
fn ending_changes() -> [AccountChange; 4] {
    [
        AccountChange::ChangePassword { old_hash: OLD.into(), new_hash: NEW.into() },
        AccountChange::SetPassword { new_hash: NEW.into() },
        AccountChange::Close,
        AccountChange::Delete,
    ]
}

fn owner(account: &Account) -> Owner {
    Owner::new(ISSUER, &*account.subject)
}

impl<S: TokenStore + ManagedAccounts> Bench<S> {
    async fn add(&self, email: &str) -> Account {
        match answered(self.store.add_account(&NewAccount::new(email, OLD)).await) {
            Some(account) => account,
            None => panic!("{email} is taken"),
        }
    }

    async fn stored(&self, account: &Account) -> Option<StoredAccount> {
        answered(self.store.find_by_subject(&account.subject).await)
    }

    async fn change(&self, account: &Account, change: AccountChange) -> AccountOutcome {
        let update = AccountUpdate::new(owner(account), change, NOW);
        answered(self.store.change_account(&update).await)
    }

    async fn open_at(&self, owner: Owner, id: &str, issued_at: UnixTime) -> Insertion<()> {
        let first = NewRefreshToken { issued_at, ..refresh(owner, id, id) };
        answered(self.store.open_session(&first.into()).await)
    }

    async fn use_refresh(&self, owner: Owner, session: &str, used: &str) -> RefreshUse {
        let rotation = rotation(owner, session, used, &format!("successor of {used}"));
        answered(self.store.use_refresh(&rotation).await)
    }
}

fn changed(outcome: AccountOutcome) -> Vec<RevocationEntry> {
    match outcome {
        AccountOutcome::Changed(entries) => entries,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn an_address_has_one_account<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    let mut new = NewAccount::new("Ada@Example.org", OLD);
    new.is_verified = true;
    new.profile.insert("first_name".into(), "Ada".into());
    let Some(ada) = answered(bench.store.add_account(&new).await) else { panic!("it is new") };
    let bob = bench.add("bob@example.org").await;
    assert_ne!(ada.subject, bob.subject);
    let again = NewAccount::new("ada@EXAMPLE.org", NEW);
    assert_eq!(answered(bench.store.add_account(&again).await), None);

    for found in
        [answered(bench.store.find_by_email("ada@example.org").await), bench.stored(&ada).await]
    {
        let Some(found) = found else { panic!("it was added") };
        assert_eq!((&found.account, &*found.password_hash, found.is_active), (&ada, OLD, true));
        assert_eq!(found.account.email, "Ada@Example.org");
        assert!(found.account.is_verified);
    }
    let made = side_by_side(&bench.store, |store, _| async move {
        store.add_account(&NewAccount::new("carol@example.org", OLD)).await
    });
    assert_eq!(made.await.into_iter().flatten().count(), 1, "of many at once");
}

pub(super) async fn accounts_are_listed_once_and_in_parts<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    let mut all = Vec::new();
    for n in 0..7 {
        all.push(bench.add(&format!("User_{n}%@example.org")).await);
    }
    changed(bench.change(&all[3], AccountChange::Close).await);
    let listed = async |query: AccountQuery| {
        let (mut query, mut listed) = (query, Vec::new());
        loop {
            let page = answered(bench.store.list_accounts(&query).await);
            assert!(page.accounts.len() <= query.limit.max(1) as usize);
            listed.extend(page.accounts.into_iter().map(|one| (one.account, one.is_active)));
            match page.next {
                Some(next) => query.after = next,
                None => return listed,
            }
        }
    };
    let expected: Vec<_> = all.iter().cloned().zip((0..7).map(|n| n != 3)).collect();
    for limit in [0, 1, 2, 6, 7, 8, u32::MAX] {
        assert_eq!(listed(AccountQuery::new().with_limit(limit)).await, expected, "{limit}");
    }
    for (search, count) in
        [("USER_3", 1), ("_", 7), ("%@", 7), ("3%@E", 1), ("", 7), ("user%", 0), ("\0", 0)]
    {
        let query = AccountQuery::new().with_search(search).with_limit(3);
        assert_eq!(listed(query).await.len(), count, "{search:?}");
    }
}

pub(super) async fn a_hash_is_replaced_only_while_it_is_the_old_one<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    let ada = bench.add("ada@example.org").await;
    let change = |old: &str, new: &str| AccountChange::ChangePassword {
        old_hash: old.into(),
        new_hash: new.into(),
    };
    assert_eq!(bench.change(&ada, change("other", NEW)).await, AccountOutcome::OtherPassword);
    assert!(!bench.is_refused(subject(&ada.subject, NOW)).await, "nothing was revoked");
    assert!(answered(bench.store.outbox(10).await).is_empty());
    changed(bench.change(&ada, change(OLD, NEW)).await);
    assert_eq!(bench.change(&ada, change(OLD, "other")).await, AccountOutcome::OtherPassword);
    let hash = async || bench.stored(&ada).await.map(|stored| stored.password_hash);
    assert_eq!(hash().await.as_deref(), Some(NEW));

    changed(bench.change(&ada, AccountChange::Close).await);
    assert_eq!(bench.change(&ada, change(NEW, OLD)).await, AccountOutcome::OtherPassword);
    let set = AccountChange::SetPassword { new_hash: OLD.into() };
    changed(bench.change(&ada, set).await);
    assert_eq!(hash().await.as_deref(), Some(OLD));
    let is_active = bench.stored(&ada).await.map(|stored| stored.is_active);
    assert_eq!(is_active, Some(false), "a new password does not open it");
}

pub(super) async fn of_many_changes_of_a_password_at_once_one_succeeds<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    let ada = bench.add("ada@example.org").await;
    let owner = owner(&ada);
    let outcomes = side_by_side(&bench.store, |store, n| {
        let (old_hash, new_hash) = (OLD.into(), format!("new {n}"));
        let change = AccountChange::ChangePassword { old_hash, new_hash };
        let update = AccountUpdate::new(owner.clone(), change, NOW);
        async move { store.change_account(&update).await }
    })
    .await;
    let is_other = |outcome: &&AccountOutcome| **outcome == AccountOutcome::OtherPassword;
    assert_eq!(outcomes.iter().filter(is_other).count(), outcomes.len() - 1);
}

pub(super) async fn a_change_ends_every_earlier_token_of_its_account<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    for (n, change) in ending_changes().into_iter().enumerate() {
        let ada = bench.add(&format!("ada{n}@example.org")).await;
        let bob = bench.add(&format!("bob{n}@example.org")).await;
        for account in [&ada, &bob] {
            let id = format!("session of {}", account.subject);
            assert_eq!(bench.open_at(owner(account), &id, NOW).await, Insertion::Done(()));
            let name = format!("private token of {}", account.subject);
            bench.create_token(private(owner(account), &name, &name)).await;
        }
        // A clock that is ahead has dated this one.
        let ahead = format!("{n} ahead");
        bench.open_at(owner(&ada), &ahead, NOW + secs(20)).await;
        let in_outbox = answered(bench.store.outbox(1000).await).len();

        let entries = changed(bench.change(&ada, change.clone()).await);
        let things: Vec<_> = entries.iter().map(|entry| entry.thing().clone()).collect();
        assert_eq!(things, [Revocable::subject(ISSUER, &*ada.subject)], "{change:?}");
        let outbox = answered(bench.store.outbox(1000).await);
        let new: Vec<_> = outbox.into_iter().skip(in_outbox).map(|new| new.revocation).collect();
        assert_eq!(new, entries, "{change:?}: what was written is answered and in the outbox");

        assert!(bench.is_refused(subject(&ada.subject, NOW + secs(20))).await, "{change:?}");
        assert!(!bench.is_refused(subject(&ada.subject, NOW + secs(21))).await, "{change:?}");
        assert!(!bench.is_refused(subject(&bob.subject, NOW)).await, "{change:?}");
        let dead =
            if change == AccountChange::Delete { RefreshUse::Unknown } else { RefreshUse::Revoked };
        let session = format!("session of {}", ada.subject);
        assert_eq!(bench.use_refresh(owner(&ada), &session, &session).await, dead);
        assert_eq!(bench.use_refresh(owner(&ada), &ahead, &ahead).await, dead);
        assert_eq!(bench.listed(owner(&ada), NOW).await, [0; 0]);
        let session = format!("session of {}", bob.subject);
        let used = bench.use_refresh(owner(&bob), &session, &session).await;
        assert_eq!(used, RefreshUse::Rotated);
        assert_eq!(bench.listed(owner(&bob), NOW).await.len(), 1);

        let behind = bench.open_at(owner(&ada), "behind", NOW).await;
        assert_eq!(behind, Insertion::CutOff(NOW + secs(20)), "{change:?}");
    }
}

pub(super) async fn a_reopened_account_gets_no_old_token_back<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    let ada = bench.add("ada@example.org").await;
    bench.open_at(owner(&ada), "s", NOW).await;
    changed(bench.change(&ada, AccountChange::Close).await);
    assert_eq!(bench.stored(&ada).await.map(|stored| stored.is_active), Some(false));
    assert_eq!(changed(bench.change(&ada, AccountChange::Reopen).await), []);
    assert_eq!(bench.stored(&ada).await.map(|stored| stored.is_active), Some(true));
    assert!(bench.is_refused(subject(&ada.subject, NOW)).await);
    assert_eq!(bench.use_refresh(owner(&ada), "s", "s").await, RefreshUse::Revoked);
    let opened = bench.open_at(owner(&ada), "new", NOW + secs(1)).await;
    assert_eq!(opened, Insertion::Done(()));
}

pub(super) async fn a_deleted_account_leaves_only_its_revocation<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    let ada = bench.add("ada@example.org").await;
    bench.open_at(owner(&ada), "s", NOW).await;
    bench.create_token(private(owner(&ada), "p", "ci")).await;
    changed(bench.change(&ada, AccountChange::Delete).await);
    assert!(bench.stored(&ada).await.is_none());
    assert!(answered(bench.store.find_by_email("ada@example.org").await).is_none());
    assert_eq!(bench.use_refresh(owner(&ada), "s", "s").await, RefreshUse::Unknown);
    for change in ending_changes().into_iter().chain([AccountChange::Reopen]) {
        assert_eq!(bench.change(&ada, change).await, AccountOutcome::NotFound);
    }
    let new = bench.add("ada@example.org").await;
    assert_ne!(new.subject, ada.subject, "verifiers would take one for the other");
    assert!(bench.is_refused(subject(&ada.subject, NOW)).await);
    assert!(!bench.is_refused(subject(&new.subject, NOW)).await);
    for unknown in ["", "\0", "0", "ada@example.org"] {
        let unknown = AccountUpdate::new(Owner::new(ISSUER, unknown), AccountChange::Close, NOW);
        assert_eq!(answered(bench.store.change_account(&unknown).await), AccountOutcome::NotFound);
    }
}

pub(super) async fn a_revoked_caller_changes_no_account<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    let ada = bench.add("ada@example.org").await;
    let caller = by(owner(&ada));
    let session = Revocable::session(ISSUER, &*caller.session_id);
    answered(bench.store.deny(&[RevocationEntry::new(session, NOW + secs(60))]).await);
    for change in ending_changes() {
        let update = AccountUpdate::new(owner(&ada), change, NOW).by(caller.clone());
        let outcome = answered(bench.store.change_account(&update).await);
        assert_eq!(outcome, AccountOutcome::CallerRevoked);
    }
    let Some(stored) = bench.stored(&ada).await else { panic!("it is there") };
    assert_eq!((&*stored.password_hash, stored.is_active), (OLD, true));
    assert!(!bench.is_refused(subject(&ada.subject, NOW)).await);
}

pub(super) async fn no_session_that_begins_during_a_change_survives_it<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    let ada = bench.add("ada@example.org").await;
    let owner = owner(&ada);
    side_by_side(&bench.store, |store, n| {
        let id = format!("session {n}");
        let first = refresh(owner.clone(), &id, &id);
        let close = AccountUpdate::new(owner.clone(), AccountChange::Close, NOW);
        async move {
            if n == 8 {
                return store.change_account(&close).await.map(|_| ());
            }
            store.open_session(&first.into()).await.map(|_| ())
        }
    })
    .await;
    for n in 0..16 {
        let id = format!("session {n}");
        let used = bench.use_refresh(owner.clone(), &id, &id).await;
        assert!(matches!(used, RefreshUse::Revoked | RefreshUse::Unknown), "{used:?}");
    }
}

fn scopes(text: &str) -> ScopeSet {
    ScopeSet::from_text(text).unwrap_or_else(|error| panic!("{error}"))
}

impl<S: TokenStore + ManagedAccounts> Bench<S> {
    async fn add_with_scopes(&self, text: &str) -> Account {
        self.add_named("ada@example.org", text).await
    }

    async fn add_named(&self, email: &str, text: &str) -> Account {
        let mut new = NewAccount::new(email, OLD);
        new.scopes = scopes(text);
        match answered(self.store.add_account(&new).await) {
            Some(account) => account,
            None => panic!("it is new"),
        }
    }

    async fn set_scopes(&self, account: &Account, text: &str) -> Vec<RevocationEntry> {
        changed(self.change(account, AccountChange::SetScopes(scopes(text))).await)
    }

    /// Stores a refresh token that was issued together with the access token `access {id}`.
    async fn open_with_access(&self, owner: Owner, session: &str, id: &str, issued_at: UnixTime) {
        let first = NewRefreshToken { issued_at, ..refresh(owner, session, id) };
        let first = first.with_access_token_id(format!("access {id}"));
        let opened = answered(self.store.open_session(&first.into()).await);
        assert_eq!(opened, Insertion::Done(()));
    }
}

pub(super) async fn a_lost_scope_ends_access_tokens_and_those_that_hold_it<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    let ada = bench.add_with_scopes("a b").await;
    for (session, issued_at) in [("1", NOW), ("2", NOW - secs(3600))] {
        bench.open_with_access(owner(&ada), session, session, issued_at).await;
    }
    let long_ago = LostScopes::issued_after(NOW, Some(NOW));
    bench.open_with_access(owner(&ada), "3", "3", long_ago).await;
    for held in ["a", "b", "a b", ""] {
        let token = private(owner(&ada), &format!("private {held}"), held);
        bench.create_token(token.with_scopes(scopes(held))).await;
    }
    assert_eq!(bench.set_scopes(&ada, "a b c").await, [], "more scopes revoke nothing");
    assert_eq!(bench.set_scopes(&ada, "c b a").await, []);
    let in_outbox = answered(bench.store.outbox(1000).await).len();
    let entries = bench.set_scopes(&ada, "b").await;
    let new = answered(bench.store.outbox(1000).await).into_iter().skip(in_outbox);
    let new: Vec<_> = new.map(|new| new.revocation).collect();
    assert_eq!(new, entries, "what was written is answered and in the outbox");

    let lost = ["access 1", "access 2", "private a", "private a b"];
    for id in lost {
        assert!(bench.is_refused(token(id)).await, "{id}");
    }
    assert_eq!(entries.len(), lost.len());
    for id in ["access 3", "private b", "private "] {
        assert!(!bench.is_refused(token(id)).await, "{id}");
    }
    assert_eq!(bench.listed(owner(&ada), NOW).await.len(), 2);
    assert!(!bench.is_refused(subject(&ada.subject, NOW)).await);
    for session in ["1", "2", "3"] {
        let used = bench.use_refresh(owner(&ada), session, session).await;
        assert_eq!(used, RefreshUse::Rotated, "refresh tokens stay");
    }
    let stored = bench.stored(&ada).await.map(|stored| stored.account.scopes);
    assert_eq!(stored, Some(scopes("b")));
}

pub(super) async fn a_session_of_unknown_or_many_access_tokens_ends<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    let ada = bench.add_with_scopes("a").await;
    let earlier = refresh(owner(&ada), "of an earlier version", "earlier");
    let earlier = NewRefreshToken { access_token_id: None, ..earlier };
    answered(bench.store.open_session(&earlier.into()).await);
    for n in 0..101 {
        bench.open_with_access(owner(&ada), "many", &format!("many {n}"), NOW).await;
    }
    bench.open_with_access(owner(&ada), "one", "one", NOW).await;
    assert_eq!(bench.set_scopes(&ada, "").await.len(), 3);
    for ended in ["of an earlier version", "many"] {
        assert!(bench.is_refused(session(ended)).await, "{ended}");
    }
    assert!(!bench.is_refused(session("one")).await);
    assert!(bench.is_refused(token("access one")).await);
    let used = bench.use_refresh(owner(&ada), "many", "many 0").await;
    assert_eq!(used, RefreshUse::Revoked);
}

pub(super) async fn too_many_revocations_are_one_cut_off<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    let ada = bench.add_with_scopes("a b").await;
    for n in 0..1001 {
        let id = format!("{n}");
        bench.open_with_access(owner(&ada), &id, &id, NOW).await;
    }
    let entries = bench.set_scopes(&ada, "a").await;
    let things: Vec<_> = entries.iter().map(|entry| entry.thing().clone()).collect();
    assert_eq!(things, [Revocable::subject(ISSUER, &*ada.subject)]);
    assert!(bench.is_refused(subject(&ada.subject, NOW)).await);
    // What was revoked by the cut-off is not revoked again.
    bench.open_with_access(owner(&ada), "new", "new", NOW + secs(1)).await;
    assert_eq!(bench.set_scopes(&ada, "").await.len(), 1);
}

/// The clock of the operator may be ahead. A session that was refreshed every ten minutes for a day has too many
/// access tokens to revoke all of them, and only those of the last hour can be valid.
pub(super) async fn a_busy_session_survives_a_lost_scope_by_any_clock<S>(bench: Bench<S>)
where
    S: TokenStore + ManagedAccounts,
{
    for (n, days_ahead) in [0, 1, 400].into_iter().enumerate() {
        let ada = bench.add_named(&format!("ada{n}@example.org"), "a").await;
        let [busy, ending] = [format!("busy {n}"), format!("ending {n}")];
        for age in 0..150 {
            let (id, issued_at) = (format!("{busy} {age}"), NOW - secs(600 * age));
            bench.open_with_access(owner(&ada), &busy, &id, issued_at).await;
        }
        let held = private(owner(&ada), &ending, "a").with_scopes(scopes("a"));
        bench.create_token(held).await;
        // The end of an overlap.
        let thing = Revocable::token(ISSUER, &*ending);
        let end = RevocationEntry::new(thing, NOW + secs(3600)).with_start(NOW + secs(600));
        answered(bench.store.deny(&[end]).await);
        assert!(!bench.is_refused(token(&ending)).await);

        let operator = NOW + secs(24 * 3600 * days_ahead);
        let change = AccountChange::SetScopes(scopes(""));
        let update = AccountUpdate::new(owner(&ada), change, operator);
        changed(answered(bench.store.change_account(&update).await));
        for age in 0..=6 {
            assert!(bench.is_refused(token(&format!("access {busy} {age}"))).await, "{age}");
        }
        assert!(!bench.is_refused(token(&format!("access {busy} 7"))).await, "it has expired");
        assert!(bench.is_refused(token(&ending)).await, "{days_ahead} days ahead");
        let used = bench.use_refresh(owner(&ada), &busy, &format!("{busy} 0")).await;
        assert_eq!(used, RefreshUse::Rotated, "{days_ahead} days ahead");
        let next = format!("access token of successor of {busy} 0");
        assert!(!bench.is_refused(token(&next)).await && !bench.is_refused(session(&busy)).await);
    }
}
