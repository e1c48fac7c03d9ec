//! The sockets of one address: UDP and TCP at the same port.

use std::{io, net::SocketAddr};

use socket2::SockRef;
use tokio::net::{TcpListener, UdpSocket};
use tracing::debug;

/// Both sockets of one address.
#[derive(Debug)]
pub struct Pair {
    /// For queries in datagrams.
    pub udp: UdpSocket,
    /// For queries over TCP.
    pub tcp: TcpListener,
    address: SocketAddr,
}

/// How often a free port is tried anew when TCP's half of it is taken.
const TRIES: usize = 16;

/// How much memory we want for datagrams that have come and are not read yet, in bytes: some thousands of queries, so that
/// a burst from all pods of a node waits rather than being lost. The kernel gives what `net.core.rmem_max` allows.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Takes both ports of an address. Port 0 takes one that is free for both.
pub async fn bind(address: SocketAddr) -> io::Result<Pair> {
    let mut tries = if address.port() == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        let udp = UdpSocket::bind(address).await?;
        let bound = udp.local_addr()?;
        match TcpListener::bind(bound).await {
            Ok(tcp) => {
                enlarge(&udp, bound);
                return Ok(Pair {
                    udp,
                    tcp,
                    address: bound,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

/// Less is no failure: queries are then lost earlier under a burst, and asked again.
fn enlarge(udp: &UdpSocket, address: SocketAddr) {
    let socket = SockRef::from(udp);
    let set = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let bytes = socket.recv_buffer_size().unwrap_or_default();
    debug!(%address, bytes, wanted = RECEIVE_BUFFER, error = ?set.err(), "receive buffer");
}

impl Pair {
    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_receive_buffer_is_as_large_as_the_kernel_allows() {
        let pair = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
        let most: usize = most.trim().parse().unwrap();
        // The kernel doubles what it is asked for, for its own needs (socket(7)).
        let expected = 2 * most.min(RECEIVE_BUFFER);
        let found = SockRef::from(&pair.udp).recv_buffer_size().unwrap();
        assert_eq!(found, expected);
    }
}
