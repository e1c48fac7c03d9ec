//! Metrics by source mesh, destination mesh and verdict.

use std::collections::BTreeSet;

use crossmesh_policy::{Policy, SourceClass, Verdict};

use super::{SourceLabel, metrics, named};
use crate::host::{Counter, Histogram};

/// The meshes that have metrics of their own, in all metrics by pair of meshes.
#[derive(Debug)]
pub(super) struct Meshes(BTreeSet<String>);

impl Meshes {
    /// This proxy's first, then in written order.
    pub(super) fn of(policy: &Policy) -> Self {
        let mut all = vec![policy.mesh()];
        all.extend(policy.meshes());
        let mut own = BTreeSet::new();
        for mesh in named::admitted("meshes", &all, policy.telemetry().cardinality.meshes) {
            own.insert(mesh.to_owned());
        }
        Self(own)
    }
}

/// One metric for each source and verdict; meshes that have none of their own are `other`. The destination is always this
/// proxy's mesh. None where Envoy refused to define one: then there is a log line, and everything goes on without being
/// counted.
#[derive(Debug)]
pub(super) struct Pairs<T> {
    /// In written order; none of a mesh that has none of its own.
    meshes: Vec<Option<Verdicts<T>>>,
    other: Verdicts<T>,
    classes: Vec<(SourceClass, Verdicts<T>)>,
}

#[derive(Debug)]
struct Verdicts<T> {
    allowed: Option<T>,
    denied: Option<T>,
}

impl Pairs<Counter> {
    /// Counters of this name.
    pub(super) fn counters(policy: &Policy, own: &Meshes, name: &str) -> Self {
        Self::define(policy, own, name, metrics::counter)
    }
}

impl Pairs<Histogram> {
    /// Histograms of this name.
    pub(super) fn histograms(policy: &Policy, own: &Meshes, name: &str) -> Self {
        Self::define(policy, own, name, metrics::histogram)
    }
}

impl<T: Copy> Pairs<T> {
    fn define(
        policy: &Policy,
        own: &Meshes,
        name: &str,
        define: impl Fn(&str) -> Option<T>,
    ) -> Self {
        let own = |mesh: &str| own.0.contains(mesh);
        let destination = if own(policy.mesh()) {
            policy.mesh()
        } else {
            super::OTHER
        };
        let verdicts = |source: &str| {
            let metric = |verdict| define(&labelled(source, destination, verdict, name));
            Verdicts {
                allowed: metric(Verdict::Allow),
                denied: metric(Verdict::Deny),
            }
        };
        let meshes = policy
            .meshes()
            .map(|mesh| own(mesh).then(|| verdicts(mesh)));
        let meshes: Vec<_> = meshes.collect();
        Self {
            other: if meshes.iter().any(Option::is_none) {
                verdicts(super::OTHER)
            } else {
                Verdicts {
                    allowed: None,
                    denied: None,
                }
            },
            meshes,
            classes: SourceClass::ALL
                .into_iter()
                .filter(|class| !matches!(class, SourceClass::SameMesh | SourceClass::PeerMesh))
                .map(|class| (class, verdicts(class.as_str())))
                .collect(),
        }
    }

    /// The metric of a source and a verdict.
    pub(super) fn get(&self, source: SourceLabel, verdict: Verdict) -> Option<T> {
        let verdicts = match source {
            SourceLabel::Mesh(index) => match self.meshes.get(index) {
                Some(Some(verdicts)) => verdicts,
                _ => &self.other,
            },
            SourceLabel::Class(class) => &self.classes.iter().find(|(of, _)| *of == class)?.1,
        };
        match verdict {
            Verdict::Allow => verdicts.allowed,
            Verdict::Deny => verdicts.denied,
        }
    }
}

/// Bytes and durations, where they are asked for.
#[derive(Debug)]
pub(super) struct Traffic {
    bytes: Option<(Pairs<Counter>, Pairs<Counter>)>,
    duration: Option<Pairs<Histogram>>,
}

impl Traffic {
    /// What the policy asks for, under these names.
    pub(super) fn define(
        policy: &Policy,
        own: &Meshes,
        received: &str,
        sent: &str,
        duration: &str,
    ) -> Self {
        let asked = policy.telemetry();
        Self {
            bytes: asked.bytes.then(|| {
                let counters = |name| Pairs::counters(policy, own, name);
                (counters(received), counters(sent))
            }),
            duration: asked
                .duration
                .then(|| Pairs::histograms(policy, own, duration)),
        }
    }

    /// Whether there is anything to tell.
    pub(super) fn is_asked_for(&self) -> bool {
        self.bytes.is_some() || self.duration.is_some()
    }

    /// Where received bytes are counted.
    pub(super) fn received(&self, source: SourceLabel, verdict: Verdict) -> Option<Counter> {
        self.bytes.as_ref()?.0.get(source, verdict)
    }

    /// Where sent bytes are counted.
    pub(super) fn sent(&self, source: SourceLabel, verdict: Verdict) -> Option<Counter> {
        self.bytes.as_ref()?.1.get(source, verdict)
    }

    /// Where durations are recorded.
    pub(super) fn duration(&self, source: SourceLabel, verdict: Verdict) -> Option<Histogram> {
        self.duration.as_ref()?.get(source, verdict)
    }
}

/// A metric's name with its labels.
pub(super) fn labelled(source: &str, destination: &str, verdict: Verdict, name: &str) -> String {
    let verdict = verdict.as_str();
    format!(
        "source_mesh=.={source};.;destination_mesh=.={destination};.;verdict=.={verdict};.;{name}"
    )
}
