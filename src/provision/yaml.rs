//! YAML that somebody else wrote, as a plain value: one reader for everything that a host's files
//! are asked for here. Duplicate keys are refused.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Text that is not YAML, or not what was expected.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{problem}")]
pub(super) struct Wrong {
    /// Its line, from 1, if it is known.
    pub(super) line: Option<usize>,
    problem: Box<str>,
}

/// The value that `bytes` are.
///
/// # Errors
/// They are not UTF-8, or not YAML, JSON included.
pub(super) fn value(bytes: &[u8]) -> Result<Value, Wrong> {
    let text = str::from_utf8(bytes)
        .map_err(|_| Wrong { line: None, problem: "it is not UTF-8".into() })?;
    serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().and_then(|at| usize::try_from(at.line()).ok());
        let told = error.without_snippet().to_string();
        Wrong { line, problem: told.lines().next().unwrap_or_default().into() }
    })
}

/// The same as a type.
///
/// # Errors
/// As [`value`], or it is of another shape.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Wrong> {
    serde_json::from_value(value(bytes)?)
        .map_err(|error| Wrong { line: None, problem: error.to_string().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let wrong = value(b"a: 1\nb: [\n").unwrap_err();
        assert!(wrong.line.is_some_and(|line| line >= 2), "{wrong:?}");
        assert!(value(b"a: 1\na: 2\n").unwrap_err().to_string().contains("duplicate"));
        assert_eq!(value(b"\xff").unwrap_err().to_string(), "it is not UTF-8");
        assert_eq!(read::<Vec<u8>>(b"[1, 2]"), Ok(vec![1, 2]));
        assert!(read::<Vec<u8>>(b"[x]").unwrap_err().to_string().contains("invalid type"));
    }
}
