//! One log line: order, quoting, escaping, length.
//!
//! The text form follows logrus's `TextFormatter` with a full timestamp, the JSON form its
//! `JSONFormatter`: <https://github.com/sirupsen/logrus>.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde_json::Number;

/// A line is one write; a pipe takes up to 4 KiB at once without mixing writers, and the longest
/// honest line (a grant with many groups) needs about two of these.
const LINE_LIMIT: usize = 16 * 1024;
/// Longer than an ARN (2 KiB) and than any list of groups seen in the wild.
const VALUE_LIMIT: usize = 4 * 1024;
/// Stands for what was left out, in a value and in a line.
const CUT: &str = "...(cut)";

/// An event's fields in the order in which they are written.
pub(super) type Fields = BTreeMap<&'static str, Value>;

/// What a field holds.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Bool(bool),
    Number(Number),
}

impl Value {
    /// The text of `value` up to the limit; what comes after is never even rendered.
    pub(super) fn text(value: fmt::Arguments<'_>) -> Self {
        let mut text = Capped(String::new());
        if text.write_fmt(value).is_err() {
            text.0.push_str(CUT);
        }
        Self::Text(text.0)
    }
}

struct Capped(String);

impl Write for Capped {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = VALUE_LIMIT.saturating_sub(self.0.len());
        if more.len() <= room {
            self.0.push_str(more);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&end| more.is_char_boundary(end)).unwrap_or(0);
        self.0.push_str(more.get(..end).unwrap_or_default());
        Err(fmt::Error)
    }
}

/// `time="..." level=... msg="..."`, then the fields by name.
pub(super) fn text(time: &str, level: &str, message: &str, fields: Fields) -> String {
    let mut line = String::with_capacity(256);
    line.push_str("time=");
    push_text(&mut line, time);
    line.push_str(" level=");
    line.push_str(level);
    line.push_str(" msg=");
    push_text(&mut line, message);
    for (name, value) in fields {
        let before = line.len();
        line.push(' ');
        line.push_str(clear_of_ours(name).as_ref());
        line.push('=');
        match value {
            Value::Text(text) => push_text(&mut line, &text),
            Value::Bool(value) => line.push_str(if value { "true" } else { "false" }),
            Value::Number(number) => line.push_str(&number.to_string()),
        }
        if line.len() > LINE_LIMIT {
            line.truncate(before);
            line.push(' ');
            line.push_str(CUT);
            break;
        }
    }
    line.push('\n');
    line
}

/// One object, its keys by name.
pub(super) fn json(time: &str, level: &str, message: &str, fields: Fields) -> String {
    let ours = [("level", level), ("msg", message), ("time", time)];
    let mut room = LINE_LIMIT;
    let mut all: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    for (name, text) in ours {
        all.insert(name.to_owned(), text.into());
    }
    for (name, value) in fields {
        let value = match value {
            Value::Text(text) => serde_json::Value::from(text),
            Value::Bool(value) => value.into(),
            Value::Number(number) => number.into(),
        };
        let Some(left) = room.checked_sub(name.len() + value.to_string().len()) else {
            all.insert("cut".to_owned(), true.into());
            break;
        };
        room = left;
        all.insert(clear_of_ours(name).into_owned(), value);
    }
    // Maps of strings to JSON values always serialise.
    let object = serde_json::to_string(&all).unwrap_or_default();
    let mut line = String::with_capacity(object.len() + 1);
    for c in object.chars() {
        // JSON lets DEL, C1 controls and text direction through, and terminals obey them.
        if c.is_ascii_graphic() || c == ' ' || c.escape_debug().len() == 1 {
            line.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _: fmt::Result = write!(line, "\\u{unit:04x}");
            }
        }
    }
    line.push('\n');
    line
}

/// As logrus renames a field that would hide one of the line's own.
fn clear_of_ours(name: &'static str) -> std::borrow::Cow<'static, str> {
    match name {
        "time" | "level" | "msg" => format!("fields.{name}").into(),
        _ => name.into(),
    }
}

/// Bare where logrus leaves it bare, else quoted like Go's `%q`.
fn push_text(line: &mut String, text: &str) {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if text.chars().all(bare) {
        line.push_str(text);
        return;
    }
    line.push('"');
    for c in text.chars() {
        push_escaped(line, c);
    }
    line.push('"');
}

fn push_escaped(line: &mut String, c: char) {
    match c {
        '"' => line.push_str("\\\""),
        '\\' => line.push_str("\\\\"),
        '\u{7}' => line.push_str("\\a"),
        '\u{8}' => line.push_str("\\b"),
        '\u{c}' => line.push_str("\\f"),
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        '\u{b}' => line.push_str("\\v"),
        ' '..='~' => line.push(c),
        // `escape_debug` knows what prints; `'` is the one printable that it escapes, and is above.
        _ if c.escape_debug().len() == 1 => line.push(c),
        _ => {
            let code = u32::from(c);
            let width = match code {
                ..0x80 => ("\\x", 2),
                0x80..0x1_0000 => ("\\u", 4),
                0x1_0000.. => ("\\U", 8),
            };
            // Writing to a string does not fail.
            let _: fmt::Result = write!(line, "{}{code:0width$x}", width.0, width = width.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> String {
        let mut line = String::new();
        push_text(&mut line, text);
        line
    }

    #[test]
    fn values_are_quoted_when_logrus_quotes_them() {
        for (text, want) in [
            ("", ""),
            ("plain-value_1./@^+", "plain-value_1./@^+"),
            ("a b", r#""a b""#),
            ("a=b", r#""a=b""#),
            ("a:b", r#""a:b""#),
            ("quote\"back\\", r#""quote\"back\\""#),
            ("it's", r#""it's""#),
            ("line\nlevel=info msg=forged", r#""line\nlevel=info msg=forged""#),
            ("\r\t\u{7}\u{8}\u{b}\u{c}\0", r#""\r\t\a\b\v\f\x00""#),
            ("\u{1b}[31mred\u{7f}", r#""\x1b[31mred\x7f""#),
            ("gr\u{fc}n \u{4e16}", "\"gr\u{fc}n \u{4e16}\""),
            ("\u{85}\u{200b}\u{202e}\u{feff}", r#""\u0085\u200b\u202e\ufeff""#),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(quoted(text), want, "{text:?}");
        }
    }

    const HOSTILE: &str = "a\n\u{1b}[31m\u{7f}\u{9b}31m\u{202e}\u{e0001}";

    #[test]
    fn json_lines_hold_no_raw_control_characters() {
        let fields = Fields::from([("user", Value::text(format_args!("{HOSTILE}")))]);
        let line = json("t", "info", "m\r\n", fields);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(
            line.trim_end().is_ascii() && !line.trim_end().contains(char::is_control),
            "{line}"
        );
        let back: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["user"], HOSTILE);
    }

    #[test]
    fn a_field_cannot_hide_the_line_s_own() {
        let fields = || Fields::from([("msg", Value::Bool(true)), ("time", Value::Bool(true))]);
        assert_eq!(
            text("t", "info", "m", fields()),
            "time=t level=info msg=m fields.msg=true fields.time=true\n"
        );
        assert_eq!(
            json("t", "info", "m", fields()),
            "{\"fields.msg\":true,\"fields.time\":true,\"level\":\"info\",\"msg\":\"m\",\
             \"time\":\"t\"}\n"
        );
    }

    #[test]
    fn lines_are_bounded_whatever_they_hold() {
        let long = "\u{1b}".repeat(1 << 20);
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let fields = || -> Fields {
            names.iter().map(|name| (*name, Value::text(format_args!("{long}")))).collect()
        };
        let message = match Value::text(format_args!("{long}")) {
            Value::Text(text) => text,
            other @ (Value::Bool(_) | Value::Number(_)) => panic!("{other:?}"),
        };
        assert_eq!(message.len(), VALUE_LIMIT + CUT.len());
        for line in [text("t", "info", &message, fields()), json("t", "info", &message, fields())] {
            // The message may grow six-fold by escaping and comes before the limit is looked at.
            assert!(line.len() < LINE_LIMIT + 6 * VALUE_LIMIT + 128, "{}", line.len());
            assert!(line.contains("cut"));
        }
    }

    #[test]
    fn a_cut_keeps_characters_whole() {
        let text = format!("{}\u{4e16}", "x".repeat(VALUE_LIMIT - 1));
        match Value::text(format_args!("{text}")) {
            Value::Text(cut) => assert!(cut.ends_with("x...(cut)"), "{cut}"),
            other @ (Value::Bool(_) | Value::Number(_)) => panic!("{other:?}"),
        }
    }
}
