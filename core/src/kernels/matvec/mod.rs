//! Matrix times one token, for the block formats: what decoding does all the time.
//!
//! The weights are a stream of blocks, row after row, and the kernel takes it strictly in order, eight blocks a
//! step whatever row they belong to: one stream, one prefetch distance, however long a row is. Each block becomes
//! a vector of partial integer sums; one transposed addition reduces eight of them; their floats are computed
//! together, and the terms go to a buffer, from which the rows are added up, each in its own order. On a desktop
//! the limit is the memory's requests in flight, not arithmetic.

#![allow(unsafe_code, reason = "no checks and no initialisation in the innermost loop")]

mod blocks;
mod format;
mod k_quants;
#[cfg(target_arch = "x86_64")]
mod laid;
#[cfg(all(target_arch = "aarch64", feature = "batch"))]
mod rows;

use super::table::compiled;
use super::{ActToken, Mode};
use crate::array::from_fn;
use crate::part::{cut_mut, part};
use crate::quant::WeightFormat;
use crate::simd::ints::{Ints, STEP};
use crate::simd::{IsaKind, Scalar};
use core::mem::MaybeUninit;
use format::{BlockActs, BlockInts, Format};

/// Rows whose terms are added up together: eight chains of additions hide each other's latency.
const GROUP: usize = 8;

/// Bytes ahead of use that the stream is asked for, into the first-level cache and into the last. Two levels, each
/// line once, spread over the work: bursts, one level or a quarter of the distance lose a fifth of the bandwidth.
const NEAR: usize = 4096;
const FAR: usize = 12288;

/// Entry of one format: weights (`out.len()` rows), activations, results, scratch.
pub(super) type Entry = unsafe fn(&[u8], &ActToken<'_>, &mut [f32], &mut [u8]);

/// One instruction set's entries, by format; `None` for F32, F16 and BF16, which are another module's.
pub(super) type Table = [Option<Entry>; WeightFormat::ALL.len()];

/// Bytes of scratch for rows of `blocks` blocks of `block_len` weights: a group's terms, and room for a last step.
pub(super) const fn scratch_bytes(isa: IsaKind, block_len: usize, blocks: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    if !matches!(isa, IsaKind::Scalar) {
        return laid::scratch_bytes(block_len, blocks);
    }
    #[cfg(all(target_arch = "aarch64", feature = "batch", not(target_os = "none")))]
    if block_len == crate::quant::BLOCK_LEN && !matches!(isa, IsaKind::Scalar) {
        return rows::scratch_bytes(blocks);
    }
    let _ = (isa, block_len);
    blocks.saturating_mul(GROUP).saturating_add(STEP).saturating_mul(4)
}

/// A table of an instruction set, with these formats too, which on x86-64 `laid` has.
macro_rules! table {
    ($name:ident, $isa:ty, $proof:expr, [$($more:ident = $more_format:ty),*] $(, $feature:literal)?) => {
        pub(super) static $name: Table = {
            macro_rules! entry {
                ($format:ty) => {{
                    $(#[target_feature(enable = $feature)])?
                    fn entry(weights: &[u8], act: &ActToken<'_>, out: &mut [f32], scratch: &mut [u8]) {
                        match act.planes {
                            1 => rows::<$isa, $format, 1>($proof, weights, act, out, scratch),
                            _ => rows::<$isa, $format, { Mode::MOST_PLANES }>($proof, weights, act, out, scratch),
                        }
                    }
                    Some(entry as Entry)
                }};
            }
            #[allow(unused_mut, reason = "where there are no more formats")]
            let mut table = [
                None,
                None,
                None,
                entry!(blocks::Q4_0),
                entry!(blocks::Q4_1),
                entry!(blocks::Q5_0),
                entry!(blocks::Q5_1),
                entry!(blocks::Q8_0),
                entry!(k_quants::Q2K),
                entry!(k_quants::Q3K),
                None,
                None,
                entry!(k_quants::Q6K),
                entry!(k_quants::Q8K),
            ];
            $(table[WeightFormat::$more as usize] = entry!($more_format);)*
            compiled(table)
        };
    };
}

table!(SCALAR, Scalar, Scalar, [Q4_K = k_quants::Q4K, Q5_K = k_quants::Q5K]);
#[cfg(target_arch = "x86_64")]
table!(AVX2_BY_BLOCKS, crate::simd::avx2::Avx2, crate::simd::avx2::Avx2::assume(), [], "avx2,fma,f16c");
#[cfg(target_arch = "x86_64")]
table!(
    AVXVNNI_BY_BLOCKS,
    crate::simd::avxvnni::AvxVnni,
    crate::simd::avxvnni::AvxVnni::assume(),
    [],
    "avxvnni,avx2,fma,f16c"
);
#[cfg(target_arch = "x86_64")]
pub(super) use laid::{AVX2, AVX512, AVXVNNI};
#[cfg(target_arch = "x86_64")]
table!(
    AVX512_BY_BLOCKS,
    crate::simd::avx512::Avx512,
    crate::simd::avx512::Avx512::assume(),
    [],
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
);
#[cfg(all(target_arch = "aarch64", feature = "batch"))]
pub(super) use rows::{DOTPROD, NEON};
// A third of the code, for images that are short of room.
#[cfg(all(target_arch = "aarch64", not(feature = "batch")))]
table!(
    NEON,
    crate::simd::neon::Neon,
    crate::simd::neon::Neon::assume(),
    [Q4_K = k_quants::Q4K, Q5_K = k_quants::Q5K],
    "neon"
);
#[cfg(all(target_arch = "aarch64", feature = "dotprod", not(feature = "batch")))]
table!(
    DOTPROD,
    crate::simd::dotprod::Dotprod,
    crate::simd::dotprod::Dotprod::assume(),
    [Q4_K = k_quants::Q4K, Q5_K = k_quants::Q5K],
    "neon,dotprod"
);

/// `out[r] = row r · act`. `P` is the number of digit planes.
#[inline(always)]
fn rows<I: Ints, F: Format<I>, const P: usize>(
    isa: I,
    weights: &[u8],
    act: &ActToken<'_>,
    out: &mut [f32],
    scratch: &mut [u8],
) {
    let blocks = (act.k / F::LEN).max(1);
    let (Some(acts), picks) = (BlockActs::<F>::new(act, blocks), isa.picks()) else { return };
    let Ok(terms) = bytemuck::try_cast_slice_mut::<u8, f32>(scratch) else { return };
    // Where the stream's next block stands in its row.
    let mut column = 0;
    for (weights, out) in weights.chunks((GROUP * blocks * F::BYTES).max(1)).zip(out.chunks_mut(GROUP)) {
        let count = out.len() * blocks;
        let (steps, rest) = F::stream(weights).0.as_chunks::<STEP>();
        // What is not there is computed as the first block again; the room behind the terms takes that.
        let last_step = rest.first().map(|first| from_fn(|i| rest.get(i).unwrap_or(first)));
        if cfg!(any(feature = "batch", target_arch = "x86_64")) {
            let (full, last) = cut_mut(terms, steps.len() * STEP);
            for (stream, terms) in steps.iter().zip(full.as_chunks_mut().0) {
                step::<I, F, P>(isa, picks, stream.each_ref(), &acts, &mut column, terms);
            }
            if let (Some(stream), Some(terms)) = (last_step, last.first_chunk_mut()) {
                step::<I, F, P>(isa, picks, stream, &acts, &mut column, terms);
            }
        } else {
            // One copy of a step's code.
            let all = steps.iter().map(|stream| stream.each_ref()).chain(last_step);
            for (stream, terms) in all.zip(terms.as_chunks_mut().0) {
                step::<I, F, P>(isa, picks, stream, &acts, &mut column, terms);
            }
        }
        column = 0;
        add_up(isa, part(terms, 0, count), blocks, out);
    }
}

/// The terms of the next eight blocks.
#[inline(always)]
fn step<I: Ints, F: Format<I>, const P: usize>(
    isa: I,
    picks: I::Picks,
    stream: [&F::Block; STEP],
    acts: &BlockActs<'_, F>,
    column: &mut usize,
    terms: &mut [f32; STEP],
) {
    let first = *column;
    let t = if I::UNROLL && F::LEN < 256 {
        let mut ints = |i: usize| block::<I, F, P>(isa, picks, stream[i], i, acts, column);
        [ints(0), ints(1), ints(2), ints(3), ints(4), ints(5), ints(6), ints(7)]
    } else {
        // Super-blocks written out one after the other fill the registers, and lose a fifth to spills.
        let mut t = [const { MaybeUninit::uninit() }; STEP];
        for (i, t) in t.iter_mut().enumerate() {
            t.write(block::<I, F, P>(isa, picks, stream[i], i, acts, column));
        }
        // SAFETY: the loop has written every element.
        t.map(|t| unsafe { t.assume_init() })
    };
    isa.store(F::terms(isa, &t, acts, first, isa.floats(acts.scales_from(first))), terms);
}

/// The integers of the step's block `i`, and the stream asked for what lies ahead of it.
#[inline(always)]
fn block<I: Ints, F: Format<I>, const P: usize>(
    isa: I,
    picks: I::Picks,
    block: &F::Block,
    i: usize,
    acts: &BlockActs<'_, F>,
    column: &mut usize,
) -> BlockInts<I, P> {
    // A block of several lines asks for each of them; of small blocks, those that between them reach a line.
    if i.is_multiple_of((64 / F::BYTES).max(1)) {
        let start = core::ptr::from_ref(block).cast::<u8>();
        for line in 0..F::BYTES.div_ceil(64) {
            isa.prefetch(start, NEAR + 64 * line, FAR + 64 * line);
        }
    }
    let ints = F::block(isa, picks, block, acts, *column);
    *column = if *column + 1 == acts.blocks { 0 } else { *column + 1 };
    ints
}

/// Each row's terms added up in order, one accumulator a row.
#[inline(always)]
fn add_up<I: Ints>(isa: I, terms: &[f32], blocks: usize, out: &mut [f32]) {
    for (terms, out) in terms.chunks(STEP * blocks).zip(out.chunks_mut(STEP)) {
        let Some(out) = out.as_mut_array().filter(|_| terms.len() == STEP * blocks) else {
            for (out, row) in out.iter_mut().zip(terms.chunks_exact(blocks)) {
                *out = row.iter().fold(0.0, |sum, term| sum + term);
            }
            continue;
        };
        let start = terms.as_ptr();
        let mut sums = isa.splat(0.0);
        for b in (0..blocks / STEP * STEP).step_by(STEP) {
            // SAFETY: `terms` is eight rows of `blocks`, of which at least eight are left from `b` on.
            let rows = from_fn(|r| unsafe { &*start.add(r * blocks + b).cast() });
            sums = isa.add_in_order(sums, rows);
        }
        isa.store(sums, out);
        for b in blocks / STEP * STEP..blocks {
            for (r, sum) in out.iter_mut().enumerate() {
                // SAFETY: as above; `b` is below `blocks`.
                *sum += unsafe { *start.add(r * blocks + b) };
            }
        }
    }
}
