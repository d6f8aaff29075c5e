//! When the next period is opened, whatever is lost or broken meanwhile.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    club, each_paid_period_has_its_reward, join, member, pass_period, periods, plan, plan_of, read, taken,
    until_entitled,
};
use crate::support::{App, Backend, on_each_backend, seller, wait};

/// More rows than the runner looks at in a row.
const BROKEN: usize = 210;

/// Memberships that are due before all others, and whose periods are not there.
async fn break_many(app: &App) {
    let of_one = |at: usize| {
        let digits = format!("0190000000007000800000000002{at:04x}");
        let (id, intent) = match app.database.backend {
            Backend::Sqlite => (format!("X'{digits}'"), format!("X'{digits}00000000'")),
            Backend::Postgres => (format!("'{digits}'::uuid"), format!("'\\x{digits}00000000'::bytea")),
        };
        format!(
            "SELECT {id}, client_id, api_key_id, {intent}, plan_id, consent_id, 'broken_{at}', state, anchor_on, 1, 1, created_at, 1, created_at, \
             created_at FROM memberships WHERE reference = 'member-1'"
        )
    };
    let all: Vec<String> = (0..BROKEN).map(of_one).collect();
    let text = format!(
        "INSERT INTO memberships (id, client_id, api_key_id, intent, plan_id, consent_id, reference, state, anchor_on, anchor_number, periods, due_at, \
         version, created_at, updated_at) {}",
        all.join(" UNION ALL ")
    );
    assert_eq!(app.database.execute(&text).await.unwrap(), BROKEN as u64);
}

/// Writes another account into each plan of this name.
async fn deal_by(app: &App, account: &str, plan: &str) {
    let moved = format!("UPDATE membership_plans SET account = '{account}' WHERE name = '{plan}'");
    assert_eq!(app.database.execute(&moved).await.unwrap(), 1);
}

fn bounds(period: &Value) -> (&Value, &Value) {
    (&period["starts_at"], &period["ends_at"])
}

/// Has the clock stand at noon of the next 31st of January, by UTC.
fn to_the_end_of_january(app: &mut App) -> i32 {
    let now = app.ambient.now();
    let year = now.year() + 1;
    let noon = NaiveDate::from_ymd_opt(year, 1, 31).unwrap().and_hms_opt(20, 0, 0).unwrap().and_utc();
    app.advance(noon.signed_duration_since(now).num_seconds());
    year
}

on_each_backend! {
    async fn what_cannot_be_opened_rests_and_holds_up_no_other(backend: Backend) {
        let mut app = club(backend).await;
        let id = member(&app).await;
        until_entitled(&app, &id, 1, "issued").await;
        let gold = read(&app, &id).await["plan_id"].as_str().unwrap().to_owned();
        let second = join(&app, &gold, &seller::consent(&app.control, 100_000, "1111"), "member-2").await.id().to_owned();
        until_entitled(&app, &second, 1, "issued").await;
        break_many(&app).await;
        app.database.execute("UPDATE memberships SET state = 'odd' WHERE reference = 'member-2'").await.unwrap();
        pass_period(&mut app, &id).await;
        until_entitled(&app, &id, 2, "issued").await;
        // Those that the runner met before the clock was moved have failed once more.
        let failed = |times: i64| {
            format!("SELECT COUNT(*) FROM memberships WHERE opening_failures >= {times} AND resting_until > due_at")
        };
        let all = i64::try_from(BROKEN).unwrap() + 1;
        app.until_number(&failed(1), all).await;
        app.advance(300);
        app.until_number(&failed(2), all).await;
        // What is mended is opened by itself.
        app.database.execute("UPDATE memberships SET state = 'active' WHERE reference = 'member-2'").await.unwrap();
        app.advance(3_601);
        let opened = until_entitled(&app, &second, 2, "issued").await;
        assert_eq!(opened["starts_at"], periods(&app, &second).await[0]["ends_at"], "the calendar is the plan's");
        assert_eq!(taken(&app).len(), 4);
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn an_account_that_the_settings_lost_for_a_while_moves_no_calendar(backend: Backend) {
        let mut app = club(backend).await;
        let mut body = plan_of("980");
        let mut ids = Vec::new();
        for name in ["Kept", "Lost"] {
            body["name"] = json!(name);
            let of_name = plan(&app, name, &body).await;
            let consent = seller::consent(&app.control, 100_000, "1111");
            ids.push(join(&app, &of_name, &consent, name).await.id().to_owned());
            until_entitled(&app, ids.last().unwrap(), 1, "issued").await;
        }
        let (kept, lost) = (ids[0].clone(), ids[1].clone());
        deal_by(&app, "gone", "Lost").await;
        pass_period(&mut app, &kept).await;
        until_entitled(&app, &kept, 2, "issued").await;
        app.until_number("SELECT COUNT(*) FROM memberships WHERE opening_failures > 0", 1).await;
        deal_by(&app, "main", "Lost").await;
        app.advance(3 * 86_400);
        let late = until_entitled(&app, &lost, 2, "issued").await;
        assert_eq!(bounds(&late), bounds(&periods(&app, &kept).await[1]), "a part of the period is late");
        // And for longer than a period: that one is not paid, and the next is the calendar's.
        deal_by(&app, "gone", "Lost").await;
        for number in [3, 4] {
            pass_period(&mut app, &kept).await;
            until_entitled(&app, &kept, number, "issued").await;
        }
        deal_by(&app, "main", "Lost").await;
        app.advance(3 * 86_400);
        let late = until_entitled(&app, &lost, 3, "issued").await;
        assert_eq!(bounds(&late), bounds(&periods(&app, &kept).await[3]), "a whole period has passed");
        pass_period(&mut app, &lost).await;
        let (next, of_kept) = (until_entitled(&app, &lost, 4, "issued").await, until_entitled(&app, &kept, 5, "issued").await);
        assert_eq!(bounds(&next), bounds(&of_kept));
        assert_eq!(taken(&app).len(), 4 + 5);
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn another_plan_on_the_last_of_february_keeps_the_31st(backend: Backend) {
        let mut app = club(backend).await;
        let year = to_the_end_of_january(&mut app);
        let id = member(&app).await;
        let first = until_entitled(&app, &id, 1, "issued").await;
        assert!(first["ends_at"].as_str().unwrap().contains("-02-2"), "{first}");
        let more = plan(&app, "more", &plan_of("1980")).await;
        let changed = app.post(&format!("/v1/memberships/{id}/change_plan"), json!({"plan_id": more})).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        let mut begins = Vec::new();
        for number in 2..=6 {
            pass_period(&mut app, &id).await;
            let next = until_entitled(&app, &id, number, "issued").await;
            // By the clock of the account's zone, where it is some hours earlier.
            let ends: DateTime<Utc> = next["ends_at"].as_str().unwrap().parse().unwrap();
            begins.push(ends.checked_sub_signed(TimeDelta::hours(4)).unwrap().date_naive().to_string());
        }
        assert_eq!(begins, ["03-31", "04-30", "05-31", "06-30", "07-31"].map(|day| format!("{year}-{day}")));
        let paid = periods(&app, &id).await;
        assert!(paid.iter().skip(1).all(|period| period["plan_id"] == json!(more)), "{paid:?}");
        wait::until("it goes on", async || read(&app, &id).await["state"] == "active").await;
        app.end().await;
    }
}
