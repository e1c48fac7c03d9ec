//! Ports for servers that cannot be asked which one they took.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context, Result, bail};

/// How many ports are tried.
const TRIES: usize = 16;

/// An address with a port that was free for TCP and UDP a moment ago. In a block of our own ([`crate::block`]) nobody else
/// will take it: a server takes it by itself, and takes it again when it is restarted.
pub fn free(ip: IpAddr) -> Result<SocketAddr> {
    for _ in 0..TRIES {
        let listener = TcpListener::bind((ip, 0)).with_context(|| format!("a port of {ip}"))?;
        let address = listener.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("{ip} has no port that is free for both TCP and UDP, among {TRIES} tried")
}
