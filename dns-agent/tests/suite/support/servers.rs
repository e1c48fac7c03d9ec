//! Upstream servers: hickory's, for ordinary replies, and one that sends whatever bytes a test likes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Metadata, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};
use hickory_server::{
    net::runtime::Time,
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server},
    zone_handler::MessageResponseBuilder,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    sync::watch,
    task::JoinSet,
};

use super::message::{QUESTION, record, reply};

/// A hickory server for `example.com`.
pub(crate) struct Hickory {
    pub(crate) address: SocketAddr,
    _server: Server<Zone>,
}

pub(crate) struct Zone(Vec<Record>);

impl Hickory {
    pub(crate) async fn start() -> Self {
        let (udp, tcp, address) = sockets().await;
        let mut server = Server::new(Zone(records()));
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 4096);
        Self {
            address,
            _server: server,
        }
    }
}

fn n(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn records() -> Vec<Record> {
    let a = |host: u8| RData::A(rdata::A::new(192, 0, 2, host));
    let mut all = vec![
        Record::from_rdata(n("www.example.com."), 300, a(1)),
        Record::from_rdata(n("nothing.kube-system.svc.cluster.local."), 30, a(2)),
        Record::from_rdata(n("native.shop.svc.cluster.local."), 30, a(3)),
        Record::from_rdata(
            n("alias.example.com."),
            300,
            RData::CNAME(rdata::CNAME(n("www.example.com."))),
        ),
        Record::from_rdata(n("alias.example.com."), 60, a(1)),
        Record::from_rdata(
            n("9.0.1.10.in-addr.arpa."),
            30,
            RData::PTR(rdata::PTR(n("reviews.shop.svc.cluster.local."))),
        ),
        Record::from_rdata(
            n("www.example.com."),
            300,
            RData::Unknown {
                code: RecordType::Unknown(65_400),
                rdata: rdata::NULL::with(vec![1, 2, 3, 255]),
            },
        ),
    ];
    for line in 0..40 {
        let text = format!("{line:0>200}");
        let txt = RData::TXT(rdata::TXT::new(vec![text]));
        all.push(Record::from_rdata(n("big.example.com."), 300, txt));
    }
    all
}

#[async_trait::async_trait]
impl RequestHandler for Zone {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let query = request.request_info().unwrap().query;
        let same_name = |record: &&Record| record.name == Name::from(query.name().clone());
        let found: Vec<&Record> = self
            .0
            .iter()
            .filter(same_name)
            .filter(|record| {
                let rtype = record.record_type();
                rtype == query.query_type() || rtype == RecordType::CNAME
            })
            .collect();
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        metadata.authentic_data = true;
        if !self.0.iter().any(|record| same_name(&record)) {
            metadata.response_code = ResponseCode::NXDomain;
        }
        let soa = rdata::SOA::new(n("ns.example.com."), n("root.example.com."), 1, 2, 3, 4, 60);
        let soa = Record::from_rdata(n("example.com."), 600, RData::SOA(soa));
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if request.edns.is_some() {
            builder.edns(&edns);
        }
        let denies = found.is_empty();
        let response = builder.build(metadata, found, [], denies.then_some(&soa), []);
        response_handle.send_response(response).await.unwrap()
    }
}

/// A server that has 192.0.2.1 for every name.
pub(crate) async fn good() -> Scripted {
    Scripted::start(|query, _| {
        let answer = record(QUESTION, 1, 300, &[192, 0, 2, 1]);
        Some(reply(query, 0x8180, [&[answer], &[], &[]]))
    })
    .await
}

/// Whether a question is one by which the agent looks for forwarding loops: these are none of a test's.
pub(crate) fn looks_for_loops(query: &[u8]) -> bool {
    let label = b"\x0ecrossmesh-loop";
    query.windows(label.len()).any(|bytes| bytes == label)
}

/// A server that sends what a function of the query's bytes gives; nothing for `None`. The function is told whether the
/// query came over TCP.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
    _open: Option<watch::Sender<bool>>,
}

impl Scripted {
    pub(crate) async fn start<F>(script: F) -> Self
    where
        F: Fn(&[u8], bool) -> Option<Vec<u8>> + Send + Sync + 'static,
    {
        let (open, gate) = watch::channel(true);
        let mut server = Self::start_behind(gate, script).await;
        server._open = Some(open);
        server
    }

    /// Sends no reply to a datagram before the gate says true.
    pub(crate) async fn start_behind<F>(gate: watch::Receiver<bool>, script: F) -> Self
    where
        F: Fn(&[u8], bool) -> Option<Vec<u8>> + Send + Sync + 'static,
    {
        let (udp, tcp, address) = sockets().await;
        let asked = Arc::new(AtomicUsize::new(0));
        let script = Arc::new(script);
        let mut tasks = JoinSet::new();
        let (count, answer, socket) = (Arc::clone(&asked), Arc::clone(&script), Arc::new(udp));
        tasks.spawn(async move {
            let mut waiting = JoinSet::new();
            let mut buffer = [0; 4096];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                if looks_for_loops(&buffer[..length]) {
                    let denial = reply(&buffer[..length], 0x8183, [&[], &[], &[]]);
                    socket.send_to(&denial, client).await.unwrap();
                    continue;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let Some(reply) = answer(&buffer[..length], false) else {
                    continue;
                };
                let socket = Arc::clone(&socket);
                let mut gate = gate.clone();
                waiting.spawn(async move {
                    gate.wait_for(|open| *open).await.unwrap();
                    // Some clients have gone by then.
                    let _ = socket.send_to(&reply, client).await;
                });
            }
        });
        let count = Arc::clone(&asked);
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let length = stream.read_u16().await.unwrap();
                let mut query = vec![0; usize::from(length)];
                stream.read_exact(&mut query).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                if let Some(reply) = script(&query, true) {
                    let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
                    stream
                        .write_all(&[&length[..], &reply].concat())
                        .await
                        .unwrap();
                }
            }
        });
        Self {
            address,
            asked,
            _tasks: tasks,
            _open: None,
        }
    }

    /// How many queries came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A server that cuts every reply over UDP and takes TCP connections without ever replying.
pub(crate) struct HangingTcp {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl HangingTcp {
    pub(crate) async fn start() -> Self {
        let (udp, tcp, address) = sockets().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, client) = udp.recv_from(&mut buffer).await.unwrap();
                let cut = reply(&buffer[..length], 0x8380, [&[], &[], &[]]);
                udp.send_to(&cut, client).await.unwrap();
            }
        });
        tasks.spawn(async move {
            let mut open = Vec::new();
            loop {
                open.push(tcp.accept().await.unwrap());
            }
        });
        Self {
            address,
            _tasks: tasks,
        }
    }
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let (_, _, address) = sockets().await;
    address
}

async fn sockets() -> (UdpSocket, TcpListener, SocketAddr) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap();
        if let Ok(tcp) = TcpListener::bind(address).await {
            return (udp, tcp, address);
        }
    }
}
