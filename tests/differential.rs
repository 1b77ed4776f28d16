//! Our decision beside that of `jsonwebtoken`, with its strictest options, over generated tokens.
//!
//! The rule that must hold without exception: what we accept, it accepts. Where we refuse and it accepts, the
//! reason must be one of those below, each with the section that demands it.
//!
//! | we refuse, it accepts | because |
//! |---|---|
//! | `crit`, `b64`, `zip`, `enc` in the header | RFC 7515 section 4.1.11, RFC 7797 section 7: extensions that are not understood |
//! | duplicate names, at any level | RFC 7515 section 4, RFC 7519 section 4: reject, or take the last; RFC 8725 section 2.8 on parser differentials |
//! | more than 32 levels | RFC 8259 section 9: a reader may set limits; serde's is 128 |
//! | a `typ` that is none of ours | RFC 8725 section 3.11 |
//! | `iat` in the future, `iat`/`sub`/`jti`/`sid`/`scope` of the wrong type | RFC 7519 section 4.1: each has its type |
//! | `aud` empty, or with members that are no strings | RFC 7519 section 4.1.3 |
//! | an `iss` array | RFC 7519 section 4.1.1: one string |
//! | `exp`, `nbf` or `iat` beyond 2^53, or negative | RFC 8259 section 6: beyond, readers disagree |
//! | `exp` within our leeway's last second, or with a fraction | RFC 7519 section 4.1.4: "on or after" |
//! | `cnf`, or `token_type` of `refresh` | RFC 9449 section 7.2, RFC 8725 section 3.11 |
//! | `kid`, `typ` or `cty` of the wrong type, `cty` of `JWT` | RFC 7515 sections 4.1.4, 4.1.9, 4.1.10 |

mod common;

use std::collections::BTreeMap;

use common::tokens::{SECRET, base64url, block_on, ed25519_key, fixture, p256_key, rsa_key};
use jsonwebtoken::{Algorithm as Theirs, DecodingKey, EncodingKey, Validation};
use proptest::prelude::*;
use tower_bearer::{
    Algorithm, Authenticator, Issuer, Key, RejectionKind, Verifier,
    claims::{ManualClock, UntypedClaims},
};

const LEEWAY: u64 = 30;

#[derive(Clone, Copy, Debug)]
enum Signer {
    Hs256,
    Rs256,
    Es256,
    EdDsa,
}

impl Signer {
    const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    fn theirs(self) -> Theirs {
        match self {
            Self::Hs256 => Theirs::HS256,
            Self::Rs256 => Theirs::RS256,
            Self::Es256 => Theirs::ES256,
            Self::EdDsa => Theirs::EdDSA,
        }
    }

    fn signing_key(self) -> EncodingKey {
        match self {
            Self::Hs256 => EncodingKey::from_secret(SECRET),
            Self::Rs256 => rsa_key(),
            Self::Es256 => p256_key(),
            Self::EdDsa => ed25519_key(),
        }
    }

    fn our_key(self) -> Key {
        match self {
            Self::Hs256 => Key::hs256(SECRET),
            Self::Rs256 => Key::from_pem(Algorithm::RS256, fixture("rsa2048.public.pem")),
            Self::Es256 => Key::from_pem(Algorithm::ES256, fixture("p256.public.pem")),
            Self::EdDsa => Key::from_pem(Algorithm::EdDSA, fixture("ed25519.public.pem")),
        }
        .unwrap()
    }

    fn their_key(self) -> DecodingKey {
        match self {
            Self::Hs256 => DecodingKey::from_secret(SECRET),
            Self::Rs256 => DecodingKey::from_rsa_pem(&fixture("rsa2048.public.pem")).unwrap(),
            Self::Es256 => DecodingKey::from_ec_pem(&fixture("p256.public.pem")).unwrap(),
            Self::EdDsa => DecodingKey::from_ed_pem(&fixture("ed25519.public.pem")).unwrap(),
        }
    }
}

/// Our side takes the time from a clock, theirs from the system: both look at the same second.
fn ours(signer: Signer, now: u64, token: &str) -> Result<serde_json::Value, RejectionKind> {
    let issuer = Issuer::new("https://issuer.example", signer.our_key()).audience("api://orders");
    let verifier = Verifier::<UntypedClaims>::builder()
        .issuer(issuer)
        .with_clock(ManualClock::at(now))
        .build()
        .unwrap();
    block_on(Authenticator::new(verifier).authenticate(token))
        .map(|authenticated| authenticated.claims().as_map().clone().into())
        .map_err(|rejection| rejection.kind())
}

fn theirs(signer: Signer, token: &str) -> Option<serde_json::Value> {
    let mut strictest = Validation::new(signer.theirs());
    strictest.leeway = LEEWAY;
    strictest.validate_nbf = true;
    strictest.set_audience(&["api://orders"]);
    strictest.set_issuer(&["https://issuer.example"]);
    strictest.set_required_spec_claims(&["exp", "iss", "aud"]);
    jsonwebtoken::decode(token, &signer.their_key(), &strictest).ok().map(|token| token.claims)
}

/// Whether RFCs justify that we refuse what they accept; the table above.
fn is_justified(kind: RejectionKind, header: &str, claims: &str) -> bool {
    use RejectionKind as K;
    match kind {
        K::UnsupportedHeader => {
            ["crit", "b64", "zip", "enc", "cty"].iter().any(|name| header.contains(name))
        }
        K::MalformedHeader | K::MalformedClaims => {
            has_duplicates_or_is_deep(header)
                || has_duplicates_or_is_deep(claims)
                || ["kid", "typ", "cty"].iter().any(|name| header.contains(name))
        }
        K::WrongType => header.contains("typ"),
        K::IssuedInFuture => claims.contains("iat"),
        K::InvalidClaim => true,
        K::UnverifiedConfirmation => claims.contains("cnf"),
        K::WrongTokenUse => claims.contains("refresh"),
        // Their comparison is by the whole second of "before", ours of "on or after".
        K::Expired => claims.contains("exp"),
        _ => false,
    }
}

fn has_duplicates_or_is_deep(text: &str) -> bool {
    let mut names = BTreeMap::new();
    for name in text.split('"').skip(1).step_by(2) {
        *names.entry(name).or_insert(0) += 1;
    }
    names.values().any(|count| *count > 1) || text.matches(['[', '{']).count() > 32 || text.contains("\\u")
}

fn weird_value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("\"\"".to_owned()),
        Just("\"JWT\"".to_owned()),
        Just("\"at+jwt\"".to_owned()),
        Just("\"refresh\"".to_owned()),
        Just("\"https://issuer.example\"".to_owned()),
        Just("[\"api://orders\"]".to_owned()),
        Just("[\"api://orders\",1]".to_owned()),
        Just("[\"https://issuer.example\"]".to_owned()),
        Just("1e400".to_owned()),
        Just("-1".to_owned()),
        Just("9007199254740993".to_owned()),
        Just("18446744073709551616".to_owned()),
        Just(format!("{}1{}", "[".repeat(40), "]".repeat(40))),
        (0..4_000_000_000_u64).prop_map(|number| number.to_string()),
        (0..4_000_000_000_u64).prop_map(|number| format!("{number}.75")),
        "[a-z ]{0,6}".prop_map(|text| format!("\"{text}\"")),
    ]
}

/// A member that is added, or (where `replace`) stands for the one of that name.
#[derive(Clone, Debug)]
struct Edit {
    name: &'static str,
    value: String,
    replace: bool,
}

fn edits(names: &'static [&'static str]) -> impl Strategy<Value = Vec<Edit>> {
    let edit = (prop::sample::select(names), weird_value(), prop::bool::weighted(0.8))
        .prop_map(|(name, value, replace)| Edit { name, value, replace });
    prop::collection::vec(edit, 0..3)
}

fn render(mut members: Vec<(&'static str, String)>, edits: &[Edit]) -> String {
    for Edit { name, value, replace } in edits {
        match members.iter_mut().find(|(member, _)| *replace && member == name) {
            Some(member) => member.1.clone_from(value),
            None => members.push((name, value.clone())),
        }
    }
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_we_accept_they_accept_and_what_only_we_refuse_is_justified(
        signer in prop::sample::select(Signer::ALL.to_vec()),
        claimed in prop::sample::select(vec![None, Some("HS256"), Some("RS256"), Some("ES256"), Some("EdDSA"), Some("none"), Some("hs256")]),
        // The second now is left to the exact tests: the two sides do not read the same clock.
        exp in prop_oneof![-1_000..-40_i64, -20..1_000_000_i64],
        header_edits in edits(&["typ", "kid", "crit", "b64", "zip", "enc", "cty", "jwk", "jku", "x5u", "x5c", "x"]),
        claims_edits in edits(&["iss", "aud", "exp", "nbf", "iat", "sub", "jti", "sid", "scope", "cnf", "token_type", "x"]),
        damage in prop::option::weighted(0.1, (any::<prop::sample::Index>(), 0..128_u8)),
    ) {
        let now = now();
        let alg = claimed.unwrap_or(match signer {
            Signer::Hs256 => "HS256",
            Signer::Rs256 => "RS256",
            Signer::Es256 => "ES256",
            Signer::EdDsa => "EdDSA",
        });
        let header = render(vec![("alg", format!("\"{alg}\""))], &header_edits);
        let claims = render(
            vec![
                ("iss", "\"https://issuer.example\"".to_owned()),
                ("aud", "\"api://orders\"".to_owned()),
                ("exp", now.saturating_add_signed(exp).to_string()),
            ],
            &claims_edits,
        );
        let mut token = format!("{}.{}", base64url(&header), base64url(&claims));
        let signature = jsonwebtoken::crypto::sign(token.as_bytes(), &signer.signing_key(), signer.theirs()).unwrap();
        token = format!("{token}.{signature}");
        if let Some((index, byte)) = damage {
            let mut bytes = token.clone().into_bytes();
            let at = index.index(bytes.len());
            bytes[at] = byte;
            token = String::from_utf8(bytes).unwrap();
        }

        match (ours(signer, now, &token), theirs(signer, &token)) {
            (Ok(ours), Some(theirs)) => prop_assert_eq!(ours, theirs),
            (Err(_), None) => {}
            (Ok(_), None) => prop_assert!(false, "only we accept {} {}", header, claims),
            (Err(kind), Some(_)) => prop_assert!(
                is_justified(kind, &header, &claims),
                "we alone refuse, for {}: {} {}", kind, header, claims
            ),
        }
    }
}

#[test]
fn a_plain_token_of_each_algorithm_is_accepted_by_both() {
    for signer in Signer::ALL {
        let header = format!("{{\"alg\":\"{:?}\"}}", signer.theirs());
        let claims = format!(r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{}}}"#, now() + 60);
        let token = common::tokens::sign(signer.theirs(), &signer.signing_key(), &header, &claims);
        assert_eq!(ours(signer, now(), &token).ok(), theirs(signer, &token), "{signer:?}");
        assert!(theirs(signer, &token).is_some(), "{signer:?}");
    }
}
