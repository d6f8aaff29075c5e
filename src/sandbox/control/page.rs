//! The status page: partners, faults and the last requests, for a person with a browser. It changes nothing, and shows no
//! claim code and no secret.

use quick_xml::escape::escape;

use super::routes::ROUTES;
use super::{Control, ShownPartner};
use crate::sandbox::fault::ScriptedFault;
use crate::sandbox::guide::{self, GuideLine};
use crate::sandbox::record::Received;

/// How many requests the page shows.
const REQUESTS_SHOWN: usize = 50;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; background: #fdfdfb; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; }
th { font-weight: 600; border-bottom: 1px solid #bbb; } td { border-bottom: 1px solid #eee; overflow-wrap: anywhere; }
code { font: 13px ui-monospace, monospace; } .no { color: #a3261b; } .quiet { color: #777; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #1b1b1a; } td { border-color: #333; } .no { color: #ff8b7d; } }
";

/// The page.
pub(super) fn html(control: &Control) -> String {
    let clock = control.clock();
    let throttle = if control.throttle() { "on" } else { "off" };
    let facts = format!(
        "sandbox clock {} ({:+} s), signature clock {:+} s, rate limit {throttle}, {} cards",
        clock.now.format("%Y-%m-%d %H:%M:%S UTC"),
        clock.offset_seconds,
        clock.signature_skew_seconds,
        control.card_count()
    );
    let parts = [
        section("Partners", &["Partner", "Funds", "Keys", "Contract"], partners(control)),
        section(
            "Faults in force",
            &["Fault", "Strikes", "Struck so far"],
            control.faults().iter().map(fault).collect(),
        ),
        section(
            "Last requests",
            &["#", "At", "Operation", "Partner", "Request id", "Answer", "Fault"],
            control.last_requests(REQUESTS_SHOWN).iter().map(request).collect(),
        ),
        lines("Faults that a rule can name", &guide::faults()),
        lines("Mock ids, sent as the request id", &guide::mock_ids()),
        lines("Limits", &guide::limits()),
        section(
            "Calls of this port",
            &["Call", ""],
            ROUTES.iter().map(|route| call(route.method, route.path, route.about)).collect(),
        ),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>noshi sandbox</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\n<body><h1>noshi sandbox</h1>\n\
         <p class=\"quiet\">{facts}</p>\n{}</body></html>\n",
        parts.concat()
    )
}

/// A cell of text.
fn cell(text: &str) -> String {
    format!("<td>{}</td>", escape(text))
}

fn code_cell(text: &str) -> String {
    format!("<td><code>{}</code></td>", escape(text))
}

/// A table of rows that are marked up already.
fn section(title: &str, heads: &[&str], rows: Vec<String>) -> String {
    if rows.is_empty() {
        return format!("<h2>{title}</h2>\n<p class=\"quiet\">none</p>\n");
    }
    let heads: String = heads.iter().map(|head| format!("<th>{head}</th>")).collect();
    let rows: String = rows.into_iter().map(|row| format!("<tr>{row}</tr>\n")).collect();
    format!("<h2>{title}</h2>\n<table><tr>{heads}</tr>\n{rows}</table>\n")
}

fn lines(title: &str, lines: &[GuideLine]) -> String {
    let rows: String =
        lines.iter().map(|line| format!("<tr>{}{}</tr>\n", code_cell(&line.name), cell(&line.about))).collect();
    format!("<details><summary><strong>{title}</strong></summary><table>{rows}</table></details>\n")
}

fn partners(control: &Control) -> Vec<String> {
    let all_funds = control.all_funds();
    let row = |partner: ShownPartner| {
        let funds: Vec<String> = all_funds
            .iter()
            .filter(|funds| funds.partner_id == partner.partner_id)
            .map(|funds| format!("{} {}", funds.amount, funds.currency))
            .collect();
        let keys: Vec<String> = partner
            .keys
            .iter()
            .map(|key| format!("{}{}", key.id, if key.active { "" } else { " (inactive)" }))
            .collect();
        let terms = &partner.terms;
        let contract: Vec<String> = [
            terms.minimum.map(|minimum| format!("from {minimum}")),
            terms.maximum.map(|maximum| format!("up to {maximum}")),
            terms.requests_per_second.map(|rate| format!("{rate} requests a second")),
            terms.requests_per_day.map(|quota| format!("{quota} requests a day")),
            terms.program_ids.as_ref().map(|programs| format!("programs {}", programs.join(" "))),
            terms.product_types.as_ref().map(|products| format!("products {}", products.join(" "))),
        ]
        .into_iter()
        .flatten()
        .collect();
        [
            code_cell(&partner.partner_id),
            cell(&funds.join(", ")),
            code_cell(&keys.join(", ")),
            cell(&contract.join(", ")),
        ]
        .concat()
    };
    control.partners().into_iter().map(row).collect()
}

fn fault(scripted: &ScriptedFault) -> String {
    let rule = &scripted.rule;
    let kind: &'static str = (&rule.fault).into();
    let operation = rule.operation.map_or("any operation", |operation| operation.name());
    let of = rule.partner_id.as_deref().map(|id| format!(" of {id}")).unwrap_or_default();
    let id = rule.creation_request_id.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
    let times = rule.times.map_or_else(|| "always".to_owned(), |times| format!("{times} times"));
    let strikes = format!("{operation}{id}{of}, {times}, after {} calls", rule.skip);
    [code_cell(kind), cell(&strikes), cell(&scripted.fired.to_string())].concat()
}

fn request(received: &Received) -> String {
    let status = received.http_status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let words: Vec<&str> = [Some(status.as_str()), received.error_code.as_deref(), received.error_type.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    let refused = received.http_status.is_none_or(|status| status >= 400);
    let answer = format!("<td class=\"{}\">{}</td>", if refused { "no" } else { "" }, escape(words.join(" ")));
    let kind: &'static str = received.fault.as_ref().map_or("", Into::into);
    [
        cell(&received.sequence.to_string()),
        cell(&received.at.format("%H:%M:%S%.3f").to_string()),
        cell(&received.operation),
        cell(received.partner_id.as_deref().unwrap_or_default()),
        code_cell(received.creation_request_id.as_deref().unwrap_or_default()),
        answer,
        cell(kind),
    ]
    .concat()
}

fn call(method: &str, path: &str, about: &str) -> String {
    [code_cell(&format!("{method} {path}")), cell(about)].concat()
}
