//! One target under libFuzzer, which brings the program's beginning and its command line; `CROSSMESH_FUZZ_TARGET` says
//! which target. Built without the fuzzer it runs the inputs in the files that are given, once each.
#![cfg_attr(fuzzing, no_main)]

use std::process::exit;

use crossmesh_fuzz::{TARGETS, Target, target};

const VARIABLE: &str = "CROSSMESH_FUZZ_TARGET";

fn chosen() -> Target {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!(
            "{VARIABLE} is {name:?}; set it to a target: {}",
            names.join(", ")
        );
        exit(2);
    })
}

#[cfg(fuzzing)]
mod fuzzer {
    use std::sync::LazyLock;

    static CHOSEN: LazyLock<crossmesh_fuzz::Target> = LazyLock::new(super::chosen);

    libfuzzer_sys::fuzz_target!(init: { LazyLock::force(&CHOSEN); }, |bytes: &[u8]| {
        let (_, run) = *CHOSEN;
        run(bytes);
    });
}

#[cfg(not(fuzzing))]
fn main() {
    let (name, run) = chosen();
    for file in std::env::args_os().skip(1) {
        let shown = file.to_string_lossy().into_owned();
        let bytes = std::fs::read(&file).unwrap_or_else(|error| {
            eprintln!("{shown}: {error}");
            exit(1);
        });
        run(&bytes);
        println!("{name}: {shown}: nothing found");
    }
}
