//! What operators do with the keys of a directory, while replicas run.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use super::{
    KeyDirectory, KeyDirectoryError,
    files::{self, Files},
};
use crate::{
    audit::AuditKind,
    store::{KeyChange, KeyOutcome, KeyRecord, KeyStore, keys::has_other_signer, signing_key},
};
use tower_bearer::{UnixTime, jws::SigningKey};

/// How long the revocation of a compromised key is kept at least. A thief chooses the lifetime of the tokens that he
/// signs. The same as for `Authenticator::revoke_key`.
const KEEP_COMPROMISED: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// What a key does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyState {
    /// It signs new tokens.
    Signs,
    /// It is published, and has not signed yet.
    Announced,
    /// It does not sign, and is published until the last token that it signed has expired.
    Verifies,
    /// It is not needed any more. Its file can be deleted.
    Expired,
    /// Somebody else may have it: its tokens are revoked.
    Compromised,
    /// The store has no record of it, so replicas ignore its file.
    Unknown,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signs => "signs",
            Self::Announced => "announced",
            Self::Verifies => "verifies",
            Self::Expired => "expired",
            Self::Compromised => "compromised",
            Self::Unknown => "unknown",
        })
    }
}

/// A key in the list of [`KeyDirectory::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedKey {
    /// The thumbprint, which is also the `kid`.
    pub thumbprint: Arc<str>,
    /// What the key does now.
    pub state: KeyState,
    /// The record of the store. `None` for [`KeyState::Unknown`].
    pub record: Option<KeyRecord>,
    /// The file of the key, if the directory has one that can be used.
    pub file: Option<PathBuf>,
}

/// A key that was retired.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetiredKey {
    /// The record of the key. The key verifies until [`KeyRecord::needed_until`].
    pub record: KeyRecord,
    /// Whether its file was deleted, because the key is not needed any more.
    pub is_file_deleted: bool,
}

/// A compromised key that was retired and revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompromisedKey {
    /// The record of the compromised key.
    pub record: KeyRecord,
    /// The key that signs from now on, if the compromised key was the only one that could sign.
    pub replacement: Option<KeyRecord>,
}

impl KeyDirectory {
    /// Creates a key, and publishes it. It signs after the [publication time](Self::with_publication), or at once if no
    /// other key can sign.
    ///
    /// Its file can only be read by the user of this process. Replicas that run as another user need other permissions,
    /// before they read the file: run this as the user of the replicas.
    ///
    /// # Errors
    /// [`KeyDirectoryError::TokensWithoutKey`] if the store has tokens and no record of the key that signed them: start
    /// a replica with that key first. The other variants name their causes.
    pub async fn add(&self, store: &dyn KeyStore) -> Result<KeyRecord, KeyDirectoryError> {
        let (key, file) = self.create_file().await?;
        let change = KeyChange::Add {
            thumbprint: key.key_id().into(),
            now: self.now(),
            publication: self.publication(),
            only_as_first: false,
            needed_until: UnixTime::EPOCH,
        };
        let outcome = match store.change_keys(&self.issuer, &change).await {
            Ok(KeyOutcome::Done(record)) => {
                self.record(AuditKind::KeyAdded, &record);
                return Ok(record);
            }
            // Whether the record was written is not known. A file without a record is ignored.
            Err(error) if !error.is_nothing_written() => return Err(error.into()),
            outcome => outcome,
        };
        self.delete(vec![file]).await?;
        Err(self.refusal(outcome?, key.key_id(), store).await)
    }

    /// Lists the keys: those with a record in the order in which they start to sign, then files without a record.
    ///
    /// # Errors
    /// If the store or the directory cannot be read.
    pub async fn list(&self, store: &dyn KeyStore) -> Result<Vec<ListedKey>, KeyDirectoryError> {
        let mut records = store.keys(&self.issuer).await?;
        let files = self.files().await?;
        records.sort_unstable_by_key(|key| (key.signs_from, Arc::clone(&key.thumbprint)));
        let now = self.now();
        let listed = |record: &KeyRecord| ListedKey {
            thumbprint: Arc::clone(&record.thumbprint),
            state: state_of(record, &records, now),
            file: files.path(&record.thumbprint).map(Into::into),
            record: Some(record.clone()),
        };
        let mut list: Vec<ListedKey> = records.iter().map(listed).collect();
        for (path, key) in &files.keys {
            if !records.iter().any(|record| *record.thumbprint == *key.key_id()) {
                let (thumbprint, file) = (key.key_id().into(), Some(path.clone()));
                list.push(ListedKey { thumbprint, state: KeyState::Unknown, record: None, file });
            }
        }
        Ok(list)
    }

    /// Ends signing with a key, by its thumbprint or the name of its file. It verifies until the last token that it
    /// signed has expired. If it is not needed any more, its file is deleted: call this again later for that.
    ///
    /// Usually this is not needed to rotate keys: a key that was [added](Self::add) replaces the key before it.
    ///
    /// # Errors
    /// [`KeyDirectoryError::OnlySigner`] if no other published key can sign now. Nothing is changed then.
    pub async fn retire(
        &self,
        store: &dyn KeyStore,
        key: &str,
    ) -> Result<RetiredKey, KeyDirectoryError> {
        let (thumbprint, now) = (thumbprint_of(key), self.now());
        let change = KeyChange::Retire { thumbprint: thumbprint.into(), now };
        let record = match store.change_keys(&self.issuer, &change).await? {
            KeyOutcome::Done(record) => {
                self.record(AuditKind::KeyRetired, &record);
                record
            }
            KeyOutcome::Unchanged(record) => record,
            outcome => return Err(self.refusal(outcome, thumbprint, store).await),
        };
        let records = store.keys(&self.issuer).await?;
        let is_needed = record.is_published(&records, now);
        let is_file_deleted = !is_needed && self.delete_files_of(&record.thumbprint).await?;
        Ok(RetiredKey { record, is_file_deleted })
    }

    /// Ends a key that somebody else may have, by its thumbprint or the name of its file. Every token that it signed is
    /// revoked in the same step of the store, and the file is deleted.
    ///
    /// Replicas reject its access and private tokens within the staleness bound of their revocation, and remove it from
    /// the published key set at the next refresh. Refresh tokens that it signed are rejected from then on, so their
    /// owners log in again. Replicas that start later do not use the key, even if its file is still there.
    ///
    /// If no other key can sign now, an announced key signs at once, or else a new key. It has not been published for
    /// the usual time. Verifiers fetch the key set when they see an unknown `kid`, so they accept its tokens anyway.
    /// To wait would mean that nobody can log in.
    ///
    /// # Errors
    /// [`KeyDirectoryError::UnknownKey`] lists the keys, and nothing was changed. If a file cannot be written or
    /// deleted ([`KeyDirectoryError::Io`]), the key was revoked. [Add](Self::add) a key then if none can sign. It is no
    /// error that a new key cannot be written if another published key can sign.
    pub async fn retire_compromised(
        &self,
        store: &dyn KeyStore,
        key: &str,
    ) -> Result<CompromisedKey, KeyDirectoryError> {
        let (thumbprint, now) = (thumbprint_of(key), self.now());
        // The file must be there before the record, because replicas look for it. If it cannot be written, the
        // revocation does not wait for that.
        let new = self.create_file().await;
        // A key that was not published before does not count as one that is left: verifiers may not know it.
        let before = match &new {
            Ok(_) => Vec::new(),
            Err(_) => store.keys(&self.issuer).await.unwrap_or_default(),
        };
        let new_id = new.as_ref().ok().map(|(key, _)| Arc::<str>::from(key.key_id()));
        let change = KeyChange::RetireCompromised {
            thumbprint: thumbprint.into(),
            now,
            tokens_expire_by: now + self.longest_lifetime.max(KEEP_COMPROMISED),
            replacement: new_id.clone(),
        };
        let outcome = match store.change_keys(&self.issuer, &change).await {
            // Whether the record was written is not known. A file without a record is ignored.
            Err(error) if !error.is_nothing_written() => return Err(error.into()),
            outcome => outcome,
        };
        let replacement = match &outcome {
            Ok(KeyOutcome::Replaced { replacement, .. }) => Some(replacement.clone()),
            _ => None,
        };
        let is_new = |replacement: &&KeyRecord| Some(&replacement.thumbprint) == new_id.as_ref();
        let added = replacement.as_ref().filter(is_new);
        // Before the files: the change is made, whatever becomes of them.
        if let Ok(KeyOutcome::Done(record) | KeyOutcome::Replaced { compromised: record, .. }) =
            &outcome
        {
            self.record(AuditKind::KeyRevoked, record);
        }
        if let Some(record) = added {
            self.record(AuditKind::KeyAdded, record);
        }
        if let Ok((_, file)) = &new
            && added.is_none()
        {
            self.delete(vec![file.clone()]).await?;
        }
        let record = match outcome? {
            KeyOutcome::Replaced { compromised: record, .. }
            | KeyOutcome::Done(record)
            | KeyOutcome::Unchanged(record) => record,
            outcome => return Err(self.refusal(outcome, thumbprint, store).await),
        };
        self.delete_files_of(&record.thumbprint).await?;
        if let Err(error) = new
            && replacement.is_none()
            && !has_other_signer(&before, &record.thumbprint, now)
        {
            return Err(error);
        }
        Ok(CompromisedKey { record, replacement })
    }

    async fn create_file(&self) -> Result<(SigningKey, PathBuf), KeyDirectoryError> {
        let (path, algorithm) = (Arc::clone(&self.path), self.algorithm);
        files::on_a_thread(&self.path, move || {
            let key = files::generate(algorithm)?;
            let file = files::write(&path, &key)?;
            Ok((key, file))
        })
        .await
    }

    /// Deletes every file with this key. Returns whether there was one.
    async fn delete_files_of(&self, thumbprint: &str) -> Result<bool, KeyDirectoryError> {
        let Files { keys, .. } = self.files().await?;
        let of_key = keys.into_iter().filter(|(_, key)| key.key_id() == thumbprint);
        let paths: Vec<PathBuf> = of_key.map(|(path, _)| path).collect();
        let is_any = !paths.is_empty();
        self.delete(paths).await?;
        Ok(is_any)
    }

    async fn delete(&self, paths: Vec<PathBuf>) -> Result<(), KeyDirectoryError> {
        files::on_a_thread(&self.path, move || {
            paths.iter().try_for_each(|path| files::remove(path))
        })
        .await
    }

    fn record(&self, kind: AuditKind, key: &KeyRecord) {
        if let Some(issuer) = &self.auditor {
            issuer.record(kind, |event| event.key = Some(Arc::clone(&key.thumbprint)));
        }
    }

    /// The error for a change that was not made.
    async fn refusal(
        &self,
        outcome: KeyOutcome,
        key: &str,
        store: &dyn KeyStore,
    ) -> KeyDirectoryError {
        let records = match store.keys(&self.issuer).await {
            Ok(records) => records,
            Err(error) => return error.into(),
        };
        match outcome {
            KeyOutcome::OnlySigner => {
                let now = self.now();
                let announced = records.iter().filter(|other| {
                    other.signs_from > now
                        && other.is_published(&records, now)
                        && *other.thumbprint != *key
                });
                KeyDirectoryError::OnlySigner { next: announced.map(|key| key.signs_from).min() }
            }
            KeyOutcome::TokensWithoutKey => {
                KeyDirectoryError::TokensWithoutKey { path: self.path.to_path_buf() }
            }
            _ => KeyDirectoryError::UnknownKey {
                key: key.to_owned(),
                known: records.into_iter().map(|record| record.thumbprint).collect(),
            },
        }
    }
}

fn state_of(record: &KeyRecord, records: &[KeyRecord], now: UnixTime) -> KeyState {
    let signs = signing_key(records, now).is_some_and(|key| key.thumbprint == record.thumbprint);
    match record {
        record if record.is_compromised => KeyState::Compromised,
        _ if signs => KeyState::Signs,
        record if !record.is_published(records, now) => KeyState::Expired,
        record if record.has_signed() => KeyState::Verifies,
        _ => KeyState::Announced,
    }
}

/// A key is named by its thumbprint or its file.
fn thumbprint_of(key: &str) -> &str {
    key.strip_suffix(".pem").unwrap_or(key)
}
