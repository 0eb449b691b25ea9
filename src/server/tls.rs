//! What the webhook's port presents and demands in a TLS handshake, replaceable while it serves.
//!
//! TLS 1.2 or later with ring's ciphers, ALPN `h2` and `http/1.1`. No session is resumed: API
//! servers keep their connections, and none outlives the certificate or client CA that it was made
//! under by a ticket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};

use crate::clock::UnixTime;
use crate::files::{self, ReadFault};
use crate::keypair::{KeyPair, KeyPairFault};

/// A bundle of a hundred CAs takes 200 KiB.
const CLIENT_CA_LIMIT: usize = 1024 * 1024;

/// The certificate in force, where it came from, and the CA of the peers, if one is demanded.
#[derive(Debug)]
pub struct Certificate {
    dir: PathBuf,
    client_ca: Option<PathBuf>,
    current: ArcSwap<Current>,
}

#[derive(Debug)]
struct Current {
    pair: KeyPair,
    clients: Vec<CertificateDer<'static>>,
    config: Arc<ServerConfig>,
}

/// What a reload did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Renewal {
    /// New handshakes get what is on disk now; open connections go on.
    Replaced,
    /// The files hold what is in force already.
    Same,
}

/// Why TLS cannot be offered with what is on disk.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    /// The server's own pair.
    #[error(transparent)]
    KeyPair(#[from] KeyPairFault),
    /// The CA file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: ReadFault,
    },
    /// The CA file holds something else.
    #[error("expected PEM certificates in {}", path.display())]
    NoClientCa {
        /// The file.
        path: PathBuf,
    },
    /// The CA cannot vouch for anybody.
    #[error("expected CA certificates in {}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What TLS says.
        source: VerifierBuilderError,
    },
    /// TLS itself cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

impl Certificate {
    /// Loads the pair in `dir`, and `client_ca`, one or more PEM certificates, one of which must
    /// then have signed each peer's certificate.
    ///
    /// # Errors
    /// A file that is missing, unreadable or unfit; a key that other accounts can read.
    pub fn load(dir: &Path, client_ca: Option<&Path>) -> Result<Self, CertificateFault> {
        let current = ArcSwap::from_pointee(Current::load(dir, client_ca)?);
        Ok(Self { dir: dir.into(), client_ca: client_ca.map(Into::into), current })
    }

    /// Loads the files again. On any fault everything stays as it was. No connection is dropped.
    ///
    /// # Errors
    /// As [`Self::load`]. A pair of which only one half is written yet is
    /// [`KeyPairFault::Mismatch`]: the next call finds both.
    pub fn reload(&self) -> Result<Renewal, CertificateFault> {
        let next = Current::load(&self.dir, self.client_ca.as_deref())?;
        let now = self.current.load();
        if now.pair == next.pair && now.clients == next.clients {
            return Ok(Renewal::Same);
        }
        self.current.store(Arc::new(next));
        Ok(Renewal::Replaced)
    }

    /// When the certificate in force ceases to be valid.
    pub fn not_after(&self) -> UnixTime {
        self.current.load().pair.not_after()
    }

    /// The directories whose changes call for [`Self::reload`].
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [Some(self.dir.as_path()), self.client_ca.as_deref().and_then(Path::parent)]
            .into_iter()
            .flatten()
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }
}

impl Current {
    fn load(dir: &Path, client_ca: Option<&Path>) -> Result<Self, CertificateFault> {
        let pair = KeyPair::load(dir)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
        let (clients, verified) = match client_ca {
            None => (Vec::new(), versions.with_no_client_auth()),
            Some(path) => {
                let clients = read_client_ca(path)?;
                let fault = |source| CertificateFault::ClientCa { path: path.into(), source };
                let mut roots = RootCertStore::empty();
                for ca in &clients {
                    roots.add(ca.clone())?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(fault)?;
                (clients, versions.with_client_cert_verifier(verifier))
            }
        };
        let resolver = SingleCertAndKey::from(Arc::clone(pair.certified()));
        let mut config = verified.with_cert_resolver(Arc::new(resolver));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { pair, clients, config: Arc::new(config) })
    }
}

fn read_client_ca(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let pem = files::read_capped(path, CLIENT_CA_LIMIT)
        .map_err(|source| CertificateFault::Read { path: path.into(), source })?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(_) => Err(CertificateFault::NoClientCa { path: path.into() }),
    }
}
