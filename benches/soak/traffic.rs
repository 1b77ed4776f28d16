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
    Failure,
    answer::Answer,
    issuer::{newest_key, signing_key},
    judge::{self, Demand, Exchange},
    random, revoker,
    token::{Flaw, Revocation, Token, credential},
    world::World,
};

/// The pause between two requests of a connection. The soak tests a long time, not speed, and leaves processor time to
/// others.
const THINKING: Duration = Duration::from_millis(4);
/// The maximum time of any request.
const PATIENCE: Duration = Duration::from_secs(10);

struct Client {
    connection: SendRequest<Empty<Bytes>>,
    world: Arc<World>,
}

/// Sends one request after the other until the run is over.
pub(crate) async fn ask(world: Arc<World>, address: String, number: usize) -> Result<(), Failure> {
    let stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    let mut client = Client { connection, world };
    while client.world.goes_on() {
        client.any_kind().await.map_err(|error| format!("connection {number}: {error}"))?;
        sleep(THINKING).await;
    }
    Ok(())
}

impl Client {
    async fn any_kind(&mut self) -> Result<(), Failure> {
        let world = Arc::clone(&self.world);
        match random::below(100) {
            0..50 => {
                let token = World::pick(&world.stock());
                self.token("good", token, Demand::Claims).await
            }
            50..58 => {
                let token = match random::one_in(2) {
                    true => world.revoked().last().cloned(),
                    false => World::pick(&world.revoked()),
                };
                self.token("revoked elsewhere", token, Demand::Claims).await
            }
            58..66 => {
                let token = World::pick(&world.stock());
                self.token("for a scope", token, Demand::Admin).await
            }
            66..70 => self.token("new", Some(self.fresh(3_600)), Demand::Claims).await,
            // With the leeway, these tokens live for up to 4 more seconds.
            70..72 => {
                let token = self.fresh(random::between(-28, -26));
                for _ in 0..3 {
                    self.token("expiring", Some(Arc::clone(&token)), Demand::Claims).await?;
                }
                world.expires(token);
                Ok(())
            }
            72..75 => {
                let token = world.expiring();
                self.token("expiring", token, Demand::Claims).await
            }
            75..77 => {
                let lifetime = random::between(-100_000, -31);
                self.token("expired", Some(self.fresh(lifetime)), Demand::Claims).await
            }
            77 => {
                let key = newest_key(&world);
                let token = Token::new(&key, world.number(), 3_600, Flaw::None);
                self.token("of a key just published", Some(Arc::new(token)), Demand::Claims).await
            }
            78 => self.log_out().await,
            79..81 => self.changed().await,
            81..83 => self.flawed("for another audience", Flaw::Audience).await,
            83..85 => self.flawed("of another issuer", Flaw::Issuer).await,
            85 => self.flawed("without expiry", Flaw::NoExpiry).await,
            86 => self.unknown_key().await,
            87..92 => self.without_a_token().await,
            _ => self.malformed().await,
        }
    }

    fn fresh(&self, lifetime: i64) -> Arc<Token> {
        let key = signing_key(&self.world);
        Arc::new(Token::new(&key, self.world.number(), lifetime, Flaw::None))
    }

    async fn token(
        &mut self,
        kind: &'static str,
        token: Option<Arc<Token>>,
        demand: Demand,
    ) -> Result<(), Failure> {
        let Some(token) = token else { return Ok(()) };
        let before = token.revocation();
        let mut exchange = Exchange::begin();
        let first_sent = token.is_sent(exchange.sent);
        let (method, path) = match demand {
            Demand::Claims => (Method::GET, "/whoami"),
            Demand::Admin => (Method::GET, "/admin"),
            Demand::LogOut => (Method::POST, "/logout"),
        };
        let credential = [(header::AUTHORIZATION, token.credential())];
        let answer =
            self.send(method, path, &credential, Some(&token.subject), &mut exchange).await?;
        if demand == Demand::LogOut && matches!(answer, Ok(Answer::Passed | Answer::NotStored)) {
            token.set_revocation(Revocation::LoggedOut(exchange.answered));
        }
        // A token that is revoked during the request may be rejected. A token that was revoked before must be rejected.
        let revocation = match (before, token.revocation()) {
            (Revocation::None, Revocation::None) => Revocation::None,
            (Revocation::None, _) if demand == Demand::LogOut => Revocation::None,
            (Revocation::None, _) => Revocation::Asked,
            (before, _) => before,
        };
        if answer == Ok(Answer::Passed)
            && let Revocation::Recorded(at) = revocation
            && !self.world.redis.may_concern(at, exchange.answered)
        {
            self.world.passed_after_revocation(exchange.sent.saturating_duration_since(at));
        }
        let knows_key = judge::knows_key(&self.world, &token, &exchange);
        if knows_key {
            self.world.redis.note_stall(exchange.sent, exchange.answered);
        }
        let expected =
            judge::answers(&self.world, &token, first_sent, revocation, demand, &exchange);
        if answer == Ok(Answer::Unavailable) && knows_key {
            self.world.redis.note_unavailable(exchange.answered);
        }
        let kind = match revocation {
            _ if !knows_key => "while their key comes or goes",
            Revocation::None => kind,
            Revocation::LoggedOut(_) => "logged out",
            Revocation::Asked | Revocation::Recorded(_) => "revoked elsewhere",
        };
        self.judge(kind, answer, &expected);
        Ok(())
    }

    /// The server that got the log-out rejects the token from the next request on, even if the store could not record
    /// it.
    async fn log_out(&mut self) -> Result<(), Failure> {
        let token = self.fresh(3_600);
        self.token("log-out", Some(Arc::clone(&token)), Demand::LogOut).await?;
        if matches!(token.revocation(), Revocation::LoggedOut(_)) {
            revoker::remember(&self.world, Arc::clone(&token));
        }
        self.token("not logged out", Some(token), Demand::Claims).await
    }

    async fn flawed(&mut self, kind: &'static str, flaw: Flaw) -> Result<(), Failure> {
        let key = signing_key(&self.world);
        let token = Token::new(&key, self.world.number(), 3_600, flaw);
        self.bad(kind, &token.text, Some(token.key)).await
    }

    /// Changes one character of a valid token.
    async fn changed(&mut self) -> Result<(), Failure> {
        let Some(token) = World::pick(&self.world.stock()) else { return Ok(()) };
        let mut text = token.text.clone().into_bytes();
        let signature = token.text.rfind('.').map_or(0, |dot| dot + 1);
        let at = signature + random::below(text.len() - 1 - signature);
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        let text = String::from_utf8(text)?;
        self.bad("with another signature", &text, Some(token.key)).await
    }

    async fn unknown_key(&mut self) -> Result<(), Failure> {
        let token = self.world.of_a_stranger();
        self.bad("of an unknown key", &token.text, None).await
    }

    async fn malformed(&mut self) -> Result<(), Failure> {
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
        self.judge("malformed", answer, &[Answer::TokenNotValid]);
        Ok(())
    }

    async fn bad(
        &mut self,
        kind: &'static str,
        text: &str,
        key: Option<usize>,
    ) -> Result<(), Failure> {
        let mut exchange = Exchange::begin();
        let credential = [(header::AUTHORIZATION, credential(text))];
        let answer = self.send(Method::GET, "/whoami", &credential, None, &mut exchange).await?;
        let expected = judge::bad(&self.world, key, &exchange);
        self.judge(kind, answer, &expected);
        Ok(())
    }

    async fn without_a_token(&mut self) -> Result<(), Failure> {
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
        self.judge(kind, answer, &[expected]);
        Ok(())
    }

    fn judge(&self, kind: &'static str, answer: Result<Answer, String>, expected: &[Answer]) {
        match answer {
            Ok(answer) => {
                self.world.count(kind, answer);
                if !expected.contains(&answer) {
                    let expected: Vec<_> = expected.iter().map(|answer| answer.name()).collect();
                    let expected = expected.join(" or ");
                    let situation = self.world.situation();
                    self.world.is_wrong(format!(
                        "{kind}: {} in place of {expected} ({situation})",
                        answer.name()
                    ));
                }
            }
            Err(text) => self.world.is_wrong(format!("{kind}: {text}")),
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
        let (parts, body) = timeout(PATIENCE, whole).await.map_err(|_| "no answer in time")??;
        exchange.end();
        Ok(Answer::read(parts.status, &parts.headers, &body, subject))
    }
}

/// Clients that disconnect, in the middle of a request or before its answer.
pub(crate) async fn hang_up(world: Arc<World>, address: String) -> Result<(), Failure> {
    while world.goes_on_for(Duration::from_millis(50)).await {
        let token = Token::new(&newest_key(&world), world.number(), 3_600, Flaw::None);
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
        world.hung_up.fetch_add(1, Relaxed);
    }
    Ok(())
}
