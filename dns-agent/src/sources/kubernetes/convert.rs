//! From Kubernetes' objects to what a catalog keeps of them.

mod exposed;

use std::{net::IpAddr, sync::Arc};

use super::objects;
use crate::{
    catalog::{Endpoint, Kind, Port, Protocol, Service},
    name::is_kubernetes_label,
};
pub(super) use exposed::{Exposed, gateways, is_object_only_for_hbone, node_address};

/// What is kept of a Service.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// Without its endpoints, if it is headless.
    pub(super) service: Arc<Service>,
    pub(super) headless: bool,
    /// How it can be reached from outside the cluster, if it can.
    pub(super) exposed: Option<Box<Exposed>>,
    /// Whether it is a gateway that serves ambient meshes alone.
    pub(super) only_for_hbone: bool,
}

/// The kind of a service follows its cluster IPs, as in the Kubernetes DNS specification (1.1.0, §2.3 to §2.5).
/// `only_labelled`: other clusters may have it only if a label says so.
pub(super) fn service(object: &objects::Service, only_labelled: bool) -> Result<Kept, String> {
    let objects::Service { metadata, spec, .. } = object;
    label(&metadata.name)?;
    label(&metadata.namespace)?;
    let mut addresses = Vec::new();
    let mut headless = false;
    let written = match &spec.cluster_ips[..] {
        [] => spec.cluster_ip.as_slice(),
        all => all,
    };
    for text in written.iter().filter(|text| !text.is_empty()) {
        match text.as_str() {
            "None" => headless = true,
            text => addresses.push(address(text)?),
        }
    }
    let kind = match spec.r#type.as_deref() {
        Some("ExternalName") => Kind::ExternalName,
        _ if headless => Kind::Headless(Vec::new()),
        // Not given addresses yet: only the cluster's own DNS may speak of it.
        _ if addresses.is_empty() => Kind::ExternalName,
        _ => Kind::ClusterIp(addresses),
    };
    Ok(Kept {
        headless: matches!(kind, Kind::Headless(_)),
        exposed: exposed::of_service(object).map(Box::new),
        only_for_hbone: exposed::is_only_for_hbone(object),
        service: Arc::new(Service {
            name: metadata.name.as_str().into(),
            namespace: metadata.namespace.as_str().into(),
            kind,
            ports: ports(&spec.ports)?,
            exported: is_exported(metadata, only_labelled),
            // Another object says so: see `cluster_set`.
            in_cluster_set: false,
            is_empty: false,
        }),
    })
}

/// The endpoints of an EndpointSlice, whose addresses may be names in other slices.
pub(super) fn endpoints(slice: &objects::EndpointSlice) -> Result<Vec<Endpoint>, String> {
    let mut found = Vec::new();
    if slice.address_type == "FQDN" {
        return Ok(found);
    }
    for endpoint in &slice.endpoints {
        let hostname = endpoint.hostname.as_ref().filter(|name| !name.is_empty());
        if let Some(hostname) = hostname {
            label(hostname)?;
        }
        for text in &endpoint.addresses {
            found.push(Endpoint {
                address: address(text)?,
                hostname: hostname.cloned(),
                ready: endpoint.conditions.ready.unwrap_or(true),
            });
        }
    }
    Ok(found)
}

/// An API server checks labels; whoever answers in its place may not.
pub(super) fn label(text: &str) -> Result<(), String> {
    if is_kubernetes_label(text) {
        return Ok(());
    }
    Err(format!(
        "the reply is not understood: \"{}\" is no label",
        text.escape_debug()
    ))
}

pub(super) fn ports(written: &[objects::ServicePort]) -> Result<Vec<Port>, String> {
    let ports = written.iter();
    ports
        .filter_map(|written| port(written).transpose())
        .collect()
}

/// Undeclared counts as TCP: a sidecar that has to sniff the protocol listens on the service's address only. A port over
/// SCTP has no protocol here, and so no location.
fn port(written: &objects::ServicePort) -> Result<Option<Port>, String> {
    let name = written.name.as_deref().filter(|name| !name.is_empty());
    if let Some(name) = name {
        label(name)?;
    }
    let protocol = match written.protocol.as_deref() {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => return Ok(None),
        // Istio reads an appProtocol as it reads a name, and instead of it.
        _ => written
            .app_protocol
            .as_deref()
            .or(name)
            .and_then(Protocol::of_port_name)
            .unwrap_or(Protocol::Tcp),
    };
    Ok((written.port > 0).then(|| Port {
        name: name.map(str::to_owned),
        number: written.port,
        protocol,
    }))
}

/// What Istio shows to some namespaces only is not given to other clusters: the agent cannot tell its clients'
/// namespaces apart.
///
/// Of the labels our own goes before that of ambient meshes.
fn is_exported(metadata: &objects::Metadata, only_labelled: bool) -> bool {
    let shown = metadata
        .annotations
        .export_to
        .as_deref()
        .is_none_or(|list| list.split(',').any(|namespace| namespace.trim() == "*"));
    let labels = &metadata.labels;
    let said = labels.export.as_deref().or(labels.global.as_deref());
    shown
        && if only_labelled {
            said == Some("true")
        } else {
            said != Some("false")
        }
}

/// What the label of a namespace says of remote answers. Anything but `true` keeps them away: whoever writes the label wants
/// a say in it.
pub(super) fn remote(metadata: &objects::Metadata) -> Option<bool> {
    metadata.labels.remote.as_deref().map(|said| said == "true")
}

pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "the reply is not understood: \"{}\" is no address",
            text.escape_debug()
        )
    })
}

#[cfg(test)]
mod tests;
