//! How many passwords may be tried.
//!
//! 1. **Only failures count**, and they are counted before the password is looked at: however many attempts run side by
//!    side, no more than the limit reach the hash. A success gives its count back.
//! 2. **Two limits**: an account takes [`ACCOUNT`], an address [`ADDRESS`] (of IPv6 its /64, which is what one customer
//!    gets). Accounts that do not exist are counted like others, so that the limit tells nothing.
//! 3. **Nobody can lock somebody out**: whoever logged in to an account from an address before has a limit of their own
//!    there, [`KNOWN`], apart from the two. An attack on the account from elsewhere, or on others from behind the same
//!    address, does not touch it. For a new address the account opens again as soon as the attack ends, after
//!    [`ACCOUNT`]'s interval at the latest; a guesser gets 8640 guesses a day at any account, from however many addresses.
//! 4. **Memory is constant**: counters stand in tables, at a place that a randomly seeded hash chooses. Two accounts that
//!    share a place share a limit: one in 65 536 pairs, and nobody can choose which. Nothing is evicted, so that no
//!    flood of names makes a counter be forgotten.
//!
//! What is known is lost with the process, and each process counts for itself: n processes allow n times as much.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;

use crate::claims::Clock;

/// A number of failures at once, and then one for each interval.
struct Limit {
    at_once: u64,
    interval_ms: u64,
}

const ACCOUNT: Limit = Limit { at_once: 5, interval_ms: 10_000 };
const ADDRESS: Limit = Limit { at_once: 20, interval_ms: 3_000 };
const KNOWN: Limit = Limit { at_once: 10, interval_ms: 3_000 };

const PLACES: usize = 1 << 16;

/// How many pairs of account and address are known; more than that are forgotten, the least used first.
const KNOWN_PAIRS: usize = 100_000;

pub(super) struct Throttle {
    clock: Arc<dyn Clock>,
    place: RandomState,
    accounts: Box<[Counter]>,
    addresses: Box<[Counter]>,
    known: Cache<u64, Arc<Counter>>,
}

/// One attempt that was let through. Dropped, it counts as a failure: whoever hangs up early gains nothing.
pub(super) struct Attempt<'a> {
    of: &'a Throttle,
    pair: Option<u64>,
    charged: Charged<'a>,
}

enum Charged<'a> {
    Known(Arc<Counter>),
    Unknown(&'a Counter, Option<&'a Counter>),
}

impl Throttle {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let table = || (0..PLACES).map(|_| Counter::default()).collect();
        Self {
            clock,
            place: RandomState::new(),
            accounts: table(),
            addresses: table(),
            known: Cache::new(KNOWN_PAIRS),
        }
    }

    /// Lets an attempt through, or says after how long to come again.
    pub(super) fn begin(
        &self,
        account: &str,
        peer: Option<IpAddr>,
    ) -> Result<Attempt<'_>, Duration> {
        let now = self.now();
        let account = self.place.hash_one(account);
        let network = peer.map(network_of);
        let pair = network.map(|network| self.place.hash_one((account, network)));
        if let Some(known) = pair.and_then(|pair| self.known.get(&pair)) {
            known.charge(&KNOWN, now)?;
            return Ok(Attempt { of: self, pair, charged: Charged::Known(known) });
        }
        let of_address =
            network.and_then(|network| place_in(&self.addresses, self.place.hash_one(network)));
        if let Some(counter) = of_address {
            counter.charge(&ADDRESS, now)?;
        }
        let Some(of_account) = place_in(&self.accounts, account) else {
            return Err(Duration::from_millis(ACCOUNT.interval_ms));
        };
        if let Err(retry_after) = of_account.charge(&ACCOUNT, now) {
            // Turned away before the password was looked at: nothing of the address's was used up.
            of_address.inspect(|counter| counter.give_back(&ADDRESS));
            return Err(retry_after);
        }
        let charged = Charged::Unknown(of_account, of_address);
        Ok(Attempt { of: self, pair, charged })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Attempt<'_> {
    /// The password was right: the address is known from now on.
    pub(super) fn succeeded(self) {
        self.give_back();
        if let Some(pair) = self.pair {
            let known = &self.of.known;
            if known.get(&pair).is_none() {
                known.insert(pair, Arc::default());
            }
        }
    }

    /// The password was not looked at.
    pub(super) fn was_none(self) {
        self.give_back();
    }

    fn give_back(&self) {
        match &self.charged {
            Charged::Known(counter) => counter.give_back(&KNOWN),
            Charged::Unknown(account, address) => {
                account.give_back(&ACCOUNT);
                address.inspect(|counter| counter.give_back(&ADDRESS));
            }
        }
    }
}

/// The moment, in milliseconds, at which all that was charged has run out (the generic cell rate algorithm).
#[derive(Default)]
struct Counter(AtomicU64);

impl Counter {
    fn charge(&self, limit: &Limit, now: u64) -> Result<(), Duration> {
        let most = now.saturating_add(limit.at_once.saturating_mul(limit.interval_ms));
        let charge = |until: u64| {
            let charged = until.max(now).saturating_add(limit.interval_ms);
            (charged <= most).then_some(charged)
        };
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, charge) {
            Ok(_) => Ok(()),
            Err(until) => {
                let wait = until.saturating_add(limit.interval_ms).saturating_sub(most);
                // Whole seconds, upwards: who comes then is let in.
                Err(Duration::from_secs(wait.div_ceil(1000).max(1)))
            }
        }
    }

    fn give_back(&self, limit: &Limit) {
        let back = |until: u64| Some(until.saturating_sub(limit.interval_ms));
        // Cannot fail: `back` always answers.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, back);
    }
}

fn place_in(table: &[Counter], hash: u64) -> Option<&Counter> {
    usize::try_from(hash % PLACES as u64).ok().and_then(|place| table.get(place))
}

/// An IPv4 address, also one in IPv6's clothes, or the /64 of an IPv6 address.
fn network_of(address: IpAddr) -> u128 {
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
    use crate::claims::ManualClock;

    const ELSEWHERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const HOME: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)));

    fn throttle() -> (Throttle, ManualClock) {
        let clock = ManualClock::at(1_000);
        (Throttle::new(Arc::new(clock.clone())), clock)
    }

    /// Failures until the throttle says no, and what it says.
    fn fail(throttle: &Throttle, account: &str, peer: Option<IpAddr>) -> (usize, Duration) {
        for failures in 0.. {
            if let Err(retry_after) = throttle.begin(account, peer) {
                return (failures, retry_after);
            }
        }
        unreachable!()
    }

    #[test]
    fn an_account_takes_five_failures_at_once_and_one_more_after_the_time_it_names() {
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
        assert_eq!(fail(&throttle, "a", HOME).0, 10);
    }

    #[test]
    fn successes_and_attempts_that_were_not_looked_at_cost_nothing() {
        let (throttle, _) = throttle();
        for n in 0..100 {
            throttle.begin("a", None).unwrap_or_else(|_| panic!("attempt {n}")).succeeded();
            throttle.begin("a", ELSEWHERE).unwrap_or_else(|_| panic!("attempt {n}")).was_none();
        }
        assert_eq!(fail(&throttle, "a", ELSEWHERE).0, 5);
    }

    #[test]
    fn attempts_side_by_side_are_counted_before_any_has_failed() {
        let (throttle, _) = throttle();
        let running: Vec<_> = (0..100).filter_map(|_| throttle.begin("a", None).ok()).collect();
        assert_eq!(running.len(), 5);
    }

    #[test]
    fn ipv4_in_ipv6_is_the_same_address() {
        let mapped = IpAddr::V6(std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
        assert_eq!(network_of(mapped), network_of(IpAddr::V4([192, 0, 2, 1].into())));
    }
}
