//! Limits how often clients may try to log in.
//!
//! 1. **Failures** are counted before the password is checked. So however many attempts run in parallel, at most the
//!    limit reach the hash. A success gives its count back. An account has the limit [`ACCOUNT`], an address has
//!    [`ADDRESS`] (an IPv6 address counts by its /64, which one customer gets). Credentials that are not [well
//!    formed](super::Accounts::is_well_formed) are never hashed and not counted.
//! 2. **Successes** have wider limits: [`ACCOUNT_SUCCESSES`] and [`ADDRESS_SUCCESSES`]. So the owner of an account
//!    cannot keep the hash busy without end. A failure gives this count back, so that only a client with the password
//!    uses it up. A log-in with the right password counts even if its session cannot be opened.
//! 3. **If client addresses are known, an attack cannot lock out a user at an address where that user logged in
//!    before.** From such an address, the account has a separate limit for failures, [`KNOWN`], instead of the limits
//!    of account and address. An attack on the account from elsewhere, or on other accounts from the same address, does
//!    not use it up. Failures of this very account from the same address do. Replicas share the known addresses through
//!    the store ([`known_devices`](super::known_devices)). A replica looks there before it rejects an attempt. For a
//!    new address, the account opens again as soon as the attack ends, after [`ACCOUNT`]'s interval at the latest.
//!
//!    This protection needs client addresses. It does not hold without addresses (no `ConnectInfo` and no
//!    `with_peer_address`), or if all clients have the address of one proxy. In both cases anyone who guesses passwords
//!    of an account locks it out for all clients. Behind the address of one proxy, guesses also lock out all accounts
//!    that did not log in before.
//! 4. **Guesses at one account**: 5 at once and then 8640 a day. This is a limit for all addresses together where the
//!    account never logged in, and another one for each address where it did. Each process counts separately, so n
//!    processes allow n times as many.
//! 5. **What the limit reveals**: an account that does not exist is counted like one that does. There is one exception.
//!    A client that has reached the limit of an account or an address, and is let in there again by rule 3, learns that
//!    this account logged in from this address. It learns nothing about other addresses.
//! 6. **Memory is constant**: counters are in tables, at a place that a randomly seeded hash chooses. Two accounts that
//!    share a place share a limit. This happens to one in 65 536 pairs, and an attacker cannot choose the pair.
//!    Counters are never evicted, so a flood of names does not reset a counter. Only known addresses are forgotten: the
//!    least used first, beyond [`KNOWN_PAIRS`], and all of them when the process ends. The store still has them.
//! 7. **Attempts wait for attempts in progress.** An attempt over the limit waits while other attempts of its account
//!    are in progress, because each success makes room. So parallel jobs can log in to one account at once. At most
//!    [`WAITING`] attempts of an account wait (of an account and address, if rule 3 applies). The next one is rejected.
//!    An attempt is also rejected if it finds no room and no attempt is in progress any more.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quick_cache::sync::Cache;
use tokio::sync::{Notify, Semaphore};

use super::rate::{Counter, Counters, Limit};
use tower_bearer::claims::Clock;

const ACCOUNT: Limit = Limit { at_once: 5, interval_ms: 10_000 };
const ADDRESS: Limit = Limit { at_once: 20, interval_ms: 3_000 };

/// The same as for any account, so that a client that only counts its attempts sees no difference.
const KNOWN: Limit = ACCOUNT;

const ACCOUNT_SUCCESSES: Limit = Limit { at_once: 30, interval_ms: 2_000 };

/// For addresses that are not known yet, so that neighbours at an address do not lock out users who are known there.
const ADDRESS_SUCCESSES: Limit = Limit { at_once: 120, interval_ms: 500 };

/// How many pairs of account and address are remembered. Beyond that, the least used are forgotten.
const KNOWN_PAIRS: usize = 100_000;

/// How many attempts of an account wait for attempts in progress.
const WAITING: usize = 16;

/// The number of queues. Accounts that share a queue wait for each other's attempts, but do not share a limit.
const QUEUES: usize = 4096;

pub(super) struct Throttle {
    clock: Arc<dyn Clock>,
    place: RandomState,
    accounts: Counters,
    addresses: Counters,
    account_successes: Counters,
    address_successes: Counters,
    known: Cache<u64, Arc<Counter>>,
    queues: Box<[Queue]>,
    /// For a hash without a place. In practice every hash has a place.
    other: Queue,
}

/// The attempts of an account that are in progress, and the attempts that wait for them.
struct Queue {
    in_progress: Mutex<usize>,
    waiting: Semaphore,
    /// Notified when an attempt has ended and has given its counts back.
    ended: Notify,
}

/// An attempt that was let through. If it is dropped, it counts as a failure. So a client that hangs up early gains
/// nothing.
pub(super) struct Attempt<'a> {
    of: &'a Throttle,
    pair: Option<u64>,
    charges: Vec<Charge<'a>>,
    /// The queue in which the attempt is in progress.
    queue: Option<&'a Queue>,
}

/// An attempt that exceeds a limit.
struct OverLimit {
    retry_after: Duration,
    /// Whether another attempt is in progress, which may make room.
    may_wait: bool,
}

/// What a client tries to log in to, as places in the tables.
struct Tried {
    account: u64,
    network: Option<u128>,
    pair: Option<u64>,
}

struct Charge<'a> {
    counter: Place<'a>,
    limit: &'static Limit,
    of: Of,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Failures,
    Successes,
}

enum Place<'a> {
    Known(Arc<Counter>),
    InTable(&'a Counter),
}

impl Deref for Place<'_> {
    type Target = Counter;

    fn deref(&self) -> &Counter {
        match self {
            Self::Known(counter) => counter,
            Self::InTable(counter) => counter,
        }
    }
}

impl Throttle {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            place: RandomState::new(),
            accounts: Counters::new(),
            addresses: Counters::new(),
            account_successes: Counters::new(),
            address_successes: Counters::new(),
            known: Cache::new(KNOWN_PAIRS),
            queues: (0..QUEUES).map(|_| Queue::new()).collect(),
            other: Queue::new(),
        }
    }

    /// Lets an attempt through, or returns after how long to try again. Never waits.
    pub(super) fn begin(
        &self,
        account: &str,
        peer: Option<IpAddr>,
    ) -> Result<Attempt<'_>, Duration> {
        let tried = self.tried(account, peer);
        let known = tried.pair.and_then(|pair| self.known.get(&pair));
        let queue = self.queue(&tried, known.is_some());
        self.begin_in(queue, &tried, known).map_err(|over| over.retry_after)
    }

    /// Like [`begin`](Self::begin), but waits for attempts in progress that may make room.
    pub(super) async fn wait_and_begin(
        &self,
        account: &str,
        peer: Option<IpAddr>,
    ) -> Result<Attempt<'_>, Duration> {
        let tried = self.tried(account, peer);
        let mut place = None;
        loop {
            // A success can make the pair known, and then the attempt belongs to another queue.
            let known = tried.pair.and_then(|pair| self.known.get(&pair));
            let queue = self.queue(&tried, known.is_some());
            // Registered before the counters are checked, so that the end of an attempt is not missed.
            let ended = queue.ended.notified();
            let over = match self.begin_in(queue, &tried, known) {
                Ok(attempt) => return Ok(attempt),
                Err(over) => over,
            };
            if !over.may_wait {
                return Err(over.retry_after);
            }
            if place.is_none() {
                place = Some(queue.waiting.try_acquire().map_err(|_| over.retry_after)?);
            }
            ended.await;
        }
    }

    /// Counts an attempt while the queue is locked. If there is no room and no attempt is in progress, there will be no
    /// room soon.
    fn begin_in<'a>(
        &'a self,
        queue: &'a Queue,
        tried: &Tried,
        known: Option<Arc<Counter>>,
    ) -> Result<Attempt<'a>, OverLimit> {
        let mut in_progress = queue.in_progress();
        let pair = tried.pair;
        let mut attempt = Attempt { of: self, pair, charges: Vec::with_capacity(4), queue: None };
        match attempt.charge_all(tried, known, self.now()) {
            Ok(()) => {
                *in_progress += 1;
                attempt.queue = Some(queue);
                Ok(attempt)
            }
            Err(retry_after) => {
                // Rejected before the password was checked, so nothing is used up.
                attempt.was_none();
                Err(OverLimit { retry_after, may_wait: *in_progress > 0 })
            }
        }
    }

    fn tried(&self, account: &str, peer: Option<IpAddr>) -> Tried {
        Tried {
            account: self.place.hash_one(account),
            network: peer.map(network_of),
            pair: peer.map(|peer| self.pair(account, peer)),
        }
    }

    /// A known pair has its own queue, so an attack from elsewhere does not fill it.
    fn queue(&self, tried: &Tried, is_known: bool) -> &Queue {
        let hash = tried.pair.filter(|_| is_known).unwrap_or(tried.account);
        let place = usize::try_from(hash % QUEUES as u64).unwrap_or_default();
        self.queues.get(place).unwrap_or(&self.other)
    }

    /// Whether the account logged in from this address, as far as this process knows.
    pub(super) fn knows(&self, account: &str, peer: IpAddr) -> bool {
        self.known.get(&self.pair(account, peer)).is_some()
    }

    /// Notes that the account logged in from this address, as another process has recorded.
    pub(super) fn learn(&self, account: &str, peer: IpAddr) {
        self.insert(self.pair(account, peer));
    }

    fn pair(&self, account: &str, peer: IpAddr) -> u64 {
        self.place.hash_one((self.place.hash_one(account), network_of(peer)))
    }

    fn insert(&self, pair: u64) {
        if self.known.get(&pair).is_none() {
            self.known.insert(pair, Arc::default());
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Queue {
    fn new() -> Self {
        Self {
            in_progress: Mutex::default(),
            waiting: Semaphore::new(WAITING),
            ended: Notify::new(),
        }
    }

    fn in_progress(&self) -> MutexGuard<'_, usize> {
        self.in_progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Attempt<'a> {
    fn charge_all(
        &mut self,
        tried: &Tried,
        known: Option<Arc<Counter>>,
        now: u64,
    ) -> Result<(), Duration> {
        let of = self.of;
        let Tried { account, network, .. } = *tried;
        match known {
            Some(known) => self.charge(Place::Known(known), &KNOWN, Of::Failures, now)?,
            None => {
                if let Some(address) = network.map(|network| of.place.hash_one(network)) {
                    let failures = Place::InTable(of.addresses.of(address));
                    self.charge(failures, &ADDRESS, Of::Failures, now)?;
                    let successes = Place::InTable(of.address_successes.of(address));
                    self.charge(successes, &ADDRESS_SUCCESSES, Of::Successes, now)?;
                }
                let failures = Place::InTable(of.accounts.of(account));
                self.charge(failures, &ACCOUNT, Of::Failures, now)?;
            }
        }
        let successes = Place::InTable(of.account_successes.of(account));
        self.charge(successes, &ACCOUNT_SUCCESSES, Of::Successes, now)
    }

    fn charge(
        &mut self,
        counter: Place<'a>,
        limit: &'static Limit,
        of: Of,
        now: u64,
    ) -> Result<(), Duration> {
        counter.charge(limit, now)?;
        self.charges.push(Charge { counter, limit, of });
        Ok(())
    }

    /// The password was right. The address is known from now on.
    pub(super) fn succeeded(mut self) {
        self.give_back(Of::Failures);
        self.charges.clear();
        if let Some(pair) = self.pair {
            self.of.insert(pair);
        }
    }

    /// The password was not checked.
    pub(super) fn was_none(self) {
        self.give_back(Of::Failures);
        // Dropping it gives the rest back.
    }

    fn give_back(&self, of: Of) {
        for charge in self.charges.iter().filter(|charge| charge.of == of) {
            charge.counter.give_back(charge.limit);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.give_back(Of::Successes);
        if let Some(queue) = self.queue {
            let mut in_progress = queue.in_progress();
            *in_progress = in_progress.saturating_sub(1);
            drop(in_progress);
            queue.ended.notify_waiters();
        }
    }
}

/// An IPv4 address (also one that is mapped into IPv6), or the /64 of an IPv6 address.
pub(super) fn network_of(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> 64 | 1 << 64,
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower_bearer::claims::ManualClock;

    const ELSEWHERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const HOME: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)));

    fn throttle() -> (Throttle, ManualClock) {
        let clock = ManualClock::at(tower_bearer::UnixTime::from_secs(1_000));
        (Throttle::new(Arc::new(clock.clone())), clock)
    }

    /// Fails until the throttle rejects. Returns the number of failures and the wait that the throttle names.
    fn fail(throttle: &Throttle, account: &str, peer: Option<IpAddr>) -> (usize, Duration) {
        for failures in 0.. {
            if let Err(retry_after) = throttle.begin(account, peer) {
                return (failures, retry_after);
            }
        }
        unreachable!()
    }

    #[test]
    fn an_account_allows_five_failures_and_one_more_after_the_named_time() {
        let (throttle, clock) = throttle();
        let (failures, retry_after) = fail(&throttle, "a", ELSEWHERE);
        assert_eq!((failures, retry_after.as_secs()), (5, 10));
        clock.advance(retry_after - Duration::from_millis(1));
        assert_eq!(fail(&throttle, "a", ELSEWHERE).0, 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(fail(&throttle, "a", ELSEWHERE).0, 1);
    }

    #[test]
    fn an_address_is_limited_over_all_accounts_and_ipv6_by_its_64() {
        let (throttle, _) = throttle();
        let from = |host: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]));
        let let_in = (0..100u16)
            .filter(|n| throttle.begin(&format!("account {n}"), from(*n)).is_ok())
            .count();
        assert_eq!(let_in, 20);
        let neighbour = Some(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]));
        assert!(throttle.begin("another", neighbour).is_ok());
    }

    #[test]
    fn who_logged_in_from_an_address_before_is_not_locked_out_by_an_attack() {
        let (throttle, _) = throttle();
        throttle.begin("a", HOME).unwrap_or_else(|_| unreachable!()).succeeded();
        fail(&throttle, "a", ELSEWHERE);
        (0..100).for_each(|n| drop(throttle.begin(&format!("other {n}"), HOME)));
        assert!(throttle.begin("b", HOME).is_err(), "the address is at its limit");
        assert!(throttle.begin("a", ELSEWHERE).is_err(), "the account is at its limit");
        assert_eq!(fail(&throttle, "a", HOME).0, 5);
    }

    #[test]
    fn successes_and_attempts_that_were_not_looked_at_use_up_no_failures() {
        let (throttle, _) = throttle();
        for n in 0..20 {
            throttle.begin("a", None).unwrap_or_else(|_| panic!("attempt {n}")).succeeded();
        }
        for n in 0..100 {
            throttle.begin("a", ELSEWHERE).unwrap_or_else(|_| panic!("attempt {n}")).was_none();
        }
        assert_eq!(fail(&throttle, "a", ELSEWHERE).0, 5);
    }

    /// Succeeds until the throttle rejects. Returns the number of successes and the wait that the throttle names.
    fn succeed(throttle: &Throttle, account: &str, peer: Option<IpAddr>) -> (usize, Duration) {
        for successes in 0.. {
            match throttle.begin(account, peer) {
                Ok(attempt) => attempt.succeeded(),
                Err(retry_after) => return (successes, retry_after),
            }
        }
        unreachable!()
    }

    #[test]
    fn one_account_logs_in_thirty_times_at_once_and_then_once_in_two_seconds() {
        for peer in [None, HOME] {
            let (throttle, clock) = throttle();
            assert_eq!(succeed(&throttle, "a", peer), (30, Duration::from_secs(2)));
            assert!(throttle.begin("a", ELSEWHERE).is_err(), "from everywhere");
            assert!(throttle.begin("b", peer).is_ok(), "others go on");
            clock.advance(Duration::from_secs(2));
            assert_eq!(succeed(&throttle, "a", peer).0, 1);
        }
    }

    #[test]
    fn new_accounts_of_one_address_are_limited_and_known_ones_go_on() {
        let (throttle, _) = throttle();
        throttle.begin("a", HOME).unwrap_or_else(|_| unreachable!()).succeeded();
        let others = (0..1000).map(|n| format!("other {n}"));
        let successes = others.filter_map(|other| throttle.begin(&other, HOME).ok());
        assert_eq!(successes.map(Attempt::succeeded).count(), 119);
        assert!(throttle.begin("a", HOME).is_ok());
    }

    #[test]
    fn who_does_not_have_the_password_uses_up_no_successes() {
        let (throttle, clock) = throttle();
        throttle.begin("a", HOME).unwrap_or_else(|_| unreachable!()).succeeded();
        for _ in 0..100 {
            fail(&throttle, "a", ELSEWHERE);
            clock.advance(Duration::from_millis(100));
        }
        assert_eq!(succeed(&throttle, "a", HOME).0, 30);
    }

    #[test]
    fn who_counts_the_tries_at_an_address_is_not_told_what_is_known_there() {
        let (throttle, _) = throttle();
        throttle.begin("known", HOME).unwrap_or_else(|_| unreachable!()).succeeded();
        assert_eq!(fail(&throttle, "known", HOME), fail(&throttle, "nobody", HOME));
    }

    #[test]
    fn attempts_side_by_side_are_counted_before_any_has_failed() {
        let (throttle, _) = throttle();
        let running: Vec<_> = (0..100).filter_map(|_| throttle.begin("a", None).ok()).collect();
        assert_eq!(running.len(), 5);
    }

    /// Logs in many times at once. Each attempt is in progress until all attempts that are let in or wait have begun.
    async fn log_in_at_once(
        throttle: &Throttle,
        count: usize,
        peer: Option<IpAddr>,
        is_right: bool,
    ) -> usize {
        let one = async || {
            let attempt = throttle.wait_and_begin("a", peer).await.ok()?;
            tokio::task::yield_now().await;
            if is_right {
                attempt.succeeded();
            }
            Some(())
        };
        let all = futures_util::future::join_all((0..count).map(|_| one())).await;
        all.into_iter().flatten().count()
    }

    #[tokio::test]
    async fn eight_correct_log_ins_of_one_account_at_once_succeed() {
        for peer in [None, HOME] {
            let (throttle, _) = throttle();
            drop(throttle.begin("a", ELSEWHERE));
            assert_eq!(log_in_at_once(&throttle, 8, peer, true).await, 8);
            assert_eq!(log_in_at_once(&throttle, 8, peer, true).await, 8, "and once more");
        }
    }

    #[tokio::test]
    async fn a_queue_of_log_ins_is_bounded_and_the_next_is_rejected() {
        for peer in [None, HOME] {
            let (throttle, _) = throttle();
            assert_eq!(log_in_at_once(&throttle, 25, peer, true).await, 5 + WAITING);
        }
    }

    #[tokio::test]
    async fn who_waits_for_wrong_passwords_is_rejected_in_the_end() {
        let (throttle, _) = throttle();
        assert_eq!(log_in_at_once(&throttle, 20, None, false).await, 5);
        assert_eq!(log_in_at_once(&throttle, 1, None, true).await, 0, "nothing is in progress");
    }

    #[tokio::test]
    async fn who_hangs_up_while_it_waits_leaves_its_place_to_others() {
        let (throttle, _) = throttle();
        let running: Vec<_> = (0..5).filter_map(|_| throttle.begin("a", None).ok()).collect();
        for _ in 0..2 * WAITING {
            let waits = futures_util::FutureExt::now_or_never(throttle.wait_and_begin("a", None));
            assert!(waits.is_none(), "it waits");
        }
        running.into_iter().for_each(Attempt::succeeded);
        assert_eq!(log_in_at_once(&throttle, 8, None, true).await, 8);
    }

    #[tokio::test]
    async fn an_attack_from_elsewhere_does_not_fill_the_queue_of_a_known_address() {
        let (throttle, _) = throttle();
        throttle.begin("a", HOME).unwrap_or_else(|_| unreachable!()).succeeded();
        let _running: Vec<_> = (0..5).filter_map(|_| throttle.begin("a", ELSEWHERE).ok()).collect();
        let mut waiting: Vec<_> =
            (0..WAITING).map(|_| Box::pin(throttle.wait_and_begin("a", ELSEWHERE))).collect();
        for one in &mut waiting {
            assert!(futures_util::FutureExt::now_or_never(one.as_mut()).is_none());
        }
        assert!(throttle.wait_and_begin("a", ELSEWHERE).await.is_err(), "the queue is full");
        assert_eq!(log_in_at_once(&throttle, 8, HOME, true).await, 8);
    }

    #[test]
    fn ipv4_in_ipv6_is_the_same_address() {
        let mapped = IpAddr::V6(std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
        assert_eq!(network_of(mapped), network_of(IpAddr::V4([192, 0, 2, 1].into())));
    }
}
