//! What README and docs show is what the binary prints, and the examples are what they are said to
//! be.

use std::path::Path;
use std::process::Command;

use crate::support::binary;

#[test]
fn the_offline_commands_print_what_the_pages_show() {
    let pages = [include_str!("../../README.md"), include_str!("../../docs/configuration.md")];
    let mut checked = 0;
    for block in pages.iter().flat_map(|page| page.split("```console\n").skip(1)) {
        let block = block.split("```").next().unwrap();
        for shown in block.split("$ iamgate ").skip(1) {
            let (command, output) = shown.split_once('\n').unwrap();
            let offline = ["explain ", "config check "].iter().any(|of| command.starts_with(of));
            if !offline {
                continue;
            }
            let ran = Command::new(binary())
                .args(command.split_whitespace())
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .env_clear()
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(ran.stdout).unwrap(), output, "iamgate {command}");
            checked += 1;
        }
    }
    assert_eq!(checked, CHECKED, "the pages show other commands than this test knows");
}

#[test]
fn the_page_on_configuration_shows_the_example() {
    let example = include_str!("../../docs/examples/config.yaml");
    assert!(include_str!("../../docs/configuration.md").contains(example));
}

#[test]
fn the_examples_are_clean_but_for_the_broken_one() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    let mut seen = 0;
    for entry in examples.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let ran = Command::new(binary()).args(["config", "check"]).arg(&path).output().unwrap();
        let told = String::from_utf8(ran.stdout).unwrap();
        let broken = path.file_name().unwrap() == "broken.yaml";
        assert_eq!(ran.status.code(), Some(i32::from(broken)), "{told}");
        seen += 1;
    }
    assert!(seen >= 2, "only {seen} examples");
}

/// So that a page that loses its commands does not go green.
const CHECKED: usize = 7;

#[test]
fn the_transcript_of_provision_is_what_the_binary_prints() {
    let page = include_str!("../../README.md");
    let (_, block) = page.split_once("# iamgate provision --cluster-id").unwrap();
    let (command, shown) =
        block.split("```").next().unwrap().split_once("cluster-admins'\n").unwrap();
    assert!(command.contains("--check --diff"), "{command}");
    let root = tempfile::tempdir().unwrap();
    let manifests = root.path().join("etc/kubernetes/manifests");
    std::fs::create_dir_all(&manifests).unwrap();
    std::fs::create_dir_all(root.path().join("var/lib")).unwrap();
    let manifest = manifests.join("kube-apiserver.yaml");
    std::fs::copy("tests/manifests/kubeadm-1.37/kube-apiserver.yaml", &manifest).unwrap();
    std::fs::set_permissions(&manifest, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    let ran = Command::new(binary())
        .args(["provision", "--cluster-id", "my-cluster.example.com", "--check", "--diff"])
        .arg("--map-role=arn:aws:iam::123456789012:role/Admin=admin:{{SessionName}}=cluster-admins")
        .arg("--root")
        .arg(root.path())
        .env_clear()
        .output()
        .unwrap();
    let printed = String::from_utf8(ran.stdout).unwrap();
    // A build's own hash is its own.
    let plain = |line: &str| match line.split_once("bin/0.1.0-") {
        Some((before, after)) => format!("{before}bin/0.1.0-{}", after.get(12..).unwrap()),
        None => line.to_owned(),
    };
    // A build that is not the released one says so.
    let released = |line: &&str| !line.contains(" is not static, and would not run");
    let mut lines = printed.lines().filter(released).map(plain);
    let mut skip = false;
    for line in shown.lines() {
        if line == "..." {
            skip = true;
        } else if skip {
            assert!(lines.any(|printed| printed == plain(line)), "{line:?} is not in\n{printed}");
            skip = false;
        } else {
            assert_eq!(lines.next(), Some(plain(line)), "\n{printed}");
        }
    }
    assert_eq!(lines.next(), None);
}
