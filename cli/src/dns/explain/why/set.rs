//! The sentences about names of the cluster set.

use super::{Explanation, because, empty, listed, of, printable, service};

/// What decided an answer of the agent's own; `None`: the same as for a name of the cluster.
pub(super) fn own(explanation: &Explanation, reason: &str) -> Option<String> {
    let subject = explanation
        .subject
        .as_ref()
        .filter(|subject| subject.in_set)?;
    let service = service(explanation);
    let local = &explanation.local_cluster;
    let gives = |fate: &str| of(explanation, |view| view.fate == fate);
    let exporters: Vec<String> = ["local", "behind", "behind-import", "counts"]
        .into_iter()
        .flat_map(gives)
        .collect();
    let import = explanation.import.as_ref().filter(|import| import.decides);
    if subject.kind == "below" {
        return match reason {
            "local" | "gateway" | "cluster-ip" if exporters.is_empty() => Some(format!(
                "It is below {service} of the cluster set, as the local cluster {local} imports it."
            )),
            "local" | "gateway" | "cluster-ip" => Some(format!(
                "It is below {service} of the cluster set, given by {}: one cluster's part, or an endpoint.",
                listed(&exporters)
            )),
            _ => None,
        };
    }
    let peers = listed(&gives("counts"));
    match reason {
        "local" if import.is_some() => Some(format!(
            "The local cluster {local} imports {service}: its ServiceImport says what the name stands for."
        )),
        "local" if gives("counts").is_empty() => Some(format!(
            "The local cluster {local} gives {service} to the cluster set; what others give of that name does not count."
        )),
        "local" => Some(format!(
            "{local} and {peers} give {service} to the cluster set, which is headless: the endpoints of all that can be \
             reached."
        )),
        "gateway" => Some(format!(
            "Only other clusters give {service} to the cluster set ({peers}); {}: the addresses are their gateways'.",
            because(explanation, "gateways")
        )),
        "cluster-ip" => Some(format!(
            "Only other clusters give {service} to the cluster set ({peers}); {}: the addresses are its own there.",
            because(explanation, "own")
        )),
        "nodata" if matches!(&*explanation.rtype, "A" | "AAAA") => Some(nothing(explanation)),
        _ => None,
    }
}

fn nothing(explanation: &Explanation) -> String {
    let (service, rtype) = (service(explanation), &explanation.rtype);
    if explanation
        .import
        .as_ref()
        .is_some_and(|import| import.decides)
    {
        return format!(
            "The local cluster's ServiceImport of {service} has no address of type {rtype} that is ready."
        );
    }
    let counted = explanation
        .clusters
        .iter()
        .filter(|view| view.fate == "counts");
    let reasons: Vec<String> = counted
        .filter(|view| view.addresses.is_empty())
        .map(|view| format!("{} ({})", printable(&view.cluster.id), empty(view)))
        .collect();
    if reasons.is_empty() {
        return format!(
            "Clusters give {service} to the cluster set, and no address of type {rtype} can be given for it."
        );
    }
    format!(
        "Clusters give {service} to the cluster set, and none an address of type {rtype}: {}.",
        reasons.join("; ")
    )
}
