//! A value that does not print itself.

use std::fmt;

use zeroize::Zeroizing;

/// Text that must not reach a log, an error message, a metric or a panic.
///
/// There is no `Display`, no `Serialize` and no `Deref`; the one way to the text is a call
/// whose name is easy to search for. The memory is wiped when the value is dropped.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Takes custody of `text`.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_the_length_and_nothing_else() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(7 bytes)");
    }
}
