//! Why a name of the cluster set is answered as it is, as [`Index::why`] tells it of names of the cluster.

use std::sync::Arc;

use super::{
    Cluster, Fate, Index, Scope, Why, context::Peer, inputs::inputs_of, remote::find, rules::Rules,
    why::counts,
};
use crate::catalog::{Class, Kind, Service};

impl Index {
    /// Why a service of the cluster set is answered as it is.
    pub fn why_in_set(&self, namespace: &str, name: &str) -> Why {
        let rules = Rules::new(&self.settings, &self.context);
        let inputs = inputs_of(&self.clusters, namespace);
        let exporters = rules.exporters_of(name, &inputs);
        let import = rules.here(&inputs);
        let import = import.and_then(|here| here.imports().get(name)).cloned();
        let decides = import
            .as_ref()
            .is_some_and(|of| of.imported.says_something());
        let reached = rules.reach(&inputs);
        let asked = rules.asked(namespace, name);
        let local = exporters
            .iter()
            .find(|(at, _)| Some(*at) == self.context.local)
            .map(|(_, service)| &***service);
        let of_peers: Vec<(usize, &Arc<Service>)> = exporters
            .iter()
            .copied()
            .filter(|(at, _)| Some(*at) != self.context.local)
            .collect();
        let remotes = rules.remotes(&of_peers);
        // What all give together: of gateways only the nearest.
        let given = find(&remotes, &asked).addresses;
        let class = Class::of(of_peers.iter().map(|(_, service)| &***service));
        let fate = |at: usize, _: &Cluster, peer: &Peer, service: &Arc<Service>| {
            if let Some(why) = rules.left_out_of_set(peer, service, reached) {
                return Fate::LeftOut(why);
            }
            let part = of_peers.iter().position(|(counted, _)| *counted == at);
            match (part.and_then(|part| remotes.get(part)), local) {
                _ if self.context.local.is_none() => Fate::LocalUnread,
                _ if decides => Fate::BehindImport,
                (None, _) => Fate::Local,
                // Beside local endpoints only endpoints count.
                (Some(remote), Some(local)) => match (&local.kind, &service.kind) {
                    (Kind::Headless(_), Kind::Headless(_)) => counts(remote, class, &asked, &[]),
                    _ => Fate::Behind,
                },
                (Some(remote), None) => counts(remote, class, &asked, &given),
            }
        };
        Why {
            views: self.views(name, &inputs, fate),
            class: (!of_peers.is_empty()).then_some(class),
            answer: self.settings.remote.answer(namespace, name),
            failover: (true, Scope::Default),
            failover_when_empty: (false, Scope::Default),
            stays: None,
            import,
        }
    }
}
