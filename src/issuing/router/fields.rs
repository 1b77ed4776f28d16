//! The fields of a request, and what is said about those that are wrong.

use serde_json::{Map, Value};

use super::{answers::FieldErrors, date_time};
use crate::UnixTime;

const REQUIRED: &str = "This field is required.";
const NULL: &str = "This field may not be null.";
const BLANK: &str = "This field may not be blank.";
const NUL: &str = "Null characters are not allowed.";

/// What is done with white space around a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    CutOff,
    /// As in passwords, of which it may be a part.
    Kept,
}

/// Takes fields out of an object, one by one, and collects what is wrong. Members that nobody takes are ignored.
pub(super) struct Fields {
    members: Map<String, Value>,
    errors: FieldErrors,
}

impl Fields {
    pub(super) fn new(members: Map<String, Value>) -> Self {
        Self { members, errors: FieldErrors::default() }
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.members.contains_key(field)
    }

    /// A text that is not blank.
    pub(super) fn text(&mut self, field: &'static str, space: Space) -> Option<String> {
        match self.required(field)? {
            Value::String(text) => {
                let content = if space == Space::CutOff { text.trim() } else { &text };
                if content.is_empty() {
                    return self.wrong(field, BLANK);
                }
                if content.contains('\0') {
                    return self.wrong(field, NUL);
                }
                Some(if content.len() == text.len() { text } else { content.to_owned() })
            }
            _ => self.wrong(field, "Not a valid string."),
        }
    }

    /// A date; one before 1970 is the epoch.
    pub(super) fn date_time(&mut self, field: &'static str) -> Option<UnixTime> {
        let value = self.required(field)?;
        match date_time::parse(value.as_str().unwrap_or_default()) {
            Ok(second) => Some(UnixTime::from_secs(u64::try_from(second).unwrap_or(0))),
            Err(error) => self.wrong(field, error.message()),
        }
    }

    /// A whole number from 0 up, which may be missing.
    pub(super) fn optional_count(&mut self, field: &'static str) -> Option<u64> {
        if !self.has(field) {
            return None;
        }
        let value = self.required(field)?;
        let Value::Number(number) = value else {
            return self.wrong(field, "A valid integer is required.");
        };
        match (number.as_u64(), number.as_f64()) {
            (Some(count), _) => Some(count),
            (None, Some(float)) if float.fract() != 0.0 => {
                self.wrong(field, "A valid integer is required.")
            }
            (None, Some(float)) if float < 0.0 => {
                self.wrong(field, "Ensure this value is greater than or equal to 0.")
            }
            // A whole number that was written with a point or an exponent, or is beyond all bounds.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole and not negative; `as` saturates"
            )]
            (None, Some(float)) => Some(float as u64),
            (None, None) => self.wrong(field, "A valid integer is required."),
        }
    }

    /// Notes what is wrong with a field; there is nothing to be had of it then.
    pub(super) fn wrong<T>(
        &mut self,
        field: &'static str,
        message: impl Into<String>,
    ) -> Option<T> {
        self.errors.add(field, message);
        None
    }

    /// All that is wrong.
    pub(super) fn into_errors(self) -> FieldErrors {
        self.errors
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    fn required(&mut self, field: &'static str) -> Option<Value> {
        match self.members.remove(field) {
            None => self.wrong(field, REQUIRED),
            Some(Value::Null) => self.wrong(field, NULL),
            Some(value) => Some(value),
        }
    }
}
