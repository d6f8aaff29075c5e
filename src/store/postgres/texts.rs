//! The texts of joined statements: of one transaction's parts, and of the parts of several transactions of one shape.
//!
//! **Of one**: the statement asks at its end whether each part touched as many rows as it must, and fails otherwise.
//!
//! **Of several**: each value is a column, with a row for each transaction (`given`). The first part writes the row that the transaction is
//! about, which it calls by its `id`: a new one, or one that must be as it was read. What it wrote is `kept`, and the other parts do for those rows
//! alone what they do for one. So a transaction whose row is not as it counted on has done nothing, and those beside it are whole. The
//! statement says which ids were written. It fails, and nothing of it is kept, where another part touched another number of rows than it must: then each
//! transaction is sent by itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::values::Values;
use crate::store::{
    Sql,
    joined::Part,
    sql::{highest_parameter, renamed},
};

/// What stands for the rows in a text for several transactions.
const GIVEN: &str = "{given}";

/// The texts that were put together so far: one pair for each shape of a transaction.
#[derive(Debug, Default)]
pub(in crate::store) struct JoinedTexts(Mutex<HashMap<Vec<Part>, ShapeTexts>>);

/// A shape's texts.
#[derive(Debug, Clone)]
pub(super) struct ShapeTexts {
    pub(super) of_one: Arc<str>,
    /// `None` where transactions of this shape are not sent together.
    pub(super) of_several: Option<Arc<str>>,
}

impl JoinedTexts {
    pub(super) fn of(&self, parts: &[Part], values: &Values) -> ShapeTexts {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(texts) = texts.get(parts) {
            return texts.clone();
        }
        let of_several = values.columns().and_then(|types| of_several(parts, &types)).map(Into::into);
        let new = ShapeTexts { of_one: of_one(parts).into(), of_several };
        texts.insert(parts.to_vec(), new.clone());
        new
    }
}

/// One statement of several. The values of each part follow those of the parts before it.
fn of_one(parts: &[Part]) -> String {
    let (mut texts, mut checks, mut values) = (Vec::new(), Vec::new(), 0_usize);
    for (at, Part { sql, rows }) in parts.iter().enumerate() {
        let returning = if sql.postgres.contains(" RETURNING ") { "" } else { " RETURNING 1" };
        let text = renamed(sql.postgres, |number| format!("${}", number.saturating_add(values)));
        texts.push(format!("part{at} AS ({text}{returning})"));
        checks.push(format!("(SELECT COUNT(*) FROM part{at}) = {rows}"));
        values = values.saturating_add(highest_parameter(sql.postgres));
    }
    // A divisor that is a constant would be worked out when the server plans.
    format!("WITH {} SELECT 1 / CASE WHEN {} THEN 1 ELSE 0 END", texts.join(", "), checks.join(" AND "))
}

/// One statement of the parts of several transactions; `None` where a part is not of a form that there can be several of.
fn of_several(parts: &[Part], types: &[&str]) -> Option<String> {
    let (first, others) = parts.split_first()?;
    let name = |part: usize| move |number: usize| format!("v{part}_{number}");
    let mut names = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        names.extend((1..=highest_parameter(part.sql.postgres)).map(name(at)));
    }
    if names.len() != types.len() || first.rows != 1 || !is_called_by_id(first.sql) {
        return None;
    }
    let columns: Vec<String> = (1..).zip(types).map(|(number, of)| format!("${number}::{of}")).collect();
    let first = renamed(&of_rows(first, "given", "id")?, name(0));
    let (mut texts, mut checks) = (Vec::new(), vec!["TRUE".to_owned()]);
    for (at, part) in (1..).zip(others) {
        texts.push(format!(", part{at} AS ({})", renamed(&of_rows(part, "kept", "1")?, name(at))));
        let must = match part.sql.several {
            Some(several) => renamed(&several.rows.replace(GIVEN, "kept"), name(at)),
            None => "(SELECT COUNT(*) FROM part0)".to_owned(),
        };
        checks.push(format!("(SELECT COUNT(*) FROM part{at}) = {must}"));
    }
    // The planner takes a limit that it does not know for a tenth: of ten rows, which it expects of an unknown array, one. So a plan that is
    // made for every number of rows looks each up by its id, also one that was made while the table was small.
    Some(format!(
        "WITH given AS (SELECT * FROM unnest({columns}) AS given ({names}) LIMIT ${limit}), part0 AS ({first}), \
         kept AS (SELECT * FROM given WHERE v0_1 IN (SELECT id FROM part0)){texts} \
         SELECT id FROM part0 WHERE 1 / CASE WHEN {checks} THEN 1 ELSE 0 END = 1",
        columns = columns.join(", "),
        names = names.join(", "),
        limit = types.len().saturating_add(1),
        texts = texts.concat(),
        checks = checks.join(" AND "),
    ))
}

/// What PostgreSQL is sent for several callers, whose transactions are of these statements, each of which touches so many rows. `types` are
/// those of their values, as columns. `None` where they are sent one by one.
#[must_use]
pub fn text_of_several(statements: &[(&'static Sql, u64)], types: &[&str]) -> Option<String> {
    let parts: Vec<Part> = statements.iter().map(|(sql, rows)| Part { sql, rows: *rows }).collect();
    of_several(&parts, types)
}

/// Whether the row that a statement writes is called by its first value, as its `id`.
fn is_called_by_id(sql: &Sql) -> bool {
    let text = sql.postgres;
    text.starts_with("INSERT ") && text.contains(" (id, ") && text.contains(" VALUES ($1, ")
        || text.starts_with("UPDATE ") && text.contains(" WHERE id = $1 AND ")
}

/// A part for each row of a table of values.
fn of_rows(part: &Part, rows: &str, returning: &str) -> Option<String> {
    let text = part.sql.postgres;
    if let Some(several) = part.sql.several {
        return Some(several.text.replace(GIVEN, rows));
    }
    if part.rows != 1 || text.contains(" RETURNING ") {
        return None;
    }
    if let Some((head, values)) = text.strip_prefix("INSERT ").and_then(|rest| rest.split_once(" VALUES (")) {
        let (values, tail) = values.rsplit_once(')')?;
        let known = tail.is_empty() || tail == " ON CONFLICT DO NOTHING";
        return known.then(|| format!("INSERT {head} SELECT {values} FROM {rows}{tail} RETURNING {returning}"));
    }
    let (head, condition) = text.strip_prefix("UPDATE ")?.split_once(" WHERE ")?;
    Some(format!("UPDATE {head} FROM {rows} WHERE {condition} RETURNING {returning}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sql::ForSeveral;

    const NEW: Sql = Sql::same("a.insert", "INSERT INTO a (id, y) VALUES ($1, $2) ON CONFLICT DO NOTHING");
    const TAKE: Sql = Sql::same("b.take", "UPDATE b SET x = $2 WHERE y = $1 RETURNING z");
    const SUM: Sql = Sql::same("c.sum", "UPDATE c SET x = x + $1").for_several(ForSeveral {
        text: "UPDATE c SET x = x + (SELECT SUM($1) FROM {given}) RETURNING 1",
        rows: "1",
        common: &[],
    });
    const SAVE: Sql = Sql::same("a.save", "UPDATE a SET y = $3 WHERE id = $1 AND y = $2");

    fn parts(of: &[(&'static Sql, u64)]) -> Vec<Part> {
        of.iter().map(|(sql, rows)| Part { sql, rows: *rows }).collect()
    }

    fn several(of: &[(&'static Sql, u64)], values: usize) -> Option<String> {
        text_of_several(of, &vec!["BIGINT[]"; values])
    }

    #[test]
    fn the_values_of_a_part_follow_those_of_the_part_before() {
        assert_eq!(
            of_one(&parts(&[(&NEW, 1), (&TAKE, 2)])),
            "WITH part0 AS (INSERT INTO a (id, y) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1), \
             part1 AS (UPDATE b SET x = $4 WHERE y = $3 RETURNING z) \
             SELECT 1 / CASE WHEN (SELECT COUNT(*) FROM part0) = 1 AND (SELECT COUNT(*) FROM part1) = 2 THEN 1 ELSE 0 END"
        );
    }

    #[test]
    fn of_several_the_parts_that_follow_are_those_of_rows_that_were_written() {
        assert_eq!(
            several(&[(&NEW, 1), (&SUM, 2)], 3).unwrap(),
            "WITH given AS (SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[]) AS given (v0_1, v0_2, v1_1) LIMIT $4), \
             part0 AS (INSERT INTO a (id, y) SELECT v0_1, v0_2 FROM given ON CONFLICT DO NOTHING RETURNING id), \
             kept AS (SELECT * FROM given WHERE v0_1 IN (SELECT id FROM part0)), \
             part1 AS (UPDATE c SET x = x + (SELECT SUM(v1_1) FROM kept) RETURNING 1) \
             SELECT id FROM part0 WHERE 1 / CASE WHEN TRUE AND (SELECT COUNT(*) FROM part1) = 1 THEN 1 ELSE 0 END = 1"
        );
        assert_eq!(
            several(&[(&SAVE, 1)], 3).unwrap(),
            "WITH given AS (SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[]) AS given (v0_1, v0_2, v0_3) LIMIT $4), \
             part0 AS (UPDATE a SET y = v0_3 FROM given WHERE id = v0_1 AND y = v0_2 RETURNING id), \
             kept AS (SELECT * FROM given WHERE v0_1 IN (SELECT id FROM part0)) \
             SELECT id FROM part0 WHERE 1 / CASE WHEN TRUE THEN 1 ELSE 0 END = 1"
        );
    }

    #[test]
    fn what_is_of_no_known_form_is_sent_by_itself() {
        for of in [&[(&TAKE, 1)][..], &[(&NEW, 1), (&TAKE, 1)], &[(&NEW, 2)], &[(&SUM, 1), (&NEW, 1)]] {
            let count = of.iter().map(|(sql, _rows)| highest_parameter(sql.postgres)).sum();
            assert!(several(of, count).is_none(), "{of:?}");
        }
        assert!(several(&[(&NEW, 1)], 1).is_none(), "a value is missing");
    }
}
