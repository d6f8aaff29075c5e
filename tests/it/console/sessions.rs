//! Log-ins, the ends of sessions, and forms that no page of ours sent.

use noshi::{
    ambient::Ambient,
    identity::keys::{self, Presented, mint},
};

use super::{
    desk::{Desk, as_form, http_client, try_log_in},
    issue, with_console,
};
use crate::support::{Answer, App, Backend, on_each_backend};

const HOUR: i64 = 3600;

async fn is_open(desk: &Desk) -> bool {
    let page = desk.get("/console").await;
    assert!(page.status == 200 || page.header("location") == "/console/login", "{}", page.text);
    page.status == 200
}

async fn sessions(app: &App) -> i64 {
    app.database.number("SELECT COUNT(*) FROM console_sessions").await
}

on_each_backend! {
    async fn a_key_that_opens_nothing_is_refused_and_counted_as_at_the_api(backend: Backend) {
        let app = with_console(backend).await;
        let unknown = mint(&Ambient::system()).unwrap().text;
        // The last character stands for one bit.
        let (rest, last) = app.key.split_at(app.key.len() - 1);
        let wrong_secret = format!("{rest}{}", if last == "a" { "q" } else { "a" });
        let ended = app.mint_key_until("tests", noshi::identity::Scopes::default(), Some(app.ambient.now())).await.1;
        let pages: Vec<Answer> = [
            try_log_in(&app, "").await,
            try_log_in(&app, "nonsense").await,
            try_log_in(&app, &unknown).await,
            try_log_in(&app, &wrong_secret).await,
            try_log_in(&app, &ended).await,
        ]
        .into();
        for page in &pages {
            assert_eq!((page.status, page.header("set-cookie")), (401, ""), "{}", page.text);
            assert_eq!(page.text, pages[0].text, "nobody learns which");
        }
        let metrics = app.metrics().await;
        for counted in ["malformed\"} 2", "unknown\"} 1", "wrong_secret\"} 1", "expired\"} 1"] {
            assert!(metrics.contains(&format!("noshi_keys_refused_total{{reason=\"{counted}")), "{counted}: {metrics}");
        }
        assert_eq!(sessions(&app).await, 0);
        app.end().await;
    }

    async fn a_session_ends_when_it_is_idle_after_eight_hours_and_with_a_log_out(backend: Backend) {
        let mut app = with_console(backend).await;
        let (idle, busy) = (Desk::log_in(&app, &app.key).await, Desk::log_in(&app, &app.key).await);
        app.advance(HOUR / 2 - 60);
        assert!(is_open(&busy).await);
        app.advance(60);
        assert!(!is_open(&idle).await, "half an hour without a page");
        for _quarter in 0..30 {
            assert!(is_open(&busy).await);
            app.advance(HOUR / 4);
        }
        assert!(!is_open(&busy).await, "eight hours after the log-in");

        let left = Desk::log_in(&app, &app.key).await;
        assert_eq!(sessions(&app).await, 1, "the log-in removed what had ended");
        let gone = left.send("/console/logout", &[]).await;
        assert_eq!((gone.status, gone.header("location")), (303, "/console/login?done=logged-out"), "{}", gone.text);
        assert!(gone.header("set-cookie").contains("Max-Age=0"));
        assert!(!is_open(&left).await && sessions(&app).await == 0);

        // The browser has the new cookie alone: nobody could log out of the session of the old one.
        let first = Desk::log_in(&app, &app.key).await;
        let second = first.send("/console/login", &[("key", app.key.as_str())]).await;
        assert_eq!((second.status, second.header("location")), (303, "/console"), "{}", second.text);
        assert!(second.header("set-cookie").contains("; Max-Age=28800"), "{:?}", second.headers);
        assert!(!is_open(&first).await && sessions(&app).await == 1);
        app.end().await;
    }

    async fn a_session_ends_with_its_key(backend: Backend) {
        let app = with_console(backend).await;
        let (_client, key) = app.mint_key("tests", noshi::identity::Scopes::default()).await;
        let desk = Desk::log_in(&app, &key).await;
        assert!(is_open(&desk).await);
        let store = app.open_store().await;
        let mut tx = store.begin().await.unwrap();
        assert!(keys::revoke(&mut tx, Presented::parse(&key).unwrap().id, app.ambient.now()).await.unwrap());
        tx.commit(()).await.unwrap().into_inner();
        store.close().await;
        assert!(!is_open(&desk).await);
        app.end().await;
    }

    async fn a_form_that_no_page_of_the_session_sent_does_nothing(backend: Backend) {
        let app = with_console(backend).await;
        let id = issue(&app, "4711").await.id().to_owned();
        let (desk, other) = (Desk::log_in(&app, &app.key).await, Desk::log_in(&app, &app.key).await);
        let path = format!("/console/rewards/{id}/cancel");
        let post = || desk.request("POST", &path);
        let (good, foreign) = (desk.proof.as_str(), other.proof.as_str());
        let ours = desk.admin.as_str();
        let forged = [
            ("no proof", post().header("Origin", ours), ""),
            ("a proof of another session", post().header("Origin", ours), foreign),
            ("nobody says where it comes from", post(), good),
            ("of another origin", post().header("Origin", "https://example.com"), good),
            ("of no origin", post().header("Origin", "null"), good),
            ("of another port of this machine", post().header("Origin", "http://127.0.0.1:1"), good),
            ("of another site", post().header("Sec-Fetch-Site", "cross-site"), good),
            ("of the same site, another origin", post().header("Origin", ours).header("Sec-Fetch-Site", "same-site"), good),
        ];
        for (what, request, proof) in forged {
            let refused = Answer::of(as_form(request, &[("reason", "forged"), ("proof", proof)])).await;
            assert_eq!(refused.status, 403, "{what}: {}", refused.text);
        }
        let stranger = desk.http.post(format!("{ours}{path}")).header("Origin", ours);
        let refused = Answer::of(as_form(stranger, &[("reason", "forged"), ("proof", good)])).await;
        assert_eq!(refused.header("location"), "/console/login", "without the cookie");
        let log_in = desk.http.post(format!("{ours}/console/login")).header("Origin", "https://example.com");
        assert_eq!(Answer::of(as_form(log_in, &[("key", &app.key)])).await.status, 403, "a log-in by another site");
        assert_eq!(app.read(&id).await["status"], "issued");
        assert!(!app.events(&id).await.contains(&"cancel.requested".to_owned()));
        let browser = post().header("Sec-Fetch-Site", "same-origin");
        assert_eq!(Answer::of(as_form(browser, &[("reason", "meant"), ("proof", good)])).await.status, 303);
        app.end().await;
    }
}

#[tokio::test]
async fn every_answer_is_kept_in_no_cache_and_runs_and_frames_nothing_of_others() {
    let app = with_console(Backend::Sqlite).await;
    let desk = Desk::log_in(&app, &app.key).await;
    for (method, path) in [
        ("GET", "/console"),
        ("GET", "/console/login"),
        ("GET", "/console/rewards?q=none"),
        ("GET", "/console/rewards/rwd_none"),
        ("GET", "/console/nowhere"),
        ("POST", "/console/logout"),
        ("DELETE", "/console"),
    ] {
        let answer = Answer::of(desk.request(method, path)).await;
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{method} {path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{method} {path}: {name}");
        }
        assert!(
            !answer.text.contains("style=") && !answer.text.contains("<style") && !answer.text.contains("http://"),
            "{path}"
        );
    }
    let entered = try_log_in(&app, &app.key).await;
    let cookie = entered.header("set-cookie");
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/console"] {
        assert!(cookie.contains(part) && !cookie.contains("Secure"), "{cookie}");
    }
    let by_tls = desk.http.post(format!("{}/console/login", app.admin)).header("Sec-Fetch-Site", "same-origin");
    let by_tls = Answer::of(as_form(by_tls.header("X-Forwarded-Proto", "https"), &[("key", &app.key)])).await;
    assert!(by_tls.header("set-cookie").ends_with("; Secure"));

    let home = desk.get("/console").await.text;
    let assets: Vec<&str> = home.split('"').filter(|text| text.starts_with("/console/assets/")).collect();
    assert!(assets.len() >= 3, "{assets:?}");
    for asset in assets {
        let answer = Answer::of(app.http.get(format!("{}{asset}", app.admin))).await;
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (200, "public, max-age=31536000, immutable"),
            "{asset}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    app.end().await;
}

#[tokio::test]
async fn a_language_is_the_browsers_until_another_is_chosen() {
    let app = with_console(Backend::Sqlite).await;
    let page = |accept: &'static str, cookie: &'static str| {
        let request = app.http.get(format!("{}/console/login", app.admin));
        Answer::of(request.header("Accept-Language", accept).header("Cookie", cookie))
    };
    assert!(page("ja-JP,ja;q=0.9,en;q=0.8", "").await.text.contains("<html lang=\"ja\">"));
    assert!(page("fr,en", "").await.text.contains("<html lang=\"en\">"));
    assert!(page("*", "").await.text.contains("<html lang=\"en\">"));
    assert!(page("ja", "noshi_console_language=en").await.text.contains("<html lang=\"en\">"));
    let choose = http_client().post(format!("{}/console/language", app.admin)).header("Origin", &app.admin);
    let chosen = Answer::of(as_form(choose, &[("language", "ja"), ("back", "//example.com")])).await;
    assert_eq!((chosen.status, chosen.header("location")), (303, "/console"), "{}", chosen.text);
    assert!(chosen.header("set-cookie").starts_with("noshi_console_language=ja;"));
    app.end().await;
}
