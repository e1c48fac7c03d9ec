//! Why somebody else is asked, and how sure a denial is.

use super::{but, is_in_set, of, rule, service};
use crate::dns::columns::listed;
use crate::dns::explain::{Explanation, text};

/// Whom, and why.
pub(super) fn elsewhere(
    explanation: &Explanation,
    why: &str,
    doubt: Option<&str>,
    to: &str,
) -> String {
    let whom = if to == "cluster" {
        "the cluster's own DNS"
    } else {
        "the general servers"
    };
    let doubt = match doubt {
        None => String::new(),
        Some("unless-by-zone") => {
            " A denial becomes SERVFAIL unless the cluster's own zone denies it, because what is known of the local cluster is \
             not current."
                .to_owned()
        }
        Some(when) => format!(
            " A denial becomes SERVFAIL{}, because {}.",
            match when {
                "if-namespace-exists" => " if its namespace exists here",
                _ => "",
            },
            not_known(explanation)
        ),
    };
    let service = service(explanation);
    let sentence = match why {
        "outside" => format!(
            "It is not below {}: {whom} know.",
            explanation.cluster_domain
        ),
        "reverse" => format!("It is an address's name, which {whom} knows or passes on."),
        "pod" => format!("It is a pod's name, which {whom} makes."),
        "upstream" if explanation.clusters.iter().any(|view| view.fate == "local") => {
            format!("The local cluster has {service} in a form whose answer only {whom} knows.")
        }
        "upstream" => match &explanation.policy {
            Some(policy) => format!(
                "Only peers have {service}, and {} leaves it to {whom}.",
                rule(explanation, policy)
            ),
            None => format!("Its answer is left to {whom}."),
        },
        "not-found" => format!(
            "No {} it{}: {whom} is asked.",
            if is_in_set(explanation) {
                "cluster gives"
            } else {
                "catalog has"
            },
            but(explanation)
        ),
        "shadow" => match &explanation.ours {
            Some(ours) => format!(
                "mode: shadow leaves the answer to {whom}. Otherwise it would be {}.",
                text::told(ours)
            ),
            None => format!("mode: shadow leaves the answer to {whom}."),
        },
        other => format!("{whom} is asked, for the reason {other}."),
    };
    sentence + &doubt
}

/// Who may have a name, as far as anybody knows.
pub(super) fn not_known(explanation: &Explanation) -> String {
    let are = |fate: &str| of(explanation, |view| view.fate == fate);
    let (unread, withheld) = (are("unread"), are("mesh-unread"));
    if !unread.is_empty() {
        format!("{} may have it and was never read", listed(&unread))
    } else if !withheld.is_empty() {
        format!(
            "{} has it, and whether it stays there the mesh configuration says, which could not be read yet",
            listed(&withheld)
        )
    } else {
        "peers that may have it are still to be discovered".to_owned()
    }
}
