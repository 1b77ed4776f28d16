//! A seeded simulation: processes whose clocks differ, a store that fails and loses its data, and messages that are
//! late, lost, repeated and out of order. A revoked token must not pass later than the staleness bound, and a token that
//! was not revoked must not be rejected.
//!
//! The store keeps its contract: a lookup that is sent after a revocation was recorded answers "revoked", or fails. How
//! `tower-bearer-redis` keeps it is not simulated here. `SIMULATION_SEEDS` sets the number of runs, and `SIMULATION_SEED`
//! repeats one of them and prints it, with `-- --nocapture`.

#![allow(clippy::print_stdout, reason = "it prints a repeated run, and where bugs are found")]

use std::{
    collections::{HashMap, HashSet},
    env,
};

use futures_util::FutureExt;

use super::*;

const PROCESSES: usize = 3;
const TOKENS: usize = 4;
const STEPS: usize = 150;
/// In milliseconds of true time.
const LONGEST_STEP: u64 = 4_000;

/// What is broken on purpose, to show that the simulation notices it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bug {
    None,
    /// The age of an answer counts from its arrival, and not from when its question was sent.
    AgeFromArrival,
    /// An answer that arrives after a revocation wins.
    AnswerOverwritesDenial,
    /// A store without its data answers "not revoked", and does not fail.
    EmptyStoreAnswers,
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[usize::try_from(self.below(among.len() as u64)).unwrap()]
    }
}

fn token_number(number: usize) -> Token {
    let name: Arc<str> = format!("{number}").into();
    Token {
        subject: Some(name.clone()),
        session: Some(name.clone()),
        key: Some(name.clone()),
        thumbprint: format!("thumbprint of {name}").into(),
        ..token(&name)
    }
}

/// The store that all processes share, and the messages on their way.
#[derive(Clone)]
struct Shared(Arc<Mutex<World>>);

struct World {
    random: Random,
    bug: Bug,
    entries: Vec<RevocationEntry>,
    is_up: bool,
    /// Whether it has its data. Without them it fails until it is seeded.
    is_seeded: bool,
    questions: Vec<(Lookup, oneshot::Sender<Told>)>,
    answers: Vec<(Told, oneshot::Sender<Told>)>,
    /// Revocations that were recorded since the last push.
    recorded: Vec<RevocationEntry>,
}

impl World {
    fn answer(&self, lookup: &Lookup) -> Told {
        let is_complete = self.is_seeded || self.bug == Bug::EmptyStoreAnswers;
        if !self.is_up || !is_complete {
            return Err(StoreError::new("down"));
        }
        let entries: &[RevocationEntry] = if self.is_seeded { &self.entries } else { &[] };
        Ok(lookup.verdict(entries, at(NOW)))
    }
}

impl RevocationStore for Shared {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Told> {
        let (answer, told) = oneshot::channel();
        self.0.lock().unwrap().questions.push((lookup.clone(), answer));
        Box::pin(async move { told.await.unwrap_or_else(|_| Err(StoreError::timed_out())) })
    }

    /// Without its data, the store records the entry and does not confirm it, as Redis does.
    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut world = self.0.lock().unwrap();
        let is_recorded = world.is_up && world.is_seeded && world.random.below(8) != 0;
        if is_recorded {
            world.entries.push(entry.clone());
            world.recorded.push(entry.clone());
        }
        let is_confirmed = is_recorded && world.random.below(8) != 0;
        Box::pin(std::future::ready(is_confirmed.then_some(()).ok_or(StoreError::new("lost"))))
    }
}

/// A process that checks and revokes: with the cache of this crate, or with a cache that has a bug.
enum Process {
    Real { cache: RevocationCache, memos: HashMap<usize, RevocationMemo> },
    Naive(Arc<Naive>),
}

struct Naive {
    store: Shared,
    clock: ManualClock,
    bound: Duration,
    bug: Bug,
    /// When the question about a token was sent, or when its answer has arrived.
    answers: Mutex<HashMap<usize, Duration>>,
    denials: Mutex<HashSet<usize>>,
}

impl Process {
    fn check(&mut self, number: usize) -> BoxFuture<'static, Reply> {
        let token = token_number(number);
        match self {
            Self::Real { cache, memos } => {
                let memo = memos.entry(number).or_insert_with(|| RevocationMemo::new(true));
                match cache.checker.check(&token.facts(), memo) {
                    RevocationCheck::Done(reply) => Box::pin(std::future::ready(reply)),
                    RevocationCheck::Pending(reply) => reply,
                }
            }
            Self::Naive(naive) => Box::pin(Arc::clone(naive).check(number, token)),
        }
    }

    fn revoke(&self, number: usize, entry: &RevocationEntry) {
        match self {
            Self::Real { cache, .. } => {
                let _ = cache.revoke(entry).now_or_never().unwrap();
            }
            Self::Naive(naive) => {
                naive.denials.lock().unwrap().insert(number);
                let _ = naive.store.revoke(entry).now_or_never().unwrap();
            }
        }
    }

    fn apply(&self, entry: &RevocationEntry) {
        match self {
            Self::Real { cache, .. } => cache.apply(entry),
            Self::Naive(naive) => {
                let number = entry.thing().id().parse().unwrap();
                naive.denials.lock().unwrap().insert(number);
            }
        }
    }

    fn allowed(&self) -> u64 {
        match self {
            Self::Real { cache, .. } => cache.stats().allowed,
            Self::Naive(_) => 0,
        }
    }
}

impl Naive {
    async fn check(self: Arc<Self>, number: usize, token: Token) -> Reply {
        let sent = self.clock.monotonic();
        if self.denials.lock().unwrap().contains(&number) {
            return Ok(Verdict::Revoked);
        }
        let kept = self.answers.lock().unwrap().get(&number).copied();
        if kept.is_some_and(|kept| sent - kept <= self.bound && !self.bound.is_zero()) {
            return Ok(Verdict::NotRevoked);
        }
        let things = token.each_kind().map(|named| named.thing);
        let verdict = self.store.look_up(&Lookup::new(things, at(token.issued_at))).await;
        let verdict = verdict.map_err(|_| Unavailable)?;
        let mut denials = self.denials.lock().unwrap();
        if verdict == Verdict::Revoked {
            denials.insert(number);
        } else {
            let from = if self.bug == Bug::AgeFromArrival { self.clock.monotonic() } else { sent };
            self.answers.lock().unwrap().insert(number, from);
            if self.bug == Bug::AnswerOverwritesDenial {
                denials.remove(&number);
            }
        }
        Ok(if denials.contains(&number) { Verdict::Revoked } else { verdict })
    }
}

/// A check that has begun.
struct Check {
    process: usize,
    token: usize,
    began: u64,
    reply: BoxFuture<'static, Reply>,
}

struct Simulation {
    world: Arc<Mutex<World>>,
    processes: Vec<(Process, ManualClock)>,
    checks: Vec<Check>,
    /// Pushes to a process.
    pushes: Vec<(usize, RevocationEntry)>,
    /// In milliseconds.
    now: u64,
    bound: u64,
    policy: OnUnavailable,
    /// When a token was revoked in a process, and in the store.
    revoked_in: HashMap<(usize, usize), u64>,
    recorded: HashMap<usize, u64>,
    attempted: HashSet<usize>,
    trace: Vec<String>,
}

impl Simulation {
    /// `is_naive`: processes have the simple cache of this page, and not the cache of this crate.
    fn new(seed: u64, bug: Bug, is_naive: bool) -> Self {
        let mut random = Random(seed);
        let bound = random.pick(&[0, 1_000, 5_000, 30_000]);
        let stale = OnUnavailable::ServeStale(Duration::from_millis(10_000));
        let policy = random.pick(&[OnUnavailable::Deny, OnUnavailable::Allow, stale]);
        let clocks: Vec<ManualClock> =
            (0..PROCESSES).map(|_| ManualClock::at(at(NOW - 30 + random.below(61)))).collect();
        let world = Arc::new(Mutex::new(World {
            random,
            bug,
            entries: Vec::new(),
            is_up: true,
            is_seeded: true,
            questions: Vec::new(),
            answers: Vec::new(),
            recorded: Vec::new(),
        }));
        let store = Shared(Arc::clone(&world));
        let of_clock = |clock: &ManualClock| {
            if is_naive {
                return Process::Naive(Arc::new(Naive {
                    store: store.clone(),
                    clock: clock.clone(),
                    bound: Duration::from_millis(bound),
                    bug,
                    answers: Mutex::default(),
                    denials: Mutex::default(),
                }));
            }
            let cache = RevocationCache::new(store.clone(), Duration::from_millis(bound));
            let cache = cache.with_clock(clock.clone()).with_on_unavailable(policy);
            Process::Real { cache, memos: HashMap::new() }
        };
        let processes = clocks.into_iter().map(|clock| (of_clock(&clock), clock)).collect();
        Self {
            world,
            processes,
            checks: Vec::new(),
            pushes: Vec::new(),
            now: 0,
            bound,
            policy,
            revoked_in: HashMap::new(),
            recorded: HashMap::new(),
            attempted: HashSet::new(),
            trace: vec![format!("seed {seed}: bound {bound} ms, {policy:?}")],
        }
    }

    fn below(&self, end: usize) -> usize {
        usize::try_from(self.world.lock().unwrap().random.below(end as u64)).unwrap()
    }

    fn note(&mut self, text: String) {
        self.trace.push(format!("{:>7} ms: {text}", self.now));
    }

    /// Returns what has happened: `Err` if it breaks a rule.
    fn run(mut self) -> Result<String, String> {
        for _ in 0..STEPS {
            let violation = self.step().or_else(|| self.finish_checks());
            if let Some(violation) = violation {
                self.note(violation);
                return Err(self.trace.join("\n"));
            }
        }
        Ok(self.trace.join("\n"))
    }

    fn step(&mut self) -> Option<String> {
        let (process, token) = (self.below(PROCESSES), self.below(TOKENS));
        match self.below(100) {
            0..20 => self.advance(),
            20..50 => {
                let reply = self.processes[process].0.check(token);
                self.note(format!("process {process} checks token {token}"));
                self.checks.push(Check { process, token, began: self.now, reply });
            }
            50..56 => self.revoke(process, token),
            56..70 => self.store_answers(),
            70..84 => self.answer_arrives(),
            84..90 => self.push_arrives(),
            90..92 => {
                self.pushes.retain(|(to, _)| *to != process);
                if let Process::Real { cache, .. } = &self.processes[process].0
                    && self.below(2) == 0
                {
                    cache.doubt();
                }
                self.note(format!("process {process} loses its pushes"));
            }
            92..96 => self.change_store(),
            96..98 => {
                let wall = NOW + self.now / 1_000 + self.below(61) as u64;
                self.processes[process].1.set_unix_time(at(wall - 30));
                self.note(format!("the wall clock of process {process} jumps"));
            }
            _ => {
                // A dropped request does not end the lookup of others.
                if !self.checks.is_empty() {
                    let dropped = self.below(self.checks.len());
                    drop(self.checks.swap_remove(dropped));
                }
            }
        }
        None
    }

    fn advance(&mut self) {
        let by = 1 + self.below(usize::try_from(LONGEST_STEP).unwrap()) as u64;
        self.now += by;
        self.processes.iter().for_each(|(_, clock)| clock.advance(Duration::from_millis(by)));
    }

    fn revoke(&mut self, process: usize, token: usize) {
        let kind = self.below(5);
        let named = match &self.processes[process].0 {
            Process::Real { .. } => token_number(token).each_kind()[kind].clone(),
            // It knows only this kind.
            Process::Naive(_) => token_number(token).itself(),
        };
        let entry = entry(named, EXPIRES_AT);
        self.processes[process].0.revoke(token, &entry);
        self.attempted.insert(token);
        self.revoked_in.entry((process, token)).or_insert(self.now);
        let recorded = std::mem::take(&mut self.world.lock().unwrap().recorded);
        self.note(format!("process {process} revokes token {token}, recorded: {}", recorded.len()));
        for entry in recorded {
            self.recorded.entry(token).or_insert(self.now);
            self.pushes.extend((0..PROCESSES).map(|to| (to, entry.clone())));
        }
    }

    fn store_answers(&mut self) {
        let mut world = self.world.lock().unwrap();
        if world.questions.is_empty() {
            return;
        }
        let count = world.questions.len() as u64;
        let chosen = usize::try_from(world.random.below(count)).unwrap();
        let (lookup, sender) = world.questions.swap_remove(chosen);
        // Otherwise it is lost, and the caller waits for its timeout.
        if world.random.below(10) != 0 {
            let answer = world.answer(&lookup);
            world.answers.push((answer, sender));
        }
    }

    fn answer_arrives(&mut self) {
        let mut world = self.world.lock().unwrap();
        if world.answers.is_empty() {
            return;
        }
        let count = world.answers.len() as u64;
        let chosen = usize::try_from(world.random.below(count)).unwrap();
        let (answer, sender) = world.answers.swap_remove(chosen);
        let _ = sender.send(answer);
    }

    fn push_arrives(&mut self) {
        if self.pushes.is_empty() {
            return;
        }
        let chosen = self.below(self.pushes.len());
        let (to, entry) = self.pushes[chosen].clone();
        self.processes[to].0.apply(&entry);
        self.note(format!("a push arrives at process {to}"));
        // Otherwise it comes again.
        if self.below(4) != 0 {
            self.pushes.swap_remove(chosen);
        }
    }

    fn change_store(&mut self) {
        let change = self.below(3);
        let mut world = self.world.lock().unwrap();
        let text = match change {
            0 => {
                world.is_up = !world.is_up;
                format!("the store is up: {}", world.is_up)
            }
            1 => {
                world.is_seeded = false;
                "the store has lost its data".to_owned()
            }
            _ => {
                world.is_seeded = true;
                "the store is seeded".to_owned()
            }
        };
        drop(world);
        self.note(text);
    }

    fn finish_checks(&mut self) -> Option<String> {
        for mut check in std::mem::take(&mut self.checks) {
            let allowed = self.processes[check.process].0.allowed();
            match poll(&mut check.reply) {
                Poll::Pending => self.checks.push(check),
                Poll::Ready(reply) => {
                    let was_allowed = allowed < self.processes[check.process].0.allowed();
                    if let Some(violation) = self.violation(&check, reply, was_allowed) {
                        return Some(violation);
                    }
                }
            }
        }
        None
    }

    fn violation(&self, check: &Check, reply: Reply, was_allowed: bool) -> Option<String> {
        let Check { process, token, began, .. } = *check;
        let asked = format!("the check of token {token} by process {process} at {began} ms");
        match reply {
            Err(Unavailable) => None,
            Ok(Verdict::Revoked) => (!self.attempted.contains(&token))
                .then(|| format!("{asked} rejects a token that was not revoked")),
            Ok(_) => {
                let revoked_here = self.revoked_in.get(&(process, token));
                if revoked_here.is_some_and(|revoked| *revoked < began) {
                    return Some(format!("{asked} passes after a revocation in this process"));
                }
                let bound = match self.policy {
                    OnUnavailable::ServeStale(age) => {
                        self.bound + u64::try_from(age.as_millis()).unwrap()
                    }
                    _ => self.bound,
                };
                let recorded = self.recorded.get(&token)?;
                (recorded + bound < began && !was_allowed)
                    .then(|| format!("{asked} passes later than the bound"))
            }
        }
    }
}

fn number_of(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect(name))
}

#[test]
fn a_revoked_token_never_passes_later_than_the_bound() {
    if env::var_os("SIMULATION_SEED").is_some() {
        let run = Simulation::new(number_of("SIMULATION_SEED", 0), Bug::None, false).run();
        return println!("{}", run.unwrap_or_else(|trace| panic!("{trace}")));
    }
    for seed in 0..number_of("SIMULATION_SEEDS", 1_000) {
        if let Err(trace) = Simulation::new(seed, Bug::None, false).run() {
            panic!("{trace}");
        }
    }
}

#[test]
fn the_simulation_finds_deliberate_bugs() {
    let first = |bug, is_naive| {
        (0..1_000).find(|seed| Simulation::new(*seed, bug, is_naive).run().is_err())
    };
    assert_eq!(first(Bug::None, true), None, "without a bug, the naive cache breaks no rule");
    for (bug, is_naive) in [
        (Bug::AgeFromArrival, true),
        (Bug::AnswerOverwritesDenial, true),
        (Bug::EmptyStoreAnswers, false),
    ] {
        let found = first(bug, is_naive);
        println!("{bug:?} is found with seed {found:?}");
        assert!(found.is_some(), "{bug:?}");
    }
}
