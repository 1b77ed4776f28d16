//! Reads and writes dates with a time and an offset (RFC 3339), in whole seconds.
//!
//! 1. Seconds and their fraction are optional. A fraction is cut off.
//! 2. As in Django, `T` may be a space, the fraction may follow a comma, and the offset may be `+0200` or `+02`.
//! 3. The offset is mandatory. Without it the expiry of a token is not known.

use jiff::{Timestamp, civil, tz::Offset};
use serde::{Serialize, Serializer};
use tower_bearer::UnixTime;

/// A date in a body. A date before 1970 counts as the epoch. Dates are written in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DateTime(pub(super) UnixTime);

impl DateTime {
    pub(super) fn parse(text: &str) -> Result<Self, DateTimeError> {
        parse(text).map(|second| Self(UnixTime::from_secs(u64::try_from(second).unwrap_or(0))))
    }
}

impl Serialize for DateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(self.0))
    }
}

/// Why a text is not a date.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DateTimeError {
    WrongFormat,
    NoOffset,
    OutOfRange,
}

pub(super) const WRONG_FORMAT: &str = "Datetime has wrong format. Use one of these formats instead: \
                                       YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].";

impl DateTimeError {
    pub(super) fn message(&self) -> &'static str {
        match self {
            Self::WrongFormat => WRONG_FORMAT,
            Self::NoOffset => "Datetime has no time zone. Add one: +HH:MM, -HH:MM or Z.",
            Self::OutOfRange => "Datetime value out of range.",
        }
    }
}

/// The Unix second of a date.
fn parse(text: &str) -> Result<i64, DateTimeError> {
    let mut reader = Reader(text.as_bytes());
    let (date_time, offset) = reader.date_time().ok_or(DateTimeError::WrongFormat)?;
    let offset = offset.ok_or(DateTimeError::NoOffset)?;
    offset.to_timestamp(date_time).map(Timestamp::as_second).map_err(|_| DateTimeError::OutOfRange)
}

/// A date, in UTC: `2027-01-15T08:00:00Z`. Dates after the year 9999 are written as its last second.
fn format(time: UnixTime) -> String {
    let second = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX).to_string()
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn date_time(&mut self) -> Option<(civil::DateTime, Option<Offset>)> {
        let year = i16::from(self.two_digits()?) * 100 + i16::from(self.two_digits()?);
        self.one_of(b"-")?;
        let month = self.two_digits()?;
        self.one_of(b"-")?;
        let day = self.two_digits()?;
        self.one_of(b"Tt ")?;
        let hour = self.two_digits()?;
        self.one_of(b":")?;
        let minute = self.two_digits()?;
        let second = if self.one_of(b":").is_some() { self.seconds()? } else { 0 };
        let date_time = civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
        let offset = if self.0.is_empty() { None } else { Some(self.offset()?) };
        self.0.is_empty().then_some((date_time, offset))
    }

    fn seconds(&mut self) -> Option<i8> {
        let second = self.two_digits()?;
        if self.one_of(b".,").is_some() {
            let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
            self.0 = self.0.get(digits..).filter(|_| digits > 0)?;
        }
        Some(second)
    }

    fn offset(&mut self) -> Option<Offset> {
        if self.one_of(b"Zz").is_some() {
            return Some(Offset::UTC);
        }
        let sign = if self.one_of(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.two_digits().filter(|hours| *hours < 24)?;
        let minutes = match self.one_of(b":") {
            None if self.0.is_empty() => 0,
            _ => self.two_digits().filter(|minutes| *minutes < 60)?,
        };
        Offset::from_seconds(sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60)).ok()
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        bytes.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn two_digits(&mut self) -> Option<i8> {
        let tens = self.one_of(b"0123456789")?;
        let ones = self.one_of(b"0123456789")?;
        i8::try_from((tens - b'0') * 10 + (ones - b'0')).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_date_format_of_django_is_read() {
        for text in [
            "2027-01-15T08:00:00Z",
            "2027-01-15t08:00:00z",
            "2027-01-15 08:00:00Z",
            "2027-01-15T08:00Z",
            "2027-01-15T08:00:00.999999Z",
            "2027-01-15T09:30:00+01:30",
            "2027-01-14T20:00:00-12:00",
            "2027-01-15T08:00:00-00:00",
            "2027-01-15T10:00:00+0200",
            "2027-01-15T10:00:00+02",
            "2027-01-15 02:30-0530",
            "2027-01-15T08:00:00,5Z",
            "2027-01-15T10:00:00,123456+02",
        ] {
            assert_eq!(parse(text), Ok(1_800_000_000), "{text}");
        }
    }

    #[test]
    fn a_date_without_an_offset_has_its_own_error() {
        for text in ["2027-01-15T08:00:00", "2027-01-15T08:00", "2027-01-15 08:00:00.5"] {
            assert_eq!(parse(text), Err(DateTimeError::NoOffset), "{text}");
        }
    }

    #[test]
    fn everything_else_has_the_wrong_format() {
        for text in [
            "",
            "2027-01-15",
            "2027-1-15T08:00:00Z",
            "2027-02-29T08:00:00Z",
            "2027-13-01T08:00:00Z",
            "2027-01-15T24:00:00Z",
            "2027-01-15T08:60:00Z",
            "2027-01-15T08:00:60Z",
            "2027-01-15T08:00:00.Z",
            "2027-01-15T08:00:00+24:00",
            "2027-01-15T08:00:00+01:60",
            "2027-01-15T08:00:00+01:",
            "2027-01-15T08:00:00+1",
            "2027-01-15T08:00:00+010",
            "2027-01-15T08:00:00+01000",
            "2027-01-15T08:00:00+0160",
            "2027-01-15T08:00:00,Z",
            "2027-01-15T08:00:00Z ",
            " 2027-01-15T08:00:00Z",
            "2027-01-15T08:00:00ZZ",
            "20270115T080000Z",
            "+2027-01-15T08:00:00Z",
            "1800000000",
            "tomorrow",
            "２027-01-15T08:00:00Z",
        ] {
            assert_eq!(parse(text), Err(DateTimeError::WrongFormat), "{text}");
        }
        assert_eq!(parse("9999-12-31T23:59:59-23:59"), Err(DateTimeError::OutOfRange));
    }

    #[test]
    fn dates_are_written_in_utc_and_read_back() {
        assert_eq!(format(UnixTime::from_secs(1_800_000_000)), "2027-01-15T08:00:00Z");
        assert_eq!(format(UnixTime::EPOCH), "1970-01-01T00:00:00Z");
        assert!(format(UnixTime::MAX).starts_with("9999-12-"));
        for second in [0, 951_782_400, 1_800_000_000, 4_102_444_799] {
            assert_eq!(
                parse(&format(UnixTime::from_secs(second))),
                Ok(i64::try_from(second).unwrap())
            );
        }
        assert!(parse("0001-01-01T00:00:00Z").unwrap() < 0);
    }
}
