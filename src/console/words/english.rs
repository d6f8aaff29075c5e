//! English.

use super::{DoneNote, Words};
use crate::{
    accounts::KeyState,
    batches::model::{BatchState, ItemOutcome},
    engine::State,
    treasury::reconciliation::compare::{Class, TheirState},
    webhooks::{deliveries::DeliveryState, endpoints::DisabledWhy},
};

pub(super) static WORDS: Words = Words {
    language: "en",
    title: "Noshi console",
    skip: "Skip to the content",
    navigation: "Pages",
    overview: "Overview",
    rewards: "Rewards",
    balances: "Balances",
    programs: "Budgets",
    log_in: "Log in",
    log_out: "Log out",
    api_key: "API key",
    api_key_hint: "It begins with nsk_. You see and do what this key may.",
    log_in_why: "For support and finance: find a reward, cancel it, read the month.",
    wrong_key: "This key opens nothing here. It may be wrong, ended or revoked.",
    logged_in_as: "Logged in with the key",
    other_language: "ja",
    other_language_name: "日本語",
    find_reward: "Find a reward",
    find_hint: "Order number, reward id (rwd_…) or Amazon's id, in full",
    find: "Find",
    found_none: "No reward has this number. Check that it is complete: a part of it is not searched for.",
    found_no_code: "This may be a claim code. Codes are not kept, so none can be searched for: use the order number.",
    found_many: "Several rewards have this number.",
    no_scope: "This key may not do that",
    needs_scope: "An operator can give a key this scope:",
    attention: "A person must decide",
    attention_none: "Nothing waits for a person.",
    reward: "Reward",
    order_number: "Order number",
    client: "Client",
    value: "Value",
    account: "Account",
    program: "Program",
    kind: "Kind",
    state_label: "State",
    reward_id: "Reward id",
    amazon_id: "Amazon's id",
    recorded: "Recorded",
    issued_at: "Issued",
    canceled_at: "Canceled",
    last_error: "Last refusal",
    timeline: "What happened",
    actions: "What you can do",
    detail: "Detail",
    cancel: "Cancel this reward…",
    cancel_why: "The code stops working and the money comes back. This cannot be undone.",
    cancel_reason: "Reason, for the timeline",
    cancel_now: "Cancel the reward",
    cancel_until: "It can be canceled until",
    cancel_left: "{} left",
    cancel_closed: "The time to cancel is over.",
    cancel_lacks: "This key may not cancel it. An operator can give a key this scope:",
    archived: "This reward was archived: its timeline is gone.",
    reveal: "Show the code…",
    reveal_why: "Amazon is asked for the code. The timeline records that this key has seen it.",
    reveal_reason: "Reason, for the timeline",
    reveal_now: "Show the code now",
    revealed_title: "The code",
    revealed_once: "It is on this page alone. Whoever has it can spend it: do not put it into a ticket or a chat.",
    claim_code: "Claim code",
    back_to_reward: "Back to the reward",
    reserved: "Under way",
    as_of: "As of",
    stale: "Out of date",
    never_asked: "Amazon has not answered yet",
    runway: "How long it lasts",
    runway_about: "about {}",
    runway_worst: "at worst {}",
    runway_long: "more than 400 days",
    runway_unknown: "More than 400 days, or not known: an estimate needs a week in which something was spent.",
    days: "{} days",
    hours: "{} hours",
    one_hour: "1 hour",
    no_hour: "less than an hour",
    last_month: "Last month",
    this_month: "This month",
    months: "Months",
    month_of: "Month",
    month_open: "The month is not closed: figures may still change.",
    month_closed: "The month is closed.",
    opening: "Balance at first",
    deposits: "Deposits",
    adjustments: "Corrections",
    initial: "Held when the ledger began",
    closing: "Balance at the end",
    issued: "Issued",
    canceled: "Canceled",
    net: "Net cost",
    count: "Rewards",
    no_program: "No program",
    total: "Total",
    print_hint: "This page can be printed.",
    spending_chart: "Net cost by program",
    earlier: "Month before",
    later: "Month after",
    budgets: "Budgets",
    period: "Period",
    limit: "Limit",
    used: "Used",
    no_limit: "No limit",
    suspended: "Suspended",
    active: "Active",
    period_day: "Today",
    period_month: "This month",
    period_ever: "In all",
    no_programs: "There is no program that this key sees.",
    went_wrong: "That did not work",
    rewards_unit: "rewards",
    reason_default: "The customer asked for it",
    reveal_default: "The customer lost the code",
    all_rewards: "Newest rewards",
    not_found: "There is no such page",
    reference: "For the operator",
    batches: "Campaigns",
    batch: "Campaign",
    no_batches: "There is no campaign that this key sees.",
    batch_id: "Campaign id",
    progress: "{done} of {all} done",
    done_so_far: "Progress",
    waits_for: "It waits",
    tried_again: "Next try",
    ended: "Ended",
    began: "Began",
    pause: "Pause…",
    pause_why: "What is under way comes to its end. Nothing more is bought until somebody has it go on.",
    pause_now: "Pause",
    resume: "Resume…",
    resume_why: "What is left is bought, with this key as the one that asked for it.",
    resume_now: "Resume",
    cancel_batch: "End this campaign…",
    cancel_batch_why: "What is not bought yet is never bought. What is bought stays: cancel such a reward on its own page. This cannot be undone.",
    cancel_batch_now: "End the campaign",
    reconciliations: "Reconciliations",
    reconciliation: "Reconciliation",
    reconciliations_why: "Amazon’s books against ours, id by id.",
    no_runs: "Nothing was reconciled yet.",
    days_compared: "Days (UTC)",
    findings: "Differences",
    finding: "What differs",
    difference: "Difference in value",
    matched: "Agree",
    no_findings: "Nothing differs in what this key sees.",
    ours: "With us",
    theirs_label: "With Amazon",
    why_failed: "Why it failed",
    run_id: "Run id",
    run_running: "Under way",
    run_failed: "Failed",
    run_finished: "Finished",
    run_clean: "All agrees",
    run_differs: "Something differs",
    happened_at: "When",
    webhooks: "Webhooks",
    webhooks_why: "Where this client listens, and what has not arrived there.",
    no_webhooks: "This client has no endpoint.",
    all_delivered: "All was delivered.",
    undelivered: "Not delivered",
    failures: "Failures without a success between",
    failing_since: "since",
    event: "Event",
    attempts: "Attempts",
    last_answer: "Last answer",
    next_attempt: "next",
    redeliver: "Send again",
    enabled: "Enabled",
    keys: "Keys",
    api_keys: "API keys",
    scopes: "Scopes",
    made_at: "Made",
    ends_at: "Ends",
    never_ends: "Never",
    gone_keys: "Keys that ended or were revoked, not listed",
    key_pairs: "Amazon’s key pairs",
    no_pairs: "The pairs are in the settings themselves: their age is not known here.",
    slot: "Slot",
    in_force_since: "In force",
    asked_at: "Amazon was last asked",
    just_now: "less than an hour ago",
    within_hour: "within an hour",
    ago: "{} ago",
    ahead: "in {}",
    as_csv: "Download as CSV",
    as_books: "Every entry of the month, for accounting programs:",
    next_rows: "Show the next ones",
    balance_history: "Funds in the last 90 days",
    no_history: "Fewer than two days are known.",
    as_table: "Show as a table",
    day: "Day",
    available: "Available",
    spent_by_month: "Net cost by month",
    counted_by_hour: "This may be half an hour behind. The page of a month is exact. Time zone:",
    wrong_method: "This page cannot be opened like that",
    alarms: "Worth a look",
    alarm_funds: "Account {}: its funds are used up, and new rewards are refused.",
    alarm_account: "Account {}: Amazon refuses it, and new rewards are refused.",
    alarm_stale: "Account {}: the balance is an old report.",
    alarm_low: "Account {}: the balance may last less than a week.",
    alarm_webhook: "Webhook endpoint at {}: nothing is sent to it.",
    alarm_batch: "Campaign {} waits: {why}",
    alarm_key: "API key {} ends {left}.",
    alarm_pair: "Account {}: Amazon refuses one of its key pairs.",
    state,
    meaning,
    happened,
    done,
    batch_state,
    outcome,
    class,
    theirs,
    delivery,
    disabled,
    pair,
    problem,
};

const fn state(state: State) -> &'static str {
    match state {
        State::Pending => "Waiting",
        State::Issuing => "Being issued",
        State::Unresolved => "Not known yet",
        State::Issued => "Issued",
        State::Failed => "Failed",
        State::Canceling => "Being canceled",
        State::Canceled => "Canceled",
        State::NeedsAttention => "A person must decide",
    }
}

const fn meaning(state: State) -> &'static str {
    match state {
        State::Pending => "The order is recorded. Amazon has not been asked yet.",
        State::Issuing => "Amazon is being asked now.",
        State::Unresolved => "Amazon did not answer clearly. The service goes on asking; nothing is bought twice.",
        State::Issued => "Amazon has issued the gift. The money is spent.",
        State::Failed => "Amazon refused. Nothing was bought and no money is spent.",
        State::Canceling => "Amazon is being asked to take it back.",
        State::Canceled => "It was taken back. The code is dead and the money came back.",
        State::NeedsAttention => "The service cannot decide this by itself. An operator must look at it.",
    }
}

fn happened(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "reward.received" => "The order came in",
        "attempt.sent" => "Amazon was asked",
        "attempt.not_sent" => "The question did not reach Amazon",
        "attempt.refused" => "Amazon refused for now",
        "attempt.read" => "Amazon answered",
        "attempt.unknown" => "Amazon's answer was lost or unclear",
        "attempt.abandoned" => "The attempt was given up",
        "attempt.ended" => "The attempt ended",
        "reward.issued" => "Amazon issued the gift",
        "reward.proven" => "Amazon proved that the gift exists",
        "reward.failed" => "Amazon refused the order",
        "reward.canceled" => "The reward was canceled",
        "reward.needs_attention" => "The service stopped: a person must decide",
        "cancel.requested" => "Somebody asked to cancel it",
        "cancel.failed" => "It could not be canceled",
        "cancel.refused" => "Amazon refused the cancel for now",
        "cancel.unknown" => "Amazon's answer to the cancel was lost or unclear",
        "claim_code.revealed" => "The code was shown",
        "claim_code.redelivered" => "The shop got the code again",
        _ => return None,
    })
}

const fn done(note: DoneNote) -> &'static str {
    match note {
        DoneNote::Canceled => "The reward is canceled.",
        DoneNote::CancelRecorded => {
            "The cancel is recorded. Its outcome is not known yet: load this page again in a minute."
        }
        DoneNote::LoggedOut => "You are logged out.",
        DoneNote::Redelivered => "It is on its way again.",
        DoneNote::BatchPaused => "The campaign waits.",
        DoneNote::BatchResumed => "The campaign goes on.",
        DoneNote::BatchCanceled => "The campaign was ended.",
    }
}

const fn batch_state(of: BatchState) -> &'static str {
    match of {
        BatchState::Running => "Going on",
        BatchState::Paused => "Paused",
        BatchState::Canceled => "Was ended",
        BatchState::Finished => "Done",
    }
}

const fn outcome(of: ItemOutcome) -> &'static str {
    match of {
        ItemOutcome::Waiting => "To be bought",
        ItemOutcome::Sent => "Under way",
        ItemOutcome::Issued => "Issued",
        ItemOutcome::Failed => "Amazon refused",
        ItemOutcome::Unresolved => "Not known yet",
        ItemOutcome::NeedsAttention => "A person must decide",
        ItemOutcome::Canceled => "Canceled",
        ItemOutcome::Refused => "Refused by the service",
    }
}

const fn class(of: Class) -> &'static str {
    match of {
        Class::OursOnly => "Amazon does not list it",
        Class::TheirsOnly => "We do not hold it",
        Class::AmountDiffers => "The amounts differ",
        Class::StateDiffers => "The states differ",
        Class::Unproven => "Ours is still open",
    }
}

const fn theirs(of: TheirState) -> &'static str {
    match of {
        TheirState::Live => "Bought",
        TheirState::Canceled => "Given back",
        TheirState::BoughtAgain => "Bought once more",
    }
}

const fn delivery(of: DeliveryState) -> &'static str {
    match of {
        DeliveryState::Pending => "To be sent",
        DeliveryState::Delivered => "Delivered",
        DeliveryState::Failed => "Given up",
    }
}

const fn disabled(of: DisabledWhy) -> &'static str {
    match of {
        DisabledWhy::Asked => "Switched off",
        DisabledWhy::Gone => "Off: the receiver is gone",
        DisabledWhy::Failing => "Off: nothing arrived for days",
    }
}

const fn pair(of: KeyState) -> &'static str {
    match of {
        KeyState::Empty => "Empty",
        KeyState::Unproven => "Not proven yet",
        KeyState::Refused => "Amazon refuses it",
        KeyState::Ended => "Ended",
        KeyState::Accepted => "Amazon takes it",
        KeyState::InForce => "In use",
    }
}

fn problem(code: &str) -> Option<&'static str> {
    Some(match code {
        "cancel-window-closed" => "It is too late: Amazon cancels within 15 minutes only.",
        "already-claimed" => "Amazon does not permit the cancel. In most cases the code was claimed.",
        "invalid-state" => "Its state or its age does not allow that.",
        "gone" => "The reward is canceled: there is no code any more.",
        "rate-limited" | "reveal-limit-reached" => "This key asks for more than it may. Wait, and try again.",
        "method-not-allowed" => "Go back, and use the buttons of the page.",
        "not-found" => "There is no such thing, or this key does not see it.",
        "forbidden" => {
            "The form is not of a page of this session. Go back, load the page again, and send it once more."
        }
        "dependency-unavailable" => "The database or Amazon does not answer. Try again in a minute.",
        "upstream-busy" => "Amazon’s rate is used up. Try again in a minute.",
        "insufficient-funds" => "The account’s funds do not suffice.",
        "budget-exceeded" => "A budget is used up.",
        "ceiling-reached" => "A ceiling of the day is reached. It goes on the next day.",
        "program-suspended" => "The program is suspended.",
        "unauthorized" => "The key that asked for it has ended or was revoked. Resume it with a good key.",
        "internal" => "The service failed.",
        "idempotency-mismatch" => "This order number was used for something else.",
        "external-id-conflict" => "Another reward has this order number.",
        "limit-exceeded" => "A limit is reached.",
        "account-problem" => "Amazon refuses the account for now.",
        "invalid-request" => {
            "The form was not filled in as expected. A reason has at most 200 characters and holds no code."
        }
        _ => return None,
    })
}
