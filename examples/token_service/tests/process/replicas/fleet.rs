//! Replicas of `token_service` on one PostgreSQL, all of which can be killed and started again during calls.

use std::{
    fs::{self, File},
    path::Path,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::{
    http::{self, Request},
    model::{Draw, Model, Seen},
};
use crate::{Directory, PASSWORD, Service, example, postgres::Postgres};

/// How long after its restart the database may still be the reason for a 503: a request waits so long for a connection
/// (`DATABASE_WAIT_TIMEOUT`).
pub(super) const RECOVERY: Duration = Duration::from_secs(5);

/// No request of the load takes so long on a machine that is not stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// The name of the connections of replicas, for the database.
const REPLICA: &str = "replica_of_the_fleet";

/// What the server logs if it refuses a connection because it has too many.
const REFUSALS: [&str; 2] = ["too many clients", "remaining connection slots"];

pub(super) struct Fleet {
    pub(super) model: Arc<Model>,
    directory: Directory,
    settings: Vec<(&'static str, String)>,
    database: Mutex<Postgres>,
    outages: Mutex<Vec<Outage>>,
    replicas: Vec<Mutex<Arc<Process>>>,
    processes: AtomicU64,
}

struct Outage {
    begin: Instant,
    /// When the database answered again.
    end: Option<Instant>,
}

struct Process {
    number: u64,
    started: Instant,
    address: String,
    /// Set before it is killed.
    killed: OnceLock<()>,
    service: Mutex<Service>,
}

/// The answer of a replica.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) seen: Seen,
    body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

impl Fleet {
    /// Starts the database with its default settings, and the replicas at the same time. They have no settings but
    /// these, and accounts with the names of [`email`].
    pub(super) async fn start(
        replicas: usize,
        accounts: usize,
        settings: &[(&'static str, String)],
        model: Arc<Model>,
    ) -> Arc<Self> {
        let database = Postgres::start_with(&[]);
        let url = database.database("replicas").await;
        let directory = Directory::new("replicas");
        let mut settings = settings.to_vec();
        settings.push(("DATABASE_URL", format!("{url}&application_name={REPLICA}")));
        let processes = AtomicU64::new(0);
        let one = || start(&directory, &settings, &processes);
        let replicas: Vec<_> = thread::scope(|scope| {
            let starting: Vec<_> = (0..replicas).map(|_| scope.spawn(one)).collect();
            starting.into_iter().map(|process| Mutex::new(process.join().unwrap())).collect()
        });
        let outages = Mutex::default();
        let database = Mutex::new(database);
        let fleet = Self { model, directory, settings, database, outages, replicas, processes };
        fleet.add_accounts(accounts).await;
        Arc::new(fleet)
    }

    /// One password is hashed, and all accounts have it.
    async fn add_accounts(&self, count: usize) {
        self.run(&["account", "add", &email(0)]);
        let mut database = self.connect().await.unwrap();
        for number in 1..count {
            let (first, email) = (email(0), email(number));
            let sql = format!(
                "INSERT INTO bearer_accounts (subject, email_key, email, username, password_hash, is_active,
                     is_verified, profile)
                 SELECT '{email}', '{email}', '{email}', '{email}', password_hash, 1, 1, profile
                 FROM bearer_accounts WHERE email_key = '{first}'"
            );
            database.execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }

    pub(super) fn size(&self) -> usize {
        self.replicas.len()
    }

    /// Runs a command of an operator, beside the replicas. Returns what it prints.
    pub(super) fn run(&self, arguments: &[&str]) -> String {
        let mut command = example(&self.directory);
        command.args(arguments).envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.env("ACCOUNT_PASSWORD", PASSWORD).env("DATABASE_URL", self.url("command"));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The URL of the database, for connections that do not count as those of replicas.
    fn url(&self, name: &str) -> String {
        let url = self.settings.iter().find(|(name, _)| *name == "DATABASE_URL");
        url.map(|(_, url)| url.replace(REPLICA, name)).unwrap()
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.url("test")).await
    }

    /// The number of a replica that was not killed.
    pub(super) fn choose(&self, draw: &mut Draw) -> usize {
        loop {
            let number = draw.below(self.replicas.len());
            if self.runs(number) {
                return number;
            }
        }
    }

    pub(super) fn runs(&self, replica: usize) -> bool {
        self.process(replica).killed.get().is_none()
    }

    fn process(&self, replica: usize) -> Arc<Process> {
        Arc::clone(&self.replicas[replica].lock().unwrap())
    }

    /// Sends a request to a replica. `None` if its answer was lost with a process, or if the database was not
    /// available: then the request may or may not have been done. Both are wrong at other times.
    pub(super) async fn call(&self, replica: usize, request: Request<'_>) -> Option<Answer> {
        let process = self.process(replica);
        self.model.count("requests");
        let sent = Instant::now();
        let reply = tokio::time::timeout(PATIENCE, http::send(&process.address, request)).await;
        let answered = Instant::now();
        let what = format!("{} {} at replica {replica}", request.method, request.path);
        let reply = match reply {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) if process.killed.get().is_some() => {
                self.model.count("answers lost");
                return None;
            }
            Ok(Err(error)) => {
                self.model.count("connections refused");
                self.model.wrong(format!("{what}: the process lives: {error}"));
                return None;
            }
            Err(_) => {
                self.model.wrong(format!("{what}: no answer for {PATIENCE:?}"));
                return None;
            }
        };
        if reply.status == 503 {
            self.model.count("503");
            if !reply.has_retry_after || !self.may_be_unavailable(sent, answered) {
                self.model.wrong(format!("{what}: 503 after {:?}", answered - sent));
            }
            return None;
        }
        let seen = Seen { process: process.number, started: process.started, sent, answered };
        Some(Answer { status: reply.status, seen, body: reply.body })
    }

    fn may_be_unavailable(&self, sent: Instant, answered: Instant) -> bool {
        self.outages.lock().unwrap().iter().any(|outage| {
            answered >= outage.begin && outage.end.is_none_or(|end| sent <= end + RECOVERY)
        })
    }

    /// Kills a replica, and starts it again after a while.
    pub(super) async fn kill_replica(&self, replica: usize, pause: Duration) {
        let process = self.process(replica);
        process.killed.set(()).unwrap();
        {
            let service = &mut process.service.lock().unwrap().process;
            service.kill().unwrap();
            service.wait().unwrap();
        }
        tokio::time::sleep(pause).await;
        let start = || start(&self.directory, &self.settings, &self.processes);
        *self.replicas[replica].lock().unwrap() = tokio::task::block_in_place(start);
    }

    /// Ends the database with a signal, and starts it again after a while.
    pub(super) async fn kill_database(&self, signal: &str, pause: Duration) {
        self.outages.lock().unwrap().push(Outage { begin: Instant::now(), end: None });
        tokio::task::block_in_place(|| self.database.lock().unwrap().end_with(signal));
        tokio::time::sleep(pause).await;
        tokio::task::block_in_place(|| self.database.lock().unwrap().start_again());
        let end = Some(Instant::now());
        self.outages.lock().unwrap().last_mut().unwrap().end = end;
    }

    /// How long the database did not answer, for each time.
    pub(super) fn outages(&self) -> Vec<Duration> {
        let outages = self.outages.lock().unwrap();
        outages.iter().map(|outage| outage.end.unwrap() - outage.begin).collect()
    }

    /// Counts the connections of all replicas again and again. Returns the largest number when `until` returns `true`.
    pub(super) async fn most_connections(self: Arc<Self>, until: impl Fn() -> bool) -> i64 {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        let (mut most, mut connection) = (0, None);
        while !until() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            // Each fails while the database is killed.
            let Some(database) = &mut connection else {
                connection = self.connect().await.ok();
                continue;
            };
            match sqlx::query_scalar::<_, i64>(count).bind(REPLICA).fetch_one(database).await {
                Ok(count) => most = most.max(count),
                Err(_) => connection = None,
            }
        }
        most
    }

    /// How often the database refused a connection because it had too many.
    pub(super) fn refusals(&self) -> usize {
        let log = self.database.lock().unwrap().log();
        log.lines().filter(|line| REFUSALS.iter().any(|refusal| line.contains(refusal))).count()
    }

    /// How often a replica panicked.
    pub(super) fn panics(&self) -> usize {
        let logs = fs::read_dir(&self.directory.0).unwrap().map(|file| file.unwrap().path());
        let logs = logs.filter(|path| path.extension().is_some_and(|end| end == "log"));
        logs.map(|path| fs::read_to_string(path).unwrap().matches("panicked").count()).sum()
    }
}

/// The name of an account.
pub(super) fn email(number: usize) -> String {
    format!("client{number}@example.org")
}

/// Starts a process. It writes its log to a file.
fn start(
    directory: &Directory,
    settings: &[(&'static str, String)],
    processes: &AtomicU64,
) -> Arc<Process> {
    let number = processes.fetch_add(1, Ordering::Relaxed);
    let mut command = example(directory);
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    let log: &Path = &directory.0.join(format!("{number}.log"));
    command.stderr(File::create(log).unwrap());
    let started = Instant::now();
    let service = Service::run(command);
    let address = service.address.clone();
    Arc::new(Process {
        number,
        started,
        address,
        killed: OnceLock::new(),
        service: Mutex::new(service),
    })
}
