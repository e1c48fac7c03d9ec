//! Queries over TCP, each message behind its length (RFC 7766).

use std::{io, net::SocketAddr, os::fd::AsFd, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Engine, Guests, Origin, Step, sockets::turn_away_connections};
use crate::{config, tasks::Requests, wire::Transport};

/// After `stop`, how long a connection may be silent: what was sent before is there by then.
const LINGER: Duration = Duration::from_millis(100);
/// After `stop`, how long a connection that has not asked yet may be silent: whoever has just connected is about to ask.
const FIRST_QUERY: Duration = Duration::from_secs(2);
/// How long a connection that has begun may take until it can be accepted.
const SETTLE: Duration = Duration::from_millis(50);
/// After `stop`, how long queries that are there already are still taken up, one after the other.
const LAST_QUERY: Duration = Duration::from_secs(3);

impl Engine {
    /// Serves a listener until `stop`, then completes what is under way or has come already.
    pub async fn serve_tcp(
        self: Arc<Self>,
        listener: TcpListener,
        bounds: config::Tcp,
        stop: CancellationToken,
    ) {
        let mut connections = Requests::new(bounds.max_connections);
        let guests = Guests::new(bounds.max_connections);
        let begin = |connections: &mut Requests, stream, client: SocketAddr| {
            if !self.is_allowed(client) {
                // It would take a place that clients need; closing it is refusal enough.
                self.prohibit(client);
                return;
            }
            let guest = guests.admit(client.ip());
            let Some(guest) = guest.filter(|_| connections.has_room()) else {
                self.metrics.connections_refused.inc();
                debug!(%client, "connection refused: too many are open, in all or of this client");
                return;
            };
            let engine = Arc::clone(&self);
            let idle = bounds.idle_timeout;
            let stop = stop.clone();
            connections.spawn(async move {
                if let Err(error) = engine.converse(stream, client, idle, stop).await {
                    debug!(%client, %error, "connection ended");
                }
                drop(guest);
            });
        };
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => begin(&mut connections, stream, client),
                Err(error) => {
                    // A connection that ended early, or no file descriptor left for a moment.
                    warn!(%error, "accepting failed");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        turn_away_connections(&listener);
        // A second time for those that had begun by then.
        for pause in [SETTLE, Duration::ZERO] {
            for (stream, client) in waiting(&listener, bounds.max_connections) {
                begin(&mut connections, stream, client);
            }
            tokio::time::sleep(pause).await;
        }
        drop(listener);
        connections.finish().await;
    }

    /// One query after the other: a client that sends several at once gets its replies in their order.
    async fn converse(
        &self,
        mut stream: TcpStream,
        client: SocketAddr,
        idle: Duration,
        stop: CancellationToken,
    ) -> io::Result<()> {
        // A reply is written at once and whole; waiting for more to send would only delay it.
        stream.set_nodelay(true)?;
        let origin = Origin {
            transport: Transport::Tcp,
            client,
        };
        let mut message = Vec::new();
        let mut out = Vec::new();
        let mut stopped: Option<Instant> = None;
        let mut linger = FIRST_QUERY;
        while stopped.is_none_or(|at| at.elapsed() < LAST_QUERY) {
            let read = {
                let mut receiving = pin!(timeout(idle, receive(&mut stream, &mut message)));
                tokio::select! {
                    biased;
                    read = &mut receiving => read,
                    () = stop.cancelled() => {
                        stopped.get_or_insert_with(Instant::now);
                        timeout(linger, receiving).await.and_then(|read| read)
                    }
                }
            };
            match read {
                Err(_) => return Ok(()),
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Ok(result) => result?,
            }
            linger = LINGER;
            match self.begin(&message, origin, &mut out) {
                // Whoever sends what is no query gets no second try on this connection.
                Step::Silence => return Ok(()),
                Step::Send => {}
                Step::Wait(waiting) => self.complete(*waiting, &mut out).await,
            }
            timeout(idle, send(&mut stream, &out)).await??;
        }
        Ok(())
    }
}

/// The connections that the kernel has made and nobody has accepted. Asks the kernel itself, as the runtime may not have
/// heard of them yet.
fn waiting(listener: &TcpListener, limit: usize) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let listener = listener.as_fd().try_clone_to_owned();
    let listener = listener.ok().map(std::net::TcpListener::from);
    let accept = move || {
        let (stream, client) = listener.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, client))
    };
    std::iter::from_fn(accept).take(limit)
}

async fn receive(stream: &mut TcpStream, message: &mut Vec<u8>) -> io::Result<()> {
    let length = stream.read_u16().await?;
    message.clear();
    message.resize(usize::from(length), 0);
    stream.read_exact(message).await?;
    Ok(())
}

/// In one write: a length alone in a segment makes some clients wait.
async fn send(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}
