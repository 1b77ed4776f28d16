//! The state that all tasks of the soak share: keys, tokens, faults, and counts.

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
    answer::Answer,
    failure::Failure,
    fault_record::{KeyFault, KeyFetches, RedisFaults},
    random,
    soak_token::{Flaw, SigningKey, Token},
};

/// The run is stopped after this many wrong answers.
const MAX_WRONG_ANSWERS: usize = 10;
/// The number of tokens that expire within seconds. They are sent again after that.
const EXPIRING: usize = 500;

pub(crate) struct RunState {
    is_stopped: AtomicBool,
    keys: Mutex<Vec<SigningKey>>,
    stock: Mutex<Vec<Arc<Token>>>,
    revoked: Mutex<Vec<Arc<Token>>>,
    expiring: Mutex<VecDeque<Arc<Token>>>,
    /// The key server never publishes this key.
    unpublished_key: SigningKey,
    begin: Instant,
    next: AtomicU64,
    pub(crate) key_fault: Mutex<Option<KeyFault>>,
    pub(crate) key_fetches: KeyFetches,
    pub(crate) redis_faults: RedisFaults,
    counts: Mutex<BTreeMap<(&'static str, Answer), u64>>,
    wrong_answers: Mutex<Vec<String>>,
    /// The longest time from the record of a revocation to a request that still passed, without another fault.
    longest_pass_after_revocation: Mutex<Duration>,
    pub(crate) disconnects: AtomicU64,
}

impl RunState {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {
            is_stopped: AtomicBool::new(false),
            keys: Mutex::new(vec![
                SigningKey::permanent_rsa_key(),
                SigningKey::new(1)?,
                SigningKey::new(2)?,
            ]),
            stock: Mutex::default(),
            revoked: Mutex::default(),
            expiring: Mutex::default(),
            unpublished_key: SigningKey::new(usize::MAX)?,
            begin: Instant::now(),
            next: AtomicU64::new(0),
            key_fault: Mutex::default(),
            key_fetches: KeyFetches::default(),
            redis_faults: RedisFaults::default(),
            counts: Mutex::default(),
            wrong_answers: Mutex::default(),
            longest_pass_after_revocation: Mutex::default(),
            disconnects: AtomicU64::new(0),
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

    pub(crate) fn add_expiring(&self, token: Arc<Token>) {
        let mut expiring = self.expiring.lock().unwrap();
        if expiring.len() >= EXPIRING {
            expiring.pop_front();
        }
        expiring.push_back(token);
    }

    pub(crate) fn token_of_unpublished_key(&self) -> Token {
        Token::new(&self.unpublished_key, self.number(), 3_600, Flaw::None)
    }

    /// The state of the faults, as text for the report of a wrong answer.
    pub(crate) fn describe_faults(&self) -> String {
        let key_fault = *self.key_fault.lock().unwrap();
        let seconds = self.begin.elapsed().as_secs_f64();
        format!(
            "after {seconds:.1} s; key server {key_fault:?}, Redis {:?}",
            self.redis_faults.last()
        )
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

    pub(crate) fn record_wrong_answer(&self, text: String) {
        eprintln!("WRONG: {text}");
        self.wrong_answers.lock().unwrap().push(text);
    }

    pub(crate) fn wrong_answers(&self) -> usize {
        self.wrong_answers.lock().unwrap().len()
    }

    pub(crate) fn record_pass_after_revocation(&self, age: Duration) {
        let mut latest = self.longest_pass_after_revocation.lock().unwrap();
        *latest = age.max(*latest);
    }

    pub(crate) fn longest_pass_after_revocation(&self) -> Duration {
        *self.longest_pass_after_revocation.lock().unwrap()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.wrong_answers() >= MAX_WRONG_ANSWERS
    }

    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Relaxed);
    }

    pub(crate) fn is_running(&self) -> bool {
        !self.is_stopped.load(Relaxed)
    }

    /// Waits for this time, and returns whether the run still continues.
    pub(crate) async fn sleep_while_running(&self, duration: Duration) -> bool {
        let end = Instant::now() + duration;
        while self.is_running() && Instant::now() < end {
            sleep(Duration::from_millis(50)).await;
        }
        self.is_running()
    }
}
