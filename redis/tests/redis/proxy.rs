//! A wire that can go bad.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::broadcast,
};

const QUESTIONS: usize = 0;
const ANSWERS: usize = 1;

/// Between a store and its Redis.
pub(crate) struct Proxy {
    address: SocketAddr,
    wire: Arc<Wire>,
}

struct Wire {
    /// Where new connections lead.
    port: AtomicU16,
    /// Bytes vanish, connections stay: those of questions, and those of answers.
    swallows: [AtomicBool; 2],
    trap: Mutex<Option<&'static str>>,
    accepted: AtomicUsize,
    cut: broadcast::Sender<()>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(Wire {
            port: AtomicU16::new(port),
            swallows: Default::default(),
            trap: Mutex::default(),
            accepted: AtomicUsize::new(0),
            cut: broadcast::channel(1).0,
        });
        let ours = Arc::clone(&wire);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                wire.accepted.fetch_add(1, SeqCst);
                let far = ("127.0.0.1", wire.port.load(SeqCst));
                let Ok(far) = TcpStream::connect(far).await else { continue };
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::spawn(carry(near_read, far_write, QUESTIONS, Arc::clone(&wire)));
                tokio::spawn(carry(far_read, near_write, ANSWERS, Arc::clone(&wire)));
            }
        });
        Self { address, wire: ours }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(crate) fn swallow(&self, swallows: bool) {
        self.wire.swallows.iter().for_each(|way| way.store(swallows, SeqCst));
    }

    /// The next question with `word` in it arrives, and nobody learns what came of it.
    pub(crate) fn swallow_answers_to(&self, word: &'static str) {
        *self.wire.trap.lock().unwrap() = Some(word);
    }

    /// As a name that leads to another server from now on.
    pub(crate) fn lead_to(&self, port: u16) {
        self.wire.port.store(port, SeqCst);
    }

    /// Ends every connection of the moment.
    pub(crate) fn cut(&self) {
        let _ = self.wire.cut.send(());
    }

    /// How many connections there have been.
    pub(crate) fn accepted(&self) -> usize {
        self.wire.accepted.load(SeqCst)
    }
}

impl Wire {
    fn springs(&self, question: &[u8]) -> bool {
        let trap = *self.trap.lock().unwrap();
        trap.is_some_and(|word| question.windows(word.len()).any(|part| part == word.as_bytes()))
    }
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    way: usize,
    wire: Arc<Wire>,
) {
    let mut cut = wire.cut.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = cut.recv() => return,
        };
        let Ok(length @ 1..) = read else { return };
        if way == QUESTIONS && wire.springs(&buffer[..length]) {
            wire.swallows[ANSWERS].store(true, SeqCst);
        }
        if !wire.swallows[way].load(SeqCst) && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
