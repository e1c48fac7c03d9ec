//! Every target with what the fuzzer kept, and with some bytes more: what was found once stays found, without the fuzzer.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use crossmesh_fuzz::TARGETS;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target)
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder(target);
    let mut inputs: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn what_the_fuzzer_kept_finds_nothing() {
    for (name, run) in TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for (path, bytes) in inputs {
            // Shown if the target panics.
            println!("{}", path.display());
            run(&bytes);
        }
    }
}

/// Without guidance, but also with what is made of the corpus by changing a few bytes of it.
#[test]
fn bytes_near_the_corpus_find_nothing() {
    for (name, run) in TARGETS {
        let inputs: Vec<Vec<u8>> = corpus(name).into_iter().map(|(_, bytes)| bytes).collect();
        let changed = (
            prop::sample::select(inputs),
            vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            any::<prop::sample::Index>(),
        )
            .prop_map(|(mut bytes, changes, end)| {
                if !bytes.is_empty() {
                    for (at, byte) in changes {
                        let at = at.index(bytes.len());
                        bytes[at] = byte;
                    }
                    bytes.truncate(end.index(bytes.len() * 2));
                }
                bytes
            });
        let any_bytes = prop_oneof![3 => changed, 1 => vec(any::<u8>(), 0..400)];
        let config = ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(1000)
        };
        let outcome = TestRunner::new(config).run(&any_bytes, |bytes| {
            run(&bytes);
            Ok(())
        });
        if let Err(found) = outcome {
            panic!("{name}: {found}");
        }
    }
}

#[test]
fn every_folder_of_the_corpus_is_a_targets() {
    for entry in fs::read_dir(folder("")).unwrap() {
        let name = entry.unwrap().file_name();
        let is_target = TARGETS.iter().any(|(target, _)| *target == name);
        assert!(is_target, "{}: no target reads this", name.display());
    }
}
