//! How often something is said that may happen all the time.

use std::time::Duration;

use tokio::time::Instant;

/// How much is said in one [`WINDOW`].
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);

/// Counts what is said and what is not.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    began: Option<Instant>,
    said: u32,
    unsaid: u64,
}

impl Throttle {
    /// Whether to say something now: how much was not said since the last time, or `None` to be silent.
    pub(super) fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now >= began + WINDOW) {
            self.began = Some(now);
            self.said = 0;
        }
        if self.said >= LINES {
            self.unsaid += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_window_has_so_many_lines_and_the_next_one_tells_what_was_not_said() {
        let mut throttle = Throttle::default();
        let mut say = |times: u32| -> Vec<u64> {
            let now = Instant::now();
            (0..times).filter_map(|_| throttle.admit(now)).collect()
        };
        assert_eq!(say(LINES + 3), vec![0; 20]);
        tokio::time::advance(WINDOW).await;
        assert_eq!(say(2), [3, 0]);
    }
}
