//! From a bearer token to a proven caller, and from credentials to a token.
//!
//! Each step takes the value that only the step before can make, so none can be skipped:
//!
//! ```text
//! Secret --parse--> Presigned --fresh_at--> Fresh --Sts::ask--> Reply --read--> Caller
//! ```
//!
//! Nobody outside can forge the last one:
//!
//! ```compile_fail,E0451
//! fn forge(identity: iamgate::identity::Identity) -> iamgate::token::Caller {
//!     iamgate::token::Caller { identity }
//! }
//! ```
//!
//! # Why
//! A token is a request to STS that its owner signed in advance. Checking such text and then
//! forwarding it is fragile, because two readers may read it differently. So the text is parsed
//! under one-spelling rules into typed fields, and the request to STS is built anew from those.

mod hosts;
mod presigned;
mod sign;
mod verify;
mod wire;

pub use self::hosts::{HostFault, HostPolicy, StsHost};
pub use self::presigned::{Age, Fresh, Presigned, Stale, TokenAgeError};
pub use self::sign::{Credentials, Endpoint, SignError, Token, sign};
pub use self::verify::{
    Acceptance, Caller, Denial, Refusal, Reply, Sts, StsRequest, StsUnavailable, Unreadable,
    Verifier,
};
pub use self::wire::{Malformed, PREFIX};
