//! What a WebAssembly module imports and exports, and whether Envoy can serve that.

use anyhow::{Context as _, Result, ensure};
use wasmparser::{Parser, Payload};

use super::exports;

/// The host functions of Proxy-Wasm ABI 0.2.1 as Envoy's host provides them, without their prefix `proxy_`
/// (proxy-wasm-cpp-host, include/proxy-wasm/exports.h; of the functions special to an ABI, those of 0.2.1).
///
/// Envoy refuses a module that imports anything else, and tells so only when it loads it.
const HOST_FUNCTIONS: [&str; 39] = [
    "add_header_map_value",
    "call_foreign_function",
    "close_stream",
    "continue_stream",
    "define_metric",
    "dequeue_shared_queue",
    "done",
    "enqueue_shared_queue",
    "get_buffer_bytes",
    "get_buffer_status",
    "get_current_time_nanoseconds",
    "get_header_map_pairs",
    "get_header_map_size",
    "get_header_map_value",
    "get_log_level",
    "get_metric",
    "get_property",
    "get_shared_data",
    "get_status",
    "grpc_call",
    "grpc_cancel",
    "grpc_close",
    "grpc_send",
    "grpc_stream",
    "http_call",
    "increment_metric",
    "log",
    "record_metric",
    "register_shared_queue",
    "remove_header_map_value",
    "replace_header_map_value",
    "resolve_shared_queue",
    "send_local_response",
    "set_buffer_bytes",
    "set_effective_context",
    "set_header_map_pairs",
    "set_property",
    "set_shared_data",
    "set_tick_period_milliseconds",
];

/// The names on a module's border.
pub(super) struct Module {
    /// Module and name of each import.
    imports: Vec<(String, String)>,
    exports: Vec<String>,
}

impl Module {
    /// Reads the import and export sections.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let mut module = Self {
            imports: Vec::new(),
            exports: Vec::new(),
        };
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.context("the filter is no WebAssembly module")? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import.context("the filter's import section is damaged")?;
                        module
                            .imports
                            .push((import.module.to_owned(), import.name.to_owned()));
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        module.exports.push(
                            export
                                .context("the filter's export section is damaged")?
                                .name
                                .to_owned(),
                        );
                    }
                }
                _ => {}
            }
        }
        Ok(module)
    }

    /// The host functions that the module calls, if Envoy can load it.
    pub(super) fn check(&self) -> Result<Vec<String>> {
        let foreign: Vec<String> = self
            .imports
            .iter()
            .filter(|(module, name)| !provided(module, name))
            .map(|(module, name)| format!("{module}.{name}"))
            .collect();
        ensure!(
            foreign.is_empty(),
            "Envoy provides no {}, so it would refuse the filter; only Proxy-Wasm's host functions (module `env`, `proxy_…`) \
             may be imported: look for a dependency that wants an operating system or JavaScript",
            foreign.join(", ")
        );
        exports::check(&self.exports)?;
        let mut names: Vec<String> = self.imports.iter().map(|(_, name)| name.clone()).collect();
        names.sort_unstable();
        Ok(names)
    }
}

fn provided(module: &str, name: &str) -> bool {
    module == "env"
        && name
            .strip_prefix("proxy_")
            .is_some_and(|name| HOST_FUNCTIONS.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(imports: &[(&str, &str)], exports: &[&str]) -> Module {
        Module {
            imports: imports
                .iter()
                .map(|(module, name)| ((*module).to_owned(), (*name).to_owned()))
                .collect(),
            exports: exports.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[track_caller]
    fn check(imports: &[(&str, &str)], exports: &[&str], refused_for: Option<&str>) {
        match (module(imports, exports).check(), refused_for) {
            (Ok(_), None) => {}
            (Err(error), Some(reason)) => assert!(error.to_string().contains(reason), "{error}"),
            (checked, expected) => panic!("{checked:?}, but expected {expected:?}"),
        }
    }

    #[test]
    fn only_what_envoy_can_load_passes() {
        let fine: Vec<&str> = exports::names().collect();
        check(
            &[("env", "proxy_log"), ("env", "proxy_get_property")],
            &fine,
            None,
        );
        check(&[("env", "proxy_logs")], &fine, Some("env.proxy_logs"));
        check(&[("env", "log")], &fine, Some("env.log"));
        check(
            &[("wasi_snapshot_preview1", "fd_write")],
            &fine,
            Some("wasi_snapshot_preview1.fd_write"),
        );
        check(
            &[("__wbindgen_placeholder__", "proxy_log")],
            &fine,
            Some("__wbindgen_placeholder__.proxy_log"),
        );
        check(&[], &["malloc"], Some("does not export memory"));
        let more = [&fine[..], &["__heap_base", "proxy_on_log"]].concat();
        check(&[], &more, Some("exports proxy_on_log"));
    }

    #[test]
    fn imports_and_exports_are_read_from_the_binary_format() {
        // (module (import "env" "f" (func)) (export "g" (func 0))), by hand: the specification's sections 1, 2 and 7.
        let bytes =
            b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x09\x01\x03env\x01f\0\0\x07\x05\x01\x01g\0\0";
        let module = Module::read(bytes).unwrap();
        assert_eq!(module.imports, [("env".to_owned(), "f".to_owned())]);
        assert_eq!(module.exports, ["g"]);
        assert!(Module::read(b"no module").is_err());
    }
}
