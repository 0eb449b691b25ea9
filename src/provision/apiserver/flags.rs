//! The API server's flags, in the spellings that it reads.
//!
//! `--name=value`, `--name value` and `-name=value`; a name's `_` is `-`, as Kubernetes' own
//! normalisation has it. Which flags take a value is not known here: a word without dashes that
//! follows a flag without `=` is taken for its value.

use super::container::{Container, Word};

/// One place where a flag is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flag<'a> {
    /// What it is set to; `None` for a bare one.
    pub value: Option<&'a str>,
    /// Its line, from 1.
    pub line: usize,
}

/// Every place where a flag is set, in order.
pub(super) fn all<'a>(container: &'a Container, name: &str) -> Vec<Flag<'a>> {
    let mut found = Vec::new();
    let mut words = container.flags().iter().peekable();
    while let Some(word) = words.next() {
        // What follows it is no flag.
        if word.text == "--" {
            break;
        }
        let Some((spelled, inline)) = parts(&word.text) else { continue };
        let value = match inline {
            Some(value) => Some(value),
            None => words.next_if(|next| is_value(next)).map(|next| next.text.as_str()),
        };
        if spelled.replace('_', "-") == name {
            found.push(Flag { value, line: word.line });
        }
    }
    found
}

/// The word that sets a flag in our own spelling.
pub(super) fn word(name: &str, value: &str) -> String {
    format!("--{name}={value}")
}

fn parts(word: &str) -> Option<(&str, Option<&str>)> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    match name.split_once('=') {
        Some((name, value)) => Some((name, Some(value))),
        None => Some((name, None)),
    }
}

fn is_value(word: &Word) -> bool {
    !word.text.starts_with('-')
}
