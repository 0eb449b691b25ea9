//! Flags as the programs of this field spell them: `--flag`, `--flag=true`, feature gates.

use std::str::FromStr;

use crate::config;

/// A truth value in any spelling that Go's `strconv.ParseBool` takes.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    config::boolean(text).ok_or_else(|| "expected true or false".to_owned())
}

/// One value of `--feature-gates`: `SSORoleMatch=true,AllBeta=false`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Gates {
    sso: Option<bool>,
    init: Option<bool>,
    alpha: Option<bool>,
}

impl Gates {
    /// What was said about matching IAM Identity Center roles. Later values win.
    pub(crate) fn sso(all: &[Self]) -> Option<bool> {
        Self::last(all, |gates| gates.sso)
    }

    /// Whether `init` is to write where the server reads.
    pub(crate) fn configured_init(all: &[Self]) -> bool {
        Self::last(all, |gates| gates.init).unwrap_or(false)
    }

    /// What was said about a gate, or, all of these being of that kind, about every alpha one.
    fn last(all: &[Self], gate: fn(&Self) -> Option<bool>) -> Option<bool> {
        let last = |of: fn(&Self) -> Option<bool>| all.iter().rev().find_map(of);
        last(gate).or_else(|| last(|gates| gates.alpha))
    }
}

impl FromStr for Gates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut gates = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("missing bool value for {part}"))?;
            let value = boolean(value.trim())
                .map_err(|_| format!("invalid value of {name}={value}, expected true or false"))?;
            match name.trim() {
                "SSORoleMatch" => gates.sso = Some(value),
                "ConfiguredInitDirectories" => gates.init = Some(value),
                "AllAlpha" => gates.alpha = Some(value),
                // Known, and without effect on what this program does.
                "AllBeta" | "IAMIdentityMappingCRD" => {}
                other => return Err(format!("unrecognized feature gate: {other}")),
            }
        }
        Ok(gates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_read_as_go_reads_them() {
        for (text, value) in
            [("true", true), ("T", true), ("1", true), ("False", false), ("0", false)]
        {
            assert_eq!(boolean(text), Ok(value), "{text}");
        }
        for text in ["yes", "on", "", "tRUE"] {
            assert_eq!(boolean(text), Err("expected true or false".into()), "{text:?}");
        }
    }

    #[test]
    fn the_last_word_about_a_gate_counts_and_the_narrower_one_wins() {
        let gates = |texts: &[&str]| {
            let all: Vec<Gates> = texts.iter().map(|text| text.parse().unwrap()).collect();
            Gates::sso(&all)
        };
        assert_eq!(gates(&[]), None);
        assert_eq!(gates(&["SSORoleMatch=true"]), Some(true));
        assert_eq!(gates(&["SSORoleMatch=true", "SSORoleMatch=false"]), Some(false));
        assert_eq!(gates(&["AllAlpha=true"]), Some(true));
        assert_eq!(gates(&["SSORoleMatch=false,AllAlpha=true"]), Some(false));
        assert_eq!(gates(&["ConfiguredInitDirectories=true"]), None);
        let init = |all: &[&str]| {
            Gates::configured_init(&all.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>())
        };
        assert!(!init(&["SSORoleMatch=true,AllBeta=true"]));
        assert!(init(&["ConfiguredInitDirectories=true", "AllAlpha=false"]));
        assert!(init(&["AllAlpha=true"]));
        assert!(!init(&["ConfiguredInitDirectories=false", "AllAlpha=true"]));
    }

    #[test]
    fn a_gate_that_nobody_knows_is_named() {
        let fault = |text: &str| text.parse::<Gates>().unwrap_err();
        assert_eq!(fault("Foo=true"), "unrecognized feature gate: Foo");
        assert_eq!(fault("SSORoleMatch"), "missing bool value for SSORoleMatch");
        assert_eq!(
            fault("SSORoleMatch=maybe"),
            "invalid value of SSORoleMatch=maybe, expected true or false"
        );
    }
}
