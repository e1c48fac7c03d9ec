//! Asking the agent: dig for what is shown, a socket of our own for what is measured, and a small upstream server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::background::Background;
use crate::command::Command;

/// How long an answer may take. It comes from the same machine: silence for so long is no answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The dig command for a question: one try, so that an unanswered query cannot hide behind a second one.
pub fn dig(server: SocketAddr, name: &str, record_type: &str) -> Result<Command> {
    let port = server.port().to_string();
    Ok(Command::dig()?.args([
        format!("@{}", server.ip()),
        "-p".to_owned(),
        port,
        name.to_owned(),
        record_type.to_owned(),
    ]))
}

/// What dig says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dug {
    /// The response code, in dig's words.
    pub status: String,
    /// The records of the answer section, without their names and TTLs.
    pub answers: Vec<String>,
    /// Likewise those of the authority section.
    pub authority: Vec<String>,
}

impl Dug {
    /// Asks by dig, once.
    pub async fn ask(server: SocketAddr, name: &str, record_type: &str) -> Result<Self> {
        let flags = "+noall +comments +answer +authority +tries=1";
        let command = dig(server, name, record_type)?.args(flags.split(' '));
        let text = command.output().await?;
        Self::read(&text).with_context(|| format!("`{command}` printed {text:?}"))
    }

    fn read(text: &str) -> Result<Self> {
        let status = text.split_once("status: ").context("no status")?.1;
        let (status, _) = status.split_once(',').context("no end of the status")?;
        let mut dug = Self {
            status: status.to_owned(),
            answers: Vec::new(),
            authority: Vec::new(),
        };
        let mut section = None;
        for line in text.lines() {
            match line {
                ";; ANSWER SECTION:" => section = Some(&mut dug.answers),
                ";; AUTHORITY SECTION:" => section = Some(&mut dug.authority),
                _ if line.starts_with(';') => section = None,
                _ => {
                    let record: Vec<&str> = line.split_whitespace().skip(2).collect();
                    if let Some(section) = section.as_mut().filter(|_| !record.is_empty()) {
                        section.push(record.join(" "));
                    }
                }
            }
        }
        Ok(dug)
    }
}

/// A client with one socket.
#[derive(Debug)]
pub struct Client {
    socket: UdpSocket,
    asked: u16,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its response code.
    pub code: ResponseCode,
    /// The addresses in it.
    pub addresses: Vec<IpAddr>,
    /// The ports in it: those of SRV records.
    pub ports: Vec<u16>,
}

impl Client {
    /// A client of this server.
    pub async fn of(server: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket
            .connect(server)
            .await
            .with_context(|| format!("connecting to {server}"))?;
        Ok(Self { socket, asked: 0 })
    }

    /// Asks once for IPv4 addresses; no answer is an error.
    pub async fn ask(&mut self, name: &str) -> Result<Answer> {
        self.ask_for(name, RecordType::A).await
    }

    /// Asks once for records of this type; no answer is an error.
    pub async fn ask_for(&mut self, name: &str, record_type: RecordType) -> Result<Answer> {
        self.asked = self.asked.wrapping_add(1);
        let query = question(self.asked, name, record_type)?;
        self.socket.send(&query.to_vec()?).await?;
        let mut buffer = [0; 4096];
        let Ok(received) = timeout(PATIENCE, self.socket.recv(&mut buffer)).await else {
            bail!(
                "query {} for {name} got no answer within {PATIENCE:?}",
                self.asked
            );
        };
        Answer::read(&query, &buffer[..received?])
    }
}

/// Asks once, over a TCP connection of its own; no answer is an error.
pub async fn ask_over_tcp(server: SocketAddr, name: &str) -> Result<Answer> {
    let query = question(1, name, RecordType::A)?;
    let bytes = query.to_vec()?;
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(bytes.len())?.to_be_bytes();
        stream.write_all(&[&length, &bytes[..]].concat()).await?;
        let mut reply = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut reply).await?;
        anyhow::Ok(reply)
    };
    // A connection whose first segment is lost begins again after a second, and then after two.
    let Ok(reply) = timeout(2 * PATIENCE, exchange).await else {
        bail!(
            "a query for {name} over TCP got no answer within {:?}",
            2 * PATIENCE
        );
    };
    Answer::read(&query, &reply?)
}

fn question(id: u16, name: &str, record_type: RecordType) -> Result<Message> {
    let mut query = Message::new(id, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(
        Name::from_str(&format!("{name}."))?,
        record_type,
    ));
    Ok(query)
}

impl Answer {
    fn read(query: &Message, reply: &[u8]) -> Result<Self> {
        let answer = Message::from_vec(reply)?;
        if answer.metadata.id != query.metadata.id || answer.queries != query.queries {
            bail!("{query:?} got the answer to another question: {answer:?}");
        }
        let records = answer.answers.iter();
        let addresses = records.clone().filter_map(|record| record.data.ip_addr());
        let ports = records.filter_map(|record| match &record.data {
            RData::SRV(location) => Some(location.port),
            _ => None,
        });
        Ok(Self {
            code: answer.metadata.response_code,
            addresses: addresses.collect(),
            ports: ports.collect(),
        })
    }
}

/// A name server that knows one name and all below it. It stands for the cluster's DNS and what is behind it.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    _server: Background,
}

impl Upstream {
    /// Starts it at a free port of `ip`: `name` and every name below it have the address `known`,
    /// everything else is NXDOMAIN.
    pub fn start(ip: IpAddr, name: &str, known: Ipv4Addr) -> Result<Self> {
        let socket =
            std::net::UdpSocket::bind((ip, 0)).with_context(|| format!("a name server at {ip}"))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let name = Name::from_str(&format!("{name}."))?;
        let server = Background::run("upstream", move || serve(socket, name, known))?;
        Ok(Self {
            address,
            _server: server,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(socket: std::net::UdpSocket, name: Name, known: Ipv4Addr) -> Result<()> {
    let socket = UdpSocket::from_std(socket)?;
    let mut buffer = [0; 4096];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await?;
        let Ok(query) = Message::from_vec(&buffer[..length]) else {
            continue;
        };
        let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_queries(query.queries.clone());
        match query.queries.first() {
            Some(question) if name.zone_of(question.name()) => {
                if question.query_type() == RecordType::A {
                    let record =
                        Record::from_rdata(question.name().clone(), 300, RData::A(A(known)));
                    answer.add_answer(record);
                }
            }
            _ => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        socket.send_to(&answer.to_vec()?, client).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dig_prints_is_read_by_section() {
        let text = ";; Got answer:\n;; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN, id: 7\n;; flags: qr aa rd; QUERY: 1\n\n\
                    ;; ANSWER SECTION:\na.example.\t5\tIN\tA\t192.0.2.1\n\n;; AUTHORITY SECTION:\n\
                    example.\t\t5 IN SOA ns. host. 1 2 3 4 5\n\n;; Query time: 0 msec\n";
        let dug = Dug {
            status: "NXDOMAIN".to_owned(),
            answers: vec!["IN A 192.0.2.1".to_owned()],
            authority: vec!["IN SOA ns. host. 1 2 3 4 5".to_owned()],
        };
        assert_eq!(Dug::read(text).unwrap(), dug);
    }
}
