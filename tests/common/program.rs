//! An example as a process of its own, asked over HTTP.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) struct Program {
    process: Child,
    address: String,
}

impl Program {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut ready = String::new();
        output.read_line(&mut ready).unwrap();
        // The rest is read as well, so that it finds somewhere to go.
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(drop));
        let address =
            ready.trim_end().strip_prefix("listening on http://").expect("the ready line");
        Self { process, address: address.to_owned() }
    }

    /// Status and body.
    pub(crate) fn call(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let host = &self.address;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub(crate) fn becomes(&self, status: u16, path: &str, token: &str) {
        let begin = Instant::now();
        while self.call("GET", path, token, "").0 != status {
            assert!(begin.elapsed() < Duration::from_secs(10), "never {status}");
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
