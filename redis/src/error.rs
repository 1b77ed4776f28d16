//! Errors: at start, and of a single command.

use std::{error::Error, io, sync::Arc};

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use tower_bearer::revocation::StoreError;

/// Why a [`RedisStore`](super::RedisStore) could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not a Redis URL.
    #[error(
        "not a Redis URL: expected redis:// or rediss://, for example redis://user:password@host:6379/0"
    )]
    Url,
    /// The URL begins like that of sentinels, but cannot be read.
    #[error(
        "not a URL of sentinels: expected redis-sentinel:// or rediss-sentinel://, for example redis-sentinel://user:password@host:26379,host:26379/master-name"
    )]
    SentinelUrl,
    /// The URL begins like that of a cluster, but cannot be read, or has a database. A cluster has only database 0.
    #[error(
        "not a URL of a Redis Cluster: expected redis-cluster:// or rediss-cluster:// without a database, for example redis-cluster://user:password@host:6379,host:6379"
    )]
    ClusterUrl,
    /// The URL has a fragment. Other clients take `#insecure` as permission not to check certificates.
    #[error(
        "the Redis URL has a fragment: expected none; write # in a password as %23 (the check of certificates cannot be turned off)"
    )]
    UrlFragment,
    /// The root certificates cannot be read. The string names what was expected.
    #[error("the root certificates cannot be read: expected a {0}")]
    Roots(&'static str),
    /// The certificate of the client or its private key cannot be read, or they do not belong together.
    #[error(
        "the client certificate cannot be used: expected PEM text with a certificate and its chain, and the private key of that certificate"
    )]
    ClientCertificate,
    /// TLS cannot be set up.
    #[error(
        "TLS cannot be set up: expected TLS 1.2 or 1.3 from the provider aws-lc-rs; check how rustls is built"
    )]
    Tls,
    /// A setting is outside its limits. The string names the setting and the limits.
    #[error("a setting is out of range: expected {0}")]
    OutOfRange(&'static str),
    /// `maxmemory-policy` has this value, which evicts revocations when memory is short. Set it to `noeviction`.
    #[error(
        "Redis evicts revocations: expected maxmemory-policy noeviction, got {0}; set it, and seed Redis again"
    )]
    Evicting(String),
    /// Redis has evicted keys since its statistics began, and revocations may be among them. The fleet is unavailable
    /// until it is seeded again. Before that, set `maxmemory-policy` to `noeviction`, and run `CONFIG RESETSTAT`. If the
    /// server forbids `CONFIG`, restart it or fail over to a replica.
    #[error(
        "Redis has evicted keys, perhaps revocations: run CONFIG RESETSTAT or restart Redis, and seed Redis again"
    )]
    Evicted,
    /// The server is a replica, which may lack revocations.
    #[error("the Redis server is a replica: expected a master; connect to its master")]
    Replica,
    /// The server cannot be reached, has an untrusted certificate, does not know the user, or does not answer as Redis
    /// does.
    #[error("the Redis server cannot be used: see the source of this error")]
    Unavailable(#[source] StoreError),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Redis has no generation.
    #[error(
        "Redis has no generation: it was not initialised, or has lost its data; seed it, or initialise it if nothing was revoked"
    )]
    NotSeeded,
    /// Redis has fewer or other revocations than it had before.
    #[error("Redis has lost revocations that it had acknowledged: seed it again")]
    WentBackwards,
    /// Redis has a value that this crate did not write.
    #[error(
        "a value in Redis was not written by this crate: use a prefix that no other program uses"
    )]
    Unreadable,
    /// The store is not connected. The source is the failure of the last attempt to connect.
    #[error("not connected to Redis: the store reconnects in the background")]
    Down(#[source] Option<Arc<Failure>>),
    /// The task of the store has ended.
    #[error("the background task of this RedisStore has ended: connect a new store")]
    Stopped,
    #[error(
        "Redis did not answer in time: expected an answer within `RedisBuilder::with_command_timeout`"
    )]
    TimedOut,
    #[error(
        "Redis evicts revocations: expected maxmemory-policy noeviction; set it, and seed Redis again"
    )]
    Evicting(String),
    #[error(
        "Redis has evicted keys, perhaps revocations: run CONFIG RESETSTAT or restart Redis, and seed Redis again"
    )]
    Evicted,
    #[error("the Redis server has become a replica: expected a master; connect to its master")]
    Replica,
    /// No sentinel and no cluster node has answered usefully. The source is the failure of the last one.
    #[error(
        "no sentinel and no node of the cluster has named the master: check their addresses, their password and the name of the master"
    )]
    NoMaster(#[source] Option<Arc<Failure>>),
    #[error("the sentinels or the cluster name another master: the store connects to it")]
    Replaced,
    /// The entries are on two nodes.
    #[error(
        "the hash slot of this fleet is being moved to another node: lookups are answered when that has ended"
    )]
    Migrating,
    #[error(
        "too few replicas have confirmed the revocation: expected as many as `RedisBuilder::with_wait` names"
    )]
    TooFewReplicas,
    /// The data in this process is older than the staleness bound.
    #[error(
        "the deny-list is older than its staleness bound: see `DenyList::task` for why it is not up to date"
    )]
    OutOfDate,
    /// Redis was seeded, or another server has replaced it, while the command ran.
    #[error("Redis was seeded or replaced during the command: repeat the call")]
    Overtaken,
    /// Another process seeds, or Redis lost the data meanwhile.
    #[error("seeding was interrupted by another process or by a loss of data: seed Redis again")]
    SeedInterrupted,
    /// Redis may have lost used proofs, and such a proof may still be young enough.
    #[error(
        "Redis was initialised, restarted or replaced less than one proof window ago: proofs are accepted when the window is over"
    )]
    ReplayWindow,
    #[error("the operating system returned no random bytes: allow the process to call getrandom")]
    NoRandomness,
    #[error("cannot connect to Redis: check the host, the port and the network")]
    Dial(#[source] io::Error),
    /// The certificate is not trusted, or the server does not use TLS.
    #[error(
        "the TLS connection to Redis failed: expected a server with TLS and a trusted certificate for the host of the URL"
    )]
    Tls(#[source] io::Error),
    /// The connection failed during a command. Its text comes from the operating system or from TLS.
    #[error(
        "the connection to Redis failed during a command: the store reconnects in the background"
    )]
    Wire(#[source] RedisError),
    #[error("Redis answered with an error: see the source of this error")]
    Redis(#[source] Refusal),
    /// The replicas could not be asked. The source is the reason.
    #[error(
        "the replicas could not be asked whether they have the revocation: see the source of this error; repeat the call"
    )]
    Unconfirmed(#[source] Arc<Failure>),
}

/// The parts of an error answer of Redis that are kept: its kind and its code, such as `NOPERM`. The text is not kept,
/// because it may repeat what was sent. For example, Redis answers an unknown `HELLO` with a text that has the
/// password.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub(super) struct Refusal {
    kind: ErrorKind,
    /// `None` if redis-rs does not give a code, or the code does not have the form of one.
    code: Option<String>,
}

impl Refusal {
    fn of(error: RedisError) -> Self {
        let is_code = |code: &String| {
            (1..=16).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase())
        };
        let (kind, code) = (error.kind(), error.code().map(str::to_owned));
        // The error of a pipeline has no code; the errors of its commands have one.
        let of_commands = || Some(error.into_server_errors()?.first()?.1.code().to_owned());
        let code = code.or_else(of_commands).filter(is_code);
        Self { kind, code }
    }

    fn text(&self) -> String {
        match &self.code {
            Some(code) => format!("{code} ({:?})", self.kind),
            None => format!("{:?}", self.kind),
        }
    }
}

impl Failure {
    pub(super) fn dial(error: io::Error) -> Self {
        if is_of_tls(&error) { Self::Tls(error) } else { Self::Dial(error) }
    }

    /// Returns a fixed name for logs.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::NotSeeded => "not_seeded",
            Self::WentBackwards => "went_backwards",
            Self::Unreadable => "unreadable",
            Self::Down(Some(reason)) => reason.kind(),
            Self::Down(None) => "down",
            Self::Stopped => "stopped",
            Self::TimedOut => "timed_out",
            Self::Evicting(_) => "evicting",
            Self::Evicted => "evicted",
            Self::Replica => "replica",
            Self::NoMaster(_) => "no_master",
            Self::Replaced => "replaced",
            Self::Migrating => "migrating",
            Self::TooFewReplicas => "too_few_replicas",
            Self::OutOfDate => "out_of_date",
            Self::Overtaken => "overtaken",
            Self::SeedInterrupted => "seed_interrupted",
            Self::ReplayWindow => "replay_window",
            Self::NoRandomness => "no_randomness",
            Self::Dial(_) => "dial",
            Self::Tls(_) => "tls",
            Self::Wire(_) => "wire",
            Self::Redis(_) => "redis",
            Self::Unconfirmed(_) => "unconfirmed",
        }
    }

    /// Returns whether the failure may end without a change of settings.
    pub(super) fn may_be_temporary(&self) -> bool {
        match self {
            Self::Dial(_) | Self::TimedOut | Self::Replaced | Self::Migrating => true,
            Self::NoMaster(reason) => {
                reason.as_ref().is_none_or(|reason| reason.may_be_temporary())
            }
            Self::Wire(error) => !io_error(error).is_some_and(is_of_tls),
            Self::Redis(Refusal { kind: ErrorKind::Server(kind), .. }) => {
                use ServerErrorKind::{BusyLoading, ClusterDown, Moved, TryAgain};
                matches!(kind, BusyLoading | ClusterDown | Moved | TryAgain)
            }
            _ => false,
        }
    }

    /// Returns whether another server may be the master now.
    pub(super) fn may_be_at_another_server(&self) -> bool {
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly};
        let Self::Redis(Refusal { kind: ErrorKind::Server(kind), .. }) = self else { return false };
        matches!(kind, BusyLoading | ClusterDown | MasterDown | Moved | ReadOnly)
    }
}

fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<rustls::Error>())
}

fn io_error(error: &RedisError) -> Option<&io::Error> {
    // redis-rs returns the `Arc` in which it keeps the error, not the error itself.
    let kept: &Arc<dyn Error + Send + Sync> = error.source()?.downcast_ref()?;
    kept.downcast_ref()
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            _ if error.is_timeout() => Self::TimedOut,
            ErrorKind::Io => Self::Wire(error),
            _ => Self::Redis(Refusal::of(error)),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TimedOut => Self::timed_out(),
            other => Self::of_kind(other.kind(), other),
        }
    }
}

impl From<Failure> for ConnectError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Evicting(policy) => Self::Evicting(policy),
            Failure::Evicted => Self::Evicted,
            Failure::Replica => Self::Replica,
            other => Self::Unavailable(other.into()),
        }
    }
}
