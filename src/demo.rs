//! `iamgate demo`: the main job on this machine, with no AWS account and no cluster.
//!
//! In a throw-away directory it starts an STS stand-in on loopback and the real `iamgate server`,
//! mints tokens with the real `iamgate token`, and shows who is let in, who is not, and what happens
//! while the mapping file changes and the certificate is renewed.

mod certificates;
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

    tell.part("A cluster's front door, on this machine alone")?;
    let began = Instant::now();
    let home = tempfile::Builder::new().prefix("iamgate-demo-").tempdir()?;
    let dir = home.path();
    let authority = Authority::new(clock.now())?;
    files::write_whole(&dir.join("ca.pem"), authority.pem().as_bytes(), 0o644)?;
    let leaf = authority.leaf(&["localhost", "127.0.0.1"], clock.now())?;
    std::fs::create_dir(dir.join("state"))?;
    write_leaf(dir, &leaf)?;
    tell.done("made a private CA and a certificate", "ECDSA P-256, key 0600", began.elapsed())?;

    let began = Instant::now();
    let endpoint = Endpoint::of(REGION, false, false)?;
    let sts_leaf = authority.leaf(&[endpoint.host()], clock.now())?;
    let (ann, bob) = (ann()?, bob()?);
    let sts = stand_in::start(&sts_leaf, endpoint.clone(), vec![ann.clone(), bob.clone()]).await?;
    tell.done("started a stand-in for AWS STS", "verifies every signature", began.elapsed())?;

    let config = dir.join("config.yaml");
    let mappings = |who: &str| -> Result<(), Failure> {
        Ok(files::write_whole(&config, configuration(dir, sts.port(), who).as_bytes(), 0o640)?)
    };
    mappings(ANN)?;
    let began = Instant::now();
    let server = Server::start(program, &config).await?;
    tell.done("started iamgate server", "ready, TLS on loopback", began.elapsed())?;
    let reviewer = Reviewer::new(&authority.pem(), server.address())?;

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
            _ => return Err(unexpected(reason, &answer)),
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
    write_leaf(dir, &authority.leaf(&["localhost", "127.0.0.1"], clock.now())?)?;
    reviewer.until_leaf_differs(&before, began).await?;
    let took = began.elapsed();
    let (asked, failed) = load.finish().await;
    if failed > 0 {
        return Err(
            format!("{failed} of {asked} reviews failed while the certificate changed").into()
        );
    }
    tell.done(
        "new certificate is served",
        &format!("{asked} reviews meanwhile, none failed"),
        took,
    )?;

    let began = Instant::now();
    server.stop().await?;
    tell.done("stopped the server (SIGTERM)", "exit 0", began.elapsed())?;
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

fn write_leaf(dir: &Path, leaf: &certificates::Leaf) -> Result<(), Failure> {
    files::write_whole(&dir.join("state/key.pem"), leaf.key.as_bytes(), 0o600)?;
    Ok(files::write_whole(&dir.join("state/cert.pem"), leaf.certificate.as_bytes(), 0o644)?)
}

fn unexpected(wanted: &str, got: &Answer) -> Failure {
    format!("expected {wanted}, got {got:?}").into()
}

fn configuration(dir: &Path, sts_port: u16, who: &str) -> String {
    let dir = dir.display();
    format!(
        "clusterID: {CLUSTER}\n\
         server:\n  \
           port: 0\n  \
           healthAddress: 127.0.0.1:0\n  \
           stateDir: {dir}/state\n  \
           generateKubeconfig: {dir}/kubeconfig.yaml\n  \
           sts:\n    \
             connectTo: {{ sts.{REGION}.amazonaws.com: \"127.0.0.1:{sts_port}\" }}\n    \
             caFile: {dir}/ca.pem\n  \
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
