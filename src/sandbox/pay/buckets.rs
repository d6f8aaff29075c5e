//! The rate of each operation, as Amazon publishes it for its sandbox: a bucket that refills by one a second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::route::PayCall;

/// What a second adds, of every operation.
const REFILL: Duration = Duration::from_secs(1);

/// What is left, by merchant and operation.
#[derive(Default)]
pub(super) struct Buckets {
    buckets: Mutex<HashMap<(String, PayCall), PayBucket>>,
}

struct PayBucket {
    left: u32,
    /// Until when what is left was counted.
    counted: Instant,
}

/// How much a full bucket has.
const fn size(call: PayCall) -> u32 {
    match call {
        PayCall::CreateCharge
        | PayCall::CaptureCharge
        | PayCall::CancelCharge
        | PayCall::CreateRefund
        | PayCall::CloseChargePermission
        | PayCall::CompleteCheckoutSession => 2,
        PayCall::GetCharge | PayCall::GetRefund => 5,
        PayCall::GetChargePermission | PayCall::GetCheckoutSession => 10,
    }
}

impl Buckets {
    /// Whether a request that arrives now may pass. Counts it if so.
    pub(super) fn admits(&self, merchant_id: &str, call: PayCall, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket =
            buckets.entry((merchant_id.to_owned(), call)).or_insert(PayBucket { left: size(call), counted: now });
        while bucket.left < size(call) && now.saturating_duration_since(bucket.counted) >= REFILL {
            bucket.left = bucket.left.saturating_add(1);
            bucket.counted = bucket.counted.checked_add(REFILL).unwrap_or(now);
        }
        if bucket.left == size(call) {
            bucket.counted = now;
        }
        let passes = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::clock::Clock;

    #[test]
    fn a_bucket_gives_what_it_has_and_then_one_a_second() {
        let (buckets, start) = (Buckets::default(), Clock::monotonic());
        let asks = |call, milliseconds| buckets.admits("M", call, start + Duration::from_millis(milliseconds));
        let create = [0, 1, 2, 999, 1_000, 1_001, 1_999, 2_000, 60_000, 60_001, 60_002];
        assert_eq!(
            create.map(|at| asks(PayCall::CreateCharge, at)),
            [true, true, false, false, true, false, false, true, true, true, false]
        );
        assert!((0..10).all(|_| asks(PayCall::GetChargePermission, 60_002)), "each operation has its own");
        assert!(!asks(PayCall::GetChargePermission, 60_002));
        assert!(buckets.admits("N", PayCall::CreateCharge, start), "and so has each merchant");
    }
}
