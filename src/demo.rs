//! `iamgate demo`: the main job on this machine, with no AWS account and no cluster.
//!
//! In a throw-away directory it provisions a host with the real `iamgate provision`, starts an STS
//! stand-in on loopback and the real `iamgate server`, mints tokens with the real `iamgate token`,
//! and shows who is let in, who is not, what happens while the mapping file changes and the
//! certificate is renewed, and the way back.

mod certificates;
mod host;
mod review;
mod server;
mod stand_in;
mod tell;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use self::certificates::Authority;
use self::host::Host;
use self::review::{Answer, Reviewer};
use self::server::Server;
use self::stand_in::Principal;
use self::tell::Tell;
use crate::clock::{Clock, SystemClock};
use crate::files;
use crate::outcome::Failure;
use crate::secret::Secret;
use crate::token::{Credentials, Endpoint, sign};

/// Runs the demo with `program` as the binary to show.
///
/// # Errors
/// A step did not go as it should.
pub async fn run(program: &Path, out: &mut impl Write, colour: bool) -> Result<(), Failure> {
    let mut tell = Tell::new(out, colour);
    let clock = SystemClock;

    tell.part("A control-plane host becomes one with IAM sign-in")?;
    let home = tempfile::Builder::new().prefix("iamgate-demo-").tempdir()?;
    let dir = home.path();
    let host = Host::new(dir.join("host"), program)?;
    let began = Instant::now();
    let authority = Authority::new(clock.now())?;
    let roots = dir.join("sts-ca.pem");
    files::write_whole(&roots, authority.pem().as_bytes(), 0o644)?;
    let endpoint = Endpoint::of(REGION, false, false)?;
    let sts_leaf = authority.leaf(&[endpoint.host()], clock.now())?;
    let (ann, bob) = (ann()?, bob()?);
    let sts = stand_in::start(&sts_leaf, endpoint.clone(), vec![ann.clone(), bob.clone()]).await?;
    tell.done("started a stand-in for AWS STS", "verifies every signature", began.elapsed())?;

    let config = host.path("etc/aws-iam-authenticator/config.yaml");
    let (port, health) = (host::free_port()?, host::free_port()?);
    let mappings = |who: &str| -> Result<(), Failure> {
        let text = configuration([port, health, sts.port()], who);
        Ok(files::write_whole(&config, text.as_bytes(), 0o640)?)
    };
    mappings(ANN)?;
    let (told, took) = host.run("provision", &["--cluster-id", CLUSTER]).await?;
    let made = format!("{} files and directories", told.count());
    tell.done("iamgate provision, on a directory as root", &made, took)?;
    let added = format!("{} lines added, no other touched", host.lines_added()?);
    tell.done("kube-apiserver.yaml, edited as text", &added, Duration::ZERO)?;
    let (told, took) = host.run("provision", &["--cluster-id", CLUSTER]).await?;
    if told.changed {
        return Err("a second run changed something".into());
    }
    tell.done("iamgate provision again", "nothing to change", took)?;

    let began = Instant::now();
    let state = host.path("var/aws-iam-authenticator");
    let server = Server::start(program, &config, &state, &roots).await?;
    tell.done("started the server on what was made", "ready, TLS on loopback", began.elapsed())?;
    let ca = std::fs::read_to_string(host.path("etc/kubernetes/aws-iam-authenticator/ca.pem"))?;
    let reviewer = Reviewer::new(&ca, server.address())?;

    tell.part("Who is let in")?;
    let (token, took) = mint(program, &ann, CLUSTER).await?;
    tell.done("iamgate token, as the role Admin", "k8s-aws-v1.<a signed request>", took)?;
    let (answer, took) = reviewer.ask(&token).await?;
    let Answer::Granted { username, groups } = &answer else {
        return Err(unexpected("a grant", &answer));
    };
    tell.done("kube-apiserver asks: who is this?", &format!("{username} in {groups:?}"), took)?;

    tell.part("Who is not")?;
    let (unmapped, _) = mint(program, &bob, CLUSTER).await?;
    let (elsewhere, _) = mint(program, &ann, "other-cluster").await?;
    let stale = clock.now().as_secs().saturating_sub(3600);
    let stale = sign(
        &ann.credentials,
        &endpoint,
        &CLUSTER.parse()?,
        crate::clock::UnixTime::from_secs(stale),
    )?;
    for (what, token, reason) in [
        ("a role that is not in the mapping file", &unmapped, "identity_not_mapped"),
        ("a token made for another cluster", &elsewhere, "cluster_id_mismatch_or_bad_signature"),
        ("a token of an hour ago", &stale.text, "token_expired"),
    ] {
        let (answer, took) = reviewer.ask(token).await?;
        match &answer {
            Answer::Denied(Some(why)) if why == reason => tell.denied(what, why, took)?,
            Answer::Denied(_) | Answer::Granted { .. } | Answer::Undecided(_) => {
                return Err(unexpected(reason, &answer));
            }
        }
    }

    tell.part("Changing the mapping file")?;
    let began = Instant::now();
    mappings(BOTH)?;
    let took = reviewer.until_granted(&unmapped, began).await?;
    tell.done("added a mapping: the same token is now let in", "no restart", took)?;

    tell.part("Renewing the certificate under load")?;
    let before = reviewer.leaf().await?;
    let load = reviewer.load(&token);
    let began = Instant::now();
    let (told, _) = host.run("provision", &["--rotate", "leaf"]).await?;
    if told.touched("kube-apiserver.yaml") || told.touched("iamgate.yaml") {
        return Err("a new certificate restarts something".into());
    }
    reviewer.until_leaf_differs(&before, began).await?;
    let took = began.elapsed();
    let (asked, failed) = load.finish().await;
    if failed > 0 {
        return Err(
            format!("{failed} of {asked} reviews failed while the certificate changed").into()
        );
    }
    tell.done(
        "iamgate provision --rotate leaf: it is served",
        &format!("{asked} reviews meanwhile, none failed"),
        took,
    )?;

    let began = Instant::now();
    server.stop().await?;
    tell.done("stopped the server (SIGTERM)", "exit 0", began.elapsed())?;

    tell.part("And back")?;
    let (_, took) = host.run("unprovision", &[]).await?;
    if !host.is_as_before()? {
        return Err("kube-apiserver.yaml is not what it was".into());
    }
    tell.done("iamgate unprovision", "kube-apiserver.yaml as it was, byte for byte", took)?;
    home.close()?;
    tell.end()?;
    Ok(())
}

/// Runs `iamgate token` as a person's shell would.
async fn mint(
    program: &Path,
    who: &Principal,
    cluster: &str,
) -> Result<(Secret, Duration), Failure> {
    let began = Instant::now();
    let Credentials { access_key_id, secret_access_key, session_token } = &who.credentials;
    let output = Command::new(program)
        .args(["token", "--token-only", "--cluster-id", cluster, "--region", REGION])
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", &**access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", secret_access_key.expose())
        .envs(session_token.iter().map(|token| ("AWS_SESSION_TOKEN", token.expose())))
        .stdin(Stdio::null())
        .output()
        .await?;
    let took = began.elapsed();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("iamgate token failed: {said}").into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok((Secret::new(text.trim()), took))
}

fn unexpected(wanted: &str, got: &Answer) -> Failure {
    match got {
        Answer::Granted { username, .. } => format!("expected {wanted}, but {username} was let in"),
        Answer::Denied(reason) => format!("expected {wanted}, but it was denied: {reason:?}"),
        Answer::Undecided(status) => {
            format!("expected {wanted}, but the answer was status {status}")
        }
    }
    .into()
}

fn configuration([port, health, sts]: [u16; 3], who: &str) -> String {
    format!(
        "clusterID: {CLUSTER}\n\
         server:\n  \
           port: {port}\n  \
           healthAddress: 127.0.0.1:{health}\n  \
           sts:\n    \
             connectTo: {{ sts.{REGION}.amazonaws.com: \"127.0.0.1:{sts}\" }}\n  \
           mapRoles:\n{who}",
    )
}

fn ann() -> Result<Principal, Failure> {
    principal(
        ["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""],
        "arn:aws:sts::123456789012:assumed-role/Admin/ann",
        "AROAADMINEXAMPLE:ann",
    )
}

fn bob() -> Result<Principal, Failure> {
    principal(
        [
            "ASIAIOSFODNN7BEXAMPL",
            "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
            "IQoJb3JpZ2luX2VjEXAMPLE==",
        ],
        "arn:aws:sts::123456789012:assumed-role/Developer/bob",
        "AROADEVELOPEREXAMPLE:bob",
    )
}

fn principal(
    [key, secret, session]: [&str; 3],
    arn: &str,
    user_id: &'static str,
) -> Result<Principal, Failure> {
    let credentials = Credentials {
        access_key_id: key.into(),
        secret_access_key: Secret::new(secret),
        session_token: (!session.is_empty()).then(|| Secret::new(session)),
    };
    Ok(Principal { credentials, arn: arn.parse()?, user_id })
}

const CLUSTER: &str = "demo-cluster";
const REGION: &str = "us-west-2";
const ANN: &str = "    \
    - roleARN: arn:aws:iam::123456789012:role/Admin\n      \
      username: admin:{{SessionName}}\n      \
      groups: [system:masters]\n";
const BOTH: &str = "    \
    - roleARN: arn:aws:iam::123456789012:role/Admin\n      \
      username: admin:{{SessionName}}\n      \
      groups: [system:masters]\n    \
    - roleARN: arn:aws:iam::123456789012:role/Developer\n      \
      username: dev:{{SessionName}}\n      \
      groups: [developers]\n";
