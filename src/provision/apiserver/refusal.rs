//! Why a manifest is not read or not edited: what is wrong, on which line, and what to do.
//!
//! Texts of the manifest are shown shortened and escaped; no values are shown but those of flags,
//! paths and names that the edit is about.

use std::fmt;

/// A manifest that is left as it is. `Display` is the problem, in one line.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// More bytes than kubelet reads.
    #[error("the manifest has {size} bytes, and kubelet reads at most {most}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The limit.
        most: usize,
    },
    /// Not UTF-8.
    #[error("the manifest is not UTF-8")]
    NotUtf8 {
        /// Where it stops being so.
        line: usize,
    },
    /// Neither YAML nor JSON, tabs as indentation included.
    #[error("the manifest is neither YAML nor JSON: {message}")]
    Syntax {
        /// Where, if it is known.
        line: Option<usize>,
        /// The parser's words, in one line.
        message: Box<str>,
    },
    /// More than one document.
    #[error("a second document begins; one pod was expected")]
    Documents {
        /// Of the second.
        line: usize,
    },
    /// An anchor or an alias: one text in two places, so that an edit of one is an edit of both.
    #[error("the manifest uses anchors or aliases; plain YAML was expected")]
    Anchor {
        /// Of the first.
        line: usize,
    },
    /// `<<`.
    #[error("the manifest uses a merge key; plain YAML was expected")]
    MergeKey {
        /// Of the first.
        line: usize,
    },
    /// A tag, such as `!!binary`.
    #[error("the manifest uses the tag {tag}; plain YAML was expected")]
    Tag {
        /// Of the first.
        line: usize,
        /// As it is written.
        tag: Shown,
    },
    /// A key that is there twice: which one counts depends on the reader.
    #[error("the key {key} is here and on line {first}; once was expected")]
    DuplicateKey {
        /// Of the second.
        line: usize,
        /// The key.
        key: Shown,
        /// The line of the first.
        first: usize,
    },
    /// A key that is no text.
    #[error("a key is not text")]
    KeyNotText {
        /// Where.
        line: usize,
    },
    /// Another kind than a pod, a list of pods included.
    #[error("the manifest is of kind {kind}; a Pod was expected")]
    NotAPod {
        /// Of the kind, or the document's.
        line: usize,
        /// What it says.
        kind: Shown,
    },
    /// Something is missing or is of another shape than a pod's.
    #[error("{path} is not {wanted}")]
    Shape {
        /// Of what is there, or of what it is missing in.
        line: usize,
        /// As `/spec/containers`.
        path: Box<str>,
        /// What was expected, as `a list`.
        wanted: &'static str,
    },
    /// No container runs kube-apiserver.
    #[error("no container of the pod runs kube-apiserver")]
    NoContainer {
        /// Of the containers.
        line: usize,
    },
    /// More than one does.
    #[error("two containers run kube-apiserver, here and on line {first}; one was expected")]
    Candidates {
        /// Of the second.
        line: usize,
        /// The line of the first.
        first: usize,
    },
    /// A shell or another program that starts it, so that its flags are text of a script.
    #[error("kube-apiserver is started through {program}; a command of its own was expected")]
    Wrapped {
        /// Of the program's word.
        line: usize,
        /// The program.
        program: Shown,
    },
    /// A container of kube-apiserver's name or image whose command does not name it.
    #[error("the container's command does not name kube-apiserver")]
    NoWord {
        /// Of the container.
        line: usize,
    },
    /// A flag that we are to set is there more than once: the last one would count.
    #[error("--{name} is here and on line {first}; once was expected")]
    DuplicateFlag {
        /// Of the second.
        line: usize,
        /// Without dashes.
        name: Box<str>,
        /// The line of the first.
        first: usize,
    },
    /// A flag that must have our value has another one.
    #[error("--{name} is {value}; {wanted} was expected")]
    PointsElsewhere {
        /// Of the flag.
        line: usize,
        /// Without dashes.
        name: Box<str>,
        /// Its value; empty where it has none.
        value: Shown,
        /// Ours.
        wanted: Shown,
    },
    /// Something else is mounted where we would mount.
    #[error("{mount_path} is already a mount of {there}; {wanted} was expected")]
    MountTaken {
        /// Of the mount.
        line: usize,
        /// In the container.
        mount_path: Shown,
        /// The host path, or the volume where it is none.
        there: Shown,
        /// Our host path.
        wanted: Shown,
    },
    /// What would be covered by our mount, or is seen through it, is hidden by a deeper one.
    #[error("{mount_path}, a mount of {there}, hides what our mount is to show")]
    Hidden {
        /// Of the deeper mount.
        line: usize,
        /// In the container.
        mount_path: Shown,
        /// Its host path, or its volume where it is none.
        there: Shown,
    },
    /// Our mount is to be written to, and what is mounted there is read-only.
    #[error("{mount_path} is mounted read-only; it is to be written to")]
    ReadOnly {
        /// Of the mount.
        line: usize,
        /// In the container.
        mount_path: Shown,
    },
    /// A read-only mount of something else lies above ours, which has no directory to be put on.
    #[error("{mount_path} is a read-only mount of {there}, which ours would have to be put into")]
    ParentReadOnly {
        /// Of the mount above.
        line: usize,
        /// In the container.
        mount_path: Shown,
        /// Its host path, or its volume where it is none.
        there: Shown,
    },
    /// Our name for a volume, and the other names that we try, are taken.
    #[error("the volume name {name} is taken by another volume, and so are the next")]
    VolumeNames {
        /// Of the first that is taken.
        line: usize,
        /// Our name.
        name: Shown,
    },
    /// What was asked for cannot be in a manifest.
    #[error("{what} is not {wanted}")]
    Wanted {
        /// What was given.
        what: Shown,
        /// What was expected.
        wanted: &'static str,
    },
    /// The edited text did not prove to be the manifest with exactly our change.
    #[error("the edited manifest could not be proved to differ in our change only: {reason}")]
    Unproved {
        /// What was found.
        reason: &'static str,
    },
}

impl Refusal {
    /// The line that it is about, from 1.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::TooLarge { .. } | Self::Wanted { .. } | Self::Unproved { .. } => None,
            Self::Syntax { line, .. } => *line,
            Self::NotUtf8 { line }
            | Self::Documents { line }
            | Self::Anchor { line }
            | Self::MergeKey { line }
            | Self::Tag { line, .. }
            | Self::DuplicateKey { line, .. }
            | Self::KeyNotText { line }
            | Self::NotAPod { line, .. }
            | Self::Shape { line, .. }
            | Self::NoContainer { line }
            | Self::Candidates { line, .. }
            | Self::Wrapped { line, .. }
            | Self::NoWord { line }
            | Self::DuplicateFlag { line, .. }
            | Self::PointsElsewhere { line, .. }
            | Self::MountTaken { line, .. }
            | Self::Hidden { line, .. }
            | Self::ReadOnly { line, .. }
            | Self::ParentReadOnly { line, .. }
            | Self::VolumeNames { line, .. } => Some(*line),
        }
    }

    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::NotAPod { .. } | Self::NoContainer { .. } => {
                "name the file that holds the kube-apiserver static pod"
            }
            Self::NotUtf8 { .. } | Self::Syntax { .. } | Self::KeyNotText { .. } => {
                "mend this line; kubelet would not read the file either"
            }
            Self::Documents { .. } => "keep one document in the file; kubelet reads the first only",
            Self::Anchor { .. } | Self::MergeKey { .. } | Self::Tag { .. } => {
                "write out what is meant, in place"
            }
            Self::DuplicateKey { .. } | Self::DuplicateFlag { .. } => {
                "remove the one that is not meant"
            }
            Self::Shape { .. } => "mend the pod; compare `kubectl explain pod.spec`",
            Self::Candidates { .. } => "keep one kube-apiserver in the pod",
            Self::Wrapped { .. } | Self::NoWord { .. } => {
                "start kube-apiserver by a list of words in `command`, or set the flags where the \
                 installer takes them (`iamgate render`)"
            }
            Self::PointsElsewhere { .. } => {
                "kube-apiserver asks one token webhook: remove the flag with its product, or keep \
                 that product"
            }
            Self::MountTaken { .. } | Self::Hidden { .. } => {
                "remove that mount, or mount our directory there"
            }
            Self::ReadOnly { .. } => "remove `readOnly` from that mount, or name another directory",
            Self::ParentReadOnly { .. } => {
                "mount our directory by hand under a path of its own, or remove that mount"
            }
            Self::VolumeNames { .. } => "rename those volumes",
            Self::Wanted { .. } => "give another value",
            Self::Unproved { .. } => "edit the manifest by hand, and report this file as a bug",
        }
    }
}

/// A text of the manifest, shortened and escaped for one line.
#[derive(Clone, Eq, PartialEq)]
pub struct Shown(Box<str>);

/// Room for any path that we know of, in a message of one line.
const MOST_SHOWN: usize = 120;

impl Shown {
    pub(super) fn new(text: &str) -> Self {
        let mut shown: String = text.chars().take(MOST_SHOWN).collect();
        if shown.len() < text.len() {
            shown.push_str("...");
        }
        Self(shown.into())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A parser's message, fit for one line.
pub(super) fn one_line(message: &str) -> Box<str> {
    const LONGEST: usize = 200;
    let first = message.lines().next().unwrap_or_default();
    first.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}
