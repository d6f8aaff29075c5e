//! What makes two worlds the same: all of it, in a few bytes.

use chrono::{DateTime, Utc};
use noshi::incentives::machine::{Action, CancelFailure, Card, Event, Facts, State};

use super::{Phase, World, instant};

impl World {
    /// Its bytes.
    pub(in super::super) fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(48);
        let b = &self.left;
        key.extend([self.at, b.faults, b.crashes, b.freezes, b.wishes, b.retries]);
        key.extend([u8::from(self.careful), u8::from(self.delivered), self.gift as u8]);
        key.extend([self.stray_create.map_or(9, |at| at), self.stray_cancel.map_or(9, |at| at)]);
        match &self.row {
            Some(row) => {
                facts_key(&row.facts, &mut key);
                key.extend([u8::from(row.lease != 0), u8::from(row.due), row.not_before]);
            }
            None => key.push(255),
        }
        for worker in &self.workers {
            phase_key(worker.phase, &mut key);
            // Tokens never come again: all that counts is whether it is the row's.
            let holds = self.row.is_some_and(|row| row.lease == worker.token && row.lease != 0);
            key.extend([u8::from(holds), u8::from(worker.caller)]);
            worker.facts.iter().for_each(|facts| facts_key(facts, &mut key));
            key.push(254);
        }
        key
    }
}

fn facts_key(facts: &Facts, key: &mut Vec<u8>) {
    let state = State::ALL.iter().position(|state| *state == facts.state).unwrap();
    let flags = [
        facts.ambiguous,
        facts.cancel_requested,
        facts.cancel_if_unresolved,
        facts.cancel_doubt,
        facts.retryable,
        facts.cancel_failure == Some(CancelFailure::TooLate),
        facts.cancel_failure == Some(CancelFailure::NotPermitted),
    ];
    key.push(u8::try_from(state).unwrap());
    key.push(flags.iter().enumerate().map(|(bit, flag)| u8::from(*flag) << bit).sum());
    let sent = |at: DateTime<Utc>| (0..4).find(|instant_at| instant(*instant_at) == at).unwrap();
    key.extend([facts.refusals, facts.first_send_at.map_or(9, sent)]);
}

fn event_key(event: Event) -> u8 {
    match event {
        Event::Seen(Card::Fulfilled) => 0,
        Event::Seen(_) => 1,
        Event::Refused(_) => 2,
        Event::Lost => 3,
        Event::NotSent => 4,
        Event::CancelDone => 5,
        Event::CancelRefused(CancelFailure::TooLate) => 6,
        Event::CancelRefused(CancelFailure::NotPermitted) => 7,
        Event::CancelLost => 8,
        Event::Begin | Event::Abandoned | Event::CancelAsked | Event::CancelNotSent | Event::GiveUp => 9,
    }
}

fn phase_key(phase: Phase, key: &mut Vec<u8>) {
    let action = |action: Action| action as u8;
    key.extend(match phase {
        Phase::Idle => [0, 0, 0, 0],
        Phase::Ready => [1, 0, 0, 0],
        Phase::Sent(what, asked) => [2, action(what), 0, asked],
        Phase::Done(what, event, asked) => [3, action(what), event_key(event), asked],
        Phase::Heard(event, asked) => [4, 0, event_key(event), asked],
        Phase::Held => [5, 0, 0, 0],
    });
}
