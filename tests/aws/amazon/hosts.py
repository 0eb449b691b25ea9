"""The STS host names the stand-in answers for, each with its partition and the region a signature must be scoped to.

From AWS's endpoint data (botocore, `sts/endpoint-rule-set-1.json`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    name: str
    region: str
    partition: str


# The global endpoint is served from, and signed for, us-east-1.
GLOBAL = Host("sts.amazonaws.com", "us-east-1", "aws")

ALL = (
    GLOBAL,
    Host("sts.us-east-1.amazonaws.com", "us-east-1", "aws"),
    Host("sts.us-west-2.amazonaws.com", "us-west-2", "aws"),
    Host("sts.eu-central-1.amazonaws.com", "eu-central-1", "aws"),
    Host("sts.ap-northeast-1.amazonaws.com", "ap-northeast-1", "aws"),
    Host("sts-fips.us-east-1.amazonaws.com", "us-east-1", "aws"),
    Host("sts-fips.us-west-2.amazonaws.com", "us-west-2", "aws"),
    Host("sts.us-west-2.api.aws", "us-west-2", "aws"),
    Host("sts-fips.us-west-2.api.aws", "us-west-2", "aws"),
    Host("sts.cn-north-1.amazonaws.com.cn", "cn-north-1", "aws-cn"),
    Host("sts.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1", "aws-cn"),
    Host("sts.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1", "aws-cn"),
    Host("sts.us-gov-west-1.amazonaws.com", "us-gov-west-1", "aws-us-gov"),
    Host("sts.us-gov-east-1.amazonaws.com", "us-gov-east-1", "aws-us-gov"),
    Host("sts.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", "aws-iso"),
    Host("sts.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", "aws-iso-b"),
)

BY_NAME = {host.name: host for host in ALL}
