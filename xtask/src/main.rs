//! `cargo xtask <verb>`: the only way anything in this repository is run, by people and by continuous integration alike.

mod bench;
mod cache;
mod demo;
mod fuzz;
mod parts;
mod process;
mod progress;
mod soak;
mod table;
mod test;
mod toolbox;
mod tools;
mod wasm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs everything in this repository; sets up what is missing first.
///
/// New here? `cargo xtask demo` shows crossmesh at work on real traffic, `cargo xtask test` runs every check there is.
/// Both fetch what they need once, into a cache outside the checkout, and tell what they are doing meanwhile.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = ENVIRONMENT)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

const ENVIRONMENT: &str = "\
Environment:
  CROSSMESH_CACHE   where tools are kept (default: $XDG_CACHE_HOME/crossmesh, else ~/.cache/crossmesh)
  CROSSMESH_ENVOY, CROSSMESH_DIG, CROSSMESH_CURL, CROSSMESH_IP, CROSSMESH_KUBE_APISERVER, CROSSMESH_ETCD,
  CROSSMESH_COREDNS, CROSSMESH_HELM, CROSSMESH_FAKETIME, CROSSMESH_MUSL_GCC
                    a binary of your own to use instead of the tool that would be found or installed
  CROSSMESH_ISTIO_CRDS
                    a file of Istio's CustomResourceDefinitions of your own, likewise
  KUBEBUILDER_ASSETS
                    a folder with kube-apiserver and etcd, as envtest has it, to use instead of building them
  CARGO_TARGET_DIR  where builds go, as for cargo itself";

#[derive(Subcommand)]
enum Verb {
    Demo(demo::Args),
    Test(test::Args),
    Wasm(wasm::Args),
    Bench(bench::Args),
    Fuzz(fuzz::Args),
    Soak(soak::Args),
    Tools(tools::Args),
}

fn main() -> ExitCode {
    let done = match Args::parse().verb {
        Verb::Demo(args) => demo::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Wasm(args) => wasm::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Fuzz(args) => fuzz::run(&args),
        Verb::Soak(args) => soak::run(&args),
        Verb::Tools(args) => tools::run(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
