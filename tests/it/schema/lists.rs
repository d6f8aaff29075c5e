//! The list of rewards by every set of its filters: whichever index it goes by, it shows what fits, once, in its order.

use serde_json::Value;

use crate::support::{App, Backend, on_each_backend};

/// Rewards of two accounts and two programs, in three states.
const REWARDS: i64 = 9;

async fn make_rewards(app: &App) {
    for at in 0..REWARDS {
        assert_eq!(app.issue(&format!("k{at}"), &format!("{}.00", at + 1)).await.status, 201);
    }
    let at = "created_at, created_at FROM rewards LIMIT 1";
    for program in ["prg_a", "prg_b"] {
        let made = format!(
            "INSERT INTO programs (id, name, account, state, version, created_at, updated_at) \
             SELECT '{program}', 'one', 'main', 'active', 1, {at}"
        );
        app.database.execute(&made).await.unwrap();
    }
    let key = "01900000000070008000000000000001";
    let of_program =
        |program: &str| format!("program_id = '{program}', budget_key = 'key_{key}', budget_day = '2026-01-01'");
    for (set, amounts) in [
        ("account = 'second'".to_owned(), "200, 500, 800"),
        (of_program("prg_a"), "200, 300, 600"),
        (of_program("prg_b"), "400, 500, 900"),
        ("state = 'failed', error_code = 'F200', issued_at = NULL".to_owned(), "300, 500"),
        ("state = 'needs_attention', attention = 'adopted', issued_at = NULL".to_owned(), "600, 800, 900"),
        ("external_id = 'order ' || amount_minor".to_owned(), "200, 600"),
    ] {
        let count = u64::try_from(amounts.split(',').count()).unwrap();
        let text = format!("UPDATE rewards SET {set} WHERE amount_minor IN ({amounts})");
        assert_eq!(app.database.execute(&text).await.unwrap(), count, "{text}");
    }
}

/// The ids of all pages, which are small.
async fn pages(app: &App, query: &str) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/v1/rewards?limit=2{query}{cursor}")).await;
        assert_eq!(page.status, 200, "{query}: {}", page.text);
        ids.extend(page.json["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(next) = page.json["next_cursor"].as_str() else { return ids };
        cursor = format!("&cursor={next}");
    }
}

on_each_backend! {
    async fn each_set_of_filters_shows_the_rewards_that_fit_it(backend: Backend) {
        let app = App::spawn(backend).await;
        make_rewards(&app).await;
        let all = app.get("/v1/rewards").await;
        let all = all.json["data"].as_array().unwrap();
        assert_eq!(all.len(), usize::try_from(REWARDS).unwrap(), "{all:?}");
        let time = |at: usize| all[at]["created_at"].as_str().unwrap();
        let (third, sixth) = (time(6), time(3));
        let (mut looked_at, mut shown) = (0, 0);
        for status in ["", "issued", "failed", "needs_attention", "canceled"] {
            for account in ["", "main", "second", "nowhere"] {
                for program in ["", "prg_a", "prg_b", "prg_c"] {
                    for kind in ["", "gift_code", "balance_load"] {
                        for (from, to) in [("", ""), (third, ""), ("", sixth), (third, sixth)] {
                            let filters = [
                                ("status", "status", status),
                                ("account_id", "account_id", account),
                                ("program_id", "program_id", program),
                                ("kind", "kind", kind),
                                ("created_from", "", from),
                                ("created_to", "", to),
                            ];
                            let asked = filters.iter().filter(|(_name, _member, value)| !value.is_empty());
                            let query: String = asked.map(|(name, _member, value)| format!("&{name}={}", value.replace('+', "%2B"))).collect();
                            let fits = |one: &&Value| {
                                let created = one["created_at"].as_str().unwrap();
                                filters.iter().all(|(_name, member, value)| member.is_empty() || value.is_empty() || one[*member] == *value)
                                    && (from.is_empty() || created >= from)
                                    && (to.is_empty() || created < to)
                            };
                            let expected: Vec<&str> = all.iter().filter(fits).map(|one| one["id"].as_str().unwrap()).collect();
                            assert_eq!(pages(&app, &query).await, expected, "{query}");
                            looked_at += 1;
                            shown += expected.len();
                        }
                    }
                }
            }
        }
        assert!(looked_at == 960 && shown > 300, "{looked_at}, {shown}");
        for (external, query, count) in [
            ("order 200", "", 1),
            ("order 200", "&account_id=second&program_id=prg_a&status=issued&kind=gift_code", 1),
            ("order 200", "&account_id=main", 0),
            ("order 200", "&program_id=prg_b", 0),
            ("order 200", "&status=failed", 0),
            ("order 200", "&kind=balance_load", 0),
            ("order 600", "&created_to=2020-01-01T00:00:00Z", 0),
            ("order 300", "", 0),
        ] {
            let path = format!("&external_id={}{query}", external.replace(' ', "%20"));
            assert_eq!(pages(&app, &path).await.len(), count, "{path}");
        }
        app.end().await;
    }
}
