//! What is counted of each upstream server, while it is one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::labels::{EXCHANGES, Exchange, ExchangeLabels, ServerLabels};

/// Exchanges with upstream servers, and loops through them.
#[derive(Debug, Default)]
pub struct ServerMetrics {
    exchanges: Family<ExchangeLabels, Counter>,
    loops: Family<ServerLabels, Gauge>,
    partial_loops: Family<ServerLabels, Gauge>,
    shown: Mutex<BTreeSet<SocketAddr>>,
}

/// Whether a server sends our questions back to us.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looped {
    /// All of some kind.
    pub wholly: bool,
    /// Some, and others not.
    pub partly: bool,
}

/// The counters of one server. What is under way while the server is taken out counts in them and nowhere else.
#[derive(Debug)]
pub struct ServerCounters([(Exchange, Counter); EXCHANGES.len()]);

impl ServerCounters {
    /// Counts an exchange.
    pub fn count(&self, result: Exchange) {
        if let Some((_, counter)) = self.0.iter().find(|(of, _)| *of == result) {
            counter.inc();
        }
    }
}

impl ServerMetrics {
    /// The counters of a server, which are shown from now on.
    pub fn of(&self, server: SocketAddr) -> ServerCounters {
        let counter = |result| self.exchanges.get_or_create_owned(&labels(server, result));
        ServerCounters(EXCHANGES.map(|result| (result, counter(result))))
    }

    /// Shows nothing more of a server's exchanges.
    pub fn forget(&self, server: SocketAddr) {
        for result in EXCHANGES {
            self.exchanges.remove(&labels(server, result));
        }
    }

    /// Shows whether each server sends our questions back to us, and of no other.
    pub fn show_loops(&self, all: &BTreeMap<SocketAddr, Looped>) {
        let of = |server: &SocketAddr| ServerLabels {
            server: server.to_string(),
        };
        for (server, looped) in all {
            let of = of(server);
            let gauge = |of_all: &Family<_, Gauge>| of_all.get_or_create_owned(&of);
            gauge(&self.loops).set(looped.wholly.into());
            gauge(&self.partial_loops).set(looped.partly.into());
        }
        // Every operation leaves the set whole.
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.iter().filter(|server| !all.contains_key(server)) {
            self.loops.remove(&of(gone));
            self.partial_loops.remove(&of(gone));
        }
        *shown = all.keys().copied().collect();
    }

    pub(super) fn register(&self, to: &mut Registry) {
        to.register(
            "upstream_exchanges",
            "Exchanges with upstream servers",
            self.exchanges.clone(),
        );
        to.register(
            "upstream_loop",
            "1 for an upstream server that sends our questions back to us, itself or by way of other agents",
            self.loops.clone(),
        );
        to.register(
            "upstream_partial_loop",
            "1 for an upstream server that sends some of our questions back to us, and others not",
            self.partial_loops.clone(),
        );
    }
}

fn labels(server: SocketAddr, result: Exchange) -> ExchangeLabels {
    ExchangeLabels {
        server: server.to_string(),
        result,
    }
}
