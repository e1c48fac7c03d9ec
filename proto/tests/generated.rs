//! The committed code is what the schema says.
#![cfg(test)]

use std::{fs, path::Path};

const SCHEMAS: [&str; 4] = [
    "crossmesh/admin/v1/explain.proto",
    "crossmesh/admin/v1/status.proto",
    "crossmesh/admin/v1/table.proto",
    "crossmesh/snapshot/v1/snapshot.proto",
];

#[test]
fn the_committed_code_is_what_the_schema_generates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = tempfile::tempdir().unwrap();
    let descriptors = protox::compile(SCHEMAS, [root.join("schema")]).unwrap();
    prost_build::Config::new()
        .out_dir(fresh.path())
        .compile_fds(descriptors)
        .unwrap();

    let bless = std::env::var_os("CROSSMESH_BLESS").is_some();
    let committed = root.join("src/gen");
    let mut generated: Vec<_> = fs::read_dir(fresh.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    generated.sort();
    for name in &generated {
        let text = fs::read_to_string(fresh.path().join(name)).unwrap();
        if bless {
            fs::write(committed.join(name), &text).unwrap();
        }
        let current = fs::read_to_string(committed.join(name)).unwrap_or_default();
        assert!(
            current == text,
            "src/gen/{} is not what schema/ generates; run `CROSSMESH_BLESS=1 cargo test -p crossmesh-proto` and \
             commit the result",
            name.display()
        );
    }

    let mut present: Vec<_> = fs::read_dir(&committed)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    present.sort();
    assert_eq!(
        present, generated,
        "src/gen has files that no schema generates; remove them"
    );
}
