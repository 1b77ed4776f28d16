//! DPoP proofs that a fleet accepts once: real proofs (ES256), through the layer, over a real Redis.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::{
    Algorithm, BearerLayer,
    dpop::Dpop,
    jws::SigningKey,
    revocation::RevocationStore,
    test_util::{ProofKey, TestIssuer},
};
use tower_bearer_redis::RedisStore;

use crate::{
    process::Process,
    proxy::Proxy,
    server::Server,
    service::{entry, eventually, id, now},
};

const URL: &str = "https://api.example/orders";

/// A client, with the token that is bound to its key. Every process knows the issuer.
struct Client {
    key: ProofKey,
    token: String,
}

impl Client {
    fn new() -> Self {
        let key = ProofKey::new();
        let token = issuer().token().bound_to_key(&key).issue();
        Self { key, token }
    }

    fn proof(&self) -> String {
        self.key.proof("GET", URL, &self.token).issue()
    }
}

fn issuer() -> TestIssuer {
    let pem = include_bytes!("../../../tests/fixtures/keys/p256.private.pem");
    TestIssuer::new().with_key(SigningKey::from_pkcs8_pem(Algorithm::ES256, pem).unwrap())
}

/// Accepts proofs until they are a minute old. No clock differs here.
async fn layer(url: &str) -> (BearerLayer, RedisStore) {
    let store = RedisStore::builder(url).allow_unreachable_at_start().connect().await.unwrap();
    let dpop = Dpop::new(["https://api.example"]).unwrap().with_leeway(Duration::ZERO).unwrap();
    (issuer().layer().with_dpop(dpop.with_replay_store(store.replay_store())), store)
}

async fn send(layer: &BearerLayer, token: &str, proof: &str) -> u16 {
    let request = Request::get("/orders")
        .header("authorization", format!("DPoP {token}"))
        .header("dpop", proof)
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let inner = service_fn(async |_| Ok::<_, Infallible>(Response::new(String::new())));
    layer.layer(inner).oneshot(request).await.unwrap().status().as_u16()
}

async fn send_new(layer: &BearerLayer, client: &Client) -> u16 {
    send(layer, &client.token, &client.proof()).await
}

/// Whether the records of this server have begun.
fn has_begun(server: &Server) -> bool {
    let part = |name| server.info_text(name).unwrap();
    let begin = format!("{} {} ", part("run_id"), part("master_replid"));
    server.command(&["GET", "tower-bearer:replays-since"]).starts_with(&begin)
}

/// As if that many seconds had passed since the records began.
fn pass_seconds(server: &Server, seconds: u32) {
    let script = "local server, since = string.match(redis.call('GET', KEYS[1]), '^(.+) (%d+)$')
        since = string.format('%.0f', tonumber(since) - 1000 * tonumber(ARGV[1]))
        return redis.call('SET', KEYS[1], server .. ' ' .. since)";
    let seconds = seconds.to_string();
    let answer = server.command(&["EVAL", script, "1", "tower-bearer:replays-since", &seconds]);
    assert_eq!(answer, "+OK");
}

/// A Redis that has been in use for longer than a window, and a process that uses it.
async fn in_use(server: &Server, client: &Client) -> (BearerLayer, RedisStore) {
    let (layer, store) = layer(&server.url()).await;
    store.initialise().await.unwrap();
    eventually("begun", async || has_begun(server)).await;
    pass_seconds(server, 70);
    eventually("connected", async || send_new(&layer, client).await == 200).await;
    (layer, store)
}

/// Proofs are accepted again after one window, and this one is not among them.
async fn becomes_usable_after_a_window(server: &Server, client: &Client, layer: &BearerLayer) {
    eventually("begun", async || has_begun(server)).await;
    assert_eq!(send_new(layer, client).await, 503);
    pass_seconds(server, 50);
    assert_eq!(send_new(layer, client).await, 503, "the window is not over");
    pass_seconds(server, 20);
    eventually("connected", async || send_new(layer, client).await == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_proof_is_accepted_once_and_only_after_the_first_window() {
    let (server, client) = (Server::start(), Client::new());
    let (one, store) = layer(&server.url()).await;
    let (other, _) = layer(&server.url()).await;
    assert_eq!(send_new(&one, &client).await, 503, "not initialised");
    store.initialise().await.unwrap();
    becomes_usable_after_a_window(&server, &client, &one).await;

    let proof = client.proof();
    assert_eq!(send(&one, &client.token, &proof).await, 200);
    assert_eq!(send(&other, &client.token, &proof).await, 401);
    assert_eq!(send(&one, &client.token, &proof).await, 401);
    assert_eq!(send_new(&other, &client).await, 200);

    let keys = server.command(&["EVAL", "return table.concat(redis.call('KEYS', '*'), ' ')", "0"]);
    let key = keys.split(' ').find(|key| key.starts_with("tower-bearer:p:")).unwrap();
    let left = server.command(&["PTTL", key]);
    let left: u32 = left.strip_prefix(':').unwrap().parse().unwrap();
    assert!(61_000 - 20_000 < left && left <= 62_501, "{left} ms");
    store.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    assert_eq!(send_new(&one, &client).await, 200, "a revocation does not begin a window");

    server.command(&["DEL", "tower-bearer:generation"]);
    assert_eq!(send_new(&one, &client).await, 503, "another process noticed a loss");
    assert!(store.initialise().await.unwrap());
    becomes_usable_after_a_window(&server, &client, &one).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_emptied_redis_does_not_accept_a_proof_twice() {
    let (server, client) = (Server::start(), Client::new());
    let (layer, store) = in_use(&server, &client).await;
    let proof = client.proof();
    assert_eq!(send(&layer, &client.token, &proof).await, 200);
    server.command(&["FLUSHALL"]);
    assert_eq!(send(&layer, &client.token, &proof).await, 503);
    store.initialise().await.unwrap();
    assert_eq!(send(&layer, &client.token, &proof).await, 503, "initialised, within the window");
    becomes_usable_after_a_window(&server, &client, &layer).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_old_or_complete_dump_does_not_accept_a_proof_twice() {
    let (mut server, client) = (Server::start(), Client::new());
    let (layer, _store) = in_use(&server, &client).await;
    let proof = client.proof();
    let before = server.dump();
    assert_eq!(send(&layer, &client.token, &proof).await, 200);
    let after = server.dump();
    for (dump, case) in [(&before, "old"), (&after, "complete")] {
        server.restart_from(dump);
        assert!(server.has_a_generation(), "{case}");
        for _ in 0..20 {
            assert_eq!(send(&layer, &client.token, &proof).await, 503, "{case}");
        }
        becomes_usable_after_a_window(&server, &client, &layer).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_restarted_empty_does_not_accept_a_proof_twice() {
    let (mut server, client) = (Server::start(), Client::new());
    let (layer, store) = in_use(&server, &client).await;
    let proof = client.proof();
    assert_eq!(send(&layer, &client.token, &proof).await, 200);
    server.kill();
    assert_eq!(send(&layer, &client.token, &proof).await, 503);
    server.lose_data();
    server.restart();
    assert_eq!(send(&layer, &client.token, &proof).await, 503);
    eventually("initialised", async || store.initialise().await.is_ok()).await;
    assert_eq!(send(&layer, &client.token, &proof).await, 503);
    becomes_usable_after_a_window(&server, &client, &layer).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_promoted_replica_without_the_record_does_not_accept_it_twice() {
    let (mut master, replica, client) = (Server::start(), Server::start(), Client::new());
    let wire = Proxy::to(master.port).await;
    replica.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    is_linked(&replica).await;
    let _keep = in_use(&master, &client).await;
    let (layer, _store) = layer(&wire.url()).await;
    eventually("replicated", async || !replica.command(&["KEYS", "*:p:*"]).ends_with('0')).await;
    // The replica gets no more writes.
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    let proof = client.proof();
    assert_eq!(send(&layer, &client.token, &proof).await, 200);
    wire.lead_to(replica.port);
    master.kill();
    for _ in 0..20 {
        assert_eq!(send(&layer, &client.token, &proof).await, 503);
    }
    becomes_usable_after_a_window(&replica, &client, &layer).await;
}

/// A master changes its replication id when its first replica connects.
async fn is_linked(replica: &Server) {
    let is_up =
        async || replica.info_text("master_link_status").is_some_and(|status| status == "up");
    eventually("linked", is_up).await;
}

/// The run is the same, and so is the connection. The data are those of another server.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_master_that_was_a_replica_meanwhile_begins_a_new_window() {
    let (server, other, client) = (Server::start(), Server::start(), Client::new());
    other.command(&["REPLICAOF", "127.0.0.1", &server.port.to_string()]);
    is_linked(&other).await;
    let (layer, _store) = in_use(&server, &client).await;
    eventually("replicated", async || !other.command(&["KEYS", "*:p:*"]).ends_with('0')).await;
    other.command(&["REPLICAOF", "NO", "ONE"]);
    let proof = client.proof();
    assert_eq!(send(&layer, &client.token, &proof).await, 200);
    let dbsize = server.command(&["DBSIZE"]);
    server.command(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    eventually("lost", async || server.command(&["DBSIZE"]) != dbsize).await;
    server.command(&["REPLICAOF", "NO", "ONE"]);
    for _ in 0..20 {
        assert_eq!(send(&layer, &client.token, &proof).await, 503);
    }
    becomes_usable_after_a_window(&server, &client, &layer).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_evicting_redis_does_not_accept_a_proof_twice() {
    let (server, client) = (Server::start(), Client::new());
    let (layer, store) = in_use(&server, &client).await;
    let mut used = Vec::new();
    for _ in 0..300 {
        let proof = client.proof();
        assert_eq!(send(&layer, &client.token, &proof).await, 200);
        used.push(proof);
    }
    server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    let memory = server.info("used_memory") - 20_000;
    server.command(&["CONFIG", "SET", "maxmemory", &memory.to_string()]);
    server.command(&["SET", "of-another-program", "x"]);
    assert!(server.info("evicted_keys") > 0);
    for proof in &used {
        assert_ne!(send(&layer, &client.token, proof).await, 200);
    }
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.command(&["CONFIG", "RESETSTAT"]);
    eventually("initialised", async || store.initialise().await.is_ok()).await;
    for proof in &used {
        assert_ne!(send(&layer, &client.token, proof).await, 200);
    }
    becomes_usable_after_a_window(&server, &client, &layer).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_frozen_redis_gives_503_and_its_late_record_counts() {
    let (server, client) = (Server::start(), Client::new());
    let (layer, _store) = in_use(&server, &client).await;
    let proof = client.proof();
    server.signal("STOP");
    assert_eq!(send(&layer, &client.token, &proof).await, 503);
    server.signal("CONT");
    eventually("back", async || send_new(&layer, &client).await == 200).await;
    assert_eq!(send(&layer, &client.token, &proof).await, 401, "recorded when it was back");
}

/// `send COUNT TOKEN PROOF` sends one proof over eight threads, and prints how many were accepted.
#[test]
#[ignore = "is started by the tests of several processes"]
fn a_process_that_checks_proofs() {
    let Ok(url) = std::env::var("FLEET_URL") else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(8).enable_all().build().unwrap();
    runtime.block_on(async {
        let (layer, _store) = layer(&url).await;
        println!("fleet: ready");
        for line in std::io::stdin().lines() {
            let line = line.unwrap();
            let mut words = line.split(' ').skip(1).map(ToOwned::to_owned);
            let count: usize = words.next().unwrap().parse().unwrap();
            let (token, proof) = (words.next().unwrap(), words.next().unwrap());
            let sent: Vec<_> = (0..count)
                .map(|_| {
                    let (layer, token, proof) = (layer.clone(), token.clone(), proof.clone());
                    tokio::spawn(async move { send(&layer, &token, &proof).await })
                })
                .collect();
            let mut accepted = 0;
            for one in sent {
                accepted += usize::from(one.await.unwrap() == 200);
            }
            println!("fleet: {accepted}");
        }
    });
}

fn processes(url: &str) -> [Process; 2] {
    [(); 2].map(|()| {
        let name = "replays::a_process_that_checks_proofs";
        let process = Process::start(name, &[("FLEET_URL", url.as_ref())]);
        assert_eq!(process.line(), "ready");
        process
    })
}

fn start(processes: &mut [Process; 2], client: &Client, proof: &str) {
    for process in processes {
        process.say(&format!("send 500 {} {proof}", client.token));
    }
}

fn accepted(processes: &[Process; 2]) -> usize {
    processes.iter().map(|process| process.line().parse::<usize>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn one_proof_sent_1000_times_in_two_processes_is_accepted_once() {
    let (server, client) = (Server::start(), Client::new());
    let _keep = in_use(&server, &client).await;
    let mut processes = processes(&server.url());
    for round in 0..5 {
        start(&mut processes, &client, &client.proof());
        assert_eq!(accepted(&processes), 1, "{round}");
    }
}

/// Redis is frozen, emptied or killed in the middle.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_failing_redis_never_accepts_one_of_1000_sends_twice() {
    let (mut server, client) = (Server::start(), Client::new());
    let (layer, store) = in_use(&server, &client).await;
    let mut processes = processes(&server.url());
    let mut total = 0;
    for round in 0..9_u64 {
        let proof = client.proof();
        start(&mut processes, &client, &proof);
        tokio::time::sleep(Duration::from_millis(5 + 12 * (round / 3))).await;
        match round % 3 {
            0 => {
                server.signal("STOP");
                tokio::time::sleep(Duration::from_millis(100)).await;
                server.signal("CONT");
            }
            1 => {
                server.command(&["FLUSHALL"]);
                let _ = store.initialise().await;
            }
            _ => {
                server.kill();
                server.restart();
            }
        }
        let mut accepted = accepted(&processes);
        eventually("initialised", async || store.initialise().await.is_ok()).await;
        start(&mut processes, &client, &proof);
        accepted += self::accepted(&processes);
        assert!(accepted <= 1, "{accepted} in round {round}");
        total += accepted;

        eventually("begun", async || has_begun(&server)).await;
        pass_seconds(&server, 70);
        eventually("usable", async || send_new(&layer, &client).await == 200).await;
    }
    println!("{total} of 9 proofs were accepted");
}
