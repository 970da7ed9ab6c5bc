//! Faults at every place of a whole piece of work: open, load, plan, a prompt, eight tokens, as text.

use crate::synthetic::{Kv, LayerSpec, Spec};
use barre_core::gguf::{Gguf, GgufError};
use barre_core::io::{AbsOffset, IoError, ReadAt};
use barre_core::kernels::{Kernels, KvType, Mode, Serial};
use barre_core::model::{Limits, Model, ModelError, Plan, WeightPlacement};
use barre_core::sampler::{SampleError, Sampler, SamplerParams};
use barre_core::session::{Session, SessionError};
use barre_core::tokenizer::{
    DecodeOptions, Decoder, EncodeError, EncodeOptions, EncodeScratch, Tokenizer, VocabError,
};
use embedded_io::{ErrorKind, ErrorType, Read, Seek, SeekFrom};
use std::cell::Cell;

/// Tokens decoded after the prompt.
pub const DECODED: usize = 8;
/// Bytes of the text that comes out at most.
const MOST_TEXT: usize = 1024;

/// Every kind of error but `Interrupted`.
pub const KINDS: [ErrorKind; 17] = [
    ErrorKind::Other,
    ErrorKind::NotFound,
    ErrorKind::PermissionDenied,
    ErrorKind::ConnectionRefused,
    ErrorKind::ConnectionReset,
    ErrorKind::ConnectionAborted,
    ErrorKind::NotConnected,
    ErrorKind::AddrInUse,
    ErrorKind::AddrNotAvailable,
    ErrorKind::BrokenPipe,
    ErrorKind::AlreadyExists,
    ErrorKind::InvalidInput,
    ErrorKind::InvalidData,
    ErrorKind::TimedOut,
    ErrorKind::Unsupported,
    ErrorKind::OutOfMemory,
    ErrorKind::WriteZero,
];

/// A file of some 20 KB that uses every part of the path: arrays by layer, biases, frequency factors, a vocabulary.
#[must_use]
pub fn small_file() -> Vec<u8> {
    let layers = [(4, 2, 24), (2, 1, 8)].map(|(heads, heads_kv, feed_forward)| LayerSpec {
        heads,
        heads_kv,
        feed_forward,
    });
    let spec = Spec { layers: layers.into(), biases: true, rope_freqs: true, ..Spec::small() };
    let tokens: Vec<String> = (0..spec.vocab)
        .map(|i| match ["<unk>", "<s>", "▁", "a", "b", "▁a", "ab", "▁ab"].get(i) {
            Some(text) => (*text).to_owned(),
            None => format!("t{i}"),
        })
        .collect();
    spec.build()
        .with("tokenizer.ggml.model", Kv::text("llama"))
        .with("tokenizer.ggml.tokens", Kv::Strs(tokens))
        .with("tokenizer.ggml.scores", Kv::F32s((0..spec.vocab).map(|i| -(i as f32)).collect()))
        .with(
            "tokenizer.ggml.token_type",
            Kv::I32s((0..spec.vocab as i32).map(|i| 1 + i32::from(i == 1) * 2).collect()),
        )
        .with("tokenizer.ggml.unknown_token_id", Kv::U32(0))
        .with("tokenizer.ggml.bos_token_id", Kv::U32(1))
        .with(
            "general.description",
            Kv::Str("a text that is too long to be kept with the directory ".repeat(4)),
        )
        .file()
}

/// Limits for [`small_file`].
#[must_use]
pub const fn limits(weights: WeightPlacement) -> Limits {
    Limits { context: 16, batch: 3, kv: KvType::F16, mode: Mode::Int8, threads: 1, weights }
}

/// A failure of any layer.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is the error of its layer")]
pub enum Failure {
    Gguf(GgufError),
    Model(ModelError),
    Vocab(VocabError),
    Encode(EncodeError),
    Sample(SampleError),
    Session(SessionError),
}

macro_rules! from {
    ($($variant:ident($error:ty)),*) => {
        $(impl From<$error> for Failure {
            fn from(e: $error) -> Self {
                Self::$variant(e)
            }
        })*
    };
}
from!(
    Gguf(GgufError),
    Model(ModelError),
    Vocab(VocabError),
    Encode(EncodeError),
    Sample(SampleError),
    Session(SessionError)
);

impl Failure {
    /// The reader's failure, if that is what it is; a weight that could not be read must be named.
    #[must_use]
    pub fn io(&self) -> Option<IoError> {
        match self {
            Self::Gguf(GgufError::Io(e))
            | Self::Model(ModelError::Gguf(GgufError::Io(e)))
            | Self::Vocab(VocabError::Gguf(GgufError::Io(e)))
            | Self::Session(SessionError::Vector(e)) => Some(*e),
            Self::Session(SessionError::Weights { tensor, error }) => {
                (!tensor.as_str().is_empty()).then_some(*error)
            }
            _ => None,
        }
    }

    /// Whether memory was out.
    #[must_use]
    pub fn out_of_memory(&self) -> bool {
        matches!(
            self,
            Self::Gguf(GgufError::OutOfMemory { .. })
                | Self::Model(
                    ModelError::OutOfMemory { .. } | ModelError::Gguf(GgufError::OutOfMemory { .. })
                )
                | Self::Vocab(
                    VocabError::OutOfMemory { .. } | VocabError::Gguf(GgufError::OutOfMemory { .. })
                )
                | Self::Encode(EncodeError::OutOfMemory { .. })
                | Self::Sample(SampleError::OutOfMemory { .. })
        )
    }

    /// The text of the error.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Gguf(e) => e.to_string(),
            Self::Model(e) => e.to_string(),
            Self::Vocab(e) => e.to_string(),
            Self::Encode(e) => e.to_string(),
            Self::Sample(e) => e.to_string(),
            Self::Session(e) => e.to_string(),
        }
    }
}

/// What the work gives: every logit's bits, the tokens, the text.
#[derive(Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Outcome {
    pub logits: Vec<u32>,
    pub tokens: Vec<u32>,
    pub text: String,
}

impl Outcome {
    /// Room for everything, so that filling it allocates nothing.
    #[must_use]
    pub fn with_room() -> Self {
        Self {
            logits: Vec::with_capacity(32 * (DECODED + 1)),
            tokens: Vec::with_capacity(64),
            text: String::with_capacity(MOST_TEXT),
        }
    }
}

/// What the work stands on.
pub struct Work<'a> {
    /// Kernels.
    pub kernels: &'a Kernels,
    /// Limits.
    pub limits: Limits,
    /// The arena.
    pub arena: &'a mut [u8],
}

impl Work<'_> {
    /// Does the work, trying each call again when it fails, as long as `go_on` says so of the failure. `None`: it
    /// said no.
    pub fn run<R: ReadAt>(
        &mut self,
        reader: &mut R,
        outcome: &mut Outcome,
        go_on: &mut dyn FnMut(Failure) -> bool,
    ) -> Option<()> {
        macro_rules! attempt {
            ($call:expr) => {
                loop {
                    match $call {
                        Ok(value) => break value,
                        Err(e) if go_on(Failure::from(e)) => {}
                        Err(_) => return None,
                    }
                }
            };
        }
        let gguf = attempt!(Gguf::open(reader));
        let model = attempt!(Model::load(&gguf, reader));
        let tokenizer = attempt!(Tokenizer::from_gguf(&gguf, reader));
        let mut scratch = EncodeScratch::default();
        let mut prompt = [0; 16];
        let n = attempt!(tokenizer.encode_into(
            b"ab a \xc3\xa9b",
            EncodeOptions { add_special: true, parse_special: true },
            &mut scratch,
            &mut prompt
        ));
        let prompt = &prompt[..n];
        let plan = Plan::new(&model, self.kernels, &self.limits).expect("a plan");
        let params = SamplerParams { temperature: 1.0, top_k: 8, seed: 7, ..SamplerParams::default() };
        let mut sampler = attempt!(Sampler::new(params, tokenizer.len()));
        let mut decoder = Decoder::new(DecodeOptions::default());
        loop {
            match Session::new(&model, &mut *reader, &plan, &mut *self.arena, self.kernels, &Serial) {
                Ok(mut session) => {
                    attempt!(session.prefill(prompt).map(|_| ()));
                    for _ in 0..DECODED {
                        outcome.logits.extend(session.logits().iter().map(|x| x.to_bits()));
                        let token = attempt!(sampler.sample(session.logits(), session.tokens()));
                        decoder.push(&tokenizer, token, |text| outcome.text.push_str(text));
                        let before = session.position();
                        loop {
                            match session.step(token) {
                                Ok(_) => break,
                                Err(e) if go_on(Failure::from(e)) => {
                                    assert_eq!(session.position(), before, "a failed call takes nothing in");
                                }
                                Err(_) => return None,
                            }
                        }
                    }
                    outcome.logits.extend(session.logits().iter().map(|x| x.to_bits()));
                    outcome.tokens.extend_from_slice(session.tokens());
                    return Some(());
                }
                Err(e) if go_on(Failure::from(e)) => {}
                Err(_) => return None,
            }
        }
    }
}

/// What a call of a reader does instead of its work.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Fault {
    Fails(ErrorKind),
    /// `Ok(0)`, though there is more.
    Nothing,
    /// Claims more bytes than it was given room for.
    TooMany,
    /// A seek that ends elsewhere.
    Elsewhere,
    /// One byte of what was read is another one.
    Changed,
}

/// The calls that a fault hits.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Seeks rather than reads.
    pub seek: bool,
    /// The first call, counted from 0.
    pub call: usize,
    /// How many calls.
    pub times: usize,
    /// What they do.
    pub fault: Fault,
}

/// What happens when, shared between a [`FaultyIo`] and who watches it.
#[derive(Debug, Default)]
pub struct Schedule {
    /// Up to two faults at a time.
    pub sites: Cell<[Option<Site>; 2]>,
    /// Calls so far.
    pub reads: Cell<usize>,
    /// Seeks so far.
    pub seeks: Cell<usize>,
    /// Faults so far.
    pub hits: Cell<usize>,
    /// Where the last fault was, and which.
    pub last: Cell<Option<(u64, Fault)>>,
    /// Bytes that the reader has at present; `None`: all.
    pub len: Cell<Option<u64>>,
    /// Most bytes a read gives; 0 draws a number each time.
    pub most: Cell<usize>,
    /// Where the numbers come from.
    pub seed: Cell<u64>,
}

impl Schedule {
    /// Faults at these sites, full reads.
    #[must_use]
    pub fn new(sites: [Option<Site>; 2]) -> Self {
        let schedule = Self::default();
        schedule.sites.set(sites);
        schedule.most.set(usize::MAX);
        schedule
    }

    /// No faults from now on.
    pub fn clear(&self) {
        self.sites.set([None; 2]);
        self.len.set(None);
    }

    fn fault(&self, seek: bool, at: u64) -> Option<Fault> {
        let count = if seek { &self.seeks } else { &self.reads };
        let call = count.get();
        count.set(call + 1);
        let hits = |s: &Site| s.seek == seek && call >= s.call && call - s.call < s.times;
        let site = self.sites.get().into_iter().flatten().find(hits)?;
        self.hits.set(self.hits.get() + 1);
        self.last.set(Some((at, site.fault)));
        Some(site.fault)
    }

    fn draw(&self, below: usize) -> usize {
        let mut rng = crate::synthetic::Rng(self.seed.get());
        let n = rng.below(below);
        self.seed.set(rng.0);
        n
    }
}

/// Bytes in memory as a reader that does what a [`Schedule`] says.
#[derive(Debug)]
pub struct FaultyIo<'a> {
    bytes: &'a [u8],
    at: u64,
    schedule: &'a Schedule,
}

impl<'a> FaultyIo<'a> {
    /// A reader of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8], schedule: &'a Schedule) -> Self {
        Self { bytes, at: 0, schedule }
    }

    /// What is to happen.
    #[must_use]
    pub const fn schedule(&self) -> &'a Schedule {
        self.schedule
    }

    fn len(&self) -> u64 {
        self.schedule.len.get().unwrap_or(self.bytes.len() as u64)
    }
}

impl ErrorType for FaultyIo<'_> {
    type Error = ErrorKind;
}

impl Read for FaultyIo<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        let fault = self.schedule.fault(false, self.at);
        match fault {
            Some(Fault::Fails(kind)) => {
                // What a failed read leaves in the buffer is anything.
                let half = buf.len() / 2;
                buf[..half].fill(0xee);
                return Err(kind);
            }
            Some(Fault::Nothing) => return Ok(0),
            Some(Fault::TooMany) => return Ok(buf.len() + 1),
            Some(Fault::Elsewhere | Fault::Changed) | None => {}
        }
        let end = self.len().min(self.bytes.len() as u64);
        let rest = &self.bytes[self.at.min(end) as usize..end as usize];
        let most = match self.schedule.most.get() {
            0 => 1 + self.schedule.draw(64),
            most => most,
        };
        let n = buf.len().min(rest.len()).min(most);
        buf[..n].copy_from_slice(&rest[..n]);
        if fault == Some(Fault::Changed) && n > 0 {
            buf[self.schedule.draw(n)] ^= 1 << self.schedule.draw(8);
        }
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for FaultyIo<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, ErrorKind> {
        let at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.len().wrapping_add_signed(by),
            SeekFrom::Current(by) => self.at.wrapping_add_signed(by),
        };
        match self.schedule.fault(true, at) {
            Some(Fault::Fails(kind)) => {
                // Nobody may rely on where a failed seek leaves the reader.
                self.at = 3;
                return Err(kind);
            }
            Some(Fault::Elsewhere) => self.at = at + 1,
            _ => self.at = at,
        }
        Ok(self.at)
    }
}

/// A reader that lends its bytes out of a buffer of its own, which it fills when asked: the simplest there is.
#[derive(Debug)]
pub struct Lending<R> {
    inner: R,
    buf: Vec<u8>,
}

impl<R: ReadAt> Lending<R> {
    /// Lends at most `most` bytes of `inner` at a time.
    #[must_use]
    pub fn new(inner: R, most: usize) -> Self {
        Self { inner, buf: vec![0; most] }
    }
}

impl<R: ReadAt> ReadAt for Lending<R> {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        self.inner.read_at(at, buf)
    }

    fn lend(&mut self, at: AbsOffset, len: usize) -> Result<Option<&[u8]>, IoError> {
        let Some(buf) = self.buf.get_mut(..len) else { return Ok(None) };
        self.inner.read_at(at, buf)?;
        Ok(Some(buf))
    }

    fn len(&mut self) -> Result<u64, IoError> {
        self.inner.len()
    }
}
