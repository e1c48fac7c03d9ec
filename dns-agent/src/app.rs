//! The agent as a whole: take every port, then run.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    admin::Admin,
    config::{Config, Servers},
    fault::Faults,
    gateway,
    index::Mode,
    metrics::SharedMetrics,
    name::Name,
    readiness::{Guard, Readiness},
    server::{Engine, Pair, bind},
    shadow::Shadow,
    sources::{Board, Publisher, Sources},
    tasks::{Ended, Tasks},
    upstream::{ResolvConf, Upstream},
};

/// How long what is under way may take after the end was asked for: a forwarded query takes at most 4.9 s, and one on a
/// TCP connection may come after another.
const GRACE: Duration = Duration::from_secs(8);

/// An agent with all its ports taken and all its files read once.
#[derive(Debug)]
pub struct App {
    config: Arc<Config>,
    board: Arc<Board>,
    pairs: Vec<Pair>,
    admin_listener: TcpListener,
    admin_address: SocketAddr,
    sources: Sources,
    publisher: Publisher,
    resolv_conf: Option<ResolvConf>,
    upstream: Arc<Upstream>,
    readiness: Readiness,
    listening: Guard,
    metrics: SharedMetrics,
}

impl App {
    /// Reads the catalogs and takes the ports. Fails with [`Faults`] when a file is wrong that must be right.
    pub async fn bind(config: Config) -> Result<Self> {
        let readiness = Readiness::default();
        let metrics = SharedMetrics::default();
        let config = Arc::new(config);
        // Held from the beginning: readiness never goes back, so nothing may look ready before it is.
        let listening = readiness.guard("listeners");
        let patience = config.peer_sync_timeout;
        let board = Board::new(patience, readiness.clone(), Arc::clone(&metrics));
        let sources = Sources::new(&config, &board)?;
        let settings = config.settings.clone();
        let publisher = Publisher::new(settings, Arc::clone(&board), Arc::clone(&metrics));
        let mut pairs = Vec::new();
        for address in &config.listen {
            let pair = bind(*address)
                .await
                .with_context(|| format!("cannot listen for queries on {address}"))?;
            pairs.push(pair);
        }
        let admin_listener = TcpListener::bind(config.admin)
            .await
            .with_context(|| format!("cannot listen for admin requests on {}", config.admin))?;
        let ourselves = pairs.iter().map(Pair::address).collect();
        let (general, resolv_conf) = general_servers(&config, ourselves)?;
        let upstream = Upstream::new(&config, general, Arc::clone(&metrics));
        Ok(Self {
            admin_address: admin_listener.local_addr()?,
            admin_listener,
            sources,
            board,
            publisher,
            resolv_conf,
            upstream: Arc::new(upstream),
            listening,
            readiness,
            metrics,
            pairs,
            config,
        })
    }

    /// Where queries are answered, in the order of the configuration.
    pub fn dns_addresses(&self) -> Vec<SocketAddr> {
        self.pairs.iter().map(Pair::address).collect()
    }

    /// Where the admin interface is served.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Runs until `shutdown`, or until something ends that must not.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Ended> {
        info!(
            dns = ?self.dns_addresses(),
            admin = %self.admin_address,
            version = env!("CARGO_PKG_VERSION"),
            "listening"
        );
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
        let engine = Arc::new(Engine::new(
            self.publisher.published(),
            Arc::clone(&self.upstream),
            Arc::clone(&self.metrics),
            shadow,
        ));
        let gateways = gateways(
            &self.publisher,
            &self.upstream,
            &self.config,
            Arc::clone(&self.metrics),
        );
        let admin = Admin {
            readiness: self.readiness.clone(),
            index: self.publisher.published(),
            metrics: Arc::clone(&self.metrics),
            upstream: Arc::clone(&self.upstream),
            gateways: gateways.report(),
            listen: self.pairs.iter().map(Pair::address).collect(),
            resolv_conf: match &self.config.upstreams.general {
                Servers::Given(_) => None,
                Servers::ResolvConf(file) => Some(file.clone()),
            },
        };
        for pair in self.pairs {
            let address = pair.address();
            let max_concurrent = self.config.upstreams.max_concurrent;
            let udp = Arc::clone(&engine).serve_udp(pair.udp, max_concurrent, stop.clone());
            tasks.spawn(format!("udp {address}"), endless(udp));
            let bounds = self.config.tcp.clone();
            let tcp = Arc::clone(&engine).serve_tcp(pair.tcp, bounds, stop.clone());
            tasks.spawn(format!("tcp {address}"), endless(tcp));
        }
        let board = self.board;
        let gateways = gateways.run(stop.clone(), move |seen| board.set_gateways(seen));
        tasks.spawn("gateways", endless(gateways));
        self.sources.spawn(&mut tasks, &stop);
        let publish = self.publisher.run(stop.clone());
        tasks.spawn("publisher", async move { Ok(publish.await?) });
        if let Some(resolv_conf) = self.resolv_conf {
            let upstream = Arc::clone(&self.upstream);
            let follow = {
                let stop = stop.clone();
                async move { resolv_conf.run(&upstream, stop).await }
            };
            tasks.spawn("resolv.conf", endless(follow));
        }
        drop(self.listening);
        // The admin interface goes last, so that it can tell that the agent is stopping.
        let stop_admin = CancellationToken::new();
        let serve = admin.serve(self.admin_listener, stop_admin.clone());
        let mut admin_task = Tasks::default();
        admin_task.spawn("admin", async move { Ok(serve.await?) });
        let result = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            ended = tasks.first_to_end() => Err(ended),
            ended = admin_task.first_to_end() => Err(ended),
        };
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
