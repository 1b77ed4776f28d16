//! What clients know about the tokens of a fleet, and which answers are wrong.
//!
//! 1. **A token that was acknowledged is valid until something that ends it was asked for**: its own revocation, the
//!    end of its session, or the end of its key.
//! 2. **From then on both answers are right**, because the answer of the call that ends it may be lost.
//! 3. **Once the end was acknowledged, every process must reject the token after the bound.** A process that
//!    acknowledged it itself, or that started later, must reject it at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

/// The process that answered, and when.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) process: u64,
    pub(super) started: Instant,
    pub(super) sent: Instant,
    pub(super) answered: Instant,
}

/// What is known about the end of a token, a session or a key.
#[derive(Clone, Copy, Default)]
pub(super) struct End {
    /// When the first call that may end it was sent.
    asked: Option<Instant>,
    acknowledged: Option<Acknowledged>,
}

#[derive(Clone, Copy)]
struct Acknowledged {
    at: Instant,
    /// `None`: by a command.
    by: Option<u64>,
}

/// Of several tokens.
pub(super) type SharedEnd = Arc<Mutex<End>>;

impl End {
    pub(super) fn ask(&mut self) {
        self.asked.get_or_insert_with(Instant::now);
    }

    pub(super) fn acknowledge(&mut self, by: Option<u64>) {
        self.acknowledged.get_or_insert(Acknowledged { at: Instant::now(), by });
    }

    pub(super) fn was_asked(&self) -> bool {
        self.asked.is_some()
    }

    pub(super) fn was_acknowledged(&self) -> bool {
        self.acknowledged.is_some()
    }

    fn may_be_rejected(&self, seen: Seen) -> bool {
        self.asked.is_some_and(|asked| asked <= seen.answered)
    }

    fn may_be_accepted(&self, seen: Seen, bound: Duration) -> bool {
        self.acknowledged.is_none_or(|end| {
            let knows = end.by == Some(seen.process) || seen.started > end.at;
            seen.sent <= if knows { end.at } else { end.at + bound }
        })
    }

    /// How long after its end a token was still accepted.
    fn accepted_after(&self, seen: Seen) -> Duration {
        self.acknowledged.map_or(Duration::ZERO, |end| seen.sent.saturating_duration_since(end.at))
    }
}

/// An access token or a private token that a client got.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) kid: String,
    /// Of a private token.
    pub(super) id: Option<i64>,
    pub(super) end: SharedEnd,
}

impl Token {
    /// `end` is that of its session, or its own.
    pub(super) fn new(text: &str, id: Option<i64>, end: SharedEnd) -> Arc<Self> {
        Arc::new(Self { text: text.to_owned(), kid: kid_of(text), id, end })
    }

    pub(super) fn end(&self) -> End {
        *self.end.lock().unwrap()
    }
}

/// The `kid` in the header of a token, which is not verified.
pub(super) fn kid_of(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

/// What all clients know together.
pub(super) struct Model {
    begin: Instant,
    pub(super) bound: Duration,
    tokens: Mutex<Vec<Arc<Token>>>,
    keys: Mutex<BTreeMap<String, End>>,
    wrong: Mutex<Vec<String>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// The longest time for which a token was accepted after its end was acknowledged.
    accepted_after: Mutex<Duration>,
}

impl Model {
    pub(super) fn new(bound: Duration) -> Self {
        Self {
            begin: Instant::now(),
            bound,
            tokens: Mutex::default(),
            keys: Mutex::default(),
            wrong: Mutex::default(),
            counts: Mutex::default(),
            accepted_after: Mutex::default(),
        }
    }

    pub(super) fn add(&self, token: Arc<Token>) {
        self.tokens.lock().unwrap().push(token);
    }

    pub(super) fn tokens(&self) -> Vec<Arc<Token>> {
        self.tokens.lock().unwrap().clone()
    }

    /// A token of any client.
    pub(super) fn draw(&self, draw: &mut Draw) -> Option<Arc<Token>> {
        let tokens = self.tokens.lock().unwrap();
        (!tokens.is_empty()).then(|| Arc::clone(&tokens[draw.below(tokens.len())]))
    }

    pub(super) fn change_key(&self, kid: &str, change: impl FnOnce(&mut End)) {
        change(self.keys.lock().unwrap().entry(kid.to_owned()).or_default());
    }

    pub(super) fn key(&self, kid: &str) -> End {
        self.keys.lock().unwrap().get(kid).copied().unwrap_or_default()
    }

    /// Whether the end of the token and of its key were never asked for.
    pub(super) fn is_valid(&self, token: &Token) -> bool {
        !token.end().was_asked() && !self.key(&token.kid).was_asked()
    }

    /// Whether every process must reject the token after the bound.
    pub(super) fn is_ended(&self, token: &Token) -> bool {
        token.end().was_acknowledged() || self.key(&token.kid).was_acknowledged()
    }

    /// Records a wrong answer if a process may not have accepted or rejected the token.
    pub(super) fn judge(&self, token: &Token, is_accepted: bool, seen: Seen) {
        let kind = if token.id.is_some() { "private" } else { "access" };
        let what = format!("process {}, {kind} token of key {}", seen.process, token.kid);
        let ends = [token.end(), self.key(&token.kid)];
        if !is_accepted {
            self.count("rejected");
            if !ends.iter().any(|end| end.may_be_rejected(seen)) {
                self.wrong(format!("{what}: rejected, and valid"));
            }
            return;
        }
        self.count("accepted");
        let late = ends.map(|end| end.accepted_after(seen)).into_iter().max().unwrap_or_default();
        if ends.iter().all(|end| end.may_be_accepted(seen, self.bound)) {
            let mut longest = self.accepted_after.lock().unwrap();
            *longest = late.max(*longest);
        } else {
            self.wrong(format!("{what}: accepted {late:?} after its end"));
        }
    }

    pub(super) fn accepted_after(&self) -> Duration {
        *self.accepted_after.lock().unwrap()
    }

    pub(super) fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(format!("{:.1?}: {what}", self.begin.elapsed()));
    }

    pub(super) fn wrong_answers(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    pub(super) fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    pub(super) fn counted(&self, what: &str) -> u64 {
        self.counts.lock().unwrap().get(what).copied().unwrap_or_default()
    }
}

/// Random numbers (xorshift). They decide about the load, and not about its outcome.
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        Self(RandomState::new().hash_one(0) | 1)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    fn token() -> Arc<Token> {
        let header = URL_SAFE_NO_PAD.encode(r#"{"kid":"one"}"#);
        Token::new(&format!("{header}.e30.c2ln"), None, SharedEnd::default())
    }

    /// An answer of the process 1, which started long ago, after so many seconds from now.
    fn seen(seconds: u64) -> Seen {
        let sent = Instant::now() + Duration::from_secs(seconds);
        let started = Instant::now() - Duration::from_secs(60);
        Seen { process: 1, started, sent, answered: sent }
    }

    fn is_right(model: &Model, token: &Token, is_accepted: bool, seen: Seen) -> bool {
        let before = model.wrong_answers().len();
        model.judge(token, is_accepted, seen);
        model.wrong_answers().len() == before
    }

    #[test]
    fn a_token_must_be_accepted_until_its_end_was_asked_for() {
        let (model, token) = (Model::new(BOUND), token());
        assert!(is_right(&model, &token, true, seen(0)));
        assert!(!is_right(&model, &token, false, seen(0)));
        let earlier = seen(0);
        token.end.lock().unwrap().ask();
        assert!(!is_right(&model, &token, false, earlier));
        assert!(is_right(&model, &token, false, seen(0)));
        assert!(is_right(&model, &token, true, seen(1000)));
    }

    #[test]
    fn a_token_must_be_rejected_after_the_bound_or_at_once() {
        let (model, token) = (Model::new(BOUND), token());
        token.end.lock().unwrap().ask();
        token.end.lock().unwrap().acknowledge(Some(7));
        assert!(is_right(&model, &token, true, seen(9)));
        assert!(!is_right(&model, &token, true, seen(11)));
        assert!(is_right(&model, &token, false, seen(11)));
        assert!(!is_right(&model, &token, true, Seen { process: 7, ..seen(1) }));
        assert!(!is_right(&model, &token, true, Seen { started: Instant::now(), ..seen(1) }));
        assert!(model.accepted_after() >= Duration::from_secs(8));
    }

    #[test]
    fn the_end_of_a_key_ends_its_tokens_and_no_others() {
        let (model, token) = (Model::new(BOUND), token());
        for end in [End::ask, |end: &mut End| end.acknowledge(None)] {
            model.change_key("two", end);
        }
        assert!(!is_right(&model, &token, false, seen(11)));
        assert!(model.is_valid(&token) && !model.is_ended(&token));
        for end in [End::ask, |end: &mut End| end.acknowledge(None)] {
            model.change_key("one", end);
        }
        assert!(is_right(&model, &token, false, seen(11)));
        assert!(!is_right(&model, &token, true, seen(11)));
        assert!(!model.is_valid(&token) && model.is_ended(&token));
    }
}
