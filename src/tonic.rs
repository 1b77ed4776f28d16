//! Support for tonic: the layer's services are named gRPC services, and a handler can read the token of a
//! [`tonic::Request`].

use http::{HeaderMap, header::WWW_AUTHENTICATE};
use tonic::{Code, Request, Status, metadata::MetadataMap, server::NamedService};

use crate::{
    Authenticated, BearerAuth, RejectionKind,
    credential::Scheme,
    rejection::{Anonymous, Answer, Rejections, layer_not_installed_text},
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
    } else if let Some(anonymous) = extensions.get::<Anonymous<C>>() {
        Err(not_authenticated(&anonymous.rejections))
    } else {
        Err(Status::internal(layer_not_installed_text::<C>()))
    }
}

/// The status has the challenge of the layer, as its own rejections have.
fn not_authenticated(rejections: &Rejections) -> Status {
    let mut headers = HeaderMap::new();
    if let Some(challenge) =
        rejections.challenges.of(RejectionKind::MissingCredential, Scheme::Bearer)
    {
        headers.insert(WWW_AUTHENTICATE, challenge.clone());
    }
    let detail = Answer::NotAuthenticated.detail();
    Status::with_metadata(Code::Unauthenticated, detail, MetadataMap::from_headers(headers))
}
