//! How much is kept of one resource of one cluster: who answers may be anybody, and may never have enough.

use std::{
    collections::HashMap,
    fmt::{self, Write},
    hash::{BuildHasher as _, RandomState},
};

use super::objects::Object;

/// Objects of one resource: twenty times what the largest cluster has that this agent is measured with, and more than one etcd
/// is good for.
const MOST_OBJECTS: usize = 200_000;
/// What is kept of them together, in bytes as [`weight`] counts: 50 times what 10,000 services take.
const MOST_BYTES: usize = 256 << 20;

/// The objects that are kept, by a hash of their names.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    hashes: RandomState,
    weights: HashMap<u64, usize>,
    bytes: usize,
}

impl Bounds {
    /// Nothing any more.
    pub(super) fn clear(&mut self) {
        self.weights.clear();
        self.bytes = 0;
    }

    /// What is kept, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes an object as it is now, and gives its weight; the problem, if that is more than is kept.
    pub(super) fn put<K: Object>(&mut self, object: &K) -> Result<usize, String> {
        let weight = weight(object);
        let before = self.weights.insert(self.hash(object), weight);
        self.bytes = self.bytes.saturating_sub(before.unwrap_or_default()) + weight;
        check(self.weights.len(), self.bytes)?;
        Ok(weight)
    }

    /// An object is not kept any more.
    pub(super) fn remove<K: Object>(&mut self, object: &K) {
        let before = self.weights.remove(&self.hash(object));
        self.bytes = self.bytes.saturating_sub(before.unwrap_or_default());
    }

    fn hash<K: Object>(&self, object: &K) -> u64 {
        self.hashes.hash_one(object.key())
    }
}

/// The problem, if so much is more than is kept.
pub(super) fn check(objects: usize, bytes: usize) -> Result<(), String> {
    if objects > MOST_OBJECTS {
        return Err(format!(
            "there are more than {MOST_OBJECTS} objects: no cluster has so many; what was known is kept"
        ));
    }
    if bytes > MOST_BYTES {
        let most = MOST_BYTES >> 20;
        return Err(format!(
            "the objects are larger than {most} MiB together: no cluster's are; what was known is kept"
        ));
    }
    Ok(())
}

/// About as much as is kept of an object, in bytes: what was read of it, as text.
pub(super) fn weight<K: Object>(object: &K) -> usize {
    struct Length(usize);
    impl Write for Length {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.saturating_add(text.len());
            Ok(())
        }
    }
    let mut length = Length(0);
    // Counting does not fail.
    let _ = write!(length, "{object:?}");
    length.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::kubernetes::objects::Namespace;

    fn namespace(name: &str, label: usize) -> Namespace {
        let label = "x".repeat(label);
        let text = format!(
            r#"{{"metadata": {{"name": "{name}", "labels": {{"topology.istio.io/network": "{label}"}}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_is_replaced_or_goes_does_not_count_and_what_is_too_much_is_told() {
        let mut bounds = Bounds::default();
        let large = namespace("a", MOST_BYTES / 2);
        for _ in 0..3 {
            bounds.put(&large).unwrap();
        }
        bounds.remove(&large);
        bounds.remove(&large);
        assert_eq!((bounds.weights.len(), bounds.bytes), (0, 0));
        bounds.put(&large).unwrap();
        let problem = bounds.put(&namespace("b", MOST_BYTES / 2)).unwrap_err();
        assert!(problem.contains("larger than 256 MiB"), "{problem}");
        bounds.clear();
        for at in 0..MOST_OBJECTS {
            bounds.put(&namespace(&format!("n{at}"), 0)).unwrap();
        }
        let problem = bounds.put(&namespace("more", 0)).unwrap_err();
        assert!(problem.contains("more than 200000 objects"), "{problem}");
    }
}
