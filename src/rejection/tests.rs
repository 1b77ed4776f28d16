use http::{HeaderMap, Method, Request, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{
    challenge::Challenges,
    grpc::{internal, is_grpc, rejection},
    *,
};
use crate::{ConfigError, credential::Scheme};

const ANSWERS: [Answer; 7] = [
    Answer::NotAuthenticated,
    Answer::TokenNotValid,
    Answer::DpopProofNotValid,
    Answer::InvalidRequest,
    Answer::PermissionDenied,
    Answer::InsufficientUserAuthentication,
    Answer::Unavailable,
];

fn challenge(challenges: &Challenges, kind: RejectionKind) -> Option<&str> {
    challenges.of(kind, Scheme::Bearer).map(|value| value.to_str().unwrap())
}

#[test]
fn the_literal_bodies_match_the_answers() {
    for answer in ANSWERS {
        let expected = format!(r#"{{"code":"{}","detail":"{}"}}"#, answer.code(), answer.detail());
        assert_eq!(responder::body_of(answer), expected);

        let expected = json!({
            "type": "about:blank",
            "title": answer.status().canonical_reason(),
            "status": answer.status().as_u16(),
            "detail": answer.detail(),
            "code": answer.code(),
        });
        assert_eq!(serde_json::from_str::<Value>(problem::body_of(answer)).unwrap(), expected);
    }
}

#[test]
fn every_answer_has_the_challenge_of_rfc_6750() {
    let challenges = Challenges::default();
    for (kind, expected) in [
        (RejectionKind::MissingCredential, Some(r#"Bearer realm="api""#)),
        (
            RejectionKind::Expired,
            Some(concat!(
                r#"Bearer realm="api", error="invalid_token", "#,
                r#"error_description="Token is invalid or expired""#
            )),
        ),
        (
            RejectionKind::MalformedCredential,
            Some(r#"Bearer realm="api", error="invalid_request""#),
        ),
        (
            RejectionKind::PermissionDenied,
            Some(r#"Bearer realm="api", error="insufficient_scope""#),
        ),
        (RejectionKind::CrossSite, Some(r#"Bearer realm="api""#)),
        (RejectionKind::KeysUnavailable, None),
    ] {
        assert_eq!(challenge(&challenges, kind), expected, "{kind}");
    }
}

#[test]
fn all_invalid_tokens_get_the_same_challenge() {
    let challenges = Challenges::default();
    let expected = challenge(&challenges, RejectionKind::Expired);
    for kind in RejectionKind::ALL {
        if kind.answer() == Answer::TokenNotValid {
            assert_eq!(challenge(&challenges, *kind), expected, "{kind}");
        }
    }
}

#[test]
fn realm_and_resource_metadata_can_be_set_in_any_order() {
    let url = "https://api.example/.well-known/oauth-protected-resource";
    let one = Challenges::default().with_realm("my shop").unwrap();
    let one = one.with_resource_metadata(url).unwrap();
    let other = Challenges::default().with_resource_metadata(url).unwrap();
    let other = other.with_realm("my shop").unwrap();
    for challenges in [one, other] {
        assert_eq!(
            challenge(&challenges, RejectionKind::MissingCredential).unwrap(),
            format!(r#"Bearer realm="my shop", resource_metadata="{url}""#)
        );
        assert_eq!(
            challenge(&challenges, RejectionKind::Revoked).unwrap(),
            format!(
                r#"Bearer realm="my shop", error="invalid_token", error_description="Token is invalid or expired", resource_metadata="{url}""#
            )
        );
        assert_eq!(
            challenge(&challenges, RejectionKind::PermissionDenied).unwrap(),
            format!(
                r#"Bearer realm="my shop", error="insufficient_scope", resource_metadata="{url}""#
            )
        );
        assert_eq!(
            challenge(&challenges, RejectionKind::MalformedCredential).unwrap(),
            r#"Bearer realm="my shop", error="invalid_request""#
        );
    }
}

#[test]
fn realm_and_url_must_fit_into_a_quoted_string() {
    for text in ["a\"b", "a\\b", "a\rb", "a\nb", "a\tb", "a\0b", "a\u{7f}b", "\u{e4}"] {
        let challenges = Challenges::default();
        assert!(
            matches!(challenges.with_realm(text), Err(ConfigError::InvalidHeaderValue("realm"))),
            "{text:?}"
        );
        assert!(
            matches!(
                challenges.with_resource_metadata(text),
                Err(ConfigError::InvalidHeaderValue("resource metadata"))
            ),
            "{text:?}"
        );
    }
    assert!(Challenges::default().with_resource_metadata("").is_err());
}

#[test]
fn the_challenge_names_only_scopes_that_are_scope_tokens() {
    let challenges = Challenges::default();
    for (scopes, expected) in [
        (
            &["orders:read", "https://x.example/s"][..],
            r#"Bearer realm="api", error="insufficient_scope", scope="orders:read https://x.example/s""#,
        ),
        (
            &["", "a b", "a\"", "a\\", "\u{e4}", "good", "a\r\nx: y"],
            r#"Bearer realm="api", error="insufficient_scope", scope="good""#,
        ),
        (&["a\""], r#"Bearer realm="api", error="insufficient_scope""#),
        (&[], r#"Bearer realm="api", error="insufficient_scope""#),
    ] {
        let challenges = challenges.with_scopes(scopes.iter().copied());
        assert_eq!(challenge(&challenges, RejectionKind::InsufficientScope), Some(expected));
    }
}

#[test]
fn grpc_is_recognised_by_method_and_content_type() {
    let is_grpc = |content_type: &'static str| {
        let request = |method| {
            let request = Request::builder().method(method).header(CONTENT_TYPE, content_type);
            request.body(()).unwrap()
        };
        let is_grpc = |request: Request<()>| is_grpc(request.method(), request.headers());
        assert!(!is_grpc(request("GET")), "its answers could be cached");
        is_grpc(request("POST"))
    };
    for yes in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;charset=utf-8",
        "Application/gRPC+json",
    ] {
        assert!(is_grpc(yes), "{yes}");
    }
    for no in [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpcx",
        "application/json",
        "application/grp",
        "",
    ] {
        assert!(!is_grpc(no), "{no}");
    }
    assert!(!super::grpc::is_grpc(&Method::POST, &HeaderMap::new()));
}

#[test]
fn grpc_answers_are_trailers_only() {
    for (answer, code) in ANSWERS.into_iter().zip(["16", "16", "16", "3", "7", "16", "14"]) {
        let response = rejection(answer);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().len(), 4);
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert_eq!(response.headers()["grpc-status"], code);
        assert_eq!(response.headers()["grpc-message"], answer.detail());
        assert!(response.body().is_empty());
        // They are sent without encoding, so they must not need an escape.
        assert!(answer.detail().bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%'));
    }
}

#[test]
fn a_grpc_message_is_percent_encoded() {
    let response = internal("100 % of \u{e4}\n<C>");
    assert_eq!(response.headers()["grpc-status"], "13");
    assert_eq!(response.headers()["grpc-message"], "100 %25 of %C3%A4%0A<C>");
}

#[test]
fn the_text_for_a_missing_layer_names_its_type() {
    struct Tenant;
    let (request, ()) = Request::new(()).into_parts();
    let response = layer_not_installed::<Tenant>(&request);
    assert_eq!(response.status(), 500);
    let text = std::str::from_utf8(response.body()).unwrap();
    assert!(text.contains("Authenticated<") && text.contains("Tenant>"), "{text}");
}

#[test]
fn every_kind_has_its_own_label() {
    let mut labels: Vec<_> = RejectionKind::ALL.iter().map(|kind| kind.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), RejectionKind::ALL.len());
}
