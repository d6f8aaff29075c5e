//! The bucket, the places and the keys that are remembered, whatever comes and however the clock is set.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const QUOTAS: KeyQuotas =
    KeyQuotas { reads_per_minute: 60, writes_per_minute: 6, reveals_per_minute: 3, at_once: 1_000_000 };

fn limits(quotas: KeyQuotas) -> KeyLimits {
    KeyLimits::new(quotas, &Registry::new().unwrap()).unwrap()
}

fn key(number: u128) -> ApiKeyId {
    ApiKeyId::new(Uuid::from_u128(number))
}

proptest! {
    /// Whoever spaces requests as the quota says is never refused; and however they come, a window has no more than what a full
    /// bucket and a window's refill give.
    #[test]
    fn a_bucket_gives_its_quota_and_never_more(quota in 1_u32..5_000, gaps in prop::collection::vec(0_i64..3_000_000, 1..400)) {
        let (mut bucket, mut now, mut taken) = (Bucket::default(), 1_000_000_000_000, Vec::new());
        for gap in gaps {
            now += gap;
            let before = bucket.full_at;
            match bucket.take(quota, now) {
                Ok(level) => {
                    prop_assert!((0..i64::from(quota)).contains(&level.left));
                    taken.push(now);
                }
                Err(level) => {
                    prop_assert_eq!(bucket.full_at, before, "a refusal changes nothing");
                    prop_assert!(level.wait > 0);
                    prop_assert!(bucket.clone().take(quota, now + level.wait - 1).is_err(), "it is asked back too late");
                    prop_assert!(bucket.clone().take(quota, now + level.wait).is_ok(), "it is asked back too early");
                }
            }
        }
        for (at, first) in taken.iter().enumerate() {
            let within = taken[at..].iter().take_while(|one| **one < first + WINDOW).count();
            prop_assert!(within <= 2 * usize::try_from(quota).unwrap(), "{} in a window of {}", within, quota);
        }
    }

    #[test]
    fn a_whole_quota_may_come_at_once_and_then_evenly(quota in 1_u32..2_000) {
        let (mut bucket, now) = (Bucket::default(), 1_000_000_000_000);
        let lefts: Vec<i64> = (0..quota).map(|_| bucket.take(quota, now).unwrap().left).collect();
        prop_assert_eq!(lefts, (0..i64::from(quota)).rev().collect::<Vec<_>>());
        let wait = bucket.take(quota, now).unwrap_err().wait;
        prop_assert_eq!(wait, (WINDOW + i64::from(quota) - 1) / i64::from(quota));
        for at in 1..=i64::from(quota) {
            prop_assert!(bucket.take(quota, now + at * wait).is_ok());
        }
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out(back in 1_i64..100_000_000_000_000) {
        let (mut bucket, now) = (Bucket::default(), 200_000_000_000_000);
        for _ in 0..10 {
            bucket.take(10, now).unwrap();
        }
        prop_assert!(bucket.clone().take(10, now).is_err());
        prop_assert_eq!(bucket.take(10, now - back).map(|level| level.left), Ok(9));
    }

    /// Whatever a greedy key does, another is let in as if it were alone.
    #[test]
    fn a_key_never_pays_for_another(steps in prop::collection::vec((any::<bool>(), 0_i64..2_000_000), 1..300)) {
        let (together, alone) = (limits(QUOTAS), limits(QUOTAS));
        let mut now = 1_000_000_000_000;
        for (greedy, gap) in steps {
            now += gap;
            if greedy {
                for _ in 0..50 {
                    together.0.enter(key(1), KeyPolicy::Write, now).ok();
                }
            } else {
                let told = [&together, &alone].map(|limits| limits.0.enter(key(2), KeyPolicy::Write, now));
                prop_assert_eq!(told[0], told[1]);
            }
        }
    }
}

#[test]
fn policies_do_not_use_up_each_others_quota() {
    let (limits, now) = (limits(QUOTAS), 1_000_000_000_000);
    for (policy, quota) in [(KeyPolicy::Reveal, 3), (KeyPolicy::Write, 6), (KeyPolicy::Read, 60)] {
        let let_in = (0..100).filter(|_| limits.0.enter(key(1), policy, now).is_ok()).count();
        assert_eq!(let_in, quota, "{policy:?}");
    }
}

#[test]
fn a_place_is_free_again_when_its_request_ends_and_a_refusal_takes_none() {
    let (limits, now) = (limits(KeyQuotas { at_once: 2, ..QUOTAS }), 1_000_000_000_000);
    let enter = || limits.0.enter(key(1), KeyPolicy::Read, now).map(|(at_once, _level)| at_once).map_err(|why| why.0);
    assert_eq!([enter(), enter(), enter(), enter()], [Ok(1), Ok(0), Err(KeyPolicy::AtOnce), Err(KeyPolicy::AtOnce)]);
    limits.0.leave(key(1));
    assert_eq!([enter(), enter()], [Ok(0), Err(KeyPolicy::AtOnce)]);
    assert!(limits.0.enter(key(2), KeyPolicy::Read, now).is_ok(), "another key");
}

#[test]
fn idle_keys_are_forgotten_and_busy_ones_are_not() {
    let (limits, now) = (limits(QUOTAS), 1_000_000_000_000);
    for number in 0..5_000 {
        limits.0.enter(key(number), KeyPolicy::Read, now).unwrap();
        if number > 0 {
            limits.0.leave(key(number));
        }
    }
    assert_eq!(limits.0.usage.lock().unwrap().len(), 5_000, "all of them are busy");
    limits.0.enter(key(9_999), KeyPolicy::Read, now + WINDOW).unwrap();
    let kept = limits.0.usage.lock().unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[&key(0)].running, 1, "its request is still being answered");
}
