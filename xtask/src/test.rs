//! `cargo xtask test`: every check there is, in stages, with a count at the end.

mod report;
mod stage;
mod tally;

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cache::Cache;
use crate::parts::{self, Parts};
use crate::process;
use crate::progress::Progress;
use crate::toolbox::{Users, WASM};
use crate::tools;
use crate::wasm::{self, Filter};
use crate::workspace::Workspace;
use report::{Ended, How};
use stage::Stage;
use tally::Tally;

/// Run every check: format, lints, documentation, unit tests, and end-to-end tests with the real Envoy and filter
///
/// Sets up what is missing, runs the stages one after another (a failure does not stop those that do not build on it),
/// and prints a table of them. The last line is `N passed, N failed`: the tests that passed; the tests that failed, plus
/// one for each stage that failed for another reason. An ignored test is a failure: what did not run did not pass.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only this stage and those it builds on; may be given several times
    #[arg(long, value_enum, value_name = "STAGE")]
    only: Vec<Stage>,
    /// Run only the tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut run = Run {
        workspace: Workspace::find()?,
        cache: Cache::find()?,
        filter: None,
        name: args.name.clone(),
    };
    let mut ended: Vec<Ended> = Vec::new();
    for stage in stage::selected(&args.only) {
        let lacking = stage.needs().iter().find(|need| {
            ended
                .iter()
                .any(|e| e.stage == **need && e.how != How::Passed)
        });
        if let Some(need) = lacking {
            ended.push(Ended::not_run(
                stage,
                format!("not run, because {need} failed"),
            ));
            continue;
        }
        let begun = Instant::now();
        let mut tally = Tally::default();
        let result = run.stage(stage, &mut tally);
        if let Err(error) = &result {
            eprintln!("{stage} failed: {error:#}");
        }
        ended.push(Ended::new(stage, begun.elapsed(), tally, result));
    }
    write!(stdout(), "\n{}", report::text(&ended))?;
    Ok(if ended.iter().all(|e| e.how == How::Passed) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What later stages take from earlier ones.
struct Run {
    workspace: Workspace,
    cache: Cache,
    filter: Option<Filter>,
    /// What the names of the tests to run contain.
    name: Option<String>,
}

impl Run {
    fn stage(&mut self, stage: Stage, tally: &mut Tally) -> Result<()> {
        match stage {
            Stage::Tools => tools::install(&self.cache, Users::DemoAndTests),
            Stage::Format => {
                self.require("fmt", "rustfmt")?;
                self.check("format: cargo fmt", "format", "fmt --all --check")
                    .context("not formatted; `cargo fmt --all` mends it")
            }
            Stage::Clippy => {
                self.require("clippy", "clippy")?;
                let native = "clippy --workspace --all-targets -- -D warnings";
                let filter =
                    format!("clippy --package crossmesh-filter --target {WASM} -- -D warnings");
                self.check("clippy: the workspace", "clippy", native)?;
                self.check("clippy: the filter as WebAssembly", "clippy-wasm", &filter)
            }
            Stage::Doc => {
                // With private items, and links to them: its readers are the people who work on it.
                let doc = "doc --workspace --no-deps --document-private-items";
                self.check("doc: rustdoc", "doc", doc)
            }
            Stage::Wasm => {
                self.filter = Some(wasm::build(&self.workspace, &self.cache)?);
                Ok(())
            }
            Stage::Unit => self.tests("unit", "--workspace --exclude crossmesh-e2e", None, tally),
            Stage::Binaries => parts::build(&self.workspace),
            Stage::Kubernetes => tools::install(&self.cache, Users::Tests),
            Stage::E2e => {
                let filter = self.filter.as_ref().context("the stage wasm comes first")?;
                let users = [Users::DemoAndTests, Users::Tests];
                let parts = Parts::find(&self.workspace, &self.cache, filter, &users)?;
                self.tests("e2e", "--package crossmesh-e2e", Some(&parts), tally)
            }
        }
    }

    /// Names the mend if rustup left a component out.
    fn require(&self, subcommand: &str, component: &str) -> Result<()> {
        let log = self.workspace.log(&format!("{component}-version"));
        let found = process::quiet(
            &mut self.workspace.cargo(&format!("{subcommand} --version")),
            &log,
        )?;
        ensure!(
            found.success(),
            "{component} is not installed; `rustup component add {component}` brings it"
        );
        Ok(())
    }

    fn check(&self, what: &str, name: &str, arguments: &str) -> Result<()> {
        let mut cargo = self.workspace.cargo(arguments);
        cargo.env(
            "RUSTDOCFLAGS",
            "-D warnings -A rustdoc::private-intra-doc-links",
        );
        process::logged(what, &mut cargo, &self.workspace.log(name))
    }

    fn tests(
        &self,
        name: &str,
        selection: &str,
        parts: Option<&Parts>,
        tally: &mut Tally,
    ) -> Result<()> {
        let build = format!("test --no-run --message-format json-render-diagnostics {selection}");
        let mut cargo = self.workspace.cargo(&build);
        let log = self.workspace.log(&format!("{name}-build"));
        tally.learn(&process::captured(
            &format!("{name}: building the tests"),
            &mut cargo,
            &log,
        )?);

        let mut cargo = self
            .workspace
            .cargo(&format!("test --no-fail-fast --color never {selection}"));
        if let Some(name) = &self.name {
            cargo.arg("--").arg(name);
        }
        // What a test prints uncaught would stand in the way of the lines that are counted.
        cargo.env_remove("RUST_TEST_NOCAPTURE");
        if let Some(parts) = parts {
            parts.tell(&mut cargo);
        }
        let log = self.workspace.log(name);
        let progress = Progress::begin_streaming(format!("{name}: running the tests"));
        let status = process::streamed(&mut cargo, &log, &mut stdout(), |line| tally.read(line))?;
        let sum = tally.sum();
        if sum.failed > 0 {
            bail!(
                "{} of its tests failed; their output is above and in {}",
                sum.failed,
                log.display()
            );
        }
        ensure!(
            status.success(),
            "no test failed, but `{}` did ({status}): see above",
            process::line(&cargo)
        );
        ensure!(
            sum.ignored == 0,
            "{} of its tests are ignored; a test that does not run proves nothing",
            sum.ignored
        );
        ensure!(sum.passed > 0, "not a single test ran");
        progress.done();
        Ok(())
    }
}
