//! Scheme, host, path: what another reader of URLs would take for the same, or for an STS host.

use iamgate::identity::Partition;
use iamgate::token::{Acceptance, HostFault, HostPolicy, Malformed, Verifier};

use super::{admitted, refused};
use crate::support::script::Script;
use crate::support::vector::{NOW, Vector, accept, scope};

#[tokio::test]
async fn the_scheme_has_one_spelling() {
    for scheme in [
        "",
        "/",
        "//",
        "https",
        "https:",
        "https:/",
        "https:\\/",
        "https:/\\",
        "https//",
        "hTTps://",
        "HTTPS://",
        "http://",
        "httpss://",
        "shttps://",
        "wss://",
        "ftp://",
        "file://",
        "data:",
        "blob:https://",
        "javascript:",
        "view-source:https://",
        "https%3A//",
        "https:%2F%2F",
        "https:&sol;/",
        "jar:https://",
        "https+unix://",
        "unix:",
        "urn:",
        "http\\s://",
        "x-https://",
    ] {
        refused(&Vector { scheme: scheme.into(), ..Vector::good() }, Malformed::Scheme).await;
    }
    for scheme in ["https:///", "https:////", "https://https://", "https:///https://", "https://\\"]
    {
        let vector = Vector { scheme: scheme.into(), ..Vector::good() };
        refused(&vector, Malformed::Host(HostFault::NotSts)).await;
    }
}

#[tokio::test]
async fn the_host_is_the_tables_byte_for_byte() {
    use HostFault::{NotSts, Region};
    const GOOD: &str = "sts.us-west-2.amazonaws.com";
    for byte in (0x21..0x7f_u8).map(char::from) {
        // These end the host, so what they leave behind is judged.
        if "/?\\#".contains(byte) {
            continue;
        }
        for host in [format!("{byte}{GOOD}"), format!("{GOOD}{byte}")] {
            refused(&Vector::good().host(&host), Malformed::Host(NotSts)).await;
        }
        let at_region = format!("sts.us-west-2{byte}.amazonaws.com");
        // With a dot or a digit the label is another; two digits make another region of its shape.
        let fault = match byte {
            '.' => Malformed::Host(NotSts),
            '0'..='9' => Malformed::ScopeRegion,
            _ => Malformed::Host(Region),
        };
        refused(&Vector::good().host(&at_region), fault).await;
    }
    for (at, letter) in GOOD.char_indices().filter(|(_, letter)| letter.is_ascii_lowercase()) {
        let mut host = GOOD.to_owned();
        host.replace_range(at..=at, &letter.to_ascii_uppercase().to_string());
        let fault = if (4..13).contains(&at) { Region } else { NotSts };
        refused(&Vector::good().host(&host), Malformed::Host(fault)).await;
        host.replace_range(at..=at, &format!("%{:02X}", u32::from(letter)));
        refused(&Vector::good().host(&host), Malformed::Host(fault)).await;
    }
    for (host, fault) in [
        ("u@sts.us-west-2.amazonaws.com", NotSts),
        ("@sts.us-west-2.amazonaws.com", NotSts),
        (":@sts.us-west-2.amazonaws.com", NotSts),
        ("sts.us-west-2.amazonaws.com:443@evil.test", NotSts),
        ("sts.us-west-2.amazonaws.com@", NotSts),
        ("sts.us-west-2.amazonaws.com&@evil.test", NotSts),
        ("sts.us-west-2.amazonaws.com:0443", NotSts),
        ("sts.us-west-2.amazonaws.com:80", NotSts),
        ("sts.us-west-2.amazonaws.com:-1", NotSts),
        ("sts.us-west-2.amazonaws.com,evil.test", NotSts),
        ("sts.us-west-2.amazonaws.com;evil.test", NotSts),
        ("sts.us-west-2.amazonaws.com%00.evil.test", NotSts),
        ("sts.us-west-2.amazonaws.com%2F.evil.test", NotSts),
        ("sts.us-west-2.amazonaws.com%23.evil.test", NotSts),
        ("sts.us-west-2.amazonaws.com%3F.evil.test", NotSts),
        ("sts.us-west-2.amazonaws.com%0D%0AHost:evil.test", NotSts),
        ("[sts.us-west-2.amazonaws.com]", NotSts),
        ("sts.us-west-2.amazonaws.com..", NotSts),
        (".sts.us-west-2.amazonaws.com", NotSts),
        ("sts..us-west-2.amazonaws.com", NotSts),
        ("sts.us-west-2..amazonaws.com", NotSts),
        ("sts.us-west-2.amazonaws..com", NotSts),
        ("sts.us-west-2.amazonaws.co", NotSts),
        ("sts.us-west-2.amazonaws.comm", NotSts),
        ("sts.us-west-2.amazonaws", NotSts),
        ("sts.us-west-2", NotSts),
        ("sts", NotSts),
        ("us-west-2.amazonaws.com", NotSts),
        ("us-west-2.sts.amazonaws.com", NotSts),
        ("sts-us-west-2.amazonaws.com", NotSts),
        ("sts.us-west-2.sts.us-west-2.amazonaws.com", NotSts),
        ("sts.us-west-2.amazonaws.com.us-west-2.amazonaws.com", NotSts),
        ("sts.us-west-2.vpce.amazonaws.com", NotSts),
        ("vpce-0123-abcd.sts.us-west-2.vpce.amazonaws.com", NotSts),
        ("sts.us-west-2.s3-website.amazonaws.com", NotSts),
        ("sts.us-west-2.elasticbeanstalk.com", NotSts),
        ("sts.us-west-2.on.aws", NotSts),
        ("sts.us-west-2.aws", NotSts),
        ("sts.api.aws", NotSts),
        ("sts-fips.amazonaws.com", NotSts),
        ("sts-fips.api.aws", NotSts),
        ("sts_fips.us-west-2.amazonaws.com", NotSts),
        ("stsfips.us-west-2.amazonaws.com", NotSts),
        ("sts-fips-fips.us-west-2.amazonaws.com", NotSts),
        ("fips.sts.us-west-2.amazonaws.com", NotSts),
        ("sts.fips.us-west-2.amazonaws.com", NotSts),
        ("sts.us-west-2-fips.amazonaws.com", Region),
        ("sts.fips-us-west-2.amazonaws.com", Region),
        ("sts.aws-global.amazonaws.com", Region),
        ("sts.global.amazonaws.com", Region),
        ("sts.*.amazonaws.com", Region),
        ("sts.us-west-*.amazonaws.com", Region),
        ("sts.us-west-2,us-east-1.amazonaws.com", Region),
        ("sts.us-west-2%2Eamazonaws.com", NotSts),
        ("*.amazonaws.com", NotSts),
        ("xn--ts-usb.us-west-2.amazonaws.com", NotSts),
        ("sts.xn--us-west-2-i0a.amazonaws.com", Region),
        ("localhost", NotSts),
        ("0", NotSts),
        ("0x7f.1", NotSts),
        ("0177.0.0.1", NotSts),
        ("127.1", NotSts),
        ("0x7f000001", NotSts),
        ("[::ffff:169.254.169.254]", NotSts),
        ("[fd00:ec2::254]", NotSts),
        ("[fe80::1%25eth0]", NotSts),
        ("169.254.170.2", NotSts),
        ("instance-data.ec2.internal", NotSts),
        ("metadata.google.internal", NotSts),
        ("sts.us-west-2.amazonaws.com.nip.io", NotSts),
    ] {
        refused(&Vector::good().host(host), Malformed::Host(fault)).await;
    }
}

#[tokio::test]
async fn the_path_is_one_slash() {
    use Malformed::{Fragment, Host, Pair, Path, UnknownParameter};
    for (path, fault) in [
        ("", Path),
        ("//", Path),
        ("///", Path),
        ("/.", Path),
        ("/./", Path),
        ("/..", Path),
        ("/../", Path),
        ("/x/..", Path),
        ("/%2e", Path),
        ("/%2E%2E/", Path),
        ("/%2F", Path),
        ("/%2f", Path),
        ("/%00", Path),
        ("/%20", Path),
        ("/%3F", Path),
        ("/%3f", Path),
        ("/;", Path),
        ("/;jsessionid=x", Path),
        ("/&", Path),
        ("/=", Path),
        ("/:", Path),
        ("/@evil.test", Path),
        ("/\\", Path),
        ("\\", Path),
        ("\\/", Path),
        ("\\\\evil.test\\", Path),
        ("/index.html", Path),
        ("/sts", Path),
        ("/https://evil.test/", Path),
        ("/#", Fragment),
        ("#/", Fragment),
        (";/", Host(HostFault::NotSts)),
        ("%2F", Host(HostFault::NotSts)),
        ("%3F", Host(HostFault::NotSts)),
        ("/?", UnknownParameter),
        ("/?/", UnknownParameter),
        ("/?&", Pair),
        ("?", Path),
        ("?/", Path),
    ] {
        refused(&Vector { path: path.into(), ..Vector::good() }, fault).await;
    }
    for (tail, fault) in [
        ("#", Fragment),
        ("#fragment", Fragment),
        ("#&Action=AssumeRole", Fragment),
        ("&", Pair),
        ("?", Malformed::Signature),
        ("?&Action=AssumeRole", Malformed::Duplicate("Action")),
        ("/", Malformed::Signature),
    ] {
        refused(&Vector { tail: tail.into(), ..Vector::good() }, fault).await;
    }
}

/// A region of each partition, and the hosts of STS in it: plain, FIPS, dual-stack, both.
const HOSTS: [(Partition, &str, [Option<&str>; 4]); 8] = [
    (
        Partition::Aws,
        "us-west-2",
        [
            Some("sts.us-west-2.amazonaws.com"),
            Some("sts-fips.us-west-2.amazonaws.com"),
            Some("sts.us-west-2.api.aws"),
            Some("sts-fips.us-west-2.api.aws"),
        ],
    ),
    (
        Partition::AwsCn,
        "cn-north-1",
        [
            Some("sts.cn-north-1.amazonaws.com.cn"),
            Some("sts-fips.cn-north-1.amazonaws.com.cn"),
            Some("sts.cn-north-1.api.amazonwebservices.com.cn"),
            Some("sts-fips.cn-north-1.api.amazonwebservices.com.cn"),
        ],
    ),
    (
        Partition::AwsUsGov,
        "us-gov-west-1",
        [
            Some("sts.us-gov-west-1.amazonaws.com"),
            None,
            Some("sts.us-gov-west-1.api.aws"),
            Some("sts-fips.us-gov-west-1.api.aws"),
        ],
    ),
    (
        Partition::AwsIso,
        "us-iso-east-1",
        [
            Some("sts.us-iso-east-1.c2s.ic.gov"),
            Some("sts-fips.us-iso-east-1.c2s.ic.gov"),
            None,
            None,
        ],
    ),
    (
        Partition::AwsIsoB,
        "us-isob-east-1",
        [
            Some("sts.us-isob-east-1.sc2s.sgov.gov"),
            Some("sts-fips.us-isob-east-1.sc2s.sgov.gov"),
            None,
            None,
        ],
    ),
    (
        Partition::AwsIsoE,
        "eu-isoe-west-1",
        [
            Some("sts.eu-isoe-west-1.cloud.adc-e.uk"),
            Some("sts-fips.eu-isoe-west-1.cloud.adc-e.uk"),
            None,
            None,
        ],
    ),
    (
        Partition::AwsIsoF,
        "us-isof-south-1",
        [
            Some("sts.us-isof-south-1.csp.hci.ic.gov"),
            Some("sts-fips.us-isof-south-1.csp.hci.ic.gov"),
            None,
            None,
        ],
    ),
    (
        Partition::AwsEusc,
        "eusc-de-east-1",
        [
            Some("sts.eusc-de-east-1.amazonaws.eu"),
            Some("sts-fips.eusc-de-east-1.amazonaws.eu"),
            Some("sts.eusc-de-east-1.api.amazonwebservices.eu"),
            Some("sts-fips.eusc-de-east-1.api.amazonwebservices.eu"),
        ],
    ),
];

#[test]
fn no_partition_takes_a_host_or_a_region_of_another() {
    for (ours, _, _) in HOSTS {
        let accept = Acceptance { hosts: HostPolicy::new(ours), ..accept(&["c"]) };
        let verifier = Verifier::new(Script::default(), NOW);
        let judge = |host: &str, region: &str| {
            let vector =
                Vector::good().host(host).set("X-Amz-Credential", &scope("20260102", region));
            verifier.admit(&vector.token(), &accept).map(|_| ())
        };
        for (theirs, region, hosts) in HOSTS {
            for host in hosts.into_iter().flatten() {
                // The two partitions that share a suffix tell each other's hosts by the region, but
                // for the form that GovCloud lacks.
                let shared = [ours, theirs]
                    .iter()
                    .all(|one| matches!(one, Partition::Aws | Partition::AwsUsGov));
                let lacking = ours == Partition::AwsUsGov
                    && host.starts_with("sts-fips.")
                    && host.ends_with(".amazonaws.com");
                let want = match ours == theirs {
                    true => Ok(()),
                    false if shared && !lacking => Err(Malformed::Host(HostFault::Region).into()),
                    false => Err(Malformed::Host(HostFault::NotSts).into()),
                };
                assert_eq!(judge(host, region), want, "{ours}: {host}");
            }
        }
        let (_, _, [Some(own), ..]) = HOSTS.into_iter().find(|(one, ..)| *one == ours).unwrap()
        else {
            panic!("every partition has a plain host");
        };
        for (theirs, region, _) in HOSTS {
            let want = if ours == theirs { Ok(()) } else { Err(Malformed::ScopeRegion.into()) };
            assert_eq!(judge(own, region), want, "{own} signed for {region}");
        }
        let global = match ours == Partition::Aws {
            true => Ok(()),
            false => Err(Malformed::Host(HostFault::Global).into()),
        };
        assert_eq!(judge("sts.amazonaws.com", "us-east-1"), global, "{ours}");
    }
}

#[test]
fn allowed_regions_and_extra_hosts_are_whole_names() {
    let hosts = HostPolicy::new(Partition::Aws)
        .allow_regions(["us-west-2".into()])
        .extra_hosts(["vpce-1.sts.us-east-1.vpce.amazonaws.com".into()]);
    let accept = Acceptance { hosts, ..accept(&["c"]) };
    let verifier = Verifier::new(Script::default(), NOW);
    let judge = |host: &str, region: &str| {
        let vector = Vector::good().host(host).set("X-Amz-Credential", &scope("20260102", region));
        verifier.admit(&vector.token(), &accept).map(|_| ())
    };
    let no = |fault| Err(Malformed::Host(fault).into());
    for (host, region, want) in [
        ("sts.us-west-2.amazonaws.com", "us-west-2", Ok(())),
        ("sts-fips.us-west-2.api.aws", "us-west-2", Ok(())),
        ("vpce-1.sts.us-east-1.vpce.amazonaws.com", "us-east-1", Ok(())),
        // An extra host does not tell its region, so its scope may name any; STS knows its own.
        ("vpce-1.sts.us-east-1.vpce.amazonaws.com", "eu-west-1", Ok(())),
        ("sts.us-west-1.amazonaws.com", "us-west-1", no(HostFault::RegionNotAllowed)),
        ("sts.us-east-1.amazonaws.com", "us-east-1", no(HostFault::RegionNotAllowed)),
        ("sts.amazonaws.com", "us-east-1", no(HostFault::RegionNotAllowed)),
        ("sts.us-west-22.amazonaws.com", "us-west-22", no(HostFault::RegionNotAllowed)),
        ("sts.us-west-.amazonaws.com", "us-west-", no(HostFault::RegionNotAllowed)),
        ("sts.amazonaws.com.amazonaws.com", "us-west-2", no(HostFault::NotSts)),
        ("vpce-1.sts.us-east-1.vpce.amazonaws.com.", "us-east-1", no(HostFault::NotSts)),
        ("vpce-1.sts.us-east-1.vpce.amazonaws.com:443", "us-east-1", no(HostFault::NotSts)),
        ("Vpce-1.sts.us-east-1.vpce.amazonaws.com", "us-east-1", no(HostFault::NotSts)),
        ("vpce-2.sts.us-east-1.vpce.amazonaws.com", "us-east-1", no(HostFault::NotSts)),
        ("x.vpce-1.sts.us-east-1.vpce.amazonaws.com", "us-east-1", no(HostFault::NotSts)),
        ("sts.us-east-1.vpce.amazonaws.com", "us-east-1", no(HostFault::NotSts)),
    ] {
        assert_eq!(judge(host, region), want, "{host}");
    }
    assert_eq!(admitted(&Vector::good()), Ok(()));
}
