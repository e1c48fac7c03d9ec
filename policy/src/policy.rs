//! A compiled policy: first for every proxy ([`Program`]), then for one ([`Policy`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::principal::PrincipalPattern;
use crate::problem::{Invalid, Problem};
use crate::request::Node;
use crate::rule::{Rule, Terms};
use crate::rule_set::{RuleSet, WrittenRules};
use crate::source::{MeshRef, Source, SourceClass};
use crate::spec::{CardinalitySpec, DefaultsSpec, Mode, Spec, TelemetrySpec, Verdict};

/// A policy that has been checked, for any proxy.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) common: Arc<Common>,
    pub(crate) active: WrittenRules,
    pub(crate) candidate: Option<WrittenRules>,
    pub(crate) warnings: Vec<Problem>,
}

/// What does not depend on the proxy.
#[derive(Debug)]
pub(crate) struct Common {
    /// The mesh that the policy itself names.
    pub(crate) mesh: Option<MeshRef>,
    pub(crate) meshes: Vec<Arc<str>>,
    /// The mesh of each listed trust domain.
    pub(crate) trust_domains: BTreeMap<Arc<str>, MeshRef>,
    pub(crate) forwarders: Vec<Forwarder>,
    pub(crate) http_ports: Vec<u16>,
    pub(crate) mode: Mode,
    pub(crate) telemetry: Telemetry,
}

/// What besides decisions is told, because it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Whether the application is told the meshes in request headers.
    pub headers: bool,
    /// Whether bytes are counted.
    pub bytes: bool,
    /// Whether durations are measured.
    pub duration: bool,
    /// How many label values have metrics of their own.
    pub cardinality: Cardinality,
}

/// How many label values have metrics of their own, over all policies that a proxy has; the rest is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cardinality {
    /// Meshes.
    pub meshes: u16,
    /// Rules, in each metric that is told by rule.
    pub rules: u16,
}

impl Cardinality {
    /// What holds where nothing is given: more meshes than anybody has, and of rules what a Prometheus bears from every
    /// sidecar.
    const UNSAID: Self = Self {
        meshes: 64,
        rules: 256,
    };
}

impl Telemetry {
    /// What is told where these are given, and where nothing is.
    pub(crate) fn of(spec: Option<TelemetrySpec>) -> Self {
        let TelemetrySpec {
            headers,
            bytes,
            duration,
            cardinality,
        } = spec.unwrap_or_default();
        let CardinalitySpec { meshes, rules } = cardinality.unwrap_or_default();
        Self {
            headers: headers.unwrap_or(false),
            bytes: bytes.unwrap_or(false),
            duration: duration.unwrap_or(false),
            cardinality: Cardinality {
                meshes: meshes.map_or(Cardinality::UNSAID.meshes, |most| most.0),
                rules: rules.map_or(Cardinality::UNSAID.rules, |most| most.0),
            },
        }
    }
}

/// A peer that speaks for others.
#[derive(Debug)]
pub(crate) struct Forwarder {
    pub(crate) principal: PrincipalPattern,
    /// The meshes whose workloads it may speak for.
    pub(crate) may_assert: Vec<MeshRef>,
}

/// The verdict of each class when no rule decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    same_mesh: Verdict,
    peer_mesh: Verdict,
    unknown_trust_domain: Verdict,
    plaintext: Verdict,
    passthrough: Verdict,
}

impl Defaults {
    /// What holds if nothing is given: inside the mesh AuthorizationPolicy stays in charge, nothing else comes in, and
    /// TLS that is not terminated here is the next proxy's to judge.
    pub(crate) const UNSAID: Self = Self {
        same_mesh: Verdict::Allow,
        peer_mesh: Verdict::Deny,
        unknown_trust_domain: Verdict::Deny,
        plaintext: Verdict::Deny,
        passthrough: Verdict::Allow,
    };

    /// These, with what is given in their place.
    pub(crate) fn with(self, spec: Option<DefaultsSpec>) -> Self {
        let spec = spec.unwrap_or_default();
        Self {
            same_mesh: spec.same_mesh.unwrap_or(self.same_mesh),
            peer_mesh: spec.peer_mesh.unwrap_or(self.peer_mesh),
            unknown_trust_domain: spec
                .unknown_trust_domain
                .unwrap_or(self.unknown_trust_domain),
            plaintext: spec.plaintext.unwrap_or(self.plaintext),
            passthrough: spec.passthrough.unwrap_or(self.passthrough),
        }
    }

    pub(crate) fn of(self, class: SourceClass) -> Verdict {
        match class {
            SourceClass::SameMesh => self.same_mesh,
            SourceClass::PeerMesh => self.peer_mesh,
            SourceClass::UnknownTrustDomain => self.unknown_trust_domain,
            SourceClass::Plaintext => self.plaintext,
            SourceClass::Passthrough => self.passthrough,
            SourceClass::InvalidIdentity => Verdict::Deny,
        }
    }
}

impl Program {
    /// Checks all that was written and turns it into what it means.
    ///
    /// # Errors
    /// Every problem that the policy has, in written order.
    pub fn compile(spec: &Spec) -> Result<Self, Invalid> {
        crate::compile::compile(spec)
    }

    /// What is allowed but seldom meant.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// What besides is seldom meant where the policy is that of a network filter.
    #[must_use]
    pub fn warnings_on_tcp(&self) -> Vec<Problem> {
        crate::compile::on_tcp::warnings(self)
    }

    /// Whether the policy itself speaks of connections as a network filter sees them.
    #[must_use]
    pub fn names_tcp(&self) -> bool {
        let sets = [Some(&self.active), self.candidate.as_ref()];
        let mut rules = sets.into_iter().flatten().flat_map(|set| &set.rules);
        !self.common.http_ports.is_empty() || rules.any(Rule::names_passthrough)
    }

    /// The IDs of all meshes, in written order.
    pub fn meshes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.common.meshes.iter().map(|id| &**id)
    }

    /// The policy as one proxy runs it: rules for other workloads are dropped.
    ///
    /// # Errors
    /// If neither the policy nor the proxy says which mesh this is, or the proxy's is not listed.
    pub fn bind(&self, node: &Node) -> Result<Policy, Invalid> {
        Ok(Policy {
            mesh: self.own_mesh(node)?,
            common: Arc::clone(&self.common),
            active: self.active.bind(node, &self.common),
            candidate: self
                .candidate
                .as_ref()
                .map(|rules| rules.bind(node, &self.common)),
        })
    }

    fn own_mesh(&self, node: &Node) -> Result<MeshRef, Invalid> {
        if let Some(mesh) = &self.common.mesh {
            return Ok(mesh.clone());
        }
        let refused = |value, problem: &str, mend| {
            Err(Invalid::one(Problem {
                rule: None,
                field: "mesh".into(),
                value,
                problem: problem.into(),
                mend,
            }))
        };
        let Some(id) = &node.mesh else {
            let mend = "write mesh in the policy, or give the proxy MESH_ID in its node metadata";
            return refused(None, "which mesh this proxy is in is not said", mend.into());
        };
        match self
            .common
            .meshes
            .iter()
            .position(|listed| **listed == **id)
        {
            Some(index) => Ok(MeshRef {
                index,
                id: id.as_str().into(),
            }),
            None => refused(
                Some(format!("{id:?}")),
                "the proxy's MESH_ID is not listed under meshes",
                format!(
                    "list it, or write mesh as one of {}",
                    self.common.meshes.join(", ")
                ),
            ),
        }
    }
}

/// A policy for one proxy. Deciding by it is synchronous and cannot fail.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) common: Arc<Common>,
    pub(crate) mesh: MeshRef,
    pub(crate) active: RuleSet,
    pub(crate) candidate: Option<RuleSet>,
}

/// What the rules ask for of the connection beside its source; what nothing asks for need not be read. The headers a filter has
/// to read in any case: what pretends to be its own is among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The workload's port.
    pub port: bool,
    /// The TLS server name.
    pub sni: bool,
    /// The address of the direct peer.
    pub source_ip: bool,
}

impl Needs {
    /// What a rule, or a part of one, asks for.
    pub(crate) fn of(terms: &Terms<'_>) -> Self {
        let mut from = terms.from.iter().copied().flatten();
        let mut needs = Self {
            source_ip: from.any(|from| from.ip_blocks.is_given()),
            ..Self::default()
        };
        for to in terms.to.iter().copied().flatten() {
            needs.port |= to.ports.is_given();
            needs.sni |= to.snis.is_given();
        }
        needs
    }

    /// What either asks for.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            port: self.port || other.port,
            sni: self.sni || other.sni,
            source_ip: self.source_ip || other.source_ip,
        }
    }
}

impl Policy {
    /// The ID of this proxy's mesh.
    #[must_use]
    pub fn mesh(&self) -> &str {
        &self.mesh.id
    }

    /// The IDs of all meshes, in written order.
    pub fn meshes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.common.meshes.iter().map(|id| &**id)
    }

    /// Whether verdicts are carried out.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.common.mode
    }

    /// What besides decisions is told.
    #[must_use]
    pub fn telemetry(&self) -> Telemetry {
        self.common.telemetry
    }

    /// The names of the AUDIT rules that this proxy runs, in written order.
    pub fn audit_rules(&self) -> impl ExactSizeIterator<Item = &str> {
        self.active.audit_rules()
    }

    /// The names of the rules that decide for this proxy, each with its verdict: first those that deny, then those that
    /// allow.
    pub fn deciding_rules(&self) -> impl Iterator<Item = (&str, Verdict)> {
        self.active.deciding()
    }

    /// The same of the candidate; none if there is none.
    pub fn candidate_rules(&self) -> Option<impl Iterator<Item = (&str, Verdict)>> {
        self.candidate.as_ref().map(RuleSet::deciding)
    }

    /// What the rules that this source can meet ask for. Whether it may be plaintext as well shows in the server name.
    #[must_use]
    pub fn needs(&self, source: &Source) -> Needs {
        let own = self.needs_as_told(source);
        if source.class() != SourceClass::Passthrough {
            return own;
        }
        Needs {
            port: true,
            sni: true,
            ..own.or(self.needs_as_told(&Source::plaintext()))
        }
    }

    fn needs_as_told(&self, source: &Source) -> Needs {
        let candidate = self.candidate.as_ref().map(|rules| rules.needs(source));
        self.active.needs(source).or(candidate.unwrap_or_default())
    }
}
