//! Runs the program, and the lines that it prints.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// Stops the program at the end of a test, whether it passes or not.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_line_gets_the_status_in_its_comment() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("certificates");
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart_mtls"));
    command.env("ADDR", "127.0.0.1:0").env("FOLDER", &folder);
    let mut program = Program(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(program.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.filter(|line| !line.is_empty());
    assert!(lines.next().unwrap().starts_with("listening on https://localhost:"));
    for expected in ["200", "401", "401", "200"] {
        let comment = lines.next().unwrap();
        assert!(comment.starts_with(&format!("# {expected}")), "{comment}");
        let output = Command::new("bash").args(["-c", &lines.next().unwrap()]).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(expected), "{comment}: {answer}");
    }
}
