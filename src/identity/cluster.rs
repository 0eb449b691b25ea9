use std::fmt;
use std::str::FromStr;

/// The cluster that a token is minted for: the value of the signed header `x-k8s-aws-id`.
///
/// Printable ASCII without spaces, so that it is safe as an HTTP header value, means the same to
/// every signer (SigV4 folds spaces), and stands in a log line as it is.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClusterId(Box<str>);

/// Why some text is not a [`ClusterId`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ClusterIdError {
    #[error("a cluster ID holds printable ASCII without spaces, but byte {at} begins {found:?}")]
    Character { at: usize, found: char },
    #[error("cluster ID cannot be empty")]
    Empty,
    #[error("a cluster ID may be {max} bytes long, not {0}", max = ClusterId::MAX_LEN)]
    Length(usize),
}

impl ClusterId {
    /// The longest id, in bytes: room for any DNS name.
    pub const MAX_LEN: usize = 256;

    /// The id as it goes into the signed header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterId {
    type Err = ClusterIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ClusterIdError::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(ClusterIdError::Length(text.len()));
        }
        match text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
            Some((at, found)) => Err(ClusterIdError::Character { at, found }),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ascii_byte_is_either_allowed_or_named_in_the_error() {
        for byte in 0..=127_u8 {
            let c = char::from(byte);
            let parsed = format!("a{c}").parse::<ClusterId>();
            if (0x21..0x7f).contains(&byte) {
                assert_eq!(parsed.unwrap().as_str(), format!("a{c}"));
            } else {
                assert_eq!(parsed, Err(ClusterIdError::Character { at: 1, found: c }));
            }
        }
    }

    #[test]
    fn edges() {
        let longest = "a".repeat(ClusterId::MAX_LEN);
        assert_eq!(longest.parse::<ClusterId>().unwrap().to_string(), longest);
        for (text, error) in [
            ("".to_owned(), ClusterIdError::Empty),
            (" ".to_owned(), ClusterIdError::Character { at: 0, found: ' ' }),
            (longest + "a", ClusterIdError::Length(257)),
            ("dev\r\nx: y".to_owned(), ClusterIdError::Character { at: 3, found: '\r' }),
            ("näh".to_owned(), ClusterIdError::Character { at: 1, found: 'ä' }),
        ] {
            assert_eq!(text.parse::<ClusterId>(), Err(error), "{text:?}");
        }
    }
}
