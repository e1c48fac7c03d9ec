//! `cargo xtask wasm`: the filter as Envoy loads it, built and checked.

mod exports;
mod module;
mod oci;

use std::fs;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::cache::Cache;
use crate::process;
use crate::toolbox::{WASM, WASM_TARGET};
use crate::workspace::Workspace;
use module::Module;

/// Every byte is sent to, compiled and kept by every sidecar: growing beyond this should be decided, not happen. Code that
/// each request runs is worth a few kilobytes if it then runs faster.
const SIZE_BUDGET: usize = 880 * 1024;

/// Build the filter and check that Envoy can load it
///
/// Builds crossmesh-filter for wasm32-unknown-unknown, checks what the module imports and exports and how big it is, and
/// leaves it as `wasm/crossmesh_filter.wasm` in the target folder.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also write the filter into this folder as an OCI image layout that Istio's agent can load, and print its digest
    #[arg(long, value_name = "DIR")]
    oci: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let filter = build(&Workspace::find()?, &Cache::find()?)?;
    let Filter {
        path,
        size,
        imports,
    } = &filter;
    let mut out = stdout().lock();
    writeln!(out, "{}", path.display())?;
    writeln!(out, "size: {size} bytes of a budget of {SIZE_BUDGET}")?;
    writeln!(
        out,
        "host functions: {}, all of which Envoy provides",
        imports.len()
    )?;
    if let Some(folder) = &args.oci {
        let module = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let digest = oci::write(folder, &module)?;
        writeln!(out, "image layout: {}", folder.display())?;
        writeln!(out, "sha256: {digest}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A filter that Envoy can load.
pub(crate) struct Filter {
    /// The module's file.
    pub(crate) path: PathBuf,
    /// In bytes.
    size: usize,
    imports: Vec<String>,
}

/// Builds and checks the filter, setting up the compiler's target if it is missing.
pub(crate) fn build(workspace: &Workspace, cache: &Cache) -> Result<Filter> {
    WASM_TARGET.ensure(cache)?;
    // The cdylib alone: link-time optimisation is not done for one that has an rlib beside it.
    let build = format!(
        "rustc --package crossmesh-filter --lib --crate-type cdylib --target {WASM} --profile wasm"
    );
    let mut cargo = workspace.cargo(&build);
    process::logged(
        "filter: building for Envoy",
        &mut cargo,
        &workspace.log("wasm"),
    )?;

    let built = workspace
        .target()
        .join(WASM)
        .join("wasm/crossmesh_filter.wasm");
    let bytes = fs::read(&built).with_context(|| {
        format!("{} was not built: crossmesh-filter must be a `cdylib` (crate-type in filter/Cargo.toml)", built.display())
    })?;
    let imports = Module::read(&bytes)?.check()?;
    ensure!(
        bytes.len() <= SIZE_BUDGET,
        "the filter is {} bytes, {} more than its budget; find what grew, or raise SIZE_BUDGET in xtask/src/wasm.rs and say \
         why in the change",
        bytes.len(),
        bytes.len() - SIZE_BUDGET
    );

    // Copied beside and renamed: a proxy may be reading the old one.
    let path = workspace.target().join("wasm/crossmesh_filter.wasm");
    let beside = path.with_extension("wasm.partial");
    let folder = workspace.target().join("wasm");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    fs::write(&beside, &bytes).with_context(|| format!("writing {}", beside.display()))?;
    fs::rename(&beside, &path).with_context(|| format!("creating {}", path.display()))?;
    Ok(Filter {
        path,
        size: bytes.len(),
        imports,
    })
}
