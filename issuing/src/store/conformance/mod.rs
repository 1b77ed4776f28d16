//! Tests that every token store must pass.
//!
//! ```
//! # #[tokio::main] async fn main() {
//! use tower_bearer_issuing::store::{MemoryTokenStore, conformance};
//!
//! conformance::check(async |clock| MemoryTokenStore::new().with_clock(clock)).await;
//! # }
//! ```
//!
//! The suite cannot check two requirements: that acknowledged data survives a crash, and that several processes see the
//! same rows.

mod account_steps;
mod audit_steps;
mod devices;
mod key_steps;
mod listing;
mod private_token_steps;
mod revocation_steps;
mod session_list;
mod session_steps;
mod upkeep;

use std::{sync::Arc, time::Duration};

use crate::ManagedAccounts;

use super::{
    Called, Caller, KeyStore, NewPrivateToken, NewRefreshToken, Owner, PrivateToken,
    RefreshRotation, RotatedPrivateToken, TokenStore,
};
use crate::{
    audit::{AuditLog, AuditSink},
    scopes::ScopeSet,
};
use tower_bearer::revocation::outbox::Acknowledged;
use tower_bearer::{
    UnixTime,
    claims::ManualClock,
    revocation::{Lookup, Revocable, RevocationEntry, Verdict},
};

/// Runs each rule on a new store, and names a broken rule.
macro_rules! rules {
    ($make:ident; $($room:ident { $($rule:ident),+ $(,)? })+) => {$($(
        let bench = Bench::begin(&$make).await;
        let outcome = tokio::spawn($room::$rule(bench)).await;
        assert!(outcome.is_ok(), "broken rule: {}", stringify!($rule).replace('_', " "));
    )+)+};
}

/// Checks every rule of [`TokenStore`], each on a new store. `make` returns an empty store with the given clock.
///
/// It runs on a tokio runtime. Use several threads, because some rules are about concurrent calls.
///
/// # Panics
/// If a rule is broken. The message names the rule.
pub async fn check<S: TokenStore>(make: impl AsyncFn(ManualClock) -> S) {
    rules! {
        make;
        session_steps {
            a_refresh_token_is_used_once,
            of_many_uses_at_once_one_rotates,
            an_unknown_token_is_not_used,
            a_repeat_within_the_grace_gets_the_same_successor,
            a_repeat_names_the_access_token_of_the_successor,
            of_many_uses_at_once_within_the_grace_all_get_one_successor,
            a_repeat_after_the_grace_or_after_the_successor_was_used_ends_the_session,
            sessions_do_not_touch_each_other,
            a_session_keeps_its_key,
            a_repeat_within_the_grace_needs_the_key,
            the_subject_of_a_session_is_found_also_after_its_end,
        }
        private_token_steps {
            what_is_created_is_listed_as_it_was_given,
            each_token_keeps_its_own_scopes,
            each_token_keeps_its_own_key,
            a_token_is_found_as_long_as_it_is_listed,
            an_id_is_given_once,
            a_revoked_token_is_gone_and_refused,
            of_many_revocations_at_once_one_succeeds,
            nobody_reaches_somebody_elses,
            a_rotation_keeps_the_name_and_ends_the_old_token_at_once,
            of_many_rotations_at_once_one_succeeds,
            what_dies_at_once_is_dead_by_every_clock,
            an_overlap_ends_when_it_was_said_to,
            an_overlap_does_not_outlive_the_token_nor_an_earlier_end,
            an_expired_token_is_listed,
            a_revoked_caller_does_nothing,
            an_operator_reaches_every_subject_of_the_own_issuer,
            of_many_operators_at_once_one_revokes,
            no_more_than_the_quota_is_created_at_once,
            only_good_tokens_count_for_the_quota,
            a_rotation_keeps_to_twice_the_quota,
        }
        listing {
            orders_are_stable_and_go_both_ways,
            never_used_comes_first,
            pages_add_up_and_end,
            a_search_folds_case_and_takes_every_character_literally,
            a_name_comes_back_as_it_was,
        }
        revocation_steps {
            what_is_denied_is_refused_and_nothing_else,
            a_denial_is_never_weakened,
            a_denial_ends_the_rows_that_it_concerns,
            a_refresh_token_that_is_denied_from_a_time_on_is_good_until_then,
            several_denials_are_one_call,
            a_few_hundred_denials_are_one_call,
            a_cut_off_refuses_what_was_issued_by_it,
            a_cut_off_reaches_what_another_clock_has_dated_later,
            a_cut_off_outlives_the_tokens_that_it_reaches,
            a_short_denial_is_kept_as_long_as_the_rows_that_it_ends,
            a_short_denial_is_kept_as_long_as_the_private_token_that_it_ends,
            nothing_is_issued_behind_a_cut_off,
        }
        upkeep {
            every_revocation_is_in_the_outbox_until_it_is_done,
            what_a_fleet_has_acknowledged_is_kept,
            only_the_generation_that_is_kept_empties_the_outbox,
            only_the_server_that_is_kept_empties_the_outbox,
            a_server_changes_only_if_nothing_else_has_changed,
            new_entries_are_in_the_outbox,
            the_outbox_has_what_starts_later_at_once,
            the_outbox_is_read_in_order_and_in_parts,
            all_denials_are_listed_once_and_in_parts,
            what_concerns_nobody_is_swept_and_nothing_else,
            private_tokens_that_have_ended_are_swept_before_they_expire,
            a_sweep_keeps_to_its_limit,
            the_latest_use_counts,
        }
        session_list {
            a_session_is_listed_as_it_began_and_as_it_was_refreshed,
            an_unknown_user_agent_is_none,
            sessions_that_have_ended_are_not_listed,
            a_session_ends_at_the_cut_off_of_its_owner,
            a_session_expires_with_its_last_token,
            sessions_are_ordered_and_paged,
            nobody_reaches_the_session_of_another,
            of_many_ends_of_a_session_at_once_one_succeeds,
            personal_data_is_deleted_and_everything_revoked,
        }
        devices {
            all_processes_get_the_key_that_was_kept_first,
            a_device_is_known_until_the_latest_time_that_was_noted,
            an_expired_device_is_swept_and_no_other,
        }
    }
}

/// Checks every rule of [`KeyStore`], each on a new store, like [`check`].
///
/// # Panics
/// If a rule is broken. The message names the rule.
pub async fn check_keys<S: TokenStore + KeyStore>(make: impl AsyncFn(ManualClock) -> S) {
    rules! {
        make;
        key_steps {
            a_record_comes_back_as_it_was_written,
            issuers_have_separate_keys,
            of_many_first_keys_at_once_one_is_recorded,
            no_first_key_is_recorded_beside_tokens,
            a_use_prolongs_a_key_and_never_shortens_it,
            of_many_equal_changes_at_once_one_is_made,
            of_two_signers_only_one_is_retired,
            a_compromised_key_is_revoked_in_the_same_step,
        }
    }
}

/// Checks every rule of [`AuditSink`] and [`AuditLog`] for a token store that is both. Like [`check`].
///
/// # Panics
/// If a rule is broken. The message names the rule.
pub async fn check_audit<S: TokenStore + AuditSink + AuditLog>(
    make: impl AsyncFn(ManualClock) -> S,
) {
    rules! {
        make;
        audit_steps {
            an_event_comes_back_as_it_was,
            pages_of_events_add_up_and_new_events_do_not_shift_them,
            events_of_others_are_not_listed,
            the_events_of_a_deleted_account_are_deleted,
            the_event_of_a_deletion_is_kept_in_the_same_step,
            the_acts_of_operators_stay_without_a_deleted_subject,
            an_event_is_swept_after_its_time_and_no_other,
            many_processes_record_at_once,
        }
    }
}

/// Checks every rule of [`ManagedAccounts`], each on a new store. [`check`] checks the rules of [`TokenStore`].
///
/// # Panics
/// If a rule is broken. The message names the rule.
pub async fn check_accounts<S>(make: impl AsyncFn(ManualClock) -> S)
where
    S: TokenStore + ManagedAccounts,
{
    rules! {
        make;
        account_steps {
            an_address_has_one_account,
            accounts_are_listed_once_and_in_parts,
            a_hash_is_replaced_only_while_it_is_the_old_one,
            of_many_changes_of_a_password_at_once_one_succeeds,
            a_change_ends_every_earlier_token_of_its_account,
            a_reopened_account_gets_no_old_token_back,
            a_deleted_account_leaves_only_its_revocation,
            a_revoked_caller_changes_no_account,
            no_session_that_begins_during_a_change_survives_it,
            a_lost_scope_ends_access_tokens_and_those_that_hold_it,
            a_session_of_unknown_or_many_access_tokens_ends,
            a_busy_session_survives_a_lost_scope_by_any_clock,
            too_many_revocations_are_one_cut_off,
        }
    }
}

const NOW: UnixTime = UnixTime::from_secs(2_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const ISSUER: &str = "https://issuer.example";

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A store, and the clock of its lookups.
struct Bench<S> {
    store: Arc<S>,
    clock: ManualClock,
}

fn ada() -> Owner {
    Owner::new(ISSUER, "ada")
}

fn bob() -> Owner {
    Owner::new(ISSUER, "bob")
}

/// An owner's access token. No cut-off in these tests affects it.
fn by(owner: Owner) -> Caller {
    Caller::new(owner, "caller", "session of the caller", NOW + 1000 * HOUR)
}

fn scopes(text: &str) -> ScopeSet {
    ScopeSet::from_text(text).unwrap_or_else(|error| panic!("{error}"))
}

fn hash(token_id: &str) -> [u8; 32] {
    std::array::from_fn(|n| token_id.as_bytes().get(n).copied().unwrap_or(0))
}

/// A refresh token that was issued now.
fn refresh(owner: Owner, session: &str, token_id: &str) -> NewRefreshToken {
    NewRefreshToken::new(owner, token_id, session, NOW, NOW + HOUR, hash(token_id))
        .with_access_token_id(format!("access token of {token_id}"))
}

/// The use of a refresh token now.
fn rotation(owner: Owner, session: &str, used: &str, successor: &str) -> RefreshRotation {
    let successor = refresh(owner, session, successor);
    RefreshRotation::new(used, hash(used), successor, NOW, NOW + 2 * HOUR)
}

/// A private token that was issued now.
fn private(owner: Owner, token_id: &str, name: &str) -> NewPrivateToken {
    let session = format!("session of {token_id}");
    NewPrivateToken::new(owner, token_id, session, name, [NOW, NOW + HOUR], hash(token_id))
        .with_scopes(scopes("orders:read orders:write"))
}

fn rotated(owner: Owner, id: i64, successor: &str, dies_at: UnixTime) -> RotatedPrivateToken {
    RotatedPrivateToken::new(id, private(owner, successor, "not this name"), dies_at, NOW)
}

/// A thing with a date. The date is the cut-off of an entry about the thing, or the time of issue of a token in a
/// lookup.
type Named = (Revocable, UnixTime);

/// An entry that is kept until this date.
fn entry((thing, cut_off): Named, obsolete_after: UnixTime) -> RevocationEntry {
    RevocationEntry::restored(thing, obsolete_after).with_cut_off(cut_off)
}

fn token(id: &str) -> Named {
    (Revocable::token(ISSUER, id), UnixTime::MAX)
}

fn session(id: &str) -> Named {
    (Revocable::session(ISSUER, id), UnixTime::MAX)
}

fn subject(subject: &str, issued_at: UnixTime) -> Named {
    (Revocable::subject(ISSUER, subject), issued_at)
}

impl<S: TokenStore> Bench<S> {
    async fn begin(make: &impl AsyncFn(ManualClock) -> S) -> Self {
        let clock = ManualClock::at(NOW);
        Self { store: Arc::new(make(clock.clone()).await), clock }
    }

    async fn create(&self, owner: Owner, token_id: &str, name: &str) -> PrivateToken {
        self.create_token(private(owner, token_id, name)).await
    }

    async fn create_token(&self, new: NewPrivateToken) -> PrivateToken {
        match called(self.store.create_private(&by(new.owner.clone()), &new).await) {
            super::Insertion::Done(token) => token,
            other => panic!("{other:?}"),
        }
    }

    /// The numbers of the tokens that are listed at `now`.
    async fn listed(&self, owner: Owner, now: UnixTime) -> Vec<i64> {
        let query = super::ListQuery::new().with_page_size(1000);
        let page = called(self.store.list_private(&by(owner), &query, now).await);
        page.map(|page| page.tokens.iter().map(|token| token.id).collect()).unwrap_or_default()
    }

    async fn is_refused(&self, what: Named) -> bool {
        self.look_up(what).await == Verdict::Revoked
    }

    async fn look_up(&self, (thing, issued_at): Named) -> Verdict {
        answered(self.store.look_up(&Lookup::new([thing], issued_at)).await)
    }

    /// Lets a fleet acknowledge entries.
    async fn outbox_done(&self, ids: &[i64]) {
        let acknowledged = Acknowledged::new("fleet:", "generation", "server", 0, [0; 8]);
        answered(self.store.begin_generation(&acknowledged).await);
        assert!(answered(self.store.outbox_done(ids, &acknowledged).await));
    }

    /// All entries in the outbox.
    async fn outbox(&self) -> Vec<Named> {
        let entries = answered(self.store.outbox(1000).await);
        entries.iter().map(|entry| named(&entry.revocation)).collect()
    }
}

fn named(entry: &RevocationEntry) -> Named {
    (entry.thing().clone(), entry.cut_off())
}

fn answered<T>(answer: Result<T, tower_bearer::revocation::StoreError>) -> T {
    answer
        .unwrap_or_else(|error| panic!("the store failed: {:?}", std::error::Error::source(&error)))
}

/// The outcome of a step for a caller who is not revoked.
fn called<T>(answer: Result<Called<T>, tower_bearer::revocation::StoreError>) -> T {
    answered(answer).done().unwrap_or_else(|| panic!("the caller was taken for revoked"))
}

/// The answers to many concurrent calls.
async fn side_by_side<S, T, F>(store: &Arc<S>, call: impl Fn(Arc<S>, usize) -> F) -> Vec<T>
where
    F: Future<Output = Result<T, tower_bearer::revocation::StoreError>> + Send + 'static,
    T: Send + 'static,
{
    let calls: Vec<_> = (0..16).map(|n| tokio::spawn(call(Arc::clone(store), n))).collect();
    let mut answers = Vec::new();
    for call in calls {
        match call.await {
            Ok(answer) => answers.push(answered(answer)),
            Err(panicked) => panic!("a call panicked: {panicked}"),
        }
    }
    answers
}
