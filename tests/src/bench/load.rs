//! The generator: requests over connections that stay open, as many at once as these carry.
//!
//! Closed loop: the next request of a stream goes out when the answer to the last one is there, so the proxy is always
//! busy and never flooded. How busy it was is part of the table: were the generator the slower one, that would show.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::rules::{HOST, PATH};

/// Which HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Protocol {
    /// HTTP/2: few connections, many requests at once on each.
    #[serde(rename = "HTTP/2")]
    Http2,
    /// HTTP/1.1: one request at a time on each.
    #[serde(rename = "HTTP/1.1")]
    Http1,
}

impl Protocol {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Http2, Self::Http1];

    /// Its name.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Http2 => "HTTP/2",
            Self::Http1 => "HTTP/1.1",
        }
    }

    /// How many connections, and how many requests at once on each.
    pub(super) fn connections(self) -> (usize, usize) {
        match self {
            Self::Http2 => (4, 8),
            Self::Http1 => (16, 1),
        }
    }
}

/// When a run is over: at this many requests, or after this time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) requests: usize,
    pub(super) time: Duration,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// How long each answer took, in no order. An answer is one with the status 200.
    pub(super) latencies: Vec<Duration>,
    /// Answers with other statuses.
    pub(super) others: usize,
}

/// Open connections to one listener.
#[derive(Debug)]
pub(super) struct Load {
    senders: Vec<Sender>,
    /// They run as long as this is there.
    connections: JoinSet<()>,
}

impl Load {
    /// Opens them.
    pub(super) async fn open(
        protocol: Protocol,
        address: SocketAddr,
        tls: &Arc<ClientConfig>,
    ) -> Result<Self> {
        let (count, at_once) = protocol.connections();
        let mut load = Self {
            senders: Vec::new(),
            connections: JoinSet::new(),
        };
        for _ in 0..count {
            let stream = TcpStream::connect(address)
                .await
                .with_context(|| format!("connecting to {address}"))?;
            stream.set_nodelay(true)?;
            let name = ServerName::IpAddress(address.ip().into());
            let stream = TlsConnector::from(Arc::clone(tls))
                .connect(name, stream)
                .await
                .with_context(|| format!("TLS with {address}"))?;
            load.speak(protocol, TokioIo::new(stream), at_once).await?;
        }
        Ok(load)
    }

    async fn speak(
        &mut self,
        protocol: Protocol,
        stream: TokioIo<tokio_rustls::client::TlsStream<TcpStream>>,
        at_once: usize,
    ) -> Result<()> {
        // A connection that breaks shows in the requests that are sent on it.
        match protocol {
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                self.connections.spawn(async {
                    let _ = connection.await;
                });
                let senders = std::iter::repeat_n(sender, at_once);
                self.senders.extend(senders.map(Sender::Http2));
            }
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                self.connections.spawn(async {
                    let _ = connection.await;
                });
                self.senders.push(Sender::Http1(sender));
            }
        }
        Ok(())
    }

    /// Sends requests until the bound is reached, and waits for all answers.
    pub(super) async fn run(&mut self, bound: Bound) -> Result<Answers> {
        let left = Arc::new(AtomicUsize::new(bound.requests));
        let deadline = Instant::now() + bound.time;
        let mut streams = JoinSet::new();
        for mut sender in self.senders.drain(..) {
            let left = Arc::clone(&left);
            streams.spawn(async move {
                let answers = sender.until(&left, deadline).await;
                answers.map(|answers| (sender, answers))
            });
        }
        let mut all = Answers::default();
        while let Some(stream) = streams.join_next().await {
            let (sender, answers) = stream??;
            self.senders.push(sender);
            all.latencies.extend(answers.latencies);
            all.others += answers.others;
        }
        ensure!(
            !all.latencies.is_empty() || all.others > 0,
            "not a single request was sent"
        );
        Ok(all)
    }
}

/// One stream of requests.
#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Sender {
    async fn until(&mut self, left: &AtomicUsize, deadline: Instant) -> Result<Answers> {
        let mut answers = Answers::default();
        let one_less = |left: usize| left.checked_sub(1);
        while left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok()
        {
            let begun = Instant::now();
            if begun > deadline {
                break;
            }
            if self.get().await? == StatusCode::OK {
                answers.latencies.push(begun.elapsed());
            } else {
                answers.others += 1;
            }
        }
        Ok(answers)
    }

    /// One request and its whole answer; the status.
    async fn get(&mut self) -> Result<StatusCode> {
        let answer = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                let request = Request::get(PATH).header("host", HOST);
                sender.send_request(request.body(Empty::new())?).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                let request = Request::get(format!("https://{HOST}{PATH}"));
                sender.send_request(request.body(Empty::new())?).await?
            }
        };
        let status = answer.status();
        answer.into_body().collect().await?;
        Ok(status)
    }
}
