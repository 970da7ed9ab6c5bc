//! A block-quantized matrix times a batch of tokens.
//!
//! Unpacking costs more than multiplying with one token, so it is shared: the rows go through in panels, of which
//! one unit (a super-block, or eight blocks of 32 weights) at a time is unpacked into small integers, transposed so
//! that vector lanes are rows, and multiplied with every token before the next one is touched. The unit stays in
//! the first-level cache, activations stream past it, and the accumulators, one f32 for each row and token, wait in
//! a tile beside it. Tokens are taken in blocks whose activations stay near while all panels of a call pass; each block
//! unpacks the panels anew (2 to 3 % of the time at 264 tokens).
//!
//! Weights are stored signed where the multiplier takes signed bytes. Elsewhere they are stored unsigned where they fit 6
//! bits (`u = weight + offset`, so that one instruction multiplies them with signed digits), and the offset is taken
//! back exactly: `Σ weight·y = Σ u·y − offset·Σ y`.
//!
//! Ranges, with digits in -128..=127: a 16-bit lane of AVX2 takes two products a step. Four-bit weights fill it
//! to 8·2·15·128 = 30720 in a group of 32, five-bit ones to 4·2·31·128 = 31744 in half a group, six-bit ones to
//! 2·2·63·128 = 32256 in half a group of 16. `part_steps` computes those numbers of steps.

#![allow(unsafe_code, reason = "carves scratch memory; calls into target features")]
#![allow(clippy::needless_range_loop, reason = "rows, groups and tokens index several arrays at once")]

#[cfg(target_arch = "x86_64")]
mod ahead;
mod blocks;
mod format;
mod k_quants;
mod micro;
mod panel;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiles;

use super::table::compiled;
use super::{Acts, Mode, OutCols};
use crate::array::from_fn;
use crate::quant::WeightFormat;
use crate::simd::panel::PanelIsa;
use blocks::{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
use format::PanelFormat;
use k_quants::{Q2K, Q3K, Q4K, Q5K, Q6K, Q8K};
use panel::{Panel, UNIT_STEPS};

/// `out[t][r] = row r of weights · token t`, for `out.cols()` rows.
pub(super) type Matmul =
    unsafe fn(weights: &[u8], acts: &Acts<'_>, out: &mut OutCols<'_>, scratch: &mut [u8]);

/// The batch multiplications of one instruction set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    kernels: [Option<Matmul>; WeightFormat::ALL.len()],
    /// By format: tokens up to which rows are multiplied faster with one token after the other.
    few: [u8; WeightFormat::ALL.len()],
    panel_bytes: usize,
    rows: usize,
    /// Whether kernels with tiles are among them.
    tiles: bool,
}

impl Table {
    /// The kernel of `format`, unless that is a float format. It may be called where the table's instruction
    /// set is available. It panics if a length does not fit: `weights` holds `out.cols()` rows of `acts.k()`
    /// weights, `out` has `acts.tokens()` tokens, `scratch` is aligned to 64 and at least
    /// [`scratch_bytes`](Self::scratch_bytes) long.
    pub(super) const fn get(&self, format: WeightFormat) -> Option<Matmul> {
        self.kernels[format as usize]
    }

    /// Bytes of scratch that any kernel needs for up to `tokens` tokens: at most 58 KB, with tiles 1.4 MB.
    pub(super) const fn scratch_bytes(&self, tokens: usize) -> usize {
        #[cfg(target_arch = "x86_64")]
        let tiles = if self.tiles { tiles::scratch_bytes(tokens) } else { 0 };
        #[cfg(not(target_arch = "x86_64"))]
        let tiles = 0;
        let tokens = if tokens < BLOCK_TOKENS { tokens } else { BLOCK_TOKENS };
        let panels = self.panel_bytes + tokens.next_multiple_of(PAD_TOKENS) * self.rows * size_of::<f32>();
        if tiles > panels { tiles } else { panels }
    }

    /// Tokens up to which rows are multiplied with one at a time, a chunk of them staying in the cache: unpacking a panel
    /// costs as much as multiplying it with some.
    pub(super) const fn few_tokens(&self, format: WeightFormat) -> usize {
        self.few[format as usize] as usize
    }

    /// Whether kernels lay out all activations once a call, so that calls for many rows are cheaper than many for few.
    pub(super) const fn lays_out(&self) -> bool {
        self.tiles
    }
}

/// Tokens in a block at most.
const BLOCK_TOKENS: usize = 264;
/// The tile has room for a whole number of this many, of which every [`PanelIsa::TOKENS`] is a divisor.
const PAD_TOKENS: usize = 12;
/// Bytes of digits in a block of tokens: half of a small board's second-level cache. The last-level cache of x86-64 feeds
/// blocks that are longer than that as fast, and rows of 5,632 weights are then unpacked for 264 tokens instead of 92.
const BLOCK_BYTES: usize = if cfg!(target_arch = "x86_64") { 1536 << 10 } else { 512 << 10 };
/// Tokens in a block at least, however long they are: fewer would pay too much for unpacking.
const MIN_BLOCK_TOKENS: usize = 32;

/// [`Table::few`] of the formats with blocks of 32 and of those with super-blocks; floats are multiplied with four tokens
/// together.
const fn few((blocks, supers): ([u8; 5], [u8; 6])) -> [u8; WeightFormat::ALL.len()] {
    let mut few = [3; WeightFormat::ALL.len()];
    let (_, quantized) = few.split_at_mut(WeightFormat::Q4_0 as usize);
    let (to_blocks, to_supers) = quantized.split_at_mut(blocks.len());
    to_blocks.copy_from_slice(&blocks);
    to_supers.copy_from_slice(&supers);
    few
}

macro_rules! table {
    ($name:ident, $module:ident, $isa:ty, $token:expr, $rows:literal, $few:expr $(, $feature:literal)?) => {
        mod $module {
            use super::*;

            table!(@entries $isa, $token, $rows, [$($feature)?],
                q4_0: Q4_0, 18, 8; q4_1: Q4_1, 20, 8; q5_0: Q5_0, 22, 8; q5_1: Q5_1, 24, 8; q8_0: Q8_0, 34, 8;
                q2_k: Q2K, 84, 64; q3_k: Q3K, 110, 64; q4_k: Q4K, 144, 64; q5_k: Q5K, 176, 64; q6_k: Q6K, 210, 64;
                q8_k: Q8K, 292, 64;
            );
        }

        impl Table {
            /// This instruction set's kernels.
            pub(super) const $name: Self = Self {
                kernels: compiled([
                    None,
                    None,
                    None,
                    Some($module::q4_0),
                    Some($module::q4_1),
                    Some($module::q5_0),
                    Some($module::q5_1),
                    Some($module::q8_0),
                    Some($module::q2_k),
                    Some($module::q3_k),
                    Some($module::q4_k),
                    Some($module::q5_k),
                    Some($module::q6_k),
                    Some($module::q8_k),
                ]),
                few: few($few),
                panel_bytes: size_of::<Panel<$rows>>(),
                rows: $rows,
                tiles: false,
            };
        }
    };
    (@entries $isa:ty, $token:expr, $rows:literal, $feature:tt,
        $($entry:ident: $format:ty, $bytes:literal, $steps:literal;)*) => {
        $(table!(@entry $isa, $token, $rows, $feature, $entry, $format, $bytes, $steps);)*
    };
    (@entry $isa:ty, $token:expr, $rows:literal, [$($feature:literal)?],
        $entry:ident, $format:ty, $bytes:literal, $steps:literal) => {
        $(#[target_feature(enable = $feature)])?
        pub(super) fn $entry(weights: &[u8], acts: &Acts<'_>, out: &mut OutCols<'_>, scratch: &mut [u8]) {
            matmul::<$isa, $format, $rows, $bytes, $steps>($token, weights, acts, out, scratch);
        }
    };
}

// From Q4_0 to Q8_0, from Q2_K to Q8_K. Measured: on x86-64 by time, on aarch64 by instructions.
table!(SCALAR, scalar, crate::simd::Scalar, crate::simd::Scalar, 8, ([1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 255]));
#[cfg(target_arch = "x86_64")]
table!(
    AVX2,
    avx2,
    crate::simd::avx2::Avx2,
    crate::simd::avx2::Avx2::assume(),
    16,
    ([2, 2, 3, 3, 3], [2, 1, 3, 3, 3, 7]),
    "avx2,fma,f16c"
);
#[cfg(target_arch = "x86_64")]
table!(
    AVXVNNI,
    avxvnni,
    crate::simd::avxvnni::AvxVnni,
    crate::simd::avxvnni::AvxVnni::assume(),
    16,
    ([3, 3, 3, 3, 2], [2, 1, 3, 3, 3, 3]),
    "avxvnni,avx2,fma,f16c"
);
#[cfg(target_arch = "x86_64")]
table!(
    AVX512,
    avx512,
    crate::simd::avx512::Avx512,
    crate::simd::avx512::Avx512::assume(),
    32,
    ([3, 1, 3, 3, 1], [1, 1, 2, 1, 2, 2]),
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
);

#[cfg(target_arch = "x86_64")]
impl Table {
    /// AVX-512's kernels, and those with tiles for the formats with super-blocks.
    pub(super) const AMX: Self = Self::AVX512.with_tiles([
        tiles::q2_k,
        tiles::q3_k,
        tiles::q4_k,
        tiles::q5_k,
        tiles::q6_k,
        tiles::q8_k,
    ]);

    /// These kernels, with `supers` for Q2_K to Q6_K and Q8_K.
    const fn with_tiles(mut self, supers: [Matmul; 6]) -> Self {
        let mut i = 0;
        while i < supers.len() {
            self.kernels[WeightFormat::Q2_K as usize + i] = Some(supers[i]);
            i += 1;
        }
        self.kernels = compiled(self.kernels);
        self.tiles = true;
        self
    }
}

#[cfg(target_arch = "aarch64")]
table!(
    NEON,
    neon,
    crate::simd::neon::Neon,
    crate::simd::neon::Neon::assume(),
    8,
    ([12, 12, 6, 5, 12], [3, 1, 3, 1, 5, 6]),
    "neon"
);
#[cfg(target_arch = "aarch64")]
table!(
    DOTPROD,
    dotprod,
    crate::simd::dotprod::Dotprod,
    crate::simd::dotprod::Dotprod::assume(),
    8,
    ([11, 5, 4, 3, 14], [3, 1, 2, 1, 2, 4]),
    "neon,dotprod"
);
#[cfg(target_arch = "aarch64")]
table!(
    I8MM,
    i8mm,
    crate::simd::i8mm::I8mm,
    crate::simd::i8mm::I8mm::assume(),
    8,
    ([8, 5, 4, 3, 8], [3, 1, 3, 1, 2, 2]),
    "neon,dotprod,i8mm"
);

/// The driver: blocks of tokens, panels of `R` rows, units of a row, groups of tokens.
#[inline(always)]
fn matmul<I, F, const R: usize, const B: usize, const N: usize>(
    isa: I,
    weights: &[u8],
    acts: &Acts<'_>,
    out: &mut OutCols<'_>,
    scratch: &mut [u8],
) where
    I: PanelIsa<R>,
    F: PanelFormat<B, N>,
{
    #[cfg(target_arch = "x86_64")]
    crate::simd::frame::align_to_line();
    let (k, tokens, rows) = (acts.k(), acts.tokens(), out.cols());
    let row_blocks = k / (4 * N);
    let (blocks, rest) = weights.as_chunks::<B>();
    assert!(rest.is_empty() && blocks.len() == rows * row_blocks, "weights must be rows of k weights");
    assert_eq!(out.tokens(), tokens, "one row of results a token");
    assert!(
        acts.kind().block_len() == 4 * N && k == row_blocks * 4 * N,
        "activations in the form of the format"
    );
    let unit_blocks = UNIT_STEPS / N;
    let block_tokens = (BLOCK_BYTES / (k * acts.planes()).max(1)).clamp(MIN_BLOCK_TOKENS, BLOCK_TOKENS);
    let block_tokens = block_tokens / PAD_TOKENS * PAD_TOKENS;
    let (panel, tile) = carve::<R>(scratch, tokens.min(block_tokens).next_multiple_of(PAD_TOKENS));

    for first_token in (0..tokens).step_by(block_tokens) {
        let count = block_tokens.min(tokens - first_token);
        for first_row in (0..rows).step_by(R) {
            // The last panel repeats the last row.
            let row = |r: usize| &blocks[(first_row + r).min(rows - 1) * row_blocks..][..row_blocks];
            let panel_rows = from_fn(row);
            tile.fill([0.0; R]);
            for unit in 0..row_blocks.div_ceil(unit_blocks) {
                let first = unit * unit_blocks;
                let unit_count = unit_blocks.min(row_blocks - first);
                // From this unit to the next, or to the panel below, be it there or not.
                let last = first + unit_count == row_blocks;
                let ahead = B * if last { R * row_blocks - first } else { unit_count };
                panel.unpack::<I, F, B, N>(isa, &panel_rows, first, unit_count, ahead);
                let mut t = 0;
                while t < count {
                    // The last group repeats the last token; the tile has room for it.
                    // SAFETY: `t` is below `count`, which ends where `acts` does.
                    let token =
                        |i: usize| unsafe { acts.token_unchecked(first_token + (t + i).min(count - 1)) };
                    let most = if N == UNIT_STEPS { I::TOKENS } else { I::SMALL_TOKENS };
                    let group_first = t;
                    t += if most == 6 && count - t > 4 {
                        group::<I, F, R, B, N, 6>(isa, panel, unit, unit_count, token, &mut tile[t..])
                    } else if most >= 4 && count - t > 2 {
                        group::<I, F, R, B, N, 4>(isa, panel, unit, unit_count, token, &mut tile[t..])
                    } else if I::PAIRS || most > 1 && count - t > 1 {
                        group::<I, F, R, B, N, 2>(isa, panel, unit, unit_count, token, &mut tile[t..])
                    } else {
                        group::<I, F, R, B, N, 1>(isa, panel, unit, unit_count, token, &mut tile[t..])
                    };
                    // Where the results go, rows far apart, soon after the last unit. Only here `prefetch` is an instruction.
                    if cfg!(target_arch = "x86_64") && last {
                        for t in group_first..t.min(count) {
                            let to: *const u8 = out.row_mut(first_token + t)[first_row..].as_ptr().cast();
                            for line in 0..(4 * R).div_ceil(64) {
                                isa.prefetch(to.wrapping_add(64 * line));
                            }
                        }
                    }
                }
            }
            for (t, sums) in tile[..count].iter().enumerate() {
                let row = &mut out.row_mut(first_token + t)[first_row..];
                // A copy of a known length is a few instructions, any other a call.
                match row.first_chunk_mut::<R>() {
                    Some(whole) => *whole = *sums,
                    None => row.copy_from_slice(&sums[..row.len()]),
                }
            }
        }
    }
}

/// One unit of a panel times `T` tokens; returns `T`.
#[inline(always)]
fn group<'a, I, F, const R: usize, const B: usize, const N: usize, const T: usize>(
    isa: I,
    panel: &Panel<R>,
    unit: usize,
    count: usize,
    token: impl Fn(usize) -> super::ActToken<'a>,
    tile: &mut [[f32; R]],
) -> usize
where
    I: PanelIsa<R>,
    F: PanelFormat<B, N>,
{
    let tile = tile.first_chunk_mut().expect("the tile has room for whole groups of tokens");
    let tokens = from_fn(token);
    match tokens[0].planes {
        1 => micro::multiply::<I, F, R, B, N, T, 1>(isa, panel, unit, count, tokens, tile),
        _ => {
            micro::multiply::<I, F, R, B, N, T, { Mode::MOST_PLANES }>(isa, panel, unit, count, tokens, tile)
        }
    }
    T
}

/// Divides scratch memory into a panel and a tile of `tokens`, both with whatever was in it.
fn carve<const R: usize>(scratch: &mut [u8], tokens: usize) -> (&mut Panel<R>, &mut [[f32; R]]) {
    let need = size_of::<Panel<R>>() + tokens * size_of::<[f32; R]>();
    assert!(scratch.len() >= need, "scratch of {} bytes, need {need}", scratch.len());
    let base = scratch.as_mut_ptr();
    assert!(base.cast::<Panel<R>>().is_aligned(), "scratch must be aligned to 64");
    // SAFETY: the buffer is aligned to a panel (and a panel's size is a multiple of that, which serves floats), long
    // enough for both parts, which do not overlap, and borrowed for their lifetime; every pattern of bits is a
    // value of their integers and floats.
    unsafe {
        let tile = base.add(size_of::<Panel<R>>()).cast();
        (&mut *base.cast(), core::slice::from_raw_parts_mut(tile, tokens))
    }
}
