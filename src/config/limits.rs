//! The ranges of the file's numbers, each with its reason.

use std::ops::RangeInclusive;

/// What TCP has.
pub(super) const PORT: RangeInclusive<u64> = 0..=65_535;

/// Calls to EC2 per second, and at once: EC2 throttles far below.
pub(super) const RATE: RangeInclusive<u64> = 0..=10_000;

/// Milliseconds. STS itself refuses what is older than 15 minutes; below one, clocks decide.
pub(super) const TOKEN_AGE: RangeInclusive<u64> = 60_000..=900_000;

/// Milliseconds. Above 30 s kube-apiserver has given up long ago.
pub(super) const STS_TIMEOUT: RangeInclusive<u64> = 100..=30_000;

/// Each costs some 50 KiB at worst.
pub(super) const CONNECTIONS: RangeInclusive<u64> = 1..=65_536;

/// Each costs a signature.
pub(super) const HANDSHAKES: RangeInclusive<u64> = 1..=1_024;

/// STS allows an account some hundred per second.
pub(super) const STS_IN_FLIGHT: RangeInclusive<u64> = 1..=4_096;

/// Bytes. A review with a token of 16 KiB fits into 24 KiB. Bodies of connections that had no
/// review granted yet may take 1 MiB together: a larger one would be refused, for ever.
pub(super) const BODY: RangeInclusive<u64> = 24_576..=1_048_576;
