//! That an edited text is the object of before with exactly our change.
//!
//! The object is read by another reader than the one whose places the edit went by, and the change
//! is made to it as an object; both must come out the same.

use serde_json::Value;

use super::refusal::{Refusal, one_line};

/// What a manifest's text says.
pub(super) fn decode(text: &str) -> Result<Value, Refusal> {
    // As kubelet tells JSON from YAML: what begins so is read as JSON only.
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| Refusal::Syntax {
            line: Some(error.line()),
            message: one_line(&error.to_string()),
        });
    }
    serde_saphyr::from_str(text).map_err(|error| Refusal::Syntax {
        line: error.location().map(|place| place.line() as usize),
        message: one_line(&error.to_string()),
    })
}

/// Refuses a text that does not say what it should.
pub(super) fn prove(text: &str, expected: &Value) -> Result<(), Refusal> {
    let found = decode(text).map_err(|_| Refusal::Unproved { reason: "it cannot be read" })?;
    if found == *expected {
        Ok(())
    } else {
        Err(Refusal::Unproved { reason: "it says something else" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_that_says_anything_else_is_not_handed_out() {
        let expected = json!({"a": ["b"]});
        assert_eq!(prove("a: [b]", &expected), Ok(()));
        let other = Err(Refusal::Unproved { reason: "it says something else" });
        for text in ["a: [b, b]", "a: [c]", "a: b", "a: [b]\nc: d", "{\"a\": [\"b\", null]}"] {
            assert_eq!(prove(text, &expected), other, "{text}");
        }
        let broken = Err(Refusal::Unproved { reason: "it cannot be read" });
        for text in ["a: [b", "a: [b]\na: [b]", "{a: [b]}"] {
            assert_eq!(prove(text, &expected), broken, "{text}");
        }
    }
}
