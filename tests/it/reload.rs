//! Live reload against real files: whatever is done to the file, its value is live within a
//! second, and readers only ever see whole, good values.

mod faults;
mod patterns;
mod storm;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use iamgate::reload::{
    Live, Reloader, Report, Sight, Trigger, Unread, Watch, WatchFault, WatchOptions, follow,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What the product promises from a change to its effect.
const LIVE_WITHIN: Duration = Duration::from_secs(1);

/// Longer than any test: switches a way of finding changes off.
const NEVER: Duration = Duration::from_secs(3600);

/// Far more than any test waits for, and short enough to end a test that waits for nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of a file in these tests.
const LIMIT: u64 = 4096;

/// Changes must come as events, or not at all.
const EVENTS_ALONE: WatchOptions =
    WatchOptions { poll: NEVER, quick_poll: NEVER, glance: NEVER, stall: PATIENCE };

/// A file's value in these tests: a number that stands at the beginning and at the end.
#[derive(Debug, Eq, PartialEq)]
struct Value(u64);

/// Why a text is no value.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected the same number at both ends")]
struct Torn;

fn parse(content: &[u8]) -> Result<Value, Torn> {
    assert_ne!(content, b"bomb", "a fault in the parser");
    let text = std::str::from_utf8(content).map_err(|_| Torn)?;
    let (first, rest) = text.split_once('\n').ok_or(Torn)?;
    let (middle, last) = rest.trim_end().rsplit_once('\n').ok_or(Torn)?;
    let number = first.parse().map_err(|_| Torn)?;
    if first == last && middle == padding(number) { Ok(Value(number)) } else { Err(Torn) }
}

fn text(number: u64) -> String {
    format!("{number}\n{}\n{number}\n", padding(number))
}

fn padding(number: u64) -> String {
    "x".repeat(usize::try_from(number % 7).unwrap() * 100)
}

/// A directory, and a file in it that is being followed.
struct Scene {
    dir: tempfile::TempDir,
    options: WatchOptions,
    live: Live<Value>,
    reloader: Arc<Reloader<Value, Torn>>,
    reports: mpsc::UnboundedReceiver<Report<Torn>>,
    tell: mpsc::UnboundedSender<Report<Torn>>,
    /// Every content that was parsed.
    parsed: mpsc::UnboundedReceiver<Vec<u8>>,
    following: Option<(Trigger, JoinHandle<std::convert::Infallible>)>,
}

impl Scene {
    fn new(options: WatchOptions) -> Self {
        let (saw, parsed) = mpsc::unbounded_channel();
        let reloader = Arc::new(Reloader::new(move |content: &[u8]| {
            let value = parse(content);
            // The receiver goes first when a test ends.
            drop(saw.send(content.to_owned()));
            value
        }));
        let (tell, reports) = mpsc::unbounded_channel();
        Self {
            dir: tempfile::tempdir().unwrap(),
            options,
            live: reloader.live(),
            reloader,
            reports,
            tell,
            parsed,
            following: None,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, number: u64) {
        fs::write(self.at(name), text(number)).unwrap();
    }

    /// Begins to follow the file, whether it is there or not.
    fn follow(&mut self, name: &str) {
        self.follow_all(&[name]);
    }

    fn follow_all(&mut self, names: &[&str]) {
        let watch = Watch::new(names.iter().map(|name| self.at(name)), self.options);
        let trigger = watch.trigger();
        let tell = self.tell.clone();
        let report = move |report| drop(tell.send(report));
        let task = tokio::spawn(follow(watch, LIMIT, Arc::clone(&self.reloader), report));
        self.following = Some((trigger, task));
    }

    /// Writes the file, follows it and waits until its value is live and has been reported.
    async fn start(&mut self, name: &str, number: u64) {
        self.write(name, number);
        self.follow(name);
        assert_eq!(self.report().await, Report::Replaced);
        self.becomes(number).await;
    }

    /// Waits until `number` is live, for as long as the product may take.
    async fn becomes(&mut self, number: u64) {
        let live = self.live.clone();
        let wait = async {
            while live.get().as_deref() != Some(&Value(number)) {
                self.reports.recv().await.unwrap();
            }
        };
        if timeout(LIVE_WITHIN, wait).await.is_err() {
            panic!("{number} is not live in time but {:?}", live.get());
        }
    }

    /// The next report about the content. How changes are found is not part of it: these tests
    /// also run where there is no inotify.
    async fn report(&mut self) -> Report<Torn> {
        let wait = async {
            loop {
                let report = self.reports.recv().await.unwrap();
                if !matches!(report, Report::Sight(_)) {
                    return report;
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("a report")
    }

    /// Waits until this very content has been parsed.
    async fn parses(&mut self, content: &str) {
        let wait = async { while self.parsed.recv().await.unwrap() != content.as_bytes() {} };
        timeout(PATIENCE, wait).await.expect("a look at the file");
    }

    /// The content is looked at anew, now.
    fn trigger(&self) {
        self.following.as_ref().unwrap().0.pull();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.following {
            task.abort();
        }
    }
}

/// Puts a whole new file in the place of another.
fn replace(path: &Path, number: u64) {
    let temporary = path.with_file_name(".temporary");
    fs::write(&temporary, text(number)).unwrap();
    fs::rename(&temporary, path).unwrap();
}

#[tokio::test]
async fn a_system_without_inotify_is_followed_all_the_same() {
    // Counted per user namespace, so that using them up here touches nobody else.
    for limit in ["max_inotify_instances", "max_inotify_watches"] {
        let script = format!("echo 0 > /proc/sys/user/{limit} && exec \"$@\"");
        let output = tokio::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "sh", "-c", &script, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--test-threads=8", "reload::patterns::by_default::", "reload::how_changes"])
            .kill_on_drop(true)
            .output();
        let output = timeout(PATIENCE * 4, output).await.expect("an end");
        let output = match output {
            Ok(output) => output,
            Err(error) => return eprintln!("not run: unshare cannot be started: {error}"),
        };
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        if complaint.contains("unshare:") || complaint.contains("sh: ") {
            return eprintln!("not run: no user namespace to be had here: {complaint}");
        }
        assert!(output.status.success(), "{limit}: {told}{complaint}");
        assert!(told.contains("how_changes_are_found_is_told_once ... ok"), "{told}");
    }
}

/// Also run by the test above, where the answer is another.
#[tokio::test]
async fn how_changes_are_found_is_told_once() {
    let used_up = |limit: &str| {
        let number = fs::read_to_string(format!("/proc/sys/user/max_inotify_{limit}"));
        number.is_ok_and(|number| number.trim() == "0")
    };
    let expected = match (used_up("instances"), used_up("watches")) {
        (true, _) => vec![Sight::Polling(WatchFault::Instances)],
        (_, true) => vec![Sight::Polling(WatchFault::Watches)],
        (false, false) => vec![],
    };
    let often = Duration::from_millis(20);
    let mut scene = Scene::new(WatchOptions { poll: often, quick_poll: often, ..EVENTS_ALONE });
    scene.write("config", 1);
    scene.follow("config");
    let mut told = Vec::new();
    for number in 2..5 {
        loop {
            let report = timeout(PATIENCE, scene.reports.recv()).await.unwrap().unwrap();
            if let Report::Sight(sight) = report {
                told.push(sight);
            } else {
                assert_eq!(report, Report::Replaced);
                break;
            }
        }
        replace(&scene.at("config"), number);
    }
    assert_eq!(told, expected);
}

#[tokio::test]
async fn several_files_are_one_content() {
    let mut scene = Scene::new(EVENTS_ALONE);
    fs::write(scene.at("cert"), "7\n").unwrap();
    fs::write(scene.at("key"), "\n7").unwrap();
    scene.follow_all(&["cert", "key"]);
    scene.becomes(7).await;
    fs::write(scene.at("cert"), "14\n").unwrap();
    assert_eq!(scene.report().await, Report::Kept(Torn));
    fs::write(scene.at("key"), "\n14\n").unwrap();
    scene.becomes(14).await;
    fs::remove_file(scene.at("key")).unwrap();
    let Report::Unread(Unread { path, .. }) = scene.report().await else { panic!("no fault") };
    assert_eq!(path, scene.at("key"));
}

#[tokio::test]
async fn a_trigger_has_an_answer_even_when_nothing_changed() {
    let mut scene = Scene::new(EVENTS_ALONE);
    scene.start("config", 1).await;
    scene.trigger();
    assert_eq!(scene.report().await, Report::Same);
    fs::write(scene.at("config"), "bad").unwrap();
    assert_eq!(scene.report().await, Report::Kept(Torn));
    scene.trigger();
    assert_eq!(scene.report().await, Report::Kept(Torn));
}

#[tokio::test]
async fn an_answer_whose_future_was_dropped_is_given_to_the_next_call() {
    let scene = Scene::new(EVENTS_ALONE);
    scene.write("config", 1);
    let mut watch = Watch::new([scene.at("config")], EVENTS_ALONE);
    watch.changed().await;
    replace(&scene.at("config"), 2);
    let patient = async {
        // Each try is too short for the settling, so every one of them is dropped midway.
        for _ in 0..20 {
            if timeout(Duration::from_millis(5), watch.changed()).await.is_ok() {
                panic!("answered before the file came to rest");
            }
        }
        watch.changed().await
    };
    let cause = timeout(PATIENCE, patient).await.expect("an answer");
    assert_eq!(cause, iamgate::reload::Cause::Event);
}
