//! A page of documentation whose examples are tried: it must be what it would be if it were written now.

use std::fs;
use std::path::Path;

/// The page with what `tried` gives for the text of every fenced block, one in a list too, which is indented as a whole. It is
/// told the block's kind (what stands behind the opening fence), its text, and its place.
pub(crate) fn page(
    name: &str,
    written: &str,
    mut tried: impl FnMut(&str, String, &str) -> String,
) -> String {
    let mut now = String::new();
    let mut lines = written.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        now += line;
        now.push('\n');
        let Some((indent, kind)) = line.split_once("```") else {
            continue;
        };
        if !indent.trim().is_empty() {
            continue;
        }
        let place = format!("{name}:{}", at + 2);
        let mut text = String::new();
        loop {
            let (_, line) = lines.next().unwrap_or_else(|| panic!("{place}: ends"));
            if line.trim() == "```" {
                break;
            }
            let line = match line.strip_prefix(indent) {
                Some(line) => line,
                None if line.is_empty() => line,
                None => panic!("{place}: is less indented than it began: {line}"),
            };
            text += line;
            text.push('\n');
        }
        for line in tried(kind, text, &place).lines().chain(["```"]) {
            if !line.is_empty() {
                now += indent;
            }
            now += line;
            now.push('\n');
        }
    }
    now
}

/// A session: each line that begins with `$ `, with `\` at the end of one that goes on, is a command, and is followed by what
/// `run` gives for it.
pub(crate) fn session(text: &str, place: &str, mut run: impl FnMut(&str) -> String) -> String {
    let mut now = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(first) = line.strip_prefix("$ ") else {
            continue;
        };
        now += line;
        now.push('\n');
        let mut command = first.to_owned();
        while let Some(begun) = command.strip_suffix('\\') {
            let more = lines.next().unwrap_or_else(|| panic!("{place}: goes on"));
            now += more;
            now.push('\n');
            command = format!("{begun}{}", more.trim_start());
        }
        for line in run(&command).lines() {
            now += line.trim_end();
            now.push('\n');
        }
    }
    assert!(!now.is_empty(), "{place}: no command in it");
    now
}

/// Holds that the page says what it would say now; with `CROSSMESH_BLESS` it is written so.
pub(crate) fn hold(name: &str, path: &Path, written: &str, now: &str) {
    if std::env::var_os("CROSSMESH_BLESS").is_some() {
        fs::write(path, now).unwrap();
        return;
    }
    let mut lines = written.lines().zip(now.lines()).enumerate();
    if let Some((at, (was, is))) = lines.find(|(_, (was, is))| was != is) {
        panic!("{name}:{}: says\n  {was}\nwhere it is now\n  {is}", at + 1);
    }
    assert_eq!(written, now);
}
