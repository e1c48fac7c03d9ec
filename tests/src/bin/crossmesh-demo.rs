//! Two meshes on this machine, and a story told with real commands. Run it by `cargo xtask demo`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use crossmesh_e2e::story;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Two meshes on this machine, and a story told with real commands
#[derive(Parser)]
#[command(name = "crossmesh-demo", version)]
struct Args {
    /// Leave everything running at the end and print what to try; Ctrl-C ends it
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("crossmesh-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = Signals::catch()?;
        // Whichever way this ends, the story's future is dropped, and with it every process and every file.
        tokio::select! {
            told = story::tell(args.keep) => told.map(|()| ExitCode::SUCCESS),
            code = signals.next() => {
                eprintln!("\ncrossmesh-demo: stopping everything");
                Ok(ExitCode::from(code))
            }
        }
    })
}

/// The signals that end the demo, and the exit codes that shells give them.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
            _ = self.hangup.recv() => 129,
        }
    }
}
