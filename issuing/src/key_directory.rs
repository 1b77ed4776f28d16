//! Signing keys in a directory that all replicas of a service share.

mod commands;
mod error;
mod files;
mod replica;
#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use self::commands::{CompromisedKey, KeyState, ListedKey, RetiredKey};
pub use self::error::{FileProblem, KeyDirectoryError};
pub use self::replica::DirectoryKeys;
use crate::TokenIssuer;
use tower_bearer::{
    Algorithm, UnixTime,
    claims::{Clock, SystemClock},
};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Sums of times that are not longer cannot overflow.
const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// Private keys as PEM files (PKCS#8) in one directory, for any number of replicas. A store has a record of each key.
///
/// 1. **The store decides which key signs** ([`KeyRecord`](crate::store::KeyRecord)). A file whose key has no record is
///    ignored, so it is harmless to copy a file into the directory. The time and the name of a file do not matter. The
///    name must end in `.pem` and must not begin with a dot. The files that this type writes are named after the
///    [thumbprint](tower_bearer::Key::thumbprint) of their key, which is also its `kid`.
/// 2. **[`open`](Self::open) is for replicas.** It reads the keys, starts a background task that reads them again every
///    [10 seconds](Self::with_refresh_interval), and gives the [`SigningKeys`](crate::SigningKeys) of the issuer.
/// 3. **[`add`](Self::add), [`list`](Self::list), [`retire`](Self::retire) and
///    [`retire_compromised`](Self::retire_compromised) are for operators.** They work while replicas run.
/// 4. **A new key is published first, and signs [two hours](Self::with_publication) later.** By then every verifier has
///    fetched it. The very first key signs at once.
/// 5. **A key stays published until the last token that it signed has expired.** Its file is needed until then. A
///    replica does not start if a needed file is missing, and does not create another key then.
/// 6. **If a file cannot be read, or the store does not answer, a running replica keeps its last good keys.** The task
///    reports it in its health.
/// 7. **Other users must not be able to read a key file or write to the directory.** Such files are not used. The group
///    may read them, because Kubernetes mounts secrets so, but not write. Symbolic links are followed, and the
///    permissions of their targets count. Permissions are checked on Unix only.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer_issuing::{KeyDirectory, KeyState, store::MemoryTokenStore};
///
/// let path = std::env::temp_dir().join(format!("key-directory-{}", std::process::id()));
/// let store = MemoryTokenStore::new(); // a service uses `SqlStore`
/// let directory = KeyDirectory::new(&path, "https://issuer.example");
/// // A replica. It creates the first key. Pass `keys.signing_keys()` to `TokenIssuer::builder`.
/// let keys = directory.clone().open(store.clone()).await?;
/// assert!(keys.task().health().is_ok());
///
/// // An operator.
/// let next = directory.add(&store).await?;
/// let states: Vec<KeyState> = directory.list(&store).await?.iter().map(|key| key.state).collect();
/// assert_eq!(states, [KeyState::Signs, KeyState::Announced]);
/// directory.retire(&store, &next.thumbprint).await?;
/// # std::fs::remove_dir_all(&path)?;
/// # Ok(()) }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
#[derive(Clone)]
#[must_use]
pub struct KeyDirectory {
    path: Arc<Path>,
    issuer: Arc<str>,
    clock: Arc<dyn Clock>,
    algorithm: Algorithm,
    refresh_interval: Duration,
    publication: Duration,
    longest_lifetime: Duration,
    earlier_key_file: Option<PathBuf>,
    allows_readable_by_others: bool,
    /// Records what operators change.
    auditor: Option<TokenIssuer>,
}

impl KeyDirectory {
    /// The keys of the issuer with the name `issuer` (`iss`), in the directory `path`. Every replica and every operator
    /// must use the same directory, store and name.
    pub fn new(path: impl AsRef<Path>, issuer: impl Into<Arc<str>>) -> Self {
        Self {
            path: path.as_ref().into(),
            issuer: issuer.into(),
            clock: Arc::new(SystemClock::default()),
            algorithm: Algorithm::ES256,
            refresh_interval: Duration::from_secs(10),
            publication: 2 * HOUR,
            longest_lifetime: 366 * 24 * HOUR,
            earlier_key_file: None,
            allows_readable_by_others: false,
            auditor: None,
        }
    }

    /// Sets the clock. Default: [`SystemClock`]. Give the issuer and the store the same clock.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the algorithm of new keys: ES256, EdDSA or RS256. Default: ES256. It has no effect on keys that exist.
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Sets how often a replica reads the records and the files. Default: every 10 seconds. Values below 1 second are
    /// set to 1 second, and values above 12 hours to 12 hours: a replica must prolong the use of a key within that
    /// time.
    ///
    /// A replica signs with a key for up to this long after the key was retired. After a compromised key was replaced,
    /// replicas that have not read the new key yet reject its tokens for up to this long.
    pub fn with_refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval.clamp(Duration::from_secs(1), 12 * HOUR);
        self
    }

    /// Sets how long a new key is published before it signs. Default: 2 hours. It is never less than twice the
    /// [refresh interval](Self::with_refresh_interval) of replicas. Values above 100 years are set to 100 years.
    ///
    /// Choose at least twice the longest time after which a verifier of your tokens fetches the key set again.
    /// `RemoteJwks` of `tower-bearer` fetches it after one hour at the latest. It has no effect on the very first key,
    /// which signs at once.
    pub fn with_publication(mut self, publication: Duration) -> Self {
        self.publication = publication.min(CENTURY);
        self
    }

    /// Sets the longest lifetime of a token that the issuer signs. Default: 366 days, the default maximum of private
    /// tokens. `TokenIssuerBuilder::build` fails if a lifetime of the issuer is longer.
    /// Values above 100 years are set to 100 years.
    ///
    /// A key stays published for this long after its last use.
    pub fn with_longest_lifetime(mut self, lifetime: Duration) -> Self {
        self.longest_lifetime = lifetime.min(CENTURY);
        self
    }

    /// Sets a key file that the service used before it had a key directory. Default: none.
    ///
    /// If the store has no record of any key and the directory has no key, [`open`](Self::open) copies the file into
    /// the directory, and its key signs at once. So tokens that it signed stay valid. If the directory has another key,
    /// `open` fails, because only one of the two has signed until now. It has no effect later, or if the file does not
    /// exist. The original file is not changed. Delete it afterwards.
    pub fn with_earlier_key_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.earlier_key_file = Some(file.into());
        self
    }

    /// Uses key files that other users can read, and a directory to which the group or other users can write. Default:
    /// such files are not used.
    ///
    /// **Whoever can read a key file can sign any token.** Use this only where permissions have no meaning, for example
    /// on a volume that is mounted into one container only.
    pub fn allow_readable_by_others(mut self) -> Self {
        self.allows_readable_by_others = true;
        self
    }

    /// Records in the audit log of this issuer which keys [`add`](Self::add), [`retire`](Self::retire) and
    /// [`retire_compromised`](Self::retire_compromised) have added, retired or revoked. Default: nothing is recorded.
    ///
    /// It is for a command line: build an issuer on the same store, with the
    /// [sink](crate::TokenIssuerBuilder::with_audit) and [a name](TokenIssuer::by_operator), and any key, because it
    /// signs nothing. Call [`flush_audit`](TokenIssuer::flush_audit) at the end. It has no effect on
    /// [`open`](Self::open): replicas record nothing when they begin or cease to use a key.
    pub fn with_audit(mut self, issuer: TokenIssuer) -> Self {
        self.auditor = Some(issuer);
        self
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn now(&self) -> UnixTime {
        self.clock.now()
    }

    fn publication(&self) -> Duration {
        self.publication.max(2 * self.refresh_interval)
    }
}

impl fmt::Debug for KeyDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyDirectory")
            .field("path", &self.path)
            .field("issuer", &self.issuer)
            .field("algorithm", &self.algorithm)
            .field("refresh_interval", &self.refresh_interval)
            .field("publication", &self.publication())
            .field("longest_lifetime", &self.longest_lifetime)
            .field("earlier_key_file", &self.earlier_key_file)
            .field("allows_readable_by_others", &self.allows_readable_by_others)
            .field("auditor", &self.auditor)
            .finish_non_exhaustive()
    }
}
