//! `init`: the files it writes and keeps, what it says, and how it fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::extensions::GeneralName;

use super::EVERY_NAME;
use super::program::{OWN, Program, REFERENCE, Ran};

const KUBECONFIG: &str = "aws-iam-authenticator.kubeconfig";
const GATE: &str = "--feature-gates=ConfiguredInitDirectories=true";
/// With the server's own places below the test's directory.
const CONFIG: &str = "\
clusterID: c
server:
  hostname: auth.example.com
  port: 8443
  stateDir: state
  generateKubeconfig: kube/webhook.yaml
";
/// What names the program's own file and the test's.
const NOT_WRITTEN: [&str; 3] = [OWN, REFERENCE, "c.yaml"];

/// A run that goes well, its messages.
fn messages(ran: &Ran) -> Vec<String> {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines = ran.err.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["msg"].as_str().unwrap().to_owned()
    });
    lines.collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The files in a directory, but for those that were there.
fn files(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| !NOT_WRITTEN.contains(&&**name) && !name.starts_with("heptio"));
    names.sort();
    names
}

fn kubeconfig(dir: &Path, url: &str) -> String {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/webhook-kubeconfig.yaml");
    let certificate = STANDARD.encode(fs::read(dir.join("cert.pem")).unwrap());
    fs::read_to_string(golden)
        .unwrap()
        .replace("<base64 of cert.pem>", &certificate)
        .replace("https://localhost:<port>", url)
}

#[tokio::test]
async fn the_current_directory_gets_three_files_and_the_log_says_where_they_belong() {
    for name in EVERY_NAME {
        let program = Program::named(name);
        program.write("c.yaml", CONFIG);
        let ran = program.run(&["init", "-c", "c.yaml", "-l", "json", "surplus"]).await;
        let version =
            concat!("Authenticator Version: \"v", env!("CARGO_PKG_VERSION"), "\", \"\"\n");
        assert_eq!(ran.out, if name == OWN { "" } else { version }, "{name}");
        let copies = [
            "copy cert.pem to state/cert.pem on kubernetes master node(s)",
            "copy key.pem to state/key.pem on kubernetes master node(s)",
            "copy aws-iam-authenticator.kubeconfig to kube/webhook.yaml on kubernetes master \
             node(s)",
            "configure your apiserver with \
             `--authentication-token-webhook-config-file=kube/webhook.yaml` to enable \
             authentication with aws-iam-authenticator",
        ];
        let mut told = messages(&ran);
        told.retain(|line| !line.starts_with("c.yaml"));
        let made = [
            "Creating certificate with address",
            "generated a new private key and certificate",
            "saving new key and certificate",
            "loaded existing keypair",
            "writing webhook kubeconfig file",
        ];
        assert!(told.ends_with(&[&made[..], &copies].concat().map_into()), "{name}: {told:?}");
        assert_eq!(files(program.dir()), [KUBECONFIG, "cert.pem", "key.pem"], "{name}");
        assert_eq!(
            fs::read_to_string(program.dir().join(KUBECONFIG)).unwrap(),
            kubeconfig(program.dir(), "https://auth.example.com:8443"),
        );

        // The pair stays; the kubeconfig is written anew.
        let pair = ["cert.pem", "key.pem"].map(|file| program.dir().join(file));
        let before = pair.clone().map(|file| fs::read(file).unwrap());
        fs::remove_file(program.dir().join(KUBECONFIG)).unwrap();
        let told = messages(&program.run(&["init", "-c", "c.yaml", "-l", "json"]).await);
        assert!(told.ends_with(&[&made[3..], &copies].concat().map_into()), "{name}: {told:?}");
        assert!(!told.contains(&made[2].to_owned()), "{name}: {told:?}");
        assert_eq!(pair.map(|file| fs::read(file).unwrap()), before, "{name}");
        assert!(program.dir().join(KUBECONFIG).exists(), "{name}");
    }
}

trait MapInto {
    fn map_into(self) -> Vec<String>;
}

impl MapInto for Vec<&str> {
    fn map_into(self) -> Vec<String> {
        self.into_iter().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn modes_do_not_depend_on_the_umask() {
    for umask in ["000", "077"] {
        let program = Program::named(REFERENCE);
        let words = ["-c", r#"umask "$0"; exec ./aws-iam-authenticator init -i c"#, umask];
        let ran = tokio::process::Command::new("sh")
            .args(words)
            .current_dir(program.dir())
            .output()
            .await
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        for (file, want) in [(KUBECONFIG, 0o644), ("cert.pem", 0o644), ("key.pem", 0o600)] {
            assert_eq!(mode(&program.dir().join(file)), want, "{umask} {file}");
        }
    }
}

/// The names in the certificate, and the URL in the kubeconfig.
fn named(dir: &Path) -> (Vec<String>, String) {
    let pem = pem::parse(fs::read(dir.join("cert.pem")).unwrap()).unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(pem.contents()).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let names = names.value.general_names.iter().map(|name| {
        if let GeneralName::IPAddress([a, b, c, d]) = name {
            format!("{a}.{b}.{c}.{d}")
        } else if let GeneralName::DNSName(name) = name {
            (*name).to_owned()
        } else {
            panic!("{name}")
        }
    });
    let text = fs::read_to_string(dir.join(KUBECONFIG)).unwrap();
    let url = text.lines().find_map(|line| line.trim().strip_prefix("server: ")).unwrap();
    (names.collect(), url.to_owned())
}

#[tokio::test]
async fn host_name_and_address_come_from_the_flag_then_the_file_and_both_have_an_effect() {
    let table: &[(&[&str], &[&str], &str)] = &[
        (&["-i", "c"], &["127.0.0.1", "localhost"], "localhost:21362"),
        (&["-c", "c.yaml"], &["127.0.0.1", "auth.example.com"], "auth.example.com:8443"),
        (
            &["-c", "c.yaml", "--hostname", "Node.example.com", "--address=10.0.0.1"],
            &["10.0.0.1", "node.example.com"],
            "node.example.com:8443",
        ),
        (
            &["-i", "c", "--address", "0.0.0.0", "--hostname=10.0.0.2"],
            &["10.0.0.2"],
            "10.0.0.2:21362",
        ),
    ];
    for (words, names, url) in table {
        let program = Program::named(REFERENCE);
        program.write("c.yaml", CONFIG);
        let ran = program.run(&[&["init"], *words].concat()).await;
        assert_eq!(ran.code, Some(0), "{words:?}: {ran:?}");
        let names = names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(named(program.dir()), (names, format!("https://{url}/authenticate")));
    }
}

#[tokio::test]
async fn with_its_gate_the_servers_own_places_get_the_files() {
    for (name, gate) in [(OWN, GATE), (REFERENCE, GATE), (REFERENCE, "--feature-gates=AllAlpha=1")]
    {
        let program = Program::named(name);
        program.write("c.yaml", CONFIG);
        for dir in ["state", "kube"] {
            fs::create_dir(program.dir().join(dir)).unwrap();
        }
        let told = messages(&program.run(&["init", gate, "-c", "c.yaml", "-l", "json"]).await);
        let made = [
            "certificate generated at state/cert.pem on kubernetes master node(s)",
            "key generated at state/key.pem on kubernetes master node(s)",
            "kubeconfig generated at kube/webhook.yaml on kubernetes master node(s)",
            "configure your apiserver with \
             `--authentication-token-webhook-config-file=kube/webhook.yaml` to enable \
             authentication with aws-iam-authenticator",
        ];
        assert!(told.ends_with(&made.to_vec().map_into()), "{name} {gate}: {told:?}");
        assert_eq!(files(program.dir()), ["kube", "state"]);
        assert_eq!(files(&program.dir().join("state")), ["cert.pem", "key.pem"]);
        assert_eq!(mode(&program.dir().join("state/key.pem")), 0o600);
        assert_eq!(
            fs::read_to_string(program.dir().join("kube/webhook.yaml")).unwrap(),
            kubeconfig(&program.dir().join("state"), "https://auth.example.com:8443"),
        );
    }
}

#[tokio::test]
async fn a_ca_in_charge_of_the_host_keeps_its_kubeconfig_and_one_in_the_current_directory_does_not()
{
    let program = Program::named(OWN);
    program.write("c.yaml", CONFIG);
    for dir in ["state", "kube"] {
        fs::create_dir(program.dir().join(dir)).unwrap();
    }
    program.write("kube/ca.pem", "");
    program.write("ca.pem", "");
    let told = messages(&program.run(&["init", GATE, "-c", "c.yaml", "-l", "json"]).await);
    assert!(told.iter().any(|line| line.starts_with("left the webhook kubeconfig alone")));
    assert!(!told.iter().any(|line| line.starts_with("kubeconfig generated")), "{told:?}");
    assert!(!program.dir().join("kube/webhook.yaml").exists());
    messages(&program.run(&["init", "-c", "c.yaml", "-l", "json"]).await);
    assert!(program.dir().join(KUBECONFIG).exists());
}

#[tokio::test]
async fn what_cannot_be_done_is_told_with_its_cause_and_nothing_is_left_behind() {
    type Case<'a> = (&'a [&'a str], fn(&Program), [&'a str; 2], [i32; 2]);
    let table: &[Case<'_>] = &[
        (
            &["-c", "c.yaml", GATE],
            |_| {},
            ["could not load/generate a certificate", "cannot write state/key.pem"],
            [1, 1],
        ),
        (
            &["-c", "c.yaml", GATE],
            |program| fs::create_dir(program.dir().join("state")).unwrap(),
            ["could not create webhook kubeconfig", "cannot write kube/webhook.yaml"],
            [1, 1],
        ),
        (
            &["-c", "c.yaml"],
            |program| {
                program.write("cert.pem", "rubbish");
                program.write("key.pem", "rubbish");
                let mode = fs::Permissions::from_mode(0o600);
                fs::set_permissions(program.dir().join("key.pem"), mode).unwrap();
            },
            ["could not load/generate a certificate", "expected a PEM private key"],
            [1, 1],
        ),
        (
            &["-c", "d.yaml"],
            |program| program.write("d.yaml", "server: {}\n"),
            ["cluster ID cannot be empty", "--cluster-id"],
            [1, 1],
        ),
        (&["-c", "none.yaml"], |_| {}, ["Can't read configuration file", "none.yaml"], [1, 1]),
        (
            &["-c", "c.yaml", "--address", "x"],
            |_| {},
            ["--address: expected an IP address", "x"],
            [2, 1],
        ),
        (
            &["-c", "c.yaml", "--hostname", "a b"],
            |_| {},
            ["--hostname: expected a host name", "a b"],
            [2, 1],
        ),
        (
            &["-c", "c.yaml", "--state-dir", "x"],
            |_| {},
            ["unexpected argument '--state-dir'", ""],
            [2, 1],
        ),
    ];
    for (words, prepare, told, codes) in table {
        for (name, code) in [OWN, REFERENCE].into_iter().zip(codes) {
            let program = Program::named(name);
            program.write("c.yaml", CONFIG);
            prepare(&program);
            let before = files(program.dir());
            let ran = program.run(&[&["init"], *words].concat()).await;
            assert_eq!(ran.code, Some(*code), "{name} {words:?}: {ran:?}");
            for told in told {
                assert!(ran.err.contains(told), "{name} {words:?}: {ran:?}");
            }
            assert_eq!(files(program.dir()), before, "{name} {words:?}");
        }
    }
}
