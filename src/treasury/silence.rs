//! Amazon does not say a balance: the questions that are asked out of turn come further and further apart, and the log hears of the
//! beginning and of the end.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::balances::CHECK_EVERY;

/// The longest pause. A balance that nothing can be bought without is asked for as often at least.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The accounts whose last question came to nothing.
#[derive(Default)]
pub(super) struct Silences(Mutex<BTreeMap<String, Silence>>);

struct Silence {
    /// Questions in vain.
    questions: u64,
    pause: Duration,
    next: Instant,
}

impl Silences {
    /// Whether an account may be asked for out of turn.
    pub(super) fn may_ask(&self, account: &str, now: Instant) -> bool {
        self.all().get(account).is_none_or(|silence| silence.next <= now)
    }

    /// A question came to nothing. Returns whether the ones before it did not.
    pub(super) fn begins(&self, account: &str, now: Instant) -> bool {
        let mut all = self.all();
        let Some(silence) = all.get_mut(account) else {
            let silence = Silence { questions: 1, pause: CHECK_EVERY, next: now + CHECK_EVERY };
            all.insert(account.to_owned(), silence);
            return true;
        };
        silence.questions = silence.questions.saturating_add(1);
        silence.pause = silence.pause.saturating_mul(2).min(PAUSE_MAX);
        silence.next = now + silence.pause;
        false
    }

    /// Amazon has answered. Returns how many questions had come to nothing, if the last one had.
    pub(super) fn ends(&self, account: &str) -> Option<u64> {
        self.all().remove(account).map(|silence| silence.questions)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Silence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_out_of_turn_come_further_and_further_apart_until_amazon_answers() {
        let (silences, mut now) = (Silences::default(), crate::ambient::Ambient::system().monotonic());
        let after = |seconds| move |now: Instant| now + Duration::from_secs(seconds);
        assert!(silences.may_ask("main", now));
        for (question, pause) in [2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            assert_eq!(silences.begins("main", now), question == 0, "the log hears of the first");
            assert!(!silences.may_ask("main", after(pause - 1)(now)) && silences.may_ask("other", now));
            now = after(pause)(now);
            assert!(silences.may_ask("main", now), "{pause}");
        }
        assert_eq!((silences.ends("main"), silences.ends("main")), (Some(7), None));
        assert!(silences.may_ask("main", now) && silences.begins("main", now), "it begins anew");
        assert!(silences.may_ask("main", after(2)(now)));
    }
}
