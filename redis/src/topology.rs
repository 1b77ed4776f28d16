//! Finds the current master: the server of the URL, the one that the sentinels name, or the owner of the hash slot of
//! this fleet in a cluster.
//!
//! 1. All sentinels or nodes of the URL are asked at the same time, so one that is frozen does not use up the time.
//! 2. The answer with the highest configuration epoch counts. If fewer than a majority answer, an epoch that is lower
//!    than one seen before does not count, because those servers have missed a failover.
//! 3. The server that is found is checked like every other one. So a replica is rejected.

use std::{
    collections::HashMap,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, Value};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    connection::{Connection, Dialer},
    error::{ConnectError, Failure},
};

const SENTINEL_PORT: u16 = 26_379;
const CLUSTER_PORT: u16 = 6_379;

/// How many hash slots a cluster has.
const SLOTS: u16 = 16_384;

/// How long to wait for further answers when a majority of the sentinels has answered.
const GRACE: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(String, u16),
    #[cfg(unix)]
    Unix(std::path::PathBuf),
}

/// What a URL says.
pub(super) struct Target {
    pub(super) servers: Servers,
    /// The user, the password, the database and the protocol of the servers with the data.
    pub(super) settings: RedisConnectionInfo,
    pub(super) is_encrypted: bool,
}

#[derive(Clone)]
pub(super) enum Servers {
    One(Address),
    Many(Arc<Directory>),
}

/// Servers that know which server is the master.
pub(super) struct Directory {
    nodes: Vec<Node>,
    login: RedisConnectionInfo,
    question: Question,
    /// The highest epoch that counted.
    epoch: AtomicU64,
}

enum Question {
    /// Sentinels are asked for the master with this name.
    Sentinel(String),
    /// Nodes of a cluster are asked for the owner of this slot.
    Cluster(u16),
}

struct Node {
    address: Address,
    /// The connection of the last question.
    connection: Mutex<Option<Connection>>,
}

#[derive(PartialEq, Eq)]
struct Answer {
    epoch: u64,
    master: Address,
}

impl Target {
    /// Reads the URL. The prefix of the keys decides about the slot in a cluster.
    pub(super) fn read(url: &str, prefix: &str) -> Result<Self, ConnectError> {
        // redis-rs accepts `#insecure`, which turns the check of certificates off.
        if url.contains('#') {
            return Err(ConnectError::UrlFragment);
        }
        let (scheme, rest) = url.split_once(':').ok_or(ConnectError::Url)?;
        let scheme = scheme.to_ascii_lowercase();
        match &*scheme {
            "redis-sentinel" | "rediss-sentinel" => {
                Self::sentinel(rest, scheme.starts_with("rediss")).ok_or(ConnectError::SentinelUrl)
            }
            "redis-cluster" | "rediss-cluster" => {
                Self::cluster(rest, prefix, scheme.starts_with("rediss"))
                    .ok_or(ConnectError::ClusterUrl)
            }
            // This crate makes the TLS connection. redis-rs would use the default provider of the process, or panic if
            // there is none.
            "rediss" | "valkeys" => Self::one(&format!("redis:{rest}"), true),
            _ => Self::one(url, false),
        }
    }

    fn one(url: &str, is_encrypted: bool) -> Result<Self, ConnectError> {
        let info: ConnectionInfo = url.into_connection_info().map_err(|_| ConnectError::Url)?;
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Address::Tcp(host.clone(), *port),
            #[cfg(unix)]
            ConnectionAddr::Unix(path) if !is_encrypted => Address::Unix(path.clone()),
            _ => return Err(ConnectError::Url),
        };
        let settings = info.redis_settings().clone();
        Ok(Self { servers: Servers::One(address), settings, is_encrypted })
    }

    fn sentinel(rest: &str, is_encrypted: bool) -> Option<Self> {
        let url = Parts::of(rest)?;
        let (name, database) = url.path.split_once('/').unwrap_or((url.path, ""));
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_allowed) {
            return None;
        }
        let (_, settings) = url.servers(url.login, database, SENTINEL_PORT)?;
        let (user, password) = (url.parameter("sentinel_user"), url.parameter("sentinel_password"));
        let login = password.map(|password| format!("{}:{password}", user.unwrap_or_default()));
        if user.is_some() && login.is_none() {
            return None;
        }
        let (nodes, login) = url.servers(login.as_deref(), "", SENTINEL_PORT)?;
        let servers = Servers::many(nodes, login, Question::Sentinel(name.to_owned()));
        Some(Self { servers, settings, is_encrypted })
    }

    fn cluster(rest: &str, prefix: &str, is_encrypted: bool) -> Option<Self> {
        let url = Parts::of(rest)?;
        // A cluster has only database 0.
        if !url.path.is_empty() {
            return None;
        }
        let (nodes, settings) = url.servers(url.login, "", CLUSTER_PORT)?;
        let question = Question::Cluster(slot(prefix));
        let servers = Servers::many(nodes, settings.clone(), question);
        Some(Self { servers, settings, is_encrypted })
    }
}

/// The parts of `//[user:password@]host[:port],host[:port][/path][?query]`.
struct Parts<'a> {
    login: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Option<Self> {
        let rest = rest.strip_prefix("//")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        Some(Self { login, hosts, path, query })
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.query.split('&').find_map(|one| one.strip_prefix(name)?.strip_prefix('='))
    }

    /// Returns the addresses, and the settings that redis-rs reads from the URL of each of them.
    fn servers(
        &self,
        login: Option<&str>,
        database: &str,
        default_port: u16,
    ) -> Option<(Vec<Address>, RedisConnectionInfo)> {
        let login = login.map(|login| format!("{login}@")).unwrap_or_default();
        let protocol = self.parameter("protocol").map(|value| format!("?protocol={value}"));
        let protocol = protocol.unwrap_or_default();
        let (mut addresses, mut settings) = (Vec::new(), None);
        for host in self.hosts.split(',') {
            let has_port = !host.ends_with(']') && host.contains(':');
            let host = if has_port { host.to_owned() } else { format!("{host}:{default_port}") };
            let url = format!("redis://{login}{host}/{database}{protocol}");
            let info = url.into_connection_info().ok()?;
            let ConnectionAddr::Tcp(host, port) = info.addr() else { return None };
            addresses.push(Address::Tcp(host.clone(), *port));
            settings = Some(info.redis_settings().clone());
        }
        Some((addresses, settings?))
    }
}

impl Servers {
    fn many(nodes: Vec<Address>, login: RedisConnectionInfo, question: Question) -> Self {
        let node = |address| Node { address, connection: Mutex::default() };
        let nodes = nodes.into_iter().map(node).collect();
        Self::Many(Arc::new(Directory { nodes, login, question, epoch: AtomicU64::new(0) }))
    }

    pub(super) fn addresses(&self) -> Vec<&Address> {
        match self {
            Self::One(address) => vec![address],
            Self::Many(directory) => directory.nodes.iter().map(|node| &node.address).collect(),
        }
    }

    /// Returns the address of the current master.
    pub(super) async fn master(&self, dialer: &Dialer) -> Result<Address, Failure> {
        match self {
            Self::One(address) => Ok(address.clone()),
            Self::Many(directory) => {
                let masters = directory.masters(dialer).await?;
                masters.into_iter().next().ok_or(Failure::NoMaster(None))
            }
        }
    }

    /// Checks that this server is still the master. If this cannot be found out, the check succeeds.
    pub(super) async fn check(&self, dialer: &Dialer, server: &Address) -> Result<(), Failure> {
        let Self::Many(directory) = self else { return Ok(()) };
        match directory.masters(dialer).await {
            Ok(masters) if !masters.contains(server) => Err(Failure::Replaced),
            Err(Failure::Migrating) => Err(Failure::Migrating),
            _ => Ok(()),
        }
    }

    /// Whether a missing key may be at another node, because its slot is being moved.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Many(directory) if matches!(directory.question, Question::Cluster(_)))
    }
}

impl Directory {
    /// Returns the address that most of the servers with the latest epoch name. If it is as many for several addresses,
    /// it returns them all, because these may be names of one server.
    async fn masters(&self, dialer: &Dialer) -> Result<Vec<Address>, Failure> {
        let majority = self.nodes.len() / 2 + 1;
        let mut asking: FuturesUnordered<_> =
            self.nodes.iter().map(|node| self.ask(dialer, node)).collect();
        let (mut answers, mut failure) = (Vec::new(), None);
        let mut end = Instant::now() + dialer.connect_timeout / 2;
        while let Ok(Some(answer)) = timeout_at(end, asking.next()).await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(Failure::Migrating) => return Err(Failure::Migrating),
                Err(other) => failure = Some(Arc::new(other)),
            }
            // The node of a cluster that has not answered yet may be the one that imports the slot.
            let is_sentinel = matches!(self.question, Question::Sentinel(_));
            if is_sentinel && majority <= answers.len() {
                end = end.min(Instant::now() + GRACE);
            }
        }
        let Some(epoch) = answers.iter().map(|answer| answer.epoch).max() else {
            return Err(Failure::NoMaster(failure));
        };
        // A majority is believed in any case, because new sentinels begin to count again.
        if epoch < self.epoch.load(Relaxed) && answers.len() < majority {
            return Err(Failure::NoMaster(failure));
        }
        self.epoch.store(epoch, Relaxed);
        answers.retain(|answer| answer.epoch == epoch);
        let votes = |answer: &Answer| answers.iter().filter(|it| *it == answer).count();
        let most = answers.iter().map(votes).max();
        let is_named_most = |answer: &&Answer| Some(votes(answer)) == most;
        Ok(answers.iter().filter(is_named_most).map(|answer| answer.master.clone()).collect())
    }

    async fn ask(&self, dialer: &Dialer, node: &Node) -> Result<Answer, Failure> {
        let mut kept = node.connection.lock().await;
        if let Some(connection) = kept.take()
            && let Ok(answer) = self.ask_over(&connection, node).await
        {
            *kept = Some(connection);
            return Ok(answer);
        }
        let connection = dialer.connect_to(&node.address, &self.login).await?;
        let answer = self.ask_over(&connection, node).await?;
        *kept = Some(connection);
        Ok(answer)
    }

    async fn ask_over(&self, connection: &Connection, node: &Node) -> Result<Answer, Failure> {
        match &self.question {
            Question::Sentinel(name) => ask_sentinel(connection, name).await,
            Question::Cluster(slot) => ask_cluster(connection, *slot, &node.address).await,
        }
    }
}

/// Asks for the address as other clients do, and for the epoch, which shows how recent the address is.
async fn ask_sentinel(connection: &Connection, name: &str) -> Result<Answer, Failure> {
    let mut both = ::redis::pipe();
    both.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    both.cmd("SENTINEL").arg("MASTER").arg(name);
    let ((host, port), master): ((String, u16), HashMap<String, String>) =
        both.query_async(&mut connection.0.clone()).await?;
    let epoch = number(master.get("config-epoch").map(String::as_str))?;
    Ok(Answer { epoch, master: Address::Tcp(host, port) })
}

/// Asks for the owner of the slot and its epoch. Fails while the asked node takes the slot over, because entries are
/// then on two nodes.
async fn ask_cluster(
    connection: &Connection,
    slot: u16,
    asked: &Address,
) -> Result<Answer, Failure> {
    let mut both = ::redis::pipe();
    both.cmd("CLUSTER").arg("SLOTS");
    both.cmd("CLUSTER").arg("NODES");
    let (ranges, nodes): (Vec<Vec<Value>>, String) =
        both.query_async(&mut connection.0.clone()).await?;
    let importing = format!("[{slot}-<-");
    if nodes.split_ascii_whitespace().any(|word| word.starts_with(&importing)) {
        return Err(Failure::Migrating);
    }
    let (host, port, id) = owner(ranges, slot).ok_or(Failure::NoMaster(None))?;
    let fields = nodes.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let fields = fields.into_iter().find(|fields| fields.first() == Some(&&*id));
    let epoch = number(fields.and_then(|fields| fields.get(6).copied()))?;
    let host = match (host, asked) {
        (Some(host), _) => host,
        // A node that does not know its own address means the address of the connection.
        (None, Address::Tcp(host, _)) => host.clone(),
        #[cfg(unix)]
        (None, Address::Unix(_)) => return Err(Failure::Unreadable),
    };
    Ok(Answer { epoch, master: Address::Tcp(host, port) })
}

/// Returns the host, the port and the id of the master that has the slot.
fn owner(ranges: Vec<Vec<Value>>, slot: u16) -> Option<(Option<String>, u16, String)> {
    ranges.into_iter().find_map(|range| {
        let mut parts = range.into_iter();
        let first: u16 = read(parts.next()?)?;
        let last: u16 = read(parts.next()?)?;
        if !(first..=last).contains(&slot) {
            return None;
        }
        let mut master = read::<Vec<Value>>(parts.next()?)?.into_iter();
        let host: Option<String> = read(master.next()?)?;
        let host = host.filter(|host| !host.is_empty() && host != "?");
        Some((host, read(master.next()?)?, read(master.next()?)?))
    })
}

fn read<T: ::redis::FromRedisValue>(value: Value) -> Option<T> {
    T::from_redis_value(value).ok()
}

fn number(text: Option<&str>) -> Result<u64, Failure> {
    text.and_then(|text| u64::from_str(text).ok()).ok_or(Failure::Unreadable)
}

/// Returns the prefix of the keys. In a cluster, the whole prefix is a hash tag unless it has one, so that all keys of
/// the fleet are in one slot.
pub(super) fn key_prefix(url: &str, prefix: &str) -> Result<String, ConnectError> {
    let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let is_cluster = matches!(&*scheme, "redis-cluster" | "rediss-cluster");
    if !is_cluster || hash_tag(prefix).is_some() {
        return Ok(prefix.to_owned());
    }
    let tagged = format!("{{{prefix}}}");
    match hash_tag(&tagged) {
        Some(_) => Ok(tagged),
        None => Err(ConnectError::OutOfRange("a prefix of at least one character in a cluster")),
    }
}

fn hash_tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    Some(tag).filter(|tag| !tag.is_empty())
}

/// Returns the hash slot of a prefix with a hash tag: CRC16/XMODEM, as the Redis Cluster specification says.
fn slot(prefix: &str) -> u16 {
    let step = |crc: u16, byte: u8| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    };
    hash_tag(prefix).unwrap_or(prefix).bytes().fold(0, step) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Target, ConnectError> {
        Target::read(url, "{tower-bearer:}")
    }

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp(host.to_owned(), port)
    }

    #[test]
    fn a_sentinel_url_names_sentinels_and_a_master() {
        let url = "rediss-sentinel://me:p%40ss@a,[::1]:7,b:8/my-master/3?protocol=resp3";
        let target = read(url).unwrap();
        assert!(target.is_encrypted);
        let expected = [&tcp("a", 26_379), &tcp("::1", 7), &tcp("b", 8)];
        assert_eq!(target.servers.addresses(), expected);
        assert_eq!(target.settings.password(), Some("p@ss"));
        assert_eq!(target.settings.username(), Some("me"));
        assert_eq!(target.settings.db(), 3);
        let Servers::Many(directory) = target.servers else { panic!("one server") };
        assert!(matches!(&directory.question, Question::Sentinel(name) if name == "my-master"));
        assert_eq!(directory.login.password(), None, "sentinels do not get the password");
        let url = "redis-sentinel://:secret@a/m?sentinel_user=s&sentinel_password=q%23";
        let Servers::Many(directory) = read(url).unwrap().servers else { panic!("one server") };
        assert_eq!(directory.login.username(), Some("s"));
        assert_eq!(directory.login.password(), Some("q#"));
    }

    #[test]
    fn a_cluster_url_names_nodes() {
        let target = read("redis-cluster://:secret@a:1,[::1]").unwrap();
        assert!(!target.is_encrypted && target.servers.is_cluster());
        assert_eq!(target.servers.addresses(), [&tcp("a", 1), &tcp("::1", 6_379)]);
        assert_eq!(target.settings.password(), Some("secret"));
    }

    #[test]
    fn a_bad_url_is_an_error_without_its_password() {
        for url in [
            "redis-sentinel://me:secret@a,b",
            "redis-sentinel://me:secret@a,b/",
            "redis-sentinel://me:secret@a,b/m/x",
            "redis-sentinel://me:secret@a,,b/m",
            "redis-sentinel://me:secret@a:x/m",
            "redis-sentinel://me:secret@::1/m",
            "redis-sentinel://me:secret@a/m m",
            "redis-sentinel://me:secret@a/m?sentinel_user=secret",
            "redis-sentinel:me:secret@a/m",
            "redis-cluster://me:secret@",
            "redis-cluster://me:secret@a,",
            "redis-cluster://me:secret@a:70000",
            "redis-cluster://me:secret@a/0",
            "redis-clusters://me:secret@a",
            "redis-cluster://me:secret@a#insecure",
        ] {
            let Err(error) = read(url) else { panic!("{url}") };
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }

    #[test]
    fn all_keys_of_a_fleet_have_one_slot_in_a_cluster() {
        let prefix = |prefix| key_prefix("redis-cluster://a", prefix);
        assert_eq!(prefix("tower-bearer:").unwrap(), "{tower-bearer:}");
        assert_eq!(prefix("a{b}:").unwrap(), "a{b}:");
        assert_eq!(prefix("{}a").unwrap(), "{{}a}");
        assert!(prefix("").is_err() && prefix("}a").is_err());
        assert_eq!(key_prefix("rediss-cluster://a", "x").unwrap(), "{x}");
        for url in ["redis://a", "redis-sentinel://a/m"] {
            assert_eq!(key_prefix(url, "tower-bearer:").unwrap(), "tower-bearer:");
        }
        // From `CLUSTER KEYSLOT`.
        assert_eq!(slot("123456789"), 12_739);
        assert_eq!(slot("{user1000}.following"), slot("user1000"));
        assert_eq!(slot("foo"), 12_182);
    }
}
