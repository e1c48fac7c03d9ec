//! From catalogs to names. Whatever is built from the same things as before is taken from the index before.

use std::{collections::HashMap, sync::Arc};

use super::{
    Context, Doubts, Index, Inputs, Known, Namespace, OnceLocal, Part, Parts, Settings,
    cluster_set::Exporter,
    inputs::{changed, inputs, same},
    once_local::{forget_surplus, none_pending},
    part::Builder,
    rules::Rules,
    zone,
};
use crate::{
    catalog::{Cluster, Service, ServiceImport},
    name::Name,
};

pub(super) fn index(
    settings: Arc<Settings>,
    known: Known,
    serial: u32,
    before: Option<&Index>,
) -> Index {
    let below = |domain: &Name, label: &str| domain.child(label).unwrap_or_else(|_| domain.clone());
    let domain = &settings.cluster_domain;
    let service_domain = below(domain, "svc");
    let set_domain = below(&settings.cluster_set_domain, "svc");
    let other_domains: Box<[Name]> = settings
        .other_domains
        .iter()
        .map(|domain| below(domain, "svc"))
        .collect();
    let context = Context::of(&settings, &known);
    let local = context.local.and_then(|at| known.clusters.get(at));
    let local = local.and_then(|cluster| cluster.catalog.as_deref());
    let doubts = |counts: fn(&Cluster) -> bool| Doubts::of(&known, local, &settings.remote, counts);
    let (doubts, set_doubts) = (doubts(|peer| peer.domain.is_none()), doubts(|_| true));
    let remembers = before.is_some_and(|before| before.remembered == known.once_local);
    let once_local = match before {
        Some(before) if remembers => Arc::clone(&before.once_local),
        Some(before) => {
            let new = known.once_local.difference(&before.remembered);
            Arc::new(new.chain(&*before.once_local).cloned().collect())
        }
        None => Arc::clone(&known.once_local),
    };
    let mut building = Building {
        same_context: remembers && before.is_some_and(|before| before.context == context),
        builder: Builder {
            service_domain: &service_domain,
            srv: settings.srv,
        },
        set_builder: Builder {
            service_domain: &set_domain,
            srv: settings.srv,
        },
        other_builders: other_domains
            .iter()
            .map(|service_domain| Builder {
                service_domain,
                srv: settings.srv,
            })
            .collect(),
        rules: Rules::new(&settings, &context),
        once_local,
    };
    let mut namespaces = HashMap::new();
    for (label, inputs) in inputs(&known.clusters) {
        let label: Arc<[u8]> = Arc::from(Arc::clone(label));
        let before = before.and_then(|before| before.namespaces.get(&label));
        if let Some(namespace) = building.namespace(inputs, before) {
            namespaces.insert(label, namespace);
        }
    }
    let mut once_local = building.once_local;
    let same = |before: &Index| {
        Arc::ptr_eq(&before.once_local, &once_local) && none_pending(&before.clusters)
    };
    if before.is_none_or(|before| !same(before)) {
        forget_surplus(&mut once_local, &known.clusters);
    }
    Index {
        soa: zone::soa(domain, serial, settings.ttl),
        zone: zone::names(&settings),
        // The service domain itself is a name too.
        names: 1 + namespaces.values().map(|of| of.names).sum::<usize>(),
        namespaces,
        clusters: known.clusters,
        discoveries: known.discoveries,
        gateways: known.gateways,
        once_local,
        remembered: known.once_local,
        context,
        service_domain,
        set_domain,
        other_domains,
        doubts,
        set_doubts,
        settings,
    }
}

struct Building<'b> {
    rules: Rules<'b>,
    builder: Builder<'b>,
    set_builder: Builder<'b>,
    other_builders: Vec<Builder<'b>>,
    /// Whether remote names are built from what they were built from before.
    same_context: bool,
    once_local: Arc<OnceLocal>,
}

impl Building<'_> {
    /// `None`: the namespace is not one of ours.
    fn namespace(
        &mut self,
        inputs: Inputs,
        before: Option<&Arc<Namespace>>,
    ) -> Option<Arc<Namespace>> {
        if let Some(before) = before
            && self.same_context
            && same(&inputs, &before.inputs)
        {
            return Some(Arc::clone(before));
        }
        // Where only services changed, only those are looked at: a namespace may have thousands.
        let reached = self.rules.reach(&inputs);
        let comparable = before
            .filter(|before| self.same_context && self.rules.reach(&before.inputs) == reached);
        let (names, mut services, mut set, mut other) = match comparable {
            Some(before) => (
                changed(&inputs, &before.inputs),
                before.services.clone(),
                before.set.clone(),
                before.other.clone(),
            ),
            None => {
                let all = inputs.iter().flatten();
                let names = all.flat_map(|of| of.services().keys().chain(of.imports().keys()));
                let other = vec![Parts::new(); self.other_builders.len()];
                (names.collect(), Parts::new(), Parts::new(), other.into())
            }
        };
        for name in names {
            let label: Arc<[u8]> = Arc::from(Arc::clone(name));
            let found = self.rules.clusters_of(name, &inputs);
            let known = before.and_then(|before| before.services.get(&label));
            let part = match known.filter(|known| self.is_same(&found, None, known)) {
                Some(part) => Arc::clone(part),
                None => Arc::new(self.part(&found)),
            };
            put(&mut services, &label, part);
            let found = self.rules.exporters_of(name, &inputs);
            let here = self.rules.here(&inputs);
            let import = here.and_then(|here| here.imports().get(name));
            let known = before.and_then(|before| before.set.get(&label));
            let part = match known.filter(|known| self.is_same(&found, import, known)) {
                Some(part) => Arc::clone(part),
                None => Arc::new(self.set_part(&found, import)),
            };
            put(&mut set, &label, part);
            for ((at, builder), parts) in self.other_builders.iter().enumerate().zip(&mut other) {
                let found = self.rules.clusters_of_domain(at, name, &inputs);
                let known = before.and_then(|before| before.other.get(at)?.get(&label));
                let part = match known.filter(|known| self.is_same(&found, None, known)) {
                    Some(part) => Arc::clone(part),
                    None => Arc::new(self.other_part(builder, &found)),
                };
                put(parts, &label, part);
            }
        }
        let nothing_else = other.iter().all(Parts::is_empty);
        if services.is_empty()
            && set.is_empty()
            && nothing_else
            && self.rules.here(&inputs).is_none()
        {
            return None;
        }
        let mut namespace = Namespace {
            names: 0,
            overlaps: 0,
            inputs,
            services,
            set,
            other,
        };
        let names = namespace.parts().map(|part| part.entries.len());
        namespace.names = 1 + names.sum::<usize>();
        namespace.overlaps = namespace.parts().map(|part| part.overlaps).sum();
        Some(Arc::new(namespace))
    }

    fn is_same(
        &self,
        found: &[(usize, &Arc<Service>)],
        import: Option<&Arc<ServiceImport>>,
        before: &Part,
    ) -> bool {
        let same_import = match (import, &before.import) {
            (Some(import), Some(before)) => Arc::ptr_eq(import, before),
            (None, None) => true,
            _ => false,
        };
        (before.local || self.same_context)
            && same_import
            && found.len() == before.inputs.len()
            && found
                .iter()
                .zip(&before.inputs)
                .all(|((at, one), (before, other))| at == before && Arc::ptr_eq(one, other))
    }

    /// Every name has been checked to fit when its parts were read: labels by the source, the domain by the
    /// configuration. So no failure in here ever leaves a name out.
    fn part(&mut self, parts: &[(usize, &Arc<Service>)]) -> Part {
        let inputs = parts.iter().map(|(at, service)| (*at, Arc::clone(service)));
        let mut part = Part {
            inputs: inputs.collect(),
            ..Part::default()
        };
        let &[(at, service), ..] = parts else {
            return part;
        };
        if Some(at) == self.rules.context.local {
            part.local = true;
            let policy = &self.rules.settings.remote;
            if !policy.failover(&service.namespace, &service.name).0 {
                let key = (Arc::clone(&service.namespace), Arc::clone(&service.name));
                if !self.once_local.contains(&key) {
                    Arc::make_mut(&mut self.once_local).insert(key);
                }
            }
            part.entries = self.builder.local(at, service).unwrap_or_default();
            return part;
        }
        let key = (Arc::clone(&service.namespace), Arc::clone(&service.name));
        if self.once_local.contains(&key) {
            return part;
        }
        let remotes = self.rules.remotes(parts);
        let places = parts.iter().map(|(at, _)| *at).collect();
        let asked = self.rules.asked(&service.namespace, &service.name);
        if let Ok((entries, overlaps)) = self.builder.remote(places, &remotes, &asked) {
            part.entries = entries;
            part.overlaps = overlaps;
        }
        part
    }

    /// A service below the domain of the peers that have it.
    fn other_part(&self, builder: &Builder<'_>, parts: &[(usize, &Arc<Service>)]) -> Part {
        let inputs = parts.iter().map(|(at, service)| (*at, Arc::clone(service)));
        let mut part = Part {
            inputs: inputs.collect(),
            ..Part::default()
        };
        let Some((_, first)) = parts.first() else {
            return part;
        };
        let remotes = self.rules.remotes(parts);
        let places = parts.iter().map(|(at, _)| *at).collect();
        let asked = self.rules.asked(&first.namespace, &first.name);
        if let Ok((entries, overlaps)) = builder.remote(places, &remotes, &asked) {
            part.entries = entries;
            part.overlaps = overlaps;
        }
        part
    }

    fn set_part(
        &self,
        found: &[(usize, &Arc<Service>)],
        import: Option<&Arc<ServiceImport>>,
    ) -> Part {
        let inputs = found.iter().map(|(at, service)| (*at, Arc::clone(service)));
        let mut part = Part {
            inputs: inputs.collect(),
            import: import.cloned(),
            ..Part::default()
        };
        let first = found.first().map(|(_, service)| service);
        let key = first
            .map(|service| (&service.namespace, &service.name))
            .or_else(|| import.map(|import| (&import.namespace, &import.name)));
        let Some((namespace, name)) = key else {
            return part;
        };
        let exporters: Vec<Exporter<'_>> = found
            .iter()
            .filter_map(|(at, service)| {
                let peer = self.rules.context.peers.get(*at)?;
                Some(Exporter {
                    place: *at,
                    id: &peer.id,
                    local: peer.local,
                    remote: peer.part(service),
                })
            })
            .collect();
        let import = self.rules.context.local.zip(import.map(|import| &**import));
        let asked = self.rules.asked(namespace, name);
        let built = self
            .set_builder
            .cluster_set((namespace, name), import, &exporters, &asked);
        if let Ok((entries, overlaps)) = built {
            part.entries = entries;
            part.overlaps = overlaps;
        }
        part
    }
}

/// A part without names is none.
fn put(parts: &mut Parts, label: &Arc<[u8]>, part: Arc<Part>) {
    if part.entries.is_empty() {
        parts.remove(label);
    } else {
        parts.insert(Arc::clone(label), part);
    }
}
