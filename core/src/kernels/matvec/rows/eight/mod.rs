//! Q8_0 and Q4_0 where there are dot product instructions: eight rows, and eight blocks of each, in one piece of assembly.
//! The products of a block are what the arithmetic needs; each format has its own way to keep the rest small. In common
//! they have that a row is read without gaps, scales and weights alike, by instructions that load into lanes. Those cost a
//! core some insertions beside the load: about as many as the instructions that they save.

mod q4_0;
mod q8_0;

pub(super) use q4_0::Q4_0;
pub(super) use q8_0::Q8_0;

use super::small;
use crate::kernels::{ActToken, WRAP};
use crate::simd::dotprod::Dotprod;
use crate::simd::dots::Dots;
use core::arch::aarch64::*;

/// Rows that are multiplied together.
const ROWS: usize = 8;
/// Blocks of a row in a step.
const STEP: usize = 8;
/// Bytes that a block's digits take at most when they are laid out, with what its sums begin with.
const LAID_OUT: usize = 64;

/// Bytes of scratch for rows of `blocks` blocks.
pub(in crate::kernels) const fn scratch_bytes(blocks: usize) -> usize {
    blocks.saturating_mul(LAID_OUT)
}

/// A format that is multiplied here.
pub(super) trait Eight {
    /// The same format, for rows of other lengths.
    type Small: small::Small;
    /// Bytes of a block.
    const BYTES: usize;
    /// Bytes of a block's digits when they are laid out, on average.
    const LAID_OUT: usize;

    /// Lays out the digits of eight blocks, whose sums are `sums`.
    ///
    /// # Safety
    /// The CPU has Advanced SIMD, and `to` points to room for eight times [`LAID_OUT`](Self::LAID_OUT) bytes.
    unsafe fn lay_out(q: &[[i8; 32]; STEP], sums: &[i16; STEP], to: *mut i8);

    /// Each row's sum over `8·steps` blocks.
    ///
    /// # Safety
    /// The CPU has the dot product instructions. Each of `rows` points to `8·steps` blocks, `y` to their digits as
    /// [`lay_out`](Self::lay_out) leaves them, and `d` to as many scales. `steps` is not 0.
    unsafe fn multiply(
        rows: [*const u8; ROWS],
        y: *const i8,
        d: *const f32,
        steps: usize,
    ) -> [float32x4_t; 2];
}

/// `out[r] = row r · act`, with `P` digit planes.
#[inline(always)]
pub(super) fn rows<D: Dots + Into<Dotprod>, F: Eight, const P: usize>(
    isa: D,
    weights: &[u8],
    act: &ActToken<'_>,
    out: &mut [f32],
    scratch: &mut [u8],
) {
    let &ActToken { k, q, sums, d, .. } = act;
    let (blocks, steps) = (k / 32, k / 32 / STEP);
    if P != 1 || steps == 0 || k != 32 * STEP * steps {
        return small::rows::<D, F::Small, P>(isa, weights, act, out, scratch);
    }
    let _proof: Dotprod = isa.into();
    let laid_out = &mut bytemuck::cast_slice_mut::<u8, i8>(scratch)[..blocks * F::LAID_OUT];
    let row_bytes = blocks * F::BYTES;
    assert!(q.len() == k && d.len() == blocks + WRAP && sums.len() == d.len());
    assert!(weights.len() == out.len() * row_bytes);
    let each = q.as_chunks().0.as_chunks().0.iter().zip(sums.as_chunks().0);
    for ((q, sums), to) in each.zip(laid_out.chunks_exact_mut(STEP * F::LAID_OUT)) {
        // SAFETY: a proof of `Dotprod` says that there is Advanced SIMD, too; the piece is as long as eight blocks take.
        unsafe { F::lay_out(q, sums, to.as_mut_ptr()) };
    }
    let (first, count) = (weights.as_ptr(), out.len());
    for r in (0..count).step_by(ROWS) {
        let row = |r: usize| first.wrapping_add(r * row_bytes);
        let rows = if r + ROWS <= count {
            core::array::from_fn(|i| row(r).wrapping_add(i * row_bytes))
        } else {
            // Rows that are not there repeat the last one.
            core::array::from_fn(|i| row((r + i).min(count - 1)))
        };
        // SAFETY: the CPU has the instructions. A row has `8·steps` blocks, and the activations have as many, laid out
        // above, and their scales. The arrays take the two vectors.
        unsafe {
            let [a, b] = F::multiply(rows, laid_out.as_ptr(), d.as_ptr(), steps);
            let store = |to: &mut [f32; ROWS]| {
                vst1q_f32(to.as_mut_ptr(), a);
                vst1q_f32(to.as_mut_ptr().add(4), b);
            };
            let out = out.get_unchecked_mut(r..);
            match out.first_chunk_mut() {
                Some(eight) => store(eight),
                None => {
                    let mut all = [0.0; ROWS];
                    store(&mut all);
                    out.copy_from_slice(&all[..out.len()]);
                }
            }
        }
    }
}
