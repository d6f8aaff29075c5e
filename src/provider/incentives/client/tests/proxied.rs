//! The client behind a proxy of the settings, which looks Amazon's name up for it: here it leads to the impostor.

use tokio::{
    io::copy,
    net::TcpStream,
    time::{sleep, timeout},
};

use super::*;

/// What a proxy does once it has read the head of a request.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Connects.
    Carries,
    /// Answers with another status.
    Refuses(&'static str),
    /// Closes the connection.
    HangsUp,
    /// Says nothing.
    Hangs,
    /// Is not there at all.
    Away,
}

/// What a proxy has seen of a connection.
struct Seen {
    head: String,
    /// What the client sent after it.
    carried: Vec<u8>,
}

/// The proxy's address, and what it sees.
async fn proxy(manner: Manner, amazon: SocketAddr) -> (SocketAddr, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (done, seen) = mpsc::unbounded_channel();
    if matches!(manner, Manner::Away) {
        return (address, seen);
    }
    #[expect(clippy::disallowed_methods, reason = "the test is this task's owner")]
    tokio::spawn(async move {
        while let Ok((mut client, _peer)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let mut carried = Vec::new();
            match manner {
                Manner::Carries => carried = carry(client, amazon).await,
                Manner::Refuses(status) => {
                    client
                        .write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                        .await
                        .unwrap();
                }
                Manner::Hangs => sleep(Duration::from_secs(30)).await,
                Manner::HangsUp | Manner::Away => {}
            }
            done.send(Seen { head: String::from_utf8(head).unwrap(), carried }).unwrap_or_default();
        }
    });
    (address, seen)
}

/// Carries both ways until both have ended; returns what the client has sent.
async fn carry(mut client: TcpStream, to: SocketAddr) -> Vec<u8> {
    let mut server = TcpStream::connect(to).await.unwrap();
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let mut carried = Vec::new();
    let up = async {
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = from_client.read(&mut part).await {
            carried.extend_from_slice(&part[..length]);
            if to_server.write_all(&part[..length]).await.is_err() {
                break;
            }
        }
        to_server.shutdown().await.unwrap_or_default();
    };
    let down = async {
        copy(&mut from_server, &mut to_client).await.unwrap_or_default();
        to_client.shutdown().await.unwrap_or_default();
    };
    tokio::join!(up, down);
    carried
}

/// The settings of an account that reaches Amazon's own host through the proxy.
fn through(proxy: SocketAddr) -> ClientSettings {
    let timeouts = Timeouts { connect: Duration::from_millis(500), total: Duration::from_secs(6) };
    ClientSettings { https_proxy: Some(format!("http://{proxy}").parse().unwrap()), timeouts, ..settings() }
}

fn holds(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

#[tokio::test]
async fn a_proxy_is_asked_to_connect_to_amazons_host_and_sees_nothing_but_tls() {
    let mut amazon = Impostor::with(&Shown::Good).await;
    let (proxy, mut seen) = proxy(Manner::Carries, amazon.address).await;
    let client = amazon.client_at(format!("https://{US_SANDBOX}"), through(proxy), true);
    let outcome = client.get_available_funds().await.outcome;
    assert_eq!((outcome.class(), outcome.reason()), ("ambiguous", "connection_lost"), "the impostor hangs up");
    assert!(amazon.handshakes.recv().await.unwrap(), "the request came through");
    drop(client);
    let seen = seen.recv().await.unwrap();
    assert!(seen.head.starts_with(&format!("CONNECT {US_SANDBOX}:443 HTTP/1.1\r\n")), "{}", seen.head);
    assert!(!holds(seen.head.as_bytes(), "authorization"), "{}", seen.head);
    assert_eq!(seen.carried.first(), Some(&0x16), "a record of TLS: a handshake");
    for secret in ["Awssb", "AKID", "GetAvailableFunds", "AWS4-HMAC"] {
        assert!(!holds(&seen.carried, secret), "{secret} was sent in the clear");
    }
}

#[tokio::test]
async fn a_proxy_that_is_away_or_refuses_proves_that_nothing_was_sent() {
    let amazon = Impostor::with(&Shown::Good).await;
    for manner in [
        Manner::Away,
        Manner::HangsUp,
        Manner::Hangs,
        Manner::Refuses("407 Proxy Authentication Required"),
        Manner::Refuses("403 Forbidden"),
        Manner::Refuses("502 Bad Gateway"),
        Manner::Refuses("302 Found"),
    ] {
        let (proxy, _seen) = proxy(manner, amazon.address).await;
        let client = amazon.client_at(format!("https://{US_SANDBOX}"), through(proxy), true);
        let outcome = timeout(Duration::from_secs(20), client.get_available_funds()).await.unwrap().outcome;
        assert_eq!((outcome.class(), outcome.reason()), ("not_sent", "connect"), "{manner:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_answers_in_amazons_place_is_not_trusted() {
    let mut impostor = Impostor::with(&Shown::OfNobody).await;
    let (proxy, _seen) = proxy(Manner::Carries, impostor.address).await;
    let client = impostor.client_at(format!("https://{US_SANDBOX}"), through(proxy), false);
    let outcome = client.get_available_funds().await.outcome;
    assert_eq!((outcome.class(), outcome.reason()), ("not_sent", "certificate"));
    assert!(!impostor.handshakes.recv().await.unwrap());
}
