//! A layer that does not look at tokens, for the tests of routers.

use std::{
    fmt,
    task::{Context, Poll},
};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Authenticated, claims::UntypedClaims};

/// Lets every request pass as the same user, whatever its token.
///
/// Use it in place of a [`BearerLayer`](crate::BearerLayer). It cannot bypass one: a `BearerLayer` behind this layer
/// removes the user and looks at the request's own token. To test a service that has its own layer, use
/// [`TestIssuer::layer`](super::TestIssuer::layer) and tokens.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::convert::Infallible;
///
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_bearer::{Authenticated, claims::UntypedClaims, test_util::{FixedUserLayer, TestIssuer}};
///
/// let handler = service_fn(async |request: Request<String>| {
///     let user = request.extensions().get::<Authenticated>().expect("somebody put it there");
///     Ok::<_, Infallible>(Response::new(user.registered().subject().map(str::to_owned)))
/// });
/// let issuer = TestIssuer::new();
/// let ada = issuer.token().subject("ada").authenticated::<UntypedClaims>();
///
/// let as_ada = FixedUserLayer::new(ada);
/// let response = as_ada.layer(handler).oneshot(Request::new(String::new())).await?;
/// assert_eq!(response.body().as_deref(), Some("ada"));
///
/// let guarded = as_ada.layer(issuer.layer::<UntypedClaims>().layer(handler));
/// assert_eq!(guarded.oneshot(Request::new(String::new())).await?.status(), 401);
/// # Ok(()) }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
#[must_use = "a layer does nothing until it is put around a service"]
pub struct FixedUserLayer<C = UntypedClaims>(Authenticated<C>);

impl<C> FixedUserLayer<C> {
    /// Gives this user to every request.
    pub fn new(user: Authenticated<C>) -> Self {
        Self(user)
    }
}

impl<S, C> Layer<S> for FixedUserLayer<C> {
    type Service = FixedUser<S, C>;

    fn layer(&self, inner: S) -> FixedUser<S, C> {
        FixedUser { inner, user: self.0.clone() }
    }
}

/// The service that [`FixedUserLayer`] makes.
#[must_use = "a service does nothing until it is called"]
pub struct FixedUser<S, C = UntypedClaims> {
    inner: S,
    user: Authenticated<C>,
}

impl<S, C, B> Service<Request<B>> for FixedUser<S, C>
where
    S: Service<Request<B>>,
    C: Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(self.user.clone());
        self.inner.call(request)
    }
}

impl<C> Clone for FixedUserLayer<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> fmt::Debug for FixedUserLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FixedUserLayer").field(&self.0).finish()
    }
}

impl<S: Clone, C> Clone for FixedUser<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), user: self.user.clone() }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for FixedUser<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedUser").field("inner", &self.inner).field("user", &self.user).finish()
    }
}
