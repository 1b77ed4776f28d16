//! What is protected, and how refusals look.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Response, header::HeaderName, request::Parts};
use tower_layer::Layer;

use crate::{
    Authenticated, Authenticator, BearerAuth, ConfigError, RejectionKind,
    claims::UntypedClaims,
    credential::Sources,
    rejection::{Refusals, Responder},
    require::RequireLayer,
};

/// Lets a request through only with a token that its [`Authenticator`] accepts.
///
/// Behind the layer the request carries an [`Authenticated<C>`] in its extensions. One that was there
/// before is removed first, so that whoever finds one knows that this layer put it there. Everything else is
/// answered by the layer itself: the service behind it is not called.
///
/// By default:
///
/// 1. Every request needs a token, `OPTIONS` and `HEAD` too.
/// 2. The token stands in `Authorization: Bearer` and nowhere else.
/// 3. The service behind the layer sees that header, marked as sensitive.
/// 4. Refusals are JSON, or gRPC where the request is (`content-type: application/grpc`).
///
/// Cloning costs a counter: all settings are behind one `Arc`.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::convert::Infallible;
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_bearer::{
///     Authenticated, Authenticator, BearerLayer, Issuer, Key,
/// };
///
/// let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?).audience("api://orders");
/// let authenticator = Authenticator::builder().issuer(issuer).build()?;
/// let layer = BearerLayer::new(authenticator).with_realm("orders")?;
///
/// let service = layer.layer(service_fn(|request: Request<Empty<Bytes>>| async move {
///     let user: &Authenticated = request.extensions().get().expect("the layer put it there");
///     Ok::<_, Infallible>(Response::new(format!("{:?}", user.expires_at())))
/// }));
///
/// let response = service.oneshot(Request::new(Empty::new())).await?;
/// assert_eq!(response.status(), 401);
/// assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="orders""#);
/// # Ok(()) }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
#[must_use = "a layer does nothing until it is put around a service"]
pub struct BearerLayer<C = UntypedClaims> {
    settings: Arc<Settings<C>>,
}

pub(crate) struct Settings<C> {
    pub(crate) authenticator: Authenticator<C>,
    pub(crate) sources: Sources,
    pub(crate) optional: bool,
    pub(crate) allows_cors_preflight: bool,
    pub(crate) private_responses: bool,
    /// By itself in an `Arc`, because requests without a token take it along.
    pub(crate) refusals: Arc<Refusals>,
}

impl<C: Send + Sync + 'static> BearerLayer<C> {
    /// A layer with the defaults that are listed above.
    pub fn new(authenticator: Authenticator<C>) -> Self {
        let sources = Sources::new(authenticator.max_token_length());
        Self {
            settings: Arc::new(Settings {
                authenticator,
                sources,
                optional: false,
                allows_cors_preflight: false,
                private_responses: false,
                refusals: Arc::default(),
            }),
        }
    }

    /// Lets requests without a credential through, with no [`Authenticated<C>`] in their extensions. By
    /// default they are refused. A credential that is not valid is refused all the same.
    ///
    /// Behind such a layer the axum extractor `Authenticated<C>`, [`require`](Self::require) and
    /// [`require_scopes`](Self::require_scopes) refuse anonymous requests, and `Option<Authenticated<C>>`
    /// is `None`.
    ///
    /// A request is not anonymous if another reader could find a token in it. It is refused with 400 if
    /// `Authorization` has another scheme and `Bearer` further on (`Basic x, Bearer y`), or if a cookie or query
    /// parameter has the name of the credential only once it is decoded or trimmed (`access%5Ftoken=`).
    pub fn optional(mut self) -> Self {
        self.settings_mut().optional = true;
        self
    }

    /// Lets CORS preflight requests through without a token. By default they are refused like all others.
    ///
    /// A preflight request is `OPTIONS` with `Origin` and `Access-Control-Request-Method`, and without all of:
    ///
    /// * `Content-Type`, `Transfer-Encoding`, `Upgrade`, and a `Content-Length` other than 0;
    /// * content: the body says that it has ended ([`Body::is_end_stream`](http_body::Body::is_end_stream)). The
    ///   bodies of hyper, axum and tonic do, over HTTP/1 and HTTP/2. A layer outside of this one may wrap the body in
    ///   a type that does not; then no request is a preflight request;
    /// * a credential in the header or cookie of this layer. Browsers send none with preflights.
    ///
    /// Other requests need a token. So the service behind the layer gets no content without one.
    ///
    /// This is for a CORS layer that stands behind this one. A CORS layer outside of this one needs no such exception
    /// and is the better order.
    ///
    /// **Whatever answers `OPTIONS` behind this layer is then open to everyone.** That includes services that do
    /// not look at the method, such as axum's `any` and tonic's, which runs methods that stream requests without a
    /// message: never set it in front of those without a CORS layer between.
    pub fn allow_cors_preflight(mut self) -> Self {
        self.settings_mut().allows_cors_preflight = true;
        self
    }

    /// Names this realm in every challenge, in place of `api`.
    ///
    /// # Errors
    /// [`ConfigError::InvalidHeaderValue`] for anything but printable ASCII without quotes and backslashes.
    pub fn with_realm(mut self, realm: impl AsRef<str>) -> Result<Self, ConfigError> {
        let refusals = self.refusals_mut();
        refusals.challenges = refusals.challenges.with_realm(realm.as_ref())?;
        Ok(self)
    }

    /// Points clients to the metadata of this resource in the challenge of every 401 (RFC 9728 section
    /// 5.1). By default none is named.
    ///
    /// # Errors
    /// [`ConfigError::InvalidHeaderValue`] for an empty URL, and for anything but printable ASCII without
    /// quotes and backslashes.
    pub fn with_resource_metadata(mut self, url: impl AsRef<str>) -> Result<Self, ConfigError> {
        let refusals = self.refusals_mut();
        refusals.challenges = refusals.challenges.with_resource_metadata(url.as_ref())?;
        Ok(self)
    }

    /// Lets `responder` write the refusals, in place of
    /// [`TokenApiResponder`](crate::rejection::TokenApiResponder). gRPC requests keep their trailers-only
    /// answers unless it says otherwise.
    pub fn with_responder(mut self, responder: impl Responder) -> Self {
        self.refusals_mut().responder = Arc::new(responder);
        self
    }

    /// Whether requests that look like gRPC (`POST` with a content type of `application/grpc`) get trailers-only
    /// answers, which have the HTTP status 200. By default they do.
    ///
    /// `false` is for routes without gRPC: a client chooses its content type, and proxies, logs and alarms that count
    /// 401 do not see a refusal with status 200. All requests then get the responder's answer with its HTTP status.
    pub fn with_grpc_answers(mut self, grpc_answers: bool) -> Self {
        self.refusals_mut().grpc_answers = grpc_answers;
        self
    }

    /// Sets `Cache-Control: private` on responses to requests with a token, unless the service behind the layer has set
    /// `Cache-Control`. By default the layer changes no response of the service.
    ///
    /// A shared cache must not store the response to a request with `Authorization` unless that response allows it
    /// (RFC 9111 section 3.5). It knows nothing of tokens in a cookie, in another header or in the query: use this
    /// setting with [`allow_cookie`](Self::allow_cookie), [`credential_header`](Self::credential_header) and
    /// [`allow_query`](Self::allow_query), or set the header in the service. It has no effect on refusals, which have
    /// `no-store`, nor on responses to anonymous and preflight requests.
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
    /// # fn layer(authenticator: tower_bearer::Authenticator) -> tower_bearer::BearerLayer {
    /// use tower_bearer::BearerLayer;
    ///
    /// BearerLayer::new(authenticator).allow_cookie("session").with_private_responses()
    /// # }
    /// ```
    pub fn with_private_responses(mut self) -> Self {
        self.settings_mut().private_responses = true;
        self
    }

    /// Reads the token from this header, where it stands alone without a scheme, and no longer from
    /// `Authorization`. Some proxies send it so, as in `cf-access-jwt-assertion`.
    ///
    /// Shared caches do not know that the response is for one user: see
    /// [`with_private_responses`](Self::with_private_responses). [`strip_credential`](Self::strip_credential) then
    /// removes this header and leaves `Authorization`.
    ///
    /// Naming `authorization` restores the default, with its scheme.
    pub fn credential_header(mut self, name: HeaderName) -> Self {
        self.settings_mut().sources.header = name;
        self
    }

    /// Also reads the token from the cookie of this name; by default cookies are not looked at.
    ///
    /// A header wins over the cookie, which browsers send unasked. An empty cookie counts as none. Other
    /// sites can make a browser send it, so on methods that are not safe (RFC 9110 section 9.2.1) and on
    /// WebSocket upgrades the request must be of the same origin, by `Sec-Fetch-Site` or else by `Origin`;
    /// if it is not, or has neither, the answer is 403. A proxy in front must keep `Host`, and the scheme if it
    /// forwards HTTP/2.
    ///
    /// On safe methods nothing is demanded: they must not change anything.
    ///
    /// Shared caches do not know that the response is for one user: see
    /// [`with_private_responses`](Self::with_private_responses).
    pub fn allow_cookie(mut self, name: impl Into<Box<str>>) -> Self {
        self.settings_mut().sources.cookie = Some(name.into());
        self
    }

    /// Takes the cookie of [`allow_cookie`](Self::allow_cookie) from any origin, in place of the same origin
    /// only: for services that have a defence of their own against forged requests. Has no effect without a
    /// cookie.
    pub fn allow_cookie_without_csrf_check(mut self) -> Self {
        self.settings_mut().sources.cookie_without_csrf_check = true;
        self
    }

    /// Also reads the token from the query parameter of this name, usually `access_token` (RFC 6750 section
    /// 2.3); by default the query is not looked at.
    ///
    /// URLs end up in logs and histories, so this is for clients that can send nothing else, such as a
    /// browser's `WebSocket` and `EventSource`. The parameter is taken out of the URI before the service
    /// behind the layer and the [`Responder`] see it, with every parameter that has this name once it is decoded
    /// or trimmed. Whatever stands in front of the layer sees it, and
    /// so does what copied the URI there (axum's `OriginalUri`). A response to it should have
    /// `Cache-Control: private`: see [`with_private_responses`](Self::with_private_responses).
    pub fn allow_query(mut self, name: impl Into<Box<str>>) -> Self {
        self.settings_mut().sources.query = Some(name.into());
        self
    }

    /// Removes the header and cookie of the credential from the request. By default the service behind the layer sees
    /// them, marked as sensitive.
    ///
    /// Removed is also what another reader could take for them: an `Authorization` with `Bearer` anywhere in it, and
    /// cookies that have the name once it is decoded or trimmed (`session =x`). An `Authorization` of another
    /// scheme stays.
    pub fn strip_credential(mut self) -> Self {
        self.settings_mut().sources.strip = true;
        self
    }

    /// A layer that refuses tokens that lack any of these scopes, with 403 and a challenge that names them
    /// (RFC 6750 section 3.1). It belongs behind this layer and refuses as this layer does at the time of the
    /// call: set realm and responder first.
    ///
    /// Scopes are compared byte by byte. No token has a scope that is empty or has a space in it, so demanding
    /// one refuses everyone. Demanding none asks for nothing but a token.
    pub fn require_scopes<T>(&self, scopes: T) -> RequireLayer<C>
    where
        T: IntoIterator,
        T::Item: AsRef<str>,
    {
        let scopes = scopes.into_iter().map(|scope| scope.as_ref().into()).collect();
        RequireLayer::scopes(scopes, Arc::clone(&self.settings.refusals))
    }

    /// A layer that refuses tokens of which `demand` does not say `true`, with 403. It belongs behind this
    /// layer and refuses as this layer does at the time of the call: set realm and responder first.
    pub fn require(
        &self,
        demand: impl Fn(&Authenticated<C>) -> bool + Send + Sync + 'static,
    ) -> RequireLayer<C> {
        RequireLayer::demand(Box::new(demand), Arc::clone(&self.settings.refusals))
    }

    /// The response of this layer to a request that your own code rejects for this reason: with its responder, its
    /// challenge, and the counters of telemetry.
    #[must_use]
    pub fn reject(&self, kind: RejectionKind, request: &Parts) -> Response<Bytes> {
        self.settings.refusals.respond(kind.into(), request)
    }

    /// The `WWW-Authenticate` value of this layer for this reason, if it has one: for your own responses.
    #[must_use]
    pub fn challenge(&self, kind: RejectionKind) -> Option<&HeaderValue> {
        self.settings.refusals.challenges.of(kind)
    }

    fn settings_mut(&mut self) -> &mut Settings<C> {
        Arc::make_mut(&mut self.settings)
    }

    fn refusals_mut(&mut self) -> &mut Refusals {
        Arc::make_mut(&mut self.settings_mut().refusals)
    }
}

impl<S, C> Layer<S> for BearerLayer<C> {
    type Service = BearerAuth<S, C>;

    fn layer(&self, inner: S) -> BearerAuth<S, C> {
        BearerAuth::new(inner, Arc::clone(&self.settings))
    }
}

impl<C> Clone for BearerLayer<C> {
    fn clone(&self) -> Self {
        Self { settings: Arc::clone(&self.settings) }
    }
}

impl<C> fmt::Debug for BearerLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerLayer").field("settings", &self.settings).finish()
    }
}

impl<C> Clone for Settings<C> {
    fn clone(&self) -> Self {
        Self {
            authenticator: self.authenticator.clone(),
            sources: self.sources.clone(),
            optional: self.optional,
            allows_cors_preflight: self.allows_cors_preflight,
            private_responses: self.private_responses,
            refusals: Arc::clone(&self.refusals),
        }
    }
}

impl<C> fmt::Debug for Settings<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("authenticator", &self.authenticator)
            .field("sources", &self.sources)
            .field("optional", &self.optional)
            .field("allows_cors_preflight", &self.allows_cors_preflight)
            .field("private_responses", &self.private_responses)
            .field("refusals", &self.refusals)
            .finish()
    }
}
