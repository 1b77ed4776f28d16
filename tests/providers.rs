//! Tokens in the shapes that large identity providers issue, under the policy that fits each.
//!
//! The claims follow the providers' public documentation; keys and values are made up. Each provider's good
//! token has a twin beside it that this provider would also sign and that must not pass.

mod common;

use common::tokens::{block_on, jwks_with, rsa_key, sign};
use tower_bearer::{
    Authenticated, Authenticator, Issuer, KeySet, RejectionKind, Verifier, claims::ManualClock,
};

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
    let verifier = Verifier::builder()
        .issuer(issuer.clone())
        .with_clock(ManualClock::at(NOW))
        .build()
        .unwrap();
    let token = sign(jsonwebtoken::Algorithm::RS256, &rsa_key(), header, claims);
    block_on(Authenticator::new(verifier).authenticate(&token))
        .map_err(|rejection| rejection.kind())
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
fn keycloak_tells_its_kinds_apart_by_a_claim_typ() {
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
