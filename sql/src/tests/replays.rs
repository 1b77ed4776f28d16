//! Thousands of replays of a used refresh token, against a PostgreSQL server with the delay of a network.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
};

use super::{
    HOUR, ISSUER, NOW, any_store::Everybody, lookup_of, owner, refresh, rotation, server::Postgres,
};
use crate::{SqlStore, SqlStoreOptions};
use tower_bearer::{
    Algorithm,
    claims::ManualClock,
    jws::SigningKey,
    revocation::{Revocable, RevocationStore, Verdict},
};
use tower_bearer_issuing::{
    ClientInfo, Credentials, RefreshError, TokenIssuer,
    store::{RefreshUse, TokenStore},
};

const REPLAYS: usize = 4_000;

/// The delay of the network in each direction.
const DELAY: Duration = Duration::from_micros(650);

/// A proxy with a delay in front of a server's socket.
pub(super) struct Proxy {
    port: u16,
    sent: Arc<Sent>,
    /// Bytes vanish, and connections stay.
    swallows: Arc<AtomicBool>,
}

/// What clients have sent.
#[derive(Default)]
struct Sent {
    transactions: AtomicUsize,
    /// A client waits for the answer after each piece.
    pieces: AtomicUsize,
}

impl Proxy {
    pub(super) async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(Sent::default());
        let count = Arc::clone(&sent);
        let swallows = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&swallows);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = UnixStream::connect(&socket).await else { continue };
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                let sent = Some(Arc::clone(&count));
                tokio::spawn(forward(near_read, far_write, sent, Arc::clone(&flag)));
                tokio::spawn(forward(far_read, near_write, None, Arc::clone(&flag)));
            }
        });
        Self { port, sent, swallows }
    }

    pub(super) fn swallow(&self, swallows: bool) {
        self.swallows.store(swallows, SeqCst);
    }

    async fn open(&self, database: &str) -> SqlStore {
        self.open_with(SqlStoreOptions::new(), database).await
    }

    pub(super) async fn open_with(&self, options: SqlStoreOptions, database: &str) -> SqlStore {
        let url = format!("postgres://tester@127.0.0.1:{}/{database}?sslmode=disable", self.port);
        options.open(&url).await.unwrap().with_clock(ManualClock::at(NOW))
    }

    /// Returns how many transactions were begun since the last call.
    fn take_transactions(&self) -> usize {
        self.sent.transactions.swap(0, SeqCst)
    }

    /// Returns how many pieces clients have sent since the last call.
    pub(super) fn take_pieces(&self) -> usize {
        self.sent.pieces.swap(0, SeqCst)
    }
}

/// Each `BEGIN` arrives in one piece, because a client waits for its answer.
async fn forward(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    sent: Option<Arc<Sent>>,
    swallows: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..length];
        if let Some(sent) = &sent {
            let begun = bytes.windows(9).filter(|part| *part == b"BEGIN ISO").count();
            sent.transactions.fetch_add(begun, SeqCst);
            sent.pieces.fetch_add(1, SeqCst);
        }
        tokio::time::sleep(DELAY).await;
        if !swallows.load(SeqCst) && to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn replays_of_a_used_refresh_token_block_no_revocation_and_no_log_in() {
    let server = Postgres::start();
    server.database("replays").await;
    let proxy = Proxy::to(server.socket()).await;
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let issuer = TokenIssuer::builder(ISSUER, "api", key, proxy.open("replays").await, Everybody);
    let issuer = issuer.with_clock(ManualClock::at(NOW)).build().unwrap();
    let log_in = async |name| {
        issuer.log_in(&Credentials::new(name, "right"), &ClientInfo::new()).await.unwrap().tokens
    };
    let stolen = log_in("ada").await;
    issuer.refresh(&stolen.refresh_token).await.unwrap();
    let other_session = log_in("ada").await;
    let access = issuer.authenticator().authenticate(&other_session.access_token).await.unwrap();
    proxy.take_transactions();

    let replays: Vec<_> = (0..REPLAYS)
        .map(|_| {
            let (issuer, token) = (issuer.clone(), stolen.refresh_token.clone());
            tokio::spawn(async move { issuer.refresh(&token).await })
        })
        .collect();
    let (revoked, bob) = tokio::join!(issuer.revoke_all(&access), log_in("bob"));
    revoked.unwrap();
    for replay in replays {
        let outcome = replay.await.unwrap();
        let is_rejected =
            matches!(outcome, Err(RefreshError::NotValid | RefreshError::Throttled { .. }));
        assert!(is_rejected, "{outcome:?}");
    }
    let transactions = proxy.take_transactions();
    assert!(transactions <= 3, "a replay, a revocation and a log-in: {transactions}");
    assert!(issuer.refresh(&other_session.refresh_token).await.is_err(), "it is recorded");
    issuer.refresh(&bob.refresh_token).await.unwrap();
}

/// The replays come as if from many replicas, none of which has seen the token before.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_store_answers_for_dead_refresh_tokens_without_a_transaction() {
    let server = Postgres::start();
    server.database("dead").await;
    let proxy = Proxy::to(server.socket()).await;
    // All replays succeed even on a slow machine, because the test counts them and does not time them.
    let long = SqlStoreOptions::new().with_wait_timeout(Duration::from_secs(60));
    let store = proxy.open_with(long, "dead").await;
    store.open_session(&refresh("s", "1").into()).await.unwrap();
    let replay = rotation("s", "1", "2");
    assert_eq!(store.use_refresh(&replay).await.unwrap(), RefreshUse::Rotated);
    assert_eq!(store.use_refresh(&replay).await.unwrap(), RefreshUse::Reused);
    proxy.take_transactions();

    let unknown = rotation("s", "unknown", "3");
    let replays = (0..REPLAYS / 2).flat_map(|_| [&replay, &unknown]);
    let replays = futures_util::future::join_all(replays.map(|one| store.use_refresh(one)));
    let owner = owner();
    let (outcomes, cut_off) = tokio::join!(replays, store.revoke_owner(&owner, NOW, NOW + HOUR));
    assert_eq!(cut_off.unwrap(), NOW);
    for outcome in outcomes {
        let outcome = outcome.unwrap();
        assert!(matches!(outcome, RefreshUse::Revoked | RefreshUse::Unknown), "{outcome:?}");
    }
    assert_eq!(proxy.take_transactions(), 1, "that of the revocation");
    let what = Revocable::subject(owner.issuer, owner.subject);
    assert_eq!(store.look_up(&lookup_of(what)).await.unwrap(), Verdict::Revoked);
}
