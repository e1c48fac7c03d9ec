//! How long to wait after a failure.

use std::time::Duration;

use tokio::time::sleep;

/// The shortest and the longest wait; in between it doubles.
const WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Waits longer with every failure in a row, each time a random part less: not all agents come back at once.
#[derive(Debug, Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    /// Waits after one more failure.
    pub(super) async fn wait(&mut self) {
        let longest = WAITS
            .0
            .saturating_mul(2_u32.saturating_pow(self.0))
            .min(WAITS.1);
        self.0 = self.0.saturating_add(1);
        let part = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
        sleep(longest.mul_f64(1.0 - part / 2.0)).await;
    }
}
