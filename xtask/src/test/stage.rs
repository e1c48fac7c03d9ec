//! The stages of `cargo xtask test`, and which builds on which.

use std::fmt;

use clap::ValueEnum;

/// A stage. Their order here is the order in which they run: the quick ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Stage {
    /// Find or install what demo and tests need, but for clusters
    Tools,
    /// rustfmt
    Format,
    /// Lints, warnings denied; the filter also as WebAssembly
    Clippy,
    /// rustdoc, warnings denied: no broken link
    Doc,
    /// Build and check the filter
    Wasm,
    /// Unit, task, documentation and tidy tests of every crate but the end-to-end one
    Unit,
    /// Build the dns-agent, the command line and the demo
    Binaries,
    /// Find or build what the tests' clusters are made of: kube-apiserver, etcd, CoreDNS, helm
    Kubernetes,
    /// End-to-end tests: the real Envoy, the real filter, real clients, real API servers
    E2e,
}

impl Stage {
    /// The stages without whose success this one cannot run.
    pub(crate) fn needs(self) -> &'static [Self] {
        match self {
            Self::Tools
            | Self::Format
            | Self::Doc
            | Self::Unit
            | Self::Binaries
            | Self::Kubernetes => &[],
            Self::Clippy | Self::Wasm => &[Self::Tools],
            Self::E2e => &[Self::Tools, Self::Wasm, Self::Binaries, Self::Kubernetes],
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its `Debug` is one word; as `--only` writes it.
        f.pad(&format!("{self:?}").to_lowercase())
    }
}

/// The stages of `only`, and those they need, in order; all if `only` is empty.
pub(crate) fn selected(only: &[Stage]) -> Vec<Stage> {
    let all = Stage::value_variants();
    if only.is_empty() {
        return all.to_vec();
    }
    // A stage needs only stages before it, and names all of them: one step back suffices.
    let wanted = |stage: &Stage| {
        only.iter()
            .any(|asked| asked == stage || asked.needs().contains(stage))
    };
    all.iter().copied().filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stage::{Clippy, E2e, Format, Tools, Unit};

    #[test]
    fn a_stage_brings_those_that_it_needs() {
        assert_eq!(selected(&[Format]), [Format]);
        assert_eq!(selected(&[Unit, Clippy]), [Tools, Clippy, Unit]);
        assert_eq!(
            selected(&[E2e]),
            [Tools, Stage::Wasm, Stage::Binaries, Stage::Kubernetes, E2e]
        );
        assert_eq!(selected(&[]), Stage::value_variants());
    }

    #[test]
    fn needs_come_before_and_are_complete() {
        for stage in Stage::value_variants() {
            for need in stage.needs() {
                assert!(need < stage, "{need} must run before {stage}");
                assert!(
                    need.needs().iter().all(|n| stage.needs().contains(n)),
                    "{stage} must name what {need} needs"
                );
            }
        }
    }

    #[test]
    fn stages_are_written_as_the_option_takes_them() {
        for stage in Stage::value_variants() {
            assert_eq!(Stage::from_str(&stage.to_string(), false), Ok(*stage));
        }
    }
}
