//! YAML events to a tree.
//!
//! Plain scalars keep their text, whatever YAML would take them for: an account id keeps its zeros.
//! Only an empty one, `~` and `null` are nothing. One document; tags of the core schema only.

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag, options};

use super::fault::{Quoted, Wrong};
use super::tree::{Broken, Builder, Extent, MOST_DEPTH, Place, Tree};

/// Reads the builder's source.
pub(super) fn read(builder: Builder<'_>) -> Result<Tree, Broken> {
    let source = builder.source();
    let mut reader = Reader { builder, open: Vec::new(), anchors: HashMap::new() };
    let mut documents = 0;
    for next in Parser::new_from_str_with_options(source, limits()) {
        let (event, span) = next.map_err(|error| Broken {
            place: Some(Place {
                line: error.marker().line() as u32,
                column: error.marker().col() as u32 + 1,
            }),
            wrong: Wrong::Syntax(one_line(&error.info())),
        })?;
        if let Event::DocumentStart(..) = event {
            documents += 1;
            if documents > 1 {
                return Err(reader.builder.broken(offset(span), Wrong::Documents));
            }
        }
        reader.take(event, offset(span))?;
    }
    reader.builder.finish()
}

fn limits() -> Options {
    let mut options = options! {
        // One more than ours, so that it is our fault that is told.
        flow_nesting_limit: MOST_DEPTH + 1,
        block_nesting_limit: MOST_DEPTH + 1,
    };
    options.set_emit_comments(false);
    options
}

fn offset(span: Span) -> usize {
    span.start.byte_offset().unwrap_or_default()
}

/// A parser's message, fit for one line.
pub(super) fn one_line(message: &str) -> Box<str> {
    const LONGEST: usize = 200;
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

/// How the parser says that there is none.
const NO_ANCHOR: usize = 0;

struct Reader<'a> {
    builder: Builder<'a>,
    open: Vec<Open>,
    /// `None` while the anchor's own content is being read.
    anchors: HashMap<usize, Option<Extent>>,
}

struct Open {
    next: Next,
    anchor: usize,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Next {
    Item,
    Key,
    Value,
}

impl Reader<'_> {
    fn take(&mut self, event: Event<'_>, at: usize) -> Result<(), Broken> {
        if let Event::Scalar(_, _, anchor, _)
        | Event::SequenceStart(_, anchor, _)
        | Event::MappingStart(_, anchor, _) = &event
            && *anchor != NO_ANCHOR
        {
            self.builder.keep();
        }
        match event {
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Scalar(text, style, anchor, tag) => {
                self.tag(tag.as_deref(), at)?;
                let plain = style == ScalarStyle::Plain && tag.is_none();
                self.scalar(&text, plain, anchor, at)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), at)?;
                self.value_comes(at)?;
                self.open.push(Open { next: Next::Item, anchor });
                self.anchor(anchor, None);
                self.builder.begin_list(at)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), at)?;
                self.value_comes(at)?;
                self.open.push(Open { next: Next::Key, anchor });
                self.anchor(anchor, None);
                self.builder.begin_map(at)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let extent = self.builder.end()?;
                if let Some(Open { anchor, .. }) = self.open.pop() {
                    self.anchor(anchor, Some(extent));
                }
                Ok(())
            }
            // Not asked for.
            Event::Anchor(..)
            | Event::Comment(..)
            | Event::DocumentEnd
            | Event::DocumentStart(..)
            | Event::StreamEnd
            | Event::StreamStart => Ok(()),
            // Not asked for either, or of a later parser: what it means is not known here.
            Event::UnresolvedAlias(_) | _ => {
                let wrong = Wrong::Syntax("this is not part of a configuration".into());
                Err(self.builder.broken(at, wrong))
            }
        }
    }

    fn scalar(&mut self, text: &str, plain: bool, anchor: usize, at: usize) -> Result<(), Broken> {
        if self.key_comes() {
            if plain && text == "<<" {
                return self.builder.merge_key(at);
            }
            return self.builder.key(at, text);
        }
        let nothing = plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        let extent = if nothing { self.builder.null(at)? } else { self.builder.text(at, text)? };
        self.anchor(anchor, Some(extent));
        Ok(())
    }

    fn anchor(&mut self, anchor: usize, extent: Option<Extent>) {
        if anchor != NO_ANCHOR {
            self.anchors.insert(anchor, extent);
        }
    }

    fn alias(&mut self, anchor: usize, at: usize) -> Result<(), Broken> {
        self.value_comes(at)?;
        match self.anchors.get(&anchor) {
            Some(Some(extent)) => self.builder.alias(at, *extent).map(drop),
            Some(None) | None => Err(self.builder.broken(at, Wrong::SelfAlias)),
        }
    }

    /// A value that cannot be a key comes next.
    fn value_comes(&mut self, at: usize) -> Result<(), Broken> {
        if self.key_comes() { Err(self.builder.broken(at, Wrong::KeyNotText)) } else { Ok(()) }
    }

    /// Whether a map's key is due; turns to what is due after this node.
    fn key_comes(&mut self) -> bool {
        let Some(open) = self.open.last_mut() else { return false };
        let due = open.next;
        open.next = match due {
            Next::Item => Next::Item,
            Next::Key => Next::Value,
            Next::Value => Next::Key,
        };
        due == Next::Key
    }

    fn tag(&self, tag: Option<&Tag>, at: usize) -> Result<(), Broken> {
        const PLAIN: [&str; 7] = ["bool", "float", "int", "map", "null", "seq", "str"];
        match tag {
            None => Ok(()),
            Some(tag) if tag.core_suffix().is_some_and(|name| PLAIN.contains(&name)) => Ok(()),
            Some(tag) => Err(self.builder.broken(at, Wrong::Tag(Quoted::new(&tag.original())))),
        }
    }
}
