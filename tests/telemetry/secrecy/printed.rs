//! Nothing of tokens and keys in what public types print.

use std::{error::Error, sync::LazyLock, time::Duration};

use http::{Request, Response};
use tower::{Layer, Service};
use tower_bearer::{
    Authenticator, BearerLayer, Issuer, KeySet, KeySetHandle, KeySource, Rejection, RejectionKind,
    RevocationCache, UnixTime,
    claims::ManualClock,
    revocation::{MemoryStore, RevocationEntry, StoreError},
};

use super::{
    hidden::hidden,
    marked::{
        EMAIL, KEY_ID, LOG, Printed, SCOPE, SUBJECT, Store, TOKEN_ID, all_revocables,
        marked_authenticator, marked_issuer, marked_key, marked_token,
    },
};
use crate::common::requests::{Body, NOW, with_bearer};

#[tokio::test]
async fn no_public_type_prints_a_token_a_claim_or_a_key() {
    LazyLock::force(&LOG);
    let token = marked_token();
    let hidden = hidden([token.as_str()]);
    let printed = Printed::default();
    let store = MemoryStore::new().with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    let revocation = RevocationCache::new(store.clone(), Duration::from_secs(30))
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    let authenticator = marked_authenticator(&printed).with_revocation(revocation.clone());

    let user = authenticator.authenticate(&token).await.unwrap();
    assert_eq!(user.claims().get("email").unwrap(), EMAIL);
    assert_eq!((user.key_id(), user.revocation_id()), (Some(KEY_ID), TOKEN_ID));
    assert!(user.scopes().contains(SCOPE) && user.registered().audience().contains(EMAIL));
    let printed = printed.lock().unwrap().concat();
    assert!(printed.contains("VerifiedToken"));
    hidden.assert_not_in(&printed);
    hidden.assert_not_printed(&user);
    hidden.assert_not_printed(user.claims());
    hidden.assert_not_printed(user.registered());
    hidden.assert_not_printed(&user.registered().audience());
    hidden.assert_not_printed(&user.scopes());

    for what in all_revocables() {
        hidden.assert_not_printed(&what);
        revocation
            .revoke(&RevocationEntry::new(what, UnixTime::from_secs(NOW + 60)))
            .await
            .unwrap();
    }
    assert_eq!(revocation.stats().denials, 4);
    hidden.assert_not_printed(&revocation);
    hidden.assert_not_printed(&revocation.stats());
    hidden.assert_not_printed(&store);
    let rejection = authenticator.authenticate(&token).await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::Revoked);
    hidden.assert_not_told(&rejection);
    for kind in RejectionKind::ALL {
        hidden.assert_not_told(&Rejection::new(*kind));
    }

    let keys = KeySet::new([marked_key()]);
    hidden.assert_not_printed(&keys);
    hidden.assert_not_printed(&marked_key());
    let handle = KeySetHandle::new(keys);
    hidden.assert_not_printed(&handle);
    hidden.assert_not_printed(&handle.snapshot());
    hidden.assert_not_printed(&KeySource::from(handle.clone()));
    hidden.assert_not_printed(&Issuer::new("https://issuer.example", handle.clone()));
    let issuer = marked_issuer(handle);
    hidden.assert_not_printed(&issuer);
    let builder = Authenticator::builder().issuer(issuer);
    hidden.assert_not_printed(&builder);
    hidden.assert_not_printed(&builder.build().unwrap());
    hidden.assert_not_printed(&authenticator);

    let layer = BearerLayer::new(authenticator);
    hidden.assert_not_printed(&layer);
    let mut service = layer.layer(Printable);
    hidden.assert_not_printed(&service);
    let require = layer.require_scopes(["admin"]);
    hidden.assert_not_printed(&require);
    hidden.assert_not_printed(&require.layer(Printable));
    let require = layer.require(|user| user.registered().subject() == Some(SUBJECT));
    hidden.assert_not_printed(&require);
    let future = service.call(with_bearer(&token));
    hidden.assert_not_printed(&future);
    hidden.assert_not_printed(&future.await.unwrap());
}

/// Also while the store is asked, when the request is in the future.
#[tokio::test]
async fn a_future_that_waits_prints_nothing_of_its_request() {
    let token = marked_token();
    let cache = RevocationCache::new(Store(None), Duration::ZERO);
    let authenticator = marked_authenticator(&Printed::default()).with_revocation(cache.clone());
    let mut service = BearerLayer::new(authenticator).layer(Printable);
    let future = service.call(with_bearer(&token));
    assert_eq!(format!("{future:?}"), "ResponseFuture::Checking(..)");
    hidden([token.as_str()]).assert_not_printed(&future);
    hidden([token.as_str()]).assert_not_printed(&cache);
}

#[derive(Clone, Debug)]
struct Printable;

impl Service<Request<Body>> for Printable {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Self::Error>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::ready(Ok(Response::new(Body::default())))
    }
}

#[test]
fn an_error_of_a_store_does_not_print_its_source() {
    let hidden = hidden([]);
    let error = StoreError::new(SUBJECT);
    hidden.assert_not_in(&error.to_string());
    assert_eq!(error.source().unwrap().to_string(), SUBJECT, "whoever asks for it has it");
    hidden.assert_not_told(&StoreError::timed_out());
}
