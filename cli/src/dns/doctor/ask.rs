//! Asking a DNS server one question, and reading as much of the reply as a check needs.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// How a question travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// What a server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The response code.
    pub(super) rcode: u8,
    /// The serial of an SOA in it: by that an agent can be told from another server.
    pub(super) serial: Option<u32>,
}

/// Whoever can ask.
pub(super) trait Ask {
    /// Asks for the records of type `rtype` of a name.
    ///
    /// # Errors
    /// Why there is no reply.
    fn ask(
        &self,
        server: SocketAddr,
        by: Transport,
        name: &str,
        rtype: u16,
    ) -> Result<Reply, String>;
}

/// The network of this machine.
pub(super) struct Network {
    /// How long a server is waited for.
    pub(super) patience: Duration,
}

pub(super) const A: u16 = 1;
pub(super) const NS: u16 = 2;
const SOA: u16 = 6;
const HEADER: usize = 12;
/// No other question is under way on the same socket.
const ID: u16 = 0x6372;

impl Ask for Network {
    fn ask(
        &self,
        server: SocketAddr,
        by: Transport,
        name: &str,
        rtype: u16,
    ) -> Result<Reply, String> {
        let query = query(name, rtype);
        let bytes = match by {
            Transport::Udp => self.over_udp(server, &query),
            Transport::Tcp => self.over_tcp(server, &query),
        };
        let bytes = bytes.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("no reply within {} s", self.patience.as_secs())
            }
            _ => error.to_string(),
        })?;
        read(&bytes).ok_or_else(|| "what it replies is no DNS message".to_owned())
    }
}

impl Network {
    fn over_udp(&self, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
        let local: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(local)?;
        socket.connect(server)?;
        let until = Instant::now() + self.patience;
        // A datagram may be lost, and a busy machine slow: half of the time is for a second try.
        for tries in [2, 1] {
            socket.send(query)?;
            let left = until.saturating_duration_since(Instant::now());
            socket.set_read_timeout(Some((left / tries).max(Duration::from_millis(1))))?;
            let mut buffer = vec![0; 4096];
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    buffer.truncate(length);
                    return Ok(buffer);
                }
                Err(error) if tries == 1 || error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn over_tcp(&self, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&server, self.patience)?;
        stream.set_read_timeout(Some(self.patience))?;
        let length = u16::try_from(query.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), query].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply)?;
        Ok(reply)
    }
}

/// A query, recursion desired (RFC 1035 §4.1).
fn query(name: &str, rtype: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [ID, 0x0100, 1, 0, 0, 0] {
        bytes.extend(word.to_be_bytes());
    }
    for label in name.split('.').filter(|label| !label.is_empty()) {
        // Names here are the agent's own, whose labels have at most 63 bytes.
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    for word in [rtype, 1] {
        bytes.extend(word.to_be_bytes());
    }
    bytes
}

/// Reads a reply; `None` when it is none, or none to us.
fn read(bytes: &[u8]) -> Option<Reply> {
    const QR: u16 = 0x8000;
    let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    if word(0)? != ID || word(2)? & QR == 0 {
        return None;
    }
    let rcode = u8::try_from(word(2)? & 0x0f).ok()?;
    let records = u32::from(word(6)?) + u32::from(word(8)?);
    let mut at = HEADER;
    for _ in 0..word(4)? {
        at = behind_name(bytes, at)? + 4;
    }
    let mut serial = None;
    for _ in 0..records {
        at = behind_name(bytes, at)?;
        let rtype = word(at)?;
        let data = at + 10;
        let length = usize::from(word(at + 8)?);
        if rtype == SOA {
            let number = behind_name(bytes, behind_name(bytes, data)?)?;
            serial = Some(u32::from_be_bytes(
                bytes.get(number..number + 4)?.try_into().ok()?,
            ));
        }
        at = data + length;
    }
    Some(Reply { rcode, serial })
}

/// The offset behind a name, whose compression pointer ends it.
fn behind_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length if length < 0x40 => at += usize::from(length) + 1,
            pointer if pointer >= 0xc0 => return Some(at + 2),
            _ => return None,
        }
    }
}
