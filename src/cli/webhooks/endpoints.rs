//! The endpoints of the key's client, through the API.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{
        CommandError, say,
        service::{CallError, ServiceArguments, say_lines, say_table, text},
    },
    client::{Ask, pages::ListWalk},
};

#[derive(Args)]
pub(in crate::cli) struct AllArguments {
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Args)]
pub(in crate::cli) struct AddArguments {
    /// Where events are sent: https, unless the service's settings allow more.
    endpoint: String,
    /// A type of events that it hears, such as `reward.issued`; may be given several times. All of them unless given.
    #[arg(long = "event-type", value_name = "TYPE")]
    event_types: Vec<String>,
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Args)]
pub(in crate::cli) struct OneArguments {
    /// Its id, `whe_…`.
    id: String,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Args)]
pub(in crate::cli) struct DeliveriesArguments {
    #[command(flatten)]
    of: OneArguments,
    /// In this state: `pending`, `delivered` or `failed`.
    #[arg(long)]
    state: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

#[derive(Args)]
pub(in crate::cli) struct RedeliverArguments {
    /// The endpoint's id, `whe_…`.
    id: String,
    /// The delivery's id, `whd_…`.
    delivery: String,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Args)]
pub(in crate::cli) struct ReplayArguments {
    #[command(flatten)]
    of: OneArguments,
    /// The instant, as in 2026-11-28T09:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: String,
}

#[derive(Args)]
pub(in crate::cli) struct RotateArguments {
    #[command(flatten)]
    of: OneArguments,
    /// How long both secrets sign.
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    overlap_hours: u32,
}

/// What the service answers to a question about endpoints.
async fn ask(of: &ServiceArguments, ask: Ask<'_>) -> Result<Value, CallError> {
    let reply = of.service()?.ask(&ask).await?;
    if reply.body.is_empty() { Ok(Value::Null) } else { Ok(reply.json()?) }
}

/// Prints the answer, or a line instead of it.
fn say_answer(answer: &Value, of: &ServiceArguments, line: &str) -> Result<ExitCode, CommandError> {
    if of.json && !answer.is_null() { say(&answer.to_string()) } else { say(line) }
}

pub(super) async fn all(arguments: AllArguments) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let reply = service.ask(&Ask::get(&["webhook-endpoints"])).await.map_err(CallError::from)?;
    let page: Value = reply.json().map_err(CallError::from)?;
    let found = page.pointer("/data").and_then(Value::as_array).cloned().unwrap_or_default();
    if arguments.service.json {
        say_lines(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |one: &Value| {
        let failures = one.pointer("/failures").and_then(Value::as_i64).unwrap_or_default();
        let why = text(one, "/disabled_why");
        let state =
            if why.is_empty() { text(one, "/state").to_owned() } else { format!("{}: {why}", text(one, "/state")) };
        vec![text(one, "/id").to_owned(), state, failures.to_string(), text(one, "/url").to_owned()]
    };
    say_table(&["endpoint", "state", "failures", "url"], found.iter().map(row).collect())
}

pub(super) async fn add(arguments: AddArguments) -> Result<ExitCode, CommandError> {
    let mut body = json!({"url": arguments.endpoint});
    if let Some(members) = body.as_object_mut() {
        if !arguments.event_types.is_empty() {
            members.insert("event_types".to_owned(), json!(arguments.event_types));
        }
        members.extend(arguments.description.map(|text| ("description".to_owned(), json!(text))));
    }
    let made = ask(&arguments.service, Ask::post(&["webhook-endpoints"], &body)).await?;
    let line = format!("{}\nsecret  {}", text(&made, "/id"), text(&made, "/secret"));
    say_answer(&made, &arguments.service, &line)
}

pub(super) async fn test(arguments: OneArguments) -> Result<ExitCode, CommandError> {
    let path = ["webhook-endpoints", &arguments.id, "test"];
    let sent = ask(&arguments.service, Ask::post(&path, &json!({}))).await?;
    say_answer(&sent, &arguments.service, &format!("{} is on its way", text(&sent, "/id")))
}

pub(super) async fn deliveries(arguments: DeliveriesArguments) -> Result<ExitCode, CommandError> {
    let DeliveriesArguments { of: OneArguments { id, service: of }, state, limit } = arguments;
    let service = of.service()?;
    let path = ["webhook-endpoints", &id, "deliveries"];
    let all = ListWalk::new(&service, &path, vec![("state", state)], limit).all().await.map_err(CallError::from)?;
    if of.json {
        say_lines(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let number = |one: &Value, pointer: &str| one.pointer(pointer).map_or_else(String::new, Value::to_string);
    let row = |one: &Value| {
        let of = |pointer: &str| text(one, pointer).to_owned();
        let last = if of("/last_failure").is_empty() { number(one, "/last_status") } else { of("/last_failure") };
        vec![of("/id"), of("/state"), number(one, "/attempts"), last, of("/type"), of("/subject"), of("/happened_at")]
    };
    say_table(&["delivery", "state", "attempts", "last", "type", "about", "happened"], all.iter().map(row).collect())
}

pub(super) async fn redeliver(arguments: RedeliverArguments) -> Result<ExitCode, CommandError> {
    let path = ["webhook-endpoints", &arguments.id, "deliveries", &arguments.delivery, "redeliver"];
    let sent = ask(&arguments.service, Ask::post(&path, &json!({}))).await?;
    say_answer(&sent, &arguments.service, &format!("{} is on its way again", arguments.delivery))
}

pub(super) async fn replay(arguments: ReplayArguments) -> Result<ExitCode, CommandError> {
    let ReplayArguments { of: OneArguments { id, service: of }, from } = arguments;
    let service = of.service()?;
    let path = ["webhook-endpoints", &id, "replay"];
    let (mut deliveries, mut cursor) = (0_i64, Value::Null);
    // The service looks at so many events for a request, and says where to go on.
    loop {
        let body = if cursor.is_null() { json!({"from": from}) } else { json!({"from": from, "cursor": cursor}) };
        let reply = service.ask(&Ask::post(&path, &body)).await.map_err(CallError::from)?;
        let answer: Value = reply.json().map_err(CallError::from)?;
        let so_many = answer.pointer("/deliveries").and_then(Value::as_i64).unwrap_or_default();
        deliveries = deliveries.saturating_add(so_many);
        cursor = answer.pointer("/next_cursor").cloned().unwrap_or_default();
        if cursor.is_null() {
            break;
        }
    }
    let whole = json!({"deliveries": deliveries});
    say_answer(&whole, &of, &format!("{deliveries} events are on their way again"))
}

pub(super) async fn rotate(arguments: RotateArguments) -> Result<ExitCode, CommandError> {
    let RotateArguments { of: OneArguments { id, service: of }, overlap_hours } = arguments;
    let path = ["webhook-endpoints", &id, "rotate-secret"];
    let made = ask(&of, Ask::post(&path, &json!({"overlap_hours": overlap_hours}))).await?;
    say_answer(&made, &of, &format!("secret  {}", text(&made, "/secret")))
}

pub(super) async fn remove(arguments: OneArguments) -> Result<ExitCode, CommandError> {
    let path = ["webhook-endpoints", &arguments.id];
    let gone = ask(&arguments.service, Ask::delete(&path)).await?;
    say_answer(&gone, &arguments.service, &format!("{} is removed", arguments.id))
}
