//! TLS on the API's port: who is let in, and how the certificate is exchanged while the service runs.

use std::{fs, path::PathBuf, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, ExtendedKeyUsagePurpose,
    IsCa, KeyIdMethod, KeyPair, RevocationReason, RevokedCertParams, date_time_ymd,
};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Response};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{connect, ended};
use crate::{
    audit::command,
    support::{App, Backend, Shape, wait::until},
};

/// Issues certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate that ends with the year, and its key.
    fn issue(&self, of: ExtendedKeyUsagePurpose, year: i32) -> (String, String) {
        self.issue_from(of, 2020, year)
    }

    /// The same of one that begins with a year.
    fn issue_from(&self, of: ExtendedKeyUsagePurpose, from: i32, year: i32) -> (String, String) {
        self.sign(Self::params(of, from, year))
    }

    /// A caller's certificate of this number, and its key.
    fn issue_numbered(&self, number: u64) -> (String, String) {
        let mut params = Self::params(ExtendedKeyUsagePurpose::ClientAuth, 2020, 2030);
        params.serial_number = Some(number.into());
        self.sign(params)
    }

    fn params(of: ExtendedKeyUsagePurpose, from: i32, year: i32) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![of];
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        params
    }

    fn sign(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// The list of the certificates that it revoked, which holds until the year begins.
    fn revoke(&self, numbers: &[u64], year: i32) -> String {
        let revoked = |number: &u64| RevokedCertParams {
            serial_number: (*number).into(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: numbers.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }

    /// Trusts this authority alone.
    #[expect(clippy::disallowed_methods, reason = "tests are clients of ours, not of Amazon's")]
    fn client(&self) -> ClientBuilder {
        Client::builder().no_proxy().tls_certs_only([Certificate::from_pem(self.0.pem().as_bytes()).unwrap()])
    }
}

/// The files of the service's TLS.
struct Files(TempDir);

impl Files {
    fn new(authority: &Authority, year: i32) -> Self {
        let files = Self(TempDir::new().unwrap());
        files.put(&authority.issue(ExtendedKeyUsagePurpose::ServerAuth, year));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, (certificate, key): &(String, String)) {
        fs::write(self.path("tls.crt"), certificate).unwrap();
        fs::write(self.path("tls.key"), key).unwrap();
    }

    fn shape(&self) -> Shape {
        Shape::default()
            .with("NOSHI__SERVER__TLS_CERTIFICATE_FILE", self.path("tls.crt").display())
            .with("NOSHI__SERVER__TLS_PRIVATE_KEY_FILE", self.path("tls.key").display())
    }
}

/// Asks who the caller is; the answer, or `None` where there is no connection.
#[expect(clippy::disallowed_methods, reason = "tests are clients of ours, not of Amazon's")]
async fn ask(app: &App, client: &Client, base: &str) -> Option<Response> {
    client.get(format!("{base}/v1/ping")).bearer_auth(&app.key).send().await.ok()
}

/// The same by TLS, on a connection of its own; the status.
async fn ping(app: &App, client: ClientBuilder) -> Option<u16> {
    let base = app.base.replace("http://", "https://");
    ask(app, &client.build().unwrap(), &base).await.map(|answer| answer.status().as_u16())
}

async fn gauge(app: &App, name: &str) -> f64 {
    app.metrics().await.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_by_tls_is_served_and_one_without_is_sent_to_it() {
    let authority = Authority::new();
    let files = Files::new(&authority, 2030);
    let app = App::shaped(Backend::Sqlite, files.shape()).await;
    assert_eq!(ping(&app, authority.client()).await, Some(200));
    assert_eq!(ping(&app, Authority::new().client()).await, None, "another authority's certificate was trusted");
    let plain = ask(&app, &app.http, &app.base).await.unwrap();
    assert_eq!(plain.status(), 400);
    assert_eq!(plain.text().await.unwrap(), "This port is spoken to by TLS\n");
    assert_eq!(gauge(&app, "noshi_tls_certificate_ends_timestamp_seconds").await, 1_924_905_600.0);
    // One who trusts another authority, and one who speaks HTTP.
    until("both are counted", async || ended(&app, "handshake").await >= 2).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_certificate_is_shown_without_a_restart_and_one_that_cannot_be_used_is_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new(&old, 2030);
    let shape = files.shape().with("NOSHI__SERVER__IDLE_TIMEOUT_SECONDS", 120);
    let app = App::shaped(Backend::Sqlite, shape).await;
    let (base, kept) = (app.base.replace("http://", "https://"), old.client().build().unwrap());
    assert_eq!(ask(&app, &kept, &base).await.unwrap().status(), 200);

    // The key has not come yet.
    let issued = new.issue(ExtendedKeyUsagePurpose::ServerAuth, 2031);
    fs::write(files.path("tls.crt"), &issued.0).unwrap();
    until("the half is reported", async || gauge(&app, "noshi_tls_files_unusable").await > 0.0).await;
    assert_eq!(ping(&app, old.client()).await, Some(200), "the certificate before was dropped");

    files.put(&old.issue(ExtendedKeyUsagePurpose::ServerAuth, 2030));
    until("all is well again", async || gauge(&app, "noshi_tls_files_unusable").await == 0.0).await;

    // One that has ended, as a Secret that was rolled back has it.
    files.put(&new.issue(ExtendedKeyUsagePurpose::ServerAuth, 2025));
    until("it is reported", async || gauge(&app, "noshi_tls_files_unusable").await > 0.0).await;
    assert_eq!(ping(&app, old.client()).await, Some(200), "the certificate before was dropped");

    files.put(&issued);
    until("the new one is shown", async || ping(&app, new.client()).await == Some(200)).await;
    assert_eq!(ping(&app, old.client()).await, None, "the old one is shown as well");
    assert_eq!(gauge(&app, "noshi_tls_files_unusable").await, 0.0);
    assert_eq!(gauge(&app, "noshi_tls_certificate_ends_timestamp_seconds").await, 1_956_441_600.0);
    assert_eq!(ask(&app, &kept, &base).await.unwrap().status(), 200, "a connection that was open was cut");
    app.end().await;
}

/// What has ended is in force already: no new file is to blame, and it is not said so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_ends_in_force_and_new_files_that_cannot_be_used_are_told_apart() {
    let authority = Authority::new();
    let files = Files::new(&authority, 2030);
    let mut app = App::shaped(Backend::Sqlite, files.shape()).await;
    let state = async |app: &App| {
        (gauge(app, "noshi_tls_certificate_invalid").await, gauge(app, "noshi_tls_files_unusable").await)
    };
    assert_eq!(state(&app).await, (0.0, 0.0));
    app.advance((date_time_ymd(2031, 1, 1).unix_timestamp() - app.ambient.now().timestamp()).abs());
    until("the end is reported", async || state(&app).await == (1.0, 0.0)).await;
    // Now the files are wrong as well.
    files.put(&authority.issue(ExtendedKeyUsagePurpose::ServerAuth, 2029));
    until("both are reported", async || state(&app).await == (1.0, 1.0)).await;
    files.put(&authority.issue(ExtendedKeyUsagePurpose::ServerAuth, 2035));
    until("all is well again", async || state(&app).await == (0.0, 0.0)).await;
    fs::write(files.path("tls.key"), "no key").unwrap();
    until("the new file alone is to blame", async || state(&app).await == (0.0, 1.0)).await;
    // At a start there is no better one.
    files.put(&authority.issue(ExtendedKeyUsagePurpose::ServerAuth, 2029));
    app.restart_in(files.shape()).await;
    until("it is taken, and said", async || state(&app).await == (1.0, 0.0)).await;
    app.end().await;
}

/// Whatever lies in the files meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_begins_to_hold_after_the_start_is_reported_until_it_does() {
    let authority = Authority::new();
    let files = Files::new(&authority, 2030);
    let mut app = App::shaped(Backend::Sqlite, files.shape()).await;
    let invalid = async |app: &App| gauge(app, "noshi_tls_certificate_invalid").await;
    for (from, is_broken_meanwhile) in [(2040, false), (2044, true)] {
        files.put(&authority.issue_from(ExtendedKeyUsagePurpose::ServerAuth, from, from + 1));
        app.restart_in(files.shape()).await;
        until("it is reported", async || invalid(&app).await == 1.0).await;
        if is_broken_meanwhile {
            fs::write(files.path("tls.key"), "no key").unwrap();
            until("so are the files", async || gauge(&app, "noshi_tls_files_unusable").await == 1.0).await;
        }
        assert_eq!(invalid(&app).await, 1.0);
        app.advance(date_time_ymd(from, 1, 1).unix_timestamp() + 1 - app.ambient.now().timestamp());
        until("it holds", async || invalid(&app).await == 0.0).await;
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_callers_need_a_certificate_only_one_of_the_named_authority_is_let_in() {
    let (ours, callers) = (Authority::new(), Authority::new());
    let files = Files::new(&ours, 2030);
    fs::write(files.path("ca.crt"), callers.0.pem()).unwrap();
    let shape = files.shape().with("NOSHI__SERVER__TLS_CLIENT_CA_FILE", files.path("ca.crt").display());
    let app = App::shaped(Backend::Sqlite, shape).await;
    let by = |authority: &Authority, year| {
        let (certificate, key) = authority.issue(ExtendedKeyUsagePurpose::ClientAuth, year);
        ours.client().identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap())
    };
    assert_eq!(ping(&app, by(&callers, 2030)).await, Some(200));
    assert_eq!(ping(&app, ours.client()).await, None, "nobody asked for a certificate");
    assert_eq!(ping(&app, by(&Authority::new(), 2030)).await, None, "another authority's caller was let in");
    assert_eq!(ping(&app, by(&callers, 2025)).await, None, "a certificate that has ended was taken");
    until("all are counted", async || ended(&app, "handshake").await >= 3).await;
    app.end().await;
}

/// A service whose callers need a certificate that is not on the list in `ca.crl`.
async fn with_revocations(ours: &Authority, callers: &Authority, list: &str) -> (App, Files) {
    let files = Files::new(ours, 2030);
    fs::write(files.path("ca.crt"), callers.0.pem()).unwrap();
    fs::write(files.path("ca.crl"), list).unwrap();
    let shape = files
        .shape()
        .with("NOSHI__SERVER__TLS_CLIENT_CA_FILE", files.path("ca.crt").display())
        .with("NOSHI__SERVER__TLS_CLIENT_CRL_FILE", files.path("ca.crl").display());
    (App::shaped(Backend::Sqlite, shape).await, files)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_whose_certificate_is_revoked_is_let_in_no_more_without_a_restart() {
    let (ours, callers) = (Authority::new(), Authority::new());
    let (app, files) = with_revocations(&ours, &callers, &callers.revoke(&[7], 2030)).await;
    let issued = [7, 8].map(|number| callers.issue_numbered(number));
    let by = |at: usize| {
        let (certificate, key) = &issued[at];
        ours.client().identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap())
    };
    assert_eq!((ping(&app, by(0)).await, ping(&app, by(1)).await), (None, Some(200)), "one of both is revoked");
    let unusable = async || gauge(&app, "noshi_tls_files_unusable").await;
    let (outdated, strangers) = (callers.revoke(&[8], 2025), Authority::new().revoke(&[8], 2030));
    let cut = callers.revoke(&[8], 2030).replace("-----END", "!-----END");
    for bad in ["", "no list", &outdated, &strangers, &cut] {
        fs::write(files.path("ca.crl"), bad).unwrap();
        until("it is reported", async || unusable().await == 1.0).await;
        assert_eq!((ping(&app, by(0)).await, ping(&app, by(1)).await), (None, Some(200)), "the list before: {bad}");
        fs::write(files.path("ca.crl"), callers.revoke(&[7], 2030)).unwrap();
        until("all is well again", async || unusable().await == 0.0).await;
    }
    fs::write(files.path("ca.crl"), callers.revoke(&[8], 2031)).unwrap();
    until("the new list is in force", async || ping(&app, by(1)).await.is_none()).await;
    assert_eq!(ping(&app, by(0)).await, Some(200), "the new list alone counts");
    app.end().await;
}

/// The service is more than the list: its callers are served, and the operator hears of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_outdated_while_it_is_in_force_refuses_those_on_it_and_is_reported() {
    let (ours, callers) = (Authority::new(), Authority::new());
    let (mut app, files) = with_revocations(&ours, &callers, &callers.revoke(&[7], 2031)).await;
    let doctor = |app: &App| {
        let (_code, out, error) = command(app, &["check"]);
        format!("{out}{error}")
    };
    assert!(!doctor(&app).contains("tls_client_crl_file: "), "{}", doctor(&app));
    let unusable = async |app: &App| gauge(app, "noshi_tls_files_unusable").await;
    assert_eq!(unusable(&app).await, 0.0);
    app.advance(date_time_ymd(2031, 1, 2).unix_timestamp() - app.ambient.now().timestamp());
    until("it is reported", async || unusable(&app).await == 1.0).await;
    files.put(&ours.issue(ExtendedKeyUsagePurpose::ServerAuth, 2040));
    let ends = async |app: &App| gauge(app, "noshi_tls_certificate_ends_timestamp_seconds").await;
    until("a new certificate is taken all the same", async || ends(&app).await > 2_200_000_000.0).await;
    let by = |number| {
        let (certificate, key) = callers.issue_numbered(number);
        ours.client().identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap())
    };
    assert_eq!((ping(&app, by(7)).await, ping(&app, by(8)).await), (None, Some(200)));
    fs::write(files.path("ca.crl"), callers.revoke(&[7], 2025)).unwrap();
    app.stop().await;
    let seen = doctor(&app);
    assert!(seen.contains("server.tls_client_crl_file: a list is outdated since 2025-01-01"), "{seen}");
    app.start().await;
    until("at a start there is no better one", async || unusable(&app).await == 1.0).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_never_ends_the_handshake_is_cut_off_and_keeps_no_caller_out() {
    let authority = Authority::new();
    let files = Files::new(&authority, 2030);
    let shape = files.shape().with("NOSHI__SERVER__CONNECTIONS_MAX", 8).with("NOSHI__SERVER__HEAD_TIMEOUT_SECONDS", 2);
    let app = App::shaped(Backend::Sqlite, shape).await;
    let mut held = Vec::new();
    for hello in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"].into_iter().cycle().take(12) {
        let mut stream = connect(&app).await;
        // It may have had to leave for another already.
        drop(stream.write_all(hello).await);
        held.push(stream);
    }
    assert_eq!(ping(&app, authority.client()).await, Some(200), "they keep a caller out");
    for mut stream in held {
        let end = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut Vec::new())).await;
        end.expect("it was not cut off").ok();
    }
    // Half of eight places: the others had to leave, and those were too late.
    assert!(ended(&app, "crowded").await >= 8, "{}", app.metrics().await);
    assert!(ended(&app, "handshake").await >= 1, "{}", app.metrics().await);
    app.end().await;
}
