//! The generator: requests over connections that stay open, as many at once as these carry.
//!
//! Closed loop: the next request of a stream goes out when the answer to the last one is there, so the proxy is always
//! busy and never flooded. How busy it was is part of the table: were the generator the slower one, that would show.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::Empty;
use hyper::StatusCode;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::rules::{HOST, PATH};
use crate::sender::{Protocol, Sender};

impl Protocol {
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
    senders: Vec<Stream>,
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
            let (sender, connection) = Sender::begin(protocol, stream).await?;
            load.connections.spawn(connection);
            let senders = match sender {
                Sender::Http2(sender) => std::iter::repeat_n(sender, at_once)
                    .map(Sender::Http2)
                    .collect(),
                one @ Sender::Http1(_) => vec![one],
            };
            load.senders.extend(
                senders
                    .into_iter()
                    .map(|sender| Stream { protocol, sender }),
            );
        }
        Ok(load)
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
struct Stream {
    protocol: Protocol,
    sender: Sender,
}

impl Stream {
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
            let request = self.protocol.get("https", HOST, PATH).body(Empty::new())?;
            if self.sender.send(request).await? == StatusCode::OK {
                answers.latencies.push(begun.elapsed());
            } else {
                answers.others += 1;
            }
        }
        Ok(answers)
    }
}
