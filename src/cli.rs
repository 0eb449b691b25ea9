//! What the user typed: arguments to a typed request, one file a command; then the run of it.

mod config;
mod explain;
mod flags;
mod init;
mod provision;
mod render;
mod server;
mod settings;
mod token;
mod verify;
mod version;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::flags::Gates;
use self::settings::Settings;
use self::version::VERSION;
use crate::clock::{Clock, SystemClock};
use crate::face::Face;
use crate::log;
use crate::outcome::{Exit, Failure};
use crate::system::{Environment, ProcessEnvironment};
use crate::token::PREFIX;

/// AWS IAM sign-in for self-managed Kubernetes control planes
#[derive(Debug, Parser)]
#[command(name = "iamgate", disable_version_flag = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, clap::Args)]
struct Global {
    /// Configuration file: YAML, JSON or TOML by its extension
    #[arg(long, short, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: Option<OsString>,
    /// text or json
    #[arg(long, short, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: String,
    /// panic, fatal, error, warning, info, debug or trace [default: info]
    #[arg(long, short = 'v', global = true, value_name = "LEVEL")]
    log_verbosity: Option<String>,
    /// The cluster that tokens are for [env: KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID]
    #[arg(long, short = 'i', global = true, value_name = "ID")]
    cluster_id: Option<String>,
    /// Feature gates, such as SSORoleMatch=true
    // Not global: clap would forget those before the command where some are behind it as well.
    #[arg(id = GATES, long, value_name = "GATE=BOOL,...", action = clap::ArgAction::Append)]
    feature_gates: Vec<Gates>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer the API server's TokenReviews
    #[command(after_help = server::EXAMPLES)]
    Server(Box<server::ServerArgs>),
    /// Print a token for a cluster, as kubectl's exec credential plugin
    #[command(after_help = TOKEN_EXAMPLES)]
    Token(token::TokenArgs),
    /// Say who is behind a token
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(verify::VerifyArgs),
    /// Make the server's certificate, key and webhook kubeconfig, in the current directory
    #[command(after_help = init::EXAMPLES)]
    Init(init::InitArgs),
    /// Say which mapping wins for an ARN, and why
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(explain::ExplainArgs),
    /// Look at configuration files
    #[command(after_help = CONFIG_EXAMPLES)]
    Config(config::ConfigArgs),
    /// Print one artefact, such as a static pod's manifest; the host is left alone
    #[command(after_help = render::EXAMPLES)]
    Render(Box<render::RenderArgs>),
    /// Bring this control-plane host to IAM sign-in; a second run changes nothing
    #[command(after_help = provision::EXAMPLES)]
    Provision(Box<provision::ProvisionArgs>),
    /// Take back what provision did to this host
    #[command(after_help = provision::BACK_EXAMPLES)]
    Unprovision(Box<provision::ProvisionArgs>),
    /// Show the main job on this machine: no AWS account, no cluster
    Demo,
    /// Print the version
    Version(version::VersionArgs),
    /// Print a shell's completion script
    #[command(alias = "completion")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a directory
    Man {
        /// The directory; it must exist
        dir: PathBuf,
    },
}

/// Runs the command line `args`, whose first word is the name that the program was called by.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let face = args.first().map_or(Face::Own, |program| Face::of(Path::new(program)));
    let cli = match parsed(&args, face) {
        Ok(cli) => cli,
        Err(error) => return unparsed(error, face),
    };
    match dispatch(cli, face) {
        Ok(code) => code,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            // Whoever does not read standard error does not want to know.
            drop(write!(io::stderr(), "{failure}"));
            exit_code(failure.exit(), face)
        }
    }
}

fn parsed(args: &[OsString], face: Face) -> Result<Cli, clap::Error> {
    let matches = command(face).try_get_matches_from(args)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.global.feature_gates.clear();
    let mut level = Some(&matches);
    while let Some(matches) = level {
        let gates = matches.try_get_many::<Gates>(GATES).ok().flatten();
        cli.global.feature_gates.extend(gates.into_iter().flatten());
        level = matches.subcommand().map(|(_, matches)| matches);
    }
    Ok(cli)
}

fn command(face: Face) -> clap::Command {
    let command = Cli::command().args_override_self(true);
    let gates = command.get_arguments().find(|arg| arg.get_id() == GATES).cloned();
    let command = match gates {
        Some(gates) => command.mut_subcommands(|child| with(child, &gates)),
        None => command,
    };
    match face {
        Face::Own => command,
        Face::Reference => renamed(command).name(REFERENCE).bin_name(REFERENCE),
    }
}

/// `command` and all below it, with that flag.
fn with(command: clap::Command, arg: &clap::Arg) -> clap::Command {
    command.arg(arg.clone()).mut_subcommands(|child| with(child, arg))
}

/// Examples that can be typed as they stand: who has only the other name has no `iamgate`.
fn renamed(command: clap::Command) -> clap::Command {
    let ours =
        |examples: &dyn std::fmt::Display| examples.to_string().replace("iamgate", REFERENCE);
    let examples = command.get_after_help().map(|examples| ours(examples));
    let command = command.mut_subcommands(renamed);
    match examples {
        Some(examples) => command.after_help(examples),
        None => command,
    }
}

/// clap's own exit code for a wrong command line is 2, which is ours and not the reference's.
fn unparsed(mut error: clap::Error, face: Face) -> ExitCode {
    if error.kind() == ErrorKind::InvalidSubcommand {
        explain_unknown_command(&mut error, &command(face));
    }
    // Without a command the reference prints its help as if asked for it, and is content.
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        && face == Face::Reference
    {
        drop(write!(io::stdout(), "{}", error.render()));
        return ExitCode::SUCCESS;
    }
    drop(error.print());
    match error.kind() == ErrorKind::DisplayHelp {
        true => ExitCode::SUCCESS,
        false => exit_code(Exit::Usage, face),
    }
}

/// Names the commands that there are, and keeps a token that was typed in a command's place to
/// itself.
fn explain_unknown_command(error: &mut clap::Error, program: &clap::Command) {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let parent = program
        .get_subcommands()
        .find(|parent| usage.contains(&format!(" {} ", parent.get_name())))
        .unwrap_or(program);
    let names: Vec<_> = parent.get_subcommands().map(clap::Command::get_name).collect();
    let tip = format!("the commands are {}", names.join(", "));
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    let secret = |value: &ContextValue| value.to_string().starts_with(PREFIX);
    if error.get(ContextKind::InvalidSubcommand).is_some_and(secret) {
        let shown = ContextValue::String(format!("{PREFIX}..."));
        error.insert(ContextKind::InvalidSubcommand, shown);
    }
}

fn exit_code(exit: Exit, face: Face) -> ExitCode {
    match (exit, face) {
        (Exit::Usage, Face::Own) => ExitCode::from(2),
        (Exit::Failed, _) | (Exit::Usage, Face::Reference) => ExitCode::FAILURE,
    }
}

fn dispatch(Cli { global, command: chosen }: Cli, face: Face) -> Result<ExitCode, Failure> {
    let environment = ProcessEnvironment;
    start_log(&global, &environment)?;
    let mut out = io::stdout().lock();
    let settings = Settings::new(&global, face, &environment);
    match chosen {
        Command::Server(args) => {
            tell_version(&mut out, face);
            drop(out);
            runtime()?.block_on(server::run(*args, settings, &environment))?;
        }
        Command::Token(args) => {
            let request = settings.token(&args)?;
            runtime()?.block_on(token::run(request, &environment, &SystemClock, &mut out))?;
        }
        Command::Verify(args) => {
            let client = settings.verify(&args)?;
            runtime()?.block_on(verify::run(client, SystemClock, &mut out))?;
        }
        Command::Init(args) => {
            tell_version(&mut out, face);
            init::run(&settings.init(&args)?, SystemClock.now())?;
        }
        Command::Explain(args) => {
            explain::run(&args, &mut out, || settings.rules())?;
        }
        Command::Config(args) => {
            return Ok(config::run(args, face, &mut out)?.into());
        }
        Command::Provision(args) => {
            let run = provision::run(
                *args,
                provision::Direction::Forth,
                &global,
                &environment,
                &SystemClock,
                &mut out,
            );
            return runtime()?.block_on(run);
        }
        Command::Unprovision(args) => {
            let run = provision::run(
                *args,
                provision::Direction::Back,
                &global,
                &environment,
                &SystemClock,
                &mut out,
            );
            return runtime()?.block_on(run);
        }
        Command::Render(args) => render::run(*args, &global, &mut out)?,
        Command::Demo => {
            let program = std::env::current_exe()?;
            let colour = io::stdout().is_terminal() && environment.var("NO_COLOR").is_none();
            runtime()?.block_on(crate::demo::run(&program, &mut out, colour))?;
        }
        Command::Version(args) => version::run(&args, &mut out)?,
        Command::Completions { shell } => {
            let mut command = command(face);
            let name = command.get_name().to_owned();
            clap_complete::generate(shell, &mut command, name, &mut out);
        }
        Command::Man { dir } => clap_mangen::generate_to(command(face), dir)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The reference's first line. Scripts look for it; nothing depends on who reads it.
fn tell_version(out: &mut impl Write, face: Face) {
    if face == Face::Reference {
        drop(writeln!(out, "Authenticator Version: {VERSION:?}, \"\""));
    }
}

fn start_log(global: &Global, environment: &impl Environment) -> Result<(), Failure> {
    let given = global.log_verbosity.clone();
    let level = given.or_else(|| environment.var("AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY"));
    let level = match level {
        Some(text) => text.parse::<log::Level>().map_err(Failure::usage)?,
        None => log::Level::default(),
    };
    let (format, warning) = log::Format::of(&global.log_format);
    log::install(format, level, SystemClock)?;
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// One thread: as quick as two on two cores, and a MiB smaller.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

const GATES: &str = "feature-gates";
const REFERENCE: &str = "aws-iam-authenticator";

const EXAMPLES: &str = "\
Examples:
  iamgate demo
  iamgate server --config /etc/aws-iam-authenticator/config.yaml
  iamgate token --cluster-id my-cluster.example.com
  iamgate config check /etc/aws-iam-authenticator/config.yaml
  iamgate explain arn:aws:iam::123456789012:role/Admin";

const TOKEN_EXAMPLES: &str = "\
Examples:
  iamgate token --cluster-id my-cluster.example.com
  iamgate token -i my-cluster.example.com --role arn:aws:iam::123456789012:role/Admin --cache
  AWS_PROFILE=staging iamgate token -i my-cluster.example.com --token-only";

const VERIFY_EXAMPLES: &str = "\
Examples:
  iamgate verify --cluster-id my-cluster.example.com --token \"$TOKEN\"
  iamgate verify -i my-cluster.example.com -t \"$TOKEN\" -o json";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  iamgate explain arn:aws:iam::123456789012:role/Admin
  iamgate explain --config config.yaml arn:aws:sts::123456789012:assumed-role/Admin/jane";

const CONFIG_EXAMPLES: &str = "\
Examples:
  iamgate config check config.yaml
  iamgate config check --output json config.yaml
  iamgate config schema > iamgate.schema.json";
