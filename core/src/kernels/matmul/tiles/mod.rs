//! Batches on CPUs that multiply tiles of 16 rows and 64 bytes.
//!
//! The products keep the canonical integers: a weight times its group's scale is split into two bytes, each plane of bytes is
//! multiplied by itself, and the sums are put together again. So a super-block is one pair of tile sums and one step of
//! floats, whatever its groups. Formats with minimums have unsigned weights and scales: the scale is split, `8·high + low`,
//! and either half times a weight of 5 bits is a byte. Of the others the product is split, into a signed byte and an
//! unsigned one, `256·high + low`. Sums of activations times minimums go through bfloat16: `sum = 64·high + low`, all
//! of which, minimums too, are whole numbers of at most 8 bits, and every partial sum stays below 2^24.
//!
//! Weights are the rows of a tile, as they lie; activations its columns, so they are brought into fours once for a block
//! of tokens and a slab of super-blocks, and stay in the second-level cache while all rows of a call pass. Between
//! slabs the accumulators wait in the result itself.

#[cfg(test)]
pub(super) mod model;
mod operands;
mod rows;

use super::format::Term;
use super::{avx512, k_quants};
use crate::array::from_fn;
use crate::kernels::{ActToken, Acts, OutCols};
use crate::quant::SUPER_BLOCK_LEN;
use crate::simd::amx::Amx;
use crate::simd::avx512::Avx512;
use crate::simd::tiles::Tiles;
use core::arch::x86_64::*;
use operands::{Columns, Panel, transpose};
use rows::RowFormat;

/// Rows of weights or tokens in a tile.
const TILE: usize = 16;
/// Tokens in a block at most.
const BLOCK_TOKENS: usize = 512;
/// Super-blocks whose activations are brought into tiles at a time.
const SLAB: usize = 8;
/// Panels of 16 rows that a group of activations meets while it is in the first-level cache.
const PANELS: usize = 2;
/// Fewer tokens than this are multiplied faster without tiles, which they would not fill.
const LEAST_TOKENS: usize = 12;

/// One accumulator a row and token of a tile.
type Accumulators = [[f32; TILE]; TILE];

/// The memory of a call but its activations and accumulators.
#[repr(C, align(64))]
struct Fixed {
    panels: [Panel; PANELS],
    /// Sums of integers: `[group][plane]`, or as many planes as there are.
    sums: [[[i32; TILE]; TILE]; 4],
    /// Sums of minimums, a group each.
    mins: [Accumulators; 2],
}

/// Bytes of scratch for up to `tokens` tokens.
pub(super) const fn scratch_bytes(tokens: usize) -> usize {
    let tokens = if tokens < BLOCK_TOKENS { tokens } else { BLOCK_TOKENS };
    let groups = tokens.div_ceil(TILE);
    size_of::<Fixed>() + groups * (SLAB * size_of::<Columns>() + PANELS * size_of::<Accumulators>())
}

macro_rules! entries {
    ($tiles:ty, $least:expr; $($name:ident: $format:ty, $bytes:literal, $planes:literal;)*) => {
        $(#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
        pub(in crate::kernels::matmul) fn $name(
            weights: &[u8],
            acts: &Acts<'_>,
            out: &mut OutCols<'_>,
            scratch: &mut [u8],
        ) {
            if acts.tokens() < $least || acts.planes() > 1 {
                avx512::$name(weights, acts, out, scratch);
            } else {
                // SAFETY: these entries are those of an instruction set with such tiles, and called only where it is
                // available.
                let tiles = unsafe { <$tiles>::assume(Avx512::assume()) };
                matmul::<$tiles, $format, $bytes, $planes>(tiles, weights, acts, out, scratch);
            }
        })*
    };
}
#[cfg(test)]
use entries;

entries! { Amx, LEAST_TOKENS;
    q2_k: k_quants::Q2K, 84, 1;
    q3_k: k_quants::Q3K, 110, 2;
    q4_k: k_quants::Q4K, 144, 2;
    q5_k: k_quants::Q5K, 176, 2;
    q6_k: k_quants::Q6K, 210, 2;
    q8_k: k_quants::Q8K, 292, 1;
}

/// The driver: blocks of tokens, slabs of super-blocks, pairs of panels, super-blocks, pairs of groups. `P` planes hold a weight
/// times its scale.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn matmul<T: Tiles, F: RowFormat<B>, const B: usize, const P: usize>(
    tiles: T,
    weights: &[u8],
    acts: &Acts<'_>,
    out: &mut OutCols<'_>,
    scratch: &mut [u8],
) {
    let (k, tokens, rows) = (acts.k(), acts.tokens(), out.cols());
    let row_blocks = k / SUPER_BLOCK_LEN;
    let (blocks, rest) = weights.as_chunks::<B>();
    assert!(rest.is_empty() && blocks.len() == rows * row_blocks, "weights must be rows of k weights");
    assert_eq!(out.tokens(), tokens, "one row of results a token");
    assert!(
        acts.kind().block_len() == SUPER_BLOCK_LEN && k == row_blocks * SUPER_BLOCK_LEN && acts.planes() == 1,
        "activations in the form of the format"
    );
    if rows == 0 {
        return;
    }
    let (fixed, columns, accumulators) = carve(scratch, tokens);
    tiles.configure();
    for first_token in (0..tokens).step_by(BLOCK_TOKENS) {
        let count = BLOCK_TOKENS.min(tokens - first_token);
        let groups = count.div_ceil(TILE);
        for first_block in (0..row_blocks).step_by(SLAB) {
            let slab = SLAB.min(row_blocks - first_block);
            for g in 0..groups {
                // The last group repeats the last token.
                let token = |t: usize| acts.token(first_token + (TILE * g + t).min(count - 1));
                let tokens: [ActToken<'_>; TILE] = from_fn(token);
                for (b, columns) in columns[g..].iter_mut().step_by(groups).take(slab).enumerate() {
                    columns.pack(first_block + b, &tokens, F::TERM == Term::MinusMins);
                }
            }
            for first_row in (0..rows).step_by(PANELS * TILE) {
                let width = (rows - first_row).min(PANELS * TILE);
                let panels = width.div_ceil(TILE);
                let mut tile = Window { first_token, count, first_row, width };
                if first_block == 0 {
                    accumulators[..panels * groups].fill([[0.0; TILE]; TILE]);
                } else {
                    tile.load(out, &mut accumulators[..panels * groups]);
                }
                for (b, columns) in columns.chunks_exact(groups).take(slab).enumerate() {
                    for (v, panel) in fixed.panels[..panels].iter_mut().enumerate() {
                        // The last panel repeats the last row.
                        let block = |r: usize| {
                            let row = (first_row + v * TILE + r).min(rows - 1);
                            &blocks[row * row_blocks + first_block + b]
                        };
                        panel.unpack::<F, B, P>(block);
                    }
                    let (sums, mins) = (&mut fixed.sums, &mut fixed.mins);
                    let mut accumulators = accumulators[..panels * groups].chunks_exact_mut(2 * panels);
                    let (pairs, last) = columns.as_chunks::<2>();
                    for columns in pairs {
                        let accumulators = accumulators.next().expect("room for a pair of groups and panels");
                        let (pairs, _) = accumulators.as_chunks_mut::<2>();
                        for (panel, accumulators) in fixed.panels.iter().zip(pairs) {
                            multiply::<T, F, B, P, 2>(tiles, panel, columns, accumulators, sums, mins);
                        }
                    }
                    if let [columns] = last {
                        for (panel, accumulators) in fixed.panels.iter().zip(accumulators.into_remainder()) {
                            let (columns, accumulators) =
                                (core::array::from_ref(columns), core::array::from_mut(accumulators));
                            multiply::<T, F, B, P, 1>(tiles, panel, columns, accumulators, sums, mins);
                        }
                    }
                }
                tile.store(&accumulators[..panels * groups], out);
            }
        }
    }
    tiles.release();
}

/// Adds one super-block of a panel's rows times `G` groups of tokens to their accumulators.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn multiply<T: Tiles, F: RowFormat<B>, const B: usize, const P: usize, const G: usize>(
    tiles: T,
    panel: &Panel,
    columns: &[Columns; G],
    accumulators: &mut [Accumulators; G],
    sums: &mut [[[i32; TILE]; TILE]; 4],
    mins: &mut [Accumulators; 2],
) {
    let sums: &mut [[[[i32; TILE]; TILE]; P]; G] =
        sums.as_chunks_mut::<P>().0.first_chunk_mut().expect("planes of two groups");
    if F::TERM == Term::MinusMins {
        for (columns, mins) in columns.iter().zip(&mut *mins) {
            tiles.pairs(&panel.mins, &columns.sums, mins);
        }
    }
    let digits = from_fn(|g| &columns[g].quads);
    if F::TERM == Term::MinusMins {
        tiles.products::<P, G, false>(panel.planes(), digits, sums);
    } else {
        tiles.products::<P, G, true>(panel.planes(), digits, sums);
    }
    for (((columns, accumulators), sums), mins) in columns.iter().zip(accumulators).zip(sums).zip(mins) {
        let dy = load(&columns.d);
        for r in 0..TILE {
            let mut isum = load_i32(&sums[0][r]);
            if P == 2 {
                let high = match F::TERM {
                    Term::MinusMins => _mm512_slli_epi32::<{ operands::SCALE_BITS }>(isum),
                    _ => _mm512_slli_epi32::<8>(isum),
                };
                isum = _mm512_add_epi32(high, load_i32(&sums[P - 1][r]));
            }
            let scaled = |d: f32| _mm512_mul_ps(_mm512_set1_ps(d), dy);
            let mut term = _mm512_mul_ps(scaled(panel.d[r]), _mm512_cvtepi32_ps(isum));
            if F::TERM == Term::MinusMins {
                term = _mm512_sub_ps(term, _mm512_mul_ps(scaled(panel.m[r]), load(&mins[r])));
            }
            let acc = &mut accumulators[r];
            store(_mm512_add_ps(load(acc), term), acc);
        }
    }
}

/// The part of the result that a pair of panels and a block of tokens make.
struct Window {
    first_token: usize,
    count: usize,
    first_row: usize,
    width: usize,
}

impl Window {
    /// Calls `each(accumulators, first token, tokens, first row, rows)` for each panel and group, in the order in which the
    /// accumulators lie: pairs of groups, panels, groups of the pair.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    #[inline]
    fn each(&self, mut each: impl FnMut(usize, [usize; 2], [usize; 2])) {
        let mut index = 0;
        let groups = self.count.div_ceil(TILE);
        for pair in (0..groups).step_by(2) {
            for row in (0..self.width).step_by(TILE) {
                for group in pair..groups.min(pair + 2) {
                    let token = group * TILE;
                    each(
                        index,
                        [self.first_token + token, TILE.min(self.count - token)],
                        [self.first_row + row, TILE.min(self.width - row)],
                    );
                    index += 1;
                }
            }
        }
    }

    /// Reads what the slabs before have summed.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn load(&mut self, out: &mut OutCols<'_>, to: &mut [Accumulators]) {
        self.each(|index, [token, tokens], [row, rows]| {
            let mut by_token = [[0.0; TILE]; TILE];
            for (t, to) in by_token[..tokens].iter_mut().enumerate() {
                let from = &out.row_mut(token + t)[row..];
                match from.first_chunk() {
                    Some(whole) => *to = *whole,
                    None => to[..rows].copy_from_slice(from),
                }
            }
            transpose(|t| &by_token[t], &mut to[index]);
        });
    }

    /// Writes the sums.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn store(&self, from: &[Accumulators], out: &mut OutCols<'_>) {
        self.each(|index, [token, tokens], [row, rows]| {
            let mut by_token = [[0.0; TILE]; TILE];
            transpose(|r| &from[index][r], &mut by_token);
            for (t, from) in by_token[..tokens].iter().enumerate() {
                let to = &mut out.row_mut(token + t)[row..];
                // A copy of a known length is an instruction or two, any other a call.
                match to.first_chunk_mut() {
                    Some(whole) => *whole = *from,
                    None => to.copy_from_slice(&from[..rows]),
                }
            }
        });
    }
}

/// Divides scratch memory, with whatever was in it: all but activations and accumulators, activations of a slab, accumulators.
fn carve(scratch: &mut [u8], tokens: usize) -> (&mut Fixed, &mut [Columns], &mut [Accumulators]) {
    let groups = tokens.min(BLOCK_TOKENS).div_ceil(TILE);
    let need = scratch_bytes(tokens);
    assert!(scratch.len() >= need, "scratch of {} bytes, need {need}", scratch.len());
    let base = scratch.as_mut_ptr();
    assert!(base.cast::<Fixed>().is_aligned(), "scratch must be aligned to 64");
    // SAFETY: the buffer is aligned to each part (their sizes are multiples of 64), long enough for all, which do not
    // overlap, and borrowed for their lifetime; every pattern of bits is a value of their integers and floats.
    unsafe {
        let columns = base.add(size_of::<Fixed>()).cast::<Columns>();
        let accumulators = columns.add(SLAB * groups).cast();
        (
            &mut *base.cast(),
            core::slice::from_raw_parts_mut(columns, SLAB * groups),
            core::slice::from_raw_parts_mut(accumulators, PANELS * groups),
        )
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(x: &[f32; TILE]) -> __m512 {
    // SAFETY: the array spans the 64 bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_i32(x: &[i32; TILE]) -> __m512i {
    // SAFETY: the array spans the 64 bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(x: __m512, to: &mut [f32; TILE]) {
    // SAFETY: the array spans the 64 bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
}
