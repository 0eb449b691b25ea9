//! What the README shows is what the binary prints, and its examples are what they are said to be.

use std::path::Path;
use std::process::Command;

use crate::support::binary;

#[test]
fn the_readmes_offline_commands_print_what_it_shows() {
    let mut checked = 0;
    for block in include_str!("../../README.md").split("```console\n").skip(1) {
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
    assert_eq!(checked, 3, "the README shows other commands than this test knows");
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
