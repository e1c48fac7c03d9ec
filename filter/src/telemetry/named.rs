//! Which label values have metrics of their own.
//!
//! Envoy forgets no metric as long as it runs. So what is remembered here is all VMs' and outlives them: were each policy to
//! count anew, meshes and rules that are renamed again and again would make metrics without end; were each VM to, a new one
//! would, such as that in which Envoy tries every configuration.

use std::collections::BTreeSet;

use crate::host::{self, Level};

/// How often it is tried again when another VM was quicker.
const TRIES: usize = 16;

/// Those of the values that have metrics of their own: they have some already, or fewer than `most` values have.
pub(super) fn admitted<'v>(bounded: &str, values: &[&'v str], most: u16) -> BTreeSet<&'v str> {
    let key = format!("crossmesh {bounded}");
    for _ in 0..TRIES {
        let (known, version, failure) = match host::shared(&key) {
            Ok((known, version)) => (known, version, None),
            Err(failure) => (Vec::new(), 0, Some(failure)),
        };
        let mut all = BTreeSet::new();
        for value in std::str::from_utf8(&known).unwrap_or_default().split('\n') {
            if !value.is_empty() {
                all.insert(value);
            }
        }
        let before = all.len();
        let mut own = BTreeSet::new();
        for value in values {
            if all.contains(value) || all.len() < usize::from(most) {
                all.insert(value);
                own.insert(*value);
            }
        }
        let stored = match failure {
            Some(failure) => Err(failure),
            None if all.len() == before => Ok(true),
            None => host::set_shared(&key, &joined(&all), version),
        };
        match stored {
            Ok(true) => return own,
            // Another VM was quicker.
            Ok(false) => {}
            Err(failure) => {
                let told = format!("how many {bounded} are told apart is bounded anew: {failure}");
                host::log(Level::Warn, &told);
                return own;
            }
        }
    }
    BTreeSet::new()
}

fn joined(values: &BTreeSet<&str>) -> String {
    let mut joined = String::new();
    for value in values {
        joined.push_str(value);
        joined.push('\n');
    }
    joined
}
