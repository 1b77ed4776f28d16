//! From the acknowledgement in process A to the first refusal in B and C.

use std::{fmt::Write, time::Duration};

use tower_bearer::revocation::{RevocationStore, redis::RedisStore};

use crate::{
    Scale,
    process::{LOAD_PER_SECOND, Mode, Process, RESOLUTION, unix_time},
    quantile,
    server::Server,
    service::{id, now},
    text,
};

pub(crate) async fn measure(server: &Server, scale: &Scale) -> String {
    let mut page = format!(
        "## Delay\n\n\
         From the moment at which process A was told that its revocation is recorded to the first request that B or C \
         refuses, over {} revocations. B and C answer {LOAD_PER_SECOND} other requests a second each, and look at the \
         token every {} µs. A message may be there before A is told: such delays count as 0.\n\n\
         | mode | process | median | p99 | maximum |\n|---|---|---|---|---|\n",
        scale.revocations,
        RESOLUTION.as_micros(),
    );
    for mode in Mode::ALL {
        server.command(&["FLUSHALL"]);
        let store = RedisStore::connect(&server.url()).await.unwrap();
        store.initialise().await.unwrap();
        let mut others = [Process::start(&server.url(), mode), Process::start(&server.url(), mode)];
        let mut delays = [Vec::new(), Vec::new()];
        for number in 0..scale.revocations {
            let name = format!("t{number}");
            for other in &mut others {
                other.say(&name);
                assert_eq!(other.line(), "passes");
            }
            store.revoke(&id(&name), now() + 3_600).await.unwrap();
            let acknowledged = unix_time();
            for (other, delays) in others.iter().zip(&mut delays) {
                let refused = Duration::from_nanos(other.line().parse().unwrap());
                delays.push(refused.saturating_sub(acknowledged));
            }
        }
        for (process, delays) in ["B", "C"].into_iter().zip(&mut delays) {
            let [median, p99, max] = [0.5, 0.99, 1.0].map(|part| text(quantile(delays, part)));
            writeln!(page, "| {} | {process} | {median} | {p99} | {max} |", mode.name()).unwrap();
        }
    }
    page + "\n"
}
