//! `iamgate provision` and `iamgate unprovision`.

pub(super) mod settings;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use self::settings::{MapEntry, SPEC_LIMIT, Settings};
use super::Global;
use super::render::own_templates;
use crate::clock::Clock;
use crate::files::{self, Owner};
use crate::outcome::Failure;
use crate::provision::certificates::{Lifetimes, Rotate};
use crate::provision::host::{Host, NodePath};
use crate::provision::render::{Mapped, Memory, Templates};
use crate::provision::request::{self, Audit, Request, Ttl};
use crate::provision::{self, Options, Outcome, Report};
use crate::system::Environment;

/// Flags of `provision` and `unprovision`.
#[derive(Debug, clap::Args)]
pub(super) struct ProvisionArgs {
    /// Say what would be done, and do nothing
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::flags::boolean, value_name = "BOOL")]
    check: Option<bool>,
    /// Show the differences
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::flags::boolean, value_name = "BOOL")]
    diff: Option<bool>,
    /// text or json
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Read settings from a file, YAML or JSON; - is standard input
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    spec: Option<PathBuf>,
    /// Work inside this directory, as if it were the root of the host
    #[arg(long, value_name = "DIR", default_value = "/", value_hint = clap::ValueHint::DirPath)]
    root: PathBuf,
    /// Wait until what was changed runs, for at most this long each [180s if no time is given]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "180s", value_parser = limit, value_name = "TIME")]
    wait: Option<Duration>,
    /// With --wait: if it does not run in time, put everything back and exit with 4
    #[arg(long, requires = "wait", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::flags::boolean, value_name = "BOOL")]
    rollback: Option<bool>,
    /// Replace the certificate, or the CA, although it is good
    #[arg(long, value_name = "WHAT")]
    rotate: Option<RotateArg>,
    /// Print the JSON Schema of the spec file or of the report, and do nothing else
    #[arg(long, value_name = "WHAT")]
    schema: Option<SchemaArg>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum RotateArg {
    Leaf,
    Ca,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SchemaArg {
    Spec,
    Report,
}

/// Which of the two commands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Direction {
    Forth,
    Back,
}

/// Runs one of the two.
pub(super) async fn run(
    args: ProvisionArgs,
    direction: Direction,
    global: &Global,
    environment: &impl Environment,
    clock: &impl Clock,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    if let Some(which) = args.schema {
        match which {
            SchemaArg::Spec => writeln!(out, "{:#}", settings::schema())?,
            SchemaArg::Report => out.write_all(provision::report::schema().as_bytes())?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (format, check) = (args.output, args.check == Some(true));
    let (report, outcome) = match prepared(&args, global, environment) {
        Ok((host, mut request)) => {
            let program = std::env::current_exe()?;
            let options = Options {
                check,
                diff: args.diff == Some(true),
                wait: args.wait,
                rollback: args.rollback == Some(true),
                program: &program,
            };
            let mut tell = |line: &str| drop(writeln!(io::stderr(), "{line}"));
            match direction {
                Direction::Forth => {
                    provision::provision(&host, &mut request, options, clock, &mut tell).await
                }
                Direction::Back => {
                    provision::unprovision(&host, &mut request, options, clock, &mut tell).await
                }
            }
        }
        // A machine that asked for JSON gets some, whatever was wrong.
        Err(failure) if format == Format::Json => {
            let mut report = Report::empty(&args.root, check);
            report.failed = true;
            let told = failure.to_string();
            let told = told.strip_prefix("error: ").unwrap_or(&told);
            report.msg = told.trim_end().replace('\n', "; ");
            out.write_all(report.json().as_bytes())?;
            return Err(failure);
        }
        Err(failure) => return Err(failure),
    };
    print(&report, format, environment, out)?;
    Ok(match outcome {
        Outcome::Done => ExitCode::SUCCESS,
        Outcome::Failed => ExitCode::FAILURE,
        Outcome::Refused => ExitCode::from(3),
        Outcome::RolledBack => ExitCode::from(4),
    })
}

fn print(
    report: &Report,
    format: Format,
    environment: &impl Environment,
    out: &mut impl Write,
) -> io::Result<()> {
    match format {
        Format::Json => out.write_all(report.json().as_bytes())?,
        Format::Text => {
            let colour = io::stdout().is_terminal() && environment.var("NO_COLOR").is_none();
            out.write_all(report.text(colour).as_bytes())?;
            out.flush()?;
        }
    }
    if report.failed {
        drop(write!(io::stderr(), "{}", report.failure()));
    }
    Ok(())
}

/// The host, and what it should be.
fn prepared(
    args: &ProvisionArgs,
    global: &Global,
    environment: &impl Environment,
) -> Result<(Host, Request), Failure> {
    let spec = match &args.spec {
        Some(file) => Settings::read(&text_of(file, SPEC_LIMIT)?, file).map_err(Failure::usage)?,
        None => Settings::default(),
    };
    let mut flags = args.settings.clone();
    flags.cluster_id = global.cluster_id.clone().filter(|id| !id.is_empty());
    flags.config = global.config.as_ref().map(node_path).transpose()?;
    let settings = flags.over(spec).over(Settings {
        cluster_id: environment.var("KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID"),
        ..Settings::default()
    });
    let request = request(settings, args.rotate)?;
    let host = Host::open(&args.root)?;
    Ok((host, request))
}

fn request(settings: Settings, rotate: Option<RotateArg>) -> Result<Request, Failure> {
    let cluster_id = settings.cluster_id.as_deref().map(str::parse).transpose();
    let partition = settings.partition.as_deref().map(str::parse).transpose();
    let mapped = |entries: Vec<MapEntry>| {
        entries
            .into_iter()
            .map(|MapEntry { arn, username, groups }| Mapped { arn, username, groups })
            .collect()
    };
    let day = |days: u32| Duration::from_secs(u64::from(days) * 24 * 60 * 60);
    let defaults = Owner { uid: ACCOUNT, gid: ACCOUNT };
    let templates = match &settings.template_dir {
        Some(dir) => own_templates(dir)?,
        None => Templates::default(),
    };
    let audit = match settings.audit_policy {
        None => None,
        Some(file) if file == Path::new("default") => Some(Audit::Default),
        Some(file) => {
            let bytes = text_of(&file, POLICY_LIMIT)?;
            let text = String::from_utf8(bytes).map_err(Failure::usage)?;
            Some(Audit::Own(text.into()))
        }
    };
    Ok(Request {
        cluster_id: cluster_id.map_err(Failure::usage)?,
        config: match settings.config {
            Some(config) => config,
            None => request::default_config(),
        },
        roles: mapped(settings.map_role),
        users: mapped(settings.map_user),
        partition: partition.map_err(Failure::usage)?,
        strict: settings.strict.unwrap_or(false),
        apiserver: settings.apiserver.unwrap_or_default(),
        manifest: settings.apiserver_manifest,
        manifests: settings.manifests_dir,
        workload: settings.workload.unwrap_or_default(),
        image: settings.image,
        base_image: settings.base_image,
        env: settings.env,
        memory: settings.memory_limit.unwrap_or(Memory::DEFAULT),
        owner: Owner {
            uid: settings.server_uid.unwrap_or(defaults.uid),
            gid: settings.server_gid.unwrap_or(defaults.gid),
        },
        names: settings.san,
        lifetimes: Lifetimes::new(
            day(settings.ca_days.unwrap_or(CA_DAYS)),
            settings.leaf_days.map(day),
        )
        .map_err(Failure::usage)?,
        rotate: rotate.map(|rotate| match rotate {
            RotateArg::Leaf => Rotate::Leaf,
            RotateArg::Ca => Rotate::Ca,
        }),
        cache_ttl: settings.cache_ttl.unwrap_or_default(),
        version: settings.webhook_version.unwrap_or_default(),
        audit,
        templates,
        only: settings.only.into_iter().collect(),
        quarantine: settings.quarantine.unwrap_or(false),
        takeover: settings.takeover.unwrap_or(false),
    })
}

/// A file of whoever runs this, wherever the root is; `-` is standard input.
fn text_of(file: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let read = match file == Path::new("-") {
        true => {
            let mut bytes = Vec::new();
            let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            io::Read::read_to_end(&mut io::Read::take(io::stdin().lock(), most), &mut bytes)?;
            Ok(bytes)
        }
        false => File::open(file)
            .map_err(files::ReadFault::from)
            .and_then(|open| files::read_to_cap(&open, limit)),
    };
    read.map_err(|fault| Failure::usage(format!("cannot read {}: {fault}", file.display())))
}

fn node_path(path: &OsString) -> Result<NodePath, Failure> {
    let text = path.to_str().unwrap_or_default();
    text.parse().map_err(|fault| Failure::usage(format!("--config: {fault}")))
}

fn limit(text: &str) -> Result<Duration, String> {
    Ttl::read(text).map_err(|fault| fault.to_string())
}

/// The account of the authenticator, as kops' hosts and the reference's examples have it.
const ACCOUNT: u32 = 10_000;
const CA_DAYS: u32 = 3650;
/// kube-apiserver takes any; a long one has a few hundred rules.
const POLICY_LIMIT: usize = 1024 * 1024;

pub(super) const EXAMPLES: &str = "\
Examples:
  iamgate provision --cluster-id my-cluster.example.com --check --diff
  iamgate provision --cluster-id my-cluster.example.com --wait --rollback
  iamgate provision --cluster-id my-cluster.example.com \\
    --map-role 'arn:aws:iam::123456789012:role/Admin=admin:{{SessionName}}=cluster-admins'
  iamgate provision --spec iamgate.yaml --output json
  iamgate provision --cluster-id my-cluster.example.com --apiserver later \\
    --base-image registry.k8s.io/kube-apiserver:v1.34.0
  iamgate provision --rotate leaf

Exit codes: 0 done, changed or not; 1 failed; 2 wrong command line; 3 refused, nothing was changed;
4 rolled back.";

pub(super) const BACK_EXAMPLES: &str = "\
Examples:
  iamgate unprovision --check --diff
  iamgate unprovision --wait --rollback";
