//! What the shared configuration files say beyond what the official chain acts on.
//!
//! The files are read by the official parser. The chain ignores `mfa_serial` and
//! `duration_seconds` of role profiles, so a chain of profiles that uses them is walked here, by
//! the same rules, and its roles are assumed one by one; every other chain is left to the SDK.

use aws_config::profile::{self, Profile, ProfileSet};
use aws_credential_types::Credentials;
use aws_types::os_shim_internal::{Env, Fs};
use ring::digest::{Context, SHA256};

use crate::system::Environment;

/// The shared configuration files, read once.
#[derive(Debug)]
pub(super) struct SharedConfig {
    sections: ProfileSet,
}

/// The roles of a chain of profiles, the first one to assume first.
#[derive(Debug)]
pub(super) struct Roles {
    pub(super) base: Base,
    pub(super) steps: Vec<RoleStep>,
}

/// Where the credentials for the first role come from.
#[derive(Debug)]
pub(super) enum Base {
    /// A profile of this name, by the official chain.
    Profile(Box<str>),
    /// Keys that stand in a profile.
    Keys(Credentials),
    /// `credential_source`.
    Source(NamedSource),
}

/// The values of `credential_source`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NamedSource {
    Environment,
    Container,
    Instance,
}

/// One AssumeRole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RoleStep {
    pub(super) profile: Box<str>,
    pub(super) role_arn: Box<str>,
    pub(super) external_id: Option<Box<str>>,
    pub(super) session_name: Option<Box<str>>,
    pub(super) duration: Option<i32>,
    pub(super) mfa_serial: Option<Box<str>>,
}

/// Why a chain of profiles cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ProfileFault {
    #[error("duration_seconds of profile {profile:?} is {found:?}, not a number from 900 to 43200")]
    Duration { profile: Box<str>, found: Box<str> },
    #[error(
        "profile {profile:?} asks for MFA, but it assumes its role from that of profile {first:?}"
    )]
    LateMfa { profile: Box<str>, first: Box<str> },
    #[error("profile {0:?} asks for MFA or a duration, but is its own source without having keys")]
    OwnSource(Box<str>),
    #[error(
        "credential_source of profile {profile:?} is {found:?}, \
         not Environment, Ec2InstanceMetadata or EcsContainer"
    )]
    Source { profile: Box<str>, found: Box<str> },
}

impl SharedConfig {
    /// Reads `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE`, or the files in `~/.aws`.
    ///
    /// Files that cannot be parsed are the official chain's to complain about: it may not need
    /// them.
    pub(super) async fn load() -> Self {
        let read = profile::load(&Fs::real(), &Env::real(), &Default::default(), None).await;
        Self { sections: read.unwrap_or_default() }
    }

    /// The name of the chosen profile (`AWS_PROFILE`, else `default`).
    pub(super) fn selected(&self) -> &str {
        match self.sections.selected_profile() {
            "" => "default",
            name => name,
        }
    }

    /// Whether the chosen profile exists. Nobody has to have one called `default`.
    pub(super) fn is_plausible(&self) -> bool {
        self.selected() == "default" || self.profile(self.selected()).is_some()
    }

    /// A setting of the chosen profile.
    pub(super) fn setting(&self, key: &str) -> Option<&str> {
        self.profile(self.selected()).and_then(|profile| profile.get(key))
    }

    /// Whether loading credentials may run a program of the user's.
    pub(super) fn runs_a_process(&self) -> bool {
        self.walk().iter().any(|profile| profile.get("credential_process").is_some())
    }

    /// What to do when credentials cannot be loaded.
    pub(super) fn cure(&self) -> &'static str {
        let walk = self.walk();
        let names = |key| walk.iter().any(|profile| profile.get(key).is_some());
        if names("sso_session") || names("sso_start_url") {
            "sign in with `aws sso login`"
        } else if names("login_session") {
            "sign in with `aws login`"
        } else {
            "see what `aws sts get-caller-identity` says with the same environment"
        }
    }

    /// The roles to assume one by one, where the official chain would leave something out.
    pub(super) fn roles(&self) -> Result<Option<Roles>, ProfileFault> {
        let walk = self.walk();
        let mut steps = Vec::new();
        for (at, profile) in walk.iter().enumerate() {
            // Below the top, a profile's keys go before its role.
            if is_role(profile) && (at == 0 || keys(profile).is_none()) {
                steps.push(step(profile)?);
            }
        }
        if !steps.iter().any(|step| step.mfa_serial.is_some() || step.duration.is_some()) {
            return Ok(None);
        }
        let Some(base) = base(&walk)? else {
            return Ok(None);
        };
        steps.reverse();
        let late = steps.iter().skip(1).find(|step| step.mfa_serial.is_some());
        if let (Some(late), Some(first)) = (late, steps.first()) {
            let (profile, first) = (late.profile.clone(), first.profile.clone());
            return Err(ProfileFault::LateMfa { profile, first });
        }
        Ok(Some(Roles { base, steps }))
    }

    /// Where base credentials come from, for telling cached ones apart: a short text without
    /// secrets that changes when they would come from somewhere else.
    pub(super) fn source(&self, env: &impl Environment) -> String {
        if let Some(key_id) = keys_in(env) {
            return format!("environment {key_id}");
        }
        let walk = self.walk();
        if walk.iter().any(|profile| CREDENTIAL_KEYS.iter().any(|key| profile.get(key).is_some())) {
            return format!("profile {}", fingerprint(&walk));
        }
        for (kind, name) in [
            ("web identity", "AWS_WEB_IDENTITY_TOKEN_FILE"),
            ("container", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            ("container", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ] {
            if let Some(value) = env.var(name) {
                let role = env.var("AWS_ROLE_ARN").unwrap_or_default();
                return format!("{kind} {value} {role}").trim_end().to_owned();
            }
        }
        "instance".to_owned()
    }

    /// The chosen profile and those that its chain leads to.
    fn walk(&self) -> Vec<&Profile> {
        let mut walk: Vec<&Profile> = Vec::new();
        let mut next = Some(self.selected());
        while let Some(profile) = next.and_then(|name| self.profile(name)) {
            if walk.iter().any(|seen| seen.name() == profile.name()) {
                break;
            }
            walk.push(profile);
            let stop = !is_role(profile) || (walk.len() > 1 && keys(profile).is_some());
            next = if stop { None } else { profile.get("source_profile") };
        }
        walk
    }

    fn profile(&self, name: &str) -> Option<&Profile> {
        self.sections.get_profile(name)
    }
}

/// The access key id of complete keys in the environment, which win over everything else. Blank
/// values and the old name of the secret are as in the official chain.
pub(super) fn keys_in(env: &impl Environment) -> Option<String> {
    let set = |name| env.var(name).filter(|value| !value.trim().is_empty());
    set("AWS_SECRET_ACCESS_KEY").or_else(|| set("SECRET_ACCESS_KEY"))?;
    set("AWS_ACCESS_KEY_ID")
}

/// The base under the last profile of `walk`; `None` for a chain that is broken, which the
/// official chain will say in its own words.
fn base(walk: &[&Profile]) -> Result<Option<Base>, ProfileFault> {
    let Some(last) = walk.last() else {
        return Ok(None);
    };
    let keys = keys(last);
    if let (true, Some(keys)) = (walk.len() > 1, &keys) {
        return Ok(Some(Base::Keys(keys.clone())));
    }
    if !is_role(last) {
        return Ok(Some(Base::Profile(last.name().into())));
    }
    match (last.get("source_profile"), last.get("credential_source")) {
        (Some(own), None) if own == last.name() => match keys {
            Some(keys) => Ok(Some(Base::Keys(keys))),
            None => Err(ProfileFault::OwnSource(own.into())),
        },
        (None, Some(source)) => match named(source) {
            Some(source) => Ok(Some(Base::Source(source))),
            None => {
                let (profile, found) = (last.name().into(), source.into());
                Err(ProfileFault::Source { profile, found })
            }
        },
        (Some(_), None | Some(_)) | (None, None) => Ok(None),
    }
}

fn named(source: &str) -> Option<NamedSource> {
    [
        ("Environment", NamedSource::Environment),
        ("EcsContainer", NamedSource::Container),
        ("Ec2InstanceMetadata", NamedSource::Instance),
    ]
    .into_iter()
    .find(|(name, _)| name.eq_ignore_ascii_case(source))
    .map(|(_, source)| source)
}

/// A web identity is a source of its own, not a step.
fn is_role(profile: &Profile) -> bool {
    profile.get("role_arn").is_some() && profile.get("web_identity_token_file").is_none()
}

fn keys(profile: &Profile) -> Option<Credentials> {
    let (id, secret) = (profile.get("aws_access_key_id")?, profile.get("aws_secret_access_key")?);
    let session = profile.get("aws_session_token").map(str::to_owned);
    Some(Credentials::new(id, secret, session, None, "ProfileFile"))
}

fn step(profile: &Profile) -> Result<RoleStep, ProfileFault> {
    let get = |key| profile.get(key).filter(|value| !value.is_empty()).map(Box::from);
    let duration = profile.get("duration_seconds").map(|found| {
        // Source: AssumeRole's DurationSeconds.
        let seconds = found.trim().parse().ok().filter(|seconds| (900..=43_200).contains(seconds));
        let fault =
            || ProfileFault::Duration { profile: profile.name().into(), found: found.into() };
        seconds.ok_or_else(fault)
    });
    Ok(RoleStep {
        profile: profile.name().into(),
        role_arn: get("role_arn").unwrap_or_default(),
        external_id: get("external_id"),
        session_name: get("role_session_name"),
        duration: duration.transpose()?,
        mfa_serial: get("mfa_serial"),
    })
}

fn fingerprint(walk: &[&Profile]) -> String {
    let mut digest = Context::new(&SHA256);
    for profile in walk {
        digest.update(profile.name().as_bytes());
        for key in CREDENTIAL_KEYS {
            digest.update(b"\n");
            digest.update(profile.get(key).unwrap_or_default().as_bytes());
        }
    }
    digest.finish().as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Where a profile's credentials come from. Values that are secret are not among them.
const CREDENTIAL_KEYS: [&str; 14] = [
    "aws_access_key_id",
    "credential_process",
    "credential_source",
    "login_session",
    "mfa_serial",
    "role_arn",
    "role_session_name",
    "source_profile",
    "sso_account_id",
    "sso_role_name",
    "sso_session",
    "sso_start_url",
    "external_id",
    "web_identity_token_file",
];

#[cfg(test)]
mod tests;
