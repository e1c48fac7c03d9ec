//! Requests and connections, one after another on each of some streams, until they are told to end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use anyhow::{Context, Result};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, spawn_local};

use super::policies::Verdict;
use crate::names::{CATALOG, SERVICE_PORT};
use crate::roles::tcp::{GREETING, GREETING_PORT, TcpStand};
use crate::sender::{Protocol, Sender};

/// Streams of each caller.
const STREAMS: usize = 4;

/// Somebody who sends requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// By this address its sidecar knows it.
    pub(super) from: IpAddr,
    pub(super) to: SocketAddr,
    pub(super) protocol: Protocol,
    /// What its requests must come to, where they are for what the policy opens at all.
    pub(super) verdict: Verdict,
}

/// What came of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    served: u64,
    refused: u64,
    echoed: u64,
    cut_off: u64,
    /// What came to something else than its verdict.
    pub(super) failed: Vec<String>,
}

impl Answers {
    pub(super) fn sum(&self) -> u64 {
        self.served + self.refused + self.echoed + self.cut_off
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            served,
            refused,
            echoed,
            cut_off,
            failed,
        } = self;
        write!(
            f,
            "{served} requests served, {refused} refused, {echoed} connections answered, {cut_off} cut off, {} failed",
            failed.len()
        )
    }
}

/// Everything that is under way.
pub(super) struct Traffic {
    answers: Rc<RefCell<Answers>>,
    over: Rc<Cell<bool>>,
    streams: Vec<JoinHandle<()>>,
}

/// Begins. Must be called in a [`tokio::task::LocalSet`].
pub(super) fn begin(callers: &[Caller], tcp: &TcpStand) -> Traffic {
    let mut traffic = Traffic {
        answers: Rc::default(),
        over: Rc::default(),
        streams: Vec::new(),
    };
    for caller in callers {
        for stream in 0..STREAMS {
            let (caller, answers, over) = (
                *caller,
                Rc::clone(&traffic.answers),
                Rc::clone(&traffic.over),
            );
            traffic.streams.push(spawn_local(async move {
                if let Err(error) = requests(caller, stream, &answers, &over).await {
                    answers
                        .borrow_mut()
                        .failed
                        .push(format!("{caller:?}: {error:#}"));
                }
            }));
        }
    }
    for (client, verdict) in [(0, Verdict::Allowed), (1, Verdict::Either)] {
        for port in [SERVICE_PORT, GREETING_PORT] {
            let (address, answers, over) = (
                tcp.of(client, port),
                Rc::clone(&traffic.answers),
                Rc::clone(&traffic.over),
            );
            let greeting = if port == GREETING_PORT { GREETING } else { "" };
            traffic.streams.push(spawn_local(async move {
                while !over.get() {
                    let answer = connection(address, greeting).await;
                    let answers = &mut *answers.borrow_mut();
                    match (answer, verdict) {
                        (Ok(true), _) => answers.echoed += 1,
                        (Ok(false), Verdict::Either) => answers.cut_off += 1,
                        (answer, _) => answers.failed.push(format!("{address}: {answer:?}")),
                    }
                }
            }));
        }
    }
    traffic
}

impl Traffic {
    /// What came of what is over.
    pub(super) fn answers(&self) -> Answers {
        self.answers.borrow().clone()
    }

    /// Ends when each stream has its last answer.
    pub(super) async fn end(self) -> Answers {
        self.over.set(true);
        for stream in self.streams {
            if let Err(error) = stream.await {
                self.answers.borrow_mut().failed.push(error.to_string());
            }
        }
        self.answers.take()
    }
}

async fn requests(
    caller: Caller,
    stream: usize,
    answers: &RefCell<Answers>,
    over: &Cell<bool>,
) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(caller.from, 0))?;
    let connection = socket.connect(caller.to).await.context("connecting")?;
    connection.set_nodelay(true)?;
    let (mut sender, connection) = Sender::begin(caller.protocol, connection).await?;
    spawn_local(connection);
    let mut number = stream;
    while !over.get() {
        let (request, opened) = request(caller.protocol, number)?;
        let status = sender.send(request).await?;
        let verdict = if opened {
            caller.verdict
        } else {
            Verdict::Refused
        };
        let answers = &mut *answers.borrow_mut();
        match (status, verdict) {
            (StatusCode::OK, Verdict::Allowed | Verdict::Either) => answers.served += 1,
            (StatusCode::FORBIDDEN, Verdict::Refused | Verdict::Either) => answers.refused += 1,
            _ => answers
                .failed
                .push(format!("{caller:?}, request {number}: {status}")),
        }
        number += STREAMS;
    }
    Ok(())
}

/// One of a round of requests, every other one plain; and whether the policy opens at all what it asks for.
fn request(protocol: Protocol, number: usize) -> Result<(Request<Empty<Bytes>>, bool)> {
    let long = "a".repeat(3000);
    let (path, opened) = match number % 8 {
        3 => ("/v2/items", false),
        5 => ("/v1x/%ff%zz//;?%ff&'", false),
        _ => ("/v1/items", true),
    };
    let mut request = protocol.get("http", CATALOG, path);
    if number % 8 == 1 {
        let hostile: [(&str, &[u8]); 5] = [
            ("x-bytes", b"\xff\xfe\x80 caf\xe9 \xc3\x28"),
            (
                "x-forwarded-client-cert",
                b"By=\"\\\";URI=spiffe://foo.com/ns/web/sa/frontend,;;=,URI=\xff",
            ),
            ("x-crossmesh-source-mesh", b"west\xff"),
            ("x-crossmesh-", b""),
            ("x-long", long.as_bytes()),
        ];
        for (name, value) in hostile {
            request = request.header(name, HeaderValue::from_bytes(value)?);
        }
    }
    Ok((request.body(Empty::new())?, opened))
}

/// One connection: whether it was answered, or ended without.
async fn connection(address: SocketAddr, greeting: &str) -> Result<bool> {
    const WORDS: &[u8] = b"\xff\x00hello";
    let mut stream = TcpStream::connect(address).await.context("connecting")?;
    // What cannot be written any more is not answered either.
    let _ = stream.write_all(WORDS).await;
    let mut answer = vec![0; greeting.len() + WORDS.len()];
    Ok(stream.read_exact(&mut answer).await.is_ok() && answer.ends_with(WORDS))
}
