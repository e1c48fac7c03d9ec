//! The meshes and their trust domains.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lists::{At, Fault, Report};
use crate::pattern::Pattern;
use crate::source::{MeshRef, SourceClass};
use crate::spec::{MeshSpec, did_you_mean};
use crate::spiffe::check_trust_domain;

/// A mesh ID is part of metric names and header values, and is bounded for their sake.
const MAX_MESH_ID: usize = 63;

/// The listed meshes, while rules are compiled against them.
pub(super) struct Meshes {
    ids: Vec<Arc<str>>,
    trust_domains: BTreeMap<Arc<str>, MeshRef>,
}

impl Meshes {
    pub(super) fn compile(specs: &[MeshSpec], report: &mut Report) -> Self {
        let mut meshes = Self {
            ids: Vec::new(),
            trust_domains: BTreeMap::new(),
        };
        if specs.is_empty() {
            let mend = "list every mesh with its trust domains, this proxy's own too";
            report.problem(&At::field("meshes"), "the list is empty", mend);
        }
        for (index, MeshSpec { id, trust_domains }) in specs.iter().enumerate() {
            let at = At::field(&format!("meshes[{index}]"));
            meshes.check_id(id, &at.then("id"), report);
            let mesh = MeshRef {
                index,
                id: id.as_str().into(),
            };
            meshes.ids.push(Arc::clone(&mesh.id));
            meshes.add_trust_domains(&mesh, trust_domains, &at.then("trustDomains"), report);
        }
        meshes
    }

    fn check_id(&self, id: &str, at: &At<'_>, report: &mut Report) {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if id.is_empty() || id.len() > MAX_MESH_ID || !id.bytes().all(fits) {
            let mend = format!("write 1 to {MAX_MESH_ID} of a-z, A-Z, 0-9, '.', '-' and '_'");
            report.value(at, id, "it is not a mesh ID", &mend);
        } else if SourceClass::ALL.iter().any(|class| class.as_str() == id) {
            let mend = "give the mesh another ID: metrics would confuse the two";
            report.value(at, id, "it is the name of a source class", mend);
        } else if self.find(id).is_some() {
            let mend = "write all trust domains of a mesh in one entry";
            report.value(at, id, "another mesh has this ID", mend);
        }
    }

    fn add_trust_domains(
        &mut self,
        mesh: &MeshRef,
        names: &[String],
        at: &At<'_>,
        report: &mut Report,
    ) {
        if names.is_empty() {
            let mend = "write the trust domain of the mesh's certificates, such as cluster.local";
            report.problem(at, "the list is empty", mend);
        }
        for (i, name) in names.iter().enumerate() {
            let at = at.item(i);
            if let Err(why) = check_trust_domain(name) {
                let problem = if name.starts_with("spiffe:") {
                    "it is a SPIFFE ID, not a trust domain".into()
                } else {
                    why.to_string()
                };
                let mend = "write only what stands between spiffe:// and the next slash";
                report.value(&at, name, &problem, mend);
                continue;
            }
            if let Some(before) = self
                .trust_domains
                .insert(name.as_str().into(), mesh.clone())
            {
                let problem = format!("mesh {before} lists it already");
                let mend = "list each trust domain once: it belongs to one mesh";
                report.value(&at, name, &problem, mend);
            }
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<MeshRef> {
        let index = self.ids.iter().position(|listed| **listed == *id)?;
        let id = Arc::clone(self.ids.get(index)?);
        Some(MeshRef { index, id })
    }

    pub(super) fn of_trust_domain(&self, name: &str) -> Option<MeshRef> {
        self.trust_domains.get(name).cloned()
    }

    /// All that are listed, of whatever mesh.
    pub(super) fn trust_domains(&self) -> impl Iterator<Item = &str> {
        self.trust_domains.keys().map(|name| &**name)
    }

    /// What a mesh can be called.
    pub(super) fn expected(&self, written: &str) -> String {
        let ids: Vec<&str> = self.ids.iter().map(|id| &**id).collect();
        did_you_mean(written, &ids, &format!("write one of {}", ids.join(", ")))
    }

    /// The listed meshes that a pattern stands for, at least one.
    pub(super) fn meshes_like(&self, text: &str) -> Result<Vec<MeshRef>, Fault> {
        let ids = self.ids.iter().enumerate();
        let all = ids.map(|(index, id)| {
            (
                &**id,
                MeshRef {
                    index,
                    id: Arc::clone(id),
                },
            )
        });
        like(text, all, "mesh")
    }

    /// A pattern for trust domains that matches at least one listed one.
    pub(super) fn trust_domain_like(&self, text: &str) -> Result<Pattern, Fault> {
        let names = self.trust_domains.keys().map(|name| (&**name, ()));
        like(text, names, "trust domain")?;
        Pattern::parse(text).map_err(|why| Fault::new(why, why.mend()))
    }

    pub(super) fn into_parts(self) -> (Vec<Arc<str>>, BTreeMap<Arc<str>, MeshRef>) {
        (self.ids, self.trust_domains)
    }
}

/// A pattern over names that are all known stands for those that it matches; one that matches none is a mistake.
fn like<'a, T>(
    text: &str,
    all: impl Iterator<Item = (&'a str, T)>,
    what: &str,
) -> Result<Vec<T>, Fault> {
    let pattern = Pattern::parse(text).map_err(|why| Fault::new(why, why.mend()))?;
    let mut names = Vec::new();
    let mut found = Vec::new();
    for (name, item) in all {
        if pattern.matches(name.as_bytes()) {
            found.push(item);
        }
        names.push(name);
    }
    if found.is_empty() {
        let mend = format!("list it there, or write one of {}", names.join(", "));
        return Err(Fault::new(
            format!("no {what} under meshes matches it"),
            did_you_mean(text, &names, &mend),
        ));
    }
    Ok(found)
}
