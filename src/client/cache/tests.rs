use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::SystemTime;

use tempfile::TempDir;

use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_767_323_045); // 2026-01-02T03:04:05Z

struct Place {
    home: TempDir,
    env: BTreeMap<String, String>,
}

impl Place {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        let env = BTreeMap::from([("HOME".to_owned(), home.path().display().to_string())]);
        Self { home, env }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(".kube/cache/aws-iam-authenticator").join(name)
    }

    fn holding(text: &str) -> Self {
        let place = Self::new();
        put(&place.path("credentials.yaml"), text);
        place
    }

    fn shared(&self) -> Cache {
        Cache::shared(&self.env, &"dev".parse().unwrap(), "default").unwrap()
    }

    fn assumed(&self, slot: Assumed) -> Cache {
        Cache::assumed(&self.env, slot).unwrap()
    }
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    mode(path, 0o600);
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn credentials(id: &str, lives: u64) -> Credentials {
    let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.as_secs() + lives);
    Credentials::new(id, "secret", Some("session".to_owned()), Some(expiry), "test")
}

fn slot() -> Assumed {
    let [cluster, profile, role, external_id, session_name, source] =
        ["dev", "default", "arn:aws:iam::123456789012:role/r", "", "", "instance"]
            .map(str::to_owned);
    Assumed { cluster, profile, role, external_id, session_name, source }
}

fn id(found: Option<Credentials>) -> Option<String> {
    found.map(|credentials| credentials.access_key_id().to_owned())
}

/// As the reference writes it.
const REFERENCE: &str = "clusters:
  dev:
    default:
      \"\":
        accesskeyid: ASIAREFERENCE
        secretaccesskey: verysecret
        sessiontoken: token
        source: SSOProvider
        canexpire: true
        expires: 2026-01-02T04:04:05.123456789Z
        accountid: \"012345678901\"
      arn:aws:iam::123456789012:role/r:
        accesskeyid: ASIABASEOFAROLE
        secretaccesskey: verysecret
        sessiontoken: token
        source: SSOProvider
        canexpire: true
        expires: 2026-01-02T04:04:05Z
        accountid: \"\"
        later: field
";

#[tokio::test]
async fn the_file_of_the_reference_is_read_and_kept_when_written() {
    let place = Place::holding(REFERENCE);
    assert_eq!(id(place.shared().find(NOW).await.unwrap()), Some("ASIAREFERENCE".to_owned()));

    let other = Cache::shared(&place.env, &"prod".parse().unwrap(), "ops").unwrap();
    other.store(&credentials("ASIAOTHER", 900), NOW).await.unwrap();
    assert_eq!(id(other.find(NOW).await.unwrap()), Some("ASIAOTHER".to_owned()));
    assert_eq!(id(place.shared().find(NOW).await.unwrap()), Some("ASIAREFERENCE".to_owned()));
    let text = fs::read_to_string(place.path("credentials.yaml")).unwrap();
    assert!(text.contains("ASIABASEOFAROLE"), "{text}");
    assert!(text.contains("012345678901"), "{text}");
    assert!(text.contains("expires: \"2026-01-02T03:19:05Z\"\n"), "{text}");
}

#[tokio::test]
async fn an_entry_counts_only_while_it_is_good_for_a_minute_and_says_so() {
    let entry = |fields: &str| format!("clusters: {{dev: {{default: {{\"\": {{{fields}}}}}}}}}");
    let keys = "accesskeyid: AKIA, secretaccesskey: s";
    for (fields, hit) in [
        (format!("{keys}, canexpire: true, expires: 2026-01-02T03:05:06Z"), true),
        (format!("{keys}, canexpire: true, expires: 2026-01-02T03:05:05Z"), false),
        (format!("{keys}, canexpire: true, expires: 2026-01-02T03:05:06+02:00"), false),
        (format!("{keys}, canexpire: true, expires: 2026-01-02T05:05:06.5+02:00"), true),
        (format!("{keys}, canexpire: true, expires: 2026-01-02T03:04:04Z"), false),
        (format!("{keys}, canexpire: true, expires: never"), false),
        (format!("{keys}, canexpire: true"), false),
        (format!("{keys}, canexpire: false, expires: 2026-01-02T04:04:05Z"), false),
        (format!("{keys}, expires: 2026-01-02T04:04:05Z"), false),
        ("accesskeyid: AKIA, canexpire: true, expires: 2026-01-02T04:04:05Z".to_owned(), false),
        ("secretaccesskey: s, canexpire: true, expires: 2026-01-02T04:04:05Z".to_owned(), false),
    ] {
        let found = Place::holding(&entry(&fields)).shared().find(NOW).await.unwrap();
        assert_eq!(found.is_some(), hit, "{fields}");
    }
}

#[tokio::test]
async fn assumed_role_credentials_are_told_apart_by_every_part_of_the_slot() {
    let place = Place::new();
    let stored = credentials("ASIAROLE", 900);
    place.assumed(slot()).store(&stored, NOW).await.unwrap();
    assert_eq!(id(place.assumed(slot()).find(NOW).await.unwrap()), Some("ASIAROLE".to_owned()));
    let changes: [fn(&mut Assumed) -> &mut String; 6] = [
        |slot| &mut slot.cluster,
        |slot| &mut slot.profile,
        |slot| &mut slot.role,
        |slot| &mut slot.external_id,
        |slot| &mut slot.session_name,
        |slot| &mut slot.source,
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut other = slot();
        change(&mut other).push('x');
        let found = place.assumed(other).find(NOW).await.unwrap();
        assert_eq!(id(found), None, "part {at}");
    }
    assert!(!place.path("credentials.yaml").exists(), "that file is for base credentials");
}

#[tokio::test]
async fn what_has_expired_is_dropped_when_something_is_written() {
    let place = Place::new();
    let mut old = slot();
    old.role.push_str("-old");
    place.assumed(old.clone()).store(&credentials("ASIAOLD", 60), NOW).await.unwrap();
    let later = NOW.plus(Duration::from_secs(60));
    place.assumed(slot()).store(&credentials("ASIANEW", 900), later).await.unwrap();
    let text = fs::read_to_string(place.path("iamgate-credentials.yaml")).unwrap();
    assert!(!text.contains("ASIAOLD"), "{text}");
    assert!(text.contains("ASIANEW"), "{text}");

    place.shared().store(&credentials("ASIAOLD", 60), NOW).await.unwrap();
    let other = Cache::shared(&place.env, &"dev".parse().unwrap(), "ops").unwrap();
    other.store(&credentials("ASIANEW", 900), later).await.unwrap();
    let text = fs::read_to_string(place.path("credentials.yaml")).unwrap();
    assert!(!text.contains("ASIAOLD"), "{text}");
}

#[tokio::test]
async fn files_are_born_private_and_no_temporary_stays() {
    let place = Place::new();
    place.shared().store(&credentials("ASIA", 900), NOW).await.unwrap();
    place.assumed(slot()).store(&credentials("ASIA", 900), NOW).await.unwrap();
    let directory = place.path("");
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    let mut names = Vec::new();
    for file in fs::read_dir(&directory).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "credentials.yaml",
            "credentials.yaml.lock",
            "iamgate-credentials.yaml",
            "iamgate-credentials.yaml.lock"
        ]
    );
}

#[tokio::test]
async fn a_file_that_others_could_read_or_have_placed_is_refused() {
    for bits in [0o640, 0o604, 0o660, 0o601] {
        let place = Place::holding(REFERENCE);
        mode(&place.path("credentials.yaml"), bits);
        not_private(&place).await;
    }
    let place = Place::holding(REFERENCE);
    let path = place.path("credentials.yaml");
    fs::rename(&path, path.with_extension("real")).unwrap();
    symlink(path.with_extension("real"), &path).unwrap();
    not_private(&place).await;

    let place = Place::holding(REFERENCE);
    // Only root can give files away.
    if std::os::unix::fs::chown(place.path("credentials.yaml"), Some(12_345), None).is_ok() {
        not_private(&place).await;
    }

    let place = Place::new();
    fs::create_dir_all(place.path("credentials.yaml")).unwrap();
    mode(&place.path("credentials.yaml"), 0o700);
    let fault = place.shared().find(NOW).await.unwrap_err();
    assert!(matches!(fault, CacheFault::NotPrivate(_)), "{fault:?}");
}

async fn not_private(place: &Place) {
    let path = place.path("credentials.yaml");
    let told = format!("cache file {} is not private", path.display());
    let before = fs::read(&path).unwrap();
    assert_eq!(place.shared().find(NOW).await.unwrap_err().to_string(), told);
    let stored = place.shared().store(&credentials("ASIA", 900), NOW).await;
    assert_eq!(stored.unwrap_err().to_string(), told);
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_holds_something_else_is_left_alone_and_not_quoted() {
    for text in ["clusters: [verysecret]\n", "clusters: {dev: verysecret}\n", "verysecret: : :\n"] {
        let place = Place::holding(text);
        for fault in [
            place.shared().find(NOW).await.unwrap_err(),
            place.shared().store(&credentials("ASIA", 900), NOW).await.unwrap_err(),
        ] {
            assert!(matches!(fault, CacheFault::Content { .. }), "{fault:?}");
            assert!(!format!("{fault} {fault:?}").contains("verysecret"), "{fault}");
        }
        assert_eq!(fs::read_to_string(place.path("credentials.yaml")).unwrap(), text);
    }
}

#[tokio::test]
async fn a_broken_file_of_our_own_is_begun_anew() {
    let place = Place::new();
    put(&place.path("iamgate-credentials.yaml"), "entries: nonsense\n");
    assert_eq!(id(place.assumed(slot()).find(NOW).await.unwrap()), None);
    place.assumed(slot()).store(&credentials("ASIA", 900), NOW).await.unwrap();
    assert_eq!(id(place.assumed(slot()).find(NOW).await.unwrap()), Some("ASIA".to_owned()));
}

#[tokio::test]
async fn an_endless_file_is_not_read() {
    let place = Place::holding(&"#".repeat(1024 * 1024 + 1));
    let fault = place.shared().find(NOW).await.unwrap_err();
    assert!(matches!(fault, CacheFault::Length(_)), "{fault:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_for_a_second_and_no_longer() {
    let place = Place::holding(REFERENCE);
    let file = fs::File::open(place.path("credentials.yaml")).unwrap();
    let exclusive = rustix::fs::FlockOperation::LockExclusive;
    rustix::fs::flock(&file, exclusive).unwrap();
    let start = tokio::time::Instant::now();
    let fault = place.shared().find(NOW).await.unwrap_err();
    assert!(matches!(fault, CacheFault::Locked(_)), "{fault:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(1));

    let path = place.path("credentials.yaml");
    let (found, ()) = tokio::join!(async { place.shared().find(NOW).await }, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::Unlock).unwrap();
    });
    assert_eq!(id(found.unwrap()), Some("ASIAREFERENCE".to_owned()), "{}", path.display());
}

#[tokio::test]
async fn writers_at_the_same_time_lose_nothing() {
    let place = Place::new();
    let stores = (0..20).map(|at| {
        let mut slot = slot();
        slot.role = format!("role-{at}");
        let cache = place.assumed(slot);
        async move { cache.store(&credentials("ASIA", 900), NOW).await }
    });
    for stored in futures_util::future::join_all(stores).await {
        stored.unwrap();
    }
    let text = fs::read_to_string(place.path("iamgate-credentials.yaml")).unwrap();
    assert_eq!(text.matches("role: role-").count(), 20);
}

#[test]
fn without_a_home_there_is_no_cache() {
    let fault = Cache::assumed(&BTreeMap::new(), slot()).unwrap_err();
    assert!(matches!(fault, CacheFault::NoHome), "{fault:?}");
}

#[test]
fn nothing_secret_is_in_the_debug_text_of_a_place() {
    let place = Place::holding(REFERENCE);
    assert!(!format!("{:?}", place.shared()).contains("verysecret"));
}
