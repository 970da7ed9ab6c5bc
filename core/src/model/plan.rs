//! How much memory a model takes, to the byte, from its header alone.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use super::{Matrix, Model};
use crate::kernels::{ActKind, ActsMut, Kernels, KvType, Mode};
use core::fmt;

/// Where the weight matrices are while they are multiplied.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightPlacement {
    /// Where the reader has them: it can address all of them (mapped file, flash, RAM). Nothing is copied.
    Mapped,
    /// Copied into the arena when the session is made.
    Resident,
    /// Read through a window of so many bytes each time they are needed.
    Streamed {
        /// Bytes of the window; at least one row of every matrix.
        window: usize,
    },
}

/// What the caller asks of a session.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Positions in the KV cache, at most the model's own context length.
    pub context: usize,
    /// Tokens of a prompt that pass through the layers together. More than `context` counts as `context`.
    pub batch: usize,
    /// How keys and values are stored.
    pub kv: KvType,
    /// How activations are multiplied.
    pub mode: Mode,
    /// Threads that may take part; each has a slot of scratch.
    pub threads: usize,
    /// Where the weights are.
    pub weights: WeightPlacement,
}

/// One named part of the arena.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// What it is for.
    pub name: &'static str,
    /// Bytes from the arena's start; a multiple of [`Plan::ALIGN`].
    pub offset: usize,
    /// Bytes.
    pub bytes: usize,
}

/// Why there is no plan.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// A limit has a value that no session can have.
    BadLimit {
        /// Which one.
        limit: &'static str,
        /// Its value.
        value: usize,
        /// The smallest possible.
        min: usize,
        /// The largest possible.
        max: usize,
    },
    /// A region is larger than this target can address.
    TooBig {
        /// The region.
        region: &'static str,
        /// Bytes that it would take (`u64::MAX` if even that is too small a number).
        need: u64,
        /// The largest possible.
        have: u64,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BadLimit { limit, value, min, max } => {
                write!(f, "{limit} is {value}; it must be {min} to {max}")
            }
            Self::TooBig { region, need, have } => {
                write!(f, "{region} would take {need} bytes; at most {have} can be had")
            }
        }
    }
}

impl core::error::Error for PlanError {}

/// Tokens of a prompt whose attention one task computes: they share each key and value that it loads.
pub(crate) const ATTEND_TOKENS: usize = 8;

/// The regions of a session's arena.
#[derive(Clone, Debug)]
pub struct Plan {
    limits: Limits,
    regions: [Region; Part::COUNT],
    bytes: usize,
    bytes_per_token: u64,
    slot_bytes: usize,
}

/// The regions, in the arena's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Weights,
    Window,
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
    pub(crate) const COUNT: usize = 19;
    const ALL: [Self; Self::COUNT] = [
        Self::Weights,
        Self::Window,
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

    const fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights, resident",
            Self::Window => "stream window",
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
        limits.batch = limits.batch.min(limits.context);
        let longest_row = model.matrices().map(Matrix::row_bytes).max().unwrap_or(0);
        if let WeightPlacement::Streamed { window } = limits.weights {
            range("stream window", window, longest_row, isize::MAX.unsigned_abs())?;
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
        let mut end = 0usize;
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
                    _ => 0,
                },
                Part::Window => match limits.weights {
                    WeightPlacement::Streamed { window } => window,
                    _ => 0,
                },
                Part::Vectors => product(part, &[model.vector_floats(), 4])?,
                Part::Keys => product(part, &[hparams.kv_len_all, limits.context, limits.kv.bytes()])?,
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
            *region = Region { name: part.name(), offset: end, bytes };
            end = end
                .checked_add(bytes)
                .and_then(|end| end.checked_next_multiple_of(Self::ALIGN))
                .filter(|&end| end <= isize::MAX.unsigned_abs())
                .ok_or(PlanError::TooBig {
                    region: part.name(),
                    need: (end as u64).saturating_add(bytes as u64),
                    have: isize::MAX.unsigned_abs() as u64,
                })?;
        }
        let bytes_per_token = model
            .matrices()
            .fold(0u64, |n, m| n.saturating_add(m.bytes() as u64))
            .saturating_add(model.token_embd().row_bytes() as u64);
        Ok(Self { limits, regions, bytes: end, bytes_per_token, slot_bytes: slot })
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
        self.bytes_per_token
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

/// More threads than any machine this is for has.
const MAX_THREADS: usize = 1024;
