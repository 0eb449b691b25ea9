//! A TLS peer that is known by its certificate, byte for byte.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Takes exactly one certificate, whoever signed it and until whenever it is valid: it is the file
/// that the server was told to show, read as root from the same host. Without such a file any
/// certificate is taken; then nothing is told to that server either.
#[derive(Debug)]
pub(super) struct Pinned {
    leaf: Option<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    pub(super) fn new(
        leaf: Option<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Self {
        Self { leaf, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.leaf {
            Some(leaf) if leaf.as_ref() != end_entity.as_ref() => {
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
            }
            Some(_) | None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring;

    use super::*;

    fn verdict(pinned: Option<&[u8]>, shown: &[u8]) -> Result<(), Error> {
        let leaf = pinned.map(|leaf| CertificateDer::from(leaf.to_vec()));
        let pinned = Pinned::new(leaf, &Arc::new(ring::default_provider()));
        let name = ServerName::try_from("localhost").unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::ZERO);
        pinned.verify_server_cert(&shown.into(), &[], &name, &[], now).map(|_| ())
    }

    #[test]
    fn exactly_one_certificate_is_taken() {
        assert_eq!(verdict(Some(b"a"), b"a"), Ok(()));
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(verdict(Some(b"a"), b"b"), Err(unknown.clone()));
        assert_eq!(verdict(Some(b"a"), b"ab"), Err(unknown));
        assert_eq!(verdict(None, b"b"), Ok(()));
    }
}
