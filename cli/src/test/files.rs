//! Which files of cases are meant.

use std::fs;
use std::path::Path;

use super::Told;
use crate::args::Test;
use crate::problem::Located;

/// What the name of a file of cases ends with, where the name is what tells its policy.
const ENDING: &str = ".cases.yaml";

/// All of them, a directory's in the order of their names, or what is wrong with what was given.
pub(super) fn all(args: &Test) -> Vec<Result<String, Told>> {
    let mut all = Vec::new();
    let mut stdin = args.policy.as_deref() == Some("-");
    for file in &args.files {
        if file == "-" {
            if stdin {
                let problem = Located::new(
                    None,
                    "standard input is given twice, and can be read once",
                    "give - once",
                );
                all.push(Err(Told::new("<stdin>", problem)));
                continue;
            }
            stdin = true;
        }
        if Path::new(file).is_dir() {
            match within(file) {
                Ok(files) => all.extend(files.into_iter().map(Ok)),
                Err(problem) => all.push(Err(Told::new(file, problem))),
            }
        } else {
            all.push(Ok(file.clone()));
        }
    }
    all
}

/// The files of cases in a directory, not in those below it.
fn within(directory: &str) -> Result<Vec<String>, Located> {
    let unreadable = |error| {
        Located::new(
            None,
            format!("the directory cannot be read: {error}"),
            "give one that can be, or files",
        )
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let path = path.to_string_lossy();
        if path.ends_with(ENDING) {
            files.push(path.into_owned());
        }
    }
    if files.is_empty() {
        return Err(Located::new(
            None,
            format!("no file in this directory is called NAME{ENDING}"),
            "give a directory with cases, or files",
        ));
    }
    files.sort();
    Ok(files)
}

/// The file of the policy beside a file of cases; none if its name does not tell it.
pub(super) fn beside(cases: &str) -> Option<String> {
    let name = cases.strip_suffix(ENDING)?;
    Some(format!("{name}.yaml"))
}
