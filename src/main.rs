//! Reads the arguments, runs one command, says how it ended.

use std::process::ExitCode;

fn main() -> ExitCode {
    iamgate::cli::run(std::env::args_os())
}
