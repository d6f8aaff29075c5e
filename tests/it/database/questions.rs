//! A question that takes too long is ended, and holds up neither the next one nor money.

use crate::support::{App, Backend, on_each_backend};

/// Programs that never come to an end of being looked for.
async fn make_programs_endless(app: &App) {
    let endless = "CREATE VIEW programs AS WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2000000000) \
                   SELECT id, name, account, state, version, created_at, updated_at, client_id FROM earlier_programs CROSS JOIN numbers \
                   WHERE n < 0";
    app.database.execute("ALTER TABLE programs RENAME TO earlier_programs").await.unwrap();
    app.database.execute(endless).await.unwrap();
}

on_each_backend! {
    async fn a_question_that_takes_too_long_is_ended_and_the_next_is_answered(backend: Backend) {
        let app = App::spawn(backend).await;
        let program = serde_json::json!({"id": "prg_one", "name": "one", "account_id": "main", "limits": []});
        let made = app.post("/v1/programs", program).await;
        assert_eq!(made.status, 201, "{}", made.text);
        make_programs_endless(&app).await;
        // As many as there are connections for questions, and one more: each is given back.
        for _ in 0..3 {
            let ended = app.get("/v1/programs").await;
            assert_eq!((ended.status, ended.json["code"].as_str()), (503, Some("dependency-unavailable")), "{}", ended.text);
            assert!(ended.text.contains("took too long"), "{}", ended.text);
        }
        assert_eq!(app.get("/v1/rewards").await.status, 200, "the connections for questions are there again");
        assert_eq!(app.issue("beside", "5.00").await.status, 201);
        app.database.execute("DROP VIEW programs").await.unwrap();
        app.database.execute("ALTER TABLE earlier_programs RENAME TO programs").await.unwrap();
        let whole = app.get("/v1/programs").await;
        assert_eq!((whole.status, whole.json["data"].as_array().unwrap().len()), (200, 1), "{}", whole.text);
        app.end().await;
    }
}
