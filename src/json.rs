//! One strict reading of a JSON object, for protected headers and claims (RFC 7515 section 4, RFC 7519
//! section 4).
//!
//! General parsers keep the last of two members with one name, or the first, and differ in what they
//! let pass; two readers of one token could then see two tokens. Here a text is either read in the one
//! way that every strict reader shares, or refused:
//!
//! 1. UTF-8 (which `&str` is) without a byte order mark, and no lone surrogate in an escape.
//! 2. Exactly one object, with nothing but white space around it.
//! 3. No two members of one object, at any level, with the same name once escapes are resolved.
//! 4. At most [`MAX_DEPTH`] levels, and no number that overflows a double.
//! 5. No name that serde_json uses between its own types, by which an object would be read as something else.

use std::{borrow::Cow, collections::HashSet};

use smallvec::SmallVec;

/// Levels of nesting, the outermost object counted.
pub(crate) const MAX_DEPTH: usize = 32;

/// Features of serde_json that any crate of a build can switch on give names of this kind a meaning.
const PRIVATE_TO_SERDE: &str = "$serde_json::private::";

/// Up to this many names of one object are compared one by one, further ones by hash: small objects
/// stay cheap, and an object of a thousand names does not cost a million comparisons.
const FEW_NAMES: usize = 16;

/// The members of an object, in their order; a usual token needs no heap for them.
pub(crate) struct Object<'a> {
    members: SmallVec<[(Cow<'a, str>, Value<'a>); 12]>,
}

/// A value: scalars are read, arrays and objects are checked and kept as text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// The literal's own text.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(&'a str),
    Object(&'a str),
}

impl<'a> Object<'a> {
    /// Reads `text` as exactly one object; `None` where anything is not strict.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        reader.skip_white_space();
        let mut members = SmallVec::new();
        reader.object(1, &mut members)?;
        reader.skip_white_space();
        (reader.at == reader.text.len()).then_some(Self { members })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| &**name)
    }

    pub(crate) fn at(&self, position: usize) -> Option<&Value<'a>> {
        self.members.get(position).map(|(_, value)| value)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.members.iter().find(|(member, _)| is_same(member, name)).map(|(_, value)| value)
    }
}

impl<'a> Value<'a> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if this is an array of strings only.
    pub(crate) fn as_strings(&self) -> Option<Vec<Cow<'a, str>>> {
        let Self::Array(text) = *self else { return None };
        let mut strings = Vec::new();
        let mut reader = Reader { text, at: 0 };
        reader.elements(1, |value| match value {
            Value::String(text) => {
                strings.push(text);
                Some(())
            }
            _ => None,
        })?;
        Some(strings)
    }
}

/// The texts of the elements of the array `name` in an object, which has only one member of that name.
///
/// Values are told apart by their quotes and brackets and are not read: what is wrong with one is no matter of the
/// others. Each is to be read, and judged, by itself.
pub(crate) fn elements_of<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let mut reader = Reader { text, at: 0 };
    let mut array = None;
    reader.skip_white_space();
    reader.list(b'{', b'}', |reader| {
        let member = reader.string()?;
        reader.skip_white_space();
        reader.expect(b':')?;
        reader.skip_white_space();
        let value = reader.unread_value()?;
        (member != name || array.replace(value).is_none()).then_some(())
    })?;
    reader.skip_white_space();
    if reader.at != text.len() {
        return None;
    }

    let mut elements = Vec::new();
    let mut reader = Reader { text: array?, at: 0 };
    reader.list(b'[', b']', |reader| {
        elements.push(reader.unread_value()?);
        Some(())
    })?;
    Some(elements)
}

/// Keeps members of the outermost object, and only the names of those below.
trait Members<'a> {
    fn add(&mut self, name: Cow<'a, str>, value: Value<'a>);
    fn names(&self) -> impl Iterator<Item = &str>;
    fn len(&self) -> usize;
}

impl<'a> Members<'a> for SmallVec<[(Cow<'a, str>, Value<'a>); 12]> {
    fn add(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        self.push((name, value));
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| &**name)
    }

    fn len(&self) -> usize {
        self.len()
    }
}

impl<'a> Members<'a> for SmallVec<[Cow<'a, str>; 8]> {
    fn add(&mut self, name: Cow<'a, str>, _: Value<'a>) {
        self.push(name);
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|name| &**name)
    }

    fn len(&self) -> usize {
        self.len()
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Moves past `byte`, if it is the next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn since(&self, start: usize) -> Option<&'a str> {
        self.text.get(start..self.at)
    }

    /// Items between brackets, with commas between them; `item` reads one.
    fn list(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.expect(open)?;
        self.skip_white_space();
        if self.take(close) {
            return Some(());
        }
        loop {
            item(self)?;
            self.skip_white_space();
            if self.take(close) {
                return Some(());
            }
            self.expect(b',')?;
            self.skip_white_space();
        }
    }

    fn object(&mut self, depth: usize, members: &mut impl Members<'a>) -> Option<()> {
        let mut hashed: HashSet<String> = HashSet::new();
        self.list(b'{', b'}', |reader| {
            let name = reader.string()?;
            let is_new = if members.len() < FEW_NAMES {
                members.names().all(|known| !is_same(known, &name))
            } else {
                if hashed.is_empty() {
                    hashed.extend(members.names().map(str::to_owned));
                }
                hashed.insert(name.clone().into_owned())
            };
            if !is_new || name.starts_with(PRIVATE_TO_SERDE) {
                return None;
            }
            reader.skip_white_space();
            reader.expect(b':')?;
            reader.skip_white_space();
            let value = reader.value(depth)?;
            members.add(name, value);
            Some(())
        })
    }

    fn elements(
        &mut self,
        depth: usize,
        mut each: impl FnMut(Value<'a>) -> Option<()>,
    ) -> Option<()> {
        self.list(b'[', b']', |reader| each(reader.value(depth)?))
    }

    /// The text of a value, from its first quote or bracket to the one that closes it.
    fn unread_value(&mut self) -> Option<&'a str> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ if depth > 0 => self.at += 1,
                _ => self.skip_scalar()?,
            }
            if depth == 0 {
                return self.since(start);
            }
        }
    }

    fn skip_string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            self.skip_plain_characters();
            if self.take(b'"') {
                return Some(());
            }
            // An escape, or a control character that whoever reads the value refuses.
            let length = if self.peek()? == b'\\' { 2 } else { 1 };
            self.at += length;
        }
    }

    fn skip_scalar(&mut self) -> Option<()> {
        let start = self.at;
        while !matches!(self.peek()?, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// A value inside something that is `depth` levels deep.
    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        let start = self.at;
        match self.peek()? {
            b'"' => self.string().map(Value::String),
            b'{' if depth < MAX_DEPTH => {
                self.object(depth + 1, &mut SmallVec::<[Cow<'a, str>; 8]>::new())?;
                self.since(start).map(Value::Object)
            }
            b'[' if depth < MAX_DEPTH => {
                self.elements(depth + 1, |_| Some(()))?;
                self.since(start).map(Value::Array)
            }
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Null),
            b'-' | b'0'..=b'9' => self.number().map(Value::Number),
            _ => None,
        }
    }

    fn literal(&mut self, word: &str, value: Value<'a>) -> Option<Value<'a>> {
        self.text.get(self.at..)?.starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let literal = self.since(start)?;
        // Only what has an exponent or hundreds of digits can overflow.
        let may_overflow = literal.len() > 300 || literal.contains(['e', 'E']);
        (!may_overflow || literal.parse::<f64>().is_ok_and(f64::is_finite)).then_some(literal)
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.expect(b'"')?;
        let start = self.at;
        self.skip_plain_characters();
        match self.peek()? {
            b'"' => {
                let text = self.since(start)?;
                self.at += 1;
                Some(Cow::Borrowed(text))
            }
            b'\\' => self.escaped_string(start).map(Cow::Owned),
            _ => None,
        }
    }

    /// Moves to the next byte that ends a string, begins an escape or is a control character.
    fn skip_plain_characters(&mut self) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let (words, tail) = rest.as_chunks();
        for (number, word) in words.iter().enumerate() {
            if let Some(within) = first_special(*word) {
                self.at += number * 8 + within;
                return;
            }
        }
        let is_special = |&byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        self.at += words.len() * 8 + tail.iter().position(is_special).unwrap_or(tail.len());
    }

    /// The rest of a string that has escapes; `start` is where its text begins.
    fn escaped_string(&mut self, start: usize) -> Option<String> {
        let mut text = self.since(start)?.to_owned();
        loop {
            let plain_from = self.at;
            self.skip_plain_characters();
            text.push_str(self.since(plain_from)?);
            if self.take(b'"') {
                return Some(text);
            }
            self.expect(b'\\')?;
            text.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Option<char> {
        let escape = self.peek()?;
        self.at += 1;
        Some(match escape {
            b'"' | b'\\' | b'/' => char::from(escape),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return None,
        })
    }

    fn unicode_escape(&mut self) -> Option<char> {
        let first = self.four_hex_digits()?;
        if !(0xD800..0xDC00).contains(&first) {
            // A lone trailing surrogate is no `char`, and so is refused here.
            return char::from_u32(first);
        }
        self.expect(b'\\')?;
        self.expect(b'u')?;
        let second = self.four_hex_digits()?;
        if !(0xDC00..0xE000).contains(&second) {
            return None;
        }
        char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00))
    }

    fn four_hex_digits(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        self.at += 4;
        digits
            .iter()
            .try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
    }
}

/// Whether two names are equal. Most names of a token have three letters: looking at the first two of them here saves
/// the call that compares the rest.
fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    one.len() == other.len()
        && one.first() == other.first()
        && one.get(1) == other.get(1)
        && one == other
}

/// Where in eight bytes the first quote, backslash or control character stands.
///
/// All eight are looked at in one word: in each formula the high bit of a byte is set where it matches. Bytes above a
/// match may be wrong through a borrow, so only the first counts.
fn first_special(bytes: [u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_le_bytes(bytes);
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    let is_quote = is_zero(word ^ (ONES * u64::from(b'"')));
    let is_backslash = is_zero(word ^ (ONES * u64::from(b'\\')));
    let special = (is_control | is_quote | is_backslash) & HIGHS;
    (special != 0).then(|| special.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests;
