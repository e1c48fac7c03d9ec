//! ServiceImports, as they are kept.

use std::{collections::BTreeMap, sync::Arc};

use crossmesh_proto::snapshot::v1::{self as kept, service_import::Imported as K};

use super::{
    decode::{label, read_address, read_endpoint, read_port},
    encode::{bytes, endpoint, port},
};
use crate::catalog::{Imported, ImportedEndpoint, ServiceImport};

pub(super) fn encode(import: &ServiceImport) -> kept::ServiceImport {
    let ServiceImport {
        name,
        namespace: _,
        imported,
        ports,
    } = import;
    kept::ServiceImport {
        name: name.to_string(),
        imported: Some(match imported {
            Imported::ClusterSetIp(addresses) => K::ClusterSetIp(kept::ClusterIp {
                addresses: addresses.iter().map(bytes).collect(),
            }),
            Imported::Headless(endpoints) => K::Headless(kept::ImportedHeadless {
                endpoints: endpoints.iter().map(imported_endpoint).collect(),
            }),
        }),
        ports: ports.iter().map(port).collect(),
    }
}

fn imported_endpoint(imported: &ImportedEndpoint) -> kept::ImportedEndpoint {
    let ImportedEndpoint {
        cluster,
        endpoint: of,
    } = imported;
    kept::ImportedEndpoint {
        cluster: cluster.clone(),
        endpoint: Some(endpoint(of)),
    }
}

/// The imports of a namespace.
pub(super) fn decode(
    imports: Vec<kept::ServiceImport>,
    namespace: &Arc<str>,
) -> Result<BTreeMap<Arc<str>, Arc<ServiceImport>>, String> {
    let imports = imports.into_iter();
    imports
        .map(|import| {
            let import = read_import(import, namespace)?;
            Ok((Arc::clone(&import.name), Arc::new(import)))
        })
        .collect()
}

fn read_import(import: kept::ServiceImport, namespace: &Arc<str>) -> Result<ServiceImport, String> {
    let kept::ServiceImport {
        name,
        imported,
        ports,
    } = import;
    let imported = match imported {
        Some(K::ClusterSetIp(of)) => Imported::ClusterSetIp(
            of.addresses
                .iter()
                .map(|bytes| read_address(bytes))
                .collect::<Result<_, _>>()?,
        ),
        Some(K::Headless(of)) => Imported::Headless(
            of.endpoints
                .into_iter()
                .map(read_imported_endpoint)
                .collect::<Result<_, _>>()?,
        ),
        None => return Err(format!("import {namespace}/{name} stands for nothing")),
    };
    Ok(ServiceImport {
        name: label(&name)?.into(),
        namespace: Arc::clone(namespace),
        imported,
        ports: ports.into_iter().map(read_port).collect::<Result<_, _>>()?,
    })
}

fn read_imported_endpoint(imported: kept::ImportedEndpoint) -> Result<ImportedEndpoint, String> {
    let endpoint = imported.endpoint.ok_or("an endpoint is nowhere")?;
    Ok(ImportedEndpoint {
        cluster: match imported.cluster {
            Some(cluster) => Some(label(&cluster)?.to_owned()),
            None => None,
        },
        endpoint: read_endpoint(endpoint)?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::catalog::{Endpoint, Namespace};

    /// A namespace with every kind of import.
    pub(in crate::snapshot) fn namespace() -> Namespace {
        let import = |name: &str, imported| {
            let import = ServiceImport {
                name: name.into(),
                namespace: "empty".into(),
                imported,
                ports: Vec::new(),
            };
            (Arc::clone(&import.name), Arc::new(import))
        };
        let endpoint = ImportedEndpoint {
            cluster: Some("cluster-2".to_owned()),
            endpoint: Endpoint {
                address: [10, 2, 5, 1].into(),
                hostname: None,
                ready: true,
            },
        };
        let imports = [
            import("vip", Imported::ClusterSetIp(vec![[10, 9, 0, 1].into()])),
            import("pods", Imported::Headless(vec![endpoint])),
        ];
        Namespace::default()
            .with_remote(Some(false))
            .with_imports(imports.into())
    }
}
