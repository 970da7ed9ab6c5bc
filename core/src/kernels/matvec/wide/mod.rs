//! Matrix times one token with AVX-512: the stream of blocks in order, sixteen a step, in registers of 64 bytes.
//!
//! As in the frame of the other instruction sets the stream has one prefetch distance and terms go to a buffer; see
//! there. Sixteen blocks' partial sums are added up by one transposition, their headers are decoded four at a
//! time, and their floats fill one register, so that a block costs half the instructions. What that asks for is
//! activations in the order of the weights' bits, and sixteen blocks of them from any column on: they are laid out so in
//! the scratch, once for all the rows of a call.

#![allow(clippy::needless_range_loop, reason = "one index goes through several arrays")]

mod q4_k;
mod small;

use super::{Entry, FAR, NEAR, Table, add_up};
use crate::kernels::table::compiled;
use crate::kernels::{ActToken, Mode, WRAP};
use crate::part::{copy, cut_mut, holds, part};
use crate::quant::WeightFormat;
use crate::simd::avx2::Avx2;
use bytemuck::Pod;
use core::arch::x86_64::*;
use core::mem::size_of;

/// Blocks in a step.
const STEP: usize = 16;

/// Rows whose blocks follow one another: with sixteen, whatever a row's length, steps end where the rows do.
const GROUP: usize = 16;

/// A block format, as this kernel sees it.
trait Format {
    /// Which it is.
    const FORMAT: WeightFormat;
    /// A block.
    type Block: Pod;
    /// A block's digits of one plane.
    type Digits: Pod;
    /// A block's sums of digits, as the activations have them.
    type Sums: Pod;
    /// A block's sums of digits, as the steps take them.
    type LaidSums: Pod;

    /// Whether rows of `blocks` blocks can be taken with so many planes of digits.
    fn takes(blocks: usize, planes: usize) -> bool;

    /// A plane's digits in the order of the steps.
    fn lay_out(from: &[Self::Digits], to: &mut [Self::Digits]);

    /// A block's sums for the steps.
    fn sums(from: &Self::Sums) -> Self::LaidSums;

    /// The terms of sixteen blocks.
    ///
    /// # Safety
    /// The CPU has the features of [`Avx512`](crate::simd::avx512::Avx512).
    unsafe fn terms<const P: usize>(blocks: &[Self::Block; STEP], acts: &Acts<'_, Self, P>) -> __m512
    where
        Self: Sized;
}

/// What sixteen blocks of the stream are multiplied with.
struct Acts<'a, F: Format, const P: usize> {
    digits: [&'a [F::Digits; STEP]; P],
    sums: [&'a [F::LaidSums; STEP]; P],
    scales: &'a [f32; STEP],
}

/// One token's activations, laid out.
struct Laid<'a, F: Format> {
    /// Blocks in a plane: from any column that a step begins with, [`STEP`] of them.
    count: usize,
    digits: &'a [F::Digits],
    sums: &'a [F::LaidSums],
    scales: &'a [f32],
}

impl<'a, F: Format> Laid<'a, F> {
    /// Lays out `act`, and gives what is left of `scratch` too.
    #[inline(always)]
    fn new(act: &ActToken<'a>, blocks: usize, scratch: &'a mut [u8]) -> Option<(Self, &'a mut [u8])> {
        // Steps begin at multiples of what divides both.
        let count = blocks + STEP - (1 << blocks.trailing_zeros().min(STEP.trailing_zeros()));
        let (digits, rest) = cut_mut(scratch, act.planes * count * size_of::<F::Digits>());
        let (sums, rest) = cut_mut(rest, act.planes * count * size_of::<F::LaidSums>());
        let digits: &mut [F::Digits] = bytemuck::try_cast_slice_mut(digits).ok()?;
        let sums: &mut [F::LaidSums] = bytemuck::try_cast_slice_mut(sums).ok()?;
        let planes = bytemuck::try_cast_slice::<_, F::Digits>(act.q).ok()?.chunks_exact(blocks);
        for (from, to) in planes.zip(digits.chunks_exact_mut(count)) {
            let (row, wrap) = cut_mut(to, blocks);
            F::lay_out(from, row);
            over_again(row, wrap);
        }
        // Of small blocks there are more sums than blocks already.
        let all = bytemuck::try_cast_slice::<_, F::Sums>(act.sums).ok()?;
        for (from, to) in all.chunks_exact(all.len() / act.planes.max(1)).zip(sums.chunks_exact_mut(count)) {
            let (row, wrap) = cut_mut(to, blocks);
            for (to, from) in row.iter_mut().zip(from) {
                *to = F::sums(from);
            }
            over_again(row, wrap);
        }
        Some((Self { count, digits, sums, scales: act.d }, rest))
    }

    /// Sixteen blocks from `column` on, a column of the matrix.
    #[inline(always)]
    fn at<const P: usize>(&self, column: usize) -> Option<Acts<'a, F, P>> {
        let (mut digits, mut sums) = ([self.digits.first_chunk()?; P], [self.sums.first_chunk()?; P]);
        for p in 0..P {
            digits[p] = self.digits.get(p * self.count + column..)?.first_chunk()?;
            sums[p] = self.sums.get(p * self.count + column..)?.first_chunk()?;
        }
        const { assert!(STEP <= WRAP) };
        Some(Acts { digits, sums, scales: self.scales.get(column..)?.first_chunk()? })
    }
}

/// Fills `wrap` with the blocks of `row`, over and over.
#[inline(always)]
fn over_again<T: Copy>(row: &[T], wrap: &mut [T]) {
    for to in wrap.chunks_mut(row.len().max(1)) {
        copy(to, part(row, 0, to.len()));
    }
}

/// Bytes of scratch for rows of `blocks` blocks of `block_len` weights: what [`Laid`] takes, and a group's terms.
pub(in crate::kernels) const fn scratch_bytes(block_len: usize, blocks: usize) -> usize {
    // Of super-blocks one plane is taken, and pairs of sums are added up; of small blocks all planes, and sums in 32 bits.
    let a_block = if block_len == 256 { 256 + 16 } else { Mode::MOST_PLANES * (block_len + 4) };
    let laid = blocks.saturating_add(STEP).saturating_mul(a_block);
    laid.saturating_add(blocks.saturating_mul(GROUP).saturating_add(STEP).saturating_mul(4))
}

/// `out[r] = row r · act`. `P` is the number of digit planes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn rows<F: Format, const P: usize>(
    weights: &[u8],
    act: &ActToken<'_>,
    blocks: usize,
    out: &mut [f32],
    scratch: &mut [u8],
) -> Option<()> {
    let (laid, terms) = Laid::<F>::new(act, blocks, scratch)?;
    let terms: &mut [f32] = bytemuck::try_cast_slice_mut(terms).ok()?;
    let stream: &[F::Block] = bytemuck::try_cast_slice(weights).ok()?;
    for (stream, out) in stream.chunks(GROUP * blocks).zip(out.chunks_mut(GROUP)) {
        let mut column = 0;
        let (steps, rest) = stream.as_chunks();
        // What is not there is computed as the first block again; the room behind the terms takes that.
        let last = rest.first().map(|first| core::array::from_fn(|i| *rest.get(i).unwrap_or(first)));
        for (step, terms) in steps.iter().chain(&last).zip(terms.as_chunks_mut().0) {
            let acts = laid.at(column)?;
            // SAFETY: this function has the features.
            store(terms, unsafe { F::terms::<P>(step, &acts) });
            column += STEP;
            while column >= blocks {
                column -= blocks;
            }
        }
        add_up(Avx2::assume(), part(terms, 0, out.len() * blocks), blocks, out);
    }
    Some(())
}

/// Writes sixteen floats.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn store(to: &mut [f32; STEP], x: __m512) {
    // SAFETY: the reference covers exactly 16 floats; storeu needs no alignment.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
}

/// Asks for the lines ahead that block `i` of `step` makes up for: each line of the stream once, spread over the work.
#[inline(always)]
fn prefetch<F: Format>(step: &[F::Block; STEP], i: usize) {
    let (start, bytes) = (step.as_ptr().cast::<i8>(), size_of::<F::Block>());
    for line in i * bytes / 64..(i + 1) * bytes / 64 {
        let line = start.wrapping_add(64 * line);
        // SAFETY: a prefetch is a hint, of any address.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(NEAR));
            _mm_prefetch::<_MM_HINT_T2>(line.wrapping_add(FAR));
        }
    }
}

macro_rules! entry {
    ($format:ty, $planes:expr) => {{
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
        fn entry(weights: &[u8], act: &ActToken<'_>, out: &mut [f32], scratch: &mut [u8]) {
            let blocks = act.k / (size_of::<<$format as Format>::Digits>());
            if !<$format as Format>::takes(blocks, act.planes) {
                if let Some(other) = super::AVX512_BY_EIGHT[<$format as Format>::FORMAT as usize] {
                    // SAFETY: this function has the features of that one.
                    unsafe { other(weights, act, out, scratch) }
                }
                return;
            }
            let done = match act.planes {
                1 => rows::<$format, 1>(weights, act, blocks, out, scratch),
                _ => rows::<$format, { $planes }>(weights, act, blocks, out, scratch),
            };
            holds(done.is_some(), "activations of whole blocks, and scratch for them");
        }
        Some(entry as Entry)
    }};
}

pub(in crate::kernels) static AVX512: Table = {
    let mut table = super::AVX512_BY_EIGHT;
    table[<q4_k::Q4K as Format>::FORMAT as usize] = entry!(q4_k::Q4K, 1);
    table[<small::Q4_0 as Format>::FORMAT as usize] = entry!(small::Q4_0, Mode::MOST_PLANES);
    table[<small::Q8_0 as Format>::FORMAT as usize] = entry!(small::Q8_0, Mode::MOST_PLANES);
    compiled(table)
};

/// Bytes `at..at + 64`. The places are constants: nothing is checked at run time.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn load64<T: Pod>(bytes: &T, at: usize) -> __m512i {
    let Some(bytes) = bytemuck::bytes_of(bytes).get(at..).and_then(<[u8]>::first_chunk::<64>) else {
        return _mm512_setzero_si512();
    };
    // SAFETY: the reference covers exactly 64 readable bytes; loadu needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Bytes `at..at + 32`, as above.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn load32<T: Pod>(bytes: &T, at: usize) -> __m256i {
    let Some(bytes) = bytemuck::bytes_of(bytes).get(at..).and_then(<[u8]>::first_chunk::<32>) else {
        return _mm256_setzero_si256();
    };
    // SAFETY: the reference covers exactly 32 readable bytes; loadu needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Bytes `at..at + 16`, as above.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn load16<T: Pod>(bytes: &T, at: usize) -> __m128i {
    let Some(bytes) = bytemuck::bytes_of(bytes).get(at..).and_then(<[u8]>::first_chunk::<16>) else {
        return _mm_setzero_si128();
    };
    // SAFETY: the reference covers exactly 16 readable bytes; loadu needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Sixteen floats.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn floats(x: &[f32; STEP]) -> __m512 {
    // SAFETY: the reference covers exactly 16 floats; loadu needs no alignment.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

/// Four vectors' sums of four neighbours: in each quarter, place `i` is vector `i`'s.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn add_neighbours(v: &[__m512i; 4]) -> __m512i {
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))
}

/// Four vectors' sums over their quarters: quarter `i` is vector `i`'s.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn add_quarters(v: &[__m512i; 4]) -> __m512i {
    let halves =
        |a, b| _mm512_add_epi32(_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0xee>(a, b));
    let (ab, cd) = (halves(v[0], v[1]), halves(v[2], v[3]));
    _mm512_add_epi32(_mm512_shuffle_i32x4::<0x88>(ab, cd), _mm512_shuffle_i32x4::<0xdd>(ab, cd))
}

/// `f = f·256 + i`, most significant plane first; one plane is its own integer.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn join<const P: usize>(planes: &[__m512i; P]) -> __m512 {
    let mut joined = _mm512_cvtepi32_ps(planes[0]);
    for plane in &planes[1..] {
        joined = _mm512_add_ps(_mm512_mul_ps(joined, _mm512_set1_ps(256.0)), _mm512_cvtepi32_ps(*plane));
    }
    joined
}
