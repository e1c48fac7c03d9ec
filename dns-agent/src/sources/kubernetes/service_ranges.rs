//! The ranges that a cluster gives its services' addresses from: what its ServiceCIDRs say (`networking.k8s.io`, Kubernetes
//! 1.33 and later). A remote address in one of them would lead to somebody else here.

use std::{collections::BTreeMap, sync::Arc};

use super::{objects::ServiceCidr, watch::Event, word::Word};
use crate::address_range::AddressRange;

/// What it is called in messages.
const NAME: &str = "servicecidrs";

#[derive(Debug)]
pub(super) struct ServiceRanges {
    /// By the objects' names.
    known: BTreeMap<String, Vec<AddressRange>>,
    /// Whether they were listed, or are known not to be had.
    listed: bool,
    found: Arc<[AddressRange]>,
}

impl ServiceRanges {
    /// None are known but those from `before`. Where they do not matter, nothing is waited for.
    pub(super) fn new(matter: bool, before: Option<Arc<[AddressRange]>>) -> Self {
        Self {
            known: BTreeMap::new(),
            listed: !matter,
            found: before.unwrap_or_default(),
        }
    }

    /// Takes what became known. While it cannot be had, what is known stays.
    pub(super) fn take(&mut self, event: Event<ServiceCidr>) -> Word {
        let word = match event {
            Event::Listed(objects) => {
                let read: Result<BTreeMap<_, _>, String> = objects.iter().map(read).collect();
                match read {
                    Ok(known) => self.known = known,
                    Err(problem) => return Word::of(NAME, problem),
                }
                self.listed = true;
                Word::Well
            }
            Event::Put(object) => match read(&object) {
                Ok((name, ranges)) => {
                    self.known.insert(name, ranges);
                    Word::None
                }
                Err(problem) => return Word::of(NAME, problem),
            },
            Event::Gone(object) => {
                self.known.remove(&object.metadata.name);
                Word::None
            }
            Event::Problem(problem) => return Word::Problem(problem),
            Event::Refused(problem) => {
                self.listed = true;
                return Word::Problem(problem);
            }
            Event::Well => return Word::Well,
        };
        self.found = self.known.values().flatten().copied().collect();
        word
    }

    /// Whether nothing is to be waited for.
    pub(super) fn is_listed(&self) -> bool {
        self.listed
    }

    /// All of them.
    pub(super) fn found(&self) -> Arc<[AddressRange]> {
        Arc::clone(&self.found)
    }
}

/// One that is being deleted counts as long as it is there: its addresses may still be in use.
fn read(object: &ServiceCidr) -> Result<(String, Vec<AddressRange>), String> {
    let ranges = object.spec.cidrs.iter().map(|text| {
        AddressRange::parse(text).ok_or_else(|| {
            format!(
                "the reply is not understood: \"{}\" is no range",
                text.escape_debug()
            )
        })
    });
    let ranges: Result<Vec<_>, String> = ranges.collect();
    Ok((object.metadata.name.clone(), ranges?))
}
