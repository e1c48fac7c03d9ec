//! Whether a denial by the cluster's DNS is doubted where that depends on another name of its: that of the namespace.

use super::Engine;
use crate::{
    answer::{Doubt, Forward, Servers},
    cache::{Kept, Key},
    name::is_under,
    wire::{Query, Rcode, rtype},
};

/// Whether it takes another question to know what to do with a reply.
pub(super) fn depend(forward: Forward, kept: &Kept) -> bool {
    let denied = kept
        .as_ref()
        .is_ok_and(|message| message.rcode() == Rcode::NxDomain as u16);
    denied && forward.doubt == Doubt::IfNamespaceExists
}

impl Engine {
    /// Says for certain whether a denial is doubted. Before the local cluster was read nobody but its own DNS knows its
    /// namespaces. Where it denies the namespace too, as it does for all that search lists make of outside names, no peer
    /// is needed for the name. It has to be a denial by the cluster's zone: other servers deny that as a whole.
    pub(super) async fn settle(&self, forward: Forward, query: &Query, kept: &Kept) -> Forward {
        if !depend(forward, kept) {
            return forward;
        }
        let index = self.index.load_full();
        let Some(namespace) = index.namespace_of(query.name.as_wire()) else {
            return forward;
        };
        let key = Key::own(&namespace, rtype::A);
        let said = self.upstream.ask(key, Servers::Cluster).await;
        let zone = index.settings().cluster_domain.as_wire();
        let denied_by = said.ok().and_then(|said| said.denied_by());
        let doubt = match denied_by {
            Some(by) if is_under(&by, zone) => Doubt::None,
            _ => Doubt::Some,
        };
        Forward { doubt, ..forward }
    }
}
