//! Each defect alone, with its reasons and its smallest repair.

use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};

use super::hosts::old_ca;
use super::*;

/// What a defect is, what makes it, its reasons, and which of `ca.pem`, the CA's key and the leaf
/// with its key are new.
type Defect = (&'static str, fn(&mut Host), Vec<Reason>, [bool; 3]);

#[test]
fn each_defect_alone_has_its_smallest_repair() {
    let leaf = |why| vec![reason(Part::Leaf, why)];
    let ca_and_leaf = |why| vec![reason(Part::Ca, why), reason(Part::Leaf, Why::NotSignedByCa)];
    let defects: Vec<Defect> = vec![
        ("no leaf", |host| host.leaf = None, leaf(Why::Missing), [false, false, true]),
        (
            "no key",
            |host| host.key = None,
            vec![reason(Part::Key, Why::Missing)],
            [false, false, true],
        ),
        (
            "a leaf that is none",
            |host| host.leaf = Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n".to_vec()),
            leaf(Why::Unparsable),
            [false, false, true],
        ),
        (
            "a leaf with rubbish behind it",
            |host| {
                let rubbish = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
                host.leaf.as_mut().unwrap().extend_from_slice(rubbish);
            },
            leaf(Why::Unparsable),
            [false, false, true],
        ),
        (
            "an empty leaf",
            |host| host.leaf = Some(vec![]),
            leaf(Why::Unparsable),
            [false, false, true],
        ),
        (
            "a key that is none",
            |host| host.key = Some(b"hunter2".to_vec()),
            vec![reason(Part::Key, Why::Unparsable)],
            [false, false, true],
        ),
        (
            "the key of another leaf",
            |host| host.key = Host::new().key,
            vec![reason(Part::Key, Why::KeyMismatch)],
            [false, false, true],
        ),
        (
            "a leaf that has expired",
            |host| {
                host.sign(|leaf| {
                    leaf.not_before = (hosts::moment(NOW) - days(90)).into();
                    leaf.not_after = (hosts::moment(NOW) - days(1)).into();
                });
            },
            leaf(Why::Expired),
            [false, false, true],
        ),
        (
            "a leaf of tomorrow",
            |host| host.sign(|leaf| leaf.not_before = (hosts::moment(NOW) + days(1)).into()),
            leaf(Why::NotYetValid),
            [false, false, true],
        ),
        (
            "a leaf for another host",
            |host| {
                host.sign(|leaf| {
                    let other = "other.example.com".parse::<Name>().unwrap();
                    leaf.subject_alt_names = vec![other.alternative().unwrap()];
                });
            },
            leaf(Why::MissingName("localhost".parse().unwrap())),
            [false, false, true],
        ),
        (
            "a leaf with two thirds of its time behind it",
            |host| {
                host.sign(|leaf| {
                    leaf.not_before = (hosts::moment(NOW) - days(200)).into();
                    leaf.not_after = (hosts::moment(NOW) + days(100)).into();
                });
            },
            leaf(Why::Renewal),
            [false, false, true],
        ),
        (
            "a leaf of another CA",
            |host| {
                let other = Host::new();
                (host.leaf, host.key) = (other.leaf, other.key);
            },
            leaf(Why::NotSignedByCa),
            [false, false, true],
        ),
        (
            "a leaf that is a CA",
            |host| {
                host.sign(|leaf| leaf.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
            },
            leaf(Why::IsCa),
            [false, false, true],
        ),
        (
            "the reference's pair in the leaf's place",
            |host| {
                host.leaf = Some(RSA.into());
                host.key = Some(RSA_KEY.into());
            },
            leaf(Why::IsCa),
            [false, false, true],
        ),
        (
            "a leaf for clients",
            |host| {
                host.sign(|leaf| {
                    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                });
            },
            leaf(Why::NotForServers),
            [false, false, true],
        ),
        ("no CA", |host| host.ca = None, ca_and_leaf(Why::Missing), [true; 3]),
        (
            "a CA that is none",
            |host| host.ca = Some(b"rubbish".to_vec()),
            ca_and_leaf(Why::Unparsable),
            [true; 3],
        ),
        (
            "a leaf in the CA's place",
            |host| host.ca.clone_from(&host.leaf),
            ca_and_leaf(Why::NotCa),
            [true; 3],
        ),
        (
            "a CA that may sign other things than certificates",
            |host| {
                let leaf = (host.leaf.take(), host.key.take());
                host.authority(|ca| ca.key_usages = vec![KeyUsagePurpose::CrlSign]);
                (host.leaf, host.key) = leaf;
            },
            ca_and_leaf(Why::NotCa),
            [true; 3],
        ),
        (
            "a leaf that is a CA of another, and no CA",
            |host| {
                host.sign(|leaf| leaf.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
                host.ca = None;
            },
            vec![reason(Part::Ca, Why::Missing), reason(Part::Leaf, Why::IsCa)],
            [true; 3],
        ),
        (
            "a CA that has expired",
            |host| {
                *host = Host::made(later(-3650), |leaf| {
                    leaf.not_after = (hosts::moment(NOW) + days(1)).into();
                });
            },
            ca_and_leaf(Why::Expired),
            [true; 3],
        ),
        (
            "a CA of tomorrow",
            |host| {
                *host = Host::made(later(1), |leaf| {
                    leaf.not_before = (hosts::moment(NOW) - days(1)).into();
                });
            },
            ca_and_leaf(Why::NotYetValid),
            [true; 3],
        ),
        (
            "rubbish behind the CA",
            |host| {
                let rubbish = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
                host.ca.as_mut().unwrap().extend_from_slice(rubbish);
            },
            vec![reason(Part::OldCa, Why::Unparsable)],
            [true, false, false],
        ),
        (
            "an old CA that has expired",
            |host| host.ca.as_mut().unwrap().extend_from_slice(old_ca().as_bytes()),
            vec![reason(Part::OldCa, Why::Expired)],
            [true, false, false],
        ),
    ];
    for (what, spoil, reasons, new) in defects {
        let mut host = Host::new();
        spoil(&mut host);
        let plan = host.run(&wanted());
        assert_eq!(plan.reasons, reasons, "{what}");
        let is_new = [plan.ca.is_new(), plan.ca_key.is_new(), plan.leaf.is_new()];
        assert_eq!(is_new, new, "{what}");
        assert_eq!(plan.key.is_new(), plan.leaf.is_new(), "{what}");
        assert_eq!((plan.kind, &plan.warnings[..]), (Kind::Private, &[][..]), "{what}");
        host.keeps_everything(&wanted());
    }
}
