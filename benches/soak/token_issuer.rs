//! Simulates the issuer: rotates its keys and issues tokens.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    failure::Failure,
    random,
    run_state::RunState,
    soak_token::{Flaw, SigningKey, Token},
};

/// The time between two new keys.
const ROTATION: Duration = Duration::from_secs(20);
/// How many of the changing keys are published at the same time.
const PUBLISHED: usize = 5;
/// How long a key is published before it signs. It is longer than `max-age`, as issuers must do.
const SIGNS_AFTER: Duration = Duration::from_secs(61);
/// The number of valid tokens in use. New ones replace old ones.
const STOCK: usize = 2_000;
const TOKENS_PER_SECOND: u32 = 200;

/// Adds a new key at regular intervals, and removes the oldest.
pub(crate) async fn rotate(state: Arc<RunState>) -> Result<(), Failure> {
    let mut number = state.keys().len();
    while state.sleep_while_running(ROTATION).await {
        let key = SigningKey::new(number)?;
        let mut keys = state.keys();
        keys.push(key);
        if keys.len() > PUBLISHED + 1 {
            keys.remove(1);
        }
        number += 1;
    }
    Ok(())
}

/// A key that has been published for long enough.
pub(crate) fn random_signing_key(state: &RunState) -> SigningKey {
    let keys = state.keys();
    let old = |key: &&SigningKey| key.number <= 2 || key.published.elapsed() >= SIGNS_AFTER;
    let old: Vec<_> = keys.iter().filter(old).collect();
    // Signing with the RSA key is slow.
    let at = if random::one_in(20) { 0 } else { random::below(old.len()) };
    old[at].clone()
}

pub(crate) fn newest_key(state: &RunState) -> SigningKey {
    state.keys().last().expect("the permanent RSA key is always in the list").clone()
}

/// Keeps a stock of valid tokens. Random old ones are replaced by new ones.
pub(crate) async fn issue(state: Arc<RunState>) -> Result<(), Failure> {
    while state.is_running() {
        let token =
            Arc::new(Token::new(&random_signing_key(&state), state.number(), 3_600, Flaw::None));
        let is_stocked = {
            let mut stock = state.stock();
            if stock.len() < STOCK {
                stock.push(token);
                false
            } else {
                stock[random::below(STOCK)] = token;
                true
            }
        };
        if is_stocked {
            sleep(Duration::from_secs(1) / TOKENS_PER_SECOND).await;
        }
    }
    Ok(())
}

/// Waits until there are enough valid tokens.
pub(crate) async fn wait_for_stock(state: &RunState) {
    while state.stock().len() < STOCK {
        sleep(Duration::from_millis(10)).await;
    }
}
