//! What decides the answers for services that only peers have: the policy, local ranges, gateways and their probes.

use super::{MS, Reading};
use crate::{
    address_range::AddressRange,
    catalog::{Gateway, GatewayHost, Locality},
    config::{GatewayProbe, written},
    gateway::is_server_name,
    index::{RemoteAnswer, RemotePolicy, RemoteRule},
    name::is_kubernetes_label,
    sources::file::GATEWAY_PORT,
    yaml::{Written, line},
};

const ISTIO_NAMESPACE: &str = "istio-system";

impl Reading<'_> {
    pub(super) fn ranges(&mut self, written: &[Written<String>], field: &str) -> Vec<AddressRange> {
        let all = written.iter().enumerate().filter_map(|(at, text)| {
            let range = AddressRange::parse(&text.value);
            if range.is_none() {
                self.faults.add(
                    line(text),
                    format!("{field}[{at}]"),
                    format!("\"{}\" is no range of addresses", text.value),
                    "write ADDRESS/LENGTH with the range's first address, such as 10.96.0.0/12",
                );
            }
            range
        });
        all.collect()
    }

    pub(super) fn istio_namespace(&mut self, written: Option<&Written<String>>) -> String {
        let Some(written) = written else {
            return ISTIO_NAMESPACE.to_owned();
        };
        self.namespace(written, "istioNamespace");
        written.value.clone()
    }

    pub(super) fn namespace(&mut self, written: &Written<String>, field: &str) {
        if !is_kubernetes_label(&written.value) {
            self.faults.add(
                line(written),
                field,
                format!("\"{}\" is no namespace", written.value),
                "write a namespace's name",
            );
        }
    }

    /// A probe must end well within the second that an unhealthy gateway may stay after its last failure began.
    pub(super) fn gateway_probe(
        &mut self,
        written: Option<&written::GatewayProbe>,
        by_default: bool,
    ) -> Option<GatewayProbe> {
        let nothing = written::GatewayProbe {
            enabled: Some(by_default),
            interval: None,
            timeout: None,
            server_name: None,
            failures: None,
            successes: None,
        };
        let written = written.unwrap_or(&nothing);
        let interval = self.duration(
            written.interval.as_ref(),
            "gatewayProbe.interval",
            MS(2_000),
            MS(50)..=MS(60_000),
        );
        let server_name = written.server_name.as_ref();
        if let Some(name) = server_name.filter(|name| !is_server_name(&name.value)) {
            self.faults.add(
                line(name),
                "gatewayProbe.serverName",
                format!("\"{}\" is no name that TLS can ask for", name.value),
                "write a service's SNI, such as outbound_.80_._.NAME.NAMESPACE.svc.cluster.local",
            );
        }
        let probe = GatewayProbe {
            server_name: server_name.map(|name| name.value.as_str().into()),
            timeout: self.duration(
                written.timeout.as_ref(),
                "gatewayProbe.timeout",
                MS(800).min(interval),
                MS(10)..=MS(900).min(interval),
            ),
            interval,
            failures: self.number(
                written.failures.as_ref(),
                "gatewayProbe.failures",
                3,
                1..=100,
            ),
            successes: self.number(
                written.successes.as_ref(),
                "gatewayProbe.successes",
                2,
                1..=100,
            ),
        };
        written.enabled.unwrap_or(true).then_some(probe)
    }

    pub(super) fn gateways(
        &mut self,
        written: &Written<Vec<written::Gateway>>,
        field: &str,
    ) -> Vec<Gateway> {
        if written.value.is_empty() {
            self.faults.add(
                line(written),
                field,
                "the list is empty",
                "write at least one gateway, or leave the field out to have them found",
            );
        }
        let all = written
            .value
            .iter()
            .enumerate()
            .filter_map(|(at, gateway)| {
                let host = GatewayHost::parse(&gateway.address.value);
                if host.is_none() {
                    self.faults.add(
                        line(&gateway.address),
                        format!("{field}[{at}].address"),
                        format!(
                            "\"{}\" is neither one host's address nor its name",
                            gateway.address.value
                        ),
                        "write an IPv4 or IPv6 address, or a name with a dot in it",
                    );
                }
                let port = self.number(
                    gateway.port.as_ref(),
                    &format!("{field}[{at}].port"),
                    GATEWAY_PORT,
                    1..=65_535,
                );
                let locality = self.locality(
                    gateway.region.as_ref(),
                    gateway.zone.as_ref(),
                    &format!("{field}[{at}]"),
                );
                Some(Gateway {
                    network: None,
                    host: host?,
                    port,
                    locality,
                })
            });
        all.collect()
    }

    pub(super) fn locality(
        &mut self,
        region: Option<&Written<String>>,
        zone: Option<&Written<String>>,
        field: &str,
    ) -> Option<Locality> {
        let text = |written: &'_ Written<String>| written.value.clone();
        let (region_name, zone_name) = (region.map(text), zone.map(text));
        let found = Locality::written(region_name.as_deref(), zone_name.as_deref());
        if found.is_none()
            && let Some(part) = region.or(zone)
        {
            self.faults.add(
                line(part),
                format!("{field}.region"),
                "a zone is in a region, and neither has an empty name",
                "write region: NAME, and zone: NAME with it if it is known",
            );
        }
        found
    }

    pub(super) fn remote(&mut self, written: &written::Remote) -> RemotePolicy {
        let mut policy = RemotePolicy {
            everywhere: self.rule(
                written.answer,
                written.failover,
                written.failover_when_empty.as_ref(),
                "remote",
            ),
            only_exported: written.services == written::Which::Labelled,
            labelled_only: written.namespaces == written::Which::Labelled,
            ..RemotePolicy::default()
        };
        for (at, entry) in written.rules.iter().enumerate() {
            let field = format!("remote.rules[{at}]");
            let of = &entry.value;
            let when_empty = of.failover_when_empty.as_ref();
            let found = self.rule(of.answer, of.failover, when_empty, &field);
            if found == RemoteRule::default() {
                self.faults.add(
                    line(entry),
                    field.as_str(),
                    "says nothing",
                    "add answer, failover or failoverWhenEmpty, or remove the rule",
                );
            }
            let before = match (&entry.value.namespace, &entry.value.service) {
                (Some(namespace), None) => {
                    self.namespace(namespace, &format!("{field}.namespace"));
                    policy.namespaces.insert(namespace.value.clone(), found)
                }
                (None, Some(service)) => {
                    let Some(key) = self.service(service, &format!("{field}.service")) else {
                        continue;
                    };
                    policy.services.insert(key, found)
                }
                _ => {
                    self.faults.add(
                        line(entry),
                        field.as_str(),
                        "exactly one of namespace and service is needed",
                        "write namespace: NAME or service: NAMESPACE/NAME",
                    );
                    continue;
                }
            };
            if before.is_some() {
                self.faults.add(
                    line(entry),
                    field,
                    "an earlier rule is for the same",
                    "make one rule of the two",
                );
            }
        }
        policy
    }

    /// Reads `NAMESPACE/NAME`.
    pub(super) fn service(
        &mut self,
        written: &Written<String>,
        field: &str,
    ) -> Option<(String, String)> {
        match written.value.split_once('/') {
            Some((namespace, name))
                if is_kubernetes_label(namespace) && is_kubernetes_label(name) =>
            {
                Some((namespace.to_owned(), name.to_owned()))
            }
            _ => {
                self.faults.add(
                    line(written),
                    field,
                    format!("\"{}\" is no service", written.value),
                    "write NAMESPACE/NAME",
                );
                None
            }
        }
    }

    fn rule(
        &mut self,
        answer: Option<written::Answer>,
        failover: Option<bool>,
        when_empty: Option<&Written<bool>>,
        field: &str,
    ) -> RemoteRule {
        if let (Some(false), Some(when_empty)) = (failover, when_empty.filter(|of| of.value)) {
            self.faults.add(
                line(when_empty),
                format!("{field}.failoverWhenEmpty"),
                "true where failover is false: what is local stays local",
                "remove one of the two",
            );
        }
        RemoteRule {
            answer: answer.map(|answer| match answer {
                written::Answer::Auto => RemoteAnswer::Auto,
                written::Answer::Gateway => RemoteAnswer::Gateway,
                written::Answer::ClusterIp => RemoteAnswer::ClusterIp,
                written::Answer::NoData => RemoteAnswer::NoData,
                written::Answer::Upstream => RemoteAnswer::Upstream,
            }),
            failover,
            failover_when_empty: when_empty.map(|of| of.value),
        }
    }
}
