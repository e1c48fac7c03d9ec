//! A compiled policy: first for every proxy ([`Program`]), then for one ([`Policy`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::problem::{Invalid, Problem};
use crate::request::{Node, Peer};
use crate::rule::{Own, Rule, To};
use crate::source::{MeshRef, Source, SourceClass};
use crate::spec::{Action, DefaultsSpec, Mode, Spec, Verdict};
use crate::spiffe::SpiffeId;
use crate::truth::Match;

/// A policy that has been checked, for any proxy.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) common: Arc<Common>,
    /// All rules, in written order.
    pub(crate) rules: Vec<Rule>,
    pub(crate) warnings: Vec<Problem>,
}

/// What does not depend on the proxy.
#[derive(Debug)]
pub(crate) struct Common {
    /// The mesh that the policy itself names.
    pub(crate) mesh: Option<MeshRef>,
    pub(crate) meshes: Vec<Arc<str>>,
    pub(crate) trust_domains: BTreeMap<Arc<str>, TrustDomain>,
    pub(crate) defaults: Defaults,
    pub(crate) mode: Mode,
    pub(crate) headers: bool,
}

/// A listed trust domain: its number, and the mesh that it belongs to.
#[derive(Debug)]
pub(crate) struct TrustDomain {
    pub(crate) index: usize,
    pub(crate) mesh: MeshRef,
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

impl From<DefaultsSpec> for Defaults {
    /// What is not given is as design has it: inside the mesh AuthorizationPolicy stays in charge, nothing else comes
    /// in, and TLS that is not terminated here is the next proxy's to judge.
    fn from(spec: DefaultsSpec) -> Self {
        Self {
            same_mesh: spec.same_mesh.unwrap_or(Verdict::Allow),
            peer_mesh: spec.peer_mesh.unwrap_or(Verdict::Deny),
            unknown_trust_domain: spec.unknown_trust_domain.unwrap_or(Verdict::Deny),
            plaintext: spec.plaintext.unwrap_or(Verdict::Deny),
            passthrough: spec.passthrough.unwrap_or(Verdict::Allow),
        }
    }
}

impl Defaults {
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

    /// The IDs of all meshes, in written order.
    pub fn meshes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.common.meshes.iter().map(|id| &**id)
    }

    /// How many rules were written.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// The policy as one proxy runs it: rules for other workloads are dropped.
    ///
    /// # Errors
    /// If neither the policy nor the proxy says which mesh this is, or the proxy's is not listed.
    pub fn bind(&self, node: &Node) -> Result<Policy, Invalid> {
        let mut policy = Policy {
            mesh: self.own_mesh(node)?,
            common: Arc::clone(&self.common),
            deny: Vec::new(),
            allow: Vec::new(),
            audit: Vec::new(),
        };
        for rule in self.rules.iter().filter_map(|rule| bound(rule, node)) {
            match rule.action {
                Action::Deny => policy.deny.push(rule),
                Action::Allow => policy.allow.push(rule),
                Action::Audit => policy.audit.push(rule),
            }
        }
        Ok(policy)
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

/// The rule without what the proxy has settled; none if no item of `to` is about this proxy.
fn bound(rule: &Rule, node: &Node) -> Option<Rule> {
    let to = match &rule.to {
        None => None,
        Some(items) => {
            let kept: Vec<To> = items
                .iter()
                .filter(|to| to.own.holds(node, rule.action) == Match::Yes)
                .map(|to| To {
                    own: Own::default(),
                    ..to.clone()
                })
                .collect();
            if kept.is_empty() {
                return None;
            }
            Some(kept)
        }
    };
    Some(Rule { to, ..rule.clone() })
}

/// A policy for one proxy. Deciding by it is synchronous and cannot fail.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) common: Arc<Common>,
    pub(crate) mesh: MeshRef,
    pub(crate) deny: Vec<Rule>,
    pub(crate) allow: Vec<Rule>,
    pub(crate) audit: Vec<Rule>,
}

/// What the rules ask for beyond source, host, method and path; what nothing asks for need not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The workload's port.
    pub port: bool,
    /// The TLS server name.
    pub sni: bool,
    /// The address of the direct peer.
    pub source_ip: bool,
    /// Further headers.
    pub headers: bool,
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

    /// Whether the application is told the meshes in request headers.
    #[must_use]
    pub fn telemetry_headers(&self) -> bool {
        self.common.headers
    }

    /// The names of the AUDIT rules that this proxy runs, in written order.
    pub fn audit_rules(&self) -> impl ExactSizeIterator<Item = &str> {
        self.audit.iter().map(|rule| &*rule.name)
    }

    /// What the rules of this proxy ask for.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for rule in self.rules() {
            needs.headers |= !rule.when.is_empty();
            for from in rule.from.iter().flatten() {
                needs.source_ip |= from.ip_blocks.is_given();
            }
            for to in rule.to.iter().flatten() {
                needs.port |= to.ports.is_given();
                needs.sni |= to.snis.is_given();
            }
        }
        needs
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.deny.iter().chain(&self.allow).chain(&self.audit)
    }

    /// Who a peer is to this proxy. The same peer is always the same source, so the result may be kept by the value
    /// of its certificate's SAN.
    #[must_use]
    pub fn identify(&self, peer: &Peer<'_>) -> Source {
        let without_identity = |class, note| Source {
            class,
            mesh: None,
            id: None,
            trust_domain: None,
            note,
        };
        let sans = match peer {
            Peer::Plaintext => return without_identity(SourceClass::Plaintext, None),
            Peer::Passthrough => return without_identity(SourceClass::Passthrough, None),
            Peer::Certificate { uri_sans } => *uri_sans,
        };
        let invalid = |note| without_identity(SourceClass::InvalidIdentity, Some(note));
        let [san] = sans else {
            return invalid(match sans.len() {
                0 => "the certificate has no URI SAN".into(),
                n => format!("the certificate has {n} URI SANs, a workload has exactly one"),
            });
        };
        match SpiffeId::parse(san) {
            Ok(id) => self.located(id),
            Err(why) => invalid(format!(
                "{:?} is not a workload's SPIFFE ID: {why}",
                String::from_utf8_lossy(san)
            )),
        }
    }

    fn located(&self, id: SpiffeId) -> Source {
        let listed = self.common.trust_domains.get(id.trust_domain());
        let class = match listed {
            None => SourceClass::UnknownTrustDomain,
            Some(domain) if domain.mesh.index == self.mesh.index => SourceClass::SameMesh,
            Some(_) => SourceClass::PeerMesh,
        };
        Source {
            class,
            mesh: listed.map(|domain| domain.mesh.clone()),
            trust_domain: listed.map(|domain| domain.index),
            id: Some(id),
            note: None,
        }
    }
}
