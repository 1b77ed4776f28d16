//! Reads and writes the files of a key directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{FileProblem, KeyDirectoryError};
use crate::claims::random_id;
use tower_bearer::{Algorithm, ConfigError, jws::SigningKey};

/// Longer files are not read. An RSA key of 8192 bits has 6 KiB.
const MAX_LENGTH: u64 = 64 * 1024;

/// The keys in a directory, and the files that cannot be used.
#[derive(Default)]
pub(super) struct Files {
    pub(super) keys: Vec<(PathBuf, SigningKey)>,
    pub(super) unusable: Vec<(PathBuf, FileProblem)>,
}

impl Files {
    pub(super) fn key(&self, thumbprint: &str) -> Option<&SigningKey> {
        self.keys.iter().map(|(_, key)| key).find(|key| key.key_id() == thumbprint)
    }

    pub(super) fn path(&self, thumbprint: &str) -> Option<&Path> {
        let of_key = |(_, key): &&(PathBuf, SigningKey)| key.key_id() == thumbprint;
        self.keys.iter().find(of_key).map(|(path, _)| &**path)
    }
}

/// Reads every key in the directory. A directory that does not exist has none.
pub(super) fn read(path: &Path, allows_others: bool) -> Result<Files, KeyDirectoryError> {
    let failed = |source| KeyDirectoryError::Io { path: path.to_owned(), source };
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Files::default()),
        entries => entries.map_err(failed)?,
    };
    if !allows_others && is_writable_by_others(&fs::metadata(path).map_err(failed)?) {
        return Err(KeyDirectoryError::WritableByOthers { path: path.to_owned() });
    }
    let mut paths = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let text = name.to_string_lossy();
        if text.ends_with(".pem") && !text.starts_with('.') {
            paths.push(path.join(name));
        }
    }
    paths.sort_unstable();
    let mut files = Files::default();
    for path in paths {
        match read_key(&path, allows_others) {
            Ok(Some(key)) => files.keys.push((path, key)),
            Ok(None) => {}
            Err(problem) => files.unusable.push((path, problem)),
        }
    }
    Ok(files)
}

/// Reads one key. `None` if the file was deleted meanwhile.
pub(super) fn read_key(
    path: &Path,
    allows_others: bool,
) -> Result<Option<SigningKey>, FileProblem> {
    // Opening a named pipe would wait for its writer.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        _ => return Err(FileProblem::Unreadable),
    }
    let file = File::open(path).map_err(|_| FileProblem::Unreadable)?;
    // The permissions are those of the opened file, so a link that changes now does not matter.
    let metadata = file.metadata().map_err(|_| FileProblem::Unreadable)?;
    if !allows_others && is_open_to_others(&metadata) {
        return Err(FileProblem::OpenToOthers);
    }
    let mut pem = Zeroizing::new(Vec::with_capacity(8 * 1024));
    let length = file.take(MAX_LENGTH + 1).read_to_end(&mut pem);
    if !length.is_ok_and(|length| length as u64 <= MAX_LENGTH) {
        return Err(FileProblem::Unreadable);
    }
    let algorithms = [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256];
    let keys = algorithms.into_iter().map(|algorithm| SigningKey::from_pkcs8_pem(algorithm, &*pem));
    keys.into_iter().find_map(Result::ok).map(Some).ok_or(FileProblem::NotAKey)
}

#[cfg(unix)]
fn is_open_to_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o027 != 0
}

#[cfg(unix)]
fn is_writable_by_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o022 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &fs::Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn is_writable_by_others(_: &fs::Metadata) -> bool {
    false
}

/// Generates a key whose thumbprint begins with a letter or a digit, so that no command takes it for an option.
pub(super) fn generate(algorithm: Algorithm) -> Result<SigningKey, ConfigError> {
    loop {
        let key = SigningKey::generate(algorithm)?;
        if key.to_pkcs8_pem().is_none() {
            return Err(ConfigError::UnsupportedByBackend(algorithm));
        }
        if key.key_id().starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return Ok(key);
        }
    }
}

/// The name of the file of a key.
pub(super) fn name_of(thumbprint: &str) -> String {
    format!("{thumbprint}.pem")
}

/// The name of a key file that is not in use yet. Replicas do not read it, because it begins with a dot.
fn candidate_name_of(thumbprint: &str) -> String {
    format!(".{thumbprint}.new")
}

/// Writes a key to its file.
pub(super) fn write(path: &Path, key: &SigningKey) -> Result<PathBuf, KeyDirectoryError> {
    write_as(path, &name_of(key.key_id()), key)
}

/// Writes a key to a file that is not in use until [`complete`] is called.
pub(super) fn write_candidate(path: &Path, key: &SigningKey) -> Result<PathBuf, KeyDirectoryError> {
    write_as(path, &candidate_name_of(key.key_id()), key)
}

/// Puts the candidate in use, if there is one. Another replica may do the same.
pub(super) fn complete(path: &Path, thumbprint: &Arc<str>) -> Result<(), KeyDirectoryError> {
    let candidate = path.join(candidate_name_of(thumbprint));
    // On a file system that is mounted read-only, even renaming a file that does not exist is a different error.
    if fs::symlink_metadata(&candidate).is_err() {
        return Ok(());
    }
    match fs::rename(&candidate, path.join(name_of(thumbprint))) {
        Ok(()) => {
            sync(path).map_err(|source| KeyDirectoryError::Io { path: path.to_owned(), source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(KeyDirectoryError::Io { path: candidate, source }),
    }
}

/// Writes a file that only its owner can read. Its name appears when it is whole and on the disk.
fn write_as(path: &Path, name: &str, key: &SigningKey) -> Result<PathBuf, KeyDirectoryError> {
    let target = path.join(name);
    let written = (|| {
        let pem = key.to_pkcs8_pem().ok_or_else(|| io::Error::other("the key has no PEM"))?;
        create_directory(path)?;
        let random = random_id().map_err(io::Error::other)?;
        let temporary = path.join(format!(".{random}.tmp"));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        let written = file.write_all(pem.as_bytes()).and_then(|()| file.sync_all());
        let renamed = written.and_then(|()| fs::rename(&temporary, &target));
        if renamed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        renamed?;
        sync(path)
    })();
    match written {
        Ok(()) => Ok(target),
        Err(source) => Err(KeyDirectoryError::Io { path: target, source }),
    }
}

/// Creates the directory so that only its owner can use it.
fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The names in the directory must also survive a loss of power before a token is signed.
fn sync(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Deletes a file. It is no error if it does not exist.
pub(super) fn remove(path: &Path) -> Result<(), KeyDirectoryError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(KeyDirectoryError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Runs work with files on a thread that may wait.
pub(super) async fn on_a_thread<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, KeyDirectoryError> + Send + 'static,
) -> Result<T, KeyDirectoryError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|ended| {
        Err(KeyDirectoryError::Io { path: path.to_owned(), source: io::Error::other(ended) })
    })
}
