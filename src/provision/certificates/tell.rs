//! Reasons and warnings in words, for reports and logs.

use std::fmt;

use super::{KeyTrouble, Part, Reason, Warning, Why};

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ca => "the CA",
            Self::OldCa => "the CA before",
            Self::CaKey => "the CA's key",
            Self::Leaf => "the certificate",
            Self::Key => "the certificate's key",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.part, self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Unparsable => f.write_str("cannot be read"),
            Self::Expired => f.write_str("has expired"),
            Self::NotYetValid => f.write_str("is not valid yet"),
            Self::Renewal => f.write_str("has two thirds of its time behind it"),
            Self::KeyMismatch => f.write_str("belongs to another certificate"),
            Self::MissingName(name) => write!(f, "is not valid for {name}"),
            Self::NotSignedByCa => f.write_str("is not signed by a CA of ca.pem"),
            Self::OldCa => f.write_str("is signed by the CA before the one in charge"),
            Self::IsCa => f.write_str("is a CA"),
            Self::NotCa => f.write_str("may not sign certificates"),
            Self::NotForServers => f.write_str("is not for TLS servers"),
            Self::Rotated => f.write_str("is to be rotated"),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotSign(trouble) => {
                write!(f, "the CA cannot sign a new certificate: its key {}", trouble.why())
            }
            Self::CaEnds(end) => write!(
                f,
                "the CA ends at {}, with two thirds of its time behind it; rotate it with \
                 --rotate ca",
                end.rfc3339()
            ),
            Self::LeafEnds(end) => write!(
                f,
                "the certificate ends at {}, with two thirds of its time behind it; replace it \
                 with --rotate ca",
                end.rfc3339()
            ),
            Self::RotationPending => f.write_str(
                "the certificate is still signed by the CA before; once every API server has \
                 read the new ca.pem, another run replaces it",
            ),
            Self::RotationFinished => f.write_str(
                "a rotation of the CA was half done and is finished now; another was not begun",
            ),
        }
    }
}

impl KeyTrouble {
    pub(super) fn why(self) -> Why {
        match self {
            Self::Missing => Why::Missing,
            Self::Unparsable => Why::Unparsable,
            Self::KeyMismatch => Why::KeyMismatch,
        }
    }
}
