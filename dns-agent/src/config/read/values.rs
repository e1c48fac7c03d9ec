//! Single values: addresses, numbers, durations.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use super::Reading;
use crate::yaml::{Written, line};

impl Reading<'_> {
    /// An address with its port; without one when there is a port to take then.
    pub(super) fn socket_address(
        &mut self,
        written: &Written<String>,
        field: &str,
        port: Option<u16>,
    ) -> Option<SocketAddr> {
        let text = written.value.as_str();
        let alone = || {
            let address: IpAddr = text.parse().ok()?;
            Some(SocketAddr::new(address, port?))
        };
        let address = text.parse().ok().or_else(alone);
        if address.is_none() {
            self.faults.add(
                line(written),
                field,
                format!("\"{text}\" is no address with a port"),
                "write ADDRESS:PORT, an IPv6 address in brackets",
            );
        }
        address
    }

    pub(super) fn not_empty(&mut self, written: &Written<String>, field: &str) {
        if written.value.is_empty() {
            self.faults
                .add(line(written), field, "\"\" is no value", "write one");
        }
    }

    pub(super) fn number<T: TryFrom<i64>>(
        &mut self,
        written: Option<&Written<i64>>,
        field: &str,
        default: T,
        allowed: RangeInclusive<i64>,
    ) -> T {
        let Some(written) = written else {
            return default;
        };
        let number = Some(written.value)
            .filter(|number| allowed.contains(number))
            .and_then(|number| T::try_from(number).ok());
        number.unwrap_or_else(|| {
            self.faults.add(
                line(written),
                field,
                format!("{} is out of range", written.value),
                format!(
                    "write a number from {} to {}",
                    allowed.start(),
                    allowed.end()
                ),
            );
            default
        })
    }

    pub(super) fn duration(
        &mut self,
        written: Option<&Written<String>>,
        field: &str,
        default: Duration,
        allowed: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(written) = written else {
            return default;
        };
        let duration = duration(&written.value);
        duration
            .filter(|duration| allowed.contains(duration))
            .unwrap_or_else(|| {
                self.faults.add(
                    line(written),
                    field,
                    format!("\"{}\" is no duration, or out of range", written.value),
                    format!(
                        "write a whole number with ms, s or m, from {:?} to {:?}",
                        allowed.start(),
                        allowed.end()
                    ),
                );
                default
            })
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => number,
        "s" => number.checked_mul(1_000)?,
        "m" => number.checked_mul(60_000)?,
        _ => return None,
    };
    Some(Duration::from_millis(milliseconds))
}
