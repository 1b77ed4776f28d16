//! The example as a process.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

const TOKEN_NOT_VALID: &str =
    r#"{"code":"token_not_valid","detail":"Token is invalid or expired"}"#;

/// All settings except the address.
pub(crate) const SETTINGS: [&str; 24] = [
    "OIDC_ISSUER",
    "JWKS_URL",
    "JWKS_FILE",
    "HS256_SECRET",
    "ISSUER",
    "AUDIENCE",
    "REDIS_URL",
    "METRICS_ADDR",
    "TENANTS",
    "RSA_ALGORITHMS",
    "REFETCH_ON_BAD_SIGNATURE",
    "ALLOW_NULL_CLAIMS",
    "INTEGER_SUBJECT",
    "MAX_TOKEN_LENGTH",
    "RESOURCE",
    "STEP_UP_ACR",
    "STEP_UP_MAX_AGE",
    "CLIENT_CERT_HEADER",
    "TRUSTED_PROXIES",
    "DPOP",
    "DPOP_NONCE",
    "DPOP_NONCE_KEY",
    "PUBLIC_URL",
    "STATUS_LISTS",
];

pub(crate) fn example() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resource_server"));
    for name in SETTINGS {
        command.env_remove(name);
    }
    command.env("ADDR", "127.0.0.1:0");
    command
}

/// A running server. It is killed at the end of the test.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: String,
    pub(crate) output: BufReader<std::process::ChildStdout>,
}

impl Server {
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let mut command = example();
        command.envs(settings.iter().copied()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("`cargo test` builds the examples");
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut ready = String::new();
        output.read_line(&mut ready).unwrap();
        let address =
            ready.trim_end().strip_prefix("listening on http://").expect("the ready line");
        Self { process, address: address.to_owned(), output }
    }

    pub(crate) fn call(&self, method: &str, path: &str, token: Option<&str>) -> Answer {
        Self::call_at(&self.address, method, path, token)
    }

    pub(crate) fn call_at(address: &str, method: &str, path: &str, token: Option<&str>) -> Answer {
        let credential =
            token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        Self::ask(address, &format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{credential}"))
    }

    /// Sends a request line and headers, each of which ends with a line break.
    pub(crate) fn ask(address: &str, head: &str) -> Answer {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{head}Connection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The only value of a header, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values =
            self.head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let values: Vec<_> = values.collect();
        assert!(values.len() < 2, "{name}: {values:?}");
        values.first().copied()
    }

    pub(crate) fn assert_token_not_valid(&self, what: &str) {
        assert_eq!((self.status, self.body.as_str()), (401, TOKEN_NOT_VALID), "{what}");
        const CHALLENGE: &str = concat!(
            r#"www-authenticate: bearer realm="api", error="invalid_token", "#,
            r#"error_description="token is invalid or expired""#
        );
        for header in ["content-type: application/json", "cache-control: no-store", CHALLENGE] {
            assert!(self.head.lines().any(|line| line == header), "{what}: {header}");
        }
    }
}
