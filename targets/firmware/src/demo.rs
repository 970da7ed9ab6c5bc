//! From a reader to a printed answer.
//!
//! [`run`] prints two lines that depend on nothing but model, prompt and arithmetic, `tokens:` and `logits:`; on every
//! machine, with any kernels, threads, batch and placement of the weights, they are the same.

use crate::memory::HeapFigures;
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
    /// The text to continue, at most 256 tokens.
    pub prompt: &'a str,
    /// Tokens to add at most.
    pub new_tokens: usize,
    /// The figures of the heap, where it is counted.
    pub heap: Option<&'a dyn Fn() -> HeapFigures>,
}

/// Why a demonstration ended early.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "one variant for each layer's error")]
pub enum Failure {
    Gguf(GgufError),
    Model(ModelError),
    Vocab(VocabError),
    Encode(EncodeError),
    Plan(PlanError),
    Session(SessionError),
    Sample(SampleError),
    /// The console refused text.
    Console,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gguf(e) => write!(f, "the file: {e}"),
            Self::Model(e) => write!(f, "the model: {e}"),
            Self::Vocab(e) => write!(f, "the vocabulary: {e}"),
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
    GgufError => Gguf, ModelError => Model, VocabError => Vocab, EncodeError => Encode, PlanError => Plan,
    SessionError => Session, SampleError => Sample
);

impl From<fmt::Error> for Failure {
    fn from(_: fmt::Error) -> Self {
        Self::Console
    }
}

/// Continues the prompt greedily and prints plan, text, tokens, the fingerprint of all logits and memory to `out`.
///
/// # Errors
/// [`Failure`]; what came before it has been printed.
pub fn run(mut reader: &mut dyn ReadAt, demo: Demo<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let gguf = Gguf::open(&mut reader)?;
    let model = Model::load(&gguf, &mut reader)?;
    let tokenizer = Tokenizer::from_gguf(&gguf, &mut reader)?;
    // The model knows where its tensors are; the directory's memory is better spent on the vocabulary.
    drop(gguf);

    let mut prompt = [0; MAX_PROMPT];
    let prompt = {
        let scratch = &mut EncodeScratch::default();
        let options = EncodeOptions::default();
        let n = tokenizer.encode_into(demo.prompt.as_bytes(), options, scratch, &mut prompt)?;
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
    let mut session = Session::new(&model, reader, &plan, demo.arena, demo.kernels, demo.executor)?;
    let mut sampler = Sampler::new(SamplerParams::GREEDY, tokenizer.len())?;
    let init = demo.heap.map(|figures| figures());

    let mut answer = Answer { out: &mut *out, logits: Fingerprint::new(), decoder: text_decoder() };
    writeln!(answer.out, "prompt: {}", demo.prompt)?;
    write!(answer.out, "answer:")?;
    let added = answer.stream(&mut session, &mut sampler, &tokenizer, prompt, demo.new_tokens)?;
    let Fingerprint { hash, rows } = answer.logits;
    write!(out, "tokens:")?;
    for token in session.tokens().iter().copied().chain(added) {
        write!(out, " {token}")?;
    }
    writeln!(out, "\nlogits: {hash:016x} of {rows} positions")?;
    if let (Some(init), Some(figures)) = (init, demo.heap) {
        let now = figures();
        writeln!(
            out,
            "heap: {} of {} bytes in use, {} at most; {} allocations after init",
            now.used,
            now.size,
            now.peak,
            now.allocations - init.allocations
        )?;
    }
    Ok(())
}

fn describe(model: &Model, plan: &Plan, demo: &Demo<'_>, out: &mut dyn Write) -> fmt::Result {
    let limits = plan.limits();
    writeln!(
        out,
        "kernels: {}, {} threads; {} layers, {} bytes of weights a token, {}",
        demo.kernels.isa(),
        limits.threads,
        model.layers().len(),
        plan.bytes_per_token(),
        if demo.window.is_some() { "streamed" } else { "in place" },
    )?;
    writeln!(
        out,
        "arena: {} bytes planned of {} given, context {}, batch {}",
        plan.bytes(),
        demo.arena.len(),
        limits.context,
        limits.batch
    )?;
    for region in plan.regions() {
        writeln!(out, "  {:>9} {}", region.bytes, region.name)?;
    }
    Ok(())
}

const fn text_decoder() -> Decoder {
    Decoder::new(DecodeOptions { show_special: false, strip_space: false })
}

/// What is known of the answer so far.
struct Answer<'a> {
    out: &'a mut dyn Write,
    logits: Fingerprint,
    decoder: Decoder,
}

impl Answer<'_> {
    /// Takes the prompt in, then token by token what it is answered with. The last token is returned if it was never
    /// taken in: there is no need for its logits.
    fn stream<R: ReadAt>(
        &mut self,
        session: &mut Session<'_, R>,
        sampler: &mut Sampler,
        tokenizer: &Tokenizer,
        prompt: &[Token],
        new_tokens: usize,
    ) -> Result<Option<Token>, Failure> {
        session.prefill_each(prompt, &mut |_, logits| self.logits.add(logits))?;
        for left in (0..new_tokens).rev() {
            let token = sampler.sample(session.logits(), session.tokens())?;
            let ends = tokenizer.is_end_of_generation(token);
            let mut console = Ok(());
            self.decoder
                .push(tokenizer, token, |text| console = console.and_then(|()| self.out.write_str(text)));
            console?;
            if ends || left == 0 || session.position() == session.plan().limits().context {
                writeln!(self.out)?;
                return Ok(Some(token));
            }
            self.logits.add(session.step(token)?);
        }
        writeln!(self.out)?;
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
    use crate::model::{CONTEXT, MODEL, NEW_TOKENS, PROMPT};
    use barre_core::kernels::Serial;
    use std::string::String;
    use std::{vec, vec::Vec};

    /// The lines that must be the same everywhere.
    pub(crate) fn lines(mut reader: impl ReadAt, window: Option<usize>) -> Vec<String> {
        let mut memory = vec![0xa5; 8 << 20];
        let start = memory.as_ptr().align_offset(Plan::ALIGN);
        let demo = Demo {
            kernels: &Kernels::scalar(),
            executor: &Serial,
            arena: &mut memory[start..],
            window,
            context: CONTEXT,
            batch: if window.is_some() { 3 } else { CONTEXT },
            prompt: PROMPT,
            new_tokens: NEW_TOKENS,
            heap: None,
        };
        let mut out = String::new();
        run(&mut reader, demo, &mut out).expect("an answer");
        let kept = |l: &&str| l.starts_with("tokens: ") || l.starts_with("logits: ");
        let lines: Vec<String> = out.lines().filter(kept).map(String::from).collect();
        assert_eq!(lines.len(), 2, "{out}");
        lines
    }

    #[test]
    fn the_answer_is_the_same_in_place_and_streamed() {
        assert_eq!(lines(MODEL, None), lines(MODEL, Some(5000)));
    }

    #[test]
    fn too_small_an_arena_is_an_error_that_says_how_small() {
        let demo = Demo {
            kernels: &Kernels::scalar(),
            executor: &Serial,
            arena: &mut [],
            window: None,
            context: CONTEXT,
            batch: 1,
            prompt: PROMPT,
            new_tokens: 1,
            heap: None,
        };
        let e = run(&mut &*MODEL, demo, &mut String::new()).expect_err("no memory");
        assert!(matches!(e, Failure::Session(SessionError::BufferTooSmall { have: 0, .. })), "{e}");
    }
}
