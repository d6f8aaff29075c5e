//! The key that signs messages, and its certificates.

use std::fmt;

use data_encoding::BASE64;
use hyper::StatusCode;
use rand::rngs::StdRng;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, date_time_ymd};
use rsa::pkcs8::EncodePrivateKey;
use rsa::sha2::{Digest, Sha256};
use rsa::signature::{SignatureEncoding, Signer as _};
use rsa::{PrivateKey, pkcs1v15::SigningKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha1::Sha1;

use super::{NoticeCertificate, NoticeOffice};
use crate::sandbox::world::World;

/// Bits of the key, as SNS's has.
const BITS: usize = 2_048;
/// Whose it is.
const SNS: &str = "sns.amazonaws.com";
/// What every certificate's path begins with, as at SNS.
const PATH: &str = "/SimpleNotificationService-";

/// A key with its certificates.
pub(super) struct Signer {
    one: SigningKey<Sha1>,
    two: SigningKey<Sha256>,
    /// By which its certificates differ from those of another sandbox.
    pub(super) name: String,
    good: String,
    expired: String,
    of_another: String,
}

/// There is no key.
#[derive(Debug)]
struct NoKey(String);

impl<E: fmt::Display> From<E> for NoKey {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl Signer {
    fn make(mut rng: StdRng) -> Result<Self, NoKey> {
        let key = PrivateKey::new(&mut rng, BITS)?;
        let der = key.to_pkcs8_der()?;
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der.as_bytes()), &PKCS_RSA_SHA256)?;
        let certificate = |name: &str, begins: i32, ends: i32| -> Result<String, NoKey> {
            let mut params = CertificateParams::new(vec![name.to_owned()])?;
            params.distinguished_name.push(DnType::CommonName, name);
            (params.not_before, params.not_after) = (date_time_ymd(begins, 1, 1), date_time_ymd(ends, 1, 1));
            Ok(params.self_signed(&pair)?.pem())
        };
        let good = certificate(SNS, 2020, 2120)?;
        let name: String = Sha256::digest(good.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            expired: certificate(SNS, 2014, 2015)?,
            of_another: certificate("sns.example.com", 2020, 2120)?,
            one: SigningKey::new(key.clone()),
            two: SigningKey::new(key),
            good,
            name,
        })
    }

    /// The signature of this text.
    pub(super) fn sign(&self, version: &str, text: &str) -> String {
        let bytes = if version == "2" {
            self.two.try_sign(text.as_bytes()).map(|signature| signature.to_vec())
        } else {
            self.one.try_sign(text.as_bytes()).map(|signature| signature.to_vec())
        };
        BASE64.encode(&bytes.unwrap_or_default())
    }

    /// The path of a certificate.
    pub(super) fn path(&self, which: NoticeCertificate) -> String {
        let word = match which {
            NoticeCertificate::Good => "",
            NoticeCertificate::Expired => "-expired",
            NoticeCertificate::OfAnother => "-other",
            NoticeCertificate::Missing => "-missing",
        };
        format!("{PATH}{}{word}.pem", self.name)
    }
}

impl NoticeOffice {
    /// The key, which is made when it is asked for first. That takes a second.
    pub(super) fn signer(&self, world: &World) -> Result<&Signer, String> {
        if let Some(signer) = self.signer.get() {
            return Ok(signer);
        }
        let made =
            Signer::make(world.chance.generator()).map_err(|NoKey(why)| format!("no key could be made: {why}"))?;
        Ok(self.signer.get_or_init(|| made))
    }
}

/// The answer to whoever asks for a certificate; `None` where the path is none of one.
pub(in crate::sandbox) fn certificate_named(world: &World, path: &str) -> Option<(StatusCode, String)> {
    if !path.ends_with(".pem") {
        return None;
    }
    if !world.notices.count_fetch() {
        return Some((StatusCode::SERVICE_UNAVAILABLE, String::new()));
    }
    let signer = world.notices.signer.get();
    let found = signer.and_then(|signer| {
        let all = [
            (NoticeCertificate::Good, &signer.good),
            (NoticeCertificate::Expired, &signer.expired),
            (NoticeCertificate::OfAnother, &signer.of_another),
        ];
        all.into_iter().find(|(which, _pem)| signer.path(*which) == path).map(|(_which, pem)| pem.clone())
    });
    Some(found.map_or((StatusCode::NOT_FOUND, String::new()), |pem| (StatusCode::OK, pem)))
}
