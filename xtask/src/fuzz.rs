//! `cargo xtask fuzz`: the fuzz targets under libFuzzer, guided by coverage.

mod outcome;

use std::fs;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cache::Cache;
use crate::process;
use crate::table;
use crate::toolbox::CXX;
use crate::workspace::Workspace;
use outcome::Outcome;

/// What makes rustc count coverage as libFuzzer reads it. All of it is stable, and no sanitizer's run-time is needed.
const INSTRUMENTED: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// An input that takes this many seconds is a find.
const SLOW: u32 = 10;

/// Longer inputs find nothing that shorter ones do not, and are slow.
const LONGEST: u32 = 4096;

/// Run the fuzz targets for a while: any bytes, wherever the policy and the filter read some
///
/// Begins with the kept corpus (fuzz/corpus) and what earlier runs left in the target folder. What makes a target panic is
/// made as small as it gets in a short time and kept in the corpus, where `cargo test --package crossmesh-fuzz` finds it
/// again; the command then fails. Prints executions, the code that was reached (edges of its control flow) and inputs
/// for each target.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this target: a folder's name in fuzz/corpus
    target: Option<String>,
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Afterwards replace the kept corpus by the fewest inputs that reach as much as all that are known
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let fuzzer = Fuzzer::build(&workspace, &Cache::find()?)?;
    let known = fuzzer.targets()?;
    let targets = match &args.target {
        None => known,
        Some(target) if known.contains(target) => vec![target.clone()],
        Some(target) => bail!(
            "there is no target {target}; there are {}",
            known.join(", ")
        ),
    };
    let found = fuzzer.run_all(&targets, args.seconds)?;
    if args.keep {
        for target in &targets {
            fuzzer.keep(target)?;
        }
    }
    Ok(if found {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The built fuzzer, and where its files are.
struct Fuzzer {
    program: PathBuf,
    /// Kept in the checkout, a folder for each target.
    kept: PathBuf,
    /// Not kept: what runs have found, by target.
    work: PathBuf,
}

impl Fuzzer {
    fn build(workspace: &Workspace, cache: &Cache) -> Result<Self> {
        CXX.ensure(cache)?;
        let host = host_triple()?;
        // In a folder of its own: with other flags everything is built anew, and would be again by the next ordinary build.
        let target = workspace.target().join("fuzz");
        let build = format!(
            "build --package crossmesh-fuzz --bin crossmesh-fuzz --profile fuzz --target {host}"
        );
        let mut cargo = workspace.cargo(&build);
        cargo
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", INSTRUMENTED.join(" "))
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        process::logged(
            "fuzz: building the targets with libFuzzer",
            &mut cargo,
            &workspace.log("fuzz-build"),
        )?;
        Ok(Self {
            program: target.join(host).join("fuzz/crossmesh-fuzz"),
            kept: workspace.root().join("fuzz/corpus"),
            work: target,
        })
    }

    fn targets(&self) -> Result<Vec<String>> {
        let folders =
            fs::read_dir(&self.kept).with_context(|| format!("reading {}", self.kept.display()))?;
        let mut targets = Vec::new();
        for folder in folders {
            targets.push(folder?.file_name().to_string_lossy().into_owned());
        }
        targets.sort();
        Ok(targets)
    }

    /// Whether something was found.
    fn run_all(&self, targets: &[String], seconds: u32) -> Result<bool> {
        let mut rows = vec![
            [
                "TARGET",
                "EXECUTIONS",
                "PER SECOND",
                "EDGES",
                "INPUTS",
                "FOUND",
            ]
            .map(str::to_owned),
        ];
        let mut finds = Vec::new();
        for target in targets {
            let outcome = self.run_one(target, seconds)?;
            let find = match &outcome.find {
                None => "nothing".to_owned(),
                Some(find) => {
                    let kept = self.keep_find(target, find)?;
                    finds.push(format!("{target}: {}\n{}", kept.display(), outcome.tail));
                    format!("{}", kept.file_name().unwrap_or_default().display())
                }
            };
            rows.push([
                target.clone(),
                outcome.executions.to_string(),
                (outcome.executions / u64::from(seconds.max(1))).to_string(),
                outcome.edges.to_string(),
                outcome.inputs.to_string(),
                find,
            ]);
        }
        let mut out = stdout().lock();
        writeln!(out, "{}", table::aligned(&rows))?;
        for find in &finds {
            writeln!(out, "found by {find}\n")?;
        }
        if !finds.is_empty() {
            writeln!(
                out,
                "mend it, and see with `cargo test --package crossmesh-fuzz` that it is mended; what was found stays in the corpus"
            )?;
        }
        Ok(!finds.is_empty())
    }

    fn run_one(&self, target: &str, seconds: u32) -> Result<Outcome> {
        let (inputs, finds) = (
            self.folder("corpus", target)?,
            self.folder("finds", target)?,
        );
        let mut fuzzer = self.fuzzer(target);
        fuzzer
            .arg(&inputs)
            .arg(self.kept.join(target))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", finds.display()))
            .arg(format!("-timeout={SLOW}"))
            .arg(format!("-max_len={LONGEST}"))
            .arg("-print_final_stats=1");
        let progress = crate::progress::Progress::begin(format!("fuzz: {target}, {seconds} s"));
        let log = self.work.join(format!("{target}.log"));
        let status = process::quiet(&mut fuzzer, &log)?;
        let said = fs::read(&log).with_context(|| format!("reading {}", log.display()))?;
        let outcome = Outcome::read(&String::from_utf8_lossy(&said))
            .with_context(|| format!("what libFuzzer says is in {}", log.display()))?;
        ensure!(
            status.success() || outcome.find.is_some(),
            "the fuzzer of {target} failed ({status}) and kept no input; its output is in {}",
            log.display()
        );
        progress.done();
        Ok(outcome)
    }

    /// Makes a find smaller and puts it into the corpus.
    fn keep_find(&self, target: &str, find: &Path) -> Result<PathBuf> {
        let small = find.with_extension("small");
        let mut fuzzer = self.fuzzer(target);
        fuzzer
            .args(["-minimize_crash=1", "-max_total_time=20"])
            .arg(format!("-exact_artifact_path={}", small.display()))
            .arg(find);
        // It says by failing that it could make it no smaller.
        process::quiet(
            &mut fuzzer,
            &self.work.join(format!("{target}.minimizing.log")),
        )?;
        let from = if small.is_file() { &small } else { find };
        let name = find.file_name().unwrap_or_default().to_string_lossy();
        let kept = self.kept.join(target).join(format!("find-{name}"));
        fs::copy(from, &kept).with_context(|| format!("writing {}", kept.display()))?;
        Ok(kept)
    }

    /// Replaces the kept corpus of a target, but for finds.
    fn keep(&self, target: &str) -> Result<()> {
        let (kept, known) = (self.kept.join(target), self.folder("corpus", target)?);
        let fewest = self.folder("fewest", target)?;
        fs::remove_dir_all(&fewest).and_then(|()| fs::create_dir(&fewest))?;
        let mut fuzzer = self.fuzzer(target);
        fuzzer
            .args(["-set_cover_merge=1", &format!("-max_len={LONGEST}")])
            .args([&fewest, &known, &kept]);
        process::logged(
            &format!("fuzz: {target}: the fewest inputs that reach as much"),
            &mut fuzzer,
            &self.work.join(format!("{target}.merging.log")),
        )?;
        for old in fs::read_dir(&kept)? {
            let old = old?;
            if !old.file_name().to_string_lossy().starts_with("find-") {
                fs::remove_file(old.path())?;
            }
        }
        for new in fs::read_dir(&fewest)? {
            let new = new?;
            fs::copy(new.path(), kept.join(new.file_name()))?;
        }
        Ok(())
    }

    fn fuzzer(&self, target: &str) -> Command {
        let mut fuzzer = Command::new(&self.program);
        fuzzer
            .env("CROSSMESH_FUZZ_TARGET", target)
            .stdin(Stdio::null())
            .current_dir(&self.work);
        fuzzer
    }

    fn folder(&self, what: &str, target: &str) -> Result<PathBuf> {
        let folder = self.work.join(what).join(target);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(folder)
    }
}

/// This machine, as rustc calls it. Named in the build, so that the flags reach no build script and no macro.
fn host_triple() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("-vV").output();
    let said = said.context("rustc could not be started")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
