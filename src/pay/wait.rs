//! Waiting for a payment: the work goes on when the caller's time is up, and the caller hears what is recorded.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use super::{
    courier::PayCourier,
    make::{Made, PayError},
    model::Payment,
};
use crate::{
    engine::{Waiter, run::Latest},
    lifecycle::{Lost, workplaces},
};

/// Has the work done, and waits for its outcome as long as the caller has patience and the service allows since the request `arrived`.
///
/// # Errors
/// The work's own; [`PayError::Late`] where nothing is known to be recorded when the time is up.
pub(super) async fn answered<W>(
    courier: &PayCourier,
    patience: Option<Duration>,
    arrived: Instant,
    work: impl FnOnce(Waiter<Payment>) -> W,
) -> Result<Made, PayError>
where
    W: Future<Output = Result<Made, PayError>> + Send + 'static,
{
    let wait = PayCourier::left(arrived).min(patience.unwrap_or(Duration::MAX));
    let (waiter, mut listener) = Waiter::new(courier.ambient.monotonic() + wait);
    let mut job = courier.tasks.spawn(workplaces::carry(work(waiter)));
    if let Ok(ended) = tokio::time::timeout(wait, &mut job).await {
        return ended.map_err(|_panicked| Lost)?;
    }
    // The outcome is not there yet. What is recorded is the answer; what is not recorded is waited for.
    let latest = tokio::time::timeout(PayCourier::left(arrived), listener.wait_for(Option::is_some)).await;
    match latest.map(|latest| latest.ok().and_then(|latest| latest.clone())) {
        Ok(Some(Latest { row, replayed })) => Ok(Made { payment: row, replayed }),
        Ok(None) => job.await.map_err(|_panicked| Lost)?,
        Err(_elapsed) => Err(PayError::Late),
    }
}
