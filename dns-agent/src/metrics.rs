//! What is counted. Labels are enums or configured names, never anything that a client sends.

mod catalogs;
mod labels;
mod servers;
mod snapshots;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{answer::Reason, catalog::Cluster, wire::Transport};

use catalogs::CatalogMetrics;
use labels::{
    AnswerLabels, GatewayLabels, OUTCOMES, QueryLabels, SOURCES, ShadowLabels, TRANSPORTS,
};
pub use labels::{Exchange, Outcome, REASONS, RESULTS, ShadowResult, Source};
pub use servers::{Looped, ServerCounters, ServerMetrics};
pub use snapshots::SnapshotMetrics;

/// All metrics of the agent, under the prefix `crossmesh_dns`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    queries: Vec<((Transport, Source, Outcome), Counter)>,
    answers: Vec<(Reason, Counter)>,
    /// Messages that got no reply, because one could feed a loop.
    pub ignored: Counter,
    /// What is counted of each upstream server.
    pub servers: ServerMetrics,
    /// Seconds from a forwarded query's arrival at the upstream module to its reply.
    pub upstream_seconds: Histogram,
    /// Queries refused because of where they came from.
    pub prohibited: Counter,
    /// Queries that joined one under way.
    pub coalesced: Counter,
    /// Queries refused because too many were under way.
    pub overloaded: Counter,
    /// Replies in the cache.
    pub cache_entries: Gauge,
    /// Indexes published.
    pub publishes: Counter,
    /// Seconds that building and publishing an index took.
    pub publish_seconds: Histogram,
    /// Seconds from the moment when a source told of a change to that when names were answered by it.
    pub change_seconds: Histogram,
    shadow: Family<ShadowLabels, Counter>,
    /// Remote addresses that are not given because they are local ones here.
    pub overlaps: Gauge,
    /// Look-ups of gateways' names that failed.
    pub gateway_lookup_failures: Counter,
    gateways: Family<GatewayLabels, Gauge>,
    /// Unix time of the last publish that changed a name.
    pub last_change: Gauge<f64, AtomicU64>,
    /// Names in the index.
    pub names: Gauge,
    /// TCP connections refused because too many were open.
    pub connections_refused: Counter,
    /// What is kept on disk.
    pub snapshots: SnapshotMetrics,
    catalogs: CatalogMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("crossmesh_dns");
        // Every combination exists from the start: a counter in the hot path is found by its place, without a lock.
        let queries: Family<QueryLabels, Counter> = Family::default();
        registry.register(
            "queries",
            "Replies by transport, source and outcome",
            queries.clone(),
        );
        let answers: Family<AnswerLabels, Counter> = Family::default();
        registry.register("answers", "Replies of our own by reason", answers.clone());
        let mut all = Vec::new();
        for transport in TRANSPORTS {
            for source in SOURCES {
                for outcome in OUTCOMES {
                    let labels = QueryLabels {
                        transport,
                        source,
                        outcome,
                    };
                    let counter = queries.get_or_create_owned(&labels);
                    all.push(((transport, source, outcome), counter));
                }
            }
        }
        let metrics = Self {
            queries: all,
            answers: REASONS
                .map(|reason| {
                    (
                        reason,
                        answers.get_or_create_owned(&AnswerLabels { reason }),
                    )
                })
                .into(),
            ignored: Counter::default(),
            servers: ServerMetrics::default(),
            // From 0.25 ms to 4 s.
            upstream_seconds: Histogram::new(exponential_buckets(0.00025, 2.0, 15)),
            prohibited: Counter::default(),
            coalesced: Counter::default(),
            overloaded: Counter::default(),
            cache_entries: Gauge::default(),
            publishes: Counter::default(),
            // From 0.1 ms to 1.6 s.
            publish_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 15)),
            // From 1 ms to 16 s.
            change_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            shadow: Family::default(),
            overlaps: Gauge::default(),
            gateway_lookup_failures: Counter::default(),
            gateways: Family::default(),
            last_change: Gauge::default(),
            names: Gauge::default(),
            connections_refused: Counter::default(),
            snapshots: SnapshotMetrics::default(),
            catalogs: CatalogMetrics::default(),
            registry: Registry::default(),
        };
        metrics.register(&mut registry);
        Self {
            registry,
            ..metrics
        }
    }
}

impl Metrics {
    /// Counts one reply.
    pub fn count(&self, transport: Transport, source: Source, outcome: Outcome) {
        let place = place(&TRANSPORTS, transport) * SOURCES.len() + place(&SOURCES, source);
        let place = place * OUTCOMES.len() + self::place(&OUTCOMES, outcome);
        if let Some((_, counter)) = self.queries.get(place) {
            counter.inc();
        }
    }

    /// Counts one reply of our own.
    pub fn count_answer(&self, reason: Reason) {
        if let Some((_, counter)) = self.answers.get(place(&REASONS, reason)) {
            counter.inc();
        }
    }

    /// Counts queries that the cluster's DNS answered in shadow mode, by what we would have answered.
    pub fn count_shadow(&self, result: ShadowResult, reason: Reason, queries: u64) {
        let labels = ShadowLabels { result, reason };
        self.shadow.get_or_create(&labels).inc_by(queries);
    }

    /// Counts a catalog that was refused.
    pub fn count_refused_catalog(&self, cluster: &str) {
        self.catalogs.count_refused(cluster);
    }

    /// Shows the clusters as they are now.
    pub fn show_clusters(&self, clusters: &[Cluster]) {
        self.catalogs.show(clusters);
    }

    /// Takes a cluster out that is none of ours any more.
    pub fn forget_cluster(&self, cluster: &str) {
        self.catalogs.forget(cluster);
    }

    /// Shows the gateways that are probed, and no others.
    pub fn show_gateways(&self, all: impl Iterator<Item = (SocketAddr, bool)>) {
        self.gateways.clear();
        for (address, healthy) in all {
            let labels = GatewayLabels {
                address: address.to_string(),
            };
            self.gateways.get_or_create(&labels).set(i64::from(healthy));
        }
    }

    /// All metrics in the OpenMetrics text format.
    pub fn text(&self) -> String {
        self.catalogs.show_ages();
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn register(&self, to: &mut Registry) {
        to.register(
            "ignored_messages",
            "Messages that got no reply",
            self.ignored.clone(),
        );
        self.servers.register(to);
        to.register(
            "upstream_duration_seconds",
            "Time that forwarded queries took",
            self.upstream_seconds.clone(),
        );
        to.register(
            "prohibited_queries",
            "Queries refused because of where they came from",
            self.prohibited.clone(),
        );
        to.register(
            "coalesced_queries",
            "Forwarded queries that joined one under way",
            self.coalesced.clone(),
        );
        to.register(
            "overloaded_queries",
            "Queries refused because too many were under way",
            self.overloaded.clone(),
        );
        to.register(
            "cache_entries",
            "Upstream replies kept",
            self.cache_entries.clone(),
        );
        to.register("publishes", "Indexes published", self.publishes.clone());
        to.register(
            "publish_duration_seconds",
            "Time that building and publishing an index took",
            self.publish_seconds.clone(),
        );
        to.register(
            "change_to_answer_seconds",
            "Time from the moment when a source told of a change to that when names were answered by it",
            self.change_seconds.clone(),
        );
        to.register(
            "shadow",
            "Queries that the cluster's DNS answered in shadow mode, by what came of comparing, and why we would have answered",
            self.shadow.clone(),
        );
        to.register(
            "overlapping_addresses",
            "Remote addresses that are not given because they are local ones here",
            self.overlaps.clone(),
        );
        to.register(
            "gateway_healthy",
            "1 for a gateway's address that answers probes, 0 for one that does not",
            self.gateways.clone(),
        );
        to.register(
            "gateway_lookup_failures",
            "Look-ups of gateways' names that failed",
            self.gateway_lookup_failures.clone(),
        );
        to.register(
            "last_change_timestamp_seconds",
            "Time of the last publish that changed a name",
            self.last_change.clone(),
        );
        to.register("names", "Names in the index", self.names.clone());
        to.register(
            "tcp_connections_refused",
            "TCP connections refused because too many were open",
            self.connections_refused.clone(),
        );
        self.snapshots.register(to);
        self.catalogs
            .register(to.sub_registry_with_prefix("catalog"));
    }
}

/// Shared by everything that counts.
pub type SharedMetrics = Arc<Metrics>;

fn place<T: PartialEq>(all: &[T], one: T) -> usize {
    all.iter()
        .position(|other| *other == one)
        .unwrap_or(all.len())
}
