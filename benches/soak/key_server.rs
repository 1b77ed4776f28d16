//! The key server. It records which keys it sent, and when.

use std::{
    sync::Arc,
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

use crate::{failure::Failure, fault_record::KeyFault, run_state::RunState};

/// How long the resource server waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Starts the server. Returns the URL of the keys.
pub(crate) async fn start(state: Arc<RunState>) -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/keys", get(async move || answer(&state).await));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}/keys"))
}

async fn answer(state: &RunState) -> Response {
    let begun = Instant::now();
    let fault = *state.key_fault.lock().unwrap();
    let Some(fault) = fault else {
        let (keys, document) = {
            let keys = state.keys();
            let jwks: Vec<_> = keys.iter().map(|key| key.jwk.as_str()).collect();
            let document = format!(r#"{{"keys":[{}]}}"#, jwks.join(","));
            (keys.iter().map(|key| key.number).collect(), document)
        };
        state.key_fetches.record(begun, begun, Some(keys));
        // The shortest `max-age` that the resource server respects.
        return ([(header::CACHE_CONTROL, "max-age=60")], document).into_response();
    };
    let ended = if fault == KeyFault::Hangs { begun + TIMEOUT } else { begun };
    state.key_fetches.record(begun, ended, None);
    match fault {
        KeyFault::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        KeyFault::Hangs => {
            sleep(TIMEOUT * 2).await;
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
