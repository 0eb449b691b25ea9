use std::fs::{self, Permissions};
use std::net::Ipv4Addr;

use x509_parser::extensions::GeneralName;

use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn names(address: &str, hostname: &str) -> Names {
    Names::new(address.parse().unwrap(), hostname).unwrap()
}

fn create(dir: &Path) -> (KeyPair, Origin) {
    KeyPair::load_or_create(dir, &names("127.0.0.1", "localhost"), NOW).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_pair_is_made_once_and_then_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let (first, origin) = create(dir.path());
    assert_eq!(origin, Origin::Created);
    assert_eq!(create(dir.path()), (first.clone(), Origin::Loaded));
    assert_eq!(first.not_after(), NOW.plus(std::time::Duration::from_secs(100 * 365 * 86_400)));
    assert_eq!(fs::read_to_string(first.certificate_path()).unwrap(), first.leaf_pem());
}

#[test]
fn either_file_missing_replaces_both() {
    for missing in [CERTIFICATE_FILE, KEY_FILE] {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = create(dir.path());
        fs::remove_file(dir.path().join(missing)).unwrap();
        let (second, origin) = create(dir.path());
        assert_eq!(origin, Origin::Created, "{missing}");
        assert_ne!(first, second, "{missing}");
    }
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    // The umask belongs to the whole process, so a process of its own has each.
    let this = std::env::current_exe().unwrap();
    for umask in ["000", "077"] {
        let run = std::process::Command::new("sh")
            .args(["-c", r#"umask "$1"; exec "$0" --exact --ignored "$2""#])
            .arg(&this)
            .args([umask, "keypair::tests::modes_under_this_umask"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("1 passed"), "umask {umask}: {said}");
    }
}

#[test]
#[ignore = "run by modes_do_not_depend_on_the_umask"]
fn modes_under_this_umask() {
    let dir = tempfile::tempdir().unwrap();
    let (pair, _) = create(dir.path());
    assert_eq!(mode(pair.certificate_path()), 0o644);
    assert_eq!(mode(pair.key_path()), 0o600);
}

#[test]
fn the_certificate_is_what_the_reference_makes() {
    let dir = tempfile::tempdir().unwrap();
    let (pair, _) = create(dir.path());
    let (_, leaf) = x509_parser::parse_x509_certificate(&pair.certified().cert[0]).unwrap();
    assert_eq!(leaf.subject().to_string(), "CN=aws-iam-authenticator");
    assert_eq!(leaf.subject(), leaf.issuer());
    assert_eq!(leaf.validity().not_before.timestamp(), 1_800_000_000);
    let basic = leaf.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca && basic.value.path_len_constraint.is_none());
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(usage.critical);
    assert_eq!(usage.value.to_string(), "Digital Signature, Key Encipherment, Key Cert Sign");
    assert!(leaf.extended_key_usage().unwrap().unwrap().value.server_auth);
}

#[test]
fn alternative_names_follow_address_and_host_name() {
    for (address, hostname, want) in [
        ("127.0.0.1", "example.com", &["127.0.0.1", "example.com"][..]),
        ("0.0.0.0", "10.0.0.1", &["10.0.0.1"]),
        ("10.0.0.1", "10.0.0.1", &["10.0.0.1"]),
        ("10.0.0.1", "10.0.0.2", &["10.0.0.1", "10.0.0.2"]),
        ("::", "localhost", &["localhost"]),
        ("::1", "localhost", &["::1", "localhost"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (pair, _) =
            KeyPair::load_or_create(dir.path(), &names(address, hostname), NOW).unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&pair.certified().cert[0]).unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        let mut got: Vec<_> = names.value.general_names.iter().map(spelled).collect();
        got.sort();
        let mut want = want.to_vec();
        want.sort_unstable();
        assert_eq!(got, want, "{address} {hostname}");
    }
}

fn spelled(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(*bytes).unwrap()).to_string(),
            _ => IpAddr::from(<[u8; 16]>::try_from(*bytes).unwrap()).to_string(),
        },
        other @ (GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..)) => panic!("{other}"),
    }
}

#[test]
fn names_that_name_nobody_are_refused_before_anything_is_written() {
    for (hostname, want) in [
        ("", "expected a host name or an IP address for the certificate, found \"\""),
        ("a b", "expected a host name or an IP address for the certificate, found \"a b\""),
        ("0.0.0.0", "expected a host name or an address other than 0.0.0.0 for the certificate"),
    ] {
        let fault = Names::new(Ipv4Addr::UNSPECIFIED.into(), hostname).unwrap_err();
        assert_eq!(fault.to_string(), want);
    }
    assert_eq!(Names::new(LOOPBACK, "0.0.0.0").unwrap().address, Some(LOOPBACK));
}

#[test]
fn a_pair_that_cannot_be_used_is_named_and_left_alone() {
    type Case = (&'static str, fn(&Path), fn(&KeyPairFault) -> bool);
    let spoil: &[Case] = &[
        (
            "a key that the group can read",
            |dir| {
                let mode = Permissions::from_mode(0o640);
                fs::set_permissions(dir.join(KEY_FILE), mode).unwrap();
            },
            |fault| matches!(fault, KeyPairFault::KeyExposed { mode: 0o640, .. }),
        ),
        (
            "the key of another certificate",
            |dir| {
                let other = tempfile::tempdir().unwrap();
                create(other.path());
                fs::rename(other.path().join(KEY_FILE), dir.join(KEY_FILE)).unwrap();
            },
            |fault| matches!(fault, KeyPairFault::Mismatch { .. }),
        ),
        (
            "an empty certificate",
            |dir| files::write_whole(&dir.join(CERTIFICATE_FILE), b"", 0o644).unwrap(),
            |fault| matches!(fault, KeyPairFault::NoCertificate { .. }),
        ),
        (
            "a key that is none",
            |dir| files::write_whole(&dir.join(KEY_FILE), b"hunter2", 0o600).unwrap(),
            |fault| matches!(fault, KeyPairFault::NoKey { .. }),
        ),
        (
            "an endless certificate",
            |dir| {
                let long = vec![b'\n'; PEM_LIMIT + 1];
                files::write_whole(&dir.join(CERTIFICATE_FILE), &long, 0o644).unwrap();
            },
            |fault| {
                matches!(
                    fault,
                    KeyPairFault::Read { source: ReadFault::TooLong { limit: PEM_LIMIT }, .. }
                )
            },
        ),
    ];
    for (what, spoil, is_named) in spoil {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path());
        spoil(dir.path());
        let before = fs::read(dir.path().join(CERTIFICATE_FILE)).unwrap();
        let names = names("127.0.0.1", "localhost");
        let fault = KeyPair::load_or_create(dir.path(), &names, NOW).unwrap_err();
        assert!(is_named(&fault), "{what}: {fault:?}");
        assert!(!format!("{fault} {fault:?}").contains("hunter2"), "{what}");
        assert_eq!(fs::read(dir.path().join(CERTIFICATE_FILE)).unwrap(), before, "{what}");
    }
}

#[test]
fn keys_of_all_three_wrappings_load() {
    // Made with openssl: RSA 2048 as PKCS#1, P-256 as SEC1; PKCS#8 is what this program writes.
    for (certificate, key) in [
        (include_str!("testdata/rsa.cert.pem"), include_str!("testdata/rsa.pkcs1.pem")),
        (include_str!("testdata/ec.cert.pem"), include_str!("testdata/ec.sec1.pem")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        files::write_whole(&path(CERTIFICATE_FILE), certificate.as_bytes(), 0o644).unwrap();
        files::write_whole(&path(KEY_FILE), key.as_bytes(), 0o600).unwrap();
        assert_eq!(KeyPair::load(dir.path()).unwrap().leaf_pem(), certificate);
    }
}

#[test]
fn debug_holds_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let (pair, _) = create(dir.path());
    let want = format!(
        "KeyPair {{ certificate: {:?}, key: {:?}, .. }}",
        pair.certificate_path(),
        pair.key_path()
    );
    assert_eq!(format!("{pair:?}"), want);
}

#[test]
fn the_kubeconfig_is_the_reference_s() {
    for (hostname, url) in [
        ("localhost", "https://localhost:21362/authenticate"),
        ("::1", "https://[::1]:21362/authenticate"),
    ] {
        let text = render_kubeconfig("CA", &WebhookUrl::new(hostname, 21362)).unwrap();
        let want = format!(
            "\nclusters:\n  - name: aws-iam-authenticator\n    cluster:\n      \
             certificate-authority-data: Q0E=\n      server: {url}\n\
             # the API server shows no credentials of its own\nusers:\n  - name: apiserver\n\
             current-context: webhook\ncontexts:\n- name: webhook\n  context:\n    \
             cluster: aws-iam-authenticator\n    user: apiserver\n"
        );
        assert_eq!(text, want);
    }
}

#[test]
fn a_provisioned_host_keeps_its_kubeconfig() {
    let dir = tempfile::tempdir().unwrap();
    let (pair, _) = create(dir.path());
    let (path, url) = (dir.path().join("kubeconfig.yaml"), WebhookUrl::new("localhost", 1));
    assert!(write_kubeconfig(&path, &pair, &url).unwrap());
    assert_eq!(mode(&path), 0o644);
    assert!(fs::read_to_string(&path).unwrap().contains("LS0tLS1CRUdJTi"));
    fs::remove_file(&path).unwrap();
    files::write_whole(&dir.path().join("ca.pem"), b"", 0o644).unwrap();
    assert!(!write_kubeconfig(&path, &pair, &url).unwrap());
    assert!(!path.exists());
}
