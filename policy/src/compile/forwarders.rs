//! The peers that speak for others.

use super::lists::{At, Fault, Report, among_expanded};
use super::meshes::Meshes;
use crate::policy::Forwarder;
use crate::principal::PrincipalPattern;
use crate::source::MeshRef;
use crate::spec::ForwarderSpec;

pub(super) fn compile(
    specs: Option<&[ForwarderSpec]>,
    meshes: &Meshes,
    report: &mut Report,
) -> Vec<Forwarder> {
    let mut forwarders: Vec<Forwarder> = Vec::new();
    if specs.is_some_and(<[_]>::is_empty) {
        let mend = "leave forwarders out, or write one";
        report.problem(&At::field("forwarders"), "the list is empty", mend);
    }
    for (i, spec) in specs.unwrap_or_default().iter().enumerate() {
        let at = At::field("forwarders").item(i);
        let ForwarderSpec {
            principal,
            may_assert,
        } = spec;
        let listed = among_expanded(&at, "mayAssert", (may_assert, &None), report, |text| {
            meshes.meshes_like(text)
        });
        match exact(principal, meshes) {
            Err(fault) => report.value(
                &at.then("principal"),
                principal,
                &fault.problem,
                &fault.mend,
            ),
            Ok((pattern, _)) if forwarders.iter().any(|f| f.principal == pattern) => {
                let mend = "write each forwarder once, with all meshes that it may speak for";
                report.value(
                    &at.then("principal"),
                    principal,
                    "it is listed already",
                    mend,
                );
            }
            Ok((pattern, own)) => forwarders.push(Forwarder {
                principal: pattern,
                may_assert: listed.any.map_or_else(|| vec![own], Vec::from),
            }),
        }
    }
    forwarders
}

/// A forwarder is one workload of a listed mesh: whoever it is speaks with the voice of others.
fn exact(text: &str, meshes: &Meshes) -> Result<(PrincipalPattern, MeshRef), Fault> {
    let pattern = PrincipalPattern::parse(text).map_err(|why| Fault::new(why, why.mend()))?;
    if !pattern.is_exact() {
        return Err(Fault::new(
            "a forwarder must be one exact principal",
            "write an entry for each, without '*'",
        ));
    }
    match meshes.of_trust_domain(pattern.trust_domain()) {
        Some(own) => Ok((pattern, own)),
        None => Err(Fault::new(
            format!("no mesh lists the trust domain {}", pattern.trust_domain()),
            "list it under meshes",
        )),
    }
}
