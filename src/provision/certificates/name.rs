//! A name that a server's certificate is valid for: a DNS name in lower case or an IP address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rcgen::SanType;
use rcgen::string::Ia5String;
use rustls::pki_types::{DnsName, ServerName};

/// A DNS name or an IP address. No wildcard, no trailing dot, no address that names nobody.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Name(Kind);

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Kind {
    Dns(DnsName<'static>),
    Ip(IpAddr),
}

/// Text that names no server.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected a host name or an IP address for the certificate, found {0:?}")]
pub struct NameFault(Box<str>);

impl Name {
    pub(super) fn server_name(&self) -> ServerName<'_> {
        match &self.0 {
            Kind::Dns(name) => ServerName::DnsName(name.borrow()),
            Kind::Ip(address) => ServerName::from(*address),
        }
    }

    pub(super) fn alternative(&self) -> Result<SanType, rcgen::Error> {
        Ok(match &self.0 {
            Kind::Dns(name) => SanType::DnsName(Ia5String::try_from(name.as_ref())?),
            Kind::Ip(address) => SanType::IpAddress(*address),
        })
    }
}

impl From<IpAddr> for Name {
    fn from(address: IpAddr) -> Self {
        Self(Kind::Ip(address))
    }
}

impl FromStr for Name {
    type Err = NameFault;

    /// IPv6 addresses stand without brackets.
    fn from_str(text: &str) -> Result<Self, NameFault> {
        let fault = || NameFault(text.chars().take(LONGEST_TOLD).collect());
        if let Ok(address) = text.parse::<IpAddr>() {
            return if address.is_unspecified() { Err(fault()) } else { Ok(address.into()) };
        }
        // A certificate with the dot is valid for neither spelling in some libraries.
        if text.ends_with('.') {
            return Err(fault());
        }
        match DnsName::try_from(text.to_ascii_lowercase()) {
            Ok(name) => Ok(Self(Kind::Dns(name))),
            Err(_) => Err(fault()),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Dns(name) => f.write_str(name.as_ref()),
            Kind::Ip(address) => address.fmt(f),
        }
    }
}

/// A DNS name has at most 253 characters.
const LONGEST_TOLD: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        for (text, told) in [
            ("LocalHost", "localhost"),
            ("node-1.Example.com", "node-1.example.com"),
            ("127.0.0.1", "127.0.0.1"),
            ("0:0:0:0:0:0:0:1", "::1"),
        ] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), told);
        }
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for text in ["", "a b", "*.example.com", "example.com.", "0.0.0.0", "::", "[::1]", "a/b"] {
            assert_eq!(text.parse::<Name>(), Err(NameFault(text.into())));
        }
        let long = "a".repeat(300);
        assert_eq!(long.parse::<Name>(), Err(NameFault(long[..255].into())));
    }
}
