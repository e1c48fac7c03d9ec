//! What the filter exports, and how a built module comes to export that and nothing else.
//!
//! Envoy calls every callback that a module exports, whether or not it does anything, and each call costs: the SDK
//! exports all that the ABI knows. Those of TCP the filter brings itself, because the SDK's end the VM where a context
//! turns out to be a connection (`filter/src/host/connections.rs` says more); here they get Envoy's names.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, anyhow, ensure};
use walrus::{ExportItem, ModuleConfig};

/// Name for Envoy, name in the module as it was built.
const EXPORTS: [(&str, &str); 14] = [
    // What is no callback: memory and who fills it, what runs first, by which Envoy knows the ABI.
    ("memory", "memory"),
    ("malloc", "malloc"),
    ("_initialize", "_initialize"),
    ("proxy_abi_version_0_2_1", "proxy_abi_version_0_2_1"),
    // Every context's.
    ("proxy_on_context_create", "proxy_on_context_create"),
    ("proxy_on_delete", "proxy_on_delete"),
    // The root context's. Without proxy_on_vm_start Envoy takes the start for granted, which is what the SDK answers.
    ("proxy_on_configure", "proxy_on_configure"),
    ("proxy_on_tick", "proxy_on_tick"),
    // A request's. There is neither proxy_on_log nor proxy_on_done: what is told at the end is told in proxy_on_delete.
    ("proxy_on_request_headers", "proxy_on_request_headers"),
    // Called only where there are trailers.
    ("proxy_on_request_trailers", "proxy_on_request_trailers"),
    ("proxy_on_response_headers", "proxy_on_response_headers"),
    // A connection's.
    ("proxy_on_new_connection", "crossmesh_on_new_connection"),
    ("proxy_on_downstream_data", "crossmesh_on_downstream_data"),
    ("proxy_on_upstream_data", "crossmesh_on_upstream_data"),
];

/// What Envoy may see.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    EXPORTS.into_iter().map(|(name, _)| name)
}

/// The module with exactly these exports, and without what only others used.
pub(super) fn strip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut config = ModuleConfig::new();
    config.generate_producers_section(false);
    config.generate_name_section(false);
    let mut module = config
        .parse(bytes)
        .map_err(|error| anyhow!("{error:#}"))
        .context("the filter is no WebAssembly module")?;
    let mut wanted: Vec<(&str, ExportItem)> = Vec::new();
    for (name, built) in EXPORTS {
        let export = module.exports.iter().find(|export| export.name == built);
        if let Some(export) = export {
            wanted.push((name, export.item));
        }
    }
    let all: Vec<_> = module.exports.iter().map(walrus::Export::id).collect();
    for export in all {
        module.exports.delete(export);
    }
    for (name, item) in wanted {
        module.exports.add(name, item);
    }
    walrus::passes::gc::run(&mut module);
    Ok(module.emit_wasm())
}

/// That a module exports what it must, and nothing else.
pub(super) fn check(exports: &[String]) -> Result<()> {
    let exports: BTreeSet<&str> = exports.iter().map(String::as_str).collect();
    for (name, built) in EXPORTS {
        ensure!(
            exports.contains(name),
            "the filter does not export {name} (as {built}, before it is stripped): without it Envoy would not load the \
             module, or never call what the filter does there"
        );
    }
    let known = |export: &str| EXPORTS.iter().any(|(name, _)| *name == export);
    let unknown: Vec<&str> = exports.into_iter().filter(|name| !known(name)).collect();
    ensure!(
        unknown.is_empty(),
        "the filter exports {}, which xtask/src/wasm/exports.rs does not list",
        unknown.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// How the SDK's traits call what Envoy calls otherwise; the others have the same name after `proxy_`.
    const RENAMED: [(&str, &str); 3] = [
        ("on_http_request_headers", "proxy_on_request_headers"),
        ("on_http_request_trailers", "proxy_on_request_trailers"),
        ("on_http_response_headers", "proxy_on_response_headers"),
    ];
    /// What is called whenever the SDK's are: the SDK itself makes and drops contexts in these.
    const ALWAYS: [&str; 2] = ["proxy_on_context_create", "proxy_on_delete"];

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// The callbacks that the filter implements, by the names that Envoy has for them.
    fn implemented() -> BTreeSet<String> {
        let mut files = Vec::new();
        let filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../filter/src");
        sources(&filter, &mut files);
        let mut callbacks: BTreeSet<String> = ALWAYS.map(str::to_owned).into();
        for file in files {
            for line in fs::read_to_string(&file).unwrap().lines() {
                let line = line.trim_start();
                // Methods of the SDK's traits are never public; our own functions of TCP are exported by name.
                let name = line
                    .strip_prefix("fn ")
                    .filter(|name| name.starts_with("on_"))
                    // In parts, because a test looks for the whole where it must not be.
                    .or_else(|| line.strip_prefix(concat!("extern ", "\"C\" fn crossmesh_")));
                if let Some(name) = name.and_then(|name| name.split('(').next()) {
                    let renamed = RENAMED.iter().find(|(sdk, _)| *sdk == name);
                    let name =
                        renamed.map_or(format!("proxy_{name}"), |(_, envoy)| (*envoy).to_owned());
                    callbacks.insert(name);
                }
            }
        }
        callbacks
    }

    #[test]
    fn every_callback_that_the_filter_implements_is_exported_and_no_other() {
        let listed = names().filter(|name| name.starts_with("proxy_on_"));
        assert_eq!(
            listed.map(str::to_owned).collect::<BTreeSet<_>>(),
            implemented()
        );
    }

    #[test]
    fn a_module_is_left_with_what_is_listed_under_envoys_names() {
        // (module (memory (export "memory") 1) (func (export …)) …), each function empty and exported under its name.
        let functions: Vec<&str> = EXPORTS
            .into_iter()
            .map(|(_, built)| built)
            .filter(|built| *built != "memory")
            .chain(["proxy_on_log", "proxy_on_new_connection"])
            .collect();
        let count = u8::try_from(functions.len()).unwrap();
        let section = |id: u8, content: Vec<u8>| {
            let size = u32::try_from(content.len()).unwrap();
            // LEB128 of two bytes holds any size here.
            let [.., high, low] = (size << 1).to_be_bytes();
            let size = [(low >> 1) | 0x80, high];
            [&[id][..], &size, &content].concat()
        };
        let mut exports = vec![count + 1];
        let mut export = |name: &str, kind: u8, index: u8| {
            exports.push(u8::try_from(name.len()).unwrap());
            exports.extend(name.bytes());
            exports.extend([kind, index]);
        };
        export("memory", 2, 0);
        for (index, name) in (0..).zip(&functions) {
            export(name, 0, index);
        }
        let mut bodies = vec![count];
        for _ in &functions {
            bodies.extend([2, 0, 0x0b]);
        }
        let module = [
            b"\0asm\x01\0\0\0".to_vec(),
            section(1, vec![1, 0x60, 0, 0]),
            section(3, [vec![count], vec![0; functions.len()]].concat()),
            section(5, vec![1, 0, 1]),
            section(7, exports),
            section(10, bodies),
        ]
        .concat();
        let stripped = strip(&module).unwrap();
        let left = super::super::module::Module::read(&stripped).unwrap();
        assert_eq!(
            left.exports().collect::<BTreeSet<_>>(),
            names().collect::<BTreeSet<_>>()
        );
        // The SDK's own of the same name is gone with its function.
        assert!(stripped.len() < module.len());
        assert!(check(&["proxy_on_log".to_owned()]).is_err());
    }
}
