//! One line for everything that may take longer than two seconds.
//!
//! On a terminal the line updates in place; elsewhere there is one line at the beginning and one at the end, so that a log
//! shows what was being done when it stopped. All of it goes to stderr.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Something that is being done. Ends as failed unless [`Progress::done`] is called.
pub(crate) struct Progress {
    what: String,
    begun: Instant,
    ticker: Option<(Sender<()>, JoinHandle<()>)>,
    ended: bool,
}

impl Progress {
    /// Begins something whose own output goes elsewhere.
    pub(crate) fn begin(what: impl Into<String>) -> Self {
        let mut progress = Self::begin_streaming(what);
        if stderr().is_terminal() {
            progress.tick();
        }
        progress
    }

    /// Begins something that prints for itself: its line must not be drawn over what it prints.
    pub(crate) fn begin_streaming(what: impl Into<String>) -> Self {
        let what = what.into();
        eprintln!("{what} …");
        Self {
            what,
            begun: Instant::now(),
            ticker: None,
            ended: false,
        }
    }

    /// Ends it well and says how long it took.
    pub(crate) fn done(mut self) -> Duration {
        self.end("done");
        self.begun.elapsed()
    }

    fn tick(&mut self) {
        let (stop, stopped) = channel();
        let what = self.what.clone();
        let begun = self.begun;
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                draw(&format!("{what} … {}", seconds(begun.elapsed())));
            }
        });
        self.ticker = Some((stop, thread));
    }

    fn end(&mut self, how: &str) {
        self.ended = true;
        let line = format!("{}: {how} in {}", self.what, seconds(self.begun.elapsed()));
        match self.ticker.take() {
            Some((stop, thread)) => {
                drop(stop);
                let _ = thread.join(); // it only draws; nothing of it can be missed
                draw(&line);
            }
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.ended {
            self.end("failed");
        }
    }
}

/// One line up, clear it, write anew: the line is already ended, so whatever prints next starts on its own.
fn draw(line: &str) {
    let _ = writeln!(stderr(), "\x1b[1A\x1b[2K{line}"); // a terminal that went away is no reason to stop working
}

fn seconds(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0..60 => format!("{:.1} s", elapsed.as_secs_f64()),
        whole => format!("{} min {} s", whole / 60, whole % 60),
    }
}
