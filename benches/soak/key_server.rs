//! The key server. It records which keys it sent, and when.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, time::sleep};

use crate::{Failure, faults::KeyFault, world::World};

/// The maximum time in which the resource server applies an answer, on a busy machine.
const ON_THE_WAY: Duration = Duration::from_secs(1);
/// How long the resource server waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Every request for keys.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<Vec<Attempt>>);

#[derive(Clone)]
struct Attempt {
    begun: Instant,
    ended: Instant,
    /// The keys in a valid answer.
    keys: Option<BTreeSet<usize>>,
}

/// What the resource server can know about a key during a request.
#[derive(Clone, Copy)]
pub(crate) struct Knowledge {
    pub(crate) maybe: bool,
    pub(crate) surely: bool,
    /// The last fetch of keys may have failed.
    pub(crate) in_doubt: bool,
}

impl Attempts {
    fn note(&self, begun: Instant, ended: Instant, keys: Option<BTreeSet<usize>>) {
        self.0.lock().unwrap().push(Attempt { begun, ended, keys });
    }

    /// The knowledge about `key` between these two times.
    pub(crate) fn knowledge(&self, key: Option<usize>, from: Instant, until: Instant) -> Knowledge {
        let attempts = self.0.lock().unwrap();
        let is_settled = |attempt: &&Attempt| attempt.ended + ON_THE_WAY <= from;
        let may_count = |attempt: &&Attempt| !is_settled(attempt) && attempt.begun <= until;
        let good = |attempt: &&Attempt| attempt.keys.is_some();
        let last = attempts.iter().rfind(is_settled);
        let last_good = attempts.iter().filter(is_settled).rfind(good);
        let is_in = |attempt: &Attempt| {
            key.is_some_and(|key| attempt.keys.as_ref().is_some_and(|keys| keys.contains(&key)))
        };
        let later: Vec<_> = attempts.iter().filter(may_count).collect();
        let mut sets =
            last_good.into_iter().chain(later.iter().copied().filter(|it| it.keys.is_some()));
        Knowledge {
            maybe: sets.clone().any(is_in),
            surely: last_good.is_some() && sets.all(is_in),
            in_doubt: last_good.is_none()
                || last.into_iter().chain(later).any(|attempt| attempt.keys.is_none()),
        }
    }

    pub(crate) fn count(&self) -> (usize, usize) {
        let attempts = self.0.lock().unwrap();
        (attempts.len(), attempts.iter().filter(|attempt| attempt.keys.is_none()).count())
    }

    /// The longest time without a request for keys.
    pub(crate) fn longest_pause(&self) -> Duration {
        let attempts = self.0.lock().unwrap();
        let pauses = attempts.windows(2).map(|two| two[1].begun - two[0].begun);
        pauses.max().unwrap_or_default()
    }
}

/// Starts the server. Returns the URL of the keys.
pub(crate) async fn start(world: Arc<World>) -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/keys", get(async move || answer(&world).await));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}/keys"))
}

async fn answer(world: &World) -> Response {
    let begun = Instant::now();
    let fault = *world.key_fault.lock().unwrap();
    let Some(fault) = fault else {
        let (keys, document) = {
            let keys = world.keys();
            let jwks: Vec<_> = keys.iter().map(|key| key.jwk.as_str()).collect();
            let document = format!(r#"{{"keys":[{}]}}"#, jwks.join(","));
            (keys.iter().map(|key| key.number).collect(), document)
        };
        world.attempts.note(begun, begun, Some(keys));
        // The shortest `max-age` that the resource server respects.
        return ([(header::CACHE_CONTROL, "max-age=60")], document).into_response();
    };
    let ended = if fault == KeyFault::Hangs { begun + PATIENCE } else { begun };
    world.attempts.note(begun, ended, None);
    match fault {
        KeyFault::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        KeyFault::Hangs => {
            sleep(PATIENCE * 2).await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
        KeyFault::Empty => r#"{"keys":[]}"#.into_response(),
        KeyFault::Garbage => "<!DOCTYPE html><title>sign in</title>".into_response(),
        KeyFault::BreaksOff => {
            let pieces = futures_util::stream::iter([
                Ok(bytes::Bytes::from_static(br#"{"keys":[{"#)),
                Err(std::io::Error::other("broken off")),
            ]);
            Response::new(Body::from_stream(pieces))
        }
    }
}
