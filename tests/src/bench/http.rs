//! The table: what a request costs with each filter, side by side.
//!
//! One Envoy with one worker, a listener for each variant, connections to all of them open from the beginning. A round
//! sends the same requests to each in turn, so whatever else the machine does meanwhile meets all of them; a figure is the
//! median of the rounds', and what a filter costs is compared within each round.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::load::{Answers, Bound, Load};
use super::machine::{Cores, Worker, run_on};
use super::stand::Stand;
use super::variant::{Filter, Variant};
use super::{Plan, rules};
use crate::pki::Root;
use crate::sender::Protocol;
use crate::tls;

/// How long a variant may take for its requests in one round: ten thousand rules of RBAC take milliseconds for each.
const MOST_TIME: Duration = Duration::from_millis(500);
/// The part of a round's requests that comes first, unmeasured, to each variant: caches are warm when it counts.
const LEAD: usize = 10;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// Over which HTTP.
    pub(super) protocol: Protocol,
    /// By what.
    #[serde(flatten)]
    pub(super) variant: Variant,
    /// CPU time of Envoy's worker for each request, in microseconds.
    pub(super) cpu_us: f64,
    /// What of it is over the time without a filter, in microseconds; absent there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) over_none_us: Option<f64>,
    /// Half of the answers took no longer than this, in microseconds.
    pub(super) p50_us: f64,
    /// All but one of a hundred took no longer, in microseconds.
    pub(super) p99_us: f64,
    /// The part of the time in which the worker was busy. Well below 1 where the generator is the slower one.
    pub(super) busy: f64,
    /// Requests that were measured, in all rounds.
    pub(super) requests: usize,
    /// Those of them that were answered with 200.
    pub(super) answered_200: usize,
}

/// One variant in one round.
#[derive(Debug)]
struct Round {
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
    busy: f64,
    answered: usize,
    others: usize,
}

/// Measures every variant of the plan, over each protocol.
pub(super) async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let variants = Variant::all(&plan.rules);
    let most = plan.most_rules();
    let cores = Cores::find()?;
    // What a thread starts runs where it does.
    run_on(cores.proxy)?;
    let stand = Stand::start(&variants, most, 1).await?;
    run_on(cores.generator)?;
    let worker = Worker::of(stand.envoy.pid())?;
    let identity = stand
        .pki
        .sign(Root::East, "caller", &[&rules::caller(most)])?;
    let tls = tls::client(&identity)?;

    let mut rows = Vec::new();
    for protocol in Protocol::ALL {
        let mut loads = Vec::new();
        for (_, address) in &stand.listeners {
            loads.push(Load::open(protocol, *address, &tls).await?);
        }
        let mut rounds: Vec<Vec<Round>> = variants.iter().map(|_| Vec::new()).collect();
        for number in 0..plan.rounds {
            eprintln!(
                "{}: round {} of {}",
                protocol.title(),
                number + 1,
                plan.rounds
            );
            let mut turns: Vec<_> = loads.iter_mut().zip(&mut rounds).collect();
            // There and back, so that nobody always follows the same neighbour.
            if number % 2 == 1 {
                turns.reverse();
            }
            for (load, rounds) in turns {
                rounds.push(round(plan, load, &worker).await?);
            }
        }
        rows.extend(figures(protocol, &variants, &rounds));
    }
    counted(&stand, &rows).await?;
    Ok(rows)
}

/// Nobody is cheap because it does less than it should: what counts requests has counted all that were measured.
async fn counted(stand: &Stand, rows: &[Row]) -> Result<()> {
    let ours: &[Filter] = &[Filter::Crossmesh, Filter::CrossmeshFull];
    for (filters, counter) in [
        (ours, "crossmesh_requests_total"),
        (&[Filter::Lua], rules::LUA_COUNTER),
    ] {
        let of = rows
            .iter()
            .filter(|row| filters.contains(&row.variant.filter));
        let least: usize = of.map(|row| row.answered_200).sum();
        let stats = stand.envoy.get(&format!("/stats?filter={counter}")).await?;
        let values = stats
            .lines()
            .filter_map(|line| line.rsplit_once(": ")?.1.parse::<usize>().ok());
        let counted: usize = values.sum();
        ensure!(
            counted >= least,
            "{counter} says {counted} of at least {least} requests:\n{stats}"
        );
    }
    Ok(())
}

async fn round(plan: &Plan, load: &mut Load, worker: &Worker) -> Result<Round> {
    let bound = |part: usize| Bound {
        requests: (plan.requests / part).max(1),
        time: MOST_TIME / u32::try_from(part).unwrap_or(u32::MAX),
    };
    load.run(bound(LEAD)).await?;
    let (begun, before) = (Instant::now(), worker.cpu_time()?);
    let answers = load.run(bound(1)).await?;
    let (lasted, ran) = (begun.elapsed(), worker.cpu_time()?.saturating_sub(before));
    let Answers {
        mut latencies,
        others,
    } = answers;
    latencies.sort_unstable();
    let requests = latencies.len() + others;
    Ok(Round {
        cpu_us: microseconds(ran) / requests as f64,
        p50_us: microseconds(quantile(&latencies, 50)),
        p99_us: microseconds(quantile(&latencies, 99)),
        busy: ran.as_secs_f64() / lasted.as_secs_f64(),
        answered: latencies.len(),
        others,
    })
}

/// The rows of one protocol; `rounds` are those of each variant.
fn figures(protocol: Protocol, variants: &[Variant], rounds: &[Vec<Round>]) -> Vec<Row> {
    let all = variants.iter().zip(rounds).enumerate();
    let rows = all.map(|(at, (variant, own))| {
        let of = |figure: fn(&Round) -> f64| median(own.iter().map(figure).collect());
        let pairs = own.iter().zip(rounds.iter().flat_map(|none| none.iter()));
        Row {
            protocol,
            variant: *variant,
            cpu_us: of(|round| round.cpu_us),
            over_none_us: (at > 0)
                .then(|| median(pairs.map(|(own, none)| own.cpu_us - none.cpu_us).collect())),
            p50_us: of(|round| round.p50_us),
            p99_us: of(|round| round.p99_us),
            busy: of(|round| round.busy),
            requests: own.iter().map(|round| round.answered + round.others).sum(),
            answered_200: own.iter().map(|round| round.answered).sum(),
        }
    });
    rows.collect()
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The value that this percentage of the sorted ones does not exceed; zero of none.
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (
        values.get((values.len().saturating_sub(1)) / 2),
        values.get(values.len() / 2),
    ) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::variant::Filter;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(quantile(&values, 50), Duration::from_micros(100));
        assert_eq!(quantile(&values, 99), Duration::from_micros(198));
        assert_eq!(quantile(&values[..1], 99), Duration::from_micros(1));
        assert_eq!(quantile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn a_filter_is_compared_with_none_in_the_same_round() {
        let round = |cpu_us| Round {
            cpu_us,
            p50_us: 1.0,
            p99_us: 2.0,
            busy: 1.0,
            answered: 7,
            others: 1,
        };
        let variant = |filter, rules| Variant { filter, rules };
        let variants = [variant(Filter::None, 0), variant(Filter::Rbac, 1)];
        // The machine was slow in the second round, for both alike.
        let rounds = [
            [10.0, 30.0, 11.0].map(round).into(),
            [12.0, 32.0, 13.0].map(round).into(),
        ];
        let rows = figures(Protocol::Http2, &variants, &rounds);
        assert_eq!((rows[0].cpu_us, rows[0].over_none_us), (11.0, None));
        assert_eq!((rows[1].cpu_us, rows[1].over_none_us), (13.0, Some(2.0)));
        assert_eq!((rows[1].requests, rows[1].answered_200), (24, 21));
    }
}
