//! How long, how often and how many at a time.

use std::time::Duration;

use super::Refused;

const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const WAITS_MAX: usize = 20;
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(7 * 86_400);
const RATE_MAX: u32 = 10_000;
const IN_FLIGHT_MAX: u32 = 1_000;

pub(super) fn check_timeout(timeout: Duration, most: Duration) -> Result<(), Refused> {
    if (TIMEOUT_MIN..=most).contains(&timeout) {
        return Ok(());
    }
    Err(Refused::new("timeout_ms", format!("accepts 1000 to {}", most.as_millis())))
}

pub(super) fn check_retry_schedule(waits: &[Duration]) -> Result<(), Refused> {
    if waits.len() <= WAITS_MAX && waits.iter().all(|wait| (WAIT_MIN..=WAIT_MAX).contains(wait)) {
        return Ok(());
    }
    Err(Refused::new("retry_schedule_ms", "accepts at most 20 waits of 1000 to 604800000 (7 days)"))
}

pub(super) fn check_rate(rate: u32) -> Result<(), Refused> {
    if (1..=RATE_MAX).contains(&rate) {
        return Ok(());
    }
    Err(Refused::new("rate_per_second", "accepts 1 to 10000; null stands for no limit"))
}

pub(super) fn check_in_flight(count: u32) -> Result<(), Refused> {
    if (1..=IN_FLIGHT_MAX).contains(&count) {
        return Ok(());
    }
    Err(Refused::new("in_flight_max", "accepts 1 to 1000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_bounds() {
        let ms = Duration::from_millis;
        let most = Duration::from_secs(20);
        let days = |count: u64| Duration::from_secs(count * 86_400);
        for good in [ms(1_000), ms(1_001), most] {
            assert_eq!(check_timeout(good, most), Ok(()));
        }
        for bad in [ms(0), ms(999), ms(20_001)] {
            assert_eq!(check_timeout(bad, most).unwrap_err().to_string(), "timeout_ms accepts 1000 to 20000");
        }
        for good in [vec![], vec![ms(1_000), days(7)], vec![days(1); 20]] {
            assert_eq!(check_retry_schedule(&good), Ok(()), "{good:?}");
        }
        for bad in [vec![ms(999)], vec![days(7) + ms(1)], vec![days(1); 21]] {
            assert_eq!(check_retry_schedule(&bad).unwrap_err().field, "retry_schedule_ms", "{bad:?}");
        }
        assert_eq!((check_rate(1), check_rate(10_000)), (Ok(()), Ok(())));
        assert!(check_rate(0).is_err() && check_rate(10_001).is_err());
        assert_eq!((check_in_flight(1), check_in_flight(1_000)), (Ok(()), Ok(())));
        assert!(check_in_flight(0).is_err() && check_in_flight(1_001).is_err());
    }
}
