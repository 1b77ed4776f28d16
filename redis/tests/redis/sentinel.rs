//! A master that sentinels watch: real sentinels, and ones that answer as the test wants.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tower_bearer::revocation::{RevocationStore, Verdict};
use tower_bearer_redis::{ConnectError, RedisStore};

use crate::{
    server::Server,
    service::{HOUR, Passes, Revoked, Service, asked, entry, eventually, id, now, token},
};

/// A master, two replicas, and three sentinels.
struct Watched {
    master: Server,
    replicas: [Server; 2],
    sentinels: [Server; 3],
}

impl Watched {
    async fn start() -> Self {
        let master = Server::start_with(&["--repl-diskless-sync-delay", "0"]);
        let port = master.port.to_string();
        let replica = || {
            let options = ["--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1", &port];
            Server::start_with(&options)
        };
        let replicas = [replica(), replica()];
        for replica in &replicas {
            let is_up =
                async || replica.info_text("master_link_status").is_some_and(|it| it == "up");
            eventually("replicates", is_up).await;
        }
        let sentinels = [(); 3].map(|()| Server::start_sentinel());
        for sentinel in &sentinels {
            let monitor = ["SENTINEL", "MONITOR", "m", "127.0.0.1", &port, "2"];
            assert_eq!(sentinel.command(&monitor), "+OK");
            let timeouts = ["down-after-milliseconds", "500", "failover-timeout", "3000"];
            let set = [&["SENTINEL", "SET", "m"], &timeouts[..]].concat();
            assert_eq!(sentinel.command(&set), "+OK");
        }
        for sentinel in &sentinels {
            let knows_all = async || state(sentinel).ends_with("slaves=2,sentinels=3");
            eventually("knows all", knows_all).await;
        }
        Self { master, replicas, sentinels }
    }

    fn url(&self) -> String {
        url(&self.sentinels.each_ref().map(|sentinel| sentinel.port))
    }

    fn promoted(&self) -> Option<&Server> {
        self.replicas.iter().find(|replica| has_role(replica, "master"))
    }
}

fn state(sentinel: &Server) -> String {
    sentinel.info_text("master0").unwrap()
}

fn has_role(server: &Server, role: &str) -> bool {
    server.info_text("role").is_some_and(|is| is == role)
}

fn url(sentinels: &[u16]) -> String {
    let sentinels: Vec<_> = sentinels.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("redis-sentinel://{}/m", sentinels.join(","))
}

async fn answer(store: &RedisStore, name: &str) -> Option<Verdict> {
    store.look_up(&asked([id(name)])).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_failover_by_sentinels_is_followed() {
    let watched = Watched::start().await;
    let (one, other) = (
        Service::with(&watched.url(), Default::default(), HOUR).await,
        Service::with(&watched.url(), Default::default(), HOUR).await,
    );
    one.store.initialise().await.unwrap();
    let pushes = other.listen().await;
    one.revoke(id("a")).await;
    eventually("pushed", async || pushes.stats().received == 1).await;
    let unknown = RedisStore::connect(&watched.url().replace("/m", "/other")).await;
    assert!(matches!(unknown, Err(ConnectError::Unavailable(_))), "{unknown:?}");
    for replica in &watched.replicas {
        let is_there = async || replica.command(&["GET", "tower-bearer:count"]).starts_with("1 ");
        eventually("replicated", is_there).await;
    }

    // One sentinel sleeps through the failover. The old master is a master again when it wakes up.
    watched.sentinels[0].signal("STOP");
    watched.master.signal("STOP");
    let begin = Instant::now();
    eventually("promoted", async || watched.promoted().is_some()).await;
    println!("promoted after {:?}", begin.elapsed());
    let promoted = watched.promoted().unwrap();
    let revoke = async |name: &str| one.store.revoke(&entry(id(name), now() + 600)).await.is_ok();
    eventually("revoked", async || revoke("b").await).await;
    println!("the store follows a failover in {:?}", begin.elapsed());
    assert!(promoted.command(&["GET", "tower-bearer:count"]).starts_with("2 "));
    assert_eq!(answer(&one.store, "a").await, Some(Verdict::Revoked));
    watched.master.signal("CONT");
    watched.sentinels[0].signal("CONT");
    let is_demoted = async || {
        assert_ne!(answer(&one.store, "b").await, Some(Verdict::NotRevoked));
        has_role(&watched.master, "slave")
    };
    eventually("demoted", is_demoted).await;
    eventually("passes", async || other.ask(&token("c")).await == Passes).await;
    eventually("revoked", async || revoke("c").await).await;
    eventually("pushed again", async || other.ask(&token("c")).await == Revoked).await;

    // Without a quorum there is no other master.
    watched.sentinels[1].signal("STOP");
    watched.sentinels[2].signal("STOP");
    let heartbeats = promoted.calls("info") / 3;
    let is_later = async || {
        assert_eq!(answer(&one.store, "b").await, Some(Verdict::Revoked));
        promoted.calls("info") / 3 >= heartbeats + 4
    };
    eventually("checked", is_later).await;
    let late = RedisStore::connect(&watched.url()).await.unwrap();
    assert_eq!(answer(&late, "b").await, Some(Verdict::Revoked));

    // The last sentinel demands a password.
    let rights = ["+sentinel|get-master-addr-by-name", "+sentinel|master", "+hello"];
    let user = [&["ACL", "SETUSER", "watcher", "on", ">hunter2"], &rights[..]].concat();
    assert_eq!(watched.sentinels[0].command(&user), "+OK");
    assert_eq!(watched.sentinels[0].command(&["ACL", "SETUSER", "default", "off"]), "+OK");
    let refused = RedisStore::connect(&watched.url()).await;
    assert!(matches!(refused, Err(ConnectError::Unavailable(_))), "{refused:?}");
    for protocol in ["", "&protocol=resp3"] {
        let login = format!("?sentinel_user=watcher&sentinel_password=hunter2{protocol}");
        let known = RedisStore::connect(&(watched.url() + &login)).await.unwrap();
        assert_eq!(answer(&known, "b").await, Some(Verdict::Revoked));
    }
}

/// Answers as a sentinel does: with this port of the master and this epoch, or never.
struct Fake {
    port: u16,
    says: Arc<Mutex<Option<(u16, u64)>>>,
    asked: Arc<AtomicUsize>,
}

impl Fake {
    async fn naming(master: u16, epoch: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (says, asked) = (Arc::new(Mutex::new(Some((master, epoch)))), Arc::default());
        let fake = Self { port, says: Arc::clone(&says), asked: Arc::clone(&asked) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&says), Arc::clone(&asked)));
            }
        });
        fake
    }

    fn say(&self, says: Option<(u16, u64)>) {
        *self.says.lock().unwrap() = says;
    }

    /// Waits until the store has asked a few times more.
    async fn asked_again(&self, mut check: impl AsyncFnMut()) {
        let before = self.asked.load(SeqCst);
        let is_later = async || {
            check().await;
            self.asked.load(SeqCst) >= before + 4
        };
        eventually("asked again", is_later).await;
    }
}

async fn serve(stream: TcpStream, says: Arc<Mutex<Option<(u16, u64)>>>, asked: Arc<AtomicUsize>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let count: usize = line.strip_prefix('*').unwrap().parse().unwrap();
        let mut words = Vec::new();
        for _ in 0..2 * count {
            let Ok(Some(word)) = lines.next_line().await else { return };
            words.push(word);
        }
        let Some((port, epoch)) = *says.lock().unwrap() else {
            return std::future::pending().await;
        };
        let (port, epoch) = (port.to_string(), epoch.to_string());
        let pair = match words.get(3).map(String::as_str) {
            Some("GET-MASTER-ADDR-BY-NAME") => Some(("127.0.0.1", port)),
            Some("MASTER") => Some(("config-epoch", epoch)),
            _ => None,
        };
        let reply = pair.map(|(first, second)| {
            asked.fetch_add(1, SeqCst);
            let (one, other) = (first.len(), second.len());
            format!("*2\r\n${one}\r\n{first}\r\n${other}\r\n{second}\r\n")
        });
        let reply = reply.unwrap_or_else(|| "+OK\r\n".to_owned());
        if write.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_stale_sentinel_does_not_lead_back_to_the_old_master() {
    let (old, new) = (Server::start(), Server::start());
    let elsewhere = RedisStore::connect(&new.url()).await.unwrap();
    elsewhere.initialise().await.unwrap();
    old.restore(&new.backup());
    elsewhere.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    let stale = Fake::naming(old.port, 4).await;
    let (one, other) = (Fake::naming(new.port, 5).await, Fake::naming(new.port, 5).await);
    let store = RedisStore::connect(&url(&[stale.port, one.port, other.port])).await.unwrap();
    assert_eq!(answer(&store, "a").await, Some(Verdict::Revoked));

    one.say(None);
    other.say(None);
    let is_revoked = async || assert_eq!(answer(&store, "a").await, Some(Verdict::Revoked));
    stale.asked_again(is_revoked).await;
    new.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    let is_not_accepted = async || {
        assert_ne!(answer(&store, "a").await, Some(Verdict::NotRevoked));
    };
    stale.asked_again(is_not_accepted).await;
    assert_eq!(answer(&store, "a").await, None);
    assert_eq!(old.calls("mget"), 0, "it was never asked");
    one.say(Some((new.port, 5)));
    eventually("answered", async || answer(&store, "a").await == Some(Verdict::Revoked)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_master_that_most_sentinels_replaced_is_left() {
    let (old, new) = (Server::start(), Server::start());
    let frozen = Fake::naming(old.port, 1).await;
    frozen.say(None);
    let (one, other) = (Fake::naming(old.port, 1).await, Fake::naming(old.port, 1).await);
    let sentinels = url(&[frozen.port, one.port, other.port]);
    let store = RedisStore::connect(&sentinels).await.unwrap();
    store.initialise().await.unwrap();
    store.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    new.restore(&old.backup());
    store.revoke(&entry(id("b"), now() + 600)).await.unwrap();

    // The old master still answers. The new one lacks the latest revocation.
    let is_revoked = async || assert_eq!(answer(&store, "b").await, Some(Verdict::Revoked));
    one.say(Some((new.port, 1)));
    one.asked_again(is_revoked).await;
    one.say(Some((new.port, 2)));
    let is_lost = async || {
        assert_ne!(answer(&store, "b").await, Some(Verdict::NotRevoked));
        !new.has_a_generation()
    };
    eventually("the loss was noticed", is_lost).await;
    assert_eq!(answer(&store, "b").await, None);
    assert!(old.has_a_generation());
    let late = RedisStore::connect(&sentinels).await.unwrap();
    assert!(!late.is_seeded().await.unwrap(), "the whole fleet is unavailable");
}
