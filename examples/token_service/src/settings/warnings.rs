//! What is insecure about the settings. `serve` and `check` print these warnings; none prevents a start.

use std::{env, fs, net::IpAddr, os::unix::fs::PermissionsExt as _, path::Path};

use super::Settings;

/// A staleness bound above this is longer than most clients wait for a revocation to matter.
const LONG_BOUND: u64 = 300;

/// `RemoteJwks` of tower-bearer fetches keys again after an hour at the latest.
const SHORT_PUBLICATION: u64 = 2 * 60 * 60;

/// One sentence for each problem: what is insecure, and what to set.
pub(crate) fn of(settings: &Settings) -> Vec<String> {
    let checks = [
        demo,
        issuer,
        public_url,
        proof_url,
        proxy,
        key_dir,
        publication,
        sqlite_replicas,
        database_tls,
        redis_tls,
        bound,
    ];
    checks.into_iter().filter_map(|check| check(settings)).collect()
}

fn demo(settings: &Settings) -> Option<String> {
    settings.demo.as_ref()?;
    let is_local =
        settings.address.ip().is_loopback() && settings.database_url.starts_with("sqlite:");
    (!is_local).then(|| {
        "the demo account exists: set DEMO=0, and add accounts with `token_service account add`"
            .to_owned()
    })
}

fn issuer(settings: &Settings) -> Option<String> {
    let rest = settings.issuer.strip_prefix("http://")?;
    (!is_loopback(host(rest))).then(|| {
        "ISSUER is an http URL: an attacker on the network can replace its keys; use https"
            .to_owned()
    })
}

fn public_url(settings: &Settings) -> Option<String> {
    let rest = settings.public_url.as_ref()?.strip_prefix("http://")?;
    (!is_loopback(host(rest))).then(|| {
        "PUBLIC_URL is an http URL: an attacker on the network can read tokens; use https"
            .to_owned()
    })
}

fn proof_url(settings: &Settings) -> Option<String> {
    let is_known = settings.public_url.is_some() || settings.address.ip().is_loopback();
    (settings.allows_dpop && !is_known).then(|| {
        format!(
            "DPOP is allowed and PUBLIC_URL is not set: only proofs for http://{} are accepted",
            settings.address
        )
    })
}

fn proxy(settings: &Settings) -> Option<String> {
    let url = settings.public_url.as_ref().and_then(|url| url.split_once("://"));
    let is_public = url.is_some_and(|(_, rest)| !is_loopback(host(rest)))
        || !settings.address.ip().is_loopback();
    (settings.trusted_proxy_header.is_none() && is_public).then(|| {
        "TRUSTED_PROXY_HEADER is not set: behind a proxy all clients have its address, and one \
         client that guesses passwords can lock out all others"
            .to_owned()
    })
}

fn key_dir(settings: &Settings) -> Option<String> {
    let path = &settings.key_dir;
    is_open_to_others(path)
        .then(|| format!("other users can open KEY_DIR {}: run chmod go-rwx on it", path.display()))
}

fn publication(settings: &Settings) -> Option<String> {
    (settings.key_publication.as_secs() < SHORT_PUBLICATION).then(|| {
        format!(
            "KEY_PUBLICATION is under {SHORT_PUBLICATION} seconds: services that fetch keys once an \
             hour may reject the tokens of a new key"
        )
    })
}

fn sqlite_replicas(settings: &Settings) -> Option<String> {
    let is_sqlite = settings.database_url.starts_with("sqlite:");
    (is_sqlite && settings.redis_url.is_some()).then(|| {
        "REDIS_URL is set with SQLite: replicas on several machines need PostgreSQL".to_owned()
    })
}

fn database_tls(settings: &Settings) -> Option<String> {
    let (_, rest) = settings.database_url.split_once("://")?;
    if !settings.database_url.starts_with("postgres") {
        return None;
    }
    let or_environment =
        |parameter, name| parameter_of(rest, parameter).or_else(|| env::var(name).ok());
    let host = match host(rest) {
        "" => or_environment("host", "PGHOST").unwrap_or_default(),
        host => host.to_owned(),
    };
    // A socket in the file system, or the default, which is local.
    let is_local = host.is_empty() || host.starts_with(['/', '%']) || is_loopback(&host);
    let mode = or_environment("sslmode", "PGSSLMODE").unwrap_or_default();
    (!is_local && mode != "verify-full").then(|| {
        "DATABASE_URL does not verify the server: add sslmode=verify-full and sslrootcert"
            .to_owned()
    })
}

fn redis_tls(settings: &Settings) -> Option<String> {
    let (scheme, rest) = settings.redis_url.as_ref()?.split_once("://")?;
    let is_plain = matches!(scheme, "redis" | "redis-sentinel" | "redis-cluster");
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (_, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    (is_plain && !hosts.split(',').all(|one| is_loopback(host(one)))).then(|| {
        "REDIS_URL is not encrypted: an attacker on the network can hide revocations; use rediss://, \
         rediss-sentinel:// or rediss-cluster://"
            .to_owned()
    })
}

fn bound(settings: &Settings) -> Option<String> {
    (settings.revocation_bound.as_secs() > LONG_BOUND).then(|| {
        format!(
            "REVOCATION_BOUND is over {LONG_BOUND} seconds: another replica may accept a revoked \
             token for that long"
        )
    })
}

/// Whether the group or other users have a permission. `false` if it does not exist yet.
fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// The host of a URL without its scheme, without user and port.
fn host(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn parameter_of(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// The URL without user, password and parameters that may be secret.
pub(crate) fn without_secrets(url: &str) -> String {
    const SHOWN: [&str; 4] = ["host", "mode", "sslmode", "port"];
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let mut shown = match address.split_once("://") {
        None => address.to_owned(),
        Some((scheme, rest)) => {
            let (_, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
            format!("{scheme}://{rest}")
        }
    };
    let mut separator = '?';
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if SHOWN.contains(&name) {
            shown.push_str(&format!("{separator}{name}={value}"));
            separator = '&';
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::values::Values;

    fn warnings(settings: &[(&'static str, &str)]) -> Vec<String> {
        of(&Settings::from_values(&Values::of(settings)).unwrap_or_else(|error| panic!("{error}")))
    }

    #[test]
    fn the_defaults_cause_no_warning() {
        assert_eq!(warnings(&[]), Vec::<String>::new());
    }

    #[test]
    fn each_insecure_setting_causes_its_warning() {
        const PG: &str = "postgres://user:secret@db.example/tokens";
        for (settings, part) in [
            (
                &[("ADDR", "0.0.0.0:80"), ("TRUSTED_PROXY_HEADER", "X-Real-IP")][..],
                "the demo account",
            ),
            (&[("ADDR", "0.0.0.0:80"), ("DEMO", "0")], "TRUSTED_PROXY_HEADER"),
            (&[("ADDR", "[2001:db8::1]:80"), ("DEMO", "0")], "TRUSTED_PROXY_HEADER"),
            (&[("DEMO", "1"), ("DATABASE_URL", "postgres:///tokens")], "the demo account"),
            (&[("ISSUER", "http://issuer.example")], "ISSUER"),
            (&[("PUBLIC_URL", "https://api.example")], "TRUSTED_PROXY_HEADER"),
            (
                &[("PUBLIC_URL", "http://api.example"), ("TRUSTED_PROXY_HEADER", "X-Real-IP")],
                "PUBLIC_URL",
            ),
            (
                &[
                    ("ADDR", "0.0.0.0:80"),
                    ("DEMO", "0"),
                    ("TRUSTED_PROXY_HEADER", "X-Real-IP"),
                    ("DPOP", "allowed"),
                ],
                "only proofs for http://0.0.0.0:80",
            ),
            (&[("KEY_PUBLICATION", "7199")], "KEY_PUBLICATION"),
            (&[("DEMO", "0"), ("REDIS_URL", "redis://127.0.0.1")], "SQLite"),
            (&[("DATABASE_URL", PG)], "sslmode=verify-full"),
            (&[("DATABASE_URL", "postgres:///tokens?host=db.example")], "sslmode=verify-full"),
            (
                &[
                    ("DATABASE_URL", "postgres:///tokens"),
                    ("REDIS_URL", "redis://:pw@cache.example"),
                ],
                "rediss://",
            ),
            (
                &[
                    ("DATABASE_URL", "postgres:///tokens"),
                    ("REDIS_URL", "redis-sentinel://:pw@127.0.0.1,cache.example/m"),
                ],
                "rediss-sentinel://",
            ),
            (&[("REVOCATION_BOUND", "301")], "REVOCATION_BOUND"),
            (&[("KEY_DIR", "/")], "chmod go-rwx"),
        ] {
            let found = warnings(settings);
            assert_eq!(found.len(), 1, "{settings:?}: {found:?}");
            assert!(found[0].contains(part) && !found[0].contains("secret"), "{found:?}");
        }
    }

    #[test]
    fn secure_settings_cause_no_warning() {
        for settings in [
            &[("DATABASE_URL", "postgres://u:p@db.example/tokens?sslmode=verify-full")][..],
            &[("DATABASE_URL", "postgres://u:p@[::1]:5432/tokens")],
            &[("DATABASE_URL", "postgres:///tokens?host=/run/postgresql")],
            &[("DATABASE_URL", "postgres:///tokens"), ("REDIS_URL", "rediss://cache.example")],
            &[
                ("DATABASE_URL", "postgres:///tokens"),
                ("REDIS_URL", "redis-cluster://u:p@127.0.0.1:7001,[::1]:7002"),
            ],
            &[("ISSUER", "http://localhost:3000/auth")],
            &[("ISSUER", "https://issuer.example")],
            &[("PUBLIC_URL", "http://localhost:8080")],
            &[("KEY_PUBLICATION", "7200"), ("ADDR", "[::1]:80"), ("DPOP", "allowed")],
            &[("PUBLIC_URL", "https://api.example"), ("TRUSTED_PROXY_HEADER", "X-Real-IP")],
        ] {
            assert_eq!(warnings(settings), Vec::<String>::new(), "{settings:?}");
        }
    }

    #[test]
    fn a_shown_url_has_no_user_password_or_other_parameters() {
        for (url, shown) in [
            (
                "postgres://ada:pa@ss@db.example:1/t?sslmode=require&password=x",
                "postgres://db.example:1/t?sslmode=require",
            ),
            ("redis://:secret@cache.example/0", "redis://cache.example/0"),
            ("redis-sentinel://:x@a,b/m?sentinel_password=y", "redis-sentinel://a,b/m"),
            ("sqlite:tokens.db?mode=rw", "sqlite:tokens.db?mode=rw"),
            (
                "postgres:///t?host=/run&user=ada&sslmode=disable",
                "postgres:///t?host=/run&sslmode=disable",
            ),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
