//! Runs the program, and the line that it prints.

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
fn each_request_has_the_answer_that_its_line_says() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart_dpop"));
    let child = command.env("ADDR", "127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
    let mut program = Program(child);
    let lines = BufReader::new(program.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.filter(|line| !line.is_empty());
    let proof = r#"401 Unauthorized {"code":"dpop_proof_not_valid","detail":"DPoP proof is invalid, expired or already used."}"#;
    let token =
        r#"401 Unauthorized {"code":"token_not_valid","detail":"Token is invalid or expired"}"#;
    for (what, answer) in [
        ("token and proof", "200 OK the orders of ada"),
        ("the same proof again", proof),
        ("a stolen token, without a proof", proof),
        ("a stolen token, as Bearer", token),
        ("a proof by the key of the thief", token),
        ("a proof for another method", proof),
        ("a new proof", "200 OK the orders of ada"),
    ] {
        assert_eq!(lines.next().unwrap(), format!("{what}: {answer}"));
    }
    assert!(lines.next().unwrap().starts_with("listening on http://127.0.0.1:"));
    let curl = lines.next().unwrap();
    for expected in ["HTTP/1.1 200 OK", "HTTP/1.1 401 Unauthorized"] {
        let output = Command::new("bash").args(["-c", &curl]).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(answer.starts_with(expected), "{answer}");
    }
}
