//! Compares the strict reading of claims with serde: which claims are accepted, the values of the registered claims,
//! and the values of a service author's own type.
//!
//! Input: one byte, and then a text. The byte modulo 3 selects the meaning of the text: (0) a claims set, (1)
//! additional members of a valid claims set, or (2) additional members of a claims set with `iss` only.

#![no_main]

use std::{fmt::Debug, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use serde::de::DeserializeOwned;
use tower_bearer::{
    Authenticated, Authenticator, RejectionKind, UnixTime,
    claims::{ManualClock, NoClaims, UntypedClaims},
};
use tower_bearer_fuzz::{
    NOW, block_on,
    claims::{Flattened, Typed, Untagged},
    json,
    policy::{Registered, judge_claims},
    signer::Signer,
    trusted,
};

struct Authenticators {
    untyped: Authenticator<UntypedClaims>,
    none: Authenticator<NoClaims>,
    typed: Authenticator<Typed>,
    flattened: Authenticator<Flattened>,
    untagged: Authenticator<Untagged>,
}

static AUTHENTICATORS: LazyLock<Authenticators> = LazyLock::new(|| Authenticators {
    untyped: authenticator(),
    none: authenticator(),
    typed: authenticator(),
    flattened: authenticator(),
    untagged: authenticator(),
});

fn authenticator<C: DeserializeOwned + Send + Sync + 'static>() -> Authenticator<C> {
    let authenticator = Authenticator::builder()
        .claims::<C>()
        .issuer(trusted::issuer(trusted::keys()))
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
        .build();
    authenticator.unwrap()
}

fuzz_target!(|data: &[u8]| {
    let (choice, text) = data.split_first().unwrap_or((&0, &[]));
    let claims = match choice % 3 {
        0 => text.to_vec(),
        1 => [
            &br#"{"iss":"https://issuer.example","aud":"api://orders","exp":1800000060,"#[..],
            text,
            b"}",
        ]
        .concat(),
        _ => [&br#"{"iss":"https://issuer.example","#[..], text, b"}"].concat(),
    };
    let token = Signer::Hs256.sign(br#"{"alg":"HS256"}"#, &claims);
    if token.len() <= 8192 {
        check(&token, &claims);
    }
});

fn check(token: &str, claims: &[u8]) {
    let all = &*AUTHENTICATORS;
    let ours = block_on(all.untyped.authenticate(token)).map_err(|rejection| rejection.kind());
    let is_malformed = matches!(ours, Err(RejectionKind::MalformedClaims));
    assert_eq!(is_malformed, json::strict(claims).is_none());
    let expected = judge_claims(claims, NOW);
    let user = match (ours, expected) {
        (Ok(user), Ok(expected)) => {
            assert_eq!(registered(&user), expected);
            user
        }
        (Err(_), Err(_)) => return,
        (ours, expected) => panic!("{:?}, but the policy gives {expected:?}", ours.map(|_| ())),
    };
    assert_eq!(user.registered().as_json().as_bytes(), claims);
    assert_eq!(Some(user.claims().as_map()), json::strict(claims).as_ref());

    assert!(block_on(all.none.authenticate(token)).is_ok());
    is_what_serde_reads(&all.typed, token, claims);
    is_what_serde_reads(&all.flattened, token, claims);
    is_what_serde_reads(&all.untagged, token, claims);
}

fn is_what_serde_reads<C>(authenticator: &Authenticator<C>, token: &str, claims: &[u8])
where
    C: Clone + Debug + PartialEq + DeserializeOwned + Send + Sync + 'static,
{
    let ours = block_on(authenticator.authenticate(token));
    let ours = ours.map(|user| user.claims().clone()).map_err(|rejection| rejection.kind());
    let serde = serde_json::from_slice::<C>(claims).map_err(|_| RejectionKind::ClaimsMismatch);
    assert_eq!(ours, serde);
}

fn registered(user: &Authenticated) -> Registered {
    let claims = user.registered();
    Registered {
        subject: claims.subject().map(str::to_owned),
        token_id: claims.token_id().map(str::to_owned),
        session_id: claims.session_id().map(str::to_owned),
        audience: claims.audience().iter().map(str::to_owned).collect(),
        scopes: claims.scopes().iter().map(str::to_owned).collect(),
        expires_at: claims.expires_at().as_secs(),
        not_before: claims.not_before().map(UnixTime::as_secs),
        issued_at: claims.issued_at().map(UnixTime::as_secs),
    }
}
