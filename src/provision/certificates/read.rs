//! Certificates and keys as they are found: what each says, and whether they belong together.
//!
//! Parsing and path validation are libraries'; this asks them the questions that a plan needs.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{self, CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{InconsistentKeys, RootCertStore};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::{KeyTrouble, Name, Why};
use crate::clock::UnixTime;
use crate::keypair::pem_of;

/// One certificate, read once.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    der: CertificateDer<'static>,
    not_before: UnixTime,
    not_after: UnixTime,
    names: Vec<String>,
    subject: String,
    is_ca: bool,
    is_own_issuer: bool,
    may_sign: bool,
    for_servers: bool,
}

/// What can be told about a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// The first moment of its validity.
    pub not_before: UnixTime,
    /// The last moment of its validity.
    pub not_after: UnixTime,
    /// The names that it is valid for, as text.
    pub names: Vec<String>,
    /// SHA-256 of the certificate in DER: 64 hexadecimal digits.
    pub sha256: String,
    /// Subject, names and end in one line, without anything random in a leaf of ours:
    /// `CN=iamgate, localhost, 127.0.0.1, ::1, until 2036-11-25`.
    pub description: String,
}

/// The certificates of a file, in their order.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    pub(super) certificates: Vec<Certificate>,
    /// Whether there was also something that is no certificate.
    pub(super) spoiled: bool,
}

impl Bundle {
    pub(super) fn read(pem: &[u8]) -> Self {
        let mut bundle = Self::default();
        for der in CertificateDer::pem_slice_iter(pem) {
            let Ok(der) = der else {
                bundle.spoiled = true;
                break;
            };
            match Certificate::read(&der) {
                Some(certificate) => bundle.certificates.push(certificate),
                None => bundle.spoiled = true,
            }
        }
        bundle
    }
}

impl Certificate {
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        // What TLS cannot read is of no use; it takes no byte too many either.
        ParsedCertificate::try_from(der).ok()?;
        let time = |time: x509_parser::time::ASN1Time| {
            UnixTime::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
        };
        Some(Self {
            der: der.clone().into_owned(),
            not_before: time(parsed.validity().not_before),
            not_after: time(parsed.validity().not_after),
            names: names(&parsed),
            subject: told(&parsed.subject().to_string()),
            is_ca: parsed.is_ca(),
            is_own_issuer: parsed.subject() == parsed.issuer(),
            may_sign: match parsed.key_usage() {
                Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
                Err(_) => false,
            },
            for_servers: match parsed.extended_key_usage() {
                Ok(usage) => usage.is_none_or(|usage| usage.value.server_auth || usage.value.any),
                Err(_) => false,
            },
        })
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    pub(super) fn pem(&self) -> String {
        pem_of(&self.der).into()
    }

    pub(super) fn not_before(&self) -> UnixTime {
        self.not_before
    }

    pub(super) fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Whether it says of itself that it is a CA.
    pub(super) fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// Whether it names itself as its issuer.
    pub(super) fn is_own_issuer(&self) -> bool {
        self.is_own_issuer
    }

    /// Whether what it has signed is a valid certificate.
    pub(super) fn is_authority(&self) -> bool {
        self.is_ca && self.may_sign
    }

    /// Whether a TLS server may use it.
    pub(super) fn is_for_servers(&self) -> bool {
        self.for_servers
    }

    /// What is wrong with its dates.
    pub(super) fn untimely(&self, now: UnixTime) -> Option<Why> {
        if now > self.not_after {
            Some(Why::Expired)
        } else if now < self.not_before {
            Some(Why::NotYetValid)
        } else {
            None
        }
    }

    /// Whether two thirds of its time are over.
    pub(super) fn is_due(&self, now: UnixTime) -> bool {
        let (from, to) = (self.not_before.as_secs(), self.not_after.as_secs());
        now.as_secs().saturating_sub(from) >= to.saturating_sub(from) / 3 * 2
    }

    pub(super) fn is_valid_for(&self, name: &Name) -> bool {
        let Ok(parsed) = ParsedCertificate::try_from(&self.der) else { return false };
        verify_server_name(&parsed, &name.server_name()).is_ok()
    }

    /// Whether a TLS client that trusts `authority` alone takes this, which must be no CA, as a server's certificate, its
    /// names and its own dates aside; `between` are the certificates that the server sends along.
    pub(super) fn is_signed_by(&self, authority: &Self, between: &[Self], now: UnixTime) -> bool {
        let mut roots = RootCertStore::empty();
        let Ok(parsed) = ParsedCertificate::try_from(&self.der) else { return false };
        if roots.add(authority.der.clone()).is_err() {
            return false;
        }
        let between: Vec<_> = between.iter().map(|one| one.der.clone()).collect();
        // Dates are judged apart: an expired leaf is still signed by its CA.
        let then = now.max(self.not_before).min(self.not_after).as_secs();
        let then = pki_types::UnixTime::since_unix_epoch(Duration::from_secs(then));
        let algorithms = default_provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &between, then, algorithms)
            .is_ok()
    }

    /// The key of `pem`, if it is this certificate's.
    pub(super) fn key(&self, pem: Option<&[u8]>) -> Result<Arc<dyn SigningKey>, KeyTrouble> {
        let pem = pem.ok_or(KeyTrouble::Missing)?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyTrouble::Unparsable)?;
        match CertifiedKey::from_der(vec![self.der.clone()], key, &default_provider()) {
            Ok(certified) => Ok(certified.key),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(KeyTrouble::KeyMismatch)
            }
            Err(_) => Err(KeyTrouble::Unparsable),
        }
    }

    pub(super) fn facts(&self) -> Facts {
        let end = self.not_after.rfc3339();
        let day = end.split('T').next().unwrap_or(&end);
        let mut description = self.subject.clone();
        for name in self.names.iter().take(MOST_NAMES_TOLD) {
            description.push_str(", ");
            description.push_str(name);
        }
        if let Some(more) = self.names.len().checked_sub(MOST_NAMES_TOLD + 1) {
            // Writing into a `String` cannot fail.
            let _ = write!(description, ", and {} more", more + 1);
        }
        let _ = write!(description, ", until {day}");
        Facts {
            not_before: self.not_before,
            not_after: self.not_after,
            names: self.names.clone(),
            sha256: hex(digest(&SHA256, &self.der).as_ref()),
            description,
        }
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    names.value.general_names.iter().map(spelled).collect()
}

fn spelled(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => told(name),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            match four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)) {
                Ok(address) => address.to_string(),
                Err(_) => told(&name.to_string()),
            }
        }
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => told(&name.to_string()),
    }
}

/// A stranger's text in one line of ours.
fn told(text: &str) -> String {
    text.chars().take(LONGEST_TOLD).flat_map(char::escape_debug).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A line has room for about so many.
const MOST_NAMES_TOLD: usize = 8;
/// A DNS name has at most 253 characters.
const LONGEST_TOLD: usize = 255;
