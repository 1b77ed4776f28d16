//! Every setting, for `--help`, for `check` and for the README.

/// One setting.
pub(crate) struct Setting {
    /// Its name in the environment. In a file the name is in lower case.
    pub(crate) name: &'static str,
    /// Its value if it is absent, or in words what happens then.
    pub(crate) default: &'static str,
    pub(crate) text: &'static str,
    pub(crate) shown: Shown,
}

/// How `check` shows a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Whole,
    /// A URL that may contain a password.
    Url,
    Secret,
}

const fn setting(name: &'static str, default: &'static str, text: &'static str) -> Setting {
    Setting { name, default, text, shown: Shown::Whole }
}

impl Setting {
    const fn shown_as(mut self, shown: Shown) -> Self {
        self.shown = shown;
        self
    }

    /// Its name in a file.
    pub(crate) fn key(&self) -> String {
        self.name.to_lowercase()
    }
}

pub(crate) const SETTINGS: &[Setting] = &[
    setting("ADDR", "127.0.0.1:3000", "where to listen"),
    setting(
        "DATABASE_URL",
        "sqlite:token_service.db",
        "`sqlite:FILE`, `sqlite::memory:` or `postgres://...`",
    )
    .shown_as(Shown::Url),
    setting(
        "DATABASE_CONNECTIONS",
        "2 with PostgreSQL, 10 with SQLite",
        "how many connections there are at most for everything but lookups and revocations",
    ),
    setting(
        "DATABASE_LOOKUP_CONNECTIONS",
        "1 with PostgreSQL, 4 with SQLite",
        "how many more connections are only for lookups",
    ),
    setting(
        "DATABASE_REVOCATION_CONNECTIONS",
        "1",
        "how many more connections are only for revocations; only PostgreSQL has them",
    ),
    setting(
        "DATABASE_NOTIFICATIONS",
        "0",
        "1: PostgreSQL notifies this replica of the revocations of other replicas, so that it sees \
         them at once and not within a second; needs one more connection",
    ),
    setting(
        "DATABASE_WAIT_TIMEOUT",
        "5",
        "seconds for which a request waits for a connection, and then for locks",
    ),
    setting(
        "KEY_DIR",
        "token_service_keys",
        "the directory of the signing keys, which all replicas share; the first replica creates \
         the first key in it",
    ),
    setting(
        "KEY_FILE",
        "token_service.pem",
        "the signing key of an earlier version; it is copied into `KEY_DIR` if the database knows \
         no key yet; if `KEY_DIR` has another key then, the start fails",
    ),
    setting(
        "KEY_PUBLICATION",
        "7200",
        "seconds for which a new key is published before it signs; at least twice the time after \
         which other services fetch the keys again",
    ),
    setting("ISSUER", "token_service", "the `iss` of the tokens"),
    setting("AUDIENCE", "api://demo", "the `aud` of the tokens"),
    setting("CLIENT_ID", "the value of ISSUER", "the `client_id` of the tokens"),
    setting(
        "SUPPORTED_SCOPES",
        "introspect and tokens:admin",
        "the scopes in the metadata of the issuer, separated by spaces; no effect on tokens",
    ),
    setting(
        "REFRESH_LIFETIME",
        "86400",
        "seconds for which a refresh token is valid; each refresh gives a new one",
    ),
    setting(
        "MAX_PRIVATE_TOKEN_DAYS",
        "366",
        "how many days away the expiry of a private token may be; if you lower it, earlier tokens \
         that live longer are rejected",
    ),
    setting(
        "MAX_ROTATION_OVERLAP",
        "86400",
        "seconds for which a private token may stay valid after its rotation; with 0 it ends at once",
    ),
    setting(
        "ALLOW_PRIVATE_TOKEN_MANAGEMENT",
        "0",
        "1: private tokens with the scope private_tokens manage the private tokens of their owner",
    ),
    setting(
        "PUBLIC_URL",
        "http and the host of the request",
        "the beginning of links, http:// or https://",
    ),
    setting(
        "DPOP",
        "off",
        "allowed: a client that sends a DPoP proof (RFC 9449) gets tokens that are bound to its \
         key; proofs name URLs that begin with PUBLIC_URL, or else with http and ADDR; with \
         REDIS_URL all replicas together accept a proof once, otherwise each replica; off: proofs \
         have no effect",
    ),
    setting(
        "TRUSTED_PROXY_HEADER",
        "none: the address of the connection",
        "the header in which the proxy sends the address of the client, such as X-Forwarded-For; \
         the last address counts",
    ),
    setting(
        "REDIS_URL",
        "none",
        "Redis or Valkey through which replicas share revocations at once; also with \
         rediss-sentinel:// or rediss-cluster://",
    )
    .shown_as(Shown::Url),
    setting(
        "REVOCATION_BOUND",
        "30",
        "seconds after which a replica sees a revocation of another replica at the latest, also if \
         it cannot read the changes of the database, which it does each second",
    ),
    setting(
        "REFRESH_REUSE_GRACE",
        "0",
        "seconds, up to 30: a refresh token that is sent again within this time gets the same new \
         refresh token, if that is not used yet; for clients that lose answers; with 0 a second \
         use ends the session",
    ),
    setting(
        "AUDIT_RETENTION_DAYS",
        "180",
        "how long audit events stay in the database: log-ins, revocations, changes of accounts",
    ),
    setting(
        "DEMO",
        "1 without DATABASE_URL, otherwise 0",
        "1: each start adds the demo account and sets its password; 0: there is no demo account",
    ),
    setting("DEMO_EMAIL", "ada@example.org", "the e-mail address of the demo account"),
    setting(
        "DEMO_PASSWORD",
        "a new one at each start, which is printed",
        "the password of the demo account, at least 8 characters; it is not printed; if it is not \
         the same as before, all sessions and private tokens of the account end",
    )
    .shown_as(Shown::Secret),
    setting(
        "READY_NEEDS_SHARED",
        "0",
        "1: /readyz answers 503 while the database or Redis is down, so that all replicas leave \
         the load balancer together",
    ),
    setting("MAX_CONNECTIONS", "900", "how many connections of clients may be open"),
    setting(
        "FIRST_REQUEST_TIMEOUT",
        "10",
        "seconds within which a new connection must send the headers of its first request",
    ),
    setting(
        "IDLE_TIMEOUT",
        "75",
        "seconds after which a connection without a request is closed; longer than the idle \
         timeout of the proxy in front",
    ),
    setting("BODY_TIMEOUT", "10", "seconds for which the body of a request may pause"),
    setting("REQUEST_TIMEOUT", "60", "seconds within which a response must begin; otherwise 408"),
    setting(
        "SHUTDOWN_TIMEOUT",
        "10",
        "seconds that running requests may take after SIGTERM or ctrl-c",
    ),
    setting(
        "LOG",
        "warn,tower_bearer=info",
        "what is logged on standard error: a level (off, error, warn, info, debug, trace), and \
         levels of targets; audit events have the target tower_bearer::audit and the level info; \
         other libraries are never logged below info",
    ),
];

/// The list of settings for `--help`.
pub(crate) fn help() -> String {
    let mut help = String::from(
        "Settings, from the environment, or in lower case from the TOML file of --config.\n\
         The environment takes precedence.\n",
    );
    for Setting { name, default, text, .. } in SETTINGS {
        help.push_str(&format!("\n  {name} [{default}]"));
        let mut length = usize::MAX;
        for word in text.replace('`', "").split(' ') {
            if length.saturating_add(word.len()) > 90 {
                help.push_str("\n     ");
                length = 5;
            }
            help.push(' ');
            help.push_str(word);
            length += word.len() + 1;
        }
    }
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = include_str!("../../README.md");

    #[test]
    fn the_readme_lists_every_setting_as_help_does() {
        let rows: Vec<String> = SETTINGS.iter().map(row).collect();
        let listed = README.lines().filter(|line| {
            let name = line.strip_prefix("| `").and_then(|rest| rest.split('`').next());
            name.is_some_and(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        });
        let listed: Vec<&str> = listed.collect();
        assert_eq!(listed, rows, "the table should be\n{}", rows.join("\n"));
    }

    /// The default is in backquotes if it is a value.
    fn row(Setting { name, default, text, .. }: &Setting) -> String {
        match default.contains(' ') || *default == "none" {
            true => format!("| `{name}` | {default} | {text} |"),
            false => format!("| `{name}` | `{default}` | {text} |"),
        }
    }
}
