//! Keeps the signing key in a file. So tokens survive a restart, and processes that share the file share the key.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_bearer::{Algorithm, jws::SigningKey};

pub(crate) fn load_or_create(path: &Path) -> Result<SigningKey, Box<dyn Error>> {
    let explain = |error: io::Error| format!("KEY_FILE {}: {error}", path.display());
    let pem = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path).map_err(explain)?;
            fs::read_to_string(path).map_err(explain)?
        }
        other => other.map_err(explain)?,
    };
    let key = SigningKey::from_pkcs8_pem(Algorithm::ES256, &pem);
    Ok(key.map_err(|error| format!("KEY_FILE {}: {error}", path.display()))?)
}

/// Makes a key, unless another process is faster. It uses a link, because a link, unlike a rename, does not replace an
/// existing file.
fn create(path: &Path) -> io::Result<()> {
    let key = SigningKey::generate(Algorithm::ES256).map_err(io::Error::other)?;
    let pem = key.to_pkcs8_pem().ok_or_else(|| io::Error::other("the key has no PEM"))?;
    let whole = beside(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&whole)?;
    let written = file.write_all(pem.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&whole, path));
    fs::remove_file(&whole)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    // The file's name must also survive a power failure before any token is signed.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// A random file name, so that a file of a killed process is not in the way.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let mut suffix = [0; 12];
    getrandom::fill(&mut suffix).map_err(|_| io::Error::other("no random bytes"))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", URL_SAFE_NO_PAD.encode(suffix)));
    Ok(path.with_file_name(name))
}
