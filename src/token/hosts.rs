//! Which STS hosts a token may name. Our own table; nothing is learnt from tokens.

use std::collections::BTreeSet;

use crate::identity::Partition;

/// The STS hosts that tokens may name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostPolicy {
    partition: Partition,
    regions: BTreeSet<Box<str>>,
    extra: BTreeSet<Box<str>>,
}

/// An STS host that the policy allows, spelt as in our table.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct StsHost {
    name: Box<str>,
    region: Option<Box<str>>,
    partition: Partition,
}

/// Why a host is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HostFault {
    #[error("the STS host is of another partition, or no STS host at all")]
    NotSts,
    #[error("the STS host names no region of this partition")]
    Region,
    #[error("the STS host's region is not in server.allowedRegions")]
    RegionNotAllowed,
    #[error("the global STS endpoint belongs to the partition aws only")]
    Global,
}

impl HostPolicy {
    /// Every STS host of `partition`: regional, dual-stack, FIPS, and the global one of `aws`.
    pub fn new(partition: Partition) -> Self {
        Self { partition, regions: BTreeSet::new(), extra: BTreeSet::new() }
    }

    /// Only these regions (`server.allowedRegions`), whatever their shape; empty means all of the
    /// partition's shape.
    #[must_use]
    pub fn allow_regions(self, regions: impl IntoIterator<Item = Box<str>>) -> Self {
        Self { regions: regions.into_iter().collect(), ..self }
    }

    /// These hosts too (`server.extraSTSHosts`), compared byte for byte.
    #[must_use]
    pub fn extra_hosts(self, hosts: impl IntoIterator<Item = Box<str>>) -> Self {
        Self { extra: hosts.into_iter().collect(), ..self }
    }

    /// Which partition it is about.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Judges `host`, as bytes: no case folding, no trailing dot, no port.
    ///
    /// # Errors
    /// The host is not one of the table's.
    pub fn judge(&self, host: &str) -> Result<StsHost, HostFault> {
        if self.extra.contains(host) {
            let region = host
                .strip_prefix("sts.")
                .and_then(|rest| rest.split_once('.'))
                .map(|(label, _)| label)
                .filter(|label| self.partition.names_region(label));
            return Ok(self.host(host, region));
        }
        if host == GLOBAL {
            return match self.partition {
                Partition::Aws if self.allows(GLOBAL_REGION) => {
                    Ok(self.host(host, Some(GLOBAL_REGION)))
                }
                Partition::Aws => Err(HostFault::RegionNotAllowed),
                Partition::AwsCn
                | Partition::AwsEusc
                | Partition::AwsIso
                | Partition::AwsIsoB
                | Partition::AwsIsoE
                | Partition::AwsIsoF
                | Partition::AwsUsGov => Err(HostFault::Global),
            };
        }
        let (service, rest) = host.split_once('.').ok_or(HostFault::NotSts)?;
        let (region, suffix) = rest.split_once('.').ok_or(HostFault::NotSts)?;
        let plain = suffix == self.partition.dns_suffix();
        let dual_stack = self.partition.dual_stack_suffix() == Some(suffix);
        match service {
            "sts" if plain || dual_stack => {}
            // GovCloud's regional hosts are the FIPS hosts; only dual-stack has a name of its own.
            "sts-fips" if dual_stack || (plain && self.partition != Partition::AwsUsGov) => {}
            _ => return Err(HostFault::NotSts),
        }
        if self.regions.is_empty() && !self.partition.names_region(region) {
            return Err(HostFault::Region);
        }
        if !self.allows(region) {
            return Err(HostFault::RegionNotAllowed);
        }
        Ok(self.host(host, Some(region)))
    }

    fn allows(&self, region: &str) -> bool {
        self.regions.is_empty() || self.regions.contains(region)
    }

    fn host(&self, name: &str, region: Option<&str>) -> StsHost {
        StsHost { name: name.into(), region: region.map(Into::into), partition: self.partition }
    }
}

impl StsHost {
    /// The host name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The region that requests to it are signed for; `None` where an extra host does not tell.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The value of the metric label `StsRegion`: `global`, a region of the partition's shape, or
    /// `other`, so that the label's values are a closed set.
    pub fn region_label(&self) -> &str {
        if &*self.name == GLOBAL {
            return "global";
        }
        self.region.as_deref().unwrap_or("other")
    }

    /// The partition that the policy is about.
    pub fn partition(&self) -> Partition {
        self.partition
    }
}

const GLOBAL: &str = "sts.amazonaws.com";
/// What requests to the global endpoint are signed for (STS API reference, "Endpoints").
const GLOBAL_REGION: &str = "us-east-1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_the_table_are_known_with_their_region() {
        for (partition, host, region, label) in [
            (Partition::Aws, "sts.amazonaws.com", "us-east-1", "global"),
            (Partition::Aws, "sts.us-west-2.amazonaws.com", "us-west-2", "us-west-2"),
            (Partition::Aws, "sts-fips.us-east-1.amazonaws.com", "us-east-1", "us-east-1"),
            (Partition::Aws, "sts.us-west-2.api.aws", "us-west-2", "us-west-2"),
            (Partition::Aws, "sts-fips.us-west-2.api.aws", "us-west-2", "us-west-2"),
            (Partition::AwsCn, "sts.cn-north-1.amazonaws.com.cn", "cn-north-1", "cn-north-1"),
            (
                Partition::AwsCn,
                "sts.cn-north-1.api.amazonwebservices.com.cn",
                "cn-north-1",
                "cn-north-1",
            ),
            (
                Partition::AwsUsGov,
                "sts.us-gov-east-1.amazonaws.com",
                "us-gov-east-1",
                "us-gov-east-1",
            ),
            (Partition::AwsIso, "sts.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", "us-iso-east-1"),
            (
                Partition::AwsIsoB,
                "sts.us-isob-east-1.sc2s.sgov.gov",
                "us-isob-east-1",
                "us-isob-east-1",
            ),
            (
                Partition::AwsEusc,
                "sts.eusc-de-east-1.amazonaws.eu",
                "eusc-de-east-1",
                "eusc-de-east-1",
            ),
        ] {
            let found = HostPolicy::new(partition).judge(host).unwrap();
            assert_eq!((found.region(), found.region_label()), (Some(region), label), "{host}");
            for other in Partition::ALL.into_iter().filter(|other| *other != partition) {
                let fault = HostPolicy::new(other).judge(host).unwrap_err();
                assert_ne!(fault, HostFault::RegionNotAllowed, "{other} {host}");
            }
        }
    }

    #[test]
    fn each_refusal_is_the_one_that_is_named() {
        use HostFault::{Global, NotSts, Region};
        for (partition, host, fault) in [
            (Partition::AwsCn, "sts.amazonaws.com", Global),
            (Partition::AwsUsGov, "sts.amazonaws.com", Global),
            (Partition::AwsUsGov, "sts.us-east-1.amazonaws.com", Region),
            (Partition::Aws, "sts.us-gov-west-1.amazonaws.com", Region),
            (Partition::AwsUsGov, "sts-fips.us-gov-west-1.amazonaws.com", NotSts),
            (Partition::Aws, "sts.aws-global.amazonaws.com", Region),
            (Partition::Aws, "sts.not-a-region.amazonaws.com", Region),
            (Partition::Aws, "sts.s3.amazonaws.com", Region),
            (Partition::Aws, "sts..amazonaws.com", Region),
            (Partition::Aws, "sts.us-west-2.amazonaws.com.evil.test", NotSts),
            (Partition::Aws, "sts.us-west-2.amazonaws.com.", NotSts),
            (Partition::Aws, "sts.us-west-2.evil-amazonaws.com", NotSts),
            (Partition::Aws, "sts.us-west-2.evil.amazonaws.com", NotSts),
            (Partition::Aws, "sts.us-west-2.s3.amazonaws.com", NotSts),
            (Partition::Aws, "sts.us-west-2.evil-api.aws", NotSts),
            (Partition::Aws, "sts-fips.us-west-2.evil.api.aws", NotSts),
            (Partition::Aws, "sts.us-west-2.amazonaws.com:443", NotSts),
            (Partition::Aws, "STS.us-west-2.amazonaws.com", NotSts),
            (Partition::Aws, "sts.us-west-2.AMAZONAWS.com", NotSts),
            (Partition::Aws, "sts.US-WEST-2.amazonaws.com", Region),
            (Partition::Aws, "evilsts.us-west-2.amazonaws.com", NotSts),
            (Partition::Aws, "s3.us-west-2.amazonaws.com", NotSts),
            (Partition::Aws, "sts.evil.test", NotSts),
            (Partition::Aws, "website.amazonaws.com", NotSts),
            (Partition::Aws, "amazonaws.com", NotSts),
            (Partition::Aws, "", NotSts),
            (Partition::Aws, "localhost", NotSts),
            (Partition::Aws, "127.0.0.1", NotSts),
            (Partition::Aws, "169.254.169.254", NotSts),
            (Partition::Aws, "sts.us-west-2.amazonaws.com.cn", NotSts),
            (Partition::AwsCn, "sts.us-west-2.amazonaws.com.cn", Region),
            (Partition::AwsIso, "sts.us-iso-east-1.api.aws.ic.gov", NotSts),
        ] {
            assert_eq!(HostPolicy::new(partition).judge(host), Err(fault), "{partition} {host}");
        }
    }

    #[test]
    fn allowed_regions_narrow_the_table_and_may_name_new_regions() {
        let policy =
            HostPolicy::new(Partition::Aws).allow_regions(["us-west-2".into(), "new-shape".into()]);
        assert!(policy.judge("sts.us-west-2.amazonaws.com").is_ok());
        assert!(policy.judge("sts.new-shape.amazonaws.com").is_ok());
        for host in ["sts.us-east-1.amazonaws.com", "sts.amazonaws.com", "sts.s3.amazonaws.com"] {
            assert_eq!(policy.judge(host), Err(HostFault::RegionNotAllowed), "{host}");
        }
    }

    #[test]
    fn extra_hosts_are_compared_as_bytes() {
        let policy = HostPolicy::new(Partition::Aws)
            .extra_hosts(["vpce-1.sts.us-east-1.vpce.amazonaws.com".into()]);
        let host = policy.judge("vpce-1.sts.us-east-1.vpce.amazonaws.com").unwrap();
        assert_eq!((host.region(), host.region_label()), (None, "other"));
        let odd = HostPolicy::new(Partition::AwsUsGov).extra_hosts([
            "sts.us-west-2.example.com".into(),
            "sts.us-gov-west-1.example.com".into(),
        ]);
        let host = odd.judge("sts.us-west-2.example.com").unwrap();
        assert_eq!((host.region(), host.region_label()), (None, "other"), "of another partition");
        let host = odd.judge("sts.us-gov-west-1.example.com").unwrap();
        assert_eq!(host.region(), Some("us-gov-west-1"));
        let other = policy.judge("VPCE-1.sts.us-east-1.vpce.amazonaws.com");
        assert_eq!(other, Err(HostFault::NotSts));
    }
}
