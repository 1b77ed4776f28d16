//! Simulates another process of the fleet. It revokes through Redis, and the resource server must receive that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};
use tower_bearer::revocation::RevocationStore;
use tower_bearer_redis::RedisStore;

use crate::{
    failure::Failure,
    run_state::RunState,
    soak_token::{Revocation, Token},
};

const PAUSE: Duration = Duration::from_millis(100);
/// The number of revoked tokens that are still sent. The oldest ones are removed first.
const MAX_REVOKED: usize = 2_000;

/// Uses a separate connection without the proxy, so the faults of the proxy do not affect it.
pub(crate) async fn store(url: &str) -> Result<RedisStore, Failure> {
    let store = RedisStore::connect(url).await?;
    store.initialise().await?;
    Ok(store)
}

/// Revokes ten valid tokens each second.
pub(crate) async fn revoke(state: Arc<RunState>, store: RedisStore) -> Result<(), Failure> {
    while state.sleep_while_running(PAUSE).await {
        let token = RunState::pick(&state.stock());
        let Some(token) = token.filter(|token| matches!(token.revocation(), Revocation::None))
        else {
            continue;
        };
        token.set_revocation(Revocation::Asked);
        let done = store.revoke(&token.revocation_entry()).await;
        if done.is_ok() {
            token.set_revocation(Revocation::Recorded(Instant::now()));
        }
        remember(&state, token);
    }
    Ok(())
}

pub(crate) fn remember(state: &RunState, token: Arc<Token>) {
    let mut revoked = state.revoked();
    if revoked.len() >= MAX_REVOKED {
        revoked.remove(0);
    }
    revoked.push(token);
}

/// Writes all revocations to a Redis that has lost them.
pub(crate) async fn seed(state: &RunState, store: &RedisStore) -> Result<(), Failure> {
    let attempts = async {
        loop {
            let denials: Vec<_> =
                state.revoked().iter().map(|token| token.revocation_entry()).collect();
            if store.seed(denials).await.is_ok() {
                return;
            }
            sleep(PAUSE).await;
        }
    };
    Ok(timeout(Duration::from_secs(20), attempts).await?)
}
