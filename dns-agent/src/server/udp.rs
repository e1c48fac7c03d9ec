//! Queries in datagrams.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Engine, Origin, Step};
use crate::{tasks::Requests, wire::Transport};

/// Longer queries than this do not exist; what is cut off makes the message unreadable.
const BUFFER: usize = 4096;
/// Waiting tasks for each place among the queries under way to servers: those that wait for the same reply cost little.
const WAITING_PER_EXCHANGE: usize = 8;

impl Engine {
    /// Serves a socket until `stop`, then completes what is under way.
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
            // Nobody can be at port 0; a reply would only be an error.
            if client.port() == 0 {
                continue;
            }
            let message = buffer.get(..length).unwrap_or_default();
            let origin = Origin {
                transport: Transport::Udp,
                client,
            };
            match self.begin(message, origin, &mut out) {
                Step::Silence => {}
                Step::Send => send(&socket, &out, client).await,
                Step::Wait(waiting) if requests.has_room() => {
                    let engine = Arc::clone(&self);
                    let socket = Arc::clone(&socket);
                    requests.spawn(async move {
                        let mut out = Vec::new();
                        engine.complete(*waiting, &mut out).await;
                        send(&socket, &out, client).await;
                    });
                }
                Step::Wait(waiting) => {
                    self.turn_away(&waiting, &mut out);
                    send(&socket, &out, client).await;
                }
            }
        }
        requests.finish().await;
    }
}

async fn send(socket: &UdpSocket, message: &[u8], client: SocketAddr) {
    let result: io::Result<usize> = socket.send_to(message, client).await;
    if let Err(error) = result {
        // The client asks again, or has gone.
        tracing::debug!(%client, %error, "sending failed");
    }
}
