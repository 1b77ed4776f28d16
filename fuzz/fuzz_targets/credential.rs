//! The credential of a request: where it may be, which requests have two, and what the service behind the layer sees.

#![no_main]

use std::{convert::Infallible, sync::LazyLock};

use arbitrary::Arbitrary;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header, request::Parts,
};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::{Authenticated, Authenticator, BearerLayer, UnixTime, claims::ManualClock};
use tower_bearer_fuzz::{
    NOW, block_on,
    http_wire::{Answer, Refusal},
    signer::Signer,
    trusted,
};

const COOKIE: &str = "session";
const QUERY: &str = "access_token";
const OTHER_HEADER: HeaderName = HeaderName::from_static("cf-access-jwt-assertion");

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    layer: Settings,
    method: Verb,
    path: &'a str,
    query: Option<Vec<Parameter<'a>>>,
    headers: Vec<(Name, Vec<Piece<'a>>)>,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
struct Settings {
    has_other_header: bool,
    has_cookie: bool,
    has_query: bool,
    is_optional: bool,
    strips: bool,
    allows_preflight: bool,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Verb {
    Get,
    Post,
    Options,
    Head,
    Connect,
}

#[derive(Debug, Arbitrary)]
enum Parameter<'a> {
    Token(Token),
    Bare,
    Other(&'a str),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Name {
    Authorization,
    Other,
    Cookie,
    Origin,
    Host,
    SecFetchSite,
    Upgrade,
    ContentType,
    AccessControlRequestMethod,
    ProxyAuthorization,
}

/// The pieces of header values.
#[derive(Debug, Arbitrary)]
enum Piece<'a> {
    Token(Token),
    Bearer,
    Space,
    Cookie,
    Semicolon,
    SameOrigin,
    Websocket,
    Origin,
    Host,
    Basic,
    Bytes(&'a [u8]),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Token {
    Good,
    Other,
    Expired,
    Forged,
    Long,
}

static TOKENS: LazyLock<[String; 5]> = LazyLock::new(|| {
    let claims = |sub: &str, exp: u64| {
        format!(
            r#"{{"iss":"https://issuer.example","aud":"api://orders","sub":"{sub}","exp":{exp}}}"#
        )
    };
    let sign = |claims: &str| Signer::Hs256.sign(br#"{"alg":"HS256"}"#, claims.as_bytes());
    let good = sign(&claims("good", NOW + 60));
    let forged = format!("{}A", &good[..good.len() - 1]);
    let long = format!("{good}.{}", "A".repeat(8192));
    [good, sign(&claims("other", NOW + 60)), sign(&claims("late", NOW - 60)), forged, long]
});

impl Token {
    fn text(self) -> &'static str {
        &TOKENS[self as usize]
    }
}

static AUTHENTICATOR: LazyLock<Authenticator> =
    LazyLock::new(|| trusted::builder(ManualClock::at(UnixTime::from_secs(NOW))).build().unwrap());

#[derive(Clone)]
struct Seen(Parts);

fuzz_target!(|input: Input<'_>| {
    let Some(request) = request(&input) else { return };
    let (before, _) = request.clone().into_parts();
    let open = service_fn(async |request: Request<String>| {
        let mut response = Response::new(Full::<Bytes>::default());
        response.extensions_mut().insert(Seen(request.into_parts().0));
        Ok::<_, Infallible>(response)
    });
    let response = block_on(layer(input.layer).layer(open).oneshot(request)).unwrap();
    let seen = response.extensions().get::<Seen>().cloned();
    let answer = Answer::of(response);

    match (verdict(input.layer, &before), seen) {
        (Verdict::Passes(subject), Some(Seen(after))) => {
            let user = after.extensions.get::<Authenticated>();
            assert_eq!(user.and_then(|user| user.registered().subject()), subject);
            check_concealed(input.layer, &before, &after);
        }
        (Verdict::Refused(refusals), None) => {
            let is_grpc = answer.headers.contains_key("grpc-status");
            let refusal = refusals.iter().find(|refusal| match is_grpc {
                true => answer.header("grpc-status") == Some(refusal.grpc_status()),
                false => answer.body == refusal.body(),
            });
            let refusal = *refusal.unwrap_or_else(|| panic!("none of {refusals:?}: {answer:?}"));
            if is_grpc { answer.is_grpc_refusal(refusal) } else { answer.is_refusal(refusal) }
        }
        (verdict, seen) => {
            panic!("{verdict:?}, but the inner service was called: {}, {answer:?}", seen.is_some())
        }
    }
});

fn layer(settings: Settings) -> BearerLayer {
    let mut layer = BearerLayer::new(AUTHENTICATOR.clone());
    if settings.has_other_header {
        layer = layer.credential_header(OTHER_HEADER);
    }
    if settings.has_cookie {
        layer = layer.allow_cookie(COOKIE);
    }
    if settings.has_query {
        layer = layer.allow_query(QUERY);
    }
    if settings.is_optional {
        layer = layer.optional();
    }
    if settings.strips {
        layer = layer.strip_credential();
    }
    if settings.allows_preflight {
        layer = layer.allow_cors_preflight();
    }
    layer
}

fn request(input: &Input<'_>) -> Option<Request<String>> {
    let mut target = format!("/{}", input.path);
    for (place, parameter) in input.query.iter().flatten().enumerate() {
        target.push(if place == 0 { '?' } else { '&' });
        match parameter {
            Parameter::Token(token) => target.push_str(&format!("{QUERY}={}", token.text())),
            Parameter::Bare => target.push_str(QUERY),
            Parameter::Other(text) => target.push_str(text),
        }
    }
    let method = match input.method {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Options => Method::OPTIONS,
        Verb::Head => Method::HEAD,
        Verb::Connect => Method::CONNECT,
    };
    let uri = target.parse::<Uri>().ok()?;
    let mut request = Request::builder().method(method).uri(uri).body(String::new()).ok()?;
    for (name, pieces) in input.headers.iter().take(8) {
        let name = match name {
            Name::Authorization => header::AUTHORIZATION,
            Name::Other => OTHER_HEADER,
            Name::Cookie => header::COOKIE,
            Name::Origin => header::ORIGIN,
            Name::Host => header::HOST,
            Name::SecFetchSite => HeaderName::from_static("sec-fetch-site"),
            Name::Upgrade => header::UPGRADE,
            Name::ContentType => header::CONTENT_TYPE,
            Name::AccessControlRequestMethod => header::ACCESS_CONTROL_REQUEST_METHOD,
            Name::ProxyAuthorization => header::PROXY_AUTHORIZATION,
        };
        let mut value = Vec::new();
        for piece in pieces {
            value.extend_from_slice(match piece {
                Piece::Token(token) => token.text().as_bytes(),
                Piece::Bearer => b"Bearer",
                Piece::Space => b" ",
                Piece::Cookie => b"session=",
                Piece::Semicolon => b";",
                Piece::SameOrigin => b"same-origin",
                Piece::Websocket => b"websocket",
                Piece::Origin => b"https://shop.example",
                Piece::Host => b"shop.example",
                Piece::Basic => b"Basic QWxhZGRpbg==",
                Piece::Bytes(bytes) => bytes,
            });
        }
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            request.headers_mut().append(name, value);
        }
    }
    Some(request)
}

#[derive(Debug)]
enum Verdict {
    /// The request passes with this subject, or anonymously.
    Passes(Option<&'static str>),
    /// The request gets one of these rejections.
    Refused(&'static [Refusal]),
}

const TWO: Verdict = Verdict::Refused(&[Refusal::InvalidRequest]);

/// No credential, bytes that cannot be a token, or a token.
enum Found<'r> {
    Nothing,
    Wrong(&'static [Refusal]),
    Token(&'r [u8]),
}

/// A second implementation of the rules of the module `credential`.
fn verdict(settings: Settings, request: &Parts) -> Verdict {
    let Parts { method, uri, headers, .. } = request;
    let is_preflight = settings.allows_preflight
        && method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && !headers.contains_key(header::CONTENT_TYPE)
        && !headers.contains_key(header::UPGRADE);
    let name = if settings.has_other_header { OTHER_HEADER } else { header::AUTHORIZATION };
    let has_cookie = settings.has_cookie && cookie_pairs(headers).any(lenient::is_cookie);
    if is_preflight && !headers.contains_key(&name) && !has_cookie {
        return Verdict::Passes(None);
    }
    let lines: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    let in_header = match lines[..] {
        [] => Found::Nothing,
        [line] if settings.has_other_header => Found::Token(line),
        [line] => bearer(line),
        _ => return TWO,
    };
    if let Found::Wrong(refusals) = in_header {
        return Verdict::Refused(refusals);
    }
    let in_query: Vec<&[u8]> = if settings.has_query { in_query(uri) } else { Vec::new() };
    let token = match (in_header, &in_query[..]) {
        (_, [_, _, ..]) | (Found::Token(_), [_]) => return TWO,
        (Found::Token(token), []) => token,
        (_, in_query) => {
            let cookies = if settings.has_cookie { cookies(headers) } else { Vec::new() };
            let cookie = match cookies[..] {
                [] | [b""] => None,
                [cookie] => Some(cookie),
                _ => return TWO,
            };
            match (in_query, cookie) {
                ([_, ..], Some(_)) => return TWO,
                ([token], None) => token,
                ([], Some(cookie)) => {
                    let mut verdict = of_token(cookie);
                    if !is_same_origin(request) {
                        verdict = Verdict::Refused(&[Refusal::PermissionDenied]);
                    }
                    return verdict;
                }
                _ if !settings.is_optional => {
                    return Verdict::Refused(&[Refusal::NotAuthenticated]);
                }
                _ if is_found_by_others(settings, request) => return TWO,
                _ => return Verdict::Passes(None),
            }
        }
    };
    of_token(token)
}

/// Whether a lenient reader finds a token although the layer finds none.
fn is_found_by_others(settings: Settings, Parts { uri, headers, .. }: &Parts) -> bool {
    let lines = headers.get_all(header::AUTHORIZATION).iter();
    let in_header =
        !settings.has_other_header && lines.map(HeaderValue::as_bytes).any(lenient::has_bearer);
    let in_cookie = settings.has_cookie
        && cookie_pairs(headers)
            .any(|pair| lenient::is_cookie(pair) && !pair.trim_ascii().starts_with(b"session="));
    let in_query = settings.has_query && query_pairs(uri).any(lenient::is_parameter);
    in_header || in_cookie || in_query
}

/// Readers that trim, decode and split more than the layer does.
mod lenient {
    use super::{COOKIE, QUERY};

    pub(super) fn has_bearer(line: &[u8]) -> bool {
        let line = line.to_ascii_lowercase();
        (0..line.len()).any(|at| {
            let (before, rest) = line.split_at(at);
            let ends = rest.strip_prefix(b"bearer").and_then(<[u8]>::first);
            let begins = before.last().is_none_or(|byte| !is_token_character(*byte));
            begins && matches!(ends, Some(b' ' | b'\t'))
        })
    }

    pub(super) fn is_cookie(pair: &[u8]) -> bool {
        let parts = pair.split(|byte| *byte == b',');
        parts.filter_map(name_of).any(|name| is_like(name, COOKIE))
    }

    pub(super) fn is_parameter(pair: &str) -> bool {
        pair.split(';')
            .any(|part| is_like(name_of(part.as_bytes()).unwrap_or(part.as_bytes()), QUERY))
    }

    fn name_of(part: &[u8]) -> Option<&[u8]> {
        let end = part.iter().position(|byte| *byte == b'=')?;
        Some(&part[..end])
    }

    fn is_like(found: &[u8], name: &str) -> bool {
        let decoded = decoded(found);
        let start = decoded.iter().position(|byte| is_token_character(*byte));
        let end = decoded.iter().rposition(|byte| is_token_character(*byte));
        let core = start.zip(end).map_or(&[][..], |(start, end)| &decoded[start..=end]);
        [found.trim_ascii(), decoded.trim_ascii(), core].contains(&name.as_bytes())
    }

    fn decoded(text: &[u8]) -> Vec<u8> {
        let (mut decoded, mut at) = (Vec::new(), 0);
        while at < text.len() {
            let digits = text.get(at + 1..at + 3).and_then(|digits| str::from_utf8(digits).ok());
            let digits =
                digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            match (text[at], digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
                (b'%', Some(byte)) => {
                    decoded.push(byte);
                    at += 3;
                    continue;
                }
                (b'+', _) => decoded.push(b' '),
                (byte, _) => decoded.push(byte),
            }
            at += 1;
        }
        decoded
    }

    pub(super) fn is_token_character(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
    }
}

fn bearer(line: &[u8]) -> Found<'_> {
    let space = line.iter().position(|byte| *byte == b' ');
    let scheme = &line[..space.unwrap_or(line.len())];
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return match space {
            None => Found::Wrong(&[Refusal::InvalidRequest]),
            Some(space) => {
                let after = &line[space..];
                let start = after.iter().position(|byte| *byte != b' ').unwrap_or(after.len());
                Found::Token(&after[start..])
            }
        };
    }
    let is_padded = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if is_padded(line.first()) || is_padded(line.last()) {
        return Found::Wrong(&[Refusal::InvalidRequest]);
    }
    let begins_like_ours = scheme.len() >= 6 && scheme[..6].eq_ignore_ascii_case(b"bearer");
    if scheme.iter().all(|byte| lenient::is_token_character(*byte)) {
        // Another scheme, or a missing space.
        let is_other = !begins_like_ours || space.is_some();
        return if is_other { Found::Nothing } else { Found::Wrong(&[Refusal::InvalidRequest]) };
    }
    let is_foreign = !scheme.is_ascii() && !begins_like_ours;
    Found::Wrong(if is_foreign { &[Refusal::TokenNotValid] } else { &[Refusal::InvalidRequest] })
}

fn query_pairs(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.query().unwrap_or_default().split('&')
}

fn in_query(uri: &Uri) -> Vec<&[u8]> {
    let ours = query_pairs(uri).filter_map(|pair| match pair.split_once('=') {
        Some((QUERY, value)) => Some(value),
        None if pair == QUERY => Some(""),
        _ => None,
    });
    ours.map(str::as_bytes).collect()
}

fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(header::COOKIE).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
}

fn cookies(headers: &HeaderMap) -> Vec<&[u8]> {
    cookie_pairs(headers).filter_map(|pair| pair.trim_ascii().strip_prefix(b"session=")).collect()
}

/// Only valid tokens pass, with their subject.
fn of_token(token: &[u8]) -> Verdict {
    let all = TOKENS.each_ref().map(|token| token.as_bytes());
    match all.iter().position(|known| *known == token) {
        Some(0) => Verdict::Passes(Some("good")),
        Some(1) => Verdict::Passes(Some("other")),
        // The pieces may or may not form a b64token. The target `responses` checks which of the two answers is correct.
        _ => Verdict::Refused(&[Refusal::TokenNotValid, Refusal::InvalidRequest]),
    }
}

fn is_same_origin(request: &Parts) -> bool {
    let is_upgrade = request.headers.get_all(header::UPGRADE).iter().any(|line| {
        let line = line.as_bytes().to_ascii_lowercase();
        line.split(|byte| *byte == b',').any(|protocol| protocol.trim_ascii() == b"websocket")
    });
    if matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) && !is_upgrade {
        return true;
    }
    let of = |name: &str| -> Vec<&[u8]> {
        request.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    };
    match of("sec-fetch-site")[..] {
        [] => {}
        ref sites => return sites.iter().all(|site| *site == b"same-origin"),
    }
    let ([origin], [host]) = (&of("origin")[..], &of("host")[..]) else { return false };
    let as_text =
        |bytes: &[u8]| HeaderValue::from_bytes(bytes).ok()?.to_str().ok().map(str::to_owned);
    let (Some(origin), Some(host)) = (as_text(origin), as_text(host)) else { return false };
    let (default, origin) = match origin.split_once("://") {
        Some(("https", origin)) => (443, origin.to_owned()),
        Some(("http", origin)) => (80, origin.to_owned()),
        _ => return false,
    };
    let split = |authority: &str| -> Option<(String, u16)> {
        let end = authority.find(']').map_or_else(|| authority.find(':'), |end| Some(end + 1));
        let (host, port) = authority.split_at(end.unwrap_or(authority.len()));
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => default,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
            _ => return None,
        };
        (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
    };
    let origin = split(&origin);
    origin.is_some() && origin == split(&host)
}

/// Checks that the service behind the layer sees the request unchanged, except for possible credentials.
fn check_concealed(settings: Settings, before: &Parts, after: &Parts) {
    assert_eq!((&before.method, before.uri.path()), (&after.method, after.uri.path()));
    if settings.has_query {
        assert!(!query_pairs(&after.uri).any(lenient::is_parameter), "{}", after.uri);
        let kept = |uri: &Uri| -> Vec<String> {
            let pairs = uri.query().into_iter().flat_map(|query| query.split('&'));
            pairs.filter(|pair| !lenient::is_parameter(pair)).map(str::to_owned).collect()
        };
        assert_eq!(kept(&before.uri), kept(&after.uri));
    } else {
        assert_eq!(before.uri, after.uri);
    }
    let name = if settings.has_other_header { OTHER_HEADER } else { header::AUTHORIZATION };
    let lines = |parts: &Parts| parts.headers.get_all(&name).iter().cloned().collect::<Vec<_>>();
    if !settings.strips {
        assert_eq!(lines(before), lines(after));
    } else if lines(before)
        .iter()
        .any(|line| settings.has_other_header || lenient::has_bearer(line.as_bytes()))
    {
        assert!(lines(after).is_empty());
    }
    assert!(lines(after).iter().all(HeaderValue::is_sensitive));
    if settings.has_cookie {
        assert!(after.headers.get_all(header::COOKIE).iter().all(HeaderValue::is_sensitive));
        assert!(!settings.strips || !cookie_pairs(&after.headers).any(lenient::is_cookie));
    }
    let others = |parts: &Parts| {
        let mut headers = parts.headers.clone();
        headers.remove(&name);
        headers.remove(header::COOKIE);
        headers
    };
    assert_eq!(others(before), others(after));
}
