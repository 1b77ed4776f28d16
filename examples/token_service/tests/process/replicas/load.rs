//! The load: clients that refresh, create, list, revoke and use tokens, each call at a random replica.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{
    fleet::{Answer, Fleet, email},
    http::Request,
    model::{Draw, Model, SharedEnd, Token, kid_of},
};
use crate::{PASSWORD, one};

const AUTH: &str = "/api/v1/auth";
const PRIVATE_TOKENS: &str = "/api/v1/auth/private_tokens/";

/// How many private tokens a client has at the same time. All of them are on one page of a list.
const TOKENS: usize = 25;

/// How many private tokens an account may create at one replica without a pause.
const CREATED_AT_ONE_REPLICA: u32 = 25;

/// Passwords are expensive. More log-ins at the same time would leave no time for other calls.
static LOG_INS: Semaphore = Semaphore::const_new(1);

pub(super) struct Client {
    fleet: Arc<Fleet>,
    model: Arc<Model>,
    number: usize,
    draw: Draw,
    session: Option<Session>,
    /// Its private tokens by name, without those whose revocation was acknowledged.
    private: BTreeMap<String, Arc<Token>>,
    revoked: BTreeSet<String>,
    /// Names of private tokens whose creation was not answered.
    unknown: BTreeSet<String>,
    /// Revoked tokens, each with a replica that may have a cached answer from before, and with the end of the bound.
    due: VecDeque<(Instant, usize, Arc<Token>)>,
    names: u32,
    created: Vec<u32>,
}

struct Session {
    access: Arc<Token>,
    refresh: String,
    /// Of all access tokens of the session.
    end: SharedEnd,
    /// The last refresh was not answered, so the refresh token may have been used.
    is_in_doubt: bool,
}

impl Client {
    pub(super) fn new(fleet: &Arc<Fleet>, number: usize) -> Self {
        Self {
            model: Arc::clone(&fleet.model),
            number,
            draw: Draw::new(),
            session: None,
            private: BTreeMap::new(),
            revoked: BTreeSet::new(),
            unknown: BTreeSet::new(),
            due: VecDeque::new(),
            names: 0,
            created: vec![0; fleet.size()],
            fleet: Arc::clone(fleet),
        }
    }

    /// Calls replicas until the flag is set.
    pub(super) async fn run(mut self, stop: Arc<AtomicBool>, pause: Duration) -> Self {
        while !stop.load(Relaxed) {
            self.call_any().await;
            tokio::time::sleep(pause).await;
        }
        self
    }

    async fn call_any(&mut self) {
        match &self.session {
            None => return self.log_in().await,
            Some(session) if session.is_in_doubt => return self.refresh().await,
            Some(_) => {}
        }
        if self.due.front().is_some_and(|(at, ..)| *at < Instant::now()) {
            let (_, replica, token) = self.due.pop_front().unwrap();
            if self.fleet.runs(replica) {
                return self.check(replica, &token).await;
            }
        }
        match self.draw.below(100) {
            0..12 => self.refresh().await,
            12..35 if self.private.len() < TOKENS => {
                let replica = self.fleet.choose(&mut self.draw);
                self.create_at(replica).await;
            }
            12..45 => self.revoke().await,
            45..55 => self.list().await,
            _ => self.use_any().await,
        }
    }

    pub(super) async fn log_in(&mut self) {
        let _permit = LOG_INS.acquire().await.unwrap();
        let body = json!({"username": email(self.number), "password": PASSWORD});
        let replica = self.fleet.choose(&mut self.draw);
        let Some(answer) = self.post(replica, "/login/", &body).await else { return };
        if self.expect("log-in", &answer, &[200]) {
            self.model.count("log-ins");
            self.session = Some(self.opened(&answer, SharedEnd::default()));
        }
    }

    /// The session after a log-in or a refresh. Its access token is valid until the session ends.
    fn opened(&self, answer: &Answer, end: SharedEnd) -> Session {
        let tokens = answer.json();
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        let access = Token::new(&text("access_token"), None, Arc::clone(&end));
        self.model.add(Arc::clone(&access));
        Session { access, refresh: text("refresh_token"), end, is_in_doubt: false }
    }

    pub(super) async fn refresh(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        if session.is_in_doubt {
            // A second use of the refresh token ends the session.
            session.end.lock().unwrap().ask();
        }
        let body = json!({"refresh_token": session.refresh});
        let replica = self.fleet.choose(&mut self.draw);
        let Some(answer) = self.post(replica, "/refresh/", &body).await else {
            session.is_in_doubt = true;
            self.session = Some(session);
            return;
        };
        let is_key_ended = self.model.key(&kid_of(&session.refresh)).was_asked();
        match answer.status {
            200 => {
                self.model.count("refreshes");
                // The session has not ended, although a second use was possible.
                let end = if session.is_in_doubt { SharedEnd::default() } else { session.end };
                self.session = Some(self.opened(&answer, end));
            }
            401 if is_key_ended => self.model.count("sessions ended by a key"),
            401 if session.is_in_doubt => {
                self.model.count("sessions ended by a lost answer");
                session.end.lock().unwrap().acknowledge(Some(answer.seen.process));
            }
            _ => {
                self.expect("refresh", &answer, &[200]);
            }
        }
    }

    /// Creates a private token. Returns it if the replica acknowledged it.
    pub(super) async fn create_at(&mut self, replica: usize) -> Option<Arc<Token>> {
        if self.created[replica] >= CREATED_AT_ONE_REPLICA {
            return None;
        }
        self.created[replica] += 1;
        self.names += 1;
        let name = format!("{}-{}", self.number, self.names);
        let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
        let body = json!({"name": name, "expiration_time": tomorrow.to_string()});
        let Some(answer) = self.with_access(replica, "POST", PRIVATE_TOKENS, Some(&body)).await
        else {
            self.unknown.insert(name);
            return None;
        };
        if !self.expect("create", &answer, &[201, 401]) || answer.status == 401 {
            return None;
        }
        self.model.count("private tokens created");
        let created = answer.json();
        let (id, text) = (created["id"].as_i64(), created["data"].as_str().unwrap());
        let token = Token::new(text, id, SharedEnd::default());
        self.model.add(Arc::clone(&token));
        self.private.insert(name, Arc::clone(&token));
        Some(token)
    }

    /// Uses a private token at one replica and revokes it at another. If a call was not answered, a later one repeats
    /// it.
    async fn revoke(&mut self) {
        if self.private.is_empty() {
            return;
        }
        let number = self.draw.below(self.private.len());
        let (name, token) = self.private.iter().nth(number).unwrap();
        let (name, token) = (name.clone(), Arc::clone(token));
        let was_asked = token.end().was_asked();
        let other = self.fleet.choose(&mut self.draw);
        self.check(other, &token).await;
        token.end.lock().unwrap().ask();
        let replica = self.fleet.choose(&mut self.draw);
        let path = one(token.id.unwrap());
        let Some(answer) = self.with_access(replica, "DELETE", &path, None).await else { return };
        let by = Some(answer.seen.process);
        match answer.status {
            204 => {
                self.model.count("private tokens revoked");
                token.end.lock().unwrap().acknowledge(by);
            }
            // The call before, which was not answered, has revoked it. This process may not know of it.
            404 if was_asked => token.end.lock().unwrap().acknowledge(None),
            401 => return,
            _ => {
                self.expect("revoke", &answer, &[204]);
                return;
            }
        }
        self.private.remove(&name);
        self.revoked.insert(name);
        if answer.status == 204 {
            // The process that acknowledged it must reject the token at once, and the other one after the bound.
            self.check(replica, &token).await;
            self.due.push_back((Instant::now() + self.model.bound, other, token));
        }
    }

    /// Lists the private tokens. What was acknowledged before must be in the list, or must not.
    pub(super) async fn list(&mut self) {
        let replica = self.fleet.choose(&mut self.draw);
        let path = format!("{PRIVATE_TOKENS}?page_size=100");
        let Some(answer) = self.with_access(replica, "GET", &path, None).await else { return };
        if !self.expect("list", &answer, &[200, 401]) || answer.status == 401 {
            return;
        }
        self.model.count("lists");
        let list = answer.json();
        let listed: BTreeSet<&str> = list["results"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|t| t["name"].as_str())
            .collect();
        for (name, token) in &self.private {
            if self.model.is_valid(token) && !listed.contains(&**name) {
                self.model.wrong(format!("replica {replica}: the list lacks {name}"));
            }
        }
        for name in listed {
            if !self.private.contains_key(name) && !self.unknown.contains(name) {
                let why = if self.revoked.contains(name) { "revoked" } else { "unknown" };
                self.model.wrong(format!("replica {replica}: {name} is listed and {why}"));
            }
        }
    }

    /// Uses a token of any client.
    async fn use_any(&mut self) {
        if let Some(token) = self.model.draw(&mut self.draw) {
            let replica = self.fleet.choose(&mut self.draw);
            self.check(replica, &token).await;
        }
    }

    async fn check(&self, replica: usize, token: &Token) {
        check(&self.fleet, replica, token).await;
    }

    async fn post(&self, replica: usize, path: &str, body: &Value) -> Option<Answer> {
        let path = format!("{AUTH}{path}");
        let request = Request { method: "POST", path: &path, token: None, body: Some(body) };
        self.fleet.call(replica, request).await
    }

    /// Calls with the access token. A 401 is only right if the access token may have ended. Then the client refreshes.
    async fn with_access(
        &mut self,
        replica: usize,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Answer> {
        let access = Arc::clone(&self.session.as_ref()?.access);
        let request = Request { method, path, token: Some(&access.text), body };
        let answer = self.fleet.call(replica, request).await?;
        self.model.judge(&access, answer.status != 401, answer.seen);
        if answer.status == 401 {
            self.refresh().await;
        }
        Some(answer)
    }

    fn expect(&self, what: &str, answer: &Answer, statuses: &[u16]) -> bool {
        let is_expected = statuses.contains(&answer.status);
        if !is_expected {
            self.model.wrong(format!("{what}: {} {}", answer.status, answer.json()["detail"]));
        }
        is_expected
    }

    /// At the end: the last acknowledged refresh token must work, and the list must be right.
    pub(super) async fn finish(mut self) {
        self.refresh().await;
        self.list().await;
    }
}

/// Uses a token at a replica, and judges the answer. Returns whether there was one.
pub(super) async fn check(fleet: &Fleet, replica: usize, token: &Token) -> bool {
    let request =
        Request { method: "GET", path: "/api/v1/me", token: Some(&token.text), body: None };
    let Some(answer) = fleet.call(replica, request).await else { return false };
    match answer.status {
        200 | 401 => fleet.model.judge(token, answer.status == 200, answer.seen),
        status => fleet.model.wrong(format!("me: {status}")),
    }
    true
}
