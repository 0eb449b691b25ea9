//! `KUBERNETES_EXEC_INFO` may hold anything: the answer is in a version that kubectl knows, and in
//! the one that was asked for exactly where a general JSON reader finds that it was.
#![no_main]

use std::collections::BTreeMap;

use iamgate::client::{ExecInfo, credential};
use iamgate::clock::UnixTime;
use iamgate::secret::Secret;
use iamgate::token::Token;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let told = Told::by(text);
    let Ok(seen) = serde_json::from_str::<Value>(text) else {
        // What a general reader refuses may still be passed over; it can ask for nothing unknown.
        return;
    };
    // Without the repeated keys that the text may have.
    let plain = Told::by(&seen.to_string());
    let asked = seen["apiVersion"].as_str();
    let version = VERSIONS.into_iter().find(|known| Some(*known) == asked);
    let expected = Told {
        version: version.unwrap_or("client.authentication.k8s.io/v1beta1").to_owned(),
        interactive: seen["spec"]["interactive"].as_bool(),
    };
    assert_eq!(plain, expected, "{seen}");
    assert!(told == expected || told == Told::by(""), "{text} is neither read nor passed over");
});

#[derive(Debug, Eq, PartialEq)]
struct Told {
    version: String,
    interactive: Option<bool>,
}

impl Told {
    fn by(text: &str) -> Self {
        let env = BTreeMap::from([("KUBERNETES_EXEC_INFO".to_owned(), text.to_owned())]);
        let info = ExecInfo::read(&env);
        let token = Token { text: Secret::new(text), expires: UnixTime::from_secs(1_767_323_045) };
        let line = credential(&token, info).expect("a credential is JSON");
        assert!(!line.expose().contains('\n'), "kubectl reads one line");
        let seen: Value = serde_json::from_str(line.expose()).expect("a credential is JSON");
        let version = seen["apiVersion"].as_str().expect("a version").to_owned();
        assert!(VERSIONS.contains(&&*version), "{version}");
        assert_eq!(seen["kind"], "ExecCredential");
        assert_eq!(seen["spec"], serde_json::json!({ "interactive": false }));
        assert_eq!(seen["status"]["token"], text);
        Self { version, interactive: info.interactive() }
    }
}

const VERSIONS: [&str; 3] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
    "client.authentication.k8s.io/v1alpha1",
];
