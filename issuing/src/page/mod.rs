//! The token management page: users log in and manage their private tokens, sessions and password in a browser.
//!
//! 1. **The page is a client of the token API.** It has no rights of its own, and the server part has no state: it only
//!    serves four files.
//! 2. **Tokens stay in the memory of the page.** A reload asks for the password again. Nothing is stored where another
//!    script could read it, and the history of the browser has no token.
//! 3. **The policy of the page allows files of its own origin and nothing else**: no inline code, no other origin, no
//!    frame, no string that becomes markup (Trusted Types).
//! 4. **The files are in the program.** There is no build step, and the browser loads less than 60 KiB.

#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests;

use std::{collections::BTreeMap, fmt};

use ::axum::{
    Router,
    extract::OriginalUri,
    middleware::map_response,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderName, HeaderValue,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use serde_json::json;

use crate::{TokenApi, TokenIssuer};

const HTML: &str = include_str!("index.html");
const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");
const TEXTS: &str = include_str!("texts.json");

/// One module for the browser. Its parts are separate files, so that each has one subject.
const SCRIPT: &str = concat!(
    include_str!("script/calls.js"),
    include_str!("script/texts.js"),
    include_str!("script/forms.js"),
    include_str!("script/lists.js"),
    include_str!("script/views.js"),
);

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
                      connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// Texts that begin so replace a message of the API.
const API_MESSAGE: &str = "api:";

/// The token management page of a [`TokenApi`]: log in, list, create, rotate and revoke private tokens, end sessions,
/// change the password. [`TokenApi::page`] makes it.
///
/// # Texts
///
/// [`with_texts`](Self::with_texts) replaces them. These are the defaults:
///
/// ```json
#[doc = include_str!("texts.json")]
/// ```
///
/// # Colours
///
/// [`with_style`](Self::with_style) sets the variables of the style sheet again:
///
/// | variables | for |
/// |---|---|
/// | `--page`, `--surface`, `--raised`, `--line`, `--line-control` | backgrounds and borders |
/// | `--text`, `--muted`, `--link` | text; `--link` is also the colour of the focus |
/// | `--accent`, `--accent-hover`, `--accent-soft`, `--on-accent` | the main buttons, and what is selected |
/// | `--danger`, `--danger-hover`, `--on-danger`, `--danger-text`, `--danger-soft` | what revokes, and errors |
/// | `--warning-text`, `--warning-soft`, `--good-text`, `--good-soft` | warnings and confirmations |
/// | `--font`, `--mono`, `--radius`, `--shadow`, `--shadow-dialog` | fonts, corners, shadows |
#[must_use = "a page does nothing until `into_router`"]
#[derive(Clone)]
pub struct TokenPage {
    api_path: String,
    /// In seconds.
    max_lifetime: u64,
    max_overlap: u64,
    has_password: bool,
    texts: BTreeMap<String, String>,
    style: String,
}

impl TokenApi {
    /// The token management page of this API. `api_path` is the path of the API as browsers see it: `/api/v1/auth`. The
    /// page and the API must have the same origin.
    ///
    /// The router of the page can be nested at any path. All its URLs are relative. Use `nest_service`, which also
    /// serves the path with a slash at its end. A proxy in front must keep the slash at the end of the path: without
    /// it, the page looks for its files in the wrong place.
    ///
    /// A browser can lose the answer to a refresh. Then the page sends the same refresh token again. This ends the
    /// session if [`with_refresh_reuse_grace`](crate::TokenIssuerBuilder::with_refresh_reuse_grace) is 0, the default.
    ///
    /// The answer to a log-in must have the members `access_token` and `refresh_token`, also if you
    /// [replace it](TokenApi::with_login_response).
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use tower_bearer::{Algorithm, jws::SigningKey};
    /// # use tower_bearer_issuing::{MemoryAccounts, Passwords, TokenIssuer, store::MemoryTokenStore};
    /// use axum::{Router, body::Body};
    /// use http::{Request, StatusCode};
    /// use tower::ServiceExt;
    /// use tower_bearer_issuing::TokenApi;
    ///
    /// # let issuer = TokenIssuer::builder(
    /// #     "https://issuer.example", "api://orders", SigningKey::generate(Algorithm::ES256)?,
    /// #     MemoryTokenStore::new(), Passwords::new(MemoryAccounts::new())?,
    /// # ).build()?;
    /// let api = TokenApi::new(&issuer);
    /// let page = api
    ///     .page("/api/v1/auth")?
    ///     .with_texts(r#"{ "brand": "Shop", "log_in": "Sign in" }"#)?
    ///     .with_style(":root { --accent: #0b6e4f; --accent-hover: #095c42 }");
    /// let app: Router = Router::new()
    ///     .nest_service("/tokens", page.into_router())
    ///     .nest("/api/v1/auth", api.into_router());
    ///
    /// let response = app.oneshot(Request::get("/tokens/").body(Body::empty())?).await?;
    /// assert_eq!(response.status(), StatusCode::OK);
    /// assert_eq!(response.headers()["cache-control"], "no-store");
    /// # Ok(()) }
    /// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
    /// ```
    ///
    /// # Errors
    /// [`PageError::ApiPath`] if `api_path` does not begin with one slash, or has a host, a query or a fragment.
    pub fn page(&self, api_path: impl AsRef<str>) -> Result<TokenPage, PageError> {
        TokenPage::new(&self.issuer, api_path.as_ref())
    }
}

impl TokenPage {
    fn new(issuer: &TokenIssuer, api_path: &str) -> Result<Self, PageError> {
        if !is_path(api_path) {
            return Err(PageError::ApiPath);
        }
        Ok(Self {
            api_path: api_path.trim_end_matches('/').to_owned(),
            max_lifetime: issuer.max_private_lifetime().as_secs(),
            max_overlap: issuer.max_overlap().as_secs(),
            has_password: issuer.manages_accounts(),
            texts: parse_texts(TEXTS)?,
            style: without_indentation(STYLE),
        })
    }

    /// Replaces texts: a JSON object with some or all names of the [defaults](Self#texts). `lang` and `dir` are the
    /// attributes of the page, and dates are written in the language `lang`, or in that of the browser if it does not
    /// know `lang`. A name such as `api:This field is required.` replaces a message of the API, which is English.
    /// Default: English texts.
    ///
    /// # Errors
    /// [`PageError::UnreadableTexts`] if this is not a JSON object of strings. [`PageError::UnknownText`] for a name
    /// that the page does not have. [`PageError::Placeholders`] if a text does not have the placeholders of its
    /// default. [`PageError::Language`] if `lang` is not a language tag such as `de-AT`, or `dir` is not `ltr`, `rtl`
    /// or `auto`.
    pub fn with_texts(mut self, json: impl AsRef<str>) -> Result<Self, PageError> {
        for (name, text) in parse_texts(json.as_ref())? {
            let is_valid = match name.as_str() {
                "lang" => is_language(&text),
                "dir" => ["ltr", "rtl", "auto"].contains(&text.as_str()),
                _ => true,
            };
            if !is_valid {
                return Err(PageError::Language(text));
            }
            match self.texts.get(&name) {
                Some(default) if placeholders(default) != placeholders(&text) => {
                    return Err(PageError::Placeholders(name));
                }
                None if !name.starts_with(API_MESSAGE) => return Err(PageError::UnknownText(name)),
                _ => self.texts.insert(name, text),
            };
        }
        Ok(self)
    }

    /// Appends these rules to the style sheet of the page. Set its [variables](Self#colours) again, for the dark mode
    /// within `@media (prefers-color-scheme: dark)`. The policy of the page only allows pictures and fonts of its own
    /// origin. Default: nothing.
    pub fn with_style(mut self, css: impl AsRef<str>) -> Self {
        self.style.push('\n');
        self.style.push_str(css.as_ref());
        self
    }

    /// The router, for `nest_service("/tokens", ...)` or another path.
    pub fn into_router(self) -> Router {
        let html = self.html();
        let file = |kind: &'static str, content: String| {
            get(async move || ([(CONTENT_TYPE, HeaderValue::from_static(kind))], content))
        };
        let page = async move |OriginalUri(uri): OriginalUri| {
            Html(html.replace("{{base}}", &escaped(&base_of(uri.path()))))
        };
        Router::new()
            .route("/", get(page))
            .route("/page.js", file("text/javascript; charset=utf-8", without_indentation(SCRIPT)))
            .route("/style.css", file("text/css; charset=utf-8", self.style))
            .route("/icon.svg", file("image/svg+xml", ICON.to_owned()))
            .layer(map_response(with_headers))
    }

    /// The page with its texts. The place of its files depends on the request and is still open.
    fn html(&self) -> String {
        let config = json!({
            "api": self.api_path,
            "max_lifetime": self.max_lifetime,
            "max_overlap": self.max_overlap,
            "password": self.has_password,
            "texts": self.texts_of_script(),
        });
        let mut html = String::with_capacity(2 * HTML.len());
        for (index, part) in without_indentation(HTML).split("{{").enumerate() {
            let (name, rest) =
                if index == 0 { ("", part) } else { part.split_once("}}").unwrap_or((part, "")) };
            match name {
                "" => {}
                "base" => html.push_str("{{base}}"),
                "config" => html.push_str(&in_single_quotes(&config.to_string())),
                // A test checks that each name has a text.
                name => html.push_str(&escaped(self.texts.get(name).map_or("", String::as_str))),
            }
            html.push_str(rest);
        }
        html
    }

    /// The other texts are only in the HTML.
    fn texts_of_script(&self) -> BTreeMap<&String, &String> {
        let used = names_of_texts(SCRIPT);
        let is_used =
            |name: &String| name.starts_with(API_MESSAGE) || used.contains(&name.as_str());
        self.texts.iter().filter(|(name, _)| is_used(name)).collect()
    }
}

impl fmt::Debug for TokenPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenPage").field("api_path", &self.api_path).finish_non_exhaustive()
    }
}

/// A setting of the page that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// A path of the API that a browser would not send to the origin of the page.
    #[error(
        "not a path of the API: expected one such as /api/v1/auth, without host, query and fragment"
    )]
    ApiPath,
    /// Texts that cannot be read.
    #[error("unreadable texts of the page: expected a JSON object whose values are strings")]
    UnreadableTexts,
    /// A text with a name that the page does not have.
    #[error(
        "unknown text {0:?} of the page: expected a name that the documentation of `TokenPage` lists"
    )]
    UnknownText(String),
    /// A text that has more or fewer placeholders, such as `{name}`, than its default.
    #[error(
        "text {0:?} of the page has other placeholders: expected those of its default, each once"
    )]
    Placeholders(String),
    /// A language or a direction that browsers do not understand.
    #[error(
        "{0:?} is not a language or direction: expected a `lang` such as de or de-AT, and a `dir` of ltr, rtl or auto"
    )]
    Language(String),
}

/// The indentation is for readers of the source only.
fn without_indentation(source: &str) -> String {
    source.lines().flat_map(|line| [line.trim_start(), "\n"]).collect()
}

fn parse_texts(json: &str) -> Result<BTreeMap<String, String>, PageError> {
    serde_json::from_str(json).map_err(|_| PageError::UnreadableTexts)
}

/// The names in braces, sorted.
fn placeholders(text: &str) -> Vec<&str> {
    let mut names: Vec<_> =
        text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect();
    names.sort_unstable();
    names
}

/// The names of the texts that the script uses: `texts.name`.
fn names_of_texts(script: &str) -> Vec<&str> {
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    script.split("texts.").skip(1).filter_map(|rest| rest.split(is_end).next()).collect()
}

/// The shape of a language tag ([RFC 5646](https://www.rfc-editor.org/rfc/rfc5646#section-2.1)).
fn is_language(tag: &str) -> bool {
    let is_part = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let first = tag.split('-').next().unwrap_or_default();
    tag.split('-').all(is_part) && first.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// A path of the same origin. Browsers read two slashes, or a backslash, as the beginning of a host.
fn is_path(path: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&()*+,;=:@".contains(&byte);
    path.starts_with('/') && !path.starts_with("//") && path.bytes().all(is_allowed)
}

/// Where the files of the page are, relative to this path of the page. Without a slash at its end, a browser looks for
/// them beside the page.
fn base_of(path: &str) -> String {
    match path.rsplit('/').next() {
        // A colon in the first part would be the end of a scheme.
        Some(name) if !name.is_empty() => format!("./{name}/"),
        _ => String::new(),
    }
}

fn escaped(text: &str) -> String {
    in_single_quotes(text).replace('>', "&gt;").replace('"', "&quot;")
}

/// For an attribute in single quotes, in which JSON stays short.
fn in_single_quotes(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&#39;")
}

async fn with_headers(response: Response) -> Response {
    const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // A page that opened this one gets no handle of its window.
        (OPENER, "same-origin"),
    ];
    (headers, response).into_response()
}
