use super::Who;
use super::rules::{Asked, By, Sso};
use crate::identity::Subject;

impl Who {
    /// Of an ARN; patterns and permission sets stand for many.
    pub(crate) fn subject(&self) -> Option<Subject> {
        match self {
            Self::Arn(arn) => Some(arn.subject()),
            Self::Pattern(_) | Self::Sso(_) => None,
        }
    }

    pub(super) fn pathless(&self) -> Option<Subject> {
        match self {
            Self::Arn(arn) => arn.pathless_role(),
            Self::Pattern(_) | Self::Sso(_) => None,
        }
    }

    /// Whether an entry with it alone would be found for a caller, and by what: what the indices
    /// do, for one entry.
    pub(super) fn fits(&self, asked: &Asked, sso: Sso) -> Option<By> {
        match self {
            Self::Arn(arn) if arn.subject() == asked.subject => Some(By::Arn),
            Self::Arn(arn) => {
                let pathless = match asked.has_path {
                    true => Some(arn.subject()),
                    false => arn.pathless_role(),
                };
                (pathless.as_ref() == Some(&asked.pathless)).then_some(By::ArnWithoutPath)
            }
            Self::Sso(role) => {
                let fits = match sso {
                    Sso::Off => false,
                    Sso::MadeSuffix => asked.is_made_for(role),
                    Sso::AnySuffix => role.begins(&asked.pathless),
                };
                fits.then_some(By::Sso)
            }
            Self::Pattern(pattern) => pattern.matches(&asked.pathless).then_some(By::Pattern),
        }
    }
}
