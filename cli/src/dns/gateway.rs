//! A gateway of a peer, and what an agent knows of it.

use std::net::SocketAddr;

use crossmesh_proto::admin::v1 as wire;
use serde::Serialize;

use super::columns::{age, printable};

/// One gateway. As JSON, a public contract: fields are added, never renamed.
#[derive(Debug, Serialize)]
pub(super) struct Gateway {
    /// An address or a name.
    pub(super) host: String,
    pub(super) port: u32,
    pub(super) addresses: Vec<Address>,
    /// Why the last look-up of its name failed.
    pub(super) lookup_problem: Option<String>,
}

/// One address of a gateway.
#[derive(Debug, Serialize)]
pub(super) struct Address {
    pub(super) address: SocketAddr,
    /// `healthy`, `unhealthy` or `not-probed`.
    pub(super) health: String,
    /// Whether the last probe reached it.
    pub(super) reached: Option<bool>,
    pub(super) probed_milliseconds_ago: Option<u64>,
}

/// The header of [`Gateway::rows`].
pub(super) const HEADER: [&str; 4] = ["GATEWAY", "OF", "HEALTH", "LAST PROBE"];

impl Gateway {
    /// One row for each address, or one for why there is none.
    pub(super) fn rows(&self, cluster: &str) -> Vec<[String; 4]> {
        let host = printable(&self.host);
        let mut rows: Vec<[String; 4]> = self
            .addresses
            .iter()
            .map(|at| {
                let place = if at.address.ip().to_string() == host {
                    at.address.to_string()
                } else {
                    format!("{} ({host})", at.address)
                };
                let probe = match (at.reached, at.probed_milliseconds_ago) {
                    (Some(true), Some(time)) => format!("reached it {} ago", age(time)),
                    (Some(false), Some(time)) => format!("did not reach it {} ago", age(time)),
                    _ => "-".to_owned(),
                };
                [place, printable(cluster), printable(&at.health), probe]
            })
            .collect();
        if let Some(problem) = &self.lookup_problem {
            let why = format!("the name cannot be looked up: {}", printable(problem));
            rows.push([
                format!("{host}:{}", self.port),
                printable(cluster),
                "-".to_owned(),
                why,
            ]);
        } else if rows.is_empty() {
            let why = "the name has no address".to_owned();
            rows.push([
                format!("{host}:{}", self.port),
                printable(cluster),
                "-".to_owned(),
                why,
            ]);
        }
        rows
    }
}

impl TryFrom<wire::Gateway> for Gateway {
    type Error = String;

    fn try_from(gateway: wire::Gateway) -> Result<Self, String> {
        let wire::Gateway {
            host,
            port,
            addresses,
            lookup_problem,
        } = gateway;
        let address = |address: wire::GatewayAddress| {
            let wire::GatewayAddress {
                address,
                health,
                reached,
                probed_milliseconds_ago,
            } = address;
            Ok(Address {
                address: address
                    .parse()
                    .map_err(|_| format!("{address:?} stands where a gateway's address must"))?,
                health,
                reached,
                probed_milliseconds_ago,
            })
        };
        Ok(Self {
            host,
            port,
            addresses: addresses
                .into_iter()
                .map(address)
                .collect::<Result<_, String>>()?,
            lookup_problem: (!lookup_problem.is_empty()).then_some(lookup_problem),
        })
    }
}
