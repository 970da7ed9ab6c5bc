//! A model file opened for work: the pieces of the core put together.

use crate::detect::{self, IsaError};
use crate::memory::{self, Arena};
use crate::pool::{BadThreads, Pool};
use crate::source::{Access, OpenError, Reader, Source, SourceOptions};
use barre_core::gguf::{Gguf, GgufError};
use barre_core::kernels::{Executor as _, Kernels, KvType, Mode};
use barre_core::model::{Chunks, Limits, Model, ModelError, Plan, PlanError, WeightPlacement};
use barre_core::session::{Session, SessionError};
use barre_core::tokenizer::{Tokenizer, VocabError};
use std::fmt;
use std::path::Path;

/// Any failure between a path and a token, with its cause in one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened.
    Open(OpenError),
    /// The file is no GGUF file, or a damaged one.
    Gguf(GgufError),
    /// The file holds no model that barre can run.
    Model(ModelError),
    /// The file's vocabulary cannot be used.
    Vocab(VocabError),
    /// The instruction set asked for is not to be had.
    Isa(IsaError),
    /// The number of threads is none that a pool can have.
    Threads(BadThreads),
    /// There is no plan within the limits.
    Plan(PlanError),
    /// The memory of the plan cannot be had.
    Memory {
        /// Bytes.
        bytes: usize,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The model failed at work.
    Session(SessionError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(e) => e.fmt(f),
            Self::Gguf(e) => e.fmt(f),
            Self::Model(e) => e.fmt(f),
            Self::Vocab(e) => e.fmt(f),
            Self::Isa(e) => e.fmt(f),
            Self::Threads(e) => e.fmt(f),
            Self::Plan(e) => e.fmt(f),
            Self::Memory { bytes, error } => write!(f, "cannot have the {bytes} bytes of the plan: {error}"),
            Self::Session(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

macro_rules! from {
    ($($variant:ident($error:ty)),* $(,)?) => {
        $(impl From<$error> for Error {
            fn from(e: $error) -> Self {
                Self::$variant(e)
            }
        })*
    };
}
from! {
    Open(OpenError), Gguf(GgufError), Model(ModelError), Vocab(VocabError), Isa(IsaError), Threads(BadThreads),
    Plan(PlanError), Session(SessionError),
}

/// How a file is to be opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// How the file is opened.
    pub source: SourceOptions,
    /// The instruction set, by name; `None`: what `BARRE_ISA` names, or the machine's best.
    pub isa: Option<String>,
    /// Threads; `None`: one a core.
    pub threads: Option<usize>,
    /// Whether the weights of a mapped file stay in its own pages, rather than move to huge ones where there is room.
    pub small_pages: bool,
}

/// How a session is to be run.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Positions; `None`: the model's own context length, at most 4096.
    pub context: Option<usize>,
    /// Tokens of a prompt that pass through the layers together.
    pub batch: usize,
    /// How keys and values are stored.
    pub kv: KvType,
    /// How activations are multiplied.
    pub mode: Mode,
    /// The most memory, in bytes, that the whole process may hold; weights that have no room are read each time
    /// they are needed. `None`: whatever the model takes. It is kept only if the file is read, not mapped.
    pub ram: Option<u64>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { context: None, batch: 512, kv: KvType::F16, mode: Mode::Int8, ram: None }
    }
}

/// Positions of a session whose caller does not say: enough for a conversation, without the memory that a model
/// made for 128k positions would plan for.
const DEFAULT_CONTEXT: usize = 4096;

/// Bytes that are read at a time of a file that is not mapped, and buffers for them.
const CHUNK: usize = 1 << 20;
const SLOTS: usize = 8;

/// What a process comes to hold after its session is planned, beside the plan's own memory: pages of the program that
/// it has not run yet, the stacks of threads, the text; and for each token of the vocabulary what a sampler sorts.
const RESERVE: u64 = 5 << 18;
const RESERVE_PER_TOKEN: u64 = 8;

/// A model file, opened and checked, with kernels and threads to run it.
#[derive(Debug)]
pub struct Engine {
    source: Source,
    gguf: Gguf,
    model: Model,
    kernels: Kernels,
    pool: Pool,
}

impl Engine {
    /// Opens the model file at `path`.
    ///
    /// # Errors
    /// [`Error`] if it cannot be opened or holds no model that barre can run, or if the options ask for what the
    /// machine does not have.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, Error> {
        let kernels = detect::kernels_named(options.isa.as_deref())?;
        let pool = match options.threads {
            Some(threads) => Pool::new(threads)?,
            None => Pool::for_this_machine(),
        };
        let source = Source::open_with(path, &options.source)?;
        let source = if options.small_pages { source } else { source.with_huge_pages() };
        let gguf = Gguf::open(&mut &source)?;
        let model = Model::load(&gguf, &mut &source)?;
        Ok(Self { source, gguf, model, kernels, pool })
    }

    /// The same file with another number of threads.
    ///
    /// # Errors
    /// [`BadThreads`].
    pub fn set_threads(&mut self, threads: usize) -> Result<(), BadThreads> {
        self.pool = Pool::new(threads)?;
        Ok(())
    }

    /// The container.
    #[must_use]
    pub const fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The kernels.
    #[must_use]
    pub const fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// The threads.
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The file.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The file's tokenizer.
    ///
    /// # Errors
    /// [`VocabError`] if its vocabulary cannot be used.
    pub fn tokenizer(&self) -> Result<Tokenizer, VocabError> {
        Tokenizer::from_gguf(&self.gguf, &mut &self.source)
    }

    /// The memory of a session.
    ///
    /// With [`SessionOptions::ram`], what the process holds now is taken from that first. So what the session's user
    /// needs beside it, such as the tokenizer, is to be made before.
    ///
    /// # Errors
    /// [`PlanError`] if an option is out of range, or the memory too little for the model.
    pub fn plan(&self, options: &SessionOptions) -> Result<Plan, PlanError> {
        let own = self.model.hparams().context_length;
        let row = self.model.matrices().map(|m| m.row_bytes()).max().unwrap_or(0);
        let limits = Limits {
            context: options.context.unwrap_or(own.min(DEFAULT_CONTEXT)),
            batch: options.batch,
            kv: options.kv,
            mode: options.mode,
            threads: self.pool.threads(),
            weights: match self.source.access() {
                Access::Map => WeightPlacement::Mapped,
                Access::Read | Access::Direct => {
                    WeightPlacement::Lent { pinned: 0, chunk: CHUNK.max(row), slots: SLOTS }
                }
            },
        };
        match options.ram {
            None => Plan::new(&self.model, &self.kernels, &limits),
            Some(ram) => self.plan_within(&limits, ram, self.process_bytes()),
        }
    }

    /// What the process will hold beside a session's memory: what it holds now, and a reserve. 0 where the system does
    /// not tell.
    #[must_use]
    pub fn process_bytes(&self) -> u64 {
        let sampler = RESERVE_PER_TOKEN.saturating_mul(self.model.hparams().vocab_size as u64);
        memory::resident().map_or(0, |now| now.saturating_add(RESERVE).saturating_add(sampler))
    }

    /// The plan that makes the most of `ram` bytes, of which the process itself holds `process`.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn plan_within(&self, limits: &Limits, ram: u64, process: u64) -> Result<Plan, PlanError> {
        let whole = |e| match e {
            PlanError::OverBudget { region, need, .. } => {
                let region = if process >= ram { "the program itself" } else { region };
                PlanError::OverBudget { region, need: need.saturating_add(process), have: ram }
            }
            e => e,
        };
        let budget = usize::try_from(ram.saturating_sub(process)).unwrap_or(usize::MAX);
        Plan::within(&self.model, &self.kernels, limits, Chunks::Lent, budget).map_err(whole)
    }

    /// Memory for a session of `plan`.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn arena(plan: &Plan) -> Result<Arena, Error> {
        let memory = match plan.limits().weights {
            WeightPlacement::Mapped => Arena::new(plan.bytes()).inspect(|arena| {
                // Every layer has its keys and values apart: a short text would wait for the memory of a long one.
                for cache in plan.regions().filter(|region| region.name == "KV cache") {
                    arena.small_pages(cache.offset, cache.bytes);
                }
            }),
            // Who counts the bytes of a process wants them counted from the start.
            _ => Arena::populated(plan.bytes()),
        };
        memory.map_err(|error| Error::Memory { bytes: plan.bytes(), error })
    }

    /// A session in `arena`, which [`arena`](Self::arena) made for the same plan.
    ///
    /// # Errors
    /// [`Error::Session`], or [`Error::Memory`] if the buffers are not to be had from which weights are lent.
    pub fn session<'a>(
        &'a self,
        plan: &Plan,
        arena: &'a mut Arena,
    ) -> Result<Session<'a, Reader<'a>>, Error> {
        let reader = match plan.limits().weights {
            WeightPlacement::Lent { slots, .. } => {
                let bytes = plan.reader_bytes();
                Reader::lending(&self.source, slots, plan.reader_slot_bytes())
                    .map_err(|error| Error::Memory { bytes, error })?
            }
            WeightPlacement::Mapped => {
                // Not while the file is opened: the system makes that wait for pages that are being mapped.
                self.source.populate();
                Reader::new(&self.source)
            }
            _ => Reader::new(&self.source),
        };
        Ok(Session::new(&self.model, reader, plan, arena.bytes_mut(), &self.kernels, &self.pool)?)
    }
}
