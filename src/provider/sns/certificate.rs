//! A certificate of SNS: whose it is, when it holds, and what it signed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ring::signature::{RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, ServerName, SignatureVerificationAlgorithm, UnixTime,
    alg_id, pem::PemObject,
};
use webpki::{EndEntityCert, KeyUsage};

use super::{SnsRefusal, message::SignatureVersion};

/// Whose it must be.
const SUBJECT: &str = "sns.amazonaws.com";

/// One that was fetched from where it may lie, and that is SNS's.
pub(super) struct SigningCertificate(CertificateDer<'static>);

/// RSA with SHA-1, in which SNS signs unless a topic is set otherwise. No other use of it is known to the TLS library, nor wanted.
#[derive(Debug)]
struct RsaSha1;

/// `sha1WithRSAEncryption` (RFC 3279, 2.2.1), as an algorithm identifier's content.
const SHA1_WITH_RSA: AlgorithmIdentifier =
    AlgorithmIdentifier::from_slice(&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05, 0x05, 0x00]);

impl SignatureVerificationAlgorithm for RsaSha1 {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, public_key);
        key.verify(message, signature).map_err(|_unspecified| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        SHA1_WITH_RSA
    }
}

impl SigningCertificate {
    /// The first certificate of this PEM, if it is SNS's.
    pub(super) fn read(pem: &[u8]) -> Result<Self, SnsRefusal> {
        let none = SnsRefusal::Forged("what lies there is no certificate");
        let certificate = Self(CertificateDer::from_pem_slice(pem).map_err(|_error| none)?);
        let subject = ServerName::try_from(SUBJECT).map_err(|_error| none)?;
        let of_sns = certificate.parsed()?.verify_is_valid_for_subject_name(&subject).is_ok();
        of_sns.then_some(certificate).ok_or(SnsRefusal::Forged("its certificate is another's"))
    }

    fn parsed(&self) -> Result<EndEntityCert<'_>, SnsRefusal> {
        EndEntityCert::try_from(&self.0).map_err(|_error| SnsRefusal::Forged("what lies there is no certificate"))
    }

    /// Refuses it where it does not hold now. Who issued it is not asked: it came by TLS from SNS's own host. So the verifier is given no
    /// authority, and its refusal of that is what a certificate gets that holds.
    pub(super) fn demand_valid(&self, now: DateTime<Utc>) -> Result<(), SnsRefusal> {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.timestamp()).unwrap_or_default()));
        let parsed = self.parsed()?;
        let holds = parsed.verify_for_usage(&[], &[], &[], at, KeyUsage::server_auth(), None, None);
        match holds.map(|_path| ()) {
            Ok(()) | Err(webpki::Error::UnknownIssuer) => Ok(()),
            Err(_other) => Err(SnsRefusal::Forged("its certificate does not hold now")),
        }
    }

    /// Whether its key signed this.
    pub(super) fn verify(&self, version: SignatureVersion, signed: &[u8], signature: &[u8]) -> Result<(), SnsRefusal> {
        let algorithm: &dyn SignatureVerificationAlgorithm = match version {
            SignatureVersion::One => &RsaSha1,
            SignatureVersion::Two => webpki::ring::RSA_PKCS1_2048_8192_SHA256,
        };
        let verified = self.parsed()?.verify_signature(algorithm, signed, signature);
        verified.map_err(|_error| SnsRefusal::Forged("its signature"))
    }
}
