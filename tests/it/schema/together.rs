//! How PostgreSQL carries out what it is sent for several callers at once: each row is looked up by its id, as for one.

use std::collections::BTreeSet;

use noshi::store::{Sql, text_of_several};
use sqlx::{Either, Executor, SqlSafeStr, Statement, TypeInfo};

use super::{
    LISTS, growth,
    plans::{REWARDS, json_plan, pretend_on_postgres, unique_indexes, walks_of_postgres},
};
use crate::support::{Backend, Database, look::Look};

/// An intent, and an outcome, with and without a change of the books.
const TRANSACTIONS: &[&[(&str, u64)]] = &[
    &[("rewards.insert", 1), ("ledger_entries.insert", 1), ("facts.insert", 1), ("day_spending.take", 2)],
    &[("rewards.save", 1), ("ledger_entries.insert", 1), ("facts.insert", 1)],
    &[("rewards.save", 1), ("facts.insert", 1)],
];

fn statement(name: &str) -> &'static Sql {
    LISTS.iter().flat_map(|(_file, list)| *list).find(|sql| sql.name == name).unwrap()
}

/// The types of the statements' values, as columns.
async fn types(look: &mut Look, statements: &[(&'static Sql, u64)]) -> Vec<String> {
    let Look::Postgres(connection) = look else {
        panic!("PostgreSQL alone is sent several callers' statements as one")
    };
    let mut types = Vec::new();
    for (sql, _rows) in statements {
        let prepared = connection.prepare(sql.postgres.into_sql_str()).await.unwrap();
        let Some(Either::Left(of_values)) = prepared.parameters() else { panic!("{}: no types", sql.name) };
        types.extend(of_values.iter().map(|one| format!("{}[]", one.name())));
    }
    types
}

async fn check(database: &Database, when: &str) {
    let mut look = Look::at(database).await;
    let unique = unique_indexes(&mut look).await;
    look.run("SET plan_cache_mode = force_generic_plan").await.unwrap();
    for transaction in TRANSACTIONS {
        let statements: Vec<_> = transaction.iter().map(|(name, rows)| (statement(name), *rows)).collect();
        let types = types(&mut look, &statements).await;
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        let text = text_of_several(&statements, &types).unwrap();
        look.run(&format!("PREPARE several AS {text}")).await.unwrap_or_else(|error| panic!("{text}: {error}"));
        let nulls = vec!["NULL"; types.len() + 1].join(", ");
        let plan = json_plan(&mut look, &format!("EXPLAIN (FORMAT JSON) EXECUTE several({nulls})")).await;
        look.run("DEALLOCATE several").await.unwrap();
        let mut found = BTreeSet::new();
        walks_of_postgres(&plan[0]["Plan"], None, &unique, &mut found);
        assert!(found.is_empty(), "{when}: {transaction:?}: {found:?}\n{plan:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_for_several_callers_looks_each_row_up_by_its_id() {
    let database = Database::migrated(Backend::Postgres).await;
    // A connection may keep the plan of then for as long as it is open.
    check(&database, "with no reward").await;
    growth::grow(&database, REWARDS).await;
    let mut look = Look::at(&database).await;
    pretend_on_postgres(&mut look).await;
    check(&database, "with ten million").await;
    drop(look);
    database.remove().await;
}
