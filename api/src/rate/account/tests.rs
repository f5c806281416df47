use super::*;

const LIMITS: Limits = Limits { per_second: 1_000, burst: 3_200 };

/// A bucket and accounts that draw from it, as the database's statement says.
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    fn draw(&mut self, limits: Limits, ask: Ask, now: Instant) -> Drawn {
        let gained = (now - self.filled_at).as_secs_f64() * f64::from(limits.per_second);
        self.tokens = (self.tokens + gained).min(f64::from(limits.burst));
        self.filled_at = now;
        let is_there = self.tokens >= f64::from(ask.needed.min(limits.burst));
        let more = (self.tokens - f64::from(ask.needed)).floor().clamp(0.0, f64::from(ask.wanted));
        let granted = if is_there { ask.needed + more as u32 } else { 0 };
        self.tokens -= f64::from(granted);
        Drawn { granted, left: self.tokens }
    }
}

/// Takes, and draws as long as it is asked to.
fn take(account: &mut Account, bucket: &mut Bucket, limits: Limits, events: u32, now: Instant) -> Allowance {
    let (taken, mut ask) = account.take(limits, events, now);
    for _ in 0..100 {
        let Some(wanted) = ask else { break };
        let drawn = bucket.draw(limits, wanted, now);
        ask = account.settle(limits, Some(drawn), now);
    }
    assert_eq!(ask, None, "it draws again and again");
    match taken {
        Taken::Now(allowance) => allowance,
        Taken::Later(mut answer) => match answer.try_recv().unwrap() {
            Answer::Told(allowance) => allowance,
            Answer::NotDrawn => panic!("it was drawn"),
        },
    }
}

fn bucket(limits: Limits, now: Instant) -> Bucket {
    Bucket { tokens: f64::from(limits.burst), filled_at: now }
}

#[test]
fn three_processes_admit_what_one_would_and_hold_less_than_a_tenth() {
    let start = Instant::now();
    let mut bucket = bucket(LIMITS, start);
    let mut accounts = [(); 3].map(|()| Account::new(LIMITS, start));
    let mut granted = 0;
    // Ten seconds, each process offered a thousand a second.
    for milliseconds in 0..10_000 {
        let now = start + Duration::from_millis(milliseconds);
        for account in &mut accounts {
            granted += u32::from(take(account, &mut bucket, LIMITS, 1, now).is_granted);
        }
    }
    let exact = 3_200 + 10_000;
    assert!((exact * 9 / 10..=exact).contains(&granted), "{granted}");
    let held: u32 = accounts.iter().map(|account| account.lot).sum();
    assert!(held <= 320, "{held}");
}

#[test]
fn what_is_held_is_all_that_three_processes_admit_too_much() {
    let limits = Limits { per_second: 100_000, burst: 3_200 };
    let start = Instant::now();
    let mut bucket = bucket(limits, start);
    let mut accounts = [(); 3].map(|()| Account::new(limits, start));
    // Each uses so much that its lot is as large as it may be.
    for milliseconds in 0..1_000 {
        let now = start + Duration::from_millis(milliseconds);
        for account in &mut accounts {
            assert!(take(account, &mut bucket, limits, 10, now).is_granted);
        }
    }
    // After half a second, in which the bucket fills and no lot is given up, as much as can be had at one moment.
    let now = start + Duration::from_millis(1_500);
    let mut granted = 0;
    for account in &mut accounts {
        while take(account, &mut bucket, limits, 1, now).is_granted {
            granted += 1;
        }
    }
    assert!((3_200..=3_520).contains(&granted), "{granted}");
}

#[test]
fn most_events_of_a_busy_tenant_draw_nothing() {
    let start = Instant::now();
    let mut bucket = bucket(LIMITS, start);
    let mut account = Account::new(LIMITS, start);
    let mut draws = 0;
    for milliseconds in 0..5_000 {
        let now = start + Duration::from_millis(milliseconds);
        let (taken, mut ask) = account.take(LIMITS, 1, now);
        // After the first, nobody waits: a lot is drawn while the last one is still in use.
        assert!(milliseconds == 0 || matches!(taken, Taken::Now(allowance) if allowance.is_granted));
        while let Some(wanted) = ask {
            draws += 1;
            let drawn = bucket.draw(LIMITS, wanted, now);
            ask = account.settle(LIMITS, Some(drawn), now);
        }
    }
    assert!(draws < 5_000 / 20, "{draws}");
}

#[test]
fn a_quiet_tenant_draws_once_in_some_events() {
    let start = Instant::now();
    let mut account = Account::new(LIMITS, start);
    let mut bucket = bucket(LIMITS, start);
    let mut waits = 0;
    for minutes in 0..100 {
        let now = start + Duration::from_secs(60 * minutes);
        let (taken, mut ask) = account.take(LIMITS, 1, now);
        waits += u32::from(matches!(taken, Taken::Later(_)));
        while let Some(wanted) = ask {
            ask = account.settle(LIMITS, Some(bucket.draw(LIMITS, wanted, now)), now);
        }
    }
    assert_eq!(waits, 1);
    assert!(account.lot <= LOT_MIN, "{}", account.lot);
}

#[test]
fn a_small_burst_is_drawn_event_by_event_and_is_exact() {
    let limits = Limits { per_second: 1, burst: 3 };
    let start = Instant::now();
    let mut bucket = bucket(limits, start);
    let mut accounts = [(); 3].map(|()| Account::new(limits, start));
    let granted =
        (0..9).filter(|number| take(&mut accounts[number % 3], &mut bucket, limits, 1, start).is_granted);
    assert_eq!(granted.count(), 3);
    let refused = take(&mut accounts[0], &mut bucket, limits, 1, start);
    assert_eq!((refused.is_granted, refused.wait_seconds, refused.remaining), (false, 1, 0));
    assert_eq!((refused.burst, refused.window_seconds), (3, 3));
    let later = start + Duration::from_secs(1);
    assert!(take(&mut accounts[1], &mut bucket, limits, 1, later).is_granted);
    assert!(!take(&mut accounts[2], &mut bucket, limits, 1, later).is_granted);
}

#[test]
fn many_at_once_are_all_granted_or_none_and_a_full_bucket_may_owe_some() {
    let limits = Limits { per_second: 2, burst: 3 };
    let start = Instant::now();
    let mut bucket = bucket(limits, start);
    let mut account = Account::new(limits, start);
    let mut at = |events: u32, seconds: u64| {
        let now = start + Duration::from_secs(seconds);
        let allowance = take(&mut account, &mut bucket, limits, events, now);
        (allowance.is_granted, allowance.wait_seconds)
    };
    assert_eq!(at(2, 0), (true, 0));
    assert_eq!(at(2, 0), (false, 1), "half a second, rounded up");
    assert_eq!(at(1, 0), (true, 0), "what is too much for one may be there for another");
    assert_eq!(at(7, 2), (true, 0), "more than the burst, of a bucket that is full: four are owed");
    assert_eq!(at(1, 3), (false, 2), "two of them still are, and one is to come");
}

#[test]
fn an_empty_bucket_is_not_asked_again_for_each_refusal() {
    let start = Instant::now();
    let mut account = Account::new(LIMITS, start);
    let (_, ask) = account.take(LIMITS, 1, start);
    assert!(ask.is_some());
    assert_eq!(account.settle(LIMITS, Some(Drawn { granted: 0, left: 0.2 }), start), None);
    for milliseconds in 0..10 {
        let (taken, ask) = account.take(LIMITS, 1, start + Duration::from_millis(milliseconds));
        assert!(matches!(taken, Taken::Now(allowance) if !allowance.is_granted) && ask.is_none());
    }
    let (taken, ask) = account.take(LIMITS, 1, start + Duration::from_millis(10));
    assert!(matches!(taken, Taken::Later(_)) && ask.is_some());
}

#[test]
fn those_who_wait_share_one_draw_and_are_served_in_turn() {
    let start = Instant::now();
    let mut account = Account::new(LIMITS, start);
    let (first, ask) = account.take(LIMITS, 1, start);
    let ask = ask.unwrap();
    let (second, none) = account.take(LIMITS, 5, start);
    assert_eq!(none, None, "one draw at a time");
    let Taken::Later(mut first) = first else { panic!("it waits") };
    let Taken::Later(mut second) = second else { panic!("it waits") };
    assert_eq!(ask.needed, 1);
    let next = account.settle(LIMITS, Some(Drawn { granted: 1, left: 100.0 }), start);
    assert!(matches!(first.try_recv(), Ok(Answer::Told(told)) if told.is_granted));
    assert_eq!(next.map(|ask| ask.needed), Some(5));
    assert_eq!(account.settle(LIMITS, None, start), None);
    assert_eq!(second.try_recv(), Ok(Answer::NotDrawn), "the database was away");
}

#[test]
fn what_was_granted_to_someone_who_left_is_kept() {
    let start = Instant::now();
    let mut account = Account::new(LIMITS, start);
    let (taken, _) = account.take(LIMITS, 5, start);
    drop(taken);
    account.settle(LIMITS, Some(Drawn { granted: 5, left: 0.0 }), start);
    assert_eq!(account.lot, 5);
}

#[test]
fn a_batch_larger_than_the_burst_is_granted_by_a_full_bucket_after_the_wait_it_was_told() {
    let limits = Limits { per_second: 1, burst: 64 };
    let start = Instant::now();
    let mut bucket = bucket(limits, start);
    let mut account = Account::new(limits, start);
    assert!(take(&mut account, &mut bucket, limits, 1, start).is_granted);
    assert!(account.lot > 0);
    // Lot and bucket hold a burst together, but the bucket is not full.
    let now = start + Duration::from_secs(1);
    let refused = take(&mut account, &mut bucket, limits, 100, now);
    assert!(!refused.is_granted);
    let told = now + Duration::from_secs(refused.wait_seconds);
    assert!(take(&mut account, &mut bucket, limits, 100, told).is_granted);
}

#[test]
fn nothing_is_drawn_for_those_who_left() {
    let start = Instant::now();
    let mut account = Account::new(LIMITS, start);
    let (taken, ask) = account.take(LIMITS, 1_000, start);
    assert!(ask.is_some());
    drop(taken);
    assert_eq!(account.settle(LIMITS, Some(Drawn { granted: 0, left: 3_200.0 }), start), None);
}
