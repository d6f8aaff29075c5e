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

impl KnownBody {
    /// The body with each of its texts in turn replaced by one that means nothing, also where a list repeats its element.
    fn with_odd_texts(&self) -> Vec<Value> {
        let mut body = self.body.clone();
        if let Some(limits) = body.get_mut("limits").and_then(Value::as_array_mut) {
            limits.iter_mut().for_each(|limit| drop(limit.as_object_mut().unwrap().remove("api_key_id")));
            limits.push(json!({"span": "month", "unit": "amount", "hard": "10.00"}));
        }
        let mut texts = Vec::new();
        collect_texts("", &body, &mut texts);
        let odd = |pointer: &String| {
            let mut odd = body.clone();
            *odd.pointer_mut(pointer).unwrap() = json!(CANARY);
            odd
        };
        texts.iter().map(odd).collect()
    }
}

/// The pointers of all texts.
fn collect_texts(at: &str, value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(_) => texts.push(at.to_owned()),
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(index, one)| collect_texts(&format!("{at}/{index}"), one, texts));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, one)| collect_texts(&format!("{at}/{name}"), one, texts));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// RFC 6901: a pointer without the index of its element points at nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_pointer_of_a_refusal_leads_to_what_was_sent() {
    let app = service(Backend::Sqlite).await;
    let program = json!({"id": "prg_one", "name": "One", "account_id": "main", "limits": []});
    assert_eq!(app.post("/v1/programs", program).await.status, 201);
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for known in known_bodies() {
        let target =
            if known.target.starts_with("/v1") { known.target.to_owned() } else { format!("{REWARD}{}", known.target) };
        for body in known.with_odd_texts() {
            let draft = Draft::post(&*target, body.to_string()).method(known.method).header("Idempotency-Key", "odd");
            let reply = Reply::all(&exchange(&app, &draft.bytes(), false).await, false).remove(0);
            for error in reply.json["errors"].as_array().into_iter().flatten() {
                let pointer = error["pointer"].as_str().unwrap();
                seen += 1;
                if body.pointer(pointer).is_none() {
                    wrong.push(format!("{} {target} {body}: {error}", known.method));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen >= 15, "{seen} pointers");
    app.end().await;
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
