//! Runs the example `resource_server` as a process, built for release, and measures its memory and files.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    failure::Failure,
    soak_token::{AUDIENCE, ISSUER},
};

/// Settings that the environment of the machine must not change.
const SETTINGS: [&str; 9] = [
    "OIDC_ISSUER",
    "JWKS_URL",
    "JWKS_FILE",
    "HS256_SECRET",
    "ISSUER",
    "AUDIENCE",
    "ADDR",
    "REDIS_URL",
    "METRICS_ADDR",
];

pub(crate) struct ResourceServer {
    process: Child,
    address: String,
    metrics: String,
    errors: Option<JoinHandle<String>>,
    samples: Vec<Sample>,
}

#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) kibibytes: u64,
    pub(crate) files: usize,
}

/// The observations of the whole run.
pub(crate) struct ServerResults {
    pub(crate) samples: Vec<Sample>,
    pub(crate) errors: String,
    /// Decisions on requests, as the server counted them.
    pub(crate) decisions: u64,
}

impl ResourceServer {
    /// Builds the example first, because `cargo bench` does not build examples.
    pub(crate) fn start(keys: &str, redis: &str) -> Result<Self, Failure> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--locked", "--release", "-p", "resource_server"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()?;
        if !built.success() {
            return Err("the example was not built".into());
        }
        let bench = env::current_exe()?;
        let target = bench.ancestors().nth(3).ok_or("no target directory")?;
        let mut command = Command::new(target.join("release/resource_server"));
        for name in SETTINGS {
            command.env_remove(name);
        }
        command.env("ADDR", "127.0.0.1:0").env("METRICS_ADDR", "127.0.0.1:0");
        command.env("ISSUER", ISSUER).env("AUDIENCE", AUDIENCE);
        command.env("JWKS_URL", keys).env("REDIS_URL", redis);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let errors = process.stderr.take().map(|errors| std::thread::spawn(|| drain(errors)));
        let mut output = BufReader::new(process.stdout.take().ok_or("no output")?);
        let mut address_after = |text: &str| {
            let mut line = String::new();
            output.read_line(&mut line)?;
            let address = line.trim_end().strip_prefix(text).ok_or("the server did not start")?;
            Ok::<_, Failure>(address.trim_end_matches("/metrics").to_owned())
        };
        let address = address_after("listening on http://")?;
        let metrics = address_after("metrics on http://")?;
        Ok(Self { process, address, metrics, errors, samples: Vec::new() })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Measures its memory and its open files.
    pub(crate) fn sample(&mut self) -> Result<(), Failure> {
        if let Some(status) = self.process.try_wait()? {
            return Err(format!("the server has ended: {status}").into());
        }
        let process = Path::new("/proc").join(self.process.id().to_string());
        let status = fs::read_to_string(process.join("status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|value| value.trim().strip_suffix(" kB"));
        let kibibytes = resident.ok_or("no VmRSS")?.parse()?;
        let files = fs::read_dir(process.join("fd"))?.count();
        self.samples.push(Sample { kibibytes, files });
        Ok(())
    }

    /// The sum of all decisions, from a scrape.
    fn decisions(&self) -> Result<u64, Failure> {
        let mut stream = TcpStream::connect(&self.metrics)?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        let counts = page.lines().filter(|line| line.starts_with("tower_bearer_decisions_total{"));
        let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(counts.sum())
    }

    /// Asks the process to stop, as a terminal does, and checks that it exits successfully.
    pub(crate) fn stop(mut self) -> Result<ServerResults, Failure> {
        let decisions = self.decisions()?;
        let id = self.process.id().to_string();
        Command::new("kill").args(["-s", "INT", &id]).status()?;
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait()? {
                break status;
            }
            if begin.elapsed() > Duration::from_secs(20) {
                return Err("the server did not stop within 20 seconds".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        if !status.success() {
            return Err(format!("the server ended with {status}").into());
        }
        let errors = self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default();
        Ok(ServerResults { samples: std::mem::take(&mut self.samples), errors, decisions })
    }
}

impl Drop for ResourceServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn drain(mut errors: ChildStderr) -> String {
    let mut text = Vec::new();
    let _ = errors.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}
