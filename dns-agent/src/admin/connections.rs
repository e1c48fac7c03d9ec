//! The connections of the admin interface: few, one request each, none for long. Whoever only opens connections must not
//! take the file descriptors that queries need.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::timeout,
};
use tokio_util::{either::Either, sync::CancellationToken};
use tracing::{debug, warn};

use crate::{server::Guests, tasks::Requests};

/// How many may be open at a time; one client may have a quarter of them.
const CONNECTIONS: usize = 64;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may last in all: enough for the largest table.
const CONNECTION: Duration = Duration::from_secs(30);

/// How long requests that are under way may take after the end was asked for.
const GRACE: Duration = Duration::from_millis(500);

/// Where connections come from.
pub(super) enum Listener<'l> {
    Tcp(&'l TcpListener),
    Unix(&'l UnixListener),
}

type Stream = Either<TcpStream, UnixStream>;

impl Listener<'_> {
    /// A connection and whose it is. All who come by the Unix socket are one: they are of our own pod.
    async fn accept(&self) -> io::Result<(Stream, IpAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, client) = listener.accept().await?;
                Ok((Either::Left(stream), client.ip()))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Either::Right(stream), Ipv4Addr::UNSPECIFIED.into()))
            }
        }
    }
}

/// Serves until `stop`, then completes what is under way.
pub(super) async fn serve(listener: Listener<'_>, routes: Router, stop: CancellationToken) {
    let guests = Guests::new(CONNECTIONS);
    let mut connections = Requests::new(CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "accepting an admin connection failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let guest = guests.admit(client);
        let Some(guest) = guest.filter(|_| connections.has_room()) else {
            debug!(%client, "admin connection refused: too many are open, in all or of this client");
            continue;
        };
        let routes = routes.clone();
        connections.spawn(async move {
            match timeout(CONNECTION, converse(stream, routes)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%client, %error, "admin connection ended"),
                Err(_) => debug!(%client, "admin connection closed: it took too long"),
            }
            drop(guest);
        });
    }
    // Those that have sent no request yet end when the set is dropped.
    let _ = timeout(GRACE, connections.finish()).await;
}

async fn converse(stream: Stream, routes: Router) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .await
}
