//! Writes samples of the corpus as tab-separated lines: sentence, answer.

use barre_demo::corpus::{Split, sample};
use std::io::{BufWriter, Write, stdout};
use std::process::ExitCode;

const USAGE: &str = "usage: corpus SPLIT COUNT [FIRST]\nSPLIT: train, test_combinations, test_phrasings";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((split, count, first)) = parse(&args) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let mut out = BufWriter::new(stdout().lock());
    for index in first..first.saturating_add(count) {
        let sample = sample(split, index);
        if writeln!(out, "{}\t{}", sample.sentence, sample.answer).is_err() {
            // Whoever reads has read enough.
            return ExitCode::SUCCESS;
        }
    }
    if out.flush().is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn parse(args: &[String]) -> Option<(Split, u64, u64)> {
    let (split, count, first) = match args {
        [split, count] => (split, count, "0"),
        [split, count, first] => (split, count, first.as_str()),
        _ => return None,
    };
    Some((Split::named(split)?, count.parse().ok()?, first.parse().ok()?))
}
