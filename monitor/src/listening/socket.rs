//! The socket of an endpoint: TCP or unix, alike to who serves.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::Listen;
use crate::serve::{ControlSocket, ListenError};

/// Bytes that the kernel keeps for one client that does not read; it doubles them for its own needs.
const SEND_BUFFER: usize = 128 * 1024;

/// Pause after a failed accept: there are no descriptors left, for example.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be had.
    #[error(
        "cannot listen at {address}: {error}\nhint: choose another address or port, or leave `listen` away"
    )]
    Inet {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The unix socket cannot be had.
    #[error(transparent)]
    Unix(#[from] ListenError),
}

/// A connection, whatever it came over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A listening socket. A unix one is removed when it is dropped.
pub(crate) enum Socket {
    Inet(TcpListener),
    Unix(ControlSocket),
}

impl Socket {
    /// Listens; `group` may use a unix socket, as the control socket's.
    ///
    /// # Errors
    /// When the system refuses, or another daemon listens there.
    pub(crate) async fn bind(listen: &Listen, group: &str) -> Result<Self, BindError> {
        Ok(match listen {
            Listen::Inet(address) => {
                let bound = TcpListener::bind(address).await;
                Self::Inet(bound.map_err(|error| BindError::Inet {
                    address: *address,
                    error,
                })?)
            }
            Listen::Unix(path) => Self::Unix(ControlSocket::bind(path, group)?),
        })
    }

    /// The TCP address it listens at.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// The system's; [`ACCEPT_PAUSE`] before the next try.
    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Inet(listener) => {
                let stream = listener.accept().await?.0;
                // Without a bound the kernel lets it grow to megabytes for each who does not read. A refusal changes
                // nothing but that.
                let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER);
                Box::new(stream)
            }
            Self::Unix(socket) => Box::new(socket.accept().await?),
        })
    }
}
