//! Who is at the two ends of a connection, as its accesses name them.

use std::net::SocketAddr;
use std::sync::Arc;

use super::taps::Side;
use crate::access::{Endpoint, Peer, Role, Tls};
use crate::contain::{Socket, Sockets};

/// The ends of one link. What an access repeats of them is derived when they change, not for each access.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) client: Option<Endpoint>,
    pub(super) server: Option<Endpoint>,
    /// The server's address, as the client sees it.
    server_address: Option<SocketAddr>,
    /// The client's address, as the server sees it.
    client_address: Option<SocketAddr>,
    unix: bool,
    unix_path: Option<Arc<str>>,
    /// The far address was seen at a socket of this host (of another network namespace, say).
    at_home: bool,
    /// Sockets of this host that belong to the link.
    pub(super) taps: u8,
    /// The TLS that is read.
    pub(super) tls: Option<Arc<Tls>>,
    /// Its sockets on this host, as they opened.
    pub(super) sockets: Sockets,
    /// Derived from the above.
    pub(super) role: Role,
    pub(super) peer: Peer,
    pub(super) local: bool,
}

impl Ends {
    pub(super) fn new(unix: bool) -> Self {
        Self {
            client: None,
            server: None,
            server_address: None,
            client_address: None,
            unix,
            unix_path: None,
            at_home: false,
            taps: 1,
            tls: None,
            sockets: [None, None],
            role: Role::Client,
            peer: Peer::Unknown,
            local: unix,
        }
    }

    /// Notes which process is at one end.
    pub(super) fn name(&mut self, side: Option<Side>, end: &Option<Endpoint>) {
        match side {
            Some(Side::Client) => self.client.clone_from(end),
            Some(Side::Server) => self.server.clone_from(end),
            None => return,
        }
        self.derive();
    }

    /// Notes a socket's addresses. Until its side is known, the remote end is taken for the server.
    pub(super) fn address(
        &mut self,
        side: Option<Side>,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
    ) {
        match side {
            Some(Side::Server) => {
                self.client_address = self.client_address.or(remote);
                self.server_address = self.server_address.or(local);
            }
            Some(Side::Client) | None => {
                self.server_address = remote.or(self.server_address);
                self.client_address = local.or(self.client_address);
            }
        }
        self.derive();
    }

    /// The first socket turned out to be the server's: what was taken for the server is the client.
    pub(super) fn swap_addresses(&mut self) {
        std::mem::swap(&mut self.server_address, &mut self.client_address);
        self.derive();
    }

    /// Notes a socket of the connection.
    pub(super) fn opened(&mut self, socket: Socket) {
        if let Some(free) = self.sockets.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(socket);
        }
    }

    /// Notes the path of a unix socket, unless it is known.
    pub(super) fn unix_path(&mut self, path: impl FnOnce() -> Option<Arc<str>>) {
        if self.unix_path.is_none() {
            self.unix_path = path();
            self.derive();
        }
    }

    /// The server's address, as far as it is known.
    pub(super) fn server_address(&self) -> Option<SocketAddr> {
        self.server_address
    }

    /// Notes how many sockets of this host belong to the link.
    pub(super) fn tapped(&mut self, taps: u8) {
        self.taps = taps;
        self.derive();
    }

    /// The far address is one of this host's.
    pub(super) fn peer_is_here(&mut self) {
        self.at_home = true;
    }

    /// The other end is on this host, most likely, and its process has not been told of.
    pub(super) fn awaited(&self) -> bool {
        (self.local || self.at_home) && self.role != Role::Both
    }

    fn derive(&mut self) {
        self.role = match (&self.client, &self.server) {
            (Some(_), Some(_)) => Role::Both,
            (None, Some(_)) => Role::Server,
            _ => Role::Client,
        };
        let address = match self.role {
            Role::Server => self.client_address,
            Role::Client | Role::Both => self.server_address,
        };
        self.peer = match (&self.unix_path, address) {
            (Some(path), _) => Peer::Unix(Arc::clone(path)),
            (None, Some(address)) => Peer::Inet(address),
            (None, None) => Peer::Unknown,
        };
        self.local = self.taps > 1
            || self.role == Role::Both
            || self.unix
            || stays_here(self.server_address, self.client_address);
    }
}

/// Whether a connection between these addresses cannot leave the host: loopback, or one address at both
/// ends.
fn stays_here(server: Option<SocketAddr>, client: Option<SocketAddr>) -> bool {
    let ip = |address: SocketAddr| address.ip().to_canonical();
    match (server.map(ip), client.map(ip)) {
        (Some(server), Some(client)) => server.is_loopback() || server == client,
        (Some(one), None) | (None, Some(one)) => one.is_loopback(),
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<SocketAddr> {
        text.parse().ok()
    }

    fn end(pid: u32) -> Option<Endpoint> {
        Some(Endpoint {
            pid,
            workload: Arc::default(),
        })
    }

    #[test]
    fn an_end_of_this_host_is_awaited_until_it_has_a_name() {
        let mut ends = Ends::new(false);
        ends.address(Some(Side::Server), at("127.0.0.1:80"), at("127.0.0.1:4000"));
        ends.name(Some(Side::Server), &end(1));
        assert!(ends.local && ends.awaited());
        assert_eq!(ends.role, Role::Server);
        ends.name(Some(Side::Client), &end(2));
        assert!(ends.local && !ends.awaited());
        assert_eq!(ends.role, Role::Both);
    }

    #[test]
    fn an_end_elsewhere_is_not_awaited() {
        let mut ends = Ends::new(false);
        ends.address(Some(Side::Client), at("10.0.0.1:4000"), at("10.0.0.2:80"));
        ends.name(Some(Side::Client), &end(1));
        assert!(!ends.local && !ends.awaited());
        // One's own address is at home, whatever its name.
        let mut ends = Ends::new(false);
        ends.address(Some(Side::Client), at("10.0.0.1:4000"), at("10.0.0.1:80"));
        ends.name(Some(Side::Client), &end(1));
        assert!(ends.awaited());
    }
}
