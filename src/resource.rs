//! The metadata of a protected resource (RFC 9728): tells clients where they get tokens for this API.
//!
//! A client that gets a 401 finds the URL of the metadata document in the challenge. The document names the
//! authorization servers, so the client needs nothing but the URL of the API.
//!
//! 1. Set the resource once, with [`BearerLayer::with_resource`](crate::BearerLayer::with_resource). Every 401 and 403
//!    challenge then has `resource_metadata`.
//! 2. Serve the document with [`BearerLayer::resource_metadata`](crate::BearerLayer::resource_metadata), **outside** of
//!    the layer: clients have no token yet.
//!
//! The document and the challenges contain only settings of the service author. Nothing in them comes from the request,
//! and in particular nothing from `Host`, `Forwarded` or `X-Forwarded-*`.
//!
//! # Members of the document
//!
//! | member | RFC 9728 | value |
//! |---|---|---|
//! | `resource` | section 2 | the identifier, exactly as it was given to [`ProtectedResource::new`] |
//! | `authorization_servers` | section 2 | the names of the issuers of the [`Authenticator`](crate::Authenticator). An issuer with many tenants is named by each accepted tenant, and left out if every tenant is accepted |
//! | `bearer_methods_supported` | section 2 | `header`; `query` with [`allow_query`](crate::BearerLayer::allow_query) for `access_token`. Empty if the layer reads another header |
//! | `scopes_supported` | section 2 | [`with_scopes`](ProtectedResource::with_scopes) |
//! | `tls_client_certificate_bound_access_tokens` | section 2 | `true` with [`with_client_certificates`](crate::BearerLayer::with_client_certificates) |
//! | `dpop_signing_alg_values_supported` | section 2 | the algorithms of [`Dpop`], with [`with_dpop`](crate::BearerLayer::with_dpop) |
//! | `dpop_bound_access_tokens_required` | section 2 | `true` with [`Dpop::required`] |
//! | `resource_name` | section 2 | [`with_name`](ProtectedResource::with_name) |
//! | `resource_documentation` | section 2 | [`with_documentation`](ProtectedResource::with_documentation) |
//!
//! A member without a value is left out.
//!
//! # Parameters of the challenges
//!
//! | parameter | RFC | when |
//! |---|---|---|
//! | `realm` | 9110 section 11.5 | every challenge |
//! | `algs` | 9449 section 7.1 | every challenge of the scheme `DPoP` |
//! | `error` | 6750 section 3, 9449 section 7.1 | a token or a proof was rejected, or the request is malformed |
//! | `error_description` | 6750 section 3 | with `invalid_token`, `invalid_dpop_proof`, `use_dpop_nonce` and `insufficient_user_authentication` |
//! | `scope` | 6750 section 3 | 401 and 403 of a route whose scopes the layer knows |
//! | `acr_values`, `max_age` | 9470 section 3 | with `insufficient_user_authentication`, as configured |
//! | `resource_metadata` | 9728 section 5.1 | 401 and 403, once a resource is set |

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE,
    },
};
use serde::Serialize;
use tower_service::Service;

use crate::{ConfigError, dpop::Dpop, scopes::is_scope_token};

/// The path of the document of a resource without a path (RFC 9728 section 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// The identifier of a protected resource, and what its metadata document says about it.
///
/// ```
/// use tower_bearer::ProtectedResource;
///
/// let resource = ProtectedResource::new("https://api.example/mcp")?
///     .with_scopes(["orders:read", "orders:write"])?
///     .with_name("Orders");
/// assert_eq!(resource.identifier(), "https://api.example/mcp");
/// assert_eq!(
///     resource.metadata_url(),
///     "https://api.example/.well-known/oauth-protected-resource/mcp"
/// );
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedResource {
    identifier: Box<str>,
    metadata_url: Box<str>,
    /// Where the path of the document begins in `metadata_url`.
    path: usize,
    scopes: Vec<Box<str>>,
    name: Option<Box<str>>,
    documentation: Option<Box<str>>,
}

impl ProtectedResource {
    /// A resource with this identifier (RFC 9728 section 1.2): an absolute `https` URL without query and fragment.
    /// `http` is accepted on loopback addresses only, for development. The document and clients compare the identifier
    /// byte by byte, so write it as your clients do. Usually it is also the audience of the tokens.
    ///
    /// # Errors
    /// [`ConfigError::InvalidResource`] for anything else.
    pub fn new(identifier: &str) -> Result<Self, ConfigError> {
        let uri = identifier.parse::<Uri>();
        let uri = uri.map_err(|_| ConfigError::InvalidResource("an absolute URL"))?;
        let path = check_identifier(identifier, &uri)?;
        // RFC 9728 section 3.1: the well-known path comes between host and path. A lone slash is dropped.
        let (origin, path) = identifier.split_at(identifier.len() - path.len());
        let suffix = if path == "/" { "" } else { path };
        Ok(Self {
            identifier: identifier.into(),
            metadata_url: format!("{origin}{WELL_KNOWN}{suffix}").into(),
            path: origin.len(),
            scopes: Vec::new(),
            name: None,
            documentation: None,
        })
    }

    /// Sets `scopes_supported`: the scopes that clients may ask for. List those that a usual client needs. Default:
    /// none, and the member is absent.
    ///
    /// # Errors
    /// [`ConfigError::InvalidScope`] for a string that is not a scope-token (RFC 6749 section 3.3), and for
    /// `offline_access`: that scope is between the client and the authorization server, not about this resource.
    pub fn with_scopes<T>(mut self, scopes: T) -> Result<Self, ConfigError>
    where
        T: IntoIterator,
        T::Item: AsRef<str>,
    {
        let mut listed = Vec::new();
        for scope in scopes {
            let scope = scope.as_ref();
            if scope == "offline_access" || !is_scope_token(scope) {
                return Err(ConfigError::InvalidScope(scope.to_owned()));
            }
            listed.push(scope.into());
        }
        self.scopes = listed;
        Ok(self)
    }

    /// Sets `resource_name`, the name that clients show to people. Default: none.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Box<str>>) -> Self {
        let name = name.into();
        self.name = (!name.is_empty()).then_some(name);
        self
    }

    /// Sets `resource_documentation`, the URL of a page for developers. Default: none.
    ///
    /// # Errors
    /// [`ConfigError::InvalidResource`] if it is not an absolute `http` or `https` URL.
    pub fn with_documentation(mut self, url: &str) -> Result<Self, ConfigError> {
        let is_web = url.parse::<Uri>().is_ok_and(|uri| {
            uri.host().is_some() && matches!(uri.scheme_str(), Some("https" | "http"))
        });
        if !is_web {
            return Err(ConfigError::InvalidResource("an http or https URL of the documentation"));
        }
        self.documentation = Some(url.into());
        Ok(self)
    }

    /// The identifier, exactly as it was given.
    #[must_use]
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// The absolute URL of the metadata document. The challenges name it.
    #[must_use]
    pub fn metadata_url(&self) -> &str {
        &self.metadata_url
    }

    /// The path of the metadata document, for a router.
    #[must_use]
    pub fn metadata_path(&self) -> &str {
        self.metadata_url.get(self.path..).unwrap_or(WELL_KNOWN)
    }

    /// The service that answers with the document of a layer with these capabilities.
    pub(crate) fn metadata(&self, layer: &Capabilities<'_>) -> ResourceMetadata {
        let document = Document {
            resource: &self.identifier,
            authorization_servers: layer.issuers.iter().map(|issuer| &**issuer).collect(),
            bearer_methods_supported: layer.bearer_methods,
            scopes_supported: &self.scopes,
            tls_client_certificate_bound_access_tokens: layer.certificates,
            dpop_signing_alg_values_supported: layer.dpop.map(Dpop::algorithm_names),
            dpop_bound_access_tokens_required: layer.dpop.is_some_and(Dpop::is_required),
            resource_name: self.name.as_deref(),
            resource_documentation: self.documentation.as_deref(),
        };
        // Maps with strings as keys and strings as values have a JSON form, so this cannot fail.
        let body = serde_json::to_string(&document).unwrap_or_default();
        ResourceMetadata { path: self.metadata_path().into(), body: body.into() }
    }
}

/// What a layer accepts.
pub(crate) struct Capabilities<'a> {
    /// The names of the authorization servers.
    pub(crate) issuers: &'a [Arc<str>],
    pub(crate) bearer_methods: &'a [&'a str],
    /// Certificate-bound tokens are accepted.
    pub(crate) certificates: bool,
    pub(crate) dpop: Option<&'a Dpop>,
}

/// Returns the path of an identifier, with its slash, or an empty string.
fn check_identifier<'a>(identifier: &'a str, uri: &Uri) -> Result<&'a str, ConfigError> {
    let expected = |what| Err(ConfigError::InvalidResource(what));
    let host = uri.host().unwrap_or_default();
    if host.is_empty() {
        return expected("an absolute URL with a host");
    }
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if is_loopback(host) => {}
        Some("http") => return expected("an https URL: http is for loopback addresses only"),
        _ => return expected("a URL that begins with https://"),
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return expected("a URL without credentials");
    }
    // `Uri` drops a fragment.
    if identifier.contains(['?', '#']) {
        return expected("a URL without query and fragment (RFC 9728 section 1.2)");
    }
    // RFC 3986 section 2 has no other characters. None of these ends the quoted string in the challenge.
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte);
    if !identifier.bytes().all(is_allowed) {
        return expected("a URL with only the characters of RFC 3986 section 2");
    }
    let after_scheme = identifier.find("://").map_or(0, |position| position + 3);
    let rest = identifier.get(after_scheme..).unwrap_or_default();
    let path = rest.find('/').and_then(|position| rest.get(position..)).unwrap_or_default();
    // URL parsers of browsers also remove encoded dots.
    let plain = path.to_ascii_lowercase().replace("%2e", ".");
    if plain.split('/').any(|segment| matches!(segment, "." | "..")) {
        return expected("a URL without `.` and `..` in its path: clients would remove them");
    }
    Ok(path)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[derive(Serialize)]
struct Document<'a> {
    resource: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_servers: Vec<&'a str>,
    #[serde(skip_serializing_if = "is_empty")]
    bearer_methods_supported: &'a [&'a str],
    #[serde(skip_serializing_if = "is_empty")]
    scopes_supported: &'a [Box<str>],
    #[serde(skip_serializing_if = "is_false")]
    tls_client_certificate_bound_access_tokens: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop_signing_alg_values_supported: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "is_false")]
    dpop_bound_access_tokens_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_documentation: Option<&'a str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

fn is_empty<T>(members: &[T]) -> bool {
    members.is_empty()
}

/// Answers with the metadata document of a resource (RFC 9728 section 3). It needs no token.
///
/// [`BearerLayer::resource_metadata`](crate::BearerLayer::resource_metadata) makes it. It is a tower service, and with
/// the feature `axum` also a [router](Self::into_router).
///
/// | request | response |
/// |---|---|
/// | `GET`, `HEAD` of [`path`](Self::path) | 200, `application/json`, may be cached for an hour, readable by pages of every origin |
/// | `OPTIONS` of the path | 204: a CORS preflight for every header |
/// | another method | 405 with `Allow` |
/// | another path | 404 |
#[derive(Clone)]
pub struct ResourceMetadata {
    path: Arc<str>,
    body: Arc<str>,
}

impl ResourceMetadata {
    /// The path of the document. The service answers requests for other paths with 404.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The document, as JSON.
    #[must_use]
    pub fn document(&self) -> &str {
        &self.body
    }

    /// A router with the route of the document. Merge it into the router of your service, outside of the layer. It must
    /// be at the root of the host: do not nest it.
    #[cfg(feature = "axum")]
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> axum::Router<S> {
        // axum panics at a segment that begins with `:` or `*`. A capture takes its place, and the service compares.
        let segments = self.path.split('/').enumerate().map(|(position, segment)| {
            if segment.starts_with([':', '*']) {
                format!("{{segment{position}}}")
            } else {
                segment.to_owned()
            }
        });
        let path = segments.collect::<Vec<_>>().join("/");
        axum::Router::new().route_service(&path, self)
    }

    fn respond(&self, method: &Method, path: &str) -> Response<String> {
        if path != &*self.path {
            return with_status(StatusCode::NOT_FOUND);
        }
        if method == Method::OPTIONS {
            let mut response = with_status(StatusCode::NO_CONTENT);
            let headers = response.headers_mut();
            headers.insert(ALLOW, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
            // `*` does not stand for `Authorization` (Fetch standard, CORS protocol).
            let every_header = HeaderValue::from_static("*, Authorization");
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, every_header);
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
            return response;
        }
        if method != Method::GET && method != Method::HEAD {
            let mut response = with_status(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, METHODS);
            return response;
        }
        let is_head = method == Method::HEAD;
        let mut response =
            Response::new(if is_head { String::new() } else { self.body.to_string() });
        self.add_headers(response.headers_mut());
        response
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
}

fn with_status(status: StatusCode) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    response
}

impl<B> Service<Request<B>> for ResourceMetadata {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.respond(request.method(), request.uri().path())))
    }
}

impl fmt::Debug for ResourceMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceMetadata")
            .field("path", &self.path)
            .field("document", &self.body)
            .finish()
    }
}
