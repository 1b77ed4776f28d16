//! A test suite that every [`RevocationStore`] must pass, for authors of stores.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{revocation::MemoryStore, test_util::revocation_conformance};
//!
//! revocation_conformance::check(async |clock| MemoryStore::new().with_clock(clock)).await;
//! # }
//! ```
//!
//! The suite cannot check two duties of a store: an acknowledged revocation survives a crash, and other processes see
//! it.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures_util::{FutureExt, future::join_all};

use crate::{
    UnixTime,
    claims::{Clock, ManualClock, SystemClock},
    revocation::{
        Lookup, Revocable, RevocableKind, RevocationEntry, RevocationStore, StoreError, Verdict,
    },
};

const ISSUER: &str = "https://issuer.example";
const HOUR: Duration = Duration::from_secs(3600);
const KINDS: [RevocableKind; 4] =
    [RevocableKind::Token, RevocableKind::Subject, RevocableKind::Session, RevocableKind::Key];

/// Checks every rule of [`RevocationStore`], each on a separate store. `make` returns an empty store.
///
/// `make` gets the clock of the suite, which starts at the system's time. A store that decides about starts or about
/// obsolete entries should use it. A store whose server has its own clock ignores it.
///
/// # Panics
/// If the store breaks a rule. The message names the rule and the store's answer.
pub async fn check<S: RevocationStore>(make: impl AsyncFn(ManualClock) -> S) {
    macro_rules! rules {
        ($($rule:ident),+ $(,)?) => {$({
            let clock = ManualClock::at(SystemClock.now());
            let bench = Bench { store: make(clock.clone()).await, now: clock.now(), clock };
            let outcome = AssertUnwindSafe($rule(bench)).catch_unwind().await;
            if let Err(panic) = outcome {
                let rule = stringify!($rule).replace('_', " ");
                panic!("broken rule: {rule}: {}", message(&*panic));
            }
        })+};
    }
    rules! {
        an_empty_store_revokes_nothing,
        an_entry_of_each_kind_is_found_by_the_next_lookup,
        an_entry_revokes_only_its_thing,
        one_revoked_thing_is_enough_at_any_position,
        any_text_can_be_an_id,
        a_cut_off_revokes_what_was_issued_at_it_or_before,
        an_entry_without_a_cut_off_revokes_every_token_of_the_subject,
        revoking_again_does_not_lower_a_cut_off,
        an_entry_is_kept_through_its_last_second,
        revoking_again_does_not_shorten_an_entry,
        the_latest_date_holds_for_the_latest_cut_off,
        an_entry_revokes_from_its_start_on_and_not_before,
        the_earliest_start_holds_in_any_order,
        an_obsolete_entry_is_not_an_error,
        concurrent_entries_are_all_kept,
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the store panicked")
}

/// A store, and its clock.
struct Bench<S> {
    store: S,
    clock: ManualClock,
    /// The time at which the clock began.
    now: UnixTime,
}

impl<S: RevocationStore> Bench<S> {
    async fn revoke(&self, entry: RevocationEntry) {
        answered("revoke", self.store.revoke(&entry).await);
    }

    /// An entry that is obsolete an hour after the clock began.
    fn entry(&self, thing: Revocable) -> RevocationEntry {
        RevocationEntry::restored(thing, self.now + HOUR)
    }

    async fn look_up(&self, things: impl IntoIterator<Item = Revocable>) -> Verdict {
        self.look_up_issued_at(things, self.now).await
    }

    async fn look_up_issued_at(
        &self,
        things: impl IntoIterator<Item = Revocable>,
        issued_at: UnixTime,
    ) -> Verdict {
        answered("look_up", self.store.look_up(&Lookup::new(things, issued_at)).await)
    }

    /// Whether a cache would reject the token at this date.
    async fn is_revoked_at(&self, thing: Revocable, date: UnixTime) -> bool {
        match self.look_up([thing]).await {
            Verdict::Revoked => true,
            Verdict::NotRevoked => false,
            Verdict::RevokedFrom(start) => start <= date,
        }
    }
}

fn answered<T>(call: &str, answer: Result<T, StoreError>) -> T {
    answer.unwrap_or_else(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        panic!("`{call}` failed: {}", source.unwrap_or_else(|| error.to_string()))
    })
}

fn thing(kind: RevocableKind, id: &str) -> Revocable {
    Revocable::new(kind, ISSUER, id)
}

fn token(id: &str) -> Revocable {
    thing(RevocableKind::Token, id)
}

fn ada() -> Revocable {
    thing(RevocableKind::Subject, "ada")
}

async fn an_empty_store_revokes_nothing<S: RevocationStore>(bench: Bench<S>) {
    assert_eq!(bench.look_up(KINDS.map(|kind| thing(kind, "a"))).await, Verdict::NotRevoked);
    assert_eq!(bench.look_up([]).await, Verdict::NotRevoked, "a lookup without things");
}

async fn an_entry_of_each_kind_is_found_by_the_next_lookup<S: RevocationStore>(bench: Bench<S>) {
    for kind in KINDS {
        bench.revoke(bench.entry(thing(kind, "a"))).await;
        for _ in 0..2 {
            assert_eq!(bench.look_up([thing(kind, "a")]).await, Verdict::Revoked, "{kind:?}");
        }
    }
}

async fn an_entry_revokes_only_its_thing<S: RevocationStore>(bench: Bench<S>) {
    for kind in KINDS {
        bench.revoke(bench.entry(Revocable::new(kind, ISSUER, format!("{kind:?}")))).await;
    }
    for kind in KINDS {
        for other in KINDS.into_iter().filter(|other| *other != kind) {
            let verdict = bench.look_up([thing(other, &format!("{kind:?}"))]).await;
            assert_eq!(
                verdict,
                Verdict::NotRevoked,
                "a {other:?} with the id of a revoked {kind:?}"
            );
        }
        for id in [format!("{kind:?}").to_lowercase(), format!("{kind:?} "), String::new()] {
            assert_eq!(bench.look_up([thing(kind, &id)]).await, Verdict::NotRevoked, "{id:?}");
        }
        let elsewhere = Revocable::new(kind, "https://other.example", format!("{kind:?}"));
        assert_eq!(bench.look_up([elsewhere]).await, Verdict::NotRevoked, "another issuer");
    }
    bench.revoke(bench.entry(Revocable::token("ab", "c"))).await;
    for (issuer, id) in [("a", "bc"), ("abc", ""), ("", "abc"), ("ab:", "c"), ("ab", ":c")] {
        let verdict = bench.look_up([Revocable::token(issuer, id)]).await;
        assert_eq!(verdict, Verdict::NotRevoked, "issuer {issuer:?} and id {id:?}");
    }
}

async fn one_revoked_thing_is_enough_at_any_position<S: RevocationStore>(bench: Bench<S>) {
    bench.revoke(bench.entry(thing(RevocableKind::Key, "revoked"))).await;
    for count in 1..=8 {
        for place in 0..count {
            let id = |n| if n == place { "revoked".to_owned() } else { format!("good {n}") };
            let things = (0..count).map(|n| thing(RevocableKind::Key, &id(n)));
            let verdict = bench.look_up(things).await;
            assert_eq!(verdict, Verdict::Revoked, "thing {} of {count} is revoked", place + 1);
        }
    }
}

async fn any_text_can_be_an_id<S: RevocationStore>(bench: Bench<S>) {
    let long = "\u{1F980}".repeat(2_000);
    let ids = ["", " ", "\0", "a\0b", "a\nb", "'; --", "\"", "*", "%", "\u{e9}", "e\u{301}", &long];
    for id in ids {
        assert_eq!(bench.look_up([token(id)]).await, Verdict::NotRevoked, "{id:.9?}");
        bench.revoke(bench.entry(token(id))).await;
        assert_eq!(bench.look_up([token(id)]).await, Verdict::Revoked, "{id:.9?}");
    }
    assert_eq!(bench.look_up([token("good")]).await, Verdict::NotRevoked);
}

async fn a_cut_off_revokes_what_was_issued_at_it_or_before<S: RevocationStore>(bench: Bench<S>) {
    let (cut_off, second) = (bench.now - HOUR, Duration::from_secs(1));
    bench.revoke(bench.entry(ada()).with_cut_off(cut_off)).await;
    for (issued_at, expected) in [
        (UnixTime::EPOCH, Verdict::Revoked),
        (cut_off - second, Verdict::Revoked),
        (cut_off, Verdict::Revoked),
        (cut_off + second, Verdict::NotRevoked),
        (bench.now, Verdict::NotRevoked),
    ] {
        let verdict = bench.look_up_issued_at([token("a"), ada()], issued_at).await;
        assert_eq!(verdict, expected, "issued at {issued_at:?}, cut-off at {cut_off:?}");
    }
    bench.revoke(bench.entry(token("a"))).await;
    assert_eq!(bench.look_up([ada(), token("a")]).await, Verdict::Revoked, "by another thing");
}

async fn an_entry_without_a_cut_off_revokes_every_token_of_the_subject<S: RevocationStore>(
    bench: Bench<S>,
) {
    bench.revoke(bench.entry(ada())).await;
    for issued_at in [UnixTime::EPOCH, bench.now, bench.now + HOUR, UnixTime::MAX] {
        let verdict = bench.look_up_issued_at([ada()], issued_at).await;
        assert_eq!(verdict, Verdict::Revoked, "issued at {issued_at:?}");
    }
}

async fn revoking_again_does_not_lower_a_cut_off<S: RevocationStore>(bench: Bench<S>) {
    for cut_off in [bench.now - HOUR, bench.now, bench.now - HOUR] {
        bench.revoke(bench.entry(ada()).with_cut_off(cut_off)).await;
    }
    assert_eq!(bench.look_up([ada()]).await, Verdict::Revoked);
}

async fn an_entry_is_kept_through_its_last_second<S: RevocationStore>(bench: Bench<S>) {
    bench.revoke(bench.entry(token("a"))).await;
    bench.revoke(RevocationEntry::restored(token("b"), UnixTime::MAX)).await;
    bench.clock.advance(HOUR);
    // Many stores remove obsolete entries when new entries arrive.
    for n in 0..100 {
        let later = RevocationEntry::restored(token(&n.to_string()), bench.now + 2 * HOUR);
        bench.revoke(later).await;
    }
    assert_eq!(bench.look_up([token("a")]).await, Verdict::Revoked, "in its last second");
    assert_eq!(bench.look_up([token("b")]).await, Verdict::Revoked, "kept for ever");
}

async fn revoking_again_does_not_shorten_an_entry<S: RevocationStore>(bench: Bench<S>) {
    bench.revoke(bench.entry(token("a"))).await;
    bench.revoke(RevocationEntry::restored(token("a"), bench.now + Duration::from_secs(60))).await;
    bench.clock.advance(HOUR);
    assert_eq!(bench.look_up([token("a")]).await, Verdict::Revoked);
}

async fn the_latest_date_holds_for_the_latest_cut_off<S: RevocationStore>(bench: Bench<S>) {
    let short = RevocationEntry::restored(ada(), bench.now + Duration::from_secs(600));
    bench.revoke(short.with_cut_off(bench.now)).await;
    bench.revoke(bench.entry(ada()).with_cut_off(bench.now - HOUR)).await;
    bench.clock.advance(HOUR);
    assert_eq!(bench.look_up([ada()]).await, Verdict::Revoked, "issued at the latest cut-off");
}

async fn an_entry_revokes_from_its_start_on_and_not_before<S: RevocationStore>(bench: Bench<S>) {
    let start = bench.now + Duration::from_secs(600);
    bench.revoke(bench.entry(token("a")).with_start(start)).await;
    let before = start - Duration::from_secs(1);
    assert!(!bench.is_revoked_at(token("a"), before).await, "revoked before its start");
    assert!(
        bench.is_revoked_at(token("a"), start).await,
        "the lookup before the start does not return it"
    );
    bench.clock.advance(Duration::from_secs(600));
    assert!(bench.is_revoked_at(token("a"), start).await, "not revoked at its start");
}

async fn the_earliest_start_holds_in_any_order<S: RevocationStore>(bench: Bench<S>) {
    let (early, late) = (bench.now + Duration::from_secs(60), bench.now + Duration::from_secs(600));
    for starts in [[early, late], [late, early]] {
        let id = token(&format!("{starts:?}"));
        for start in starts {
            bench.revoke(bench.entry(id.clone()).with_start(start)).await;
        }
        assert!(bench.is_revoked_at(id, early).await, "in the order {starts:?}");
    }
    for (id, at_once_first) in [("first", true), ("last", false)] {
        let at_once = bench.entry(token(id));
        let later = at_once.clone().with_start(late);
        let in_order = if at_once_first { [at_once, later] } else { [later, at_once] };
        for entry in in_order {
            bench.revoke(entry).await;
        }
        assert_eq!(bench.look_up([token(id)]).await, Verdict::Revoked, "at once comes {id}");
    }
}

async fn an_obsolete_entry_is_not_an_error<S: RevocationStore>(bench: Bench<S>) {
    bench.revoke(RevocationEntry::restored(token("a"), bench.now - HOUR)).await;
    bench.revoke(RevocationEntry::restored(token("b"), UnixTime::EPOCH)).await;
    bench.revoke(bench.entry(token("a"))).await;
    assert_eq!(bench.look_up([token("a")]).await, Verdict::Revoked, "revoked again");
}

async fn concurrent_entries_are_all_kept<S: RevocationStore>(bench: Bench<S>) {
    let cut_offs = (0..20).map(|n| bench.now - Duration::from_secs(n));
    let of_ada = cut_offs.map(|cut_off| bench.entry(ada()).with_cut_off(cut_off));
    let of_tokens = (0..20).map(|n| bench.entry(token(&n.to_string())));
    join_all(of_ada.chain(of_tokens).map(|entry| bench.revoke(entry))).await;
    assert_eq!(bench.look_up([ada()]).await, Verdict::Revoked, "the latest cut-off");
    for n in 0..20 {
        assert_eq!(bench.look_up([token(&n.to_string())]).await, Verdict::Revoked, "token {n}");
    }
}
