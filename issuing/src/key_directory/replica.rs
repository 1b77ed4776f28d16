//! Opens the keys for a replica, and keeps them up to date.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{self, MissedTickBehavior};

use super::{
    FileProblem, KeyDirectory, KeyDirectoryError,
    files::{self, Files},
};
use crate::{
    SigningKeys,
    signing_keys::{Managed, PublishedKeys},
    store::{KeyChange, KeyOutcome, KeyRecord, KeyStore, keys::signing_key_of},
};
use tower_bearer::{
    BackgroundTask, UnixTime,
    jws::SigningKey,
    revocation::{KEEP_AFTER_EXPIRY, StoreError},
};

/// How much longer than needed a replica prolongs the use of the signing key. It does so when half of that is left. So
/// it writes twice a day, and can sign for half a day at least while it cannot write.
const PROLONGED_BY: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a replica reads everything again at its start, because another one was faster.
const TRIES: usize = 8;

/// The keys of a [`KeyDirectory`] in a running replica. Clones share them.
#[derive(Clone)]
pub struct DirectoryKeys {
    keys: SigningKeys,
    task: BackgroundTask,
    replica: Arc<Replica>,
}

struct Replica {
    directory: KeyDirectory,
    store: Arc<dyn KeyStore>,
    /// The last good key of each thumbprint that is still published.
    loaded: Mutex<HashMap<Arc<str>, SigningKey>>,
}

/// What a replica finds at its start.
struct Start {
    records: Vec<KeyRecord>,
    files: Files,
    /// The thumbprint of the first key, if this replica has made its record.
    first_key: Option<Arc<str>>,
}

impl KeyDirectory {
    /// Reads the keys for a replica, and starts a background task on the current Tokio runtime that keeps them up to
    /// date. The task ends with the last clone of the [`SigningKeys`].
    ///
    /// If the store has no record of any key, this makes the first one: of the
    /// [earlier key file](Self::with_earlier_key_file), of the only file in the directory, or a new key. Replicas that
    /// start at the same time agree on one. The first issuer that is built with the keys of the replica that made it
    /// records an audit event.
    ///
    /// # Errors
    /// [`KeyDirectoryError::MissingKeys`] and [`KeyDirectoryError::TokensWithoutKey`] if the database was used with
    /// keys that the directory lacks. [`KeyDirectoryError::OtherFirstKey`] if the earlier key file and the directory
    /// have different keys. No key is created then. The other variants name their causes.
    pub async fn open(self, store: impl KeyStore) -> Result<DirectoryKeys, KeyDirectoryError> {
        let store: Arc<dyn KeyStore> = Arc::new(store);
        // An issuer of the keys themselves would keep them alive. It records the first key when it is built.
        let directory = Self { auditor: None, ..self };
        let replica = Replica { directory, store, loaded: Mutex::default() };
        let Start { records, files, first_key } = replica.first_records().await?;
        let (published, problems) = replica.publish(&records, &files).await;
        if !problems.missing.is_empty() {
            return Err(KeyDirectoryError::MissingKeys {
                path: replica.directory.path.to_path_buf(),
                thumbprints: problems.missing,
                unusable: files.unusable,
            });
        }
        if published.active.is_none() {
            return Err(KeyDirectoryError::NoSigningKey);
        }
        let task = BackgroundTask::new("signing keys");
        let managed = Managed {
            issuer: Arc::clone(&replica.directory.issuer),
            longest_lifetime: replica.directory.longest_lifetime,
            task: task.clone(),
            first_key: Mutex::new(first_key),
        };
        let keys = SigningKeys::managed(published, managed);
        let opened = DirectoryKeys { keys, task, replica: Arc::new(replica) };
        opened.report(problems.first.or_else(|| files.problem()));
        opened.start();
        Ok(opened)
    }
}

impl DirectoryKeys {
    /// The keys, for [`TokenIssuer::builder`](crate::TokenIssuer::builder). They follow every change.
    ///
    /// [`announce`](SigningKeys::announce), [`rotate`](SigningKeys::rotate) and [`retire`](SigningKeys::retire) have no
    /// lasting effect on them: the next refresh replaces all keys.
    #[must_use]
    pub fn signing_keys(&self) -> SigningKeys {
        self.keys.clone()
    }

    /// Whether this replica has a key that signs. Without one it issues no tokens, and still verifies them.
    ///
    /// It is `false` if every key was retired or is compromised, or if the file of the key that signs was never there.
    /// A database that is down does not change it. If a replica could not record for a day that it uses the key, it
    /// stops signing, and only the health of its [task](Self::task) shows that: other replicas have the same problem.
    /// Report it as a part of this replica alone:
    ///
    /// ```
    /// # use std::future::ready;
    /// # use tower_bearer::health::HealthChecks;
    /// # use tower_bearer_issuing::DirectoryKeys;
    /// # fn checks(keys: DirectoryKeys) -> HealthChecks {
    /// HealthChecks::new().add_task(keys.task()).add_part("keys", move || {
    ///     ready(if keys.has_signing_key() { Ok(()) } else { Err("no_signing_key") })
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn has_signing_key(&self) -> bool {
        self.keys.has_active()
    }

    /// The background task, for its health. Stop it only at the end of the process. A replica without it stops signing
    /// after a day.
    #[must_use]
    pub fn task(&self) -> &BackgroundTask {
        &self.task
    }

    /// Reads records and files once, as the background task does. Its outcome is in the health of the task.
    pub async fn refresh(&self) {
        let problem = self.replica.refresh(&self.keys).await;
        self.report(problem);
    }

    fn report(&self, problem: Option<&'static str>) {
        match problem {
            None => self.task.succeeded(),
            Some(kind) => self.task.failed(kind),
        }
    }

    fn start(&self) {
        let (replica, report) = (Arc::clone(&self.replica), self.task.clone());
        let keys = self.keys.downgrade();
        self.task.start(async move {
            let mut every = time::interval(replica.directory.refresh_interval);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first tick is now, and the keys were just read.
            every.tick().await;
            loop {
                every.tick().await;
                let Some(keys) = keys.upgrade() else { return };
                match replica.refresh(&keys).await {
                    None => report.succeeded(),
                    Some(kind) => report.failed(kind),
                }
            }
        });
    }
}

/// What was wrong with published keys.
#[derive(Default)]
struct Problems {
    /// The thumbprints of published keys without a file.
    missing: Vec<Arc<str>>,
    /// The kind of the first failure.
    first: Option<&'static str>,
}

impl Replica {
    async fn refresh(&self, keys: &SigningKeys) -> Option<&'static str> {
        let records = match self.records().await {
            // Records are never deleted, so the table was emptied or is another one.
            Ok(records) if records.is_empty() => return Some("no_key_records"),
            Ok(records) => records,
            Err(error) => return Some(error.kind()),
        };
        // Without files, the keys that were read before are used. The records decide which of them still sign.
        let (files, unreadable) = match self.files().await {
            Ok(files) => (files, None),
            Err(_) => (Files::default(), Some("key_directory_unreadable")),
        };
        let (published, problems) = self.publish(&records, &files).await;
        let stopped = published.active.is_none().then_some("no_signing_key");
        keys.publish(published);
        let missing = problems.missing.first().map(|_| "key_file_missing");
        stopped.or(unreadable).or(problems.first).or(missing).or_else(|| files.problem())
    }

    /// The keys that are published now, of those whose files were read now or before. Prolongs the use of the one that
    /// signs.
    async fn publish(&self, records: &[KeyRecord], files: &Files) -> (PublishedKeys, Problems) {
        let now = self.directory.now();
        let mut problems = Problems::default();
        let mut available = Vec::new();
        let mut loaded = HashMap::new();
        for record in records.iter().filter(|record| record.is_published(records, now)) {
            if files.key(&record.thumbprint).is_none() {
                problems.missing.push(Arc::clone(&record.thumbprint));
            }
            if let Some(key) = self.key(&record.thumbprint, files) {
                loaded.insert(Arc::clone(&record.thumbprint), key);
                available.push(record);
            }
        }
        let mut published = PublishedKeys::default();
        if let Some((record, needed_until)) = self.signer(available, now, &mut problems).await {
            published.active = loaded.get(&record.thumbprint).cloned();
            published.signs_before = needed_until - self.needed_after_use();
        }
        let active = published.active.as_ref().map(SigningKey::key_id);
        let mut others: Vec<&SigningKey> =
            loaded.values().filter(|key| Some(key.key_id()) != active).collect();
        others.sort_unstable_by(|one, other| one.key_id().cmp(other.key_id()));
        let is_ended = |key: &&SigningKey| {
            records.iter().any(|record| *record.thumbprint == *key.key_id() && record.is_ended(now))
        };
        let (ended, others): (Vec<_>, Vec<_>) = others.into_iter().partition(is_ended);
        published.others = others.into_iter().cloned().collect();
        published.ended = ended.into_iter().cloned().collect();
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = loaded;
        (published, problems)
    }

    /// The key that signs, and until when its record keeps it. If the record of the newest key cannot be prolonged, the
    /// key before it signs, as long as its own record lets it.
    async fn signer<'a>(
        &self,
        mut available: Vec<&'a KeyRecord>,
        now: UnixTime,
        problems: &mut Problems,
    ) -> Option<(&'a KeyRecord, UnixTime)> {
        let newest = signing_key_of(available.iter().copied(), now)?;
        let mut next = Some(newest);
        while let Some(record) = next {
            let error = match self.prolong(record, now).await {
                Ok(needed_until) => return Some((record, needed_until)),
                Err(error) => error,
            };
            problems.first = problems.first.or(Some(error.kind()));
            if record.needed_until >= now + self.needed_after_use() {
                return Some((record, record.needed_until));
            }
            available.retain(|other| other.thumbprint != record.thumbprint);
            let earlier = available.iter().copied().filter(|other| other.may_sign(now));
            next = signing_key_of(earlier, now);
        }
        // Its time is over, so it does not sign until its record can be prolonged.
        Some((newest, newest.needed_until))
    }

    fn key(&self, thumbprint: &Arc<str>, files: &Files) -> Option<SigningKey> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        files.key(thumbprint).or_else(|| loaded.get(thumbprint)).cloned()
    }

    /// Records that tokens of the key can be valid for the longest lifetime from now on. Returns until when the record
    /// keeps the key.
    async fn prolong(&self, record: &KeyRecord, now: UnixTime) -> Result<UnixTime, StoreError> {
        let needed_until = now + self.needed_after_use();
        if record.needed_until >= needed_until + PROLONGED_BY / 2 {
            return Ok(record.needed_until);
        }
        let change = KeyChange::Use {
            thumbprint: Arc::clone(&record.thumbprint),
            now,
            needed_until: needed_until + PROLONGED_BY,
        };
        match self.store.change_keys(&self.directory.issuer, &change).await? {
            KeyOutcome::Done(record) => Ok(record.needed_until),
            // It ended a moment ago. The next refresh sees that.
            _ => Err(StoreError::new("the key was retired")),
        }
    }

    /// How long a key is needed after its last use.
    fn needed_after_use(&self) -> Duration {
        self.directory.longest_lifetime + KEEP_AFTER_EXPIRY
    }

    async fn records(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.store.keys(&self.directory.issuer).await
    }

    async fn files(&self) -> Result<Files, KeyDirectoryError> {
        self.directory.files().await
    }

    /// The records and the files at the start of a replica. If there are no records, makes the first.
    async fn first_records(&self) -> Result<Start, KeyDirectoryError> {
        let mut first_key = None;
        for _ in 0..TRIES {
            let records = self.records().await?;
            if !records.is_empty() {
                let files = self.complete_files(&records).await?;
                return Ok(Start { records, files, first_key });
            }
            let mut files = self.files().await?;
            if files.keys.is_empty()
                && let Some((path, problem)) = files.unusable.pop()
            {
                return Err(KeyDirectoryError::UnusableFile { path, problem });
            }
            let made = match &*files.keys {
                [] => self.create_first().await?,
                [(_, key)] => self.adopt(key).await?,
                several => {
                    let (path, count) = (self.directory.path.to_path_buf(), several.len());
                    return Err(KeyDirectoryError::SeveralFirstKeys { path, count });
                }
            };
            first_key = first_key.or(made);
        }
        Err(StoreError::new("the first key was recorded, and the store has no record of it").into())
    }

    /// Reads the files. A key that another replica has just created may not be in its file yet.
    async fn complete_files(&self, records: &[KeyRecord]) -> Result<Files, KeyDirectoryError> {
        let files = self.files().await?;
        let now = self.directory.now();
        let lacks = |record: &&KeyRecord| {
            record.is_published(records, now) && files.key(&record.thumbprint).is_none()
        };
        let missing: Vec<_> =
            records.iter().filter(lacks).map(|r| Arc::clone(&r.thumbprint)).collect();
        if missing.is_empty() {
            return Ok(files);
        }
        let path = Arc::clone(&self.directory.path);
        files::on_a_thread(&self.directory.path, move || {
            missing.iter().try_for_each(|thumbprint| files::complete(&path, thumbprint))
        })
        .await?;
        self.files().await
    }

    /// Makes the first key: a copy of the earlier key file, or a new key. Returns its thumbprint if it has made the
    /// record.
    async fn create_first(&self) -> Result<Option<Arc<str>>, KeyDirectoryError> {
        if let Some((_, key)) = self.earlier_key().await? {
            let path = Arc::clone(&self.directory.path);
            files::on_a_thread(&self.directory.path, move || files::write(&path, &key)).await?;
            return Ok(None); // The next try finds it as the only file.
        }
        let key = files::generate(self.directory.algorithm)?;
        let thumbprint: Arc<str> = key.key_id().into();
        let path = Arc::clone(&self.directory.path);
        let candidate =
            files::on_a_thread(&self.directory.path, move || files::write_candidate(&path, &key))
                .await?;
        let outcome = self.add_first(&thumbprint, UnixTime::EPOCH).await;
        let path = Arc::clone(&self.directory.path);
        let is_recorded = match &outcome {
            Ok(outcome) => matches!(outcome, KeyOutcome::Done(_)),
            // Whether the record was written is not known: a later start needs the file if it was.
            Err(error) if !error.is_nothing_written() => {
                return outcome.map(|_| None).map_err(Into::into);
            }
            Err(_) => false,
        };
        files::on_a_thread(&self.directory.path, move || match is_recorded {
            true => files::complete(&path, &thumbprint),
            false => files::remove(&candidate),
        })
        .await?;
        self.checked(outcome?)
    }

    /// Records the only key of the directory, which may have signed tokens before. Returns its thumbprint if it has
    /// made the record.
    async fn adopt(&self, key: &SigningKey) -> Result<Option<Arc<str>>, KeyDirectoryError> {
        if let Some((file, earlier)) = self.earlier_key().await?
            && earlier.key_id() != key.key_id()
        {
            let path = self.directory.path.to_path_buf();
            return Err(KeyDirectoryError::OtherFirstKey { path, file });
        }
        let needed_until = self.directory.now() + self.needed_after_use();
        let outcome = self.add_first(&key.key_id().into(), needed_until).await?;
        self.checked(outcome)
    }

    async fn add_first(
        &self,
        thumbprint: &Arc<str>,
        needed_until: UnixTime,
    ) -> Result<KeyOutcome, StoreError> {
        let change = KeyChange::Add {
            thumbprint: Arc::clone(thumbprint),
            now: self.directory.now(),
            publication: self.directory.publication(),
            only_as_first: true,
            needed_until,
        };
        self.store.change_keys(&self.directory.issuer, &change).await
    }

    /// The thumbprint of the first key, if this replica has made its record. If another replica was faster, its key is
    /// the first.
    fn checked(&self, outcome: KeyOutcome) -> Result<Option<Arc<str>>, KeyDirectoryError> {
        match outcome {
            KeyOutcome::Done(record) => Ok(Some(record.thumbprint)),
            KeyOutcome::TokensWithoutKey => {
                let path = self.directory.path.to_path_buf();
                Err(KeyDirectoryError::TokensWithoutKey { path })
            }
            _ => Ok(None),
        }
    }

    /// The earlier key file and its key, if there is one.
    async fn earlier_key(&self) -> Result<Option<(PathBuf, SigningKey)>, KeyDirectoryError> {
        let Some(path) = self.directory.earlier_key_file.clone() else { return Ok(None) };
        let allows_others = self.directory.allows_readable_by_others;
        files::on_a_thread(&self.directory.path, move || {
            match files::read_key(&path, allows_others) {
                Ok(key) => Ok(key.map(|key| (path, key))),
                Err(problem) => Err(KeyDirectoryError::UnusableFile { path, problem }),
            }
        })
        .await
    }
}

impl KeyDirectory {
    pub(super) async fn files(&self) -> Result<Files, KeyDirectoryError> {
        let (path, allows_others) = (Arc::clone(&self.path), self.allows_readable_by_others);
        files::on_a_thread(&self.path, move || files::read(&path, allows_others)).await
    }
}

impl Files {
    /// The kind of the first problem with a file.
    fn problem(&self) -> Option<&'static str> {
        self.unusable.first().map(|(_, problem): &(PathBuf, FileProblem)| problem.kind())
    }
}

impl fmt::Debug for DirectoryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryKeys")
            .field("directory", &self.replica.directory)
            .field("keys", &self.keys)
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests {
    use super::{super::tests::Bench, *};
    use crate::{key_directory::tests::signer, store::MemoryTokenStore};

    #[tokio::test]
    async fn the_key_before_one_that_cannot_be_prolonged_signs() {
        let bench = Bench::new();
        let keys = bench.open().await;
        let first = signer(&keys, &bench).unwrap();
        let next = bench.directory().add(&bench.store).await.unwrap().thumbprint;
        bench.clock.advance(bench.directory().publication());
        let replica = &keys.replica;
        let (before, files) = (replica.records().await.unwrap(), replica.files().await.unwrap());
        assert_eq!(
            signing_key_of(before.iter(), replica.directory.now()).unwrap().thumbprint,
            next
        );
        bench.directory().retire(&bench.store, &next).await.unwrap();
        // The records were read before the key ended, so its use cannot be recorded.
        let (published, problems) = replica.publish(&before, &files).await;
        assert!(problems.first.is_some());
        keys.keys.publish(published);
        assert_eq!(signer(&keys, &bench), Some(first));
    }

    #[tokio::test]
    async fn an_empty_table_keeps_the_last_good_keys() {
        let bench = Bench::new();
        let keys = bench.open().await;
        let first = signer(&keys, &bench).unwrap();
        let other = Replica {
            directory: bench.directory(),
            store: Arc::new(MemoryTokenStore::new()),
            loaded: Mutex::default(),
        };
        let emptied = DirectoryKeys { replica: Arc::new(other), ..keys.clone() };
        emptied.refresh().await;
        assert_eq!(keys.task().health().last_error, Some("no_key_records"));
        assert_eq!(signer(&keys, &bench), Some(first));
        assert_eq!(keys.signing_keys().handle().snapshot().len(), 1);
    }
}
