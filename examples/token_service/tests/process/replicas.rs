//! Many replicas on one PostgreSQL with default settings under load, while replicas and the database are killed, a key
//! is rotated, and the key before it is retired as compromised.
//!
//! 1. **No refused connection**: the database has enough for all replicas, and replicas that live answer.
//! 2. **No wrong answer**: `replicas/model.rs` has the rules. A 503 is only right while the database is killed and for
//!    a stated time after that.
//! 3. **Nothing acknowledged is lost**: at the end every token is checked again, and every session is refreshed.
//!
//! The test has a small size. `.ci/replicas` runs it with 20 replicas for two minutes, and writes its figures to
//! `operations/replica_results.md`. Variables choose the size: `REPLICAS`, `REPLICAS_SECONDS`, `REPLICAS_BOUND`.

#[path = "replicas/fleet.rs"]
mod fleet;
#[path = "replicas/http.rs"]
mod http;
#[path = "replicas/load.rs"]
mod load;
#[path = "replicas/model.rs"]
mod model;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::task::block_in_place;

use self::{
    fleet::{Fleet, RECOVERY},
    http::Request,
    load::{Client, check},
    model::{Draw, End, Model, Token},
};

/// Seconds. Replicas read the keys every 10 seconds, and the database may be killed when one of them does.
const PUBLICATION: u64 = 30;

/// Between two calls of one client.
const PAUSE: Duration = Duration::from_millis(20);

/// How many calls run at the same time when all tokens are checked at the end.
const CHECKERS: usize = 8;

struct Size {
    replicas: usize,
    clients: usize,
    duration: Duration,
    bound: u64,
}

impl Size {
    /// The small size, if no variable is set.
    fn from_environment() -> Self {
        let number = |name, default| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
            Err(_) => default,
        };
        let replicas = usize::try_from(number("REPLICAS", 3)).unwrap();
        Self {
            replicas,
            clients: 4 + replicas * 3 / 5,
            duration: Duration::from_secs(number("REPLICAS_SECONDS", 25)),
            bound: number("REPLICAS_BOUND", 3),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn replicas_answer_correctly_while_parts_die_and_keys_change() {
    let size = Size::from_environment();
    let settings = [
        ("KEY_PUBLICATION", PUBLICATION.to_string()),
        ("REVOCATION_BOUND", size.bound.to_string()),
    ];
    let model = Arc::new(Model::new(Duration::from_secs(size.bound)));
    let fleet = Fleet::start(size.replicas, size.clients + 1, &settings, model).await;
    let stop = Arc::new(AtomicBool::new(false));
    let connections = {
        let stop = Arc::clone(&stop);
        tokio::spawn(Arc::clone(&fleet).most_connections(move || stop.load(Relaxed)))
    };
    let begin = Instant::now();
    let clients: Vec<_> = (0..size.clients)
        .map(|number| tokio::spawn(Client::new(&fleet, number).run(Arc::clone(&stop), PAUSE)))
        .collect();
    let story = Story::new(&fleet, &size, begin).run().await;
    stop.store(true, Relaxed);
    let duration = begin.elapsed();
    for client in clients {
        client.await.unwrap().finish().await;
    }
    let connections = connections.await.unwrap();
    let checked = check_all_tokens(&fleet, Duration::from_secs(size.bound)).await;
    Results { size, fleet, story, duration, connections, checked }.print_and_assert();
}

/// What happens during the load.
struct Story {
    fleet: Arc<Fleet>,
    begin: Instant,
    duration: Duration,
    bound: Duration,
    draw: Draw,
    /// A client that asks which key signs.
    observer: Client,
    steps: u32,
    killed_replicas: u32,
    keys: [String; 2],
}

impl Story {
    fn new(fleet: &Arc<Fleet>, size: &Size, begin: Instant) -> Self {
        Self {
            fleet: Arc::clone(fleet),
            begin,
            duration: size.duration,
            bound: Duration::from_secs(size.bound),
            draw: Draw::new(),
            observer: Client::new(fleet, size.clients),
            steps: 0,
            killed_replicas: 0,
            keys: Default::default(),
        }
    }

    async fn run(mut self) -> Self {
        self.observer.log_in().await;
        let list = self.command(&["keys", "list"]);
        let signs = list.lines().find(|line| line.contains("\tsigns\t")).unwrap();
        let first = signs.split('\t').next().unwrap().to_owned();
        let added = self.command(&["keys", "add"]);
        let second = added.split([' ', ',']).nth(1).unwrap().to_owned();
        self.keys = [first.clone(), second.clone()];
        while self.begin.elapsed() < self.duration * 2 / 5 || !self.all_sign_with(&second).await {
            let limit = self.duration + Duration::from_secs(PUBLICATION + 60);
            assert!(self.begin.elapsed() < limit, "the new key does not sign everywhere");
            self.kill_next().await;
        }
        for key in [&first, &second] {
            self.use_everywhere(key).await;
        }

        self.fleet.model.change_key(&first, End::ask);
        let retired = self.command(&["keys", "retire", "--compromised", &first]);
        assert!(retired.contains(&first), "{retired}");
        self.fleet.model.change_key(&first, |end| end.acknowledge(None));
        let at = Instant::now();
        let replica = self.kill_a_replica().await;
        self.assert_published(replica, &second, &first).await;
        while self.begin.elapsed() < self.duration || at.elapsed() < self.bound + self.step() {
            self.kill_next().await;
        }
        self
    }

    fn command(&self, arguments: &[&str]) -> String {
        block_in_place(|| self.fleet.run(arguments))
    }

    fn step(&self) -> Duration {
        self.duration / 20
    }

    /// Kills a replica, or each sixth time the database, and leaves it some time to recover.
    async fn kill_next(&mut self) {
        self.steps += 1;
        match self.steps % 12 {
            3 => self.fleet.kill_database("QUIT", self.step() / 4).await,
            9 => self.fleet.kill_database("KILL", self.step() / 4).await,
            _ => _ = self.kill_a_replica().await,
        }
        tokio::time::sleep(self.step() * 3 / 4).await;
    }

    async fn kill_a_replica(&mut self) -> usize {
        let replica = self.fleet.choose(&mut self.draw);
        self.fleet.kill_replica(replica, self.step() / 4).await;
        self.killed_replicas += 1;
        replica
    }

    /// Whether each replica signs a new token with the key.
    async fn all_sign_with(&mut self, kid: &str) -> bool {
        if self.begin.elapsed() < Duration::from_secs(PUBLICATION) {
            return false;
        }
        for replica in 0..self.fleet.size() {
            let token = self.observer.create_at(replica).await;
            if token.is_none_or(|token| token.kid != kid) {
                return false;
            }
        }
        true
    }

    /// Uses some valid tokens that the key signed at every replica.
    async fn use_everywhere(&self, kid: &str) {
        let model = &self.fleet.model;
        let mut tokens = model.tokens();
        tokens.retain(|token| token.kid == kid && model.is_valid(token));
        assert!(!tokens.is_empty(), "no valid token of {kid}");
        for token in tokens.iter().step_by((tokens.len() / 5).max(1)) {
            for replica in 0..self.fleet.size() {
                check(&self.fleet, replica, token).await;
            }
        }
    }

    /// A replica that starts after the end of a key does not publish it.
    async fn assert_published(&self, replica: usize, there: &str, gone: &str) {
        let path = "/.well-known/jwks.json";
        let request = Request { method: "GET", path, token: None, body: None };
        let keys = self.fleet.call(replica, request).await.unwrap().json();
        let keys = keys["keys"].as_array().unwrap();
        let has = |kid: &str| keys.iter().any(|key| key["kid"] == kid);
        assert_eq!((has(there), has(gone)), (true, false), "{keys:?}");
    }
}

/// The numbers of tokens that were checked at the end.
struct Checked {
    valid: usize,
    ended: usize,
    calls: usize,
}

/// Uses every token at one replica, and some tokens at every replica. It waits for the bound first: after that, every
/// replica must reject what was ended.
async fn check_all_tokens(fleet: &Arc<Fleet>, bound: Duration) -> Checked {
    tokio::time::sleep(bound).await;
    let model = &fleet.model;
    let tokens = model.tokens();
    let (valid, others): (Vec<Arc<Token>>, Vec<_>) =
        tokens.iter().cloned().partition(|token| model.is_valid(token));
    let ended: Vec<_> = others.into_iter().filter(|token| model.is_ended(token)).collect();
    let at_one = tokens.iter().enumerate().map(|(number, token)| (number % fleet.size(), token));
    let mut calls: Vec<(usize, Arc<Token>)> =
        at_one.map(|(replica, token)| (replica, Arc::clone(token))).collect();
    for some in [&valid, &ended] {
        for token in some.iter().step_by((some.len() / 30).max(1)) {
            calls.extend((0..fleet.size()).map(|replica| (replica, Arc::clone(token))));
        }
    }
    let (count, calls) = (calls.len(), Arc::new(calls));
    let checkers = (0..CHECKERS).map(|number| {
        let (fleet, calls) = (Arc::clone(fleet), Arc::clone(&calls));
        tokio::spawn(async move {
            for (replica, token) in calls.iter().skip(number).step_by(CHECKERS) {
                assert!(check(&fleet, *replica, token).await, "an answer is missing");
            }
        })
    });
    for checker in checkers.collect::<Vec<_>>() {
        checker.await.unwrap();
    }
    Checked { valid: valid.len(), ended: ended.len(), calls: count }
}

struct Results {
    size: Size,
    fleet: Arc<Fleet>,
    story: Story,
    duration: Duration,
    connections: i64,
    checked: Checked,
}

impl Results {
    #[expect(clippy::print_stdout, reason = "`.ci/replicas` reads the figures")]
    fn print_and_assert(&self) {
        let Self { size, fleet, story, duration, connections, checked } = self;
        let model = &fleet.model;
        let counted = |what| model.counted(what);
        let wrong = model.wrong_answers();
        let outages = fleet.outages();
        let longest = outages.iter().max().copied().unwrap_or_default();
        let tokens = model.tokens();
        let signed =
            story.keys.each_ref().map(|kid| tokens.iter().filter(|t| t.kid == *kid).count());
        let refused = [fleet.refusals() as u64, counted("connections refused")];
        let most = 4 * size.replicas;
        let row = |what: &str, figure: String| println!("| {what} | {figure} |");
        row("replicas; clients", format!("{}; {}", size.replicas, size.clients));
        row("time of the load", format!("{:.0} s", duration.as_secs_f64()));
        row("requests", counted("requests").to_string());
        row("wrong answers", wrong.len().to_string());
        row(
            "connections refused by the database; by a replica that lives",
            format!("{}; {}", refused[0], refused[1]),
        );
        row("replicas killed", story.killed_replicas.to_string());
        row("answers lost with them", counted("answers lost").to_string());
        row(
            "database killed",
            format!("{} times, for up to {:.1} s", outages.len(), longest.as_secs_f64()),
        );
        row(
            &format!("503 while it was killed and up to {} s after that", RECOVERY.as_secs()),
            counted("503").to_string(),
        );
        row(
            "most connections of replicas to the database",
            format!("{connections}, allowed {most}"),
        );
        row("log-ins; refreshes", format!("{}; {}", counted("log-ins"), counted("refreshes")));
        row(
            "sessions ended by a refresh whose answer was lost; by the compromised key",
            format!(
                "{}; {}",
                counted("sessions ended by a lost answer"),
                counted("sessions ended by a key")
            ),
        );
        row(
            "private tokens created; revoked",
            format!("{}; {}", counted("private tokens created"), counted("private tokens revoked")),
        );
        row("lists", counted("lists").to_string());
        row(
            "tokens accepted; rejected",
            format!("{}; {}", counted("accepted"), counted("rejected")),
        );
        row(
            "tokens signed by the first key, which was compromised; by the second",
            format!("{}; {}", signed[0], signed[1]),
        );
        row(
            "longest time for which an ended token was accepted",
            format!("{:.1} s, allowed {} s", model.accepted_after().as_secs_f64(), size.bound),
        );
        row(
            "tokens checked at the end: valid; ended; calls",
            format!("{}; {}; {}", checked.valid, checked.ended, checked.calls),
        );

        assert!(wrong.is_empty(), "wrong answers:\n{}", wrong[..wrong.len().min(20)].join("\n"));
        assert_eq!(refused, [0, 0]);
        assert_eq!(fleet.panics(), 0, "a replica has panicked");
        assert!((1..=i64::try_from(most).unwrap()).contains(connections), "{connections}");
        assert!(story.killed_replicas > 3 && !outages.is_empty());
        assert!(signed.iter().all(|count| *count > 10), "{signed:?}");
        assert!(checked.valid > 10 && checked.ended > 10);
        assert!(counted("private tokens revoked") > 10 && counted("refreshes") > 10);
        assert!(counted("lists") > 10);
    }
}
