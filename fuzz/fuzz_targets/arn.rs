//! An ARN says what its text says, and its canonical forms are ARNs of the same account that stay
//! as they are. A pattern never leaves its account and kind, and matches what a plain reading of
//! it matches. The first line is the ARN or pattern, the second a caller's ARN.
#![no_main]

use iamgate::identity::{Arn, Principal};
use iamgate::mapping::ArnPattern;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (text, caller) = text.split_once('\n').unwrap_or((text, ""));
    let caller = caller.parse::<Arn>().ok();
    match text.parse::<Arn>() {
        Ok(arn) => is_sound(&arn, text),
        Err(error) => {
            let told = error.to_string();
            // Eighty characters, each of which may take ten bytes as an escape.
            assert!(told.len() < 1_000 && !told.contains(char::is_control), "{told}");
            assert!(text.starts_with(&*error.input));
        }
    }
    for (pattern, kind) in [(ArnPattern::role(text), "role/"), (ArnPattern::user(text), "user/")] {
        match pattern {
            Ok(pattern) => is_kept(&pattern, text, kind, caller.as_ref()),
            Err(fault) => assert!(fault.to_string().len() < 300 && !fault.hint().is_empty()),
        }
    }
});

fn is_sound(arn: &Arn, text: &str) {
    assert_eq!((arn.as_str(), &*arn.to_string()), (text, text));
    assert_eq!(text.parse::<Arn>().as_ref(), Ok(arn));
    assert!(text.len() <= Arn::MAX_LEN && text.bytes().all(|b| b.is_ascii_graphic()));
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    assert_eq!(fields[..2], ["arn", arn.partition().as_str()]);
    assert_eq!(fields[3..5], ["", arn.account().as_str()]);
    let said = match arn.principal() {
        Principal::AssumedRole { role, session } => format!("sts assumed-role/{role}/{session}"),
        Principal::FederatedUser { name } => format!("sts federated-user/{name}"),
        Principal::Role { name } => format!("iam role/{name}"),
        Principal::Root => "iam root".to_owned(),
        Principal::User { name } => format!("iam user/{name}"),
    };
    assert_eq!(said, format!("{} {}", fields[2], fields[5]));

    let of_same_account = |other: &Arn| {
        assert_eq!((other.partition(), other.account()), (arn.partition(), arn.account()));
    };
    let canonical: Arn = arn.canonical().parse().expect("a canonical ARN is one");
    of_same_account(&canonical);
    assert_eq!(canonical.canonical(), arn.canonical());
    assert!(!matches!(canonical.principal(), Principal::AssumedRole { .. }));

    let subject: Arn = arn.subject().as_str().parse().expect("a subject is an ARN");
    of_same_account(&subject);
    assert_eq!(subject.subject(), arn.subject());
    assert_eq!(arn.subject().as_str(), arn.canonical().to_ascii_lowercase());

    if let Some(pathless) = arn.pathless_role() {
        let pathless: Arn = pathless.as_str().parse().expect("a pathless role is an ARN");
        of_same_account(&pathless);
        assert_eq!(pathless.pathless_role(), None);
        let (full, short) = (arn.subject(), pathless.subject());
        let last = short.as_str().rsplit('/').next().expect("a name");
        assert!(full.as_str().ends_with(&format!("/{last}")), "{full:?} is not {short:?}");
    }
}

fn is_kept(pattern: &ArnPattern, text: &str, kind: &str, caller: Option<&Arn>) {
    assert_eq!(pattern.as_str(), text);
    let own = text.replace('*', "").replace('?', "x").parse::<Arn>();
    if let Ok(own) = own {
        assert!(pattern.matches(&own.subject()), "{text} does not match {own}");
    }
    let Some(caller) = caller else { return };
    let subject = caller.subject();
    let (head, name) = text.split_at(text.find(kind).expect("a pattern names its kind") + 5);
    let fits = |caller: &str| {
        let rest = caller.strip_prefix(head);
        rest.is_some_and(|rest| !rest.contains(':') && naive(&name.to_ascii_lowercase(), rest))
    };
    // A pathological pair would take this plain reading too long, not ours.
    if name.len() * subject.as_str().len() < 10_000 {
        assert_eq!(pattern.matches(&subject), fits(subject.as_str()), "{text} and {subject:?}");
    }
}

/// What `*` and `?` mean, letter by letter: row by row of a table.
fn naive(pattern: &str, text: &str) -> bool {
    let text = text.as_bytes();
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for p in pattern.bytes() {
        let above = row.clone();
        for at in 0..=text.len() {
            let before = at.checked_sub(1);
            row[at] = match p {
                b'*' => above[at] || before.is_some_and(|before| row[before]),
                b'?' => before.is_some_and(|before| above[before]),
                _ => before.is_some_and(|before| above[before] && text[before] == p),
            };
        }
    }
    row[text.len()]
}
