//! How much memory a model takes, to the byte, from its header alone.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use super::limits::MAX_THREADS;
use super::pins::{Pin, for_each_pin};
use super::{Limits, MAX_SLOTS, Matrix, Model, PlanError, WeightPlacement};
use crate::kernels::{ActKind, ActsMut, Kernels};

/// Readers that go around the system's page cache read whole pages, so a lent chunk may begin and end inside one.
const LENT_PAGE: usize = 4096;

/// Which of a board's memories a region lies in.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// The arena, on a board with two kinds of memory the large, slow one.
    #[default]
    Main,
    /// The second arena of [`Plan::with_fast`]: small and fast, such as tightly coupled memory.
    Fast,
}

/// One named part of the arena.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// What it is for.
    pub name: &'static str,
    /// Where it lies.
    pub memory: Memory,
    /// Bytes from the start of that arena; a multiple of [`Plan::ALIGN`].
    pub offset: usize,
    /// Bytes.
    pub bytes: usize,
}

/// Tokens of a prompt whose attention one task computes: they share each key and value that it loads.
pub(crate) const ATTEND_TOKENS: usize = 8;

/// The regions of a session's arena.
#[derive(Clone, Debug)]
pub struct Plan {
    limits: Limits,
    regions: [Region; Part::COUNT],
    bytes: usize,
    /// Bytes of the fast arena that may be used, and that are.
    fast_limit: usize,
    fast_bytes: usize,
    reader_bytes: usize,
    matrix_bytes: u64,
    embd_row_bytes: u64,
    resident_bytes: u64,
    slot_bytes: usize,
}

/// The regions, in the arena's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Weights,
    Window,
    Pins,
    Vectors,
    Keys,
    Tokens,
    Hidden,
    Normed,
    Query,
    Key,
    Value,
    Attended,
    Gate,
    Up,
    Acts32,
    Acts256,
    Rope,
    EmbdRow,
    Logits,
    Scratch,
}

impl Part {
    pub(crate) const COUNT: usize = 20;
    const ALL: [Self; Self::COUNT] = [
        Self::Weights,
        Self::Window,
        Self::Pins,
        Self::Vectors,
        Self::Keys,
        Self::Tokens,
        Self::Hidden,
        Self::Normed,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::Attended,
        Self::Gate,
        Self::Up,
        Self::Acts32,
        Self::Acts256,
        Self::Rope,
        Self::EmbdRow,
        Self::Logits,
        Self::Scratch,
    ];

    /// The regions in the order in which fast memory pays, by how often a token touches each of their bytes: scratch
    /// and activations at every matrix, the window at every chunk, the state some times a layer, cache and weights
    /// once, the rest less.
    const FASTEST_FIRST: [Self; Self::COUNT] = [
        Self::Scratch,
        Self::Acts256,
        Self::Acts32,
        Self::Window,
        Self::Normed,
        Self::Hidden,
        Self::Gate,
        Self::Up,
        Self::Query,
        Self::Attended,
        Self::Key,
        Self::Value,
        Self::Rope,
        Self::Pins,
        Self::Vectors,
        Self::Keys,
        Self::Weights,
        Self::Logits,
        Self::EmbdRow,
        Self::Tokens,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights, resident",
            Self::Window => "stream window",
            Self::Pins => "table of resident rows",
            Self::Vectors => "norms and biases",
            Self::Keys => "KV cache",
            Self::Tokens => "token history",
            Self::Hidden => "hidden state",
            Self::Normed => "normed state",
            Self::Query => "queries",
            Self::Key => "keys",
            Self::Value => "values",
            Self::Attended => "attention result",
            Self::Gate => "feed-forward gate",
            Self::Up => "feed-forward up",
            Self::Acts32 => "activations, blocks of 32",
            Self::Acts256 => "activations, super-blocks",
            Self::Rope => "rotary table",
            Self::EmbdRow => "embedding row",
            Self::Logits => "logits",
            Self::Scratch => "kernel scratch",
        }
    }
}

/// Bytes of a product of lengths, or the error of the region that it was for.
fn product(region: Part, factors: &[usize]) -> Result<usize, PlanError> {
    let exact = factors.iter().try_fold(1u64, |n, &f| n.checked_mul(f as u64)).unwrap_or(u64::MAX);
    usize::try_from(exact).ok().filter(|&n| n <= isize::MAX.unsigned_abs()).ok_or(PlanError::TooBig {
        region: region.name(),
        need: exact,
        have: isize::MAX.unsigned_abs() as u64,
    })
}

impl Plan {
    /// Alignment of the arena and of every region in it.
    pub const ALIGN: usize = 64;

    /// The regions that a session of `model` within `limits` needs, for these kernels.
    ///
    /// # Errors
    /// [`PlanError`] if a limit is out of range or a region is larger than the target can address.
    pub fn new(model: &Model, kernels: &Kernels, limits: &Limits) -> Result<Self, PlanError> {
        let hparams = model.hparams();
        let mut limits = *limits;
        let range = |limit, value, min, max| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(PlanError::BadLimit { limit, value, min, max })
            }
        };
        range("context", limits.context, 1, hparams.context_length)?;
        range("batch", limits.batch, 1, usize::MAX)?;
        range("threads", limits.threads, 1, MAX_THREADS)?;
        if !limits.kv.is_compiled() {
            return Err(PlanError::NotCompiled { feature: "kv-q8_0" });
        }
        let block = limits.kv.block_len();
        for (key, len) in
            [("attention.key_length", hparams.key_length), ("attention.value_length", hparams.value_length)]
        {
            if !len.is_multiple_of(block) {
                return Err(PlanError::BrokenBlock { key, len, block });
            }
        }
        limits.batch = limits.batch.min(limits.context);
        let longest_row = model.matrices().map(Matrix::row_bytes).max().unwrap_or(0);
        let most = isize::MAX.unsigned_abs();
        match &mut limits.weights {
            WeightPlacement::Mapped | WeightPlacement::Resident => {}
            _ if !cfg!(feature = "streaming") => {
                return Err(PlanError::NotCompiled { feature: "streaming" });
            }
            WeightPlacement::Streamed { window } => range("stream window", *window, longest_row, most)?,
            WeightPlacement::Pinned { pinned, window } => {
                range("stream window", *window, longest_row, most)?;
                *pinned = (*pinned).min(usize::try_from(model.packed_bytes()).unwrap_or(usize::MAX));
            }
            WeightPlacement::Lent { pinned, chunk, slots } => {
                range("lent chunk", *chunk, longest_row, most)?;
                range("read-ahead slots", *slots, 1, MAX_SLOTS)?;
                *pinned = (*pinned).min(usize::try_from(model.packed_bytes()).unwrap_or(usize::MAX));
            }
        }

        let batch = limits.batch;
        let widest = |f: fn(&super::LayerShape) -> usize| hparams.layers.iter().map(f).max().unwrap_or(0);
        let floats = |part, per_token: usize| product(part, &[per_token, batch, 4]);
        let acts = |part, kind| {
            let mut most = 0;
            for m in model.matrices().filter(|m| ActKind::of(m.format()) == kind) {
                let bytes = ActsMut::bytes(kind, limits.mode, m.k(), batch).ok_or(PlanError::TooBig {
                    region: Part::name(part),
                    need: u64::MAX,
                    have: isize::MAX.unsigned_abs() as u64,
                })?;
                most = most.max(bytes);
            }
            Ok(most)
        };
        let slot = {
            let group = hparams
                .layers
                .iter()
                .filter_map(|l| l.head_count.checked_div(l.head_count_kv))
                .max()
                .unwrap_or(1);
            let (key_len, value_len) = (hparams.key_length, hparams.value_length);
            let tokens = ATTEND_TOKENS.min(batch);
            let attend = kernels.attend_scratch_bytes(key_len, value_len, limits.context, group, tokens);
            model
                .matrices()
                .map(|m| kernels.matmul_scratch_bytes(m.format(), m.k(), batch))
                .fold(attend, usize::max)
                .checked_next_multiple_of(Self::ALIGN)
                .unwrap_or(usize::MAX)
        };

        let mut regions = [Region::default(); Part::COUNT];
        for (region, part) in regions.iter_mut().zip(Part::ALL) {
            let bytes = match part {
                Part::Weights => match limits.weights {
                    WeightPlacement::Resident => {
                        usize::try_from(model.packed_bytes()).map_err(|_| PlanError::TooBig {
                            region: part.name(),
                            need: model.packed_bytes(),
                            have: isize::MAX.unsigned_abs() as u64,
                        })?
                    }
                    other => other.pinned().unwrap_or(0),
                },
                Part::Window => match limits.weights {
                    WeightPlacement::Streamed { window } | WeightPlacement::Pinned { window, .. } => window,
                    _ => 0,
                },
                Part::Pins => match limits.weights.pinned() {
                    Some(_) => product(part, &[model.matrices().count(), size_of::<Pin>()])?,
                    None => 0,
                },
                Part::Vectors => product(part, &[model.vector_floats(), 4])?,
                Part::Keys => {
                    let blocks = hparams.kv_len_all.checked_div(block).unwrap_or(0);
                    product(part, &[blocks, limits.context, limits.kv.block_bytes()])?
                }
                Part::Tokens => product(part, &[limits.context, 4])?,
                Part::Hidden | Part::Normed => floats(part, hparams.embedding_length)?,
                Part::Query => floats(part, widest(|l| l.query_len))?,
                Part::Key => floats(part, widest(|l| l.key_len_all))?,
                Part::Value => floats(part, widest(|l| l.value_len_all))?,
                Part::Attended => floats(part, widest(|l| l.attn_len))?,
                Part::Gate | Part::Up => floats(part, widest(|l| l.feed_forward_length))?,
                Part::Acts32 => acts(part, ActKind::Block32)?,
                Part::Acts256 => acts(part, ActKind::Block256)?,
                Part::Rope => floats(part, hparams.rope_dimension_count)?,
                Part::EmbdRow => model.token_embd().row_bytes(),
                Part::Logits => product(part, &[hparams.vocab_size, 4])?,
                Part::Scratch => product(part, &[slot, limits.threads])?,
            };
            *region = Region { name: part.name(), memory: Memory::Main, offset: 0, bytes };
        }
        let mut matrix_bytes = 0u64;
        for m in model.matrices() {
            matrix_bytes = matrix_bytes.saturating_add(m.bytes() as u64);
        }
        let resident_bytes = match limits.weights {
            WeightPlacement::Mapped | WeightPlacement::Resident => matrix_bytes,
            WeightPlacement::Streamed { .. } => 0,
            _ if !cfg!(feature = "streaming") => 0,
            WeightPlacement::Pinned { pinned, .. } | WeightPlacement::Lent { pinned, .. } => {
                for_each_pin(model, pinned as u64, |_, _| {})
            }
        };
        let mut plan = Self {
            limits,
            regions,
            bytes: 0,
            fast_limit: 0,
            fast_bytes: 0,
            reader_bytes: reader_bytes(limits.weights)?,
            matrix_bytes,
            embd_row_bytes: model.token_embd().row_bytes() as u64,
            resident_bytes,
            slot_bytes: slot,
        };
        plan.lay_out()?;
        Ok(plan)
    }

    /// The same plan for a board with two memories, of which the fast one has `fast` bytes to give. The regions that
    /// a token touches most, by the byte, go there, each as a whole; the others stay in [`Memory::Main`].
    #[must_use]
    pub fn with_fast(mut self, fast: usize) -> Self {
        self.fast_limit = fast;
        let mut left = fast;
        for part in Part::FASTEST_FIRST {
            let Some(region) = self.regions.get_mut(part as usize) else { continue };
            let rest = region.bytes.checked_next_multiple_of(Self::ALIGN).and_then(|b| left.checked_sub(b));
            region.memory = match rest {
                Some(rest) if region.bytes > 0 => {
                    left = rest;
                    Memory::Fast
                }
                _ => Memory::Main,
            };
        }
        // Either arena is a part of what fitted one.
        let _ = self.lay_out();
        self
    }

    /// Gives every region its place in its arena.
    fn lay_out(&mut self) -> Result<(), PlanError> {
        let (mut main, mut fast) = (0usize, 0usize);
        for region in &mut self.regions {
            let end = match region.memory {
                Memory::Main => &mut main,
                Memory::Fast => &mut fast,
            };
            region.offset = *end;
            *end = end
                .checked_add(region.bytes)
                .and_then(|end| end.checked_next_multiple_of(Self::ALIGN))
                .filter(|&end| end <= isize::MAX.unsigned_abs())
                .ok_or(PlanError::TooBig {
                    region: region.name,
                    need: (*end as u64).saturating_add(region.bytes as u64),
                    have: isize::MAX.unsigned_abs() as u64,
                })?;
        }
        (self.bytes, self.fast_bytes) = (main, fast);
        Ok(())
    }

    /// Bytes of the arena.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The limits that hold: as asked, with `batch` cut to `context`.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The regions that take any memory, in the arena's order.
    pub fn regions(&self) -> impl Iterator<Item = Region> {
        self.regions.into_iter().filter(|r| r.bytes > 0)
    }

    /// Weight bytes that one decoded token reads: every matrix once and a row of the embedding.
    #[must_use]
    pub const fn bytes_per_token(&self) -> u64 {
        self.matrix_bytes.saturating_add(self.embd_row_bytes)
    }

    /// Bytes of the KV cache that one position takes, in all layers: what attention reads for each position that a
    /// token sees.
    #[must_use]
    pub fn kv_bytes_per_position(&self) -> u64 {
        let cache = self.regions.iter().find(|r| r.name == Part::Keys.name()).map_or(0, |r| r.bytes);
        cache.checked_div(self.limits.context).unwrap_or(0) as u64
    }

    /// Bytes of the second, fast arena: 0 unless [`with_fast`](Self::with_fast) gave it any region.
    #[must_use]
    pub const fn fast_bytes(&self) -> usize {
        self.fast_bytes
    }

    /// Bytes of the buffers that a lending reader has of its own, beside the arena. 0 where it lends nothing.
    #[must_use]
    pub const fn reader_bytes(&self) -> usize {
        self.reader_bytes
    }

    /// Bytes of each of the reader's buffers; a multiple of a page of 4096 bytes.
    #[must_use]
    pub fn reader_slot_bytes(&self) -> usize {
        match self.limits.weights {
            WeightPlacement::Lent { slots, .. } => self.reader_bytes.checked_div(slots).unwrap_or(0),
            _ => 0,
        }
    }

    /// All memory of the plan: both arenas and the reader's buffers.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        (self.bytes as u64).saturating_add(self.fast_bytes as u64).saturating_add(self.reader_bytes as u64)
    }

    /// Bytes of the matrices that are in memory all the time: all where they are mapped or resident.
    #[must_use]
    pub const fn resident_bytes(&self) -> u64 {
        self.resident_bytes
    }

    /// The part of the matrices that is in memory all the time, 0 to 1.
    #[must_use]
    pub fn resident_fraction(&self) -> f64 {
        self.resident_bytes as f64 / self.matrix_bytes as f64
    }

    /// Bytes that are read from storage for one decoded token: every matrix less what is resident, and a row of the
    /// embedding. A batch of a prompt reads the same and a row for each further token.
    #[must_use]
    pub const fn streamed_bytes_per_token(&self) -> u64 {
        match self.limits.weights {
            WeightPlacement::Mapped => 0,
            _ => self.matrix_bytes.saturating_sub(self.resident_bytes).saturating_add(self.embd_row_bytes),
        }
    }

    /// Decoded tokens a second that storage of so many bytes a second allows; `None` if no matrix is streamed, so
    /// that storage is no bound.
    #[must_use]
    pub fn tokens_per_second(&self, bytes_per_second: f64) -> Option<f64> {
        (self.resident_bytes < self.matrix_bytes)
            .then(|| bytes_per_second / self.streamed_bytes_per_token() as f64)
    }

    /// What [`with_fast`](Self::with_fast) was told.
    pub(crate) const fn fast_limit(&self) -> usize {
        self.fast_limit
    }

    /// Whether `other` lays the same regions out.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.regions == other.regions && self.slot_bytes == other.slot_bytes
    }

    /// Bytes of one thread's slot in the scratch region.
    pub(crate) const fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// Every region, empty ones too, in the order of [`Part`].
    pub(crate) const fn parts(&self) -> &[Region; Part::COUNT] {
        &self.regions
    }
}

/// Bytes of a lending reader's buffers.
fn reader_bytes(weights: WeightPlacement) -> Result<usize, PlanError> {
    let WeightPlacement::Lent { chunk, slots, .. } = weights else { return Ok(0) };
    if !cfg!(feature = "streaming") {
        return Ok(0);
    }
    chunk
        .checked_next_multiple_of(LENT_PAGE)
        .and_then(|whole| whole.checked_add(LENT_PAGE))
        .and_then(|slot| slot.checked_mul(slots))
        .filter(|&bytes| bytes <= isize::MAX.unsigned_abs())
        .ok_or(PlanError::TooBig {
            region: READ_AHEAD,
            need: (chunk as u64).saturating_mul(slots as u64),
            have: isize::MAX.unsigned_abs() as u64,
        })
}

/// The name of the reader's buffers among the regions.
pub(crate) const READ_AHEAD: &str = "read-ahead buffers";
