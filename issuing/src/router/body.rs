//! The body of a request: bounded, JSON, an object.

use std::{fmt, future::poll_fn, pin::Pin};

use ::axum::body::Body;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use http_body::Body as _;
use serde::{
    Deserializer as _,
    de::{self, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::answers::{FieldErrors, Refusal, detail};

/// The longest body that is read.
const LIMIT: usize = 64 * 1024;

/// What is thrown away of a longer one, so that the client gets to read the answer: a connection that is closed while
/// it still sends is reset.
const DRAINED: usize = 4 * 1024 * 1024;

/// The members of the object that a request carries. No body is an object without members, whatever its type.
pub(super) async fn read_object(
    headers: &HeaderMap,
    body: Body,
) -> Result<Map<String, Value>, Refusal> {
    let content = read(body).await?;
    if content.is_empty() {
        return Ok(Map::new());
    }
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    if !is_json(content_type) {
        let name = String::from_utf8_lossy(content_type);
        let text = format!("Unsupported media type \"{name}\" in request.");
        return Err(detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into());
    }
    match parse(&content)? {
        Document::Object(members) => Ok(members),
        Document::Null => Err(FieldErrors::of_none("No data provided").into()),
        Document::Other(kind) => {
            let text = format!("Invalid data. Expected a dictionary, but got {kind}.");
            Err(FieldErrors::of_none(text).into())
        }
    }
}

/// Wiped when it was parsed: it may hold a password. It has its size from the start where the client names one, so that
/// it leaves no copies behind by growing.
async fn read(mut body: Body) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let named = usize::try_from(body.size_hint().lower()).unwrap_or(LIMIT);
    let mut content = Zeroizing::new(Vec::with_capacity(named.min(LIMIT)));
    let mut length = 0_usize;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        // The client has gone or sends what is no HTTP.
        let frame = frame.map_err(|_| detail(StatusCode::BAD_REQUEST, "Malformed request."))?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length <= LIMIT {
            content.extend_from_slice(&data);
        } else if length > DRAINED {
            break;
        }
    }
    if length > LIMIT {
        let text = format!("Request body is larger than {LIMIT} bytes.");
        return Err(detail(StatusCode::PAYLOAD_TOO_LARGE, text).into());
    }
    Ok(content)
}

/// `application/json`, with whatever parameters: JSON has one encoding (RFC 8259 section 8.1).
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

fn parse(content: &[u8]) -> Result<Document, Refusal> {
    let bad = |why: &dyn fmt::Display| {
        detail(StatusCode::BAD_REQUEST, format_args!("JSON parse error - {why}"))
    };
    // Checked before, because what is skipped is not.
    let text = std::str::from_utf8(content).map_err(|_| bad(&"the text is not UTF-8"))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    // Errors name positions and nothing of the text.
    let document = reader.deserialize_any(DocumentVisitor).map_err(|error| bad(&error))?;
    reader.end().map_err(|error| bad(&error))?;
    Ok(document)
}

enum Document {
    Object(Map<String, Value>),
    Null,
    /// Something else, in Python's word for it.
    Other(&'static str),
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            // Which of the two is meant? Readers differ, so that none may choose.
            if members.insert(name, map.next_value()?).is_some() {
                return Err(A::Error::custom("a member stands there twice"));
            }
        }
        Ok(Document::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Document, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Document::Other("list"))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Document, E> {
        Ok(Document::Null)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Document, E> {
        Ok(Document::Other("str"))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Document, E> {
        Ok(Document::Other("bool"))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Document, E> {
        Ok(Document::Other("int"))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Document, E> {
        Ok(Document::Other("int"))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Document, E> {
        Ok(Document::Other("float"))
    }
}
