//! The sockets of one address: UDP and TCP at the same port.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, UdpSocket};

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

/// Takes both ports of an address. Port 0 takes one that is free for both.
pub async fn bind(address: SocketAddr) -> io::Result<Pair> {
    let mut tries = if address.port() == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        let udp = UdpSocket::bind(address).await?;
        let bound = udp.local_addr()?;
        match TcpListener::bind(bound).await {
            Ok(tcp) => {
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

impl Pair {
    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
