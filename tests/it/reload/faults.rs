//! What is wrong with a file is reported once, by name, and takes nothing away.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use iamgate::reload::{ReadFault, Report, Unread};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::{EVENTS_ALONE, LIMIT, Scene, Torn, replace, text};

impl Scene {
    /// Expects this fault next, and the first value still live.
    async fn faults(&mut self, fault: ReadFault) {
        let unread = Unread { path: self.at("config"), fault };
        assert_eq!(self.report().await, Report::Unread(unread));
        self.becomes(1).await;
    }
}

#[tokio::test]
async fn each_thing_that_is_no_content_keeps_the_last_good_value() {
    let mut scene = Scene::new(EVENTS_ALONE);
    scene.start("config", 1).await;
    let path = scene.at("config");
    fs::write(&path, "").unwrap();
    scene.faults(ReadFault::Empty).await;
    fs::remove_file(&path).unwrap();
    scene.faults(ReadFault::Missing).await;
    fs::create_dir(&path).unwrap();
    scene.faults(ReadFault::NotRegular).await;
    fs::remove_dir(&path).unwrap();
    scene.faults(ReadFault::Missing).await;
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    scene.faults(ReadFault::NotRegular).await;
    fs::write(scene.at("large"), vec![b'x'; usize::try_from(LIMIT).unwrap() + 1]).unwrap();
    fs::rename(scene.at("large"), &path).unwrap();
    scene.faults(ReadFault::TooLarge { limit: LIMIT }).await;
    fs::remove_file(&path).unwrap();
    scene.faults(ReadFault::Missing).await;
    let socket = UnixListener::bind(&path).unwrap();
    scene.faults(ReadFault::NotRegular).await;
    drop(socket);
    replace(&path, 2);
    scene.becomes(2).await;
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_taken_when_it_may() {
    // Root reads everything, so these rights are laid down: by this thread, and by those that it
    // starts, which are the runtime's.
    let mut rights = capabilities(None).unwrap();
    rights.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    set_capabilities(None, rights).unwrap();
    let mut scene = Scene::new(EVENTS_ALONE);
    scene.start("config", 1).await;
    let path = scene.at("config");
    fs::write(&path, text(2)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    scene.faults(ReadFault::Denied).await;
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    scene.becomes(2).await;
}

#[tokio::test]
async fn the_same_fault_is_reported_once_until_it_changes() {
    let mut scene = Scene::new(EVENTS_ALONE);
    scene.start("config", 1).await;
    let path = scene.at("config");
    for attempt in 0..5 {
        let bad = format!("bad {attempt}");
        fs::write(&path, &bad).unwrap();
        scene.parses(&bad).await;
    }
    assert_eq!(scene.report().await, Report::Kept(Torn));
    fs::remove_file(&path).unwrap();
    scene.faults(ReadFault::Missing).await;
    // Another fault came between, so this one is news again.
    fs::write(&path, "bad").unwrap();
    assert_eq!(scene.report().await, Report::Kept(Torn));
    replace(&path, 1);
    assert_eq!(scene.report().await, Report::Same);
}

#[tokio::test]
async fn a_broken_file_at_the_start_leaves_no_value_until_the_repair() {
    let mut scene = Scene::new(EVENTS_ALONE);
    fs::write(scene.at("config"), "bad").unwrap();
    scene.follow("config");
    assert_eq!(scene.report().await, Report::Kept(Torn));
    assert_eq!(scene.live.get(), None);
    scene.write("config", 1);
    scene.becomes(1).await;
}

#[tokio::test]
async fn a_parser_that_panics_takes_nothing_away_and_goes_on() {
    let mut scene = Scene::new(EVENTS_ALONE);
    scene.start("config", 1).await;
    fs::write(scene.at("other"), "bomb").unwrap();
    fs::rename(scene.at("other"), scene.at("config")).unwrap();
    assert_eq!(scene.report().await, Report::Crashed);
    scene.becomes(1).await;
    replace(&scene.at("config"), 2);
    assert_eq!(scene.report().await, Report::Replaced);
    scene.becomes(2).await;
}
