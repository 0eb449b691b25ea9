//! The private CA and the webhook's leaf: what there is, what it lacks, the smallest repair. Pure
//! but for randomness.
