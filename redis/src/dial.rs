//! Opens connections to Redis.

use std::{sync::Arc, time::Duration};

use ::redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo,
    aio::{MultiplexedConnection, PubSub},
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{io, net::TcpStream, task::JoinHandle, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    error::{ConnectError, Failure},
    tls::Tls,
};

/// How many commands may wait to be written. If there are more, their callers wait.
const PIPELINE: usize = 1_000;

/// The address of Redis, and the timeouts.
#[derive(Clone)]
pub(super) struct Dialer {
    address: Address,
    settings: RedisConnectionInfo,
    pub(super) connect_timeout: Duration,
    pub(super) command_timeout: Duration,
}

#[derive(Clone)]
enum Address {
    Tcp(String, u16),
    Tls(String, u16, ServerName<'static>, Arc<ClientConfig>),
    #[cfg(unix)]
    Unix(std::path::PathBuf),
}

/// A connection for commands. It is closed when its last clone is dropped.
#[derive(Clone)]
pub(super) struct Connection(pub(super) MultiplexedConnection, #[expect(dead_code)] Arc<Driver>);

/// The task that reads and writes the socket. It ends when this value is dropped.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

trait Socket: io::AsyncRead + io::AsyncWrite + Send + Unpin {}
impl<T: io::AsyncRead + io::AsyncWrite + Send + Unpin> Socket for T {}

impl Dialer {
    pub(super) fn new(
        url: &str,
        tls: &Tls,
        connect_timeout: Duration,
        command_timeout: Duration,
    ) -> Result<Self, ConnectError> {
        // redis-rs accepts `#insecure`, which turns the check of certificates off.
        if url.contains('#') {
            return Err(ConnectError::UrlFragment);
        }
        // This crate makes the TLS connection. redis-rs would use the default provider of the process, or panic if
        // there is none.
        let (wants_tls, url) = match url.split_once(':') {
            Some((scheme, rest)) if is_one_of(scheme, ["rediss", "valkeys"]) => {
                (true, format!("redis:{rest}"))
            }
            _ => (false, url.to_owned()),
        };
        let info: ConnectionInfo = url.into_connection_info().map_err(|_| ConnectError::Url)?;
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) if wants_tls => {
                let name = ServerName::try_from(host.clone()).map_err(|_| ConnectError::Url)?;
                Address::Tls(host.clone(), *port, name, tls.client_config()?)
            }
            ConnectionAddr::Tcp(host, port) => Address::Tcp(host.clone(), *port),
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
            _ => return Err(ConnectError::Url),
        };
        let settings = info.redis_settings().clone();
        Ok(Self { address, settings, connect_timeout, command_timeout })
    }

    /// For commands that tell Redis to wait before it answers.
    pub(super) fn with_more_time(&self, time: Duration) -> Self {
        Self { command_timeout: self.command_timeout.saturating_add(time), ..self.clone() }
    }

    pub(super) async fn connection(&self) -> Result<Connection, Failure> {
        self.in_time(async {
            let config = AsyncConnectionConfig::new()
                .set_response_timeout(Some(self.command_timeout))
                .set_pipeline_buffer_size(PIPELINE);
            let socket = self.socket().await?;
            let (connection, driver) =
                MultiplexedConnection::new_with_config(&self.settings, socket, config).await?;
            Ok(Connection(connection, Arc::new(Driver(tokio::spawn(driver)))))
        })
        .await
    }

    pub(super) async fn pub_sub(&self) -> Result<PubSub, Failure> {
        self.in_time(async {
            let socket = self.socket().await?;
            Ok(PubSub::new(&self.settings, socket).await?)
        })
        .await
    }

    async fn socket(&self) -> Result<Box<dyn Socket>, Failure> {
        match &self.address {
            Address::Tcp(host, port) => Ok(Box::new(tcp(host, *port).await?)),
            Address::Tls(host, port, name, config) => {
                let stream = tcp(host, *port).await?;
                let connecting =
                    TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream);
                Ok(Box::new(connecting.await.map_err(Failure::dial)?))
            }
            #[cfg(unix)]
            Address::Unix(path) => {
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

fn is_one_of(scheme: &str, schemes: [&str; 2]) -> bool {
    schemes.iter().any(|one| scheme.eq_ignore_ascii_case(one))
}
