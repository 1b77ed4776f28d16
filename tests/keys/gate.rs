//! A layer that trusts remote keys, and what it says about a token.

use std::task::{Context, Poll, Waker};

use tower::{Layer, Service};
use tower_bearer::{
    Authenticator, BearerLayer, BoxFuture, Issuer, RejectionKind, claims::Clock, jwks::RemoteJwks,
};

use crate::{
    common::requests::{open, send, with_bearer},
    signer::{AUDIENCE, ISSUER},
};

/// `Ok` where the request came through, else the status and the reason.
pub(crate) type Said = Result<(), (u16, RejectionKind)>;

pub(crate) const UNKNOWN: Said = Err((401, RejectionKind::UnknownKey));
pub(crate) const UNAVAILABLE: Said = Err((503, RejectionKind::KeysUnavailable));

#[derive(Clone)]
pub(crate) struct Gate(BearerLayer);

impl Gate {
    pub(crate) fn new(keys: &RemoteJwks, clock: impl Clock) -> Self {
        Self::of([Issuer::new(ISSUER, keys.clone()).audience(AUDIENCE)], clock)
    }

    pub(crate) fn of(issuers: impl IntoIterator<Item = Issuer>, clock: impl Clock) -> Self {
        let builder = Authenticator::builder().claims().with_clock(clock);
        let authenticator =
            issuers.into_iter().fold(builder, |builder, issuer| builder.issuer(issuer));
        Self::behind(BearerLayer::new(authenticator.build().unwrap()))
    }

    pub(crate) fn behind(layer: BearerLayer) -> Self {
        Self(layer)
    }

    pub(crate) fn layer(&self) -> &BearerLayer {
        &self.0
    }

    pub(crate) async fn says(&self, token: &str) -> Said {
        let outcome = send(self.0.layer(open()), with_bearer(token)).await;
        match outcome.rejection {
            None => {
                outcome.assert_passed();
                Ok(())
            }
            Some(kind) => {
                assert_eq!(outcome.headers.contains_key("retry-after"), outcome.status == 503);
                Err((outcome.status.as_u16(), kind))
            }
        }
    }

    /// What is said without any waiting.
    pub(crate) fn says_at_once(&self, token: &str) -> Option<Said> {
        let mut said = Box::pin(self.says(token));
        match said.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(said) => Some(said),
            Poll::Pending => None,
        }
    }

    /// A request that has begun to wait.
    pub(crate) fn begins_to_wait(&self, token: &str) -> BoxFuture<'static, Said> {
        let (gate, token) = (self.clone(), token.to_owned());
        let mut said: BoxFuture<'static, Said> = Box::pin(async move { gate.says(&token).await });
        assert!(said.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        said
    }
}

/// The layer's own future for a request of this token.
#[allow(dead_code, reason = "asserts at compile time")]
fn can_be_sent(gate: &Gate) -> impl Send + use<> {
    gate.0.layer(open()).call(with_bearer(""))
}
