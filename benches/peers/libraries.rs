//! From token text to owned claims, without a service: one function for each library.

use std::{collections::HashSet, hint::black_box};

use aliri_clock::UnixTime;
use aws_lc_rs::{hmac, signature as sig};
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use jsonwebtoken::{DecodingKey, Validation};
use jwt_simple::prelude::{
    Duration, ECDSAP256PublicKeyLike, ES256PublicKey, Ed25519PublicKey, EdDSAPublicKeyLike,
    HS256Key, JWTClaims, MACLike, PS256PublicKey, RS256PublicKey, RSAPublicKeyLike,
    VerificationOptions,
};
use serde::{Deserialize, Serialize};
use tower_bearer::{Algorithm, Authenticator, AuthenticatorBuilder, Issuer, Key};

use crate::fixture::{AUDIENCE, Claims, ISSUER, KEY_ID, SECRET, jwks, peer, public_pem};

/// Whether a token is valid.
pub(crate) type Verify = Box<dyn Fn(&str) -> bool>;

/// The libraries that support `algorithm`. Each requires `iss`, `aud` and `exp`.
pub(crate) fn libraries(algorithm: Algorithm) -> Vec<(&'static str, Verify)> {
    let mut libraries = vec![
        ("tower-bearer", tower_bearer(algorithm)),
        ("jsonwebtoken", jsonwebtoken(algorithm)),
        ("jwt-simple", jwt_simple(algorithm)),
    ];
    if algorithm != Algorithm::EdDSA {
        libraries.push(("biscuit", biscuit(algorithm)));
    }
    if has_aliri(algorithm) {
        libraries.push(("aliri", aliri(algorithm)));
    }
    libraries
}

/// Only the signature check of one token, with decoded key and signature: the floor.
pub(crate) fn raw(algorithm: Algorithm, token: &str) -> impl Fn() -> bool + use<> {
    let (signed, signature) = token.rsplit_once('.').expect("a compact token");
    let signed = signed.as_bytes().to_vec();
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let secret = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let verification: Option<&'static dyn sig::VerificationAlgorithm> = match algorithm {
        Algorithm::RS256 => Some(&sig::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::PS256 => Some(&sig::RSA_PSS_2048_8192_SHA256),
        Algorithm::ES256 => Some(&sig::ECDSA_P256_SHA256_FIXED),
        Algorithm::EdDSA => Some(&sig::ED25519),
        _ => None,
    };
    let public_key = verification.map(|verification| {
        let pem = public_pem(algorithm);
        let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(text).expect("base64");
        sig::ParsedPublicKey::new(verification, der).expect("the test keys are good")
    });
    move || match &public_key {
        Some(key) => key.verify_sig(&signed, &signature).is_ok(),
        None => hmac::verify(&secret, &signed, &signature).is_ok(),
    }
}

/// A verifier with the same settings as the others: system clock, keys with the token's `kid`.
pub(crate) fn builder(algorithm: Algorithm) -> AuthenticatorBuilder<Claims> {
    let key = match algorithm {
        Algorithm::HS256 => Key::hs256(SECRET),
        _ => Key::from_pem(algorithm, public_pem(algorithm)),
    };
    let key = key.expect("the test keys are good").with_key_id(KEY_ID);
    Authenticator::builder().claims().issuer(Issuer::new(ISSUER, key).audience(AUDIENCE))
}

fn tower_bearer(algorithm: Algorithm) -> Verify {
    let authenticator = builder(algorithm).with_token_cache_capacity(0).build();
    let authenticator = authenticator.expect("the policy is good");
    Box::new(move |token| {
        let outcome = authenticator.authenticate(token).now_or_never();
        black_box(outcome.expect("nothing to wait for")).is_ok()
    })
}

pub(crate) fn jsonwebtoken_key(algorithm: Algorithm) -> (DecodingKey, Validation) {
    let key = match algorithm {
        Algorithm::HS256 => Ok(DecodingKey::from_secret(SECRET.as_bytes())),
        Algorithm::RS256 | Algorithm::PS256 => {
            DecodingKey::from_rsa_pem(public_pem(algorithm).as_bytes())
        }
        Algorithm::ES256 => DecodingKey::from_ec_pem(public_pem(algorithm).as_bytes()),
        _ => DecodingKey::from_ed_pem(public_pem(algorithm).as_bytes()),
    };
    let mut validation = Validation::new(peer(algorithm));
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.validate_nbf = true;
    (key.expect("the test keys are good"), validation)
}

fn jsonwebtoken(algorithm: Algorithm) -> Verify {
    let (key, validation) = jsonwebtoken_key(algorithm);
    Box::new(move |token| {
        black_box(jsonwebtoken::decode::<Claims>(token, &key, &validation)).is_ok()
    })
}

fn jwt_simple(algorithm: Algorithm) -> Verify {
    #[derive(Deserialize, Serialize)]
    struct Custom {
        #[allow(dead_code, reason = "what is read is not used")]
        scope: String,
    }
    type Outcome = Result<JWTClaims<Custom>, jwt_simple::Error>;
    fn verify(verify: impl Fn(&str, Option<VerificationOptions>) -> Outcome + 'static) -> Verify {
        let options = VerificationOptions {
            allowed_issuers: Some(HashSet::from([ISSUER.to_owned()])),
            allowed_audiences: Some(HashSet::from([AUDIENCE.to_owned()])),
            time_tolerance: Some(Duration::from_secs(30)),
            ..VerificationOptions::default()
        };
        Box::new(move |token| black_box(verify(token, Some(options.clone()))).is_ok())
    }
    const GOOD: &str = "the test keys are good";
    match algorithm {
        Algorithm::HS256 => {
            let key = HS256Key::from_bytes(SECRET.as_bytes());
            verify(move |token, options| key.verify_token(token, options))
        }
        Algorithm::RS256 => {
            let key = RS256PublicKey::from_pem(&public_pem(algorithm)).expect(GOOD);
            verify(move |token, options| key.verify_token(token, options))
        }
        Algorithm::PS256 => {
            let key = PS256PublicKey::from_pem(&public_pem(algorithm)).expect(GOOD);
            verify(move |token, options| key.verify_token(token, options))
        }
        Algorithm::ES256 => {
            let key = ES256PublicKey::from_pem(&public_pem(algorithm)).expect(GOOD);
            verify(move |token, options| key.verify_token(token, options))
        }
        _ => {
            let key = Ed25519PublicKey::from_pem(&public_pem(algorithm)).expect(GOOD);
            verify(move |token, options| key.verify_token(token, options))
        }
    }
}

fn biscuit(algorithm: Algorithm) -> Verify {
    use biscuit::{
        ClaimPresenceOptions, Empty, JWT, Presence, ValidationOptions,
        jwa::SignatureAlgorithm,
        jwk::{AlgorithmParameters, JWKSet},
        jws::Secret,
    };
    #[derive(Deserialize, Serialize)]
    struct Private {
        scope: String,
    }
    let keys: JWKSet<Empty> = serde_json::from_str(&jwks(algorithm)).expect("a JWK set");
    let key = match &keys.keys.first().expect("one key").algorithm {
        AlgorithmParameters::RSA(key) => key.jws_public_key_secret(),
        AlgorithmParameters::EllipticCurve(key) => key.jws_public_key_secret(),
        _ => Secret::Bytes(SECRET.into()),
    };
    let algorithm = match algorithm {
        Algorithm::HS256 => SignatureAlgorithm::HS256,
        Algorithm::RS256 => SignatureAlgorithm::RS256,
        Algorithm::PS256 => SignatureAlgorithm::PS256,
        _ => SignatureAlgorithm::ES256,
    };
    let options = ValidationOptions {
        claim_presence_options: ClaimPresenceOptions {
            expiry: Presence::Required,
            issuer: Presence::Required,
            audience: Presence::Required,
            ..ClaimPresenceOptions::default()
        },
        issuer: biscuit::Validation::Validate(ISSUER.to_owned()),
        audience: biscuit::Validation::Validate(AUDIENCE.to_owned()),
        ..ValidationOptions::default()
    };
    Box::new(move |token| {
        let token = JWT::<Private, Empty>::new_encoded(token);
        let Ok(token) = token.into_decoded(&key, algorithm) else { return false };
        token.validate(options.clone()).is_ok() && black_box(token.payload()).is_ok()
    })
}

/// The algorithms of aliri. ES256 needs OpenSSL.
pub(crate) fn has_aliri(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::RS256 | Algorithm::PS256)
        || (cfg!(feature = "openssl") && algorithm == Algorithm::ES256)
}

/// Claims as aliri requires them. The scope is plain text or parsed.
#[derive(Clone, Deserialize)]
pub(crate) struct AliriClaims<S> {
    iss: aliri::jwt::Issuer,
    sub: aliri::jwt::Subject,
    aud: aliri::jwt::Audiences,
    exp: UnixTime,
    #[allow(dead_code, reason = "what is read is not used")]
    iat: UnixTime,
    #[allow(dead_code, reason = "what is read is not used")]
    jti: String,
    pub(crate) scope: S,
}

impl<S> aliri::jwt::CoreClaims for AliriClaims<S> {
    fn nbf(&self) -> Option<UnixTime> {
        None
    }
    fn exp(&self) -> Option<UnixTime> {
        Some(self.exp)
    }
    fn aud(&self) -> &aliri::jwt::Audiences {
        &self.aud
    }
    fn iss(&self) -> Option<&aliri::jwt::IssuerRef> {
        Some(&self.iss)
    }
    fn sub(&self) -> Option<&aliri::jwt::SubjectRef> {
        Some(&self.sub)
    }
}

pub(crate) fn aliri_policy(algorithm: Algorithm) -> (aliri::Jwks, aliri::jwt::CoreValidator) {
    use aliri::{jwa, jwt};
    let keys = serde_json::from_str(&jwks(algorithm)).expect("a JWK set");
    let algorithm = match algorithm {
        Algorithm::HS256 => jwa::Algorithm::HS256,
        Algorithm::RS256 => jwa::Algorithm::RS256,
        Algorithm::PS256 => jwa::Algorithm::PS256,
        #[cfg(feature = "openssl")]
        Algorithm::ES256 => jwa::Algorithm::ES256,
        other => panic!("aliri has no {other}"),
    };
    let validator = jwt::CoreValidator::default()
        .with_leeway_secs(30)
        .check_expiration()
        .add_approved_algorithm(algorithm)
        .add_allowed_audience(jwt::Audience::from_static(AUDIENCE))
        .require_issuer(jwt::Issuer::from_static(ISSUER));
    (keys, validator)
}

fn aliri(algorithm: Algorithm) -> Verify {
    use aliri::{
        JwtRef,
        jwt::{CoreHeaders, Decomposed, HasAlgorithm, Validated},
    };
    let (keys, validator) = aliri_policy(algorithm);
    Box::new(move |token| {
        let Ok(token) = JwtRef::from_str(token).decompose() else { return false };
        let token: Decomposed<'_> = token;
        let Some(key) = keys.get_key_by_opt(token.kid(), token.alg()) else { return false };
        let outcome = token.verify::<AliriClaims<String>, _>(key, &validator);
        black_box(outcome.map(|token: Validated<_>| token.extract().1)).is_ok()
    })
}
