//! The state at each moment: keys, tokens, faults, and counts.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    Failure,
    answer::Answer,
    faults::{KeyFault, RedisFaults},
    issuer::SigningKey,
    key_server::Attempts,
    random,
    token::{Flaw, Token},
};

/// The run is stopped after this many wrong answers.
const TOO_MANY: usize = 10;
/// The number of tokens that expire within seconds. They are sent again after that.
const EXPIRING: usize = 500;

pub(crate) struct World {
    is_over: AtomicBool,
    keys: Mutex<Vec<SigningKey>>,
    stock: Mutex<Vec<Arc<Token>>>,
    revoked: Mutex<Vec<Arc<Token>>>,
    expiring: Mutex<VecDeque<Arc<Token>>>,
    /// Signs like the other keys, but is never published.
    stranger: SigningKey,
    begin: Instant,
    next: AtomicU64,
    pub(crate) key_fault: Mutex<Option<KeyFault>>,
    pub(crate) attempts: Attempts,
    pub(crate) redis: RedisFaults,
    counts: Mutex<BTreeMap<(&'static str, Answer), u64>>,
    wrong: Mutex<Vec<String>>,
    /// The longest time from the record of a revocation to a request that still passed, without another fault.
    latest_pass: Mutex<Duration>,
    pub(crate) hung_up: AtomicU64,
}

impl World {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {
            is_over: AtomicBool::new(false),
            keys: Mutex::new(vec![SigningKey::lasting(), SigningKey::new(1)?, SigningKey::new(2)?]),
            stock: Mutex::default(),
            revoked: Mutex::default(),
            expiring: Mutex::default(),
            stranger: SigningKey::new(usize::MAX)?,
            begin: Instant::now(),
            next: AtomicU64::new(0),
            key_fault: Mutex::default(),
            attempts: Attempts::default(),
            redis: RedisFaults::default(),
            counts: Mutex::default(),
            wrong: Mutex::default(),
            latest_pass: Mutex::default(),
            hung_up: AtomicU64::new(0),
        })
    }

    pub(crate) fn keys(&self) -> MutexGuard<'_, Vec<SigningKey>> {
        self.keys.lock().unwrap()
    }

    pub(crate) fn stock(&self) -> MutexGuard<'_, Vec<Arc<Token>>> {
        self.stock.lock().unwrap()
    }

    pub(crate) fn revoked(&self) -> MutexGuard<'_, Vec<Arc<Token>>> {
        self.revoked.lock().unwrap()
    }

    /// A token that has expired recently, or will soon.
    pub(crate) fn expiring(&self) -> Option<Arc<Token>> {
        let expiring = self.expiring.lock().unwrap();
        expiring.get(random::below(expiring.len())).cloned()
    }

    pub(crate) fn expires(&self, token: Arc<Token>) {
        let mut expiring = self.expiring.lock().unwrap();
        if expiring.len() >= EXPIRING {
            expiring.pop_front();
        }
        expiring.push_back(token);
    }

    pub(crate) fn of_a_stranger(&self) -> Token {
        Token::new(&self.stranger, self.number(), 3_600, Flaw::None)
    }

    /// The state of the faults, as text for the report of a wrong answer.
    pub(crate) fn situation(&self) -> String {
        let key_fault = *self.key_fault.lock().unwrap();
        let seconds = self.begin.elapsed().as_secs_f64();
        format!("after {seconds:.1} s; key server {key_fault:?}, Redis {:?}", self.redis.last())
    }

    /// A random one of these tokens.
    pub(crate) fn pick(tokens: &[Arc<Token>]) -> Option<Arc<Token>> {
        match tokens.len() {
            0 => None,
            length => tokens.get(random::below(length)).cloned(),
        }
    }

    /// A new number. Each number is returned only once.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Relaxed)
    }

    pub(crate) fn count(&self, kind: &'static str, answer: Answer) {
        *self.counts.lock().unwrap().entry((kind, answer)).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> BTreeMap<(&'static str, Answer), u64> {
        self.counts.lock().unwrap().clone()
    }

    pub(crate) fn is_wrong(&self, what: String) {
        eprintln!("WRONG: {what}");
        self.wrong.lock().unwrap().push(what);
    }

    pub(crate) fn wrong(&self) -> usize {
        self.wrong.lock().unwrap().len()
    }

    pub(crate) fn passed_after_revocation(&self, age: Duration) {
        let mut latest = self.latest_pass.lock().unwrap();
        *latest = age.max(*latest);
    }

    pub(crate) fn latest_pass(&self) -> Duration {
        *self.latest_pass.lock().unwrap()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.wrong() >= TOO_MANY
    }

    pub(crate) fn stop(&self) {
        self.is_over.store(true, Relaxed);
    }

    pub(crate) fn goes_on(&self) -> bool {
        !self.is_over.load(Relaxed)
    }

    /// Waits for this time, and returns whether the run still continues.
    pub(crate) async fn goes_on_for(&self, duration: Duration) -> bool {
        let end = Instant::now() + duration;
        while self.goes_on() && Instant::now() < end {
            sleep(Duration::from_millis(50)).await;
        }
        self.goes_on()
    }
}
