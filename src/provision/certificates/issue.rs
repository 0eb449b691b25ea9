//! Makes the CA and the leaf. ECDSA P-256 throughout: small, quick, and known to every client.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm,
};
use ring::digest::{SHA256, digest};
use rustls::SignatureScheme;
use rustls::sign::{Signer, SigningKey};

use super::read::Certificate;
use super::{CertificatesFault, Name, Wanted};
use crate::clock::UnixTime;
use crate::secret::Secret;

/// A certificate that is new, and its key.
pub(super) struct Issued {
    pub(super) certificate: Certificate,
    pub(super) key: Secret,
}

/// A CA that can sign.
pub(super) struct Authority {
    pub(super) certificate: Certificate,
    key: Arc<dyn SigningKey>,
}

impl Authority {
    /// `key` must be `certificate`'s.
    pub(super) fn new(certificate: Certificate, key: Arc<dyn SigningKey>) -> Self {
        Self { certificate, key }
    }

    /// A leaf for the wanted names that ends with the CA at the latest.
    pub(super) fn leaf(&self, wanted: &Wanted) -> Result<Issued, CertificatesFault> {
        let issuer = Issuer::from_ca_cert_der(self.certificate.der(), Signature::of(self)?)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let start = UnixTime::from_secs(wanted.now.as_secs().saturating_sub(BACKDATED.as_secs()));
        let mut params = named(LEAF_NAME);
        params.not_before = moment(start.max(self.certificate.not_before())).into();
        params.not_after = moment(leaf_end(wanted, &self.certificate)).into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names =
            names(wanted)?.iter().map(Name::alternative).collect::<Result<_, _>>()?;
        let made = params.signed_by(&key, &issuer)?;
        let leaf = issued(&made, &key)?;
        // A CA that somebody brought may have limits that are ours to notice, not API servers'.
        if !leaf.certificate.is_signed_by(&self.certificate, &[], wanted.now) {
            return Err(CertificatesFault::Limited(wanted.host.clone()));
        }
        Ok(leaf)
    }
}

/// A new CA.
pub(super) fn authority(wanted: &Wanted) -> Result<(Authority, Secret), CertificatesFault> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    // Clients find a CA by its subject, so that two in one bundle must differ in it.
    let mark = digest(&SHA256, key.public_key_raw());
    let mark = mark.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut params = named(&format!("iamgate CA {mark}"));
    let start = UnixTime::from_secs(wanted.now.as_secs().saturating_sub(BACKDATED.as_secs()));
    params.not_before = moment(start).into();
    params.not_after = moment(wanted.now.plus(wanted.lifetimes.ca)).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let made = params.self_signed(&key)?;
    let Issued { certificate, key } = issued(&made, &key)?;
    let signer = certificate.key(Some(key.expose().as_bytes()));
    let signer = signer.map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    Ok((Authority::new(certificate, signer), key))
}

/// When a leaf that is made now by `authority` ends.
pub(super) fn leaf_end(wanted: &Wanted, authority: &Certificate) -> UnixTime {
    let end = authority.not_after();
    match wanted.lifetimes.leaf {
        Some(lifetime) => wanted.now.plus(lifetime).min(end),
        None => end,
    }
}

/// The loopback names, the URL's host, and the rest, each once.
fn names(wanted: &Wanted) -> Result<Vec<Name>, rcgen::Error> {
    let mut names = Vec::new();
    for loopback in LOOPBACK {
        names.push(loopback.parse().map_err(|_| rcgen::Error::InvalidNameType)?);
    }
    for name in [&wanted.host].into_iter().chain(&wanted.names) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Ok(names)
}

fn issued(made: &rcgen::Certificate, key: &KeyPair) -> Result<Issued, rcgen::Error> {
    let certificate = Certificate::read(made.der());
    let certificate = certificate.ok_or(rcgen::Error::CouldNotParseCertificate)?;
    Ok(Issued { certificate, key: Secret::new(key.serialize_pem()) })
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn moment(time: UnixTime) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs())).unwrap_or(UNIX_EPOCH)
}

/// Signs with whatever key TLS can use: rcgen itself reads PKCS#8 only.
struct Signature {
    signer: Box<dyn Signer>,
    algorithm: &'static SignatureAlgorithm,
    public: Vec<u8>,
}

impl Signature {
    fn of(authority: &Authority) -> Result<Self, rcgen::Error> {
        let known: [(SignatureScheme, &'static SignatureAlgorithm); 4] = [
            (SignatureScheme::ECDSA_NISTP256_SHA256, &PKCS_ECDSA_P256_SHA256),
            (SignatureScheme::ECDSA_NISTP384_SHA384, &PKCS_ECDSA_P384_SHA384),
            (SignatureScheme::ED25519, &PKCS_ED25519),
            (SignatureScheme::RSA_PKCS1_SHA256, &PKCS_RSA_SHA256),
        ];
        let signer = authority.key.choose_scheme(&known.map(|(scheme, _)| scheme));
        let signer = signer.ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        let algorithm = known.iter().find(|(scheme, _)| *scheme == signer.scheme());
        let (_, algorithm) = algorithm.ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(authority.certificate.der())
            .map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        let public = parsed.public_key().subject_public_key.data.to_vec();
        Ok(Self { signer, algorithm, public })
    }
}

impl PublicKeyData for Signature {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl rcgen::SigningKey for Signature {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signer.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// In every leaf: API servers of this host come by the loopback address.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Nothing random, so that a leaf can be told in a report.
const LEAF_NAME: &str = "iamgate";
/// Clocks of hosts that read the same CA differ, and a clock may be set back after a boot.
const BACKDATED: Duration = Duration::from_secs(60 * 60);
