//! From what is written to what it means. Everything that is wrong is told at once.

mod access;
mod catalogs;
mod names;
mod remote;
mod upstreams;
mod values;

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Cache, Config, Log, LogFormat, LogLevel, SCHEMA, Snapshot, Source, Tcp, written};
use crate::{
    fault::{Collector, Faults},
    index::{Families, Mode, Settings, SrvPort},
    yaml::{self, Written, line},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

pub(super) fn config(file: &Path, text: &str) -> Result<Config, Faults> {
    let written: written::Config = yaml::read(file, text)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut reading = Reading {
        faults: Collector::new(file),
        folder,
    };
    let config = reading.config(&written);
    let Some(config) = config else {
        // Only a fault makes the configuration incomplete.
        return Err(reading
            .faults
            .finish(())
            .err()
            .unwrap_or_else(|| Faults::whole_file(file, "incomplete", "complete it")));
    };
    reading.faults.finish(config)
}

struct Reading<'f> {
    faults: Collector<'f>,
    folder: &'f Path,
}

impl Reading<'_> {
    fn config(&mut self, written: &written::Config) -> Option<Config> {
        if written.schema.value != SCHEMA {
            self.faults.add(
                line(&written.schema),
                "schema",
                format!("\"{}\" is not known", written.schema.value),
                format!("write {SCHEMA}"),
            );
        }
        let domain = self.cluster_domain(written.cluster_domain.as_ref());
        let set_domain =
            self.cluster_set_domain(written.cluster_set_domain.as_ref(), domain.as_ref());
        let listen = self.listen(&written.listen);
        let admin = self.socket_address(&written.admin, "admin", None);
        if admin.is_some_and(|admin| admin.port() != 0 && listen.contains(&admin)) {
            self.faults.add(
                line(&written.admin),
                "admin",
                format!("\"{}\" is also in listen", written.admin.value),
                "give the admin interface another port",
            );
        }
        let cluster_local = domain
            .as_ref()
            .map(|domain| self.cluster_local(&written.cluster_local, domain));
        let zones = domain.as_ref().zip(set_domain.as_ref());
        let passthrough =
            zones.map(|zones| self.passthrough_names(&written.passthrough_names, zones));
        let cluster = &written.cluster;
        let locality = self.locality(cluster.region.as_ref(), cluster.zone.as_ref(), "cluster");
        let families = self.families(&written.cluster);
        let local_ranges = self.ranges(&written.cluster.ranges, "cluster.ranges");
        let (mut catalogs, mut remote_secrets) = self.catalogs(&written.catalogs, &written.cluster);
        let discovered = remote_secrets.iter_mut().flat_map(|of| &mut of.clusters);
        let peers = catalogs.iter_mut().chain(discovered);
        let other_domains = zones.map(|zones| self.other_domains(peers, zones));
        let istio_namespace = self.istio_namespace(written.istio_namespace.as_ref());
        let by_default = remote_secrets.is_some()
            || catalogs
                .iter()
                .any(|entry| !matches!(entry.source, Source::File(_)));
        let gateway_probe = self.gateway_probe(written.gateway_probe.as_ref(), by_default);
        let remote = self.remote(&written.remote);
        let peer_sync_timeout = self.duration(
            written.peer_sync_timeout.as_ref(),
            "peerSyncTimeout",
            MS(30_000),
            MS(100)..=MS(600_000),
        );
        let admin_socket = written.admin_socket.as_ref().map(|path| {
            self.not_empty(path, "adminSocket");
            self.path(&path.value)
        });
        let allow_from = self.allow_from(written.allow_from.as_ref(), &local_ranges, &listen);
        let snapshot = written.snapshot.as_ref().map(|of| self.snapshot(of));
        let shadow_settle = self.duration(
            written.shadow.settle.as_ref(),
            "shadow.settle",
            // The cluster's DNS may keep what it said for 30 s, as kubeadm sets it up.
            MS(35_000),
            MS(10)..=MS(600_000),
        );
        let ttl = self.number(written.ttl.as_ref(), "ttl", 5, 1..=60);
        let upstreams = self.upstreams(&written.upstreams, &listen);
        let cache = self.cache(&written.cache);
        let tcp = self.tcp(&written.tcp);
        Some(Config {
            admin: admin?,
            admin_socket,
            allow_from,
            settings: Settings {
                cluster_domain: domain?,
                cluster_set_domain: set_domain?,
                other_domains: other_domains?,
                passthrough: passthrough?,
                servers: listen.iter().map(SocketAddr::ip).collect(),
                locality,
                mode: match written.mode {
                    written::Mode::Overlay => Mode::Overlay,
                    written::Mode::Authoritative => Mode::Authoritative,
                    written::Mode::Shadow => Mode::Shadow,
                },
                ttl,
                srv: match written.srv {
                    written::Srv::Service => SrvPort::Service,
                    written::Srv::Gateway => SrvPort::Gateway,
                },
                families,
                istio_namespace,
                cluster_local: cluster_local?,
                network: written
                    .cluster
                    .network
                    .as_ref()
                    .map(|name| name.value.clone()),
                local_ranges,
                remote,
            },
            listen,
            catalogs,
            remote_secrets,
            node: None,
            gateway_probe,
            peer_sync_timeout,
            snapshot,
            shadow_settle,
            upstreams: upstreams?,
            cache,
            tcp,
            log: log(&written.log),
        })
    }

    fn listen(&mut self, written: &Written<Vec<Written<String>>>) -> Vec<SocketAddr> {
        if written.value.is_empty() {
            self.faults.add(
                line(written),
                "listen",
                "the list is empty",
                "write at least one address with its port, such as 169.254.20.10:53",
            );
        }
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for (at, text) in written.value.iter().enumerate() {
            let field = format!("listen[{at}]");
            let Some(address) = self.socket_address(text, &field, None) else {
                continue;
            };
            if address.ip().is_unspecified() {
                self.faults.add(
                    line(text),
                    field,
                    format!(
                        "\"{}\" stands for every address, and a reply could leave from another one than was asked",
                        text.value
                    ),
                    "list the addresses one by one",
                );
            } else if address.port() != 0 && !seen.insert(address) {
                self.faults.add(
                    line(text),
                    field,
                    format!("\"{}\" is listed twice", text.value),
                    "remove one of them",
                );
            } else {
                all.push(address);
            }
        }
        all
    }

    fn families(&mut self, cluster: &written::Cluster) -> Option<Families> {
        let written = cluster.ip_families.as_ref()?;
        if written.value.is_empty() {
            self.faults.add(
                line(written),
                "cluster.ipFamilies",
                "the list is empty",
                "write IPv4, IPv6 or both, or leave the field out",
            );
        }
        let has = |family| written.value.iter().any(|written| written.value == family);
        Some(Families {
            v4: has(written::IpFamily::V4),
            v6: has(written::IpFamily::V6),
        })
    }

    fn cache(&mut self, written: &written::Cache) -> Cache {
        Cache {
            entries: self.number(
                written.entries.as_ref(),
                "cache.entries",
                10_000,
                0..=10_000_000,
            ),
            max_bytes: self.number(
                written.max_bytes.as_ref(),
                "cache.maxBytes",
                64 << 20,
                65_536..=1 << 40,
            ),
            max_ttl: self.duration(
                written.max_ttl.as_ref(),
                "cache.maxTtl",
                MS(3_600_000),
                MS(1_000)..=MS(86_400_000),
            ),
            max_negative_ttl: self.duration(
                written.max_negative_ttl.as_ref(),
                "cache.maxNegativeTtl",
                MS(30_000),
                MS(1_000)..=MS(3_600_000),
            ),
        }
    }

    fn tcp(&mut self, written: &written::Tcp) -> Tcp {
        Tcp {
            max_connections: self.number(
                written.max_connections.as_ref(),
                "tcp.maxConnections",
                256,
                1..=65_536,
            ),
            idle_timeout: self.duration(
                written.idle_timeout.as_ref(),
                "tcp.idleTimeout",
                MS(10_000),
                MS(100)..=MS(600_000),
            ),
        }
    }

    fn snapshot(&mut self, written: &written::Snapshot) -> Snapshot {
        self.not_empty(&written.directory, "snapshot.directory");
        Snapshot {
            directory: self.path(&written.directory.value),
            interval: self.duration(
                written.interval.as_ref(),
                "snapshot.interval",
                MS(10_000),
                MS(100)..=MS(600_000),
            ),
        }
    }

    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }
}

fn log(written: &written::Log) -> Log {
    Log {
        format: match written.format {
            written::Format::Text => LogFormat::Text,
            written::Format::Json => LogFormat::Json,
        },
        level: match written.level {
            written::Level::Error => LogLevel::Error,
            written::Level::Warn => LogLevel::Warn,
            written::Level::Info => LogLevel::Info,
            written::Level::Debug => LogLevel::Debug,
            written::Level::Trace => LogLevel::Trace,
        },
    }
}
