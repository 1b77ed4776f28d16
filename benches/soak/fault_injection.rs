//! Makes the key server and Redis fail, one fault after the other.

use std::{sync::Arc, time::Duration};

use tower_bearer_redis::RedisStore;

use crate::{
    failure::Failure,
    fault_record::{KeyFault, RedisFault},
    proxy::Proxy,
    redis_server::Server as RedisServer,
    revoker,
    run_state::RunState,
};

/// How long the key server fails. It is long enough for one fetch: unknown keys cause one every 30 seconds.
const KEY_SERVER_FAILS: Duration = Duration::from_secs(35);
const KEY_SERVER_WORKS: Duration = Duration::from_secs(20);

const REDIS_FAILS: Duration = Duration::from_secs(5);
const REDIS_WORKS: Duration = Duration::from_secs(15);

/// Each fault in turn, with pauses without a fault between them.
pub(crate) async fn break_key_server(state: Arc<RunState>) -> Result<(), Failure> {
    let faults =
        [KeyFault::Fails, KeyFault::Hangs, KeyFault::Empty, KeyFault::Garbage, KeyFault::BreaksOff];
    for fault in faults.into_iter().cycle() {
        if !state.sleep_while_running(KEY_SERVER_WORKS).await {
            break;
        }
        *state.key_fault.lock().unwrap() = Some(fault);
        state.sleep_while_running(KEY_SERVER_FAILS).await;
        *state.key_fault.lock().unwrap() = None;
    }
    Ok(())
}

/// Each fault in turn, with pauses without a fault between them.
pub(crate) async fn break_redis(
    state: Arc<RunState>,
    mut redis: RedisServer,
    proxy: Proxy,
    store: RedisStore,
) -> Result<(), Failure> {
    for fault in RedisFault::ALL.into_iter().cycle() {
        if !state.sleep_while_running(REDIS_WORKS).await {
            break;
        }
        state.redis_faults.begin(fault);
        match fault {
            RedisFault::Killed => {
                redis.kill();
                state.sleep_while_running(REDIS_FAILS).await;
                state.redis_faults.repair();
                redis.restart();
            }
            RedisFault::Stopped => {
                redis.signal("STOP");
                state.sleep_while_running(REDIS_FAILS).await;
                state.redis_faults.repair();
                redis.signal("CONT");
            }
            RedisFault::Swallows => {
                proxy.swallow(true);
                state.sleep_while_running(REDIS_FAILS).await;
                state.redis_faults.repair();
                proxy.swallow(false);
                // Half a message is not valid in the protocol.
                proxy.cut();
            }
            RedisFault::Cut => proxy.cut(),
            RedisFault::Emptied => {
                redis.kill();
                redis.lose_data();
                redis.restart();
                state.sleep_while_running(Duration::from_secs(2)).await;
                state.redis_faults.repair();
                revoker::seed(&state, &store).await?;
            }
        }
        state.redis_faults.end();
    }
    Ok(())
}
