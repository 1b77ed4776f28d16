use super::{
    Bench, HOUR, ISSUER, NOW, ada, answered, bob, by, called, entry, private, refresh, rotation,
    secs, session, side_by_side, subject, token,
};
use crate::claims::ACCESS_LIFETIME;
use crate::store::{
    Called, Caller, DEVICE_KEY, Insertion, NewRefreshToken, NewSession, Owner, Page, RefreshUse,
    Session, SessionPage, SessionQuery, SessionSortBy, TokenStore, device_account,
};
use tower_bearer::{UnixTime, revocation::KEEP_AFTER_EXPIRY};

/// Refresh tokens in these tests live longer than access tokens.
const LIFETIME: std::time::Duration = secs(10_000);

fn first(owner: Owner, name: &str, issued_at: UnixTime) -> NewRefreshToken {
    let mut token = refresh(owner, name, &format!("first of {name}"));
    (token.issued_at, token.expires_at) = (issued_at, issued_at + LIFETIME);
    token
}

impl<S: TokenStore> Bench<S> {
    /// Begins a session whose user agent is its name.
    async fn begin_session(&self, owner: Owner, name: &str, issued_at: UnixTime) {
        let new = NewSession::new(first(owner, name, issued_at)).with_user_agent(Some(name));
        assert_eq!(answered(self.store.open_session(&new).await), Insertion::Done(()));
    }

    async fn renew(&self, name: &str, used: &str, successor: &str, now: UnixTime) -> RefreshUse {
        let mut rotation = rotation(ada(), name, used, successor);
        rotation.now = now;
        rotation.successor.issued_at = now;
        rotation.successor.expires_at = now + LIFETIME;
        answered(self.store.use_refresh(&rotation).await)
    }

    async fn session_page(&self, query: &SessionQuery, now: UnixTime) -> Option<SessionPage> {
        called(self.store.list_sessions(&by(ada()), query, now).await)
    }

    async fn sessions(&self, query: &SessionQuery, now: UnixTime) -> Vec<Session> {
        self.session_page(query, now).await.unwrap_or_else(|| panic!("no such page")).sessions
    }

    /// The user agents of ada's sessions.
    async fn agents(&self, now: UnixTime) -> Vec<String> {
        let sessions = self.sessions(&SessionQuery::new(), now).await;
        sessions.iter().map(|one| one.user_agent.as_deref().unwrap_or("none").to_owned()).collect()
    }

    async fn end(&self, id: i64) -> bool {
        let caller = by(ada());
        called(self.store.revoke_session(&caller, id, NOW, NOW + HOUR).await).is_some()
    }
}

pub(super) async fn a_session_is_listed_as_it_began_and_as_it_was_refreshed<S: TokenStore>(
    bench: Bench<S>,
) {
    bench.begin_session(ada(), "Mozilla/5.0 é", NOW).await;
    bench.begin_session(bob(), "of bob", NOW).await;
    bench.begin_session(Owner::new("https://other.example", "ada"), "of another issuer", NOW).await;
    let listed = bench.sessions(&SessionQuery::new(), NOW).await;
    let [one] = listed.as_slice() else { panic!("{} sessions", listed.len()) };
    assert_eq!([one.created_at, one.last_used_at, one.expires_at], [NOW, NOW, NOW + LIFETIME]);
    assert_eq!(one.user_agent.as_deref(), Some("Mozilla/5.0 é"));
    assert!(!one.is_current);

    let later = NOW + secs(60);
    let name = "Mozilla/5.0 é";
    let used = bench.renew(name, "first of Mozilla/5.0 é", "second", later).await;
    assert_eq!(used, RefreshUse::Rotated);
    let mut expected = one.clone();
    (expected.last_used_at, expected.expires_at) = (later, later + LIFETIME);
    assert!(bench.sessions(&SessionQuery::new(), later).await == [expected.clone()]);

    let caller = Caller::new(ada(), "caller", name, NOW + HOUR);
    let page = called(bench.store.list_sessions(&caller, &SessionQuery::new(), NOW).await);
    expected.is_current = true;
    assert!(page == Some(SessionPage::new(1, 1, vec![expected])));
}

pub(super) async fn an_unknown_user_agent_is_none<S: TokenStore>(bench: Bench<S>) {
    answered(bench.store.open_session(&first(ada(), "a", NOW).into()).await);
    let empty = NewSession::new(first(ada(), "b", NOW)).with_user_agent(Some(""));
    answered(bench.store.open_session(&empty).await);
    assert_eq!(bench.agents(NOW).await, ["none", "none"]);
}

pub(super) async fn sessions_that_have_ended_are_not_listed<S: TokenStore>(bench: Bench<S>) {
    for name in ["kept", "revoked", "reused", "denied"] {
        bench.begin_session(ada(), name, NOW).await;
    }
    let all = bench.sessions(&SessionQuery::new(), NOW).await;
    let id = |name| {
        let named = all.iter().find(|one| one.user_agent.as_deref() == Some(name));
        named.map_or(-1, |one| one.id)
    };
    assert!(bench.end(id("revoked")).await);
    assert!(bench.is_refused(session("revoked")).await);
    assert_eq!(bench.outbox().await, [session("revoked")]);
    let used = bench.renew("revoked", "first of revoked", "next", NOW).await;
    assert_eq!(used, RefreshUse::Revoked);
    bench.renew("reused", "first of reused", "next", NOW).await;
    assert_eq!(bench.renew("reused", "first of reused", "x", NOW).await, RefreshUse::Reused);
    answered(bench.store.deny(&[entry(session("denied"), NOW + HOUR)]).await);
    assert_eq!(bench.agents(NOW).await, ["kept"]);
    for name in ["revoked", "reused", "denied"] {
        assert!(!bench.end(id(name)).await, "{name} has ended");
    }
    bench.clock.advance(HOUR);
    assert!(bench.is_refused(session("revoked")).await, "kept as long as was asked");
}

pub(super) async fn a_session_ends_at_the_cut_off_of_its_owner<S: TokenStore>(bench: Bench<S>) {
    for name in ["old", "refreshed"] {
        bench.begin_session(ada(), name, NOW).await;
    }
    bench.renew("refreshed", "first of refreshed", "next", NOW + secs(10)).await;
    let ids: Vec<i64> =
        bench.sessions(&SessionQuery::new(), NOW).await.iter().map(|one| one.id).collect();
    answered(bench.store.deny(&[entry(subject("ada", NOW), NOW + HOUR)]).await);
    assert_eq!(bench.agents(NOW).await, ["refreshed"], "its latest token is later");
    answered(bench.store.revoke_owner(&ada(), NOW, NOW + HOUR).await);
    assert!(bench.agents(NOW).await.is_empty());
    for id in ids {
        assert!(!bench.end(id).await);
    }
    bench.begin_session(ada(), "new", NOW + secs(11)).await;
    assert_eq!(bench.agents(NOW).await, ["new"]);
}

pub(super) async fn a_session_expires_with_its_last_token<S: TokenStore>(bench: Bench<S>) {
    let mut short = first(ada(), "short", NOW);
    short.expires_at = NOW + secs(1);
    let short = NewSession::new(short).with_user_agent(Some("short"));
    answered(bench.store.open_session(&short).await);
    bench.begin_session(ada(), "long", NOW).await;
    let access_ends = NOW + ACCESS_LIFETIME;
    assert_eq!(bench.agents(access_ends - secs(1)).await, ["short", "long"]);
    assert_eq!(bench.agents(access_ends).await, ["long"]);
    assert!(bench.agents(NOW + LIFETIME).await.is_empty());

    // The refresh token of the short session has to be swept too.
    let last = access_ends + KEEP_AFTER_EXPIRY;
    assert_eq!(answered(bench.store.sweep(last, 10).await), 1);
    assert_eq!(bench.agents(NOW).await, ["short", "long"]);
    assert_eq!(answered(bench.store.sweep(last + secs(1), 10).await), 1);
    assert_eq!(bench.agents(NOW).await, ["long"]);
}

pub(super) async fn sessions_are_ordered_and_paged<S: TokenStore>(bench: Bench<S>) {
    for (name, issued) in [("a", 3), ("b", 1), ("c", 2), ("d", 2)] {
        bench.begin_session(ada(), name, NOW + secs(issued)).await;
    }
    bench.renew("b", "first of b", "next", NOW + secs(9)).await;
    let names = async |query: SessionQuery| -> String {
        let page = bench.sessions(&query, NOW).await;
        page.iter().map(|one| one.user_agent.as_deref().unwrap_or_default()).collect()
    };
    let ordered = |by, descending| SessionQuery::new().add_ordering(by, descending);
    for (by, up, down) in [
        (SessionSortBy::Id, "abcd", "dcba"),
        (SessionSortBy::CreatedAt, "bcda", "acdb"),
        (SessionSortBy::LastUsedAt, "cdab", "bacd"),
        (SessionSortBy::ExpiresAt, "cdab", "bacd"),
    ] {
        assert_eq!(names(ordered(by, false)).await, up, "{by:?}");
        assert_eq!(names(ordered(by, true)).await, down, "{by:?}");
    }
    let by_two = ordered(SessionSortBy::ExpiresAt, true).add_ordering(SessionSortBy::Id, true);
    assert_eq!(names(by_two).await, "badc");

    let sized = |page| SessionQuery::new().with_page_size(3).with_page(page);
    for (page, number, expected) in
        [(Page::Number(1), 1, "abc"), (Page::Number(2), 2, "d"), (Page::Last, 2, "d")]
    {
        let found = bench.session_page(&sized(page), NOW).await;
        let found = found.unwrap_or_else(|| panic!("no page {number}"));
        assert_eq!((found.count, found.number), (4, number));
        assert_eq!(names(sized(page)).await, expected);
    }
    for none in [0, 3, u64::MAX] {
        assert!(bench.session_page(&sized(Page::Number(none)), NOW).await.is_none());
    }
    let of_bob = called(bench.store.list_sessions(&by(bob()), &sized(Page::Last), NOW).await);
    assert!(of_bob == Some(SessionPage::new(0, 1, vec![])), "an empty first page");
}

pub(super) async fn nobody_reaches_the_session_of_another<S: TokenStore>(bench: Bench<S>) {
    bench.begin_session(ada(), "of ada", NOW).await;
    let id = bench.sessions(&SessionQuery::new(), NOW).await.first().map_or(-1, |one| one.id);
    let other_issuer = Owner::new("https://other.example", "ada");
    for owner in [bob(), other_issuer] {
        let outcome = bench.store.revoke_session(&by(owner), id, NOW, NOW + HOUR).await;
        assert_eq!(called(outcome), None);
    }
    for none in [0, -1, i64::MAX, i64::MIN] {
        assert!(!bench.end(none).await);
    }
    assert!(!bench.is_refused(session("of ada")).await && bench.outbox().await.is_empty());

    let denied = [token("caller"), session("session of the caller"), subject("ada", UnixTime::MAX)];
    for what in denied {
        answered(bench.store.revoke(&entry(what, NOW + HOUR)).await);
        let revoked = answered(bench.store.revoke_session(&by(ada()), id, NOW, NOW + HOUR).await);
        assert_eq!(revoked, Called::Revoked);
        let query = SessionQuery::new();
        let listed = answered(bench.store.list_sessions(&by(ada()), &query, NOW).await);
        assert!(listed == Called::Revoked);
    }
    assert!(!bench.is_refused(session("of ada")).await);
}

pub(super) async fn of_many_ends_of_a_session_at_once_one_succeeds<S: TokenStore>(bench: Bench<S>) {
    bench.begin_session(ada(), "a", NOW).await;
    let id = bench.sessions(&SessionQuery::new(), NOW).await.first().map_or(-1, |one| one.id);
    let answers = side_by_side(&bench.store, |store, n| async move {
        if n % 2 == 0 {
            let mut rotation = rotation(ada(), "a", "first of a", &format!("{n}"));
            rotation.reuse_grace = secs(30);
            return store.use_refresh(&rotation).await.map(|_| false);
        }
        let caller = by(ada());
        let ended = store.revoke_session(&caller, id, NOW, NOW + HOUR).await;
        ended.map(|ended| ended.done().flatten().is_some())
    })
    .await;
    assert_eq!(answers.iter().filter(|ended| **ended).count(), 1);
    assert!(bench.agents(NOW).await.is_empty());
    assert!(bench.is_refused(session("a")).await);
}

pub(super) async fn personal_data_is_deleted_and_everything_revoked<S: TokenStore>(
    bench: Bench<S>,
) {
    let key = answered(bench.store.shared_key(DEVICE_KEY, &[5; 32]).await);
    for owner in [ada(), bob()] {
        let name = format!("of {}", owner.subject);
        bench.begin_session(owner.clone(), &name, NOW).await;
        bench.create(owner.clone(), &format!("p.{name}"), &name).await;
        let device = if owner == ada() { [1; 32] } else { [2; 32] };
        let account = device_account(&key, &owner);
        answered(bench.store.note_device(&device, &account, NOW + HOUR).await);
    }
    let mut long = private(ada(), "p.long", "a");
    long.expires_at = NOW + 3 * HOUR;
    bench.create_token(long).await;

    let cut_off = bench.store.delete_personal_data(&ada(), NOW, NOW + HOUR, None).await;
    assert_eq!(answered(cut_off), NOW);
    assert!(bench.is_refused(subject("ada", NOW)).await);
    assert_eq!(bench.outbox().await, [subject("ada", NOW)]);
    assert!(bench.agents(NOW).await.is_empty() && bench.listed(ada(), NOW).await.is_empty());
    assert_ne!(bench.renew("of ada", "first of of ada", "2", NOW).await, RefreshUse::Rotated);
    let knows = async |n| answered(bench.store.knows_device(&[n; 32], NOW).await);
    assert!(!knows(1).await && knows(2).await);
    let of_bob = bench.store.list_sessions(&by(bob()), &SessionQuery::new(), NOW).await;
    assert_eq!(called(of_bob).map(|page| page.count), Some(1));
    assert_eq!(bench.listed(bob(), NOW).await.len(), 1);

    // Again, and for an owner of whom nothing is known.
    let again = answered(bench.store.delete_personal_data(&ada(), NOW - secs(5), NOW, None).await);
    assert_eq!(again, NOW);
    let nobody = Owner::new(ISSUER, "nobody");
    answered(bench.store.delete_personal_data(&nobody, NOW, NOW + HOUR, None).await);
    let last = NOW + 3 * HOUR + KEEP_AFTER_EXPIRY;
    answered(bench.store.sweep(last, 100).await);
    assert!(bench.is_refused(subject("ada", NOW)).await, "kept for the longest of the tokens");
}
