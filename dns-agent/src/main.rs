//! The command `crossmesh-dns-agent`. Exit codes: 0 for a clean end, 1 for a failure, 2 for a wrong configuration.

use std::{
    collections::BTreeSet,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};
use crossmesh_dns_agent::{
    app::App,
    check::check,
    config::{Config, LogFormat},
    fault::Faults,
    interface::{Interface, InterfaceName, teardown},
    probe::{At, probe},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use tracing_subscriber::EnvFilter;

/// Answers the names of local and peer clusters, and relays all others.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Option<Run>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask a running agent how it is: 0 when all is well, 1 otherwise. For exec probes
    Probe {
        /// What to ask
        #[arg(value_enum)]
        page: Page,
        /// Its admin interface: what its `adminSocket` or its `admin` says
        #[arg(long, value_name = "SOCKET|IP:PORT")]
        at: At,
    },
    /// Remove the interface that agents have left that were killed: 0 when it has gone, 1 while an agent holds it
    Teardown {
        /// The interface
        #[arg(long, value_name = "NAME")]
        interface: InterfaceName,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Page {
    /// Whether it is alive
    Livez,
    /// Whether it is ready
    Readyz,
}

#[derive(Args, Debug)]
struct Run {
    /// The configuration file, schema crossmesh-dns/v1
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The Kubernetes node that the agent runs on: its labels say which gateways are near
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Check the configuration and every file that it names, then end: 0 when all are good, 2 otherwise
    #[arg(long)]
    check: bool,
    /// Have a network interface of this name with the addresses in `listen`, such as 169.254.20.10, while any agent runs
    #[arg(long, value_name = "NAME")]
    interface: Option<InterfaceName>,
    /// What to log, instead of the configured level: a level, or directives such as
    /// crossmesh_dns_agent::server=debug
    #[arg(long, value_name = "DIRECTIVES")]
    log: Option<String>,
}

const WRONG_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match (&arguments.command, &arguments.run) {
        (Some(Command::Probe { page, at }), _) => ask(*page, at),
        (Some(Command::Teardown { interface }), _) => tear_down(interface),
        (None, Some(arguments)) => run(arguments),
        (None, None) => Arguments::command()
            .error(
                ErrorKind::MissingRequiredArgument,
                "--config FILE is missing",
            )
            .exit(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            let wrong =
                error.is::<Faults>() || error.is::<tracing_subscriber::filter::ParseError>();
            ExitCode::from(if wrong { WRONG_CONFIGURATION } else { 1 })
        }
    }
}

fn ask(page: Page, at: &At) -> Result<ExitCode> {
    let path = match page {
        Page::Livez => "/livez",
        Page::Readyz => "/readyz",
    };
    let (text, good) = probe(at, path)?;
    print!("{text}");
    Ok(ExitCode::from(u8::from(!good)))
}

fn tear_down(interface: &InterfaceName) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let removed = runtime.block_on(teardown(interface))?;
    println!(
        "{}",
        if removed {
            "removed"
        } else {
            "nothing to remove"
        }
    );
    Ok(ExitCode::SUCCESS)
}

fn run(arguments: &Run) -> Result<ExitCode> {
    let mut config = Config::load(&arguments.config)?;
    config.node.clone_from(&arguments.node);
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
    let result = runtime.block_on(serve_at(arguments.interface.as_ref(), config));
    // Everything has ended by now but what a file system does not give back: that must not hold up our end.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

/// Serves with an interface of ours, if one is wanted.
async fn serve_at(interface: Option<&InterfaceName>, config: Config) -> Result<()> {
    let Some(name) = interface else {
        return serve(config).await;
    };
    let listen = config.listen.iter().map(SocketAddr::ip);
    // Those of the interface `lo` are there already.
    let addresses: BTreeSet<IpAddr> = listen.filter(|address| !address.is_loopback()).collect();
    anyhow::ensure!(
        !addresses.is_empty(),
        "--interface: listen has no address for an interface; write one such as 169.254.20.10:53"
    );
    let addresses: Vec<IpAddr> = addresses.into_iter().collect();
    let interface = Interface::hold(name, &addresses).await?;
    let result = serve(config).await;
    if let Err(error) = interface.release().await {
        // `teardown` can still remove it.
        warn!(error = format!("{error:#}"), "interface left behind");
    }
    result
}

async fn serve(config: Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let app = App::bind(config).await?;
    let (dns, admin) = (app.dns_addresses(), app.admin_address());
    let mut is_listening = app.is_listening();
    let mut announced = *is_listening.borrow();
    announce(if announced { "listening" } else { "waiting" }, &dns, admin)?;
    let shutdown = CancellationToken::new();
    let running = app.run(shutdown.clone());
    tokio::pin!(running);
    loop {
        tokio::select! {
            result = &mut running => return Ok(result?),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            Ok(_) = is_listening.wait_for(|is| *is), if !announced => {
                announce("listening", &dns, admin)?;
                announced = true;
            }
        }
    }
    shutdown.cancel();
    Ok(running.await?)
}

/// One line for whoever started us with port 0.
fn announce(what: &str, dns: &[SocketAddr], admin: SocketAddr) -> Result<()> {
    let dns: Vec<String> = dns.iter().map(ToString::to_string).collect();
    let line = format!("{what} dns={} admin={admin}\n", dns.join(","));
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
