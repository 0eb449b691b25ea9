//! `token`: what was typed, and the run of the command.

use std::io::Write;

use clap::Args;

use super::flags::boolean;
use crate::client::{self, ExecInfo, Prompt, Request, Terminal};
use crate::clock::Clock;
use crate::outcome::Failure;
use crate::secret::Secret;
use crate::system::Environment;

/// Print a token for a cluster, as the ExecCredential that kubectl reads.
///
/// What is not given here comes from the environment, then from the configuration file.
#[derive(Args, Clone, Debug, Default)]
#[command(args_override_self = true)]
pub(crate) struct TokenArgs {
    /// AWS region, for the token's STS host and for calls to AWS
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// ARN of an IAM role to assume before signing [env: DEFAULT_ROLE]
    #[arg(long, short, value_name = "ARN")]
    pub(crate) role: Option<String>,
    /// External ID to pass when assuming the role
    #[arg(long, short, value_name = "ID")]
    pub(crate) external_id: Option<String>,
    /// Session name to use when assuming the role
    #[arg(long, short, value_name = "NAME")]
    pub(crate) session_name: Option<String>,
    /// Print the token alone
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) token_only: Option<bool>,
    /// Assume the role with the session name of the credentials in use
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) forward_session_name: Option<bool>,
    /// Keep expiring credentials in a private file
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) cache: Option<bool>,
    /// Ignored, because `aws-iam-authenticator` ignores it.
    #[arg(hide = true, num_args = 0..)]
    surplus: Vec<String>,
}

/// Makes a token and writes it to `out`: the ExecCredential, or the bare token, and nothing else.
///
/// Logs and warnings go through `tracing`; an MFA question goes to the terminal.
///
/// # Errors
/// See [`client::Fault`], with its cure; or `out` cannot be written.
pub(crate) async fn run(
    request: Request,
    env: &impl Environment,
    clock: &impl Clock,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let prompt = Terminal::new(ExecInfo::read(env));
    run_with(request, env, clock, &prompt, out).await
}

async fn run_with(
    request: Request,
    env: &impl Environment,
    clock: &impl Clock,
    prompt: &impl Prompt,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let token = client::mint(&request, env, clock, prompt).await.map_err(failure)?;
    let line = match request.token_only {
        true => token.text,
        false => client::credential(&token, ExecInfo::read(env))?,
    };
    // One write: a reader sees the whole line or none of it.
    let line = Secret::new(format!("{}\n", line.expose()));
    out.write_all(line.expose().as_bytes())?;
    Ok(out.flush()?)
}

fn failure(fault: client::Fault) -> Failure {
    let hint = fault.hint();
    let failure = if fault.is_usage() { Failure::usage(fault) } else { Failure::from(fault) };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests;
