//! The agent as a whole: take every port that no other agent has, then run.

mod joining;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use joining::Joining;

use crate::{
    admin::{Admin, Doors},
    config::{Config, Servers},
    fault::Faults,
    gateway,
    index::Mode,
    metrics::SharedMetrics,
    name::Name,
    readiness::{Guard, Readiness},
    server::{Engine, Pair, Place, take},
    shadow::Shadow,
    snapshot::{self, Saver},
    sources::{Board, Publisher, Sources},
    tasks::{Ended, Tasks},
    upstream::{ResolvConf, Upstream},
};

/// How long what is under way may take after the end was asked for: a forwarded query takes at most 4.9 s, and one on a
/// TCP connection may come after another.
const GRACE: Duration = Duration::from_secs(8);

/// What holds readiness back until queries are answered at every address.
const LISTENERS: &str = "listeners";

/// An agent with all its files read once, and all its ports taken but those where another agent still answers.
#[derive(Debug)]
pub struct App {
    config: Arc<Config>,
    board: Arc<Board>,
    places: Vec<Place>,
    doors: Doors,
    sources: Sources,
    saver: Option<Saver>,
    publisher: Publisher,
    resolv_conf: Option<ResolvConf>,
    upstream: Arc<Upstream>,
    readiness: Readiness,
    listening: Guard,
    is_listening: watch::Sender<bool>,
    metrics: SharedMetrics,
}

impl App {
    /// Reads the catalogs and takes the ports. Fails with [`Faults`] when a file is wrong that must be right.
    pub async fn bind(config: Config) -> Result<Self> {
        let readiness = Readiness::default();
        let metrics = SharedMetrics::default();
        let config = Arc::new(config);
        // Held from the beginning: readiness never goes back, so nothing may look ready before it is.
        let listening = readiness.guard(LISTENERS);
        let patience = config.peer_sync_timeout;
        let board = Board::new(patience, readiness.clone(), Arc::clone(&metrics));
        let found = snapshot::restore(&config, &metrics);
        let saver = Saver::new(&config, &found, Arc::clone(&metrics));
        board.remember(found.once_local);
        let sources = Sources::new(&config, &board, found.clusters)?;
        let settings = config.settings.clone();
        let publisher = Publisher::new(settings, Arc::clone(&board), Arc::clone(&metrics));
        let mut places = Vec::new();
        for address in &config.listen {
            let place = take(*address).await.with_context(|| {
                format!("cannot listen for queries on {address} (ss -lnptu tells who does)")
            })?;
            places.push(place);
        }
        let doors = Doors::open(config.admin, config.admin_socket.as_deref()).await?;
        let ourselves: Vec<SocketAddr> = places.iter().map(Place::address).collect();
        let name = name(&config, &ourselves);
        let all_held = places.iter().all(|place| matches!(place, Place::Held(_)));
        let (general, resolv_conf) = general_servers(&config, ourselves)?;
        let upstream = Upstream::new(&config, general, name, Arc::clone(&metrics));
        Ok(Self {
            doors,
            sources,
            saver,
            board,
            publisher,
            resolv_conf,
            upstream: Arc::new(upstream),
            listening,
            readiness,
            is_listening: watch::Sender::new(all_held),
            metrics,
            places,
            config,
        })
    }

    /// Where queries are answered, in the order of the configuration.
    pub fn dns_addresses(&self) -> Vec<SocketAddr> {
        self.places.iter().map(Place::address).collect()
    }

    /// Where the admin interface is served.
    pub fn admin_address(&self) -> SocketAddr {
        self.doors.address()
    }

    /// Whether queries are answered at every address; until then another agent answers at some.
    pub fn is_listening(&self) -> watch::Receiver<bool> {
        self.is_listening.subscribe()
    }

    /// Runs until `shutdown`, or until something ends that must not.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Ended> {
        info!(
            dns = ?self.dns_addresses(),
            admin = %self.admin_address(),
            version = env!("CARGO_PKG_VERSION"),
            "starting"
        );
        if let Some(what) = self.config.unguarded() {
            warn!("cluster.ranges: {what}");
        }
        let stop = CancellationToken::new();
        let mut tasks = Tasks::default();
        let shadow = (self.config.settings.mode == Mode::Shadow).then(|| {
            let (shadow, watcher) = Shadow::new(
                self.publisher.published(),
                Arc::clone(&self.upstream),
                self.config.shadow_settle,
                Arc::clone(&self.metrics),
            );
            tasks.spawn("shadow", endless(watcher.run(stop.clone())));
            shadow
        });
        let gateways = gateways(
            &self.publisher,
            &self.upstream,
            &self.config,
            Arc::clone(&self.metrics),
        );
        let engine = Arc::new(Engine::new(
            self.publisher.published(),
            Arc::clone(&self.upstream),
            Arc::clone(&self.metrics),
            self.config.allow_from.clone(),
            gateways.lifetimes(),
            shadow,
        ));
        let admin = Admin {
            readiness: self.readiness.clone(),
            index: self.publisher.published(),
            metrics: Arc::clone(&self.metrics),
            upstream: Arc::clone(&self.upstream),
            gateways: gateways.report(),
            lifetimes: gateways.lifetimes(),
            listen: self.dns_addresses().into(),
            resolv_conf: match &self.config.upstreams.general {
                Servers::Given(_) => None,
                Servers::ResolvConf(file) => Some(file.clone()),
            },
        };
        let mut awaited = Vec::new();
        for place in self.places {
            match place {
                Place::Held(pair) => serve(&mut tasks, &engine, &self.config, pair, &stop),
                Place::Awaited(address) => awaited.push(address),
            }
        }
        let mut missing = awaited.len();
        let mut listening = Some(self.listening).filter(|_| missing > 0);
        let (take, mut taken) = mpsc::channel(1);
        let joining = Joining {
            readiness: self.readiness.clone(),
            index: self.publisher.published(),
            own_guard: LISTENERS,
        };
        let join = joining.run(awaited, take, stop.clone());
        tasks.spawn("joining", async move { Ok(join.await?) });
        let board = self.board;
        let memory = Arc::clone(&board);
        let gateways = gateways.run(stop.clone(), move |seen| board.set_gateways(seen));
        tasks.spawn("gateways", endless(gateways));
        self.sources.spawn(&mut tasks, &stop);
        if let Some(saver) = self.saver {
            let published = self.publisher.published();
            let save = saver.run(published, stop.clone(), move |others| {
                memory.remember(others)
            });
            tasks.spawn("snapshot", async move { Ok(save.await?) });
        }
        let publish = {
            let upstream = Arc::clone(&self.upstream);
            // What others said of them before they were ours is older than what happened since.
            let leave = move |names: &[&Name]| upstream.forget(names);
            self.publisher.run(stop.clone(), leave)
        };
        tasks.spawn("publisher", async move { Ok(publish.await?) });
        let loops = {
            let (upstream, stop) = (Arc::clone(&self.upstream), stop.clone());
            async move { upstream.watch_for_loops(stop).await }
        };
        tasks.spawn("forwarding loops", endless(loops));
        if let Some(resolv_conf) = self.resolv_conf {
            let upstream = Arc::clone(&self.upstream);
            let follow = {
                let stop = stop.clone();
                async move { resolv_conf.run(&upstream, stop).await }
            };
            tasks.spawn("resolv.conf", endless(follow));
        }
        // The admin interface goes last, so that it can tell that the agent is stopping.
        let stop_admin = CancellationToken::new();
        let serve_admin = self.doors.serve(admin, stop_admin.clone());
        let mut admin_task = Tasks::default();
        admin_task.spawn("admin", async move { Ok(serve_admin.await?) });
        let result = loop {
            let pair = tokio::select! {
                () = shutdown.cancelled() => break Ok(()),
                ended = tasks.first_to_end() => break Err(ended),
                ended = admin_task.first_to_end() => break Err(ended),
                Some(pair) = taken.recv() => pair,
            };
            serve(&mut tasks, &engine, &self.config, pair, &stop);
            // What comes back comes to us only now.
            self.upstream.look_again();
            missing -= 1;
            if missing == 0 {
                listening = None;
                self.is_listening.send_replace(true);
            }
        };
        drop(listening);
        info!("stopping");
        self.readiness.stop();
        stop.cancel();
        let mut stopped = tasks.finish(GRACE).await;
        stop_admin.cancel();
        stopped.extend(admin_task.finish(Duration::from_secs(1)).await);
        if !stopped.is_empty() {
            warn!(tasks = ?stopped, "stopped before they had finished");
        }
        info!("stopped");
        result
    }
}

/// What other agents, and people, call this one.
fn name(config: &Config, addresses: &[SocketAddr]) -> String {
    let local = config.catalogs.iter().find(|entry| entry.local);
    let cluster = local.map_or("", |entry| &entry.cluster);
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let at = addresses.join(", ");
    match &config.node {
        Some(node) => format!("{cluster} on {node} at {at}"),
        None => format!("{cluster} at {at}"),
    }
}

/// Begins to answer at an address.
fn serve(
    tasks: &mut Tasks,
    engine: &Arc<Engine>,
    config: &Config,
    pair: Pair,
    stop: &CancellationToken,
) {
    let address = pair.address();
    // The address is ours until both are closed.
    let claim = Arc::new(pair.claim);
    let max_concurrent = config.upstreams.max_concurrent;
    let udp = Arc::clone(engine).serve_udp(pair.udp, max_concurrent, stop.clone());
    let held = Arc::clone(&claim);
    let udp = async move {
        udp.await;
        drop(held);
    };
    tasks.spawn(format!("udp {address}"), endless(udp));
    let tcp = Arc::clone(engine).serve_tcp(pair.tcp, config.tcp.clone(), stop.clone());
    let tcp = async move {
        tcp.await;
        drop(claim);
    };
    tasks.spawn(format!("tcp {address}"), endless(tcp));
}

async fn endless(
    task: impl Future<Output = ()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    task.await;
    Ok(())
}

fn gateways(
    publisher: &Publisher,
    upstream: &Arc<Upstream>,
    config: &Config,
    metrics: SharedMetrics,
) -> gateway::Follower {
    let upstream = Arc::clone(upstream);
    let look_up = move |name: Arc<str>| -> BoxFuture<'static, gateway::Lookup> {
        let upstream = Arc::clone(&upstream);
        Box::pin(async move {
            let name = Name::parse(&name).map_err(|error| error.to_string())?;
            upstream.look_up(&name).await
        })
    };
    let wanted = publisher.wanted_gateways();
    gateway::Follower::new(wanted, look_up, config.gateway_probe.clone(), metrics)
}

fn general_servers(
    config: &Config,
    ourselves: Vec<SocketAddr>,
) -> Result<(Vec<SocketAddr>, Option<ResolvConf>), Faults> {
    match &config.upstreams.general {
        Servers::Given(servers) => Ok((servers.clone(), None)),
        Servers::ResolvConf(file) => {
            let mut resolv_conf = ResolvConf::new(PathBuf::clone(file), ourselves);
            let servers = resolv_conf.first()?;
            Ok((servers, Some(resolv_conf)))
        }
    }
}
