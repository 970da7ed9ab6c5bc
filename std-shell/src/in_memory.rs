//! A model that lies in memory: part of the program, or made there.

use crate::detect;
use crate::engine::Error;
use crate::pool::Pool;
use barre_core::gguf::Gguf;
use barre_core::kernels::{Executor as _, Kernels, KvType, Mode};
use barre_core::model::{Limits, Model, Plan, PlanError, WeightPlacement};
use barre_core::session::{Session, SessionError};
use barre_core::tokenizer::{Tokenizer, VocabError};

/// A GGUF file in memory, checked, with kernels and threads to run it. The weights stay where they are.
#[derive(Debug)]
pub struct InMemory<'b> {
    bytes: &'b [u8],
    gguf: Gguf,
    model: Model,
    kernels: Kernels,
    pool: Pool,
}

impl<'b> InMemory<'b> {
    /// Opens the file in `bytes`, which begin at an address divisible by the file's alignment. `isa` and `threads` are
    /// as in [`OpenOptions`](crate::engine::OpenOptions), but the default is one thread: a model that is part of a
    /// program is small, and dividing a multiplication of some microseconds costs more than it gains.
    ///
    /// # Errors
    /// [`Error`] if they hold no model that barre can run, or if the machine lacks what is asked for.
    pub fn open(bytes: &'b [u8], isa: Option<&str>, threads: Option<usize>) -> Result<Self, Error> {
        let kernels = detect::kernels_named(isa)?;
        let pool = Pool::new(threads.unwrap_or(1))?;
        let mut reader = bytes;
        let gguf = Gguf::open(&mut reader)?;
        let model = Model::load(&gguf, &mut reader)?;
        Ok(Self { bytes, gguf, model, kernels, pool })
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

    /// The file's tokenizer.
    ///
    /// # Errors
    /// [`VocabError`] if its vocabulary cannot be used.
    pub fn tokenizer(&self) -> Result<Tokenizer, VocabError> {
        Tokenizer::from_gguf(&self.gguf, &mut { self.bytes })
    }

    /// The limits of a session over the model's whole context.
    #[must_use]
    pub fn limits(&self, mode: Mode) -> Limits {
        Limits {
            context: self.model.hparams().context_length,
            batch: 512,
            kv: KvType::F16,
            mode,
            threads: self.pool.threads(),
            weights: WeightPlacement::Mapped,
        }
    }

    /// The memory of a session.
    ///
    /// # Errors
    /// [`PlanError`] if a limit is out of range.
    pub fn plan(&self, limits: &Limits) -> Result<Plan, PlanError> {
        Plan::new(&self.model, &self.kernels, limits)
    }

    /// A session in `arena`, which is as long as `plan` says and aligned to [`Plan::ALIGN`].
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn session<'a>(
        &'a self,
        plan: &Plan,
        arena: &'a mut [u8],
    ) -> Result<Session<'a, &'b [u8]>, SessionError> {
        Session::new(&self.model, self.bytes, plan, arena, &self.kernels, &self.pool)
    }
}
