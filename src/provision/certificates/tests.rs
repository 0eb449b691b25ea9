mod defects;
mod hosts;
mod outside;
mod rotation;

use self::hosts::{Host, NOW, days, later, reason, wanted};
use super::*;

const RSA: &str = include_str!("../../keypair/testdata/rsa.cert.pem");
const RSA_KEY: &str = include_str!("../../keypair/testdata/rsa.pkcs1.pem");

#[test]
fn an_empty_host_gets_a_ca_and_a_leaf_and_then_keeps_both() {
    let mut host = Host::default();
    let plan = host.run(&wanted());
    assert_eq!(plan.kind, Kind::Private);
    assert_eq!(plan.reasons, [reason(Part::Ca, Why::Missing), reason(Part::Leaf, Why::Missing)]);
    assert_eq!(plan.warnings, []);
    assert_eq!(plan.facts.names, ["localhost", "127.0.0.1", "::1"]);
    assert_eq!(plan.facts.not_after, NOW.plus(days(3650)));
    assert_eq!(plan.facts.description, "CN=iamgate, localhost, 127.0.0.1, ::1, until 2037-01-12");
    let [ca] = &plan.authorities[..] else { panic!("{plan:?}") };
    assert_eq!(ca.not_after, plan.facts.not_after);
    assert!(ca.not_before < NOW && ca.description.starts_with("CN=iamgate CA "), "{ca:?}");
    host.keeps_everything(&wanted());
}

#[test]
fn the_urls_host_and_further_names_are_in_the_leaf_once() {
    let mut host = Host::default();
    let names = ["::1", "node.example.com", "10.0.0.1", "NODE.example.com"];
    let wanted = Wanted {
        host: "127.0.0.1".parse().unwrap(),
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        ..wanted()
    };
    let plan = host.run(&wanted);
    let all = ["localhost", "127.0.0.1", "::1", "node.example.com", "10.0.0.1"];
    assert_eq!(plan.facts.names, all);
    host.keeps_everything(&wanted);
}

#[test]
fn a_ca_without_its_key_stays_while_the_leaf_is_fine() {
    type Case = (fn(&mut Host), KeyTrouble);
    let cases: [Case; 3] = [
        (|host| host.ca_key = None, KeyTrouble::Missing),
        (|host| host.ca_key = Some(b"hunter2".to_vec()), KeyTrouble::Unparsable),
        (|host| host.ca_key = Host::new().ca_key, KeyTrouble::KeyMismatch),
    ];
    for (spoil, trouble) in cases {
        let mut host = Host::new();
        spoil(&mut host);
        let plan = host.run(&wanted());
        assert!(!plan.ca.is_new() && !plan.leaf.is_new(), "{plan:?}");
        assert_eq!(
            (&*plan.reasons, &*plan.warnings),
            (&[][..], &[Warning::CannotSign(trouble)][..])
        );

        // It takes a new CA once the leaf is of no use.
        host.leaf = None;
        let before = host.ca_text();
        let plan = host.run(&wanted());
        let why = trouble.why();
        let missing = reason(Part::Leaf, Why::Missing);
        assert_eq!(plan.reasons, [reason(Part::CaKey, why), missing]);
        assert!(plan.ca_key.is_new() && plan.leaf.is_new(), "{plan:?}");
        assert!(host.ca_text().ends_with(&before) && host.ca_text() != before);
        host.keeps_everything(&wanted());
    }
}

#[test]
fn a_leaf_that_is_due_under_a_ca_without_key_stays_one_run_beside_a_new_ca() {
    let mut host = Host::new();
    host.sign(|leaf| {
        leaf.not_before = (hosts::moment(NOW) - days(200)).into();
        leaf.not_after = (hosts::moment(NOW) + days(100)).into();
    });
    host.ca_key = None;
    let plan = host.run(&wanted());
    let why = [reason(Part::CaKey, Why::Missing), reason(Part::Leaf, Why::Renewal)];
    assert_eq!(plan.reasons, why);
    assert_eq!(plan.warnings, [Warning::RotationPending]);
    assert!(plan.ca.is_new() && plan.ca_key.is_new() && !plan.leaf.is_new(), "{plan:?}");
    let plan = host.run(&wanted());
    let why = [reason(Part::Leaf, Why::OldCa), reason(Part::Leaf, Why::Renewal)];
    assert_eq!(plan.reasons, why);
    host.keeps_everything(&wanted());
}

#[test]
fn a_leaf_as_long_as_its_ca_is_not_renewed_but_the_ca_is_told_to_be_due() {
    let mut host = Host::new();
    let end = NOW.plus(days(3650));
    for (day, warnings) in [(2430, vec![]), (2440, vec![Warning::CaEnds(end)])] {
        let plan = host.run(&Wanted { now: later(day), ..wanted() });
        assert_eq!((&*plan.reasons, plan.warnings), (&[][..], warnings), "day {day}");
    }
}

#[test]
fn a_shorter_leaf_is_renewed_at_two_thirds_until_it_ends_with_its_ca() {
    let lifetimes = Lifetimes::new(days(300), Some(days(90))).unwrap();
    let at = |day| Wanted { now: later(day), lifetimes, ..wanted() };
    let mut host = Host::default();
    assert_eq!(host.run(&at(0)).facts.not_after, NOW.plus(days(90)));
    assert_eq!(host.run(&at(59)).reasons, []);
    let plan = host.run(&at(61));
    assert_eq!(plan.reasons, [reason(Part::Leaf, Why::Renewal)]);
    assert_eq!(plan.facts.not_after, NOW.plus(days(151)));
    assert_eq!(host.run(&at(130)).facts.not_after, NOW.plus(days(220)));
    // The CA's end is nearer than a lifetime.
    let plan = host.run(&at(215));
    assert_eq!(plan.facts.not_after, NOW.plus(days(300)));
    assert_eq!(plan.warnings, [Warning::CaEnds(NOW.plus(days(300)))]);
    assert_eq!(host.run(&at(290)).reasons, []);
}

#[test]
fn a_leaf_never_outlives_its_ca() {
    let lifetimes = Lifetimes::new(days(30), Some(days(60))).unwrap();
    let plan = Host::default().run(&Wanted { lifetimes, ..wanted() });
    assert_eq!(plan.facts.not_after, NOW.plus(days(30)));
}

#[test]
fn a_leaf_does_not_begin_before_its_ca() {
    let mut host = Host::made(NOW, |_| {});
    host.leaf = None;
    assert_eq!(host.run(&wanted()).facts.not_before, NOW);
    assert!(Host::default().run(&wanted()).facts.not_before < NOW);
}

#[test]
fn a_certificate_with_a_byte_too_many_is_none() {
    let mut host = Host::new();
    let leaf = pem::parse(host.leaf.as_ref().unwrap()).unwrap();
    let longer = [leaf.contents(), b"x"].concat();
    host.leaf = Some(pem::encode(&pem::Pem::new("CERTIFICATE", longer)).into());
    assert_eq!(host.run(&wanted()).reasons, [reason(Part::Leaf, Why::Unparsable)]);
}

#[test]
fn lifetimes_have_bounds() {
    let (short, long) = (DAY - Duration::from_secs(1), days(36_500) + Duration::from_secs(1));
    for (ca, leaf, part, found) in [
        (short, None, Part::Ca, short),
        (long, None, Part::Ca, long),
        (DAY, Some(short), Part::Leaf, short),
        (DAY, Some(long), Part::Leaf, long),
    ] {
        assert_eq!(Lifetimes::new(ca, leaf), Err(LifetimeFault { part, found }));
    }
    assert_eq!(
        Lifetimes::new(Duration::ZERO, None).unwrap_err().to_string(),
        "expected a lifetime of the CA between 1 and 36500 days, found 0 s",
    );
    assert!(Lifetimes::new(days(36_500), Some(DAY)).is_ok());
}

#[test]
fn a_clock_that_is_not_set_makes_nothing() {
    for now in [0, 1_767_225_599] {
        let now = UnixTime::from_secs(now);
        let fault = plan(&Found::default(), &Wanted { now, ..wanted() }).unwrap_err();
        assert!(matches!(fault, CertificatesFault::Clock(found) if found == now), "{fault}");
    }
}

#[test]
fn a_brought_ca_with_its_own_limits_is_told_and_not_used() {
    let mut host = Host::made(NOW, |_| {});
    host.authority(|ca| {
        let other = rcgen::GeneralSubtree::DnsName("example.com".to_owned());
        ca.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![other],
            excluded_subtrees: vec![],
        });
    });
    let fault = plan(&host.found(), &wanted()).unwrap_err();
    assert!(matches!(fault, CertificatesFault::Limited(_)), "{fault}");
}

#[test]
fn a_brought_leaf_stays_with_the_names_that_it_has() {
    let mut host = Host::new();
    host.sign(|leaf| {
        let names = ["localhost", "api.example.com"].map(|name| name.parse::<Name>().unwrap());
        leaf.subject_alt_names = names.map(|name| name.alternative().unwrap()).to_vec();
    });
    host.ca_key = None;
    let plan = host.run(&wanted());
    assert_eq!((&*plan.reasons, plan.facts.names.len()), (&[][..], 2));
}

#[test]
fn neither_reasons_nor_debug_hold_a_key() {
    let mut host = Host::new();
    host.leaf = None;
    let plan = host.run(&Wanted { rotate: Some(Rotate::Ca), ..wanted() });
    let told = format!("{plan:?} {:?}", host.found());
    for key in [plan.ca_key.as_new(), plan.key.as_new()] {
        let body = key.unwrap().expose().lines().nth(1).unwrap();
        assert!(body.len() > 60 && !told.contains(body), "{told}");
    }
    assert!(!told.contains("PRIVATE"), "{told}");
}

#[test]
fn reasons_and_warnings_are_told_in_words() {
    let name = "node.example.com".parse().unwrap();
    for (told, words) in [
        (
            reason(Part::Leaf, Why::MissingName(name)).to_string(),
            "the certificate is not valid for node.example.com",
        ),
        (reason(Part::OldCa, Why::Expired).to_string(), "the CA before has expired"),
        (
            Warning::CannotSign(KeyTrouble::Missing).to_string(),
            "the CA cannot sign a new certificate: its key is missing",
        ),
        (
            Warning::CaEnds(NOW).to_string(),
            "the CA ends at 2027-01-15T08:00:00Z, with two thirds of its time behind it; rotate it \
             with --rotate ca",
        ),
    ] {
        assert_eq!(told, words);
    }
}
