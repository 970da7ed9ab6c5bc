//! What a caller holds: a model at work, in memory of the caller's.
//!
//! ```text
//! session.begin(&prompt)?;
//! while let Progress::Working { done, total } = session.advance()? {
//!     watchdog.feed();
//! }
//! let logits = session.logits();
//! ```
//!
//! [`Session::prefill`] and [`Session::step`] are that loop. After [`Session::new`] nothing allocates.
//!
//! [`Session::save`] and [`Session::restore`] keep a session's past in any `embedded_io` writer and reader.

mod error;
mod saved;

pub use error::SessionError;
pub use saved::{SAVED_VERSION, SavedError, SavedPart};

use crate::io::ReadAt;
use crate::kernels::{Compute, Executor, Kernels, Trace};
use crate::model::{self, Arenas, Batch, Model, Plan, State, WeightPlacement, Weights};
use crate::part::{copy, part, part_mut};

/// A token's number in the vocabulary.
pub type Token = u32;

/// How far a piece of work has come.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do.
    Working {
        /// Pieces done since [`Session::begin`].
        done: usize,
        /// Pieces in all.
        total: usize,
    },
    /// Every token has been taken in and [`Session::logits`] is that of the last.
    Ready,
}

/// The next piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Embed,
    Attention(usize),
    FeedForward(usize),
    /// Logits of the batch's token of that number.
    Head(usize),
}

/// A model at work on one sequence of tokens.
///
/// Borrows the model, an arena of [`Plan::bytes`] bytes, the kernels and the threads; owns the reader (which may
/// itself be a reference). An error leaves the positions taken in as they were: the failed call may be made again and
/// gives the bits that it would have given.
pub struct Session<'a, R> {
    model: &'a Model,
    plan: Plan,
    compute: Compute<'a>,
    weights: Weights<R>,
    state: State<'a>,
    /// Positions taken in.
    position: usize,
    /// `position` when the present work began.
    start: usize,
    /// `position` when it will be done.
    target: usize,
    stage: Stage,
    /// Whether each position's logits are wanted, rather than the last one's.
    each: bool,
    has_logits: bool,
}

impl<R> core::fmt::Debug for Session<'_, R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Session")
            .field("position", &self.position)
            .field("target", &self.target)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl<'a, R: ReadAt> Session<'a, R> {
    /// Carves the arena, and reads norms, biases and, where the plan says so, all weights into it.
    ///
    /// `arena` is at least [`Plan::bytes`] long and aligned to [`Plan::ALIGN`]; what it holds doesn't matter.
    /// `kernels` are those that the plan was made for.
    ///
    /// # Errors
    /// [`SessionError`] if the arena is too small or misaligned, the plan is another model's, a read fails, or weights
    /// are said to be mapped but the reader has no view of them.
    pub fn new(
        model: &'a Model,
        reader: R,
        plan: &Plan,
        arena: &'a mut [u8],
        kernels: &'a Kernels,
        executor: &'a dyn Executor,
    ) -> Result<Self, SessionError> {
        Self::in_two_arenas(model, reader, plan, arena, &mut [], kernels, executor)
    }

    /// As [`new`](Self::new), for a plan [`with_fast`](Plan::with_fast) memory: `fast` is at least
    /// [`Plan::fast_bytes`] long and aligned as the other arena is.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[inline(never)]
    pub fn in_two_arenas(
        model: &'a Model,
        reader: R,
        plan: &Plan,
        arena: &'a mut [u8],
        fast: &'a mut [u8],
        kernels: &'a Kernels,
        executor: &'a dyn Executor,
    ) -> Result<Self, SessionError> {
        for (need, have) in [(plan.bytes(), arena.len()), (plan.fast_bytes(), fast.len())] {
            if have < need {
                return Err(SessionError::BufferTooSmall { need, have });
            }
        }
        // Every length below is taken from the plan, so one made for another model must not get any further. Planning
        // again is arithmetic on some hundred tensors.
        let own = Plan::new(model, kernels, plan.limits()).map(|own| own.with_fast(plan.fast_limit()));
        if !own.is_ok_and(|own| own.is_same(plan)) {
            return Err(SessionError::ForeignPlan);
        }
        let Some(state) = State::new(plan, Arenas { main: arena, fast }) else {
            return Err(SessionError::Misaligned { align: Plan::ALIGN });
        };
        let mut weights = Weights::new(reader, plan.limits().weights);
        for v in model.vectors() {
            let place = part_mut(state.vectors, v.slot(), v.len());
            weights.load_vector(v, place).map_err(SessionError::Vector)?;
        }
        match plan.limits().weights {
            WeightPlacement::Resident => {
                for matrix in model.matrices() {
                    weights.load_matrix(matrix, state.weights)?;
                }
            }
            WeightPlacement::Mapped => {
                // Without an output head of its own, a model has the embedding among its matrices.
                let embd = (!model.output_is_tied()).then_some(model.token_embd());
                for matrix in model.matrices().chain(embd) {
                    if weights.reader.view(matrix.abs(), matrix.bytes()).is_none() {
                        return Err(SessionError::NotMapped { tensor: matrix.name() });
                    }
                }
            }
            WeightPlacement::Pinned { .. } | WeightPlacement::Lent { .. } if cfg!(feature = "streaming") => {
                weights.load_pins(model, state.pins, state.weights)?;
            }
            _ => {}
        }
        Ok(Self {
            model,
            plan: plan.clone(),
            compute: Compute { kernels, executor, trace: None },
            weights,
            state,
            position: 0,
            start: 0,
            target: 0,
            stage: Stage::Idle,
            each: false,
            has_logits: false,
        })
    }

    /// Has `trace` told of every multiplication from now on.
    pub fn set_trace(&mut self, trace: Option<&'a dyn Trace>) {
        self.compute.trace = trace;
    }

    /// Takes `tokens` in at the next positions; the logits of the last.
    ///
    /// # Errors
    /// [`SessionError`]. The session is then as before the call.
    pub fn prefill(&mut self, tokens: &[Token]) -> Result<&[f32], SessionError> {
        self.begin(tokens)?;
        self.finish(&mut |_, _| {})?;
        Ok(self.state.logits)
    }

    /// Takes one token in; the logits after it.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
    pub fn step(&mut self, token: Token) -> Result<&[f32], SessionError> {
        self.prefill(&[token])
    }

    /// Takes `tokens` in and hands `each` the position and the logits of every one of them.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
    pub fn prefill_each(
        &mut self,
        tokens: &[Token],
        each: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), SessionError> {
        self.begin(tokens)?;
        self.each = true;
        self.finish(each)
    }

    /// Prepares to take `tokens` in at the next positions. Nothing is computed yet.
    ///
    /// # Errors
    /// [`SessionError`] if there are none, if they do not fit the context, if one is no token of the model's or
    /// if earlier work is not done; nothing has changed then.
    pub fn begin(&mut self, tokens: &[Token]) -> Result<(), SessionError> {
        if self.stage != Stage::Idle {
            return Err(SessionError::Busy);
        }
        if tokens.is_empty() {
            return Err(SessionError::NoTokens);
        }
        let context = self.plan.limits().context;
        let need = self.position.saturating_add(tokens.len());
        if need > context {
            return Err(SessionError::ContextFull { need, have: context });
        }
        let vocab_size = self.model.hparams().vocab_size;
        if let Some((index, &token)) = tokens.iter().enumerate().find(|&(_, &t)| t as usize >= vocab_size) {
            return Err(SessionError::BadToken { index, token, vocab_size });
        }
        copy(part_mut(self.state.tokens, self.position, tokens.len()), tokens);
        self.start = self.position;
        self.target = need;
        self.stage = Stage::Embed;
        self.each = false;
        self.has_logits = false;
        Ok(())
    }

    /// Does the next piece of the work that [`begin`](Self::begin) prepared: the embedding of a batch, one half
    /// of one layer, or one output head.
    ///
    /// # Errors
    /// [`SessionError`]. The piece may then be tried again by another call, or the work dropped by
    /// [`cancel`](Self::cancel).
    pub fn advance(&mut self) -> Result<Progress, SessionError> {
        let Self { model, plan, compute, weights, state, .. } = self;
        let (model, compute) = (*model, *compute);
        let layers = model.layers().len();
        let tokens = (self.target - self.position).min(plan.limits().batch);
        let last_batch = self.position + tokens == self.target;
        let heads = if self.each { tokens } else { usize::from(last_batch) };
        let batch = Batch {
            first: self.position,
            tokens,
            #[cfg(feature = "batch")]
            heads: heads.max(1),
        };
        weights.expect_heads(heads, if let (Stage::Head(t), true) = (self.stage, self.each) { t } else { 0 });
        self.stage = match self.stage {
            Stage::Idle => return Ok(Progress::Ready),
            Stage::Embed => {
                model::embed(model, weights, state, batch)?;
                Stage::Attention(0)
            }
            Stage::Attention(layer) => {
                model::attention(model, plan, compute, weights, state, layer, batch)?;
                Stage::FeedForward(layer)
            }
            Stage::FeedForward(layer) => {
                model::feed_forward(model, plan, compute, weights, state, layer, batch)?;
                if layer + 1 < layers {
                    Stage::Attention(layer + 1)
                } else if self.each {
                    Stage::Head(0)
                } else if last_batch {
                    Stage::Head(batch.tokens - 1)
                } else {
                    self.position += batch.tokens;
                    Stage::Embed
                }
            }
            Stage::Head(t) => {
                model::head(model, plan, compute, weights, state, t)?;
                self.has_logits = true;
                if t + 1 < batch.tokens {
                    Stage::Head(t + 1)
                } else {
                    self.position += batch.tokens;
                    if last_batch { Stage::Idle } else { Stage::Embed }
                }
            }
        };
        Ok(match self.stage {
            Stage::Idle => Progress::Ready,
            _ => self.progress(),
        })
    }

    /// Drops the work begun: the session is as before [`begin`](Self::begin), but that it has no logits.
    pub fn cancel(&mut self) {
        if self.stage != Stage::Idle {
            self.position = self.start;
            self.target = self.start;
            self.stage = Stage::Idle;
        }
    }

    /// Forgets everything after the first `position` positions, work begun included, so that others can follow.
    ///
    /// # Errors
    /// [`SessionError::BadPosition`] if that many have not been taken in; nothing is forgotten then.
    pub fn rewind(&mut self, position: usize) -> Result<(), SessionError> {
        let have = if self.stage == Stage::Idle { self.position } else { self.start };
        if position > have {
            return Err(SessionError::BadPosition { position, have });
        }
        self.cancel();
        self.position = position;
        self.has_logits = false;
        Ok(())
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.cancel();
        self.position = 0;
        self.has_logits = false;
    }

    /// The logits of the last token taken in, `vocab_size` long; empty before the first and while work is under way.
    #[must_use]
    pub fn logits(&self) -> &[f32] {
        if self.has_logits && self.stage == Stage::Idle { self.state.logits } else { &[] }
    }

    /// Positions taken in.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The tokens taken in, from position 0 on.
    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        part(self.state.tokens, 0, self.position)
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &'a Model {
        self.model
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Advances until ready; takes the work back if a piece of it fails.
    fn finish(&mut self, each: &mut dyn FnMut(usize, &[f32])) -> Result<(), SessionError> {
        loop {
            let (stage, first) = (self.stage, self.position);
            match self.advance() {
                Ok(progress) => {
                    if let (Stage::Head(t), true) = (stage, self.each) {
                        each(first + t, self.state.logits);
                    }
                    if progress == Progress::Ready {
                        return Ok(());
                    }
                }
                Err(e) => {
                    self.cancel();
                    return Err(e);
                }
            }
        }
    }

    /// Pieces done and to do. A batch is one embedding and two halves of each layer; a head is one.
    fn progress(&self) -> Progress {
        let layers = self.model.layers().len();
        let piece_count = 1 + 2 * layers;
        let batch = self.plan.limits().batch.max(1);
        let batches = (self.target - self.start).div_ceil(batch);
        let heads = if self.each { self.target - self.start } else { 1 };
        let batches_done = (self.position - self.start).div_ceil(batch);
        let heads_done = if self.each { self.position - self.start } else { 0 };
        let now = match self.stage {
            Stage::Idle | Stage::Embed => 0,
            Stage::Attention(l) => 1 + 2 * l,
            Stage::FeedForward(l) => 2 + 2 * l,
            Stage::Head(t) => piece_count + if self.each { t } else { 0 },
        };
        Progress::Working {
            done: batches_done * piece_count + heads_done + now,
            total: batches * piece_count + heads,
        }
    }
}
