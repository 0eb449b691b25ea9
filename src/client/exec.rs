//! The exec credential plugin's side of the agreement with kubectl: what it says in
//! `KUBERNETES_EXEC_INFO`, what it reads on stdout.
//!
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>.

use serde::Serialize;
use serde_json::Value;

use crate::secret::Secret;
use crate::system::Environment;
use crate::token::Token;

/// What the caller said about itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExecInfo {
    version: &'static str,
    interactive: Option<bool>,
}

impl ExecInfo {
    /// Reads `KUBERNETES_EXEC_INFO`. Whatever is not understood in it is as if it were not there.
    pub fn read(env: &impl Environment) -> Self {
        let text = env.var("KUBERNETES_EXEC_INFO").filter(|text| text.len() <= MAX_INFO);
        // Not into a struct, which would be read from a list of its fields too.
        let info: Value =
            text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let asked = info.pointer("/apiVersion").and_then(Value::as_str);
        let version = VERSIONS.into_iter().find(|known| Some(*known) == asked);
        let interactive = info.pointer("/spec/interactive").and_then(Value::as_bool);
        Self { version: version.unwrap_or(DEFAULT_VERSION), interactive }
    }

    /// Whether a person may be asked; `None` when the caller did not say.
    pub fn interactive(self) -> Option<bool> {
        self.interactive
    }
}

/// The line that kubectl reads, in the version that it asked for, without the line feed.
///
/// # Errors
/// None that is known: every field is text or a boolean.
pub fn credential(token: &Token, info: ExecInfo) -> Result<Secret, serde_json::Error> {
    let text = serde_json::to_string(&ExecCredential {
        kind: "ExecCredential",
        api_version: info.version,
        spec: Spec { interactive: false },
        status: Status {
            expiration_timestamp: token.expires.rfc3339(),
            token: token.text.expose(),
        },
    })?;
    Ok(Secret::new(text))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential<'a> {
    kind: &'static str,
    api_version: &'static str,
    spec: Spec,
    status: Status<'a>,
}

#[derive(Serialize)]
struct Spec {
    interactive: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    expiration_timestamp: String,
    token: &'a str,
}

const DEFAULT_VERSION: &str = "client.authentication.k8s.io/v1beta1";
const VERSIONS: [&str; 3] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
    "client.authentication.k8s.io/v1alpha1",
];
/// A cluster's CA bundle is in it; environments rarely hold more than 128 KiB in one variable.
const MAX_INFO: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::clock::UnixTime;

    fn read(text: &str) -> ExecInfo {
        ExecInfo::read(&BTreeMap::from([("KUBERNETES_EXEC_INFO".to_owned(), text.to_owned())]))
    }

    #[test]
    fn the_version_asked_for_is_echoed_only_when_it_is_known() {
        let long = format!(
            r#"{{"apiVersion":"client.authentication.k8s.io/v1","pad":"{}"}}"#,
            "x".repeat(MAX_INFO)
        );
        for (info, version, interactive) in [
            (r#"{"apiVersion":"client.authentication.k8s.io/v1"}"#, "v1", None),
            (r#"{"apiVersion":"client.authentication.k8s.io/v1beta1"}"#, "v1beta1", None),
            (r#"{"apiVersion":"client.authentication.k8s.io/v1alpha1"}"#, "v1alpha1", None),
            (
                r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false,"cluster":{"config":{"a":[1]}}}}"#,
                "v1",
                Some(false),
            ),
            (
                r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":true}}"#,
                "v1",
                Some(true),
            ),
            (
                r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":"no"}}"#,
                "v1",
                None,
            ),
            (
                r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":"interactive"}"#,
                "v1",
                None,
            ),
            (r#"{"apiVersion":"client.authentication.k8s.io/v2"}"#, "v1beta1", None),
            (r#"{"apiVersion":"client.authentication.k8s.io/v1 "}"#, "v1beta1", None),
            (r#"{"apiVersion":["client.authentication.k8s.io/v1"]}"#, "v1beta1", None),
            (r#"{"spec":{"interactive":false}}"#, "v1beta1", Some(false)),
            ("{}", "v1beta1", None),
            ("[]", "v1beta1", None),
            (r#"["client.authentication.k8s.io/v1",{"interactive":false}]"#, "v1beta1", None),
            (r#"{"spec":[false]}"#, "v1beta1", None),
            ("not json", "v1beta1", None),
            ("", "v1beta1", None),
            (&long, "v1beta1", None),
        ] {
            let expected = ExecInfo {
                version: VERSIONS
                    .into_iter()
                    .find(|v| v.ends_with(&format!("/{version}")))
                    .unwrap(),
                interactive,
            };
            assert_eq!(read(info), expected, "{:.100}", info);
        }
    }

    #[test]
    fn the_credential_is_one_line_in_the_order_of_the_reference() {
        let token = Token {
            text: Secret::new("k8s-aws-v1.abc"),
            expires: UnixTime::from_secs(1_767_323_045),
        };
        let line = credential(&token, read("")).unwrap();
        assert_eq!(
            line.expose(),
            r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"interactive":false},"status":{"expirationTimestamp":"2026-01-02T03:04:05Z","token":"k8s-aws-v1.abc"}}"#,
        );
    }
}
