//! Somebody at a desk: a cookie, and the forms of the pages that it was shown.

use std::time::Duration;

use chrono::Datelike;

use crate::support::{Answer, App};

/// A client that is led nowhere by itself.
#[expect(clippy::disallowed_methods, reason = "tests are clients of ours, not of Amazon's")]
pub(super) fn http_client() -> reqwest::Client {
    noshi::provider::incentives::install_tls_provider();
    let stays = reqwest::Client::builder().no_proxy().tls_certs_only([]).redirect(reqwest::redirect::Policy::none());
    stays.timeout(Duration::from_secs(20)).build().unwrap()
}

pub(crate) struct Desk {
    pub(super) http: reqwest::Client,
    pub(super) admin: String,
    pub(crate) cookie: String,
    pub(super) proof: String,
}

/// A path with the reward's id and this month in it.
pub(super) fn filled(app: &App, path: &str, id: &str) -> String {
    let now = app.ambient.now();
    path.replace("{id}", id).replace("{month}", &format!("{:04}-{:02}", now.year(), now.month()))
}

pub(super) fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Asks for a log-in, as a browser does.
pub(super) async fn try_log_in(app: &App, key: &str) -> Answer {
    let request = http_client().post(format!("{}/console/login", app.admin)).header("Origin", &app.admin);
    Answer::of(as_form(request, &[("key", key)])).await
}

pub(super) fn as_form(request: reqwest::RequestBuilder, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    request.header("Content-Type", "application/x-www-form-urlencoded").body(encoded(fields))
}

impl Desk {
    pub(crate) async fn log_in(app: &App, key: &str) -> Self {
        let entered = try_log_in(app, key).await;
        assert_eq!((entered.status, entered.header("location")), (303, "/console"), "{}", entered.text);
        let cookie = entered.header("set-cookie").split(';').next().unwrap().to_owned();
        let mut desk = Self { http: http_client(), admin: app.admin.clone(), cookie, proof: String::new() };
        let home = desk.get("/console").await;
        assert_eq!(home.status, 200, "{}", home.text);
        desk.proof = home.text.split("name=\"proof\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        desk
    }

    pub(super) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.admin)).header("Cookie", &self.cookie)
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request("GET", path)).await
    }

    /// Sends a form of a page of this session.
    pub(crate) async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let with_proof: Vec<_> = fields.iter().copied().chain([("proof", self.proof.as_str())]).collect();
        Answer::of(as_form(self.request("POST", path).header("Origin", &self.admin), &with_proof)).await
    }
}
