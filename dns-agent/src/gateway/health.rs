//! Whether a gateway's address is to be used, judged by its probes: not by one alone.

/// How many probes in a row change the judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damping {
    /// Failures that make an address unhealthy; at least 1.
    pub failures: u32,
    /// Successes that make it healthy again; at least 1.
    pub successes: u32,
}

/// The judgement of one address. Without a probe it is healthy: a gateway that nobody could probe yet is better than
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    healthy: bool,
    /// Probes in a row that speak against the judgement.
    against: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            healthy: true,
            against: 0,
        }
    }
}

impl Health {
    /// Whether the address is to be used.
    pub fn is_healthy(self) -> bool {
        self.healthy
    }

    /// Takes a probe's outcome; whether the judgement changed.
    pub fn observe(&mut self, reached: bool, damping: Damping) -> bool {
        if reached == self.healthy {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let enough = if self.healthy {
            damping.failures
        } else {
            damping.successes
        };
        if self.against < enough {
            return false;
        }
        *self = Self {
            healthy: reached,
            against: 0,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probes as `+` and `-`; the judgement after each.
    fn check(probes: &str, expected: &str) {
        let damping = Damping {
            failures: 3,
            successes: 2,
        };
        let mut health = Health::default();
        let mut found = String::new();
        for probe in probes.chars() {
            let before = health.is_healthy();
            let changed = health.observe(probe == '+', damping);
            assert_eq!(changed, before != health.is_healthy());
            found.push(if health.is_healthy() { '+' } else { '-' });
        }
        assert_eq!(found, expected, "{probes}");
    }

    #[test]
    fn only_probes_in_a_row_change_the_judgement() {
        check("+++", "+++");
        check("---", "++-");
        check("--+--+--", "++++++++");
        check("---++", "++--+");
        check("---+-+-+", "++------");
        check("---++---", "++--+++-");
    }
}
