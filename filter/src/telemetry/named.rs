//! Which label values have metrics of their own.
//!
//! Envoy forgets no metric as long as it runs. So what is remembered here is all VMs': were each policy to count anew,
//! meshes and rules that are renamed again and again would make metrics without end; were each VM to, a new one would, such
//! as that in which Envoy tries every configuration. Envoy forgets it only with the last plugin of the same `vm_id`
//! (proxy-wasm-cpp-host, `SharedData::deleteByVmId`).

use std::collections::BTreeSet;

use crate::host::{self, Level};

/// How often it is tried again when another VM was quicker.
const TRIES: usize = 16;

/// How many bytes the names can take: 10,000, the highest bound that a policy may set, of at most 63 bytes and a newline.
/// Shared data is anybody's with the same `vm_id`: what is longer is not from here, and is not read.
const MOST_BYTES: usize = 10_000 * 64;

/// Those of the values that have metrics of their own: they have some already, or fewer than `most` values have.
pub(super) fn admitted<'v>(bounded: &str, values: &[&'v str], most: u16) -> BTreeSet<&'v str> {
    let key = format!("crossmesh {bounded}");
    for _ in 0..TRIES {
        let (known, version, failure) = match host::shared(&key) {
            Ok((known, version)) => (known, version, None),
            Err(failure) => (host::Answer::default(), 0, Some(failure)),
        };
        if known.len() > MOST_BYTES {
            let told =
                format!("no {bounded} are told apart: shared data {key:?} is another plugin's");
            host::log(Level::Warn, &told);
            break;
        }
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
            Ok(true) if version != 0 || all.len() == before => return own,
            // Another VM was quicker; or may have been, where there was nothing to compare with: the next round sees what is
            // there now.
            Ok(_) => {}
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
