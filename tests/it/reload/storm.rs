//! Many changes in a short time.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use iamgate::reload::{Report, WatchOptions};
use tokio::sync::mpsc::error::TryRecvError;

use super::{EVENTS_ALONE, Scene, replace, text};

#[tokio::test]
async fn a_thousand_replacements_show_only_whole_values_and_the_last_one_wins() {
    let mut scene = Scene::new(WatchOptions::default());
    scene.start("config", 1).await;
    let done = Arc::new(AtomicBool::new(false));
    let readers = [(); 2].map(|()| {
        let (live, done) = (scene.live.clone(), Arc::clone(&done));
        thread::spawn(move || {
            let (mut last, mut reads) = (0, 0_u64);
            while !done.load(Ordering::Acquire) {
                let now = live.get().expect("never empty again").0;
                assert!(now >= last, "{now} came after {last}");
                (last, reads) = (now, reads + 1);
                thread::yield_now();
            }
            reads
        })
    });
    for number in 2..=1000 {
        change(&scene, number);
        // Now and then each of the ways has to take effect before the next may begin.
        if number % 21 == 0 {
            scene.becomes(number).await;
        }
    }
    scene.becomes(1000).await;
    done.store(true, Ordering::Release);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
}

/// One of several ways to change the file, by turns.
fn change(scene: &Scene, number: u64) {
    let path = scene.at("config");
    let open = || {
        // A link of an earlier turn is followed, and so its target is written.
        OpenOptions::new().create(true).write(true).truncate(true).open(&path).unwrap()
    };
    match number % 5 {
        0 => replace(&path, number),
        1 => open().write_all(text(number).as_bytes()).unwrap(),
        2 => {
            let mut file = open();
            for piece in text(number).as_bytes().chunks(64) {
                file.write_all(piece).unwrap();
            }
        }
        3 => {
            fs::remove_file(&path).unwrap();
            fs::write(&path, text(number)).unwrap();
        }
        _ => {
            let target = format!("target{number}");
            scene.write(&target, number);
            symlink(&target, scene.at(".link")).unwrap();
            fs::rename(scene.at(".link"), &path).unwrap();
        }
    }
}

#[tokio::test]
async fn a_busy_directory_neither_postpones_a_change_nor_makes_reports() {
    let mut scene = Scene::new(EVENTS_ALONE);
    scene.start("config", 1).await;
    let done = Arc::new(AtomicBool::new(false));
    let (busy, dir) = (Arc::clone(&done), scene.dir.path().to_owned());
    let neighbour = thread::spawn(move || {
        while !busy.load(Ordering::Acquire) {
            fs::write(dir.join("neighbour"), "x").unwrap();
            // The file itself never comes to rest either.
            let same = fs::metadata(dir.join("config")).unwrap().permissions();
            fs::set_permissions(dir.join("config"), same).unwrap();
        }
    });
    for number in 2..5 {
        replace(&scene.at("config"), number);
        assert_eq!(scene.report().await, Report::Replaced);
        scene.becomes(number).await;
    }
    done.store(true, Ordering::Release);
    neighbour.join().unwrap();
    assert_eq!(scene.reports.try_recv(), Err(TryRecvError::Empty));
}
