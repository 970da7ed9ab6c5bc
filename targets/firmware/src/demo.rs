//! From a reader to a printed answer.
//!
//! [`run`] prints three lines that depend on nothing but model, task and arithmetic, `answer:`, `tokens:` and `logits:`; on
//! every machine, with any kernels, threads, batch and placement of the weights, they are the same.

use crate::memory::HeapFigures;
use crate::model;
use crate::text::{Number, Text};
use alloc::vec::Vec;
use barre_core::constrain::{ConstrainError, Constraint, Schema, SchemaError, TokenIndex};
use barre_core::gguf::{Gguf, GgufError};
use barre_core::io::ReadAt;
use barre_core::kernels::{Executor, Kernels, KvType, Mode};
use barre_core::model::{Limits, Model, ModelError, Plan, PlanError, WeightPlacement};
use barre_core::sampler::{SampleError, Sampler, SamplerParams};
use barre_core::session::{Session, SessionError, Token};
use barre_core::tokenizer::{
    DecodeOptions, Decoder, EncodeError, EncodeOptions, EncodeScratch, Tokenizer, VocabError,
};
use core::fmt::{self, Write};

/// The most tokens that a prompt may have.
const MAX_PROMPT: usize = 256;

/// What to run, and where.
pub struct Demo<'a> {
    /// The CPU's kernels.
    pub kernels: &'a Kernels,
    /// Its cores.
    pub executor: &'a dyn Executor,
    /// All memory of the session: as much as the plan says or more, aligned to [`Plan::ALIGN`].
    pub arena: &'a mut [u8],
    /// Bytes of the window through which weights are streamed; `None`: the reader can address them, and they are
    /// multiplied in place.
    pub window: Option<usize>,
    /// Positions; no more than the model was made for are planned.
    pub context: usize,
    /// Tokens of the prompt that pass through the layers together.
    pub batch: usize,
    /// What to ask.
    pub task: Task<'a>,
    /// The figures of the heap, where it is counted.
    pub heap: Option<&'a dyn Fn() -> HeapFigures>,
}

/// What a model is asked.
#[derive(Clone, Copy, Debug)]
pub enum Task<'a> {
    /// The demo model: a sentence, answered by a line of JSON under [`model::SCHEMA`].
    Command(&'a str),
    /// Any model: a text of at most 256 bytes, continued greedily by at most so many tokens.
    Continue(&'a str, usize),
}

/// Why a demonstration ended early.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "one variant for each layer's error")]
pub enum Failure {
    Gguf(GgufError),
    Model(ModelError),
    Vocab(VocabError),
    Schema(SchemaError),
    Constrain(ConstrainError),
    Encode(EncodeError),
    Plan(PlanError),
    Session(SessionError),
    Sample(SampleError),
    /// No memory for a copy of the logits.
    OutOfMemory,
    /// The text is longer than 256 bytes.
    TooLong,
    /// The console refused text.
    Console,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gguf(e) => write!(f, "the file: {e}"),
            Self::Model(e) => write!(f, "the model: {e}"),
            Self::Vocab(e) => write!(f, "the vocabulary: {e}"),
            Self::Schema(e) => write!(f, "the schema: {e}"),
            Self::Constrain(e) => write!(f, "the output: {e}"),
            Self::OutOfMemory => f.write_str("out of memory: the logits' copy"),
            Self::TooLong => f.write_str("the prompt is too long"),
            Self::Encode(e) => write!(f, "the prompt: {e}"),
            Self::Plan(e) => write!(f, "the plan: {e}"),
            Self::Session(e) => write!(f, "the session: {e}"),
            Self::Sample(e) => write!(f, "the sampler: {e}"),
            Self::Console => f.write_str("the console refused text"),
        }
    }
}

impl core::error::Error for Failure {}

macro_rules! from {
    ($($error:ty => $variant:ident),*) => {$(
        impl From<$error> for Failure {
            fn from(e: $error) -> Self {
                Self::$variant(e)
            }
        }
    )*};
}
from!(
    GgufError => Gguf, ModelError => Model, VocabError => Vocab, SchemaError => Schema, ConstrainError => Constrain,
    EncodeError => Encode, PlanError => Plan,
    SessionError => Session, SampleError => Sample
);

impl From<fmt::Error> for Failure {
    fn from(_: fmt::Error) -> Self {
        Self::Console
    }
}

/// Does the task and prints plan, answer, tokens, the fingerprint of all logits and memory to `out`.
///
/// # Errors
/// [`Failure`]; what came before it has been printed.
#[inline(never)]
pub fn run(mut reader: &mut dyn ReadAt, demo: Demo<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let gguf = Gguf::open(&mut reader)?;
    let model = Model::load(&gguf, &mut reader)?;
    let tokenizer = Tokenizer::from_gguf(&gguf, &mut reader)?;
    // The model knows where its tensors are; the directory's memory is better spent on the vocabulary.
    drop(gguf);

    let mut text = [0; MAX_PROMPT];
    let (asked, text, most) = match demo.task {
        Task::Command(sentence) => {
            let text = fill(&mut text, barre_demo::prompt(sentence.as_bytes()))?;
            (sentence, text, barre_demo::MAX_OUTPUT_TOKENS)
        }
        Task::Continue(asked, most) => (asked, fill(&mut text, asked.bytes())?, most),
    };
    let mut prompt = [0; MAX_PROMPT];
    let prompt = {
        let scratch = &mut EncodeScratch::default();
        let n = tokenizer.encode_into(text, EncodeOptions::default(), scratch, &mut prompt)?;
        prompt.get(..n).unwrap_or(&[])
    };
    let limits = Limits {
        context: demo.context.min(model.hparams().context_length),
        batch: demo.batch,
        kv: KvType::F16,
        mode: Mode::Int8,
        threads: demo.executor.threads(),
        weights: demo.window.map_or(WeightPlacement::Mapped, |window| WeightPlacement::Streamed { window }),
    };
    let plan = Plan::new(&model, demo.kernels, &limits)?;
    describe(&model, &plan, &demo, out)?;
    // No more than the plan says, however much there is.
    let bytes = plan.bytes().min(demo.arena.len());
    let arena = demo.arena.get_mut(..bytes).unwrap_or(&mut []);
    let mut session = Session::new(&model, reader, &plan, arena, demo.kernels, demo.executor)?;
    let sampler = Sampler::new(SamplerParams::GREEDY, tokenizer.len())?;
    let schema = match demo.task {
        Task::Command(_) => Some(Schema::from_compiled(model::SCHEMA)?),
        Task::Continue(..) => None,
    };
    let index = schema.as_ref().map(|_| TokenIndex::new(&tokenizer)).transpose()?;
    let constraint = match (&schema, &index) {
        (Some(schema), Some(index)) => Some(Constraint::new(schema, index)?),
        _ => None,
    };
    let mut masked = Vec::new();
    if constraint.is_some() {
        let len = tokenizer.len() as usize;
        masked.try_reserve_exact(len).map_err(|_| Failure::OutOfMemory)?;
        // `resize` would bring code for growth that may panic.
        while masked.len() < len.min(masked.capacity()) {
            masked.push(0.0);
        }
    }
    let init = demo.heap.map(|figures| figures());

    writeln!(out, "asked: {}", Text(asked))?;
    write!(out, "answer: ")?;
    let decoder = Decoder::new(DecodeOptions { show_special: false, strip_space: false });
    let mut answer =
        Answer { out: &mut *out, logits: Fingerprint::new(), decoder, sampler, constraint, masked };
    let added = answer.stream(&mut session, &tokenizer, prompt, most)?;
    let Fingerprint { hash, rows } = answer.logits;
    write!(out, "\ntokens:")?;
    for token in session.tokens().iter().copied().chain(added) {
        write!(out, " {}", Number(token.into()))?;
    }
    write!(out, "\nlogits: ")?;
    for nibble in (0..16).rev().map(|digit| (hash >> (4 * digit)) as u32 & 15) {
        out.write_char(char::from_digit(nibble, 16).unwrap_or('0'))?;
    }
    writeln!(out, " of {} positions", Number(rows.into()))?;
    if let (Some(init), Some(figures)) = (init, demo.heap) {
        let now = figures();
        writeln!(
            out,
            "heap: {} of {} bytes in use, {} at most; {} allocations after init",
            Number::from(now.used),
            Number::from(now.size),
            Number::from(now.peak),
            Number::from(now.allocations - init.allocations)
        )?;
    }
    Ok(())
}

/// `bytes`, which fit `buf`.
fn fill(buf: &mut [u8], bytes: impl Iterator<Item = u8>) -> Result<&[u8], Failure> {
    let mut len = 0;
    for byte in bytes {
        *buf.get_mut(len).ok_or(Failure::TooLong)? = byte;
        len += 1;
    }
    Ok(buf.get(..len).unwrap_or(&[]))
}

#[inline(never)]
fn describe(model: &Model, plan: &Plan, demo: &Demo<'_>, out: &mut dyn Write) -> fmt::Result {
    let limits = plan.limits();
    writeln!(
        out,
        "kernels: {}, {} threads; {} layers, {} bytes of weights a token, {}",
        Text(demo.kernels.isa().name()),
        Number::from(limits.threads),
        Number::from(model.layers().len()),
        Number(plan.bytes_per_token()),
        Text(if demo.window.is_some() { "streamed" } else { "in place" }),
    )?;
    writeln!(
        out,
        "arena: {} bytes planned of {} given, context {}, batch {}",
        Number::from(plan.bytes()),
        Number::from(demo.arena.len()),
        Number::from(limits.context),
        Number::from(limits.batch)
    )?;
    for region in plan.regions() {
        writeln!(out, "  {} {}", Number::from(region.bytes), Text(region.name))?;
    }
    Ok(())
}

/// What is known of the answer so far.
struct Answer<'a> {
    out: &'a mut dyn Write,
    logits: Fingerprint,
    decoder: Decoder,
    sampler: Sampler,
    constraint: Option<Constraint<'a>>,
    /// Room for logits that the constraint masks.
    masked: Vec<f32>,
}

impl Answer<'_> {
    /// Takes the prompt in, then token by token what it is answered with. The last token is returned if it was never
    /// taken in: there is no need for its logits.
    #[inline(never)]
    fn stream<R: ReadAt>(
        &mut self,
        session: &mut Session<'_, R>,
        tokenizer: &Tokenizer,
        prompt: &[Token],
        most: usize,
    ) -> Result<Option<Token>, Failure> {
        session.prefill_each(prompt, &mut |_, logits| self.logits.add(logits))?;
        // The last token of all need not pass through the model.
        let mut left = most.min(session.plan().limits().context - session.position() + 1);
        while left > 0 {
            let logits = match &mut self.constraint {
                Some(constraint) => {
                    for (to, from) in self.masked.iter_mut().zip(session.logits()) {
                        *to = *from;
                    }
                    constraint.mask(&mut self.masked, left)?;
                    &self.masked
                }
                None => session.logits(),
            };
            let token = self.sampler.sample(logits, session.tokens())?;
            let mut ends = tokenizer.is_end_of_generation(token);
            if let Some(constraint) = &mut self.constraint {
                constraint.accept(token)?;
                ends |= constraint.is_final();
            }
            let mut console = Ok(());
            self.decoder
                .push(tokenizer, token, |text| console = console.and_then(|()| self.out.write_str(text)));
            console?;
            left -= 1;
            if ends || left == 0 {
                return Ok(Some(token));
            }
            self.logits.add(session.step(token)?);
        }
        Ok(None)
    }
}

/// FNV-1a (64 bits) over the little-endian bytes of logits, as the fingerprints of `tests/vectors` are made.
#[derive(Clone, Copy, Debug)]
struct Fingerprint {
    hash: u64,
    rows: u32,
}

impl Fingerprint {
    const fn new() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, rows: 0 }
    }

    fn add(&mut self, logits: &[f32]) {
        for byte in logits.iter().flat_map(|x| x.to_le_bytes()) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.rows += 1;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::{CONTEXT, MODEL, SENTENCE};
    use barre_core::kernels::Serial;
    use std::string::String;
    use std::{vec, vec::Vec};

    fn demo<'a>(window: Option<usize>, arena: &'a mut [u8], kernels: &'a Kernels) -> Demo<'a> {
        let batch = if window.is_some() { 3 } else { CONTEXT };
        let (context, task) = (CONTEXT, Task::Command(SENTENCE));
        Demo { kernels, executor: &Serial, arena, window, context, batch, task, heap: None }
    }

    /// The lines that must be the same everywhere.
    pub(crate) fn lines(mut reader: impl ReadAt, window: Option<usize>) -> Vec<String> {
        let mut memory = vec![0xa5; 8 << 20];
        let start = memory.as_ptr().align_offset(Plan::ALIGN);
        let mut out = String::new();
        let demo = demo(window, &mut memory[start..], &const { Kernels::scalar() });
        run(&mut reader, demo, &mut out).expect("an answer");
        let kept = |l: &&str| ["answer: ", "tokens: ", "logits: "].iter().any(|name| l.starts_with(name));
        let lines: Vec<String> = out.lines().filter(kept).map(String::from).collect();
        assert_eq!(lines.len(), 3, "{out}");
        lines
    }

    #[test]
    fn the_answer_is_the_same_in_place_and_streamed() {
        let lines_in_place = lines(MODEL, None);
        assert_eq!(lines_in_place, lines(MODEL, Some(5000)));
        let json = r#"{"action":"set","device":"light","room":"bedroom","value":30,"unit":"percent","time":"19:15"}"#;
        assert_eq!(lines_in_place[0].strip_prefix("answer: "), Some(json));
    }

    #[test]
    fn too_small_an_arena_is_an_error_that_says_how_small() {
        let e = run(&mut &*MODEL, demo(None, &mut [], &const { Kernels::scalar() }), &mut String::new())
            .expect_err("no memory");
        assert!(matches!(e, Failure::Session(SessionError::BufferTooSmall { have: 0, .. })), "{e}");
    }

    #[test]
    fn too_long_a_prompt_is_an_error() {
        let long = "x".repeat(MAX_PROMPT);
        let asked = Demo { task: Task::Command(&long), ..demo(None, &mut [], &const { Kernels::scalar() }) };
        assert!(matches!(run(&mut &*MODEL, asked, &mut String::new()), Err(Failure::TooLong)));
    }
}
