//! Publishes what the issuer offers, for clients that look it up: the metadata of an authorization server (RFC 8414).
//!
//! 1. **`issuer` is `iss`, byte by byte** (RFC 8414 section 3.3). So there is a document only if `iss` is an `https`
//!    URL, or an `http` URL on loopback, without query and fragment.
//! 2. **Two places have the same document**: `/.well-known/oauth-authorization-server`, inserted before the path of
//!    `iss` (RFC 8414 section 3.1), and `/.well-known/openid-configuration`, appended to that path (OpenID Connect
//!    Discovery 1.0 section 4). It does not make the issuer an OpenID provider: there are no ID tokens.
//! 3. **It names only what there is.** This issuer has no authorization endpoint and no grant of OAuth, because
//!    `login/` and `refresh/` are not requests of OAuth. `response_types_supported` is required (RFC 8414 section 2),
//!    and an absent `grant_types_supported` means two grants that this issuer does not have. So both are there and are
//!    empty, although RFC 8414 section 3.2 leaves out members without elements. The sections contradict each other for
//!    an issuer without grants.

use ::axum::{
    Router,
    extract::OriginalUri,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde::Serialize;

use super::{TokenApi, jwks};
use crate::{TokenIssuer, scopes::ScopeSet};
use tower_bearer::{ConfigError, ProtectedResource};

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

impl TokenApi {
    /// Sets the scopes in the metadata (`scopes_supported`): those that clients of your services may need. Default:
    /// `introspect` and `tokens:admin`, which this API requires. It has no effect on tokens.
    ///
    /// # Errors
    /// See [`ScopeSet::new`].
    pub fn with_supported_scopes<T>(mut self, scopes: T) -> Result<Self, ConfigError>
    where
        T: IntoIterator,
        T::Item: AsRef<str>,
    {
        let scopes = ScopeSet::new(scopes)?;
        self.supported_scopes = scopes.iter().map(str::to_owned).collect();
        Ok(self)
    }

    /// A router for the metadata of the issuer (RFC 8414). Add it at the root of the service, together with
    /// [`jwks_router`](TokenIssuer::jwks_router). `prefix` is where the router of this API is nested. Clients may cache
    /// the metadata for five minutes.
    ///
    /// URLs in it begin with [`with_public_url`](Self::with_public_url), or else with scheme and host of the issuer's
    /// name. If that name is not an `https` URL (or `http` on loopback), the router has no routes.
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
    /// #     "https://issuer.example/shop", "api://orders", SigningKey::generate(Algorithm::ES256)?,
    /// #     MemoryTokenStore::new(), Passwords::new(MemoryAccounts::new())?,
    /// # ).build()?;
    /// let api = TokenApi::new(&issuer); // of "https://issuer.example/shop"
    /// let app: Router = Router::new()
    ///     .merge(api.metadata_router("/api/v1/auth"))
    ///     .merge(issuer.jwks_router())
    ///     .nest("/api/v1/auth", api.into_router());
    ///
    /// let path = "/.well-known/oauth-authorization-server/shop";
    /// let response = app.oneshot(Request::get(path).body(Body::empty())?).await?;
    /// assert_eq!(response.status(), StatusCode::OK);
    /// # Ok(()) }
    /// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
    /// ```
    pub fn metadata_router(&self, prefix: &str) -> Router {
        let Some(location) = Location::of(self.issuer.name()) else { return Router::new() };
        let base = match &self.public_url {
            Some(url) => url.to_string(),
            None => location.origin.to_owned(),
        };
        let api = format!("{base}/{}", prefix.trim_matches('/'));
        let api = api.trim_end_matches('/');
        let document = Document {
            issuer: self.issuer.name(),
            jwks_uri: format!("{base}{}", jwks::PATH),
            revocation_endpoint: format!("{api}/revoke/"),
            // Possession of the token is enough.
            revocation_endpoint_auth_methods_supported: ["none"],
            introspection_endpoint: format!("{api}/introspect/"),
            introspection_endpoint_auth_methods_supported: ["Bearer"],
            scopes_supported: &self.supported_scopes,
            dpop_signing_alg_values_supported: self.proof_algorithms(),
            response_types_supported: [],
            grant_types_supported: [],
        };
        // A struct of strings and arrays has a JSON form, so this cannot fail.
        let document = serde_json::to_string(&document).unwrap_or_default();
        let path = location.path;
        [format!("{OAUTH}{path}"), format!("{path}{OPENID}")]
            .into_iter()
            .fold(Router::new(), |router, path| with_document(router, path, document.clone()))
    }
}

impl TokenIssuer {
    /// A router for the issuer's metadata, if its API with the defaults of [`TokenApi`] is nested at `prefix`. See
    /// [`TokenApi::metadata_router`].
    pub fn metadata_router(&self, prefix: &str) -> Router {
        TokenApi::new(self).metadata_router(prefix)
    }
}

/// The parts of an issuer's name that is a URL.
struct Location<'a> {
    /// Scheme, host and port.
    origin: &'a str,
    /// Without a slash at its end (RFC 8414 section 3.1).
    path: &'a str,
}

impl<'a> Location<'a> {
    fn of(name: &'a str) -> Option<Self> {
        // The identifier of a resource (RFC 9728) has the rules that an issuer with metadata needs.
        ProtectedResource::new(name).ok()?;
        let authority = name.find("://")? + "://".len();
        let path = name.get(authority..)?.find('/').map_or(name.len(), |slash| authority + slash);
        let (origin, path) = name.split_at_checked(path)?;
        Some(Self { origin, path: path.strip_suffix('/').unwrap_or(path) })
    }
}

/// RFC 8414 section 2, and RFC 7009 and RFC 7662 for their endpoints.
#[derive(Serialize)]
struct Document<'a> {
    issuer: &'a str,
    jwks_uri: String,
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 1],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    scopes_supported: &'a [String],
    /// RFC 9449 section 5.1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dpop_signing_alg_values_supported: Vec<&'static str>,
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 0],
}

/// Adds the route of a document. axum panics at a segment that begins with `:` or `*`. A capture takes its place, and
/// the handler compares the path.
fn with_document(router: Router, path: String, document: String) -> Router {
    let segments = path.split('/').enumerate().map(|(position, segment)| {
        if segment.starts_with([':', '*']) {
            format!("{{segment{position}}}")
        } else {
            segment.to_owned()
        }
    });
    let route = segments.collect::<Vec<_>>().join("/");
    let answer = async move |OriginalUri(uri): OriginalUri| -> Response {
        if uri.path() != path {
            return StatusCode::NOT_FOUND.into_response();
        }
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CACHE_CONTROL, HeaderValue::from_static(jwks::CACHE)),
        ];
        (headers, document.clone()).into_response()
    };
    router.route(&route, get(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_a_safe_url_has_a_place_for_metadata() {
        for (name, origin, path) in [
            ("https://a.example", "https://a.example", ""),
            ("https://a.example/", "https://a.example", ""),
            ("https://a.example:8443/x/y/", "https://a.example:8443", "/x/y"),
            ("https://a.example/x//", "https://a.example", "/x/"),
            ("http://127.0.0.1:3000/x", "http://127.0.0.1:3000", "/x"),
            ("http://[::1]:3000", "http://[::1]:3000", ""),
            ("http://localhost", "http://localhost", ""),
        ] {
            let location = Location::of(name).unwrap();
            assert_eq!((location.origin, location.path), (origin, path), "{name}");
        }
    }

    #[test]
    fn another_name_has_none() {
        for name in [
            "",
            "token_service",
            "a.example",
            "http://a.example",
            "http://10.0.0.1",
            "https://",
            "https://a.example?x",
            "https://a.example/#x",
            "https://user@a.example",
            "https://a.example/{x}",
            "https://a.example/x y",
            "https://a.example/../x",
            "urn:example:issuer",
        ] {
            assert!(Location::of(name).is_none(), "{name}");
        }
    }
}
