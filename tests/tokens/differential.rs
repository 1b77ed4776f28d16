//! Our decision beside that of `jsonwebtoken`, with its strictest options, over generated tokens.
//!
//! The rule that must hold: what we accept, it accepts. The one exception is a protected header with `jwk`, `jku`,
//! `x5u`, `x5c` or `zip`, whose values it reads and we ignore, as RFC 7515 section 4 has it for what is not understood
//! (RFC 8725 section 3.10 on following them): it must then accept the same token without that member.
//!
//! Where we refuse and it accepts, the reason must be one of those below, each with the section that demands it.
//!
//! | we refuse, it accepts | because |
//! |---|---|
//! | `crit`, `b64`, `enc` in the header | RFC 7515 section 4.1.11, RFC 7797 section 7: extensions that are not understood |
//! | duplicate names, at any level | RFC 7515 section 4, RFC 7519 section 4: reject, or take the last; RFC 8725 section 2.8 on parser differentials |
//! | more than 32 levels | RFC 8259 section 9: a reader may set limits; serde's is 128 |
//! | a `typ` that is none of ours | RFC 8725 section 3.11 |
//! | `iat` in the future, `iat`/`sub`/`jti`/`sid`/`scope` of the wrong type | RFC 7519 section 4.1: each has its type |
//! | `aud` empty, or with members that are no strings | RFC 7519 section 4.1.3 |
//! | an `iss` array | RFC 7519 section 4.1.1: one string |
//! | `exp`, `nbf` or `iat` beyond 2^53, or negative | RFC 8259 section 6: beyond, readers disagree |
//! | `cnf`, or `token_type` of `refresh`, or `events` | RFC 9449 section 7.2, RFC 8725 section 3.11, RFC 8417 section 2.2 |
//! | `kid`, `typ` or `cty` of the wrong type, `cty` of `JWT` | RFC 7515 sections 4.1.4, 4.1.9, 4.1.10 |

#![allow(clippy::print_stdout, reason = "how often each outcome came up is printed")]

use std::{cell::RefCell, collections::BTreeMap};

use jsonwebtoken::{Algorithm as Theirs, DecodingKey, EncodingKey, Validation};
use proptest::{prelude::*, test_runner::TestRunner};
use tower_bearer::{
    Algorithm, Authenticator, Issuer, Key, RejectionKind, UnixTime, claims::ManualClock,
};

use super::explain::assert_explained;
use crate::common::tokens::{self, SECRET, block_on, ed25519_key, fixture, p256_key, rsa_key};

const LEEWAY: u64 = 30;

/// Header members that name keys, and one that only a JWE has.
const IGNORED: [&str; 5] = ["jwk", "jku", "x5u", "x5c", "zip"];

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
    let authenticator = Authenticator::builder()
        .issuer(issuer)
        .with_clock(ManualClock::at(UnixTime::from_secs(now)))
        .build()
        .unwrap();
    let outcome = block_on(authenticator.authenticate(token));
    // An explanation has the same verdict.
    assert_explained(&authenticator, token, &outcome);
    outcome
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
fn is_justified(kind: RejectionKind, case: &Case, header: &str, claims: &str) -> bool {
    use RejectionKind as K;
    match kind {
        K::UnsupportedHeader => {
            ["crit", "b64", "enc", "cty"].iter().any(|name| header.contains(name))
        }
        K::MalformedHeader | K::MalformedClaims => {
            has_duplicates_or_is_deep(header)
                || has_duplicates_or_is_deep(claims)
                || ["kid", "typ", "cty"].iter().any(|name| header.contains(name))
        }
        K::WrongType => header.contains("typ"),
        K::IssuedInFuture => claims.contains("iat"),
        K::InvalidClaim => {
            case.claims_edits.iter().any(|edit| edit.name != "x" && edit.name != "cnf")
        }
        K::UnverifiedConfirmation => claims.contains("cnf"),
        K::WrongTokenUse => claims.contains("refresh") || claims.contains("events"),
        _ => false,
    }
}

fn has_duplicates_or_is_deep(text: &str) -> bool {
    let mut names = BTreeMap::new();
    for name in text.split('"').skip(1).step_by(2) {
        *names.entry(name).or_insert(0) += 1;
    }
    names.values().any(|count| *count > 1)
        || text.matches(['[', '{']).count() > 32
        || text.contains("\\u")
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

/// One generated token, and the two decisions on it.
#[derive(Clone, Debug)]
struct Case {
    signer: Signer,
    claimed: Option<&'static str>,
    exp: i64,
    header_edits: Vec<Edit>,
    claims_edits: Vec<Edit>,
    damage: Option<(prop::sample::Index, u8)>,
}

fn cases() -> impl Strategy<Value = Case> {
    (
        prop::sample::select(Signer::ALL.to_vec()),
        prop::option::weighted(
            0.2,
            prop::sample::select(vec!["HS256", "RS256", "ES256", "EdDSA", "none", "hs256"]),
        ),
        // The seconds around the end are left to the exact tests: the two sides read different clocks.
        prop_oneof![1 => -1_000..-40_i64, 4 => -20..1_000_000_i64],
        edits(&["typ", "kid", "crit", "b64", "zip", "enc", "cty", "jwk", "jku", "x5u", "x5c", "x"]),
        edits(&[
            "iss",
            "aud",
            "exp",
            "nbf",
            "iat",
            "sub",
            "jti",
            "sid",
            "scope",
            "cnf",
            "token_type",
            "events",
            "x",
        ]),
        prop::option::weighted(0.1, (any::<prop::sample::Index>(), 0..128_u8)),
    )
        .prop_map(|(signer, claimed, exp, header_edits, claims_edits, damage)| Case {
            signer,
            claimed,
            exp,
            header_edits,
            claims_edits,
            damage,
        })
}

/// How often the two sides agreed, and on what they did not.
#[derive(Debug, Default)]
struct Tally {
    both_accept: usize,
    both_refuse: usize,
    only_we_refuse: BTreeMap<&'static str, usize>,
    only_we_accept: usize,
}

impl Case {
    fn run(&self, tally: &RefCell<Tally>) -> Result<(), TestCaseError> {
        let Self { signer, .. } = *self;
        let now = jsonwebtoken::get_current_timestamp();
        let alg = self.claimed.map_or_else(|| format!("{:?}", signer.theirs()), str::to_owned);
        let header_with = |edits: &[Edit]| render(vec![("alg", format!("\"{alg}\""))], edits);
        let header = header_with(&self.header_edits);
        let claims = render(
            vec![
                ("iss", "\"https://issuer.example\"".to_owned()),
                ("aud", "\"api://orders\"".to_owned()),
                ("exp", now.saturating_add_signed(self.exp).to_string()),
            ],
            &self.claims_edits,
        );
        let sign =
            |header: &str| tokens::sign(signer.theirs(), &signer.signing_key(), header, &claims);
        let mut token = sign(&header);
        if let Some((index, byte)) = self.damage {
            let mut bytes = token.into_bytes();
            let at = index.index(bytes.len());
            bytes[at] = byte;
            token = String::from_utf8(bytes).unwrap();
        }

        let tally = &mut *tally.borrow_mut();
        match (ours(signer, now, &token), theirs(signer, &token)) {
            (Ok(ours), Some(theirs)) => {
                tally.both_accept += 1;
                prop_assert_eq!(ours, theirs);
            }
            (Err(_), None) => tally.both_refuse += 1,
            (Ok(ours), None) => {
                tally.only_we_accept += 1;
                let plain: Vec<Edit> = self
                    .header_edits
                    .iter()
                    .filter(|edit| !IGNORED.contains(&edit.name))
                    .cloned()
                    .collect();
                prop_assert_ne!(plain.len(), self.header_edits.len(), "{} {}", &header, &claims);
                let theirs = theirs(signer, &sign(&header_with(&plain)));
                prop_assert_eq!(Some(ours), theirs, "{} {}", header, claims);
            }
            (Err(kind), Some(_)) => {
                *tally.only_we_refuse.entry(kind.as_str()).or_default() += 1;
                prop_assert!(
                    is_justified(kind, self, &header, &claims),
                    "{}: {} {}",
                    kind,
                    header,
                    claims
                );
            }
        }
        Ok(())
    }
}

/// `PROPTEST_CASES` where it is set: a longer run than the everyday one.
fn cases_from_environment(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default)
}

#[test]
fn every_difference_from_the_other_verifier_is_explained() {
    let config = ProptestConfig {
        cases: cases_from_environment(4_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let tally = RefCell::new(Tally::default());
    if let Err(failure) = TestRunner::new(config).run(&cases(), |case| case.run(&tally)) {
        panic!("{failure}");
    }
    let tally = tally.into_inner();
    println!("{tally:?}");
    // Every kind of outcome came up often enough to mean something.
    assert!(tally.both_accept > 300 && tally.both_refuse > 300, "{tally:?}");
    assert!(tally.only_we_accept > 10, "{tally:?}");
    for kind in [
        "unsupported_header",
        "malformed_claims",
        "wrong_type",
        "invalid_claim",
        "unverified_confirmation",
    ] {
        assert!(tally.only_we_refuse.contains_key(kind), "{kind}: {tally:?}");
    }
}

#[test]
fn a_plain_token_of_each_algorithm_is_accepted_by_both() {
    for signer in Signer::ALL {
        let header = format!("{{\"alg\":\"{:?}\"}}", signer.theirs());
        let now = jsonwebtoken::get_current_timestamp();
        let claims = format!(
            r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{}}}"#,
            now + 60
        );
        let token = tokens::sign(signer.theirs(), &signer.signing_key(), &header, &claims);
        assert_eq!(ours(signer, now, &token).ok(), theirs(signer, &token), "{signer:?}");
        assert!(theirs(signer, &token).is_some(), "{signer:?}");
    }
}
