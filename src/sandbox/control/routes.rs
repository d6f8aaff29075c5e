//! Every call of the control port: one row each.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::notices::{act_on_notices, notify};
use super::port::{Refused, bad, ok, parsed, whole};
use super::{Control, ControlError, page};
use crate::sandbox::activity::Activity;
use crate::sandbox::fault::FaultRule;
use crate::sandbox::front::Answered;
use crate::sandbox::latency::{Latency, LatencyProfile};
use crate::sandbox::money;
use crate::sandbox::partners::{AccessKey, PartnerEntry, PartnerTerms};

/// The description of these calls for programs; a test compares it with [`ROUTES`].
const OPENAPI: &str = include_str!("openapi.json");

/// A call.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What it is for, and its body.
    pub(super) about: &'static str,
    pub(super) answer: fn(&Control, &[u8]) -> Result<Answered, Refused>,
}

const fn row(
    method: &'static str,
    path: &'static str,
    about: &'static str,
    answer: fn(&Control, &[u8]) -> Result<Answered, Refused>,
) -> Route {
    Route { method, path, about, answer }
}

pub(super) const ROUTES: &[Route] = &[
    row("GET", "/", "a page for people", |control, _body| Ok(whole("text/html; charset=utf-8", page::html(control)))),
    row("GET", "/openapi.json", "these calls for programs", |_control, _body| Ok(whole("application/json", OPENAPI))),
    row("GET", "/health", "whether the sandbox serves", |_control, _body| Ok(ok(&Health { status: "serving" }))),
    row("GET", "/book", "every card, with its claim code", |control, _body| Ok(ok(&control.book()))),
    row("GET", "/cards", "every physical card that can be activated", |control, _body| Ok(ok(&control.cards()))),
    row(
        "POST",
        "/cards",
        "adds an array of physical cards: [{\"card_number\":\"…\",\"denomination\":\"25\"}]",
        |control, body| {
            control.plant_cards(parsed(body)?)?;
            Ok(ok(&control.cards()))
        },
    ),
    row("GET", "/shoppers", "every Amazon account that can be loaded or sign in", |control, _body| {
        Ok(ok(&control.shoppers()))
    }),
    row(
        "POST",
        "/shoppers",
        "adds an array of Amazon accounts: [{\"user_id\":\"amzn1.account.…\",\"barcode\":\"…\",\"phone\":\"+…\"}]",
        |control, body| {
            control.plant_shoppers(parsed(body)?)?;
            Ok(ok(&control.shoppers()))
        },
    ),
    row("GET", "/tokens", "the access tokens of Login with Amazon", |control, _body| Ok(ok(&control.tokens()))),
    row(
        "POST",
        "/tokens",
        "makes an access token: {\"client_id\":\"…\",\"user_id\":\"amzn1.account.…\",\"expires_in_seconds\":3600}",
        |control, body| Ok(ok(&control.plant_token(parsed(body)?)?)),
    ),
    row("GET", "/pay/merchants", "the public keys of Amazon Pay's merchants", |control, _body| {
        Ok(ok(&control.pay_merchants()))
    }),
    row(
        "POST",
        "/pay/merchants",
        "registers a public key: {\"merchant_id\":\"…\",\"public_key_id\":\"SANDBOX-…\",\"public_key\":\"-----BEGIN PUBLIC KEY-----…\"}",
        |control, body| {
            control.register_pay_merchant(parsed(body)?)?;
            Ok(ok(&control.pay_merchants()))
        },
    ),
    row("GET", "/pay/receivers", "where notifications of Amazon Pay are sent", |control, _body| {
        Ok(ok(&control.notice_receivers()))
    }),
    row(
        "POST",
        "/pay/receivers",
        "sends notifications there: {\"merchant_id\":\"…\",\"generation\":\"checkout_v2\",\"url\":\"http://127.0.0.1:8080/v1/pay/notifications/shop\"}",
        notify,
    ),
    row("GET", "/pay/notifications", "every notification, and what was answered", |control, _body| {
        Ok(ok(&control.notices()))
    }),
    row(
        "PUT",
        "/pay/notifications",
        "{\"act\":\"hold\"}, or release, repeat, forge, sample, subscribe, charge_back, redirect or certificates",
        act_on_notices,
    ),
    row("GET", "/pay/permissions", "every charge permission", |control, _body| Ok(ok(&control.pay_permissions()))),
    row(
        "POST",
        "/pay/permissions",
        "a buyer's consent: {\"merchant_id\":\"…\",\"limit\":\"100000\",\"recurring\":true}",
        consent,
    ),
    row(
        "PUT",
        "/pay/permissions",
        "{\"act\":\"suspend\",\"charge_permission_id\":\"…\"}, or mend, or close as the buyer",
        |control, body| {
            control.act_on_consent(parsed(body)?)?;
            Ok(ok(&control.pay_permissions()))
        },
    ),
    row("GET", "/pay/sessions", "every checkout session", |control, _body| Ok(ok(&control.pay_sessions()))),
    row(
        "POST",
        "/pay/sessions",
        "a buyer presses a button and agrees: {\"public_key_id\":\"SANDBOX-…\",\"payload\":\"{…}\",\"signature\":\"…\"}",
        |control, body| Ok(ok(&control.press_button(&parsed(body)?)?)),
    ),
    row(
        "PUT",
        "/pay/sessions",
        "a buyer goes back: {\"act\":\"leave\",\"checkout_session_id\":\"…\"}",
        |control, body| {
            control.act_on_session(parsed(body)?)?;
            Ok(ok(&control.pay_sessions()))
        },
    ),
    row("GET", "/pay/charges", "every charge", |control, _body| Ok(ok(&control.charges()))),
    row(
        "PUT",
        "/pay/charges",
        "as staff in Seller Central: {\"act\":\"capture\",\"charge_id\":\"…\"}, or cancel",
        |control, body| {
            control.act_on_charge(&parsed(body)?)?;
            Ok(ok(&control.charges()))
        },
    ),
    row("GET", "/pay/refunds", "every refund", |control, _body| Ok(ok(&control.refunds()))),
    row(
        "PUT",
        "/pay/pending",
        "declines a pending authorization, capture or refund: {\"id\":\"…\",\"reason\":\"AmazonRejected\"}",
        |control, body| {
            control.decline_pending(&parsed(body)?)?;
            Ok(ok(&Health { status: "declined" }))
        },
    ),
    row("GET", "/pay/mws/sellers", "the access keys of MWS", |control, _body| Ok(ok(&control.mws_sellers()))),
    row(
        "POST",
        "/pay/mws/sellers",
        "registers an access key: {\"seller_id\":\"…\",\"access_key_id\":\"…\",\"secret_access_key\":\"…\"}",
        |control, body| {
            control.register_mws_seller(parsed(body)?)?;
            Ok(ok(&control.mws_sellers()))
        },
    ),
    row("GET", "/pay/mws/consents", "every order reference and billing agreement", |control, _body| {
        Ok(ok(&control.mws_consents()))
    }),
    row(
        "POST",
        "/pay/mws/orders",
        "an order reference: {\"seller_id\":\"…\",\"amount\":\"980\"}, or a draft without an amount",
        |control, body| Ok(ok(&named_in_mws(control, &control.mws_order(parsed(body)?)?))),
    ),
    row(
        "POST",
        "/pay/mws/agreements",
        "a billing agreement: {\"seller_id\":\"…\",\"limit\":\"50000\",\"open\":true}, or a draft",
        |control, body| Ok(ok(&named_in_mws(control, &control.mws_agreement(parsed(body)?)?))),
    ),
    row(
        "PUT",
        "/pay/mws/consents",
        "{\"act\":\"agree\",\"id\":\"…\"} as the buyer, or suspend, mend or close",
        |control, body| {
            control.act_in_mws(parsed(body)?)?;
            Ok(ok(&control.mws_consents()))
        },
    ),
    row("GET", "/pay/mws/authorizations", "every authorization of MWS", |control, _body| {
        Ok(ok(&control.mws_authorizations()))
    }),
    row("GET", "/pay/mws/captures", "every capture of MWS", |control, _body| Ok(ok(&control.mws_captures()))),
    row("GET", "/pay/mws/refunds", "every refund of MWS", |control, _body| Ok(ok(&control.mws_refunds()))),
    row("GET", "/requests", "what the gateway received", |control, _body| Ok(ok(&control.requests()))),
    row("DELETE", "/requests", "forgets what was received", |control, _body| {
        control.clear_requests();
        Ok(ok(&control.requests()))
    }),
    row("GET", "/faults", "the fault rules in force", |control, _body| Ok(ok(&control.faults()))),
    row("POST", "/faults", "adds a rule, or an array of rules: {\"times\":1,\"fault\":{\"kind\":\"hang\"}}", script),
    row("DELETE", "/faults", "drops every rule", |control, _body| {
        control.clear_faults();
        Ok(ok(&control.faults()))
    }),
    row("GET", "/clock", "both clocks", |control, _body| Ok(ok(&control.clock()))),
    row("POST", "/clock", "{\"advance_seconds\":n} and/or {\"signature_skew_seconds\":n}", move_clock),
    row("GET", "/funds", "what every partner has left", |control, _body| Ok(ok(&control.all_funds()))),
    row("PUT", "/funds", "{\"partner_id\":\"…\",\"currency\":\"USD\",\"amount\":\"100.00\"}", set_funds),
    row("GET", "/partners", "every partner with its keys, without secrets", |control, _body| {
        Ok(ok(&control.partners()))
    }),
    row("PUT", "/partners", "adds or replaces a partner, written as in a file of partners", |control, body| {
        control.put_partner(parsed::<PartnerEntry>(body)?)?;
        Ok(ok(&control.partners()))
    }),
    row(
        "PUT",
        "/terms",
        "{\"partner_id\":\"…\",\"minimum\":\"1\",\"maximum\":\"50\",\"requests_per_second\":5}",
        set_terms,
    ),
    row("POST", "/keys", "{\"partner_id\":\"…\"}: makes a key pair, and shows its secret this once", add_key),
    row("PUT", "/keys", "{\"id\":\"…\",\"active\":false}: deactivates or activates a key", |control, body| {
        let KeySetting { id, active } = parsed(body)?;
        control.set_key_active(&id, active)?;
        Ok(ok(&control.partners()))
    }),
    row("DELETE", "/keys", "{\"id\":\"…\"}: deletes a key that is not active", |control, body| {
        let KeyName { id } = parsed(body)?;
        control.delete_key(&id)?;
        Ok(ok(&control.partners()))
    }),
    row("GET", "/activity", "the activity report", |control, _body| Ok(ok(&control.activity()))),
    row("POST", "/activity", "an array of records to list besides", |control, body| {
        let more: Vec<Activity> = parsed(body)?;
        control.edit_activity(|records| records.extend(more));
        Ok(ok(&control.activity()))
    }),
    row("GET", "/activity/enabled", "whether partners may read the report", |control, _body| {
        Ok(ok(&Setting { enabled: control.activity_enabled() }))
    }),
    row("PUT", "/activity/enabled", "{\"enabled\":false}", |control, body| {
        let setting: Setting = parsed(body)?;
        control.set_activity_enabled(setting.enabled);
        Ok(ok(&setting))
    }),
    row("GET", "/latency", "how long answers take", |control, _body| Ok(ok(&control.latency()))),
    row(
        "PUT",
        "/latency",
        "{\"profile\":\"far\"}, or {\"milliseconds\":250,\"jitter_milliseconds\":150}",
        |control, body| {
            control.set_latency(latency(parsed(body)?)?)?;
            Ok(ok(&control.latency()))
        },
    ),
    row("GET", "/state", "cards, funds and clock, to be loaded again", |control, _body| Ok(ok(&control.state()))),
    row("PUT", "/state", "loads what GET gave: it takes the place of cards, funds and clock", |control, body| {
        control.load_state(parsed(body)?)?;
        Ok(ok(&control.state()))
    }),
    row("GET", "/throttle", "whether the rate limit holds", |control, _body| {
        Ok(ok(&Setting { enabled: control.throttle() }))
    }),
    row("PUT", "/throttle", "{\"enabled\":true}", |control, body| {
        let setting: Setting = parsed(body)?;
        control.set_throttle(setting.enabled);
        Ok(ok(&setting))
    }),
];

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockMove {
    advance_seconds: Option<i64>,
    signature_skew_seconds: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FundsSetting {
    partner_id: String,
    /// May be left out where the partner has one currency.
    currency: Option<String>,
    /// Decimal text, or a JSON number read by its text.
    amount: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsSetting {
    partner_id: String,
    #[serde(default, with = "money::text_or_none")]
    minimum: Option<rust_decimal::Decimal>,
    #[serde(default, with = "money::text_or_none")]
    maximum: Option<rust_decimal::Decimal>,
    requests_per_second: Option<usize>,
    requests_per_day: Option<usize>,
    program_ids: Option<Vec<String>>,
    product_types: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPair {
    partner_id: String,
    id: Option<String>,
    secret: Option<String>,
}

#[derive(Serialize)]
struct MadePair<'a> {
    id: &'a str,
    secret: &'a str,
    active: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeySetting {
    id: String,
    active: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyName {
    id: String,
}

/// A profile by name, or figures of one's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LatencySetting {
    profile: Option<LatencyProfile>,
    milliseconds: Option<u64>,
    jitter_milliseconds: Option<u64>,
    slow_percent: Option<u64>,
    slow_milliseconds: Option<u64>,
}

fn latency(wanted: LatencySetting) -> Result<Latency, Refused> {
    let LatencySetting { profile, milliseconds, jitter_milliseconds, slow_percent, slow_milliseconds } = wanted;
    match (profile, milliseconds) {
        (Some(profile), None) if [jitter_milliseconds, slow_percent, slow_milliseconds] == [None; 3] => {
            Ok(profile.into())
        }
        (None, Some(milliseconds)) => Ok(Latency {
            milliseconds,
            jitter_milliseconds: jitter_milliseconds.unwrap_or_default(),
            slow_percent: slow_percent.unwrap_or_default(),
            slow_milliseconds: slow_milliseconds.unwrap_or_default(),
        }),
        (Some(_), _) | (None, None) => Err(bad("say profile alone, or milliseconds with the other figures".to_owned())),
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    enabled: bool,
}

fn named_in_mws(control: &Control, id: &str) -> Option<crate::sandbox::ShownMwsConsent> {
    control.mws_consents().into_iter().find(|consent| consent.id == id)
}

fn consent(control: &Control, body: &[u8]) -> Result<Answered, Refused> {
    let id = control.consent(parsed(body)?)?;
    let made = control.pay_permissions().into_iter().find(|permission| permission.charge_permission_id == id);
    Ok(ok(&made))
}

fn script(control: &Control, body: &[u8]) -> Result<Answered, Refused> {
    let whole: serde_json::Value = parsed(body)?;
    let sent = match whole {
        serde_json::Value::Array(rules) => rules,
        rule @ (serde_json::Value::Object(_)
        | serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_)) => vec![rule],
    };
    let rules: Vec<FaultRule> = sent.iter().map(read_rule).collect::<Result<_, _>>()?;
    control.script_all(rules)?;
    Ok(ok(&control.faults()))
}

/// Reads one rule, and refuses an unknown member. With a misspelt `after_work` a test would test the wrong thing.
fn read_rule(sent: &serde_json::Value) -> Result<FaultRule, Refused> {
    let rule = FaultRule::deserialize(sent).map_err(|error| bad(error.to_string()))?;
    let understood = serde_json::to_value(&rule.fault).map_err(|error| bad(error.to_string()))?;
    let members = sent.get("fault").and_then(serde_json::Value::as_object).into_iter().flatten();
    for (name, _) in members {
        if understood.get(name).is_none() {
            return Err(bad(format!("this kind of fault has no member {name:?}")));
        }
    }
    Ok(rule)
}

fn move_clock(control: &Control, body: &[u8]) -> Result<Answered, Refused> {
    let wanted: ClockMove = parsed(body)?;
    if wanted.advance_seconds.is_none() && wanted.signature_skew_seconds.is_none() {
        return Err(bad("say advance_seconds, signature_skew_seconds, or both".to_owned()));
    }
    let before = control.clock().signature_skew_seconds;
    if let Some(seconds) = wanted.signature_skew_seconds {
        control.set_signature_skew(seconds)?;
    }
    if let Some(seconds) = wanted.advance_seconds
        && let Err(error) = control.advance_clock(seconds)
    {
        // Both or none.
        control.set_signature_skew(before)?;
        return Err(error.into());
    }
    Ok(ok(&control.clock()))
}

fn set_funds(control: &Control, body: &[u8]) -> Result<Answered, Refused> {
    let wanted: FundsSetting = parsed(body)?;
    let text = wanted.amount.get();
    let digits = text.trim_matches('"');
    let amount =
        money::from_json_number(digits).ok_or_else(|| bad(format!("amount must be decimal text, not {text}")))?;
    match wanted.currency {
        Some(currency) => control.set_funds_in(&wanted.partner_id, &currency, amount)?,
        None => control.set_funds(&wanted.partner_id, amount)?,
    }
    Ok(ok(&control.all_funds()))
}

fn set_terms(control: &Control, body: &[u8]) -> Result<Answered, Refused> {
    let TermsSetting {
        partner_id,
        minimum,
        maximum,
        requests_per_second,
        requests_per_day,
        program_ids,
        product_types,
    } = parsed(body)?;
    let terms = PartnerTerms { minimum, maximum, requests_per_second, requests_per_day, program_ids, product_types };
    control.set_terms(&partner_id, terms)?;
    Ok(ok(&control.partners()))
}

fn add_key(control: &Control, body: &[u8]) -> Result<Answered, Refused> {
    let NewPair { partner_id, id, secret } = parsed(body)?;
    let pair = match (id, secret) {
        (Some(id), Some(secret)) => Some(AccessKey::active(id, secret)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(ControlError::Partner("say both id and secret of the pair, or neither".to_owned()).into());
        }
    };
    let AccessKey { id, secret, active } = control.add_key(&partner_id, pair)?;
    Ok(ok(&MadePair { id: &id, secret: &secret, active }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_for_programs_lists_the_calls_that_there_are() {
        let described: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let mut listed: Vec<(String, String)> = Vec::new();
        for (path, calls) in described["paths"].as_object().unwrap() {
            for (method, call) in calls.as_object().unwrap() {
                assert!(call["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
                assert!(call["responses"]["200"].is_object(), "{method} {path}");
                let has_body = call.get("requestBody").is_some();
                assert_eq!(has_body, matches!(method.as_str(), "post" | "put") || path == "/keys", "{method} {path}");
                listed.push((method.to_uppercase(), path.clone()));
            }
        }
        let mut there: Vec<(String, String)> =
            ROUTES.iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
        listed.sort();
        there.sort();
        assert_eq!(listed, there);
    }

    #[test]
    fn the_description_for_programs_names_every_fault() {
        let described: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let kinds = described["components"]["schemas"]["Fault"]["properties"]["kind"]["enum"].as_array().unwrap();
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str().unwrap()).collect();
        let lines = crate::sandbox::guide::faults();
        let named: Vec<&str> = lines.iter().map(|line| line.name.split(' ').next().unwrap()).collect();
        assert_eq!(kinds, named);
    }
}
