//! The webhook's certificate and key on disk: loaded, or made where they are missing.
//!
//! The layout is the reference's: `cert.pem` and `key.pem` in the state directory. A certificate
//! that is made here is self-signed and its own CA, as the reference makes it; a private CA with
//! leaves is another room's work, and its leaves load here like any other. Nothing here listens.

mod issue;
mod kubeconfig;

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tracing::info;

pub(crate) use self::issue::pem_of;
pub use self::kubeconfig::{
    KubeconfigFault, WebhookUrl, pin_kubeconfig, render_kubeconfig, write_kubeconfig,
};
use crate::clock::UnixTime;
use crate::files::{self, ReadFault};

/// Name of the certificate's file in the state directory.
pub const CERTIFICATE_FILE: &str = "cert.pem";
/// Name of the key's file in the state directory.
pub const KEY_FILE: &str = "key.pem";

/// A chain of ten RSA-4096 certificates takes 25 KiB.
const PEM_LIMIT: usize = 256 * 1024;
const CERTIFICATE_MODE: u32 = 0o644;
const KEY_MODE: u32 = 0o600;
const GROUP_AND_OTHERS: u32 = 0o077;

/// A certificate chain and the private key that belongs to it. `Debug` tells the paths alone.
#[derive(Clone)]
pub struct KeyPair {
    certificate: PathBuf,
    key: PathBuf,
    leaf_pem: Box<str>,
    not_after: UnixTime,
    certified: Arc<CertifiedKey>,
}

/// Where a key pair came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Both files were there.
    Loaded,
    /// At least one was missing; both are new.
    Created,
}

/// The names that a new certificate is valid for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Names {
    address: Option<IpAddr>,
    hostname: Hostname,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Hostname {
    Ip(IpAddr),
    Dns(DnsName<'static>),
}

/// Why there is no usable key pair. No message holds any of the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyPairFault {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: ReadFault,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Other accounts of the machine could read the key.
    #[error("expected a key that its owner alone can read, found mode {mode:04o} on {}", path.display())]
    KeyExposed {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The certificate's file holds no certificate that can be read.
    #[error("expected PEM certificates in {}", path.display())]
    NoCertificate {
        /// The certificate's file.
        path: PathBuf,
    },
    /// The key's file holds no private key that can be read.
    #[error("expected a PEM private key (PKCS#8, PKCS#1 or SEC1) in {}", path.display())]
    NoKey {
        /// The key's file.
        path: PathBuf,
    },
    /// Each may be fine, but not together: the key is of another certificate.
    #[error("expected the key of {}, found another in {}", certificate.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// TLS cannot use the pair.
    #[error("expected a certificate and key that TLS can use in {}", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What TLS says.
        source: rustls::Error,
    },
    /// The host name fits no certificate.
    #[error("expected a host name or an IP address for the certificate, found {0:?}")]
    Hostname(Box<str>),
    /// Neither the address nor the host name names this server.
    #[error("expected a host name or an address other than {0} for the certificate")]
    Nameless(IpAddr),
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Issue(#[from] rcgen::Error),
}

impl Names {
    /// The names of a server that listens on `address` and that API servers call `hostname`.
    ///
    /// # Errors
    /// [`KeyPairFault::Hostname`] for what is neither a DNS name nor an IP address;
    /// [`KeyPairFault::Nameless`] where both are an unspecified address, which names nobody.
    pub fn new(address: IpAddr, hostname: &str) -> Result<Self, KeyPairFault> {
        let parsed = match hostname.parse() {
            Ok(ip) => Hostname::Ip(ip),
            Err(_) => match DnsName::try_from(hostname.to_owned()) {
                Ok(name) => Hostname::Dns(name),
                Err(_) => return Err(KeyPairFault::Hostname(hostname.chars().take(255).collect())),
            },
        };
        let names =
            Self { address: (!address.is_unspecified()).then_some(address), hostname: parsed };
        match &names {
            Self { address: None, hostname: Hostname::Ip(ip) } if ip.is_unspecified() => {
                Err(KeyPairFault::Nameless(address))
            }
            _ => Ok(names),
        }
    }
}

impl KeyPair {
    /// Loads the pair in `dir`.
    ///
    /// # Errors
    /// A file that is missing, unreadable, open to other accounts, not PEM, or not of the other.
    pub fn load(dir: &Path) -> Result<Self, KeyPairFault> {
        let certificate = dir.join(CERTIFICATE_FILE);
        let key = dir.join(KEY_FILE);
        let chain = read(&certificate)?;
        let private = read_key(&key)?;
        Self::assemble(certificate, key, &chain, private)
    }

    /// Loads the pair in `dir`; where **either** file is missing, makes a new pair and replaces
    /// both. A pair that is there but cannot be used is a fault, never replaced.
    ///
    /// The certificate is valid from `now` for 100 years and for `names`.
    ///
    /// # Errors
    /// As [`Self::load`]; and a file that cannot be written.
    pub fn load_or_create(
        dir: &Path,
        names: &Names,
        now: UnixTime,
    ) -> Result<(Self, Origin), KeyPairFault> {
        let (certificate, key) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
        let present = |path: &Path| match path.try_exists() {
            Ok(present) => Ok(present),
            Err(error) => Err(KeyPairFault::Read { path: path.into(), source: error.into() }),
        };
        let has_certificate = present(&certificate)?;
        if has_certificate && present(&key)? {
            return Ok((Self::load(dir)?, Origin::Loaded));
        }
        if let Some(address) = names.address {
            info!(%address, "Creating certificate with address");
        }
        let issued = issue::self_signed(names, now)?;
        let (cert_bytes, key_bytes) = issued.sizes;
        info!(
            certBytes = cert_bytes,
            keyBytes = key_bytes,
            "generated a new private key and certificate"
        );
        info!(
            certPath = %certificate.display(),
            keyPath = %key.display(),
            "saving new key and certificate"
        );
        let write = |path: &Path, text: &str, mode| {
            files::write_whole(path, text.as_bytes(), mode)
                .map_err(|source| KeyPairFault::Write { path: path.into(), source })
        };
        // The file that is missing comes last: whenever this stops, the next start tries again
        // instead of finding two files that do not fit.
        if has_certificate {
            write(&certificate, &issued.certificate, CERTIFICATE_MODE)?;
            write(&key, issued.key.expose(), KEY_MODE)?;
        } else {
            write(&key, issued.key.expose(), KEY_MODE)?;
            write(&certificate, &issued.certificate, CERTIFICATE_MODE)?;
        }
        Ok((Self::load(dir)?, Origin::Created))
    }

    /// The certificate's file.
    pub fn certificate_path(&self) -> &Path {
        &self.certificate
    }

    /// The key's file.
    pub fn key_path(&self) -> &Path {
        &self.key
    }

    /// The first certificate, as PEM.
    pub fn leaf_pem(&self) -> &str {
        &self.leaf_pem
    }

    /// When the first certificate ceases to be valid.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// What TLS signs with.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    fn assemble(
        certificate: PathBuf,
        key: PathBuf,
        chain: &[u8],
        private: PrivateKeyDer<'static>,
    ) -> Result<Self, KeyPairFault> {
        let Ok(chain) = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>() else {
            return Err(KeyPairFault::NoCertificate { path: certificate });
        };
        let leaf = chain.first().and_then(|leaf| {
            let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
            let not_after = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
            Some((pem_of(leaf), UnixTime::from_secs(not_after)))
        });
        let Some((leaf_pem, not_after)) = leaf else {
            return Err(KeyPairFault::NoCertificate { path: certificate });
        };
        match CertifiedKey::from_der(chain, private, &rustls::crypto::ring::default_provider()) {
            Ok(certified) => {
                Ok(Self { certificate, key, leaf_pem, not_after, certified: Arc::new(certified) })
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(KeyPairFault::Mismatch { certificate, key })
            }
            Err(source) => Err(KeyPairFault::Unusable { path: certificate, source }),
        }
    }
}

impl PartialEq for KeyPair {
    /// The same chain; a chain has one key.
    fn eq(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyPairFault> {
    files::read_capped(path, PEM_LIMIT)
        .map_err(|source| KeyPairFault::Read { path: path.into(), source })
}

/// Checks the mode of the very file that is read, not of what the path names a moment later.
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, KeyPairFault> {
    let fault = |source: ReadFault| KeyPairFault::Read { path: path.into(), source };
    let file = File::open(path).map_err(|error| fault(error.into()))?;
    let mode = file.metadata().map_err(|error| fault(error.into()))?.permissions().mode() & 0o7777;
    if mode & GROUP_AND_OTHERS != 0 {
        return Err(KeyPairFault::KeyExposed { path: path.into(), mode });
    }
    let pem = zeroize::Zeroizing::new(files::read_to_cap(&file, PEM_LIMIT).map_err(fault)?);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| KeyPairFault::NoKey { path: path.into() })
}

#[cfg(test)]
mod tests;
