//! Explains why a token is accepted or rejected: every check, what it expects and what it found.
//!
//! `ISSUER=.. AUDIENCE=.. JWKS_URL=.. cargo run --example explain_token < token`. `--help` lists the settings.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

mod report;

use std::{
    env,
    error::Error,
    io::{self, IsTerminal, Read, Write},
    process::ExitCode,
};

use tower_bearer::{Authenticator, Issuer, Key, KeySet, KeySource, jwks::RemoteJwks};

const HELP: &str = "\
explain_token: reads a token from its standard input and explains why it is accepted or rejected

Settings, from the environment:
  ISSUER        the `iss` of the tokens; required
  AUDIENCE      the `aud` of tokens for your API; required
  JWKS_URL      URL of the JWK set of the issuer
  JWKS_FILE     or: file with the JWK set
  HS256_SECRET  or: the secret that the issuer signs with, 32 bytes or more
                [none of them: the metadata of ISSUER name the URL of its keys]
  NO_COLOR      no colours, also on a terminal

  --json        writes JSON, with times in seconds since 1970

Exit status: 0 if the token is accepted, 1 if it is rejected, 2 if a setting is wrong.
The output never has the signature, the subject or other personal claims of the token.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(is_accepted) => ExitCode::from(u8::from(!is_accepted)),
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            eprintln!("--help lists the settings");
            ExitCode::from(2)
        }
    }
}

/// Returns whether the token is accepted.
async fn run() -> Result<bool, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let is_json = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--json"] => true,
        ["--help" | "-h"] => {
            println!("{HELP}");
            return Ok(true);
        }
        // The argument may be the token.
        _ => return Err("unknown argument: the token is read from the standard input".into()),
    };
    let issuer = required("ISSUER")?;
    let keys = keys(&issuer)?;
    let policy = Issuer::new(issuer, keys).audience(required("AUDIENCE")?);
    let authenticator: Authenticator = Authenticator::builder().issuer(policy).build()?;

    if io::stdin().is_terminal() {
        eprintln!("paste the token, then press Enter and Ctrl-D");
    }
    let mut token = String::new();
    io::stdin().read_to_string(&mut token).map_err(|_| "the token is not text")?;
    let explanation = authenticator.explain(report::token_in(&token)).await;
    let report = if is_json {
        serde_json::to_string_pretty(&explanation)? + "\n"
    } else {
        let has_colour = io::stdout().is_terminal() && setting("NO_COLOR").is_none();
        report::text(&explanation, has_colour)
    };
    match io::stdout().write_all(report.as_bytes()) {
        // The reader, such as `head`, has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(explanation.rejection().is_none())
}

fn keys(issuer: &str) -> Result<KeySource, Box<dyn Error>> {
    if let Some(url) = setting("JWKS_URL") {
        return Ok(RemoteJwks::new(&url)?.into());
    }
    if let Some(path) = setting("JWKS_FILE") {
        return Ok(KeySet::from_jwks_file(path)?.into());
    }
    if let Some(secret) = setting("HS256_SECRET") {
        return Ok(Key::hs256(secret.as_bytes())?.into());
    }
    Ok(RemoteJwks::discover(issuer)?.into())
}

fn required(name: &str) -> Result<String, String> {
    setting(name).ok_or_else(|| format!("{name} is not set"))
}

/// A setting. An empty one counts as not set.
fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
