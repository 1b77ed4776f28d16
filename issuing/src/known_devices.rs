//! Shares between replicas from which networks accounts logged in.
//!
//! 1. **Written after a successful log-in**, for each account and network about once a day. If the write fails, the
//!    log-in still succeeds. A slow store delays the log-in.
//! 2. **Looked up only for an attempt that the throttle would reject**, so other log-ins cost no query.
//! 3. **Rejected strangers cannot flood the store**: lookups are limited for each network, for each account, and in
//!    total ([`BY_ONE`], [`BY_ALL`]), and few run at once. A lookup takes the budget of its network, or if that is used
//!    up, the budget of its account. So an attack on an account from elsewhere, or on other accounts from the same
//!    network, does not use up both. An attacker with hundreds of networks can use up both. Then a replica that has not
//!    seen the owner yet rejects her.
//! 4. **Stored as HMAC-SHA256** of issuer, account and network, under a random key that the replicas share through the
//!    store. Anyone with that key and the table can test a guessed pair of account and network. A second HMAC, of the
//!    subject, is stored with it ([`device_account`]).
//! 5. **Kept until the retention has passed** since the last log-in from that network, within a day. After that
//!    [`maintain`](super::TokenIssuer::maintain) deletes it. It is not deleted earlier if the account is closed. It is
//!    deleted with the account, by the second HMAC. Earlier versions wrote no second HMAC. Such a row gets one at the
//!    next log-in from that network, or expires within the retention.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use quick_cache::sync::Cache;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::{
    TokenStore,
    rate::{ConcurrencyLimits, Counter, Counters, Limit},
    store::{DEVICE_KEY, Owner, device_account},
    throttle::network_of,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tower_bearer::{UnixTime, claims::Clock};

/// The limit on lookups for one network or one account.
const BY_ONE: Limit = Limit { at_once: 10, interval_ms: 5_000 };

/// The limit on lookups of this process for all networks. The same limit applies to all accounts.
const BY_ALL: Limit = Limit { at_once: 100, interval_ms: 10 };

/// How many lookups run at once, and how many wait.
const RUNNING: usize = 4;
const WAITING: usize = 60;

/// How many written pairs this process remembers.
const WRITTEN: usize = 100_000;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct KnownDevices {
    issuer: Arc<str>,
    clock: Arc<dyn Clock>,
    /// Zero turns this module off.
    retention: Duration,
    key: OnceCell<Zeroizing<[u8; 32]>>,
    place: RandomState,
    budgets: [Budget; 2],
    lookups: ConcurrencyLimits,
    /// When this process wrote each pair.
    written: Cache<[u8; 32], UnixTime>,
}

struct Budget {
    by_one: Counters,
    by_all: Counter,
}

impl KnownDevices {
    pub(super) fn new(issuer: Arc<str>, clock: Arc<dyn Clock>, retention: Duration) -> Self {
        Self {
            issuer,
            clock,
            retention,
            key: OnceCell::new(),
            place: RandomState::new(),
            budgets: [Budget::new(), Budget::new()],
            lookups: ConcurrencyLimits::new(1, RUNNING, WAITING),
            written: Cache::new(WRITTEN),
        }
    }

    /// Whether any replica has seen the account log in from this network. Also `false` if the store was not asked or
    /// failed.
    pub(super) async fn knows(&self, store: &dyn TokenStore, account: &str, peer: IpAddr) -> bool {
        if self.retention.as_secs() == 0 || !self.may_look_up(account, peer) {
            return false;
        }
        let Some(_permit) = self.lookups.acquire(0).await else { return false };
        let Some(device) = self.device(store, account, peer).await else { return false };
        store.knows_device(&device, self.now()).await.unwrap_or(false)
    }

    /// Notes that the account of this owner logged in from this network.
    pub(super) async fn note(
        &self,
        store: &dyn TokenStore,
        owner: &Owner,
        account: &str,
        peer: IpAddr,
    ) {
        if self.retention.as_secs() == 0 {
            return;
        }
        let Some(device) = self.device(store, account, peer).await else { return };
        let now = self.now();
        let again_after = DAY.min(self.retention / 2);
        let written = self.written.get(&device);
        if written.is_some_and(|at| now < at + again_after) {
            return;
        }
        // If this fails, the next log-in from this network tries again.
        let Some(key) = self.key.get() else { return };
        let account = device_account(key, owner);
        if store.note_device(&device, &account, now + self.retention).await.is_ok() {
            self.written.insert(device, now);
        }
    }

    fn may_look_up(&self, account: &str, peer: IpAddr) -> bool {
        let now = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        let places = [self.place.hash_one(network_of(peer)), self.place.hash_one(account)];
        self.budgets.iter().zip(places).any(|(budget, place)| budget.charge(place, now))
    }

    /// The keyed hash of account and network. `None` if the store did not give the key.
    async fn device(
        &self,
        store: &dyn TokenStore,
        account: &str,
        peer: IpAddr,
    ) -> Option<[u8; 32]> {
        let key = self.key.get_or_try_init(|| shared_key(store)).await.ok()?;
        let mut message = Vec::with_capacity(32 + self.issuer.len() + account.len());
        message.extend_from_slice(&network_of(peer).to_be_bytes());
        message.extend_from_slice(&(self.issuer.len() as u64).to_be_bytes());
        message.extend_from_slice(self.issuer.as_bytes());
        message.extend_from_slice(account.as_bytes());
        let mac = Hmac::<Sha256>::new_from_slice(&**key).ok()?;
        Some(mac.chain_update(&message).finalize().into_bytes().into())
    }

    fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

impl Budget {
    fn new() -> Self {
        Self { by_one: Counters::new(), by_all: Counter::default() }
    }

    fn charge(&self, place: u64, now: u64) -> bool {
        self.by_one.of(place).charge(&BY_ONE, now).is_ok()
            && self.by_all.charge(&BY_ALL, now).is_ok()
    }
}

/// Fails with `()`, because the reason does not matter: the log-in continues without the key.
async fn shared_key(store: &dyn TokenStore) -> Result<Zeroizing<[u8; 32]>, ()> {
    let mut candidate = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *candidate).map_err(|_| ())?;
    store.shared_key(DEVICE_KEY, &candidate).await.map(Zeroizing::new).map_err(|_| ())
}

impl fmt::Debug for KnownDevices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownDevices").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower_bearer::claims::ManualClock;

    fn devices() -> (KnownDevices, ManualClock) {
        let clock = ManualClock::at(UnixTime::from_secs(1_000));
        (KnownDevices::new("issuer".into(), Arc::new(clock.clone()), DAY), clock)
    }

    fn network(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn lookups_for_rejected_strangers_are_bounded() {
        let (devices, clock) = devices();
        let strangers = || (0..10_000).map(|n| (format!("account {n}"), network(n)));
        let let_through = || {
            let all = strangers().filter(|(account, peer)| devices.may_look_up(account, *peer));
            all.count()
        };
        assert_eq!(let_through(), 200, "those of all networks, and those of all accounts");
        clock.advance(Duration::from_secs(1));
        assert_eq!(let_through(), 200);
    }

    #[test]
    fn an_attack_from_one_network_leaves_lookups_to_others() {
        let (devices, _) = devices();
        let attack = (0..1_000).filter(|_| devices.may_look_up("ada", network(1))).count();
        assert_eq!(attack, 20, "those of the network, and those of the account");
        assert!(devices.may_look_up("ada", network(2)), "its owner elsewhere");
        assert!(devices.may_look_up("bob", network(1)), "another account there");
    }
}
