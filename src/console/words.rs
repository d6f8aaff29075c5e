//! What the pages say, in English and in Japanese: one table of each, which the compiler holds to the same words.

mod english;
mod japanese;

use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::{
    accounts::KeyState,
    batches::model::{BatchState, ItemOutcome},
    engine::State,
    treasury::reconciliation::compare::{Class, TheirState},
    webhooks::{deliveries::DeliveryState, endpoints::DisabledWhy},
};

/// A language of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
pub(super) enum Language {
    #[strum(serialize = "en")]
    English,
    #[strum(serialize = "ja")]
    Japanese,
}

impl Language {
    pub(super) fn from_word(word: &str) -> Option<Self> {
        word.parse().ok()
    }

    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }

    pub(super) const fn words(self) -> &'static Words {
        match self {
            Self::English => &english::WORDS,
            Self::Japanese => &japanese::WORDS,
        }
    }
}

/// What was done by the form before this page. The address has this word, and no other text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(super) enum DoneNote {
    Canceled,
    CancelRecorded,
    LoggedOut,
    Redelivered,
    BatchPaused,
    BatchResumed,
    BatchCanceled,
}

impl DoneNote {
    pub(super) fn from_word(word: &str) -> Option<Self> {
        word.parse().ok()
    }

    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }
}

macro_rules! words {
    ($($name:ident),+ $(,)?) => {
        /// Every text of the pages.
        pub(super) struct Words {
            $(pub(super) $name: &'static str,)+
            pub(super) state: fn(State) -> &'static str,
            /// What a state means to whoever asks about a reward.
            pub(super) meaning: fn(State) -> &'static str,
            /// What happened, by the timeline's word. A later version may write others.
            pub(super) happened: fn(&str) -> Option<&'static str>,
            pub(super) done: fn(DoneNote) -> &'static str,
            pub(super) batch_state: fn(BatchState) -> &'static str,
            /// What became of an item of a campaign.
            pub(super) outcome: fn(ItemOutcome) -> &'static str,
            /// What a reconciliation found.
            pub(super) class: fn(Class) -> &'static str,
            /// What became of a card, as Amazon lists it.
            pub(super) theirs: fn(TheirState) -> &'static str,
            pub(super) delivery: fn(DeliveryState) -> &'static str,
            /// Why an endpoint is sent nothing.
            pub(super) disabled: fn(DisabledWhy) -> &'static str,
            /// How a pair of Amazon's stands.
            pub(super) pair: fn(KeyState) -> &'static str,
            /// A problem by its code, where the pages have words of their own for it.
            pub(super) problem: fn(&str) -> Option<&'static str>,
        }

        #[cfg(test)]
        impl Words {
            fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($name), self.$name)),+]
            }
        }
    };
}

words! {
    language, title, skip, navigation, overview, rewards, balances, programs, log_in, log_out, api_key, api_key_hint, log_in_why,
    wrong_key, logged_in_as, other_language, other_language_name, find_reward, find_hint, find, found_none, found_no_code, found_many,
    no_scope,
    needs_scope, attention, attention_none, reward, order_number, client, value, account, program, kind, state_label, reward_id,
    amazon_id, recorded, issued_at, canceled_at, last_error, timeline, actions, detail, cancel, cancel_why, cancel_reason, cancel_now,
    cancel_until, cancel_left, cancel_closed, cancel_lacks, archived, reveal, reveal_why, reveal_reason, reveal_now, revealed_title, revealed_once,
    claim_code, back_to_reward, reserved, as_of, stale, never_asked, runway, runway_about, runway_worst, runway_long, runway_unknown, days, hours, one_hour, no_hour, last_month,
    this_month, months, month_of, month_open, month_closed, opening, deposits, adjustments, initial, closing, issued, canceled, net,
    count, no_program, total, print_hint, spending_chart, earlier, later, budgets, period, limit, used, no_limit, suspended, active,
    period_day, period_month, period_ever, no_programs, went_wrong, rewards_unit, reason_default, reveal_default, all_rewards,
    not_found, reference, batches, batch, no_batches, batch_id, progress, done_so_far, waits_for, tried_again, ended, began, pause,
    pause_why, pause_now, resume, resume_why, resume_now, cancel_batch, cancel_batch_why, cancel_batch_now, reconciliations,
    reconciliation, reconciliations_why, no_runs, days_compared, findings, finding, difference, matched, no_findings, ours,
    theirs_label, why_failed, run_id, run_running, run_failed, run_finished, run_clean, run_differs, happened_at, webhooks,
    webhooks_why, no_webhooks, all_delivered, undelivered, failures, failing_since, event, attempts, last_answer, next_attempt,
    redeliver, enabled, keys, api_keys, scopes, made_at, ends_at, never_ends, gone_keys, key_pairs, no_pairs, slot, in_force_since,
    asked_at, ago, just_now, within_hour, ahead, as_csv, as_books, next_rows, balance_history, no_history, as_table, day, available,
    spent_by_month, counted_by_hour, wrong_method, alarms, alarm_funds, alarm_account, alarm_stale, alarm_low, alarm_webhook,
    alarm_batch, alarm_key, alarm_pair,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_a_text_for_every_word() {
        for language in Language::VARIANTS {
            let words = language.words();
            assert_eq!(words.language, language.as_str());
            for (name, text) in words.all() {
                assert!(!text.trim().is_empty() && text == text.trim(), "{name}: {text:?}");
            }
            let states: std::collections::BTreeSet<_> = State::ALL.iter().map(|state| (words.state)(*state)).collect();
            assert_eq!(states.len(), State::ALL.len(), "two states are called the same");
        }
        let same = |(name, text): &(&str, &str)| Language::Japanese.words().all().contains(&(*name, *text));
        let alike: Vec<_> = Language::English.words().all().into_iter().filter(same).collect();
        assert_eq!(alike, [], "left in English");
    }

    #[test]
    fn every_entry_of_a_timeline_has_words_in_both_languages() {
        let source = include_str!("../incentives/timeline.rs").split("#[cfg(test)]").next().unwrap();
        let written: Vec<&str> = source.split('"').skip(1).step_by(2).filter(|word| word.contains('.')).collect();
        assert!(written.len() > 15, "{written:?}");
        for language in Language::VARIANTS {
            for word in &written {
                assert!((language.words().happened)(word).is_some(), "{language:?} has no words for {word}");
            }
        }
    }
}
