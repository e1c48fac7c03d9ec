//! Istio's `meshNetworks`, as the ConfigMap `istio` has it. Source: istio.io/api `mesh/v1alpha1/network.proto`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::access::one_line;
use crate::address_range::AddressRange;
use crate::catalog::{Gateway, GatewayHost, Locality, MeshGateway, MeshNetwork, MeshNetworks};

#[derive(Debug, Default, Deserialize)]
struct Written {
    #[serde(default)]
    networks: Option<BTreeMap<String, WrittenNetwork>>,
}

#[derive(Debug, Deserialize)]
struct WrittenNetwork {
    #[serde(default)]
    endpoints: Option<Vec<WrittenEndpoint>>,
    #[serde(default)]
    gateways: Option<Vec<WrittenGateway>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenEndpoint {
    from_registry: Option<String>,
    from_cidr: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenGateway {
    address: Option<String>,
    registry_service_name: Option<String>,
    port: u32,
    locality: Option<String>,
}

/// Reads `meshNetworks`. Fields that Istio may add are not ours to refuse.
pub(super) fn parse(text: &str) -> Result<MeshNetworks, String> {
    let written: Written = match text.trim() {
        "" => Written::default(),
        text => serde_saphyr::from_str(text).map_err(|error| one_line(&error.to_string()))?,
    };
    let mut networks = BTreeMap::new();
    for (name, network) in written.networks.unwrap_or_default() {
        let endpoints = network.endpoints.unwrap_or_default();
        let gateways = network.gateways.unwrap_or_default();
        let gateways = gateways
            .iter()
            .filter_map(|written| gateway(written).transpose())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|problem| format!("the network \"{name}\": {problem}"))?;
        let ranges = endpoints.iter().filter_map(|of| of.from_cidr.as_deref());
        let ranges = ranges
            .map(|text| {
                let range = AddressRange::containing(text);
                range.ok_or_else(|| format!("\"{text}\" is no range of addresses"))
            })
            .collect::<Result<_, _>>()
            .map_err(|problem| format!("the network \"{name}\": {problem}"))?;
        let clusters = endpoints.into_iter().filter_map(|of| of.from_registry);
        let network = MeshNetwork {
            clusters: clusters.collect(),
            ranges,
            gateways,
        };
        networks.insert(name, network);
    }
    Ok(MeshNetworks(networks))
}

fn gateway(written: &WrittenGateway) -> Result<Option<MeshGateway>, String> {
    let port = u16::try_from(written.port).ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| format!("{} is no port", written.port))?;
    match (&written.address, &written.registry_service_name) {
        // What people write before a gateway has an address.
        (Some(address), _) if address == "0.0.0.0" => Ok(None),
        (Some(address), _) => {
            let host = GatewayHost::parse(address).ok_or_else(|| {
                format!("\"{address}\" is neither one host's address nor its name")
            })?;
            Ok(Some(MeshGateway::At(Gateway {
                network: None,
                host,
                port,
                locality: written.locality.as_deref().and_then(Locality::parse),
            })))
        }
        (None, Some(service)) => {
            let mut labels = service.split('.');
            let (Some(name), Some(namespace)) = (labels.next(), labels.next()) else {
                return Err(format!("\"{service}\" is no service's name"));
            };
            Ok(Some(MeshGateway::Service {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                port,
            }))
        }
        (None, None) => Err("a gateway has neither address nor registryServiceName".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_clusters_and_gateways() {
        let text = "networks:\n  west:\n    endpoints: [{fromRegistry: cluster-2}, {fromCidr: 10.0.0.0/8}]\n    \
                    gateways:\n    - {address: 203.0.113.7, port: 15443, locality: a/b}\n    \
                    - {registryServiceName: gw.istio-system.svc.cluster.local, port: 443}\n  \
                    later:\n    gateways: [{address: 0.0.0.0, port: 443}]\n";
        let found = parse(text).unwrap();
        assert_eq!(found.of_cluster("cluster-2"), Some("west"));
        assert_eq!(found.of_cluster("cluster-3"), None);
        assert_eq!(found.0["west"].gateways.len(), 2);
        let of = |text: &str| found.of_address(text.parse().unwrap());
        assert_eq!(of("10.1.2.3"), Some("west"));
        assert_eq!(of("11.1.2.3"), None);
        assert!(found.0["later"].gateways.is_empty());
        assert_eq!(parse("networks: {}").unwrap(), MeshNetworks::default());
        assert_eq!(parse("").unwrap(), MeshNetworks::default());
    }

    #[test]
    fn what_is_wrong_is_named_by_its_network() {
        let check = |gateway: &str, expected: &str| {
            let text = format!("networks: {{west: {{gateways: [{{{gateway}}}]}}}}");
            assert_eq!(parse(&text).unwrap_err(), expected);
        };
        check(
            "address: 10.0.0.700, port: 1",
            "the network \"west\": \"10.0.0.700\" is neither one host's address nor its name",
        );
        check(
            "address: 10.0.0.7, port: 0",
            "the network \"west\": 0 is no port",
        );
        let text = "networks: {west: {endpoints: [{fromCidr: 10.0.0.0/33}]}}";
        assert_eq!(
            parse(text).unwrap_err(),
            "the network \"west\": \"10.0.0.0/33\" is no range of addresses"
        );
        check(
            "port: 1",
            "the network \"west\": a gateway has neither address nor registryServiceName",
        );
    }
}
