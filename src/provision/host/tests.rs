use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn tree() -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    let host = Host::open(&root).unwrap();
    (dir, host)
}

fn path(text: &str) -> NodePath {
    text.parse().unwrap()
}

fn mode(mode: u32) -> Attributes {
    Attributes { mode, owner: None, label: None }
}

#[test]
fn absolute_and_climbing_symlinks_stay_inside_the_root() {
    let (dir, host) = tree();
    fs::create_dir(dir.path().join("outside")).unwrap();
    File::create(dir.path().join("outside/secret")).unwrap();
    let root = host.root().to_owned();
    symlink(dir.path().join("outside"), root.join("etc/absolute")).unwrap();
    symlink("../../../outside", root.join("etc/climbing")).unwrap();
    for link in ["/etc/absolute/secret", "/etc/climbing/secret"] {
        assert_eq!(host.read(&path(link), 10).unwrap(), None, "{link}");
        let fault = host.stage(&path(link), b"x", &mode(0o600)).unwrap_err();
        assert!(fault.to_string().starts_with("cannot write "), "{fault}");
    }
    // The same links lead to what lies inside, once it is there.
    fs::create_dir_all(root.join("outside")).unwrap();
    host.stage(&path("/etc/climbing/new"), b"x", &mode(0o600)).unwrap().commit().unwrap();
    assert_eq!(fs::read(root.join("outside/new")).unwrap(), b"x");
    assert_eq!(fs::read_dir(dir.path().join("outside")).unwrap().count(), 1);
}

#[test]
fn what_is_staged_is_invisible_and_gone_if_it_is_not_committed() {
    let (_dir, host) = tree();
    let staged = host.stage(&path("/etc/f"), b"x", &mode(0o640)).unwrap();
    assert_eq!(host.find(&path("/etc/f")).unwrap(), None);
    let names = host.list(&path("/etc")).unwrap();
    assert!(matches!(&*names, [name] if name.starts_with(files::TEMPORARY)), "{names:?}");
    drop(staged);
    assert_eq!(host.list(&path("/etc")).unwrap(), [""; 0]);
}

#[test]
fn a_pipe_a_directory_and_a_long_file_are_not_read() {
    let (_dir, host) = tree();
    let pipe = host.root().join("etc/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
    host.stage(&path("/etc/f"), b"12345", &mode(0o600)).unwrap().commit().unwrap();
    for (name, told) in
        [("/etc/pipe", "it is not a file"), ("/etc", "Is a directory"), ("/etc/f", "at most 4")]
    {
        let fault = host.read(&path(name), 4).unwrap_err();
        assert!(fault.source.to_string().contains(told), "{name}: {}", fault.source);
    }
}

#[test]
fn a_directory_is_born_closed_and_gets_its_mode_whatever_the_umask() {
    let (_dir, host) = tree();
    host.make_directory(&path("/etc/d"), &mode(0o777)).unwrap();
    let made = fs::metadata(host.root().join("etc/d")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(made, 0o777);
}

#[test]
fn a_symlink_gets_no_mode() {
    let (_dir, host) = tree();
    symlink("f", host.root().join("etc/link")).unwrap();
    let fault = host.set_attributes(&path("/etc/link"), &mode(0o600)).unwrap_err();
    assert!(fault.to_string().starts_with("cannot set mode and owner of "), "{fault}");
}

#[test]
fn two_runs_do_not_hold_one_host_at_a_time() {
    let (_dir, host) = tree();
    let held = host.lock(Duration::ZERO, || {}).unwrap();
    let mut told = false;
    let refused = host.lock(Duration::from_millis(60), || told = true).unwrap_err();
    assert!(matches!(refused, NoHost::Locked { .. }), "{refused}");
    assert!(told);
    drop(held);
    host.lock(Duration::ZERO, || {}).unwrap();
    assert_eq!(host.list(&path("/")).unwrap(), ["etc"]);
}
