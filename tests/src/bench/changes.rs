//! How long it takes from a Service's deletion, or creation, to the changed answer: with two real API servers.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::kubernetes::streams::{REVIEWS_SERVICE, Streams, is};

/// The durations of one kind of change, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Durations {
    /// Half took no longer.
    pub p50_ms: f64,
    /// All but one in a hundred took no longer.
    pub p99_ms: f64,
    /// The longest.
    pub longest_ms: f64,
}

/// All that was measured; written as it is, it is the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How often the Service was deleted and created again.
    pub changes: usize,
    /// From the request to delete, before the API server has done anything, to the first answer with the peer's gateway.
    pub deleted: Durations,
    /// From the request to create to the first answer with the new address.
    pub created: Durations,
    /// What of `deleted` the API server took to reply to the request.
    pub api_server: Durations,
    /// How many queries were answered meanwhile, each of them with one side or the other.
    pub queries: usize,
}

/// Deletes a Service that a peer has too, and creates it again, so often.
pub async fn measure(changes: usize) -> Result<Report> {
    ensure!(changes > 0, "the number of changes is at least 1");
    let streams = Streams::start().await?;
    let gateway = streams.gateway();
    let east = &streams.clusters.east.objects;
    let (mut deleted, mut created, mut api_server) = (Vec::new(), Vec::new(), Vec::new());
    let mut wanted = vec![streams.local];
    for _ in 0..changes {
        let asked = Instant::now();
        east.delete(&REVIEWS_SERVICE.object()).await?;
        api_server.push(asked.elapsed());
        let seen = streams.reviews.until(is(gateway)).await?;
        deleted.push(seen.duration_since(asked));

        let asked = Instant::now();
        let address = east.create_service(&REVIEWS_SERVICE).await?;
        let seen = streams.reviews.until(is(address)).await?;
        created.push(seen.duration_since(asked));
        wanted.extend([gateway, address]);
    }
    let spells = streams.reviews.spells();
    let as_wanted = spells.len() == wanted.len()
        && spells
            .iter()
            .zip(&wanted)
            .all(|(spell, wanted)| spell.answer.as_ref().is_ok_and(is(*wanted)));
    ensure!(
        as_wanted,
        "an answer was of neither side: {}",
        streams.reviews.told()
    );
    Ok(Report {
        changes,
        deleted: Durations::of(deleted),
        created: Durations::of(created),
        api_server: Durations::of(api_server),
        queries: spells.iter().map(|spell| spell.times).sum(),
    })
}

impl Durations {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        // The smallest that so many per cent do not exceed (nearest rank).
        let rank = |percent: usize| {
            let place = (all.len() * percent).div_ceil(100).max(1) - 1;
            all.get(place).map_or(0.0, |one| one.as_secs_f64() * 1e3)
        };
        Self {
            p50_ms: rank(50),
            p99_ms: rank(99),
            longest_ms: rank(100),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "One Service deleted and created {} times at a real kube-apiserver; {} queries, one about every millisecond, \
             each answered by one side or the other.",
            self.changes, self.queries
        )?;
        writeln!(
            f,
            "{:<52}{:>10}{:>10}{:>10}",
            "FROM THE REQUEST TO", "P50 ms", "P99 ms", "MOST ms"
        )?;
        for (what, durations) in [
            ("the changed answer, after a deletion", self.deleted),
            ("the changed answer, after a creation", self.created),
            ("the API server's own reply to a deletion", self.api_server),
        ] {
            let Durations {
                p50_ms,
                p99_ms,
                longest_ms,
            } = durations;
            writeln!(
                f,
                "{what:<52}{p50_ms:>10.1}{p99_ms:>10.1}{longest_ms:>10.1}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let all = |count: u64| (1..=count).map(Duration::from_millis).collect();
        for (count, expected) in [
            (1, [1.0, 1.0, 1.0]),
            (4, [2.0, 4.0, 4.0]),
            (200, [100.0, 198.0, 200.0]),
        ] {
            let Durations {
                p50_ms,
                p99_ms,
                longest_ms,
            } = Durations::of(all(count));
            assert_eq!([p50_ms, p99_ms, longest_ms], expected, "of {count}");
        }
    }
}
