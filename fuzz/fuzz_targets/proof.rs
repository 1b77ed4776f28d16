//! DPoP proofs (RFC 9449 section 4.3).
//!
//! Input: two bytes, and then a text. The first byte selects the path of the request. If the last bit of the second is
//! 0, the text is a whole proof. If it is 1, the text is a header, NUL, and claims, and the target signs them with the
//! key of the client. `{jwk}` in a header is the public key, and `{ath}` in claims is the hash of the token.

#![no_main]

use std::{convert::Infallible, sync::LazyLock};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use libfuzzer_sys::fuzz_target;
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::{
    Authenticator, BearerLayer, RejectionKind, UnixTime, claims::ManualClock, dpop::Dpop,
};
use tower_bearer_fuzz::{
    AUDIENCE, ISSUER, NOW, block_on,
    proof::{Expected, PUBLIC_URL, X, Y, judge, thumbprint, token_hash},
    signer::Signer,
    trusted,
};

const PATHS: [&str; 6] = ["/orders", "/", "/a%7eb/%C3%a4", "/a/../b/./c", "/a//b/", "/x;y=1"];

static AUTHENTICATOR: LazyLock<Authenticator> =
    LazyLock::new(|| trusted::builder(ManualClock::at(UnixTime::from_secs(NOW))).build().unwrap());

/// A layer that does not remember proofs, so that each input is judged alone.
static WITHOUT_MEMORY: LazyLock<BearerLayer> =
    LazyLock::new(|| layer(Dpop::new([PUBLIC_URL]).unwrap().allow_unrecorded_proofs()));

static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let jkt = thumbprint();
    let claims = format!(
        r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","exp":{},"sub":"a","cnf":{{"jkt":"{jkt}"}}}}"#,
        NOW + 60
    );
    Signer::Hs256.sign(br#"{"alg":"HS256"}"#, claims.as_bytes())
});

fn layer(dpop: Dpop) -> BearerLayer {
    BearerLayer::new(AUTHENTICATOR.clone()).with_dpop(dpop)
}

fuzz_target!(|data: &[u8]| {
    let [path, choice, input @ ..] = data else { return };
    let path = PATHS[usize::from(*path) % PATHS.len()];
    let proof = if choice & 1 == 0 { input.to_vec() } else { signed(input).into_bytes() };
    // Other bytes cannot be in a header.
    let Ok(value) = HeaderValue::from_bytes(&proof) else { return };

    let expected = Expected { method: "GET", path, token: &TOKEN, now: NOW };
    let verdict = judge(value.as_bytes(), &expected);
    let rejection = send(&WITHOUT_MEMORY, path, &value);
    assert_eq!(rejection.is_none(), verdict.is_ok(), "{verdict:?} {rejection:?}");
    if verdict.is_ok() {
        let remembering = layer(Dpop::new([PUBLIC_URL]).unwrap());
        assert_eq!(send(&remembering, path, &value), None);
        assert_eq!(send(&remembering, path, &value), Some(RejectionKind::ReplayedProof));
    }
});

fn signed(input: &[u8]) -> String {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let (header, claims) = (parts.next().unwrap_or(&[]), parts.next().unwrap_or(&[]));
    let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}"}}"#);
    let header = replaced(header, "{jwk}", &jwk);
    let claims = replaced(claims, "{ath}", &token_hash(&TOKEN));
    Signer::Es256.sign(&header, &claims)
}

fn replaced(text: &[u8], name: &str, value: &str) -> Vec<u8> {
    match str::from_utf8(text) {
        Ok(text) => text.replace(name, value).into_bytes(),
        Err(_) => text.to_vec(),
    }
}

/// Sends a request with the token and this proof. Checks that a rejection is a documented answer.
fn send(layer: &BearerLayer, path: &str, proof: &HeaderValue) -> Option<RejectionKind> {
    let service = layer.layer(service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    }));
    let request = Request::get(path)
        .header(AUTHORIZATION, format!("DPoP {}", *TOKEN))
        .header("dpop", proof)
        .body(Full::default())
        .unwrap();
    let response = block_on(service.oneshot(request)).unwrap();
    let rejection = response.extensions().get::<tower_bearer::Rejection>()?.kind();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let body = block_on(response.into_body().collect()).unwrap().to_bytes();
    let code = match rejection {
        RejectionKind::UnverifiedConfirmation => "token_not_valid",
        _ => "dpop_proof_not_valid",
    };
    assert!(body.starts_with(format!(r#"{{"code":"{code}","#).as_bytes()), "{body:?}");
    Some(rejection)
}
