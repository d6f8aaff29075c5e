//! The fault matrix for loads: every class of upstream outcome (`matrix::classes`) at a first load, at the replay of one that was lost, and
//! at a void. Once the faults stop each reward is at the end that the class leads to, and each load that we call issued stands once, for
//! its own account and with its own value.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use noshi::sandbox::{CardState, Fault, FaultRule};
use serde_json::{Value, json};

use super::{Backend, Counter, LOAD, VOID, on_each_backend, operation};
use crate::{
    matrix::classes::{CLASSES, Made, Means, is_curable},
    support::{Shape, books::states_of},
};

/// Which call of a reward meets the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    First,
    /// The replay of a load that was done and never answered.
    Replay,
    Void,
}

struct Cell {
    name: String,
    key: String,
    account: String,
    met: Met,
    ends: &'static str,
}

/// Where a class leads, once the faults have stopped.
fn end_of(means: Means, fault: &Fault, met: Met) -> &'static str {
    match (means, met) {
        // The void is sent again, and then answered well; a refusal that says that it is too late is believed.
        (_, Met::Void) => "canceled",
        (Means::Odd(_), _) => "needs_attention",
        (Means::Definite, Met::First) if is_curable(Some(fault)) => "failed and retried",
        (Means::KeysRejected, Met::First) => "failed and retried",
        (Means::Definite, Met::First) => "failed",
        _ => "issued",
    }
}

fn cells(counter: &Counter) -> Vec<Cell> {
    let mut cells = Vec::new();
    for class in &CLASSES {
        // A load has no code that could be missing.
        let Made::By(variants) = class.create else { continue };
        if class.name == "U13" {
            continue;
        }
        for (at, variant) in variants.iter().enumerate() {
            for met in [Met::First, Met::Replay, Met::Void] {
                let (key, fault) = (format!("{}-{at}-{met:?}", class.name), variant());
                let id = counter.app.amazon_id(&key);
                let rule = |name: &str, fault: Fault| FaultRule {
                    operation: Some(operation(name)),
                    creation_request_id: Some(id.clone()),
                    ..FaultRule::once(fault)
                };
                let rules = match met {
                    Met::First => vec![rule(LOAD, fault.clone())],
                    Met::Replay => vec![rule(LOAD, Fault::DropAfterWork), rule(LOAD, fault.clone())],
                    Met::Void => vec![rule(VOID, fault.clone())],
                };
                counter.app.control.script_all(rules).unwrap();
                let name = format!("{key} ({fault:?})");
                let account = counter.shopper(cells.len() % 10).barcode.unwrap();
                cells.push(Cell { name, key, account, met, ends: end_of(class.means, &fault, met) });
            }
        }
    }
    cells
}

async fn load(counter: &Counter, cell: &Cell) -> Value {
    counter.load(&cell.key, json!({"barcode": cell.account})).await.json
}

on_each_backend! {
    async fn every_class_at_a_load_its_replay_and_its_void_leads_where_it_must(backend: Backend) {
        let shape = Shape::default()
            .with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 2)
            .with("NOSHI__REWARDS__IN_FLIGHT_MAX", 400).with("NOSHI__SERVER__KEY_REQUESTS_AT_ONCE", 400);
        let mut counter = Counter::shaped(backend, shape).await;
        let cells = cells(&counter);
        assert!(cells.len() > 100, "{} cells", cells.len());
        join_all(cells.iter().map(|cell| load(&counter, cell))).await;
        let voided: Vec<&Cell> = cells.iter().filter(|cell| cell.met == Met::Void).collect();
        join_all(voided.iter().map(|cell| async {
            let issued = load(&counter, cell).await;
            counter.app.cancel(issued["id"].as_str().unwrap()).await
        }))
        .await;
        for _ in 0..8 {
            counter.app.pass(90).await;
        }
        let ids: Vec<String> = cells.iter().map(|cell| counter.app.amazon_id(&cell.key)).collect();
        let refused: BTreeMap<String, String> = states_of(&counter.app, &ids).await;
        let retried: Vec<&Cell> = cells.iter().filter(|cell| cell.ends == "failed and retried").collect();
        for cell in &retried {
            let state = refused.get(&counter.app.amazon_id(&cell.key)).map(String::as_str);
            assert_eq!(state, Some("failed"), "{}: nobody but its caller tries it again", cell.name);
        }
        join_all(retried.iter().map(|cell| load(&counter, cell))).await;
        let states: BTreeMap<String, String> = states_of(&counter.app, &ids).await;
        let book = counter.app.control.book();
        let mut wrong = Vec::new();
        for cell in &cells {
            let id = counter.app.amazon_id(&cell.key);
            let expected = if cell.ends == "failed and retried" { "issued" } else { cell.ends };
            let state = states.get(&id).map_or("no row", String::as_str);
            let own: Vec<_> = book.iter().filter(|card| card.creation_request_id == id).collect();
            let on_target = own.iter().all(|card| card.gc_id == cell.account && card.amount == 25.into());
            let standing = own.iter().filter(|card| card.state == CardState::Live).count();
            let right = match state {
                "issued" => standing == 1,
                "canceled" | "failed" => standing == 0,
                _ => standing <= 1,
            };
            if state != expected || !on_target || !right {
                wrong.push(format!("{}: must be {expected}, is {state}; {standing} stand, {on_target}", cell.name));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cells.len(), wrong.join("\n"));
        counter.end_with_books().await;
    }
}
