//! A bearer token in a file, read for every request.
//!
//! A pod's token is replaced about hourly, and the one before ends soon after. `kube` reads the file again after a minute of the
//! wall clock: where that is set back by a day, the minute is a day, and the API server refuses us for nearly as long.
//! Requests are few: a list, then a watch that lasts minutes.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderValue, Request, header::AUTHORIZATION};

/// The file, and what was last read from it. Clones share both.
#[derive(Clone, Debug)]
pub(super) struct TokenFile {
    file: PathBuf,
    last: Arc<Mutex<HeaderValue>>,
}

impl TokenFile {
    /// Reads it for the first time; an error says what is wrong with it.
    pub(super) fn open(file: PathBuf) -> Result<Self, String> {
        let last = Arc::new(Mutex::new(read(&file)?));
        Ok(Self { file, last })
    }

    /// The request with the token as it is now. Where it cannot be read the last one is as good as any: whether it still
    /// counts is the API server's to say.
    pub(super) fn sign<B>(&self, mut request: Request<B>) -> Request<B> {
        // Whole whatever happens: it is replaced in one step.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(now) = read(&self.file) {
            *last = now;
        }
        request.headers_mut().insert(AUTHORIZATION, last.clone());
        request
    }
}

/// Blocks for no longer than a small file takes.
fn read(file: &PathBuf) -> Result<HeaderValue, String> {
    let wrong = |why: String| {
        format!(
            "the token file {} cannot be used: {why}; it must hold the token and nothing else",
            file.display()
        )
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let value = format!("Bearer {}", text.trim());
    let mut value = HeaderValue::from_str(&value).map_err(|error| wrong(error.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}
