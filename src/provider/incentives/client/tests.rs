//! The client as its own settings make it, and a server that shows a certificate which it must not trust.

mod proxied;

use std::net::SocketAddr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    kernel::{Environment, Marketplace},
    provider::transport::install_tls_provider,
};

#[test]
fn a_request_id_is_taken_only_when_it_looks_like_one() {
    for good in ["0d9c1b1e-6f5f-4f6e-8f2a-9b6f2c7b9a10", "0D9C1B1E-6F5F-4F6E-8F2A-9B6F2C7B9A10"] {
        assert_eq!(AmznRequestId::parse(good).unwrap().as_str(), good);
    }
    for bad in
        ["", "short-1", "has space inside", "quote\"quote", "ABCD-EFGHJK-LMNP", "ABCDEFGHJKLMNP", &"a".repeat(65)]
            .into_iter()
            .chain([
                "0d9c1b1e6f5f4f6e8f2a9b6f2c7b9a10",
                "{0d9c1b1e-6f5f-4f6e-8f2a-9b6f2c7b9a10}",
                "AQGXPV6SQHTDKS67L4CA",
            ])
    {
        assert!(AmznRequestId::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn the_default_time_limits_are_two_and_six_seconds() {
    assert_eq!(Timeouts::default(), Timeouts { connect: Duration::from_secs(2), total: Duration::from_secs(6) });
}

/// Amazon's host of the account's marketplace.
const US_SANDBOX: &str = "agcod-v2-gamma.amazon.com";

/// Which certificate a server shows to a client of whom it wants to be taken for Amazon.
#[derive(Debug)]
enum Shown {
    OfNobody,
    ForAnotherName,
    Expired,
    Good,
}

/// A server on loopback with a certificate of a CA of its own. Says for each connection whether the client trusted it.
struct Impostor {
    address: SocketAddr,
    ca: reqwest::Certificate,
    handshakes: mpsc::UnboundedReceiver<bool>,
}

impl Impostor {
    async fn with(shown: &Shown) -> Self {
        install_tls_provider();
        let mut of_ca = CertificateParams::new(Vec::new()).unwrap();
        of_ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(of_ca, KeyPair::generate().unwrap()).unwrap();
        let names: &[&str] =
            if matches!(shown, Shown::ForAnotherName) { &["example.com"] } else { &["127.0.0.1", US_SANDBOX] };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if matches!(shown, Shown::Expired) {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, &ca).unwrap().der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (done, handshakes) = mpsc::unbounded_channel();
        #[expect(clippy::disallowed_methods, reason = "the test is this task's owner")]
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let mut first = [0];
                // A client of TLS 1.3 may object after the server took the handshake for done.
                let trusted = match acceptor.accept(stream).await {
                    Ok(mut stream) => stream.read_exact(&mut first).await.is_ok(),
                    Err(_objection) => false,
                };
                done.send(trusted).unwrap();
            }
        });
        let ca = reqwest::Certificate::from_der(ca.der()).unwrap();
        Self { address, ca, handshakes }
    }

    /// A client as Amazon's, that has been led here. Whom it trusts is the machine's word, or the CA alone.
    fn client(&self, trusts_ca: bool) -> Client {
        self.client_at(format!("https://{}", self.address), settings(), trusts_ca)
    }

    fn client_at(&self, base_url: String, settings: ClientSettings, trusts_ca: bool) -> Client {
        let builder = http_builder(&settings).unwrap();
        let builder = if trusts_ca { builder.tls_certs_only([self.ca.clone()]) } else { builder };
        let http = builder.build().unwrap();
        let credentials = RwLock::new(settings.credentials.clone());
        Client(Arc::new(Inner {
            http,
            credentials,
            rejections: AtomicU64::new(0),
            base_url,
            settings,
            skew: Skew::default(),
            now: Box::new(|| DateTime::UNIX_EPOCH),
        }))
    }
}

fn settings() -> ClientSettings {
    ClientSettings {
        endpoint: Endpoint::amazon(Marketplace::Us, Environment::Sandbox),
        partner_id: "Awssb".to_owned(),
        credentials: Credentials::new("AKID".into(), "secret".into()),
        timeouts: Timeouts::default(),
        https_proxy: None,
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_has_its_own_word_and_nothing_was_sent() {
    for shown in [Shown::OfNobody, Shown::ForAnotherName, Shown::Expired, Shown::Good] {
        let mut impostor = Impostor::with(&shown).await;
        let client = impostor.client(!matches!(shown, Shown::OfNobody));
        let outcome = client.get_available_funds().await.outcome;
        let trusted = impostor.handshakes.recv().await.unwrap();
        let expected = match shown {
            Shown::Good => ("ambiguous", "connection_lost", true),
            Shown::OfNobody | Shown::ForAnotherName | Shown::Expired => ("not_sent", "certificate", false),
        };
        assert_eq!((outcome.class(), outcome.reason(), trusted), expected, "{shown:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_off_is_no_word_on_the_certificate() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut impostor = Impostor::with(&Shown::Good).await;
    impostor.address = listener.local_addr().unwrap();
    let client = impostor.client(true);
    let (outcome, ()) = tokio::join!(client.get_available_funds(), async {
        let (mut stream, _peer) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    assert_eq!((outcome.outcome.class(), outcome.outcome.reason()), ("not_sent", "connect"));
}
