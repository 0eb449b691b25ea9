//! The private CA and the webhook's leaf: what there is, what it lacks, the smallest repair.
//!
//! Bytes in, bytes out: [`plan`] is told what lies on the host and says for each file whether it
//! stays or what its new content is, and why. Pure but for randomness: it touches no file, sets no
//! mode and asks no clock. It never begins a rotation by itself, since API servers before 1.36 take
//! a new CA at a restart only; what becomes due is a warning.
//!
//! `ca.pem` is a bundle of one or two, the CA in charge first. A rotation takes two runs: in the
//! first the new CA joins the bundle and the leaf stays with the old one, so that an API server that
//! has not read the bundle yet still trusts it; in the second, the new CA signs a new leaf.
//!
//! A pair that the reference made, self-signed and a CA, is kept as it is while nothing is wrong
//! with it: `ca.pem` is then exactly that certificate, which pins it, and there is no CA key.

mod decide;
mod issue;
mod name;
mod read;
mod tell;

use std::fmt;
use std::time::Duration;

pub use self::decide::plan;
pub use self::name::{Name, NameFault};
pub use self::read::Facts;
use crate::clock::UnixTime;
use crate::secret::Secret;

/// How much of each file is worth reading, in bytes: ten RSA-4096 certificates take 25 KiB.
pub const PEM_LIMIT: usize = 256 * 1024;

/// What is on the host: the content of each file that is there, at most [`PEM_LIMIT`] bytes of it.
#[derive(Clone, Copy, Default)]
pub struct Found<'a> {
    /// `ca.pem`: one CA, or a bundle.
    pub ca: Option<&'a [u8]>,
    /// The key of the first CA in `ca.pem`: PKCS#8, SEC1 or PKCS#1.
    pub ca_key: Option<&'a [u8]>,
    /// `cert.pem`: the leaf, and maybe certificates between it and the CA.
    pub leaf: Option<&'a [u8]>,
    /// `key.pem`: PKCS#8, SEC1 or PKCS#1.
    pub key: Option<&'a [u8]>,
}

/// What there should be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The host of the webhook's URL; a leaf without it is of no use.
    pub host: Name,
    /// Further names that a leaf must have. A new leaf has `localhost`, `127.0.0.1` and `::1` too,
    /// which are not asked of a leaf that somebody else made.
    pub names: Vec<Name>,
    /// How long what is new is valid.
    pub lifetimes: Lifetimes,
    /// What to replace although nothing is wrong with it.
    pub rotate: Option<Rotate>,
    /// The present moment.
    pub now: UnixTime,
}

/// What `--rotate` names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rotate {
    /// A new leaf by the same CA. Of a [`Kind::Pinned`] pair there is no leaf apart from its CA, so
    /// that this is [`Self::Ca`].
    Leaf,
    /// A new CA beside the old one; the next run makes the leaf. Where that next run is still to
    /// come, this is it, and no third CA is made.
    Ca,
}

/// How long certificates are valid from the moment that they are made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lifetimes {
    ca: Duration,
    leaf: Option<Duration>,
}

/// A lifetime out of bounds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected a lifetime of {} between 1 and {LONGEST_DAYS} days, found {}", part, seconds(*found))]
pub struct LifetimeFault {
    /// Of what.
    pub part: Part,
    /// What was given.
    pub found: Duration,
}

/// What the host should have, and why that is more than it has.
#[derive(Debug)]
pub struct Certificates {
    /// Whose CA it is.
    pub kind: Kind,
    /// `ca.pem`.
    pub ca: Material<String>,
    /// The CA's key. [`Material::Keep`] where there is none and none is needed.
    pub ca_key: Material<Secret>,
    /// `cert.pem`.
    pub leaf: Material<String>,
    /// `key.pem`; new if and only if the leaf is.
    pub key: Material<Secret>,
    /// Why something is new, what came first first; empty if and only if nothing is.
    pub reasons: Vec<Reason>,
    /// What is not wrong yet.
    pub warnings: Vec<Warning>,
    /// About each certificate of `ca.pem` as it should be, in its order.
    pub authorities: Vec<Facts>,
    /// About the leaf as it should be.
    pub facts: Facts,
}

/// What becomes of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Material<T> {
    /// It stays as it is, absent if it is absent.
    Keep,
    /// It gets this content.
    New(T),
}

/// Whose CA signs the leaf.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A CA that signs leaves.
    Private,
    /// The reference's: a certificate that is its own CA, trusted as exactly itself.
    Pinned,
}

/// Which of the things here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The CA in charge: the first certificate of `ca.pem`.
    Ca,
    /// A CA behind it in `ca.pem`, left from a rotation.
    OldCa,
    /// The key of the CA in charge.
    CaKey,
    /// `cert.pem`.
    Leaf,
    /// `key.pem`.
    Key,
}

/// One reason why something is new.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reason {
    /// What it is about.
    pub part: Part,
    /// What is the matter with it.
    pub why: Why,
}

/// What can be the matter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Why {
    /// There is none.
    Missing,
    /// It cannot be read.
    Unparsable,
    /// Its time is over.
    Expired,
    /// Its time is still to come.
    NotYetValid,
    /// Two thirds of its time are over, and a new one would last longer.
    Renewal,
    /// The key belongs to another certificate.
    KeyMismatch,
    /// The leaf is not valid for this name.
    MissingName(Name),
    /// No CA in `ca.pem` has signed the leaf.
    NotSignedByCa,
    /// The CA that signed the leaf is not the one in charge any more.
    OldCa,
    /// The leaf is a CA, and not one that is trusted as exactly itself.
    IsCa,
    /// The CA is none: it may not sign certificates.
    NotCa,
    /// The leaf is for other uses than a TLS server's.
    NotForServers,
    /// It was asked for.
    Rotated,
}

/// What is not wrong yet, or not ours to change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Warning {
    /// The CA's key is not here, cannot be read or belongs to another: the CA can sign no new leaf.
    /// The leaf that there is serves on.
    CannotSign(KeyTrouble),
    /// Two thirds of the CA's time are over; leaves end with it at the latest. `--rotate ca` is due.
    CaEnds(UnixTime),
    /// Two thirds of the leaf's time are over, and there is nothing to renew it with.
    LeafEnds(UnixTime),
    /// The leaf is still signed by the CA before the one in charge. The next run replaces it: to
    /// come once every API server that asks this host has read the new `ca.pem`.
    RotationPending,
    /// `--rotate ca` found a rotation half done, and did its other half; another was not begun.
    RotationFinished,
}

/// Why a CA cannot sign.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyTrouble {
    /// There is no key.
    Missing,
    /// It cannot be read.
    Unparsable,
    /// It is another CA's.
    KeyMismatch,
}

/// Why there is no plan. Nothing should be changed then.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesFault {
    /// A certificate made now would be wrong in its dates, and those that there are would seem so.
    #[error("expected a clock that is set, found {}", .0.rfc3339())]
    Clock(UnixTime),
    /// The library could not make a certificate or a key.
    #[error("cannot make a certificate")]
    Issue(#[from] rcgen::Error),
    /// The CA signed a leaf that is not valid by it: it has limits that this program does not know.
    #[error("expected a CA whose leaves are valid for {0}, found one with limits of its own")]
    Limited(Name),
}

impl Lifetimes {
    /// `leaf` is as long as the CA if there is none, and never longer.
    ///
    /// # Errors
    /// Less than a day, or more than 100 years.
    pub fn new(ca: Duration, leaf: Option<Duration>) -> Result<Self, LifetimeFault> {
        for (part, found) in [(Part::Ca, Some(ca)), (Part::Leaf, leaf)] {
            match found {
                Some(found) if !(DAY..=DAY * LONGEST_DAYS).contains(&found) => {
                    return Err(LifetimeFault { part, found });
                }
                Some(_) | None => {}
            }
        }
        Ok(Self { ca, leaf })
    }
}

impl Default for Lifetimes {
    /// Ten years for both: a leaf that ends sooner locks people out by surprise.
    fn default() -> Self {
        Self { ca: DAY * 3650, leaf: None }
    }
}

impl fmt::Debug for Found<'_> {
    /// Tells which files there are, and nothing of what is in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("ca", &self.ca.is_some())
            .field("ca_key", &self.ca_key.is_some())
            .field("leaf", &self.leaf.is_some())
            .field("key", &self.key.is_some())
            .finish()
    }
}

impl<T> Material<T> {
    /// The new content, if there is one.
    pub fn as_new(&self) -> Option<&T> {
        match self {
            Self::Keep => None,
            Self::New(content) => Some(content),
        }
    }

    /// Whether the file changes.
    pub fn is_new(&self) -> bool {
        self.as_new().is_some()
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What the reference gives its certificates.
const LONGEST_DAYS: u32 = 100 * 365;

#[cfg(test)]
mod tests;
