//! From offsets in a source to lines and columns.

use super::Place;

/// The place of one offset.
pub(in crate::config) fn place_in(source: &str, offset: usize) -> Place {
    let mut sweep = Sweep::default();
    sweep.to(source.as_bytes(), offset);
    sweep.place
}

/// The places of many offsets, at a cost that does not grow with the source, nor with the length
/// of its lines.
pub(super) struct Places<'a> {
    bytes: &'a [u8],
    /// One for every `STEP` bytes.
    marks: Vec<Sweep>,
    /// The last answer: the next question is nearly always about what follows.
    last: Sweep,
}

const STEP: usize = 1024;

#[derive(Clone, Copy)]
struct Sweep {
    offset: usize,
    place: Place,
}

impl<'a> Places<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        let bytes = source.as_bytes();
        let mut sweep = Sweep::default();
        let marks = (0..=bytes.len() / STEP).map(|step| {
            sweep.to(bytes, step * STEP);
            sweep
        });
        Self { bytes, marks: marks.collect(), last: Sweep::default() }
    }

    pub(super) fn at(&mut self, offset: usize) -> Place {
        if !(self.last.offset..self.last.offset + STEP).contains(&offset) {
            let mark = self.marks.get(offset / STEP).or_else(|| self.marks.last());
            self.last = mark.copied().unwrap_or_default();
        }
        self.last.to(self.bytes, offset);
        self.last.place
    }
}

impl Default for Sweep {
    fn default() -> Self {
        Self { offset: 0, place: Place { line: 1, column: 1 } }
    }
}

impl Sweep {
    /// Goes on to `offset`, or to the end.
    fn to(&mut self, bytes: &[u8], offset: usize) {
        while self.offset < offset {
            let Some(byte) = bytes.get(self.offset) else { break };
            self.offset += 1;
            let next = bytes.get(self.offset);
            match byte {
                b'\r' if next == Some(&b'\n') => {}
                b'\n' | b'\r' => self.place = Place { line: self.place.line + 1, column: 1 },
                // The further bytes of a character.
                0x80..=0xBF => {}
                _ => self.place.column += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let source = "a\r\nbé: x\rz\n\nq";
        for (at, line, column) in [("a", 1, 1), ("b", 2, 1), ("x", 2, 5), ("z", 3, 1), ("q", 5, 1)]
        {
            let offset = source.find(at).unwrap();
            assert_eq!(place_in(source, offset), Place { line, column }, "{at}");
        }
        assert_eq!(place_in(source, 1_000), Place { line: 5, column: 2 });
    }

    #[test]
    fn many_places_are_the_same_in_whatever_order_they_are_asked_for() {
        let source = "a\r\nbé: x\rz\n".repeat(700) + &"é".repeat(3 * STEP);
        let mut places = Places::new(&source);
        let offsets = (0..source.len() + 3).step_by(7);
        for offset in offsets.clone().chain(offsets.rev()).chain([STEP, 0, 5 * STEP + 1]) {
            assert_eq!(places.at(offset), place_in(&source, offset), "{offset}");
        }
    }
}
