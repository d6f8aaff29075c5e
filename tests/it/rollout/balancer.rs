//! HAProxy, as a platform's balancer: it looks at readiness, holds connections open on both sides, and never sends a
//! request twice.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{process::Served, support::wait::until};

/// Where `tests/run` says that haproxy is.
const PROGRAM_VARIABLE: &str = "NOSHI_TEST_HAPROXY";
/// Places for replicas: those that serve, those that come and those that go.
pub(super) const PLACES: usize = 8;
/// How long the balancer may take to see what is there.
const SEEN_WITHIN: Duration = Duration::from_secs(20);

/// What it understands of what it passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// Requests: each is sent to a replica that is ready, over connections of the balancer's own, as an Ingress does.
    Http,
    /// Connections: a caller's pool talks to the replica that it met first, as behind a plain Service.
    Tcp,
}

/// A running balancer.
pub(super) struct Balancer {
    process: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Balancer {
    pub(super) async fn start(layer: Layer) -> Self {
        let folder = TempDir::new().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let settings = folder.path().join("haproxy.cfg");
        fs::write(&settings, settings_of(layer, &folder)).unwrap();
        let said = fs::File::create(folder.path().join("said")).unwrap();
        // It is handed the open socket: no port that was free a moment ago.
        let process = Command::new("sh")
            .args(["-c", r#"exec "$0" -db -f "$1" 3<&0 </dev/null"#, &program()])
            .arg(&settings)
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap();
        let balancer = Self { process, address, folder };
        until("haproxy listens", async || UnixStream::connect(balancer.control()).await.is_ok()).await;
        balancer
    }

    /// Where callers find it.
    pub(super) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    async fn tell(&self, command: &str) -> String {
        let mut socket = UnixStream::connect(self.control()).await.unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Gives a place to a replica, and waits until the balancer has found it ready.
    pub(super) async fn place(&self, place: usize, replica: &Served) {
        let (api, admin) = (port(&replica.base), port(&replica.admin));
        let server = format!("set server replicas/r{place}");
        self.tell(&format!(
            "{server} addr 127.0.0.1 port {api}; {server} check-addr 127.0.0.1 port {admin}; {server} state ready"
        ))
        .await;
        self.until(place, "UP").await;
    }

    /// Frees the place of a replica that has gone.
    pub(super) async fn free(&self, place: usize) {
        self.tell(&format!("set server replicas/r{place} state maint")).await;
        self.until(place, "MAINT").await;
    }

    /// Waits until the last check says so: a state that nobody has checked yet counts for nothing.
    async fn until(&self, place: usize, state: &str) {
        let (name, mut waited) = (format!("replicas,r{place},"), Duration::ZERO);
        loop {
            let table = self.tell("show stat replicas 4 -1").await;
            let line = table.lines().find(|line| line.starts_with(&name)).unwrap_or_default().to_owned();
            let columns: Vec<&str> = line.split(',').collect();
            let checked = state != "UP" || columns.contains(&"L7OK");
            if checked && columns.contains(&state) {
                return;
            }
            assert!(waited < SEEN_WITHIN, "the balancer does not see that r{place} is {state}: {table}");
            tokio::time::sleep(Duration::from_millis(20)).await;
            waited += Duration::from_millis(20);
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A request that a server did not take goes nowhere else: what is lost at a restart is seen, not mended.
fn settings_of(layer: Layer, folder: &TempDir) -> String {
    let mode = match layer {
        Layer::Http => "http",
        Layer::Tcp => "tcp",
    };
    let places: String =
        (0..PLACES).map(|place| format!("    server r{place} 127.0.0.1:1 check port 1 disabled\n")).collect();
    format!(
        "global\n    stats socket {} mode 600 level admin\n    nbthread 1\n    maxconn 4000\n\
         defaults\n    mode {mode}\n    timeout connect 1s\n    timeout client 60s\n    timeout server 60s\n    retries 0\n\
         frontend callers\n    bind fd@3\n    default_backend replicas\n\
         backend replicas\n    balance roundrobin\n    option httpchk GET /readyz\n\
         \x20   default-server inter 250ms fall 2 rise 1\n{places}",
        folder.path().join("control").display()
    )
}

fn port(base: &str) -> &str {
    base.rsplit(':').next().unwrap()
}

/// Absent, these tests fail, as those without PostgreSQL do.
#[expect(clippy::disallowed_methods, reason = "tests/run tells the program by a variable")]
fn program() -> String {
    let told = std::env::var(PROGRAM_VARIABLE).ok();
    told.unwrap_or_else(|| {
        let found = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/haproxy")).output().unwrap();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    })
}
