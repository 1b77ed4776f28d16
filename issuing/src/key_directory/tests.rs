use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{DirectoryKeys, FileProblem, KeyDirectory, KeyDirectoryError, KeyState};
use crate::{
    ClientInfo, Credentials, ListQuery, LoginError, PrivateTokenError, RefreshError, SessionQuery,
    SigningKeys, TokenIssuer,
    administration::{OperatorError, OperatorTarget},
    audit::{AuditKind, AuditLog, AuditQuery},
    store::MemoryTokenStore,
    tests::any_store::{DAY, Everybody, ISSUER, NOW},
};
use tower_bearer::{Algorithm, ConfigError, claims::ManualClock, jws::SigningKey};

const HOUR: Duration = Duration::from_secs(3600);

/// A directory and a store for one test.
pub(super) struct Bench {
    path: PathBuf,
    pub(super) clock: ManualClock,
    pub(super) store: MemoryTokenStore,
}

impl Bench {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("key-directory-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let clock = ManualClock::at(NOW);
        let store = MemoryTokenStore::new().with_clock(clock.clone());
        Self { path, clock, store }
    }

    pub(super) fn directory(&self) -> KeyDirectory {
        KeyDirectory::new(&self.path, ISSUER).with_clock(self.clock.clone())
    }

    pub(super) async fn open(&self) -> DirectoryKeys {
        self.directory().open(self.store.clone()).await.unwrap()
    }

    fn issuer(&self, keys: &DirectoryKeys) -> TokenIssuer {
        self.issuer_with(keys.signing_keys())
    }

    fn issuer_with(&self, keys: impl Into<SigningKeys>) -> TokenIssuer {
        TokenIssuer::builder(ISSUER, "api", keys, self.store.clone(), Everybody)
            .with_audit(self.store.clone())
            .with_clock(self.clock.clone())
            .build()
            .unwrap()
    }

    /// The audit events about keys, with key and actor, the oldest first.
    async fn key_events(&self, issuer: &TokenIssuer) -> Vec<(AuditKind, String, Option<String>)> {
        issuer.flush_audit().await.unwrap();
        let page = AuditLog::list(&self.store, &AuditQuery::new(ISSUER)).await.unwrap();
        let events = page.records.into_iter().rev().map(|record| record.event);
        let about_keys = events.filter(|event| event.key.is_some());
        let text = |text: Option<Arc<str>>| text.map(|text| text.to_string());
        about_keys.map(|event| (event.kind, text(event.key).unwrap(), text(event.actor))).collect()
    }

    /// The states of all keys, in their order.
    async fn states(&self) -> Vec<KeyState> {
        let listed = self.directory().list(&self.store).await.unwrap();
        listed.iter().map(|key| key.state).collect()
    }

    /// Puts a new key into the directory, in a file that only its owner can read.
    fn write_key(&self, name: &str) -> SigningKey {
        let key = SigningKey::generate(Algorithm::ES256).unwrap();
        self.write(name, key.to_pkcs8_pem().unwrap().as_bytes());
        key
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path.join(name);
        fs::write(&path, bytes).unwrap();
        set_mode(&path, 0o600);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

/// The `kid` of the key that signs.
pub(super) fn signer(keys: &DirectoryKeys, bench: &Bench) -> Option<String> {
    let active = keys.signing_keys().active(bench.directory().now());
    active.map(|key| key.key_id().to_owned())
}

#[tokio::test]
async fn the_first_key_signs_at_once_and_the_next_after_its_publication() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let first = signer(&keys, &bench).unwrap();
    let added = bench.directory().add(&bench.store).await.unwrap();
    assert_eq!(added.signs_from, NOW + 2 * HOUR);
    assert_eq!(bench.states().await, [KeyState::Signs, KeyState::Announced]);
    bench.clock.advance(2 * HOUR - Duration::from_secs(1));
    keys.refresh().await;
    assert!(keys.signing_keys().jwks_json().contains(&*added.thumbprint));
    assert_eq!(signer(&keys, &bench), Some(first.clone()));
    bench.clock.advance(Duration::from_secs(1));
    keys.refresh().await;
    assert_eq!(signer(&keys, &bench).as_deref(), Some(&*added.thumbprint));
    assert!(keys.signing_keys().jwks_json().contains(&first));
    assert_eq!(bench.states().await, [KeyState::Verifies, KeyState::Signs]);
}

#[tokio::test]
async fn a_publication_is_not_shorter_than_two_refreshes() {
    let bench = Bench::new();
    bench.open().await;
    let directory = bench.directory().with_publication(Duration::ZERO).with_refresh_interval(HOUR);
    assert_eq!(directory.add(&bench.store).await.unwrap().signs_from, NOW + 2 * HOUR);
}

#[tokio::test]
async fn the_only_signer_is_not_retired() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let first = signer(&keys, &bench).unwrap();
    let retire = async |key: &str| bench.directory().retire(&bench.store, key).await;
    let error = retire(&first).await.unwrap_err();
    assert!(matches!(error, KeyDirectoryError::OnlySigner { next: None }), "{error:?}");
    let next = bench.directory().add(&bench.store).await.unwrap();
    let error = retire(&first).await.unwrap_err();
    let starts = KeyDirectoryError::OnlySigner { next: Some(next.signs_from) };
    assert_eq!(error.to_string(), starts.to_string());

    // An announced key has signed nothing.
    assert!(retire(&next.thumbprint).await.unwrap().is_file_deleted);
    let next = bench.directory().add(&bench.store).await.unwrap();
    bench.clock.advance(2 * HOUR);
    keys.refresh().await;
    let retired = retire(&format!("{first}.pem")).await.unwrap();
    assert!(!retired.is_file_deleted && retired.record.needed_until > NOW + 366 * DAY);
    assert_eq!(retire(&first).await.unwrap(), retired, "again");
    bench.clock.advance(368 * DAY);
    assert!(retire(&first).await.unwrap().is_file_deleted);
    keys.refresh().await;
    assert_eq!(signer(&keys, &bench).as_deref(), Some(&*next.thumbprint));
    let error = retire("unknown").await.unwrap_err();
    assert!(error.to_string().contains(&first), "the error lists the keys: {error}");
}

#[tokio::test]
async fn the_key_before_a_retired_key_signs_again() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let first = signer(&keys, &bench).unwrap();
    let next = bench.directory().add(&bench.store).await.unwrap().thumbprint;
    bench.clock.advance(2 * HOUR);
    keys.refresh().await;
    let token = bench
        .issuer(&keys)
        .log_in(&Credentials::new("ada", "right"), &ClientInfo::new())
        .await
        .unwrap();
    bench.directory().retire(&bench.store, &next).await.unwrap();
    keys.refresh().await;
    assert_eq!(signer(&keys, &bench), Some(first));
    let issuer = bench.issuer(&keys);
    assert!(issuer.authenticator().authenticate(&token.tokens.access_token).await.is_ok());
    assert_eq!(bench.states().await, [KeyState::Signs, KeyState::Verifies]);
}

#[tokio::test]
async fn an_announced_key_replaces_a_compromised_one_at_once() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let first = signer(&keys, &bench).unwrap();
    let next = bench.directory().add(&bench.store).await.unwrap().thumbprint;
    let retired = bench.directory().retire_compromised(&bench.store, &first).await.unwrap();
    assert_eq!(retired.replacement.unwrap().thumbprint, next);
    keys.refresh().await;
    assert_eq!(signer(&keys, &bench).as_deref(), Some(&*next));
    assert!(!keys.signing_keys().jwks_json().contains(&first));
    assert_eq!(fs::read_dir(&bench.path).unwrap().count(), 1, "no unused file is left");
    // The key that signs now is not changed.
    let again = bench.directory().retire_compromised(&bench.store, &first).await.unwrap();
    assert_eq!(again.replacement, None);
    let unknown = bench.directory().retire_compromised(&bench.store, "unknown").await.unwrap_err();
    assert!(matches!(unknown, KeyDirectoryError::UnknownKey { .. }), "{unknown:?}");
    assert_eq!(fs::read_dir(&bench.path).unwrap().count(), 1);
}

#[tokio::test]
async fn a_key_is_revoked_even_if_no_file_can_be_written() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let first = signer(&keys, &bench).unwrap();
    let unusable = bench.path.join(format!("{first}.pem"));
    let directory = KeyDirectory::new(unusable, ISSUER).with_clock(bench.clock.clone());
    let error = directory.retire_compromised(&bench.store, &first).await.unwrap_err();
    assert!(matches!(error, KeyDirectoryError::Io { .. }), "{error:?}");
    assert_eq!(bench.states().await, [KeyState::Compromised]);
    keys.refresh().await;
    assert_eq!(keys.task().health().last_error, Some("no_signing_key"));
    assert_eq!(signer(&keys, &bench), None);
    assert!(keys.signing_keys().handle().snapshot().is_empty());
    let error = bench.directory().open(bench.store.clone()).await.unwrap_err();
    assert!(matches!(error, KeyDirectoryError::NoSigningKey), "{error:?}");
    let added = bench.directory().add(&bench.store).await.unwrap();
    keys.refresh().await;
    assert_eq!(signer(&keys, &bench).as_deref(), Some(&*added.thumbprint), "it signs at once");
}

#[tokio::test]
async fn an_old_key_that_is_not_published_does_not_replace_a_compromised_one() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let next = bench.directory().add(&bench.store).await.unwrap().thumbprint;
    let unwritable = bench.directory().with_algorithm(Algorithm::HS256);
    bench.clock.advance(2 * HOUR);
    keys.refresh().await;
    bench.clock.advance(400 * DAY);
    keys.refresh().await;
    assert_eq!(bench.states().await, [KeyState::Expired, KeyState::Signs]);
    let error = unwritable.retire_compromised(&bench.store, &next).await.unwrap_err();
    assert!(matches!(error, KeyDirectoryError::Key(_)), "{error:?}");
    assert!(bench.states().await.contains(&KeyState::Compromised));
}

#[tokio::test]
async fn a_published_key_is_left_if_no_new_key_can_be_written() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let first = signer(&keys, &bench).unwrap();
    let next = bench.directory().add(&bench.store).await.unwrap().thumbprint;
    bench.clock.advance(2 * HOUR);
    keys.refresh().await;
    let unwritable = bench.directory().with_algorithm(Algorithm::HS256);
    let retired = unwritable.retire_compromised(&bench.store, &next).await.unwrap();
    assert_eq!(retired.replacement, None);
    keys.refresh().await;
    assert_eq!(signer(&keys, &bench), Some(first));
}

#[tokio::test]
async fn the_longest_durations_do_not_overflow() {
    let bench = Bench::new();
    let longest = || {
        bench
            .directory()
            .with_refresh_interval(Duration::MAX)
            .with_publication(Duration::MAX)
            .with_longest_lifetime(Duration::MAX)
    };
    let keys = longest().open(bench.store.clone()).await.unwrap();
    let first = signer(&keys, &bench).unwrap();
    let added = longest().add(&bench.store).await.unwrap();
    assert!(added.signs_from > NOW + 36_500 * DAY);
    longest().retire_compromised(&bench.store, &first).await.unwrap();
    keys.refresh().await;
    assert_eq!(signer(&keys, &bench).as_deref(), Some(&*added.thumbprint));
    assert!(
        bench.directory().with_refresh_interval(12 * HOUR).open(bench.store.clone()).await.is_ok()
    );
}

#[tokio::test]
async fn a_key_without_a_record_neither_signs_nor_verifies() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let first = signer(&keys, &bench).unwrap();
    let planted = bench.write_key("planted.pem");
    #[cfg(unix)]
    std::os::unix::fs::symlink("planted.pem", bench.path.join("0.pem")).unwrap();
    keys.refresh().await;
    let keys_now = [keys, bench.open().await];
    for keys in keys_now {
        assert_eq!(signer(&keys, &bench).as_ref(), Some(&first));
        assert!(!keys.signing_keys().jwks_json().contains(planted.key_id()));
        assert_eq!(keys.signing_keys().handle().snapshot().len(), 1);
        assert!(keys.task().health().is_ok(), "the file is harmless");
    }
    assert!(bench.states().await.contains(&KeyState::Unknown));
}

#[tokio::test]
async fn a_bad_file_keeps_the_last_good_keys() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let first = signer(&keys, &bench).unwrap();
    let file = bench.path.join(format!("{first}.pem"));
    let good = fs::read(&file).unwrap();
    let huge = vec![b'\n'; 70_000];
    let bad: [(&[u8], &str); 3] = [
        (&good[..good.len() / 2], "key_file_malformed"),
        (b"", "key_file_malformed"),
        (&huge, "key_file_unreadable"),
    ];
    for (bytes, kind) in bad {
        fs::write(&file, bytes).unwrap();
        keys.refresh().await;
        assert_eq!(signer(&keys, &bench).as_ref(), Some(&first));
        assert_eq!(keys.signing_keys().handle().snapshot().len(), 1);
        let health = keys.task().health();
        assert!(health.last_error == Some("key_file_missing") || health.last_error == Some(kind));
        let error = bench.directory().open(bench.store.clone()).await.unwrap_err();
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    }
    fs::write(&file, good).unwrap();
    // A folder and a file that is not a key are reported, and the keys are used.
    fs::create_dir(bench.path.join("folder.pem")).unwrap();
    keys.refresh().await;
    assert_eq!(keys.task().health().last_error, Some("key_file_unreadable"));
    fs::remove_dir(bench.path.join("folder.pem")).unwrap();
    keys.refresh().await;
    assert!(keys.task().health().is_ok());
    // The directory itself is gone: the keys that were read before are used.
    fs::remove_dir_all(&bench.path).unwrap();
    keys.refresh().await;
    assert_eq!(signer(&keys, &bench), Some(first));
    assert!(!keys.task().health().is_ok());
}

#[tokio::test]
async fn the_first_key_is_never_guessed() {
    let bench = Bench::new();
    fs::create_dir(&bench.path).unwrap();
    let open = async || bench.directory().open(bench.store.clone()).await;
    bench.write("broken.pem", b"-----BEGIN PRIVATE KEY-----\n");
    let error = open().await.unwrap_err();
    let KeyDirectoryError::UnusableFile { problem, .. } = error else { panic!("{error:?}") };
    assert_eq!(problem, FileProblem::NotAKey);
    fs::remove_file(bench.path.join("broken.pem")).unwrap();
    let [one, _] = ["one.pem", "two.pem"].map(|name| bench.write_key(name));
    let error = open().await.unwrap_err();
    assert!(matches!(error, KeyDirectoryError::SeveralFirstKeys { count: 2, .. }), "{error:?}");
    fs::remove_file(bench.path.join("two.pem")).unwrap();
    assert_eq!(signer(&open().await.unwrap(), &bench).as_deref(), Some(one.key_id()));
}

#[cfg(unix)]
#[tokio::test]
async fn files_that_others_can_read_or_write_are_not_used() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let file = bench.path.join(format!("{}.pem", signer(&keys, &bench).unwrap()));
    let open = async || bench.directory().open(bench.store.clone()).await;
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(&bench.path), mode(&file)), (0o700, 0o600));
    for bad in [0o644, 0o604, 0o602, 0o620, 0o666] {
        set_mode(&file, bad);
        let error = open().await.unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{bad:o}: {error}");
        let allowed = bench.directory().allow_readable_by_others();
        assert!(allowed.open(bench.store.clone()).await.is_ok(), "{bad:o}");
    }
    for good in [0o600, 0o400, 0o440, 0o640] {
        set_mode(&file, good);
        assert!(open().await.is_ok(), "{good:o}");
    }
    for bad in [0o777, 0o775, 0o770, 0o702] {
        set_mode(&bench.path, bad);
        let error = open().await.unwrap_err();
        assert!(matches!(error, KeyDirectoryError::WritableByOthers { .. }), "{bad:o}: {error:?}");
    }
    // As Kubernetes mounts a secret: links to files in a directory whose name begins with a dot.
    set_mode(&bench.path, 0o755);
    let hidden = bench.path.join("..data");
    fs::create_dir(&hidden).unwrap();
    fs::rename(&file, hidden.join("key")).unwrap();
    std::os::unix::fs::symlink("..data/key", &file).unwrap();
    assert!(open().await.is_ok());
    set_mode(&hidden.join("key"), 0o644);
    assert!(open().await.is_err(), "the permissions of the target count");
}

#[tokio::test]
async fn a_replica_that_does_not_refresh_stops_signing_after_a_day() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let issuer = bench.issuer(&keys);
    let log_in =
        async || issuer.log_in(&Credentials::new("ada", "right"), &ClientInfo::new()).await;
    bench.clock.advance(DAY);
    log_in().await.unwrap();
    bench.clock.advance(Duration::from_secs(1));
    assert!(matches!(log_in().await, Err(LoginError::Unavailable(_))));
    keys.refresh().await;
    log_in().await.unwrap();
}

#[tokio::test]
async fn without_a_signing_key_nothing_is_written() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let issuer = bench.issuer(&keys);
    let (credentials, client) = (Credentials::new("ada", "right"), ClientInfo::new());
    bench.clock.advance(DAY - HOUR / 2);
    let tokens = issuer.log_in(&credentials, &client).await.unwrap().tokens;
    let access = issuer.authenticator().authenticate(&tokens.access_token).await.unwrap();
    let expiry = NOW + 30 * DAY;
    let private = issuer.create_private_token(&access, "one", expiry).await.unwrap();
    bench.clock.advance(HOUR / 2 + Duration::from_secs(1));

    let log_in = issuer.log_in(&credentials, &client).await;
    assert!(matches!(log_in, Err(LoginError::Unavailable(_))), "{log_in:?}");
    let refreshed = issuer.refresh(&tokens.refresh_token).await;
    assert!(matches!(refreshed, Err(RefreshError::Unavailable(_))), "{refreshed:?}");
    let created = issuer.create_private_token(&access, "two", expiry).await;
    assert!(matches!(created, Err(PrivateTokenError::Unavailable(_))), "{created:?}");
    let rotate = || issuer.rotate_private_token(&access, private.token.id, expiry, Duration::ZERO);
    let rotated = rotate().await;
    assert!(matches!(rotated, Err(PrivateTokenError::Unavailable(_))), "{rotated:?}");
    let sessions = issuer.list_sessions(&access, &SessionQuery::new()).await.unwrap();
    let listed = issuer.list_private_tokens(&access, &ListQuery::new()).await.unwrap();
    assert_eq!((sessions.count, listed.count), (1, 1));
    assert!(issuer.authenticator().authenticate(&private.data).await.is_ok());

    keys.refresh().await;
    issuer.refresh(&tokens.refresh_token).await.expect("the token was not used up");
    rotate().await.expect("the token was not rotated");
}

#[tokio::test]
async fn an_issuer_does_not_take_keys_that_are_published_too_shortly() {
    let bench = Bench::new();
    let open = async |directory: KeyDirectory| directory.open(bench.store.clone()).await.unwrap();
    let build = |keys: &DirectoryKeys, name: &str| {
        TokenIssuer::builder(name, "api", keys.signing_keys(), bench.store.clone(), Everybody)
            .with_clock(bench.clock.clone())
            .with_max_private_lifetime(30 * DAY)
            .build()
    };
    let keys = open(bench.directory().with_longest_lifetime(30 * DAY)).await;
    assert!(build(&keys, ISSUER).is_ok());
    assert!(matches!(build(&keys, "https://other.example"), Err(ConfigError::OutOfRange(_))));
    let keys = open(bench.directory().with_longest_lifetime(29 * DAY)).await;
    assert!(matches!(build(&keys, ISSUER), Err(ConfigError::OutOfRange(_))));
}

#[tokio::test(start_paused = true)]
async fn the_task_reads_the_directory_until_the_keys_are_dropped() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let added = bench.directory().add(&bench.store).await.unwrap();
    let signing_keys = keys.signing_keys();
    let task = keys.task().clone();
    drop(keys);
    assert!(!signing_keys.jwks_json().contains(&*added.thumbprint));
    tokio::time::advance(Duration::from_secs(10)).await;
    while !signing_keys.jwks_json().contains(&*added.thumbprint) {
        tokio::task::yield_now().await;
    }
    assert!(task.health().is_ok());
    drop(signing_keys);
    while task.health().is_running {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keys_of_every_algorithm_are_read() {
    let algorithms = [
        Algorithm::ES256,
        Algorithm::EdDSA,
        #[cfg(feature = "aws-lc-rs")]
        Algorithm::RS256,
    ];
    for algorithm in algorithms {
        let bench = Bench::new();
        let first = signer(&bench.open().await, &bench).unwrap();
        let added = bench.directory().with_algorithm(algorithm).add(&bench.store).await.unwrap();
        let keys = bench.open().await;
        let jwks = keys.signing_keys().jwks_json();
        assert!(jwks.contains(&first) && jwks.contains(&*added.thumbprint), "{algorithm:?}");
    }
    let bench = Bench::new();
    let error = bench.directory().with_algorithm(Algorithm::HS256).add(&bench.store).await;
    assert!(matches!(error, Err(KeyDirectoryError::Key(_))), "a secret cannot be published");
}

#[tokio::test]
async fn each_change_by_an_operator_is_one_audit_event() {
    let bench = Bench::new();
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let issuer = bench.issuer_with(key).by_operator("a command");
    let directory = bench.directory().with_audit(issuer.clone());
    let add = async || directory.add(&bench.store).await.unwrap().thumbprint.to_string();
    let first = add().await;
    let keys = bench.open().await;
    let second = add().await;
    bench.clock.advance(2 * HOUR);
    keys.refresh().await;
    // A repetition, and a call that fails, change nothing.
    directory.retire(&bench.store, &second).await.unwrap();
    directory.retire(&bench.store, &second).await.unwrap();
    directory.retire(&bench.store, &first).await.unwrap_err();
    directory.retire_compromised(&bench.store, "unknown").await.unwrap_err();
    let replaced = directory.retire_compromised(&bench.store, &first).await.unwrap();
    directory.retire_compromised(&bench.store, &first).await.unwrap();
    let new = replaced.replacement.unwrap().thumbprint.to_string();
    let actor = || Some("a command".to_owned());
    let expected = [
        (AuditKind::KeyAdded, first.clone(), actor()),
        (AuditKind::KeyAdded, second.clone(), actor()),
        (AuditKind::KeyRetired, second, actor()),
        (AuditKind::KeyRevoked, first, actor()),
        (AuditKind::KeyAdded, new.clone(), actor()),
    ];
    assert_eq!(bench.key_events(&issuer).await, expected);

    // An announced key that replaces another was added before. A file that cannot be written changes nothing.
    let announced = add().await;
    let unwritable = directory.clone().with_algorithm(Algorithm::HS256);
    let replaced = unwritable.retire_compromised(&bench.store, &new).await.unwrap();
    assert_eq!(*replaced.replacement.unwrap().thumbprint, *announced);
    let events = bench.key_events(&issuer).await.split_off(expected.len());
    let expected =
        [(AuditKind::KeyAdded, announced, actor()), (AuditKind::KeyRevoked, new, actor())];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn replicas_record_their_first_key_and_no_use_of_others() {
    for is_adopted in [false, true] {
        let bench = Bench::new();
        if is_adopted {
            fs::create_dir(&bench.path).unwrap();
            bench.write_key("one.pem");
        }
        let replicas = [bench.open().await, bench.open().await];
        let first = signer(&replicas[0], &bench).unwrap();
        let issuers = [0, 1, 0].map(|number: usize| bench.issuer(&replicas[number]));
        bench.directory().add(&bench.store).await.unwrap();
        bench.clock.advance(2 * HOUR);
        for keys in &replicas {
            keys.refresh().await;
            assert_ne!(signer(keys, &bench), Some(first.clone()));
        }
        bench.issuer(&bench.open().await).flush_audit().await.unwrap();
        issuers[1].flush_audit().await.unwrap();
        let events = bench.key_events(&issuers[0]).await;
        assert_eq!(events, [(AuditKind::KeyAdded, first, None)], "adopted: {is_adopted}");
    }
}

#[tokio::test]
async fn a_replica_knows_whether_it_has_a_signing_key() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let first = signer(&keys, &bench).unwrap();
    assert!(keys.has_signing_key());
    // All replicas have this problem if the database is down, so it does not count for one of them.
    bench.clock.advance(DAY + Duration::from_secs(1));
    assert!(signer(&keys, &bench).is_none() && keys.has_signing_key());
    // The new key is only in the directory of another machine.
    let elsewhere = KeyDirectory::new(bench.path.join("elsewhere"), ISSUER);
    let elsewhere = elsewhere.with_clock(bench.clock.clone());
    elsewhere.retire_compromised(&bench.store, &first).await.unwrap();
    keys.refresh().await;
    assert!(!keys.has_signing_key());
}

#[tokio::test]
async fn the_earlier_key_file_and_the_directory_must_have_one_key() {
    let bench = Bench::new();
    fs::create_dir(&bench.path).unwrap();
    let key = bench.write_key("one.pem");
    let folder = Bench::new();
    fs::create_dir(&folder.path).unwrap();
    let file = folder.path.join("earlier.pem");
    let open = async || {
        let directory = bench.directory().with_earlier_key_file(&file);
        directory.open(bench.store.clone()).await
    };
    folder.write_key("earlier.pem");
    let error = open().await.unwrap_err();
    assert!(matches!(error, KeyDirectoryError::OtherFirstKey { .. }), "{error:?}");
    for path in [&file, &bench.path] {
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    assert_eq!(bench.states().await, [KeyState::Unknown], "nothing is recorded");
    // A file that cannot be compared is no reason to guess.
    folder.write("earlier.pem", b"-----BEGIN PRIVATE KEY-----\n");
    let error = open().await.unwrap_err();
    assert!(matches!(error, KeyDirectoryError::UnusableFile { .. }), "{error:?}");
    folder.write("earlier.pem", key.to_pkcs8_pem().unwrap().as_bytes());
    assert_eq!(signer(&open().await.unwrap(), &bench).as_deref(), Some(key.key_id()));
    // Later the file has no effect.
    folder.write_key("earlier.pem");
    assert!(open().await.is_ok());
}

#[tokio::test]
async fn an_operator_does_not_revoke_a_key_that_can_sign() {
    let bench = Bench::new();
    let keys = bench.open().await;
    let issuer = bench.issuer(&keys);
    let client = ClientInfo::new();
    let log_in = async || {
        let login = issuer.log_in(&Credentials::new("ada", "right"), &client).await.unwrap();
        issuer.authenticator().authenticate(&login.tokens.access_token).await
    };
    let first = signer(&keys, &bench).unwrap();
    let next = bench.directory().add(&bench.store).await.unwrap().thumbprint.to_string();
    keys.refresh().await;
    let operator = log_in().await.unwrap();
    let revoke = async |operator, key: &str| {
        let target = OperatorTarget::Key(key.to_owned());
        issuer.revoke_for_operator(operator, &client, &target).await
    };
    for key in [&first, &next] {
        let outcome = revoke(&operator, key).await;
        assert!(matches!(outcome, Err(OperatorError::KeyCanSign)), "{key}");
    }
    // After the rotation, the first key would sign again if the next one were retired.
    bench.clock.advance(2 * HOUR);
    keys.refresh().await;
    let operator = log_in().await.unwrap();
    assert_eq!(operator.key_id(), Some(&*next));
    assert!(matches!(revoke(&operator, &first).await, Err(OperatorError::KeyCanSign)));
    bench.directory().retire(&bench.store, &first).await.unwrap();
    keys.refresh().await;
    assert!(keys.signing_keys().jwks_json().contains(&first), "it still verifies");
    assert!(revoke(&operator, &first).await.is_ok());
    assert!(log_in().await.is_ok());
}
