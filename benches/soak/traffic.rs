//! Sends requests of all kinds, over keep-alive connections and over others.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    answer::Answer,
    expected_answers::{self, Endpoint, Exchange},
    failure::Failure,
    random, revoker,
    run_state::RunState,
    soak_token::{Flaw, Revocation, Token, credential},
    token_issuer::{newest_key, random_signing_key},
};

/// The pause between two requests of a connection. The soak tests a long time, not speed, and leaves processor time to
/// others.
const PAUSE: Duration = Duration::from_millis(4);
/// The maximum time of any request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Keep-alive connections. Each has one running request at any time.
pub(crate) const CONNECTIONS: usize = 16;

struct Client {
    connection: SendRequest<Empty<Bytes>>,
    state: Arc<RunState>,
}

/// Sends one request after the other until the run is over.
pub(crate) async fn send_requests(
    state: Arc<RunState>,
    address: String,
    number: usize,
) -> Result<(), Failure> {
    let stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    let mut client = Client { connection, state };
    while client.state.is_running() {
        client.send_random_kind().await.map_err(|error| format!("connection {number}: {error}"))?;
        sleep(PAUSE).await;
    }
    Ok(())
}

impl Client {
    async fn send_random_kind(&mut self) -> Result<(), Failure> {
        let state = Arc::clone(&self.state);
        match random::below(100) {
            0..50 => {
                let token = RunState::pick(&state.stock());
                self.send_token("good", token, Endpoint::Claims).await
            }
            50..58 => {
                let token = match random::one_in(2) {
                    true => state.revoked().last().cloned(),
                    false => RunState::pick(&state.revoked()),
                };
                self.send_token("revoked elsewhere", token, Endpoint::Claims).await
            }
            58..66 => {
                let token = RunState::pick(&state.stock());
                self.send_token("for a scope", token, Endpoint::Admin).await
            }
            66..70 => self.send_token("new", Some(self.new_token(3_600)), Endpoint::Claims).await,
            // With the leeway, these tokens live for up to 4 more seconds.
            70..72 => {
                let token = self.new_token(random::between(-28, -26));
                for _ in 0..3 {
                    self.send_token("expiring", Some(Arc::clone(&token)), Endpoint::Claims).await?;
                }
                state.add_expiring(token);
                Ok(())
            }
            72..75 => {
                let token = state.expiring();
                self.send_token("expiring", token, Endpoint::Claims).await
            }
            75..77 => {
                let lifetime = random::between(-100_000, -31);
                self.send_token("expired", Some(self.new_token(lifetime)), Endpoint::Claims).await
            }
            77 => {
                let key = newest_key(&state);
                let token = Token::new(&key, state.number(), 3_600, Flaw::None);
                self.send_token("of a key just published", Some(Arc::new(token)), Endpoint::Claims)
                    .await
            }
            78 => self.log_out().await,
            79..81 => self.send_changed_signature().await,
            81..83 => self.send_flawed("for another audience", Flaw::Audience).await,
            83..85 => self.send_flawed("of another issuer", Flaw::Issuer).await,
            85 => self.send_flawed("without expiry", Flaw::NoExpiry).await,
            86 => self.send_unknown_key().await,
            87..92 => self.send_without_token().await,
            _ => self.send_malformed().await,
        }
    }

    fn new_token(&self, lifetime: i64) -> Arc<Token> {
        let key = random_signing_key(&self.state);
        Arc::new(Token::new(&key, self.state.number(), lifetime, Flaw::None))
    }

    async fn send_token(
        &mut self,
        kind: &'static str,
        token: Option<Arc<Token>>,
        endpoint: Endpoint,
    ) -> Result<(), Failure> {
        let Some(token) = token else { return Ok(()) };
        let before = token.revocation();
        let mut exchange = Exchange::begin();
        let first_sent = token.record_sent(exchange.sent);
        let (method, path) = match endpoint {
            Endpoint::Claims => (Method::GET, "/whoami"),
            Endpoint::Admin => (Method::GET, "/admin"),
            Endpoint::LogOut => (Method::POST, "/logout"),
        };
        let credential = [(header::AUTHORIZATION, token.credential())];
        let answer =
            self.send(method, path, &credential, Some(&token.subject), &mut exchange).await?;
        if endpoint == Endpoint::LogOut && matches!(answer, Ok(Answer::Passed | Answer::NotStored))
        {
            token.set_revocation(Revocation::LoggedOut(exchange.answered));
        }
        // A token that is revoked during the request may be rejected. A token that was revoked before must be rejected.
        let revocation = match (before, token.revocation()) {
            (Revocation::None, Revocation::None) => Revocation::None,
            (Revocation::None, _) if endpoint == Endpoint::LogOut => Revocation::None,
            (Revocation::None, _) => Revocation::Asked,
            (before, _) => before,
        };
        if answer == Ok(Answer::Passed)
            && let Revocation::Recorded(at) = revocation
            && !self.state.redis_faults.may_be_down(at, exchange.answered)
        {
            self.state.record_pass_after_revocation(exchange.sent.saturating_duration_since(at));
        }
        let knows_key = expected_answers::server_knows_key(&self.state, &token, &exchange);
        if knows_key {
            self.state.redis_faults.record_stall(exchange.sent, exchange.answered);
        }
        let expected = expected_answers::for_token(
            &self.state,
            &token,
            first_sent,
            revocation,
            endpoint,
            &exchange,
        );
        if answer == Ok(Answer::Unavailable) && knows_key {
            self.state.redis_faults.record_unavailable(exchange.answered);
        }
        let kind = match revocation {
            _ if !knows_key => "while their key is added or removed",
            Revocation::None => kind,
            Revocation::LoggedOut(_) => "logged out",
            Revocation::Asked | Revocation::Recorded(_) => "revoked elsewhere",
        };
        self.check_answer(kind, answer, &expected);
        Ok(())
    }

    /// The server that got the log-out rejects the token from the next request on, even if the store could not record
    /// it.
    async fn log_out(&mut self) -> Result<(), Failure> {
        let token = self.new_token(3_600);
        self.send_token("log-out", Some(Arc::clone(&token)), Endpoint::LogOut).await?;
        if matches!(token.revocation(), Revocation::LoggedOut(_)) {
            revoker::remember(&self.state, Arc::clone(&token));
        }
        self.send_token("not logged out", Some(token), Endpoint::Claims).await
    }

    async fn send_flawed(&mut self, kind: &'static str, flaw: Flaw) -> Result<(), Failure> {
        let key = random_signing_key(&self.state);
        let token = Token::new(&key, self.state.number(), 3_600, flaw);
        self.send_invalid(kind, &token.text, Some(token.key)).await
    }

    /// Changes one character of a valid token.
    async fn send_changed_signature(&mut self) -> Result<(), Failure> {
        let Some(token) = RunState::pick(&self.state.stock()) else { return Ok(()) };
        let mut text = token.text.clone().into_bytes();
        let signature = token.text.rfind('.').map_or(0, |dot| dot + 1);
        let at = signature + random::below(text.len() - 1 - signature);
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        let text = String::from_utf8(text)?;
        self.send_invalid("with another signature", &text, Some(token.key)).await
    }

    async fn send_unknown_key(&mut self) -> Result<(), Failure> {
        let token = self.state.token_of_unpublished_key();
        self.send_invalid("of an unknown key", &token.text, None).await
    }

    async fn send_malformed(&mut self) -> Result<(), Failure> {
        let length = 1 + random::below(10_000);
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
        let letter = || char::from(alphabet[random::below(alphabet.len())]);
        let text: String = std::iter::repeat_with(letter).take(length).collect();
        let text = match random::below(3) {
            0 => text,
            1 => format!("eyJhbGciOiJub25lIn0.{}.", text.replace('.', "A")),
            _ => format!("eyJhbGciOiJIUzI1NiIsImtpZCI6ImtleS0wIn0.{}", text.replace('.', "A")),
        };
        let mut exchange = Exchange::begin();
        let credential = [(header::AUTHORIZATION, credential(&text))];
        let answer = self.send(Method::GET, "/whoami", &credential, None, &mut exchange).await?;
        self.check_answer("malformed", answer, &[Answer::TokenNotValid]);
        Ok(())
    }

    async fn send_invalid(
        &mut self,
        kind: &'static str,
        text: &str,
        key: Option<usize>,
    ) -> Result<(), Failure> {
        let mut exchange = Exchange::begin();
        let credential = [(header::AUTHORIZATION, credential(text))];
        let answer = self.send(Method::GET, "/whoami", &credential, None, &mut exchange).await?;
        let expected = expected_answers::for_invalid_token(&self.state, key, &exchange);
        self.check_answer(kind, answer, &expected);
        Ok(())
    }

    async fn send_without_token(&mut self) -> Result<(), Failure> {
        let one = |value| (header::AUTHORIZATION, HeaderValue::from_static(value));
        let (kind, headers, expected) = match random::below(4) {
            0 => ("without a credential", vec![], Answer::NotAuthenticated),
            1 => ("of another scheme", vec![one("Basic dTpw")], Answer::NotAuthenticated),
            2 => ("without a token", vec![one("Bearer ")], Answer::BadHeader),
            _ => (
                "with two tokens",
                vec![one("Bearer a.b.c"), one("Bearer d.e.f")],
                Answer::BadHeader,
            ),
        };
        let mut exchange = Exchange::begin();
        let answer = self.send(Method::GET, "/whoami", &headers, None, &mut exchange).await?;
        self.check_answer(kind, answer, &[expected]);
        Ok(())
    }

    fn check_answer(
        &self,
        kind: &'static str,
        answer: Result<Answer, String>,
        expected: &[Answer],
    ) {
        match answer {
            Ok(answer) => {
                self.state.count(kind, answer);
                if !expected.contains(&answer) {
                    let expected: Vec<_> = expected.iter().map(|answer| answer.name()).collect();
                    let expected = expected.join(" or ");
                    let faults = self.state.describe_faults();
                    self.state.record_wrong_answer(format!(
                        "{kind}: got {}, expected {expected} ({faults})",
                        answer.name()
                    ));
                }
            }
            Err(text) => self.state.record_wrong_answer(format!("{kind}: {text}")),
        }
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, HeaderValue)],
        subject: Option<&str>,
        exchange: &mut Exchange,
    ) -> Result<Result<Answer, String>, Failure> {
        let mut request = Request::builder().method(method).uri(path).body(Empty::new())?;
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
        for (name, value) in headers {
            request.headers_mut().append(name, value.clone());
        }
        let whole = async {
            self.connection.ready().await?;
            let response = self.connection.send_request(request).await?;
            let (parts, body) = response.into_parts();
            Ok::<_, hyper::Error>((parts, body.collect().await?.to_bytes()))
        };
        let (parts, body) =
            timeout(TIMEOUT, whole).await.map_err(|_| "no answer within 10 seconds")??;
        exchange.end();
        Ok(Answer::read(parts.status, &parts.headers, &body, subject))
    }
}

/// Clients that disconnect, in the middle of a request or before its answer.
pub(crate) async fn disconnect_clients(
    state: Arc<RunState>,
    address: String,
) -> Result<(), Failure> {
    while state.sleep_while_running(Duration::from_millis(50)).await {
        let token = Token::new(&newest_key(&state), state.number(), 3_600, Flaw::None);
        let text = format!(
            "GET /whoami HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
            token.text
        );
        let length = match random::one_in(2) {
            true => text.len(),
            false => random::below(text.len()),
        };
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(&text.as_bytes()[..length]).await?;
        drop(stream);
        state.disconnects.fetch_add(1, Relaxed);
    }
    Ok(())
}
