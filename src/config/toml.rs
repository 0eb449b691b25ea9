//! TOML to a tree, by the `toml` crate's spans.

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::fault::Wrong;
use super::tree::{Broken, Builder, Tree, place_in};
use super::yaml::one_line;

/// Reads the builder's source.
pub(super) fn read(mut builder: Builder<'_>) -> Result<Tree, Broken> {
    let source = builder.source();
    let table = DeTable::parse(source).map_err(|error| Broken {
        place: error.span().map(|span| place_in(source, span.start)),
        wrong: Wrong::Syntax(one_line(error.message())),
    })?;
    put_table(&mut builder, table.span().start, table.get_ref())?;
    builder.finish()
}

// The depth is the builder's: it refuses to go deeper.
fn put_table(builder: &mut Builder<'_>, at: usize, table: &DeTable<'_>) -> Result<(), Broken> {
    builder.begin_map(at)?;
    // The table is sorted by key; the order of the file is what people expect of messages.
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        builder.key(key.span().start, key.get_ref())?;
        put_value(builder, value)?;
    }
    builder.end().map(drop)
}

fn put_value(builder: &mut Builder<'_>, value: &Spanned<DeValue<'_>>) -> Result<(), Broken> {
    let span = value.span();
    let at = span.start;
    match value.get_ref() {
        DeValue::String(text) => builder.text(at, text).map(drop),
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Float(_) | DeValue::Integer(_) => {
            let text = builder.source().get(span).unwrap_or_default();
            builder.text(at, text).map(drop)
        }
        DeValue::Array(items) => {
            builder.begin_list(at)?;
            for item in items {
                put_value(builder, item)?;
            }
            builder.end().map(drop)
        }
        DeValue::Table(table) => put_table(builder, at, table),
    }
}
