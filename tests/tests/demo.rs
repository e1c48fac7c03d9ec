//! The demo itself: it tells its story to the end, and leaves nothing behind however it ends.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

/// A demo under way, with a folder for temporary files that nobody else has.
struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
}

fn demo(args: &[&str]) -> Demo {
    let folder = tempfile::Builder::new()
        .prefix("crossmesh-demo-test-")
        .tempdir()
        .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_crossmesh-demo"))
        .args(args)
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Demo {
        child,
        lines,
        folder,
    }
}

impl Demo {
    /// Reads lines up to the first that contains `text`; all of them.
    async fn until(&mut self, text: &str) -> String {
        let mut read = String::new();
        loop {
            let line = timeout(Duration::from_secs(60), self.lines.next_line())
                .await
                .expect("a line, or the end");
            let Some(line) = line.unwrap() else {
                panic!(
                    "the demo ended before {text:?}:\n{read}{}",
                    self.errors().await
                )
            };
            read.push_str(&line);
            read.push('\n');
            if line.contains(text) {
                return read;
            }
        }
    }

    async fn errors(&mut self) -> String {
        let mut errors = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            stderr.read_to_string(&mut errors).await.unwrap();
        }
        errors
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    async fn code(&mut self) -> Option<i32> {
        timeout(Duration::from_secs(30), self.child.wait())
            .await
            .expect("the demo's end")
            .unwrap()
            .code()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }
}

/// The command lines of all processes that name this folder: every part of a demo has its files there.
fn processes(folder: &Path) -> Vec<String> {
    let all = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    let all = all.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    all.filter(|line| line.contains(folder.to_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn it_tells_every_step_and_ends_with_nothing_left() {
    let mut demo = demo(&[]);
    let told = demo.until("steps, each checked").await;
    for says in [
        "ALLOW rule:catalog-readers",
        "DENY default:peerMesh",
        "ms after",
        "reviews v2 of mesh west",
        "crossmesh_requests_total{",
    ] {
        assert!(told.contains(says), "{says:?} is not in\n{told}");
    }
    assert!(!told.contains('\x1b'), "colour is for terminals:\n{told}");
    assert_eq!(demo.code().await, Some(0), "{}", demo.errors().await);
    assert_eq!(demo.files(), Vec::<String>::new());
    assert_eq!(processes(demo.folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn ctrl_c_ends_it_anywhere_with_nothing_left() {
    for (args, at) in [
        (&[][..], "Starting"),
        (&[], "3. "),
        (&["--keep"], "Everything keeps running"),
    ] {
        let mut demo = demo(args);
        demo.until(at).await;
        demo.signal(Signal::INT);
        assert_eq!(
            demo.code().await,
            Some(130),
            "at {at}: {}",
            demo.errors().await
        );
        assert_eq!(demo.files(), Vec::<String>::new(), "at {at}");
        assert_eq!(
            processes(demo.folder.path()),
            Vec::<String>::new(),
            "at {at}"
        );
    }
}

#[tokio::test]
async fn what_it_invites_to_try_can_be_typed() {
    let mut demo = demo(&["--keep"]);
    demo.until("In another terminal:").await;
    let invited = demo.until("Pod addresses").await;
    let lines = invited.lines().filter_map(|line| line.strip_prefix("   "));
    let (setting, commands): (Vec<&str>, Vec<&str>) = lines
        .filter(|line| !line.starts_with('#'))
        .partition(|line| ["cd ", "export "].iter().any(|s| line.starts_with(s)));
    assert_eq!((setting.len(), commands.len()), (2, 6), "{invited}");
    for command in commands {
        let script = format!("{}\n{command}", setting.join("\n"));
        let output = Command::new("sh")
            .args(["-ec", &script])
            .output()
            .await
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(
            output.stdout.is_empty(),
            command.starts_with("cp "),
            "{command}"
        );
    }
    demo.signal(Signal::TERM);
    assert_eq!(demo.code().await, Some(143));
}

#[tokio::test]
async fn even_killed_it_leaves_no_process() {
    let mut demo = demo(&["--keep"]);
    demo.until("Everything keeps running").await;
    assert_eq!(
        processes(demo.folder.path()).len(),
        6,
        "five Envoys and the agent"
    );
    demo.signal(Signal::KILL);
    demo.code().await;
    let gone = async {
        while !processes(demo.folder.path()).is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), gone)
        .await
        .expect("the kernel ends them with their parent");
}

#[tokio::test]
async fn what_is_missing_is_named_with_the_command_that_brings_it() {
    for variable in [
        "CROSSMESH_ENVOY",
        "CROSSMESH_WASM",
        "CROSSMESH_DNS_AGENT",
        "CROSSMESH_CLI",
        "CROSSMESH_DIG",
        "CROSSMESH_CURL",
    ] {
        for value in [None, Some("/nowhere/at/all")] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_crossmesh-demo"));
            match value {
                None => command.env_remove(variable),
                Some(path) => command.env(variable, path),
            };
            let output = command.output().await.unwrap();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{variable}: {errors}");
            assert!(
                errors.contains(variable) && errors.contains("cargo xtask"),
                "{errors}"
            );
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                "",
                "nothing is begun without {variable}"
            );
        }
    }
}
