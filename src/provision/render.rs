//! What is rendered: pods, units, kubeconfigs, from minijinja templates. Pure.
//!
//! The templates are compiled in; a caller may lay texts of its own over them. Whatever a template
//! puts out is quoted for the format that it is put into, so that no value can be misread and no
//! template has to think of it. Which variables a template has is said by the type that fills it;
//! a variable that does not exist is a fault that names it.
//!
//! It touches no file, and does not know what the rendered text is used for.

mod cluster;
mod config;
mod kubeconfig;
mod pod;
mod quote;
mod unit;
mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior};

pub use self::cluster::{AuditPolicy, ConfigMap, Rbac};
pub use self::config::{Mapped, StarterConfig};
pub use self::kubeconfig::{ApiserverPatch, WebhookKubeconfig};
pub use self::pod::{Container, DaemonSet, Program, StaticPod};
pub use self::unit::{Systemd, Sysusers};
pub use self::values::{AbsolutePath, EnvVar, Image, Memory, ValueFault};

/// Something that can be rendered: a template's name, and its variables.
pub trait Artefact {
    /// The template, one of [`Templates::names`].
    const TEMPLATE: &'static str;

    /// The variables that the template has; there are no others.
    fn variables(&self) -> Value;
}

/// The templates: those compiled in, under those of the caller.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    own: BTreeMap<&'static str, Box<str>>,
}

/// Why something could not be rendered.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RenderFault {
    /// A template was given for something that there is not.
    #[error("there is no template called {name:?}: expected {}", names().join(", "))]
    UnknownTemplate {
        /// As it was given.
        name: Box<str>,
    },
    /// A template was given that is longer than any should be.
    #[error("template {name} is too long: expected at most {max} bytes", max = Templates::MAX_LEN)]
    TooLong {
        /// The template.
        name: &'static str,
    },
    /// A template asks for a variable that it is not given.
    #[error("template {name}, line {line}: there is no variable {variable}")]
    Undefined {
        /// The template.
        name: Box<str>,
        /// Its line, from 1.
        line: usize,
        /// The variables of that line that there are not.
        variable: Box<str>,
    },
    /// A template is wrong in another way.
    #[error("template {name}, line {line}: {problem}")]
    Template {
        /// The template.
        name: Box<str>,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        problem: Box<str>,
    },
}

impl Templates {
    /// The longest template, in bytes: ten times the longest that is compiled in.
    pub const MAX_LEN: usize = 64 * 1024;

    /// The templates that a caller may replace, in the order of their names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Replaces templates by their names.
    ///
    /// # Errors
    /// [`RenderFault::UnknownTemplate`], [`RenderFault::TooLong`]. What is wrong inside a template
    /// is told when it is rendered.
    pub fn with<N, T>(own: impl IntoIterator<Item = (N, T)>) -> Result<Self, RenderFault>
    where
        N: AsRef<str>,
        T: Into<Box<str>>,
    {
        let known = |(name, text): (N, T)| {
            let known = Self::names().find(|known| *known == name.as_ref());
            let name =
                known.ok_or_else(|| RenderFault::UnknownTemplate { name: told(name.as_ref()) })?;
            let text = text.into();
            match text.len() <= Self::MAX_LEN {
                true => Ok((name, text)),
                false => Err(RenderFault::TooLong { name }),
            }
        };
        Ok(Self { own: own.into_iter().map(known).collect::<Result<_, _>>()? })
    }

    /// The text of `artefact`. The same values give the same bytes.
    ///
    /// # Errors
    /// The caller's template is wrong, or asks for a variable that the artefact does not have.
    pub fn render<A: Artefact>(&self, artefact: &A) -> Result<String, RenderFault> {
        let variables = artefact.variables();
        self.rendered(A::TEMPLATE, &variables).map_err(|error| self.fault(&error, &variables))
    }

    fn rendered(&self, name: &str, variables: &Value) -> Result<String, minijinja::Error> {
        self.engine()?.get_template(name)?.render(variables)
    }

    fn engine(&self) -> Result<Environment<'_>, minijinja::Error> {
        let mut engine = Environment::new();
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        // A line that holds nothing but a statement leaves no line behind.
        let mut syntax = SyntaxConfig::builder();
        syntax.keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true);
        engine.set_syntax(syntax.build()?);
        engine.set_auto_escape_callback(|name| match name.ends_with(".yaml") {
            true => AutoEscape::Custom(YAML.into()),
            false => AutoEscape::Custom(SYSTEMD.into()),
        });
        engine.set_formatter(put_out);
        engine.add_filter("command_word", |text: String| {
            Value::from_safe_string(quote::command_word(&text))
        });
        for (name, text) in BUILT_IN {
            let text = self.own.get(name).map_or(*text, |own| own);
            engine.add_template(name, text)?;
        }
        Ok(engine)
    }

    /// minijinja keeps the name of an undefined variable only with its debugging information.
    fn fault(&self, error: &minijinja::Error, variables: &Value) -> RenderFault {
        let mut innermost = error;
        while let Some(next) = std::error::Error::source(innermost)
            .and_then(|next| next.downcast_ref::<minijinja::Error>())
        {
            innermost = next;
        }
        let name: Box<str> = innermost.name().unwrap_or_default().into();
        let line = innermost.line().unwrap_or_default();
        if innermost.kind() == ErrorKind::UndefinedError {
            let variable = self.undefined(&name, line, variables);
            return RenderFault::Undefined { name, line, variable };
        }
        let problem = match innermost.detail() {
            Some(detail) => format!("{}: {detail}", innermost.kind()),
            None => innermost.kind().to_string(),
        };
        RenderFault::Template { name, line, problem: told(&problem) }
    }

    fn undefined(&self, name: &str, line: usize, variables: &Value) -> Box<str> {
        let Ok(engine) = self.engine() else { return "".into() };
        let Ok(template) = engine.get_template(name) else { return "".into() };
        let line = template.source().lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let is_there = |path: &str| {
            let mut value = variables.clone();
            path.split('.').all(|part| {
                value = value.get_attr(part).unwrap_or_default();
                !value.is_undefined()
            })
        };
        let mut missing: Vec<_> = template
            .undeclared_variables(true)
            .into_iter()
            .filter(|path| line.contains(path.as_str()) && !is_there(path))
            .collect();
        missing.sort();
        match missing.is_empty() {
            // Such as an attribute of a loop's own variable.
            true => told(&format!("in {:?}", line.trim())),
            false => told(&missing.join(", ")),
        }
    }
}

/// Every `{{ value }}` of every template ends here.
fn put_out(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    let written: Cow<'_, str> = match (value.as_str(), value.kind()) {
        // Quoted before, on the way through an include or a filter.
        (Some(text), _) if value.is_safe() => text.into(),
        (Some(text), _) if is_yaml(state) => quote::yaml(text),
        (Some(text), _) => quote::systemd(text),
        (None, ValueKind::Number) => value.to_string().into(),
        // Jinja's own spellings are Python's.
        (None, ValueKind::Bool) => value.is_true().to_string().into(),
        (None, ValueKind::None) => "null".into(),
        (None, _) => {
            let only = "only text, numbers and truth values can be put out";
            return Err(minijinja::Error::new(ErrorKind::NonPrimitive, only));
        }
    };
    Ok(out.write_str(&written)?)
}

fn is_yaml(state: &State<'_, '_>) -> bool {
    matches!(state.auto_escape(), AutoEscape::Custom(format) if format == YAML)
}

fn names() -> Vec<&'static str> {
    Templates::names().collect()
}

/// As much of it as a message has room for.
fn told(text: &str) -> Box<str> {
    const TOLD: usize = 160;
    text.chars().take(TOLD).collect()
}

const YAML: &str = "yaml";
const SYSTEMD: &str = "systemd";

/// In the order of their names.
const BUILT_IN: &[(&str, &str)] = &[
    ("apiserver-patch.yaml", include_str!("../../templates/apiserver-patch.yaml")),
    ("audit-policy.yaml", include_str!("../../templates/audit-policy.yaml")),
    ("config.yaml", include_str!("../../templates/config.yaml")),
    ("configmap.yaml", include_str!("../../templates/configmap.yaml")),
    ("container.yaml", include_str!("../../templates/container.yaml")),
    ("daemonset.yaml", include_str!("../../templates/daemonset.yaml")),
    ("iamgate.service", include_str!("../../templates/iamgate.service")),
    ("iamgate.sysusers", include_str!("../../templates/iamgate.sysusers")),
    ("kubeconfig.yaml", include_str!("../../templates/kubeconfig.yaml")),
    ("rbac.yaml", include_str!("../../templates/rbac.yaml")),
    ("static-pod.yaml", include_str!("../../templates/static-pod.yaml")),
];

#[cfg(test)]
mod tests;
