//! The commands below `crossmesh dns` against real agents: every example of `docs/dns.md`, and the sessions in `cases`.
//!
//! In both, `$ crossmesh-dns-agent --config FILE` starts an agent, which runs until the next or the end, and is whom the
//! commands behind it ask. `$ until 'TEXT … TEXT' crossmesh …` repeats a command until it says all that. Addresses of 127.0.0.1 stand
//! for a loopback address of the test's own, as long as that.
//!
//! `CROSSMESH_BLESS=1` writes down what is answered now.
#![cfg(test)]

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crossmesh_e2e::agent::Agent;
use crossmesh_e2e::process::PATIENCE;
use crossmesh_e2e::tools::{Tool, workspace};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

#[path = "../../cli/tests/session/command.rs"]
mod command;
#[path = "../../cli/tests/session/page.rs"]
mod page;
#[path = "../../cli/tests/session/replay.rs"]
mod replay;

use command::{Answer, words};

const WRITTEN_HOST: &str = "127.0.0.1";
/// A port beside the samples', by which tests tell each other that an address is taken.
const CLAIM: u16 = 5299;
const PAGE: &str = "docs/dns.md";

/// A folder with files, and the agent that runs there.
struct Node {
    folder: TempDir,
    runtime: Runtime,
    /// What 127.0.0.1 stands for.
    host: String,
    /// Held, so that no other test takes that.
    _claim: UdpSocket,
    agent: Option<Agent>,
    commands: usize,
}

impl Node {
    fn new() -> Self {
        let (host, claim) = free_host();
        Self {
            folder: tempfile::Builder::new()
                .prefix("crossmesh-")
                .tempdir()
                .unwrap(),
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            host,
            _claim: claim,
            agent: None,
            commands: 0,
        }
    }

    fn run(&mut self, command: &str) -> Answer {
        self.commands += 1;
        if let Some(config) = command.strip_prefix("crossmesh-dns-agent --config ") {
            return match config.strip_suffix(" --check") {
                Some(config) => self.answer(&Tool::DnsAgent, &["--config", config, "--check"]),
                None => self.start(config),
            };
        }
        let (until, command) = match command.strip_prefix("until ") {
            Some(rest) => rest
                .split_once(" crossmesh ")
                .expect("a command behind the text"),
            None => (
                "",
                command
                    .strip_prefix("crossmesh ")
                    .expect("a command of crossmesh"),
            ),
        };
        let words = words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.answer(&Tool::Cli, &words);
            let mut parts = until.trim_matches('\'').split(" … ");
            if parts.all(|part| answer.stdout.contains(part)) {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "never {until}, but\n{}",
                answer.stdout
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn start(&mut self, config: &str) -> Answer {
        // The one before ends first: it has the ports.
        self.agent = None;
        self.use_host();
        let text = fs::read_to_string(self.folder.path().join(config)).unwrap();
        let started = Agent::launch(self.folder.path(), &text);
        let agent = self.runtime.block_on(started).unwrap();
        let line = format!("listening dns={} admin={}\n", agent.dns(), agent.admin());
        self.agent = Some(agent);
        Answer {
            status: 0,
            stdout: line.replace(&self.host, WRITTEN_HOST),
            stderr: String::new(),
        }
    }

    fn answer(&self, tool: &Tool, words: &[&str]) -> Answer {
        self.use_host();
        let mut command = Command::new(tool.path().unwrap());
        command.args(words).current_dir(self.folder.path());
        match &self.agent {
            Some(agent) => command.env("CROSSMESH_AGENT", agent.admin().to_string()),
            None => command.env_remove("CROSSMESH_AGENT"),
        };
        let output = command.output().unwrap();
        let folder = format!("{}/", self.folder.path().display());
        let text = |bytes| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(&self.host, WRITTEN_HOST).replace(&folder, "")
        };
        Answer {
            status: output.status.code().expect("it was not killed"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Puts the test's own address into the files.
    fn use_host(&self) {
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let written = ["yaml", "conf"]
                .iter()
                .any(|kind| path.extension() == Some(kind.as_ref()));
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            if written && text.contains(WRITTEN_HOST) {
                // In one step: an agent may be reading it.
                let new = self.folder.path().join(".new");
                fs::write(&new, text.replace(WRITTEN_HOST, &self.host)).unwrap();
                fs::rename(new, path).unwrap();
            }
        }
    }
}

/// A loopback address as long as 127.0.0.1 on which the samples' ports are free. Another checkout may use its neighbour.
fn free_host() -> (String, UdpSocket) {
    let hosts =
        (1..10).flat_map(|second| (2..10).map(move |last| format!("127.{second}.0.{last}")));
    let free = |host: String| {
        let claim = UdpSocket::bind((host.as_str(), CLAIM)).ok()?;
        let udp = UdpSocket::bind((host.as_str(), 5300));
        let tcp = [5300, 15054].map(|port| TcpListener::bind((host.as_str(), port)));
        (udp.is_ok() && tcp.iter().all(Result::is_ok)).then_some((host, claim))
    };
    let mut hosts: Vec<String> = hosts.collect();
    let mine = usize::try_from(std::process::id()).unwrap() % hosts.len();
    hosts.rotate_left(mine);
    hosts
        .into_iter()
        .find_map(free)
        .expect("a free loopback address")
}

fn case(name: &str) {
    let mut node = Node::new();
    let session: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("cases")
        .join(name);
    let folder = node.folder.path().to_path_buf();
    replay::check(&session, &folder, &mut |command| node.run(command));
}

#[test]
fn an_explanation_begins_with_what_decided_and_tells_every_clusters_part() {
    case("explain.case");
}

#[test]
fn a_pods_search_list_is_followed_up_to_the_name_that_ends_it() {
    case("explain-search.case");
}

#[test]
fn names_of_the_cluster_set_are_explained_with_every_clusters_part() {
    case("explain-set.case");
}

#[test]
fn in_shadow_mode_both_answers_are_explained() {
    case("explain-shadow.case");
}

#[test]
fn the_doctor_tells_what_is_wrong_with_a_node_and_what_to_do() {
    case("doctor.case");
}

/// What the page's commands find is in the samples.
#[test]
fn every_command_of_the_operators_page_answers_as_it_says() {
    let root = workspace().unwrap();
    let mut node = Node::new();
    for sample in fs::read_dir(root.join("dns-agent/samples")).unwrap() {
        let sample = sample.unwrap().path();
        fs::copy(
            &sample,
            node.folder.path().join(sample.file_name().unwrap()),
        )
        .unwrap();
    }
    let folder = node.folder.path().to_path_buf();
    let path = root.join(PAGE);
    let written = fs::read_to_string(&path).unwrap();
    let now = page::page(PAGE, &written, |kind, text, place| match kind {
        // Those are held by the agent's own tests.
        "yaml" => text,
        "console" => page::session(&text, place, |command| {
            let answer = node.run(command);
            answer.stdout + &answer.stderr
        }),
        // Tools of others, which are not run here.
        "sh" => {
            let others = ["kubectl ", "helm ", "resolvectl ", "#"];
            let mut lines = text
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with(' '));
            assert!(
                lines.all(|line| others.iter().any(|other| line.starts_with(other))),
                "{place}: a command that could be tried; make it a console block"
            );
            text
        }
        "text" => text,
        kind if kind.starts_with("text ") => {
            let name = kind.strip_prefix("text ").unwrap();
            fs::write(folder.join(name), &text).unwrap();
            text
        }
        _ => panic!("{place}: a block of the kind {kind:?}, which nothing tries"),
    });
    page::hold(PAGE, &path, &written, &now);
    assert!(node.commands > 5, "only {} commands", node.commands);
}
