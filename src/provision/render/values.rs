//! What may stand in a rendered file: each value has a type whose existence is the proof.
//!
//! Nothing is looked up: a path may lead nowhere, an image may not exist.

use std::fmt;
use std::str::FromStr;

use minijinja::context;
use minijinja::value::Value;

/// Linux's limit for a path, with its end.
const PATH_MAX: usize = 4096;
/// A registry's name, a path and a digest fit in; the parts have their limits in the registry.
const IMAGE_MAX: usize = 512;
/// A `NO_PROXY` with every network of a company fits in.
const ENV_MAX: usize = 8192;

/// Why a text is not the value that was wanted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ValueFault {
    /// No [`AbsolutePath`].
    #[error("{0:?} is not a path that can be used here: expected an absolute one without `..`, `//`, `:` and control characters, at most {max} bytes", max = PATH_MAX - 1)]
    Path(Box<str>),
    /// No [`Image`].
    #[error(
        "{0:?} is not an image: expected one like registry.example.com/iamgate:v1 or ...@sha256:..., at most {IMAGE_MAX} bytes"
    )]
    Image(Box<str>),
    /// No [`Memory`].
    #[error("{0:?} is not an amount of memory: expected a whole number of bytes, or one with Ki, Mi or Gi, from {min} to 64Gi", min = Memory(Memory::MIN))]
    Memory(Box<str>),
    /// No name of an environment variable. The value is not repeated: it may hold a password.
    #[error(
        "an environment variable is given as NAME=VALUE, with a name of letters, digits and `_`, and a value without control characters, at most {ENV_MAX} bytes together"
    )]
    Env,
}

/// An absolute path in a spelling that kubelet, systemd and the API server read alike.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AbsolutePath(Box<str>);

impl AbsolutePath {
    /// The path as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory that it lies in. `/` lies in itself.
    #[must_use]
    pub fn parent(&self) -> Self {
        match self.0.rsplit_once('/') {
            Some(("", _)) | None => Self("/".into()),
            Some((parent, _)) => Self(parent.into()),
        }
    }

    /// The file `name` in the directory that this file lies in.
    #[must_use]
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.parent().as_str().trim_end_matches('/')).into())
    }

    /// A path whose text is part of this program.
    pub(super) fn known(text: &str) -> Self {
        Self(text.into())
    }
}

impl FromStr for AbsolutePath {
    type Err = ValueFault;

    /// A slash at the end is dropped.
    fn from_str(text: &str) -> Result<Self, ValueFault> {
        let Some(inner) = text.strip_prefix('/') else {
            return Err(ValueFault::Path(shown(text)));
        };
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let path = text.get(..=inner.len()).unwrap_or(text);
        let parts = |part: &str| !matches!(part, "" | "." | "..");
        // Kubernetes refuses a colon in `mountPath`, and `..` in both.
        let characters = |c: char| c != ':' && !c.is_control();
        let named = text == "/" || inner.split('/').all(parts);
        match named && path.chars().all(characters) && path.len() < PATH_MAX {
            true => Ok(Self(path.into())),
            false => Err(ValueFault::Path(shown(text))),
        }
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&AbsolutePath> for Value {
    fn from(path: &AbsolutePath) -> Self {
        path.as_str().into()
    }
}

/// A container image's name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Image(Box<str>);

impl Image {
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a person has to replace before the file is used. No registry takes such a name.
    pub fn placeholder(what: &str) -> Self {
        Self(format!("<{what}>").into())
    }

    /// As [`Self::placeholder`], for the image that users push to a registry of theirs.
    pub fn placeholder_of_ours() -> Self {
        Self("<your-registry>/iamgate:<version>".into())
    }
}

impl FromStr for Image {
    type Err = ValueFault;

    fn from_str(text: &str) -> Result<Self, ValueFault> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        match first && text.len() <= IMAGE_MAX && text.bytes().all(known) {
            true => Ok(Self(text.into())),
            false => Err(ValueFault::Image(shown(text))),
        }
    }
}

impl From<&Image> for Value {
    fn from(image: &Image) -> Self {
        image.as_str().into()
    }
}

/// An amount of memory, in bytes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Memory(u64);

impl Memory {
    const KI: u64 = 1024;
    const MI: u64 = 1024 * Self::KI;
    const GI: u64 = 1024 * Self::MI;
    /// Below this the server does not run: it idles at 6 MiB.
    const MIN: u64 = 12 * Self::MI;
    const MAX: u64 = 64 * Self::GI;

    /// 20Mi: what the reference's manifests have. The server stays below under abuse.
    pub const DEFAULT: Self = Self(20 * Self::MI);

    /// In systemd's spelling, whose K, M and G are powers of 1024 too.
    pub(super) fn systemd(self) -> String {
        self.to_string().replace('i', "")
    }
}

impl FromStr for Memory {
    type Err = ValueFault;

    fn from_str(text: &str) -> Result<Self, ValueFault> {
        let units = [("Ki", Self::KI), ("Mi", Self::MI), ("Gi", Self::GI)];
        let of = |(unit, bytes)| text.strip_suffix(unit).map(|number| (number, bytes));
        let (number, unit) = units.into_iter().find_map(of).unwrap_or((text, 1));
        // `parse` would take a sign.
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse::<u64>().ok().filter(|_| digits);
        let bytes = number.and_then(|number| number.checked_mul(unit));
        match bytes.filter(|bytes| (Self::MIN..=Self::MAX).contains(bytes)) {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(ValueFault::Memory(shown(text))),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(Self::GI, "Gi"), (Self::MI, "Mi"), (Self::KI, "Ki")];
        match units.into_iter().find(|(bytes, _)| self.0.is_multiple_of(*bytes)) {
            Some((bytes, unit)) => write!(f, "{}{unit}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

impl From<Memory> for Value {
    fn from(memory: Memory) -> Self {
        // Digits and a unit are the same text in every format.
        Self::from_safe_string(memory.to_string())
    }
}

/// An environment variable of the server, such as `HTTPS_PROXY`. `Debug` tells the name alone: a
/// proxy's address may hold a password.
#[derive(Clone, Eq, PartialEq)]
pub struct EnvVar {
    name: Box<str>,
    value: Box<str>,
}

impl FromStr for EnvVar {
    type Err = ValueFault;

    fn from_str(text: &str) -> Result<Self, ValueFault> {
        let (name, value) = text.split_once('=').ok_or(ValueFault::Env)?;
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let first = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        let named = first && name.bytes().all(known);
        match named && text.len() <= ENV_MAX && !value.chars().any(char::is_control) {
            true => Ok(Self { name: name.into(), value: value.into() }),
            false => Err(ValueFault::Env),
        }
    }
}

impl fmt::Debug for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvVar").field("name", &self.name).finish_non_exhaustive()
    }
}

impl From<&EnvVar> for Value {
    fn from(variable: &EnvVar) -> Self {
        context! { name => &*variable.name, value => &*variable.value }
    }
}

/// As much of a wrong value as a message has room for.
fn shown(text: &str) -> Box<str> {
    const SHOWN: usize = 80;
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_and_in_one_spelling() {
        for (text, path) in [
            ("/etc/a/", "/etc/a"),
            ("/", "/"),
            ("/var/lib/iamgate/bin/<v>", "/var/lib/iamgate/bin/<v>"),
        ] {
            assert_eq!(text.parse::<AbsolutePath>().unwrap().as_str(), path);
        }
        for text in ["", "etc", "./a", "/a/../b", "/a//b", "/a/.", "/a:b", "/a\nb", "//", "/.."] {
            assert_eq!(
                text.parse::<AbsolutePath>(),
                Err(ValueFault::Path(text.into())),
                "{text:?}"
            );
        }
        let long = format!("/{}", "a".repeat(PATH_MAX - 2));
        assert_eq!(long.parse::<AbsolutePath>().unwrap().as_str(), long);
        let longer = format!("{long}a");
        assert!(matches!(longer.parse::<AbsolutePath>(), Err(ValueFault::Path(_))));
    }

    #[test]
    fn the_directory_of_a_path_is_a_path() {
        for (path, parent) in [("/a/b", "/a"), ("/a", "/"), ("/", "/")] {
            assert_eq!(path.parse::<AbsolutePath>().unwrap().parent().as_str(), parent);
        }
    }

    #[test]
    fn an_image_has_no_room_for_anything_else() {
        for text in ["iamgate", "r.example.com:5000/a/b_c:v1.0-x", "a@sha256:00ff"] {
            assert_eq!(text.parse::<Image>().unwrap().as_str(), text);
        }
        for text in ["", "-a", "a b", "a\nb", "<image>", "a;b", "ä", "/a"] {
            assert_eq!(text.parse::<Image>(), Err(ValueFault::Image(text.into())), "{text:?}");
        }
    }

    #[test]
    fn memory_is_told_in_the_largest_unit_that_fits() {
        for (text, told, systemd) in [
            ("20Mi", "20Mi", "20M"),
            ("20971520", "20Mi", "20M"),
            ("1Gi", "1Gi", "1G"),
            ("20481Ki", "20481Ki", "20481K"),
            ("20971521", "20971521", "20971521"),
        ] {
            let memory: Memory = text.parse().unwrap();
            assert_eq!((memory.to_string().as_str(), memory.systemd().as_str()), (told, systemd));
        }
        for text in ["", "Mi", "+20Mi", "-1", "20M", "20 Mi", "0", "11Mi", "65Gi", "99999999999Gi"]
        {
            assert_eq!(text.parse::<Memory>(), Err(ValueFault::Memory(text.into())), "{text:?}");
        }
    }

    #[test]
    fn an_environment_variable_keeps_its_value_to_itself() {
        let variable: EnvVar = "HTTPS_PROXY=http://u:geheim@proxy:3128/?a=b".parse().unwrap();
        assert_eq!(&*variable.value, "http://u:geheim@proxy:3128/?a=b");
        assert!(!format!("{variable:?}").contains("geheim"));
        for text in ["", "A", "=v", "1A=v", "A B=v", "A=v\nB=w", "A-B=v"] {
            assert_eq!(text.parse::<EnvVar>(), Err(ValueFault::Env), "{text:?}");
        }
        assert!(!ValueFault::Env.to_string().contains("geheim"));
    }
}
