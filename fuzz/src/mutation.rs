//! Changes to the bytes of a token. Each makes a different text, which must be rejected.

use arbitrary::Arbitrary;

#[derive(Clone, Debug, Arbitrary)]
pub enum Mutation<'a> {
    FlipBit {
        at: u16,
        bit: u8,
    },
    Replace {
        at: u16,
        byte: u8,
    },
    Insert {
        at: u16,
        bytes: &'a [u8],
    },
    Remove {
        at: u16,
        length: u8,
    },
    Double {
        at: u16,
        length: u8,
    },
    Append(&'a [u8]),
    Prepend(&'a [u8]),
    /// `=` after a part. The number may or may not be the one that padded base64 would have.
    Pad {
        part: u8,
        count: u8,
    },
    /// Bits after the last byte of a part. They have no meaning.
    TrailingBits {
        part: u8,
        bits: u8,
    },
    /// `+` and `/` instead of `-` and `_`.
    OtherAlphabet {
        part: u8,
    },
    SwapParts {
        one: u8,
        other: u8,
    },
    PartAgain {
        part: u8,
        instead_of: u8,
    },
    EmptyPart {
        part: u8,
    },
    /// Changes the case of a letter.
    Case {
        at: u16,
    },
    PercentEncode {
        at: u16,
    },
    BreakLine {
        at: u16,
        width: u8,
    },
}

/// These changes are made to every token.
pub const ALWAYS: [Mutation<'static>; 18] = [
    Mutation::Append(b"="),
    Mutation::Append(b"=="),
    Mutation::Append(b"."),
    Mutation::Append(b" "),
    Mutation::Append(b"\n"),
    Mutation::Append(b"\0"),
    Mutation::Append(b"A"),
    Mutation::Prepend(b" "),
    Mutation::Prepend(b"."),
    Mutation::Prepend(b"Bearer "),
    Mutation::Pad { part: 0, count: 1 },
    Mutation::Pad { part: 1, count: 2 },
    Mutation::TrailingBits { part: 2, bits: 1 },
    Mutation::TrailingBits { part: 2, bits: 2 },
    Mutation::OtherAlphabet { part: 2 },
    Mutation::SwapParts { one: 0, other: 1 },
    Mutation::EmptyPart { part: 2 },
    Mutation::Remove { at: u16::MAX, length: 1 },
];

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Mutation<'_> {
    /// The bytes after the change. They may be the same as before.
    pub fn of(&self, token: &str) -> Vec<u8> {
        let mut bytes = token.as_bytes().to_vec();
        let place = |at: u16| usize::from(at).min(bytes.len() - 1);
        match *self {
            Self::FlipBit { at, bit } => {
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= 1 << (bit % 8);
            }
            Self::Replace { at, byte } => {
                let at = place(at);
                bytes[at] = byte;
            }
            Self::Insert { at, bytes: new } => {
                let at = place(at);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Remove { at, length } => {
                let at = place(at);
                let end = (at + usize::from(length)).min(bytes.len());
                bytes.drain(at..end);
            }
            Self::Double { at, length } => {
                let at = place(at);
                let end = (at + usize::from(length)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(end..end, part);
            }
            Self::Append(new) => bytes.extend(new),
            Self::Prepend(new) => {
                bytes.splice(0..0, new.iter().copied());
            }
            Self::Case { at } => {
                let at = usize::from(at) % bytes.len();
                if bytes[at].is_ascii_alphabetic() {
                    bytes[at] ^= 0x20;
                }
            }
            Self::PercentEncode { at } => {
                let at = place(at);
                let encoded = format!("%{:02X}", bytes[at]);
                bytes.splice(at..=at, encoded.into_bytes());
            }
            Self::BreakLine { at, width } => {
                let at = place(at);
                let line: &[u8] = if width % 2 == 0 { b"\r\n " } else { b"\n" };
                bytes.splice(at..at, line.iter().copied());
            }
            Self::Pad { part, count } => {
                return with_part(token, part, |text| text + &"=".repeat((count % 4).into()));
            }
            Self::TrailingBits { part, bits } => {
                return with_part(token, part, |text| trailing_bits(text, bits));
            }
            Self::OtherAlphabet { part } => {
                return with_part(token, part, |text| text.replace('-', "+").replace('_', "/"));
            }
            Self::EmptyPart { part } => return with_part(token, part, |_| String::new()),
            Self::SwapParts { one, other } => {
                let mut parts: Vec<&str> = token.split('.').collect();
                let count = parts.len();
                parts.swap(usize::from(one) % count, usize::from(other) % count);
                return parts.join(".").into_bytes();
            }
            Self::PartAgain { part, instead_of } => {
                let mut parts: Vec<&str> = token.split('.').collect();
                let count = parts.len();
                parts[usize::from(instead_of) % count] = parts[usize::from(part) % count];
                return parts.join(".").into_bytes();
            }
        }
        bytes
    }
}

fn with_part(token: &str, part: u8, change: impl FnOnce(String) -> String) -> Vec<u8> {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let place = usize::from(part) % parts.len();
    parts[place] = change(std::mem::take(&mut parts[place]));
    parts.join(".").into_bytes()
}

/// Two base64 characters have four bits more than their byte. Three have two bits more than their two bytes.
fn trailing_bits(text: String, bits: u8) -> String {
    let free = match text.len() % 4 {
        2 => 0b1111,
        3 => 0b11,
        _ => 0,
    };
    let mut bytes = text.into_bytes();
    if let Some(last) = bytes.last_mut()
        && let Some(value) = ALPHABET.iter().position(|character| character == last)
    {
        *last = ALPHABET[value ^ usize::from(bits & free)];
    }
    String::from_utf8(bytes).expect("base64 is ASCII")
}
