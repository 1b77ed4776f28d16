//! Claims at their limits: types, times to the second, policies, and the claim sets of RFC 7515.

use std::time::Duration;

use tower_bearer::{
    Authenticated, Authenticator, CheckError, ConfigError, Issuer, Key, Rejection, RejectionKind,
    UnixTime,
    claims::{MAX_LEEWAY, ManualClock, NoClaims},
};

use super::explain::assert_explained;
use crate::common::tokens::{SECRET, block_on, sha256_hex, sign_hs256, sign_hs256_with};

const NOW: u64 = 1_800_000_000;

fn issuer() -> Issuer {
    Issuer::new("https://issuer.example", Key::hs256(SECRET).unwrap()).audience("api://orders")
}

fn authenticator(issuer: Issuer, clock: &ManualClock) -> Authenticator {
    Authenticator::builder().claims().issuer(issuer).with_clock(clock.clone()).build().unwrap()
}

fn authenticate(issuer: Issuer, now: u64, claims: &str) -> Result<Authenticated, Rejection> {
    let token = sign_hs256(r#"{"alg":"HS256"}"#, claims);
    let authenticator = authenticator(issuer, &ManualClock::at(UnixTime::from_secs(now)));
    let outcome = block_on(authenticator.authenticate(&token));
    assert_explained(&authenticator, &token, &outcome);
    outcome
}

/// The outcome for a claim set that has `iss` and `aud` and these further members.
fn outcome_of(issuer: Issuer, now: u64, members: &str) -> Result<(), RejectionKind> {
    let claims = format!(r#"{{"iss":"https://issuer.example","aud":"api://orders",{members}}}"#);
    authenticate(issuer, now, &claims).map(drop).map_err(|rejection| rejection.kind())
}

fn outcome(members: &str) -> Result<(), RejectionKind> {
    outcome_of(issuer(), NOW, members)
}

#[test]
fn an_exp_that_is_no_date_is_refused_whatever_its_type() {
    assert_eq!(outcome(&format!(r#""exp":{}"#, NOW + 1)), Ok(()));
    for exp in [
        format!("\"{}\"", NOW + 1),
        "\"never\"".to_owned(),
        "true".to_owned(),
        "false".to_owned(),
        "null".to_owned(),
        "-1".to_owned(),
        format!("-{}", NOW + 1),
        "18446744073709551616".to_owned(),
        "18446744073709551615".to_owned(),
        "9007199254740993".to_owned(),
        format!("[{}]", NOW + 1),
        format!("{{\"exp\":{}}}", NOW + 1),
        "1e300".to_owned(),
    ] {
        assert_eq!(outcome(&format!(r#""exp":{exp}"#)), Err(RejectionKind::InvalidClaim), "{exp}");
    }
    for exp in ["1e400", "NaN", "Infinity", "-Infinity", "0x7fffffff", "+1"] {
        assert_eq!(
            outcome(&format!(r#""exp":{exp}"#)),
            Err(RejectionKind::MalformedClaims),
            "{exp}"
        );
    }
    assert_eq!(outcome(r#""exp":0"#), Err(RejectionKind::Expired));
    assert_eq!(outcome(r#""sub":"me""#), Err(RejectionKind::MissingClaim));
}

#[test]
fn two_exps_are_refused_even_when_one_is_escaped_or_both_are_equal() {
    let later = NOW + 100;
    for members in [
        format!(r#""exp":{later},"exp":{later}"#),
        format!(r#""exp":1,"exp":{later}"#),
        format!(r#""exp":{later},"\u0065xp":1"#),
        format!(r#""\u0065xp":1,"exp":{later}"#),
    ] {
        assert_eq!(outcome(&members), Err(RejectionKind::MalformedClaims), "{members}");
    }
    assert_eq!(outcome(&format!(r#""\u0065xp":{later}"#)), Ok(()));
}

#[test]
fn a_fractional_exp_counts_to_its_whole_second() {
    let without_leeway = || issuer().with_leeway(Duration::ZERO);
    for exp in ["1800000001.999", "1.800000001e9", "1800000001"] {
        let members = format!("\"exp\":{exp}");
        assert_eq!(outcome_of(without_leeway(), 1_800_000_000, &members), Ok(()), "{exp}");
        assert_eq!(
            outcome_of(without_leeway(), 1_800_000_001, &members),
            Err(RejectionKind::Expired),
            "{exp}"
        );
    }
}

#[test]
fn exp_ends_the_token_on_its_own_second_with_every_leeway() {
    for leeway in [0, 1, 30, 300] {
        let policy = || issuer().with_leeway(Duration::from_secs(leeway));
        let exp = format!("\"exp\":{NOW}");
        assert_eq!(
            outcome_of(policy(), NOW + leeway, &exp),
            Err(RejectionKind::Expired),
            "{leeway}"
        );
        if leeway > 0 {
            assert_eq!(outcome_of(policy(), NOW + leeway - 1, &exp), Ok(()), "{leeway}");
        }
        assert_eq!(outcome_of(policy(), NOW - 1, &exp), Ok(()), "{leeway}");
    }
}

#[test]
fn nbf_and_iat_may_be_ahead_by_the_leeway_and_no_more() {
    let far = NOW + 1_000;
    for (claim, kind) in
        [("nbf", RejectionKind::NotYetValid), ("iat", RejectionKind::IssuedInFuture)]
    {
        let with = |at: u64| format!(r#""exp":{far},"{claim}":{at}"#);
        assert_eq!(outcome(&with(NOW + 30)), Ok(()), "{claim}");
        assert_eq!(outcome(&with(NOW + 31)), Err(kind), "{claim}");
        for value in ["\"1\"", "null", "true", "-1", "[1]"] {
            assert_eq!(
                outcome(&format!(r#""exp":{far},"{claim}":{value}"#)),
                Err(RejectionKind::InvalidClaim),
                "{claim} {value}"
            );
        }
    }
}

#[test]
fn the_leeway_on_exp_can_be_set_apart() {
    let policy = || issuer().with_expiry_leeway(Duration::ZERO);
    let ahead = |exp: u64| format!(r#""exp":{exp},"iat":{},"nbf":{}"#, NOW + 30, NOW + 30);
    assert_eq!(outcome_of(policy(), NOW, &ahead(NOW + 1)), Ok(()));
    assert_eq!(outcome_of(policy(), NOW, &ahead(NOW)), Err(RejectionKind::Expired));
}

#[test]
fn arithmetic_saturates_at_both_ends_of_time() {
    let widest = || issuer().with_leeway(MAX_LEEWAY);
    let members = format!(r#""exp":{},"nbf":0,"iat":0"#, 1_u64 << 53);
    for now in [0, 1, 299, 300, 301, (1 << 53) - 1, 1 << 53] {
        assert_eq!(outcome_of(widest(), now, &members), Ok(()), "{now}");
        let policy = widest().with_max_age(Duration::MAX).with_max_lifetime(Duration::MAX);
        assert_eq!(outcome_of(policy, now, &members), Ok(()), "{now}");
    }
    for now in [(1 << 53) + 300, u64::MAX - 1, u64::MAX] {
        assert_eq!(outcome_of(widest(), now, &members), Err(RejectionKind::Expired), "{now}");
    }
    assert_eq!(
        outcome_of(widest(), 0, r#""exp":0"#),
        Ok(()),
        "within the leeway of its own second"
    );
}

#[test]
fn a_leeway_above_five_minutes_is_refused_when_the_verifier_is_built() {
    let build = |issuer: Issuer| Authenticator::builder().issuer(issuer).build();
    assert!(build(issuer().with_leeway(MAX_LEEWAY)).is_ok());
    let too_long = MAX_LEEWAY + Duration::from_nanos(1);
    for policy in [issuer().with_leeway(too_long), issuer().with_expiry_leeway(too_long)] {
        assert!(matches!(build(policy), Err(ConfigError::LeewayTooLong(_))));
    }
}

#[test]
fn a_verifier_needs_issuers_with_different_names() {
    let build = |issuers: Vec<Issuer>| {
        issuers
            .into_iter()
            .fold(Authenticator::builder(), |builder, issuer| builder.issuer(issuer))
            .build()
    };
    assert!(matches!(build(vec![]), Err(ConfigError::NoIssuer)));
    assert!(matches!(build(vec![issuer(), issuer()]), Err(ConfigError::DuplicateIssuer(_))));
    assert!(matches!(
        build(vec![issuer().add_name("https://issuer.example")]),
        Err(ConfigError::DuplicateIssuer(_))
    ));
    let key = || Key::hs256(SECRET).unwrap();
    assert!(matches!(
        build(vec![Issuer::new("", key()).audience("a")]),
        Err(ConfigError::EmptyName(_))
    ));
    assert!(matches!(
        build(vec![Issuer::new("a", key()).audience("")]),
        Err(ConfigError::EmptyName(_))
    ));
}

#[test]
fn maximum_age_and_lifetime_need_iat_and_hold_to_the_second() {
    let minute = Duration::from_secs(60);
    let exp = NOW + 1_000;
    let aged = || issuer().with_max_age(minute);
    let issued = |at: u64| format!(r#""exp":{exp},"iat":{at}"#);
    assert_eq!(outcome_of(aged(), NOW, &issued(NOW - 90)), Ok(()));
    assert_eq!(outcome_of(aged(), NOW, &issued(NOW - 91)), Err(RejectionKind::TooOld));
    let lived = || issuer().with_max_lifetime(minute);
    assert_eq!(outcome_of(lived(), NOW, &format!(r#""exp":{},"iat":{NOW}"#, NOW + 60)), Ok(()));
    assert_eq!(
        outcome_of(lived(), NOW, &format!(r#""exp":{},"iat":{NOW}"#, NOW + 61)),
        Err(RejectionKind::LifetimeTooLong)
    );
    for policy in [aged(), lived()] {
        let without_iat = format!(r#""exp":{exp}"#);
        assert_eq!(outcome_of(policy, NOW, &without_iat), Err(RejectionKind::MissingClaim));
    }
}

#[test]
fn an_audience_must_match_byte_by_byte() {
    let of = |aud: &str| {
        let claims = format!(r#"{{"iss":"https://issuer.example","exp":{},"aud":{aud}}}"#, NOW + 1);
        authenticate(issuer(), NOW, &claims).map(drop).map_err(|rejection| rejection.kind())
    };
    assert_eq!(of(r#""api://orders""#), Ok(()));
    assert_eq!(of(r#"["x","api://orders"]"#), Ok(()));
    for aud in [
        r#""api://order""#,
        r#""api://orders/""#,
        r#""API://orders""#,
        r#""orders""#,
        r#""""#,
        r#"["api://orders2",""]"#,
    ] {
        assert_eq!(of(aud), Err(RejectionKind::WrongAudience), "{aud}");
    }
    for aud in ["[]", "null", "1", r#"["api://orders",1]"#, r#"{"api://orders":1}"#] {
        assert_eq!(of(aud), Err(RejectionKind::InvalidClaim), "{aud}");
    }
    let none = format!(r#"{{"iss":"https://issuer.example","exp":{}}}"#, NOW + 1);
    let kind = authenticate(issuer(), NOW, &none).unwrap_err().kind();
    assert_eq!(kind, RejectionKind::MissingClaim);
}

#[test]
fn one_of_several_audiences_is_enough_and_any_can_be_allowed() {
    let several = issuer().add_audience("api://stock");
    let claims =
        |aud: &str| format!(r#"{{"iss":"https://issuer.example","exp":{}{aud}}}"#, NOW + 1);
    let of = |policy: Issuer, aud: &str| {
        authenticate(policy, NOW, &claims(aud)).map(drop).map_err(|rejection| rejection.kind())
    };
    assert_eq!(of(several.clone(), r#","aud":"api://stock""#), Ok(()));
    assert_eq!(of(several, r#","aud":"api://bills""#), Err(RejectionKind::WrongAudience));
    let any =
        || Issuer::new("https://issuer.example", Key::hs256(SECRET).unwrap()).allow_any_audience();
    assert_eq!(of(any(), r#","aud":"api://bills""#), Ok(()));
    assert_eq!(of(any(), ""), Ok(()));
    for aud in ["[]", r#"[""]"#, "\"\"", r#"["x","y"]"#] {
        assert_eq!(of(any(), &format!(r#","aud":{aud}"#)), Ok(()), "{aud}");
    }
    for aud in ["7", "null", "{}", "[1]", r#"["x",null]"#] {
        let outcome = of(any(), &format!(r#","aud":{aud}"#));
        assert_eq!(outcome, Err(RejectionKind::InvalidClaim), "{aud}");
    }
    // Named again, it is demanded again.
    let named = any().add_audience("api://bills");
    assert_eq!(of(named, r#","aud":[]"#), Err(RejectionKind::InvalidClaim));
}

#[test]
fn null_claims_are_absent_only_where_that_is_allowed() {
    let lenient = || issuer().allow_null_claims();
    let with = |policy: Issuer, member: &str| {
        outcome_of(policy, NOW, &format!(r#""exp":{},{member}"#, NOW + 1))
    };
    for name in ["nbf", "jti", "scope", "scp"] {
        let member = format!("\"{name}\":null");
        assert_eq!(with(issuer(), &member), Err(RejectionKind::InvalidClaim), "{name}");
        assert_eq!(with(lenient(), &member), Ok(()), "{name}");
        // Any other type is as wrong as before.
        for value in ["{}", "true"] {
            let member = format!("\"{name}\":{value}");
            assert_eq!(with(lenient(), &member), Err(RejectionKind::InvalidClaim), "{member}");
        }
        let demanded = lenient().require_claim(name);
        assert_eq!(with(demanded, &member), Err(RejectionKind::MissingClaim), "{name}");
    }
    for name in ["sub", "sid", "iat"] {
        let outcome = with(lenient(), &format!("\"{name}\":null"));
        assert_eq!(outcome, Err(RejectionKind::InvalidClaim), "{name}");
    }
    let outcome = outcome_of(lenient(), NOW, r#""exp":null"#);
    assert_eq!(outcome, Err(RejectionKind::InvalidClaim));

    let claims = format!(r#"{{"iss":"https://issuer.example","exp":{},"aud":null}}"#, NOW + 1);
    let of = |policy: Issuer| {
        authenticate(policy, NOW, &claims).map(drop).map_err(|rejection| rejection.kind())
    };
    let any =
        || Issuer::new("https://issuer.example", Key::hs256(SECRET).unwrap()).allow_any_audience();
    assert_eq!(of(lenient()), Err(RejectionKind::MissingClaim));
    assert_eq!(of(any()), Err(RejectionKind::InvalidClaim));
    assert_eq!(of(any().allow_null_claims()), Ok(()));
}

#[test]
fn an_integer_subject_is_its_decimal_text_and_never_a_string() {
    let policy = || issuer().with_integer_subject();
    let claims = |sub: &str| {
        let common = r#""iss":"https://issuer.example","aud":"api://orders""#;
        format!(r#"{{{common},"exp":{},"sub":{sub}}}"#, NOW + 1)
    };
    for sub in ["7", "0", "-7", "9223372036854775807", "-9223372036854775808"] {
        let user = authenticate(policy(), NOW, &claims(sub)).unwrap();
        assert_eq!(user.registered().subject(), Some(sub));
        let kind = authenticate(issuer(), NOW, &claims(sub)).unwrap_err().kind();
        assert_eq!(kind, RejectionKind::InvalidClaim, "{sub} by default");
    }
    for sub in
        [r#""7""#, "7.0", "7e0", "-0", "9223372036854775808", "null", "[7]", r#"{"id":7}"#, "true"]
    {
        let kind = authenticate(policy(), NOW, &claims(sub)).unwrap_err().kind();
        assert_eq!(kind, RejectionKind::InvalidClaim, "{sub}");
    }
    let without = format!(r#""exp":{}"#, NOW + 1);
    assert_eq!(outcome_of(policy(), NOW, &without), Ok(()));
}

#[test]
fn a_name_that_no_issuer_can_have_is_refused_with_a_hint() {
    let build = |issuer: Issuer| Authenticator::builder().issuer(issuer).build();
    let named = |name: &str| Issuer::new(name, Key::hs256(SECRET).unwrap()).allow_any_audience();
    let template = "https://login.example/{tenantid}/v2.0";
    for (issuer, hint) in [
        (named(template), "Issuer::multi_tenant"),
        (named("https://a.example").add_name(template), "Issuer::multi_tenant"),
        (named("https://a.example/.well-known/openid-configuration"), "without the `/.well-known"),
        (
            named("https://a.example/.well-known/oauth-authorization-server/x"),
            "without the `/.well-known",
        ),
    ] {
        let error = build(issuer).unwrap_err();
        assert!(matches!(error, ConfigError::InvalidIssuerName(_)), "{error:?}");
        assert!(error.to_string().contains(hint), "{error}");
    }
}

#[test]
fn an_issuer_must_match_byte_by_byte() {
    let of = |iss: &str| {
        let claims = format!(r#"{{"iss":{iss},"aud":"api://orders","exp":{}}}"#, NOW + 1);
        authenticate(issuer(), NOW, &claims).map(drop).map_err(|rejection| rejection.kind())
    };
    assert_eq!(of(r#""https://issuer.example""#), Ok(()));
    for iss in [
        r#""https://issuer.example/""#,
        r#""https://issuer""#,
        r#""https://issuer.example.evil""#,
        r#""HTTPS://issuer.example""#,
        r#""https://issuer.examp\u0142e""#,
    ] {
        assert_eq!(of(iss), Err(RejectionKind::UnknownIssuer), "{iss}");
    }
    for iss in [r#"["https://issuer.example"]"#, "null", "1", r#""""#] {
        assert_eq!(of(iss), Err(RejectionKind::InvalidClaim), "{iss}");
    }
}

#[test]
fn registered_strings_are_strings() {
    for claim in ["sub", "jti", "sid"] {
        let with = |value: &str| outcome(&format!(r#""exp":{},"{claim}":{value}"#, NOW + 1));
        assert_eq!(with("\"x\""), Ok(()), "{claim}");
        for value in ["1", "null", "{}", "[\"x\"]", "\"\"", "true"] {
            assert_eq!(with(value), Err(RejectionKind::InvalidClaim), "{claim} {value}");
        }
    }
}

#[test]
fn registered_claims_are_told_as_the_token_has_them() {
    let text = format!(
        r#"{{"iss":"https://issuer.example","aud":["api://orders","b"],"sub":"m\u0065","exp":{},"nbf":{},"iat":{},"jti":"t","sid":"s","scope":"a  c","scp":["d"]}}"#,
        NOW + 60,
        NOW - 1,
        NOW - 2,
    );
    let token = authenticate(issuer(), NOW, &text).unwrap();
    let claims = token.registered();
    assert_eq!(claims.issuer(), "https://issuer.example");
    assert_eq!(claims.subject(), Some("me"));
    assert_eq!(claims.audience().iter().collect::<Vec<_>>(), ["api://orders", "b"]);
    assert!(claims.audience().contains("b") && !claims.audience().contains("a"));
    assert_eq!(claims.expires_at(), UnixTime::from_secs(NOW + 60));
    let at = |seconds| Some(UnixTime::from_secs(seconds));
    assert_eq!((claims.not_before(), claims.issued_at()), (at(NOW - 1), at(NOW - 2)));
    assert_eq!((claims.token_id(), claims.session_id()), (Some("t"), Some("s")));
    assert_eq!(claims.scopes().iter().collect::<Vec<_>>(), ["a", "c", "d"]);
    assert!(claims.scopes().contains("c") && !claims.scopes().contains("b"));
    assert!(!claims.scopes().contains(""), "two spaces are no scope");
    assert_eq!(claims.as_json(), text);
    assert_eq!(token.claims().as_map().len(), 10);
    assert_eq!(token.claims().get("jti"), token.claims().as_map().get("jti"));
    assert_eq!(issuer().name(), claims.issuer());
    assert_eq!(token.key_id(), None);
    let key = Key::hs256(SECRET).unwrap().with_key_id("k");
    let named = Issuer::new("https://issuer.example", key).audience("b");
    assert_eq!(authenticate(named, NOW, &text).unwrap().key_id(), Some("k"));

    let text =
        format!(r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{}}}"#, NOW + 60);
    let token = authenticate(issuer(), NOW, &text).unwrap();
    let claims = token.registered();
    assert_eq!((claims.subject(), claims.token_id(), claims.session_id()), (None, None, None));
    assert_eq!((claims.not_before(), claims.issued_at()), (None, None));
    assert_eq!(claims.scopes().iter().count(), 0);
}

#[test]
fn demanded_claims_must_be_there_with_their_values() {
    let exp = format!(r#""exp":{}"#, NOW + 1);
    let policy = || issuer().require_claim("email").require_claim_value("token_use", "access");
    let of = |rest: &str| outcome_of(policy(), NOW, &format!("{exp}{rest}"));
    assert_eq!(of(r#","email":"a@b.example","token_use":"access""#), Ok(()));
    assert_eq!(of(r#","token_use":"access""#), Err(RejectionKind::MissingClaim));
    assert_eq!(of(r#","email":null,"token_use":"access""#), Err(RejectionKind::MissingClaim));
    assert_eq!(of(r#","email":"x""#), Err(RejectionKind::MissingClaim));
    assert_eq!(of(r#","email":"x","token_use":"id""#), Err(RejectionKind::WrongTokenUse));
    assert_eq!(of(r#","email":"x","token_use":["access"]"#), Err(RejectionKind::WrongTokenUse));
}

#[test]
fn refresh_tokens_and_bound_tokens_are_no_bearer_tokens() {
    let exp = format!(r#""exp":{}"#, NOW + 1);
    assert_eq!(outcome(&format!(r#"{exp},"token_type":"access""#)), Ok(()));
    assert_eq!(
        outcome(&format!(r#"{exp},"token_type":"refresh""#)),
        Err(RejectionKind::WrongTokenUse)
    );
    for cnf in [r#"{"jkt":"x"}"#, "null", "{}", "1"] {
        let bound = format!(r#"{exp},"cnf":{cnf}"#);
        assert_eq!(outcome(&bound), Err(RejectionKind::UnverifiedConfirmation), "{cnf}");
        assert_eq!(outcome_of(issuer().allow_unverified_cnf(), NOW, &bound), Ok(()), "{cnf}");
    }
}

#[test]
fn typ_is_absent_jwt_or_at_jwt_unless_the_policy_says_otherwise() {
    let claims =
        format!(r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{}}}"#, NOW + 1);
    let of = |policy: Issuer, typ: &str| {
        let token = sign_hs256(&format!(r#"{{"alg":"HS256"{typ}}}"#), &claims);
        block_on(
            authenticator(policy, &ManualClock::at(UnixTime::from_secs(NOW))).authenticate(&token),
        )
        .map(drop)
        .map_err(|rejection| rejection.kind())
    };
    for typ in [
        "",
        r#","typ":"JWT""#,
        r#","typ":"jwt""#,
        r#","typ":"at+jwt""#,
        r#","typ":"application/AT+JWT""#,
    ] {
        assert_eq!(of(issuer(), typ), Ok(()), "{typ}");
    }
    for typ in [
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "application/",
        "JWTX",
        "",
        "application/application/JWT",
        "applications/JWT",
        "applicatiom/JWT",
    ] {
        let typ = format!(r#","typ":"{typ}""#);
        assert_eq!(of(issuer(), &typ), Err(RejectionKind::WrongType), "{typ}");
    }
    let strict = || issuer().require_typ("at+jwt");
    assert_eq!(of(strict(), r#","typ":"application/at+jwt""#), Ok(()));
    for typ in ["", r#","typ":"JWT""#] {
        assert_eq!(of(strict(), typ), Err(RejectionKind::WrongType), "{typ}");
    }
    assert_eq!(of(strict().require_typ("jwt"), r#","typ":"JWT""#), Ok(()));
}

#[test]
fn a_token_of_one_issuer_under_the_name_of_another_is_refused() {
    let other =
        Issuer::new("https://other.example", Key::hs256([9; 32]).unwrap()).audience("api://orders");
    let authenticator = Authenticator::builder()
        .issuer(issuer())
        .issuer(other)
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
        .build()
        .unwrap();
    let of = |iss: &str, secret: &[u8]| {
        let claims = format!(r#"{{"iss":"{iss}","aud":"api://orders","exp":{}}}"#, NOW + 1);
        let token = sign_hs256_with(secret, r#"{"alg":"HS256"}"#, &claims);
        block_on(authenticator.authenticate(&token)).map(drop).map_err(|rejection| rejection.kind())
    };
    assert_eq!(of("https://issuer.example", SECRET), Ok(()));
    assert_eq!(of("https://other.example", &[9; 32]), Ok(()));
    assert_eq!(of("https://other.example", SECRET), Err(RejectionKind::BadSignature));
    assert_eq!(of("https://issuer.example", &[9; 32]), Err(RejectionKind::BadSignature));
}

#[test]
fn another_spelling_of_the_issuer_is_one_issuer() {
    let policy = issuer().add_name("issuer.example");
    let claims = format!(r#"{{"iss":"issuer.example","aud":"api://orders","exp":{}}}"#, NOW + 1);
    let authenticated = authenticate(policy, NOW, &claims).unwrap();
    assert_eq!(authenticated.registered().issuer(), "https://issuer.example");
}

#[test]
fn the_authors_checks_run_on_every_request_and_may_refuse_or_be_unable_to_tell() {
    let authenticator = Authenticator::builder()
        .issuer(issuer())
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
        .add_check(|token| match token.claims().get("tenant").and_then(|tenant| tenant.as_str()) {
            Some("red") => Err(CheckError::Refused),
            _ => Ok(()),
        })
        .add_async_check(|token| async move {
            match token.claims().get("tenant").and_then(|tenant| tenant.as_str()) {
                Some("black") => Err(CheckError::Unavailable),
                Some("grey") => Err(CheckError::Refused),
                _ => Ok(()),
            }
        })
        .build()
        .unwrap();
    let of = |tenant: &str| {
        let claims = format!(
            r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{},"tenant":"{tenant}"}}"#,
            NOW + 1
        );
        block_on(authenticator.authenticate(&sign_hs256(r#"{"alg":"HS256"}"#, &claims)))
            .map(drop)
            .map_err(|rejection| rejection.kind())
    };
    assert_eq!(of("blue"), Ok(()));
    assert_eq!(of("red"), Err(RejectionKind::CheckFailed));
    assert_eq!(of("grey"), Err(RejectionKind::CheckFailed));
    assert_eq!(of("black"), Err(RejectionKind::CheckUnavailable));
}

#[test]
fn claims_that_do_not_fit_the_authors_type_are_refused() {
    #[derive(serde::Deserialize)]
    struct Claims {
        sub: String,
        level: u8,
    }
    let authenticator = Authenticator::builder()
        .claims::<Claims>()
        .issuer(issuer())
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
        .build()
        .unwrap();
    let of = |members: &str| {
        let claims = format!(
            r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{},"sub":"me"{members}}}"#,
            NOW + 1
        );
        block_on(authenticator.authenticate(&sign_hs256(r#"{"alg":"HS256"}"#, &claims)))
    };
    let authenticated = of(r#","level":3"#).unwrap();
    assert_eq!((authenticated.claims().sub.as_str(), authenticated.claims().level), ("me", 3));
    for members in ["", r#","level":"3""#, r#","level":256"#] {
        assert_eq!(of(members).unwrap_err().kind(), RejectionKind::ClaimsMismatch, "{members}");
    }
}

#[test]
fn the_revocation_id_is_jti_or_the_chosen_claim_or_a_hash_without_the_signature() {
    let claims = |members: &str| {
        format!(
            r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{}{members}}}"#,
            NOW + 1
        )
    };
    let id = |policy: Issuer, members: &str| {
        authenticate(policy, NOW, &claims(members))
            .map(|authenticated| authenticated.revocation_id().to_owned())
            .map_err(|rejection| rejection.kind())
    };
    assert_eq!(id(issuer(), r#","jti":"j1","uti":"u1""#), Ok("j1".to_owned()));
    let entra = || issuer().token_id_claim("uti");
    assert_eq!(id(entra(), r#","jti":"j1","uti":"u1""#), Ok("u1".to_owned()));
    assert_eq!(id(entra(), r#","jti":"j1""#), Err(RejectionKind::MissingClaim));
    assert_eq!(id(entra(), r#","uti":1"#), Err(RejectionKind::InvalidClaim));

    let token = sign_hs256(r#"{"alg":"HS256"}"#, &claims(""));
    let signing_input = &token[..token.rfind('.').unwrap()];
    let hash = sha256_hex(signing_input.as_bytes());
    assert_eq!(id(issuer(), ""), Ok(hash));
}

#[test]
fn a_long_stream_is_ended_by_a_second_look() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let authenticator = authenticator(issuer(), &clock);
    let claims =
        format!(r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{}}}"#, NOW + 100);
    let token = sign_hs256(r#"{"alg":"HS256"}"#, &claims);
    let authenticated = block_on(authenticator.authenticate(&token)).unwrap();
    clock.advance(Duration::from_secs(129));
    assert_eq!(block_on(authenticator.recheck(&authenticated)), Ok(()));
    clock.advance(Duration::from_secs(1));
    let kind = block_on(authenticator.recheck(&authenticated)).unwrap_err().kind();
    assert_eq!(kind, RejectionKind::Expired);
}

#[test]
fn a_second_look_knows_of_the_maximum_age_and_of_the_issuer() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let aged = authenticator(issuer().with_max_age(Duration::from_secs(60)), &clock);
    let claims = format!(
        r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{},"iat":{NOW}}}"#,
        NOW + 10_000
    );
    let token = sign_hs256(r#"{"alg":"HS256"}"#, &claims);
    let authenticated = block_on(aged.authenticate(&token)).unwrap();
    clock.advance(Duration::from_secs(90));
    assert!(block_on(aged.authenticate(&token)).is_ok());
    assert_eq!(block_on(aged.recheck(&authenticated)), Ok(()));
    clock.advance(Duration::from_secs(1));
    assert_eq!(block_on(aged.authenticate(&token)).unwrap_err().kind(), RejectionKind::TooOld);
    assert_eq!(block_on(aged.recheck(&authenticated)).unwrap_err().kind(), RejectionKind::Expired);
}

#[test]
fn recheck_rejects_a_token_that_another_verifier_verified() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let lax = authenticator(issuer().require_typ("JWT"), &clock);
    let strict = authenticator(issuer().require_typ("at+jwt"), &clock);
    let members =
        format!(r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{}}}"#, NOW + 60);
    let token = sign_hs256(r#"{"alg":"HS256","typ":"JWT"}"#, &members);
    let of_lax = block_on(lax.authenticate(&token)).unwrap();
    let refused = block_on(strict.authenticate(&token)).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::WrongType);
    let refused = block_on(strict.recheck(&of_lax)).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::OtherVerifier);

    let other_key = Issuer::new("https://issuer.example", Key::hs256([9; 32]).unwrap());
    let refused = authenticator(other_key.audience("api://orders"), &clock);
    let refused = block_on(refused.recheck(&of_lax)).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::OtherVerifier);

    let store = tower_bearer::revocation::MemoryStore::new();
    let cache = tower_bearer::RevocationCache::new(store, Duration::from_secs(1));
    let same_verifier = lax.clone().with_revocation(cache);
    assert_eq!(block_on(same_verifier.recheck(&of_lax)), Ok(()));
}

#[test]
fn the_latest_exp_that_is_read_is_told_as_it_is() {
    let members =
        format!(r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{}}}"#, 1_u64 << 53);
    let latest = UnixTime::from_secs(1 << 53);
    assert_eq!(authenticate(issuer(), NOW, &members).unwrap().expires_at(), latest);
}

/// Features of serde_json that another crate of the build may switch on read such objects as something else.
#[test]
fn objects_that_only_serde_reads_otherwise_are_refused() {
    let with = |tenant: &str| outcome(&format!(r#""exp":{},"tenant":{tenant}"#, NOW + 1));
    assert_eq!(with(r#"{"raw":"\"blue\""}"#), Ok(()));
    for name in ["RawValue", "Number"] {
        let tenant = format!(r#"{{"$serde_json::private::{name}":"\"blue\""}}"#);
        assert_eq!(with(&tenant), Err(RejectionKind::MalformedClaims));
    }
}

/// RFC 7515 appendix A: the claims set {"iss":"joe","exp":1300819380,"http://example.com/is_root":true}.
mod rfc7515 {
    use super::*;

    const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

    fn expires_on_its_second(jwk: &str, header: &str, signature: &str) {
        let token = format!("{header}.{PAYLOAD}.{signature}");
        let policy = Issuer::new("joe", Key::from_jwk_json(jwk).unwrap())
            .allow_any_audience()
            .with_leeway(Duration::ZERO);
        let clock = ManualClock::at(UnixTime::from_secs(1_300_819_379));
        let authenticator = authenticator(policy, &clock);
        let authenticated = block_on(authenticator.authenticate(&token)).unwrap();
        let is_root = authenticated.claims().get("http://example.com/is_root").unwrap();
        assert_eq!(is_root.as_bool(), Some(true));
        clock.advance(Duration::from_secs(1));
        let kind = block_on(authenticator.authenticate(&token)).unwrap_err().kind();
        assert_eq!(kind, RejectionKind::Expired);
    }

    #[test]
    fn a_1_hs256() {
        expires_on_its_second(
            r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        );
    }

    #[test]
    fn a_2_rs256() {
        expires_on_its_second(
            r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        );
    }

    #[test]
    fn a_3_es256() {
        expires_on_its_second(
            r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        );
    }
}

#[test]
fn a_check_that_was_added_before_the_claims_is_an_error() {
    let builder = || Authenticator::builder().issuer(issuer());
    let pure = builder().add_pure_check(|_| Err(CheckError::Refused)).claims::<NoClaims>();
    assert!(matches!(pure.build(), Err(ConfigError::ChecksBeforeClaims)));
    let check = builder().add_check(|_| Err(CheckError::Refused)).claims::<NoClaims>();
    assert!(matches!(check.claims::<NoClaims>().build(), Err(ConfigError::ChecksBeforeClaims)));
    let slow = builder().add_async_check(async |_| Err(CheckError::Refused)).claims::<NoClaims>();
    assert!(matches!(slow.build(), Err(ConfigError::ChecksBeforeClaims)));
    assert!(builder().claims::<NoClaims>().add_check(|_| Ok(())).build().is_ok());
}
