//! A Redis Cluster of six nodes: its slots move, and its masters fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;
use tower_bearer::revocation::{RevocationStore, Verdict};
use tower_bearer_issuing::store::MemoryTokenStore;
use tower_bearer_redis::{ConnectError, DenyList, OutboxRelay, RedisStore};

use crate::{
    server::{Server, free_port},
    service::{
        HOUR, Passes, Revoked, Service, asked, entry, eventually, id, now, one_of_every_kind, token,
    },
};

const GENERATION: &str = "{tower-bearer:}generation";
const COUNT: &str = "{tower-bearer:}count";

const RIGHTS: &str = "+get +set +mget +del +expireat +xadd +xrange +eval +publish +subscribe +info +time +wait +select +hello +cluster|slots +cluster|nodes +xread +scan";

/// Three masters, and a replica of each three places later.
struct Cluster {
    nodes: Vec<Server>,
    ids: Vec<String>,
    slot: String,
}

impl Cluster {
    async fn start() -> Self {
        let buses: Vec<_> = (0..6).map(|_| free_port().to_string()).collect();
        let node = |bus: &String| {
            let mut options = vec!["--cluster-enabled", "yes", "--cluster-port", bus];
            options.extend(["--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"]);
            options.extend(["--cluster-allow-replica-migration", "no"]);
            Server::start_with(&options)
        };
        let nodes: Vec<_> = buses.iter().map(node).collect();
        let ids: Vec<_> = nodes.iter().map(|node| node.command(&["CLUSTER", "MYID"])).collect();
        let slot = nodes[0].command(&["CLUSTER", "KEYSLOT", GENERATION]);
        let cluster = Self { nodes, ids, slot: slot.trim_start_matches(':').to_owned() };
        let ranges = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        for (node, (first, last)) in cluster.nodes.iter().zip(ranges) {
            assert_eq!(node.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]), "+OK");
        }
        for (number, node) in cluster.nodes.iter().enumerate() {
            let epoch = (number + 1).to_string();
            assert_eq!(node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]), "+OK");
            let port = node.port.to_string();
            let meet = ["CLUSTER", "MEET", "127.0.0.1", &port, &buses[number]];
            assert_eq!(cluster.nodes[0].command(&meet), "+OK");
            let mut user = vec!["ACL", "SETUSER", "service", "on", ">hunter2", "resetchannels"];
            user.extend(["~{tower-bearer:}*", "&{tower-bearer:}*"]);
            user.extend(RIGHTS.split(' '));
            assert_eq!(node.command(&user), "+OK");
        }
        cluster.agree().await;
        for (master, replica) in cluster.ids.iter().zip(&cluster.nodes[3..]) {
            assert_eq!(replica.command(&["CLUSTER", "REPLICATE", master]), "+OK");
        }
        for replica in &cluster.nodes[3..] {
            let is_up =
                async || replica.info_text("master_link_status").is_some_and(|it| it == "up");
            eventually("replicates", is_up).await;
        }
        cluster.agree().await;
        cluster
    }

    async fn agree(&self) {
        for node in &self.nodes {
            let agrees = async || {
                let info = node.command(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:6")
            };
            eventually("the nodes know each other", agrees).await;
        }
    }

    /// The address of some nodes.
    fn url(&self, nodes: impl IntoIterator<Item = usize>) -> String {
        let hosts = nodes.into_iter().map(|node| format!("127.0.0.1:{}", self.nodes[node].port));
        let hosts: Vec<_> = hosts.collect();
        format!("redis-cluster://service:hunter2@{}", hosts.join(","))
    }

    fn whole_url(&self) -> String {
        self.url(0..self.nodes.len())
    }

    /// The place of the master that has the slot of the fleet at first.
    fn owner(&self) -> usize {
        self.slot.parse::<usize>().unwrap() / 5_461
    }

    fn set_slot(&self, node: usize, state: &str, other: usize) {
        let set = ["CLUSTER", "SETSLOT", &self.slot, state, &self.ids[other]];
        assert_eq!(self.nodes[node].command(&set), "+OK");
    }

    fn keys(&self, node: usize) -> Vec<String> {
        let script = "return table.concat(redis.call('KEYS', '*'), ' ')";
        let keys = self.nodes[node].command(&["EVAL", script, "0"]);
        keys.split_whitespace().map(ToOwned::to_owned).collect()
    }

    fn migrate(&self, from: usize, to: usize, keys: &[String]) {
        let port = self.nodes[to].port.to_string();
        let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        migrate.extend(keys.iter().map(|key| &**key));
        assert_eq!(self.nodes[from].command(&migrate), "+OK");
    }
}

const REVOKED: usize = 20;

fn name(number: usize) -> String {
    format!("t{number}")
}

/// Looks revoked tokens up, all the time.
struct Load {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Load {
    fn on(store: impl RevocationStore) -> Self {
        let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (end, count) = (Arc::clone(&is_over), Arc::clone(&answered));
        let task = tokio::spawn(async move {
            for number in (0..REVOKED).cycle() {
                if end.load(SeqCst) {
                    return;
                }
                match store.look_up(&asked([id(&name(number))])).await {
                    Ok(Verdict::Revoked) => drop(count.fetch_add(1, SeqCst)),
                    Ok(other) => panic!("{other:?}"),
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        });
        Self { is_over, answered, task }
    }

    /// Waits until lookups are answered.
    async fn is_answered(&self) {
        let before = self.answered.load(SeqCst);
        let is_later = async || {
            assert!(!self.task.is_finished(), "a revoked token was accepted");
            self.answered.load(SeqCst) > before + REVOKED
        };
        eventually("answered", is_later).await;
    }

    async fn end(self) {
        self.is_over.store(true, SeqCst);
        self.task.await.unwrap();
    }
}

async fn answer(store: &impl RevocationStore, name: &str) -> Option<Verdict> {
    store.look_up(&asked([id(name)])).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_cluster_never_answers_wrongly_while_slots_move_and_masters_fail() {
    let cluster = Cluster::start().await;
    let (from, to) = (cluster.owner(), (cluster.owner() + 1) % 3);
    let service = Service::with(&cluster.whole_url(), Default::default(), HOUR).await;
    let builder = RedisStore::builder(&cluster.whole_url());
    let writer = builder.with_wait(1, Duration::from_secs(1)).connect().await.unwrap();
    writer.initialise().await.unwrap();
    let pushes = service.listen().await;

    // All kinds of revocation, by pushes.
    for (token, thing) in one_of_every_kind() {
        assert_eq!(service.ask(&token).await, Passes);
        writer.revoke(&entry(thing, now() + 600)).await.unwrap();
        eventually("pushed", async || service.ask(&token).await == Revoked).await;
    }
    assert_eq!(pushes.stats().gaps, 0);
    for number in 0..REVOKED {
        writer.revoke(&entry(id(&name(number)), now() + 600)).await.unwrap();
    }
    drop(writer.replay_store());
    let records = || cluster.keys(from).contains(&"{tower-bearer:}replays-since".to_owned());
    eventually("used proofs are recorded", async || records()).await;
    let truth = MemoryTokenStore::new();
    truth.revoke(&entry(id("carried"), now() + 600)).await.unwrap();
    assert!(cluster.keys(to).is_empty(), "all keys are in one slot");

    // This store asks only the owner of the slot, which does not know that another node imports the slot.
    let narrow = RedisStore::connect(&cluster.url([from])).await.unwrap();
    let list = DenyList::follow(&service.store, Duration::from_secs(2));
    eventually("follows", async || list.stats().is_current).await;
    assert_eq!(answer(&narrow, "unknown").await, Some(Verdict::NotRevoked));
    let loads = [Load::on(service.store.clone()), Load::on(narrow.clone()), Load::on(list.clone())];
    for load in &loads {
        load.is_answered().await;
    }

    // The question for a packed snapshot would fail, too. So there is one, of another version.
    let set = ["SET", "{tower-bearer:}snapshot", "x"];
    assert_eq!(cluster.nodes[from].command(&set), "+OK");
    cluster.set_slot(to, "IMPORTING", from);
    cluster.set_slot(from, "MIGRATING", to);
    assert_eq!(answer(&narrow, "unknown").await, None, "it may be at the other node");
    let is_entry = |key: &String| key.starts_with("{tower-bearer:}d:");
    let (entries, others): (Vec<_>, Vec<_>) = cluster.keys(from).into_iter().partition(is_entry);
    let (first, last) = entries.split_at(entries.len() / 2);
    for key in first {
        cluster.migrate(from, to, std::slice::from_ref(key));
    }
    let moved = cluster.nodes[from].command(&["MGET", GENERATION, COUNT, &first[0]]);
    assert!(moved.starts_with("-TRYAGAIN"), "{moved}");
    let short = DenyList::follow(&narrow, Duration::from_secs(2));
    let has_failed = async || {
        assert!(!short.stats().is_current, "half of the entries are at the other node");
        short.task().health().failures_in_a_row > 1
    };
    eventually("takes no snapshot", has_failed).await;
    let is_noticed = async || service.store.task().health().last_error == Some("migrating");
    eventually("noticed", is_noticed).await;
    cluster.migrate(from, to, last);
    cluster.migrate(from, to, &others);
    let begin = Instant::now();
    for node in [to, from, (to + 1) % 3] {
        cluster.set_slot(node, "NODE", to);
    }
    for load in &loads {
        load.is_answered().await;
    }
    println!("lookups are answered {:?} after a slot has moved", begin.elapsed());
    eventually("follows again", async || short.stats().is_current).await;
    for list in [&list, &short] {
        for number in 0..REVOKED {
            let is_revoked = async || answer(list, &name(number)).await == Some(Verdict::Revoked);
            eventually("revoked", is_revoked).await;
        }
    }
    let revoke = async |name: &str| writer.revoke(&entry(id(name), now() + 600)).await.is_ok();
    eventually("revoked with a replica", async || revoke("after the move").await).await;

    // The new owner fails, and comes back as a master that does not know of its replacement.
    eventually("passes", async || service.ask(&token("failover")).await == Passes).await;
    cluster.nodes[to].signal("STOP");
    let begin = Instant::now();
    let quick = RedisStore::builder(&cluster.whole_url()).allow_unreachable_at_start();
    let quick = quick.connect().await.unwrap();
    let revoke = async || quick.revoke(&entry(id("failover"), now() + 600)).await.is_ok();
    eventually("revoked at the new owner", revoke).await;
    println!("the store follows a failover in {:?}", begin.elapsed());
    eventually("pushed", async || service.ask(&token("failover")).await == Revoked).await;
    for load in &loads {
        load.is_answered().await;
    }
    cluster.nodes[to].signal("CONT");
    let is_demoted = async || {
        assert_ne!(answer(&service.store, "failover").await, Some(Verdict::NotRevoked));
        cluster.nodes[to].info_text("role").is_some_and(|role| role == "slave")
    };
    eventually("demoted", is_demoted).await;
    for load in loads {
        load.is_answered().await;
        load.end().await;
    }

    let relay = OutboxRelay::new(truth, service.store.clone());
    eventually("carried", async || relay.carry().await.is_ok()).await;
    assert_eq!(answer(&service.store, "carried").await, Some(Verdict::Revoked));
    let database = format!("{}/1", cluster.whole_url());
    let refused = RedisStore::connect(&database).await;
    assert!(matches!(refused, Err(ConnectError::ClusterUrl)), "{refused:?}");
}

/// Redis forgets that a slot moves if the node that gives it away fails.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn entries_that_have_moved_do_not_count_as_missing_after_a_failover() {
    let cluster = Cluster::start().await;
    let (from, to) = (cluster.owner(), (cluster.owner() + 1) % 3);
    let promoted = from + 3;
    let builder = RedisStore::builder(&cluster.whole_url());
    let store = builder.with_wait(1, Duration::from_secs(1)).connect().await.unwrap();
    store.initialise().await.unwrap();
    for number in 0..REVOKED {
        store.revoke(&entry(id(&name(number)), now() + 600)).await.unwrap();
    }
    let load = Load::on(store.clone());
    load.is_answered().await;
    cluster.set_slot(to, "IMPORTING", from);
    cluster.set_slot(from, "MIGRATING", to);
    let is_entry = |key: &String| key.starts_with("{tower-bearer:}d:");
    let (entries, others): (Vec<_>, Vec<_>) = cluster.keys(from).into_iter().partition(is_entry);
    cluster.migrate(from, to, &entries);
    let is_replicated = async || cluster.keys(promoted).len() == others.len();
    eventually("replicated", is_replicated).await;

    cluster.nodes[from].signal("STOP");
    let answers = || cluster.nodes[promoted].command(&["MGET", GENERATION, COUNT, &entries[0]]);
    eventually("the entries are missing", async || answers() == "*3").await;
    let failures = || store.task().health().failures_in_a_row;
    let before = failures();
    eventually("asked again", async || failures() >= before + 3).await;
    assert_eq!(store.task().health().last_error, Some("migrating"));
    assert_eq!(answer(&store, &name(0)).await, None);
    load.end().await;
}
