//! Makes a self-signed certificate that is its own CA. Pure but for randomness: writes nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;

use super::{Hostname, KeyPairFault, Names};
use crate::clock::UnixTime;
use crate::secret::Secret;

/// What the reference writes. Such a certificate is pinned, not trusted by a path, so that its
/// end would only lock people out.
const LIFETIME: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
const COMMON_NAME: &str = "aws-iam-authenticator";

/// A new certificate and its key, as PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: Secret,
    /// Of certificate and key in DER, in bytes.
    pub(super) sizes: (usize, usize),
}

pub(super) fn self_signed(names: &Names, now: UnixTime) -> Result<Issued, KeyPairFault> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    params.not_before = moment(now).into();
    params.not_after = moment(now.plus(LIFETIME)).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names = alternative_names(names)?;
    let certificate = params.self_signed(&key)?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: Secret::new(key.serialize_pem()),
        sizes: (certificate.der().len(), key.serialized_der().len()),
    })
}

/// `der` as a PEM block, whatever stood around it in the file.
pub(crate) fn pem_of(der: &CertificateDer<'_>) -> Box<str> {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new("CERTIFICATE", der.to_vec()), lines).into()
}

/// The address unless it is unspecified, then the host name unless it repeats the address.
fn alternative_names(names: &Names) -> Result<Vec<SanType>, KeyPairFault> {
    let mut all: Vec<_> = names.address.map(SanType::IpAddress).into_iter().collect();
    match &names.hostname {
        Hostname::Ip(ip) if names.address == Some(*ip) => {}
        Hostname::Ip(ip) => all.push(SanType::IpAddress(*ip)),
        Hostname::Dns(name) => {
            all.push(SanType::DnsName(Ia5String::try_from(name.as_ref())?));
        }
    }
    Ok(all)
}

fn moment(time: UnixTime) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs())).unwrap_or(UNIX_EPOCH)
}
