//! The command `crossmesh-dns-agent`. Exit codes: 0 for a clean end, 1 for a failure, 2 for a wrong configuration.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use crossmesh_dns_agent::{
    app::App,
    check::check,
    config::{Config, LogFormat},
    fault::Faults,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Answers the names of local and peer clusters, and relays all others.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file, schema crossmesh-dns/v1
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and every file that it names, then end: 0 when all are good, 2 otherwise
    #[arg(long)]
    check: bool,
    /// What to log, instead of the configured level: a level, or directives such as
    /// crossmesh_dns_agent::server=debug
    #[arg(long, value_name = "DIRECTIVES")]
    log: Option<String>,
}

const WRONG_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            let wrong =
                error.is::<Faults>() || error.is::<tracing_subscriber::filter::ParseError>();
            ExitCode::from(if wrong { WRONG_CONFIGURATION } else { 1 })
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = Config::load(&arguments.config)?;
    if arguments.check {
        let (report, good) = check(&config);
        print!("{report}");
        return Ok(ExitCode::from(if good { 0 } else { WRONG_CONFIGURATION }));
    }
    start_logging(&config, arguments.log.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(serve(config));
    // Everything has ended by now but what a file system does not give back: that must not hold up our end.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

async fn serve(config: Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let app = App::bind(config).await?;
    announce(&app)?;
    let shutdown = CancellationToken::new();
    let running = app.run(shutdown.clone());
    tokio::pin!(running);
    tokio::select! {
        result = &mut running => return Ok(result?),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shutdown.cancel();
    Ok(running.await?)
}

/// One line for whoever started us with port 0.
fn announce(app: &App) -> Result<()> {
    let dns: Vec<String> = app
        .dns_addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    let line = format!(
        "listening dns={} admin={}\n",
        dns.join(","),
        app.admin_address()
    );
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.flush().context("cannot write to standard output")
}

fn start_logging(config: &Config, directives: Option<&str>) -> Result<()> {
    let directives = directives.unwrap_or(config.log.level.as_str());
    let filter = EnvFilter::builder().parse(directives)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
