//! Services in a catalog's file, with their endpoints and ports.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Reading;
use crate::{
    catalog::{Endpoint, Kind, Port, Protocol, Service},
    name::is_kubernetes_label,
    yaml::{self, Written, line},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct WrittenService {
    pub(super) name: Written<String>,
    pub(super) namespace: Written<String>,
    addresses: Option<Written<Vec<Written<String>>>>,
    endpoints: Option<Written<Vec<WrittenEndpoint>>>,
    external_name: Option<Written<String>>,
    #[serde(default)]
    service_export: bool,
    #[serde(default = "yes")]
    ready: bool,
    #[serde(default, deserialize_with = "yaml::list")]
    ports: Vec<WrittenPort>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenEndpoint {
    address: Written<String>,
    hostname: Option<Written<String>>,
    #[serde(default = "yes")]
    ready: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct WrittenPort {
    name: Option<Written<String>>,
    port: Written<i64>,
    protocol: Option<Written<String>>,
}

pub(super) fn yes() -> bool {
    true
}

impl Reading<'_> {
    /// One service.
    pub(super) fn service(&mut self, field: &str, written: &WrittenService) -> Service {
        self.label(&written.name, &format!("{field}.name"));
        self.label(&written.namespace, &format!("{field}.namespace"));
        Service {
            name: written.name.value.as_str().into(),
            namespace: written.namespace.value.as_str().into(),
            kind: self.kind(field, written),
            ports: self.ports(field, &written.ports),
            exported: true,
            in_cluster_set: written.service_export,
            is_empty: !written.ready,
        }
    }

    fn kind(&mut self, field: &str, written: &WrittenService) -> Kind {
        match (
            &written.addresses,
            &written.endpoints,
            &written.external_name,
        ) {
            (Some(addresses), None, None) => {
                if addresses.value.is_empty() {
                    self.faults.add(
                        line(addresses),
                        format!("{field}.addresses"),
                        "the list is empty",
                        "write the cluster IPs, or endpoints for a headless service",
                    );
                }
                Kind::ClusterIp(self.addresses(addresses, &format!("{field}.addresses")))
            }
            (None, Some(endpoints), None) => {
                let all = endpoints.value.iter().enumerate();
                let all = all.filter_map(|(at, endpoint)| {
                    self.endpoint(&format!("{field}.endpoints[{at}]"), endpoint)
                });
                Kind::Headless(all.collect())
            }
            (None, None, Some(name)) => {
                if let Err(error) = crate::name::Name::parse(&name.value) {
                    self.faults.add(
                        line(name),
                        format!("{field}.externalName"),
                        format!("\"{}\" is no name: {error}", name.value),
                        "write a DNS name",
                    );
                }
                Kind::ExternalName
            }
            _ => {
                self.faults.add(
                    line(&written.name),
                    field,
                    format!(
                        "the service \"{}\" has none or several of addresses, endpoints and externalName",
                        written.name.value
                    ),
                    "write addresses for a cluster IP, endpoints for a headless service, or externalName",
                );
                Kind::ExternalName
            }
        }
    }

    fn endpoint(&mut self, field: &str, written: &WrittenEndpoint) -> Option<Endpoint> {
        if let Some(hostname) = &written.hostname {
            self.label(hostname, &format!("{field}.hostname"));
        }
        Some(Endpoint {
            address: self.address(&written.address, &format!("{field}.address"))?,
            hostname: written.hostname.as_ref().map(|name| name.value.clone()),
            ready: written.ready,
        })
    }

    /// The ports of one service or import.
    pub(super) fn ports(&mut self, field: &str, written: &[WrittenPort]) -> Vec<Port> {
        let mut names = BTreeSet::new();
        let mut numbers = BTreeSet::new();
        let all = written.iter().enumerate().filter_map(|(at, port)| {
            let field = format!("{field}.ports[{at}]");
            if let Some(name) = &port.name {
                self.port_name(name, &format!("{field}.name"));
                if !names.insert(&name.value) {
                    self.faults.add(
                        line(name),
                        format!("{field}.name"),
                        format!("\"{}\" already names another port", name.value),
                        "give each port a name of its own",
                    );
                }
            }
            let protocol = self.protocol(port, &field)?;
            let number = self.port_number(&port.port, &format!("{field}.port"))?;
            if !numbers.insert((number, protocol == Protocol::Udp)) {
                self.faults.add(
                    line(&port.port),
                    format!("{field}.port"),
                    format!("{number} is already listed"),
                    "remove one of them",
                );
            }
            Some(Port {
                name: port.name.as_ref().map(|name| name.value.clone()),
                number,
                protocol,
            })
        });
        all.collect()
    }

    /// The protocol that is written, else what the port's name begins with, else HTTP.
    fn protocol(&mut self, written: &WrittenPort, field: &str) -> Option<Protocol> {
        let Some(text) = &written.protocol else {
            let of_name = written
                .name
                .as_ref()
                .and_then(|name| Protocol::of_port_name(&name.value));
            return Some(of_name.unwrap_or(Protocol::Http));
        };
        let protocol = Protocol::parse(&text.value);
        if protocol.is_none() {
            self.faults.add(
                line(text),
                format!("{field}.protocol"),
                format!("\"{}\" is not known", text.value),
                "write one of http, http2, grpc, grpc-web, https, tls, tcp, mongo, mysql, redis, udp",
            );
        }
        protocol
    }

    /// Kubernetes limits a port's name so that `_name` is a label of SRV (RFC 6335 §5.1).
    fn port_name(&mut self, written: &Written<String>, field: &str) {
        if !is_kubernetes_label(&written.value) || written.value.len() > 15 {
            self.faults.add(
                line(written),
                field,
                format!("\"{}\" is no port name", written.value),
                "write at most 15 lower-case letters, digits and inner dashes",
            );
        }
    }
}
