//! The certificate that the gateway speaks TLS with: made by itself, for Amazon's hosts and localhost, and kept in a folder
//! so that a client goes on trusting it after a restart.
//!
//! The CA's key signs one certificate and is thrown away: whoever trusts the CA trusts this gateway and nobody else.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::TlsSettings;
use super::{login, market, pay};

/// How long a certificate holds. Some clients refuse one that holds longer than 398 days.
const VALID_DAYS: i64 = 397;
/// One that ends sooner is made anew.
const LEFT_DAYS_MIN: i64 = 7;

const CA_FILE: &str = "ca.pem";
const CHAIN_FILE: &str = "gateway.pem";
const KEY_FILE: &str = "gateway.key";
/// For whom the certificate is, and until when.
const NOTE_FILE: &str = "certificate.json";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The folder or a file in it could not be used.
    #[error("the certificate's file {}", path.display())]
    File {
        /// The file or the folder.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A name cannot stand in a certificate.
    #[error("no certificate could be made")]
    Make(#[from] rcgen::Error),
    /// What lies in the folder is no certificate.
    #[error("the files in {} are no certificate with its key; delete them, and others will be made", folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with them.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How the gateway speaks TLS, and what its clients must trust.
pub(super) struct Secured {
    pub(super) ca_file: PathBuf,
    pub(super) acceptor: TlsAcceptor,
}

/// For whom a certificate is, and until when it holds.
#[derive(Debug, serde::Deserialize, Eq, PartialEq, serde::Serialize)]
struct CertificateNote {
    names: Vec<String>,
    not_after: DateTime<Utc>,
}

/// Takes the certificate of the folder, or makes one where there is none that is for these names and holds on.
pub(super) fn secure(settings: &TlsSettings, now: DateTime<Utc>) -> Result<Secured, CertificateError> {
    let folder = &settings.folder;
    let names: Vec<String> = market::HOSTS
        .into_iter()
        .chain(login::HOSTS)
        .chain(pay::HOSTS)
        .chain(["localhost", "127.0.0.1", "::1"])
        .map(str::to_owned)
        .chain(settings.names.clone())
        .collect();
    let good = |note: &CertificateNote| note.names == names && note.not_after > now + TimeDelta::days(LEFT_DAYS_MIN);
    // Clients must trust a file that is there.
    if !noted(folder).is_some_and(|note| good(&note)) || !folder.join(CA_FILE).exists() {
        make(folder, names, now)?;
    }
    let foreign =
        |source: Box<dyn std::error::Error + Send + Sync>| CertificateError::Foreign { folder: folder.clone(), source };
    let config = config(folder).map_err(foreign)?;
    Ok(Secured { ca_file: folder.join(CA_FILE), acceptor: TlsAcceptor::from(Arc::new(config)) })
}

fn noted(folder: &Path) -> Option<CertificateNote> {
    serde_json::from_slice(&fs::read(folder.join(NOTE_FILE)).ok()?).ok()
}

fn config(folder: &Path) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let chain = CertificateDer::pem_file_iter(folder.join(CHAIN_FILE))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY_FILE))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // TLS 1.2 and 1.3, as Amazon has them.
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_no_client_auth().with_single_cert(chain, key)?)
}

fn make(folder: &Path, names: Vec<String>, now: DateTime<Utc>) -> Result<(), CertificateError> {
    let not_after = now + TimeDelta::days(VALID_DAYS);
    let mut of_ca = dated(CertificateParams::new(Vec::new())?, now, not_after);
    of_ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    of_ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    of_ca.distinguished_name.push(DnType::CommonName, "noshi sandbox CA: trust it in tests only");
    let ca = CertifiedIssuer::self_signed(of_ca, KeyPair::generate()?)?;
    let mut of_gateway = dated(CertificateParams::new(names.clone())?, now, not_after);
    of_gateway.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    of_gateway.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    of_gateway.use_authority_key_identifier_extension = true;
    of_gateway.distinguished_name.push(DnType::CommonName, "noshi sandbox");
    let key = KeyPair::generate()?;
    let gateway = of_gateway.signed_by(&key, &ca)?;
    let failed = |source| CertificateError::File { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    // First, and written last: a folder without the note is made anew.
    remove(&folder.join(NOTE_FILE)).map_err(failed)?;
    write(folder, CA_FILE, 0o644, &ca.pem())?;
    write(folder, CHAIN_FILE, 0o644, &format!("{}{}", gateway.pem(), ca.pem()))?;
    write(folder, KEY_FILE, 0o600, &key.serialize_pem())?;
    let note = serde_json::to_string(&CertificateNote { names, not_after }).map_err(io::Error::from).map_err(failed)?;
    write(folder, NOTE_FILE, 0o644, &note)
}

/// From the day before, for a client whose clock is behind.
fn dated(mut params: CertificateParams, now: DateTime<Utc>, not_after: DateTime<Utc>) -> CertificateParams {
    let day = |at: DateTime<Utc>| {
        let (month, day) = (u8::try_from(at.month()).unwrap_or(1), u8::try_from(at.day()).unwrap_or(1));
        date_time_ymd(at.year(), month, day)
    };
    params.not_before = day(now - TimeDelta::days(1));
    params.not_after = day(not_after);
    params
}

fn write(folder: &Path, name: &str, mode: u32, text: &str) -> Result<(), CertificateError> {
    let path = folder.join(name);
    let written = remove(&path)
        .and_then(|()| OpenOptions::new().write(true).create_new(true).mode(mode).open(&path))
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| CertificateError::File { path, source })
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
