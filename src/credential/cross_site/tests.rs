use http::{HeaderName, HeaderValue, Method, Uri, header::COOKIE};

use super::*;
use crate::{
    RejectionKind::CrossSite,
    credential::{
        Credential, Sources,
        tests::{ROOT, assert_found, headers, with_cookie},
    },
};

/// The outcome of a POST with a cookie, for an HTTP/1.1 request to `host.example`.
fn post(lines: &[(HeaderName, &str)]) -> Result<(), RejectionKind> {
    let mut headers = headers([(COOKIE, b"session=a.b.c"), (HOST, b"Host.example")]);
    for (name, value) in lines {
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    with_cookie().find(&Method::POST, &Uri::from_static("/"), &headers).map(|token| {
        assert_eq!(token, Some(Credential::bearer(b"a.b.c")));
    })
}

#[test]
fn a_cookie_on_an_unsafe_method_must_be_same_origin() {
    assert_eq!(post(&[(SEC_FETCH_SITE, "same-origin")]), Ok(()));
    assert_eq!(post(&[]), Err(CrossSite));
    for site in ["cross-site", "same-site", "none", "", "Same-Origin", "same-origin, cross-site"] {
        assert_eq!(post(&[(SEC_FETCH_SITE, site)]), Err(CrossSite), "{site}");
    }
    assert_eq!(
        post(&[(SEC_FETCH_SITE, "same-origin"), (SEC_FETCH_SITE, "cross-site")]),
        Err(CrossSite)
    );
}

#[test]
fn sec_fetch_site_decides_over_origin() {
    let origin = (ORIGIN, "https://host.example");
    assert_eq!(post(&[(SEC_FETCH_SITE, "cross-site"), origin.clone()]), Err(CrossSite));
    assert_eq!(post(&[(SEC_FETCH_SITE, "same-origin"), (ORIGIN, "https://evil.example")]), Ok(()));
}

#[test]
fn an_origin_must_be_the_host_where_there_is_no_sec_fetch_site() {
    for origin in [
        "https://host.example",
        "http://host.example",
        "https://HOST.example",
        "https://host.example:443",
        "http://host.example:80",
    ] {
        assert_eq!(post(&[(ORIGIN, origin)]), Ok(()), "{origin}");
    }
    for origin in [
        "null",
        "",
        "host.example",
        "https://",
        "https://:443",
        "https://evil.example",
        "https://host.example.evil.example",
        "https://evilhost.example",
        "https://host.example:8443",
        "https://host.example:80",
        "http://host.example:443",
        "https://host.example:",
        "https://host.example:+443",
        "https://host.example:65979",
        "https://host.example@evil.example",
        "https://user@host.example",
        "https://host.example/",
        "https://host.example?x",
        "https://host.example#x",
        "ftp://host.example",
        "chrome-extension://host.example",
        "https://host.example https://host.example",
    ] {
        assert_eq!(post(&[(ORIGIN, origin)]), Err(CrossSite), "{origin}");
    }
    let origin = (ORIGIN, "https://host.example");
    assert_eq!(post(&[origin.clone(), origin]), Err(CrossSite));
}

#[test]
fn the_target_is_the_authority_of_the_uri_or_else_the_only_host() {
    let check = |uri: &str, host: &[&str], origin: &str| {
        let mut headers = headers([(ORIGIN, origin.as_bytes())]);
        for host in host {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        check(&Method::POST, &uri.parse().unwrap(), &headers)
    };
    let origin = "https://host.example";
    assert_eq!(check("https://host.example/", &[], origin), Ok(()));
    assert_eq!(check("https://host.example/", &["evil.example"], origin), Ok(()));
    assert_eq!(check("https://evil.example/", &["host.example"], origin), Err(CrossSite));
    assert_eq!(check("/", &["host.example:443"], origin), Ok(()));
    assert_eq!(check("/", &["host.example:80"], origin), Err(CrossSite));
    assert_eq!(check("/", &["host.example:8443"], "https://host.example:8443"), Ok(()));
    assert_eq!(check("/", &[], origin), Err(CrossSite));
    assert_eq!(check("/", &[""], "https://"), Err(CrossSite));
    assert_eq!(check("/", &["host.example", "host.example"], origin), Err(CrossSite));
    assert_eq!(check("/", &["[::1]:3000"], "http://[::1]:3000"), Ok(()));
    assert_eq!(check("/", &["[::1]"], "http://[::1]:80"), Ok(()));
    assert_eq!(check("/", &["[::1]:3000"], "http://[::2]:3000"), Err(CrossSite));
    assert_eq!(check("/", &["[::1]"], "http://[::1]80"), Err(CrossSite));
    assert_eq!(check("/", &["::1"], "http://::1"), Err(CrossSite));
}

#[test]
fn the_scheme_of_the_origin_must_be_that_of_the_request() {
    let check = |uri: &str, origin: &str| {
        let headers = headers([(HOST, b"host.example"), (ORIGIN, origin.as_bytes())]);
        check(&Method::POST, &uri.parse().unwrap(), &headers)
    };
    for (uri, origin) in [
        ("https://host.example/", "https://host.example"),
        ("http://host.example/", "http://host.example"),
        ("HTTPS://host.example/", "https://host.example"),
        ("https://host.example:8443/", "https://host.example:8443"),
        // Over HTTP/1 the scheme is not known.
        ("/", "https://host.example"),
        ("/", "http://host.example"),
    ] {
        assert_eq!(check(uri, origin), Ok(()), "{uri} {origin}");
    }
    for (uri, origin) in [
        ("https://host.example/", "http://host.example"),
        ("http://host.example/", "https://host.example"),
        ("https://host.example:8443/", "http://host.example:8443"),
        ("https://host.example:80/", "http://host.example"),
        ("https://host.example/", "HTTPS://host.example"),
    ] {
        assert_eq!(check(uri, origin), Err(CrossSite), "{uri} {origin}");
    }
}

#[test]
fn a_cookie_on_a_safe_method_may_come_from_anywhere() {
    let headers = headers([(COOKIE, b"session=a.b.c"), (SEC_FETCH_SITE, b"cross-site")]);
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        let found = Ok(Some(Credential::bearer(b"a.b.c")));
        assert_eq!(with_cookie().find(&method, &ROOT, &headers), found);
    }
    let unsafe_methods =
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::CONNECT];
    for method in unsafe_methods.into_iter().chain([Method::from_bytes(b"GETT").unwrap()]) {
        let found = with_cookie().find(&method, &ROOT, &headers);
        assert_eq!(found, Err(CrossSite), "{method}");
    }
}

#[test]
fn a_cookie_on_a_websocket_upgrade_must_be_same_origin() {
    for upgrade in [&b"websocket"[..], b"WebSocket", b"h2c, websocket"] {
        let foreign = headers([
            (COOKIE, b"session=a.b.c"),
            (UPGRADE, upgrade),
            (HOST, b"host.example"),
            (ORIGIN, b"https://evil.example"),
        ]);
        assert_found(&with_cookie(), "/", &foreign, Err(CrossSite));
        let own = headers([
            (COOKIE, b"session=a.b.c"),
            (UPGRADE, upgrade),
            (HOST, b"host.example"),
            (ORIGIN, b"https://host.example"),
        ]);
        assert_found(&with_cookie(), "/", &own, Ok(Some("a.b.c")));
    }
    let other = headers([(COOKIE, b"session=a.b.c"), (UPGRADE, b"h2c")]);
    assert_found(&with_cookie(), "/", &other, Ok(Some("a.b.c")));
}

#[test]
fn the_check_of_the_origin_can_be_turned_off() {
    let sources = Sources { cookie_without_csrf_check: true, ..with_cookie() };
    let headers = headers([(COOKIE, b"session=a.b.c"), (SEC_FETCH_SITE, b"cross-site")]);
    let found = Ok(Some(Credential::bearer(b"a.b.c")));
    assert_eq!(sources.find(&Method::POST, &ROOT, &headers), found);
}
