//! What the surroundings of the process cannot make it do: leave its memory behind, go to Amazon by another way than the
//! settings', or trust others unsaid.

use std::{
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::ExitStatusExt,
    process::Command,
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;

use super::{Build, Served};
use crate::support::{App, Backend, order};

const BUSY_MACHINE: Duration = Duration::from_secs(20);

/// A service of the settings, with the app that it was made for.
async fn served(more: &[(&str, &str)]) -> (App, Served) {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let mut environment = app.environment().to_vec();
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let served = tokio::task::spawn_blocking(move || Served::start(&environment)).await.unwrap();
    app.base.clone_from(&served.base);
    (app, served)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_no_core_though_the_machine_would_keep_one() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let folder = TempDir::new().unwrap();
    let program = Build::This.command().get_program().to_owned();
    let mut shell = Command::new("/bin/sh");
    // As far as this machine allows a core.
    shell
        .args(["-c", "ulimit -c $(ulimit -H -c); exec \"$0\" serve"])
        .arg(program)
        .current_dir(folder.path())
        .env_clear();
    let mut served = Served::spawn(shell, app.environment()).unwrap();
    app.base.clone_from(&served.base);
    assert_eq!(app.issue("core", "1.00").await.status, 201);
    let limits = fs::read_to_string(format!("/proc/{}/limits", served.id())).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
    served.signal("ABRT");
    let began = noshi::ambient::Ambient::system().monotonic();
    let status = loop {
        if let Some(status) = served.ended() {
            break status;
        }
        assert!(began.elapsed() < BUSY_MACHINE);
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a file was left");
    app.end().await;
}

/// The first line of what somebody asks for, who is then refused.
fn refused(listener: &TcpListener) -> String {
    let (mut stream, _peer) = listener.accept().unwrap();
    stream.set_read_timeout(Some(BUSY_MACHINE)).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").unwrap();
    String::from_utf8(head).unwrap().lines().next().unwrap().to_owned()
}

/// Ends a wait for a connection that would never come.
fn knock_later(listener: &TcpListener) {
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        std::thread::sleep(BUSY_MACHINE);
        drop(TcpStream::connect(address));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_amazon_is_that_of_the_settings_whatever_the_environment_says() {
    let (own, trap) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let own_url = format!("http://{}", own.local_addr().unwrap());
    let trap_url = format!("http://{}", trap.local_addr().unwrap());
    let variables = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    let mut more: Vec<(&str, &str)> = variables.iter().map(|name| (*name, trap_url.as_str())).collect();
    more.extend([
        ("NO_PROXY", "amazon.com"),
        ("NOSHI__ACCOUNTS__FAR__PARTNER_ID", "Other"),
        ("NOSHI__ACCOUNTS__FAR__MARKETPLACE", "US"),
        ("NOSHI__ACCOUNTS__FAR__ENVIRONMENT", "sandbox"),
        ("NOSHI__ACCOUNTS__FAR__ACCESS_KEY_ID", "AKIDFAR"),
        ("NOSHI__ACCOUNTS__FAR__SECRET_ACCESS_KEY", "not-a-secret"),
        ("NOSHI__ACCOUNTS__FAR__HTTPS_PROXY", &own_url),
    ]);
    let (app, served) = served(&more).await;
    // The balance of the other account is asked for by itself.
    knock_later(&own);
    let asked = tokio::task::spawn_blocking(move || refused(&own)).await.unwrap();
    assert_eq!(asked, "CONNECT agcod-v2-gamma.amazon.com:443 HTTP/1.1");
    let mut order = order("1.00");
    order["account_id"] = json!("main");
    let direct = app.issue_body("direct", order).await;
    assert_eq!(direct.status, 201, "the gateway on this machine is reached directly: {}", direct.text);
    trap.set_nonblocking(true).unwrap();
    assert_eq!(trap.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "a proxy of the environment was asked");
    assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_variable_makes_us_trust_is_said_at_the_start() {
    let folder = TempDir::new().unwrap();
    let roots = folder.path().join("roots.pem");
    fs::write(&roots, "").unwrap();
    let (app, served) = served(&[("SSL_CERT_FILE", roots.to_str().unwrap())]).await;
    let said = served.log().into_iter().find(|line| line["tls.roots.variable"] == "SSL_CERT_FILE").unwrap();
    assert_eq!((said["level"].as_str(), said["tls.roots.path"].as_str()), (Some("WARN"), roots.to_str()));
    assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
    app.end().await;
}
