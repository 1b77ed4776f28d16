use std::{fmt, io, path::PathBuf, sync::Arc};

use tower_bearer::{ConfigError, UnixTime, revocation::StoreError};

/// Why the keys of a [`KeyDirectory`](super::KeyDirectory) were not opened or changed. The text never repeats key
/// material.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyDirectoryError {
    /// The directory could not be read, or a file in it could not be written or deleted.
    #[error("the key directory does not work at {}: check that it exists and its permissions", path.display())]
    Io {
        /// The directory or the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The group or other users can write to the directory.
    #[error(
        "the group or other users can write to the key directory {}: remove that permission (chmod go-w)",
        path.display()
    )]
    WritableByOthers {
        /// The directory.
        path: PathBuf,
    },
    /// A key file cannot be used, and without it the replica has no key.
    #[error("the key file {} cannot be used: {problem}", path.display())]
    UnusableFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        problem: FileProblem,
    },
    /// The store was used with keys that the directory lacks. No key was created.
    #[error(
        "the key directory {} lacks keys with which the database was used: {}{}. Restore the files. If a file is lost, \
         retire its key as compromised: then its tokens end",
        path.display(), files(thumbprints), and_unusable(unusable)
    )]
    MissingKeys {
        /// The directory.
        path: PathBuf,
        /// The thumbprints of the missing keys.
        thumbprints: Vec<Arc<str>>,
        /// Files in the directory that cannot be used, each with its problem. They may be the missing keys.
        unusable: Vec<(PathBuf, FileProblem)>,
    },
    /// The store has tokens of the issuer, and no key is known. No key was created.
    #[error(
        "the database has tokens of this issuer, and no key of it is known: copy the key file with which the service \
         ran before into the key directory {}",
        path.display()
    )]
    TokensWithoutKey {
        /// The directory.
        path: PathBuf,
    },
    /// No key is known, and the directory has several.
    #[error(
        "no key of this issuer is known, and the key directory {} has {count} key files: leave the one that signed \
         until now, and remove the others",
        path.display()
    )]
    SeveralFirstKeys {
        /// The directory.
        path: PathBuf,
        /// The number of key files.
        count: usize,
    },
    /// No key is known, and the directory has another key than the earlier key file.
    #[error(
        "no key of this issuer is known, and the key directory {} has another key than the earlier key file {}: leave \
         the key that signed until now, and remove the other file",
        path.display(), file.display()
    )]
    OtherFirstKey {
        /// The directory.
        path: PathBuf,
        /// The earlier key file.
        file: PathBuf,
    },
    /// Every key was retired or is compromised.
    #[error("no key can sign: every key was retired or is compromised. Add a key")]
    NoSigningKey,
    /// The issuer has no such key.
    #[error("there is no key {key}: the keys are {}", known.join(", "))]
    UnknownKey {
        /// The name that was given.
        key: String,
        /// The thumbprints of all keys.
        known: Vec<Arc<str>>,
    },
    /// The key is the only one that can sign now.
    #[error("no other key can sign now: {}", until_when(next))]
    OnlySigner {
        /// When an announced key can sign. `None` if there is no announced key.
        next: Option<UnixTime>,
    },
    /// A key could not be generated.
    #[error("a key could not be generated")]
    Key(#[from] ConfigError),
    /// The store failed. The change may have been made: list the keys.
    #[error("the keys are not available: the store failed")]
    Store(#[from] StoreError),
}

/// Why a key file is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileProblem {
    /// It could not be read, or is longer than 64 KiB.
    Unreadable,
    /// It is not one unencrypted private key for ES256, EdDSA or RS256, in PKCS#8 PEM.
    NotAKey,
    /// Other users can read or write it, or its group can write it.
    OpenToOthers,
}

impl FileProblem {
    /// A fixed name, for health and metrics.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Unreadable => "key_file_unreadable",
            Self::NotAKey => "key_file_malformed",
            Self::OpenToOthers => "key_file_open_to_others",
        }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "it cannot be read, or is longer than 64 KiB",
            Self::NotAKey => {
                "expected one private key for ES256, EdDSA or RS256, in PKCS#8 PEM without encryption"
            }
            Self::OpenToOthers => {
                "other users can read or write it. Change its permissions (chmod 600)"
            }
        })
    }
}

fn files(thumbprints: &[Arc<str>]) -> String {
    let files =
        thumbprints.iter().map(|thumbprint| format!("{thumbprint} (file {thumbprint}.pem)"));
    files.collect::<Vec<_>>().join(", ")
}

fn and_unusable(files: &[(PathBuf, FileProblem)]) -> String {
    let files = files
        .iter()
        .map(|(path, problem)| format!(". The file {} is not used: {problem}", path.display()));
    files.collect()
}

fn until_when(next: &Option<UnixTime>) -> String {
    match next {
        Some(time) => format!(
            "an announced key signs from {} s after 1970-01-01 UTC on. Retire the key after that",
            time.as_secs()
        ),
        None => "add a key first, and retire this one when the new key signs".to_owned(),
    }
}
