//! The database's own unknowns: connections that are cut at COMMIT, commits that fail, a server that is killed, a disk
//! that is full, and two replicas of which one freezes. Never twice, never lost.

mod commits;
mod costs;
mod crash;
mod cut;
mod disk;
mod proxy;
mod questions;
mod replicas;
mod sessions;
mod stumble;
mod together;
mod unwritable;

use std::{collections::BTreeMap, time::Duration};

use crate::support::{Answer, App};

/// What every key was told, until each has its code: one code a key, and each that of its own card.
struct Codes(BTreeMap<String, String>);

impl Codes {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Notes the code of an answer, if it has one; all codes of a key are equal.
    fn note(&mut self, key: &str, answer: &Answer) {
        assert!(matches!(answer.status, 200 | 201 | 202 | 503), "{key}: {}", answer.text);
        if let Some(code) = answer.json["claim_code"].as_str() {
            let before = self.0.insert(key.to_owned(), code.to_owned());
            assert!(before.is_none_or(|before| before == code), "{key} was told two codes");
        }
    }

    /// Asks again under each key until it has a code, as callers do.
    async fn complete(&mut self, app: &App, keys: &[String]) {
        for key in keys {
            for _ in 0..400 {
                if self.0.contains_key(key) {
                    break;
                }
                if let Some(answer) = app.try_issue(key, "1.00").await {
                    self.note(key, &answer);
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            let amazon_id = app.amazon_id(key);
            let cards = app.control.book().into_iter().filter(|card| card.creation_request_id == amazon_id);
            let of_book: Vec<String> = cards.map(|card| card.claim_code).collect();
            assert_eq!(of_book, [self.0.get(key).cloned().unwrap_or_default()], "{key}: one card, and its own code");
        }
    }
}
