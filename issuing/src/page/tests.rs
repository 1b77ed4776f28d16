use std::collections::BTreeSet;

use ::axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use tower::ServiceExt;
use tower_bearer::{Algorithm, jws::SigningKey};

use super::*;
use crate::{MemoryAccounts, Passwords, store::MemoryTokenStore};

fn api() -> TokenApi {
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let passwords = Passwords::new(MemoryAccounts::new()).unwrap();
    let store = MemoryTokenStore::new();
    TokenApi::new(
        &TokenIssuer::builder("issuer", "audience", key, store, passwords).build().unwrap(),
    )
}

fn page() -> TokenPage {
    api().page("/api/v1/auth/").unwrap()
}

async fn get(app: &Router, path: &str) -> (StatusCode, http::HeaderMap, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.into()).unwrap())
}

/// What the page loads: the values of `href` and `src` that are not links within the page.
fn loaded(html: &str) -> BTreeSet<&str> {
    let values = ["href=\"", "src=\""].into_iter().flat_map(|name| html.split(name).skip(1));
    values.map(|rest| rest.split('"').next().unwrap()).filter(|url| !url.starts_with('#')).collect()
}

#[tokio::test]
async fn the_browser_loads_less_than_60_kib() {
    let app = page().into_router();
    let (_, _, html) = get(&app, "/").await;
    let mut total = html.len();
    assert_eq!(loaded(&html).len(), 3, "{html}");
    for file in loaded(&html) {
        let (status, _, content) = get(&app, &format!("/{file}")).await;
        assert_eq!(status, StatusCode::OK, "{file}");
        total += content.len();
    }
    assert!((30_000..60 * 1024).contains(&total), "{total} bytes");
}

#[tokio::test]
async fn every_answer_has_the_headers_of_the_page() {
    let app = page().into_router();
    for path in ["/", "/page.js", "/style.css", "/icon.svg", "/no-such-file"] {
        let (_, headers, _) = get(&app, path).await;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        // For rules of the author.
        assert!(policy.contains("img-src 'self'; font-src 'self';"), "{policy}");
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(headers[name], value, "{path}");
        }
    }
    let (_, headers, _) = get(&app, "/page.js").await;
    assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
}

#[tokio::test]
async fn the_page_can_be_nested_at_any_path() {
    for prefix in ["/tokens", "/a:b/c", "/%22"] {
        let name = prefix.rsplit('/').next().unwrap();
        for (app, paths) in [
            (Router::new().nest(prefix, page().into_router()), vec![prefix.to_owned()]),
            (
                Router::new().nest_service(prefix, page().into_router()),
                vec![prefix.to_owned(), format!("{prefix}/")],
            ),
        ] {
            for path in paths {
                let (status, _, html) = get(&app, &path).await;
                assert_eq!(status, StatusCode::OK, "{path}");
                // The browser resolves these against the path of the page.
                let base = if path.ends_with('/') { String::new() } else { format!("./{name}/") };
                let files =
                    ["icon.svg", "page.js", "style.css"].map(|file| format!("{base}{file}"));
                assert_eq!(loaded(&html).into_iter().collect::<Vec<_>>(), files);
            }
            assert_eq!(get(&app, &format!("{prefix}/page.js")).await.0, StatusCode::OK);
        }
    }
    let (_, _, html) = get(&page().into_router(), "/").await;
    assert!(loaded(&html).contains("page.js"), "{html}");
}

#[test]
fn the_path_of_the_api_stays_on_the_origin_of_the_page() {
    for path in
        ["", "api", "//evil.example", "/\\evil.example", "https://a", "/a?b", "/a#b", "/a b", "/'"]
    {
        assert!(matches!(api().page(path), Err(PageError::ApiPath)), "{path}");
    }
    assert!(page().html().contains(r#"{"api":"/api/v1/auth","#));
    assert!(api().page("/").unwrap().html().contains(r#"{"api":"","#));
}

#[test]
fn every_text_is_used_and_every_used_text_exists() {
    let texts = parse_texts(TEXTS).unwrap();
    let named: BTreeSet<&str> = texts.keys().map(String::as_str).collect();
    let in_html = HTML.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap());
    let used: BTreeSet<&str> = in_html
        .filter(|name| !["base", "config"].contains(name))
        .chain(names_of_texts(SCRIPT))
        .collect();
    assert_eq!(named, used);
}

#[test]
fn texts_are_replaced_and_cannot_contain_markup() {
    let texts = r#"{ "lang": "de", "brand": "<b>&\"'", "copied": "</body>'", "api:No.": "Nein." }"#;
    let html = page().with_texts(texts).unwrap().html();
    assert!(html.contains(r#"<html lang="de" dir="ltr">"#));
    assert!(html.contains("&lt;b&gt;&amp;&quot;&#39;</span>"));
    assert!(
        html.contains(r#""copied":"&lt;/body>&#39;""#) && html.contains(r#""api:No.":"Nein.""#)
    );
    assert!(!html.contains("<b>") && !html.contains("{{brand"));
}

#[test]
fn texts_with_other_names_or_placeholders_are_rejected() {
    let error = |json: &str| page().with_texts(json).unwrap_err().to_string();
    assert!(error("[]").contains("expected a JSON object"));
    assert!(error(r#"{"copy": 1}"#).contains("expected a JSON object"));
    assert!(error(r#"{"kopieren": "x"}"#).contains("unknown text \"kopieren\""));
    assert!(error(r#"{"revoke_name": "Widerrufen"}"#).contains("other placeholders"));
    assert!(error(r#"{"revoke_name": "{name} {nam}"}"#).contains("other placeholders"));
    assert!(page().with_texts(r#"{"revoke_name": "{name} widerrufen"}"#).is_ok());
}

#[test]
fn a_language_or_direction_that_browsers_reject_is_an_error() {
    let with = |name: &str, text: &str| page().with_texts(json!({ name: text }).to_string());
    for lang in ["de_DE", "", "de-", "-de", "d3", "de AT", "abcdefghi", "de-abcdefghi", "dé"] {
        assert!(matches!(with("lang", lang), Err(PageError::Language(text)) if text == lang));
    }
    for dir in ["", "LTR", "left", "ltr "] {
        assert!(matches!(with("dir", dir), Err(PageError::Language(text)) if text == dir));
    }
    for (name, text) in [
        ("lang", "de"),
        ("lang", "zh-Hant-TW"),
        ("lang", "es-419"),
        ("dir", "rtl"),
        ("dir", "auto"),
    ] {
        assert!(with(name, text).is_ok(), "{text}");
    }
}

#[test]
fn no_string_of_a_file_continues_on_the_next_line() {
    for line in SCRIPT.lines().chain(STYLE.lines()) {
        assert!(line.matches('`').count() % 2 == 0 && !line.ends_with('\\'), "{line}");
    }
}

#[tokio::test]
async fn rules_of_the_author_come_last_in_the_style_sheet() {
    let app = page().with_style(":root { --accent: red }").into_router();
    let (_, _, style) = get(&app, "/style.css").await;
    assert!(
        style.starts_with(&without_indentation(STYLE))
            && style.ends_with("\n:root { --accent: red }")
    );
}

#[test]
fn the_files_keep_nothing_and_load_nothing_from_elsewhere() {
    for word in [
        "localStorage",
        "sessionStorage",
        "indexedDB",
        "cookie",
        "console",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "pushState",
        "replaceState",
        "import",
        "postMessage",
    ] {
        assert!(!SCRIPT.contains(word), "{word}");
    }
    for (file, content) in [("index.html", HTML), ("style.css", STYLE), ("page.js", SCRIPT)] {
        assert!(
            !content.contains("//cdn") && !content.contains("http:") && !content.contains("https:"),
            "{file}"
        );
    }
    for word in [" style=", "<style", " onclick=", " onload=", "<script>", "<iframe"] {
        assert!(!HTML.contains(word), "{word}");
    }
    assert!(!STYLE.contains("@import") && !STYLE.contains("url("));
}
