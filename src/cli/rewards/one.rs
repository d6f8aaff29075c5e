//! One reward: looked at, revealed, canceled.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{
        CommandError, say,
        service::{CallError, NOT_KNOWN_YET, REFUSED, ServiceArguments, text},
    },
    client::{
        Ask, ServiceClient, ServiceReply,
        pages::ListWalk,
        reward::{ErrorReply, RewardReply},
    },
};

/// The states in which a canceled reward ends: nothing was bought, or it was given back.
const UNDONE: [&str; 2] = ["canceled", "failed"];
/// Entries of a timeline that are shown: nearly always all.
const TIMELINE: usize = 1000;

#[derive(Args)]
pub(in crate::cli) struct ShowArguments {
    /// Its id, `rwd_…`.
    id: String,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Args)]
pub(in crate::cli) struct ReasonArguments {
    /// Its id, `rwd_…`.
    id: String,
    /// Why, for the timeline.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Args)]
pub(in crate::cli) struct CancelArguments {
    #[command(flatten)]
    of: ReasonArguments,
    /// How long to wait for the outcome.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

/// Whether a code that an answer has is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Codes {
    /// It is asked for.
    Shown,
    /// It stays in the answer.
    Withheld,
}

pub(super) async fn show(arguments: ShowArguments) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let path = ["rewards", &arguments.id];
    let reply = service.ask(&Ask::get(&path)).await.map_err(CallError::from)?;
    let path = ["rewards", &arguments.id, "events"];
    let entries = ListWalk::new(&service, &path, Vec::new(), TIMELINE).all().await.map_err(CallError::from)?;
    if arguments.service.json {
        let mut whole: Value = reply.json().map_err(CallError::from)?;
        whole.as_object_mut().map(|members| members.insert("events".to_owned(), Value::Array(entries)));
        return say(&whole.to_string());
    }
    let reward: RewardReply = reply.json().map_err(CallError::from)?;
    let mut lines = lines(&reward);
    lines.push(String::new());
    lines.extend(entries.iter().map(|entry| format!("{}  {}{}", text(entry, "/at"), text(entry, "/kind"), why(entry))));
    say(&lines.join("\n"))
}

pub(super) async fn reveal(arguments: ReasonArguments) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let path = ["rewards", &arguments.id, "reveal"];
    let ask = Ask::post(&path, &json!({"reason": arguments.reason}));
    let reply = service.ask(&ask).await.map_err(CallError::from)?;
    say_reward(&reply, arguments.service.json, Codes::Shown, &["issued"])
}

pub(super) async fn cancel(arguments: CancelArguments) -> Result<ExitCode, CommandError> {
    let CancelArguments { of: ReasonArguments { id, reason, service: of }, wait } = arguments;
    let service = of.service()?;
    let path = ["rewards", &id, "cancel"];
    let ask = Ask::post(&path, &json!({"reason": reason})).repeatable();
    let reply = service.ask(&ask).await.map_err(CallError::from)?;
    let reply = settled(&service, reply, wait, |reward| UNDONE.contains(&reward.status.as_str())).await?;
    say_reward(&reply, of.json, Codes::Withheld, &UNDONE)
}

/// The reward once it is settled, or as it is when the time is up. One that still does what was asked for is not settled.
pub(super) async fn settled(
    service: &ServiceClient,
    mut reply: ServiceReply,
    wait: u64,
    is_done: impl Fn(&RewardReply) -> bool,
) -> Result<ServiceReply, CallError> {
    let until = service.after(Duration::from_secs(wait));
    loop {
        let reward: RewardReply = reply.json()?;
        let waits = reply.status == 202 || !reward.is_settled();
        if is_done(&reward) || !waits || !service.pause(reply.retry_after, until).await {
            return Ok(reply);
        }
        let path = ["rewards", &reward.id];
        let found = service.ask(&Ask::get(&path)).await?;
        let now: RewardReply = found.json()?;
        // A read is a 200, also of what is not settled: what was answered 202 stays open until it is.
        reply = ServiceReply { status: if now.is_settled() { 200 } else { 202 }, ..found };
    }
}

/// Prints a reward. The exit code says whether it is in one of the states that were wanted, in another for good, or in neither yet.
pub(super) fn say_reward(
    reply: &ServiceReply,
    as_json: bool,
    codes: Codes,
    wanted: &[&str],
) -> Result<ExitCode, CommandError> {
    let reward: RewardReply = reply.json().map_err(CallError::from)?;
    if as_json {
        let mut whole: Value = reply.json().map_err(CallError::from)?;
        if codes == Codes::Withheld {
            whole.as_object_mut().map(|members| members.remove("claim_code"));
        }
        say(&whole.to_string())?;
    } else {
        let mut lines = lines(&reward);
        match (&reward.claim_code, codes) {
            (Some(code), Codes::Shown) => lines.push(format!("claim code   {}", code.expose())),
            (Some(_code), Codes::Withheld) => {
                lines.push(format!("claim code   not shown: noshi rewards reveal {} --reason …", reward.id));
            }
            (None, _) => {}
        }
        say(&lines.join("\n"))?;
    }
    Ok(ExitCode::from(exit_code(&reward, wanted)))
}

fn exit_code(reward: &RewardReply, wanted: &[&str]) -> u8 {
    match (wanted.contains(&reward.status.as_str()), reward.is_settled()) {
        (true, _) => 0,
        (false, true) => REFUSED,
        (false, false) => NOT_KNOWN_YET,
    }
}

/// A reward as a person reads it.
fn lines(reward: &RewardReply) -> Vec<String> {
    let value = format!("{} {}", reward.value.amount, reward.value.currency_code);
    let metadata = reward.metadata.as_ref().map(|texts| Value::Object(texts.clone()).to_string());
    let refused = reward.last_error.as_ref().map(|ErrorReply { error_code, error_type }| {
        let kind = error_type.as_ref().map(|kind| format!(" {kind}")).unwrap_or_default();
        format!("{error_code}{kind}")
    });
    let all = [
        ("reward", Some(reward.id.clone())),
        ("client", reward.client.clone()),
        ("status", Some(reward.status.clone())),
        ("needs", reward.attention.clone()),
        ("value", Some(value)),
        ("kind", Some(reward.kind.clone())),
        ("account", Some(reward.account_id.clone())),
        ("program", reward.program_id.clone()),
        ("order", reward.external_id.clone()),
        ("at Amazon", Some(reward.creation_request_id.clone())),
        ("metadata", metadata),
        ("refused", refused),
        ("not canceled", reward.cancel_failure.clone()),
        ("recorded", Some(reward.created_at.clone())),
        ("issued", reward.issued_at.clone()),
        ("canceled", reward.canceled_at.clone()),
        ("archived", reward.archived_at.clone()),
        ("cancel until", reward.cancelable_until.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| Some(format!("{name:<12} {}", value?))).collect()
}

/// What a timeline's entry says beside its kind.
fn why(entry: &Value) -> String {
    let known = ["/detail/reason", "/detail/error_code", "/detail/outcome", "/detail/attention"];
    let said: Vec<&str> =
        known.into_iter().map(|pointer| text(entry, pointer)).filter(|said| !said.is_empty()).collect();
    if said.is_empty() { String::new() } else { format!("  {}", said.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_ends_well_only_with_the_state_that_was_asked_for() {
        let code = |status: &str, wanted: &[&str]| {
            let reward = json!({
                "id": "rwd_1", "status": status, "kind": "gift_code", "value": {"amount": "1.00", "currency_code": "USD"},
                "account_id": "us", "creation_request_id": "A1", "created_at": "2026-11-28T09:30:00.000Z"
            });
            exit_code(&serde_json::from_value(reward).unwrap(), wanted)
        };
        let issue = ["issued", "failed", "needs_attention", "unresolved", "pending", "of a later release"];
        assert_eq!(issue.map(|status| code(status, &["issued"])), [0, 3, 3, 4, 4, 4]);
        let cancel = ["canceled", "failed", "issued", "needs_attention", "canceling", "unresolved"];
        assert_eq!(cancel.map(|status| code(status, &UNDONE)), [0, 0, 3, 3, 4, 4]);
    }
}
