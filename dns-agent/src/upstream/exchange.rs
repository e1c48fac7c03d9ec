//! One question to one server: over UDP, and over TCP when the reply was cut.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use crate::{
    cache::Key,
    wire::{Message, Rcode, ask},
};

/// The network's error.
#[derive(Debug)]
pub(super) struct Failed(pub(super) io::Error);

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

/// Larger than what we say that we take: some servers do not look at it.
const BUFFER: usize = 4096;

/// Asks; waits without limit for a reply to this very question. Tells whether the UDP reply was cut.
pub(super) async fn exchange(key: &Key, server: SocketAddr) -> Result<(Message, bool), Failed> {
    let edns = Some(key.dnssec_ok);
    let mut message = over_udp(key, server, edns).await?;
    // A server that does not know EDNS says FORMERR without it (RFC 6891 §7).
    if message.rcode() == Rcode::FormErr as u16 && !message.has_edns() {
        message = over_udp(key, server, None).await?;
    }
    if !message.flags().truncated() {
        return Ok((message, false));
    }
    match over_tcp(key, server, edns).await {
        Ok(whole) => Ok((whole, true)),
        // The client can try by itself what we could not: it is told that the reply is cut.
        Err(_) => Ok((message, true)),
    }
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
    socket
        .send(&ask(key.question(), id, key.rd, key.cd, edns))
        .await?;
    loop {
        let mut bytes = Vec::with_capacity(BUFFER);
        socket.recv_buf(&mut bytes).await?;
        // Anything else may be a guess or late; the reply may still come.
        if let Some(message) = reply(bytes, key, id) {
            return Ok(message);
        }
    }
}

async fn over_tcp(key: &Key, server: SocketAddr, edns: Option<bool>) -> Result<Message, Failed> {
    let mut stream = TcpStream::connect(server).await?;
    let id = random_id()?;
    let query = ask(key.question(), id, key.rd, key.cd, edns);
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

fn reply(bytes: Vec<u8>, key: &Key, id: u16) -> Option<Message> {
    let message = Message::parse(bytes)?;
    let same = message.id() == id && message.question().eq_ignore_ascii_case(key.question());
    same.then_some(message)
}

fn random_id() -> Result<u16, Failed> {
    let number = getrandom::u32().map_err(io::Error::other)?;
    Ok((number >> 16) as u16)
}
