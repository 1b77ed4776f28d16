//! Row 79, the URL of a proof: every spelling of a path, public URLs with a path, and other methods (RFC 9449 section
//! 4.3, checks 8 and 9).

use tower_bearer::{RejectionKind, dpop::Dpop};

use super::{
    dpop::{Client, serving, unrecorded},
    server::{PASSED, Server},
};

/// Sends a request for `target`, with a proof for `url`. `None`: it reached the service behind the layer.
async fn sent(
    server: &Server,
    client: &Client,
    method: &str,
    target: &str,
    url: &str,
) -> Option<RejectionKind> {
    let proof = client.key.proof(method, url, &client.token);
    let head = format!("{method} {target} HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n");
    let reached = server.reached();
    let reply = server.send(format!("{head}{}\r\n", client.lines(&proof))).await;
    let kind = server.reason();
    assert_eq!(server.reached() - reached, usize::from(kind.is_none()), "{target} {url}");
    assert_eq!(reply.status.contains("401"), kind.is_some(), "{target} {url}: {reply:?}");
    kind
}

#[tokio::test]
async fn row_79_equivalent_spellings_of_a_path_are_one_url_and_no_others() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    for (target, path, is_same) in [
        ("/a%7Eb", "/a~b", true),
        ("/a~b", "/a%7eb", true),
        ("/%61", "/a", true),
        ("/a%2fb", "/a%2Fb", true),
        ("/a%2Fb", "/a/b", false),
        ("/a/b", "/a%2Fb", false),
        ("/a%252Fb", "/a%2Fb", false),
        ("/a;x=1", "/a;x=1", true),
        ("/a;x=1", "/a", false),
        ("/a", "/a;x=1", false),
        ("/a;x=1", "/a%3Bx=1", false),
        ("/a/", "/a/", true),
        ("/a/", "/a", false),
        ("/a", "/a/", false),
        ("//a", "//a", true),
        ("//a", "/a", false),
        ("/a", "//a", false),
        ("/a//b", "/a//b", true),
        ("/a//b", "/a/b", false),
        ("/a/../b", "/b", true),
        ("/a/%2e%2E/b", "/b", true),
        ("/a/..%2Fb", "/b", false),
        ("/../a", "/a", true),
        ("/%C3%A4", "/%c3%a4", true),
        ("/%C3%A4", "/\u{e4}", false),
        ("/a%CC%88", "/%C3%A4", false),
        ("/a?x=1", "/a", true),
        ("/a?x=1", "/a?y=2#z", true),
        ("/a%3Fx", "/a?x", false),
        ("/a", "/a%3Fx", false),
        ("/a%23x", "/a#x", false),
        ("/A", "/a", false),
        ("/a%00", "/a%00", true),
        ("/a%00", "/a", false),
        ("/a", "/a\\", false),
        ("/a", "/a\n", false),
        ("/a", " /a", false),
        ("/a", "@evil.example/a", false),
        ("/a", "%2Fa", false),
    ] {
        let kind =
            sent(&server, &client, "GET", target, &format!("https://api.example{path}")).await;
        let expected = (!is_same).then_some(RejectionKind::WrongProofTarget);
        assert_eq!(kind, expected, "{target} {path}");
    }
}

#[tokio::test]
async fn row_79_paths_of_public_urls_come_before_the_path_of_the_request() {
    let dpop = Dpop::new(["https://api.example/v1/", "http://localhost:3000"]).unwrap();
    let (server, client) = (serving(dpop.allow_unrecorded_proofs()).await, Client::new());
    for url in ["https://api.example/v1/orders", "http://localhost:3000/orders"] {
        assert_eq!(sent(&server, &client, "GET", "/orders", url).await, None, "{url}");
    }
    for url in [
        "https://api.example/orders",
        "https://api.example/v1orders",
        "https://api.example/v1//orders",
        "https://api.example/V1/orders",
        "https://localhost:3000/orders",
        "http://localhost/orders",
        "http://localhost:3000/v1/orders",
        "http://api.example/v1/orders",
    ] {
        let kind = sent(&server, &client, "GET", "/orders", url).await;
        assert_eq!(kind, Some(RejectionKind::WrongProofTarget), "{url}");
    }
    // The request leaves the path of the public URL, and the proof names where it goes.
    let outside = sent(&server, &client, "GET", "/../v2", "https://api.example/v1/v2").await;
    assert_eq!(outside, Some(RejectionKind::WrongProofTarget));
}

#[tokio::test]
async fn row_79_a_proof_is_for_one_method_also_an_unusual_one() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    let url = "https://api.example/";
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "get"] {
        assert_eq!(sent(&server, &client, method, "/", url).await, None, "{method}");
        for other in ["GET", "POST", "HEAD", "get"] {
            let proof = client.proof().claim("htm", other);
            let head = format!("{method} / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
            let reply = server.send(format!("{head}{}\r\n", client.lines(&proof))).await;
            assert_eq!(reply.body == PASSED, method == other, "{method} {other}");
        }
    }
}
