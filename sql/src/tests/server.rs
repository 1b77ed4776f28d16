//! A PostgreSQL server for one test: in its own directory, on a socket in it and without a port, stopped with the test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, Executor as _};

pub(super) struct Postgres {
    programs: PathBuf,
    directory: PathBuf,
    /// The user and group to run as: `initdb` and `postgres` do not run as root.
    user: Option<(String, String)>,
    settings: &'static [&'static str],
    process: Child,
}

impl Postgres {
    pub(super) fn start() -> Self {
        Self::start_with(&["max_connections=200"])
    }

    /// Starts a server with its default settings, except these.
    pub(super) fn start_with(settings: &'static [&'static str]) -> Self {
        let programs = programs();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("bearer-pg-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let user = (text(Command::new("id").arg("-u")) == "0").then(|| {
            let name = ["postgres", "nobody"]
                .into_iter()
                .find(|name| Command::new("id").arg(name).output().unwrap().status.success())
                .expect("root needs a user to run PostgreSQL as");
            let user = text(Command::new("id").args(["-u", name]));
            let group = text(Command::new("id").args(["-g", name]));
            let (uid, gid) = (user.parse().unwrap(), group.parse().unwrap());
            std::os::unix::fs::chown(&directory, Some(uid), Some(gid)).unwrap();
            (user, group)
        });
        let mut initdb = as_user(user.as_ref(), &programs.join("initdb"), &directory);
        initdb.args(["-A", "trust", "-U", "tester", "-E", "UTF8", "--locale=C", "-D"]);
        succeed(initdb.arg(directory.join("data")));
        let process = run(user.as_ref(), &programs, &directory, settings);
        let server = Self { programs, directory, user, settings, process };
        server.wait();
        server
    }

    /// Creates a database, if possible with a collation that differs from the order of bytes.
    pub(super) async fn database(&self, name: &str) -> String {
        let mut connection = sqlx::PgConnection::connect(&self.url("postgres")).await.unwrap();
        let icu = format!(
            "CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'"
        );
        if connection.execute(sqlx::AssertSqlSafe(icu)).await.is_err() {
            let plain = format!("CREATE DATABASE {name}");
            connection.execute(sqlx::AssertSqlSafe(plain)).await.unwrap();
        }
        self.url(name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=tester", self.directory.display())
    }

    /// Returns the socket on which the server listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join(".s.PGSQL.5432")
    }

    /// Kills the server as if the machine had stopped, except for data that the kernel still has. Then starts it again.
    pub(super) fn kill_and_restart(&mut self) {
        self.end_with("KILL");
        self.start_again();
    }

    /// Sends this signal and waits for the end of the server. `QUIT` is what `pg_ctl stop -m immediate` sends.
    pub(super) fn end_with(&mut self, signal: &str) {
        let id = self.process.id().to_string();
        succeed(Command::new("kill").args(["-s", signal, &id]));
        self.process.wait().unwrap();
    }

    /// Sends this signal to the server and to all of its processes.
    pub(super) fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        succeed(Command::new("kill").args(["-s", signal, &id]).args(children.split_whitespace()));
    }

    /// Copies the data of a server that has ended.
    pub(super) fn back_up(&self) {
        succeed(Command::new("cp").args(["-a", "data", "backup"]).current_dir(&self.directory));
    }

    /// Puts the copy in the place of the data of a server that has ended.
    pub(super) fn restore(&self) {
        fs::remove_dir_all(self.directory.join("data")).unwrap();
        succeed(Command::new("cp").args(["-a", "backup", "data"]).current_dir(&self.directory));
    }

    /// Makes a server that has ended start as a standby, which receives nothing.
    pub(super) fn become_standby(&self) {
        fs::write(self.directory.join("data/standby.signal"), "").unwrap();
    }

    /// Starts a server that has ended. Returns when it answers.
    pub(super) fn start_again(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        // Its child processes may still be running, and until they end no other server can start.
        loop {
            self.process = run(self.user.as_ref(), &self.programs, &self.directory, self.settings);
            if self.is_ready() {
                return;
            }
            assert!(Instant::now() < deadline, "PostgreSQL does not start again");
        }
    }

    fn wait(&self) {
        assert!(self.is_ready(), "PostgreSQL does not start: {}", self.log());
    }

    fn is_ready(&self) -> bool {
        let status = format!("/proc/{}/stat", self.process.id());
        for _ in 0..600 {
            let mut ready = Command::new(self.programs.join("pg_isready"));
            let ready = ready.arg("-q").arg("-h").arg(&self.directory).status().unwrap();
            if ready.success() {
                return true;
            }
            let state = fs::read_to_string(&status).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                return false;
            }
            thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// Returns what the server has logged.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }
}

impl Drop for Postgres {
    /// Shuts the server down fast, which also frees the system resources that it holds. Kills it if that takes long.
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-INT").arg(self.process.id().to_string()).status();
        for _ in 0..200 {
            if matches!(self.process.try_wait(), Ok(Some(_)) | Err(_)) {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// PgBouncer in transaction mode, in front of a server.
pub(super) struct PgBouncer {
    directory: PathBuf,
    process: Child,
}

impl PgBouncer {
    pub(super) fn start(server: &Postgres) -> Self {
        let directory = server.directory.join("bouncer");
        fs::create_dir(&directory).unwrap();
        if let Some((user, group)) = &server.user {
            let (uid, gid) = (user.parse().unwrap(), group.parse().unwrap());
            std::os::unix::fs::chown(&directory, Some(uid), Some(gid)).unwrap();
        }
        let settings = format!(
            "[databases]\n* = host={} user=tester\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = {}\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 1\n\
             ignore_startup_parameters = extra_float_digits\n",
            server.directory.display(),
            directory.display()
        );
        fs::write(directory.join("settings.ini"), settings).unwrap();
        // It is not in the PATH of ordinary users.
        let debian = Path::new("/usr/sbin/pgbouncer");
        let program = if debian.exists() { debian } else { Path::new("pgbouncer") };
        let mut command = as_user(server.user.as_ref(), program, &directory);
        let log = fs::File::create(directory.join("log")).unwrap();
        command.arg("settings.ini").stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().unwrap();
        let begin = Instant::now();
        while !directory.join(".s.PGSQL.6432").exists() {
            assert!(begin.elapsed() < Duration::from_secs(30), "PgBouncer does not start");
            thread::sleep(Duration::from_millis(20));
        }
        Self { directory, process }
    }

    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&port=6432&user=tester", self.directory.display())
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(
    user: Option<&(String, String)>,
    programs: &Path,
    directory: &Path,
    settings: &[&str],
) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).unwrap();
    let mut postgres = as_user(user, &programs.join("postgres"), directory);
    postgres.arg("-D").arg(directory.join("data")).arg("-k").arg(directory);
    postgres.args(["-c", "listen_addresses="]);
    postgres.args(settings.iter().flat_map(|setting| ["-c", setting]));
    postgres.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// Returns a command that runs the program as that user. The program is stopped when the thread of the test ends.
fn as_user(user: Option<&(String, String)>, program: &Path, directory: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if let Some((user, group)) = user {
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={group}"))
            .arg("--clear-groups");
    }
    command.arg("--pdeathsig=INT").arg(program).current_dir(directory).stdin(Stdio::null());
    command
}

/// Returns the folder that `POSTGRES_BIN` names, or else the first one that has the programs.
fn programs() -> PathBuf {
    if let Some(named) = std::env::var_os("POSTGRES_BIN") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    found.extend(debian.map(|version| version.path().join("bin")));
    let is_complete = |programs: &PathBuf| {
        ["initdb", "postgres", "pg_isready"].iter().all(|name| programs.join(name).exists())
    };
    found.into_iter().find(is_complete).expect(
        "PostgreSQL is neither in PATH nor in /usr/lib/postgresql: install it, or set POSTGRES_BIN to its programs",
    )
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

fn text(command: &mut Command) -> String {
    String::from_utf8(succeed(command).stdout).unwrap().trim().to_owned()
}
