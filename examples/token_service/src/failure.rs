//! Why a command failed, and the exit code for it.

use std::{error::Error, fmt, process::ExitCode};

use tower_bearer_issuing::KeyDirectoryError;
use tower_bearer_sql::OpenError;

/// What a command returns.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The exit codes, for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  the command has done its work; the service was stopped by SIGTERM or ctrl-c
  1  the command failed; this may pass, such as a database that cannot be reached
  2  wrong arguments or settings
  3  an operator must act before a restart can help: the database has tables of a newer version,
     a signing key is missing, or KEY_FILE and KEY_DIR have different keys";

/// The settings or arguments are wrong. The text names the setting.
#[derive(Debug)]
pub(crate) struct WrongSettings(pub(crate) String);

impl fmt::Display for WrongSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n--help lists the settings", self.0)
    }
}

impl Error for WrongSettings {}

/// Prints the error with its causes. Returns the exit code for it.
#[allow(clippy::print_stderr, reason = "a program talks to its user")]
pub(crate) fn report(error: &(dyn Error + 'static)) -> ExitCode {
    eprintln!("error: {error}");
    for cause in causes(error).skip(1) {
        eprintln!("  because: {cause}");
    }
    ExitCode::from(exit_code(error))
}

fn exit_code(error: &(dyn Error + 'static)) -> u8 {
    if error.is::<WrongSettings>() {
        return 2;
    }
    if causes(error).any(needs_operator) { 3 } else { 1 }
}

fn needs_operator(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::NewerSchema { .. }))
        || matches!(
            error.downcast_ref(),
            Some(
                KeyDirectoryError::MissingKeys { .. }
                    | KeyDirectoryError::TokensWithoutKey { .. }
                    | KeyDirectoryError::SeveralFirstKeys { .. }
                    | KeyDirectoryError::OtherFirstKey { .. }
                    | KeyDirectoryError::WritableByOthers { .. }
                    | KeyDirectoryError::UnusableFile { .. }
                    | KeyDirectoryError::NoSigningKey
            )
        )
}

/// The error, its cause, the cause of that, and so on.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}
