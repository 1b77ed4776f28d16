//! Reads the body of a request, of at most 64 KiB: a JSON object. [`form`](super::form) reads the other kind.

use std::{fmt, future::poll_fn, marker::PhantomData, pin::Pin, sync::Arc};

use ::axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use http::header::CONTENT_TYPE;
use http_body::Body as _;
use serde::{
    Deserialize, Deserializer,
    de::{
        self, DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
};
use zeroize::Zeroizing;

use super::{
    TokenApi,
    responses::{ApiError, FieldErrors, Json},
};
use tower_bearer::{Authenticated, json};

/// The maximum length of an accepted body, in bytes.
const LIMIT: usize = 64 * 1024;

/// A longer body is read up to this length and discarded. If the server closed the connection earlier, the client could
/// not read the answer.
const DRAINED: usize = 4 * 1024 * 1024;

/// Reads the object in the body of a request. An empty body is an object without members, whatever its media type.
///
/// A caller can send its body slowly. So its access token is checked again after the body was read: by then the token
/// may have expired or been revoked. That answer takes precedence over any error of the body.
impl<T: DeserializeOwned> FromRequest<Arc<TokenApi>> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Arc<TokenApi>) -> Result<Self, ApiError> {
        let (content_type, content) = receive(request, api).await?;
        if content.is_empty() {
            return parse(b"{}");
        }
        check_media_type(&content_type, b"application/json")?;
        parse(&content)
    }
}

/// Reads the whole body of a request, and checks the caller again. Returns the content type and the content.
pub(super) async fn receive(
    request: Request,
    api: &TokenApi,
) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), ApiError> {
    let (parts, body) = request.into_parts();
    let content = read(body).await;
    if let Some(caller) = parts.extensions.get::<Authenticated>() {
        api.issuer.recheck(caller).await?;
    }
    let content_type = parts.headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_vec());
    Ok((content_type.unwrap_or_default(), content?))
}

/// Reads the body. The content is wiped after it was parsed, because it may hold a password. If the client names the
/// length, the buffer is allocated once, so that no partial copies are left behind.
async fn read(mut body: Body) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let named = usize::try_from(body.size_hint().lower()).unwrap_or(LIMIT);
    let mut content = Zeroizing::new(Vec::with_capacity(named.min(LIMIT)));
    let mut length = 0_usize;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| ApiError::BrokenBody)?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length <= LIMIT {
            content.extend_from_slice(&data);
        } else if length > DRAINED {
            break;
        }
    }
    if length > LIMIT { Err(ApiError::BodyTooLarge(LIMIT)) } else { Ok(content) }
}

/// Accepts one media type with any parameters: JSON has one encoding (RFC 8259 section 8.1), and so has a form (RFC
/// 6749 appendix B).
pub(super) fn check_media_type(content_type: &[u8], expected: &[u8]) -> Result<(), ApiError> {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    if media_type.trim_ascii().eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(ApiError::UnsupportedMediaType(String::from_utf8_lossy(content_type).into_owned()))
}

fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<Json<T>, ApiError> {
    match json::from_slice(content).map_err(ApiError::Json)? {
        Document::Object(body) => Ok(Json(body)),
        Document::Null => Err(FieldErrors::of_request("No data provided").into()),
        Document::Other(kind) => {
            let message = format!("Invalid data. Expected a dictionary, but got {kind}.");
            Err(FieldErrors::of_request(message).into())
        }
    }
}

enum Document<T> {
    Object(T),
    Null,
    /// Another value, with Python's name for its type.
    Other(&'static str),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Document<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor(PhantomData))
    }
}

struct DocumentVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for DocumentVisitor<T> {
    type Value = Document<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Document<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Document::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Document<T>, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Document::Other("list"))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Document<T>, E> {
        Ok(Document::Null)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Document<T>, E> {
        Ok(Document::Other("str"))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Document<T>, E> {
        Ok(Document::Other("bool"))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Document<T>, E> {
        Ok(Document::Other("int"))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Document<T>, E> {
        Ok(Document::Other("int"))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Document<T>, E> {
        Ok(Document::Other("float"))
    }
}
