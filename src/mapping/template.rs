use std::str::FromStr;

/// A user name or group with placeholders such as `{{SessionName}}`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template(Box<str>);

/// Why text is not a [`Template`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown template variable {0:?}")]
pub struct TemplateFault(pub Box<str>);

/// Why a template cannot be rendered for a caller.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RenderFault {
    #[error("the private DNS name was not looked up")]
    PrivateDnsMissing,
}

impl FromStr for Template {
    type Err = TemplateFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.into()))
    }
}
