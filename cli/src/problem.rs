//! What is wrong, and on which line.

use std::fmt;

use crossmesh_policy::Problem;

/// A problem and its place in a file.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    /// From 1; none where the whole file is meant.
    pub(crate) line: Option<usize>,
    /// What is wrong there; boxed, because it travels in many a `Result`.
    pub(crate) problem: Box<Problem>,
}

impl Located {
    /// A problem that is not about a field of a policy.
    pub(crate) fn new(
        line: Option<usize>,
        problem: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            line,
            problem: Box::new(Problem {
                rule: None,
                field: String::new(),
                value: None,
                problem: problem.into(),
                mend: mend.into(),
            }),
        }
    }

    /// The same with the name of the file before it, as compilers write it.
    pub(crate) fn within<'a>(&'a self, file: &'a str) -> impl fmt::Display {
        Within {
            located: self,
            file,
            word: "",
        }
    }

    /// The same, marked as a warning.
    pub(crate) fn warning_within<'a>(&'a self, file: &'a str) -> impl fmt::Display {
        Within {
            located: self,
            file,
            word: "warning: ",
        }
    }
}

struct Within<'a> {
    located: &'a Located,
    file: &'a str,
    word: &'static str,
}

impl fmt::Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            located: Located { line, problem },
            file,
            word,
        } = self;
        match line {
            Some(line) => write!(f, "{file}:{line}: {word}{problem}"),
            None => write!(f, "{file}: {word}{problem}"),
        }
    }
}
