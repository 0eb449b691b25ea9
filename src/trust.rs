//! Whom our own TLS clients trust: one file's certificates, or the system's, or Mozilla's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why there is nobody to trust.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TrustFault {
    #[error("cannot read PEM certificates from {}", path.display())]
    Unread { path: PathBuf, source: rustls_pki_types::pem::Error },
    #[error("{} holds no certificate that can be trusted", .0.display())]
    Empty(PathBuf),
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// TLS 1.2 and 1.3 towards servers that `ca_file` vouches for; without one, that the system's roots
/// do (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured), or, on a machine that has none, Mozilla's
/// as compiled in. Reading the system's roots takes some 5 ms.
///
/// # Errors
/// `ca_file` cannot be read or holds no certificate.
pub fn client(ca_file: Option<&Path>) -> Result<ClientConfig, TrustFault> {
    let roots = match ca_file {
        Some(path) => only(path)?,
        None => system(),
    };
    trusting(roots)
}

/// For a client that speaks plain HTTP alone: it trusts nobody, and costs nothing to make.
///
/// # Errors
/// TLS cannot be set up.
pub fn nobody() -> Result<ClientConfig, TrustFault> {
    trusting(RootCertStore::empty())
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, TrustFault> {
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn only(path: &Path) -> Result<RootCertStore, TrustFault> {
    let unread = |source| TrustFault::Unread { path: path.into(), source };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unread)?;
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(TrustFault::Empty(path.into())),
        _ => Ok(roots),
    }
}

fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fault = client(Some(file.path())).unwrap_err();
        assert!(matches!(&fault, TrustFault::Empty(path) if path == file.path()), "{fault}");
        let fault = client(Some(Path::new("/nonexistent/ca.pem"))).unwrap_err();
        assert!(matches!(fault, TrustFault::Unread { .. }), "{fault}");
    }
}
