//! What a caller asks of a session, and why it may be more than can be had.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use crate::kernels::{KvType, Mode};
use core::fmt;

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
    /// As many as fit into `pinned` bytes are copied into the arena, the others read through a window.
    Pinned {
        /// Bytes for copies, counted as at most those of all matrices.
        pinned: usize,
        /// Bytes of the window; at least one row of every matrix.
        window: usize,
    },
    /// As many as fit into `pinned` bytes are copied into the arena. The others are multiplied in buffers that the
    /// reader fills ahead and lends (see [`ReadAt::lend`](crate::io::ReadAt::lend)); they belong to the reader, and
    /// the plan counts them as [`Plan::reader_bytes`].
    Lent {
        /// Bytes for copies, counted as at most those of all matrices.
        pinned: usize,
        /// Bytes that are lent at a time; at least one row of every matrix.
        chunk: usize,
        /// Buffers of the reader: one is lent while the others are filled. 1 to [`MAX_SLOTS`].
        slots: usize,
    },
}

impl WeightPlacement {
    /// Bytes of weights that are read at a time where they are read each time they are needed.
    pub(crate) const fn chunk(self) -> Option<usize> {
        match self {
            // Known when compiling, so that nothing of streaming is linked.
            _ if !cfg!(feature = "streaming") => None,
            Self::Mapped | Self::Resident => None,
            Self::Streamed { window } | Self::Pinned { window, .. } => Some(window),
            Self::Lent { chunk, .. } => Some(chunk),
        }
    }

    /// Bytes for copies of a part of the weights; `None` where it is all or nothing.
    pub(crate) const fn pinned(self) -> Option<usize> {
        match self {
            _ if !cfg!(feature = "streaming") => None,
            Self::Mapped | Self::Resident | Self::Streamed { .. } => None,
            Self::Pinned { pinned, .. } | Self::Lent { pinned, .. } => Some(pinned),
        }
    }
}

/// More buffers than any reader needs to keep its storage at work.
pub const MAX_SLOTS: usize = 64;

/// More threads than any machine this is for has.
pub(crate) const MAX_THREADS: usize = 1024;

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
    /// Keys or values are to be stored in blocks, and a head is no whole number of them.
    BrokenBlock {
        /// The model's key that has the length of a head.
        key: &'static str,
        /// That length.
        len: usize,
        /// Numbers in a block.
        block: usize,
    },
    /// This build leaves out what the plan asks for.
    NotCompiled {
        /// The feature of `barre-core` that brings it.
        feature: &'static str,
    },
    /// The budget is below the smallest with which the model runs at all.
    OverBudget {
        /// The first region that has no room any more.
        region: &'static str,
        /// The smallest possible budget, in bytes.
        need: u64,
        /// The budget.
        have: u64,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("the plan is refused");
        }
        match *self {
            Self::NotCompiled { feature } => write!(f, "this build leaves out the feature `{feature}`"),
            Self::BrokenBlock { key, len, block } => {
                write!(
                    f,
                    "a cache in blocks of {block} cannot have heads of {len} ({key}); take kv f16 or f32"
                )
            }
            Self::BadLimit { limit, value, min, max } => {
                write!(f, "{limit} is {value}; it must be {min} to {max}")
            }
            Self::TooBig { region, need, have } => {
                write!(f, "{region} would take {need} bytes; at most {have} can be had")
            }
            Self::OverBudget { region, need, have } => {
                write!(
                    f,
                    "no room for {region}: at least {need} bytes are needed in all, the budget is {have}"
                )
            }
        }
    }
}

impl core::error::Error for PlanError {}
