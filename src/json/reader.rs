//! The JSON reader: one pass over the bytes. It makes the objects of `value`.

use std::{borrow::Cow, collections::HashSet};

use super::value::{Member, Members, Object, Span, Text, Value, ValueKind, read_escape};

/// The maximum number of nesting levels, including the outermost object.
pub(crate) const MAX_DEPTH: usize = 32;

/// Names with this prefix have a special meaning in serde_json. Any crate of a build can enable the features that add
/// it.
pub(super) const PRIVATE_TO_SERDE: &str = "$serde_json::private::";

/// The first names of an object, up to this number, are compared one by one. Further names are compared by hash. So
/// small objects are cheap, and an object with a thousand names does not need a million comparisons.
const FEW_NAMES: usize = 16;

/// Whether the text is exactly one number.
pub(super) fn is_number(text: &str) -> bool {
    let mut reader = Reader::new(text, 0);
    reader.number().is_some() && reader.is_at_end()
}

impl<'a> Object<'a> {
    /// Reads `text` as exactly one object. Returns `None` if the text breaks a rule.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut object = Self::unread(text);
        object.read().map(|()| object)
    }

    /// An object without members, before [`read`](Self::read). It is filled in place, because it is large.
    pub(crate) fn unread(text: &'a str) -> Self {
        Self { text, members: Members::new() }
    }

    pub(crate) fn read(&mut self) -> Option<()> {
        // Positions are stored in 32 bits.
        u32::try_from(self.text.len()).ok()?;
        self.members.clear();
        let mut reader = Reader::new(self.text, 0);
        reader.skip_white_space();
        reader.object(1, &mut self.members)?;
        reader.skip_white_space();
        reader.is_at_end().then_some(())
    }

    /// Passes the elements of the array at `position`, with their positions, to `each`. Stops if `each` returns `None`,
    /// or if an element is not a string.
    pub(crate) fn strings_at(
        &self,
        position: usize,
        mut each: impl FnMut(Span, Text<'a>) -> Option<()>,
    ) -> Option<()> {
        let array = self.members.get(position).filter(|member| member.kind == ValueKind::Array)?;
        Reader::new(self.text, array.value.start as usize).elements(1, |kind, span| {
            let has_escapes = match kind {
                ValueKind::String => false,
                ValueKind::StringWithEscapes => true,
                _ => return None,
            };
            each(span, Text { raw: span.of(self.text)?, has_escapes })
        })
    }
}

impl<'a> Value<'a> {
    /// The elements, if all elements of this array are strings.
    pub(crate) fn as_strings(self) -> Option<Vec<Cow<'a, str>>> {
        let Self::Array(text) = self else { return None };
        let mut strings = Vec::new();
        Reader::new(text, 0).elements(1, |kind, span| {
            let has_escapes = match kind {
                ValueKind::String => false,
                ValueKind::StringWithEscapes => true,
                _ => return None,
            };
            strings.push(Text { raw: span.of(text)?, has_escapes }.resolve());
            Some(())
        })?;
        Some(strings)
    }
}

pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts reading at `at`. Positions in a text longer than 4 GiB are not stored.
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Moves past `byte` if it is the next one.
    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline(always)]
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    #[inline(always)]
    pub(super) fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn since(&self, start: usize) -> Option<&'a str> {
        self.text.get(start..self.at)
    }

    /// The part from `start` to the current position.
    #[inline(always)]
    fn span_since(&self, start: usize) -> Option<Span> {
        Some(Span { start: u32::try_from(start).ok()?, end: u32::try_from(self.at).ok()? })
    }

    /// Reads items between brackets, with commas between them. `item` reads one item.
    #[inline(always)]
    pub(super) fn list(
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

    pub(super) fn object(&mut self, depth: usize, members: &mut Members) -> Option<()> {
        let mut names = NamesOfObject::default();
        // A separate reader, so that its position can stay in a register.
        let mut reader = Self { ..*self };
        reader.list(b'{', b'}', |reader| {
            let (name, name_has_escapes) = reader.string()?;
            reader.skip_white_space();
            reader.expect(b':')?;
            reader.skip_white_space();
            if !names.is_new(name, name_has_escapes, reader.text, members)? {
                return None;
            }
            let (kind, value) = reader.value(depth)?;
            members.push(Member { name, value, name_has_escapes, kind });
            Some(())
        })?;
        self.at = reader.at;
        Some(())
    }

    /// Continues to read in a separate function, for values that most claims do not have. The function gets a copy of
    /// the reader, so that the position of this reader stays in a register.
    #[inline(always)]
    fn apart<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut other = Self { ..*self };
        let result = read(&mut other)?;
        self.at = other.at;
        Some(result)
    }

    pub(super) fn elements(
        &mut self,
        depth: usize,
        mut each: impl FnMut(ValueKind, Span) -> Option<()>,
    ) -> Option<()> {
        self.list(b'[', b']', |reader| {
            let (kind, span) = reader.value(depth)?;
            each(kind, span)
        })
    }

    /// The text of a value, from its first quote or bracket to the closing one.
    pub(super) fn unread_value(&mut self) -> Option<&'a str> {
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
            // An escape, or a control character. The reader of the value will reject a control character.
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

    /// Reads a value inside of `depth` levels.
    #[inline(always)]
    pub(super) fn value(&mut self, depth: usize) -> Option<(ValueKind, Span)> {
        let start = self.at;
        match self.peek()? {
            b'"' => {
                let (span, has_escapes) = self.string()?;
                let kind =
                    if has_escapes { ValueKind::StringWithEscapes } else { ValueKind::String };
                Some((kind, span))
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
                Some((ValueKind::Number, self.span_since(start)?))
            }
            first => self.apart(|reader| reader.other_value(first, depth)),
        }
    }

    /// Reads a value that claims seldom have. It is separate, so that the code for usual values stays together.
    #[inline(never)]
    fn other_value(&mut self, first: u8, depth: usize) -> Option<(ValueKind, Span)> {
        let start = self.at;
        let kind = match first {
            b'{' if depth < MAX_DEPTH => {
                self.object(depth + 1, &mut Members::new())?;
                ValueKind::Object
            }
            b'[' if depth < MAX_DEPTH => {
                self.elements(depth + 1, |_, _| Some(()))?;
                ValueKind::Array
            }
            b't' => self.literal("true", ValueKind::True)?,
            b'f' => self.literal("false", ValueKind::False)?,
            b'n' => self.literal("null", ValueKind::Null)?,
            _ => return None,
        };
        Some((kind, self.span_since(start)?))
    }

    fn literal(&mut self, word: &str, kind: ValueKind) -> Option<ValueKind> {
        self.text.get(self.at..)?.starts_with(word).then(|| {
            self.at += word.len();
            kind
        })
    }

    #[inline(always)]
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    #[inline(always)]
    fn number(&mut self) -> Option<()> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if !matches!(self.peek(), Some(b'e' | b'E')) && self.at - start <= 300 {
            return Some(());
        }
        self.apart(|reader| reader.exponent(start))
    }

    /// Reads the rest of a number that has an exponent or more than 300 characters. Only such a number can overflow.
    #[inline(never)]
    fn exponent(&mut self, start: usize) -> Option<()> {
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        self.since(start)?.parse::<f64>().is_ok_and(f64::is_finite).then_some(())
    }

    /// Reads a string. Returns the part between its quotes, and whether it has escapes. The escapes are checked.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Option<(Span, bool)> {
        self.expect(b'"')?;
        let start = self.at;
        self.skip_plain_characters();
        let has_escapes = self.peek()? == b'\\';
        if has_escapes {
            self.apart(Self::skip_escapes)?;
        }
        let span = self.span_since(start)?;
        self.expect(b'"')?;
        Some((span, has_escapes))
    }

    /// Moves from the first escape to the byte that ends the string.
    #[inline(never)]
    fn skip_escapes(&mut self) -> Option<()> {
        while self.take(b'\\') {
            self.escape()?;
            self.skip_plain_characters();
        }
        Some(())
    }

    /// Moves to the next byte that ends a string, begins an escape or is a control character.
    #[inline(always)]
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

    fn escape(&mut self) -> Option<char> {
        let (character, length) = read_escape(self.text.as_bytes().get(self.at..)?)?;
        self.at += length;
        Some(character)
    }
}

/// Information about the names of one object. It makes it fast to find out that a name is new.
#[derive(Default)]
struct NamesOfObject {
    /// The first eight bytes of each of the first names.
    starts: [u64; FEW_NAMES],
    have_escapes: bool,
    /// All names, if there are many.
    hashed: Option<HashSet<String>>,
}

impl NamesOfObject {
    /// Whether an object that has `members` may have one more member with this name. It must have been called for
    /// each of the members before.
    #[inline(always)]
    fn is_new(
        &mut self,
        name: Span,
        has_escapes: bool,
        text: &str,
        members: &Members,
    ) -> Option<bool> {
        let start = start_of(name, text)?;
        self.have_escapes |= has_escapes;
        let known = self.starts.get(..members.len()).unwrap_or_default();
        let is_usual = members.len() < FEW_NAMES && !self.have_escapes && start as u8 != b'$';
        let is_new = if is_usual && !known.contains(&start) {
            true
        } else {
            let name = Text { raw: name.of(text)?, has_escapes };
            self.is_new_at_length(&name.resolve(), text, members)
        };
        if let Some(own) = self.starts.get_mut(members.len()) {
            *own = start;
        }
        Some(is_new)
    }

    #[inline(never)]
    fn is_new_at_length(&mut self, name: &str, text: &str, members: &Members) -> bool {
        if name.starts_with(PRIVATE_TO_SERDE) {
            return false;
        }
        let mut known = members.iter().filter_map(|member| member.name_in(text));
        if members.len() < FEW_NAMES {
            return known.all(|known| !known.is(name));
        }
        let names = || known.map(|name| name.resolve().into_owned()).collect();
        self.hashed.get_or_insert_with(names).insert(name.to_owned())
    }
}

/// The first eight bytes of a part of a text. A shorter part is filled with zeros, which no name contains. So two names
/// of up to eight bytes are equal if this value is equal.
#[inline(always)]
fn start_of(part: Span, text: &str) -> Option<u64> {
    let bytes = text.as_bytes().get(part.start as usize..)?;
    let length = part.end.saturating_sub(part.start).min(8);
    match bytes.first_chunk() {
        Some(_) if length == 0 => Some(0),
        Some(word) => Some(u64::from_le_bytes(*word) << (64 - 8 * length) >> (64 - 8 * length)),
        // Near the end of the text.
        None => {
            let mut word = [0; 8];
            let start = bytes.get(..length as usize)?;
            word.iter_mut().zip(start).for_each(|(byte, start)| *byte = *start);
            Some(u64::from_le_bytes(word))
        }
    }
}

/// The position of the first quote, backslash or control character in eight bytes.
///
/// All eight bytes are compared in one word. In each formula the high bit of a byte is set if the byte matches. Bytes
/// above a match may be wrong because of a borrow, so only the first match counts.
pub(super) fn first_special(bytes: [u8; 8]) -> Option<usize> {
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
