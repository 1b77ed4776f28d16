//! The public layer: which requests need a token, where the token may be, and how rejections look.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Response, header::HeaderName, request::Parts};
use tower_layer::Layer;

use crate::{
    Authenticated, Authenticator, ConfigError, ProtectedResource, Rejection, RejectionKind,
    RequiredScopes, ResourceMetadata,
    claims::UntypedClaims,
    client_certificate::CertificateSource,
    credential::{Scheme, Sources},
    dpop::Dpop,
    rejection::{Rejections, Responder},
    require::{RequireLayer, RequiredAuthentication},
    resource::Capabilities,
    service::{BearerAuth, LayerSettings},
};

/// Lets a request through only if it has a token that its [`Authenticator`] accepts.
///
/// The layer puts an [`Authenticated<C>`] into the extensions of the request before it calls the inner service. It
/// first removes one that is already there, so an [`Authenticated<C>`] in the extensions always comes from this layer.
/// The layer answers every other request itself and does not call the inner service.
///
/// By default:
///
/// 1. Every request needs a token, also `OPTIONS` and `HEAD`.
/// 2. The token must be in `Authorization: Bearer`. The layer reads it from no other place.
/// 3. The inner service sees that header, marked as sensitive.
/// 4. Rejections are JSON. For gRPC requests (`content-type: application/grpc`) they are gRPC.
///
/// Cloning is cheap: all settings are behind one `Arc`.
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
    settings: Arc<LayerSettings<C>>,
}

impl<C: Send + Sync + 'static> BearerLayer<C> {
    /// Creates a layer with the defaults that are listed above.
    pub fn new(authenticator: Authenticator<C>) -> Self {
        let sources = Sources::new(authenticator.max_token_length());
        Self {
            settings: Arc::new(LayerSettings {
                authenticator,
                sources,
                optional: false,
                allows_cors_preflight: false,
                private_responses: false,
                certificates: None,
                dpop: None,
                resource: None,
                rejections: Arc::default(),
            }),
        }
    }

    /// Lets requests without a credential through, without an [`Authenticated<C>`] in their extensions. By default the
    /// layer rejects them. It always rejects an invalid credential.
    ///
    /// Behind such a layer, the axum extractor `Authenticated<C>`, [`require`](Self::require) and
    /// [`require_scopes`](Self::require_scopes) reject anonymous requests. `Option<Authenticated<C>>` is then `None`.
    ///
    /// A request is not anonymous if another reader could find a token in it. The layer answers 400 if `Authorization`
    /// has another scheme and a later `Bearer` (`Basic x, Bearer y`). It also answers 400 if a cookie or query
    /// parameter has the name of the credential only after it is decoded or trimmed (`access%5Ftoken=`).
    pub fn optional(mut self) -> Self {
        self.settings_mut().optional = true;
        self
    }

    /// Lets CORS preflight requests through without a token. By default the layer rejects them like all others.
    ///
    /// A preflight request is `OPTIONS` with `Origin` and `Access-Control-Request-Method`, and without all of these:
    ///
    /// * `Content-Type`, `Transfer-Encoding`, `Upgrade`, and a `Content-Length` other than 0.
    /// * Content: the body must report that it has ended ([`Body::is_end_stream`](http_body::Body::is_end_stream)). The
    ///   bodies of hyper, axum and tonic do so, over HTTP/1 and HTTP/2. A layer outside of this one may wrap the body
    ///   in a type that does not. Then no request counts as a preflight request.
    /// * A credential in the header or cookie of this layer. Browsers do not send one with preflights.
    ///
    /// Other requests need a token. So the inner service never gets content without a token.
    ///
    /// Use this if a CORS layer is behind this layer. It is better to put the CORS layer outside of this one. Then you
    /// do not need this setting.
    ///
    /// **Everything that answers `OPTIONS` behind this layer is then open to everyone.** That includes services that do
    /// not look at the method, such as axum's `any` and tonic's services. tonic runs methods that stream requests even
    /// without a message. Never use this setting in front of such services without a CORS layer between.
    pub fn allow_cors_preflight(mut self) -> Self {
        self.settings_mut().allows_cors_preflight = true;
        self
    }

    /// Sets the realm of every challenge. Default: `api`.
    ///
    /// # Errors
    /// [`ConfigError::InvalidHeaderValue`] if the realm has a character that is not printable ASCII, or has quotes or
    /// backslashes.
    pub fn with_realm(mut self, realm: impl AsRef<str>) -> Result<Self, ConfigError> {
        let rejections = self.rejections_mut();
        rejections.challenges = rejections.challenges.with_realm(realm.as_ref())?;
        Ok(self)
    }

    /// Names the URL of the metadata of this resource in the challenge of every 401 and 403 (RFC 9728 section 5.1). By
    /// default the challenge does not name one. Use it if another server has the document. Otherwise use
    /// [`with_resource`](Self::with_resource).
    ///
    /// # Errors
    /// [`ConfigError::InvalidHeaderValue`] if the URL is empty, has a character that is not printable ASCII, or has
    /// quotes or backslashes.
    pub fn with_resource_metadata(mut self, url: impl AsRef<str>) -> Result<Self, ConfigError> {
        let rejections = self.rejections_mut();
        rejections.challenges = rejections.challenges.with_resource_metadata(url.as_ref())?;
        Ok(self)
    }

    /// Sets the responder that writes the rejections. Default:
    /// [`TokenApiResponder`](crate::rejection::TokenApiResponder). gRPC requests still get trailers-only answers,
    /// unless `responder` overrides [`respond_to_grpc`](Responder::respond_to_grpc).
    pub fn with_responder(mut self, responder: impl Responder) -> Self {
        self.rejections_mut().responder = Some(Arc::new(responder));
        self
    }

    /// Sets whether requests that look like gRPC (`POST` with a content type of `application/grpc`) get trailers-only
    /// answers. Those have the HTTP status 200. Default: `true`.
    ///
    /// Set `false` on routes without gRPC. The client chooses its content type, and proxies, logs and alarms that count
    /// 401 do not see a rejection with status 200. With `false`, all requests get the responder's answer with its HTTP
    /// status.
    pub fn with_grpc_answers(mut self, grpc_answers: bool) -> Self {
        self.rejections_mut().grpc_answers = grpc_answers;
        self
    }

    /// Sets `Cache-Control: private` on responses to requests with a token, unless the inner service has set
    /// `Cache-Control`. By default the layer does not change the responses of the inner service.
    ///
    /// A shared cache must not store the response to a request with `Authorization` unless that response allows it (RFC
    /// 9111 section 3.5). A shared cache does not know about tokens in a cookie, in another header or in the query. So
    /// use this setting together with [`allow_cookie`](Self::allow_cookie),
    /// [`credential_header`](Self::credential_header) and [`allow_query`](Self::allow_query), or set the header in the
    /// service. The setting has no effect on rejections, which have `no-store`. It has no effect on responses to
    /// anonymous and preflight requests.
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

    /// Reads the token from this header, and no longer from `Authorization`. The header holds only the token, without a
    /// scheme. Some proxies send the token in this way, for example in `cf-access-jwt-assertion`.
    ///
    /// Shared caches do not know that the response is for one user: see
    /// [`with_private_responses`](Self::with_private_responses). With this setting,
    /// [`strip_credential`](Self::strip_credential) removes this header and leaves `Authorization`.
    ///
    /// The name `authorization` restores the default, with its scheme.
    pub fn credential_header(mut self, name: HeaderName) -> Self {
        self.settings_mut().sources.header = name;
        self
    }

    /// Also reads the token from the cookie of this name. By default the layer does not look at cookies.
    ///
    /// The layer ignores the cookie if the header has a token: browsers send cookies automatically. An empty cookie
    /// counts as no cookie. Other sites can make a browser send the cookie. So on methods that are not safe (RFC 9110
    /// section 9.2.1) and on WebSocket upgrades the request must be same-origin. The layer checks `Sec-Fetch-Site`, or
    /// `Origin` if the first is absent. It answers 403 if the request is not same-origin, or if both are absent. A
    /// proxy in front must keep `Host`. It must also keep the scheme if it forwards HTTP/2.
    ///
    /// Requests with safe methods are not checked. Your handlers for safe methods must not change anything.
    ///
    /// Shared caches do not know that the response is for one user: see
    /// [`with_private_responses`](Self::with_private_responses).
    pub fn allow_cookie(mut self, name: impl Into<Box<str>>) -> Self {
        self.settings_mut().sources.cookie = Some(name.into());
        self
    }

    /// Accepts the cookie of [`allow_cookie`](Self::allow_cookie) from any origin. By default only same-origin requests
    /// may use it. Use this if your service has its own defence against forged requests. It has no effect without a
    /// cookie.
    pub fn allow_cookie_without_csrf_check(mut self) -> Self {
        self.settings_mut().sources.cookie_without_csrf_check = true;
        self
    }

    /// Also reads the token from the query parameter of this name, usually `access_token` (RFC 6750 section 2.3). By
    /// default the layer does not look at the query.
    ///
    /// URLs end up in logs and histories. So use this only for clients that cannot send a header, such as a browser's
    /// `WebSocket` and `EventSource`. The layer removes the parameter from the URI before the inner service and the
    /// [`Responder`] see it. It also removes every parameter that has this name after it is decoded or trimmed.
    /// Everything in front of the layer sees the parameter. A copy of the URI that was made there, such as axum's
    /// `OriginalUri`, also has it. A response to such a request should have `Cache-Control: private`: see
    /// [`with_private_responses`](Self::with_private_responses).
    pub fn allow_query(mut self, name: impl Into<Box<str>>) -> Self {
        self.settings_mut().sources.query = Some(name.into());
        self
    }

    /// Removes the header and cookie of the credential from the request. By default the inner service sees them, marked
    /// as sensitive.
    ///
    /// The layer also removes everything that another reader could mistake for them: an `Authorization` with `Bearer`
    /// anywhere in it, and cookies that have the name after they are decoded or trimmed (`session =x`). An
    /// `Authorization` of another scheme stays.
    pub fn strip_credential(mut self) -> Self {
        self.settings_mut().sources.strip = true;
        self
    }

    /// Accepts certificate-bound tokens (RFC 8705 section 3), from requests with the client certificate that the token
    /// is bound to. `source` finds the certificate of a request. By default there is no source, and the layer rejects
    /// every bound token.
    ///
    /// With this setting, the layer removes the header `Client-Cert` from every request whose header it does not
    /// accept. See [`client_certificate`](crate::client_certificate).
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
    /// # fn layer(authenticator: tower_bearer::Authenticator) -> tower_bearer::BearerLayer {
    /// use tower_bearer::{BearerLayer, client_certificate::CertificateSource};
    ///
    /// BearerLayer::new(authenticator).with_client_certificates(CertificateSource::extension())
    /// # }
    /// ```
    pub fn with_client_certificates(mut self, source: CertificateSource) -> Self {
        self.settings_mut().certificates = Some(source);
        self
    }

    /// Accepts tokens that are bound to a key (RFC 9449), as `Authorization: DPoP` with a proof by that key. By default
    /// the layer rejects them. See [`dpop`](crate::dpop).
    ///
    /// Every challenge then has the scheme `DPoP`. With [`strip_credential`](Self::strip_credential) the layer also
    /// removes the proof. A token in a cookie, in the query or in another header cannot be bound to a key.
    pub fn with_dpop(mut self, dpop: Dpop) -> Self {
        let nonces = dpop.nonces().cloned();
        let clock = Arc::clone(self.settings.authenticator.clock());
        let rejections = self.rejections_mut();
        rejections.challenges =
            rejections.challenges.with_dpop(&dpop.algorithm_names(), dpop.is_required());
        rejections.nonces = nonces.map(|key| (key, clock));
        let settings = self.settings_mut();
        settings.sources.accept_dpop();
        settings.dpop = Some(Arc::new(dpop));
        self
    }

    /// Sets the protected resource that this layer guards (RFC 9728). Every 401 and 403 challenge then has
    /// `resource_metadata`, the URL of its metadata document. By default there is no resource.
    ///
    /// Serve the document with [`resource_metadata`](Self::resource_metadata). This replaces the URL of
    /// [`with_resource_metadata`](Self::with_resource_metadata).
    pub fn with_resource(mut self, resource: ProtectedResource) -> Self {
        let rejections = self.rejections_mut();
        // The URL was checked when the resource was made, so this does not fail.
        if let Ok(challenges) =
            rejections.challenges.with_resource_metadata(resource.metadata_url())
        {
            rejections.challenges = challenges;
        }
        self.settings_mut().resource = Some(resource);
        self
    }

    /// The service that answers with the metadata document of the resource (RFC 9728 section 3). `None` without
    /// [`with_resource`](Self::with_resource). It copies the settings of this layer at the time of the call.
    ///
    /// Put it outside of this layer: clients ask for the document before they have a token.
    ///
    /// ```
    /// # #[cfg(all(feature = "axum", any(feature = "aws-lc-rs", feature = "rust-crypto")))]
    /// # fn app(authenticator: tower_bearer::Authenticator) -> Result<axum::Router, tower_bearer::ConfigError> {
    /// use axum::{Router, routing::get};
    /// use tower_bearer::{BearerLayer, ProtectedResource};
    ///
    /// let resource = ProtectedResource::new("https://api.example/orders")?;
    /// let layer = BearerLayer::new(authenticator).with_resource(resource);
    /// let mut app = Router::new().route("/orders", get(|| async { "the orders" })).route_layer(layer.clone());
    /// if let Some(metadata) = layer.resource_metadata() {
    ///     app = app.merge(metadata.into_router());
    /// }
    /// # Ok(app) }
    /// ```
    #[must_use]
    pub fn resource_metadata(&self) -> Option<ResourceMetadata> {
        let settings = &self.settings;
        let methods = settings.sources.bearer_methods();
        let issuers = settings.authenticator.authorization_servers();
        settings.resource.as_ref().map(|resource| {
            resource.metadata(&Capabilities {
                issuers: &issuers,
                bearer_methods: &methods,
                certificates: settings.certificates.is_some(),
                dpop: settings.dpop.as_deref(),
            })
        })
    }

    /// Returns a layer that rejects tokens without the required scopes: all of a list, or what [`RequiredScopes`]
    /// describes. It answers 403, with a challenge that names the scopes (RFC 6750 section 3.1). Put it behind this
    /// layer. It copies the rejection settings of this layer at the time of the call, so set realm, responder and
    /// resource first.
    ///
    /// The challenge of a 401 of this layer does not name the scopes, because this layer does not know the route. If
    /// clients need them before their first log-in, use [`and_require_scopes`](Self::and_require_scopes).
    pub fn require_scopes(&self, scopes: impl Into<RequiredScopes>) -> RequireLayer<C> {
        RequireLayer::scopes(scopes.into(), &self.settings.rejections)
    }

    /// Returns one layer that authenticates and then requires scopes: this layer and that of
    /// [`require_scopes`](Self::require_scopes). The challenges of its 401 and its 403 name the scopes, so a client
    /// can ask for the right ones at its first log-in. Use it in place of this layer for the routes that need scopes.
    ///
    /// ```
    /// # #[cfg(all(feature = "axum", any(feature = "aws-lc-rs", feature = "rust-crypto")))]
    /// # fn app(layer: tower_bearer::BearerLayer) -> axum::Router {
    /// use axum::{Router, routing::get};
    ///
    /// let admin = Router::new()
    ///     .route("/admin", get(|| async { "for admins" }))
    ///     .route_layer(layer.and_require_scopes(["admin"]));
    /// let orders = Router::new().route("/orders", get(|| async { "the orders" })).route_layer(layer);
    /// admin.merge(orders)
    /// # }
    /// ```
    pub fn and_require_scopes(&self, scopes: impl Into<RequiredScopes>) -> (Self, RequireLayer<C>) {
        let (mut bearer, scopes) = (self.clone(), scopes.into());
        let rejections = bearer.rejections_mut();
        rejections.challenges = rejections.challenges.with_scopes(scopes.iter());
        let require = bearer.require_scopes(scopes);
        (bearer, require)
    }

    /// Returns a layer that requires an authentication of the user (RFC 9470). If the token does not show one, it
    /// answers 401 with `error="insufficient_user_authentication"` and a challenge that names what is required. The
    /// client then sends the user to log in again ("step-up"). Put it behind this layer. It copies the rejection
    /// settings of this layer at the time of the call, so set realm, responder and resource first.
    ///
    /// On a route that also requires scopes, call it on the first layer of the pair. Then all its challenges name the
    /// scopes:
    ///
    /// ```
    /// # #[cfg(all(feature = "axum", any(feature = "aws-lc-rs", feature = "rust-crypto")))]
    /// # fn app(layer: tower_bearer::BearerLayer) -> axum::Router {
    /// use std::time::Duration;
    /// use axum::{Router, routing::post};
    /// use tower_bearer::require::RequiredAuthentication;
    ///
    /// let recent = RequiredAuthentication::new().with_max_age(Duration::from_secs(300));
    /// let (bearer, scopes) = layer.and_require_scopes(["transfers"]);
    /// let recent = bearer.require_authentication(recent);
    /// Router::new()
    ///     .route("/transfer", post(|| async { "done" }))
    ///     .route_layer((bearer, scopes, recent))
    /// # }
    /// ```
    pub fn require_authentication(&self, required: RequiredAuthentication) -> RequireLayer<C> {
        let LayerSettings { authenticator, rejections, .. } = &*self.settings;
        RequireLayer::authentication(required, authenticator.clone(), rejections)
    }

    /// Returns a layer that answers 403 if `demand` does not return `true` for the token. Put it behind this layer. It
    /// copies the rejection settings of this layer at the time of the call, so set realm and responder first.
    pub fn require(
        &self,
        demand: impl Fn(&Authenticated<C>) -> bool + Send + Sync + 'static,
    ) -> RequireLayer<C> {
        RequireLayer::predicate(Box::new(demand), Arc::clone(&self.settings.rejections))
    }

    /// The response of this layer to a request that your own code rejects for this reason. It has the responder and the
    /// challenge of this layer, and telemetry counts it. The challenge has the error for the scheme of the request, if
    /// the layer has let the request through.
    #[must_use]
    pub fn reject(&self, kind: RejectionKind, request: &Parts) -> Response<Bytes> {
        let token = request.extensions.get::<Authenticated<C>>();
        let scheme = token.map_or(Scheme::Bearer, Authenticated::scheme);
        self.settings.rejections.respond(Rejection::new(kind).with_scheme(scheme), request)
    }

    /// The `WWW-Authenticate` value of this layer for this reason, if there is one. Use it in your own responses.
    #[must_use]
    pub fn challenge(&self, kind: RejectionKind) -> Option<&HeaderValue> {
        self.settings.rejections.challenges.of(kind, Scheme::Bearer)
    }

    fn settings_mut(&mut self) -> &mut LayerSettings<C> {
        Arc::make_mut(&mut self.settings)
    }

    fn rejections_mut(&mut self) -> &mut Rejections {
        Arc::make_mut(&mut self.settings_mut().rejections)
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
