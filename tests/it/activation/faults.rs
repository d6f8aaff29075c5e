//! The fault matrix for cards: every class of upstream outcome (`matrix::classes`) at a first activation, at the check of one that
//! was lost, and at the replay that shows whose it is. Once the faults stop each reward is at the end that the class leads to, each
//! card that we call issued is active once, with its own value, and no other is.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use noshi::sandbox::{Fault, FaultRule};

use super::{ACTIVATE, Backend, CHECK, Till, on_each_backend, operation};
use crate::{
    matrix::classes::{CLASSES, Made, Means, is_curable},
    support::{Shape, books::states_of},
};

/// Which call of a reward meets the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    First,
    /// The check after a first activation that never arrived.
    Check,
    /// The replay of an activation that was done and never answered.
    Replay,
}

struct Cell {
    name: String,
    key: String,
    card: String,
    ends: &'static str,
}

/// Where a class leads, once the faults have stopped.
fn end_of(means: Means, fault: &Fault, met: Met) -> &'static str {
    match (means, met) {
        // A check of a card that is not active shows no value that could be another.
        (Means::Odd(_), Met::Check) if matches!(fault, Fault::WrongAmount | Fault::WrongCurrency) => "issued",
        (Means::Odd(_), _) => "needs_attention",
        (Means::Definite, Met::First) if is_curable(Some(fault)) => "failed and retried",
        (Means::KeysRejected, Met::First) => "failed and retried",
        (Means::Definite, Met::First) => "failed",
        _ => "issued",
    }
}

fn cells(till: &Till) -> Vec<Cell> {
    let mut numbers = till.app.control.cards().into_iter().map(|card| card.card_number);
    let mut cells = Vec::new();
    for class in &CLASSES {
        // A card has no code that could be missing.
        let Made::By(variants) = class.create else { continue };
        if class.name == "U13" {
            continue;
        }
        for (at, variant) in variants.iter().enumerate() {
            for met in [Met::First, Met::Check, Met::Replay] {
                let (key, fault) = (format!("{}-{at}-{met:?}", class.name), variant());
                let id = till.app.amazon_id(&key);
                let rule = |name: &str, fault: Fault| FaultRule {
                    operation: Some(operation(name)),
                    creation_request_id: Some(id.clone()),
                    ..FaultRule::once(fault)
                };
                let rules = match met {
                    Met::First => vec![rule(ACTIVATE, fault.clone())],
                    Met::Check => vec![rule(ACTIVATE, Fault::DropBeforeWork), rule(CHECK, fault.clone())],
                    Met::Replay => vec![rule(ACTIVATE, Fault::DropAfterWork), rule(ACTIVATE, fault.clone())],
                };
                till.app.control.script_all(rules).unwrap();
                let name = format!("{key} ({fault:?})");
                cells.push(Cell { name, key, card: numbers.next().unwrap(), ends: end_of(class.means, &fault, met) });
            }
        }
    }
    cells
}

on_each_backend! {
    async fn every_class_at_an_activation_its_check_and_its_replay_leads_where_it_must(backend: Backend) {
        let shape = Shape::default()
            .with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 2)
            .with("NOSHI__REWARDS__IN_FLIGHT_MAX", 400).with("NOSHI__SERVER__KEY_REQUESTS_AT_ONCE", 400);
        let mut till = Till::shaped(backend, shape).await;
        let cells = cells(&till);
        assert!(cells.len() > 100, "{} cells", cells.len());
        join_all(cells.iter().map(|cell| till.activate(&cell.key, &cell.card))).await;
        for _ in 0..8 {
            till.app.pass(90).await;
        }
        let ids: Vec<String> = cells.iter().map(|cell| till.app.amazon_id(&cell.key)).collect();
        let refused: BTreeMap<String, String> = states_of(&till.app, &ids).await;
        let retried: Vec<&Cell> = cells.iter().filter(|cell| cell.ends == "failed and retried").collect();
        for cell in &retried {
            let state = refused.get(&till.app.amazon_id(&cell.key)).map(String::as_str);
            assert_eq!(state, Some("failed"), "{}: nobody but its caller tries it again", cell.name);
        }
        join_all(retried.iter().map(|cell| till.activate(&cell.key, &cell.card))).await;
        let states: BTreeMap<String, String> = states_of(&till.app, &ids).await;
        let mut wrong = Vec::new();
        for cell in &cells {
            let id = till.app.amazon_id(&cell.key);
            let expected = if cell.ends == "failed and retried" { "issued" } else { cell.ends };
            let state = states.get(&id).map_or("no row", String::as_str);
            let live: Vec<_> = till.app.live_cards().into_iter().filter(|card| card.gc_id == cell.card).collect();
            let own = live.iter().all(|card| card.creation_request_id == id);
            if state != expected || !own || live.len() > 1 {
                wrong.push(format!("{}: must be {expected}, is {state}; {} live, own: {own}", cell.name, live.len()));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cells.len(), wrong.join("\n"));
        till.end_with_books().await;
    }
}
