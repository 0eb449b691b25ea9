//! What is found in a configuration, where it stands, and how people are told.

use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};

pub(super) use super::wrong::{Doubt, Never, Quoted, Wrong};

use super::tree::Place;
use super::wrong::MOST_QUOTED;

/// One thing that makes a configuration unusable, and where it stands.
///
/// Prints as one line: `FILE:LINE:COLUMN: path: what (cure)`, as far as each is known. Never quotes
/// the value of a key that may hold a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    spot: Spot,
    wrong: Wrong,
}

/// One thing that a configuration probably does not mean, and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    spot: Spot,
    doubt: Doubt,
}

/// All that is wrong with a configuration: at least one thing, in the order of the
/// file, after those of flags.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Faults {
    found: Vec<Fault>,
    untold: usize,
    doubts: Vec<Warning>,
}

/// A value that has no fault, with what is doubtful about the configuration that it came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checked<T> {
    /// The value.
    pub value: T,
    /// What to tell the person, in the order of the file, after those of flags.
    pub warnings: Vec<Warning>,
}

/// The most faults, and the most warnings, that are kept: enough to mend a file by, little memory.
const MOST_TOLD: usize = 1_000;

#[derive(Clone, Debug, Eq, PartialEq)]
struct Spot {
    file: Option<Arc<str>>,
    place: Option<Place>,
    path: Box<str>,
}

impl Fault {
    pub(super) fn new(
        file: Option<Arc<str>>,
        place: Option<Place>,
        path: String,
        wrong: Wrong,
    ) -> Self {
        Self { spot: Spot { file, place, path: path.into() }, wrong }
    }

    /// Line and column in the file, from 1; `None` for what is missing and for flags.
    pub fn place(&self) -> Option<(u32, u32)> {
        self.spot.place.map(|place| (place.line, place.column))
    }

    /// The key, as `server.mapRoles[3].roleARN`, or the flag; empty for the file as a whole.
    pub fn path(&self) -> &str {
        &self.spot.path
    }
}

impl Warning {
    pub(super) fn new(
        file: Option<Arc<str>>,
        place: Option<Place>,
        path: String,
        doubt: Doubt,
    ) -> Self {
        Self { spot: Spot { file, place, path: path.into() }, doubt }
    }

    /// Line and column in the file, from 1; `None` for what is missing and for flags.
    pub fn place(&self) -> Option<(u32, u32)> {
        self.spot.place.map(|place| (place.line, place.column))
    }

    /// Whether `--strict` and `config check` take this as an error: unknown keys and entries that
    /// are there twice.
    pub fn is_strict(&self) -> bool {
        self.doubt.is_strict()
    }
}

impl Faults {
    /// `None` if nothing was found.
    pub(super) fn of(found: Vec<Fault>, untold: usize) -> Option<Self> {
        (!found.is_empty()).then_some(Self { found, untold, doubts: Vec::new() })
    }

    /// Just one.
    pub(super) fn one(fault: Fault) -> Self {
        Self { found: vec![fault], untold: 0, doubts: Vec::new() }
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.found.iter()
    }

    /// What is doubtful besides.
    pub fn warnings(&self) -> &[Warning] {
        &self.doubts
    }

    /// How many there are, those that were found beyond the limit of kept ones included.
    pub fn count(&self) -> usize {
        self.found.len() + self.untold
    }
}

impl<T> Checked<T> {
    /// The same, where unknown keys and entries that are there twice count as faults (`--strict`).
    ///
    /// # Errors
    /// There are such.
    pub fn strict(self) -> Result<Self, Faults> {
        let (strict, warnings) =
            self.warnings.into_iter().partition::<Vec<_>, _>(Warning::is_strict);
        let faults = strict.into_iter().map(|Warning { spot, doubt }| {
            let wrong = Wrong::Doubtful(doubt);
            Fault { spot, wrong }
        });
        match Faults::of(faults.collect(), 0) {
            Some(faults) => Err(faults),
            None => Ok(Self { value: self.value, warnings }),
        }
    }
}

/// What an interpretation has found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    file: Option<Arc<str>>,
    faults: Vec<Fault>,
    untold: usize,
    warnings: Vec<Warning>,
    advice: usize,
    strict: usize,
}

impl Findings {
    pub(super) fn about(file: Option<Arc<str>>) -> Self {
        Self { file, ..Self::default() }
    }

    pub(super) fn fault(&mut self, at: At<'_>, wrong: Wrong) {
        if self.faults.len() < MOST_TOLD {
            let fault = Fault::new(self.file(at), at.place, at.path.to_string(), wrong);
            self.faults.push(fault);
        } else {
            self.untold += 1;
        }
    }

    /// Whether another warning that `--strict` refuses would be kept.
    pub(super) fn has_room(&self) -> bool {
        self.strict < MOST_TOLD
    }

    pub(super) fn warn(&mut self, at: At<'_>, doubt: Doubt) {
        // Advice must not crowd out what `--strict` refuses.
        let kept = if doubt.is_strict() { &mut self.strict } else { &mut self.advice };
        if *kept < MOST_TOLD {
            *kept += 1;
            let warning = Warning::new(self.file(at), at.place, at.path.to_string(), doubt);
            self.warnings.push(warning);
        }
    }

    /// `value`, unless there is a fault.
    pub(super) fn check<T>(mut self, value: Option<T>) -> Result<Checked<T>, Faults> {
        // Flags and what is missing first, then the order of the file.
        self.faults.sort_by_key(|fault| fault.spot.place);
        self.warnings.sort_by_key(|warning| warning.spot.place);
        match (Faults::of(self.faults, self.untold), value) {
            (None, Some(value)) => Ok(Checked { value, warnings: self.warnings }),
            (Some(faults), _) => Err(Faults { doubts: self.warnings, ..faults }),
            // No value without a fault: each reader that yields none has told why.
            (None, None) => Err(Faults { found: Vec::new(), untold: 0, doubts: self.warnings }),
        }
    }

    fn file(&self, at: At<'_>) -> Option<Arc<str>> {
        match at.path {
            Path::Flag(_) => None,
            Path::Root | Path::Key(..) | Path::Index(..) => self.file.clone(),
        }
    }
}

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    pub(super) path: Path<'a>,
    pub(super) place: Option<Place>,
}

/// The way from the file's root to a value. Made of borrowed steps, so that a value without a
/// fault costs no text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'a> {
    Flag(&'static str),
    Index(&'a Self, usize),
    Key(&'a Self, &'a str),
    Root,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => f.write_str(name),
            Self::Index(list, index) => write!(f, "{list}[{index}]"),
            Self::Key(parent, key) => {
                if !matches!(parent, Self::Root) {
                    write!(f, "{parent}.")?;
                }
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                if !key.is_empty() && key.chars().all(plain) && key.len() <= MOST_QUOTED {
                    f.write_str(key)
                } else {
                    write!(f, "{}", Quoted::new(key))
                }
            }
            Self::Root => Ok(()),
        }
    }
}

impl Spot {
    fn line(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &dyn fmt::Display,
        cure: Option<&str>,
    ) -> fmt::Result {
        match (&self.file, self.place) {
            (Some(file), Some(place)) => write!(f, "{file}:{}:{}: ", place.line, place.column)?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, _) => {}
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{what}")?;
        match cure {
            Some(cure) => write!(f, " ({cure})"),
            None => Ok(()),
        }
    }

    fn serialize<S: Serializer>(
        &self,
        serializer: S,
        message: String,
        cure: Option<&str>,
    ) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Finding", 6)?;
        object.serialize_field("file", &self.file.as_deref())?;
        object.serialize_field("line", &self.place.map(|place| place.line))?;
        object.serialize_field("column", &self.place.map(|place| place.column))?;
        object.serialize_field("path", &self.path)?;
        object.serialize_field("message", &message)?;
        object.serialize_field("hint", &cure)?;
        object.end()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spot.line(f, &self.wrong, self.wrong.cure())
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spot.line(f, &self.doubt, self.doubt.cure())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.found.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        match self.untold {
            0 => Ok(()),
            untold => write!(f, "\nand {untold} more"),
        }
    }
}

impl std::error::Error for Faults {}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.spot.serialize(serializer, self.wrong.to_string(), self.wrong.cure())
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.spot.serialize(serializer, self.doubt.to_string(), self.doubt.cure())
    }
}

impl Serialize for Faults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.found)
    }
}
