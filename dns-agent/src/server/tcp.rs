//! Queries over TCP, each message behind its length (RFC 7766).

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Engine, Origin, Step};
use crate::{config, tasks::Requests, wire::Transport};

impl Engine {
    /// Serves a listener until `stop`, then completes what is under way.
    pub async fn serve_tcp(
        self: Arc<Self>,
        listener: TcpListener,
        bounds: config::Tcp,
        stop: CancellationToken,
    ) {
        let mut connections = Requests::new(bounds.max_connections);
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, client) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // A connection that ended early, or no file descriptor left for a moment.
                    warn!(%error, "accepting failed");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            if !connections.has_room() {
                self.metrics.connections_refused.inc();
                debug!(%client, "connection refused: too many are open");
                continue;
            }
            let engine = Arc::clone(&self);
            let idle = bounds.idle_timeout;
            let stop = stop.clone();
            connections.spawn(async move {
                if let Err(error) = engine.converse(stream, client, idle, stop).await {
                    debug!(%client, %error, "connection ended");
                }
            });
        }
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
        loop {
            let read = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                read = timeout(idle, receive(&mut stream, &mut message)) => read,
            };
            match read {
                Err(_) => return Ok(()),
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Ok(result) => result?,
            }
            match self.begin(&message, origin, &mut out) {
                // Whoever sends what is no query gets no second try on this connection.
                Step::Silence => return Ok(()),
                Step::Send => {}
                Step::Wait(waiting) => self.complete(*waiting, &mut out).await,
            }
            timeout(idle, send(&mut stream, &out)).await??;
        }
    }
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
