//! Reads the arguments, runs one command, says how it ended.

fn main() {}
