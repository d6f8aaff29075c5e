//! Look-ups of several callers that are asked together.
//!
//! A look-up that comes while others are on their way waits for one of them to end, and what has come together meanwhile is asked as one
//! question. Nobody waits for a timer: a caller who comes alone asks at once. Each question is asked after all whom it answers have come, so
//! nobody hears anything older than by a question of their own: a key that was revoked before it was presented is refused.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, sync::oneshot};

use super::{ACQUIRE_TIMEOUT, StoreError};

/// So many questions are on their way at once.
const UNDER_WAY_MAX: usize = 2;
/// So many look-ups are one question at most.
const TOGETHER_MAX: usize = 64;

/// What was found, or why it cannot be read: that is said to those alone who asked for it.
pub(crate) type FoundRows<K, V> = Vec<(K, Result<V, StoreError>)>;

/// The look-ups that wait. Cheap to clone.
pub(crate) struct Gather<K, V>(Arc<Mutex<LookUpQueue<K, V>>>);

impl<K, V> Clone for Gather<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Default for Gather<K, V> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LookUpQueue { waiting: Vec::new(), under_way: 0, next: 0 })))
    }
}

struct LookUpQueue<K, V> {
    waiting: Vec<GatheredKey<K, V>>,
    under_way: usize,
    /// The number of the next that waits.
    next: u64,
}

struct GatheredKey<K, V> {
    number: u64,
    key: K,
    answer: oneshot::Sender<Result<Option<V>, Arc<StoreError>>>,
}

impl<K, V> Gather<K, V>
where
    K: Copy + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// What is called so. `look` finds those of several keys that are there. Whoever waits for as long as for a connection, and has not been asked for,
    /// waits no longer.
    ///
    /// # Errors
    /// That of the question, [`StoreError::Together`] where it was asked for several callers.
    pub(crate) async fn ask<L, F>(&self, key: K, look: L) -> Result<Option<V>, StoreError>
    where
        L: Fn(Vec<K>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<FoundRows<K, V>, StoreError>> + Send,
    {
        let (answer, mut answered) = oneshot::channel();
        let (number, goes) = {
            let mut queue = self.lock();
            let number = queue.next;
            queue.next = number.wrapping_add(1);
            queue.waiting.push(GatheredKey { number, key, answer });
            let goes = queue.under_way < UNDER_WAY_MAX;
            queue.under_way = queue.under_way.saturating_add(usize::from(goes));
            (number, goes)
        };
        if goes {
            // A task of its own: whoever leads may be dropped, and those who follow are not. Whoever asks is on the main runtime.
            let mut place = QuestionUnderWay(Some(self.clone()));
            drop(Handle::current().spawn(async move {
                while let Some(taken) = place.take() {
                    answer_all(taken, &look).await;
                }
            }));
        }
        let ended = |_ended| StoreError::database("gather", sqlx::Error::WorkerCrashed);
        let found = match tokio::time::timeout(ACQUIRE_TIMEOUT, &mut answered).await {
            Ok(found) => found.map_err(ended)?,
            Err(_late) if self.take_back(number) => {
                return Err(StoreError::database("acquire", sqlx::Error::PoolTimedOut));
            }
            Err(_late) => answered.await.map_err(ended)?,
        };
        found.map_err(|error| Arc::try_unwrap(error).unwrap_or_else(StoreError::Together))
    }
}

impl<K, V> Gather<K, V> {
    fn lock(&self) -> MutexGuard<'_, LookUpQueue<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes back one that nobody has asked for yet; `false` where somebody has.
    fn take_back(&self, number: u64) -> bool {
        let mut queue = self.lock();
        let before = queue.waiting.len();
        queue.waiting.retain(|asked| asked.number != number);
        queue.waiting.len() < before
    }
}

async fn answer_all<K, V, L, F>(asked: Vec<GatheredKey<K, V>>, look: &L)
where
    K: Copy + Eq + Hash,
    V: Clone,
    L: Fn(Vec<K>) -> F,
    F: Future<Output = Result<FoundRows<K, V>, StoreError>>,
{
    let mut keys = Vec::with_capacity(asked.len());
    for one in &asked {
        if !keys.contains(&one.key) {
            keys.push(one.key);
        }
    }
    match look(keys).await {
        Ok(found) => {
            let found: HashMap<K, _> = found.into_iter().map(|(key, value)| (key, value.map_err(Arc::new))).collect();
            for GatheredKey { key, answer, number: _ } in asked {
                drop(answer.send(found.get(&key).cloned().transpose()));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for GatheredKey { answer, .. } in asked {
                drop(answer.send(Err(Arc::clone(&error))));
            }
        }
    }
}

/// A place among those under way; `None` once it is given back.
struct QuestionUnderWay<K, V>(Option<Gather<K, V>>);

impl<K, V> QuestionUnderWay<K, V> {
    /// What is asked next. Where nothing waits the place is given back, so that whoever comes next finds it.
    fn take(&mut self) -> Option<Vec<GatheredKey<K, V>>> {
        let mut queue = self.0.as_ref()?.lock();
        // Whoever waits no more has given up.
        queue.waiting.retain(|asked| !asked.answer.is_closed());
        let most = queue.waiting.len().min(TOGETHER_MAX);
        if most == 0 {
            queue.under_way = queue.under_way.saturating_sub(1);
            drop(queue);
            self.0 = None;
            return None;
        }
        Some(queue.waiting.drain(..most).collect())
    }
}

impl<K, V> Drop for QuestionUnderWay<K, V> {
    fn drop(&mut self) {
        let Some(gather) = &self.0 else { return };
        let mut queue = gather.lock();
        queue.under_way = queue.under_way.saturating_sub(1);
        // Its task broke down. Where nobody else asks, whoever waits is answered, and asks again.
        if queue.under_way == 0 {
            queue.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_comes_while_others_are_asked_is_one_question_asked_later() {
        let (gather, questions, gate) =
            (Gather::<u8, usize>::default(), Arc::new(AtomicUsize::new(0)), Semaphore::new(0));
        let gate = Arc::new(gate);
        let ask = |key: u8| {
            let (gather, questions, gate) = (gather.clone(), Arc::clone(&questions), Arc::clone(&gate));
            Handle::current().spawn(async move {
                let look = move |keys: Vec<u8>| {
                    let (number, gate) = (questions.fetch_add(1, Ordering::AcqRel), Arc::clone(&gate));
                    async move {
                        gate.acquire().await.unwrap().forget();
                        Ok(keys.into_iter().filter(|key| *key != 9).map(|key| (key, Ok(number))).collect())
                    }
                };
                gather.ask(key, look).await.unwrap()
            })
        };
        // Those that find nobody under way go at once; a question for the same key as one under way is not that one.
        let mut first = Vec::new();
        for _each in 0..UNDER_WAY_MAX {
            first.push(ask(1));
            tokio::task::yield_now().await;
        }
        let later: Vec<_> = [1, 1, 2, 9].into_iter().map(ask).collect();
        while gather.lock().waiting.len() < later.len() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1000);
        for (number, one) in first.into_iter().enumerate() {
            assert_eq!(one.await.unwrap(), Some(number));
        }
        let mut answers = Vec::new();
        for one in later {
            answers.push(one.await.unwrap());
        }
        let together = Some(UNDER_WAY_MAX);
        assert_eq!(answers, [together, together, together, None], "one question for all that waited");
        tokio::task::yield_now().await;
        assert_eq!(gather.lock().under_way, 0);
    }

    #[tokio::test]
    async fn whoever_is_not_asked_for_in_time_waits_no_longer() {
        let gather = Gather::<u8, ()>::default();
        let ask = || {
            let gather = gather.clone();
            Handle::current().spawn(async move { gather.ask(1, |_keys| std::future::pending()).await })
        };
        let mut hanging = Vec::new();
        for under_way in 1..=UNDER_WAY_MAX {
            hanging.push(ask());
            // One by one: two that come together are one question.
            while gather.lock().under_way < under_way || !gather.lock().waiting.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        let late = ask().await.unwrap();
        assert!(matches!(late, Err(StoreError::Database { statement: "acquire", .. })), "{late:?}");
        assert_eq!(gather.lock().waiting.len(), 0);
        assert!(hanging.iter().all(|one| !one.is_finished()), "those who are asked for wait for their answer");
    }

    #[tokio::test]
    async fn an_error_is_that_of_all_who_asked() {
        let gather = Gather::<u8, ()>::default();
        let failing = |_keys: Vec<u8>| async { Err(StoreError::Unconfirmed) };
        assert!(matches!(gather.ask(1, failing).await, Err(StoreError::Unconfirmed)));
        assert_eq!(gather.lock().waiting.len(), 0);
    }
}
