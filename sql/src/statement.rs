//! The parts of a statement, for both databases: its text, its values, the rows that it returns, and its errors.

use std::sync::Arc;

use tower_bearer::{UnixTime, revocation::StoreError};
#[cfg(feature = "issuing")]
use tower_bearer_issuing::scopes::ScopeSet;

/// The text of a statement. Variable parts are bound as [`Value`]s. `$1`, `$2`, … work in both databases.
#[derive(Clone)]
pub(crate) enum Sql {
    /// Prepared once on each connection.
    Fixed(&'static str),
    /// Built from fixed parts. There are too many combinations to keep each prepared.
    Built(String),
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

/// A bound value. Both databases store signed 64-bit integers, text, and bytes. A boolean is 0 or 1.
#[derive(Clone)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(String),
    #[cfg(feature = "issuing")]
    NoText,
    Bytes(Vec<u8>),
    #[cfg(feature = "issuing")]
    NoBytes,
}

impl Value {
    pub(crate) fn int(number: impl Into<Option<i64>>) -> Self {
        Self::Int(number.into())
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    #[cfg(feature = "issuing")]
    pub(crate) fn optional_text(text: Option<&str>) -> Self {
        text.map_or(Self::NoText, Self::text)
    }

    /// Ids and subjects are stored as bytes. A token may contain characters that PostgreSQL does not accept in texts,
    /// such as NUL, and bytes have no collation.
    pub(crate) fn id(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    #[cfg(feature = "issuing")]
    pub(crate) fn optional_id(id: Option<&str>) -> Self {
        id.map_or(Self::NoBytes, Self::id)
    }

    pub(crate) fn time(time: UnixTime) -> Self {
        Self::count(time.as_secs())
    }

    /// A number above 63 bits is stored as the largest number of 63 bits, and is read as [`u64::MAX`].
    pub(crate) fn count(number: u64) -> Self {
        Self::int(i64::try_from(number).unwrap_or(i64::MAX))
    }

    pub(crate) fn limit(limit: usize) -> Self {
        Self::int(i64::try_from(limit).unwrap_or(i64::MAX))
    }
}

/// A row that a statement has returned. Its columns are read by their index.
pub(crate) enum Row {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::sqlite::SqliteRow),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::postgres::PgRow),
}

macro_rules! column {
    ($row:expr, $at:expr) => {
        match $row {
            #[cfg(feature = "sqlite")]
            Row::Sqlite(row) => sqlx::Row::try_get(row, $at).map_err(Failure::from),
            #[cfg(feature = "postgres")]
            Row::Postgres(row) => sqlx::Row::try_get(row, $at).map_err(Failure::from),
        }
    };
}

impl Row {
    pub(crate) fn int(&self, at: usize) -> Result<i64, Failure> {
        column!(self, at)
    }

    pub(crate) fn optional_int(&self, at: usize) -> Result<Option<i64>, Failure> {
        column!(self, at)
    }

    pub(crate) fn time(&self, at: usize) -> Result<UnixTime, Failure> {
        to_time(self.int(at)?)
    }

    pub(crate) fn optional_time(&self, at: usize) -> Result<Option<UnixTime>, Failure> {
        self.optional_int(at)?.map(to_time).transpose()
    }

    pub(crate) fn count(&self, at: usize) -> Result<u64, Failure> {
        to_count(self.int(at)?)
    }

    pub(crate) fn text(&self, at: usize) -> Result<String, Failure> {
        column!(self, at)
    }

    #[cfg(feature = "issuing")]
    pub(crate) fn optional_text(&self, at: usize) -> Result<Option<String>, Failure> {
        column!(self, at)
    }

    #[cfg(feature = "issuing")]
    pub(crate) fn scopes(&self, at: usize) -> Result<ScopeSet, Failure> {
        ScopeSet::from_text(&self.text(at)?).map_err(|_| Failure::UnreadableRow)
    }

    pub(crate) fn bytes(&self, at: usize) -> Result<Vec<u8>, Failure> {
        column!(self, at)
    }

    pub(crate) fn id(&self, at: usize) -> Result<Arc<str>, Failure> {
        to_id(self.bytes(at)?)
    }

    #[cfg(feature = "issuing")]
    pub(crate) fn optional_id(&self, at: usize) -> Result<Option<Arc<str>>, Failure> {
        let bytes: Option<Vec<u8>> = column!(self, at)?;
        bytes.map(to_id).transpose()
    }

    pub(crate) fn hash(&self, at: usize) -> Result<[u8; 32], Failure> {
        self.bytes(at)?.try_into().map_err(|_| Failure::UnreadableRow)
    }
}

fn to_id(bytes: Vec<u8>) -> Result<Arc<str>, Failure> {
    Ok(String::from_utf8(bytes).map_err(|_| Failure::UnreadableRow)?.into())
}

fn to_time(number: i64) -> Result<UnixTime, Failure> {
    to_count(number).map(UnixTime::from_secs)
}

fn to_count(number: i64) -> Result<u64, Failure> {
    match number {
        i64::MAX => Ok(u64::MAX),
        _ => u64::try_from(number).map_err(|_| Failure::UnreadableRow),
    }
}

/// Why a statement or a transaction failed. It does not contain the error of sqlx, because the `Debug` of that error
/// repeats rows, and some of its texts repeat values.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The database answered with an error.
    #[error("the database rejected a statement (code {code}){}", after_colon(.message.as_deref()))]
    Rejected {
        /// The SQLSTATE, or the extended code of SQLite.
        code: String,
        /// The message of the database. `None` if its text may repeat values.
        message: Option<String>,
        /// Another transaction was in the way: a new attempt may succeed.
        is_conflict: bool,
    },
    /// The connection is broken, or could not be made.
    #[error("no connection to the database: {0}")]
    BrokenConnection(String),
    /// All connections were in use until the timeout.
    #[error(
        "all connections to the database were in use until the timeout: add connections by \
         `SqlStoreOptions::with_max_connections`, or raise the timeout by `SqlStoreOptions::with_wait_timeout`"
    )]
    NoFreeConnection,
    /// Other steps of the same owner took until the timeout.
    #[cfg(feature = "issuing")]
    #[error(
        "other steps of the same account were in progress until the timeout: try again, or raise the timeout by \
         `SqlStoreOptions::with_wait_timeout`"
    )]
    OwnerIsBusy,
    /// A row does not contain what this crate writes.
    #[error("a row of the database is not readable: expected one that this crate wrote")]
    UnreadableRow,
    /// The last poll of a deny-list that succeeded was too long ago.
    #[error(
        "the deny-list is older than its bound: look at the health of its task, and at the connection to the database"
    )]
    OutOfDate,
    /// The server is a standby, which answers with the data that it has received so far.
    #[error("the server is a standby: expected the primary, so use a URL that leads to it")]
    Standby,
    /// The connection of a transaction was used after the transaction had ended.
    #[error("the transaction has ended: expected an open one")]
    Ended,
}

fn after_colon(message: Option<&str>) -> String {
    message.map_or_else(String::new, |message| format!(": {message}"))
}

impl Failure {
    /// Returns whether nothing was done and another attempt may succeed.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Rejected { is_conflict: true, .. })
    }

    /// Returns whether the server is gone or is shutting down.
    pub(crate) fn is_broken(&self) -> bool {
        match self {
            Self::BrokenConnection(_) => true,
            Self::Rejected { code, .. } => code.starts_with("08") || code.starts_with("57P0"),
            Self::NoFreeConnection | Self::UnreadableRow | Self::Ended => false,
            Self::OutOfDate | Self::Standby => false,
            #[cfg(feature = "issuing")]
            Self::OwnerIsBusy => false,
        }
    }

    /// Returns a fixed name for logs and metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::BrokenConnection(_) => "broken",
            _ if self.is_broken() => "broken",
            _ if self.is_conflict() => "conflict",
            // The same as `audit::REFUSED` of `tower-bearer-issuing`.
            Self::Rejected { code, .. } if is_about_values(code) => "refused",
            Self::Rejected { .. } => "rejected",
            Self::NoFreeConnection => "no_connection",
            #[cfg(feature = "issuing")]
            Self::OwnerIsBusy => "owner_busy",
            Self::UnreadableRow => "unreadable",
            Self::OutOfDate => "out_of_date",
            Self::Standby => "standby",
            Self::Ended => "over",
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
                Self::Rejected { code, message, is_conflict }
            }
            sqlx::Error::Io(error) => Self::BrokenConnection(error.to_string()),
            sqlx::Error::Tls(error) => Self::BrokenConnection(error.to_string()),
            sqlx::Error::PoolTimedOut => Self::NoFreeConnection,
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::BrokenConnection("the connection is closed".into())
            }
            sqlx::Error::Protocol(_) => Self::BrokenConnection(
                "the server does not follow the protocol of its database".into(),
            ),
            _ => Self::UnreadableRow,
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

/// Returns whether the database has rejected the values of a statement, so that another attempt with the same values
/// fails, too. PostgreSQL: data, constraints, and limits such as the length of a row in an index. SQLite: TOOBIG,
/// CONSTRAINT, MISMATCH and RANGE. A full disk, a missing right and a timeout are not about values. A number that is
/// already used is not either: the sequence that assigns it can lag behind after a restore.
fn is_about_values(code: &str) -> bool {
    match code.len() {
        5 => code != "23505" && ["22", "23", "54"].iter().any(|class| code.starts_with(class)),
        _ => code.parse::<u32>().is_ok_and(|code| {
            matches!(code & 0xff, 18 | 19 | 20 | 25) && !matches!(code, 1555 | 2067 | 2579)
        }),
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::of_kind(failure.label(), failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: &str) -> &'static str {
        let is_conflict = is_conflict(code);
        Failure::Rejected { code: code.into(), message: None, is_conflict }.label()
    }

    #[test]
    fn only_errors_about_values_are_refusals() {
        for code in ["22001", "22P05", "23514", "54000", "18", "19", "1811", "787", "20", "25"] {
            assert_eq!(kind(code), "refused", "{code}");
        }
        // No right, a full disk, a missing table, a timeout, a lock that is not free; SQLite: READONLY, IOERR, FULL.
        // A value that must be unique.
        for code in ["23505", "1555", "2067", "2579"] {
            assert_eq!(kind(code), "rejected", "{code}");
        }
        for code in ["42501", "53100", "42P01", "57014", "55P03", "25006", "8", "10", "13", "1"] {
            assert_eq!(kind(code), "rejected", "{code}");
        }
        assert_eq!([kind("40001"), kind("5"), kind("08006")], ["conflict", "conflict", "broken"]);
    }
}
