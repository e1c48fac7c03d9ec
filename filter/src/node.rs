//! This proxy, from its node metadata.

use crossmesh_policy::Node;

use crate::encoding;
use crate::host::{self, Attribute, Failure};

/// Reads what a policy can ask of this proxy. What the metadata lacks is absent in the answer.
pub(crate) fn read() -> Result<Node, Failure> {
    Ok(Node {
        mesh: text(Attribute::NODE_MESH_ID)?,
        namespace: text(Attribute::NODE_NAMESPACE)?,
        workload: text(Attribute::NODE_WORKLOAD_NAME)?,
        labels: match host::attribute(Attribute::NODE_LABELS)? {
            None => Default::default(),
            Some(map) => encoding::pairs(&map)
                .and_then(|pairs| {
                    pairs
                        .into_iter()
                        .map(|(key, value)| Some((utf8(key)?, utf8(value)?)))
                        .collect()
                })
                .ok_or(MALFORMED)?,
        },
    })
}

const MALFORMED: Failure = Failure::malformed("proxy_get_property (node metadata)");

fn text(attribute: Attribute) -> Result<Option<String>, Failure> {
    match host::attribute(attribute)? {
        None => Ok(None),
        Some(value) => utf8(&value).ok_or(MALFORMED).map(Some),
    }
}

fn utf8(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// Whether this proxy is a gateway, by the form that Istio gives proxies' IDs: `router~<ip>~<name>~<domain>`. One without
/// an ID is none.
pub(crate) fn is_gateway() -> Result<bool, Failure> {
    let id = host::attribute(Attribute::NODE_ID)?;
    Ok(id.is_some_and(|id| id.starts_with(b"router~")))
}
