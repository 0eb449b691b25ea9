//! The decision: what is new, and why.

use super::issue::{self, Authority, Issued};
use super::read::{Bundle, Certificate};
use super::{
    Certificates, CertificatesFault, Found, Kind, Material, Part, Reason, Rotate, Wanted, Warning,
    Why,
};
use crate::clock::UnixTime;

/// Says what the host should have; see the module.
///
/// Applied to its own outcome, the plan without a rotation is to keep everything, but for the one
/// second step that [`Warning::RotationPending`] announces.
///
/// # Errors
/// A clock that is not set; what cannot be made. A file that is wrong is no error: it is repaired.
pub fn plan(found: &Found<'_>, wanted: &Wanted) -> Result<Certificates, CertificatesFault> {
    if wanted.now < EARLIEST {
        return Err(CertificatesFault::Clock(wanted.now));
    }
    let leaf = Leaf::look(found, wanted);
    let trusted = Trusted::look(found.ca, wanted.now);
    match leaf.pinned(&trusted) {
        Some(pinned) => pinned_pair(pinned, &trusted, wanted),
        None => private_pair(&leaf, &trusted, found, wanted),
    }
}

/// The leaf's two files.
struct Leaf {
    certificate: Option<Certificate>,
    /// What follows the leaf in its file.
    between: Vec<Certificate>,
    /// What is wrong with it, whoever has signed it.
    faults: Vec<Reason>,
}

impl Leaf {
    fn look(found: &Found<'_>, wanted: &Wanted) -> Self {
        let without = |why| {
            let faults = vec![Reason { part: Part::Leaf, why }];
            Self { certificate: None, between: Vec::new(), faults }
        };
        let Some(pem) = found.leaf else { return without(Why::Missing) };
        let Bundle { certificates, spoiled } = Bundle::read(pem);
        let mut certificates = certificates.into_iter();
        // The server does not load a file that it cannot read to its end.
        let Some(leaf) = certificates.next().filter(|_| !spoiled) else {
            return without(Why::Unparsable);
        };
        let mut faults = Vec::new();
        if let Err(trouble) = leaf.key(found.key) {
            faults.push(Reason { part: Part::Key, why: trouble.why() });
        }
        let names = [&wanted.host].into_iter().chain(&wanted.names);
        let missing = names.filter(|name| !leaf.is_valid_for(name)).cloned().map(Why::MissingName);
        let wrong = leaf.untimely(wanted.now).into_iter().chain(missing);
        faults.extend(wrong.map(|why| Reason { part: Part::Leaf, why }));
        Self { certificate: Some(leaf), between: certificates.collect(), faults }
    }

    /// The certificate, if it is the reference's form of a pair and nothing is wrong with it.
    fn pinned(&self, trusted: &Trusted) -> Option<&Certificate> {
        let leaf = self.certificate.as_ref()?;
        let is_pin = leaf.is_ca() && leaf.is_own_issuer() && self.faults.is_empty();
        (is_pin && trusted.all.iter().all(|one| one == leaf)).then_some(leaf)
    }

    /// What is wrong with it, if `signer` has signed it.
    fn judged(&self, signer: Option<&Certificate>) -> Vec<Reason> {
        let mut faults = self.faults.clone();
        if let (Some(leaf), None) = (&self.certificate, signer) {
            let why = if leaf.is_ca() {
                Why::IsCa
            } else if !leaf.is_for_servers() {
                Why::NotForServers
            } else {
                Why::NotSignedByCa
            };
            faults.push(Reason { part: Part::Leaf, why });
        }
        faults
    }
}

/// `ca.pem`.
struct Trusted {
    /// All of it, in its order.
    all: Vec<Certificate>,
    /// Those that leaves can rely on now, in the same order.
    usable: Vec<Certificate>,
    /// Why the others are none of them.
    faults: Vec<Reason>,
    spoiled: bool,
}

impl Trusted {
    fn look(pem: Option<&[u8]>, now: UnixTime) -> Self {
        let Bundle { certificates: all, spoiled } = pem.map(Bundle::read).unwrap_or_default();
        let (mut usable, mut faults) = (Vec::new(), Vec::new());
        for (place, one) in all.iter().enumerate() {
            let part = if place == 0 { Part::Ca } else { Part::OldCa };
            let why = if one.is_authority() { one.untimely(now) } else { Some(Why::NotCa) };
            match why {
                Some(why) => faults.push(Reason { part, why }),
                None => usable.push(one.clone()),
            }
        }
        match pem {
            None => faults.push(Reason { part: Part::Ca, why: Why::Missing }),
            Some(_) if all.is_empty() => {
                faults.push(Reason { part: Part::Ca, why: Why::Unparsable });
            }
            Some(_) if spoiled => {
                faults.push(Reason { part: Part::OldCa, why: Why::Unparsable });
            }
            Some(_) => {}
        }
        Self { all, usable, faults, spoiled }
    }

    /// Which of the usable ones has signed the leaf, or is it.
    fn signer(&self, leaf: &Leaf, now: UnixTime) -> Option<&Certificate> {
        let certificate = leaf.certificate.as_ref()?;
        self.usable
            .iter()
            .find(|one| *one == certificate || certificate.is_signed_by(one, &leaf.between, now))
    }
}

/// The reference's pair, with which nothing is wrong.
fn pinned_pair(
    pinned: &Certificate,
    trusted: &Trusted,
    wanted: &Wanted,
) -> Result<Certificates, CertificatesFault> {
    if wanted.rotate.is_some() {
        let reasons = vec![Reason { part: Part::Ca, why: Why::Rotated }];
        return new_ca(Some((pinned, pinned)), None, reasons, wanted);
    }
    let stays = !trusted.all.is_empty() && !trusted.spoiled;
    let reasons = if stays { Vec::new() } else { trusted.faults.clone() };
    let pin = std::slice::from_ref(pinned);
    let mut plan = Certificates { kind: Kind::Pinned, ..kept(pin, pinned, reasons) };
    if !stays {
        plan.ca = Material::New(bundle(pin));
    }
    if pinned.is_due(wanted.now) {
        plan.warnings.push(Warning::LeafEnds(pinned.not_after()));
    }
    Ok(plan)
}

/// A CA that signs leaves, be it that there is none yet.
fn private_pair(
    leaf: &Leaf,
    trusted: &Trusted,
    found: &Found<'_>,
    wanted: &Wanted,
) -> Result<Certificates, CertificatesFault> {
    let signer = trusted.signer(leaf, wanted.now);
    let hard = leaf.judged(signer);
    let sound = leaf.certificate.as_ref().filter(|_| hard.is_empty()).zip(signer);
    let mut reasons = trusted.faults.clone();
    let Some(first) = trusted.usable.first() else {
        reasons.extend(hard);
        return new_ca(None, None, reasons, wanted);
    };
    let by_old = signer.is_some_and(|signer| signer != first);
    let key = first.key(found.ca_key);
    let asked = wanted.rotate == Some(Rotate::Ca);
    // With a rotation half done, a third CA would push the one out that the leaf relies on.
    if asked && (sound.is_none() || !by_old || key.is_err()) {
        reasons.push(Reason { part: Part::Ca, why: Why::Rotated });
        reasons.extend(hard);
        return new_ca(sound, Some(first), reasons, wanted);
    }
    let mut wanting = hard;
    wanting.extend(sound.into_iter().flat_map(|(leaf, _)| soft(leaf, first, by_old, wanted)));
    let mut plan = match (key, sound) {
        (Ok(_), Some((leaf, _))) if wanting.is_empty() => kept(&trusted.usable, leaf, reasons),
        (Ok(key), _) => {
            reasons.extend(wanting);
            let leaf = Authority::new(first.clone(), key).leaf(wanted)?;
            renewed(&trusted.usable, leaf, reasons)
        }
        // The leaf of an old CA serves on while the one in charge has no key.
        (Err(trouble), Some((leaf, _))) if wanting.iter().all(|one| one.why == Why::OldCa) => {
            let mut plan = kept(&trusted.usable, leaf, reasons);
            plan.warnings.push(Warning::CannotSign(trouble));
            plan
        }
        (Err(trouble), _) => {
            reasons.push(Reason { part: Part::CaKey, why: trouble.why() });
            reasons.extend(wanting.into_iter().filter(|one| one.why != Why::OldCa));
            return new_ca(sound, Some(first), reasons, wanted);
        }
    };
    if !trusted.faults.is_empty() {
        plan.ca = Material::New(bundle(&trusted.usable));
    }
    if asked {
        plan.warnings.push(Warning::RotationFinished);
    }
    if first.is_due(wanted.now) {
        plan.warnings.push(Warning::CaEnds(first.not_after()));
    }
    Ok(plan)
}

/// Why a leaf with which nothing is wrong should be another.
fn soft(leaf: &Certificate, first: &Certificate, by_old: bool, wanted: &Wanted) -> Vec<Reason> {
    // A leaf that is as long as it can be would be renewed again and again.
    let renewal = leaf.is_due(wanted.now) && issue::leaf_end(wanted, first) > leaf.not_after();
    let reasons = [
        (by_old, Why::OldCa),
        (wanted.rotate == Some(Rotate::Leaf), Why::Rotated),
        (renewal, Why::Renewal),
    ];
    let reasons = reasons.into_iter().filter(|(applies, _)| *applies);
    reasons.map(|(_, why)| Reason { part: Part::Leaf, why }).collect()
}

/// A new CA before the one that clients know. A `sound` leaf stays with its signer until the next
/// run; where there is none, the new CA signs one at once, and the CA `before` stays for the moment
/// in which a server still answers with the leaf that it has.
fn new_ca(
    sound: Option<(&Certificate, &Certificate)>,
    before: Option<&Certificate>,
    reasons: Vec<Reason>,
    wanted: &Wanted,
) -> Result<Certificates, CertificatesFault> {
    let (authority, key) = issue::authority(wanted)?;
    let second = sound.map(|(_, signer)| signer).or(before);
    let both: Vec<_> = [&authority.certificate].into_iter().chain(second).cloned().collect();
    let mut plan = match sound {
        Some((leaf, _)) => kept(&both, leaf, reasons),
        None => renewed(&both, authority.leaf(wanted)?, reasons),
    };
    plan.ca = Material::New(bundle(&both));
    plan.ca_key = Material::New(key);
    if sound.is_some() {
        plan.warnings.push(Warning::RotationPending);
    }
    Ok(plan)
}

/// Everything stays.
fn kept(authorities: &[Certificate], leaf: &Certificate, reasons: Vec<Reason>) -> Certificates {
    Certificates {
        kind: Kind::Private,
        ca: Material::Keep,
        ca_key: Material::Keep,
        leaf: Material::Keep,
        key: Material::Keep,
        reasons,
        warnings: Vec::new(),
        authorities: authorities.iter().map(Certificate::facts).collect(),
        facts: leaf.facts(),
    }
}

/// Everything stays but the leaf and its key.
fn renewed(authorities: &[Certificate], leaf: Issued, reasons: Vec<Reason>) -> Certificates {
    let Issued { certificate, key } = leaf;
    Certificates {
        leaf: Material::New(certificate.pem()),
        key: Material::New(key),
        ..kept(authorities, &certificate, reasons)
    }
}

fn bundle(certificates: &[Certificate]) -> String {
    certificates.iter().map(Certificate::pem).collect()
}

/// 2026-01-01T00:00:00Z: this program is younger.
const EARLIEST: UnixTime = UnixTime::from_secs(1_767_225_600);
