//! What is wrong in a file that somebody wrote, where, and how to mend it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// One thing that is wrong in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was given.
    pub file: PathBuf,
    /// Counted from 1; 0 when the file as a whole is meant.
    pub line: u64,
    /// The field, such as `services[2].ports[0].port`; empty when the file as a whole is meant.
    pub field: String,
    /// What is wrong, with the value where there is one.
    pub problem: String,
    /// What to do about it.
    pub mend: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}; {}", self.problem, self.mend)
    }
}

/// Everything that is wrong in one file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// A single fault.
    pub fn one(fault: Fault) -> Self {
        Self(vec![fault])
    }

    /// A fault of the whole file.
    pub fn whole_file(file: &Path, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::one(Fault {
            file: file.to_owned(),
            line: 0,
            field: String::new(),
            problem: problem.into(),
            mend: mend.into(),
        })
    }

    /// The faults, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// All faults on one line, for a log or a status page.
    pub fn one_line(&self) -> String {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        lines.join(" | ")
    }
}

impl fmt::Display for Faults {
    /// One line a fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Collects the faults of one file while it is being understood, so that all are told at once.
#[derive(Debug)]
pub(crate) struct Collector<'f> {
    file: &'f Path,
    faults: Vec<Fault>,
}

impl<'f> Collector<'f> {
    pub(crate) fn new(file: &'f Path) -> Self {
        Self {
            file,
            faults: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        line: u64,
        field: impl Into<String>,
        problem: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.faults.push(Fault {
            file: self.file.to_owned(),
            line,
            field: field.into(),
            problem: problem.into(),
            mend: mend.into(),
        });
    }

    /// The value when nothing was wrong. Faults come in the order of the file.
    pub(crate) fn finish<T>(mut self, value: T) -> Result<T, Faults> {
        if self.faults.is_empty() {
            return Ok(value);
        }
        self.faults.sort_by_key(|fault| fault.line);
        Err(Faults(self.faults))
    }
}
