//! A Prometheus of the test's own.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    queries::{Query, operations},
    redis_server::free_port,
};

/// Killed, and its folder removed, when the test is done with it.
pub(crate) struct Prometheus {
    process: Child,
    address: String,
    folder: PathBuf,
}

impl Prometheus {
    /// Scrapes these addresses, and evaluates the alert rules.
    pub(crate) fn start(targets: &[String]) -> Self {
        let folder = std::env::temp_dir().join(format!("bearer-prometheus-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let config = folder.join("prometheus.yml");
        let (targets, rules) = (targets.join("\", \""), operations("alerts.yml"));
        let text = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 1s}}\n\
             rule_files: [\"{rules}\"]\n\
             scrape_configs:\n\
             - job_name: api\n  \
               static_configs:\n  \
               - targets: [\"{targets}\"]\n"
        );
        std::fs::write(&config, text).unwrap();
        promtool(&["check", "config", config.to_str().unwrap()]);

        let address = format!("127.0.0.1:{}", free_port());
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let program = prometheus_program("prometheus");
        let process = Command::new(&program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{} does not start: {error}. {HINT}", program.display())
            });
        let mut server = Self { process, address, folder };
        server.wait();
        server
    }

    fn wait(&mut self) {
        let begin = Instant::now();
        while !self.get("/-/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.0 200")) {
            let has_ended = self.process.try_wait().unwrap().is_some();
            if has_ended || begin.elapsed() > Duration::from_secs(30) {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                panic!("prometheus is not ready:\n{log}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The names and expressions of all alerts, as Prometheus has read them.
    pub(crate) fn alerts(&self) -> Vec<(String, String)> {
        let answer = self.api("rules?type=alert").unwrap();
        let groups = answer["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        rules.map(|rule| (text(&rule["name"]), text(&rule["query"]))).collect()
    }

    /// Waits until each query returns data.
    pub(crate) fn wait_for_data(&self, queries: &[Query]) {
        let begin = Instant::now();
        loop {
            let failures: Vec<_> =
                queries.iter().filter_map(|query| self.check(query).err()).collect();
            if failures.is_empty() {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{}", failures.join("\n"));
            thread::sleep(Duration::from_millis(250));
        }
    }

    fn check(&self, Query { name, expression, labels }: &Query) -> Result<(), String> {
        let series =
            self.data(expression).map_err(|error| format!("{name}: {error}: {expression}"))?;
        let missing =
            labels.iter().find(|&label| series.iter().any(|one| one["metric"][label].is_null()));
        missing.map_or(Ok(()), |label| Err(format!("{name}: no label {label}: {expression}")))
    }

    /// The series that a query returns. At least one of them must have a value that is a finite number.
    pub(crate) fn data(&self, query: &str) -> Result<Vec<Value>, String> {
        let mut answer = self.api(&format!("query?query={}", percent_encoded(query)))?;
        let Value::Array(series) = answer["result"].take() else {
            return Err("not a vector".to_owned());
        };
        let value = |series: &Value| series["value"][1].as_str()?.parse::<f64>().ok();
        if series.iter().filter_map(value).any(f64::is_finite) {
            Ok(series)
        } else if series.is_empty() {
            Err("no data".to_owned())
        } else {
            Err("no number".to_owned())
        }
    }

    /// The values of a label of a metric.
    pub(crate) fn labels(&self, metric: &str, label: &str) -> BTreeSet<String> {
        let answer = self.api(&format!("label/{label}/values?match[]={metric}")).unwrap();
        answer.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    /// The `data` of an answer.
    fn api(&self, path: &str) -> Result<Value, String> {
        let answer = self.get(&format!("/api/v1/{path}")).map_err(|error| error.to_string())?;
        let body = answer.split_once("\r\n\r\n").ok_or("not HTTP")?.1;
        let mut answer: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(body.to_owned()) }
    }

    /// An answer to HTTP/1.0 is in one piece.
    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address)?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const HINT: &str =
    "Install Prometheus, or set PROMETHEUS_BIN to the folder of prometheus and promtool";

/// Runs `promtool`, which must succeed.
pub(crate) fn promtool(arguments: &[&str]) {
    let program = prometheus_program("promtool");
    let output = Command::new(&program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{} does not start: {error}. {HINT}", program.display()));
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "promtool {arguments:?}:\n{}", text.concat());
}

fn prometheus_program(name: &str) -> PathBuf {
    let folder = std::env::var_os("PROMETHEUS_BIN").filter(|folder| !folder.is_empty());
    folder.map_or_else(|| name.into(), |folder| PathBuf::from(folder).join(name))
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        let _ = write!(encoded, "%{byte:02X}");
        encoded
    })
}
