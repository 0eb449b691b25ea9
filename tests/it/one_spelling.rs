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
