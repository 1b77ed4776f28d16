//! Converts values for statements, and reads values from rows, for both databases.

use std::sync::Arc;

use super::failure::Failure;
use tower_bearer::UnixTime;

/// The text of a statement. Variable parts are bound as [`Value`]s. `$1`, `$2`, … work in both databases.
pub(super) enum Sql {
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
pub(super) enum Value {
    Int(i64),
    OptionalInt(Option<i64>),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    /// Ids and subjects are stored as bytes. A token may contain characters that PostgreSQL does not accept in texts,
    /// such as NUL, and bytes have no collation.
    pub(super) fn id(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn time(time: UnixTime) -> Self {
        Self::count(time.as_secs())
    }

    /// A number above 63 bits is stored as the largest number of 63 bits, and is read as [`u64::MAX`].
    pub(super) fn count(number: u64) -> Self {
        Self::Int(to_int(number))
    }

    pub(super) fn limit(limit: usize) -> Self {
        Self::Int(i64::try_from(limit).unwrap_or(i64::MAX))
    }
}

fn to_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns the time as the database stores it: the largest number of 63 bits, and every later time, means "never".
pub(super) fn as_kept(time: UnixTime) -> UnixTime {
    if time.as_secs() < i64::MAX.unsigned_abs() { time } else { UnixTime::MAX }
}

fn to_time(number: i64) -> Result<UnixTime, Failure> {
    to_count(number).map(UnixTime::from_secs)
}

fn to_count(number: i64) -> Result<u64, Failure> {
    match number {
        i64::MAX => Ok(u64::MAX),
        _ => u64::try_from(number).map_err(|_| Failure::Unreadable),
    }
}

/// A row of an answer. Its columns are read by their index.
pub(super) enum Row {
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
    pub(super) fn int(&self, at: usize) -> Result<i64, Failure> {
        column!(self, at)
    }

    pub(super) fn optional_int(&self, at: usize) -> Result<Option<i64>, Failure> {
        column!(self, at)
    }

    pub(super) fn truth(&self, at: usize) -> Result<bool, Failure> {
        self.int(at).map(|number| number != 0)
    }

    pub(super) fn time(&self, at: usize) -> Result<UnixTime, Failure> {
        to_time(self.int(at)?)
    }

    pub(super) fn count(&self, at: usize) -> Result<u64, Failure> {
        to_count(self.int(at)?)
    }

    pub(super) fn optional_time(&self, at: usize) -> Result<Option<UnixTime>, Failure> {
        self.optional_int(at)?.map(to_time).transpose()
    }

    pub(super) fn text(&self, at: usize) -> Result<String, Failure> {
        column!(self, at)
    }

    pub(super) fn bytes(&self, at: usize) -> Result<Vec<u8>, Failure> {
        column!(self, at)
    }

    pub(super) fn optional_bytes(&self, at: usize) -> Result<Option<Vec<u8>>, Failure> {
        column!(self, at)
    }

    pub(super) fn id(&self, at: usize) -> Result<Arc<str>, Failure> {
        let text = String::from_utf8(self.bytes(at)?).map_err(|_| Failure::Unreadable)?;
        Ok(text.into())
    }

    pub(super) fn hash(&self, at: usize) -> Result<[u8; 32], Failure> {
        self.bytes(at)?.try_into().map_err(|_| Failure::Unreadable)
    }
}
