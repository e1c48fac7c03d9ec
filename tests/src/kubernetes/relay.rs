//! A relay in front of a server, for the faults that networks have: connections cut, swallowed, refused.

pub mod datagrams;

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::background::Background;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Fair,
    /// Every connection is ended as soon as it is made.
    Cut,
    /// Connections are made, but nothing passes.
    Silent,
    /// Nothing passes any more, and nobody is told: connections stay as if nothing had happened, as when a route vanishes.
    Lost,
}

/// Passes TCP connections on to a server.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    _server: Background,
}

impl Relay {
    /// Starts one at a free port of `ip`.
    pub fn start(ip: IpAddr, server: SocketAddr) -> Result<Self> {
        let listener =
            std::net::TcpListener::bind((ip, 0)).with_context(|| format!("a relay at {ip}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (weather, changes) = watch::channel(Weather::Fair);
        let relay = Background::run("relay", move || relay(listener, server, changes))?;
        Ok(Self {
            address,
            weather,
            _server: relay,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather. Every connection that there is is ended by that, even by fair weather after fair weather; only
    /// [`Weather::Lost`] ends none.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn relay(
    listener: std::net::TcpListener,
    server: SocketAddr,
    mut weather: watch::Receiver<Weather>,
) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            changed = weather.changed() => match changed {
                Ok(()) if *weather.borrow_and_update() == Weather::Lost => {}
                Ok(()) => connections.abort_all(),
                Err(_) => return Ok(()), // the handle was dropped
            },
            accepted = listener.accept() => {
                let (client, _) = accepted?;
                connections.spawn(pass(client, server, weather.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Ends when either side does; a connection that breaks is what a relay is for.
async fn pass(mut client: TcpStream, server: SocketAddr, mut weather: watch::Receiver<Weather>) {
    let now = *weather.borrow();
    match now {
        Weather::Fair => {
            if let Ok(mut server) = TcpStream::connect(server).await {
                let is_lost = async { weather.wait_for(|now| *now == Weather::Lost).await.is_ok() };
                let lost = tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => false,
                    lost = is_lost => lost,
                };
                if lost {
                    std::future::pending::<()>().await;
                }
            }
        }
        Weather::Cut => {}
        Weather::Silent | Weather::Lost => std::future::pending().await,
    }
}
