//! A Redis of the test's own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
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

impl Server {
    /// `None` where no program was named, which is told.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Further options, as `--appendonly yes`.
    pub(crate) fn start_with(options: &[&str]) -> Option<Self> {
        let Some(program) = std::env::var_os("REDIS_SERVER") else {
            println!("NOT RUN: REDIS_SERVER names no redis-server");
            return None;
        };
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("bearer-redis-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let port = free_port();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let program = PathBuf::from(program);
        let process = spawn(&program, port, &directory, &options);
        let server = Self { program, options, process, port, directory };
        server.wait();
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// One that was killed before anybody has asked it anything: a port where nothing listens.
    pub(crate) fn absent() -> Option<Self> {
        let mut server = Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])?;
        server.kill();
        Some(server)
    }

    /// The answer to a command, as text: the first line, or what a bulk string holds.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        ask(stream, words).unwrap()
    }

    /// A number out of `INFO`.
    pub(crate) fn info(&self, name: &str) -> u64 {
        self.info_text(name).expect(name).parse().unwrap()
    }

    pub(crate) fn info_text(&self, name: &str) -> Option<String> {
        let info = self.command(&["INFO", "all"]);
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|line| line.trim().to_owned())
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
            assert!(begin.elapsed() < Duration::from_secs(20), "redis-server does not start");
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

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(program: &PathBuf, port: u16, directory: &PathBuf, options: &Vec<String>) -> Child {
    Command::new(program)
        .args(["--bind", "127.0.0.1", "--daemonize", "no", "--save", ""])
        .args(["--port", &port.to_string(), "--dir"])
        .arg(directory)
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("REDIS_SERVER names a redis-server")
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
