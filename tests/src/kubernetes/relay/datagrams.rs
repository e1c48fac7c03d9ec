//! The same for datagrams: they pass, vanish, or find nobody at home.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Weather;
use crate::background::Background;
use crate::kubernetes::port;

/// How long a client is remembered that says nothing. No longer: whoever asks from a new port each time is many clients.
const MEMORY: Duration = Duration::from_secs(1);
/// No message is larger.
const BUFFER: usize = 65_536;

/// Passes datagrams on to a server, and its replies back.
#[derive(Debug)]
pub struct Datagrams {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    _server: Background,
}

impl Datagrams {
    /// Starts a relay at a free port of `ip`.
    pub fn start(ip: IpAddr, server: SocketAddr) -> Result<Self> {
        let address = port::free(ip)?;
        let (weather, changes) = watch::channel(Weather::Fair);
        let relay = Background::run("datagrams", move || relay(address, server, changes))?;
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

    /// Changes the weather. [`Weather::Cut`] closes the port, so that the kernel tells whoever sends there.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn relay(
    address: SocketAddr,
    server: SocketAddr,
    mut weather: watch::Receiver<Weather>,
) -> Result<()> {
    loop {
        let now = *weather.borrow_and_update();
        // Until it has ended, a socket of the weather before keeps the port.
        let mut returning = JoinSet::new();
        let blows = async {
            match now {
                Weather::Fair => pass(address, server, &mut returning).await,
                Weather::Cut => std::future::pending().await,
                Weather::Silent | Weather::Lost => swallow(address).await,
            }
        };
        tokio::select! {
            changed = weather.changed() => if changed.is_err() {
                return Ok(()); // the handle was dropped
            },
            ended = blows => return ended,
        }
        returning.shutdown().await;
    }
}

async fn bind(address: SocketAddr) -> Result<UdpSocket> {
    UdpSocket::bind(address)
        .await
        .with_context(|| format!("a relay of datagrams at {address}"))
}

async fn swallow(address: SocketAddr) -> Result<()> {
    let socket = bind(address).await?;
    let mut buffer = [0; 1];
    loop {
        let _ = socket.recv_from(&mut buffer).await;
    }
}

/// Every client gets a socket of its own towards the server, by which its replies are known.
async fn pass(
    address: SocketAddr,
    server: SocketAddr,
    returning: &mut JoinSet<SocketAddr>,
) -> Result<()> {
    let socket = Arc::new(bind(address).await?);
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let (length, client) = tokio::select! {
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                Err(_) => continue, // a reply that nobody wanted any more
            },
            Some(Ok(client)) = returning.join_next() => {
                clients.remove(&client);
                continue;
            }
        };
        let known = clients.get(&client).cloned();
        let towards = match known {
            Some(towards) => towards,
            None => {
                let towards = Arc::new(UdpSocket::bind((address.ip(), 0)).await?);
                towards.connect(server).await?;
                clients.insert(client, Arc::clone(&towards));
                returning.spawn(give_back(Arc::clone(&towards), Arc::clone(&socket), client));
                towards
            }
        };
        let _ = towards.send(&buffer[..length]).await;
    }
}

/// Until the server has been silent for long; gives the client back, who is then forgotten.
async fn give_back(from: Arc<UdpSocket>, to: Arc<UdpSocket>, client: SocketAddr) -> SocketAddr {
    let mut buffer = vec![0; BUFFER];
    while let Ok(Ok(length)) = timeout(MEMORY, from.recv(&mut buffer)).await {
        let _ = to.send_to(&buffer[..length], client).await;
    }
    client
}
