//! The errors of statements, without the values that were in the statements.

use tower_bearer::revocation::StoreError;

/// An error of the database. It does not contain the error of sqlx, because the `Debug` of that error repeats rows, and
/// some of its texts repeat values.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The database answered with an error.
    #[error("the database refused ({code}){}", .message.as_ref().map_or_else(String::new, |text| format!(": {text}")))]
    Refused {
        /// The SQLSTATE, or the extended code of SQLite.
        code: String,
        /// The message of the database. `None` if its text may repeat values.
        message: Option<String>,
        /// Another transaction was in the way: a new attempt may succeed.
        is_conflict: bool,
    },
    /// The connection is broken, or could not be made.
    #[error("no connection to the database: {0}")]
    Broken(String),
    /// No connection became free in time.
    #[error(
        "no connection to the database became free in time: see `SqlStoreOptions::with_max_connections`"
    )]
    NoConnection,
    /// A row does not hold what this crate writes.
    #[error("a row of the database could not be read: expected one that this crate wrote")]
    Unreadable,
    /// A statement was to run in a transaction that is over.
    #[error("the transaction is over")]
    Over,
}

impl Failure {
    /// Returns whether nothing was done and another attempt may succeed.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { is_conflict: true, .. })
    }

    /// Returns whether the server is gone or is shutting down.
    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Refused { code, .. } => code.starts_with("08") || code.starts_with("57P0"),
            Self::NoConnection | Self::Unreadable | Self::Over => false,
        }
    }

    /// Returns a fixed name for logs.
    fn kind(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Broken(_) => "broken",
            Self::NoConnection => "no_connection",
            Self::Unreadable => "unreadable",
            Self::Over => "over",
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default().into_owned();
                // SQLSTATE classes 22 and 23 are about data, and their texts quote it.
                let quotes = code.len() == 5 && (code.starts_with("22") || code.starts_with("23"));
                let message = (!quotes).then(|| error.message().to_owned());
                let is_conflict = is_conflict(&code);
                Self::Refused { code, message, is_conflict }
            }
            sqlx::Error::Io(error) => Self::Broken(error.to_string()),
            sqlx::Error::Tls(error) => Self::Broken(error.to_string()),
            sqlx::Error::PoolTimedOut => Self::NoConnection,
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Broken("the connection is closed".into())
            }
            sqlx::Error::Protocol(_) => {
                Self::Broken("the server does not keep the protocol".into())
            }
            _ => Self::Unreadable,
        }
    }
}

/// Returns whether the code is a conflict. PostgreSQL: serialization failure and deadlock. SQLite: BUSY and LOCKED; its
/// extended codes have the plain code in their lowest byte. Codes of SQLite have at most four digits, SQLSTATEs have
/// five characters.
fn is_conflict(code: &str) -> bool {
    match code {
        "40001" | "40P01" => true,
        _ if code.len() == 5 => false,
        _ => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6)),
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::of_kind(failure.kind(), failure)
    }
}
