//! Amounts and currencies. The account is American: it sells 0.01 to 2,000.00 USD.

use super::{Case, refuse_all, wire::Draft};
use crate::support::Backend;

fn order(amount: &str, currency: &str) -> Draft {
    let value = serde_json::json!({"amount": amount, "currency_code": currency});
    Draft::issue().body(serde_json::json!({"kind": "gift_code", "value": value}).to_string())
}

fn amounts() -> Vec<Case> {
    let malformed = [
        "",
        " ",
        ".",
        "-",
        "zqcanary",
        "-10.00",
        "+10.00",
        "-0.00",
        "1e1",
        "1E1",
        "10e-2",
        "1000e-2",
        "10,00",
        "1,000.00",
        "1_000.00",
        "10.00 ",
        " 10.00",
        "10 .00",
        "10.00USD",
        "$10.00",
        "010.00",
        "00.10",
        "0x10",
        "10.",
        ".50",
        "10..00",
        "10.00.00",
        "NaN",
        "Infinity",
        "-Infinity",
        "null",
        "10.0O",
        "1\u{660}.00",
        "\u{661}\u{660}.\u{660}\u{660}",
        "\u{ff11}\u{ff10}.\u{ff10}\u{ff10}",
        "10\u{ff0e}00",
        "10\u{66b}00",
        "10.00\0",
        "\0",
        "10.00\n",
        "\t10.00",
        "10\u{a0}.00",
        "\u{feff}10.00",
        "\u{2212}10.00",
        "10/1",
        "10.00;",
    ];
    let imprecise =
        ["10", "10.0", "10.000", "0.001", "0", "10.0000000000000000000000000000000000001", "9007199254740993"];
    let outside = [
        "0.00",
        "2000.01",
        "2001.00",
        "999999999999.99",
        "1000000000000.00",
        "92233720368547758.07",
        "92233720368547758.08",
        "184467440737095516.16",
    ];
    let long = ("9".repeat(3000), format!("{}.00", "9".repeat(3000)));
    malformed
        .into_iter()
        .map(|amount| (amount, 400, "invalid-request"))
        .chain(imprecise.into_iter().chain([long.0.as_str()]).map(|amount| (amount, 422, "amount-precision")))
        .chain(outside.into_iter().chain([long.1.as_str()]).map(|amount| (amount, 422, "amount-out-of-range")))
        .map(|(amount, status, code)| Case::new(format!("{amount:.40?}"), &order(amount, "USD"), status, code))
        .collect()
}

fn currencies() -> Vec<Case> {
    let unsupported = |currency: &str, amount: &str| {
        Case::new(format!("{amount} {currency:?}"), &order(amount, currency), 422, "currency-not-supported")
    };
    let mut cases: Vec<Case> = [
        "",
        " ",
        "usd",
        "Usd",
        "USD ",
        " USD",
        "US",
        "USDD",
        "USD\0",
        "US\u{110}",
        "\u{216}SD",
        "\u{ff35}\u{ff33}\u{ff24}",
        "XXX",
        "XAU",
        "BTC",
        "INR",
        "CNY",
        "840",
        "$",
        "zqcanary",
        "USD' OR '1'='1",
        "null",
    ]
    .into_iter()
    .map(|currency| unsupported(currency, "10.00"))
    .collect();
    // Currencies of ours that no account here deals in.
    cases
        .extend([("EUR", "10.00"), ("GBP", "10.00"), ("CAD", "10.00"), ("JPY", "500")].map(|(c, a)| unsupported(c, a)));
    for amount in ["500.0", "500.00", "0.5"] {
        cases.push(Case::new(format!("{amount} JPY"), &order(amount, "JPY"), 422, "amount-precision"));
    }
    cases.push(Case::new("0 JPY", &order("0", "JPY"), 422, "amount-out-of-range"));
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_amount_that_cannot_be_sold_is_refused() {
    refuse_all(Backend::Sqlite, "amounts", 55, amounts()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_currency_that_cannot_be_sold_is_refused() {
    refuse_all(Backend::Sqlite, "currencies", 28, currencies()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_refuses_what_an_order_does() {
    let dry = |case: Case| Case {
        bytes: String::from_utf8(case.bytes).unwrap().replacen("/v1/rewards", "/v1/rewards/validate", 1).into_bytes(),
        ..case
    };
    let mut cases: Vec<Case> = amounts().into_iter().chain(currencies()).map(dry).collect();
    let validate = Draft::issue().target("/v1/rewards/validate");
    cases.push(Case::new(
        "a bad key",
        &validate.clone().set("Idempotency-Key", "\"open"),
        400,
        "idempotency-key-invalid",
    ));
    cases.push(Case::new("no type", &validate.clone().without("Content-Type"), 415, "unsupported-media-type"));
    cases.push(Case::new("an array", &validate.body("[]"), 400, "invalid-request"));
    refuse_all(Backend::Sqlite, "validate", 90, cases).await;
}
