//! Opening a connection.

use std::{sync::Arc, time::Duration};

use ::redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo,
    aio::{MultiplexedConnection, PubSub},
};
use tokio::{io, net::TcpStream, task::JoinHandle, time::timeout};

use super::error::{ConnectError, Failure};

/// Commands that wait to be written; more than that make their callers wait.
const PIPELINE: usize = 1_000;

/// Where Redis is, and how long it may take.
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
    #[cfg(unix)]
    Unix(std::path::PathBuf),
}

/// A connection for commands; closed with its last clone.
#[derive(Clone)]
pub(super) struct Connection(pub(super) MultiplexedConnection, #[expect(dead_code)] Arc<Driver>);

/// What reads and writes the socket; ends when it is dropped.
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
        connect_timeout: Duration,
        command_timeout: Duration,
    ) -> Result<Self, ConnectError> {
        let info: ConnectionInfo = url.into_connection_info().map_err(|_| ConnectError::Url)?;
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Address::Tcp(host.clone(), *port),
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
            _ => return Err(ConnectError::Url),
        };
        let settings = info.redis_settings().clone();
        Ok(Self { address, settings, connect_timeout, command_timeout })
    }

    pub(super) fn with_command_timeout(&self, command_timeout: Duration) -> Self {
        Self { command_timeout, ..self.clone() }
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
            Address::Tcp(host, port) => {
                let stream =
                    TcpStream::connect((host.as_str(), *port)).await.map_err(Failure::Dial)?;
                // Commands are small and somebody waits for each.
                stream.set_nodelay(true).map_err(Failure::Dial)?;
                Ok(Box::new(stream))
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await.map_err(Failure::Dial)?;
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
