//! A host's four files, and ways to spoil them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::*;

pub(super) const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Host {
    pub(super) ca: Option<Vec<u8>>,
    pub(super) ca_key: Option<Vec<u8>>,
    pub(super) leaf: Option<Vec<u8>>,
    pub(super) key: Option<Vec<u8>>,
}

impl Host {
    /// With everything in order.
    pub(super) fn new() -> Self {
        let mut host = Self::default();
        host.run(&wanted());
        host
    }

    /// With a CA made at `then` for ten years, and a leaf of it for ten years from now.
    pub(super) fn made(then: UnixTime, spoil: fn(&mut CertificateParams)) -> Self {
        let mut host = Self::new();
        host.authority(|ca| {
            ca.not_before = moment(then).into();
            ca.not_after = (moment(then) + days(3650) - days(1)).into();
        });
        host.sign(spoil);
        host
    }

    pub(super) fn found(&self) -> Found<'_> {
        Found {
            ca: self.ca.as_deref(),
            ca_key: self.ca_key.as_deref(),
            leaf: self.leaf.as_deref(),
            key: self.key.as_deref(),
        }
    }

    /// Plans, and writes what is new.
    pub(super) fn run(&mut self, wanted: &Wanted) -> Certificates {
        let plan = plan(&self.found(), wanted).unwrap();
        let text = |new: &Material<String>| new.as_new().map(|text| text.clone().into_bytes());
        let key = |new: &Material<Secret>| new.as_new().map(|key| key.expose().into());
        self.ca = text(&plan.ca).or_else(|| self.ca.take());
        self.ca_key = key(&plan.ca_key).or_else(|| self.ca_key.take());
        self.leaf = text(&plan.leaf).or_else(|| self.leaf.take());
        self.key = key(&plan.key).or_else(|| self.key.take());
        let changed = plan.ca.is_new() || plan.leaf.is_new();
        assert_eq!(plan.reasons.is_empty(), !changed, "{plan:?}");
        plan
    }

    #[track_caller]
    pub(super) fn keeps_everything(&mut self, wanted: &Wanted) {
        let before = self.clone();
        let again = self.run(wanted);
        assert_eq!(again.reasons, []);
        assert_eq!(*self, before);
    }

    pub(super) fn ca_text(&self) -> String {
        String::from_utf8(self.ca.clone().unwrap()).unwrap()
    }

    /// How many certificates `ca.pem` has.
    pub(super) fn cas(&self) -> usize {
        self.ca_text().matches("BEGIN CERTIFICATE").count()
    }

    /// Replaces the CA, which signs nothing.
    pub(super) fn authority(&mut self, spoil: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        spoil(&mut params);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        self.ca = Some(ca.pem().into());
        self.ca_key = Some(ca.key().serialize_pem().into());
    }

    /// Replaces the leaf by another of the same CA, valid from now for ten years and for localhost.
    pub(super) fn sign(&mut self, spoil: impl FnOnce(&mut CertificateParams)) {
        let text = |pem: &Option<Vec<u8>>| String::from_utf8(pem.clone().unwrap()).unwrap();
        let ca_key = KeyPair::from_pem(&text(&self.ca_key)).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&text(&self.ca), ca_key).unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = moment(NOW).into();
        params.not_after = (moment(NOW) + days(3650)).into();
        spoil(&mut params);
        let key = KeyPair::generate().unwrap();
        self.leaf = Some(params.signed_by(&key, &issuer).unwrap().pem().into());
        self.key = Some(key.serialize_pem().into());
    }
}

/// A CA whose time is over.
pub(super) fn old_ca() -> String {
    let mut host = Host::default();
    host.authority(|ca| ca.not_after = (moment(NOW) - days(1)).into());
    host.ca_text()
}

pub(super) fn wanted() -> Wanted {
    Wanted {
        host: "localhost".parse().unwrap(),
        names: vec![],
        lifetimes: Lifetimes::default(),
        rotate: None,
        now: NOW,
    }
}

pub(super) fn reason(part: Part, why: Why) -> Reason {
    Reason { part, why }
}

pub(super) fn days(days: u32) -> Duration {
    DAY * days
}

/// So many days after the present moment.
pub(super) fn later(days: i64) -> UnixTime {
    UnixTime::from_secs(NOW.as_secs().checked_add_signed(days * 86_400).unwrap())
}

pub(super) fn moment(time: UnixTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.as_secs())
}
