//! Replicas that share a key directory and a store. Every store with key records runs these tests.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{Everybody, ISSUER, NOW, refusal};
use tower_bearer::{RejectionKind, claims::ManualClock};
use tower_bearer_issuing::{
    ClientInfo, Credentials, DirectoryKeys, KeyDirectory, KeyDirectoryError, KeyState, TokenIssuer,
    TokenStore,
    audit::{AuditKind, AuditLog, AuditQuery, AuditSink},
    store::KeyStore,
};

const BOUND: Duration = Duration::from_secs(30);
const REFRESH: Duration = Duration::from_secs(10);

/// A store with everything that these tests use.
pub(crate) trait Store: TokenStore + KeyStore + AuditSink + AuditLog + Clone {}
impl<S: TokenStore + KeyStore + AuditSink + AuditLog + Clone> Store for S {}

/// Runs every test. `open` opens the database of a number: each call with a number gives a store on the same data.
pub(crate) async fn check<S: Store>(open: impl AsyncFn(usize, ManualClock) -> S) {
    macro_rules! on_separate_databases {
        ($($test:ident)+) => {
            let mut number = 0;
            $(
                number += 1;
                $test(&Bench::new(async |clock| open(number, clock).await)).await;
            )+
        };
    }
    on_separate_databases! {
        replicas_that_start_at_once_agree_on_one_key
        no_valid_token_is_rejected_while_keys_rotate
        no_token_of_a_compromised_key_is_accepted_after_the_bound
        a_replica_does_not_start_without_a_key_that_was_used
        no_first_key_is_created_for_a_database_with_tokens
        an_earlier_key_file_is_adopted_once
    }
}

struct Bench<O> {
    open: O,
    clock: ManualClock,
    directory: Folder,
}

/// A process: its store, its keys and its issuer.
struct Replica<S> {
    store: S,
    keys: DirectoryKeys,
    issuer: TokenIssuer,
}

impl<S: Store, O: AsyncFn(ManualClock) -> S> Bench<O> {
    fn new(open: O) -> Self {
        Self { open, clock: ManualClock::at(NOW), directory: Folder::new() }
    }

    fn keys(&self) -> KeyDirectory {
        KeyDirectory::new(&self.directory.0, ISSUER).with_clock(self.clock.clone())
    }

    async fn store(&self) -> S {
        (self.open)(self.clock.clone()).await
    }

    async fn try_start(&self) -> Result<Replica<S>, KeyDirectoryError> {
        let store = self.store().await;
        let keys = self.keys().open(store.clone()).await?;
        let issuer =
            TokenIssuer::builder(ISSUER, "api", keys.signing_keys(), store.clone(), Everybody)
                .with_audit(store.clone())
                .with_clock(self.clock.clone())
                .with_revocation_bound(BOUND)
                .build()
                .unwrap();
        Ok(Replica { store, keys, issuer })
    }

    async fn start(&self) -> Replica<S> {
        self.try_start().await.unwrap()
    }
}

impl<S> Replica<S> {
    /// A new access token.
    async fn access(&self) -> String {
        let credentials = Credentials::new("ada", "right");
        self.issuer.log_in(&credentials, &ClientInfo::new()).await.unwrap().tokens.access_token
    }
}

/// The `kid` of a valid token.
async fn key_of(issuer: &TokenIssuer, token: &str) -> String {
    let user = issuer.authenticator().authenticate(token).await.unwrap();
    user.key_id().unwrap().to_owned()
}

async fn replicas_that_start_at_once_agree_on_one_key<S: Store>(
    bench: &Bench<impl AsyncFn(ManualClock) -> S>,
) {
    let starts = futures_util::future::join_all((0..8).map(|_| bench.start())).await;
    let mut tokens = Vec::new();
    for replica in &starts {
        tokens.push(replica.access().await);
        assert!(replica.keys.task().health().is_ok());
    }
    for (replica, token) in starts.iter().zip(tokens.iter().cycle().skip(1)) {
        assert_eq!(refusal(&replica.issuer, token).await, None);
    }
    let files = bench.directory.files();
    assert_eq!(
        files,
        [format!("{}.pem", key_of(&starts[0].issuer, &tokens[0]).await)],
        "no other file is left"
    );
    assert_eq!(bench.keys().list(&starts[0].store).await.unwrap().len(), 1);
    for replica in &starts {
        replica.issuer.flush_audit().await.unwrap();
    }
    let page = AuditLog::list(&starts[0].store, &AuditQuery::new(ISSUER)).await.unwrap();
    let kinds = page.records.iter().map(|record| record.event.kind);
    assert_eq!(kinds.filter(|kind| *kind == AuditKind::KeyAdded).count(), 1);
}

/// Other tasks verify tokens all the time, while replicas refresh their keys in turns.
async fn no_valid_token_is_rejected_while_keys_rotate<S: Store>(
    bench: &Bench<impl AsyncFn(ManualClock) -> S>,
) {
    let (one, other) = (bench.start().await, bench.start().await);
    let operator = bench.store().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let first = one.access().await;
    let verifiers: Vec<_> = [(&one, &first), (&other, &first)]
        .map(|(replica, token)| {
            let (issuer, token) = (replica.issuer.clone(), token.clone());
            let is_over = Arc::clone(&is_over);
            tokio::spawn(async move {
                let mut count = 0;
                while !is_over.load(Ordering::SeqCst) {
                    assert_eq!(refusal(&issuer, &token).await, None);
                    count += 1;
                    tokio::task::yield_now().await;
                }
                count
            })
        })
        .into();

    let mut used = vec![key_of(&one.issuer, &first).await];
    let mut tokens = vec![first];
    for round in 0..4_usize {
        let added = bench.keys().with_publication(5 * REFRESH).add(&operator).await.unwrap();
        for step in 0..8_usize {
            let (early, late) =
                if (round + step) % 2 == 0 { (&one, &other) } else { (&other, &one) };
            early.keys.refresh().await;
            tokens.push(early.access().await);
            tokens.push(late.access().await);
            for replica in [&one, &other] {
                for token in &tokens {
                    assert_eq!(refusal(&replica.issuer, token).await, None, "{round} {step}");
                }
            }
            late.keys.refresh().await;
            bench.clock.advance(REFRESH);
        }
        let signs = key_of(&one.issuer, tokens.last().unwrap()).await;
        assert_eq!(signs, *added.thumbprint, "it signs after its publication");
        used.push(signs);
    }
    is_over.store(true, Ordering::SeqCst);
    for verifier in verifiers {
        assert!(verifier.await.unwrap() > 0);
    }
    // All of them are published until their last token has expired, and not longer.
    let jwks = one.issuer.jwks_json();
    assert!(used.iter().all(|key| jwks.contains(key)));
    bench.clock.advance(Duration::from_secs(370 * 24 * 3600));
    one.keys.refresh().await;
    let jwks = one.issuer.jwks_json();
    assert!(used.iter().rev().skip(1).all(|key| !jwks.contains(key)));
    assert!(jwks.contains(used.last().unwrap()), "the key that signs");
}

async fn no_token_of_a_compromised_key_is_accepted_after_the_bound<S: Store>(
    bench: &Bench<impl AsyncFn(ManualClock) -> S>,
) {
    let replica = bench.start().await;
    // Another service with the same keys. It does not refresh them.
    let slow = bench.start().await;
    let token = replica.access().await;
    assert_eq!(refusal(&slow.issuer, &token).await, None);
    let stolen = key_of(&replica.issuer, &token).await;
    let file = bench.directory.0.join(format!("{stolen}.pem"));
    let copy = fs::read(&file).unwrap();

    let operator = bench.store().await;
    let retired = bench.keys().retire_compromised(&operator, &stolen).await.unwrap();
    let replacement = retired.replacement.unwrap().thumbprint;
    assert!(!file.exists());
    bench.clock.advance(BOUND + Duration::from_secs(1));
    let reason = refusal(&slow.issuer, &token).await;
    assert_eq!(reason, Some(RejectionKind::Revoked), "also without a refresh");
    let late = slow.access().await;
    assert_eq!(refusal(&slow.issuer, &late).await, Some(RejectionKind::Revoked));

    // The file is back, as after a restored backup.
    write_private(&file, &copy);
    let later = bench.start().await;
    replica.keys.refresh().await;
    for replica in [&later, &replica] {
        assert_eq!(refusal(&replica.issuer, &token).await, Some(RejectionKind::UnknownKey));
        assert!(!replica.issuer.jwks_json().contains(&stolen));
        let token = replica.access().await;
        assert_eq!(key_of(&later.issuer, &token).await, *replacement);
        assert_eq!(refusal(&later.issuer, &token).await, None);
    }
    let listed = bench.keys().list(&operator).await.unwrap();
    let state_of = |thumbprint: &str| {
        listed.iter().find(|key| *key.thumbprint == *thumbprint).map(|key| key.state)
    };
    assert_eq!(listed.len(), 2);
    assert_eq!(state_of(&stolen), Some(KeyState::Compromised));
    assert_eq!(state_of(&replacement), Some(KeyState::Signs));
}

async fn a_replica_does_not_start_without_a_key_that_was_used<S: Store>(
    bench: &Bench<impl AsyncFn(ManualClock) -> S>,
) {
    let replica = bench.start().await;
    let token = replica.access().await;
    let key = key_of(&replica.issuer, &token).await;
    let file = bench.directory.0.join(format!("{key}.pem"));
    let copy = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let error = bench.try_start().await.err().unwrap();
    assert!(matches!(error, KeyDirectoryError::MissingKeys { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("{key} (file {key}.pem)")), "{error}");
    assert_eq!(bench.directory.files(), [""; 0], "no key is created");

    // The replica that runs keeps its key, and reports that the file is missing.
    replica.keys.refresh().await;
    assert_eq!(replica.keys.task().health().last_error, Some("key_file_missing"));
    assert_eq!(refusal(&replica.issuer, &replica.access().await).await, None);

    // A half-written file does not help, and is named.
    write_private(&file, &copy[..copy.len() / 2]);
    let error = bench.try_start().await.err().unwrap();
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    replica.keys.refresh().await;
    assert_eq!(refusal(&replica.issuer, &token).await, None);

    // The name of a file does not matter.
    fs::remove_file(&file).unwrap();
    write_private(&bench.directory.0.join("restored.pem"), &copy);
    replica.keys.refresh().await;
    assert!(replica.keys.task().health().is_ok());
    assert_eq!(refusal(&bench.start().await.issuer, &token).await, None);
}

async fn no_first_key_is_created_for_a_database_with_tokens<S: Store>(
    bench: &Bench<impl AsyncFn(ManualClock) -> S>,
) {
    let key = tower_bearer::jws::SigningKey::generate(tower_bearer::Algorithm::ES256).unwrap();
    let store = bench.store().await;
    let before = TokenIssuer::builder(ISSUER, "api", key.clone(), store.clone(), Everybody)
        .with_clock(bench.clock.clone())
        .build()
        .unwrap();
    before.log_in(&Credentials::new("ada", "right"), &ClientInfo::new()).await.unwrap();
    for _ in 0..2 {
        let error = bench.try_start().await.err().unwrap();
        assert!(matches!(error, KeyDirectoryError::TokensWithoutKey { .. }), "{error:?}");
        let error = bench.keys().add(&store).await.unwrap_err();
        assert!(matches!(error, KeyDirectoryError::TokensWithoutKey { .. }), "{error:?}");
        assert_eq!(bench.directory.files(), [""; 0], "no key is created");
    }
    // The operator copies the file, under any name.
    let pem = key.to_pkcs8_pem().unwrap();
    write_private(&bench.directory.0.join("token_service.pem"), pem.as_bytes());
    let replica = bench.start().await;
    let token = replica.access().await;
    assert_eq!(key_of(&replica.issuer, &token).await, key.key_id());
}

async fn an_earlier_key_file_is_adopted_once<S: Store>(
    bench: &Bench<impl AsyncFn(ManualClock) -> S>,
) {
    let key = tower_bearer::jws::SigningKey::generate(tower_bearer::Algorithm::ES256).unwrap();
    let store = bench.store().await;
    let before = TokenIssuer::builder(ISSUER, "api", key.clone(), store.clone(), Everybody)
        .with_clock(bench.clock.clone())
        .build()
        .unwrap();
    let tokens =
        before.log_in(&Credentials::new("ada", "right"), &ClientInfo::new()).await.unwrap().tokens;
    let folder = Folder::new();
    let file = folder.0.join("token_service.pem");
    write_private(&file, key.to_pkcs8_pem().unwrap().as_bytes());

    let start = async || bench.keys().with_earlier_key_file(&file).open(store.clone()).await;
    let keys = start().await.unwrap();
    let after = TokenIssuer::builder(ISSUER, "api", keys.signing_keys(), store.clone(), Everybody)
        .with_clock(bench.clock.clone())
        .build()
        .unwrap();
    assert_eq!(refusal(&after, &tokens.access_token).await, None);
    after.refresh(&tokens.refresh_token).await.unwrap();
    assert_eq!(bench.directory.files(), [format!("{}.pem", key.key_id())]);

    // Later the file has no effect, even if it has another key.
    bench.keys().retire_compromised(&store, key.key_id()).await.unwrap();
    let keys = start().await.unwrap().signing_keys();
    assert!(!keys.jwks_json().contains(key.key_id()));
    assert_eq!(bench.keys().list(&store).await.unwrap().len(), 2);
    assert!(file.exists(), "the original is not changed");
}

/// Writes a file that only its owner can read.
fn write_private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// A folder for one test, removed when it is dropped.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("bearer-keys-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(&self.0).unwrap().map(|file| file.unwrap().file_name());
        let mut names: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
