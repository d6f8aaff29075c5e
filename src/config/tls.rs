//! The files by which the API's port speaks TLS.

use std::path::PathBuf;

use super::source::Section;

/// The files of the API port's TLS, in PEM. They are read again while the service runs: replacing a Kubernetes Secret exchanges
/// the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and behind it those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
    /// The authorities of callers' certificates. With them, nobody without such a certificate is served.
    pub client_ca: Option<PathBuf>,
    /// The lists of callers' certificates that these authorities have revoked.
    pub client_crl: Option<PathBuf>,
}

const CERTIFICATE: &str = "tls_certificate_file";
const PRIVATE_KEY: &str = "tls_private_key_file";
const CLIENT_CA: &str = "tls_client_ca_file";
const CLIENT_CRL: &str = "tls_client_crl_file";

pub(super) fn tls_files(section: &mut Section<'_>) -> Option<TlsFiles> {
    let mut path = |key| section.text(key, |text| Ok(PathBuf::from(text)));
    let (certificate, private_key) = (path(CERTIFICATE), path(PRIVATE_KEY));
    let (client_ca, client_crl) = (path(CLIENT_CA), path(CLIENT_CRL));
    if client_crl.is_some() && client_ca.is_none() {
        return refused(section, CLIENT_CRL, "needs tls_client_ca_file");
    }
    match (certificate, private_key) {
        (Some(certificate), Some(private_key)) => Some(TlsFiles { certificate, private_key, client_ca, client_crl }),
        (Some(_), None) => refused(section, PRIVATE_KEY, "is required: the certificate is set"),
        (None, Some(_)) => refused(section, CERTIFICATE, "is required: its private key is set"),
        (None, None) if client_ca.is_some() => {
            refused(section, CLIENT_CA, "needs tls_certificate_file and tls_private_key_file")
        }
        (None, None) => None,
    }
}

fn refused(section: &mut Section<'_>, key: &str, why: &str) -> Option<TlsFiles> {
    section.refuse(key, why);
    None
}
