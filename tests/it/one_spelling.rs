//! Constructions for each sentence of the rules about tokens: one spelling, closed sets, every
//! input bounded. Beside `token_corpus.rs`, which holds the known attacks, these go through whole
//! classes: every byte, every position, every partition.

mod address;
mod envelope;
mod moments;
mod pairs;
mod values;

use iamgate::token::{Refusal, Verifier};

use crate::support::review::refusal;
use crate::support::script::Script;
use crate::support::vector::{NOW, Vector, accept};

/// The nine parameters, in the order of the good token.
const NAMES: [&str; 9] = [
    "Action",
    "Version",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

/// Whether it gets as far as STS.
fn admitted(vector: &Vector) -> Result<(), Refusal> {
    let verifier = Verifier::new(Script::default(), NOW);
    verifier.admit(&vector.token(), &accept(&["c"])).map(|_| ())
}

/// Refused for `fault`, as a whole review too.
async fn refused(vector: &Vector, fault: impl Into<Refusal>) {
    let url = vector.url();
    assert_eq!(refusal(&vector.token()).await, fault.into(), "{url}");
}
