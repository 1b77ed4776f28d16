//! The settings, from the environment.

use std::{env, error::Error, time::Duration};

use axum::http::HeaderName;
use tower_bearer::{
    Algorithm, ConfigError, Issuer, Key, KeySet, KeySource, ProtectedResource,
    client_certificate::{CertificateSource, TrustedProxies},
    dpop::{Dpop, NonceKey},
    jwks::RemoteJwks,
    require::RequiredAuthentication,
    status_list::StatusLists,
};

use crate::demo::Demo;

/// A setting that is present and not empty.
pub(crate) fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A setting that is true or false.
fn is_set(name: &str) -> Result<bool, String> {
    match setting(name).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(format!("{name} is neither true nor false")),
    }
}

pub(crate) fn max_token_length() -> Result<usize, String> {
    let Some(text) = setting("MAX_TOKEN_LENGTH") else { return Ok(8 * 1024) };
    let length = text.parse().ok().filter(|length| (1..=1024 * 1024).contains(length));
    length.ok_or_else(|| "MAX_TOKEN_LENGTH is not a number of bytes from 1 to 1048576".to_owned())
}

/// The identifier of this API, and the scopes that its metadata document lists.
pub(crate) fn resource() -> Result<Option<ProtectedResource>, String> {
    let Some(identifier) = setting("RESOURCE") else { return Ok(None) };
    let resource = ProtectedResource::new(&identifier).and_then(|it| it.with_scopes(["admin"]));
    resource.map(Some).map_err(|error| format!("RESOURCE: {error}"))
}

/// Where the client certificates of requests come from.
pub(crate) fn certificates() -> Result<Option<CertificateSource>, String> {
    let Some(header) = setting("CLIENT_CERT_HEADER") else { return Ok(None) };
    let header = header.parse::<HeaderName>();
    let header = header.map_err(|_| "CLIENT_CERT_HEADER is not the name of a header")?;
    let proxies = match setting("TRUSTED_PROXIES") {
        None => TrustedProxies::loopback(),
        Some(proxies) => TrustedProxies::new(proxies.split(',').map(str::trim))
            .map_err(|error| format!("TRUSTED_PROXIES: {error}"))?,
    };
    Ok(Some(CertificateSource::header(proxies).with_header_name(header)))
}

/// How tokens that are bound to a key are accepted.
pub(crate) struct DpopSettings {
    is_required: bool,
    nonces: Option<NonceKey>,
    public_urls: Option<String>,
}

impl DpopSettings {
    /// `None`: such tokens are rejected.
    pub(crate) fn from_environment() -> Result<Option<Self>, String> {
        let nonces = nonce_key()?;
        let is_required = match setting("DPOP").as_deref() {
            None if nonces.is_some() => return Err("DPOP_NONCE has no effect without DPOP".into()),
            None => return Ok(None),
            Some("allowed") => false,
            Some("required") => true,
            Some(_) => return Err("DPOP is neither allowed nor required".into()),
        };
        let settings = Self { is_required, nonces, public_urls: setting("PUBLIC_URL") };
        if settings.public_urls.is_some() {
            // An error comes before the service listens.
            let _ = settings.dpop("http://127.0.0.1")?;
        }
        Ok(Some(settings))
    }

    /// `own_url`: the public URL if the settings have none.
    pub(crate) fn dpop(&self, own_url: &str) -> Result<Dpop, String> {
        let urls = self.public_urls.as_deref().unwrap_or(own_url).split(',').map(str::trim);
        let mut dpop = Dpop::new(urls).map_err(|error| format!("PUBLIC_URL: {error}"))?;
        if self.is_required {
            dpop = dpop.required();
        }
        if let Some(key) = &self.nonces {
            dpop = dpop.with_nonces(key.clone());
        }
        Ok(dpop)
    }
}

/// The key of nonces, if they are required.
fn nonce_key() -> Result<Option<NonceKey>, String> {
    let key = setting("DPOP_NONCE_KEY");
    match setting("DPOP_NONCE").as_deref() {
        None if key.is_some() => Err("DPOP_NONCE_KEY has no effect without DPOP_NONCE".into()),
        None => Ok(None),
        Some("required") => {
            let key = key.map_or_else(NonceKey::random, |key| NonceKey::from_base64url(&key));
            key.map(Some).map_err(|error| format!("DPOP_NONCE_KEY: {error}"))
        }
        Some(_) => Err("DPOP_NONCE is not the word required".into()),
    }
}

/// The authentication of the user that `GET /transfer` requires.
pub(crate) fn step_up() -> Result<RequiredAuthentication, String> {
    let acr_values = acr_values();
    if acr_values.is_empty() {
        return Err("STEP_UP_ACR has no value: expected values of acr with spaces between".into());
    }
    let max_age = setting("STEP_UP_MAX_AGE").unwrap_or_else(|| "300".to_owned());
    let max_age = max_age.parse().map_err(|_| "STEP_UP_MAX_AGE is not a number of seconds")?;
    let required = RequiredAuthentication::new().with_acr_values(acr_values);
    let required = required.map_err(|error| format!("STEP_UP_ACR: {error}"))?;
    Ok(required.with_max_age(Duration::from_secs(max_age)))
}

pub(crate) fn acr_values() -> Vec<String> {
    let values = setting("STEP_UP_ACR").unwrap_or_else(|| "urn:example:mfa".to_owned());
    values.split_whitespace().map(ToOwned::to_owned).collect()
}

fn rsa_algorithms() -> Result<Option<Vec<Algorithm>>, String> {
    let Some(text) = setting("RSA_ALGORITHMS") else { return Ok(None) };
    let names = text.split(',').map(|name| name.trim().parse::<Algorithm>());
    let algorithms = names.collect::<Result<_, _>>();
    algorithms.map(Some).map_err(|error| format!("RSA_ALGORITHMS: {error}"))
}

/// The issuer whose tokens are accepted.
pub(crate) struct Trusted {
    pub(crate) issuer: Issuer,
    /// Keys that are fetched over the network.
    pub(crate) remote: Option<RemoteJwks>,
    pub(crate) demo: Option<Demo>,
}

impl Trusted {
    /// Reads the settings of the issuer. Without `AUDIENCE`, the audience is the resource.
    pub(crate) fn from_environment(
        resource: Option<&ProtectedResource>,
    ) -> Result<Self, Box<dyn Error>> {
        let resource = resource.map(|resource| resource.identifier().to_owned());
        let audience = setting("AUDIENCE").or(resource);
        let sources = ["OIDC_ISSUER", "JWKS_URL", "JWKS_FILE", "HS256_SECRET"];
        let mut given = sources.into_iter().filter_map(|name| Some((name, setting(name)?)));
        let (Some((source, value)), other) = (given.next(), given.next()) else {
            let demo = Demo::new(audience)?;
            return Ok(Self { issuer: demo.issuer(), remote: None, demo: Some(demo) });
        };
        if let Some((other, _)) = other {
            return Err(format!("{source} and {other} exclude each other").into());
        }

        let needed = |name| setting(name).ok_or_else(|| format!("{name} is not set"));
        let name = match source {
            "OIDC_ISSUER" => setting("ISSUER").unwrap_or_else(|| value.clone()),
            _ => needed("ISSUER")?,
        };
        let tenants = setting("TENANTS");
        if tenants.is_none() && name.contains(['{', '}']) {
            return Err("ISSUER has braces: expected the full name, or TENANTS with it".into());
        }
        let remote = match source {
            "OIDC_ISSUER" => Some(with_settings(RemoteJwks::discover_at(&value, name.as_str())?)?),
            "JWKS_URL" => Some(with_settings(RemoteJwks::new(&value)?)?),
            _ => None,
        };
        let keys: KeySource = match &remote {
            Some(keys) => keys.clone().into(),
            None if source == "JWKS_FILE" => keys_from_file(&value)?.into(),
            None => Key::hs256(value)?.into(),
        };
        let issuer = match tenants {
            Some(tenants) => {
                Issuer::multi_tenant(name, keys).tenants(tenants.split(',').map(str::trim))
            }
            None => Issuer::new(name, keys),
        };
        let mut issuer = issuer.audience(audience.ok_or("AUDIENCE is not set")?);
        if is_set("ALLOW_NULL_CLAIMS")? {
            issuer = issuer.allow_null_claims();
        }
        if is_set("INTEGER_SUBJECT")? {
            issuer = issuer.with_integer_subject();
        }
        if let Some(prefix) = setting("STATUS_LISTS") {
            issuer = issuer.with_status_lists(StatusLists::new(&prefix)?);
        }
        Ok(Self { issuer, remote, demo: None })
    }
}

fn with_settings(mut keys: RemoteJwks) -> Result<RemoteJwks, String> {
    if let Some(algorithms) = rsa_algorithms()? {
        keys = keys.with_rsa_algorithms(algorithms);
    }
    if is_set("REFETCH_ON_BAD_SIGNATURE")? {
        keys = keys.refetch_on_bad_signature();
    }
    Ok(keys)
}

fn keys_from_file(path: &str) -> Result<KeySet, ConfigError> {
    let keys = KeySet::from_jwks_file(path)?;
    for refused in keys.refused() {
        eprintln!("warning: {path}: a key cannot be used: {refused}");
    }
    Ok(keys)
}
