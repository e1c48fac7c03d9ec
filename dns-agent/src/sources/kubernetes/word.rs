//! What a change says of its resource's health.

/// As far as the change tells it.
pub(super) enum Word {
    /// Nothing.
    None,
    /// It is as it should be.
    Well,
    /// What is wrong.
    Problem(String),
}

impl Word {
    /// A problem of this resource.
    pub(super) fn of(resource: &str, problem: String) -> Self {
        Self::Problem(format!("{resource}: {problem}"))
    }

    /// `Some(None)`: there is none any more. `None`: nothing is said.
    pub(super) fn told(self) -> Option<Option<String>> {
        match self {
            Self::None => None,
            Self::Well => Some(None),
            Self::Problem(problem) => Some(Some(problem)),
        }
    }
}
