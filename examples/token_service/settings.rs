//! The settings, from the environment.

use std::{env, net::SocketAddr, path::PathBuf};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

pub(crate) const HELP: &str = "\
token_service: log in, refresh, private tokens, revocation, and an endpoint that the tokens open

  /api/v1/auth/...        the token API
  /api/v1/me              the claims of the token that it is called with
  /.well-known/jwks.json  the public keys
  /openapi.json, /        the API's document, as JSON and as a page

Settings, from the environment:
  ADDR           where to listen [127.0.0.1:3000]
  KEY_FILE       the signing key, PKCS#8 PEM; made if it is not there [token_service.pem]
  DEMO_EMAIL     the e-mail address of the demo account [ada@example.org]
  DEMO_PASSWORD  its password [made and printed at each start]
  PUBLIC_URL     what links begin with [http and the host of the request]
  ISSUER         the name in the tokens, `iss` [token_service]
  AUDIENCE       whom they are for, `aud` [api://demo]

Everything but the signing key is kept in memory.";

pub(crate) struct Settings {
    pub(crate) address: SocketAddr,
    pub(crate) key_file: PathBuf,
    pub(crate) demo_email: String,
    pub(crate) demo_password: String,
    pub(crate) public_url: Option<String>,
    pub(crate) issuer: String,
    pub(crate) audience: String,
}

impl Settings {
    /// `None` where help is wanted.
    pub(crate) fn read() -> Result<Option<Self>, String> {
        for argument in env::args_os().skip(1) {
            match argument.to_str() {
                Some("--help" | "-h") => return Ok(None),
                _ => return Err(format!("unknown argument {argument:?}")),
            }
        }
        let or = |name, default: &str| {
            setting(name).map(|value| value.unwrap_or_else(|| default.to_owned()))
        };
        let demo_password = match setting("DEMO_PASSWORD")? {
            Some(password) => password,
            None => random_password()?,
        };
        Ok(Some(Self {
            address: or("ADDR", "127.0.0.1:3000")?
                .parse()
                .map_err(|_| "ADDR is no address and port, such as 127.0.0.1:3000")?,
            key_file: or("KEY_FILE", "token_service.pem")?.into(),
            demo_email: or("DEMO_EMAIL", "ada@example.org")?,
            demo_password,
            public_url: setting("PUBLIC_URL")?,
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

fn random_password() -> Result<String, String> {
    let mut bytes = [0; 12];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "the system has no random bytes")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
