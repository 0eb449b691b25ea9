use std::time::Duration;

use super::wire::{self, Fields, Malformed};
use super::{HostPolicy, StsHost};
use crate::clock::UnixTime;
use crate::secret::Secret;

/// A request to STS that someone else signed. Well formed; nothing about it is proven.
#[derive(Debug)]
pub struct Presigned(Fields);

impl Presigned {
    /// Reads a token under one-spelling rules.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(token: &Secret, hosts: &HostPolicy) -> Result<Self, Malformed> {
        let url = wire::unwrap(token.expose())?;
        wire::read(url.expose(), hosts).map(Self)
    }

    /// Judges the token's age. The only way to a [`Fresh`].
    ///
    /// # Errors
    /// It was signed longer ago than `max_age`, or more than five minutes ahead of `now`.
    pub fn fresh_at(self, now: UnixTime, max_age: Age) -> Result<Fresh, Stale> {
        match now.since(self.0.signed_at) {
            Ok(age) if age > max_age.0 => Err(Stale::Late(age)),
            Err(ahead) if ahead > SKEW => Err(Stale::Early(ahead)),
            Ok(_) | Err(_) => Ok(Fresh(self)),
        }
    }

    /// By what an outdated token is remembered without keeping it.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.0.signature.clone(), self.0.signed_at)
    }
}

/// Signature and date: a copy of a signature with another date is another token.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Mark(Secret, UnixTime);

/// A [`Presigned`] that is inside its time window. The only thing that is sent to STS.
#[derive(Debug)]
pub struct Fresh(Presigned);

impl Fresh {
    /// The STS host to ask.
    pub fn host(&self) -> &StsHost {
        &self.0.0.host
    }

    /// The request target, built anew from the typed fields.
    pub fn target(&self) -> Secret {
        wire::target(&self.0.0)
    }

    /// The access key id that the request says it was signed with.
    pub fn access_key_id(&self) -> &str {
        &self.0.0.access_key_id
    }
}

/// How old a token may be: 60 to 900 seconds. STS itself honours 900.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Age(Duration);

/// The number of seconds is out of range.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the age of a token is 60 to 900 seconds, not {0}")]
pub struct TokenAgeError(pub u64);

impl Age {
    /// # Errors
    /// `seconds` is not 60 to 900.
    pub fn from_secs(seconds: u64) -> Result<Self, TokenAgeError> {
        match seconds {
            60..=900 => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(TokenAgeError(seconds)),
        }
    }
}

impl Default for Age {
    fn default() -> Self {
        Self(Duration::from_secs(900))
    }
}

/// Why a well-formed token is not accepted at this moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Stale {
    #[error("the token was signed {}s from now; is a clock wrong?", .0.as_secs())]
    Early(Duration),
    #[error("the token was signed {}s ago", .0.as_secs())]
    Late(Duration),
    #[error("the token was refused as too old before, and the clock has gone back since")]
    Remembered,
}

/// How far a client's clock may run ahead of ours. AWS allows the same.
const SKEW: Duration = Duration::from_secs(5 * 60);
