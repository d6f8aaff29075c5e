//! The fault matrix: every class of upstream outcome (`classes`), at each attempt, for each operation, and every pair
//! of classes one after the other on a create; over real sockets, with the real service, a real database and the
//! sandbox.
//!
//! Right after each attempt the row must be as `classes` says; the database itself notes it (`watch`). Once the faults
//! stop, every reward comes to its end, and the books are Amazon's.

mod cancels;
pub(crate) mod classes;
mod creates;
mod front;
mod ground;
mod pairs;
mod questions;
mod watch;

use std::collections::BTreeMap;

use crate::support::{Backend, on_each_backend};
use classes::CLASSES;

/// Cells that ran, by class.
type Ran = BTreeMap<&'static str, usize>;

/// A run prints what it has met; a class that it has not met is a failure, however green the rest.
fn tell(what: &str, ran: &Ran) {
    let all: usize = ran.values().sum();
    println!("{what}: {all} cells: {ran:?}");
}

fn missing(ran: &Ran, exists: impl Fn(&classes::Class) -> bool) -> Vec<String> {
    let met = |class: &&classes::Class| ran.get(class.name).is_none_or(|count| *count == 0);
    CLASSES
        .iter()
        .filter(|class| exists(class))
        .filter(met)
        .map(|class| format!("{} never happened", class.name))
        .collect()
}

/// How creates are not as the table says.
pub(crate) async fn wrong_creates(backend: Backend) -> Vec<String> {
    let (ran, mut wrong) = creates::run(backend).await;
    tell("create", &ran);
    wrong.extend(missing(&ran, |class| class.create.exists()));
    wrong
}

fn nothing(wrong: Vec<String>) {
    assert!(
        wrong.is_empty(),
        "{} times not as the table says:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}

on_each_backend! {
    async fn every_class_at_each_attempt_to_create_leads_where_the_table_says(backend: Backend) {
        nothing(wrong_creates(backend).await);
    }

    async fn every_class_at_each_attempt_to_cancel_leads_where_the_table_says(backend: Backend) {
        let (ran, mut wrong) = cancels::run(backend).await;
        tell("cancel", &ran);
        wrong.extend(missing(&ran, |class| class.cancel.exists()));
        nothing(wrong);
    }

    async fn every_class_at_each_question_for_funds_keeps_what_was_known(backend: Backend) {
        let (ran, mut wrong) = questions::run(backend).await;
        tell("funds", &ran);
        wrong.extend(missing(&ran, |class| class.funds.exists()));
        nothing(wrong);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pair_of_classes_on_create_and_replay_leads_where_the_table_says() {
    let (ran, mut wrong) = pairs::run(Backend::Sqlite).await;
    tell("pairs", &ran);
    wrong.extend(missing(&ran, |class| class.create.exists()));
    nothing(wrong);
}

#[test]
fn the_list_is_u1_to_u27_and_each_happens_to_something() {
    let names: Vec<String> = CLASSES.iter().map(|class| class.name.to_owned()).collect();
    assert_eq!(names, (1..=27).map(|number| format!("U{number}")).collect::<Vec<_>>());
    for class in &CLASSES {
        assert!(class.create.exists() || class.cancel.exists(), "{} is made nowhere", class.name);
    }
    let never = |made: classes::Made| if let classes::Made::Never(why) = made { why } else { "" };
    for class in &CLASSES {
        for (operation, why) in
            [("create", never(class.create)), ("cancel", never(class.cancel)), ("funds", never(class.funds))]
        {
            if !why.is_empty() {
                println!("{} of {operation}: {why}", class.name);
            }
        }
    }
}
