//! Reads the settings from the environment.

use std::{env, net::SocketAddr, path::PathBuf, time::Duration};

use axum::http::HeaderName;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

pub(crate) const HELP: &str = "\
token_service: log in, refresh, private tokens, revocation, and an endpoint that the tokens open

  /api/v1/auth/...        the token API
  /api/v1/me              the claims of the token that it is called with
  /.well-known/jwks.json  the public keys
  /openapi.json, /        the API's document, as JSON and as a page

Settings, from the environment:
  ADDR           where to listen [127.0.0.1:3000]
  DATABASE_URL   sqlite:FILE, sqlite::memory: or postgres://... [sqlite:token_service.db]
  KEY_FILE       the signing key, PKCS#8 PEM; made if it is not there [token_service.pem]
  DEMO_EMAIL     the e-mail address of the demo account [ada@example.org]
  DEMO_PASSWORD  its password, which is not printed [a new one at each start, which is printed]
  REVOCATION_BOUND  seconds after which a process sees a revocation of another process at the latest [30]
  REFRESH_REUSE_GRACE  seconds, up to 30: a refresh token that is sent again within this time gets the
                 same new refresh token, if that is not used yet; for clients that lose answers
                 [0: a second use ends the session]
  REDIS_URL      Redis or Valkey through which processes share revocations at once [none]
  PUBLIC_URL     the beginning of links, http:// or https:// [http and the host of the request]
  TRUSTED_PROXY_HEADER  the header in which the proxy sends the address of the client, such as
                 X-Forwarded-For; the last address counts [none: the address of the connection]
  ISSUER         the `iss` of the tokens [token_service]
  AUDIENCE       the `aud` of the tokens [api://demo]

Processes with the same database, key file, ISSUER and AUDIENCE are one service. Give them the same
DEMO_PASSWORD, because each start sets it. Behind a proxy set TRUSTED_PROXY_HEADER: without it all
clients have the proxy's address, and one client that guesses passwords can lock out all others.";

pub(crate) struct Settings {
    pub(crate) address: SocketAddr,
    pub(crate) database_url: String,
    pub(crate) key_file: PathBuf,
    pub(crate) demo_email: String,
    pub(crate) demo_password: String,
    /// Whether the operator chose the password. Then it is not printed.
    pub(crate) has_own_password: bool,
    pub(crate) refresh_reuse_grace: Duration,
    pub(crate) revocation_bound: Duration,
    pub(crate) redis_url: Option<String>,
    pub(crate) public_url: Option<String>,
    pub(crate) trusted_proxy_header: Option<HeaderName>,
    pub(crate) issuer: String,
    pub(crate) audience: String,
}

impl Settings {
    /// `None` if the user asked for help.
    pub(crate) fn read() -> Result<Option<Self>, String> {
        match env::args_os().nth(1) {
            None => {}
            Some(argument) if argument == "--help" || argument == "-h" => return Ok(None),
            Some(argument) => return Err(format!("unknown argument {argument:?}")),
        }
        let or = |name, default: &str| {
            setting(name).map(|value| value.unwrap_or_else(|| default.to_owned()))
        };
        let own_password = setting("DEMO_PASSWORD")?;
        let has_own_password = own_password.is_some();
        let demo_password = match own_password {
            Some(password) => password,
            None => random_password()?,
        };
        Ok(Some(Self {
            address: or("ADDR", "127.0.0.1:3000")?
                .parse()
                .map_err(|_| "ADDR is not an address and port, such as 127.0.0.1:3000")?,
            database_url: with_scheme(
                "DATABASE_URL",
                setting("DATABASE_URL")?,
                &["sqlite:", "postgres:", "postgresql:"],
            )?
            .unwrap_or_else(|| "sqlite:token_service.db".to_owned()),
            key_file: or("KEY_FILE", "token_service.pem")?.into(),
            demo_email: or("DEMO_EMAIL", "ada@example.org")?,
            demo_password,
            has_own_password,
            refresh_reuse_grace: or("REFRESH_REUSE_GRACE", "0")?
                .parse()
                .ok()
                .filter(|seconds| *seconds <= 30)
                .map(Duration::from_secs)
                .ok_or("REFRESH_REUSE_GRACE is not a whole number of seconds from 0 to 30")?,
            revocation_bound: or("REVOCATION_BOUND", "30")?
                .parse()
                .map(Duration::from_secs)
                .map_err(|_| "REVOCATION_BOUND is not a whole number of seconds, such as 30")?,
            redis_url: setting("REDIS_URL")?,
            public_url: with_scheme("PUBLIC_URL", setting("PUBLIC_URL")?, &["http:", "https:"])?,
            trusted_proxy_header: setting("TRUSTED_PROXY_HEADER")?
                .map(|name| name.parse())
                .transpose()
                .map_err(
                    |_| "TRUSTED_PROXY_HEADER is not a header name, such as X-Forwarded-For",
                )?,
            issuer: or("ISSUER", "token_service")?,
            audience: or("AUDIENCE", "api://demo")?,
        }))
    }
}

/// A setting that is present and not empty.
fn setting(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8")),
    }
}

/// The error does not repeat the URL, because the URL may contain a password.
fn with_scheme(
    name: &str,
    url: Option<String>,
    schemes: &[&str],
) -> Result<Option<String>, String> {
    match url {
        Some(url) if !schemes.iter().any(|scheme| url.starts_with(scheme)) => {
            Err(format!("{name} does not begin with {}", schemes.join(" or ")))
        }
        url => Ok(url),
    }
}

fn random_password() -> Result<String, String> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|_| "the system has no random bytes")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
