//! Matrix times one token on x86-64: the stream of blocks in order, and activations laid out for it once a call.
//!
//! As in the frame of the other instruction sets the stream has one prefetch distance and terms go to a buffer; see
//! there. What is done for a step's blocks together (their headers, the transposition of their sums, their floats) asks
//! for activations in the order of the weights' bits, and a step's blocks of them from any column on: they are laid out so in
//! the scratch, once for all the rows of a call.

#![allow(clippy::needless_range_loop, reason = "one index goes through several arrays")]

mod eight;
mod wide;

use super::format::join;
use super::{Entry, FAR, NEAR, Table, add_up};
use crate::array::from_fn;
use crate::kernels::table::compiled;
use crate::kernels::{ActToken, Mode, WRAP};
use crate::part::{cut_mut, holds, part};
use crate::quant::WeightFormat;
use crate::simd::avx2::Avx2;
use crate::simd::avx512::Avx512;
use crate::simd::avxvnni::AvxVnni;
use bytemuck::Pod;
use core::arch::asm;
use core::mem::size_of;

/// A block format, as a kernel of `S` blocks a step sees it, with `R` laid sums a block.
trait Format<const S: usize, const R: usize> {
    /// Which it is.
    const FORMAT: WeightFormat;
    /// A block.
    type Block: Pod;
    /// A block's digits of one plane.
    type Digits: Pod;
    /// A block's sums of digits, as the activations have them.
    type Sums: Pod;
    /// One of a block's sums, as the steps take them.
    type LaidSum: Pod;

    /// Whether rows of `blocks` blocks can be taken.
    fn takes(blocks: usize) -> bool;

    /// A plane's digits in the order of the steps.
    fn lay_out(from: &[Self::Digits], to: &mut [Self::Digits]);

    /// Laid sum `r` of a block.
    fn sum(from: &Self::Sums, r: usize) -> Self::LaidSum;

    /// The terms of a step's blocks.
    ///
    /// # Safety
    /// The CPU has the features of the instruction set in whose table the format stands.
    unsafe fn terms<const P: usize>(
        blocks: &[Self::Block; S],
        acts: &Acts<'_, Self, P, S, R>,
        terms: &mut [f32; S],
    ) where
        Self: Sized;
}

/// What a step's blocks are multiplied with.
struct Acts<'a, F: Format<S, R>, const P: usize, const S: usize, const R: usize> {
    digits: [&'a [F::Digits; S]; P],
    sums: [[&'a [F::LaidSum; S]; R]; P],
    scales: &'a [f32; S],
}

/// One token's activations, laid out.
struct Laid<'a, F: Format<S, R>, const S: usize, const R: usize> {
    /// Blocks in a plane: from any column that a step begins with, `S` of them.
    count: usize,
    digits: &'a [F::Digits],
    /// By planes, and in these by `R` rows of `count`.
    sums: &'a [F::LaidSum],
    scales: &'a [f32],
}

impl<'a, F: Format<S, R>, const S: usize, const R: usize> Laid<'a, F, S, R> {
    /// Lays out `act`, and gives what is left of `scratch` too.
    #[inline(always)]
    fn new(act: &ActToken<'a>, blocks: usize, scratch: &'a mut [u8]) -> Option<(Self, &'a mut [u8])> {
        // Steps begin at multiples of what divides both.
        let count = blocks + S - (1 << blocks.trailing_zeros().min(S.trailing_zeros()));
        let (digits, rest) = cut_mut(scratch, act.planes * count * size_of::<F::Digits>());
        let (sums, rest) = cut_mut(rest, act.planes * R * count * size_of::<F::LaidSum>());
        let digits: &mut [F::Digits] = bytemuck::try_cast_slice_mut(digits).ok()?;
        let sums: &mut [F::LaidSum] = bytemuck::try_cast_slice_mut(sums).ok()?;
        let planes = bytemuck::try_cast_slice::<_, F::Digits>(act.q).ok()?.chunks_exact(blocks);
        for (from, to) in planes.zip(digits.chunks_exact_mut(count)) {
            let (row, wrap) = cut_mut(to, blocks);
            F::lay_out(from, row);
            over_again(row, wrap);
        }
        // Of small blocks there are more sums than blocks already.
        let all = bytemuck::try_cast_slice::<_, F::Sums>(act.sums).ok()?;
        for (from, to) in
            all.chunks_exact(all.len() / act.planes.max(1)).zip(sums.chunks_exact_mut(R * count))
        {
            for (r, to) in to.chunks_exact_mut(count).enumerate() {
                let (row, wrap) = cut_mut(to, blocks);
                for (to, from) in row.iter_mut().zip(from) {
                    *to = F::sum(from, r);
                }
                over_again(row, wrap);
            }
        }
        Some((Self { count, digits, sums, scales: act.d }, rest))
    }

    /// A step's blocks from `column` on, a column of the matrix.
    #[inline(always)]
    fn at<const P: usize>(&self, column: usize) -> Option<Acts<'a, F, P, S, R>> {
        let (mut digits, mut sums) = ([self.digits.first_chunk()?; P], [[self.sums.first_chunk()?; R]; P]);
        for p in 0..P {
            digits[p] = self.digits.get(p * self.count + column..)?.first_chunk()?;
            for r in 0..R {
                sums[p][r] = self.sums.get((p * R + r) * self.count + column..)?.first_chunk()?;
            }
        }
        const { assert!(S <= WRAP) };
        Some(Acts { digits, sums, scales: self.scales.get(column..)?.first_chunk()? })
    }
}

/// Fills `wrap` with the blocks of `row`, over and over.
#[inline(always)]
fn over_again<T: Copy>(row: &[T], wrap: &mut [T]) {
    for to in wrap.chunks_mut(row.len().max(1)) {
        crate::part::copy(to, part(row, 0, to.len()));
    }
}

/// Bytes of scratch for rows of `blocks` blocks of `block_len` weights: what [`Laid`] takes, and a group's terms.
pub(in crate::kernels) const fn scratch_bytes(block_len: usize, blocks: usize) -> usize {
    // Of super-blocks pairs of sums are added up; of small blocks sums have 32 bits.
    let sums = if block_len == 256 { 16 } else { 4 };
    let laid = blocks.saturating_add(wide::STEP).saturating_mul(Mode::MOST_PLANES * (block_len + sums));
    laid.saturating_add(blocks.saturating_mul(wide::STEP).saturating_add(wide::STEP).saturating_mul(4))
}

/// `out[r] = row r · act`. `P` is the number of digit planes.
///
/// # Safety
/// As [`Format::terms`].
#[inline(always)]
unsafe fn rows<F: Format<S, R>, const P: usize, const S: usize, const R: usize>(
    weights: &[u8],
    act: &ActToken<'_>,
    blocks: usize,
    out: &mut [f32],
    scratch: &mut [u8],
) -> Option<()> {
    let (laid, terms) = Laid::<F, S, R>::new(act, blocks, scratch)?;
    let terms: &mut [f32] = bytemuck::try_cast_slice_mut(terms).ok()?;
    let stream: &[F::Block] = bytemuck::try_cast_slice(weights).ok()?;
    // With as many rows as a step has blocks, whatever a row's length, steps end where the rows do.
    for (stream, out) in stream.chunks(S * blocks).zip(out.chunks_mut(S)) {
        let mut column = 0;
        let (steps, rest) = stream.as_chunks();
        // What is not there is computed as the first block again; the room behind the terms takes that.
        let last = rest.first().map(|first| from_fn(|i| *rest.get(i).unwrap_or(first)));
        for (step, terms) in steps.iter().chain(&last).zip(terms.as_chunks_mut().0) {
            let acts = laid.at(column)?;
            // SAFETY: the caller's.
            unsafe { F::terms::<P>(step, &acts, terms) };
            column += S;
            while column >= blocks {
                column -= blocks;
            }
        }
        // SAFETY: every instruction set here has AVX2.
        add_up(unsafe { Avx2::assume() }, part(terms, 0, out.len() * blocks), blocks, out);
    }
    Some(())
}

/// Asks for the lines ahead that block `i` of `step` makes up for: each line of the stream once, spread over the work.
#[inline(always)]
fn prefetch<B, const S: usize>(step: &[B; S], i: usize) {
    let (start, bytes) = (step.as_ptr().cast::<u8>(), size_of::<B>());
    for line in i * bytes / 64..(i + 1) * bytes / 64 {
        let line = start.wrapping_add(64 * line);
        // As assembly, so that it stays where it is between the steps' products: prefetches that the compiler knows it
        // gathers in bursts, which lose a tenth of the bandwidth and more.
        // SAFETY: a prefetch is a hint, of any address.
        unsafe {
            asm!(
                "prefetcht0 [{line} + {near}]", "prefetcht2 [{line} + {far}]",
                line = in(reg) line.addr(), near = const NEAR, far = const FAR, options(nomem, nostack, preserves_flags)
            );
        }
    }
}

/// An entry with these features for a format, of so many blocks a step and laid sums a block; where the format doesn't take
/// a matrix, `$other` does.
macro_rules! entry {
    ($features:literal, $format:ty, $s:expr, $r:expr, $other:expr) => {{
        #[target_feature(enable = $features)]
        fn entry(weights: &[u8], act: &ActToken<'_>, out: &mut [f32], scratch: &mut [u8]) {
            type Digits = <$format as Format<$s, $r>>::Digits;
            let blocks = act.k / size_of::<Digits>();
            if !<$format as Format<$s, $r>>::takes(blocks) {
                if let Some(other) = $other[<$format as Format<$s, $r>>::FORMAT as usize] {
                    // SAFETY: this function has the features of that one.
                    unsafe { other(weights, act, out, scratch) }
                }
                return;
            }
            // SAFETY: this function has the features.
            let done = unsafe {
                match act.planes {
                    1 => rows::<$format, 1, $s, $r>(weights, act, blocks, out, scratch),
                    _ => rows::<$format, { Mode::MOST_PLANES }, $s, $r>(weights, act, blocks, out, scratch),
                }
            };
            holds(done.is_some(), "activations of whole blocks, and scratch for them");
        }
        Some(entry as Entry)
    }};
}

/// A table with entries for these formats (with blocks a step and laid sums a block), and `$other`'s for what they don't take.
macro_rules! table {
    ($name:ident, $other:expr, $features:literal, $($format:ty, $s:expr, $r:expr;)*) => {
        pub(in crate::kernels) static $name: Table = {
            let mut table = $other;
            $(table[<$format as Format<$s, $r>>::FORMAT as usize] = entry!($features, $format, $s, $r, $other);)*
            compiled(table)
        };
    };
}

table!(
    AVX2, super::AVX2_BY_BLOCKS, "avx2,fma,f16c",
    eight::Q4_0<Avx2>, 8, 1;
    eight::Q4_1<Avx2>, 8, 1;
    eight::Q5_0<Avx2>, 8, 1;
    eight::Q5_1<Avx2>, 8, 1;
    eight::Q4K<Avx2>, 8, 4;
    eight::Q5K<Avx2>, 8, 4;
);
table!(
    AVXVNNI, super::AVXVNNI_BY_BLOCKS, "avxvnni,avx2,fma,f16c",
    eight::Q4_0<AvxVnni>, 8, 1;
    eight::Q4_1<AvxVnni>, 8, 1;
    eight::Q5_0<AvxVnni>, 8, 1;
    eight::Q5_1<AvxVnni>, 8, 1;
    eight::Q4K<AvxVnni>, 8, 4;
    eight::Q5K<AvxVnni>, 8, 4;
);
table!(
    AVX512, super::AVX512_BY_BLOCKS, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c",
    wide::Q4_0, 16, 1;
    eight::Q4_1<Avx512>, 8, 1;
    eight::Q5_0<Avx512>, 8, 1;
    eight::Q5_1<Avx512>, 8, 1;
    wide::Q8_0, 16, 1;
    eight::Q4K<Avx512>, 8, 4;
    eight::Q5K<Avx512>, 8, 4;
);
