//! Any bytes as YAML, JSON and TOML: what is wrong is told in few and short lines with places that
//! exist; what is accepted keeps its limits, and each of its mappings maps somebody, or a warning
//! says that it does not. YAML reads what JSON reads as JSON does.
#![no_main]

use std::path::Path;
use std::time::Duration;

use iamgate::config::{
    Checked, ClientOverrides, Document, Faults, ServerOverrides, ServerSettings, Warning, client,
    server,
};
use iamgate::face::Face;
use iamgate::identity::{Arn, Identity, Principal};
use iamgate::mapping::{RenderFault, RuleKind, Rules};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

type Read = Result<Checked<ServerSettings>, Faults>;

fuzz_target!(|bytes: &[u8]| {
    let lines = 1 + bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u32;
    let read = |name| match Document::read(bytes, Path::new(name)) {
        Ok(document) => {
            // Taken apart by each who asks for settings.
            let again = || Document::read(bytes, Path::new(name)).expect("readable, once more");
            Some(settings(&document, again, lines))
        }
        Err(faults) => {
            assert_eq!(faults.count(), 1, "the first thing that makes it unreadable");
            are_told(&faults, lines);
            None
        }
    };
    let (yaml, json) = (read("c.yaml"), read("c.json"));
    read("c.toml");
    if let (Some(yaml), Some(json)) = (yaml, json) {
        match (yaml, json) {
            (Ok(yaml), Ok(json)) => {
                assert_eq!(yaml.value.fixed, json.value.fixed);
                assert_eq!(yaml.value.policy, json.value.policy);
                assert_eq!(yaml.warnings.len(), json.warnings.len());
                none_is_lost(&json, bytes);
            }
            (Err(yaml), Err(json)) => assert_eq!(yaml.count(), json.count(), "{yaml}\n{json}"),
            (yaml, json) => panic!("one of the two is taken: {yaml:?} {json:?}"),
        }
    }
});

fn settings(document: &Document, again: impl Fn() -> Document, lines: u32) -> Read {
    let read = |face, strict| {
        let over = ServerOverrides { strict, ..ServerOverrides::default() };
        let read = server(Some(again()), &over, face);
        match &read {
            Ok(checked) => {
                are_warned(&checked.warnings, lines);
                is_bounded(&checked.value);
                listed_is_mapped(&checked.value.policy.rules);
            }
            Err(faults) => are_told(faults, lines),
        }
        read
    };
    let own = read(Face::Own, false);
    let others = [read(Face::Reference, false), read(Face::Own, true)];
    if own.is_err() {
        assert!(others.iter().all(Result::is_err), "no face takes more, nor does --strict");
    }
    match client(Some(document), &ClientOverrides::default()) {
        Ok(checked) => are_warned(&checked.warnings, lines),
        Err(faults) => are_told(&faults, lines),
    }
    own
}

fn are_told(faults: &Faults, lines: u32) {
    assert!((1..=MOST_TOLD).contains(&faults.iter().count()) && faults.count() > 0);
    for fault in faults.iter() {
        is_one_line(&fault.to_string());
        is_in_the_file(fault.place(), lines);
    }
    are_warned(faults.warnings(), lines);
}

fn are_warned(warnings: &[Warning], lines: u32) {
    // As many that `--strict` refuses, and as many of the others.
    assert!(warnings.len() <= 2 * MOST_TOLD, "{} warnings", warnings.len());
    for warning in warnings {
        is_one_line(&warning.to_string());
        is_in_the_file(warning.place(), lines);
    }
}

fn is_one_line(told: &str) {
    assert!(told.len() < LONGEST, "{} bytes: {told}", told.len());
    assert!(!told.contains(char::is_control), "{told:?}");
}

fn is_in_the_file(place: Option<(u32, u32)>, lines: u32) {
    if let Some((line, column)) = place {
        assert!((1..=lines + 1).contains(&line) && column >= 1, "{line}:{column} of {lines}");
    }
}

fn is_bounded(settings: &ServerSettings) {
    let ServerSettings { fixed, policy } = settings;
    assert!((1..=8).contains(&policy.accept.cluster_ids.len()));
    let mut ids = policy.accept.cluster_ids.clone();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), policy.accept.cluster_ids.len(), "a cluster ID twice");
    assert_eq!(policy.accept.hosts.partition(), policy.partition());
    assert!((100..=30_000).contains(&fixed.sts.timeout.as_millis()));
    assert!(fixed.sts.timeout < Duration::from_secs(31));
    assert!(fixed.ec2.qps <= 10_000 && fixed.ec2.burst <= 10_000);
    assert!(fixed.ec2.qps == 0 || fixed.ec2.burst > 0, "no call would ever go through");
    let limits = policy.limits;
    assert!((1..=65_536).contains(&limits.connections));
    assert!((1..=1_024).contains(&limits.handshakes));
    assert!((1..=4_096).contains(&limits.sts_in_flight));
    assert!((24 * 1024..=4 * 1024 * 1024).contains(&limits.body));
    assert!(!fixed.hostname.is_empty() && !fixed.state_dir.as_os_str().is_empty());
    assert!(!fixed.kubeconfig.as_os_str().is_empty());
}

/// Somebody whom each entry describes is found, and is named by a template of the file.
fn listed_is_mapped(rules: &Rules) {
    for kind in [RuleKind::MapRoles, RuleKind::MapUsers] {
        for (whom, ..) in rules.listed(kind).take(MOST_LOOKED_AT) {
            let (arn, sso) = match whom.strip_suffix("_*") {
                Some(stem) if stem.contains("/AWSReservedSSO_") => {
                    (format!("{stem}_0123456789abcdef"), true)
                }
                Some(_) | None => (whom.replace('*', "").replace('?', "x"), false),
            };
            let Ok(arn) = arn.parse::<Arn>() else {
                assert!(whom.contains('*'), "{whom} is no ARN");
                continue;
            };
            if sso && rules.leaves_sso_out() {
                continue;
            }
            let identity = somebody(arn);
            let found = rules.find(&identity).unwrap_or_else(|_| panic!("{whom} maps nobody"));
            match found.render(&identity, Some("ip-10-0-0-1.ec2.internal")) {
                Ok(user) => assert!(!user.name.is_empty() && user.name.len() <= 4_096),
                Err(fault) => assert_ne!(fault, RenderFault::PrivateDnsMissing),
            }
        }
    }
    for account in rules.accounts().take(MOST_LOOKED_AT) {
        let arn = format!("arn:aws:iam::{account}:user/nobody-else-is-called-so");
        let identity = somebody(arn.parse().expect("an ARN"));
        assert!(rules.find(&identity).is_ok(), "{account} maps nobody");
    }
}

fn somebody(arn: Arn) -> Identity {
    let session = matches!(arn.principal(), Principal::Role { .. } | Principal::AssumedRole { .. });
    Identity {
        account: arn.account(),
        arn,
        user_id: "AROAEXAMPLE".into(),
        session_name: if session { "i-0123abcd".into() } else { "".into() },
        access_key_id: "ASIAEXAMPLE".into(),
        sts_host: "sts.amazonaws.com".into(),
    }
}

/// Each entry of the file is in the rules, or a warning tells of it.
fn none_is_lost(checked: &Checked<ServerSettings>, bytes: &[u8]) {
    let seen: Value = match serde_json::from_slice(bytes) {
        Ok(seen) => seen,
        // A byte-order mark, or a number that a general reader holds to be too large.
        Err(_) => return,
    };
    let member = |of: &Value, name: &str| -> Option<Value> {
        let mut members = of.as_object()?.iter();
        members.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    };
    let rules = &checked.value.policy.rules;
    let (roles, users, _) = rules.counts();
    for (list, kept) in [("mapRoles", roles), ("mapUsers", users)] {
        let Some(entries) = member(&seen, "server").and_then(|server| member(&server, list)) else {
            assert_eq!(kept, 0, "entries out of nothing");
            continue;
        };
        let entries = match entries {
            Value::Array(entries) => entries.len(),
            Value::Object(map) => usize::from(!map.is_empty()),
            _ => 0,
        };
        let told = checked.warnings.iter().filter(|warning| {
            let told = warning.to_string();
            told.contains(&format!("server.{list}[")) && told.contains("this can never match")
        });
        let told = told.count();
        assert!(
            kept <= entries && (kept + told >= entries || told >= 900),
            "{kept}+{told} of {entries}"
        );
    }
}

/// What `config` keeps of each sort.
const MOST_TOLD: usize = 1_000;
/// A path and a message, each with eighty characters of the file, as ten bytes each at worst.
const LONGEST: usize = 2_500;
/// Patterns are tried one after the other, so that looking for each is quadratic.
const MOST_LOOKED_AT: usize = 100;
