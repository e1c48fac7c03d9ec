//! Whether a denial by the cluster's DNS is doubted where that depends on more than the name: on who denies it, or on another
//! name of its, that of the namespace.

use std::pin::pin;

use super::Engine;
use crate::{
    answer::{Doubt, Forward, Servers},
    cache::{Kept, Key},
    index::Index,
    name::is_under,
    wire::{Message, Query, Rcode, rtype},
};

impl Engine {
    /// Asks for a reply and, where a denial of it depends on the namespace, for that at the same time: a client waits no
    /// longer for both than for one. Before the local cluster was read nobody but its own DNS knows its namespaces.
    pub(super) async fn ask(&self, key: &Key, forward: Forward, query: &Query) -> (Kept, Forward) {
        let index = self.index.load_full();
        let asked = self.upstream.ask(key.clone(), forward.to);
        let Some(namespace) = namespace_key(&index, forward, query) else {
            return (asked.await, forward);
        };
        let said = self.upstream.ask_in_turn(namespace, Servers::Cluster);
        let (mut asked, mut said) = (pin!(asked), pin!(said));
        // The name first: where there is room for one question, it is for this.
        let (kept, said) = tokio::select! {
            biased;
            kept = &mut asked => {
                if !is_denied(&kept) {
                    return (kept, forward);
                }
                (kept, said.await)
            }
            said = &mut said => (asked.await, said),
        };
        (kept, judge(&index, forward, &said))
    }

    /// What is certain of a kept reply; `None`: it takes another question.
    pub(super) fn settled(
        &self,
        index: &Index,
        forward: Forward,
        query: &Query,
        kept: &Kept,
    ) -> Option<Forward> {
        if !is_denied(kept) {
            return Some(forward);
        }
        let Some(key) = namespace_key(index, forward, query) else {
            return Some(forward);
        };
        let (said, _) = self.upstream.kept(&key)?;
        Some(judge(index, forward, &said))
    }

    /// Whether a denial must not reach the client.
    pub(super) fn is_doubted(&self, forward: Forward, denial: &Message) -> bool {
        match forward.doubt {
            Doubt::None => false,
            Doubt::Some | Doubt::IfNamespaceExists => true,
            Doubt::UnlessByZone => {
                let index = self.index.load();
                let settings = index.settings();
                let zones = [&settings.cluster_domain, &settings.cluster_set_domain];
                !zones.iter().any(|zone| is_by(denial, zone.as_wire()))
            }
        }
    }
}

fn is_denied(kept: &Kept) -> bool {
    kept.as_ref()
        .is_ok_and(|message| message.rcode() == Rcode::NxDomain as u16)
}

/// What it takes another question to know.
fn namespace_key(index: &Index, forward: Forward, query: &Query) -> Option<Key> {
    if forward.doubt != Doubt::IfNamespaceExists {
        return None;
    }
    let namespace = index.namespace_of(query.name.as_wire())?;
    Some(Key::own(&namespace, rtype::A))
}

/// Where the cluster's DNS denies the namespace too, as it does for all that search lists make of outside names, no peer is
/// needed for the name. It has to be a denial by the cluster's zone: other servers deny that as a whole.
fn judge(index: &Index, forward: Forward, said: &Kept) -> Forward {
    let zone = index.settings().cluster_domain.as_wire();
    let doubt = match said {
        Ok(said) if is_by(said, zone) => Doubt::None,
        _ => Doubt::Some,
    };
    Forward { doubt, ..forward }
}

/// Whether a zone, or one below it, denies the name.
fn is_by(denial: &Message, zone: &[u8]) -> bool {
    denial.denied_by().is_some_and(|by| is_under(&by, zone))
}
