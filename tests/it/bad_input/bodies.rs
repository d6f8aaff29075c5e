//! Every body of the API, each member of it missing, of another type, or beside one that is not known: the refusal points at it
//! and says what was expected.

use serde_json::{Map, Value, json};

use super::{
    CANARY, Case, can_still_sell, nothing_happened, service,
    wire::{Draft, exchange},
};
use crate::{bad_input::wire::Reply, support::Backend};

/// A body of the API that would do something.
struct KnownBody {
    method: &'static str,
    target: &'static str,
    body: Value,
    /// Pointers of what need not be there.
    optional: &'static [&'static str],
    /// Pointers of objects whose names the caller chooses.
    free: &'static [&'static str],
}

const REWARD: &str = "/v1/rewards/rwd_00000000000070008000000000000001";
const OF_AN_ORDER: [&str; 8] = [
    "/program_id",
    "/account_id",
    "/external_id",
    "/metadata",
    "/on_unresolved",
    "/target",
    "/transaction_source",
    "/product_type",
];
const OF_LIMITS: [&str; 6] =
    ["/name", "/client", "/limits", "/limits/0/api_key_id", "/limits/0/unit", "/limits/0/hard"];

fn known_bodies() -> Vec<KnownBody> {
    let order = json!({
        "program_id": "prg_one", "account_id": "main", "kind": "gift_code",
        "value": {"amount": "10.00", "currency_code": "USD"}, "external_id": "order-1", "metadata": {"tier": "gold"},
        "on_unresolved": "keep", "target": {"card_number": "6035"}, "transaction_source": {"store_id": "7"},
        "product_type": "one",
    });
    let limits = json!([{"api_key_id": "key_one", "span": "day", "unit": "amount", "hard": "10.00"}]);
    let free = ["/metadata", "/target", "/transaction_source"].as_slice();
    let body = |method, target, body, optional| KnownBody { method, target, body, optional, free };
    let change: &[&str] = &OF_LIMITS;
    // Of a new program the name is needed.
    let create = change.split_first().unwrap().1;
    vec![
        body("POST", "/v1/rewards", order.clone(), OF_AN_ORDER.as_slice()),
        body("POST", "/v1/rewards/validate", order, OF_AN_ORDER.as_slice()),
        body("POST", "/cancel", json!({"reason": "returned"}), &[]),
        body("POST", "/reveal", json!({"reason": "lost"}), &[]),
        body(
            "POST",
            "/check",
            json!({"target": {"card_number": "6035"}, "transaction_source": {"store_id": "7"}}),
            &["/target", "/transaction_source"],
        ),
        body(
            "POST",
            "/v1/programs",
            json!({"id": "prg_two", "name": "Two", "account_id": "main", "client": "none", "limits": limits}),
            create,
        ),
        body("PATCH", "/v1/programs/prg_one", json!({"name": "Other", "limits": limits}), change),
        body(
            "POST",
            "/v1/reconciliations",
            json!({"account_id": "main", "from": "2026-01-01", "to": "2026-01-01"}),
            &[],
        ),
    ]
}

/// A body with one thing wrong, the pointer to it, and words of what was expected.
struct Spoilt {
    body: Value,
    pointer: String,
    says: Vec<String>,
}

impl KnownBody {
    fn spoilt(&self) -> Vec<Spoilt> {
        let mut all =
            vec![Spoilt { body: json!(7), pointer: String::new(), says: vec!["must be an object".to_owned()] }];
        self.spoil("", &self.body, &mut all);
        all
    }

    fn with(&self, pointer: &str, value: Value) -> Value {
        let mut body = self.body.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    }

    fn spoil(&self, at: &str, value: &Value, all: &mut Vec<Spoilt>) {
        match value {
            Value::Object(members) if !self.free.contains(&at) => self.spoil_object(at, members, all),
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.spoil(&format!("{at}/{index}"), element, all);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {}
        }
    }

    fn spoil_object(&self, at: &str, members: &Map<String, Value>, all: &mut Vec<Spoilt>) {
        let mut more = members.clone();
        more.insert(CANARY.to_owned(), json!(1));
        let mut says = vec!["has a field that is not known".to_owned()];
        says.extend(members.keys().cloned());
        all.push(Spoilt { body: self.with(at, Value::Object(more)), pointer: at.to_owned(), says });
        for (name, value) in members {
            let pointer = format!("{at}/{name}");
            let other = if value.is_array() { json!({CANARY: [1]}) } else { json!([{CANARY: 1}]) };
            for odd in [json!(7), json!(true), other] {
                let says = vec!["must be ".to_owned()];
                all.push(Spoilt { body: self.with(&pointer, odd), pointer: pointer.clone(), says });
            }
            if !self.optional.contains(&pointer.as_str()) {
                let mut fewer = members.clone();
                fewer.remove(name);
                let says = vec![format!("{name} is missing")];
                all.push(Spoilt { body: self.with(at, Value::Object(fewer)), pointer: pointer.clone(), says });
            }
            self.spoil(&pointer, value, all);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_body_names_the_field_and_what_was_expected() {
    let app = service(Backend::Sqlite).await;
    let program = json!({"id": "prg_one", "name": "One", "account_id": "main", "limits": []});
    assert_eq!(app.post("/v1/programs", program).await.status, 201);
    let (mut wrong, mut cases) = (Vec::new(), 0);
    for known in known_bodies() {
        let target =
            if known.target.starts_with("/v1") { known.target.to_owned() } else { format!("{REWARD}{}", known.target) };
        for Spoilt { body, pointer, says } in known.spoilt() {
            let draft =
                Draft::post(&*target, body.to_string()).method(known.method).header("Idempotency-Key", "spoilt");
            let case = Case::new(format!("{} {target} {body}", known.method), &draft, 400, "invalid-request");
            let answer = exchange(&app, &case.bytes, false).await;
            let mut complaints = case.judge(&answer);
            let reply = Reply::all(&answer, false).remove(0);
            let error = &reply.json["errors"][0];
            let detail = error["detail"].as_str().unwrap_or_default();
            if error["pointer"] != pointer.as_str() || says.iter().any(|word| !detail.contains(word.as_str())) {
                complaints.push(format!("{error} instead of {pointer} and {says:?}"));
            }
            if !complaints.is_empty() {
                wrong.push(format!("{}: {}", case.name, complaints.join("; ")));
            }
            cases += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases > 150, "{cases} cases");
    let programs = app.get("/v1/programs").await.json["data"].clone();
    assert_eq!(programs.as_array().unwrap().len(), 1, "{programs}");
    assert_eq!((&programs[0]["name"], &programs[0]["limits"]), (&json!("One"), &json!([])));
    assert_eq!(app.database.number("SELECT COUNT(*) FROM reconciliations").await, 0);
    nothing_happened(&app).await;
    can_still_sell(&app).await;
    app.end().await;
}
