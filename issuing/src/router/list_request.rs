//! Reads the query of a list, and writes the links to its other pages.

use std::{collections::BTreeMap, sync::Arc};

use ::axum::extract::{FromRequestParts, OriginalUri};
use form_urlencoded::{Serializer, parse};
use http::request::Parts;

use super::{
    TokenApi, public_url,
    responses::{ApiError, FieldErrors},
};
use crate::{ListQuery, Page, PrivateTokenPage, SortBy};

/// The default number of tokens on a page, and the maximum.
const PAGE_SIZE: u32 = 20;
const MAX_PAGE_SIZE: u32 = 100;

/// The query of a list.
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

    fn into_query(self) -> Result<ListQuery, ApiError> {
        let page = page(&self.page.unwrap_or_default()).ok_or(ApiError::InvalidPage)?;
        let size = self.page_size.and_then(|size| page_size(&size)).unwrap_or(PAGE_SIZE);
        let mut query = ListQuery::new().with_page(page).with_page_size(size);
        if let Some(text) = self.q.filter(|text| !text.is_empty()) {
            if text.contains('\0') {
                return Err(FieldErrors::of("q", "Null characters are not allowed.").into());
            }
            query = query.with_search(text);
        }
        for (by, descending) in ordering(&self.ordering.unwrap_or_default()) {
            query = query.add_ordering(by, descending);
        }
        Ok(query)
    }
}

/// The page that a request asks for.
pub(super) struct ListRequest {
    pub(super) query: ListQuery,
    /// The query as the client wrote it.
    parameters: String,
    /// The URL of the list without its query; `None` if the request does not name a valid host.
    url: Option<String>,
}

impl FromRequestParts<Arc<TokenApi>> for ListRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<TokenApi>) -> Result<Self, ApiError> {
        let parameters = parts.uri.query().unwrap_or_default().to_owned();
        let query = ListParameters::parse(&parameters).into_query()?;
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

impl ListRequest {
    /// The URLs of the next page and the previous one.
    pub(super) fn links(&self, page: &PrivateTokenPage) -> Result<[Option<String>; 2], ApiError> {
        let [next, previous] = neighbours(&self.parameters, &self.query, page);
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
fn neighbours(query: &str, list: &ListQuery, page: &PrivateTokenPage) -> [Option<String>; 2] {
    let seen = page.number.saturating_mul(u64::from(list.page_size));
    let next = (seen < page.count).then(|| with_page(query, page.number.saturating_add(1)));
    let previous = (page.number > 1).then(|| with_page(query, page.number - 1));
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
fn page_size(text: &str) -> Option<u32> {
    let size = number(text).filter(|size| *size > 0)?;
    Some(u32::try_from(size).unwrap_or(MAX_PAGE_SIZE).min(MAX_PAGE_SIZE))
}

/// A number that is too large counts as the largest `u64`.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Fields that are separated by commas, with `-` for descending order. Unknown fields are ignored.
fn ordering(text: &str) -> Vec<(SortBy, bool)> {
    let mut fields = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (name, descending) = match part.strip_prefix('-') {
            Some(name) => (name, true),
            None => (part, false),
        };
        let by = match name {
            "id" => SortBy::Id,
            "name" => SortBy::Name,
            "expiration_time" => SortBy::ExpiresAt,
            "created_at" => SortBy::CreatedAt,
            "last_used_at" => SortBy::LastUsedAt,
            _ => continue,
        };
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
        ListParameters::parse(text).into_query().unwrap()
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
            let error = ListParameters::parse(bad).into_query().err();
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
    }

    #[test]
    fn links_keep_the_other_parameters_and_escape_them() {
        let text = "q=%26a%3D%22%3C%C3%A9&page=2&page_size=1&x=2&x=1";
        let page = PrivateTokenPage::new(3, 2, Vec::new());
        let [next, previous] = neighbours(text, &query(text), &page);
        assert_eq!(next.unwrap(), "page=3&page_size=1&q=%26a%3D%22%3C%C3%A9&x=2&x=1");
        assert_eq!(previous.unwrap(), "page_size=1&q=%26a%3D%22%3C%C3%A9&x=2&x=1");
    }
}
