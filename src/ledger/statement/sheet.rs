//! A statement for people and spreadsheets: as CSV, as a page to print, as text.

use super::{Statement, StatementLine};

/// The names above the CSV.
const CSV_NAMES: [&str; 8] =
    ["account_id", "month", "closed", "currency_code", "line", "program_id", "count", "amount"];

/// A row: what it is of, the program, how many entries, how much.
type SheetRow = (&'static str, Option<String>, Option<i64>, String);

fn opening_rows(statement: &Statement) -> Vec<SheetRow> {
    let Some(funds) = &statement.funds else { return Vec::new() };
    let mut rows = vec![("opening", None, None, funds.opening.to_string())];
    let came = [("initial_balance", funds.initial), ("deposits", funds.deposits), ("adjustments", funds.adjustments)];
    rows.extend(came.map(|(name, turnover)| (name, None, Some(turnover.entries), turnover.value.to_string())));
    rows
}

fn line_rows(line: &StatementLine) -> [SheetRow; 3] {
    let all = [("issued", line.issued), ("canceled", line.canceled), ("released", line.released)];
    all.map(|(name, turnover)| (name, line.program.clone(), Some(turnover.entries), turnover.value.to_string()))
}

/// The statement as CSV: a row for each figure, the programs' among them.
///
/// # Errors
/// As the writer's: in memory there are none.
pub(crate) fn csv(statement: &Statement) -> Result<Vec<u8>, csv::Error> {
    let mut rows = opening_rows(statement);
    rows.extend(statement.lines.iter().flat_map(line_rows));
    rows.extend(statement.funds.iter().map(|funds| ("closing", None, None, funds.closing.to_string())));
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(CSV_NAMES)?;
    let (month, closed) = (statement.month_text(), statement.closed.to_string());
    for (name, program, count, amount) in rows {
        let (program, count) = (program.unwrap_or_default(), count.map(|count| count.to_string()).unwrap_or_default());
        let account = &statement.account;
        csv.write_record([&account.id, &month, &closed, account.currency.code(), name, &program, &count, &amount])?;
    }
    csv.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

/// The page's own style: nothing is fetched, and it prints in black on one page or more.
const STYLE: &str = "body{font:11pt/1.4 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}\
    table{border-collapse:collapse;width:100%;margin:1rem 0 2rem}\
    caption{text-align:left;font-weight:bold;padding:.3rem 0}\
    th,td{padding:.3rem .6rem;border-bottom:1px solid #bbb;text-align:right}\
    th:first-child,td:first-child{text-align:left}\
    td{font-variant-numeric:tabular-nums}tfoot td,tfoot th{border-top:2px solid #111;font-weight:bold}\
    thead{display:table-header-group}tr{break-inside:avoid}\
    @media print{body{margin:0;max-width:none}@page{margin:2cm}}";

/// Text in a page: no sign of it is one of HTML's.
fn escaped(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '"' => all.push_str("&quot;"),
            '\'' => all.push_str("&#39;"),
            other => all.push(other),
        }
    }
    all
}

fn cells(tag: &str, cells: &[&str]) -> String {
    let (first, rest) = cells.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
    let rest: String = rest.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
    let scope = if tag == "th" { "col" } else { "row" };
    format!("<tr><th scope=\"{scope}\">{}</th>{rest}</tr>\n", escaped(first))
}

fn funds_table(statement: &Statement) -> String {
    let Some(funds) = &statement.funds else {
        return "<p>What the account held is for all clients together, and not shown to one of them.</p>\n".to_owned();
    };
    let (opening, closing) = (funds.opening.to_string(), funds.closing.to_string());
    let [initial, deposits, adjustments, issued, canceled] =
        [funds.initial, funds.deposits, funds.adjustments, statement.total.issued, statement.total.canceled]
            .map(|turnover| turnover.value.to_string());
    let mut rows = cells("td", &["Opening balance", &opening]);
    if funds.initial.entries > 0 {
        rows.push_str(&cells("td", &["Held when the ledger began", &initial]));
    }
    for (name, value) in [("Deposits", &deposits), ("Adjustments", &adjustments), ("Canceled", &canceled)] {
        rows.push_str(&cells("td", &[name, value]));
    }
    rows.push_str(&cells("td", &["Issued", &format!("−{issued}")]));
    let currency = escaped(statement.account.currency.code());
    let foot = cells("td", &["Closing balance", &closing]);
    format!(
        "<table>\n<caption>Balance in {currency}</caption>\n<tbody>\n{rows}</tbody>\n<tfoot>\n{foot}</tfoot>\n</table>\n"
    )
}

fn programs_table(statement: &Statement) -> String {
    let row = |name: &str, line: &StatementLine| {
        let turnovers = [line.issued, line.canceled, line.released];
        let [issued, canceled, released] = turnovers.map(|turnover| turnover.value.to_string());
        let [rewards, taken_back, none] = turnovers.map(|turnover| turnover.entries.to_string());
        cells("td", &[name, &rewards, &issued, &taken_back, &canceled, &line.net().to_string(), &none, &released])
    };
    let names = ["Program", "Rewards", "Issued", "Taken back", "Canceled", "Net", "Without a purchase", "Released"];
    let program = |line: &StatementLine| row(line.program.as_deref().unwrap_or("without a program"), line);
    let (head, foot) = (cells("th", &names), row("All", &statement.total));
    let rows: String = statement.lines.iter().map(program).collect();
    let currency = escaped(statement.account.currency.code());
    format!(
        "<table>\n<caption>By program, in {currency}</caption>\n<thead>\n{head}</thead>\n<tbody>\n{rows}</tbody>\n<tfoot>\n{foot}</tfoot>\n</table>\n"
    )
}

/// The statement as a page that stands alone, to be read, printed or made a PDF of.
pub(crate) fn html(statement: &Statement) -> String {
    let title = escaped(&format!("Statement {} {}", statement.account.id, statement.month_text()));
    let zone = escaped(statement.account.zone.name());
    let state = if statement.closed { "Closed." } else { "Not closed: entries may still come." };
    let (funds, programs) = (funds_table(statement), programs_table(statement));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <p>{state} Days are those of {zone}.</p>\n{funds}{programs}</main>\n</body>\n</html>\n"
    )
}

/// The statement as lines for a terminal.
pub(crate) fn text(statement: &Statement) -> String {
    let state = if statement.closed { "closed" } else { "not closed" };
    let (account, currency) = (&statement.account.id, statement.account.currency.code());
    let mut lines = vec![format!("{account}  {}  {currency}  {state}", statement.month_text())];
    let mut push = |(name, program, count, amount): SheetRow| {
        let (program, count) = (program.unwrap_or_default(), count.map(|count| count.to_string()).unwrap_or_default());
        lines.push(format!("  {name:<16} {amount:>18} {count:>9}  {program}").trim_end().to_owned());
    };
    opening_rows(statement).into_iter().for_each(&mut push);
    statement.lines.iter().flat_map(line_rows).for_each(&mut push);
    if let Some(funds) = &statement.funds {
        push(("closing", None, None, funds.closing.to_string()));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_page_is_read_as_html() {
        assert_eq!(escaped("<b>&\"'"), "&lt;b&gt;&amp;&quot;&#39;");
        let row = cells("td", &["<script>", "\"5\"", "a&b"]);
        assert_eq!(row, "<tr><th scope=\"row\">&lt;script&gt;</th><td>&quot;5&quot;</td><td>a&amp;b</td></tr>\n");
    }
}
