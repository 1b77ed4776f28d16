//! Support for tonic: the layer's services are named gRPC services, and a handler can read the token of a
//! [`tonic::Request`].

use tonic::{Request, Status, server::NamedService};

use crate::{
    Authenticated, BearerAuth,
    rejection::{Anonymous, Answer, layer_not_installed_text},
    require::Require,
};

impl<S: NamedService, C> NamedService for BearerAuth<S, C> {
    const NAME: &'static str = S::NAME;
}

impl<S: NamedService, C> NamedService for Require<S, C> {
    const NAME: &'static str = S::NAME;
}

/// The token of a request, for a handler behind a [`BearerLayer`](crate::BearerLayer).
///
/// ```
/// use tonic::{Request, Response, Status};
/// use tower_bearer::{claims::UntypedClaims, tonic::authenticated};
///
/// async fn who_am_i(request: Request<()>) -> Result<Response<String>, Status> {
///     let user = authenticated::<UntypedClaims, _>(&request)?;
///     let subject = user.registered().subject().unwrap_or("nobody");
///     Ok(Response::new(subject.to_owned()))
/// }
/// ```
///
/// # Errors
/// * `UNAUTHENTICATED` for an anonymous request, which an [optional](crate::BearerLayer::optional) layer let through.
/// * `INTERNAL`, with a text that names `C`, for a request that has not passed a layer for `C`.
pub fn authenticated<C, T>(request: &Request<T>) -> Result<&Authenticated<C>, Status>
where
    C: Send + Sync + 'static,
{
    let extensions = request.extensions();
    if let Some(token) = extensions.get::<Authenticated<C>>() {
        Ok(token)
    } else if extensions.get::<Anonymous<C>>().is_some() {
        Err(Status::unauthenticated(Answer::NotAuthenticated.detail()))
    } else {
        Err(Status::internal(layer_not_installed_text::<C>()))
    }
}
