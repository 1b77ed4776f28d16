//! Rows 54 to 56, 73 and 74: where a token stands in a request.

use axum::{Router, http::HeaderMap};
use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::{Empty, Full};
use tower_bearer::{BearerLayer, RejectionKind};

use super::server::{Server, bearer, documented};
use crate::common::requests::{layer, token};

use RejectionKind::{MalformedCredential, MalformedToken, MissingCredential, MultipleCredentials};

fn authorization(value: impl AsRef<[u8]>) -> Vec<u8> {
    [b"authorization:", value.as_ref(), b"\r\n"].concat()
}

#[tokio::test]
async fn row_54_a_credential_that_is_not_exactly_one_is_a_bad_request() {
    let server = Server::start().await;
    let token = token();
    for spelling in ["Bearer ", "bearer ", "BEARER ", "Bearer    "] {
        server.assert_passes(authorization(format!(" {spelling}{token}"))).await;
    }
    // White space around a header's value is not part of it (RFC 9112 section 5.1).
    server.assert_passes(authorization(format!("\t Bearer {token} \t"))).await;
    server.assert_passes(authorization(format!("Bearer {token}"))).await;

    for (first, second) in [
        (format!("Bearer {token}"), format!("Bearer {token}")),
        (format!("Bearer {token}"), "Bearer a.b.c".to_owned()),
        ("Bearer a.b.c".to_owned(), format!("Bearer {token}")),
        (format!("Bearer {token}"), "Basic dXNlcjpwYXNz".to_owned()),
        ("Basic dXNlcjpwYXNz".to_owned(), format!("Bearer {token}")),
        (format!("Bearer {token}"), String::new()),
        ("Negotiate".to_owned(), "Negotiate".to_owned()),
    ] {
        let lines = [authorization(first), authorization(second)].concat();
        server.assert_refuses(lines, MultipleCredentials).await;
    }
    let apart = [
        authorization(format!("Bearer {token}")),
        b"x-between: 1\r\n".to_vec(),
        format!("AUTHORIZATION: Bearer {token}\r\n").into_bytes(),
    ];
    server.assert_refuses(apart.concat(), MultipleCredentials).await;

    for value in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "bearer".to_owned(),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer {token},Bearer {token}"),
        format!("Bearer {token}, Basic dXNlcjpwYXNz"),
        format!("Bearer {token},"),
        format!("Bearer ,{token}"),
        format!("Bearer,{token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer\t{token}"),
        format!("Bearer \t{token}"),
        format!("Bearer \t {token}"),
        format!("Bearer\u{a0}{token}"),
        format!("Bearer \u{a0}{token}"),
        format!("Bearer {token}\u{a0}"),
        format!("Bearer\u{3000}{token}"),
        format!("Bearer:{token}"),
        format!("Bearer: {token}"),
        format!("Bearer={token}"),
        format!("Bearer \"{token}\""),
        format!("Bearer token={token}"),
        format!("Bearer token=\"{token}\""),
        format!("Bearer realm=\"api\", token=\"{token}\""),
        format!("Bearer Bearer {token}"),
        format!("Bearer {token}?"),
        format!("Bearer {token};"),
        format!("Bearer %20{token}"),
        "Bearer =".to_owned(),
        "Bearer ====".to_owned(),
    ] {
        server.assert_refuses(authorization(format!(" {value}")), MalformedCredential).await;
    }
    // A NBSP in Latin-1, alone and before the token.
    let latin = [b" Bearer\xa0", token.as_bytes()].concat();
    server.assert_refuses(authorization(latin), MalformedCredential).await;
}

/// A longer name is that of another scheme (RFC 9110 section 11.1); with nothing after it, the space was forgotten.
#[tokio::test]
async fn row_54_a_scheme_that_begins_with_bearer_is_another_scheme() {
    let server = Server::start().await;
    let token = token();
    server.assert_passes(bearer(&token)).await;
    for value in [
        format!("Bearers {token}"),
        format!("BearerX {token}"),
        format!("Bearer-Token {token}"),
        format!("JWT {token}"),
        format!("Token {token}"),
        format!("DPoP {token}"),
        format!("Basic {token}"),
        format!("Basic x, Bearer {token}"),
        token.clone(),
        "Beare".to_owned(),
        String::new(),
    ] {
        server.assert_refuses(authorization(format!(" {value}")), MissingCredential).await;
    }
    // Names that no scheme can have: another reader may take them for ours.
    for value in [
        format!("Bearer{token}"),
        format!("\"Bearer\" {token}"),
        format!(", Bearer {token}"),
        format!("@ Bearer {token}"),
    ] {
        server.assert_refuses(authorization(format!(" {value}")), MalformedCredential).await;
    }
}

#[tokio::test]
async fn row_54_folded_lines_and_control_characters_are_not_http() {
    let server = Server::start().await;
    let token = token();
    server.assert_passes(bearer(&token)).await;
    let (start, end) = token.split_at(20);
    for lines in [
        // Folding (RFC 9112 section 5.2).
        format!("authorization: Bearer\r\n {token}\r\n"),
        format!("authorization: Bearer {start}\r\n {end}\r\n"),
        format!("authorization: Bearer {start}\r\n\t{end}\r\n"),
        format!("authorization:\r\n Bearer {token}\r\n"),
        format!("authorization: Bearer {token}\0\r\n"),
        format!("authorization: Bearer\0{token}\r\n"),
        format!("authorization: Bearer {start}\0{end}\r\n"),
        format!("authorization: Bearer {start}\u{7f}{end}\r\n"),
        format!("authorization: Bearer {start}\u{8}{end}\r\n"),
        format!("authorization: Bearer {start}\r{end}\r\n"),
        format!("authorization : Bearer {token}\r\n"),
        format!(" authorization: Bearer {token}\r\n"),
        format!("authorization\0: Bearer {token}\r\n"),
    ] {
        server.assert_is_no_http(lines).await;
    }
}

/// `Bearer` with bytes that are no b64token is a bad request (400); bytes that no scheme can have are a bad token
/// (401). In neither case does a header that cannot be read as text panic, nor is it taken for a missing one.
#[tokio::test]
async fn row_55_bytes_beyond_ascii_are_rejected() {
    let server = Server::start().await;
    let token = token();
    server.assert_passes(bearer(&token)).await;
    for odd in
        [&b"\x80"[..], b"\xa0", b"\xe9", b"\xff", b"\xc3\xa9", b"\xef\xbb\xbf", b"\xed\xa0\x80"]
    {
        let token = token.as_bytes();
        for value in [
            [b" Bearer ", odd, token].concat(),
            [b" Bearer ", token, odd].concat(),
            [b" Bearer ", &token[..30], odd, &token[30..]].concat(),
            [b" Bearer ", odd].concat(),
            [b" Bearer", odd, token].concat(),
            [b" Bearer", odd, b" ", token].concat(),
        ] {
            server.assert_refuses(authorization(value), MalformedCredential).await;
        }
        for value in [
            [b" ", odd, b"Bearer ", token].concat(),
            [b" Bea", odd, b"rer ", token].concat(),
            [b" B", odd, b"arer ", token].concat(),
            [b" ", odd].concat(),
        ] {
            server.assert_refuses(authorization(value), MalformedToken).await;
        }
    }
}

async fn server_for(change: impl FnOnce(BearerLayer) -> BearerLayer) -> Server {
    Server::with(change(layer())).await
}

fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n{lines}\r\n")
}

fn form(lines: &str, body: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n{lines}content-type: \
         application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

const OK: &str = "HTTP/1.1 200 OK";

#[tokio::test]
async fn row_56_query_cookie_and_form_are_ignored_by_default() {
    let server = Server::start().await;
    let token = token();
    let query = format!("/?access_token={token}");
    let cookie = format!("cookie: access_token={token}; token={token}\r\n");
    let body = format!("access_token={token}");
    for request in [
        get(&query, ""),
        get("/", &cookie),
        get(&query, &cookie),
        form("", &body),
        get("/", &format!("x-authorization: Bearer {token}\r\n")),
        get("/", &format!("proxy-authorization: Bearer {token}\r\n")),
    ] {
        server.assert_refuses_request(request, MissingCredential).await;
    }
    // And so they are no second credential, and no way out for a bad one.
    let (good, bad) = (bearer(&token), bearer("a.b.c"));
    for request in [get(&query, &good), get("/", &format!("{good}{cookie}")), form(&good, &body)] {
        assert_eq!(server.send(request).await.status, OK);
    }
    for request in [get(&query, &bad), get("/", &format!("{bad}{cookie}")), form(&bad, &body)] {
        server.assert_refuses_request(request, RejectionKind::MalformedToken).await;
    }
}

#[tokio::test]
async fn row_56_a_second_token_in_the_query_is_a_bad_request() {
    let server = server_for(|layer| layer.allow_query("access_token")).await;
    let token = token();
    let good = bearer(&token);
    for target in [
        format!("/?access_token={token}"),
        format!("/?a=1&access_token={token}&b=2"),
        // Other names, however they are decoded by others.
        format!(
            "/?access_token={token}&Access_Token=x&access%5Ftoken=x&access_token%20=x&xaccess_token=x"
        ),
    ] {
        assert_eq!(server.send(get(&target, "")).await.status, OK, "{target}");
    }
    assert_eq!(server.send(get("/?access-token=x", &good)).await.status, OK);
    for (target, lines) in [
        (format!("/?access_token={token}"), good.as_str()),
        (format!("/?access_token={token}"), &bearer("a.b.c")),
        ("/?access_token=".to_owned(), &good),
        ("/?access_token".to_owned(), &good),
        (format!("/?access_token={token}&access_token={token}"), ""),
        (format!("/?access_token=&access_token={token}"), ""),
        (format!("/?access_token&x&access_token={token}"), ""),
    ] {
        server.assert_refuses_request(get(&target, lines), MultipleCredentials).await;
    }
    for target in
        ["/?access_token=", "/?access_token", "/?access_token=%2e", "/?access_token=a%20b"]
    {
        server.assert_refuses_request(get(target, ""), MalformedCredential).await;
    }
    server.assert_refuses_request(get("/?access_token=%FF", ""), MalformedCredential).await;
    server
        .assert_refuses_request(get("/?access_token=a.b.c", ""), RejectionKind::MalformedToken)
        .await;
}

#[tokio::test]
async fn row_56_a_second_token_in_a_cookie_is_a_bad_request() {
    let server =
        server_for(|layer| layer.allow_cookie("session").allow_query("access_token")).await;
    let token = token();
    let cookie = format!("cookie: session={token}\r\n");
    let query = format!("/?access_token={token}");
    for (target, lines) in [
        ("/", cookie.clone()),
        ("/", format!("cookie: a=1; session={token}; b=2\r\n")),
        (&query, String::new()),
        (&query, "cookie: Session=x; xsession=x; session =x\r\n".to_owned()),
        // An explicit header wins over the cookie, which a browser sends unasked.
        ("/", format!("{}cookie: session=a.b.c\r\n", bearer(&token))),
    ] {
        assert_eq!(server.send(get(target, &lines)).await.status, OK, "{target} {lines}");
    }
    for (target, lines) in [
        (query.as_str(), cookie.clone()),
        ("/", format!("cookie: session={token}; session={token}\r\n")),
        ("/", format!("{cookie}cookie: session={token}\r\n")),
        (&query, bearer(&token)),
    ] {
        server.assert_refuses_request(get(target, &lines), MultipleCredentials).await;
    }
    // The header decides even when it is bad.
    let bad = format!("{}{cookie}", bearer("a.b.c"));
    server.assert_refuses_request(get("/", &bad), RejectionKind::MalformedToken).await;
}

#[tokio::test]
async fn row_56_a_cookie_that_another_scheme_of_the_host_sends_is_rejected() {
    let server = server_for(|layer| layer.allow_cookie("session")).await;
    let post = |origin: &str| {
        let request = Request::post("http://api.example/").header("origin", origin);
        let cookie = format!("session={}", token());
        request.header("cookie", cookie).body(Empty::<Bytes>::new()).unwrap()
    };
    assert_eq!(server.send_over_http_2(post("http://api.example")).await.status, "200 OK");
    let reply = server.send_over_http_2(post("https://api.example")).await;
    assert_eq!(reply.status, "403 Forbidden");
    assert_eq!(server.reason(), Some(RejectionKind::CrossSite));
    assert_eq!(server.reached(), 1);
}

/// Shows the headers that pass the layer.
async fn showing_headers(layer: BearerLayer) -> Server {
    let shown = async |headers: HeaderMap| {
        let shown =
            headers.iter().filter(|(name, _)| !["host", "connection"].contains(&name.as_str()));
        let lines =
            shown.map(|(name, value)| format!("{name}: {}\n", value.as_bytes().escape_ascii()));
        lines.collect::<String>()
    };
    Server::behind(move |_| Router::new().fallback(shown).layer(layer)).await
}

/// `GET /` with this header, whose value HTTP/2 carries with the white space around it.
fn over_http_2(name: &str, value: &str) -> Request<Empty<Bytes>> {
    let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
    Request::get("http://api.example/").header(name, value).body(Empty::new()).unwrap()
}

/// hyper trims values over HTTP/1 only, and an HTTP/1 server behind this one trims what it is sent.
#[tokio::test]
async fn row_73_a_credential_that_http_1_would_read_is_never_anonymous() {
    let token = token();
    let optional = showing_headers(layer().optional().strip_credential()).await;
    let required = showing_headers(layer().strip_credential()).await;
    let bearer = format!("Bearer {token}");
    for server in [&optional, &required] {
        let reply = server.send_over_http_2(over_http_2("authorization", &bearer)).await;
        assert_eq!((reply.status.as_str(), reply.body.as_str()), ("200 OK", ""));
        for value in [
            format!(" {bearer}"),
            format!("\t{bearer}"),
            format!(" \t {bearer}"),
            format!("{bearer} "),
            format!("{bearer}\t"),
            format!("Bearer\t{token}"),
            format!(", {bearer}"),
            format!("\"Bearer\" {token}"),
            format!(" {token}"),
            " Basic dXNlcjpwYXNz".to_owned(),
            "Basic dXNlcjpwYXNz\t".to_owned(),
            " ".to_owned(),
            "\t".to_owned(),
        ] {
            let reply = server.send_over_http_2(over_http_2("authorization", &value)).await;
            let expected = documented(MalformedCredential).without_version();
            assert_eq!(reply, expected, "{}", value.escape_debug());
            assert_eq!(server.reason(), Some(MalformedCredential));
        }
    }
    // Another scheme with ours behind it, over both protocols.
    for value in [
        format!("Basic dXNlcjpwYXNz, {bearer}"),
        format!("Basic dXNlcjpwYXNz,{bearer}"),
        format!("Basic {bearer}"),
        format!("Basic x\tbearer\t{token}"),
    ] {
        optional.assert_refuses(authorization(&value), MalformedCredential).await;
        required.assert_refuses(authorization(&value), MissingCredential).await;
    }
    // Without a credential, and with one that is not ours, a request is anonymous.
    let anonymous = Request::get("http://api.example/").body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(optional.send_over_http_2(anonymous).await.body, "");
    let basic = optional.send_over_http_2(over_http_2("authorization", "Basic eDp5")).await;
    assert_eq!(basic.body, "authorization: Basic eDp5\n");
}

#[tokio::test]
async fn row_73_white_space_is_rejected_in_other_places_too() {
    let token = token();
    let custom = http::HeaderName::from_static("x-token");
    let header =
        showing_headers(layer().credential_header(custom).optional().strip_credential()).await;
    let cookie =
        showing_headers(layer().allow_cookie("session").optional().strip_credential()).await;
    for (server, name, good, bad) in [
        (
            &header,
            "x-token",
            token.clone(),
            vec![format!(" {token}"), format!("\t{token}"), format!("{token} "), " ".to_owned()],
        ),
        (
            &cookie,
            "cookie",
            format!("session={token}"),
            vec![
                format!("session ={token}"),
                format!("sessio%6e={token}"),
                format!("a=1,session={token}"),
                format!("session= {token}"),
            ],
        ),
    ] {
        let reply = server.send_over_http_2(over_http_2(name, &good)).await;
        assert_eq!((reply.status.as_str(), reply.body.as_str()), ("200 OK", ""));
        for value in bad {
            let reply = server.send_over_http_2(over_http_2(name, &value)).await;
            let expected = documented(MalformedCredential).without_version();
            assert_eq!(reply, expected, "{}", value.escape_debug());
        }
    }
    // White space before a cookie is usual.
    let spaced = format!(" \tsession={token} ");
    let reply = cookie.send_over_http_2(over_http_2("cookie", &spaced)).await;
    assert_eq!((reply.status.as_str(), reply.body.as_str()), ("200 OK", ""));
    // Beside a token of the header, what another reader takes for the cookie is removed.
    let both = format!("{}cookie: a=1; session =x; sessio%6e=x; b=2\r\n", bearer(&token));
    let reply = cookie.get(both).await;
    assert!(reply.body.ends_with("cookie: a=1; b=2\n"), "{}", reply.body);
}

/// A call of a gRPC method: a message without content.
const MESSAGE: &[u8] = b"\0\0\0\0\0";

#[tokio::test]
async fn row_74_options_with_content_is_not_a_preflight() {
    let server = server_for(|layer| layer.allow_cors_preflight()).await;
    let preflight = || {
        Request::options("http://api.example/shop.Orders/Cancel")
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST")
    };
    // Without content-type and content-length, only the DATA frame says that there is content.
    let unsized_body = || http_body_util::BodyStream::new(Full::<Bytes>::from(MESSAGE));
    let with_content = preflight().body(http_body_util::StreamBody::new(unsized_body())).unwrap();
    let reply = server.send_over_http_2(with_content).await;
    assert_eq!(reply, documented(MissingCredential).without_version());
    let with_length = preflight().body(Full::<Bytes>::from(MESSAGE)).unwrap();
    let reply = server.send_over_http_2(with_length).await;
    assert_eq!(reply, documented(MissingCredential).without_version());
    assert_eq!(server.reached(), 0);
    let without = preflight().body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(server.send_over_http_2(without).await.status, "200 OK");
    assert_eq!(server.reached(), 1);

    // HTTP/1 says it in its headers.
    let start = "OPTIONS / HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\norigin: \
                 https://app.example\r\naccess-control-request-method: POST\r\n";
    for further in ["content-length: 1\r\n\r\nx", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"] {
        server.assert_refuses_request(format!("{start}{further}"), MissingCredential).await;
    }
    for further in ["\r\n", "content-length: 0\r\n\r\n"] {
        assert_eq!(server.send(format!("{start}{further}")).await.status, OK);
    }
}
