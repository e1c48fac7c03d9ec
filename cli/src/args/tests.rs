use clap::{Command, CommandFactory, Parser};

use super::Cli;

/// The command and all below it, with what one types to reach it.
fn all(command: &Command, typed: &str) -> Vec<(String, Command)> {
    let typed = format!("{typed} {}", command.get_name()).trim().to_owned();
    let below = command
        .get_subcommands()
        .filter(|below| below.get_name() != "help");
    let mut found: Vec<_> = below.flat_map(|below| all(below, &typed)).collect();
    found.push((typed, command.clone()));
    found
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_has_a_help_text() {
    for (typed, command) in all(&Cli::command(), "") {
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            assert!(arg.get_help().is_some(), "{typed}: {arg}");
        }
        assert!(command.get_about().is_some(), "{typed}");
    }
}

#[test]
fn every_level_has_examples_and_they_can_be_typed() {
    for (typed, mut command) in all(&Cli::command(), "") {
        let help = command.render_long_help().to_string();
        let (_, examples) = help.split_once("Examples:\n").expect(&typed);
        let examples = examples.replace("\\\n", " ");
        let mut tried = 0;
        for line in examples.lines() {
            let Some(start) = line.find("crossmesh ") else {
                continue;
            };
            let Some(line) = line
                .get(start..)
                .filter(|_| !line.trim_start().starts_with('#'))
            else {
                continue;
            };
            if line.starts_with("crossmesh policy") || line.starts_with("crossmesh dns") {
                let words = line
                    .split(['|', '&', '>'])
                    .next()
                    .unwrap_or_default()
                    .split_whitespace();
                Cli::try_parse_from(words)
                    .map_err(|error| format!("{line}: {error}"))
                    .unwrap();
                tried += 1;
            }
        }
        assert!(tried > 0, "{typed} has no example");
    }
}
