//! What ran, what failed, and what was skipped and why.

use std::fmt::Write as _;

#[derive(Default)]
pub struct Tally {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<(String, String)>,
}

impl Tally {
    pub fn pass(&mut self, count: usize) {
        self.passed += count;
    }

    pub fn fail(&mut self, what: String) {
        self.failed.push(what);
    }

    pub fn skip(&mut self, what: String, why: &str) {
        self.skipped.push((what, why.to_owned()));
    }

    pub fn failed(&self) -> usize {
        self.failed.len()
    }

    /// Counts from one line of the standard test harness. Lines of other kinds count nothing.
    pub fn read_line(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test ") else { return };
        if let Some(counts) = rest.strip_prefix("result: ") {
            self.passed += number_before(counts, " passed");
        } else if let Some((name, verdict)) = rest.rsplit_once(" ... ") {
            if verdict.starts_with("FAILED") {
                self.failed.push(name.to_owned());
            } else if let Some(why) = verdict.strip_prefix("ignored") {
                self.skipped.push((name.to_owned(), why.trim_start_matches(", ").to_owned()));
            }
        }
    }

    /// Failures and skips by name, then the closing line that CI reads.
    pub fn report(&self) -> String {
        let mut text = String::new();
        for failure in &self.failed {
            writeln!(text, "FAILED  {failure}").expect("a String takes everything");
        }
        for (what, why) in &self.skipped {
            writeln!(text, "skipped {what}: {}", if why.is_empty() { "marked so" } else { why })
                .expect("a String takes everything");
        }
        let (passed, failed, skipped) = (self.passed, self.failed.len(), self.skipped.len());
        writeln!(text, "{passed} passed, {failed} failed, {skipped} skipped").expect("a String takes everything");
        text
    }
}

/// `"ok. 12 passed; 0 failed"`, `" passed"` → 12; 0 where there is no such number.
fn number_before(text: &str, word: &str) -> usize {
    let before = text.find(word).map_or("", |at| &text[..at]);
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn the_harness_lines_are_counted_and_named() {
        let mut tally = Tally::default();
        let lines = [
            "running 4 tests",
            "test store::commits ... ok",
            "test store::crash ... ignored, needs root",
            "test store::plain ... ignored",
            "test store::watch ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ];
        for line in lines {
            tally.read_line(line);
        }
        let report = tally.report();
        let expected = "FAILED  store::watch\nskipped store::crash: needs root\nskipped store::plain: marked so\n\
                        13 passed, 1 failed, 2 skipped\n";
        assert_eq!(report, expected);
    }
}
