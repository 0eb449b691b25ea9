//! Sequences of runs: rotations, halves of them, and the reference's pair.

use super::*;

fn rotating(rotate: Rotate) -> Wanted {
    Wanted { rotate: Some(rotate), ..wanted() }
}

/// `CERTIFICATE` blocks, in their order.
fn blocks(bundle: &str) -> Vec<&str> {
    bundle.split_inclusive("-----END CERTIFICATE-----\n").collect()
}

#[test]
fn rotating_the_leaf_leaves_the_ca_alone() {
    let mut host = Host::new();
    let before = host.clone();
    let plan = host.run(&rotating(Rotate::Leaf));
    assert_eq!(plan.reasons, [reason(Part::Leaf, Why::Rotated)]);
    assert_eq!((&host.ca, &host.ca_key), (&before.ca, &before.ca_key));
    assert!(host.leaf != before.leaf && host.key != before.key);
    host.keeps_everything(&wanted());
}

#[test]
fn rotating_the_ca_takes_two_runs_and_at_each_step_both_clients_are_served() {
    let mut host = Host::new();
    let old = host.clone();
    let plan = host.run(&rotating(Rotate::Ca));
    assert_eq!(plan.reasons, [reason(Part::Ca, Why::Rotated)]);
    assert_eq!(plan.warnings, [Warning::RotationPending]);
    // The leaf stays: who has not read the bundle yet trusts the old CA alone.
    assert_eq!((&host.leaf, &host.key), (&old.leaf, &old.key));
    assert_ne!(host.ca_key, old.ca_key);
    let bundle = host.ca_text();
    assert_eq!(blocks(&bundle)[1..], [&*old.ca_text()]);
    assert_eq!(plan.authorities.len(), 2);
    assert_ne!(plan.authorities[0].description, plan.authorities[1].description);

    let plan = host.run(&wanted());
    assert_eq!(plan.reasons, [reason(Part::Leaf, Why::OldCa)]);
    assert_eq!(plan.warnings, []);
    assert_eq!(host.ca_text(), bundle, "the old CA stays until it ends or the next rotation");
    assert_ne!(host.leaf, old.leaf);
    host.keeps_everything(&wanted());

    let first = blocks(&bundle)[0].to_owned();
    host.run(&rotating(Rotate::Ca));
    assert_eq!(blocks(&host.ca_text())[1..], [&*first], "two at most");
}

#[test]
fn a_second_rotation_in_a_row_finishes_the_first_and_begins_no_other() {
    let mut host = Host::new();
    host.run(&rotating(Rotate::Ca));
    let bundle = host.ca_text();
    let plan = host.run(&rotating(Rotate::Ca));
    assert_eq!(plan.reasons, [reason(Part::Leaf, Why::OldCa)]);
    assert_eq!(plan.warnings, [Warning::RotationFinished]);
    assert_eq!(host.ca_text(), bundle);
    host.keeps_everything(&wanted());
}

#[test]
fn a_rotation_whose_new_key_is_lost_keeps_the_leafs_ca_whatever_is_asked() {
    for rotate in [Rotate::Ca, Rotate::Leaf] {
        let mut host = Host::new();
        let old = host.clone();
        host.run(&rotating(Rotate::Ca));
        host.ca_key = None;
        let plan = host.run(&wanted());
        assert_eq!(plan.reasons, []);
        assert_eq!(plan.warnings, [Warning::CannotSign(KeyTrouble::Missing)]);

        host.run(&rotating(rotate));
        assert_eq!(blocks(&host.ca_text())[1..], [&*old.ca_text()], "{rotate:?}");
        assert_eq!(host.leaf, old.leaf, "{rotate:?}");
        host.run(&wanted());
        host.keeps_everything(&wanted());
    }
}

#[test]
fn rotating_the_ca_of_a_broken_leaf_does_both_at_once() {
    let mut host = Host::new();
    host.key = None;
    let plan = host.run(&rotating(Rotate::Ca));
    assert_eq!(plan.reasons, [reason(Part::Ca, Why::Rotated), reason(Part::Key, Why::Missing)]);
    assert!(plan.leaf.is_new() && plan.warnings.is_empty(), "{plan:?}");
    assert_eq!(host.cas(), 2);
    host.keeps_everything(&wanted());
}

#[test]
fn an_old_ca_leaves_the_bundle_when_its_time_is_over() {
    let mut host = Host::new();
    host.run(&rotating(Rotate::Ca));
    host.run(&Wanted { now: later(3000), rotate: Some(Rotate::Ca), ..wanted() });
    host.run(&Wanted { now: later(3000), rotate: Some(Rotate::Ca), ..wanted() });
    host.run(&Wanted { now: later(3000), ..wanted() });
    assert_eq!(host.cas(), 2);
    let now = later(3651);
    let plan = host.run(&Wanted { now, ..wanted() });
    assert_eq!(plan.reasons, [reason(Part::OldCa, Why::Expired)]);
    assert!(!plan.leaf.is_new() && !plan.ca_key.is_new(), "{plan:?}");
    assert_eq!((host.cas(), plan.authorities.len()), (1, 1));
    host.keeps_everything(&Wanted { now, ..wanted() });
}

fn pinned() -> Host {
    Host { ca: Some(RSA.into()), ca_key: None, leaf: Some(RSA.into()), key: Some(RSA_KEY.into()) }
}

#[test]
fn the_references_pair_stays_and_is_its_own_ca() {
    for (ca, why) in [
        (None, Some(reason(Part::Ca, Why::Missing))),
        (Some(&b"rubbish"[..]), Some(reason(Part::Ca, Why::Unparsable))),
        (Some(RSA.as_bytes()), None),
        (
            Some(&[RSA.as_bytes(), b"-----BEGIN CERTIFICATE-----\n"].concat()),
            Some(reason(Part::OldCa, Why::Unparsable)),
        ),
    ] {
        let mut host = Host { ca: ca.map(Into::into), ..pinned() };
        let plan = host.run(&wanted());
        assert_eq!(plan.kind, Kind::Pinned);
        assert_eq!(plan.reasons, Vec::from_iter(why));
        assert_eq!(plan.warnings, []);
        assert_eq!(host, pinned());
        assert_eq!(plan.facts.description, "CN=test, localhost, until 2126-10-29");
        assert_eq!(plan.authorities, [plan.facts]);
        host.keeps_everything(&wanted());
    }
}

#[test]
fn the_pair_that_our_own_init_makes_is_pinned_too() {
    let dir = tempfile::tempdir().unwrap();
    let names = crate::keypair::Names::new("127.0.0.1".parse().unwrap(), "localhost").unwrap();
    crate::keypair::KeyPair::load_or_create(dir.path(), &names, NOW).unwrap();
    let file = |name| std::fs::read(dir.path().join(name)).ok();
    let mut host = Host { leaf: file("cert.pem"), key: file("key.pem"), ..Host::default() };
    let plan = host.run(&wanted());
    assert_eq!((plan.kind, host.ca), (Kind::Pinned, host.leaf));
}

#[test]
fn a_pinned_pair_in_its_last_third_is_told() {
    let now = UnixTime::from_secs(3_900_000_000);
    let plan = pinned().run(&Wanted { now, ..wanted() });
    assert!(matches!(plan.warnings[..], [Warning::LeafEnds(_)]), "{plan:?}");
    assert_eq!(plan.reasons, []);
}

#[test]
fn a_pinned_pair_is_rotated_into_a_private_ca_in_two_runs() {
    for rotate in [Rotate::Leaf, Rotate::Ca] {
        let mut host = pinned();
        let plan = host.run(&rotating(rotate));
        assert_eq!((plan.kind, &*plan.warnings), (Kind::Private, &[Warning::RotationPending][..]));
        assert_eq!(plan.reasons, [reason(Part::Ca, Why::Rotated)]);
        assert_eq!(host.leaf, pinned().leaf);
        assert_eq!(blocks(&host.ca_text())[1..], [RSA]);
        let plan = host.run(&wanted());
        assert_eq!(plan.reasons, [reason(Part::Leaf, Why::OldCa)]);
        assert_eq!(plan.facts.names, ["localhost", "127.0.0.1", "::1"]);
        host.keeps_everything(&wanted());
    }
}

#[test]
fn a_broken_pinned_pair_becomes_a_private_ca_at_once() {
    type Case = (fn(&mut Host, &mut Wanted), Vec<Reason>);
    let no_key = || reason(Part::CaKey, Why::Missing);
    let name: Name = "node.example.com".parse().unwrap();
    let cases: [Case; 4] = [
        (|host, _| host.key = Host::new().key, vec![no_key(), reason(Part::Key, Why::KeyMismatch)]),
        (
            |host, _| host.leaf = Some(b"rubbish".to_vec()),
            vec![no_key(), reason(Part::Leaf, Why::Unparsable)],
        ),
        (
            |_, wanted| wanted.names.push("node.example.com".parse().unwrap()),
            vec![no_key(), reason(Part::Leaf, Why::MissingName(name))],
        ),
        (
            |_, wanted| wanted.now = UnixTime::from_secs(5_000_000_000),
            vec![
                reason(Part::Ca, Why::Expired),
                reason(Part::Leaf, Why::Expired),
                reason(Part::Leaf, Why::IsCa),
            ],
        ),
    ];
    for (spoil, reasons) in cases {
        let (mut host, mut wanted) = (pinned(), wanted());
        spoil(&mut host, &mut wanted);
        let plan = host.run(&wanted);
        assert_eq!((plan.kind, &*plan.reasons), (Kind::Private, &*reasons));
        assert!(plan.leaf.is_new() && plan.ca_key.is_new(), "{plan:?}");
        host.keeps_everything(&wanted);
    }
}
