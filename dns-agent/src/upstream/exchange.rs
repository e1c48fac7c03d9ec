//! One question to one server: over UDP, and over TCP when the reply was cut.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout_at},
};

use crate::{
    cache::Key,
    wire::{HEADER, Message, Rcode, ask_with_options},
};

/// Why a server gave no reply.
#[derive(Debug)]
pub(super) enum Failed {
    /// None came in time.
    Silent,
    /// The network's error.
    Network(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Network(error)
    }
}

/// A server's reply.
#[derive(Debug)]
pub(super) struct Got {
    /// Cut only when TCP did not give the whole.
    pub(super) message: Message,
    /// Whether the reply over UDP was cut.
    pub(super) was_cut: bool,
}

/// Larger than what we say that we take: some servers do not look at it.
const BUFFER: usize = 4096;

/// Asks; waits until then for a reply to this very question.
pub(super) async fn exchange(key: &Key, server: SocketAddr, until: Instant) -> Result<Got, Failed> {
    let mut edns = Some(key.dnssec_ok);
    let asked = timeout_at(until, over_udp(key, server, edns)).await;
    let mut message = asked.unwrap_or(Err(Failed::Silent))?;
    if takes_no_edns(&message) {
        edns = None;
        // Without a second reply the first stands: the server cannot read such a query.
        if let Ok(Ok(plain)) = timeout_at(until, over_udp(key, server, edns)).await {
            message = plain;
        }
    }
    let was_cut = message.flags().truncated();
    // Where TCP leads nowhere, the cut reply stands: the client can try by itself what we could not.
    if was_cut && let Ok(Ok(whole)) = timeout_at(until, over_tcp(key, server, edns)).await {
        message = whole;
    }
    Ok(Got { message, was_cut })
}

/// A server that does not know EDNS says FORMERR without it (RFC 6891 §7); one that knows none of our version says so.
fn takes_no_edns(message: &Message) -> bool {
    let rcode = message.rcode();
    let unread = rcode == Rcode::FormErr as u16 && !message.has_edns();
    unread || rcode == Rcode::BadVers as u16
}

/// A socket of its own for every exchange: its random port and the random identifier are what an attacker off the path
/// has to guess (RFC 5452 §9). Being connected, it takes datagrams from the server alone.
async fn over_udp(key: &Key, server: SocketAddr, edns: Option<bool>) -> Result<Message, Failed> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    let id = random_id()?;
    socket.send(&query(key, id, edns)).await?;
    loop {
        let mut bytes = vec![0; BUFFER];
        let length = socket.recv(&mut bytes).await?;
        bytes.truncate(length);
        if length == BUFFER {
            bytes = without_records(&bytes, key);
        }
        // Anything else may be a guess or late; the reply may still come.
        if let Some(message) = reply(bytes, key, id) {
            return Ok(message);
        }
    }
}

async fn over_tcp(key: &Key, server: SocketAddr, edns: Option<bool>) -> Result<Message, Failed> {
    let mut stream = TcpStream::connect(server).await?;
    let id = random_id()?;
    let query = query(key, id, edns);
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(&query);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    reply(bytes, key, id).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the reply over TCP does not belong to the question",
        )
        .into()
    })
}

fn query(key: &Key, id: u16, edns: Option<bool>) -> Vec<u8> {
    ask_with_options(key.question(), id, key.rd, key.cd, edns, key.options())
}

/// What is left of a datagram that did not fit: its header, marked as cut, and its question.
fn without_records(bytes: &[u8], key: &Key) -> Vec<u8> {
    const TC: u8 = 0x02;
    let mut left = bytes.to_vec();
    left.truncate(HEADER + key.question().len());
    if let Some([flags, _, _, _, counts @ ..]) = left.get_mut(2..HEADER) {
        *flags |= TC;
        counts.fill(0);
    }
    left
}

/// The identifier and the question must be ours; a failure may leave the question out.
fn reply(bytes: Vec<u8>, key: &Key, id: u16) -> Option<Message> {
    let message = Message::parse(bytes)?;
    let question = message.question();
    let same = question.is_empty() || question.eq_ignore_ascii_case(key.question());
    (same && message.id() == id).then_some(message)
}

fn random_id() -> Result<u16, Failed> {
    let number = getrandom::u32().map_err(io::Error::other)?;
    Ok((number >> 16) as u16)
}
