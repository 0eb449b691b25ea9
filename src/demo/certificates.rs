//! A throw-away CA and leaves that it signs, good for an hour.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::clock::UnixTime;

/// A CA whose key never leaves this process.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A leaf's certificate and key, as PEM.
pub(super) struct Leaf {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new(now: UnixTime) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "iamgate demo");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        lifetime(&mut params, now);
        CertifiedIssuer::self_signed(params, KeyPair::generate()?).map(Self)
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A leaf for `names`: DNS names or IP addresses.
    pub(super) fn leaf(&self, names: &[&str], now: UnixTime) -> Result<Leaf, rcgen::Error> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        lifetime(&mut params, now);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Leaf { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// rcgen's own default reaches from 1975 to 4096.
fn lifetime(params: &mut CertificateParams, now: UnixTime) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    params.not_before = (now - SKEW).into();
    params.not_after = (now + HOUR).into();
}

const SKEW: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
