//! The same bytes for every bad token.

use std::{sync::LazyLock, time::Duration};

use http::{HeaderValue, Method, header::CONTENT_TYPE};
use serde::Deserialize;
use tower::Layer;
use tower_bearer::{
    Authenticator, BearerLayer, BoxFuture, CheckError, Issuer, Key, RejectionKind, RevocationCache,
    UnixTime,
    claims::ManualClock,
    jwks::{FetchError, FetchJwks, FetchRequest, Fetched},
    jws::SigningKey,
    rejection::Answer,
    revocation::{MemoryStore, Revocable, RevocationEntry},
    status_list::StatusLists,
    telemetry::Collector,
    test_util::TestIssuer,
};

use super::{
    hidden::Hidden,
    marked::{LOG, SECRET, signed},
};
use crate::common::{
    requests::{NOW, open, send, with_bearer},
    tokens::sign_hs256,
};

/// What the service author makes of the claims.
#[derive(Deserialize)]
struct Claims {
    tenant: Option<String>,
}

/// Everything that a authenticator can demand.
fn demanding() -> (Authenticator<Claims>, RevocationCache) {
    let key = || Key::hs256(SECRET).unwrap().with_key_id("main");
    let revocation = RevocationCache::new(
        MemoryStore::new().with_clock(ManualClock::at(UnixTime::from_secs(NOW))),
        Duration::ZERO,
    )
    .with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    let authenticator = Authenticator::builder()
        .claims::<Claims>()
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
        .issuer(
            Issuer::new("https://issuer.example", key())
                .audience("api://orders")
                .with_status_lists(status_lists()),
        )
        .issuer(
            Issuer::new("https://strict.example", key())
                .audience("api://orders")
                .with_max_age(Duration::from_secs(100))
                .with_max_lifetime(Duration::from_secs(1_000)),
        )
        .add_check(|token| match token.claims().tenant.as_deref() {
            Some("blocked") => Err(CheckError::Rejected),
            _ => Ok(()),
        })
        .build()
        .unwrap();
    (authenticator.with_revocation(revocation.clone()), revocation)
}

const LIST: &str = "https://issuer.example/lists/1";

/// Serves a list in which each of the first four statuses is its index.
struct ListServer;

impl FetchJwks for ListServer {
    fn fetch<'a>(&'a self, _: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        let key = SigningKey::hs256(SECRET).unwrap().with_key_id("main");
        let clock = ManualClock::at(UnixTime::from_secs(NOW));
        let list = TestIssuer::new().with_key(key).with_clock(clock).status_list(LIST);
        let list = list.with_bits(2).with_length(4).with_status(1, 1).with_status(2, 2);
        let list = list.with_status(3, 3).issue();
        Box::pin(async { Ok(Fetched::document(list)) })
    }
}

fn status_lists() -> StatusLists {
    let lists = StatusLists::new("https://issuer.example/lists").unwrap();
    lists.with_fetcher(ListServer).with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
}

fn with_claims(iss: &str, members: &str) -> String {
    let iss = format!("https://{iss}.example");
    signed(r#"{"alg":"HS256"}"#, &format!(r#"{{"iss":"{iss}","aud":"api://orders",{members}}}"#))
}

/// Whether a layer can reject a token for this reason: all but the one that only `recheck` gives.
fn is_of_a_request(kind: RejectionKind) -> bool {
    kind.answer() == Answer::TokenNotValid && kind != RejectionKind::OtherVerifier
}

/// A token that is refused for just this reason.
fn bad_token(kind: RejectionKind) -> String {
    let (soon, later) = (NOW + 60, NOW + 9_000);
    let good = format!(r#""exp":{soon}"#);
    let claims = |members: &str| with_claims("issuer", &format!("{good},{members}"));
    let header = |members: &str| {
        let claims = format!(r#"{{"iss":"https://issuer.example","aud":"api://orders",{good}}}"#);
        signed(&format!("{{{members}}}"), &claims)
    };
    let status = |index: u64, url: &str| {
        claims(&format!(r#""status":{{"status_list":{{"idx":{index},"uri":"{url}"}}}}"#))
    };
    match kind {
        RejectionKind::TokenTooLong => "a".repeat(8 * 1024 + 1),
        RejectionKind::MalformedToken => "a.b".to_owned(),
        RejectionKind::MalformedHeader => header(r#""alg":0"#),
        RejectionKind::UnsupportedAlgorithm => header(r#""alg":"none""#),
        RejectionKind::UnsupportedHeader => header(r#""alg":"HS256","crit":["exp"]"#),
        RejectionKind::MalformedClaims => signed(r#"{"alg":"HS256"}"#, "[]"),
        RejectionKind::UnknownIssuer => with_claims("unknown", &good),
        RejectionKind::WrongType => header(r#""alg":"HS256","typ":"logout+jwt""#),
        RejectionKind::UnknownKey => header(r#""alg":"HS256","kid":"unknown""#),
        RejectionKind::AlgorithmMismatch => header(r#""alg":"RS256""#),
        RejectionKind::BadSignature => {
            let claims = format!(r#"{{"iss":"https://issuer.example","aud":"x",{good}}}"#);
            sign_hs256(r#"{"alg":"HS256"}"#, &claims)
        }
        RejectionKind::MissingClaim => with_claims("issuer", r#""sub":"me""#),
        RejectionKind::InvalidClaim => with_claims("issuer", r#""exp":"never""#),
        RejectionKind::Expired => with_claims("issuer", r#""exp":1"#),
        RejectionKind::NotYetValid => claims(&format!(r#""nbf":{later}"#)),
        RejectionKind::IssuedInFuture => claims(&format!(r#""iat":{later}"#)),
        RejectionKind::TooOld => with_claims("strict", &format!(r#"{good},"iat":{}"#, NOW - 900)),
        RejectionKind::LifetimeTooLong => {
            with_claims("strict", &format!(r#""exp":{later},"iat":{NOW}"#))
        }
        RejectionKind::WrongAudience => signed(
            r#"{"alg":"HS256"}"#,
            &format!(r#"{{"iss":"https://issuer.example","aud":"api://stock",{good}}}"#),
        ),
        RejectionKind::WrongTokenUse => claims(r#""token_type":"refresh""#),
        RejectionKind::UnverifiedConfirmation => claims(r#""cnf":{"jkt":"x"}"#),
        RejectionKind::ClaimsMismatch => claims(r#""tenant":0"#),
        RejectionKind::CheckFailed => claims(r#""tenant":"blocked""#),
        RejectionKind::Revoked => claims(r#""jti":"revoked""#),
        RejectionKind::ForeignStatusList => status(0, "https://other.example/lists/1"),
        RejectionKind::StatusInvalid => status(1, LIST),
        RejectionKind::StatusSuspended => status(2, LIST),
        RejectionKind::StatusOther => status(3, LIST),
        RejectionKind::StatusIndexOutOfRange => status(4, LIST),
        kind => panic!("this test needs a bad token for {kind}"),
    }
}

#[tokio::test]
async fn every_bad_token_gets_the_same_bytes_whatever_is_wrong_with_it() {
    LazyLock::force(&LOG);
    let (authenticator, revocation) = demanding();
    let revoked = Revocable::token("https://issuer.example", "revoked");
    revocation.revoke(&RevocationEntry::new(revoked, UnixTime::from_secs(NOW + 60))).await.unwrap();
    let service = BearerLayer::new(authenticator.clone()).layer(open());
    for good in [
        with_claims("issuer", &format!(r#""exp":{},"tenant":"blue","jti":"a""#, NOW + 60)),
        with_claims("strict", &format!(r#""exp":{},"iat":{NOW}"#, NOW + 60)),
    ] {
        send(service.clone(), with_bearer(&good)).await.assert_passed();
    }

    let kinds: Vec<RejectionKind> =
        RejectionKind::ALL.iter().copied().filter(|kind| is_of_a_request(*kind)).collect();
    assert!(kinds.len() >= 24);
    let mut hidden = Hidden::default();
    for kind in kinds {
        let token = bad_token(kind);
        if token.len() >= 8 {
            hidden.add(&token);
        }
        let rejection = authenticator.authenticate(&token).await.err().map(|error| error.kind());
        assert_eq!(rejection, Some(kind));

        let refused = send(service.clone(), with_bearer(&token)).await;
        assert_eq!(refused.rejection, Some(kind));
        assert_eq!(refused.status, 401, "{kind}");
        assert_eq!(
            refused.headers(),
            [
                ("cache-control", "no-store"),
                ("content-type", "application/json"),
                (
                    "www-authenticate",
                    r#"Bearer realm="api", error="invalid_token", error_description="Token is invalid or expired""#
                ),
            ],
            "{kind}"
        );
        assert_eq!(
            refused.body, r#"{"code":"token_not_valid","detail":"Token is invalid or expired"}"#,
            "{kind}"
        );

        let mut request = with_bearer(&token);
        *request.method_mut() = Method::POST;
        let grpc = HeaderValue::from_static("application/grpc");
        request.headers_mut().insert(CONTENT_TYPE, grpc);
        let refused = send(service.clone(), request).await;
        assert_eq!((refused.status.as_u16(), refused.body.as_str()), (200, ""), "{kind}");
        assert_eq!(
            refused.headers(),
            [
                ("cache-control", "no-store"),
                ("content-type", "application/grpc"),
                ("grpc-message", "Token is invalid or expired"),
                ("grpc-status", "16"),
                (
                    "www-authenticate",
                    r#"Bearer realm="api", error="invalid_token", error_description="Token is invalid or expired""#
                ),
            ],
            "{kind}"
        );
    }
    let collector = Collector::new().add_authenticator(&authenticator);
    collector.collect();
    for told in [LOG.text(), LOG.metrics()] {
        for kind in RejectionKind::ALL.iter().filter(|kind| is_of_a_request(**kind)) {
            assert!(told.contains(&format!("{:?}", kind.as_str())), "{kind}: {told}");
        }
        hidden.assert_not_in(&told);
    }
}
