//! TLS with the certificate that the sandbox makes itself: who trusts it, for which names, and what faults do below it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use noshi::sandbox::{Fault, FaultRule, Sandbox, SandboxOptions, SandboxStartError, TlsSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::bench::{Bench, create_body};

fn options(folder: &Path, names: &[&str]) -> SandboxOptions {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let tls = Some(TlsSettings { folder: folder.to_owned(), names });
    SandboxOptions { throttle: false, tls, ..Bench::options() }
}

/// A client that trusts the certificates of this file and no others.
fn client(trusted: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Sends a request by TLS to whoever proves to be `name`, and reads to the end.
async fn exchange(connector: &TlsConnector, to: SocketAddr, name: &str, request: &[u8]) -> std::io::Result<String> {
    let stream = TcpStream::connect(to).await?;
    let mut stream = connector.connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn a_client_that_trusts_the_ca_buys_from_each_of_amazons_names_and_one_that_does_not_buys_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::with(options(folder.path(), &["amazon.test"])).await;
    let ca = bench.sandbox.ca_file().unwrap().to_owned();
    let connector = client(&ca);
    let request = bench.call("CreateGiftCard", &create_body("AwssbA", "1", "USD")).bytes();
    let to = bench.sandbox.gateway_addr();
    for name in ["agcod-v2-gamma.amazon.com", "agcod-v2-fe.amazon.com", "localhost", "127.0.0.1", "amazon.test"] {
        let answer = exchange(&connector, to, name, &request).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"SUCCESS\""), "{name} {answer}");
    }
    let other_name = exchange(&connector, to, "example.com", &request).await.unwrap_err();
    assert!(other_name.to_string().contains("not valid for name"), "{other_name}");
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Bench::with(options(elsewhere.path(), &[])).await;
    let distrust = exchange(&client(other.sandbox.ca_file().unwrap()), to, "localhost", &request).await;
    assert!(distrust.unwrap_err().to_string().contains("invalid peer certificate"));
    let plain = super::signer::exchange(to, &request, super::bench::PATIENCE).await;
    assert!(!plain.head.starts_with("HTTP/"), "{plain:?}");
    assert_eq!(bench.control.requests().len(), 5);
}

#[tokio::test]
async fn a_certificate_outlives_a_restart_and_is_made_anew_for_other_names() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let sandbox = Sandbox::start(options(folder.path(), &[])).await.unwrap();
    let (ca, key) = (read("ca.pem"), read("gateway.key"));
    sandbox.stop().await;
    Sandbox::start(options(folder.path(), &[])).await.unwrap().stop().await;
    assert_eq!((read("ca.pem"), read("gateway.key")), (ca.clone(), key));
    Sandbox::start(options(folder.path(), &["amazon.test"])).await.unwrap().stop().await;
    assert_ne!(read("ca.pem"), ca);
    // The file that clients are to trust is there, whatever became of it.
    std::fs::remove_file(folder.path().join("ca.pem")).unwrap();
    let bench = Bench::with(options(folder.path(), &["amazon.test"])).await;
    let request = bench.call("CreateGiftCard", &create_body("AwssbA", "1", "USD")).bytes();
    let trusting = client(bench.sandbox.ca_file().unwrap());
    let answer = exchange(&trusting, bench.sandbox.gateway_addr(), "amazon.test", &request).await.unwrap();
    assert!(answer.contains("\"SUCCESS\""), "{answer}");
    bench.sandbox.stop().await;
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("gateway.key"), mode("ca.pem")), (0o600, 0o644));
    assert!(!folder.path().join("ca.key").exists(), "whoever trusts the CA trusts this gateway and nobody else");
    std::fs::write(folder.path().join("gateway.key"), "no key").unwrap();
    let error = Sandbox::start(options(folder.path(), &["amazon.test"])).await.unwrap_err();
    assert!(matches!(error, SandboxStartError::Certificate(_)) && error.to_string().contains("delete them"), "{error}");
}

#[tokio::test]
async fn faults_cut_a_connection_below_tls() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::with(options(folder.path(), &[])).await;
    let connector = client(bench.sandbox.ca_file().unwrap());
    let request = bench.call("CreateGiftCard", &create_body("AwssbA", "25.00", "USD")).bytes();
    let to = bench.sandbox.gateway_addr();
    for fault in [Fault::DropAfterWork, Fault::TruncatedBody, Fault::ResetAfterWork, Fault::ResetInBody] {
        bench.control.script(FaultRule::once(fault.clone())).unwrap();
        let answer = exchange(&connector, to, "localhost", &request).await;
        let whole = answer.as_ref().is_ok_and(|answer| answer.contains("\"SUCCESS\""));
        let reset = matches!(fault, Fault::ResetAfterWork | Fault::ResetInBody);
        assert!(!whole && answer.is_err() == reset, "{fault:?} {answer:?}");
        assert_eq!(bench.card("AwssbA").map(|card| card.amount), Some(25.into()), "{fault:?}");
    }
    let answer = exchange(&connector, to, "localhost", &request).await.unwrap();
    assert!(answer.contains("\"SUCCESS\""), "{answer}");
}
