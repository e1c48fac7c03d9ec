//! A catalog in a YAML file, schema `crossmesh-catalog/v1`.

mod imports;
mod namespaces;
mod services;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
};

use serde::Deserialize;

use crate::{
    catalog::{Catalog, Gateway, GatewayHost, Locality, Service},
    fault::{Collector, Faults},
    name::is_kubernetes_label,
    yaml::{self, Written, line},
};
use services::WrittenService;

/// The schema that a catalog names in its first field.
pub const SCHEMA: &str = "crossmesh-catalog/v1";
/// Where an east-west gateway listens unless its entry says otherwise: Istio's port for mTLS passthrough.
pub const GATEWAY_PORT: u16 = 15443;

/// What the configuration says of a catalog's cluster; the catalog must agree.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'e> {
    /// The cluster's identifier.
    pub cluster: &'e str,
    /// The mesh it belongs to.
    pub mesh: &'e str,
    /// The network it belongs to, where the configuration says so.
    pub network: Option<&'e str>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenCatalog {
    schema: Written<String>,
    cluster: Written<String>,
    mesh: Option<Written<String>>,
    network: Option<Written<String>>,
    #[serde(deserialize_with = "yaml::list")]
    services: Vec<WrittenService>,
    #[serde(default, deserialize_with = "yaml::given")]
    namespaces: Option<Vec<namespaces::Written>>,
    #[serde(default, deserialize_with = "yaml::list")]
    service_imports: Vec<imports::Written>,
    #[serde(default, deserialize_with = "yaml::list")]
    gateways: Vec<WrittenGateway>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenGateway {
    address: Written<String>,
    port: Option<Written<i64>>,
    region: Option<Written<String>>,
    zone: Option<Written<String>>,
}

/// Reads a catalog. All that is wrong with its values is told at once.
pub fn parse(file: &Path, text: &str, expected: Expected<'_>) -> Result<Catalog, Faults> {
    let written: WrittenCatalog = yaml::read(file, text)?;
    let mut reading = Reading {
        faults: Collector::new(file),
    };
    let catalog = reading.catalog(&written, expected);
    reading.faults.finish(catalog)
}

struct Reading<'f> {
    faults: Collector<'f>,
}

impl Reading<'_> {
    fn catalog(&mut self, written: &WrittenCatalog, expected: Expected<'_>) -> Catalog {
        self.must_be(&written.schema, "schema", SCHEMA, "this release reads");
        let says = "the configuration says";
        self.must_be(&written.cluster, "cluster", expected.cluster, says);
        if let Some(mesh) = &written.mesh {
            self.must_be(mesh, "mesh", expected.mesh, says);
        }
        if let (Some(network), Some(expected)) = (&written.network, expected.network) {
            self.must_be(network, "network", expected, says);
        }
        if let Some(network) = &written.network
            && network.value.is_empty()
        {
            self.faults.add(
                line(network),
                "network",
                "\"\" is no network",
                "name the network, or leave the field out for a network of its own",
            );
        }
        let mut seen = BTreeMap::new();
        let services = written.services.iter().enumerate();
        let services: Vec<Service> = services
            .map(|(at, service)| {
                let field = format!("services[{at}]");
                let key = (&service.namespace.value, &service.name.value);
                if let Some(first) = seen.insert(key, line(&service.name)) {
                    self.faults.add(
                        line(&service.name),
                        format!("{field}.name"),
                        format!("the service {}/{} is already on line {first}", key.0, key.1),
                        "remove one of them",
                    );
                }
                self.service(&field, service)
            })
            .collect();
        let mut catalog = Catalog::of(services);
        if let Some(namespaces) = &written.namespaces {
            self.namespaces(namespaces, &mut catalog);
        }
        self.imports(&written.service_imports, &mut catalog);
        let mut seen = BTreeSet::new();
        let gateways = written.gateways.iter().enumerate();
        let gateways = gateways
            .filter_map(|(at, gateway)| {
                let field = format!("gateways[{at}]");
                let read = self.gateway(&field, gateway)?;
                if !seen.insert(gateway.address.value.as_str()) {
                    self.twice(&gateway.address, format!("{field}.address"));
                }
                Some(read)
            })
            .collect();
        Catalog {
            network: written.network.as_ref().map(|name| name.value.clone()),
            gateways,
            ..catalog
        }
    }

    fn must_be(&mut self, found: &Written<String>, field: &str, expected: &str, who: &str) {
        if found.value != expected {
            self.faults.add(
                line(found),
                field,
                format!("\"{}\" where {who} \"{expected}\"", found.value),
                "make the two agree",
            );
        }
    }

    fn addresses(&mut self, written: &Written<Vec<Written<String>>>, field: &str) -> Vec<IpAddr> {
        let mut seen = BTreeSet::new();
        let all = written.value.iter().enumerate();
        let all = all.filter_map(|(at, written)| {
            let field = format!("{field}[{at}]");
            let address = self.address(written, &field)?;
            if !seen.insert(address) {
                self.twice(written, field);
            }
            Some(address)
        });
        all.collect()
    }

    fn gateway(&mut self, field: &str, written: &WrittenGateway) -> Option<Gateway> {
        let address = self.address(&written.address, &format!("{field}.address"))?;
        let port = match &written.port {
            Some(port) => self.port_number(port, &format!("{field}.port"))?,
            None => GATEWAY_PORT,
        };
        let text = |written: &Option<Written<String>>| {
            written.as_ref().map(|written| written.value.clone())
        };
        let (region, zone) = (text(&written.region), text(&written.zone));
        let locality = Locality::written(region.as_deref(), zone.as_deref());
        if locality.is_none()
            && let Some(part) = written.region.as_ref().or(written.zone.as_ref())
        {
            self.faults.add(
                line(part),
                format!("{field}.region"),
                "a zone is in a region, and neither has an empty name",
                "write region: NAME, and zone: NAME with it if it is known",
            );
        }
        Some(Gateway {
            network: None,
            host: GatewayHost::Address(address),
            port,
            locality,
        })
    }

    fn address(&mut self, written: &Written<String>, field: &str) -> Option<IpAddr> {
        let address: Option<IpAddr> = written.value.parse().ok();
        let problem = match address {
            None => "is no IP address",
            Some(address) if address.is_unspecified() || address.is_multicast() => {
                "is not the address of one host"
            }
            Some(address) => return Some(address),
        };
        self.faults.add(
            line(written),
            field,
            format!("\"{}\" {problem}", written.value),
            "write an IPv4 or IPv6 address; names are not looked up",
        );
        None
    }

    fn twice(&mut self, written: &Written<String>, field: String) {
        self.faults.add(
            line(written),
            field,
            format!("\"{}\" is listed twice", written.value),
            "remove one of them",
        );
    }

    fn port_number(&mut self, written: &Written<i64>, field: &str) -> Option<u16> {
        let number = u16::try_from(written.value).ok().filter(|port| *port > 0);
        if number.is_none() {
            self.faults.add(
                line(written),
                field,
                format!("{} is no port", written.value),
                "write a number from 1 to 65535",
            );
        }
        number
    }

    fn label(&mut self, written: &Written<String>, field: &str) {
        if !is_kubernetes_label(&written.value) {
            self.faults.add(
                line(written),
                field,
                format!("\"{}\" is no label", written.value),
                "write at most 63 lower-case letters, digits and inner dashes",
            );
        }
    }
}
