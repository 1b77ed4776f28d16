//! A name that leads to another server, while connections to the one of before stay.

use std::time::Duration;

use tower_bearer::revocation::{RevocationStore, Verdict};
use tower_bearer_redis::{DenyList, RedisStore};

use crate::{
    proxy::Proxy,
    server::Server,
    service::{HOUR, Passes, Revoked, Service, asked, entry, eventually, id, now, token},
};

/// Two masters with the same data, and a name that leads to the first.
async fn two_masters() -> (Server, Server, Proxy) {
    let (old, new) = (Server::start(), Server::start());
    RedisStore::connect(&old.url()).await.unwrap().initialise().await.unwrap();
    new.restore(&old.backup());
    let name = Proxy::to(old.port).await;
    (old, new, name)
}

/// The store finds out, because its own connection ends.
async fn lead_the_store_away(old: &Server, new: &Server, name: &Proxy) {
    name.lead_to(new.port);
    let link = || {
        let clients = old.command(&["CLIENT", "LIST"]);
        // Its last command is that of a heartbeat, or a look-up.
        let is_it = |client: &&str| client.contains("cmd=xrange") || client.contains("cmd=mget");
        let link = clients.lines().find(is_it)?.split(' ').next()?;
        Some(link.strip_prefix("id=")?.to_owned())
    };
    eventually("found", async || link().is_some()).await;
    old.command(&["CLIENT", "KILL", "ID", &link().unwrap()]);
    let has_moved = async || new.command(&["CLIENT", "LIST"]).contains("cmd=xrange");
    eventually("moved", has_moved).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_deny_list_follows_its_store_to_a_new_server() {
    let (old, new, name) = two_masters().await;
    let store = RedisStore::connect(&name.url()).await.unwrap();
    let list = DenyList::follow(&store, Duration::from_secs(2));
    // Its last command is that of a round, which waits for changes.
    let follows = async |server: &Server| {
        let clients = server.command(&["CLIENT", "LIST"]);
        list.stats().is_current && clients.contains("cmd=xread")
    };
    eventually("follows", async || follows(&old).await).await;
    lead_the_store_away(&old, &new, &name).await;
    let elsewhere = RedisStore::connect(&new.url()).await.unwrap();
    elsewhere.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    let is_refused =
        async || list.look_up(&asked([id("a")])).await.is_ok_and(|it| it == Verdict::Revoked);
    eventually("refused", is_refused).await;
    assert_eq!(list.stats().snapshots, 1, "the stream was enough");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn pushes_follow_their_store_to_a_new_server() {
    let (old, new, name) = two_masters().await;
    let service = Service::with(&name.url(), Default::default(), HOUR).await;
    let pushes = service.listen().await;
    lead_the_store_away(&old, &new, &name).await;
    let is_back =
        async || pushes.stats().is_connected && new.command(&["PUBSUB", "CHANNELS"]) == "*1";
    eventually("pushes from the new one", is_back).await;
    assert_eq!(service.ask(&token("a")).await, Passes);
    let elsewhere = RedisStore::connect(&new.url()).await.unwrap();
    elsewhere.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    eventually("pushed", async || service.ask(&token("a")).await == Revoked).await;
}
