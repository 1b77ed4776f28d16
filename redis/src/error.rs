//! What can go wrong: at start, and with a question.

use std::{error::Error, fmt, io, sync::Arc};

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use tower_bearer::revocation::StoreError;

/// Why there is no [`RedisStore`](super::RedisStore).
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none of a Redis.
    Url,
    /// The URL has a fragment. Other clients take `#insecure` for leave not to look at certificates.
    UrlFragment,
    /// Certificates of authorities that cannot be read. The string says what was expected.
    Roots(&'static str),
    /// The certificate of the client or its private key cannot be read, or they do not belong together.
    ClientCertificate,
    /// TLS cannot be set up.
    Tls,
    /// A setting outside of what it may be; the string names setting and limits.
    OutOfRange(&'static str),
    /// `maxmemory-policy` is this one, which forgets revocations when memory is short: set it to `noeviction`.
    Evicting(String),
    /// Redis has evicted keys since its statistics began, perhaps revocations. The fleet is unavailable until it is
    /// seeded again, after `CONFIG RESETSTAT` or a restart with `maxmemory-policy` at `noeviction`.
    Evicted,
    /// The server is a replica; revocations could be missing there.
    Replica,
    /// The server cannot be reached, has no certificate that is trusted, does not know the user, or does not answer as
    /// Redis does.
    Unavailable(StoreError),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str(
                "not a Redis URL: expected redis:// or rediss://, such as redis://user:password@host:6379/0",
            ),
            Self::UrlFragment => f.write_str(
                "a URL with a fragment: in a password write # as %23, and certificates are always looked at",
            ),
            Self::Roots(expected) => write!(f, "unreadable roots: expected a {expected}"),
            Self::ClientCertificate => f.write_str(
                "unreadable client certificate: expected a certificate, with its chain, and the private key that \
                 belongs to it, in PEM",
            ),
            Self::Tls => f.write_str("TLS cannot be set up"),
            Self::OutOfRange(setting) => write!(f, "out of range: {setting}"),
            Self::Evicting(policy) => write!(
                f,
                "the maxmemory-policy of Redis is {policy}, which forgets revocations: set it to noeviction, and seed it again"
            ),
            Self::Evicted => f.write_str(
                "Redis has evicted keys, perhaps revocations: after CONFIG RESETSTAT, seed it again",
            ),
            Self::Replica => f.write_str("the Redis server is a replica: connect to its master"),
            Self::Unavailable(_) => f.write_str("cannot use the Redis server"),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(error) => error.source(),
            _ => None,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no generation.
    NotSeeded,
    /// Fewer revocations are there than have been.
    WentBackwards,
    /// Something in Redis is none of ours.
    Unreadable,
    /// No connection at the moment, and why the last attempt to make one failed.
    Down(Option<Arc<Failure>>),
    TimedOut,
    Evicting(String),
    Evicted,
    Replica,
    TooFewReplicas,
    /// What is held in this process is older than the bound.
    OutOfDate,
    /// Redis was seeded, or another server has replaced it, while it was asked.
    Overtaken,
    /// Somebody else seeds, or the data was lost meanwhile.
    SeedInterrupted,
    NoRandomness,
    Dial(io::Error),
    /// Certificates, or what is no TLS at all.
    Tls(io::Error),
    /// The connection failed under a question. Its text is the operating system's or that of TLS.
    Wire(RedisError),
    Redis(Refusal),
    /// Replicas were not asked, and why.
    Unconfirmed(Arc<Failure>),
}

/// What is kept of an error that Redis answered with: its code, as `NOPERM`, and never its text, which may repeat what
/// it was sent. To a `HELLO` that is unknown it answers with the password.
#[derive(Debug)]
pub(super) struct Refusal {
    kind: ErrorKind,
    /// `None` where redis-rs does not tell it, or it is not one.
    code: Option<String>,
}

impl Refusal {
    fn of(error: RedisError) -> Self {
        let is_code = |code: &String| {
            (1..=16).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase())
        };
        let (kind, code) = (error.kind(), error.code().map(str::to_owned));
        // The error of a pipeline has no code of its own: its commands have.
        let of_commands = || Some(error.into_server_errors()?.first()?.1.code().to_owned());
        let code = code.or_else(of_commands).filter(is_code);
        Self { kind, code }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{code} ({:?})", self.kind),
            None => write!(f, "{:?}", self.kind),
        }
    }
}

impl Error for Refusal {}

impl Failure {
    pub(super) fn dial(error: io::Error) -> Self {
        if is_of_tls(&error) { Self::Tls(error) } else { Self::Dial(error) }
    }

    /// A fixed name for logs.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::NotSeeded => "not_seeded",
            Self::WentBackwards => "went_backwards",
            Self::Unreadable => "unreadable",
            Self::Down(Some(reason)) => reason.kind(),
            Self::Down(None) => "down",
            Self::TimedOut => "timed_out",
            Self::Evicting(_) => "evicting",
            Self::Evicted => "evicted",
            Self::Replica => "replica",
            Self::TooFewReplicas => "too_few_replicas",
            Self::OutOfDate => "out_of_date",
            Self::Overtaken => "overtaken",
            Self::SeedInterrupted => "seed_interrupted",
            Self::NoRandomness => "no_randomness",
            Self::Dial(_) => "dial",
            Self::Tls(_) => "tls",
            Self::Wire(_) => "wire",
            Self::Redis(_) => "redis",
            Self::Unconfirmed(_) => "unconfirmed",
        }
    }

    /// Whether it may pass without a setting being changed.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::Dial(_) | Self::TimedOut => true,
            Self::Wire(error) => !io_error(error).is_some_and(is_of_tls),
            Self::Redis(Refusal { kind: ErrorKind::Server(kind), .. }) => {
                matches!(kind, ServerErrorKind::BusyLoading | ServerErrorKind::TryAgain)
            }
            _ => false,
        }
    }
}

fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<rustls::Error>())
}

fn io_error(error: &RedisError) -> Option<&io::Error> {
    // redis-rs shows it in the box that it keeps it in.
    let kept: &Arc<dyn Error + Send + Sync> = error.source()?.downcast_ref()?;
    kept.downcast_ref()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSeeded => "Redis is empty: it was not initialised, or has lost its data",
            Self::WentBackwards => "Redis has lost revocations that it had acknowledged",
            Self::Unreadable => "what is in Redis was not written by this crate",
            Self::Down(_) => "there is no connection to Redis",
            Self::TimedOut => "Redis did not answer in time",
            Self::Evicting(_) => "the maxmemory-policy of Redis forgets revocations",
            Self::Evicted => "Redis has evicted keys, perhaps revocations",
            Self::Replica => "the Redis server has become a replica",
            Self::TooFewReplicas => "too few replicas have confirmed the revocation",
            Self::OutOfDate => "the deny-list is out of date",
            Self::Overtaken => "Redis was seeded or replaced while it was asked",
            Self::SeedInterrupted => "seeding was interrupted by another or by a loss of data",
            Self::NoRandomness => "the operating system has no random bytes",
            Self::Dial(_) => "cannot connect to Redis",
            Self::Tls(_) => "there is no TLS with Redis that can be trusted",
            Self::Wire(_) => "the connection to Redis failed",
            Self::Redis(_) => "Redis answered with an error",
            Self::Unconfirmed(_) => "no replica could be asked whether it has the revocation",
        })
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Down(Some(reason)) | Self::Unconfirmed(reason) => Some(&**reason),
            Self::Dial(error) | Self::Tls(error) => Some(error),
            Self::Wire(error) => Some(error),
            Self::Redis(refusal) => Some(refusal),
            _ => None,
        }
    }
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
