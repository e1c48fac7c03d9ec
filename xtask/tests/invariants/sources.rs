//! Reading the checkout.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the checkout.
pub(crate) struct Source {
    /// Relative to the checkout, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether one of the folders above it is called `name`.
    pub(crate) fn is_below(&self, name: &str) -> bool {
        self.path
            .rsplit_once('/')
            .is_some_and(|(folders, _)| folders.split('/').any(|folder| folder == name))
    }

    /// Its lines with their numbers, as `path:number` and text.
    pub(crate) fn places(&self) -> impl Iterator<Item = (String, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (format!("{}:{}", self.path, index + 1), line))
    }

    /// As [`Source::places`], of what is code: without line comments, which may talk about anything.
    pub(crate) fn code(&self) -> impl Iterator<Item = (String, &str)> {
        self.places()
            .map(|(place, line)| (place, line.split("//").next().unwrap_or_default()))
    }
}

/// The folder of the root Cargo.toml.
pub(crate) fn root() -> PathBuf {
    let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR").expect("run by cargo");
    Path::new(&manifest_dir)
        .parent()
        .expect("xtask lies in the checkout")
        .to_path_buf()
}

/// Every text file of the checkout, sorted by path.
pub(crate) fn all() -> Vec<Source> {
    let root = root();
    let mut sources: Vec<Source> = walk(&root)
        .into_iter()
        .filter(|path| path.is_file())
        .filter_map(|path| {
            Some(Source {
                text: fs::read_to_string(&path).ok()?,
                path: relative(&root, &path),
            })
        })
        .collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(
        sources
            .iter()
            .any(|source| source.path == "xtask/tests/invariants/sources.rs"),
        "the checkout was not read"
    );
    sources
}

/// Every Rust file of the checkout, sorted by path.
pub(crate) fn rust() -> Vec<Source> {
    all().into_iter().filter(Source::is_rust).collect()
}

/// Every folder of the checkout, relative to it.
pub(crate) fn folders() -> Vec<String> {
    let root = root();
    walk(&root)
        .iter()
        .filter(|path| path.is_dir())
        .map(|path| relative(&root, path))
        .collect()
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

/// Files and folders below `folder`, without git's own and without what is built (cargo marks target folders).
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the checkout") {
        let entry = entry.expect("an entry of a folder of the checkout");
        let path = entry.path();
        let is_folder = entry.file_type().expect("the kind of an entry").is_dir(); // a link to a folder is not followed
        if is_folder && (entry.file_name() == ".git" || path.join("CACHEDIR.TAG").exists()) {
            continue;
        }
        if is_folder {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found
}
