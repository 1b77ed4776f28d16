//! Tokens in the shapes that large identity providers issue, under the policy that fits each.
//!
//! The claims follow the providers' public documentation; keys and values are made up. Each provider's good
//! token has a twin beside it that this provider would also sign and that must not pass.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::Engine as _;
use tower_bearer::{
    Authenticated, Authenticator, ConfigError, Issuer, KeySet, RejectionKind, RevocationCache,
    UnixTime,
    claims::ManualClock,
    revocation::{MemoryStore, RevokeError},
};

use crate::common::tokens::{block_on, jwks_with, rsa_key, sign};

const NOW: u64 = 1_800_000_000;

/// An RSA key as providers publish it: often without `alg`, with certificate members that nobody here follows,
/// beside keys of kinds that this crate does not know.
fn key_set(kid: &str, more: &str) -> KeySet {
    let odd = r#"{"kty":"EC","crv":"secp256k1","kid":"odd","x":"AA","y":"AA"},{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#;
    let members = format!(r#""kid":"{kid}",{more}"x5t":"x","x5c":["MIIB"]"#);
    let keys = KeySet::from_jwks_json(&jwks_with(&members, odd)).unwrap();
    assert_eq!((keys.len(), keys.refused().len()), (1, 2));
    keys
}

fn authenticate(
    issuer: &Issuer,
    header: &str,
    claims: &str,
) -> Result<Authenticated, RejectionKind> {
    let authenticator = Authenticator::builder()
        .claims()
        .issuer(issuer.clone())
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
        .build()
        .unwrap();
    let token = sign(jsonwebtoken::Algorithm::RS256, &rsa_key(), header, claims);
    block_on(authenticator.authenticate(&token)).map_err(|rejection| rejection.kind())
}

#[test]
fn auth0() {
    let issuer = Issuer::new(
        "https://acme.eu.auth0.com/",
        key_set("NjVBRjY5", r#""alg":"RS256","use":"sig","#),
    )
    .audience("https://api.acme.example");
    let claims = |aud: &str| {
        format!(
            r#"{{"iss":"https://acme.eu.auth0.com/","sub":"auth0|507f1f77","aud":{aud},"iat":{NOW},"exp":{},"azp":"my_client_id","scope":"openid profile read:orders","gty":"password","permissions":["read:orders"]}}"#,
            NOW + 86_400
        )
    };
    for typ in ["JWT", "at+jwt"] {
        let header = format!(r#"{{"alg":"RS256","typ":"{typ}","kid":"NjVBRjY5"}}"#);
        let both = claims(r#"["https://api.acme.example","https://acme.eu.auth0.com/userinfo"]"#);
        let user = authenticate(&issuer, &header, &both).unwrap();
        assert!(user.scopes().contains("read:orders"));
        let id_token = claims(r#""my_client_id""#);
        assert_eq!(
            authenticate(&issuer, &header, &id_token).unwrap_err(),
            RejectionKind::WrongAudience
        );
    }
}

#[test]
fn entra_v2_names_tokens_by_uti_and_scopes_by_scp() {
    let name = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";
    let issuer = Issuer::new(name, key_set("nOo3ZDrO", r#""use":"sig","issuer":"https://x","#))
        .audience("6e74172b-be56-4843-9ff4-e66a39bb12e3")
        .token_id_claim("uti");
    let header = r#"{"typ":"JWT","alg":"RS256","x5t":"nOo3ZDrO","kid":"nOo3ZDrO"}"#;
    let claims = |uti: &str| {
        format!(
            r#"{{"aud":"6e74172b-be56-4843-9ff4-e66a39bb12e3","iss":"{name}","iat":{NOW},"nbf":{NOW},"exp":{},"aio":"AXQAi","azp":"6e74172b","azpacr":"0","name":"Abe Lincoln","oid":"690222be","rh":"I","scp":"access_as_user orders.read","sid":"c7b1","sub":"HKZpfaHyWadeOouYlitjrI","tid":"9188040d","ver":"2.0"{uti}}}"#,
            NOW + 3_600
        )
    };
    let user =
        authenticate(&issuer, header, &claims(r#","uti":"fqiBqXLPj0eQa82S-IYFAA""#)).unwrap();
    assert_eq!(user.revocation_id(), "fqiBqXLPj0eQa82S-IYFAA");
    assert!(user.scopes().contains("orders.read"));
    assert_eq!(
        authenticate(&issuer, header, &claims("")).unwrap_err(),
        RejectionKind::MissingClaim
    );
}

#[test]
fn cognito_has_its_audience_in_client_id_and_its_use_in_token_use() {
    let name = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example";
    let issuer = Issuer::new(name, key_set("abcdefg", r#""alg":"RS256","use":"sig","#))
        .audience("xxxxxxxxxxxxexample")
        .audience_from("client_id")
        .require_claim_value("token_use", "access");
    let header = r#"{"kid":"abcdefg","alg":"RS256"}"#;
    let times = format!(r#""auth_time":{NOW},"iat":{NOW},"exp":{}"#, NOW + 3_600);
    let access = |client: &str| {
        format!(
            r#"{{"sub":"aaaaaaaa-bbbb","device_key":"aaaaaaaa","cognito:groups":["admin"],"iss":"{name}","version":2,"client_id":"{client}","event_id":"64f513be","token_use":"access","scope":"phone openid","jti":"bbbbbbbb","username":"my-test-user",{times}}}"#
        )
    };
    assert!(authenticate(&issuer, header, &access("xxxxxxxxxxxxexample")).is_ok());
    assert_eq!(
        authenticate(&issuer, header, &access("another-client")).unwrap_err(),
        RejectionKind::WrongAudience
    );
    let id_token = format!(
        r#"{{"sub":"aaaaaaaa-bbbb","aud":"xxxxxxxxxxxxexample","client_id":"xxxxxxxxxxxxexample","iss":"{name}","token_use":"id",{times}}}"#
    );
    assert_eq!(authenticate(&issuer, header, &id_token).unwrap_err(), RejectionKind::WrongTokenUse);
}

#[test]
fn keycloak_distinguishes_its_tokens_by_a_claim_typ() {
    let name = "https://sso.example/realms/acme";
    let issuer = Issuer::new(name, key_set("FJ86GcF3", r#""alg":"RS256","use":"sig","#))
        .audience("orders-api")
        .require_claim_value("typ", "Bearer");
    let header = r#"{"alg":"RS256","typ":"JWT","kid":"FJ86GcF3"}"#;
    let claims = |typ: &str| {
        format!(
            r#"{{"exp":{},"iat":{NOW},"auth_time":{NOW},"jti":"onrtac:8b6c","iss":"{name}","aud":["orders-api","account"],"sub":"f1e7","typ":"{typ}","azp":"shop","sid":"4fd2","acr":"1","allowed-origins":["*"],"realm_access":{{"roles":["user"]}},"resource_access":{{"account":{{"roles":["view-profile"]}}}},"scope":"openid email","email_verified":true}}"#,
            NOW + 300
        )
    };
    let user = authenticate(&issuer, header, &claims("Bearer")).unwrap();
    let roles = &user.claims().get("realm_access").unwrap()["roles"];
    assert_eq!(roles, &serde_json::json!(["user"]));
    for typ in ["ID", "Refresh", "Offline", "Logout"] {
        assert_eq!(
            authenticate(&issuer, header, &claims(typ)).unwrap_err(),
            RejectionKind::WrongTokenUse,
            "{typ}"
        );
    }
}

#[test]
fn google_spells_its_name_in_two_ways() {
    let issuer = Issuer::new(
        "https://accounts.google.com",
        key_set("763f7c4c", r#""alg":"RS256","use":"sig","#),
    )
    .audience("1234987819200.apps.googleusercontent.com")
    .add_name("accounts.google.com");
    let header = r#"{"alg":"RS256","kid":"763f7c4c","typ":"JWT"}"#;
    let claims = |iss: &str| {
        format!(
            r#"{{"iss":"{iss}","azp":"1234987819200.apps.googleusercontent.com","aud":"1234987819200.apps.googleusercontent.com","sub":"10769150350006150715113082367","at_hash":"HK6E_P6Dh8Y93mRNtsDB1Q","hd":"example.com","email":"jsmith@example.com","email_verified":true,"iat":{NOW},"exp":{}}}"#,
            NOW + 3_600
        )
    };
    for iss in ["https://accounts.google.com", "accounts.google.com"] {
        let user = authenticate(&issuer, header, &claims(iss)).unwrap();
        assert_eq!(user.registered().issuer(), "https://accounts.google.com", "{iss}");
    }
    assert_eq!(
        authenticate(&issuer, header, &claims("accounts.google.com.evil.example")).unwrap_err(),
        RejectionKind::UnknownIssuer
    );
}

#[test]
fn okta_lists_scopes_in_an_array() {
    let name = "https://acme.okta.com/oauth2/default";
    let issuer = Issuer::new(name, key_set("Bq3Q", r#""alg":"RS256","use":"sig","#))
        .audience("api://default");
    let header = r#"{"kid":"Bq3Q","alg":"RS256"}"#;
    let claims = |aud: &str| {
        format!(
            r#"{{"ver":1,"jti":"AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE","iss":"{name}","aud":"{aud}","iat":{NOW},"exp":{},"cid":"nmdP1fcyvdVO11AL7ECm","uid":"00ujmkLgagxeRrAg20g3","scp":["openid","orders:read"],"auth_time":{NOW},"sub":"john.doe@example.com"}}"#,
            NOW + 3_600
        )
    };
    let user = authenticate(&issuer, header, &claims("api://default")).unwrap();
    assert!(user.scopes().contains("orders:read") && !user.scopes().contains("orders"));
    assert_eq!(
        authenticate(&issuer, header, &claims("nmdP1fcyvdVO11AL7ECm")).unwrap_err(),
        RejectionKind::WrongAudience
    );
}

const TEMPLATE: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
const TENANT_A: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const TENANT_B: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const ENTRA_HEADER: &str = r#"{"typ":"JWT","alg":"RS256","kid":"entra"}"#;

/// The common keys of Entra, whose member `issuer` is this.
fn entra_keys(issuer: &str) -> KeySet {
    key_set("entra", &format!(r#""use":"sig","issuer":"{issuer}","#))
}

fn entra_name(tenant: &str) -> String {
    TEMPLATE.replace("{tenantid}", tenant)
}

fn entra_claims(iss: &str, tid: &str) -> String {
    format!(
        r#"{{"aud":"api","iss":"{iss}","iat":{NOW},"exp":{},"sub":"same","oid":"690222be"{tid}}}"#,
        NOW + 3_600
    )
}

fn entra_token(iss: &str, tid: &str) -> String {
    let claims = entra_claims(iss, tid);
    sign(jsonwebtoken::Algorithm::RS256, &rsa_key(), ENTRA_HEADER, &claims)
}

#[test]
fn entra_tenants_are_accepted_by_list_by_function_or_all() {
    let multi = || Issuer::multi_tenant(TEMPLATE, entra_keys(TEMPLATE));
    let of = |issuer: &Issuer, tenant: &str| {
        let claims = entra_claims(&entra_name(tenant), &format!(r#","tid":"{tenant}""#));
        authenticate(issuer, ENTRA_HEADER, &claims)
            .map(|user| user.registered().issuer().to_owned())
    };
    let refused = Err(RejectionKind::UnknownIssuer);
    let listed = multi().tenants([TENANT_A]).audience("api");
    assert_eq!(listed.name(), TEMPLATE);
    assert_eq!(of(&listed, TENANT_A), Ok(entra_name(TENANT_A)));
    assert_eq!(of(&listed, TENANT_B), refused);
    assert_eq!(of(&listed, &TENANT_A.to_ascii_uppercase()), refused);
    let chosen = multi().tenants_by(|tenant| tenant == TENANT_B).audience("api");
    assert_eq!(of(&chosen, TENANT_A), refused);
    assert_eq!(of(&chosen, TENANT_B), Ok(entra_name(TENANT_B)));
    let any = multi().allow_any_tenant().audience("api");
    assert_eq!(of(&any, TENANT_A), Ok(entra_name(TENANT_A)));
    assert_eq!(of(&any, TENANT_B), Ok(entra_name(TENANT_B)));
}

#[test]
fn an_entra_token_names_one_tenant_in_iss_and_tid() {
    let any = Issuer::multi_tenant(TEMPLATE, entra_keys(TEMPLATE)).allow_any_tenant();
    let any = any.audience("api");
    let kind = |iss: &str, tid: &str| {
        authenticate(&any, ENTRA_HEADER, &entra_claims(iss, tid)).map(drop).map_err(Some)
    };
    let tid = |tid: &str| format!(r#","tid":"{tid}""#);
    assert_eq!(kind(&entra_name(TENANT_A), &tid(TENANT_A)), Ok(()));
    for (iss, members, reason) in [
        (entra_name(TENANT_A), tid(TENANT_B), RejectionKind::UnknownIssuer),
        (entra_name(TENANT_A), String::new(), RejectionKind::MissingClaim),
        (entra_name(TENANT_A), r#","tid":7"#.to_owned(), RejectionKind::InvalidClaim),
        (entra_name(TENANT_A), tid(""), RejectionKind::UnknownIssuer),
        (TEMPLATE.to_owned(), tid("{tenantid}"), RejectionKind::UnknownIssuer),
        (entra_name(""), tid(""), RejectionKind::UnknownIssuer),
        (entra_name("a/b"), tid("a/b"), RejectionKind::UnknownIssuer),
        (entra_name(".."), tid(".."), RejectionKind::UnknownIssuer),
        (entra_name(&"a".repeat(65)), tid(&"a".repeat(65)), RejectionKind::UnknownIssuer),
        (format!("{}/", entra_name(TENANT_A)), tid(TENANT_A), RejectionKind::UnknownIssuer),
        (format!("x{}", entra_name(TENANT_A)), tid(TENANT_A), RejectionKind::UnknownIssuer),
    ] {
        assert_eq!(kind(&iss, &members), Err(Some(reason)), "{iss} {members}");
    }
}

#[test]
fn an_entra_key_of_one_tenant_cannot_sign_for_another() {
    let with_key_of = |issuer: &str| {
        let issuer = Issuer::multi_tenant(TEMPLATE, entra_keys(issuer)).allow_any_tenant();
        issuer.audience("api")
    };
    let of = |issuer: &Issuer, tenant: &str| {
        let claims = entra_claims(&entra_name(tenant), &format!(r#","tid":"{tenant}""#));
        authenticate(issuer, ENTRA_HEADER, &claims).map(drop)
    };
    let of_a = with_key_of(&entra_name(TENANT_A));
    assert_eq!(of(&of_a, TENANT_A), Ok(()));
    assert_eq!(of(&of_a, TENANT_B), Err(RejectionKind::BadSignature));
    assert_eq!(
        of(&with_key_of("https://other.example"), TENANT_A),
        Err(RejectionKind::BadSignature)
    );
    // Anywhere else the member is one that nobody knows.
    let single = Issuer::new(entra_name(TENANT_B), entra_keys(&entra_name(TENANT_A)));
    assert_eq!(of(&single.audience("api"), TENANT_B), Ok(()));
}

#[test]
fn an_entra_key_with_an_issuer_that_is_not_a_string_is_not_used() {
    let (tenant, tid) = (entra_name(TENANT_A), format!(r#","tid":"{TENANT_A}""#));
    for odd in [format!(r#"["{tenant}"]"#), "7".to_owned(), format!(r#"{{"of":"{tenant}"}}"#)] {
        let keys = key_set("entra", &format!(r#""use":"sig","issuer":{odd},"#));
        let issuer = Issuer::multi_tenant(TEMPLATE, keys).allow_any_tenant().audience("api");
        let refused = authenticate(&issuer, ENTRA_HEADER, &entra_claims(&tenant, &tid)).map(drop);
        assert_eq!(refused, Err(RejectionKind::BadSignature), "{odd}");
    }
}

#[test]
fn a_revocation_of_one_entra_tenant_does_not_affect_another() {
    let issuer = Issuer::multi_tenant(TEMPLATE, entra_keys(TEMPLATE)).allow_any_tenant();
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let authenticator = Authenticator::builder().issuer(issuer.audience("api"));
    let authenticator = authenticator.with_clock(clock.clone()).build().unwrap();
    let store = MemoryStore::new().with_clock(clock.clone());
    let cache = RevocationCache::new(store, Duration::from_secs(30)).with_clock(clock);
    let authenticator = authenticator.with_revocation(cache.clone());
    let [of_a, of_b] = [TENANT_A, TENANT_B]
        .map(|tenant| entra_token(&entra_name(tenant), &format!(r#","tid":"{tenant}""#)));
    let of_nobody = block_on(authenticator.revoke_subject(TEMPLATE, "same"));
    assert!(matches!(of_nobody, Err(RevokeError::UnknownIssuer { .. })));
    block_on(authenticator.revoke_subject(&entra_name(TENANT_A), "same")).unwrap();
    let kind = |token: &str| block_on(authenticator.authenticate(token)).map(drop);
    assert_eq!(kind(&of_a).unwrap_err().kind(), RejectionKind::Revoked);
    assert!(kind(&of_b).is_ok());
}

#[test]
fn a_session_and_a_key_are_revoked_for_one_entra_tenant() {
    let issuer = Issuer::multi_tenant(TEMPLATE, entra_keys(TEMPLATE)).allow_any_tenant();
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let authenticator = Authenticator::builder().issuer(issuer.audience("api"));
    let authenticator = authenticator.with_clock(clock.clone()).build().unwrap();
    let [of_a, of_b] = [TENANT_A, TENANT_B].map(|tenant| {
        entra_token(&entra_name(tenant), &format!(r#","tid":"{tenant}","sid":"session""#))
    });
    for what in ["session", "entra"] {
        let store = MemoryStore::new().with_clock(clock.clone());
        let cache = RevocationCache::new(store, Duration::from_secs(30)).with_clock(clock.clone());
        let authenticator = authenticator.clone().with_revocation(cache);
        let a = entra_name(TENANT_A);
        match what {
            "session" => block_on(authenticator.revoke_session(&a, what)).unwrap(),
            _ => block_on(authenticator.revoke_key(&a, what)).unwrap(),
        }
        let kind = |token: &str| block_on(authenticator.authenticate(token)).map(drop);
        assert_eq!(kind(&of_a).unwrap_err().kind(), RejectionKind::Revoked, "{what}");
        assert!(kind(&of_b).is_ok(), "{what}");
    }
}

#[test]
fn a_numeric_sub_of_mediawiki_can_be_revoked() {
    let name = "https://meta.wikimedia.example";
    let keys = key_set("wiki", r#""alg":"RS256","#);
    let issuer = Issuer::new(name, keys).audience("client").with_integer_subject();
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let authenticator = Authenticator::builder().issuer(issuer);
    let authenticator = authenticator.with_clock(clock.clone()).build().unwrap();
    let store = MemoryStore::new().with_clock(clock.clone());
    let cache = RevocationCache::new(store, Duration::from_secs(30)).with_clock(clock);
    let authenticator = authenticator.with_revocation(cache);
    let outcome = |sub: &str| {
        let times = format!(r#""iat":{NOW},"exp":{}"#, NOW + 3_600);
        let claims = format!(r#"{{"iss":"{name}","aud":"client","sub":{sub},{times}}}"#);
        let header = r#"{"alg":"RS256","kid":"wiki"}"#;
        let token = sign(jsonwebtoken::Algorithm::RS256, &rsa_key(), header, &claims);
        let outcome = block_on(authenticator.authenticate(&token));
        outcome.map(drop).map_err(|rejection| rejection.kind())
    };
    assert_eq!((outcome("7"), outcome("77")), (Ok(()), Ok(())));
    block_on(authenticator.revoke_subject(name, "7")).unwrap();
    assert_eq!(outcome("7"), Err(RejectionKind::Revoked));
    assert_eq!(outcome(r#""7""#), Err(RejectionKind::InvalidClaim));
    assert_eq!(outcome("77"), Ok(()));
}

#[test]
fn cached_tokens_of_a_removed_entra_tenant_are_rejected() {
    let is_open = Arc::new(AtomicBool::new(true));
    let shared = Arc::clone(&is_open);
    let issuer = Issuer::multi_tenant(TEMPLATE, entra_keys(TEMPLATE))
        .tenants_by(move |_| shared.load(Ordering::Relaxed))
        .audience("api");
    let authenticator = Authenticator::builder().issuer(issuer);
    let authenticator =
        authenticator.with_clock(ManualClock::at(UnixTime::from_secs(NOW))).build().unwrap();
    let token = entra_token(&entra_name(TENANT_A), &format!(r#","tid":"{TENANT_A}""#));
    let user = block_on(authenticator.authenticate(&token)).unwrap();
    assert!(block_on(authenticator.authenticate(&token)).is_ok());
    assert!(block_on(authenticator.recheck(&user)).is_ok());
    is_open.store(false, Ordering::Relaxed);
    let refused = block_on(authenticator.authenticate(&token)).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::UnknownIssuer);
    let refused = block_on(authenticator.recheck(&user)).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::UnknownIssuer);
}

#[test]
fn a_tenant_that_is_configured_by_its_full_name_has_its_own_policy() {
    let any = Issuer::multi_tenant(TEMPLATE, entra_keys(TEMPLATE)).allow_any_tenant();
    let own = Issuer::new(entra_name(TENANT_A), entra_keys(TEMPLATE)).audience("other");
    let authenticator = Authenticator::builder().issuer(any.audience("api")).issuer(own);
    let authenticator =
        authenticator.with_clock(ManualClock::at(UnixTime::from_secs(NOW))).build().unwrap();
    let outcome = |tenant: &str| {
        let token = entra_token(&entra_name(tenant), &format!(r#","tid":"{tenant}""#));
        block_on(authenticator.authenticate(&token)).map(drop).map_err(|refused| refused.kind())
    };
    assert_eq!(outcome(TENANT_A), Err(RejectionKind::WrongAudience));
    assert_eq!(outcome(TENANT_B), Ok(()));
}

#[test]
fn an_unusable_template_is_rejected() {
    let build = |issuer: Issuer| Authenticator::builder().issuer(issuer).build().map(drop);
    let of = |template: &str| {
        Issuer::multi_tenant(template, entra_keys(TEMPLATE)).allow_any_tenant().audience("api")
    };
    assert!(build(of(TEMPLATE)).is_ok());
    for template in [
        "https://login.example/v2.0",
        "https://login.example/{tenant}/v2.0",
        "https://login.example/{tenantid}/{tenantid}",
        "https://login.example/{tenantid}/{version}",
    ] {
        let refused = build(of(template));
        assert!(
            matches!(refused, Err(ConfigError::InvalidIssuerName(_))),
            "{template}: {refused:?}"
        );
    }
    let refused = build(of(TEMPLATE).add_name("https://sts.example"));
    assert!(matches!(refused, Err(ConfigError::InvalidIssuerName(_))), "{refused:?}");
    let listed = |tenants: &[&'static str]| {
        let issuer = Issuer::multi_tenant(TEMPLATE, entra_keys(TEMPLATE));
        build(issuer.tenants(tenants.iter().copied()).audience("api"))
    };
    assert!(matches!(listed(&[]), Err(ConfigError::EmptyName(_))));
    assert!(matches!(listed(&[TENANT_A, ""]), Err(ConfigError::InvalidIssuerName(_))));
    assert!(matches!(listed(&["a/b"]), Err(ConfigError::InvalidIssuerName(_))));
    let twice = Authenticator::builder().issuer(of(TEMPLATE)).issuer(of(TEMPLATE));
    assert!(matches!(twice.build().map(drop), Err(ConfigError::DuplicateIssuer(_))));
}

#[test]
fn tokens_of_an_aws_load_balancer_stay_rejected_for_their_padding() {
    let name = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example";
    let issuer = Issuer::new(name, key_set("alb", r#""alg":"RS256","#)).allow_any_audience();
    let claims =
        |pad: &str| format!(r#"{{"iss":"{name}","sub":"a","x":"{pad}","exp":{}}}"#, NOW + 120);
    let pad = ["", "x", "xx"].into_iter().find(|pad| claims(pad).len() % 3 != 0).unwrap();
    let header = r#"{"alg":"RS256","kid":"alb"}"#;
    assert!(authenticate(&issuer, header, &claims(pad)).is_ok());
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE.encode(text);
    let signing_input = format!("{}.{}", encode(header), encode(&claims(pad)));
    let (input, algorithm) = (signing_input.as_bytes(), jsonwebtoken::Algorithm::RS256);
    let signature = jsonwebtoken::crypto::sign(input, &rsa_key(), algorithm).unwrap();
    let authenticator = Authenticator::builder().issuer(issuer);
    let authenticator =
        authenticator.with_clock(ManualClock::at(UnixTime::from_secs(NOW))).build().unwrap();
    for token in [
        format!("{signing_input}.{signature}"),
        format!("{signing_input}.{signature}").replace('=', ""),
    ] {
        let authenticator = authenticator.clone();
        let refused = block_on(authenticator.authenticate(&token)).unwrap_err().kind();
        let expected = match token.contains('=') {
            true => RejectionKind::MalformedToken,
            false => RejectionKind::BadSignature,
        };
        assert_eq!(refused, expected);
    }
}
