//! `barre eval-demo`: how often the model inside barre is right, in every weight format and both modes.

use super::args::ModeArg;
use super::demo::{Translator, own_schema};
use super::output::{Failure, note, of_file, write};
use barre::constrained::Error;
use barre::in_memory::InMemory;
use barre::memory::Arena;
use barre::pool::MAX_THREADS;
use barre::requantize::{Recipe, requantize};
use barre_core::constrain::{ConstrainError, Constraint, Schema, TokenIndex};
use barre_core::gguf::Gguf;
use barre_core::kernels::Mode;
use barre_core::quant::WeightFormat;
use barre_core::sampler::{Sampler, SamplerParams};
use barre_core::session::SessionError;
use barre_core::tokenizer::Tokenizer;
use barre_demo::corpus::{self, MAX_SENTENCE_BYTES, Sample};
use barre_demo::{MAX_OUTPUT_TOKENS, MODEL};
use clap::ValueEnum;
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Sentences to measure, several separated by commas [default: all]
    #[arg(long, value_name = "SPLIT", value_delimiter = ',')]
    split: Vec<Split>,
    /// Sentences of each split; free-hand there are only as many as the file has
    #[arg(short, value_name = "N", default_value_t = 1000)]
    n: usize,
    /// The trained weights; without them only what is inside barre can be measured
    #[arg(long, value_name = "FILE", default_value = "demo/model/commands-f32.gguf")]
    weights: PathBuf,
    /// The free-hand sentences with their right answers, separated by a tab
    #[arg(long, value_name = "FILE", default_value = "demo/eval/freehand.tsv")]
    freehand: PathBuf,
    /// Weight formats, several separated by commas [default: all]
    #[arg(long, value_name = "FORMAT", value_delimiter = ',')]
    format: Vec<FormatArg>,
    /// How activations are multiplied, both separated by a comma [default: both]
    #[arg(long, value_name = "MODE", value_delimiter = ',')]
    mode: Vec<ModeArg>,
    /// Instruction set [default: BARRE_ISA, or the machine's best]
    #[arg(long, value_name = "NAME")]
    isa: Option<String>,
    /// Sentences that are translated at a time [default: one a core]
    #[arg(short, long, value_name = "N")]
    threads: Option<usize>,
    /// Write every wrong answer to stderr
    #[arg(long)]
    show_wrong: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Split {
    /// Combinations of device, action, room and value that training never had
    Combinations,
    /// Phrases that training never had
    Phrasings,
    /// Sentences that no template made
    Freehand,
    /// Random bytes, characters and words: the answers must parse, none is right
    Random,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// The trained weights
    F32,
    #[value(name = "Q8_0", alias = "q8_0")]
    Q8_0,
    #[value(name = "Q6_K", alias = "q6_k")]
    Q6K,
    #[value(name = "Q5_K", alias = "q5_k")]
    Q5K,
    #[value(name = "Q4_K_M", alias = "q4_k_m")]
    Q4KM,
    #[value(name = "Q4_0", alias = "q4_0")]
    Q4_0,
    /// The model inside barre, as it is
    Inside,
}

impl FormatArg {
    const fn recipe(self) -> Option<Recipe> {
        match self {
            Self::F32 => Some(Recipe::All(WeightFormat::F32)),
            Self::Q8_0 => Some(Recipe::All(WeightFormat::Q8_0)),
            Self::Q6K => Some(Recipe::All(WeightFormat::Q6_K)),
            Self::Q5K => Some(Recipe::All(WeightFormat::Q5_K)),
            Self::Q4KM => Some(Recipe::Q4KM),
            Self::Q4_0 => Some(Recipe::All(WeightFormat::Q4_0)),
            Self::Inside => None,
        }
    }

    fn name(self) -> &'static str {
        self.recipe().map_or("inside", Recipe::name)
    }
}

impl Split {
    const fn name(self) -> &'static str {
        match self {
            Self::Combinations => "combinations",
            Self::Phrasings => "phrasings",
            Self::Freehand => "freehand",
            Self::Random => "random",
        }
    }

    /// The sentences with their answers; an empty answer is none.
    fn samples(self, args: &Args) -> Result<Vec<Sample>, Failure> {
        let drawn = |split| (0..args.n as u64).map(|i| corpus::sample(split, i)).collect();
        Ok(match self {
            Self::Combinations => drawn(corpus::Split::TestCombinations),
            Self::Phrasings => drawn(corpus::Split::TestPhrasings),
            Self::Random => (0..args.n as u64).map(random).collect(),
            Self::Freehand => freehand(&args.freehand)?,
        })
    }
}

/// What came of one split.
#[derive(Clone, Copy, Default)]
struct Score {
    sentences: usize,
    right: usize,
    /// Answers that are JSON and keep the schema.
    valid: usize,
    /// Sentences that leave the context no room for an answer.
    too_long: usize,
}

struct Row {
    format: &'static str,
    bytes: usize,
    mode: Mode,
    split: Split,
    score: Score,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let splits = or_all(&args.split, Split::value_variants());
    let modes = or_all(&args.mode, ModeArg::value_variants());
    let mut formats = or_all(&args.format, FormatArg::value_variants());
    let mut trained = None;
    if formats.iter().any(|f| f.recipe().is_some()) {
        match std::fs::read(&args.weights) {
            Ok(bytes) => trained = Some(bytes),
            Err(e) if args.format.is_empty() && e.kind() == std::io::ErrorKind::NotFound => {
                let path = args.weights.display();
                note(format_args!("{path} is not there: only the model inside barre is measured\n"));
                formats.retain(|f| f.recipe().is_none());
            }
            Err(e) => return Err(of_file(&args.weights)(e)),
        }
    }
    let samples: Vec<(Split, Vec<Sample>)> =
        splits.into_iter().map(|s| Ok((s, s.samples(args)?))).collect::<Result<_, Failure>>()?;
    let mut rows = Vec::new();
    for format in formats {
        let mut arena = match (format.recipe(), &trained) {
            (Some(recipe), Some(trained)) => in_format(trained, &args.weights, recipe)?,
            _ => copy(MODEL)?,
        };
        let model: &[u8] = arena.bytes_mut();
        for &mode in &modes {
            for (split, samples) in &samples {
                let evaluation = Evaluation { args, format, mode: mode.into() };
                let score = evaluation.score(model, samples)?;
                let row = Row {
                    format: format.name(),
                    bytes: model.len(),
                    mode: mode.into(),
                    split: *split,
                    score,
                };
                if !args.json {
                    write(&if rows.is_empty() { header() + &row.text() } else { row.text() })?;
                }
                rows.push(row);
            }
        }
    }
    if args.json {
        let rows: serde_json::Value = rows.iter().map(Row::json).collect();
        write(&format!("{rows:#}\n"))?;
    }
    if rows.iter().any(|r| r.score.valid < r.score.sentences - r.score.too_long) {
        return Err(Failure::because("an answer does not keep the schema"));
    }
    Ok(())
}

fn or_all<T: Copy>(given: &[T], all: &[T]) -> Vec<T> {
    if given.is_empty() { all.to_vec() } else { given.to_vec() }
}

/// The trained model in another format.
fn in_format(trained: &[u8], path: &Path, recipe: Recipe) -> Result<Arena, Failure> {
    let gguf = Gguf::open(&mut { trained }).map_err(of_file(path))?;
    let layers = gguf.uint32("llama.block_count").map_err(of_file(path))?.unwrap_or(0);
    copy(&requantize(trained, &gguf, layers as usize, recipe).map_err(of_file(path))?)
}

/// `bytes` in memory that is aligned as tensors need it.
fn copy(bytes: &[u8]) -> Result<Arena, Failure> {
    let mut arena = Arena::new(bytes.len())?;
    arena.bytes_mut().copy_from_slice(bytes);
    Ok(arena)
}

/// One model in one mode.
struct Evaluation<'a> {
    args: &'a Args,
    format: FormatArg,
    mode: Mode,
}

impl Evaluation<'_> {
    fn score(&self, model: &[u8], samples: &[Sample]) -> Result<Score, Failure> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.args.threads.unwrap_or(cores).clamp(1, MAX_THREADS).min(samples.len().max(1));
        let schema = own_schema()?;
        let next = AtomicUsize::new(0);
        let total = Mutex::new(Ok(Score::default()));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let part = self.work(model, &schema, samples, &next);
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    match (part, &mut *total) {
                        (Ok(part), Ok(total)) => total.add(part),
                        (Err(e), _) => *total = Err(e),
                        (Ok(_), Err(_)) => {}
                    }
                });
            }
        });
        total.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Translates samples that nobody else has taken. What comes of one depends on nothing else.
    fn work(
        &self,
        model: &[u8],
        schema: &Schema,
        samples: &[Sample],
        next: &AtomicUsize,
    ) -> Result<Score, Failure> {
        let engine = InMemory::open(model, self.args.isa.as_deref(), None)?;
        let tokenizer: Tokenizer = engine.tokenizer()?;
        let index = TokenIndex::new(&tokenizer)?;
        let constraint = Constraint::new(schema, &index)?;
        let plan = engine.plan(&engine.limits(self.mode))?;
        let mut arena = Arena::new(plan.bytes())?;
        let session = engine.session(&plan, arena.bytes_mut())?;
        let sampler = Sampler::new(SamplerParams::GREEDY, tokenizer.len())?;
        let mut translator = Translator::new(session, &tokenizer, constraint, sampler, MAX_OUTPUT_TOKENS);
        let mut score = Score::default();
        while let Some(sample) = samples.get(next.fetch_add(1, Ordering::Relaxed)) {
            score.sentences += 1;
            let answer = match translator.translate(sample.sentence.as_bytes(), || true) {
                Ok(answer) => answer,
                Err(
                    Error::Session(SessionError::ContextFull { .. })
                    | Error::Constrain(ConstrainError::Budget { .. }),
                ) => {
                    score.too_long += 1;
                    continue;
                }
                Err(e) => return Err(e.into()),
            };
            let parses = serde_json::from_str::<serde_json::Value>(&answer).is_ok();
            score.valid += usize::from(parses && schema.admits(answer.as_bytes()));
            if answer == sample.answer {
                score.right += 1;
            } else if self.args.show_wrong && !sample.answer.is_empty() {
                let Sample { sentence, answer: right } = sample;
                let (format, mode) = (self.format.name(), self.mode.name());
                note(format_args!("{format} {mode}: {sentence}\n  got   {answer}\n  right {right}\n"));
            }
        }
        Ok(score)
    }
}

impl Score {
    fn add(&mut self, other: Self) {
        self.sentences += other.sentences;
        self.right += other.right;
        self.valid += other.valid;
        self.too_long += other.too_long;
    }
}

fn percent(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { 100.0 * part as f64 / of as f64 }
}

fn header() -> String {
    String::from(
        "| format | MB | mode | split | sentences | exact match | valid JSON | too long |\n\
         | --- | ---: | --- | --- | ---: | ---: | ---: | ---: |\n",
    )
}

impl Row {
    fn text(&self) -> String {
        let Score { sentences, right, valid, too_long } = self.score;
        let exact = match self.split {
            Split::Random => "–".to_owned(),
            _ => format!("{right} ({:.2} %)", percent(right, sentences)),
        };
        let mut out = String::new();
        let _ = writeln!(
            out,
            "| {} | {:.2} | {} | {} | {sentences} | {exact} | {valid} | {too_long} |",
            self.format,
            self.bytes as f64 / 1e6,
            self.mode.name(),
            self.split.name(),
        );
        out
    }

    fn json(&self) -> serde_json::Value {
        let Score { sentences, right, valid, too_long } = self.score;
        json!({
            "format": self.format,
            "bytes": self.bytes,
            "mode": self.mode.name(),
            "split": self.split.name(),
            "sentences": sentences,
            "exact_match": (self.split != Split::Random).then_some(right),
            "exact_match_percent": (self.split != Split::Random).then(|| percent(right, sentences)),
            "valid": valid,
            "too_long": too_long,
        })
    }
}

/// Sentences and answers of a file, a tab between them. Empty lines and lines that begin with `#` do not count.
fn freehand(path: &Path) -> Result<Vec<Sample>, Failure> {
    let text = std::fs::read_to_string(path).map_err(of_file(path))?;
    let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
    lines
        .map(|(i, line)| {
            let (sentence, answer) = line
                .split_once('\t')
                .ok_or_else(|| Failure::because(format!("{}: line {} has no tab", path.display(), i + 1)))?;
            Ok(Sample { sentence: sentence.to_owned(), answer: answer.trim_end().to_owned() })
        })
        .collect()
}

/// Sentence number `index` of those that nobody would say: words, characters and bytes of any kind.
fn random(index: u64) -> Sample {
    const WORDS: [&str; 16] = [
        "light",
        "turn",
        "on",
        "the",
        "{\"action\":",
        "\\u0000",
        "</s>",
        "[[[",
        "kitchen",
        "99999999999",
        "é",
        "💡",
        "\u{202e}",
        "\n",
        "\"",
        "null",
    ];
    let mut state = index;
    // SplitMix64 (Steele, Lea & Flood 2014).
    let mut next = |n: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    };
    let (kind, len) = (next(3), 1 + next(RANDOM_BYTES as u64) as usize);
    let mut sentence = String::new();
    loop {
        let part = match kind {
            0 => format!("{} ", WORDS[next(16) as usize]),
            1 => char::from(next(128) as u8).to_string(),
            _ => char::from_u32(next(0x11_0000) as u32).unwrap_or('\u{fffd}').to_string(),
        };
        if sentence.len() + part.len() > len {
            return Sample { sentence, answer: String::new() };
        }
        sentence += &part;
    }
}

/// Bytes of a random sentence at most: each may become a token, and the answer wants room as well.
const RANDOM_BYTES: usize = MAX_SENTENCE_BYTES / 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_sentences_are_the_same_each_time_and_of_every_kind() {
        let all: Vec<String> = (0..300).map(|i| random(i).sentence).collect();
        assert_eq!(all[7], random(7).sentence);
        assert!(all.iter().all(|s| s.len() <= RANDOM_BYTES));
        assert!(all.iter().any(|s| s.contains("</s>")) && all.iter().any(|s| s.contains('\0')));
        assert!(all.iter().any(|s| s.chars().any(|c| c > '\u{ffff}')));
    }
}
