//! `config check` and `config schema`.
//!
//! `check` judges a file as the server under this name would, and as the client commands would.
//! It does not look at what the file names: certificates, directories, addresses.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::settings::DEFAULT_CONFIG;
use crate::config::{
    self, ClientOverrides, Document, Fault, Faults, ServerOverrides, Warning, schema,
};
use crate::face::Face;
use crate::files::{self, ReadFault};
use crate::outcome::Failure;

/// Looks at a configuration file.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ConfigCommand {
    /// Tell everything that is wrong with a file, with line and column
    ///
    /// Unknown keys and entries that are there twice are errors here, as with `server --strict`.
    /// Exit code 0 if nothing is wrong (there may be warnings), 1 otherwise.
    Check {
        /// The file: YAML, JSON or TOML by its extension
        #[arg(default_value = DEFAULT_CONFIG)]
        file: PathBuf,
        /// How to tell it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
        /// Implied
        #[arg(long, hide = true)]
        strict: bool,
    },
    /// Print the JSON Schema of the file
    Schema,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    /// For people and editors
    Text,
    /// One object, for scripts
    Json,
}

/// What `config check` has found. Its exit code is 0 or 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing is wrong.
    Clean,
    /// Something is, and was printed.
    Faulty,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Clean => Self::SUCCESS,
            Verdict::Faulty => Self::FAILURE,
        }
    }
}

/// The file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the configuration {}", .0.display())]
struct Unread(PathBuf, #[source] ReadFault);

/// Runs the command; prints on `out`.
///
/// # Errors
/// The file cannot be read, or `out` not written. What is wrong inside the file is no error: it is
/// printed, and the verdict says so.
pub(crate) fn run(args: ConfigArgs, face: Face, out: &mut impl Write) -> Result<Verdict, Failure> {
    match args.command {
        ConfigCommand::Check { file, output, strict: _ } => {
            let bytes = match files::read_capped(&file, Document::MAX_LEN) {
                Ok(bytes) => bytes,
                Err(error) => {
                    return Err(Failure::from(Unread(file, error))
                        .hint("name the file, as in `config check config.yaml`"));
                }
            };
            let report = Report::about(&bytes, &file, face);
            match output {
                Output::Text => report.text(&file, out)?,
                Output::Json => report.json(&file, out)?,
            }
            Ok(report.verdict())
        }
        ConfigCommand::Schema => {
            writeln!(out, "{:#}", schema())?;
            Ok(Verdict::Clean)
        }
    }
}

struct Report {
    faults: Vec<Fault>,
    /// Faults that are not in the list any more.
    untold: usize,
    warnings: Vec<Warning>,
}

impl Report {
    fn about(bytes: &[u8], file: &Path, face: Face) -> Self {
        let mut report = Self { faults: Vec::new(), untold: 0, warnings: Vec::new() };
        match Document::read(bytes, file) {
            Ok(document) => {
                let client = config::client(Some(&document), &ClientOverrides::default());
                let server = config::server(Some(document), &ServerOverrides::default(), face);
                report.take(server.map(|checked| checked.warnings));
                report.take(client.map(|checked| checked.warnings));
            }
            Err(faults) => report.take(Err(faults)),
        }
        report
    }

    fn take(&mut self, judged: Result<Vec<Warning>, Faults>) {
        match judged {
            Ok(warnings) => self.warnings.extend(warnings),
            Err(faults) => {
                self.warnings.extend(faults.warnings().iter().cloned());
                self.untold += faults.count() - faults.iter().count();
                for fault in faults.iter() {
                    // Both faces of the file read some keys.
                    if !self.faults.contains(fault) {
                        self.faults.push(fault.clone());
                    }
                }
            }
        }
    }

    fn errors(&self) -> usize {
        let strict = self.warnings.iter().filter(|warning| warning.is_strict()).count();
        self.faults.len() + self.untold + strict
    }

    fn verdict(&self) -> Verdict {
        if self.errors() == 0 { Verdict::Clean } else { Verdict::Faulty }
    }

    fn text(&self, file: &Path, out: &mut impl Write) -> io::Result<()> {
        for fault in &self.faults {
            writeln!(out, "error: {fault}")?;
        }
        for warning in &self.warnings {
            let kind = if warning.is_strict() { "error" } else { "warning" };
            writeln!(out, "{kind}: {warning}")?;
        }
        let advice = self.warnings.iter().filter(|warning| !warning.is_strict()).count();
        writeln!(
            out,
            "{}: {}, {}",
            file.display(),
            counted(self.errors(), "error"),
            counted(advice, "warning"),
        )
    }

    fn json(&self, file: &Path, out: &mut impl Write) -> io::Result<()> {
        let (strict, advice): (Vec<_>, Vec<_>) =
            self.warnings.iter().partition(|warning| warning.is_strict());
        let mut errors: Vec<_> = self.faults.iter().map(|fault| json!(fault)).collect();
        errors.extend(strict.iter().map(|warning| json!(warning)));
        let report = json!({
            "file": file.to_string_lossy(),
            "ok": self.verdict() == Verdict::Clean,
            "errors": errors,
            "warnings": advice,
            "untold": self.untold,
        });
        writeln!(out, "{report:#}")
    }
}

fn counted(number: usize, noun: &str) -> String {
    match number {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ConfigArgs,
    }

    fn ran(words: &[&str]) -> Result<(Verdict, String), String> {
        let words = ["config"].iter().chain(words);
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        let verdict = run(line.args, Face::Own, &mut out).map_err(|failure| failure.to_string())?;
        Ok((verdict, String::from_utf8(out).unwrap()))
    }

    fn file(text: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.yaml");
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (dir, path)
    }

    #[test]
    fn a_file_in_order_passes() {
        let (_dir, path) = file("clusterID: c\nserver: {mapAccounts: ['111122223333']}\n");
        let (verdict, text) = ran(&["check", &path]).unwrap();
        assert_eq!(
            (verdict, &*text),
            (Verdict::Clean, &*format!("{path}: no errors, no warnings\n"))
        );
    }

    #[test]
    fn unknown_keys_are_errors_and_advice_is_not() {
        let (_dir, path) = file("clusterID: c\nserver: {}\n");
        let (verdict, text) = ran(&["check", "--strict", &path]).unwrap();
        assert_eq!(verdict, Verdict::Clean, "{text}");
        assert!(text.starts_with(&format!("warning: {path}:2:9: server: nobody is mapped")));
        assert!(text.ends_with(&format!("{path}: no errors, 1 warning\n")), "{text}");

        let (_dir, path) = file("clusterID: c\nserver: {mapRole: []}\n");
        let (verdict, text) = ran(&["check", &path]).unwrap();
        assert_eq!(verdict, Verdict::Faulty, "{text}");
        let told = "2:10: server.mapRole: unknown key; did you mean mapRoles?";
        assert!(text.contains(&format!("error: {path}:{told}\n")), "{text}");
        assert!(text.ends_with(&format!("{path}: 1 error, 1 warning\n")), "{text}");
    }

    #[test]
    fn the_keys_of_server_and_client_are_judged_and_each_fault_is_told_once() {
        let (_dir, path) =
            file("clusterID: a b\npartition: moon\nserver: {port: x, sts: {timeout: 1h}}\n");
        let (verdict, text) = ran(&["check", "--output", "json", &path]).unwrap();
        assert_eq!(verdict, Verdict::Faulty);
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        let errors = report["errors"].as_array().unwrap();
        let paths: Vec<_> = errors.iter().map(|error| error["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["clusterID", "server.port", "server.sts.timeout", "partition"]);
        assert_eq!((&report["ok"], &errors[1]["line"]), (&json!(false), &json!(3)));
    }

    #[test]
    fn a_file_that_is_not_there_is_a_failure_with_a_hint() {
        let (_dir, path) = file("");
        let told = ran(&["check", &format!("{path}.yaml")]).unwrap_err();
        assert_eq!(
            told,
            format!(
                "error: cannot read the configuration {path}.yaml\n\
                 because: No such file or directory (os error 2)\n\
                 hint: name the file, as in `config check config.yaml`\n"
            )
        );
    }

    #[test]
    fn the_schema_is_printed_as_json() {
        let (verdict, text) = ran(&["schema"]).unwrap();
        let printed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((verdict, printed), (Verdict::Clean, schema()));
    }
}
