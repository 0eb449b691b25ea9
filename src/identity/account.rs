use std::fmt;
use std::str::FromStr;

/// An AWS account id: twelve ASCII digits, leading zeros included.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AccountId([u8; 12]);

/// The text is not twelve ASCII digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an AWS account id has twelve digits")]
pub struct AccountError;

impl AccountId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        // The only constructor takes ASCII digits.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for AccountId {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match <[u8; 12]>::try_from(text.as_bytes()) {
            Ok(digits) if digits.iter().all(u8::is_ascii_digit) => Ok(Self(digits)),
            Ok(_) | Err(_) => Err(AccountError),
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_twelve_digits_and_keeps_its_zeros() {
        assert_eq!("012345678901".parse::<AccountId>().unwrap().to_string(), "012345678901");
        for text in ["", "12345678901", "1234567890123", "12345678901x", "１２３４", "+12345678901"]
        {
            assert_eq!(text.parse::<AccountId>(), Err(AccountError), "{text:?}");
        }
    }
}
