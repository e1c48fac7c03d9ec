//! Which services were local once, where that decides their answers for ever after: kept on disk, so that a restart forgets
//! none.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crossmesh_proto::snapshot::v1 as kept;
use prost::Message as _;

use super::{decode::label, file};
use crate::index::{OnceLocal, RemotePolicy};

/// The name of the file, without its ending, which no cluster's has.
const NAME: &str = "once-local";

/// Reads what is kept in a folder; nothing when there is no such file.
pub(super) fn read(directory: &Path) -> Result<Option<OnceLocal>, String> {
    let Some(content) = file::read_memory(directory, NAME)? else {
        return Ok(None);
    };
    decode(&content).map(Some)
}

fn decode(bytes: &[u8]) -> Result<OnceLocal, String> {
    let message = kept::OnceLocal::decode(bytes)
        .map_err(|error| format!("it cannot be understood: {error}"))?;
    let services = message.services.iter();
    services
        .map(|service| {
            Ok((
                label(&service.namespace)?.into(),
                label(&service.name)?.into(),
            ))
        })
        .collect()
}

fn encode(services: &OnceLocal) -> Vec<u8> {
    let services = services.iter().map(|(namespace, name)| kept::ServiceKey {
        namespace: namespace.to_string(),
        name: name.to_string(),
    });
    let message = kept::OnceLocal {
        services: services.collect(),
    };
    message.encode_to_vec()
}

/// Only those of which the configuration still says that they must never become remote.
pub(super) fn pruned(mut services: OnceLocal, policy: &RemotePolicy) -> OnceLocal {
    services.retain(|(namespace, name)| !policy.failover(namespace, name).0);
    services
}

/// What was written, and when.
#[derive(Debug)]
pub(super) struct Memory {
    policy: RemotePolicy,
    saved: Option<Arc<OnceLocal>>,
    tried: Option<Instant>,
}

impl Memory {
    /// A memory of which this is on disk; `None`: nobody knows what.
    pub(super) fn new(policy: RemotePolicy, on_disk: Option<OnceLocal>) -> Self {
        Self {
            policy,
            saved: on_disk.map(Arc::new),
            tried: None,
        }
    }

    /// Whether these are to be written: they are not on disk, and it was not tried within the interval.
    pub(super) fn is_due(&self, now: &Arc<OnceLocal>, interval: Option<Duration>) -> bool {
        let same = |saved: &Arc<OnceLocal>| Arc::ptr_eq(saved, now) || saved == now;
        let waited = |tried: Instant| interval.is_none_or(|interval| tried.elapsed() >= interval);
        !self.saved.as_ref().is_some_and(same) && self.tried.is_none_or(waited)
    }

    /// Writes them, together with what another agent wrote meanwhile: while one takes the other's place both keep them. Where
    /// there are none, the file is removed, and nothing written.
    pub(super) fn write(&mut self, directory: &Path, now: &Arc<OnceLocal>) -> io::Result<bool> {
        self.tried = Some(Instant::now());
        self.saved = None;
        // What cannot be read is written anew.
        let others = read(directory).ok().flatten().unwrap_or_default();
        let mut all = pruned(others, &self.policy);
        all.extend(now.iter().cloned());
        if all.is_empty() {
            file::remove_memory(directory, NAME)?;
        } else {
            file::write_memory(directory, NAME, &encode(&all))?;
        }
        self.saved = Some(Arc::clone(now));
        Ok(!all.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::RemoteRule;

    fn services(all: &[(&str, &str)]) -> OnceLocal {
        let all = all.iter();
        all.map(|(namespace, name)| ((*namespace).into(), (*name).into()))
            .collect()
    }

    fn policy() -> RemotePolicy {
        let rule = RemoteRule {
            failover: Some(false),
            ..RemoteRule::default()
        };
        RemotePolicy {
            namespaces: [("shop".to_owned(), rule)].into(),
            ..RemotePolicy::default()
        }
    }

    #[test]
    fn what_is_written_is_read_together_with_what_another_agent_wrote() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), Ok(None));
        let mut one = Memory::new(policy(), Some(OnceLocal::new()));
        let mut other = Memory::new(policy(), Some(OnceLocal::new()));
        let first = Arc::new(services(&[("shop", "db"), ("vault", "gone")]));
        assert!(one.is_due(&first, None));
        one.write(folder.path(), &first).unwrap();
        assert!(!one.is_due(&first, None));
        assert_eq!(read(folder.path()), Ok(Some((*first).clone())));
        let second = Arc::new(services(&[("shop", "cart")]));
        other.write(folder.path(), &second).unwrap();
        // Of the vault the policy says nothing any more.
        let both = services(&[("shop", "cart"), ("shop", "db")]);
        assert_eq!(read(folder.path()), Ok(Some(both)));
    }

    #[test]
    fn what_nothing_is_left_of_is_removed_and_what_is_no_service_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::new(RemotePolicy::default(), Some(OnceLocal::new()));
        let some = Arc::new(services(&[("shop", "db")]));
        memory.write(folder.path(), &some).unwrap();
        let none = Arc::new(OnceLocal::new());
        memory.write(folder.path(), &none).unwrap();
        assert_eq!(read(folder.path()), Ok(None));
        memory.write(folder.path(), &none).unwrap();
        let odd = encode(&services(&[("shop", "Not a label")]));
        file::write_memory(folder.path(), NAME, &odd).unwrap();
        assert_eq!(
            read(folder.path()),
            Err("\"Not a label\" is no label".to_owned())
        );
    }
}
