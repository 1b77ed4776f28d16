//! Tokens, keys and a log with marks in place of each thing that must not be shown.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex, OnceLock},
};

use metrics_util::debugging::{DebuggingRecorder, Snapshotter};
use tower_bearer::{
    Authenticator, BoxFuture, Issuer, Key, KeySource, UnixTime,
    claims::ManualClock,
    revocation::{Lookup, Revocable, RevocationEntry, RevocationStore, StoreError, Verdict},
};
use tracing_subscriber::{filter::LevelFilter, fmt::format::FmtSpan};

use crate::common::{requests::NOW, tokens::sign_hs256_with};

pub(crate) const SECRET: &[u8] =
    b"kV9xQ2mZr7Lw0BtY5nHc8DfG3jPs6AeU1iOoRvXhNbMqTzWyKlJgFdSaCu4E=-pQ";
pub(crate) const SUBJECT: &str = "sUb~Zq7Wx2Lk9Pv4";
pub(crate) const TOKEN_ID: &str = "jTi~Hn5Tc8Rm3Qd6";
pub(crate) const SESSION: &str = "sId~Bw1Yf4Gk7Js0";
pub(crate) const KEY_ID: &str = "kId~Xe2Uo9Ia6Lz3";
pub(crate) const SCOPE: &str = "sCp~Vn8Kd5Tq2Mb7";
pub(crate) const EMAIL: &str = "Oy4Pj1Wr9Cu6@Fs3.test";

/// Everything is logged and recorded here, from the first test on.
pub(crate) static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let recorder = DebuggingRecorder::new();
    log.metrics.set(recorder.snapshotter()).unwrap();
    recorder.install().unwrap();
    log
});

#[derive(Clone, Default)]
pub(crate) struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    metrics: Arc<OnceLock<Snapshotter>>,
}

impl Log {
    /// Everything that was logged, except audit events.
    pub(crate) fn text(&self) -> String {
        self.lines(|line| !is_audit(line))
    }

    /// The audit events. Only they may name subjects, sessions and tokens.
    pub(crate) fn audit(&self) -> String {
        self.lines(is_audit)
    }

    fn lines(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
        text.split_inclusive('\n').filter(|line| is_wanted(line)).collect()
    }

    /// Every metric so far, with its labels.
    pub(crate) fn metrics(&self) -> String {
        format!("{:?}", self.metrics.get().unwrap().snapshot())
    }
}

fn is_audit(line: &str) -> bool {
    line.contains(" INFO tower_bearer::audit: ")
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn signed(header: &str, claims: &str) -> String {
    sign_hs256_with(SECRET, header, claims)
}

pub(crate) fn marked_key() -> Key {
    Key::hs256(SECRET).unwrap().with_key_id(KEY_ID)
}

pub(crate) fn marked_issuer(keys: impl Into<KeySource>) -> Issuer {
    Issuer::new("https://issuer.example", keys).audience("api://orders")
}

/// A good token with a mark in every place that can have one.
pub(crate) fn marked_token() -> String {
    marked_token_until(NOW + 60)
}

pub(crate) fn marked_token_until(exp: u64) -> String {
    let header = format!(r#"{{"alg":"HS256","kid":"{KEY_ID}"}}"#);
    let claims = format!(
        r#"{{"iss":"https://issuer.example","aud":["api://orders","{EMAIL}"],"exp":{exp},"sub":"{SUBJECT}","jti":"{TOKEN_ID}","sid":"{SESSION}","scope":"{SCOPE}","email":"{EMAIL}"}}"#
    );
    signed(&header, &claims)
}

/// What was printed on the way of a request.
pub(crate) type Printed = Arc<Mutex<Vec<String>>>;

pub(crate) fn marked_authenticator(printed: &Printed) -> Authenticator {
    let printed = Arc::clone(printed);
    let authenticator = Authenticator::builder()
        .issuer(marked_issuer(marked_key()))
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
        .add_check(move |token| {
            printed.lock().unwrap().push(format!("{token:?} {token:#?}"));
            Ok(())
        });
    authenticator.build().unwrap()
}

pub(crate) fn all_revocables() -> [Revocable; 4] {
    let issuer: Arc<str> = "https://issuer.example".into();
    [
        Revocable::token(issuer.clone(), TOKEN_ID),
        Revocable::subject(issuer.clone(), SUBJECT),
        Revocable::session(issuer.clone(), SESSION),
        Revocable::key(issuer, KEY_ID),
    ]
}

/// A store that fails in words of its own, or never answers.
pub(crate) struct Store(pub(crate) Option<fn(&Lookup) -> StoreError>);

impl RevocationStore for Store {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        Box::pin(async move {
            match self.0 {
                Some(error) => Err(error(lookup)),
                None => std::future::pending().await,
            }
        })
    }

    fn revoke<'a>(&'a self, _: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}
