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
use tracing::warn;

use super::{
    decode::label,
    file::{self, Identity, Unread},
};
use crate::index::{OnceLocal, RemotePolicy};

/// The name of the file, without its ending, which no cluster's has.
const NAME: &str = "once-local";

/// What a file has, and which file that is.
#[derive(Clone, Debug, Default)]
pub(super) struct OnDisk {
    pub(super) services: OnceLocal,
    file: Option<Identity>,
}

/// Reads what is kept in a folder; nothing when there is no such file.
pub(super) fn read(directory: &Path) -> Result<OnDisk, Unread> {
    let Some((content, identity)) = file::read_memory(directory, NAME)? else {
        return Ok(OnDisk::default());
    };
    Ok(OnDisk {
        services: decode(&content).map_err(Unread::NotUnderstood)?,
        file: Some(identity),
    })
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
    /// The file that has it, or that has been read; `None`: nobody knows what is there.
    file: Option<Option<Identity>>,
    tried: Option<Instant>,
}

/// What became of writing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Whether there is a file now.
    pub(super) kept: bool,
    /// What another agent had written meanwhile, beside what is known here.
    pub(super) others: OnceLocal,
}

impl Memory {
    /// A memory of which this is on disk; `None`: nobody knows what.
    pub(super) fn new(policy: RemotePolicy, on_disk: Option<OnDisk>) -> Self {
        let (saved, file) = on_disk
            .map(|on_disk| (Arc::new(on_disk.services), on_disk.file))
            .unzip();
        Self {
            policy,
            saved,
            file,
            tried: None,
        }
    }

    /// Whether these are to be written: they are not on disk, and it was not tried within the interval; `None`: for the last time.
    pub(super) fn is_due(&self, now: &Arc<OnceLocal>, interval: Option<Duration>) -> bool {
        let same = |saved: &Arc<OnceLocal>| {
            // At the end there may be more on disk: of another agent, and not heard of here yet.
            let last = interval.is_none();
            Arc::ptr_eq(saved, now) || saved == now || last && now.is_subset(saved)
        };
        let waited = |tried: Instant| interval.is_none_or(|interval| tried.elapsed() >= interval);
        !self.saved.as_ref().is_some_and(same) && self.tried.is_none_or(waited)
    }

    /// Writes them. Where another agent wrote meanwhile, also what that has: while one takes the other's place both keep them.
    /// Where there are none, the file is removed, and nothing written.
    pub(super) fn write(&mut self, directory: &Path, now: &Arc<OnceLocal>) -> io::Result<Written> {
        self.tried = Some(Instant::now());
        self.saved = None;
        let mut others = OnceLocal::new();
        if self.file != Some(file::identity(directory, NAME)?) {
            others = pruned(others_of(directory)?, &self.policy);
            others.retain(|service| !now.contains(service));
        }
        let all = if others.is_empty() {
            Arc::clone(now)
        } else {
            Arc::new(now.union(&others).cloned().collect())
        };
        self.file = None;
        let file = if all.is_empty() {
            file::remove_memory(directory, NAME)?;
            None
        } else {
            Some(file::write_memory(directory, NAME, &encode(&all))?)
        };
        let kept = file.is_some();
        self.file = Some(file);
        self.saved = Some(all);
        Ok(Written { kept, others })
    }
}

/// What is in a file that somebody else wrote. One that cannot be read now is not written over: it may be good. Nor is one of
/// another version, which is set aside: after a roll-back, the newer agent's.
fn others_of(directory: &Path) -> io::Result<OnceLocal> {
    match read(directory) {
        Ok(on_disk) => Ok(on_disk.services),
        Err(Unread::Failed(error)) => Err(error),
        Err(Unread::Version(problem)) => {
            let aside = file::set_aside(directory, NAME)?;
            warn!(
                aside = %aside.display(),
                problem,
                "which services were local once was written by another version: set aside"
            );
            Ok(OnceLocal::new())
        }
        // The start has told it, if it was so then.
        Err(Unread::NotUnderstood(_)) => Ok(OnceLocal::new()),
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

    fn on_disk(folder: &Path) -> OnceLocal {
        read(folder).unwrap().services
    }

    #[test]
    fn what_another_agent_wrote_is_taken_over_once_and_what_is_forgotten_goes_from_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(on_disk(folder), OnceLocal::new());
        let mut one = Memory::new(policy(), Some(read(folder).unwrap()));
        let mut other = Memory::new(policy(), Some(read(folder).unwrap()));
        let first = Arc::new(services(&[("shop", "db"), ("vault", "gone")]));
        assert!(one.is_due(&first, None));
        one.write(folder, &first).unwrap();
        assert!(!one.is_due(&first, None));
        assert_eq!(on_disk(folder), *first);
        let second = Arc::new(services(&[("shop", "cart")]));
        let written = other.write(folder, &second).unwrap();
        // Of the vault the policy says nothing any more.
        assert_eq!(written.others, services(&[("shop", "db")]));
        let both = Arc::new(services(&[("shop", "cart"), ("shop", "db")]));
        assert_eq!(on_disk(folder), *both);
        assert!(!other.is_due(&both, None) && !other.is_due(&second, None));
        assert!(other.is_due(&second, Some(Duration::ZERO)));
        // Its own file it does not read again: what it has forgotten is gone.
        let written = other.write(folder, &second).unwrap();
        assert_eq!(written.others, OnceLocal::new());
        assert_eq!(on_disk(folder), *second);
    }

    #[test]
    fn what_nothing_is_left_of_is_removed_and_what_is_no_service_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::new(RemotePolicy::default(), Some(OnDisk::default()));
        let some = Arc::new(services(&[("shop", "db")]));
        assert!(memory.write(folder.path(), &some).unwrap().kept);
        let none = Arc::new(OnceLocal::new());
        assert!(!memory.write(folder.path(), &none).unwrap().kept);
        assert_eq!(file::identity(folder.path(), NAME).unwrap(), None);
        memory.write(folder.path(), &none).unwrap();
        let odd = encode(&services(&[("shop", "Not a label")]));
        file::write_memory(folder.path(), NAME, &odd).unwrap();
        let problem = read(folder.path()).unwrap_err().to_string();
        assert_eq!(problem, "\"Not a label\" is no label");
    }

    #[test]
    fn what_cannot_be_read_now_and_what_another_version_wrote_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("once-local.memory");
        let now = Arc::new(services(&[("shop", "cart")]));
        let none = Arc::new(OnceLocal::new());
        // What is there can be opened and replaced, and reading it is an error of the device (EIO).
        std::os::unix::fs::symlink("/proc/self/mem", &path).unwrap();
        let mut memory = Memory::new(policy(), read(folder.path()).ok());
        for now in [&now, &none] {
            assert!(memory.is_due(now, None));
            memory.write(folder.path(), now).unwrap_err();
            assert!(path.is_symlink());
        }
        std::fs::remove_file(&path).unwrap();
        file::write_memory(folder.path(), NAME, &encode(&services(&[("shop", "db")]))).unwrap();
        let written = memory.write(folder.path(), &now).unwrap();
        assert_eq!(written.others, services(&[("shop", "db")]));

        let mut newer = std::fs::read(&path).unwrap();
        newer[7] += 1;
        for now in [&now, &none] {
            std::fs::write(&path, &newer).unwrap();
            let mut memory = Memory::new(policy(), read(folder.path()).ok());
            memory.write(folder.path(), now).unwrap();
            let aside = folder.path().join("once-local.memory.other-version");
            assert_eq!(std::fs::read(aside).unwrap(), newer);
            assert_eq!(on_disk(folder.path()), **now);
        }
    }
}
