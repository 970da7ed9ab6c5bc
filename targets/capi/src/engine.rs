//! An engine in the caller's block: what it is made of, and its work in bounded pieces.

use crate::config::{Config, Plan, Weights};
use crate::heap::{Heap, Section};
use crate::reader::Source;
use crate::status::{ErrorInfo, Status};
use barre_core::constrain::{Constraint, Schema, TokenIndex};
use barre_core::gguf::Gguf;
use barre_core::kernels::{Kernels, Serial};
use barre_core::model::{Limits, Model, Plan as ArenaPlan, WeightPlacement};
use barre_core::sampler::Sampler;
use barre_core::session::{Progress, Session};
use barre_core::tokenizer::{DecodeOptions, Decoder, EncodeOptions, EncodeScratch, Tokenizer};
use core::ptr::NonNull;

/// Bytes of the block that are kept for encoding, for each byte of a prompt and for the tables of any.
const ENCODE_BYTES_PER_BYTE: usize = 60;
const ENCODE_BYTES: usize = 4096;

/// Why a generation ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has not.
    None = 0,
    /// The model ended it, or the schema has no more to come.
    Finished = 1,
    /// As many tokens as were allowed.
    TokenLimit = 2,
    /// The context is full.
    ContextFull = 3,
}

/// What a piece of work has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing yet: `done` of `total` pieces.
    Working { done: usize, total: usize },
    /// A token; [`Engine::text`] is what it adds.
    Token(u32),
    /// The end; [`Engine::text`] is what was held back.
    End(End),
}

/// What the engine does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// Tokens pass through the layers; then one is chosen.
    Computing,
    Ending(End),
}

/// Everything that a model needs besides the arena, in the heap.
struct Parts {
    model: &'static Model,
    tokenizer: &'static Tokenizer,
    kernels: &'static Kernels,
    plan: ArenaPlan,
    /// `None` where the likeliest token is taken each time.
    sampler: Option<Sampler>,
    constraint: Option<Constraint<'static>>,
    /// A copy of the logits, which a constraint writes to; empty without one.
    logits: &'static mut [f32],
    /// One a position.
    tokens: &'static mut [u32],
    /// As long as the longest text that a token can add.
    text: &'static mut [u8],
}

/// A model at work in one block. The block is its memory, so it has no destructor.
pub(crate) struct Engine {
    heap: Heap,
    session: Session<'static, SharedSource>,
    source: NonNull<Source>,
    tokenizer: &'static Tokenizer,
    sampler: Option<Sampler>,
    constraint: Option<Constraint<'static>>,
    logits: &'static mut [f32],
    tokens: &'static mut [u32],
    text: &'static mut [u8],
    text_len: usize,
    scratch: EncodeScratch,
    decoder: Decoder,
    parse_special: bool,
    phase: Phase,
    /// Tokens that may still come.
    left: usize,
}

/// The reader in the heap, which the session reads and the engine asks for the code of a fault.
#[derive(Clone, Copy)]
struct SharedSource(NonNull<Source>);

impl SharedSource {
    #[allow(clippy::mut_from_ref, reason = "see the safety comment")]
    fn source(&self) -> &mut Source {
        // SAFETY: the source lies in the heap, which outlives the engine, and is used by one call at a time: a session
        // reads through it while it works, the engine looks when the session does not.
        unsafe { &mut *self.0.as_ptr() }
    }
}

impl barre_core::io::ReadAt for SharedSource {
    fn read_at(
        &mut self,
        at: barre_core::io::AbsOffset,
        buf: &mut [u8],
    ) -> Result<(), barre_core::io::IoError> {
        self.source().read_at(at, buf)
    }

    fn view(&self, at: barre_core::io::AbsOffset, len: usize) -> Option<&[u8]> {
        let source: &Source = self.source();
        source.view(at, len)
    }

    fn len(&mut self) -> Result<u64, barre_core::io::IoError> {
        barre_core::io::ReadAt::len(self.source())
    }
}

/// What `barre_init` would need, found by doing all of it but the arena in `block`.
///
/// # Safety
/// As [`init`].
pub(crate) unsafe fn plan(
    block: *mut u8,
    bytes: usize,
    source: Source,
    config: &Config,
) -> Result<Plan, ErrorInfo> {
    // SAFETY: the caller's word.
    let mut heap = unsafe { Heap::new(block, bytes) }.ok_or(Status::Memory)?;
    let heap_at = &raw mut heap;
    // SAFETY: the heap stays on the stack, and is used through the section alone until that ends.
    let section = unsafe { Section::enter(heap_at) }.ok_or(Status::Busy)?;
    let mut source = source;
    // SAFETY: the caller's word on `config`.
    let parts = unsafe { parts(&section, &mut source, config) }.map_err(|e| with_code(e, &source))?;
    section.place(source).ok_or(Status::Memory)?;
    section.bytes(size_of::<Engine>(), align_of::<Engine>()).ok_or(Status::Memory)?;
    let (arena, context, vocabulary) =
        (parts.plan.bytes(), parts.plan.limits().context, parts.tokenizer.len());
    let bytes_per_token = parts.plan.bytes_per_token();
    core::mem::forget(parts);
    drop(section);
    let align = ArenaPlan::ALIGN;
    // What was needed only to make the tables, of a schema most of all, serves the arena afterwards.
    let furthest = heap.peak_from(block).max(heap.end_of_next_from(block, arena, align));
    let block_bytes = [align, encode_bytes(config)].into_iter().try_fold(furthest, usize::checked_add);
    let block_bytes = block_bytes.ok_or(Status::Memory)?;
    Ok(Plan {
        block_bytes,
        arena_bytes: arena,
        table_bytes: block_bytes.saturating_sub(arena),
        bytes_per_token,
        context: u32::try_from(context).unwrap_or(u32::MAX),
        vocabulary,
        align: align as u32,
        reserved: 0,
    })
}

/// What [`Config::schema`] takes instead of `text`, in `scratch`.
///
/// # Safety
/// `scratch` has `bytes` bytes, which are nobody else's.
#[cfg(feature = "schema")]
pub(crate) unsafe fn compile_schema(
    text: &[u8],
    scratch: *mut u8,
    bytes: usize,
) -> Result<NonNull<[u8]>, ErrorInfo> {
    // SAFETY: the caller's word.
    let mut heap = unsafe { Heap::new(scratch, bytes) }.ok_or(Status::Memory)?;
    let heap_at = &raw mut heap;
    // SAFETY: the heap stays on the stack, and is used through the section alone until that ends.
    let _section = unsafe { Section::enter(heap_at) }.ok_or(Status::Busy)?;
    let compiled = Schema::parse(text)?.to_compiled()?;
    // Never given back: it lies in `scratch` for as long as the caller leaves it there.
    let mut compiled = core::mem::ManuallyDrop::new(compiled);
    Ok(NonNull::from(compiled.as_mut_slice()))
}

/// An engine in `block`.
///
/// # Safety
/// `block` has `bytes` bytes, which are the engine's as long as it is used; the reader and the schema are as
/// [`Source::new`] and [`Config::schema`] ask.
pub(crate) unsafe fn init(
    block: *mut u8,
    bytes: usize,
    source: Source,
    config: &Config,
) -> Result<NonNull<Engine>, ErrorInfo> {
    // SAFETY: the caller's word.
    let mut heap = unsafe { Heap::new(block, bytes) }.ok_or(Status::Memory)?;
    let heap_at = &raw mut heap;
    // SAFETY: the heap stays on the stack, and is used through the section alone until that ends.
    let section = unsafe { Section::enter(heap_at) }.ok_or(Status::Busy)?;
    let mut source = source;
    // SAFETY: the caller's word on `config`.
    let parts = unsafe { parts(&section, &mut source, config) }.map_err(|e| with_code(e, &source))?;
    let source = section.place(source).ok_or(Status::Memory)?;
    let place =
        section.bytes(size_of::<Engine>(), align_of::<Engine>()).ok_or(Status::Memory)?.cast::<Engine>();
    let need = parts.plan.bytes();
    let too_small = ErrorInfo::new(Status::Memory).needing(need as u64);
    let mut arena = section.bytes(need, ArenaPlan::ALIGN).ok_or(too_small)?;
    // SAFETY: the allocation is never freed, and nobody else's.
    let arena: &'static mut [u8] = unsafe { arena.as_mut() };
    let Parts { model, tokenizer, kernels, plan, sampler, constraint, logits, tokens, text } = parts;
    let shared = SharedSource(source);
    let session = Session::new(model, shared, &plan, arena, kernels, &Serial)
        .map_err(|e| with_code(e.into(), shared.source()))?;
    drop(section);
    let engine = Engine {
        heap,
        session,
        source,
        tokenizer,
        sampler,
        constraint,
        logits,
        tokens,
        text,
        text_len: 0,
        scratch: EncodeScratch::default(),
        decoder: Decoder::new(DecodeOptions::default()),
        parse_special: config.parse_special != 0,
        phase: Phase::Idle,
        left: 0,
    };
    // SAFETY: the place has the engine's size and alignment.
    unsafe { place.write(engine) };
    Ok(place)
}

/// Opens the model and makes its tables.
///
/// # Safety
/// As [`Config::schema`] asks. The section's heap outlives what is returned.
unsafe fn parts(section: &Section, source: &mut Source, config: &Config) -> Result<Parts, ErrorInfo> {
    let sampler_params = config.sampler();
    sampler_params.validate()?;
    let (mode, kv, kernels) = (config.mode()?, config.kv_type()?, config.kernels()?);
    let gguf = Gguf::open(source)?;
    let model = Model::load(&gguf, source)?;
    let tokenizer = Tokenizer::from_gguf(&gguf, source)?;
    drop(gguf);
    if tokenizer.len() as usize != model.hparams().vocab_size {
        return Err(ErrorInfo::new(Status::BadVocabulary).needing(model.hparams().vocab_size as u64));
    }
    let model: &'static Model = keep(section, model)?;
    let tokenizer: &'static Tokenizer = keep(section, tokenizer)?;
    let kernels: &'static Kernels = keep(section, kernels)?;

    let row = model.matrices().map(|m| m.row_bytes()).max().unwrap_or(0);
    let limits = Limits {
        context: match config.context {
            0 => model.hparams().context_length,
            n => n as usize,
        },
        batch: config.batch as usize,
        kv,
        mode,
        threads: 1,
        weights: match config.weights()? {
            Weights::Resident => WeightPlacement::Resident,
            Weights::Auto if source.is_mapped() => WeightPlacement::Mapped,
            Weights::Auto | Weights::Streamed => {
                WeightPlacement::Streamed { window: if config.window == 0 { row } else { config.window } }
            }
        },
    };
    let plan = ArenaPlan::new(model, kernels, &limits)?;

    let vocabulary = tokenizer.len();
    let greedy = sampler_params.temperature == 0.0 && sampler_params.repeat_penalty == 1.0;
    let sampler = if greedy { None } else { Some(Sampler::new(sampler_params, vocabulary)?) };
    // SAFETY: the caller's word.
    let constraint = match unsafe { config.schema() }? {
        Some(schema) if cfg!(feature = "compiled-schema") => {
            let schema: &'static Schema = keep(section, schema)?;
            let index: &'static TokenIndex<'static> = keep(section, TokenIndex::new(tokenizer)?)?;
            Some(Constraint::new(schema, index)?)
        }
        _ => None,
    };
    let logits = words(section, if constraint.is_some() { vocabulary as usize } else { 0 })?;
    let tokens = words(section, plan.limits().context)?;
    // A byte that belongs to no character becomes the three of U+FFFD; up to three bytes of earlier tokens wait.
    let longest = (0..vocabulary).map(|t| tokenizer.piece(t).count()).max().unwrap_or(0);
    let text_bytes = longest.checked_add(4).and_then(|n| n.checked_mul(3)).ok_or(Status::Memory)?;
    let mut text = section.bytes(text_bytes, 1).ok_or(Status::Memory)?;
    // SAFETY: never freed, and nobody else's.
    let text = unsafe { text.as_mut() };
    Ok(Parts { model, tokenizer, kernels, plan, sampler, constraint, logits, tokens, text })
}

impl Engine {
    /// Encodes `prompt` and prepares to take it in at the next positions, and to add up to `max_tokens` tokens.
    pub(crate) fn begin(&mut self, prompt: &[u8], max_tokens: usize) -> Result<(), ErrorInfo> {
        let first = self.session.position() == 0;
        let options = EncodeOptions { add_special: first, parse_special: self.parse_special };
        let heap = &raw mut self.heap;
        // SAFETY: the engine stays where it is, and its heap is used through the section alone until that ends.
        let section = unsafe { Section::enter(heap) }.ok_or(Status::Busy)?;
        let count = self.tokenizer.encode_into(prompt, options, &mut self.scratch, self.tokens);
        drop(section);
        let count = count.map_err(|e| {
            let e = ErrorInfo::from(e);
            // A prompt that the context has no room for, and one that the block has no room for.
            if e.status == Status::Memory { e.needing(prompt.len() as u64) } else { e }
        })?;
        self.start(count, max_tokens)
    }

    /// As [`begin`](Self::begin), with the tokens themselves.
    pub(crate) fn begin_tokens(&mut self, prompt: &[u32], max_tokens: usize) -> Result<(), ErrorInfo> {
        let Some(room) = self.tokens.get_mut(..prompt.len()) else {
            return Err(ErrorInfo::new(Status::ContextFull).needing(prompt.len() as u64));
        };
        for (to, from) in room.iter_mut().zip(prompt) {
            *to = *from;
        }
        self.start(prompt.len(), max_tokens)
    }

    fn start(&mut self, count: usize, max_tokens: usize) -> Result<(), ErrorInfo> {
        if self.phase != Phase::Idle {
            return Err(Status::BadOrder.into());
        }
        self.session.begin(self.tokens.get(..count).unwrap_or_default())?;
        if let Some(constraint) = &mut self.constraint {
            constraint.reset();
        }
        // The text goes on after the prompt, and its first space with it.
        self.decoder = Decoder::new(DecodeOptions { strip_space: false, ..DecodeOptions::default() });
        self.left = max_tokens;
        self.phase = Phase::Computing;
        Ok(())
    }

    /// A bounded piece of work: half a layer, or the choice of a token. After an error of the reader it may be tried
    /// again.
    pub(crate) fn advance(&mut self) -> Result<Step, ErrorInfo> {
        self.text_len = 0;
        match self.phase {
            Phase::Idle => Err(Status::BadOrder.into()),
            Phase::Ending(end) => {
                self.phase = Phase::Idle;
                let (text, len) = (&mut *self.text, &mut self.text_len);
                self.decoder.finish(|part| append(text, len, part));
                Ok(Step::End(end))
            }
            Phase::Computing => match self.session.advance() {
                Ok(Progress::Working { done, total }) => Ok(Step::Working { done, total }),
                Ok(Progress::Ready) => self.choose().inspect_err(|_| self.phase = Phase::Idle),
                Err(e) => Err(with_code(e.into(), SharedSource(self.source).source())),
            },
        }
    }

    /// Drops the generation under way. What has been taken in whole stays.
    pub(crate) fn cancel(&mut self) {
        self.session.cancel();
        self.phase = Phase::Idle;
    }

    /// Forgets everything after the first `position` positions.
    pub(crate) fn rewind(&mut self, position: usize) -> Result<(), ErrorInfo> {
        self.cancel();
        Ok(self.session.rewind(position)?)
    }

    pub(crate) fn position(&self) -> usize {
        self.session.position()
    }

    pub(crate) fn logits(&self) -> &[f32] {
        self.session.logits()
    }

    /// What the last [`advance`](Self::advance) has brought: whole characters of UTF-8.
    pub(crate) fn text(&self) -> &[u8] {
        self.text.get(..self.text_len).unwrap_or_default()
    }

    /// The next token after the logits that are ready.
    fn choose(&mut self) -> Result<Step, ErrorInfo> {
        let room = self.session.plan().limits().context.saturating_sub(self.session.position());
        if self.left == 0 {
            return self.end(End::TokenLimit);
        }
        // The last token need not be taken in, so there is room for one more than positions.
        let most = self.left.min(room.saturating_add(1));
        let own = self.session.logits();
        let logits = match &mut self.constraint {
            None => own,
            Some(constraint) => {
                for (to, from) in self.logits.iter_mut().zip(own) {
                    *to = *from;
                }
                constraint.mask(self.logits, most)?;
                &*self.logits
            }
        };
        let token = match &mut self.sampler {
            None => likeliest(logits).ok_or(Status::NonFinite)?,
            Some(sampler) => sampler.sample(logits, self.session.tokens())?,
        };
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(token)?;
        }
        if self.tokenizer.is_end_of_generation(token) {
            return self.end(End::Finished);
        }
        self.left = self.left.saturating_sub(1);
        if self.constraint.as_ref().is_some_and(Constraint::is_final) {
            self.phase = Phase::Ending(End::Finished);
        } else if self.left == 0 {
            self.phase = Phase::Ending(End::TokenLimit);
        } else if room == 0 {
            self.phase = Phase::Ending(End::ContextFull);
        } else {
            self.session.begin(&[token])?;
        }
        let (text, len) = (&mut *self.text, &mut self.text_len);
        self.decoder.push(self.tokenizer, token, |part| append(text, len, part));
        Ok(Step::Token(token))
    }

    fn end(&mut self, end: End) -> Result<Step, ErrorInfo> {
        self.phase = Phase::Ending(end);
        self.advance()
    }
}

/// The token of the largest logit, of equals the lowest, as the sampler takes it at temperature 0. `None` if a logit is
/// NaN or infinite, but for the −∞ of tokens that are left out, or if all are left out.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(f32, u32)> = None;
    for (&logit, token) in logits.iter().zip(0u32..) {
        if logit == f32::NEG_INFINITY {
            continue;
        }
        if !logit.is_finite() {
            return None;
        }
        if best.is_none_or(|(most, _)| logit > most) {
            best = Some((logit, token));
        }
    }
    best.map(|(_, token)| token)
}

fn append(text: &mut [u8], len: &mut usize, part: &str) {
    for &byte in part.as_bytes() {
        if let Some(to) = text.get_mut(*len) {
            *to = byte;
            *len = len.saturating_add(1);
        }
    }
}

fn encode_bytes(config: &Config) -> usize {
    (config.prompt_bytes as usize).saturating_mul(ENCODE_BYTES_PER_BYTE).saturating_add(ENCODE_BYTES)
}

/// `value` in the heap for as long as the block is the engine's.
fn keep<T>(section: &Section, value: T) -> Result<&'static mut T, ErrorInfo> {
    let mut place = section.place(value).ok_or(Status::Memory)?;
    // SAFETY: never freed nor moved, and nobody else's. "Static" is the life of the block: the engine, which holds the
    // reference, lies in it.
    Ok(unsafe { place.as_mut() })
}

/// `len` zeros of four bytes.
fn words<T: Word>(section: &Section, len: usize) -> Result<&'static mut [T], ErrorInfo> {
    let bytes = len.checked_mul(4).ok_or(Status::Memory)?;
    let place = section.bytes(bytes, 4).ok_or(Status::Memory)?;
    // SAFETY: `len` times four zero bytes, aligned to four, never freed, nobody else's; zeros are a value of a `Word`.
    Ok(unsafe { core::slice::from_raw_parts_mut(place.cast().as_ptr(), len) })
}

/// A type of four bytes that zeros are a value of.
trait Word {}
impl Word for u32 {}
impl Word for f32 {}

fn with_code(e: ErrorInfo, source: &Source) -> ErrorInfo {
    if e.status == Status::Reader { ErrorInfo { reader_code: source.code(), ..e } } else { e }
}
