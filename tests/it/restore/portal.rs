//! The person who settles what a restore has left open: looks each card up at Amazon and writes down what is true.

use std::collections::BTreeMap;

use noshi::sandbox::CardState;
use serde_json::Value;

use super::runbook::{Shell, commands};
use crate::support::App;

/// What a reconciliation by the runbook's command came to.
pub(super) struct Compared {
    pub(super) code: Option<i32>,
    pub(super) run: Value,
    pub(super) balance: Value,
    pub(super) items: Vec<Value>,
}

impl Compared {
    pub(super) fn of_class(&self, class: &str) -> usize {
        self.items.iter().filter(|item| item["class"] == class).count()
    }

    /// What is missing at Amazon by the balance, in minor units.
    pub(super) fn missing(&self) -> i64 {
        let text = self.balance["missing"].as_str().unwrap_or("0.00").replace('.', "");
        text.parse().unwrap()
    }
}

/// Compares all the days that Amazon lists anything of.
pub(super) async fn reconcile(app: &App, shell: &Shell) -> Compared {
    let days: Vec<String> = app.control.activity().iter().map(|record| record.at.date_naive().to_string()).collect();
    let (first, last) = (days.iter().min().unwrap().as_str(), days.iter().max().unwrap().as_str());
    let days = [("ACCOUNT", "main"), ("FIRST_DAY", first), ("LAST_DAY", last)];
    let command = format!("{} --format json", commands("Reconcile the lost period"));
    let ran = shell.run(&command, &days).await;
    let json: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let items = json["items"].as_array().unwrap().clone();
    Compared { code: ran.code, run: json["reconciliation"].clone(), balance: json["balance"].clone(), items }
}

/// What Amazon's portal says of an id.
fn looked_up(app: &App, amazon_id: &str) -> &'static str {
    match app.control.book().into_iter().find(|card| card.creation_request_id == amazon_id).map(|card| card.state) {
        Some(CardState::Live) => "issued",
        Some(CardState::Refunded) => "canceled",
        None => "not-bought",
    }
}

/// Settles every reward that needs a person, and every one that the reconciliation shows in another state: those whose
/// cards are live, or the others. Says how many of each cause.
pub(super) async fn settle(app: &App, shell: &Shell, compared: &Compared, live: bool) -> BTreeMap<String, usize> {
    let list = shell.run_well("noshi rewards attention list", &[]).await;
    let of_line = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let at = words.iter().position(|word| word == "Amazon").unwrap();
        (words[0].clone(), words[1].clone(), words[at + 1].clone())
    };
    let mut open: Vec<(String, String, String)> = list.lines().map(of_line).collect();
    let differing = compared.items.iter().filter(|item| item["class"] == "state_differs");
    open.extend(differing.map(|item| {
        let text = |name: &str| item[name].as_str().unwrap().to_owned();
        (text("reward_id"), "state_differs".to_owned(), text("creation_request_id"))
    }));
    open.retain(|(_id, _cause, amazon_id)| (looked_up(app, amazon_id) == "issued") == live);
    let mut causes = BTreeMap::new();
    for (id, cause, amazon_id) in open {
        let found = [("ID", id.as_str()), ("FOUND", looked_up(app, &amazon_id)), ("NAME", "kim")];
        shell.run_well(&commands("Settle"), &found).await;
        if !causes.contains_key(&cause) {
            let again = shell.run(&commands("Settle"), &found).await;
            assert_eq!(again.code, Some(1), "{id} is settled once: {again:?}");
        }
        *causes.entry(cause).or_default() += 1;
    }
    causes
}
