use super::{AccountId, Arn};

/// What STS says about whoever signed a request, and what the request says about itself.
///
/// A plain value: the proof that STS said it is [`crate::token::Caller`], which wraps one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The principal as STS names it, session and all.
    pub arn: Arn,
    /// Its account. Always the one in `arn`.
    pub account: AccountId,
    /// The unique id (`AROA...`, `AIDA...`), without the session. Never empty.
    pub user_id: Box<str>,
    /// The session's name; empty for users and root.
    pub session_name: Box<str>,
    /// The access key id that signed the request.
    pub access_key_id: Box<str>,
    /// The STS host that was asked.
    pub sts_host: Box<str>,
}
