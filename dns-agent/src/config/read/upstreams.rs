//! The servers for other names.

use std::{collections::BTreeSet, net::SocketAddr};

use super::{MS, Reading};
use crate::{
    config::{Servers, Upstreams, written},
    yaml::{Written, line},
};

const DNS_PORT: u16 = 53;

impl Reading<'_> {
    pub(super) fn upstreams(
        &mut self,
        written: &Written<written::Upstreams>,
        ourselves: &[SocketAddr],
    ) -> Option<Upstreams> {
        let upstreams = &written.value;
        let general = match (&upstreams.servers, &upstreams.resolv_conf) {
            (Some(servers), None) => Some(Servers::Given(self.servers(
                servers,
                "upstreams.servers",
                ourselves,
            ))),
            (None, Some(file)) => {
                self.not_empty(file, "upstreams.resolvConf");
                Some(Servers::ResolvConf(self.path(&file.value)))
            }
            _ => {
                self.faults.add(
                    line(written),
                    "upstreams",
                    "exactly one of servers and resolvConf is needed",
                    "write servers: [ADDRESS:PORT, …] or resolvConf: /etc/resolv.conf",
                );
                None
            }
        };
        let cluster_zone = upstreams
            .cluster_zone
            .as_ref()
            .map(|servers| self.servers(servers, "upstreams.clusterZone", ourselves));
        let deadline = self.duration(
            upstreams.deadline.as_ref(),
            "upstreams.deadline",
            MS(4_500),
            // Most resolvers give up after 5 s; whatever comes later is for nobody.
            MS(50)..=MS(4_900),
        );
        let timeout = self.duration(
            upstreams.timeout.as_ref(),
            "upstreams.timeout",
            MS(1_500).min(deadline),
            MS(10)..=deadline,
        );
        let max_concurrent = self.number(
            upstreams.max_concurrent.as_ref(),
            "upstreams.maxConcurrent",
            512,
            1..=65_536,
        );
        Some(Upstreams {
            general: general?,
            cluster_zone: cluster_zone.unwrap_or_default(),
            timeout,
            deadline,
            max_concurrent,
        })
    }

    fn servers(
        &mut self,
        written: &Written<Vec<Written<String>>>,
        field: &str,
        ourselves: &[SocketAddr],
    ) -> Vec<SocketAddr> {
        if written.value.is_empty() {
            self.faults.add(
                line(written),
                field,
                "the list is empty",
                "write at least one server",
            );
        }
        let mut seen = BTreeSet::new();
        let all = written.value.iter().enumerate();
        all.filter_map(|(at, text)| {
            let field = format!("{field}[{at}]");
            let server = self.socket_address(text, &field, Some(DNS_PORT))?;
            let problem = if server.ip().is_unspecified() || server.port() == 0 {
                "is no server's address"
            } else if ourselves.contains(&server) {
                "is this agent, which would ask itself for ever"
            } else if !seen.insert(server) {
                "is listed twice"
            } else {
                return Some(server);
            };
            self.faults.add(
                line(text),
                field,
                format!("\"{}\" {problem}", text.value),
                "write another server's address and port",
            );
            None
        })
        .collect()
    }
}
