//! The ways in which programs and people change a file.
//!
//! Each is tried with events alone, and with the defaults; the latter again where there is no
//! inotify (see the parent).

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use iamgate::reload::{ReadFault, Report, Unread, WatchOptions};

use super::{EVENTS_ALONE, Scene, replace, text};

/// Makes a test of each pattern, under each of the named options.
macro_rules! patterns {
    ($module:ident, $options:expr, $($name:ident)*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(Scene::new($options)).await;
                }
            )*
        }
    };
}

patterns! { by_events, EVENTS_ALONE,
    a_file_replaced_by_rename a_file_that_vim_saves a_file_moved_away_and_written_anew
    a_file_truncated_and_written a_file_written_in_pieces a_file_appended_to
    a_file_deleted_and_created a_file_replaced_by_a_hard_link
    a_configmap_that_kubelet_swaps a_chain_of_links_retargeted_at_any_hop
    a_link_that_becomes_a_file a_file_missing_at_the_start a_directory_missing_at_the_start
    a_directory_replaced a_directory_deleted_and_created a_loop_of_links_that_is_opened
}

patterns! { by_default, WatchOptions::default(),
    a_file_replaced_by_rename a_file_that_vim_saves a_file_moved_away_and_written_anew
    a_file_truncated_and_written a_file_written_in_pieces a_file_appended_to
    a_file_deleted_and_created a_file_replaced_by_a_hard_link
    a_configmap_that_kubelet_swaps a_chain_of_links_retargeted_at_any_hop
    a_link_that_becomes_a_file a_file_missing_at_the_start a_directory_missing_at_the_start
    a_directory_replaced a_directory_deleted_and_created a_loop_of_links_that_is_opened
    a_file_written_through_another_name a_directory_replaced_further_up
}

/// `sed -i`, Ansible, `install`, and our own writer.
async fn a_file_replaced_by_rename(mut scene: Scene) {
    scene.start("config", 1).await;
    for number in 2..5 {
        replace(&scene.at("config"), number);
        scene.becomes(number).await;
    }
}

/// `backupcopy=no`: a probe named 4913, the old file renamed to a backup, a new one written, the
/// backup removed.
async fn a_file_that_vim_saves(mut scene: Scene) {
    scene.start("config", 1).await;
    for number in 2..5 {
        fs::write(scene.at("4913"), "").unwrap();
        fs::remove_file(scene.at("4913")).unwrap();
        fs::rename(scene.at("config"), scene.at("config~")).unwrap();
        scene.write("config", number);
        fs::remove_file(scene.at("config~")).unwrap();
        scene.becomes(number).await;
    }
}

async fn a_file_moved_away_and_written_anew(mut scene: Scene) {
    scene.start("config", 1).await;
    fs::rename(scene.at("config"), scene.at("config.old")).unwrap();
    scene.write("config", 2);
    scene.becomes(2).await;
    // What is done to the old one is no longer of interest.
    scene.write("config.old", 9);
    replace(&scene.at("config"), 3);
    scene.becomes(3).await;
}

/// A shell's `>`, `cp`, and editors that write in place.
async fn a_file_truncated_and_written(mut scene: Scene) {
    scene.start("config", 1).await;
    for number in 2..5 {
        let mut file =
            OpenOptions::new().write(true).truncate(true).open(scene.at("config")).unwrap();
        file.write_all(text(number).as_bytes()).unwrap();
        scene.becomes(number).await;
    }
}

async fn a_file_written_in_pieces(mut scene: Scene) {
    scene.start("config", 1).await;
    let mut file = OpenOptions::new().write(true).truncate(true).open(scene.at("config")).unwrap();
    for byte in text(6).as_bytes() {
        file.write_all(&[*byte]).unwrap();
        tokio::task::yield_now().await;
    }
    scene.becomes(6).await;
}

/// Held open from one end of the change to the other, as by `tee -a`.
async fn a_file_appended_to(mut scene: Scene) {
    let whole = text(5);
    let (head, tail) = whole.split_at(whole.len() / 2);
    fs::write(scene.at("config"), head).unwrap();
    scene.follow("config");
    assert_eq!(scene.report().await, Report::Kept(super::Torn));
    let mut file = OpenOptions::new().append(true).open(scene.at("config")).unwrap();
    file.write_all(tail.as_bytes()).unwrap();
    scene.becomes(5).await;
}

async fn a_file_deleted_and_created(mut scene: Scene) {
    scene.start("config", 1).await;
    fs::remove_file(scene.at("config")).unwrap();
    let missing = Unread { path: scene.at("config"), fault: ReadFault::Missing };
    assert_eq!(scene.report().await, Report::Unread(missing));
    scene.becomes(1).await;
    scene.write("config", 1);
    assert_eq!(scene.report().await, Report::Same, "the fault has passed");
    scene.write("config", 2);
    scene.becomes(2).await;
}

async fn a_file_replaced_by_a_hard_link(mut scene: Scene) {
    scene.start("config", 1).await;
    scene.write("other", 2);
    fs::remove_file(scene.at("config")).unwrap();
    fs::hard_link(scene.at("other"), scene.at("config")).unwrap();
    scene.becomes(2).await;
}

/// What kubelet does to a mounted ConfigMap: a new directory, and one rename of a link to it.
/// <https://pkg.go.dev/k8s.io/kubernetes/pkg/volume/util#AtomicWriter>
async fn a_configmap_that_kubelet_swaps(mut scene: Scene) {
    let publish = |root: &Path, number: u64| {
        let version = format!("..2026_01_02_{number}");
        fs::create_dir(root.join(&version)).unwrap();
        fs::write(root.join(&version).join("config"), text(number)).unwrap();
        symlink(&version, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        if number > 1 {
            fs::remove_dir_all(root.join(format!("..2026_01_02_{}", number - 1))).unwrap();
        }
    };
    let root = scene.dir.path().to_owned();
    publish(&root, 1);
    symlink("..data/config", scene.at("config")).unwrap();
    scene.follow("config");
    for number in 2..7 {
        scene.becomes(number - 1).await;
        publish(&root, number);
    }
    scene.becomes(6).await;
}

async fn a_chain_of_links_retargeted_at_any_hop(mut scene: Scene) {
    for (dir, number) in [("a", 1), ("b", 2), ("c", 3)] {
        fs::create_dir(scene.at(dir)).unwrap();
        scene.write(&format!("{dir}/file"), number);
    }
    scene.write("d", 4);
    let link = |scene: &Scene, target: &str, name: &str| {
        symlink(target, scene.at(".link")).unwrap();
        fs::rename(scene.at(".link"), scene.at(name)).unwrap();
    };
    link(&scene, "a", "current");
    link(&scene, "current/file", "middle");
    link(&scene, "middle", "config");
    scene.follow("config");
    scene.becomes(1).await;
    link(&scene, "b", "current");
    scene.becomes(2).await;
    link(&scene, "c/file", "middle");
    scene.becomes(3).await;
    link(&scene, "d", "config");
    scene.becomes(4).await;
    scene.write("d", 5);
    scene.becomes(5).await;
}

async fn a_link_that_becomes_a_file(mut scene: Scene) {
    scene.write("target", 1);
    symlink("target", scene.at("config")).unwrap();
    scene.follow("config");
    scene.becomes(1).await;
    replace(&scene.at("config"), 2);
    scene.becomes(2).await;
}

async fn a_file_missing_at_the_start(mut scene: Scene) {
    scene.follow("config");
    let missing = Unread { path: scene.at("config"), fault: ReadFault::Missing };
    assert_eq!(scene.report().await, Report::Unread(missing));
    scene.write("config", 1);
    scene.becomes(1).await;
}

async fn a_directory_missing_at_the_start(mut scene: Scene) {
    scene.follow("some/where/config");
    let missing = Unread { path: scene.at("some/where/config"), fault: ReadFault::Missing };
    assert_eq!(scene.report().await, Report::Unread(missing));
    fs::create_dir_all(scene.at("some/where")).unwrap();
    scene.write("some/where/config", 1);
    scene.becomes(1).await;
    scene.write("some/where/config", 2);
    scene.becomes(2).await;
}

async fn a_directory_replaced(mut scene: Scene) {
    fs::create_dir(scene.at("dir")).unwrap();
    scene.start("dir/config", 1).await;
    for number in 2..5 {
        fs::create_dir(scene.at("new")).unwrap();
        scene.write("new/config", number);
        fs::rename(scene.at("dir"), scene.at(&format!("old{number}"))).unwrap();
        fs::rename(scene.at("new"), scene.at("dir")).unwrap();
        scene.becomes(number).await;
    }
    scene.write("dir/config", 5);
    scene.becomes(5).await;
}

/// The new directory may well get the inode number of the old one.
async fn a_directory_deleted_and_created(mut scene: Scene) {
    fs::create_dir(scene.at("dir")).unwrap();
    scene.start("dir/config", 1).await;
    for number in 2..6 {
        fs::remove_dir_all(scene.at("dir")).unwrap();
        fs::create_dir(scene.at("dir")).unwrap();
        scene.write("dir/config", number);
        scene.becomes(number).await;
    }
}

async fn a_loop_of_links_that_is_opened(mut scene: Scene) {
    symlink("second", scene.at("config")).unwrap();
    symlink("config", scene.at("second")).unwrap();
    scene.follow("config");
    let looping = Unread { path: scene.at("config"), fault: ReadFault::Loop };
    assert_eq!(scene.report().await, Report::Unread(looping));
    replace(&scene.at("second"), 1);
    scene.becomes(1).await;
}

/// A bind mount of a single file (`subPath`) looks the same: the events go to the directory of
/// the other name.
async fn a_file_written_through_another_name(mut scene: Scene) {
    fs::create_dir(scene.at("elsewhere")).unwrap();
    scene.write("elsewhere/file", 1);
    fs::hard_link(scene.at("elsewhere/file"), scene.at("config")).unwrap();
    scene.follow("config");
    scene.becomes(1).await;
    scene.write("elsewhere/file", 2);
    scene.becomes(2).await;
}

async fn a_directory_replaced_further_up(mut scene: Scene) {
    fs::create_dir_all(scene.at("top/dir")).unwrap();
    fs::create_dir_all(scene.at("new/dir")).unwrap();
    scene.start("top/dir/config", 1).await;
    scene.write("new/dir/config", 2);
    fs::rename(scene.at("top"), scene.at("old")).unwrap();
    fs::rename(scene.at("new"), scene.at("top")).unwrap();
    scene.becomes(2).await;
}
