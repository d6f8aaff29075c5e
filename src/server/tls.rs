//! TLS on the API's port. The files are read again while the service runs, and a certificate in them that can be used is shown to
//! whoever connects from then on. One that cannot be used is reported, and the one before stays. So it is with the lists of callers'
//! certificates that are revoked; one that is outdated while it is in force goes on to be asked, and is reported.

mod revocation;

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem, pem::PemObject},
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;
use zeroize::Zeroizing;

use super::{
    Metrics,
    door::{ANSWER_BUFFER_BYTES, Guest},
};
use crate::{ambient::Ambient, config::TlsFiles, kernel::Chain, lifecycle::Tasks};

/// How often the files are read.
const READ: Duration = Duration::from_secs(5);
/// How long that may take.
const READ_MAX: Duration = Duration::from_secs(30);
/// The last second that a certificate can name, and one more: by then each has ended.
const AFTER_ALL: Duration = Duration::from_secs(253_402_300_800);

/// To whoever speaks HTTP where HTTPS is spoken.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 30\r\n\r\n\
    This port is spoken to by TLS\n";

/// Why the API's port cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{} holds no {wanted} in PEM", path.display())]
    Content {
        /// Its path.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// Where it is wrong.
        #[source]
        source: pem::Error,
    },
    /// The certificate is none that this library can read.
    #[error("{} holds a certificate that cannot be read", path.display())]
    Certificate {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: webpki::Error,
    },
    /// The certificate does not hold now.
    #[error("{} holds a certificate that has ended or does not hold yet", path.display())]
    NotNow {
        /// Its path.
        path: PathBuf,
    },
    /// Some of the authorities of callers' certificates cannot be read: their callers would be locked out.
    #[error("{} holds {count} authorities that cannot be read", path.display())]
    UnreadAuthorities {
        /// Its path.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// A list of revoked certificates cannot be read.
    #[error("{} holds a list of revoked certificates that cannot be read", path.display())]
    RevocationList {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: webpki::Error,
    },
    /// The library refuses all callers of an authority that has no list.
    #[error("{} holds no list of revoked certificates that is signed by {count} of the authorities of callers' certificates", path.display())]
    UnlistedAuthorities {
        /// Its path.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// There should be a newer list by now.
    #[error("{} holds a list of revoked certificates that is outdated since {ended}", path.display())]
    OutdatedList {
        /// Its path.
        path: PathBuf,
        /// Since when.
        ended: DateTime<Utc>,
    },
    /// The certificate and the key do not fit.
    #[error("{} is not the private key of the certificate in {}", key.display(), certificate.display())]
    Pair {
        /// The key's path.
        key: PathBuf,
        /// The certificate's path.
        certificate: PathBuf,
        /// What does not fit.
        #[source]
        source: rustls::Error,
    },
    /// The authorities of callers' certificates cannot be used.
    #[error("{} holds no authority that callers' certificates can be verified by", path.display())]
    Authorities {
        /// Its path.
        path: PathBuf,
        /// What is wrong with them.
        #[source]
        source: VerifierBuilderError,
    },
}

/// When a certificate holds, both instants included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) begins: DateTime<Utc>,
    pub(crate) ends: DateTime<Utc>,
}

impl Validity {
    pub(crate) fn holds_at(&self, now: DateTime<Utc>) -> bool {
        (self.begins..=self.ends).contains(&now)
    }
}

/// What the files held when they were read.
struct LoadedTls {
    config: Arc<ServerConfig>,
    validity: Validity,
    /// Of all files: whether they have changed.
    digest: [u8; 32],
    revocations: Option<LoadedRevocations>,
}

impl LoadedTls {
    /// What is to be said of lists of revoked certificates that are outdated.
    fn outdated(&self, files: &TlsFiles, now: DateTime<Utc>) -> Option<TlsError> {
        let ended = self.revocations.as_ref().map(|lists| lists.ends).filter(|ends| *ends <= now)?;
        files.client_crl.clone().map(|path| TlsError::OutdatedList { path, ended })
    }
}

/// The lists of revoked certificates in their file.
struct LoadedRevocations {
    digest: [u8; 32],
    /// When the first of them is outdated.
    ends: DateTime<Utc>,
}

/// What is in force now.
struct ShownCertificate {
    validity: Validity,
    /// It was not before.
    is_another: bool,
}

/// How the API's port speaks TLS. All clones are the same.
#[derive(Clone)]
pub(crate) struct ApiTls(Arc<TlsInner>);

struct TlsInner {
    files: TlsFiles,
    in_force: RwLock<LoadedTls>,
    ambient: Ambient,
    metrics: Arc<Metrics>,
}

impl ApiTls {
    /// Reads the files. A certificate that does not hold now is taken: there is no better one, and recovery must not wait for it.
    ///
    /// # Errors
    /// [`TlsError`] where TLS cannot be spoken by them.
    pub(crate) fn load(files: &TlsFiles, ambient: &Ambient, metrics: &Arc<Metrics>) -> Result<Self, TlsError> {
        let loaded = load(files)?;
        let (ends, holds_now) = (loaded.validity.ends, loaded.validity.holds_at(ambient.now()));
        if !holds_now {
            let error = TlsError::NotNow { path: files.certificate.clone() };
            tracing::error!(error = %error, "no caller will trust the API's certificate");
        }
        if let Some(error) = loaded.outdated(files, ambient.now()) {
            metrics.tls.unusable(true);
            tracing::error!(error = %error, "callers whose certificates were revoked since are let in");
        }
        metrics.tls.in_force(ends, holds_now);
        let (files, ambient, metrics) = (files.clone(), ambient.clone(), Arc::clone(metrics));
        Ok(Self(Arc::new(TlsInner { files, in_force: RwLock::new(loaded), ambient, metrics })))
    }

    /// Reads the files again and again, and takes what is new and can be used, until the process stops.
    pub(crate) async fn read_until(self, tasks: Tasks) {
        let mut said = String::new();
        while !tasks.stopping().is_cancelled() {
            tokio::select! {
                () = tasks.stopping().cancelled() => {}
                loaded = self.read_later() => self.take(loaded, &mut said),
            }
        }
    }

    async fn read_later(&self) -> Result<LoadedTls, TlsError> {
        tokio::time::sleep(READ).await;
        let files = self.0.files.clone();
        let path = files.certificate.clone();
        // A file system may keep its reader waiting.
        let read = timeout(READ_MAX, tokio::task::spawn_blocking(move || load(&files))).await;
        let late = || TlsError::File { path: path.clone(), source: ErrorKind::TimedOut.into() };
        read.map_err(|_late| late())?.map_err(|_ended| late())?
    }

    /// `said`: what was reported last, so that each trouble is reported once.
    fn take(&self, loaded: Result<LoadedTls, TlsError>, said: &mut String) {
        let taken = loaded.and_then(|loaded| self.put_in_force(loaded));
        let outdated = self.in_force().outdated(&self.0.files, self.0.ambient.now());
        // Whatever the files hold now: the certificate in force may have begun to hold, or have ended, since it was read.
        let (validity, is_another) = match &taken {
            Ok(ShownCertificate { validity, is_another }) => (*validity, *is_another),
            Err(_unusable) => (self.in_force().validity, false),
        };
        let (ends, holds_now) = (validity.ends, validity.holds_at(self.0.ambient.now()));
        self.0.metrics.tls.unusable(taken.is_err() || outdated.is_some());
        self.0.metrics.tls.in_force(ends, holds_now);
        if is_another {
            tracing::info!(tls.ends = %ends, "another TLS certificate is in force");
        }
        let text = match &taken {
            Err(error) => Chain(error).to_string(),
            Ok(_) if !holds_now => "the certificate in force has ended, or does not hold yet".to_owned(),
            Ok(_) => outdated.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        if *said != text {
            if taken.is_err() {
                tracing::warn!(error = %text, "the new TLS files cannot be used; the certificate before stays in force");
            } else if !holds_now {
                tracing::error!(tls.ends = %ends, "the API's certificate has ended, or does not hold yet: no caller trusts it");
            } else if outdated.is_some() {
                tracing::error!(error = %text, "callers whose certificates were revoked since are let in");
            }
            *said = text;
        }
    }

    fn in_force(&self) -> RwLockReadGuard<'_, LoadedTls> {
        self.0.in_force.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what the files hold in force. A certificate that does not hold now, and lists that are outdated, take the place of no other:
    /// the files that are in force already are no new ones.
    fn put_in_force(&self, loaded: LoadedTls) -> Result<ShownCertificate, TlsError> {
        let validity = loaded.validity;
        // Whoever connects waits for this lock.
        let mut in_force = self.0.in_force.write().unwrap_or_else(PoisonError::into_inner);
        let is_another = in_force.digest != loaded.digest;
        if is_another && !validity.holds_at(self.0.ambient.now()) {
            return Err(TlsError::NotNow { path: self.0.files.certificate.clone() });
        }
        let digest = |tls: &LoadedTls| tls.revocations.as_ref().map(|lists| lists.digest);
        // A new certificate beside outdated lists that are in force already is taken.
        if digest(&loaded) != digest(&in_force)
            && let Some(error) = loaded.outdated(&self.0.files, self.0.ambient.now())
        {
            return Err(error);
        }
        // Those that are in force already stay: their sessions can still be resumed.
        if is_another {
            *in_force = loaded;
        }
        Ok(ShownCertificate { validity, is_another })
    }

    /// Makes a connection one of TLS. Whoever must leave the door, or takes longer, is cut off.
    pub(super) async fn shake_hands(
        &self,
        io: TcpStream,
        guest: &mut Guest,
        within: Duration,
    ) -> io::Result<PortStream> {
        let config = Arc::clone(&self.in_force().config);
        let shaken = tokio::select! {
            () = guest.has_to_leave() => return Err(ErrorKind::ConnectionAborted.into()),
            shaken = timeout(within, handshake(io, config)) => shaken,
        };
        let stream = shaken.unwrap_or_else(|_late| Err(ErrorKind::TimedOut.into()));
        stream.map(|stream| Either::Right(Box::new(stream))).inspect_err(|error| {
            // Whoever only looks whether the port is open says nothing.
            if error.kind() != ErrorKind::NotConnected {
                guest.shook_no_hands();
            }
        })
    }
}

async fn handshake(mut io: TcpStream, config: Arc<ServerConfig>) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    // No record of TLS begins with a letter, and each request of HTTP does.
    if io.peek(&mut first).await? == 0 {
        return Err(ErrorKind::NotConnected.into());
    }
    if first.iter().all(u8::is_ascii_alphabetic) {
        io.write_all(PLAIN).await?;
        io.shutdown().await?;
        // Closed at once, the sender of what was not read would get a reset, and lose the answer.
        let mut scratch = [0; 4096];
        while io.read(&mut scratch).await? > 0 {}
        return Err(ErrorKind::InvalidData.into());
    }
    let bounded =
        |connection: &mut rustls::ServerConnection| connection.set_buffer_limit(Some(2 * ANSWER_BUFFER_BYTES));
    TlsAcceptor::from(config).accept_with(io, bounded).await
}

/// When what lies in these files holds.
pub(crate) struct TlsTerms {
    /// The certificate.
    pub(crate) certificate: Validity,
    /// When the first list of revoked certificates is outdated, where there are lists.
    pub(crate) revocations_end: Option<DateTime<Utc>>,
}

/// When what lies in these files holds.
///
/// # Errors
/// [`TlsError`] where TLS cannot be spoken by them.
pub(crate) fn terms(files: &TlsFiles) -> Result<TlsTerms, TlsError> {
    let LoadedTls { validity, revocations, .. } = load(files)?;
    Ok(TlsTerms { certificate: validity, revocations_end: revocations.map(|lists| lists.ends) })
}

/// Reads the files. Blocks on the file system.
fn load(files: &TlsFiles) -> Result<LoadedTls, TlsError> {
    let TlsFiles { certificate, private_key, client_ca, client_crl } = files;
    let (chain, key) = (read(certificate)?, read(private_key)?);
    let with_text =
        |path: &Option<PathBuf>| path.as_deref().map(|path| read(path).map(|text| (path.to_owned(), text))).transpose();
    let (authorities, lists) = (with_text(client_ca)?, with_text(client_crl)?);
    let of_callers = [&authorities, &lists].map(|file| file.as_ref().map(|(_path, text)| text));
    let mut digest = Sha256::new();
    for text in [Some(&chain), Some(&key)].into_iter().chain(of_callers).flatten() {
        digest.update(Sha256::digest(text.as_slice()));
    }
    let chain = certificates(certificate, &chain)?;
    let content = |source| TlsError::Content { path: private_key.clone(), wanted: "private key", source };
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(content)?;
    let unreadable = |source| TlsError::Certificate { path: certificate.clone(), source };
    let validity = validity(chain.first()).map_err(unreadable)?;
    let pair = |source| TlsError::Pair { key: private_key.clone(), certificate: certificate.clone(), source };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(pair)?;
    let mut revocations = None;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some((path, text)) => {
            let CallerVerifier { verifier, ends } = verifier(&path, &text, lists.as_ref(), provider)?;
            let digest = lists.as_ref().map(|(_path, text)| Sha256::digest(text.as_slice()).into());
            revocations = digest.zip(ends).map(|(digest, ends)| LoadedRevocations { digest, ends });
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if client_ca.is_some() {
        // Whoever resumes a session does not show its certificate again.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    Ok(LoadedTls { config: Arc::new(config), validity, digest: digest.finalize().into(), revocations })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    std::fs::read(path).map(Zeroizing::new).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = |source| TlsError::Content { path: path.to_owned(), wanted: "certificate", source };
    let chain = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(content)?;
    if chain.is_empty() { Err(content(pem::Error::NoItemsFound)) } else { Ok(chain) }
}

/// Who verifies callers' certificates.
struct CallerVerifier {
    verifier: Arc<dyn ClientCertVerifier>,
    /// When the first list of revoked certificates is outdated.
    ends: Option<DateTime<Utc>>,
}

/// Verifies that a caller's certificate is one of these authorities', and that no list of them revokes it. Whoever shows none is refused.
fn verifier(
    path: &Path,
    text: &[u8],
    lists: Option<&(PathBuf, Zeroizing<Vec<u8>>)>,
    provider: Arc<CryptoProvider>,
) -> Result<CallerVerifier, TlsError> {
    let mut roots = RootCertStore::empty();
    let (_added, count) = roots.add_parsable_certificates(certificates(path, text)?);
    if count > 0 {
        return Err(TlsError::UnreadAuthorities { path: path.to_owned(), count });
    }
    let lists = lists.map(|(path, text)| revocation::read_lists(path, text, &roots, &provider)).transpose()?;
    let (lists, ends) = lists.map_or((Vec::new(), None), |read| (read.lists, Some(read.ends)));
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(lists)
        .build()
        .map_err(|source| TlsError::Authorities { path: path.to_owned(), source })?;
    Ok(CallerVerifier { verifier, ends })
}

/// When the certificate holds. The verifier is asked whether it holds before all others have begun and after all others have ended: the
/// refusals say from when and until when it does. Whoever issued it is not asked: the times are looked at first.
fn validity(certificate: Option<&CertificateDer<'_>>) -> Result<Validity, webpki::Error> {
    let certificate = webpki::EndEntityCert::try_from(certificate.ok_or(webpki::Error::BadDer)?)?;
    let verified = |since_epoch| {
        let (at, usage) = (UnixTime::since_unix_epoch(since_epoch), webpki::KeyUsage::server_auth());
        certificate.verify_for_usage(&[], &[], &[], at, usage, None, None).map(|_path| ())
    };
    let instant = |at: UnixTime| DateTime::from_timestamp(i64::try_from(at.as_secs()).unwrap_or(i64::MAX), 0);
    let begins = match verified(Duration::ZERO) {
        Err(webpki::Error::CertNotValidYet { not_before, .. }) => instant(not_before),
        Ok(()) | Err(_) => None,
    };
    let ends = match verified(AFTER_ALL) {
        Err(webpki::Error::CertExpired { not_after, .. }) => instant(not_after),
        Err(other) => return Err(other),
        Ok(()) => None,
    };
    let begins = begins.unwrap_or(DateTime::UNIX_EPOCH);
    Ok(Validity { begins, ends: ends.unwrap_or(DateTime::<Utc>::MAX_UTC) })
}

/// A connection of a port, plain or by TLS.
pub(super) type PortStream = Either<TcpStream, Box<TlsStream<TcpStream>>>;
