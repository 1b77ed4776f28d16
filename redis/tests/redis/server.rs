//! A Redis of the test's own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// Killed, and its directory removed, when the test is done with it.
pub(crate) struct Server {
    program: PathBuf,
    options: Vec<String>,
    process: Child,
    pub(crate) port: u16,
    directory: PathBuf,
}

/// Keys, and what they held, in hexadecimal.
pub(crate) struct Backup(Vec<(String, String)>);

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Further options, as `--appendonly yes`.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        Self::start_in(new_directory(), options)
    }

    /// A sentinel, which keeps what it knows in its configuration file.
    pub(crate) fn start_sentinel() -> Self {
        let directory = new_directory();
        std::fs::write(directory.join(SENTINEL_FILE), "").unwrap();
        Self::start_in(directory, &["--sentinel"])
    }

    fn start_in(directory: PathBuf, options: &[&str]) -> Self {
        let port = free_port();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let program = program();
        let process = spawn(&program, port, &directory, &options);
        let server = Self { program, options, process, port, directory };
        server.wait();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// One that was killed before anybody has asked it anything: a port where nothing listens.
    pub(crate) fn absent() -> Self {
        let mut server = Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
        server.kill();
        server
    }

    /// The answer to a command, as text: the first line, or what a bulk string holds.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        self.try_command(words).unwrap()
    }

    fn try_command(&self, words: &[&str]) -> std::io::Result<String> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        ask(stream, words)
    }

    /// A number out of `INFO`.
    pub(crate) fn info(&self, name: &str) -> u64 {
        self.info_text(name).expect(name).parse().unwrap()
    }

    /// `None` also if the connection ends: sentinels close all connections of a server whose role they change.
    pub(crate) fn info_text(&self, name: &str) -> Option<String> {
        let info = self.try_command(&["INFO", "all"]).ok()?;
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|line| line.trim().to_owned())
    }

    /// How often a command was called.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let calls = self.info_text(&format!("cmdstat_{command}"));
        let calls = calls
            .and_then(|line| line.strip_prefix("calls=")?.split(',').next().map(ToOwned::to_owned));
        calls.map_or(0, |calls| calls.parse().unwrap())
    }

    /// As if another revocation had been recorded whose message got lost.
    pub(crate) fn count_up(&self) {
        let script = "local count = string.match(redis.call('GET', KEYS[1]) or '0', '^%d+')
            return redis.call('SET', KEYS[1], string.format('%d %016x', count + 1, count + 1))";
        assert_eq!(self.command(&["EVAL", script, "1", "tower-bearer:count"]), "+OK");
    }

    /// What is published on a channel, line by line.
    pub(crate) fn subscribe(&self, channel: &str) -> mpsc::Receiver<String> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let confirmed = ask(stream.try_clone().unwrap(), &["SUBSCRIBE", channel]).unwrap();
        assert_eq!(confirmed, "*3");
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if line.ends_with('}') && sender.send(line).is_err() {
                    return;
                }
            }
        });
        messages
    }

    pub(crate) fn has_a_generation(&self) -> bool {
        self.command(&["EXISTS", "tower-bearer:generation"]) == ":1"
    }

    /// All its data, as `DUMP` writes them.
    pub(crate) fn backup(&self) -> Backup {
        let keys =
            self.command(&["EVAL", "return table.concat(redis.call('KEYS', '*'), ' ')", "0"]);
        let hex = "return (string.gsub(redis.call('DUMP', KEYS[1]), '.', function(c)
            return string.format('%02x', string.byte(c)) end))";
        let dump = |key: &str| (key.to_owned(), self.command(&["EVAL", hex, "1", key]));
        Backup(keys.split_whitespace().map(dump).collect())
    }

    /// Has that data and no other from now on, in one step, as after a failover to a replica that lagged. Without the
    /// dates of expiry.
    pub(crate) fn restore(&self, Backup(keys): &Backup) {
        let script = "redis.call('FLUSHALL')
            for n, key in ipairs(KEYS) do
              local dump = string.gsub(ARGV[n], '..', function(hex)
                return string.char(tonumber(hex, 16)) end)
              redis.call('RESTORE', key, 0, dump)
            end
            return 'restored'";
        let count = keys.len().to_string();
        let mut words = vec!["EVAL", script, &count];
        words.extend(keys.iter().map(|(key, _)| &**key));
        words.extend(keys.iter().map(|(_, dump)| &**dump));
        assert_eq!(self.command(&words), "restored");
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again after [`kill`](Self::kill), on its old data if it wrote any.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.program, self.port, &self.directory, &self.options);
        self.wait();
    }

    /// What it would start from now, as a file.
    pub(crate) fn dump(&self) -> Vec<u8> {
        assert_eq!(self.command(&["SAVE"]), "+OK");
        std::fs::read(self.directory.join("dump.rdb")).unwrap()
    }

    /// Kills it, and starts it again with the data of that dump.
    pub(crate) fn restart_from(&mut self, dump: &[u8]) {
        self.kill();
        std::fs::write(self.directory.join("dump.rdb"), dump).unwrap();
        self.restart();
    }

    /// Takes its data away; to be called while it is killed.
    pub(crate) fn lose_data(&self) {
        std::fs::remove_dir_all(&self.directory).unwrap();
        std::fs::create_dir_all(&self.directory).unwrap();
    }

    /// `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    fn wait(&self) {
        let begin = Instant::now();
        loop {
            let answer = TcpStream::connect(("127.0.0.1", self.port))
                .and_then(|stream| ask(stream, &["PING"]));
            if answer.is_ok_and(|answer| answer == "+PONG") {
                return;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "{} does not answer, started with {:?}",
                self.program.display(),
                self.options
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

const SENTINEL_FILE: &str = "sentinel.conf";

fn new_directory() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("bearer-redis-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(program: &PathBuf, port: u16, directory: &PathBuf, options: &Vec<String>) -> Child {
    let file = directory.join(SENTINEL_FILE);
    Command::new(program)
        .args(file.exists().then_some(file))
        .args(["--bind", "127.0.0.1", "--daemonize", "no", "--save", ""])
        .args(["--port", &port.to_string(), "--dir"])
        .arg(directory)
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{} does not start ({error}): install Redis or Valkey, or set REDIS_SERVER",
                program.display()
            )
        })
}

/// The program that `REDIS_SERVER` names, or `redis-server` of the path.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("REDIS_SERVER").map_or_else(|| "redis-server".into(), PathBuf::from)
}

fn ask(mut stream: TcpStream, words: &[&str]) -> std::io::Result<String> {
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(command.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    let Some(length) = line.strip_prefix('$').and_then(|length| length.parse().ok()) else {
        return Ok(line.to_owned());
    };
    let mut bulk = vec![0; length];
    reader.read_exact(&mut bulk)?;
    Ok(String::from_utf8_lossy(&bulk).into_owned())
}
