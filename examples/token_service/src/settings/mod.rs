//! The settings of the operator, and what is insecure about them.

pub(crate) mod table;
pub(crate) mod values;
pub(crate) mod warnings;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use axum::http::HeaderName;
use http_server::Limits;
use tower_bearer_issuing::{check_new_password, scopes::ScopeSet};
use tower_bearer_sql::SqlStoreOptions;

use self::values::Values;
use crate::{failure::WrongSettings, log::LogFilter};

const DAY: u64 = 24 * 60 * 60;
/// The issuer takes at most a century.
const MOST_DAYS: u64 = 36_500;

pub(crate) struct Settings {
    pub(crate) address: SocketAddr,
    pub(crate) database_url: String,
    /// Connections and timeouts of the database.
    pub(crate) database: SqlStoreOptions,
    pub(crate) key_dir: PathBuf,
    pub(crate) key_file: PathBuf,
    pub(crate) key_publication: Duration,
    /// `None`: there is no demo account.
    pub(crate) demo: Option<Demo>,
    pub(crate) audit_retention: Duration,
    pub(crate) refresh_lifetime: Duration,
    pub(crate) max_private_lifetime: Duration,
    pub(crate) max_rotation_overlap: Duration,
    pub(crate) allows_private_token_management: bool,
    pub(crate) refresh_reuse_grace: Duration,
    pub(crate) revocation_bound: Duration,
    pub(crate) redis_url: Option<String>,
    pub(crate) public_url: Option<String>,
    pub(crate) allows_dpop: bool,
    pub(crate) trusted_proxy_header: Option<HeaderName>,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    /// `None`: the name of the issuer.
    pub(crate) client_id: Option<String>,
    /// `None`: those that the token API requires.
    pub(crate) supported_scopes: Option<ScopeSet>,
    pub(crate) ready_needs_shared: bool,
    pub(crate) limits: Limits,
    pub(crate) log: LogFilter,
}

pub(crate) struct Demo {
    pub(crate) email: String,
    /// `None`: each start makes a new one, which is printed.
    pub(crate) password: Option<String>,
}

impl Settings {
    pub(crate) fn from_values(values: &Values) -> Result<Self, WrongSettings> {
        Self::parse(values).map_err(WrongSettings)
    }

    fn parse(values: &Values) -> Result<Self, String> {
        let optional = |name| values.text(name).map(ToOwned::to_owned);
        Ok(Self {
            address: values.parsed(
                "ADDR",
                "an address and port, such as 127.0.0.1:3000",
                |_: &SocketAddr| true,
            )?,
            database_url: with_scheme(
                "DATABASE_URL",
                values.text_or_default("DATABASE_URL"),
                &["sqlite:", "postgres:", "postgresql:"],
            )?,
            database: database(values)?,
            key_dir: values.text_or_default("KEY_DIR").into(),
            key_file: values.text_or_default("KEY_FILE").into(),
            key_publication: seconds(values, "KEY_PUBLICATION")?,
            demo: demo(values)?,
            audit_retention: days(values, "AUDIT_RETENTION_DAYS")?,
            refresh_lifetime: seconds_from(1, values, "REFRESH_LIFETIME")?,
            max_private_lifetime: days(values, "MAX_PRIVATE_TOKEN_DAYS")?,
            max_rotation_overlap: seconds_from(0, values, "MAX_ROTATION_OVERLAP")?,
            allows_private_token_management: values
                .switch("ALLOW_PRIVATE_TOKEN_MANAGEMENT")?
                .unwrap_or(false),
            refresh_reuse_grace: values
                .parsed(
                    "REFRESH_REUSE_GRACE",
                    "a whole number of seconds from 0 to 30",
                    |seconds| *seconds <= 30,
                )
                .map(Duration::from_secs)?,
            revocation_bound: seconds(values, "REVOCATION_BOUND")?,
            redis_url: optional("REDIS_URL"),
            public_url: optional("PUBLIC_URL")
                .map(|url| with_scheme("PUBLIC_URL", url, &["http:", "https:"]))
                .transpose()?,
            allows_dpop: allows_dpop(values)?,
            trusted_proxy_header: optional("TRUSTED_PROXY_HEADER")
                .map(|name| name.parse())
                .transpose()
                .map_err(
                    |_| "TRUSTED_PROXY_HEADER is not a header name, such as X-Forwarded-For",
                )?,
            issuer: values.text_or_default("ISSUER"),
            audience: values.text_or_default("AUDIENCE"),
            client_id: client_id(values)?,
            supported_scopes: supported_scopes(values)?,
            ready_needs_shared: values.switch("READY_NEEDS_SHARED")?.unwrap_or(false),
            limits: limits(values)?,
            log: values.parsed(
                "LOG",
                "a level with levels of targets, such as warn,tower_bearer=info",
                |_| true,
            )?,
        })
    }
}

/// The demo is for a first try. So it is off as soon as the operator names a database.
fn demo(values: &Values) -> Result<Option<Demo>, String> {
    let is_on = values.switch("DEMO")?.unwrap_or_else(|| values.text("DATABASE_URL").is_none());
    if !is_on {
        return Ok(None);
    }
    let email = values.text_or_default("DEMO_EMAIL");
    let password = values.text("DEMO_PASSWORD").map(ToOwned::to_owned);
    if let Some(password) = &password {
        check_new_password(password, &email).map_err(|error| format!("DEMO_PASSWORD: {error}"))?;
    }
    Ok(Some(Demo { email, password }))
}

fn allows_dpop(values: &Values) -> Result<bool, String> {
    match values.text_or_default("DPOP").as_str() {
        "off" => Ok(false),
        "allowed" => Ok(true),
        _ => Err("DPOP is not off or allowed".to_owned()),
    }
}

fn database(values: &Values) -> Result<SqlStoreOptions, String> {
    let count = |name| match values.text(name) {
        Some(_) => values.parsed(name, "a number from 1 to 1000", is_count).map(Some),
        None => Ok(None),
    };
    let wait = positive_seconds(values, "DATABASE_WAIT_TIMEOUT")?;
    let mut options = SqlStoreOptions::new().with_wait_timeout(wait);
    options = options.with_notifications(values.switch("DATABASE_NOTIFICATIONS")?.unwrap_or(false));
    if let Some(connections) = count("DATABASE_CONNECTIONS")? {
        options = options.with_max_connections(connections);
    }
    if let Some(connections) = count("DATABASE_LOOKUP_CONNECTIONS")? {
        options = options.with_lookup_connections(connections);
    }
    if let Some(connections) = count("DATABASE_REVOCATION_CONNECTIONS")? {
        options = options.with_revocation_connections(connections);
    }
    Ok(options)
}

fn is_count(count: &u32) -> bool {
    (1..=1000).contains(count)
}

fn limits(values: &Values) -> Result<Limits, String> {
    Ok(Limits {
        connections: values.parsed("MAX_CONNECTIONS", "a number of at least 1", |n| *n > 0)?,
        first_request: positive_seconds(values, "FIRST_REQUEST_TIMEOUT")?,
        idle: positive_seconds(values, "IDLE_TIMEOUT")?,
        body_pause: positive_seconds(values, "BODY_TIMEOUT")?,
        request: positive_seconds(values, "REQUEST_TIMEOUT")?,
        shutdown: seconds(values, "SHUTDOWN_TIMEOUT")?,
    })
}

fn client_id(values: &Values) -> Result<Option<String>, String> {
    let is_visible = |id: &str| id.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    match values.text("CLIENT_ID") {
        Some(id) if !is_visible(id) => Err("CLIENT_ID is not visible ASCII characters".to_owned()),
        id => Ok(id.map(ToOwned::to_owned)),
    }
}

fn supported_scopes(values: &Values) -> Result<Option<ScopeSet>, String> {
    let scopes = values.text("SUPPORTED_SCOPES").map(ScopeSet::from_text).transpose();
    scopes.map_err(|error| format!("SUPPORTED_SCOPES is not scopes separated by spaces: {error}"))
}

fn days(values: &Values, name: &str) -> Result<Duration, String> {
    let expected = format!("a number of days from 1 to {MOST_DAYS}");
    let days = values.parsed(name, &expected, |days| (1..=MOST_DAYS).contains(days))?;
    Ok(Duration::from_secs(days * DAY))
}

fn seconds_from(least: u64, values: &Values, name: &str) -> Result<Duration, String> {
    let range = least..=MOST_DAYS * DAY;
    let expected = format!("a whole number of seconds from {least} to {}", range.end());
    values.parsed(name, &expected, |seconds| range.contains(seconds)).map(Duration::from_secs)
}

fn seconds(values: &Values, name: &str) -> Result<Duration, String> {
    let expected = "a whole number of seconds, such as 30";
    values
        .parsed::<u32>(name, expected, |_| true)
        .map(|seconds| Duration::from_secs(seconds.into()))
}

fn positive_seconds(values: &Values, name: &str) -> Result<Duration, String> {
    let expected = "a whole number of seconds of at least 1, such as 30";
    let seconds = values.parsed::<u32>(name, expected, |seconds| *seconds > 0)?;
    Ok(Duration::from_secs(seconds.into()))
}

/// The error does not repeat the URL, because the URL may contain a password.
fn with_scheme(name: &str, url: String, schemes: &[&str]) -> Result<String, String> {
    match schemes.iter().any(|scheme| url.starts_with(scheme)) {
        true => Ok(url),
        false => Err(format!("{name} does not begin with {}", schemes.join(" or "))),
    }
}
