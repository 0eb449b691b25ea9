//! `iamgate version`.

use std::io::{self, Write};

/// Flags of `version`.
#[derive(Debug, clap::Args)]
pub(crate) struct VersionArgs {
    /// Print the version number alone
    #[arg(long, short, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::flags::boolean)]
    short: Option<bool>,
    /// json or yaml
    #[arg(long, short, default_value = "json")]
    output: String,
    #[arg(hide = true)]
    _surplus: Vec<String>,
}

pub(crate) fn run(args: &VersionArgs, out: &mut impl Write) -> io::Result<()> {
    if args.short == Some(true) {
        return writeln!(out, "{VERSION}");
    }
    match args.output.as_str() {
        "json" => writeln!(out, r#"{{"Version":"{VERSION}"}}"#),
        "yaml" => writeln!(out, "version: {VERSION}\ncommit: \"\"\ndate: \"\""),
        _ => writeln!(io::stderr(), "unknown version option"),
    }
}

/// The version of this build.
pub(crate) const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
