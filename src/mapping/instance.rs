use std::fmt;
use std::str::FromStr;

/// The id of an EC2 instance: `i-` and 8 or 17 lower-case hexadecimal digits.
///
/// It is also the session name that EC2 gives to the role of an instance profile.
/// Source: EC2 User Guide, "Amazon EC2 resource IDs".
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InstanceId(Box<str>);

/// The text is not an [`InstanceId`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an EC2 instance id is `i-` and 8 or 17 lower-case hexadecimal digits")]
pub struct InstanceIdFault;

impl InstanceId {
    /// The id, as EC2 writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = InstanceIdFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("i-").ok_or(InstanceIdFault)?;
        match [8, 17].contains(&digits.len()) && digits.bytes().all(is_lower_hex) {
            true => Ok(Self(text.into())),
            false => Err(InstanceIdFault),
        }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `0-9a-f`, as AWS writes the digits of ids.
pub(super) fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ec2_makes_is_an_instance_id() {
        for text in ["i-0123abcd", "i-0123456789abcdef0"] {
            let id: InstanceId = text.parse().unwrap();
            assert_eq!((id.as_str(), &*id.to_string()), (text, text));
        }
        for text in [
            "",
            "i-",
            "i-0123abc",
            "i-0123abcde",
            "i-0123456789abcdef01",
            "i-0123ABCD",
            "i-0123abcg",
            "i-0123_bcd",
            "I-0123abcd",
            "mi-0123abcd",
            " i-0123abcd",
            "i-0123abcd\n",
            "i-０１２３",
            "i-0123abcd,i-0123abce",
        ] {
            assert_eq!(text.parse::<InstanceId>(), Err(InstanceIdFault), "{text:?}");
        }
    }
}
