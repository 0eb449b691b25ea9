//! How a value is written into a file so that it is read back as the same text.
//!
//! Templates never quote by themselves: whatever they put out passes here, by the format of the
//! file. It judges no value; the types of `values` do that.

use std::borrow::Cow;

/// A YAML scalar that every reader, of YAML 1.1 (kubectl, kubelet) as of 1.2, takes for this text.
///
/// Plain where it cannot be misread, as people would write it; else in double quotes, by way of
/// JSON, whose strings are YAML's.
pub(super) fn yaml(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return text.into();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    for c in serde_json::Value::from(text).to_string().chars() {
        if is_printable(c) {
            quoted.push(c);
        } else {
            quoted.push_str(&escaped(c));
        }
    }
    quoted.into()
}

/// Narrow on purpose. Numbers, dates and sexagesimals begin with a digit or a sign, indicators with
/// neither a letter nor a slash; what is left are the words of YAML 1.1.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];
    let text = text.strip_prefix("--").unwrap_or(text);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let mut rest = text.bytes().peekable();
    while let Some(byte) = rest.next() {
        let plain = byte.is_ascii_alphanumeric() || b"/._-=@+".contains(&byte);
        // A colon is an indicator before a space and at the end.
        let inner = byte == b':' && rest.peek().is_some_and(|next| next.is_ascii_graphic());
        if !plain && !inner {
            return false;
        }
    }
    begins && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// JSON leaves these as they are; YAML readers refuse them, or take them for line breaks.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A word of a systemd unit (systemd.syntax(7), systemd.unit(5) on specifiers).
pub(super) fn systemd(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-=@:+,~".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.into();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            // The values' types let none through; a line of a unit must not end early.
            c if c.is_control() => quoted.push_str(&escaped(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted.into()
}

fn escaped(c: char) -> String {
    format!("\\u{:04x}", u32::from(c))
}

/// The same in a command line, where `$` would be a variable (systemd.service(5)).
pub(super) fn command_word(text: &str) -> String {
    systemd(text).replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_plain_stays_plain() {
        for text in [
            "/etc/aws-iam-authenticator",
            "--config=/etc/aws-iam-authenticator/config.yaml",
            "registry.example.com:5000/iamgate:v1.2@sha256:0123",
            "arn:aws:iam::111122223333:role/Admin",
            "https://127.0.0.1:21362/authenticate",
            "system:masters",
        ] {
            assert_eq!(yaml(text), text);
        }
    }

    #[test]
    fn what_could_be_misread_is_quoted() {
        for (text, quoted) in [
            ("", r#""""#),
            ("no", r#""no""#),
            ("ON", r#""ON""#),
            ("Null", r#""Null""#),
            ("012345678901", r#""012345678901""#),
            ("1e3", r#""1e3""#),
            ("12:30:45", r#""12:30:45""#),
            ("~", r#""~""#),
            (".inf", r#"".inf""#),
            ("- a", r#""- a""#),
            ("---", r#""---""#),
            ("--no", r#""--no""#),
            ("key: value", r#""key: value""#),
            ("key:", r#""key:""#),
            ("a #b", r##""a #b""##),
            ("{{SessionName}}", r#""{{SessionName}}""#),
            ("admin:{{SessionName}}", r#""admin:{{SessionName}}""#),
            ("*", r#""*""#),
            ("<image>", r#""<image>""#),
            ("two\nlines", r#""two\nlines""#),
            ("del\u{7f}nel\u{85}ls\u{2028}bom\u{feff}", r#""del\u007fnel\u0085ls\u2028bom\ufeff""#),
            ("grüße", "\"grüße\""),
        ] {
            assert_eq!(yaml(text), quoted);
        }
    }

    #[test]
    fn a_unit_expands_nothing_of_a_value() {
        for (text, quoted) in [
            (
                "HTTPS_PROXY=http://proxy.example.com:3128",
                "HTTPS_PROXY=http://proxy.example.com:3128",
            ),
            ("", r#""""#),
            ("NO_PROXY=a b", r#""NO_PROXY=a b""#),
            ("P=%h", r#""P=%%h""#),
            (r#"a"\b"#, r#""a\"\\b""#),
            ("a\nExecStart=b", r#""a\u000aExecStart=b""#),
        ] {
            assert_eq!(systemd(text), quoted);
        }
        assert_eq!(command_word("/opt/$a/%b"), r#""/opt/$$a/%%b""#);
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(text in any::<String>()) {
            let line = format!("- {}\n- k: {}\n", yaml(&text), yaml(&text));
            let read: serde_json::Value = serde_saphyr::from_str(&line).unwrap();
            prop_assert_eq!(read, serde_json::json!([text, {"k": text}]));
        }

        #[test]
        fn text_that_tempts_readers_is_read_back_as_it_was(text in "[-~.:#0-9eyntrufoalsx_ {\\[&*!|>'\"%@`?,=/+]{0,12}") {
            let line = format!("- {}\n- k: {}\n", yaml(&text), yaml(&text));
            let read: serde_json::Value = serde_saphyr::from_str(&line).unwrap();
            prop_assert_eq!(read, serde_json::json!([text, {"k": text}]));
        }
    }
}
