//! Where the agent's own node is, by its labels.

use super::{
    objects::Node,
    watch::{Resource, encoded},
};
use crate::catalog::Locality;

/// The node of this name.
pub(super) fn resource(name: &str) -> Resource {
    Resource {
        name: "the agent's own node",
        path: "/api/v1/nodes".to_owned(),
        selector: format!("&fieldSelector=metadata.name%3D{}", encoded(name)),
        missing: None,
    }
}

/// Where a node is, if anybody has said so.
pub(super) fn locality(node: &Node) -> Option<Locality> {
    Locality::of_labels(&node.metadata.labels)
}
