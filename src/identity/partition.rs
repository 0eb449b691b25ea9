use std::fmt;
use std::str::FromStr;

/// An AWS partition: a set of regions with its own accounts, ARNs and DNS suffixes.
///
/// A closed set: a new partition is a new line here and a compile error wherever it matters.
/// Source: botocore's `endpoints.json` (partitions, region patterns, DNS suffixes).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "the variants are AWS's own names")]
pub enum Partition {
    Aws,
    AwsCn,
    AwsEusc,
    AwsIso,
    AwsIsoB,
    AwsIsoE,
    AwsIsoF,
    AwsUsGov,
}

/// The text names no partition that this build knows.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is not an AWS partition; known are aws, aws-cn, aws-us-gov, aws-iso, aws-iso-b, aws-iso-e, aws-iso-f, aws-eusc"
)]
pub struct PartitionError(pub Box<str>);

impl Partition {
    /// Every partition, in the order in which they are listed to people.
    pub const ALL: [Self; 8] = [
        Self::Aws,
        Self::AwsCn,
        Self::AwsUsGov,
        Self::AwsIso,
        Self::AwsIsoB,
        Self::AwsIsoE,
        Self::AwsIsoF,
        Self::AwsEusc,
    ];

    /// AWS's own name, as it stands in ARNs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsEusc => "aws-eusc",
            Self::AwsIso => "aws-iso",
            Self::AwsIsoB => "aws-iso-b",
            Self::AwsIsoE => "aws-iso-e",
            Self::AwsIsoF => "aws-iso-f",
            Self::AwsUsGov => "aws-us-gov",
        }
    }

    /// The suffix of its service hosts.
    pub const fn dns_suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::AwsUsGov => "amazonaws.com",
            Self::AwsCn => "amazonaws.com.cn",
            Self::AwsEusc => "amazonaws.eu",
            Self::AwsIso => "c2s.ic.gov",
            Self::AwsIsoB => "sc2s.sgov.gov",
            Self::AwsIsoE => "cloud.adc-e.uk",
            Self::AwsIsoF => "csp.hci.ic.gov",
        }
    }

    /// The suffix of its dual-stack service hosts, where tokens from such hosts are accepted.
    pub const fn dual_stack_suffix(self) -> Option<&'static str> {
        match self {
            Self::Aws | Self::AwsUsGov => Some("api.aws"),
            Self::AwsCn => Some("api.amazonwebservices.com.cn"),
            Self::AwsEusc => Some("api.amazonwebservices.eu"),
            Self::AwsIso | Self::AwsIsoB | Self::AwsIsoE | Self::AwsIsoF => None,
        }
    }

    /// Whether `region` has the shape of this partition's region names, such as `us-west-2`.
    ///
    /// The shape is `<area>-<word>-<digits>`; a region of that shape need not exist.
    pub fn names_region(self, region: &str) -> bool {
        let areas: &[&str] = match self {
            Self::Aws => &["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"],
            Self::AwsCn => &["cn"],
            Self::AwsEusc => &["eusc-de"],
            Self::AwsIso => &["us-iso"],
            Self::AwsIsoB => &["us-isob"],
            Self::AwsIsoE => &["eu-isoe"],
            Self::AwsIsoF => &["us-isof"],
            Self::AwsUsGov => &["us-gov"],
        };
        areas.iter().any(|area| {
            let rest = region.strip_prefix(area).and_then(|rest| rest.strip_prefix('-'));
            rest.and_then(|rest| rest.split_once('-')).is_some_and(|(word, digits)| {
                !word.is_empty()
                    && word.bytes().all(|b| b.is_ascii_lowercase())
                    && (1..=2).contains(&digits.len())
                    && digits.bytes().all(|b| b.is_ascii_digit())
            })
        })
    }
}

impl FromStr for Partition {
    type Err = PartitionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|partition| partition.as_str() == text);
        known.ok_or_else(|| PartitionError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_knows_its_own_regions_only() {
        let regions = [
            (Partition::Aws, "us-west-2"),
            (Partition::Aws, "ap-southeast-7"),
            (Partition::Aws, "mx-central-1"),
            (Partition::AwsCn, "cn-northwest-1"),
            (Partition::AwsUsGov, "us-gov-east-1"),
            (Partition::AwsIso, "us-iso-east-1"),
            (Partition::AwsIsoB, "us-isob-east-1"),
            (Partition::AwsIsoE, "eu-isoe-west-1"),
            (Partition::AwsIsoF, "us-isof-south-1"),
            (Partition::AwsEusc, "eusc-de-east-1"),
        ];
        for (owner, region) in regions {
            for partition in Partition::ALL {
                assert_eq!(
                    partition.names_region(region),
                    partition == owner,
                    "{partition} {region}"
                );
            }
        }
    }

    #[test]
    fn a_label_that_is_no_region_belongs_to_nobody() {
        for label in [
            "",
            "us",
            "us-",
            "us-west",
            "us-west-",
            "us--2",
            "us-west-2-",
            "us-west-2a",
            "s3",
            "US-WEST-2",
            "not-a-region",
            "us-west-123",
            "us-we_st-2",
            "us-west-２",
            "xx-west-1",
            "us-west-1.evil",
        ] {
            let owner = Partition::ALL.into_iter().find(|partition| partition.names_region(label));
            assert_eq!(owner, None, "{label:?}");
        }
    }

    #[test]
    fn names_are_read_back_and_nothing_else_is() {
        for partition in Partition::ALL {
            assert_eq!(partition.as_str().parse(), Ok(partition));
        }
        for text in ["", "AWS", "aws ", "aws-us-govt"] {
            assert_eq!(text.parse::<Partition>(), Err(PartitionError(text.into())));
        }
    }
}
