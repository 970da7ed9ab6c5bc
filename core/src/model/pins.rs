//! Which weights stay in memory, and in which order the others stream past.
//!
//! A dense model reads every weight once a token, in the same order each time. So every pinned byte saves one byte
//! read a token, whichever it is; a cache that evicts what was used longest ago would never hit; and all that one
//! weight can have over another is the cost of a read as such. The order of pinning follows from that:
//!
//! 1. matrices of at most [`SMALL`] bytes, for which a read costs more in latency than in bytes;
//! 2. whole layers, spread evenly: while a pinned layer is multiplied, the next streamed one is read. The order of
//!    layers is that of their numbers' bits reversed, of which every beginning is spread evenly;
//! 3. the output head, which a prompt needs only once, where it needs a layer once a batch.
//!
//! The set is a beginning of that order, cut at a row, so it is fixed, and that of a larger budget contains that of
//! a smaller one.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use super::tensors::{MATRICES_PER_LAYER, PACK_ALIGN};
use super::{Layer, Matrix, Model};

/// Bytes of the largest matrix that is pinned before any other: what a flash card reads in the time that it takes
/// to begin a read.
pub(crate) const SMALL: usize = 512 << 10;

/// The rows of one matrix that are in the arena: the first `rows`, from byte `start` of the region on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Pin {
    pub(crate) start: u64,
    pub(crate) rows: u64,
}

/// Tells `each` of every matrix of which `bytes` of memory hold any row; the weight bytes that are held.
pub(crate) fn for_each_pin(model: &Model, bytes: u64, mut each: impl FnMut(&Matrix, Pin)) -> u64 {
    let (mut end, mut held) = (0u64, 0u64);
    for matrix in pin_order(model) {
        let (row_bytes, n) = (matrix.row_bytes() as u64, matrix.n() as u64);
        let rows = bytes.saturating_sub(end).checked_div(row_bytes).unwrap_or(0).min(n);
        if rows == 0 {
            break;
        }
        each(matrix, Pin { start: end, rows });
        let taken = rows.saturating_mul(row_bytes);
        held = held.saturating_add(taken);
        // A model's packed size fits 64 bits, and this is a part of it.
        end = end.saturating_add(taken).checked_next_multiple_of(PACK_ALIGN).unwrap_or(u64::MAX);
        if rows < n {
            break;
        }
    }
    held
}

/// Every matrix, the most worth pinning first.
fn pin_order(model: &Model) -> impl Iterator<Item = &Matrix> {
    let is_small = |m: &&Matrix| m.bytes() <= SMALL;
    let is_large = |m: &&Matrix| m.bytes() > SMALL;
    let layers = model.layers();
    let bits = layers.len().next_power_of_two().trailing_zeros();
    let spread = (0..layers.len().next_power_of_two())
        .map(move |i| i.reverse_bits().checked_shr(usize::BITS.saturating_sub(bits)).unwrap_or(0))
        .filter_map(|i| layers.get(i));
    model
        .matrices()
        .filter(is_small)
        .chain(spread.flat_map(Layer::matrices).filter(is_large))
        .chain(core::iter::once(model.output()).filter(is_large))
}

/// The matrix that a pass over the weights comes to at `step`: layer by layer in the order of computation and, where
/// that leaves a choice (queries, keys and values; gate and up), in that of the file. The last is the output head.
pub(crate) fn matrix_at(model: &Model, step: usize) -> Option<&Matrix> {
    let layer = step.checked_div(MATRICES_PER_LAYER)?;
    if layer == model.layers().len() {
        return (step.checked_rem(MATRICES_PER_LAYER)? == 0).then(|| model.output());
    }
    let mut matrices = model.layers().get(layer)?.matrices();
    for group in [0..3, 4..6] {
        in_file_order(matrices.get_mut(group)?, |m| m);
    }
    matrices.get(step.checked_rem(MATRICES_PER_LAYER)?).copied()
}

/// Sorts what can be computed in any order by its matrix's place in the file.
pub(crate) fn in_file_order<T>(group: &mut [T], matrix: impl Fn(&T) -> &Matrix) {
    // Three at most.
    for end in 1..group.len() {
        for at in (0..end).rev() {
            if let Some([a, b]) = group.get_mut(at..).and_then(|rest| rest.first_chunk_mut())
                && matrix(b).abs() < matrix(a).abs()
            {
                core::mem::swap(a, b);
            }
        }
    }
}
