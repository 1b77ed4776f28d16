//! Nothing of tokens in what is logged, and in what others log of requests.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderName, Request, Response,
    header::{AUTHORIZATION, COOKIE},
    request::Parts,
};
use tower::{Layer, service_fn};
use tower_bearer::{
    BearerLayer, Rejection, RejectionKind, RevocationCache, UnixTime,
    revocation::{Lookup, MemoryStore, RevocationEntry, StoreError},
    telemetry::Collector,
};

use super::{
    hidden::{Hidden, hidden},
    marked::{
        LOG, Printed, Store, all_revocables, marked_authenticator, marked_token, marked_token_until,
    },
};
use crate::common::requests::{Body, NOW, Outcome, body, get, open, send, with_bearer};

fn assert_tells_nothing(hidden: &Hidden, outcome: &Outcome) {
    hidden.assert_not_in(&outcome.body);
    hidden.assert_not_printed(&outcome.headers);
}

#[tokio::test]
async fn the_log_has_reasons_and_nothing_of_tokens() {
    LazyLock::force(&LOG);
    let good = marked_token();
    let (signing_input, signature) = good.rsplit_once('.').unwrap();
    let last = if signature.ends_with('A') { "E" } else { "A" };
    let forged = format!("{signing_input}.{}{last}", &signature[..signature.len() - 1]);
    let expired = marked_token_until(NOW - 60);
    let unknown = good.replacen('.', "~.", 1);
    let tokens = [good.as_str(), &forged, &expired];
    let hidden = hidden(tokens);

    let authenticator = marked_authenticator(&Printed::default());
    let quoting: fn(&Lookup) -> StoreError = |lookup| {
        let ids: Vec<_> = lookup.things().iter().map(|thing| &**thing.id()).collect();
        StoreError::new(format!("no answer about {}", ids.join(" ")))
    };
    let failing = authenticator
        .clone()
        .with_revocation(RevocationCache::new(Store(Some(quoting)), Duration::ZERO));
    let revoked = RevocationCache::new(MemoryStore::new(), Duration::ZERO);
    for what in all_revocables() {
        revoked.revoke(&RevocationEntry::new(what, UnixTime::MAX)).await.unwrap();
    }
    let revoking = authenticator.clone().with_revocation(revoked);

    let collector = [&authenticator, &failing, &revoking]
        .into_iter()
        .fold(Collector::new(), Collector::add_authenticator);
    let layer = BearerLayer::new(authenticator);
    let plain = layer.layer(open());
    let lines = |service: &str| LOG.text().lines().filter(|line| line.contains(service)).count();
    let before = lines("request refused");
    send(plain.clone(), with_bearer(&good)).await.assert_passed();
    for token in [&forged, &expired, &unknown, &format!("{good} {good}"), &format!("{good}\u{e9}")]
    {
        let refused = send(plain.clone(), with_bearer(token)).await;
        assert!(refused.rejection.is_some());
        assert_tells_nothing(&hidden, &refused);
    }
    let twice = body(
        get("/")
            .header(AUTHORIZATION, format!("Bearer {good}"))
            .header(AUTHORIZATION, format!("Bearer {good}")),
    );
    assert_tells_nothing(&hidden, &send(plain, twice).await);
    for (authenticator, kind) in
        [(failing, RejectionKind::RevocationUnavailable), (revoking, RejectionKind::Revoked)]
    {
        let refused = send(BearerLayer::new(authenticator).layer(open()), with_bearer(&good)).await;
        assert_eq!(refused.rejection, Some(kind));
        assert_tells_nothing(&hidden, &refused);
    }
    let scoped = layer.layer(layer.require_scopes(["admin"]).layer(open()));
    let refused = send(scoped, with_bearer(&good)).await;
    assert_eq!(refused.rejection, Some(RejectionKind::InsufficientScope));
    assert_tells_nothing(&hidden, &refused);

    assert!(lines("request refused") >= before + 9, "{}", LOG.text());
    assert!(LOG.text().contains(r#"reason="bad_signature""#));
    assert!(LOG.text().contains(r#"revocation store failed kind="failed""#), "{}", LOG.text());
    hidden.assert_not_in(&LOG.text());

    collector.collect();
    let metrics = LOG.metrics();
    for recorded in ["bad_signature", "revocation_look_up_seconds", "revocation_errors_total"] {
        assert!(metrics.contains(recorded), "{metrics}");
    }
    hidden.assert_not_in(&metrics);
}

/// Tracing layers print requests; what may hold a token is marked as sensitive, or gone.
#[tokio::test]
async fn the_service_and_the_responder_print_a_request_without_its_token() {
    let good = marked_token();
    let bad = format!("{good}A");
    let hidden = hidden([good.as_str()]);
    let printed = Printed::default();
    let (inside, outside) = (Arc::clone(&printed), Arc::clone(&printed));
    let behind = service_fn(move |request: Request<Body>| {
        inside.lock().unwrap().push(format!("passed {request:?}"));
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Body::default())))
    });
    let responder = move |_: &Rejection, request: &Parts| {
        outside.lock().unwrap().push(format!("refused {request:?}"));
        Response::new(Bytes::new())
    };
    let layer =
        BearerLayer::new(marked_authenticator(&Printed::default())).with_responder(responder);
    let assertion = HeaderName::from_static("x-assertion");
    let authorization =
        |token: &str| body(get("/").header(AUTHORIZATION, format!("Bearer {token}")));
    let cookie = |token: &str| {
        let others = format!("session={token}; other=1");
        body(get("/").header(COOKIE, "first=1").header(COOKIE, others))
    };
    let query = |token: &str| body(get(&format!("/?a=1&access_token={token}")));
    let header = |token: &str| body(get("/").header("x-assertion", token));
    type ToRequest<'r> = &'r dyn Fn(&str) -> Request<Body>;
    let cases: [(BearerLayer, ToRequest<'_>); 4] = [
        (layer.clone(), &authorization),
        (layer.clone().allow_cookie("session"), &cookie),
        (layer.clone().allow_query("access_token"), &query),
        (layer.clone().credential_header(assertion), &header),
    ];
    for (layer, request) in cases {
        assert!(hidden.piece_in(&format!("{:?}", request(&good))).is_some(), "before the layer");
        send(layer.layer(behind.clone()), request(&good)).await;
        // A bad token, one that is no b64token, and two of them.
        send(layer.layer(behind.clone()), request(&bad)).await;
        send(layer.layer(behind.clone()), request(&format!("{good}~="))).await;
        let mut twice = request(&good);
        let more = request(&good);
        for (name, value) in more.headers() {
            twice.headers_mut().append(name, value.clone());
        }
        send(layer.layer(behind.clone()), twice).await;
    }
    let printed = printed.lock().unwrap();
    assert_eq!(printed.len(), 16);
    assert!(printed.iter().filter(|text| text.starts_with("passed")).count() >= 4);
    for text in printed.iter() {
        hidden.assert_not_in(text);
    }
}
