//! The query of a list, and the links to its other pages.

use std::collections::BTreeMap;

use form_urlencoded::{Serializer, parse};

use super::answers::FieldErrors;
use crate::{ListQuery, Page, PrivateTokenPage, SortBy};

/// How many tokens are on a page unless the client says otherwise, and how many at most.
const PAGE_SIZE: u32 = 20;
const MAX_PAGE_SIZE: u32 = 100;

/// What the client asks for. Of a parameter that stands there several times the last counts.
///
/// `None` where the page is no number: there is no such page.
pub(super) fn read(query: &str) -> Result<Option<ListQuery>, FieldErrors> {
    let last = |name: &str| {
        parse(query.as_bytes()).filter(|(key, _)| key == name).last().map(|(_, value)| value)
    };
    let Some(page) = page(&last("page").unwrap_or_default()) else { return Ok(None) };
    let mut list = ListQuery::new()
        .with_page(page)
        .with_page_size(last("page_size").and_then(|size| page_size(&size)).unwrap_or(PAGE_SIZE));
    if let Some(text) = last("q").filter(|text| !text.is_empty()) {
        if text.contains('\0') {
            return Err(FieldErrors::of("q", "Null characters are not allowed."));
        }
        list = list.with_search(text);
    }
    for (by, descending) in ordering(&last("ordering").unwrap_or_default()) {
        list = list.add_ordering(by, descending);
    }
    Ok(Some(list))
}

/// The query strings of the next page and the previous one. The other parameters stay, in the order of their names; the
/// first page has no number.
pub(super) fn neighbours(
    query: &str,
    list: &ListQuery,
    page: &PrivateTokenPage,
) -> [Option<String>; 2] {
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

/// Bad sizes are ignored, large ones are capped.
fn page_size(text: &str) -> Option<u32> {
    let size = number(text).filter(|size| *size > 0)?;
    Some(u32::try_from(size).unwrap_or(MAX_PAGE_SIZE).min(MAX_PAGE_SIZE))
}

/// A number too large to be one is the largest.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Fields, separated by commas, each with `-` for descending; unknown ones are ignored.
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
        // A field that stands there again orders nothing more; so no query makes a long statement.
        if fields.iter().all(|(known, _)| *known != by) {
            fields.push((by, descending));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> ListQuery {
        read(text).ok().flatten().unwrap()
    }

    #[test]
    fn bad_sizes_are_ignored_and_large_ones_capped() {
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
            assert_eq!(read(bad).ok(), Some(None), "{bad}");
        }
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
