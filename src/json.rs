//! The strict JSON reader for protected headers, claims and request bodies (RFC 7515 section 4, RFC 7519 section 4).
//!
//! Other parsers keep the first or the last of two members with one name, and accept different texts. Two of them can
//! read two different tokens from one text. This reader rejects every text on which strict readers could disagree:
//!
//! 1. The text is UTF-8 without a byte order mark. An escape is not a lone surrogate.
//! 2. It is exactly one value, with nothing but white space around it. Headers and claims are objects.
//! 3. No object, at any level, has two members with the same name. Names are compared without their escapes.
//! 4. It has at most 32 levels of objects and arrays. No number overflows a double.
//! 5. No member name starts with `$serde_json::private::`. serde_json would read such an object as something else.
//!
//! Use [`from_slice`] for bodies of your own that must follow the same rules.

// `reader` checks a text in one pass and stores positions in it (`value`). `de` passes them to serde. The path of a token
// has only these three files.

mod de;
mod error;
mod find_members;
mod reader;
#[cfg(test)]
mod tests;
mod value;

use serde::Deserialize;

pub(crate) use self::de::deserialize;
pub use self::error::JsonError;
pub(crate) use self::find_members::elements_of;
#[cfg(feature = "jwks")]
pub(crate) use self::find_members::{Found, members_of, string_of};
pub(crate) use self::value::{Object, Span, Text, Value};
use self::{reader::Reader, value::ValueKind};

/// Reads `T` from a JSON text, by the rules of this [module](self).
///
/// `T` gets the same values as from `serde_json::from_slice`. Only the set of accepted texts is smaller.
///
/// ```
/// use tower_bearer::json::{self, JsonError};
///
/// #[derive(Debug, PartialEq, serde::Deserialize)]
/// struct Login {
///     username: String,
/// }
///
/// let login: Login = json::from_slice(br#"{"username":"ada"}"#)?;
/// assert_eq!(login, Login { username: "ada".into() });
///
/// let two_names = json::from_slice::<Login>(br#"{"username":"ada","username":"eve"}"#);
/// assert!(matches!(two_names, Err(JsonError::Syntax(_))));
/// let wrong_type = json::from_slice::<Login>(br#"{"username":7}"#);
/// assert_eq!(wrong_type, Err(JsonError::TypeMismatch));
/// # Ok::<(), JsonError>(())
/// ```
///
/// # Errors
/// [`JsonError`] if the text breaks one of the rules, or if its value does not fit `T`.
pub fn from_slice<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, JsonError> {
    let text = std::str::from_utf8(json).map_err(|_| JsonError::NotUtf8)?;
    let (kind, value) = value_of(text).ok_or_else(|| JsonError::explain(text))?;
    de::deserialize_value(text, kind, value).ok_or(JsonError::TypeMismatch)
}

/// The only value of a text, of any kind.
fn value_of(text: &str) -> Option<(ValueKind, Span)> {
    // Positions are stored in 32 bits.
    u32::try_from(text.len()).ok()?;
    let mut reader = Reader::new(text, 0);
    reader.skip_white_space();
    let value = reader.value(0)?;
    reader.skip_white_space();
    reader.is_at_end().then_some(value)
}
