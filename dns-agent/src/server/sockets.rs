//! The sockets of one address, UDP and TCP at the same port, and how one agent takes them over from another.
//!
//! Whoever is alone at an address takes it for itself: if anybody at all is there, that fails. Only then the kernel is told
//! that others of the same user may come beside us (`SO_REUSEPORT`), and agents do so only where another agent is. The one
//! that leaves turns new messages away first, to the other's sockets, and closes when nothing waits any more: what waits
//! at a socket that closes is lost.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener, UdpSocket as StdSocket},
    time::Duration,
};

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tracing::debug;

use crate::presence::{Claim, Thing};

/// Both sockets of one address.
#[derive(Debug)]
pub struct Pair {
    /// For queries in datagrams.
    pub udp: UdpSocket,
    /// For queries over TCP.
    pub tcp: TcpListener,
    /// To be dropped after both.
    pub claim: Claim,
    address: SocketAddr,
}

/// Who is at an address.
#[derive(Debug)]
pub enum Place {
    /// We alone.
    Held(Pair),
    /// Another agent, whom we may join.
    Awaited(SocketAddr),
}

/// How often a free port is tried anew when TCP's half of it is taken, and how often an address that somebody seems to be
/// leaving.
const TRIES: usize = 16;
/// How long somebody may take who is between closing an address and telling so.
const LEAVING: Duration = Duration::from_millis(20);

/// How much memory we want for datagrams that have come and are not read yet, in bytes: some thousands of queries, so that
/// a burst from all pods of a node waits rather than being lost. The kernel gives what `net.core.rmem_max` allows.
const RECEIVE_BUFFER: usize = 4 << 20;
/// As many connections may wait to be accepted as the standard library lets wait.
const BACKLOG: i32 = 1024;

/// Takes an address for ourselves, or finds that another agent has it. Anybody else there is an error. Port 0 takes one that
/// is free for both transports.
pub async fn take(address: SocketAddr) -> io::Result<Place> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match bind(address, false) {
            Ok(pair) => return Ok(Place::Held(pair)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {
                if address.port() != 0 {
                    if Thing::Dns(address).is_held() {
                        return Ok(Place::Awaited(address));
                    }
                    tokio::time::sleep(LEAVING).await;
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Takes an address beside another agent.
pub fn join(address: SocketAddr) -> io::Result<Pair> {
    bind(address, true)
}

fn bind(address: SocketAddr, beside: bool) -> io::Result<Pair> {
    let domain = Domain::for_address(address);
    let udp = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    udp.set_reuse_port(beside)?;
    udp.bind(&address.into())?;
    let bound = udp.local_addr()?.as_socket().unwrap_or(address);
    let tcp = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // Connections of somebody who was here before do not matter.
    tcp.set_reuse_address(true)?;
    tcp.set_reuse_port(beside)?;
    tcp.bind(&bound.into())?;
    tcp.listen(BACKLOG)?;
    let claim = Thing::Dns(bound).claim()?;
    for socket in [&udp, &tcp] {
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
    }
    enlarge(&udp, bound);
    Ok(Pair {
        udp: UdpSocket::from_std(StdSocket::from(udp))?,
        tcp: TcpListener::from_std(StdListener::from(tcp))?,
        claim,
        address: bound,
    })
}

/// Less is no failure: queries are then lost earlier under a burst, and asked again.
fn enlarge(socket: &Socket, address: SocketAddr) {
    let set = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let bytes = socket.recv_buffer_size().unwrap_or_default();
    debug!(%address, bytes, wanted = RECEIVE_BUFFER, error = ?set.err(), "receive buffer");
}

/// From now on no datagram reaches the socket; those that wait still can be read, and any can be sent. The kernel chooses
/// among an address's sockets only those that are not connected, and to one that is connected gives only what comes from
/// the other end: here ourselves, from whom nothing comes.
pub(super) async fn turn_away_datagrams(socket: &UdpSocket) {
    let turned = async { socket.connect(socket.local_addr()?).await };
    if let Err(error) = turned.await {
        debug!(%error, "datagrams are not turned away");
    }
}

/// From now on no connection begins at the listener; those that have begun can be accepted. A connection cannot be steered
/// to another listener without changing the choice for all, so its first segment (SYN) is dropped: the client sends it again
/// after a second, when the listener is gone and the other one gets it.
pub(super) fn turn_away_connections(listener: &TcpListener) {
    // Classic BPF on the TCP header: byte 13 has the flags; SYN (0x02) without ACK (0x10) takes nothing of the segment.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let program = [
        SockFilter::new(LOAD_BYTE, 0, 0, 13),
        SockFilter::new(AND, 0, 0, 0x12),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, 0x02),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    if let Err(error) = SockRef::from(listener).attach_filter(&program) {
        debug!(%error, "connections are not turned away");
    }
}

impl Pair {
    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Place {
    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Held(pair) => pair.address,
            Self::Awaited(address) => *address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn held() -> Pair {
        match take(([127, 0, 0, 1], 0).into()).await.unwrap() {
            Place::Held(pair) => pair,
            Place::Awaited(address) => panic!("{address}"),
        }
    }

    #[tokio::test]
    async fn the_receive_buffer_is_as_large_as_the_kernel_allows() {
        let pair = held().await;
        let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
        let most: usize = most.trim().parse().unwrap();
        // The kernel doubles what it is asked for, for its own needs (socket(7)).
        let expected = 2 * most.min(RECEIVE_BUFFER);
        let found = SockRef::from(&pair.udp).recv_buffer_size().unwrap();
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn an_address_is_shared_with_agents_only() {
        let pair = held().await;
        let address = pair.address();
        assert!(matches!(take(address).await.unwrap(), Place::Awaited(_)));
        let Pair {
            udp, tcp, claim, ..
        } = pair;
        // Whoever does not tell that it is an agent is none, even if the kernel would let us in.
        drop(claim);
        let error = take(address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop((udp, tcp));
        assert!(matches!(take(address).await.unwrap(), Place::Held(_)));
    }

    /// Reads what waits at a socket.
    fn read(socket: &UdpSocket) -> usize {
        std::iter::from_fn(|| socket.try_recv(&mut [0; 8]).ok()).count()
    }

    #[tokio::test]
    async fn who_leaves_keeps_what_waits_and_the_other_gets_the_rest() {
        const MANY: usize = 40;
        let leaving = held().await;
        let staying = join(leaving.address()).unwrap();
        let mut clients = Vec::new();
        for _ in 0..MANY {
            let client = StdSocket::bind("127.0.0.1:0").unwrap();
            client.connect(leaving.address()).unwrap();
            client.send(b"early").unwrap();
            clients.push(client);
        }
        turn_away_datagrams(&leaving.udp).await;
        for client in &clients {
            client.send(b"late").unwrap();
        }
        leaving.udp.readable().await.unwrap();
        staying.udp.readable().await.unwrap();
        let (left, stayed) = (read(&leaving.udp), read(&staying.udp));
        assert!(left > 0 && left < MANY, "{left} early ones of {MANY}");
        assert_eq!(stayed, 2 * MANY - left);
        // It can still reply to anybody.
        let client = clients.swap_remove(0);
        let to = client.local_addr().unwrap();
        leaving.udp.send_to(b"reply", to).await.unwrap();
        assert_eq!(client.recv(&mut [0; 8]).unwrap(), 5);
    }

    #[tokio::test]
    async fn a_connection_that_begins_late_is_the_others() {
        let leaving = held().await;
        let staying = join(leaving.address()).unwrap();
        let address = leaving.address();
        turn_away_connections(&leaving.tcp);
        let mut connecting = tokio::task::JoinSet::new();
        for _ in 0..20 {
            connecting.spawn(async move { tokio::net::TcpStream::connect(address).await.unwrap() });
        }
        let first = staying.tcp.accept().await;
        assert!(first.is_ok());
        drop(leaving);
        let mut accepted = vec![first];
        while accepted.len() < 20 {
            accepted.push(staying.tcp.accept().await);
        }
        assert_eq!(connecting.join_all().await.len(), 20);
    }
}
