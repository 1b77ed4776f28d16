//! Reads the query of a list, and writes the links to its other pages.

use std::{collections::BTreeMap, sync::Arc};

use ::axum::extract::{FromRequestParts, OriginalUri};
use form_urlencoded::{Serializer, parse};
use http::request::Parts;

use super::{
    TokenApi, public_url,
    responses::{ApiError, FieldErrors},
};
use crate::{ListQuery, Page, SessionQuery, SessionSortBy, SortBy};

/// The default number of items on a page, and the maximum.
pub(super) const PAGE_SIZE: u32 = 20;
const MAX_PAGE_SIZE: u32 = 100;

/// The parameters of a list. A list of sessions has no `q`.
#[derive(Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
pub(super) struct ListParameters {
    /// `name`, `expiration_time`, `id`, `created_at` or `last_used_at`, with `-` in front for descending order. Several
    /// are separated by commas. Unknown fields are ignored.
    ordering: Option<String>,
    /// Lists only tokens whose name contains this text, in upper or lower case.
    q: Option<String>,
    /// A number from 1 up, or `last`.
    page: Option<String>,
    /// Up to 100; the default is 20. Bad values are ignored.
    #[cfg_attr(feature = "openapi", param(value_type = Option<u32>))]
    page_size: Option<String>,
}

impl ListParameters {
    /// If a parameter is repeated, the last one counts.
    fn parse(query: &str) -> Self {
        let mut parameters = Self::default();
        for (name, value) in parse(query.as_bytes()) {
            let parameter = match &*name {
                "ordering" => &mut parameters.ordering,
                "q" => &mut parameters.q,
                "page" => &mut parameters.page,
                "page_size" => &mut parameters.page_size,
                _ => continue,
            };
            *parameter = Some(value.into_owned());
        }
        parameters
    }

    fn page(&self) -> Result<Page, ApiError> {
        page(self.page.as_deref().unwrap_or_default()).ok_or(ApiError::InvalidPage)
    }

    fn page_size(&self) -> u32 {
        self.page_size.as_deref().and_then(page_size).unwrap_or(PAGE_SIZE)
    }

    fn ordering<B: PartialEq>(&self, by: impl Fn(&str) -> Option<B>) -> Vec<(B, bool)> {
        ordering(self.ordering.as_deref().unwrap_or_default(), by)
    }
}

/// A query that parameters ask for.
pub(super) trait FromParameters: Sized {
    fn from_parameters(parameters: ListParameters) -> Result<Self, ApiError>;

    fn page_size(&self) -> u32;
}

impl FromParameters for ListQuery {
    fn from_parameters(parameters: ListParameters) -> Result<Self, ApiError> {
        let page = parameters.page()?;
        let mut query = Self::new().with_page(page).with_page_size(parameters.page_size());
        query.ordering = parameters.ordering(|name| match name {
            "id" => Some(SortBy::Id),
            "name" => Some(SortBy::Name),
            "expiration_time" => Some(SortBy::ExpiresAt),
            "created_at" => Some(SortBy::CreatedAt),
            "last_used_at" => Some(SortBy::LastUsedAt),
            _ => None,
        });
        let Some(text) = parameters.q.filter(|text| !text.is_empty()) else { return Ok(query) };
        if text.contains('\0') {
            return Err(FieldErrors::of("q", "Null characters are not allowed.").into());
        }
        Ok(query.with_search(text))
    }

    fn page_size(&self) -> u32 {
        self.page_size
    }
}

impl FromParameters for SessionQuery {
    fn from_parameters(parameters: ListParameters) -> Result<Self, ApiError> {
        let page = parameters.page()?;
        let mut query = Self::new().with_page(page).with_page_size(parameters.page_size());
        query.ordering = parameters.ordering(|name| match name {
            "id" => Some(SessionSortBy::Id),
            "created_at" => Some(SessionSortBy::CreatedAt),
            "last_used_at" => Some(SessionSortBy::LastUsedAt),
            "expires_at" => Some(SessionSortBy::ExpiresAt),
            _ => None,
        });
        Ok(query)
    }

    fn page_size(&self) -> u32 {
        self.page_size
    }
}

/// The page that a request asks for.
pub(super) struct ListRequest<Q> {
    pub(super) query: Q,
    /// The query as the client wrote it.
    parameters: String,
    /// The URL of the list without its query; `None` if the request does not name a valid host.
    url: Option<String>,
}

impl<Q: FromParameters> FromRequestParts<Arc<TokenApi>> for ListRequest<Q> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<TokenApi>) -> Result<Self, ApiError> {
        let parameters = parts.uri.query().unwrap_or_default().to_owned();
        let query = Q::from_parameters(ListParameters::parse(&parameters))?;
        let base = match &api.public_url {
            Some(url) => Some(url.to_string()),
            None => public_url::of_request(&parts.uri, &parts.headers),
        };
        // The path includes the prefix under which the router is nested.
        let path = match parts.extensions.get::<OriginalUri>() {
            Some(OriginalUri(uri)) => uri.path(),
            None => parts.uri.path(),
        };
        let url = base.map(|base| format!("{base}{path}"));
        Ok(Self { query, parameters, url })
    }
}

impl<Q: FromParameters> ListRequest<Q> {
    /// The URLs of the page after page `number` of `count` items, and of the page before it.
    pub(super) fn links(&self, count: u64, number: u64) -> Result<[Option<String>; 2], ApiError> {
        let size = self.query.page_size();
        let [next, previous] = neighbours(&self.parameters, size, count, number);
        Ok([self.link(next)?, self.link(previous)?])
    }

    fn link(&self, query: Option<String>) -> Result<Option<String>, ApiError> {
        let Some(query) = query else { return Ok(None) };
        let url = self.url.as_ref().ok_or(ApiError::InvalidHost)?;
        Ok(Some(if query.is_empty() { url.clone() } else { format!("{url}?{query}") }))
    }
}

/// The query strings of the next page and the previous one. The other parameters stay, in the order of their names. The
/// link to the first page has no `page` parameter.
fn neighbours(query: &str, page_size: u32, count: u64, number: u64) -> [Option<String>; 2] {
    let seen = number.saturating_mul(u64::from(page_size));
    let next = (seen < count).then(|| with_page(query, number.saturating_add(1)));
    let previous = (number > 1).then(|| with_page(query, number - 1));
    [next, previous]
}

fn with_page(query: &str, number: u64) -> String {
    let mut parameters = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in parse(query.as_bytes()).filter(|(name, _)| name != "page") {
        parameters.entry(name).or_default().push(value);
    }
    if number > 1 {
        parameters.insert("page".into(), vec![number.to_string().into()]);
    }
    let mut serializer = Serializer::new(String::new());
    for (name, values) in &parameters {
        for value in values {
            serializer.append_pair(name, value);
        }
    }
    serializer.finish()
}

fn page(text: &str) -> Option<Page> {
    match text {
        "" => Some(Page::Number(1)),
        "last" => Some(Page::Last),
        _ => number(text).map(Page::Number),
    }
}

/// Ignores invalid sizes. Lowers large ones to the maximum.
pub(super) fn page_size(text: &str) -> Option<u32> {
    let size = number(text).filter(|size| *size > 0)?;
    Some(u32::try_from(size).unwrap_or(MAX_PAGE_SIZE).min(MAX_PAGE_SIZE))
}

/// A number that is too large counts as the largest `u64`.
pub(super) fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Fields that are separated by commas, with `-` for descending order. Unknown fields are ignored.
fn ordering<B: PartialEq>(text: &str, by: impl Fn(&str) -> Option<B>) -> Vec<(B, bool)> {
    let mut fields = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (name, descending) = match part.strip_prefix('-') {
            Some(name) => (name, true),
            None => (part, false),
        };
        let Some(by) = by(name) else { continue };
        // A repeated field changes nothing, so it is left out. This bounds the length of the SQL statement.
        if fields.iter().all(|(other, _)| *other != by) {
            fields.push((by, descending));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> ListQuery {
        ListQuery::from_parameters(ListParameters::parse(text)).unwrap()
    }

    #[test]
    fn bad_sizes_are_ignored_and_large_ones_are_lowered() {
        let sizes = ["page_size=7", "page_size=0", "page_size=-1", "page_size=x", "page_size="];
        let read = sizes.map(|text| query(text).page_size);
        assert_eq!(read, [7, PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, PAGE_SIZE]);
        assert_eq!(query("page_size=99999999999999999999999").page_size, MAX_PAGE_SIZE);
    }

    #[test]
    fn a_page_is_a_number_or_last() {
        assert_eq!(query("page=3").page, Page::Number(3));
        assert_eq!(query("page=last").page, Page::Last);
        assert_eq!(query("page=").page, Page::Number(1));
        for bad in ["page=x", "page=-1", "page=1.5", "page=%FF"] {
            let error = ListQuery::from_parameters(ListParameters::parse(bad)).err();
            assert!(matches!(error, Some(ApiError::InvalidPage)), "{bad}");
        }
    }

    #[test]
    fn the_last_of_repeated_parameters_counts() {
        assert_eq!(query("page=2&page_size=5&page=3").page, Page::Number(3));
        assert_eq!(query("page=x&page=3").page, Page::Number(3));
    }

    #[test]
    fn unknown_and_repeated_orderings_are_ignored() {
        let ordering = query("ordering=-name,password,,id,name,--id").ordering;
        assert_eq!(ordering, [(SortBy::Name, true), (SortBy::Id, false)]);
        let parameters =
            ListParameters::parse("ordering=-expires_at,name,subject,created_at&q=%00");
        let ordering = SessionQuery::from_parameters(parameters).unwrap().ordering;
        assert_eq!(ordering, [(SessionSortBy::ExpiresAt, true), (SessionSortBy::CreatedAt, false)]);
    }

    #[test]
    fn links_keep_the_other_parameters_and_escape_them() {
        let text = "q=%26a%3D%22%3C%C3%A9&page=2&page_size=1&x=2&x=1";
        let [next, previous] = neighbours(text, 1, 3, 2);
        assert_eq!(next.unwrap(), "page=3&page_size=1&q=%26a%3D%22%3C%C3%A9&x=2&x=1");
        assert_eq!(previous.unwrap(), "page_size=1&q=%26a%3D%22%3C%C3%A9&x=2&x=1");
    }
}
