use http::Method;
use serde_json::json;

use crate::api::{Api, Call, NOT_FOUND};

#[tokio::test]
async fn other_methods_are_405_and_name_those_that_are_allowed() {
    let api = Api::new();
    let access = api.sign("at+jwt", json!({"scope": "introspect tokens:admin"}));
    for (path, allow, methods) in [
        ("/login", "POST, OPTIONS", "GET,HEAD,PUT,PATCH,DELETE,TRACE,FOO"),
        ("/refresh", "POST, OPTIONS", "GET,HEAD,PUT,PATCH,DELETE"),
        ("/logout", "POST, OPTIONS", "GET,HEAD,PUT,PATCH,DELETE"),
        ("/revoke_all", "POST, OPTIONS", "GET,HEAD,PUT,PATCH,DELETE"),
        ("/password", "POST, OPTIONS", "GET,HEAD,PUT,PATCH,DELETE"),
        ("/revoke", "POST, OPTIONS", "GET,HEAD,PUT,PATCH,DELETE,TRACE,FOO"),
        ("/introspect", "POST, OPTIONS", "GET,HEAD,PUT,PATCH,DELETE"),
        ("/sessions", "GET, HEAD, OPTIONS", "POST,PUT,PATCH,DELETE,FOO"),
        ("/sessions/1", "DELETE, OPTIONS", "GET,HEAD,POST,PUT,PATCH"),
        ("/private_tokens", "GET, POST, HEAD, OPTIONS", "PUT,PATCH,DELETE,FOO"),
        ("/admin/private_tokens", "GET, HEAD, OPTIONS", "POST,PUT,PATCH,DELETE"),
        ("/admin/private_tokens/1", "DELETE, OPTIONS", "GET,HEAD,POST,PUT,PATCH"),
        ("/admin/audit", "GET, HEAD, OPTIONS", "POST,PUT,PATCH,DELETE"),
        ("/admin/revoke", "POST, OPTIONS", "GET,HEAD,PUT,PATCH,DELETE"),
        ("/private_tokens/1", "DELETE, OPTIONS", "GET,HEAD,POST,PUT,PATCH"),
        ("/private_tokens/1/rotate", "POST, OPTIONS", "GET,HEAD,PUT,PATCH,DELETE"),
    ] {
        for slash in ["", "/"] {
            let path = format!("{path}{slash}");
            for method in methods.split(',') {
                let call = Call::new(method.parse().unwrap(), &path).token(Some(&access));
                let answer = api.call(call).await;
                assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
                if method == "HEAD" {
                    assert_eq!(answer.status, 405);
                    continue;
                }
                let expected = format!(r#"{{"detail":"Method \"{method}\" not allowed."}}"#);
                answer.is(405, &[("allow", allow)], &expected);
            }
            let call = Call::new(Method::OPTIONS, &path).token(Some(&access));
            api.call(call).await.is(204, &[("allow", allow)], "");
        }
    }
}

#[tokio::test]
async fn who_may_not_enter_is_not_told_what_there_is() {
    let api = Api::new();
    for path in [
        "/logout/",
        "/revoke_all/",
        "/password/",
        "/introspect/",
        "/admin/revoke/",
        "/sessions/",
        "/sessions/1/",
        "/private_tokens/",
        "/private_tokens/1/",
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::OPTIONS, Method::DELETE] {
            api.call(Call::new(method, path)).await.is_not_authenticated();
        }
    }
}

#[tokio::test]
async fn other_paths_are_not_found_and_none_is_a_redirect() {
    let api = Api::new();
    for path in ["", "/nothing", "/login//", "/private_tokens/1/rotate/x", "/Login/", "//login/"] {
        api.call(Call::new(Method::GET, path)).await.is(404, &[], NOT_FOUND);
    }
}
