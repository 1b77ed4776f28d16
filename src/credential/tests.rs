use std::sync::LazyLock;

use http::{
    HeaderMap, HeaderValue, Method, Uri,
    header::{AUTHORIZATION, COOKIE, HOST, HeaderName},
};

use super::*;
use RejectionKind::{MalformedCredential, MalformedToken, MultipleCredentials, TokenTooLong};

pub(super) static ROOT: LazyLock<Uri> = LazyLock::new(Uri::default);

pub(super) type Found<'r> = Result<Option<&'r str>, RejectionKind>;

pub(super) fn headers<const N: usize>(lines: [(HeaderName, &[u8]); N]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn sources() -> Sources {
    Sources::new(64)
}

pub(super) fn with_cookie() -> Sources {
    Sources { cookie: Some("session".into()), ..sources() }
}

fn with_query() -> Sources {
    Sources { query: Some("access_token".into()), ..sources() }
}

/// The token that is found, and the rejection if it is not a b64token.
fn find<'r>(sources: &Sources, uri: &'r Uri, headers: &'r HeaderMap) -> Found<'r> {
    let Some(Credential { token, .. }) = sources.find(&Method::GET, uri, headers)? else {
        return Ok(None);
    };
    match corrected_kind(token, MalformedToken) {
        MalformedToken => Ok(Some(std::str::from_utf8(token).unwrap())),
        other => Err(other),
    }
}

/// The outcome for one `Authorization` line.
#[track_caller]
fn assert_authorization(value: &[u8], expected: Found<'_>) {
    let headers = headers([(AUTHORIZATION, value)]);
    let found = find(&sources(), &ROOT, &headers);
    assert_eq!(found, expected, "{}", value.escape_ascii());
}

#[track_caller]
pub(super) fn assert_found(sources: &Sources, uri: &str, headers: &HeaderMap, expected: Found<'_>) {
    assert_eq!(find(sources, &uri.parse().unwrap(), headers), expected);
}

#[test]
fn the_scheme_is_compared_without_case() {
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        assert_authorization(format!("{scheme} a.b.c").as_bytes(), Ok(Some("a.b.c")));
    }
}

#[test]
fn one_or_more_spaces_may_follow_the_scheme() {
    assert_authorization(b"Bearer     a.b.c", Ok(Some("a.b.c")));
}

#[test]
fn a_b64token_is_recognised_at_every_length() {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    assert!(!is_b64token(b""));
    for length in (1..=130).chain([500]) {
        for (byte, place) in (0..=u8::MAX).flat_map(|byte| [(byte, 0), (byte, length - 1)]) {
            let mut text = vec![b'A'; length];
            text[place] = byte;
            let is_padding = byte == b'=' && place > 0;
            assert_eq!(is_b64token(&text), is_allowed(byte) || is_padding, "{byte} at {place}");
        }
    }
}

#[test]
fn every_character_of_a_b64token_is_accepted() {
    let all = b"Bearer ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/==";
    let headers = headers([(AUTHORIZATION, all)]);
    let found = find(&Sources::new(100), &ROOT, &headers);
    assert_eq!(found, Ok(Some(std::str::from_utf8(&all[7..]).unwrap())));
}

#[test]
fn every_other_byte_at_any_position_is_a_malformed_credential() {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    for byte in 0..=255 {
        // Both sides of the borders of blocks. The changed byte is the one before the last, because `=` may end a
        // token.
        for position in [1, 63, 64, 65, 127, 128] {
            let mut value = b"Bearer ".to_vec();
            value.extend([b'a'; 130]);
            value[7 + position] = byte;
            let Ok(value) = HeaderValue::from_bytes(&value) else { continue };
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value);
            let found = find(&Sources::new(200), &ROOT, &headers);
            if is_good(byte) {
                assert!(matches!(found, Ok(Some(_))), "{byte:#x} at {position}");
            } else {
                assert_eq!(found, Err(MalformedCredential), "{byte:#x} at {position}");
            }
        }
    }
}

#[test]
fn bearer_without_a_b64token_is_malformed() {
    for value in [
        &b"Bearer"[..],
        b"Bearer ",
        b"Bearer    ",
        b"Bearer\ta.b.c",
        b"Bearer \ta.b.c",
        b"Bearer a.b.c\t",
        b"Bearer a.b.c ",
        b"Bearer\xA0a.b.c",
        b"Bearer\xC2\xA0a.b.c",
        b"Bearer \xC2\xA0a.b.c",
        b"Bearer a.b.c, Bearer d.e.f",
        b"Bearer a.b.c,Basic dTpw",
        b"Bearer, a.b.c",
        b"Bearer a b",
        b"Bearer Bearer a.b.c",
        b"Bearer a.b.\xFF",
        b"Bearer \"a.b.c\"",
        b"Bearer token=\"a.b.c\"",
        b"Bearer =",
        b"Bearer ==",
        b"Bearer a=b",
        b"Bearer:a.b.c",
        b"BearerToken",
        b"Bearera.b.c",
        b"Bearer=a.b.c",
    ] {
        assert_authorization(value, Err(MalformedCredential));
    }
}

#[test]
fn another_scheme_is_not_a_credential() {
    for value in [
        &b""[..],
        b"B",
        b"Basic dXNlcjpwYXNz",
        b"Basic dXNlcjpwYXNz, Bearer a.b.c",
        b"Bearers a.b.c",
        b"Bearer-Token a.b.c",
        b"a.b.c",
        b"DPoP a.b.c",
    ] {
        assert_authorization(value, Ok(None));
    }
}

#[test]
fn bytes_that_cannot_be_in_a_scheme_are_a_malformed_token() {
    for value in [
        &b"\xE9"[..],
        b"B\xC3\xA4arer a.b.c",
        b"\xFF\xFE\xFD\xFC\xFB\xFA a.b.c",
        b"Basic\xA0dXNlcjpwYXNz",
    ] {
        assert_authorization(value, Err(MalformedToken));
    }
    assert_authorization(b"Basic dXNlcjpwYXNz\xE9", Ok(None));
}

#[test]
fn a_request_without_the_header_has_no_credential() {
    assert_found(&sources(), "/", &HeaderMap::new(), Ok(None));
}

#[test]
fn two_header_lines_are_rejected_whatever_they_contain() {
    for (first, second) in [
        (&b"Bearer a.b.c"[..], &b"Bearer a.b.c"[..]),
        (b"Bearer a.b.c", b"Basic dXNlcjpwYXNz"),
        (b"Basic dXNlcjpwYXNz", b"Basic dXNlcjpwYXNz"),
        (b"", b"Bearer a.b.c"),
    ] {
        let headers = headers([(AUTHORIZATION, first), (AUTHORIZATION, second)]);
        assert_found(&sources(), "/", &headers, Err(MultipleCredentials));
    }
}

#[test]
fn a_token_above_the_limit_is_rejected_and_one_at_the_limit_is_not() {
    let at_limit = "a".repeat(64);
    assert_authorization(format!("Bearer  {at_limit}").as_bytes(), Ok(Some(&at_limit)));
    assert_authorization(format!("Bearer {at_limit}a").as_bytes(), Err(TokenTooLong));
}

#[test]
fn a_configured_header_holds_the_bare_token_instead_of_authorization() {
    let assertion = HeaderName::from_static("cf-access-jwt-assertion");
    let sources = Sources { header: assertion.clone(), ..sources() };

    let both = headers([(assertion.clone(), b"a.b.c"), (AUTHORIZATION, b"Bearer d.e.f")]);
    assert_found(&sources, "/", &both, Ok(Some("a.b.c")));
    let only_authorization = headers([(AUTHORIZATION, b"Bearer d.e.f")]);
    assert_found(&sources, "/", &only_authorization, Ok(None));
    let with_scheme = headers([(assertion.clone(), b"Bearer a.b.c")]);
    assert_found(&sources, "/", &with_scheme, Err(MalformedCredential));
    let empty = headers([(assertion.clone(), b"")]);
    assert_found(&sources, "/", &empty, Err(MalformedCredential));
    let twice = headers([(assertion.clone(), b"a.b.c"), (assertion, b"a.b.c")]);
    assert_found(&sources, "/", &twice, Err(MultipleCredentials));
}

#[test]
fn query_and_cookie_are_ignored_unless_allowed() {
    let headers = headers([(COOKIE, b"session=a.b.c")]);
    assert_found(&sources(), "/?access_token=a.b.c", &headers, Ok(None));
}

#[test]
fn a_query_parameter_is_found_at_any_position() {
    for uri in [
        "/?access_token=a.b.c",
        "/?x=1&access_token=a.b.c",
        "/?access_token=a.b.c&x=1",
        "https://host.example/path?x=1&access_token=a.b.c&y",
    ] {
        assert_found(&with_query(), uri, &HeaderMap::new(), Ok(Some("a.b.c")));
    }
}

#[test]
fn a_query_parameter_of_another_name_is_not_a_credential() {
    for uri in [
        "/",
        "/?",
        "/?access_tokens=a",
        "/?xaccess_token=a",
        "/?ACCESS_TOKEN=a",
        "/?%61ccess_token=a",
    ] {
        assert_found(&with_query(), uri, &HeaderMap::new(), Ok(None));
    }
}

#[test]
fn a_query_token_is_not_percent_decoded() {
    for uri in [
        "/?access_token=a%2Eb",
        "/?access_token=%FF",
        "/?access_token=",
        "/?access_token",
        "/?access_token=a=b",
    ] {
        assert_found(&with_query(), uri, &HeaderMap::new(), Err(MalformedCredential));
    }
}

#[test]
fn the_same_parameter_twice_is_rejected() {
    for uri in ["/?access_token=a&access_token=a", "/?access_token&access_token=a"] {
        assert_found(&with_query(), uri, &HeaderMap::new(), Err(MultipleCredentials));
    }
}

#[test]
fn header_and_query_together_are_rejected() {
    let bearer = headers([(AUTHORIZATION, b"Bearer a.b.c")]);
    assert_found(&with_query(), "/?access_token=a.b.c", &bearer, Err(MultipleCredentials));
    let basic = headers([(AUTHORIZATION, b"Basic dXNlcjpwYXNz")]);
    assert_found(&with_query(), "/?access_token=a.b.c", &basic, Ok(Some("a.b.c")));
}

#[test]
fn cookie_and_query_together_are_rejected() {
    let sources = Sources { query: with_query().query, ..with_cookie() };
    let headers = headers([(COOKIE, b"session=a.b.c")]);
    assert_found(&sources, "/?access_token=a.b.c", &headers, Err(MultipleCredentials));
}

#[test]
fn a_cookie_is_found_in_any_line() {
    for lines in [
        [&b"session=a.b.c"[..], b"x=1"],
        [b"x=1", b"session=a.b.c"],
        [b"x=1; session=a.b.c", b"y=2"],
        [b"x=1;session=a.b.c;z=3", b"y=2"],
        [b"sessions=z; session=a.b.c; Session=q", b"xsession=p"],
    ] {
        let headers = headers(lines.map(|line| (COOKIE, line)));
        assert_found(&with_cookie(), "/", &headers, Ok(Some("a.b.c")));
    }
}

#[test]
fn the_same_cookie_twice_is_rejected_across_lines_too() {
    let one_line = headers([(COOKIE, b"session=a; session=a")]);
    assert_found(&with_cookie(), "/", &one_line, Err(MultipleCredentials));
    let two_lines = headers([(COOKIE, b"session=a"), (COOKIE, b"x=1; session=")]);
    assert_found(&with_cookie(), "/", &two_lines, Err(MultipleCredentials));
}

#[test]
fn an_empty_cookie_is_ignored_and_a_malformed_one_is_rejected() {
    assert_found(&with_cookie(), "/", &headers([(COOKIE, b"session=")]), Ok(None));
    assert_found(&with_cookie(), "/", &headers([(COOKIE, b"session")]), Ok(None));
    for line in
        [&b"session=a b"[..], b"session=\"a\"", b"session=\xFF", b"session==", b"session=a%2E"]
    {
        assert_found(&with_cookie(), "/", &headers([(COOKIE, line)]), Err(MalformedCredential));
    }
}

#[test]
fn a_header_beats_a_cookie() {
    let good = headers([(AUTHORIZATION, b"Bearer a.b.c"), (COOKIE, b"session=d; session=e")]);
    assert_found(&with_cookie(), "/", &good, Ok(Some("a.b.c")));
    let bad = headers([(AUTHORIZATION, b"Bearer"), (COOKIE, b"session=d.e.f")]);
    assert_found(&with_cookie(), "/", &bad, Err(MalformedCredential));
    let other = headers([(AUTHORIZATION, b"Basic dXNlcjpwYXNz"), (COOKIE, b"session=d.e.f")]);
    assert_found(&with_cookie(), "/", &other, Ok(Some("d.e.f")));
}

#[test]
fn a_query_token_is_removed_and_the_rest_of_the_uri_stays() {
    for (before, after) in [
        ("/p?access_token=a.b.c", "/p"),
        ("/p?x=1&access_token=a.b.c&y=%20", "/p?x=1&y=%20"),
        ("/p?access_token=a.b.c&&x", "/p?&x"),
        ("/p?access_token=a&x=1&access_token=b", "/p?x=1"),
        ("/p?x=access_token", "/p?x=access_token"),
        ("/p?", "/p?"),
        ("/p", "/p"),
        ("*", "*"),
        ("host.example:443", "host.example:443"),
        ("https://host.example:8443?access_token=a", "https://host.example:8443/"),
        ("https://host.example/p%2Fq?access_token=a&x", "https://host.example/p%2Fq?x"),
    ] {
        let mut uri: Uri = before.parse().unwrap();
        with_query().clear_query(&mut uri).unwrap();
        assert_eq!(uri, after);
        assert_eq!(uri.to_string(), after);
    }
}

#[test]
fn a_parameter_that_a_lenient_reader_would_use_is_removed_too() {
    for (before, after) in [
        ("/p?access%5Ftoken=a.b.c", "/p"),
        ("/p?x=1&access%5ftoken=a.b.c&y", "/p?x=1&y"),
        ("/p?access_token=a&%61ccess_token=b&+access_token=c&access_token%20=d", "/p"),
        ("/p?a=1;access_token=b&c", "/p?c"),
        ("/p?ACCESS_TOKEN=a&xaccess_token=b", "/p?ACCESS_TOKEN=a&xaccess_token=b"),
    ] {
        let mut uri: Uri = before.parse().unwrap();
        with_query().clear_query(&mut uri).unwrap();
        assert_eq!(uri, after);
    }
}

#[test]
fn stripping_removes_cookies_that_a_lenient_reader_would_use() {
    let sources = Sources { strip: true, ..with_cookie() };
    let mut map = headers([
        (COOKIE, b"a=1; session =x; sessio%6e=y; b=2"),
        (COOKIE, b"\tsession\t=z"),
        (COOKIE, b"c=3,session=x; SESSION=d"),
    ]);
    sources.conceal(&mut map, true);
    assert_eq!(map.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2", "SESSION=d"]);
}

#[test]
fn stripping_removes_an_authorization_with_bearer_anywhere_in_it() {
    let sources = Sources { strip: true, ..sources() };
    for value in
        [&b"Basic x, Bearer a"[..], b" Bearer a", b"\tBearer a", b"Basic x\tbearer\ta", b"Bearer"]
    {
        let mut map = headers([(AUTHORIZATION, value)]);
        sources.conceal(&mut map, false);
        assert!(!map.contains_key(AUTHORIZATION), "{}", value.escape_ascii());
    }
}

#[test]
fn a_credential_that_a_lenient_reader_would_find_is_recognised() {
    let sources = Sources { query: with_query().query, ..with_cookie() };
    let resembles = |uri: &str, name: HeaderName, value: &[u8]| {
        sources.resembles_a_credential(&uri.parse().unwrap(), &headers([(name, value)]))
    };
    for (uri, name, value) in [
        ("/", AUTHORIZATION, &b"Basic x, Bearer y"[..]),
        ("/", AUTHORIZATION, b"Negotiate bearer\ty"),
        ("/", COOKIE, b"session =x"),
        ("/?access%5Ftoken=x", HOST, b"host.example"),
    ] {
        assert!(resembles(uri, name, value), "{uri} {}", value.escape_ascii());
    }
    for (uri, name, value) in [
        ("/", AUTHORIZATION, &b"Basic x"[..]),
        ("/", AUTHORIZATION, b"Basic xBearer y"),
        ("/", AUTHORIZATION, b"Bearer-Token y"),
        ("/", COOKIE, b"session="),
        ("/", COOKIE, b"SESSION=x"),
        ("/?x=access_token", HOST, b"host.example"),
    ] {
        assert!(!resembles(uri, name, value), "{uri} {}", value.escape_ascii());
    }
}

#[test]
fn a_query_stays_untouched_unless_its_token_is_allowed() {
    let mut uri = Uri::from_static("/p?access_token=a");
    sources().clear_query(&mut uri).unwrap();
    assert_eq!(uri, "/p?access_token=a");
}

#[test]
fn the_credential_is_marked_as_sensitive_and_other_headers_are_not() {
    let mut map = headers([
        (AUTHORIZATION, b"Bearer a"),
        (AUTHORIZATION, b"Bearer b"),
        (COOKIE, b"session=a"),
        (COOKIE, b"x=1"),
        (HOST, b"host.example"),
    ]);
    with_cookie().conceal(&mut map, false);
    assert_eq!(map.len(), 5);
    for (name, value) in &map {
        assert_eq!(value.is_sensitive(), name != HOST, "{name}");
    }

    let mut map = headers([(AUTHORIZATION, b"Bearer a"), (COOKIE, b"session=a")]);
    sources().conceal(&mut map, true);
    assert!(map[AUTHORIZATION].is_sensitive());
    assert!(!map[COOKIE].is_sensitive());
}

#[test]
fn stripping_removes_header_and_cookie_and_keeps_the_rest() {
    let sources = Sources { strip: true, ..with_cookie() };
    let mut map = headers([
        (AUTHORIZATION, b"Bearer a"),
        (COOKIE, b"session=a"),
        (COOKIE, b"x=1;session=b; y=2"),
        (HOST, b"host.example"),
    ]);
    sources.conceal(&mut map, true);
    assert!(!map.contains_key(AUTHORIZATION));
    assert_eq!(map.get_all(COOKIE).iter().collect::<Vec<_>>(), ["x=1; y=2"]);
    assert!(map[COOKIE].is_sensitive());
    assert_eq!(map[HOST], "host.example");
}

#[test]
fn stripping_leaves_the_credential_of_another_scheme() {
    let mut map = headers([(AUTHORIZATION, b"Basic dXNlcjpwYXNz")]);
    Sources { strip: true, ..sources() }.conceal(&mut map, false);
    assert_eq!(map[AUTHORIZATION], "Basic dXNlcjpwYXNz");
    assert!(map[AUTHORIZATION].is_sensitive());
}
