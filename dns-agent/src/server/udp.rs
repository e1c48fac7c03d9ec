//! Queries in datagrams.

use std::{io, net::SocketAddr, os::fd::AsFd, sync::Arc, time::Duration};

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Engine, Origin, Step, sockets::turn_away_datagrams};
use crate::{tasks::Requests, wire::Transport};

/// Longer queries than this do not exist; what is cut off makes the message unreadable.
const BUFFER: usize = 4096;
/// Waiting tasks for each place among the queries under way to servers: those that wait for the same reply cost little.
const WAITING_PER_EXCHANGE: usize = 8;

/// How long a datagram may be on its way through the kernel to a socket that was chosen before it turned them away.
const SETTLE: Duration = Duration::from_millis(20);
/// How many of the datagrams are answered that came before the socket is closed: more than a receive buffer holds.
const LAST_DATAGRAMS: usize = 65_536;

impl Engine {
    /// Serves a socket until `stop`, then completes what is under way or has come already.
    pub async fn serve_udp(
        self: Arc<Self>,
        socket: UdpSocket,
        max_concurrent: usize,
        stop: CancellationToken,
    ) {
        let socket = Arc::new(socket);
        let mut requests = Requests::new(max_concurrent.saturating_mul(WAITING_PER_EXCHANGE));
        let mut buffer = vec![0; BUFFER];
        let mut out = Vec::with_capacity(BUFFER);
        loop {
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                received = socket.recv_from(&mut buffer) => received,
            };
            let (length, client) = match received {
                Ok(received) => received,
                Err(error) => {
                    // Memory may be short for a moment; the socket itself does not go away.
                    warn!(%error, "receiving failed");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            let message = buffer.get(..length).unwrap_or_default();
            self.take(&socket, message, client, &mut requests, &mut out)
                .await;
        }
        turn_away_datagrams(&socket).await;
        // A second time for what was on its way to the socket by then.
        for pause in [SETTLE, Duration::ZERO] {
            for (message, client) in waiting(&socket) {
                self.take(&socket, &message, client, &mut requests, &mut out)
                    .await;
            }
            tokio::time::sleep(pause).await;
            requests.finish().await;
        }
    }

    async fn take(
        self: &Arc<Self>,
        socket: &Arc<UdpSocket>,
        message: &[u8],
        client: SocketAddr,
        requests: &mut Requests,
        out: &mut Vec<u8>,
    ) {
        // Nobody can be at port 0; a reply would only be an error.
        if client.port() == 0 {
            return;
        }
        let origin = Origin {
            transport: Transport::Udp,
            client,
        };
        match self.begin(message, origin, out) {
            Step::Silence => {}
            Step::Send => send(socket, out, client).await,
            Step::Wait(waiting) if requests.has_room() => {
                let engine = Arc::clone(self);
                let socket = Arc::clone(socket);
                requests.spawn(async move {
                    let mut out = Vec::new();
                    engine.complete(*waiting, &mut out).await;
                    send(&socket, &out, client).await;
                });
            }
            Step::Wait(waiting) => {
                self.turn_away(&waiting, out);
                send(socket, out, client).await;
            }
        }
    }
}

/// The datagrams in the receive buffer. Asks the kernel itself, as the runtime may not have heard of them yet.
fn waiting(socket: &UdpSocket) -> impl Iterator<Item = (Vec<u8>, SocketAddr)> {
    let socket = socket.as_fd().try_clone_to_owned();
    let socket = socket.ok().map(std::net::UdpSocket::from);
    let receive = move || {
        let mut buffer = vec![0; BUFFER];
        let (length, client) = socket.as_ref()?.recv_from(&mut buffer).ok()?;
        buffer.truncate(length);
        Some((buffer, client))
    };
    std::iter::from_fn(receive).take(LAST_DATAGRAMS)
}

async fn send(socket: &UdpSocket, message: &[u8], client: SocketAddr) {
    let result: io::Result<usize> = socket.send_to(message, client).await;
    if let Err(error) = result {
        // The client asks again, or has gone.
        tracing::debug!(%client, %error, "sending failed");
    }
}
