//! The router of the issuer: calls in any order, with any bodies, queries and paths.
//!
//! 1. Each answer is one that the token API documents. The answer is 503 only if the accounts are busy.
//! 2. An answer contains a token only if the call makes that token.
//! 3. At the end, each token that was made passes the protected endpoint if and only if it should. That depends on its
//!    kind, its time, and on the revocations.

#![no_main]

use std::{cell::RefCell, sync::LazyLock, time::Duration};

use arbitrary::Arbitrary;
use axum::{Router, body::Body, routing::get};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use tower::ServiceExt;
use tower_bearer::{
    Algorithm, Authenticated, BoxFuture, UnixTime, claims::ManualClock, jws::SigningKey,
    revocation::StoreError,
};
use tower_bearer_fuzz::{
    NOW, block_on,
    http_wire::{Answer, Refusal},
};
use tower_bearer_issuing::{
    Account, Accounts, AccountsError, Credentials, TokenIssuer, store::MemoryTokenStore,
};

#[derive(Debug, Arbitrary)]
struct Step<'a> {
    call: Call<'a>,
    /// The number of a token that was made. 255 means no token.
    token: u8,
    advance: Advance,
    dress: Dress<'a>,
}

#[derive(Debug, Arbitrary)]
enum Call<'a> {
    LogIn { who: Who, password: Password<'a> },
    Refresh { token: u8 },
    LogOut { token: u8 },
    Create { name: &'a str, expires: Expiry<'a> },
    List { query: Vec<Parameter<'a>> },
    Rotate { token: u8, expires: Expiry<'a>, overlap: Option<u16> },
    Delete { token: u8 },
    RevokeAll,
    Raw { method: Verb, path: Path<'a>, body: &'a [u8] },
    Fields { path: Path<'a>, fields: Vec<(Field<'a>, Odd<'a>)> },
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Who {
    Ada,
    Bob,
    Unknown,
}

#[derive(Debug, Arbitrary)]
enum Password<'a> {
    Right,
    Wrong,
    Busy,
    Text(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Expiry<'a> {
    Tomorrow,
    InSeconds(u16),
    Text(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Parameter<'a> {
    Page(u16),
    LastPage,
    PageSize(i16),
    Search(&'a str),
    Ordering(&'a str),
    Raw(&'a str),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Verb {
    Get,
    Post,
    Put,
    Delete,
    Options,
    Head,
    Patch,
}

#[derive(Debug, Arbitrary)]
enum Path<'a> {
    LogIn,
    Refresh,
    LogOut,
    PrivateTokens,
    PrivateToken(i64),
    Rotate(i64),
    RevokeAll,
    Text(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Field<'a> {
    Username,
    Email,
    Password,
    RefreshToken,
    Name,
    ExpirationTime,
    Overlap,
    Other(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Odd<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Real(f32),
    Text(&'a str),
    Tomorrow,
    Token(u8),
    List(u8),
    Object,
}

#[derive(Debug, Arbitrary)]
enum Advance {
    Nothing,
    Seconds(u8),
    Minutes(u8),
}

/// What is unusual about the request, apart from its call.
#[derive(Debug, Arbitrary)]
enum Dress<'a> {
    Plain,
    NoSlash,
    ContentType(&'a [u8]),
    Host(&'a [u8]),
    Authorization(&'a [u8]),
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let mut service = Service::of_this_run();
    for step in steps.iter().take(12) {
        match step.advance {
            Advance::Nothing => {}
            Advance::Seconds(count) => service.advance(count.into()),
            Advance::Minutes(count) => service.advance(60 * u64::from(count)),
        }
        service.run(step);
    }
    service.check_every_token();
});

/// The part of a server that one run uses. Each run has its own subjects and its own time.
struct Service {
    router: Router,
    clock: ManualClock,
    /// The number of the run. It makes the subjects different from those of other runs.
    run: i64,
    now: u64,
    held: Vec<Held>,
    /// The number of the last family.
    families: usize,
}

/// A token that was made, and its expected state.
#[derive(Debug)]
struct Held {
    text: String,
    kind: Kind,
    /// The subject.
    who: String,
    /// Tokens with the same family are revoked together.
    family: usize,
    expires: u64,
    /// The id of a private token.
    id: i64,
    is_dead: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Access,
    Refresh,
    Private,
}

thread_local! {
    /// A server is large: its counters alone take megabytes. So many runs share one server.
    static SERVER: RefCell<Option<(Router, ManualClock, i64)>> = const { RefCell::new(None) };
}

const RUNS_OF_A_SERVER: i64 = 500;

impl Service {
    fn of_this_run() -> Self {
        SERVER.with_borrow_mut(|server| {
            let (router, clock, run) =
                server.take_if(|(.., run)| *run < RUNS_OF_A_SERVER).unwrap_or_else(|| {
                    let (router, clock) = Self::server();
                    (router, clock, 0)
                });
            clock.set_unix_time(UnixTime::from_secs(NOW));
            *server = Some((router.clone(), clock.clone(), run + 1));
            Self { router, clock, run, now: NOW, held: Vec::new(), families: 0 }
        })
    }

    fn server() -> (Router, ManualClock) {
        static KEY: LazyLock<SigningKey> =
            LazyLock::new(|| SigningKey::generate(Algorithm::ES256).unwrap());
        let clock = ManualClock::at(UnixTime::from_secs(NOW));
        let store = MemoryTokenStore::new().with_clock(clock.clone());
        let issuer =
            TokenIssuer::builder("https://issuer.example", "api", KEY.clone(), store, People)
                .with_clock(clock.clone())
                .build()
                .unwrap();
        let me = async |user: Authenticated| user.registered().subject().unwrap_or("").to_owned();
        let router = Router::new()
            .route("/api/v1/me", get(me))
            .route_layer(issuer.layer())
            .nest("/api/v1/auth", issuer.router())
            .merge(issuer.jwks_router());
        (router, clock)
    }

    fn advance(&mut self, seconds: u64) {
        self.now += seconds;
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn run(&mut self, step: &Step<'_>) {
        let Some((method, path, body)) = self.parts(&step.call) else { return };
        let bearer = self.chosen(step.token).map(|held| held.text.clone());
        let Some(request) = request(&method, &path, bearer.as_deref(), body, &step.dress) else {
            return;
        };
        let is_busy = matches!(step.call, Call::LogIn { password: Password::Busy, .. })
            || request.1.windows(4).any(|part| part == b"busy");
        let answer = self.send(request.0);
        is_documented(&answer, &method, is_busy);

        let made = matches!(answer.status, StatusCode::OK | StatusCode::CREATED);
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        if !made {
            assert!(self.held.iter().all(|held| !body.contains(&held.text)), "{body}");
        }
        // Only calls with a known effect change the expected states.
        match (&step.call, &step.dress) {
            (Call::Raw { .. } | Call::Fields { .. }, _) if method != Method::OPTIONS => {
                self.forget_tokens(&answer, &path);
            }
            (call, _) => self.update_tokens(call, step.token, &answer),
        }
    }

    fn parts(&self, call: &Call<'_>) -> Option<(Method, String, Vec<u8>)> {
        let of_token = |token: u8| self.chosen(token).map_or("", |held| &held.text);
        let id_of = |token: u8| self.chosen(token).map_or(1, |held| held.id);
        let post = |path: &str, body: Value| {
            Some((Method::POST, path.to_owned(), body.to_string().into_bytes()))
        };
        match call {
            Call::LogIn { who, password } => {
                let password = match password {
                    Password::Right => "right",
                    Password::Wrong => "wrong",
                    Password::Busy => "busy",
                    Password::Text(text) => text,
                };
                post("/login/", json!({"username": who.email(self.run), "password": password}))
            }
            Call::Refresh { token } => {
                post("/refresh/", json!({"refresh_token": of_token(*token)}))
            }
            Call::LogOut { token } => post("/logout/", json!({"refresh_token": of_token(*token)})),
            Call::Create { name, expires } => post(
                "/private_tokens/",
                json!({"name": name, "expiration_time": self.expiry(expires)}),
            ),
            Call::List { query } => {
                let query: Vec<String> = query.iter().map(Parameter::text).collect();
                Some((Method::GET, format!("/private_tokens/?{}", query.join("&")), Vec::new()))
            }
            Call::Rotate { token, expires, overlap } => {
                let mut body = json!({"expiration_time": self.expiry(expires)});
                if let Some(overlap) = overlap {
                    body["overlap_seconds"] = json!(overlap);
                }
                post(&format!("/private_tokens/{}/rotate/", id_of(*token)), body)
            }
            Call::Delete { token } => {
                let path = format!("/private_tokens/{}/", id_of(*token));
                Some((Method::DELETE, path, Vec::new()))
            }
            Call::RevokeAll => Some((Method::POST, "/revoke_all/".to_owned(), Vec::new())),
            Call::Raw { method, path, body } => Some((method.method(), path.text(), body.to_vec())),
            Call::Fields { path, fields } => {
                let fields = fields.iter().map(|(field, odd)| (field.name(), self.odd(odd)));
                let body = Value::Object(fields.collect::<Map<_, _>>());
                Some((Method::POST, path.text(), body.to_string().into_bytes()))
            }
        }
    }

    fn chosen(&self, token: u8) -> Option<&Held> {
        if token == 255 || self.held.is_empty() {
            return None;
        }
        self.held.get(usize::from(token) % self.held.len())
    }

    fn expiry(&self, expiry: &Expiry<'_>) -> String {
        match expiry {
            Expiry::Tomorrow => date(self.now + 86_400),
            Expiry::InSeconds(count) => date(self.now + u64::from(*count)),
            Expiry::Text(text) => (*text).to_owned(),
        }
    }

    fn odd(&self, odd: &Odd<'_>) -> Value {
        match odd {
            Odd::Null => Value::Null,
            Odd::Bool(value) => json!(value),
            Odd::Integer(value) => json!(value),
            Odd::Real(value) => json!(value),
            Odd::Text(text) => json!(text),
            Odd::Tomorrow => json!(date(self.now + 86_400)),
            Odd::Token(token) => json!(self.chosen(*token).map(|held| &held.text)),
            Odd::List(count) => json!(vec![1; usize::from(*count)]),
            Odd::Object => json!({"a": {}}),
        }
    }

    fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(block_on(self.router.clone().oneshot(request)).unwrap())
    }

    /// A raw call may have done anything that its token allows. If it may have changed something, all tokens are
    /// forgotten, because their state is not known any more.
    fn forget_tokens(&mut self, answer: &Answer, path: &str) {
        let is_read = answer.status == StatusCode::OK && path.contains("private_tokens");
        // If a refresh token is used again, its session ends and the answer is 401.
        if !is_read && (answer.status.is_success() || path.contains("refresh")) {
            self.held.clear();
        }
    }

    fn update_tokens(&mut self, call: &Call<'_>, bearer: u8, answer: &Answer) {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let is_done = answer.status.is_success();
        let caller = self.chosen(bearer).map(|held| (held.who.clone(), held.kind));
        match call {
            Call::LogIn { who, .. } if is_done => {
                self.families += 1;
                let family = self.families;
                self.hold_pair(&text, &who.subject(self.run), family);
            }
            Call::Refresh { token } => {
                let Some(held) = self.chosen(*token) else { return };
                let (who, family, kind) = (held.who.clone(), held.family, held.kind);
                let may_be_used = self.is_alive(held) && kind == Kind::Refresh;
                let is_on_the_edge = self.now.abs_diff(held.expires) <= 2;
                let is_read = answer.status != StatusCode::UNSUPPORTED_MEDIA_TYPE;
                if is_read && !is_on_the_edge {
                    assert_eq!(is_done, may_be_used, "{held:?} {answer:?}");
                }
                let text_of_it = held.text.clone();
                if is_done {
                    for held in self.held.iter_mut().filter(|held| held.text == text_of_it) {
                        held.is_dead = true;
                    }
                    self.hold_pair(&text, &who, family);
                } else if kind == Kind::Refresh && answer.status == StatusCode::UNAUTHORIZED {
                    // It was used twice, is revoked, or is expired. In each case its session may have ended.
                    self.held.retain(|held| held.family != family);
                }
            }
            Call::LogOut { token } if is_done => {
                let (_, kind) = caller.expect("log-out demands a token");
                assert_eq!(kind, Kind::Access);
                let family = self.chosen(*token).expect("log-out demands a refresh token").family;
                let own = self.chosen(bearer).expect("as above").text.clone();
                for held in &mut self.held {
                    held.is_dead |= held.text == own || held.family == family;
                }
            }
            Call::Create { expires, .. } if is_done => {
                let (who, kind) = caller.expect("private tokens are made with a token");
                assert_eq!(kind, Kind::Access);
                self.hold_private(&body, who, expires);
            }
            Call::Rotate { token, expires, overlap } if is_done => {
                let (who, kind) = caller.expect("private tokens are rotated with a token");
                assert_eq!(kind, Kind::Access);
                let id = self.chosen(*token).map_or(1, |held| held.id);
                if overlap.is_none_or(|seconds| seconds == 0) {
                    for held in self.held.iter_mut().filter(|held| held.id == id) {
                        held.is_dead = true;
                    }
                } else {
                    self.held.retain(|held| held.id != id);
                }
                self.hold_private(&body, who, expires);
            }
            Call::Delete { token } if is_done => {
                let (who, kind) = caller.expect("private tokens are revoked with a token");
                assert_eq!(kind, Kind::Access);
                let id = self.chosen(*token).map_or(1, |held| held.id);
                for held in self.held.iter_mut().filter(|held| held.id == id) {
                    assert_eq!(held.who, who, "the token of another user");
                    held.is_dead = true;
                }
            }
            Call::RevokeAll if is_done => {
                let (who, kind) = caller.expect("everything is revoked with a token");
                assert_eq!(kind, Kind::Access);
                for held in self.held.iter_mut().filter(|held| held.who == who) {
                    held.is_dead = true;
                }
            }
            _ => {}
        }
    }

    fn hold_pair(&mut self, text: &impl Fn(&str) -> Option<String>, who: &str, family: usize) {
        let access = text("access_token").expect("an access token");
        assert_eq!(text("token_access").as_ref(), Some(&access));
        let refresh = text("refresh_token").expect("a refresh token");
        let held = |text, kind, expires| Held {
            text,
            kind,
            who: who.to_owned(),
            family,
            expires,
            id: -1,
            is_dead: false,
        };
        self.held.push(held(access, Kind::Access, self.now + 3600));
        self.held.push(held(refresh, Kind::Refresh, self.now + 86_400));
    }

    fn hold_private(&mut self, body: &Value, who: String, expires: &Expiry<'_>) {
        self.families += 1;
        let expires = match expires {
            Expiry::Tomorrow => self.now + 86_400,
            Expiry::InSeconds(count) => self.now + u64::from(*count),
            // The router accepted the text. This target does not parse it, so it does not test the expiry.
            Expiry::Text(_) => return,
        };
        self.held.push(Held {
            text: body["data"].as_str().expect("the token").to_owned(),
            kind: Kind::Private,
            who,
            family: self.families,
            expires,
            id: body["id"].as_i64().expect("its number"),
            is_dead: false,
        });
    }

    fn is_alive(&self, held: &Held) -> bool {
        !held.is_dead && self.now < held.expires
    }

    fn check_every_token(&self) {
        for held in &self.held {
            let request = Request::get("/api/v1/me")
                .header(header::AUTHORIZATION, format!("Bearer {}", held.text))
                .body(Body::empty());
            let answer = self.send(request.unwrap());
            let opens = self.is_alive(held) && held.kind != Kind::Refresh;
            // A token that is issued after a cut-off has an `iat` one second in the future. So it also expires one
            // second later.
            let is_on_the_edge = held.kind == Kind::Access && self.now.abs_diff(held.expires) <= 2;
            if answer.status == StatusCode::OK && (opens || is_on_the_edge && !held.is_dead) {
                assert_eq!(answer.body, held.who);
            } else {
                assert!(!opens, "rejected: {held:?}");
                answer.is_refusal(Refusal::TokenNotValid);
            }
        }
    }
}

fn request(
    method: &Method,
    path: &str,
    bearer: Option<&str>,
    body: Vec<u8>,
    dress: &Dress<'_>,
) -> Option<(Request<Body>, Vec<u8>)> {
    let mut path = path.to_owned();
    if matches!(dress, Dress::NoSlash) && path.ends_with('/') {
        path.pop();
    }
    // axum's `nest` does not route the bare prefix with a slash to the nested router. The outer router answers 404.
    if path.split(['?', '#']).next() == Some("/") {
        return None;
    }
    let uri = format!("/api/v1/auth{path}").parse::<Uri>().ok()?;
    let (mut content_type, mut host) = (&b"application/json"[..], &b"api.example.org"[..]);
    let mut authorization = bearer.map(|token| format!("Bearer {token}").into_bytes());
    match dress {
        Dress::ContentType(text) => content_type = text,
        Dress::Host(text) => host = text,
        Dress::Authorization(text) => authorization = Some(text.to_vec()),
        Dress::Plain | Dress::NoSlash => {}
    }
    let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).ok();
    let mut request = Request::new(Body::from(body.clone()));
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, value(content_type)?);
    headers.insert(header::HOST, value(host)?);
    if let Some(authorization) = authorization {
        headers.insert(header::AUTHORIZATION, value(&authorization)?);
    }
    Some((request, body))
}

fn is_documented(answer: &Answer, method: &Method, is_busy: bool) {
    let text = String::from_utf8_lossy(&answer.body);
    answer.is_not_kept();
    if method == Method::HEAD {
        return;
    }
    let has_body = answer.header(header::CONTENT_TYPE).is_some();
    assert_eq!(has_body, !answer.body.is_empty(), "{answer:?}");
    if answer.status == StatusCode::NO_CONTENT {
        assert!(!has_body, "{answer:?}");
        return;
    }
    assert_eq!(answer.header(header::CONTENT_TYPE), Some("application/json"), "{answer:?}");
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let members = body.as_object().expect("an object");
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    let detail = body["detail"].as_str();
    let is_detail = names == ["detail"] && detail.is_some();
    match answer.status.as_u16() {
        200 | 201 => {}
        400 if is_detail => {
            let detail = detail.unwrap_or_default();
            let is_known = detail.starts_with("JSON parse error - ")
                || matches!(detail, "Malformed request." | "Invalid Host header.");
            assert!(is_known, "{text}");
        }
        400 if names.contains(&"code") => answer.is_refusal(Refusal::InvalidRequest),
        400 => {
            let is_messages = |value: &Value| {
                value.as_array().is_some_and(|messages| {
                    !messages.is_empty() && messages.iter().all(Value::is_string)
                })
            };
            assert!(!names.is_empty() && members.values().all(is_messages), "{text}");
        }
        401 => match body["code"].as_str() {
            Some("no_active_account") => {
                assert_eq!(
                    text,
                    concat!(
                        r#"{"detail":"No active account found with the given credentials","#,
                        r#""code":"no_active_account"}"#
                    )
                );
                assert!(answer.challenge().is_some());
            }
            Some("not_authenticated") => answer.is_refusal(Refusal::NotAuthenticated),
            _ => answer.is_refusal(Refusal::TokenNotValid),
        },
        404 => assert!(is_detail && matches!(detail, Some("Not found." | "Invalid page."))),
        405 => assert!(is_detail && answer.header(header::ALLOW).is_some(), "{answer:?}"),
        413 | 415 => assert!(is_detail, "{text}"),
        429 => assert!(is_detail && answer.header(header::RETRY_AFTER).is_some(), "{answer:?}"),
        503 if is_busy => answer.is_refusal(Refusal::Unavailable),
        _ => panic!("undocumented answer: {answer:?}"),
    }
}

impl Who {
    fn email(self, run: i64) -> String {
        match self {
            Self::Ada => format!("{}@ada.example", 2 * run),
            Self::Bob => format!("{}@bob.example", 2 * run + 1),
            Self::Unknown => "nobody@example.org".to_owned(),
        }
    }

    fn subject(self, run: i64) -> String {
        match self {
            Self::Ada => (2 * run).to_string(),
            Self::Bob => (2 * run + 1).to_string(),
            Self::Unknown => String::new(),
        }
    }
}

impl Verb {
    fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Delete => Method::DELETE,
            Self::Options => Method::OPTIONS,
            Self::Head => Method::HEAD,
            Self::Patch => Method::PATCH,
        }
    }
}

impl Parameter<'_> {
    fn text(&self) -> String {
        match self {
            Self::Page(page) => format!("page={page}"),
            Self::LastPage => "page=last".to_owned(),
            Self::PageSize(size) => format!("page_size={size}"),
            Self::Search(text) => format!("q={text}"),
            Self::Ordering(text) => format!("ordering={text}"),
            Self::Raw(text) => (*text).to_owned(),
        }
    }
}

impl Path<'_> {
    fn text(&self) -> String {
        match self {
            Self::LogIn => "/login/".to_owned(),
            Self::Refresh => "/refresh/".to_owned(),
            Self::LogOut => "/logout/".to_owned(),
            Self::PrivateTokens => "/private_tokens/".to_owned(),
            Self::PrivateToken(id) => format!("/private_tokens/{id}/"),
            Self::Rotate(id) => format!("/private_tokens/{id}/rotate/"),
            Self::RevokeAll => "/revoke_all/".to_owned(),
            Self::Text(text) => format!("/{text}"),
        }
    }
}

impl Field<'_> {
    fn name(&self) -> String {
        match self {
            Self::Username => "username",
            Self::Email => "email",
            Self::Password => "password",
            Self::RefreshToken => "refresh_token",
            Self::Name => "name",
            Self::ExpirationTime => "expiration_time",
            Self::Overlap => "overlap_seconds",
            Self::Other(name) => name,
        }
        .to_owned()
    }
}

/// RFC 3339, within the days after `NOW`, 2027-01-15T08:00:00Z.
fn date(second: u64) -> String {
    let since_midnight = second - NOW + 8 * 3600;
    let (days, rest) = (since_midnight / 86_400, since_midnight % 86_400);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("2027-01-{:02}T{hour:02}:{minute:02}:{second:02}Z", 15 + days)
}

/// All numbers at `ada.example` and `bob.example` have an account with the password `right`. The password `busy` makes
/// the service busy.
struct People;

impl Accounts for People {
    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>> {
        let name = credentials.username.as_str();
        let id = match name.split_once('@') {
            Some((id, "ada.example" | "bob.example")) => id.parse::<i64>().ok(),
            _ => None,
        };
        let answer = match (id, credentials.password.as_str()) {
            (Some(id), "right") => Ok(Account::new(id, name)),
            (_, "busy") => Err(AccountsError::Busy),
            _ => Err(AccountsError::NoActiveAccount),
        };
        Box::pin(std::future::ready(answer))
    }

    fn find_active<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<Account>, StoreError>> {
        let account = Account::new(7, subject).with_subject(subject);
        Box::pin(std::future::ready(Ok(Some(account))))
    }
}
