//! When a failed delivery is attempted again.

use std::time::Duration;

/// The waits between the attempts of one cycle, and how much chance moves them.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// The wait after the first failed attempt, after the second, and so on. Its length + 1 is the attempt budget.
    pub schedule: Vec<Duration>,
    /// Each wait is multiplied by a uniform factor in `[1 - jitter, 1 + jitter]`, so that deliveries that failed
    /// together do not come back together. 0 to 1.
    pub jitter: f64,
}

impl RetryPolicy {
    /// How many attempts one cycle has.
    pub fn budget(&self) -> usize {
        self.schedule.len() + 1
    }

    /// How long to wait after the failed attempt number `cycle_attempts` (from 1), or `None` when the budget is used up
    /// and the delivery is a dead letter.
    ///
    /// `chance` is uniform in `[0, 1)`. A `hint` of the endpoint can lengthen the wait, never shorten it.
    pub fn next_attempt(
        &self,
        cycle_attempts: usize,
        chance: f64,
        hint: Option<Duration>,
    ) -> Option<Duration> {
        let wait = self.schedule.get(cycle_attempts.saturating_sub(1))?;
        let factor = 1.0 - self.jitter + 2.0 * self.jitter * chance;
        Some(wait.mul_f64(factor.max(0.0)).max(hint.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(seconds: &[u64], jitter: f64) -> RetryPolicy {
        RetryPolicy { schedule: seconds.iter().copied().map(Duration::from_secs).collect(), jitter }
    }

    #[test]
    fn the_schedule_is_followed_and_ends() {
        let policy = policy(&[5, 300, 1_800], 0.0);
        assert_eq!(policy.budget(), 4);
        let waits: Vec<_> = (1..=5).map(|attempt| policy.next_attempt(attempt, 0.5, None)).collect();
        let seconds = |count| Some(Duration::from_secs(count));
        assert_eq!(waits, [seconds(5), seconds(300), seconds(1_800), None, None]);
    }

    #[test]
    fn a_hint_lengthens_and_never_shortens() {
        let policy = policy(&[10], 0.0);
        let hint = |count| Some(Duration::from_secs(count));
        assert_eq!(policy.next_attempt(1, 0.5, hint(3)), hint(10));
        assert_eq!(policy.next_attempt(1, 0.5, hint(60)), hint(60));
        assert_eq!(policy.next_attempt(2, 0.5, hint(60)), None, "a hint buys no attempt");
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_bounds(seconds in 1u64..100_000, jitter in 0.0f64..=1.0, chance in 0.0f64..1.0) {
            let wait = policy(&[seconds], jitter).next_attempt(1, chance, None).unwrap().as_secs_f64();
            let nominal = seconds as f64;
            prop_assert!(wait >= nominal * (1.0 - jitter) - 1e-6);
            prop_assert!(wait <= nominal * (1.0 + jitter) + 1e-6);
        }
    }
}
