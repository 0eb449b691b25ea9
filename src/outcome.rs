//! How a run ends, for people and for scripts.

use std::error::Error;
use std::fmt;

/// A run that failed: what, why, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    error: Box<dyn Error + Send + Sync>,
    hint: Option<Box<str>>,
    exit: Exit,
}

/// The exit codes of decisions that scripts rely on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// 1: it was tried and failed.
    Failed,
    /// 2 under our own name, 1 under the reference's names: the command line is wrong.
    Usage,
}

impl Failure {
    /// The command line, not the work, was wrong.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into(), hint: None, exit: Exit::Usage }
    }

    /// Adds what the person can do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<Box<str>>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Whether all that went wrong is that nobody reads on: `iamgate config schema | head -1`.
    pub fn is_broken_pipe(&self) -> bool {
        let error = self.error.downcast_ref::<std::io::Error>();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// How the process should end.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), hint: None, exit: Exit::Failed }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.error)?;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            writeln!(f, "because: {error}")?;
            cause = error.source();
        }
        match &self.hint {
            Some(hint) => writeln!(f, "hint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the mapping file /etc/m.json")]
    struct Unread(#[source] std::io::Error);

    #[test]
    fn a_failure_is_told_from_the_outside_in() {
        let cause = std::io::Error::other("permission denied");
        let told = Failure::from(Unread(cause)).hint("run it as root").to_string();
        assert_eq!(
            told,
            "error: cannot read the mapping file /etc/m.json\n\
             because: permission denied\n\
             hint: run it as root\n",
        );
    }
}
