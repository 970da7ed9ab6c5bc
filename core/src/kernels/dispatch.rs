//! The one door through which weight matrices are multiplied.

use super::out::SharedOut;
use super::parallel::for_each_chunk;
use super::{ActKind, Acts, Executor, Kernels, OutCols};
use crate::part::part;
use crate::quant::WeightFormat;
use core::fmt;

/// One multiplication, as a [`Trace`] sees it.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatmulEvent<'a> {
    /// The weight matrix's name in the file, without `.weight`.
    pub tensor: &'a str,
    /// The format that its kernel reads.
    pub format: WeightFormat,
    /// Tokens multiplied at once.
    pub batch: usize,
    /// Inputs.
    pub k: usize,
    /// Outputs.
    pub n: usize,
}

/// Told of every multiplication once it is done.
pub trait Trace {
    /// `event` has just been computed by the fused kernel of its format.
    fn matmul(&self, event: &MatmulEvent<'_>);
}

/// What a multiplication computes with.
#[derive(Clone, Copy)]
pub struct Compute<'a> {
    /// The kernels.
    pub kernels: &'a Kernels,
    /// The threads.
    pub executor: &'a dyn Executor,
    /// Who is told.
    pub trace: Option<&'a dyn Trace>,
}

impl fmt::Debug for Compute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compute").field("kernels", &self.kernels).finish_non_exhaustive()
    }
}

/// Why a multiplication cannot be done.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatmulError {
    /// `k` is not a whole number of the format's blocks.
    RowNotBlockMultiple {
        /// The weights' format.
        format: WeightFormat,
        /// Inputs.
        k: usize,
    },
    /// This build leaves the format out; [`WeightFormat::feature`] brings it.
    NotCompiled {
        /// The weights' format.
        format: WeightFormat,
    },
    /// A buffer does not have the length that the shape asks for.
    Length {
        /// Which buffer.
        what: &'static str,
        /// Its length, in its own elements.
        have: usize,
        /// The length it must have (for scratch: at least).
        need: usize,
    },
    /// The activations are not in the form that the format reads.
    ActKind {
        /// The weights' format.
        format: WeightFormat,
        /// The form it reads.
        want: ActKind,
        /// The form they have.
        got: ActKind,
    },
}

impl fmt::Display for MatmulError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("a product is refused");
        }
        match *self {
            Self::RowNotBlockMultiple { format, k } => {
                write!(f, "{k} inputs are no whole number of {format} blocks of {}", format.block_len())
            }
            Self::NotCompiled { format } => write!(f, "{format} is not part of this build"),
            Self::Length { what, have, need } => write!(f, "{what}: length {have}, need {need}"),
            Self::ActKind { format, want, got } => {
                write!(f, "{format} weights read {} activations, not {}", want.name(), got.name())
            }
        }
    }
}

impl core::error::Error for MatmulError {}

/// Rows that a thread claims at a time at least: enough to hide the claim, few enough that they stay in the cache from token
/// to token.
const CHUNK_ROWS: usize = 64;

/// Rows that a thread claims at a time for a batch: a panel of the widest kernels. With hundreds of tokens a claim takes so
/// long that the last one of a matrix keeps the others waiting.
#[cfg(feature = "batch")]
const BATCH_ROWS: usize = 32;

/// Rows that a thread claims at a time of `rows` where the kernel lays out the activations once a claim: the more the
/// better, as long as the last claim keeps nobody waiting, so at best `claims` a thread.
fn chunk_rows(rows: usize, threads: usize, claims: usize) -> usize {
    let share = rows.checked_div(threads.saturating_mul(claims)).unwrap_or(rows);
    (share / CHUNK_ROWS * CHUNK_ROWS).clamp(CHUNK_ROWS, 32 / claims * CHUNK_ROWS)
}

/// Multiplies `weights` (`rows` rows of `k` weights in `format`, row-major, in their blocks) with a batch of
/// activations `[batch, k]` on the fused kernel of the format, into the columns `first_row ..` of the row-major
/// `out`: `[batch, n]`.
///
/// A matrix that is streamed comes in several calls of consecutive rows; the trace is told when the last is done.
/// `scratch` (aligned to 64) holds one slot of [`Kernels::matmul_scratch_bytes`] for each thread that may take
/// part, at least one.
///
/// # Errors
/// [`MatmulError`] if a length or form does not fit; nothing has been written then.
#[expect(clippy::too_many_arguments, reason = "a matrix product has that many")]
pub fn dispatch_matmul(
    compute: Compute<'_>,
    tensor: &str,
    input: &Acts<'_>,
    weights: &[u8],
    format: WeightFormat,
    batch: usize,
    k: usize,
    n: usize,
    first_row: usize,
    out: &mut [f32],
    scratch: &mut [u8],
) -> Result<(), MatmulError> {
    if !format.is_compiled() {
        return Err(MatmulError::NotCompiled { format });
    }
    let row_bytes = match format.row_bytes(k) {
        Some(bytes) if bytes > 0 => bytes,
        _ => return Err(MatmulError::RowNotBlockMultiple { format, k }),
    };
    let length =
        |what, have, need| if have == need { Ok(()) } else { Err(MatmulError::Length { what, have, need }) };
    let rows = weights.len() / row_bytes;
    length("weights", weights.len(), rows * row_bytes)?;
    length("activations of a token", input.k(), k)?;
    length("tokens", input.tokens(), batch)?;
    length("out", out.len(), batch.saturating_mul(n))?;
    let last_row = first_row.saturating_add(rows);
    if last_row > n {
        return Err(MatmulError::Length { what: "rows", have: last_row, need: n });
    }
    let want = ActKind::of(format);
    if input.kind() != want {
        return Err(MatmulError::ActKind { format, want, got: input.kind() });
    }
    let kernels = compute.kernels;
    let slot = kernels.matmul_scratch_bytes(format, k, batch);
    if scratch.len() < slot {
        return Err(MatmulError::Length { what: "scratch", have: scratch.len(), need: slot });
    }

    let out = SharedOut::new(OutCols::new(out, batch, n));
    let threads = compute.executor.threads();
    #[cfg(feature = "batch")]
    let few = kernels.few_tokens(format);
    let chunk_rows = match batch {
        1 => chunk_rows(rows, threads, 8),
        // More to lay out than for one token.
        #[cfg(feature = "batch")]
        _ if batch > few && kernels.lays_out_batches() => chunk_rows(rows, threads, 4),
        #[cfg(feature = "batch")]
        _ if batch > few => BATCH_ROWS,
        _ => CHUNK_ROWS,
    };
    let chunks = rows.div_ceil(chunk_rows);
    for_each_chunk(compute.executor, chunks, scratch, slot, &|chunk, scratch| {
        let first = chunk * chunk_rows;
        let count = chunk_rows.min(rows - first);
        let weights = part(weights, first * row_bytes, count * row_bytes);
        #[allow(unsafe_code, reason = "each chunk owns the columns of its rows")]
        // SAFETY: chunks are disjoint ranges of rows and each is run once, so no two windows overlap.
        let mut out = unsafe { out.share(first_row + first, count) };
        #[cfg(feature = "batch")]
        if batch > few {
            return kernels.matmul(format, weights, input, &mut out, scratch);
        }
        for t in 0..batch {
            kernels.matvec(format, weights, &input.token(t), out.row_mut(t), scratch);
        }
    });
    if last_row == n
        && let Some(trace) = compute.trace
    {
        trace.matmul(&MatmulEvent { tensor, format, batch, k, n });
    }
    Ok(())
}
