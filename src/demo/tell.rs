//! What the demo prints: one line a step, with the time that it took.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// The printed side of a guided run.
pub(super) struct Tell<'a, W> {
    out: &'a mut W,
    colour: bool,
    began: Instant,
}

impl<'a, W: Write> Tell<'a, W> {
    pub(super) fn new(out: &'a mut W, colour: bool) -> Self {
        Self { out, colour, began: Instant::now() }
    }

    /// A heading.
    pub(super) fn part(&mut self, text: &str) -> io::Result<()> {
        let (bold, plain) = self.codes("\x1b[1m");
        writeln!(self.out, "\n{bold}{text}{plain}")
    }

    /// A step that went as it should, and what came of it.
    pub(super) fn done(&mut self, what: &str, came: &str, took: Duration) -> io::Result<()> {
        let (green, plain) = self.codes("\x1b[32m");
        self.line(&format!("{green}ok{plain}"), what, came, took)
    }

    /// Somebody who was kept out, as should be.
    pub(super) fn denied(&mut self, what: &str, why: &str, took: Duration) -> io::Result<()> {
        let (yellow, plain) = self.codes("\x1b[33m");
        self.line(&format!("{yellow}no{plain}"), what, why, took)
    }

    /// The last line.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let all = self.began.elapsed();
        writeln!(self.out, "\nAll of it in {}; everything that was made is gone again.", time(all))
    }

    fn line(&mut self, mark: &str, what: &str, came: &str, took: Duration) -> io::Result<()> {
        // What was done on the way has no time of its own.
        let took = if took.is_zero() { String::new() } else { time(took) };
        writeln!(self.out, "  {mark}  {what:<52} {took:>8}  {came}")
    }

    fn codes(&self, start: &'static str) -> (&'static str, &'static str) {
        if self.colour { (start, "\x1b[0m") } else { ("", "") }
    }
}

fn time(took: Duration) -> String {
    match took.as_micros() {
        micros @ 0..10_000 => {
            format!("{:.1} ms", Duration::from_micros(micros as u64).as_secs_f64() * 1e3)
        }
        micros @ 10_000..1_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_with_two_or_three_digits() {
        for (micros, text) in [(1_240, "1.2 ms"), (45_900, "45 ms"), (1_250_000, "1.2 s")] {
            assert_eq!(time(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn without_colour_there_are_no_escapes() {
        let mut out = Vec::new();
        let mut tell = Tell::new(&mut out, false);
        tell.part("Part").unwrap();
        tell.done("a", "b", Duration::from_millis(1)).unwrap();
        tell.denied("c", "d", Duration::from_millis(1)).unwrap();
        assert!(!out.contains(&0x1b));
    }
}
