//! Opens connections to Redis: timeouts, TLS, and the backoff between attempts.
//!
//! TLS uses rustls with AWS-LC, also if another backend checks signatures. The provider is passed explicitly, so a
//! default provider of the process has no effect.

use std::{
    future::pending,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, RedisConnectionInfo,
    aio::{MultiplexedConnection, PubSub},
};
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io,
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    error::{ConnectError, Failure},
    topology::{Address, Servers, Target},
};
use tower_bearer::BackgroundTask;

/// How many commands may wait to be written. If there are more, their callers wait.
const PIPELINE: usize = 1_000;

/// The servers, and the timeouts.
#[derive(Clone)]
pub(super) struct Dialer {
    servers: Servers,
    settings: RedisConnectionInfo,
    /// `None` without TLS.
    tls: Option<Arc<ClientConfig>>,
    pub(super) connect_timeout: Duration,
    pub(super) command_timeout: Duration,
}

/// A connection for commands. It is closed when its last clone is dropped.
#[derive(Clone)]
pub(super) struct Connection(pub(super) MultiplexedConnection, Arc<Driver>);

/// The task that reads and writes the socket, and the address of the server. The task ends when this value is dropped.
struct Driver {
    task: JoinHandle<()>,
    server: Address,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

trait Socket: io::AsyncRead + io::AsyncWrite + Send + Unpin {}
impl<T: io::AsyncRead + io::AsyncWrite + Send + Unpin> Socket for T {}

impl Dialer {
    /// `prefix` is the prefix of all keys.
    pub(super) fn new(
        url: &str,
        prefix: &str,
        tls: &Tls,
        connect_timeout: Duration,
        command_timeout: Duration,
    ) -> Result<Self, ConnectError> {
        let Target { servers, settings, is_encrypted } = Target::read(url, prefix)?;
        let tls = if is_encrypted { Some(tls.client_config()?) } else { None };
        for address in servers.addresses() {
            if let (Address::Tcp(host, _), true) = (address, is_encrypted) {
                ServerName::try_from(&**host).map_err(|_| ConnectError::Url)?;
            }
        }
        Ok(Self { servers, settings, tls, connect_timeout, command_timeout })
    }

    /// For commands that tell Redis to wait before it answers.
    pub(super) fn with_more_time(&self, time: Duration) -> Self {
        Self { command_timeout: self.command_timeout.saturating_add(time), ..self.clone() }
    }

    /// Connects to the current master.
    pub(super) async fn connection(&self) -> Result<Connection, Failure> {
        self.in_time(async {
            let server = self.servers.master(self).await?;
            self.connect_to(&server, &self.settings).await
        })
        .await
    }

    /// Connects to this server. The caller limits the time.
    pub(super) async fn connect_to(
        &self,
        server: &Address,
        settings: &RedisConnectionInfo,
    ) -> Result<Connection, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(self.command_timeout))
            .set_pipeline_buffer_size(PIPELINE);
        let socket = self.socket(server).await?;
        let (connection, driver) =
            MultiplexedConnection::new_with_config(settings, socket, config).await?;
        let driver = Driver { task: tokio::spawn(driver), server: server.clone() };
        Ok(Connection(connection, Arc::new(driver)))
    }

    pub(super) async fn pub_sub(&self) -> Result<PubSub, Failure> {
        self.in_time(async {
            let server = self.servers.master(self).await?;
            let socket = self.socket(&server).await?;
            Ok(PubSub::new(&self.settings, socket).await?)
        })
        .await
    }

    /// Checks that the server of this connection is still the master, as far as sentinels or nodes of the cluster can
    /// be asked.
    pub(super) async fn check_master(&self, connection: &Connection) -> Result<(), Failure> {
        self.servers.check(self, &connection.1.server).await
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.servers.is_cluster()
    }

    async fn socket(&self, server: &Address) -> Result<Box<dyn Socket>, Failure> {
        match (server, &self.tls) {
            (Address::Tcp(host, port), None) => Ok(Box::new(tcp(host, *port).await?)),
            (Address::Tcp(host, port), Some(config)) => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|error| Failure::Dial(io::Error::other(error)))?;
                let stream = tcp(host, *port).await?;
                let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
                Ok(Box::new(connecting.await.map_err(Failure::dial)?))
            }
            #[cfg(unix)]
            (Address::Unix(path), _) => {
                let stream = tokio::net::UnixStream::connect(path).await.map_err(Failure::dial)?;
                Ok(Box::new(stream))
            }
        }
    }

    async fn in_time<T>(
        &self,
        dialling: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout(self.connect_timeout, dialling).await.unwrap_or(Err(Failure::TimedOut))
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect((host, port)).await.map_err(Failure::dial)?;
    // Commands are small, and a caller waits for each of them.
    stream.set_nodelay(true).map_err(Failure::dial)?;
    Ok(stream)
}

/// The TLS settings. They have an effect only if the URL asks for TLS.
pub(super) struct Tls {
    pub(super) roots: Roots,
    identity: Option<Identity>,
}

/// The certificate of the client, with its chain, and its private key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Tls {
    pub(super) fn new() -> Self {
        Self { roots: Roots::bundled(), identity: None }
    }

    /// Sets the client certificate. Fails if the key and the certificate do not belong together.
    pub(super) fn with_identity(self, chain: &[u8], key: &[u8]) -> Result<Self, ConnectError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let (Ok(chain), Ok(key)) = (chain, PrivateKeyDer::from_pem_slice(key)) else {
            return Err(ConnectError::ClientCertificate);
        };
        let tls = Self { identity: Some(Identity { chain, key }), ..self };
        tls.client_config()?;
        Ok(tls)
    }

    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, ConnectError> {
        let config = self.roots.client()?;
        let config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(Identity { chain, key }) => config
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|_| ConnectError::ClientCertificate)?,
        };
        Ok(Arc::new(config))
    }
}

/// The trusted root certificates.
#[derive(Clone)]
pub(super) struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Returns the roots of Mozilla's programme.
    pub(super) fn bundled() -> Self {
        Self(Arc::new(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()))
    }

    /// Returns the roots that the operating system has now.
    pub(super) fn of_system() -> Result<Self, ConnectError> {
        let mut roots = RootCertStore::empty();
        // Some systems have certificates that cannot be read: they are left out.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(ConnectError::Roots("certificate of an authority on this system"));
        }
        Ok(Self(Arc::new(roots)))
    }

    /// Returns only the certificates of this PEM text.
    pub(super) fn of_pem(pem: &[u8]) -> Result<Self, ConnectError> {
        Self(Arc::new(RootCertStore::empty())).and_pem(pem)
    }

    /// Adds the certificates of this PEM text.
    pub(super) fn and_pem(self, pem: &[u8]) -> Result<Self, ConnectError> {
        let mut roots = Arc::unwrap_or_clone(self.0);
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            certificate
                .ok()
                .and_then(|certificate| roots.add(certificate).ok())
                .ok_or(ConnectError::Roots("certificate in PEM that can be read"))?;
        }
        if roots.len() == before {
            return Err(ConnectError::Roots("certificate in PEM"));
        }
        Ok(Self(Arc::new(roots)))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns a configuration to which the caller adds the client certificate, if there is one.
    pub(super) fn client(
        &self,
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, ConnectError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| ConnectError::Tls)?;
        Ok(config.with_root_certificates(Arc::clone(&self.0)))
    }
}

/// Starts the task of a component, which has not been started before.
///
/// # Panics
/// Outside a Tokio runtime. There, the component could never work.
pub(super) fn start(task: &BackgroundTask, work: impl Future<Output = ()> + Send + 'static) {
    let is_started = task.start(work);
    assert!(is_started, "{} needs a Tokio runtime: make it inside one", task.name());
}

/// A connection this old resets the backoff.
const SETTLED: Duration = Duration::from_secs(3);

/// Backoff between attempts. Each is twice as long as the one before, up to a limit. Each is shortened by a random
/// part, because a fleet loses its connections all at once. The first pause is used again only after a connection has
/// held for a while. So the pauses also grow if a server accepts connections and closes them at once.
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    pub(super) fn is_reset(&self) -> bool {
        self.next == self.first
    }

    /// Resets the backoff if the connection that began at this time has held long enough.
    pub(super) fn reset_if_stable(&mut self, begin: Instant) {
        if SETTLED <= begin.elapsed() {
            self.next = self.first;
        }
    }

    pub(super) async fn wait(&mut self) {
        let pause = jittered(self.next);
        self.next = self.next.saturating_mul(2).min(self.longest);
        wait(pause).await;
    }
}

/// Returns a random pause between half of this one and all of it.
pub(super) fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) >> 40;
    let parts = u32::try_from(random).unwrap_or(0);
    pause / 2 + (pause / 2).mul_f64(f64::from(parts) / f64::from(1_u32 << 24))
}

pub(super) async fn wait(pause: Duration) {
    let _ = timeout(pause, pending::<()>()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_a_connection_was_stable() {
        let (first, longest) = (Duration::from_millis(50), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, longest);
        let mut expected = first;
        for _ in 0..10 {
            let begin = Instant::now();
            backoff.wait().await;
            let took = begin.elapsed();
            // The timer has a resolution of one millisecond.
            let latest = expected + Duration::from_millis(1);
            assert!(expected / 2 <= took && took <= latest, "{took:?} of {expected:?}");
            expected = (expected * 2).min(longest);
            backoff.reset_if_stable(Instant::now());
            assert!(!backoff.is_reset());
        }
        let begin = Instant::now();
        wait(SETTLED).await;
        backoff.reset_if_stable(begin);
        assert!(backoff.is_reset());
    }
}
