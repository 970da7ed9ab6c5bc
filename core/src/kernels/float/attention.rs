//! Scaled dot-product attention (Vaswani et al. 2017) of the query heads that share a KV head
//! (Ainslie et al. 2023), causal.
//!
//! A query is one head of one token. Queries are treated in blocks: one pass over the keys for all scores of the
//! block, softmax, one pass over the values. A few positions at a time are widened to f32 and multiplied by every
//! query of the block, two queries by two keys or four queries by sixteen elements of the values in registers; where
//! many queries share a key, keys are [transposed](across) first. The arithmetic of a query knows nothing of its block,
//! so any way of cutting gives the same bits.

mod across;

use super::elementwise::{exp_and_sum, max};
use super::kv::KvType;
use super::rows::{F16, F32, widen_blocks, widen_row};
use crate::kernels::OutCols;
use crate::part::{copy, cut, cut_mut, holds, part, part_mut};
use crate::simd::lanes::{LANES, Lanes};

/// The keys and values of one KV head.
#[derive(Clone, Copy, Debug)]
pub struct KvHead<'a> {
    /// How they are stored.
    pub kv_type: KvType,
    /// Floats in a key, and in a query; as of a value, whole blocks of the type.
    pub key_len: usize,
    /// Floats in a value.
    pub value_len: usize,
    /// Keys: positions x `key_len`.
    pub k: &'a [u8],
    /// Values: positions x `value_len`.
    pub v: &'a [u8],
}

/// What is attended.
#[derive(Clone, Copy, Debug)]
pub struct AttendJob {
    /// Absolute position of token 0. Token `t` attends to positions `0 ..= first_pos + t`.
    pub first_pos: usize,
    /// Tokens.
    pub tokens: usize,
    /// Query heads that share the KV head.
    pub group: usize,
    /// Factor of the scores, commonly `1 / sqrt(key_len)`.
    pub scale: f32,
}

/// Queries in a block: each widened position is used this many times. Their scores should fit a second-level cache,
/// which is small where several cores share it.
const MAX_QUERIES: usize = if cfg!(target_arch = "x86_64") { 32 } else { 16 };
/// Positions widened at once: 16 KiB of heads of 128.
const POSITIONS: usize = 32;

/// Queries whose scores are computed together.
const SCORED: usize = if cfg!(feature = "batch") { 2 } else { 1 };
/// Queries whose values are mixed together.
const MIXED: usize = if cfg!(feature = "batch") { 4 } else { 1 };

/// A unit of f32.
type Unit = [f32; LANES];

/// Bytes of scratch for blocks of up to `queries`: widened positions, then for each query its scores, the query
/// and its result.
pub(in crate::kernels) const fn scratch_bytes(
    key_len: usize,
    value_len: usize,
    context: usize,
    queries: usize,
) -> usize {
    let queries = if queries < MAX_QUERIES { queries } else { MAX_QUERIES };
    let (k, v, n) = (key_len.div_ceil(LANES), value_len.div_ceil(LANES), score_units(context));
    let widened = POSITIONS.saturating_mul(if k > v { k } else { v });
    let query = n.saturating_add(k).saturating_add(v);
    widened.saturating_add(query.saturating_mul(queries)).saturating_mul(4 * LANES)
}

/// Units of a head.
const fn units_of(len: usize) -> usize {
    let units = len.div_ceil(LANES);
    if units > 0 { units } else { 1 }
}

/// Units of a query's scores: an odd number, so that the scores of a block's queries do not all fall into the same
/// sets of a cache.
const fn score_units(positions: usize) -> usize {
    positions.div_ceil(LANES) | 1
}

/// As [`Kernels::attend`](crate::kernels::Kernels::attend), lengths checked.
#[inline(always)]
pub(super) fn attend<L: Lanes>(
    l: L,
    kv: &KvHead<'_>,
    q: &[f32],
    q_stride: usize,
    job: &AttendJob,
    out: &mut OutCols<'_>,
    scratch: &mut [u8],
) {
    let &AttendJob { first_pos, tokens, group, scale } = job;
    let group = group.max(1);
    let (key_units, value_units) = (units_of(kv.key_len), units_of(kv.value_len));
    let score_units = score_units(first_pos + tokens);
    let queries = tokens * group;
    let widened_units = POSITIONS * key_units.max(value_units);
    let room = (scratch.len() / (4 * LANES)).saturating_sub(widened_units);
    let block = (room / (score_units + key_units + value_units)).min(MAX_QUERIES).min(queries).max(1);

    let scratch = part_mut(scratch, 0, (widened_units + room) * 4 * LANES);
    let Ok(units) = bytemuck::try_cast_slice_mut::<u8, f32>(scratch) else { return };
    let (widened, units) = cut_mut(units.as_chunks_mut::<LANES>().0, widened_units);
    let (scores, units) = cut_mut(units, block * score_units);
    let (qs, units) = cut_mut(units, block * key_units);
    let accs = part_mut(units, 0, block * value_units);

    for first in (0..queries).step_by(block) {
        let count = block.min(queries - first);
        let token = |i: usize| (first + i) / group;
        let visible = |i: usize| first_pos + token(i) + 1;
        let qs = part_mut(qs, 0, count * key_units);
        for (i, to) in qs.chunks_exact_mut(key_units).enumerate() {
            let head = (first + i) % group;
            let (to, rest) = cut_mut(to.as_flattened_mut(), kv.key_len);
            copy(to, part(q, token(i) * q_stride + head * kv.key_len, kv.key_len));
            rest.fill(0.0);
        }
        let scores = part_mut(scores, 0, count * score_units);
        let positions = visible(count - 1);
        score_block(l, kv, qs, positions, scale, widened, scores);

        let mut sums = [0.0; MAX_QUERIES];
        for (i, (scores, sum)) in scores.chunks_exact_mut(score_units).zip(&mut sums).enumerate() {
            // Whole units: what this query must not see, or is not there, counts as e^−∞.
            let scores = part_mut(scores, 0, visible(i).div_ceil(LANES));
            cut_mut(scores.as_flattened_mut(), visible(i)).1.fill(f32::NEG_INFINITY);
            *sum = exp_and_sum(l, scores, max(l, scores));
        }

        let accs = part_mut(accs, 0, count * value_units);
        accs.fill([0.0; LANES]);
        mix_block(l, kv, scores, positions, &visible, widened, accs);
        for (i, (acc, sum)) in accs.chunks_exact(value_units).zip(sums).enumerate() {
            let inverse = 1.0 / sum;
            let head = (first + i) % group;
            let out = part_mut(out.row_mut(token(i)), head * kv.value_len, kv.value_len);
            for (out, acc) in out.iter_mut().zip(acc.as_flattened()) {
                *out = acc * inverse;
            }
        }
    }
}

/// Widens `count` rows of `row_bytes` from `rows` into `widened`, each to whole units.
#[cfg_attr(any(feature = "batch", target_arch = "x86_64"), inline(always))]
#[cfg_attr(not(any(feature = "batch", target_arch = "x86_64")), inline(never))]
fn widen<L: Lanes>(l: L, kv_type: KvType, rows: &[u8], row_bytes: usize, widened: &mut [Unit], units: usize) {
    // Rows lie close together: the same bytes of the next block are a constant distance ahead.
    let ahead = POSITIONS * row_bytes;
    for i in 0..rows.len() / row_bytes.max(1) {
        let (row, to) = (part(rows, i * row_bytes, row_bytes), part_mut(widened, i * units, units));
        match kv_type {
            KvType::F32 => widen_row::<L, F32>(l, row, ahead, to),
            KvType::F16 => widen_row::<L, F16>(l, row, ahead, to),
            KvType::Q8_0 if !kv_type.is_compiled() => {}
            KvType::Q8_0 => widen_blocks(l, row, ahead, to),
        }
    }
}

/// `scores[i][j] = (q_i · k_j) · scale` for all queries of a block and `j` below `positions`.
#[inline(always)]
fn score_block<L: Lanes>(
    l: L,
    kv: &KvHead<'_>,
    qs: &mut [Unit],
    positions: usize,
    scale: f32,
    widened: &mut [Unit],
    scores: &mut [Unit],
) {
    let units = units_of(kv.key_len);
    let row_bytes = kv.kv_type.row_bytes(kv.key_len);
    let queries = qs.len() / units;
    let score_len = scores.len() / queries.max(1) * LANES;
    if across::suits::<L>(queries, units) {
        return across::score_block(l, kv, qs, positions, scale, widened, scores);
    }
    let scores = scores.as_flattened_mut();
    for first in (0..positions).step_by(POSITIONS) {
        let count = POSITIONS.min(positions - first);
        widen(l, kv.kv_type, part(kv.k, first * row_bytes, count * row_bytes), row_bytes, widened, units);
        // Past the last position lie old rows, whose scores nobody reads.
        let keys = part(widened, 0, count.next_multiple_of(if L::MANY { 8 } else { 4 }) * units);
        for (i, qs) in qs.chunks(SCORED * units).enumerate() {
            let at = SCORED * i * score_len + first;
            if cfg!(feature = "batch") && qs.len() == 2 * units {
                let (q0, q1) = cut(qs, units);
                let (row0, row1) = cut_mut(scores.get_mut(at..).unwrap_or(&mut []), score_len);
                if L::MANY {
                    for (j, ks) in keys.chunks_exact(8 * units).enumerate() {
                        let scores = scores28(l, q0, q1, ks, scale);
                        let (scores0, scores1) = cut(&scores, 8);
                        copy(part_mut(row0, 8 * j, 8), scores0);
                        copy(part_mut(row1, 8 * j, 8), scores1);
                    }
                    continue;
                }
                let (row0, row1) = (row0.as_chunks_mut().0, row1.as_chunks_mut().0);
                for ((ks, to0), to1) in keys.chunks_exact(4 * units).zip(row0).zip(row1) {
                    let (k01, k23) = cut(ks, 2 * units);
                    let (a0, a1) = dots22(l, q0, q1, k01);
                    let (b0, b1) = dots22(l, q0, q1, k23);
                    *to0 = l.sum_folded(a0, b0).map(|s| s * scale);
                    *to1 = l.sum_folded(a1, b1).map(|s| s * scale);
                }
            } else {
                for (i, ks) in keys.chunks_exact(4 * units).enumerate() {
                    let sums = l.sum4(dots14(l, qs, ks));
                    copy(part_mut(scores, at + 4 * i, 4), &sums.map(|s| s * scale));
                }
            }
        }
    }
}

/// `q0` and `q1` with each of the two keys in `ks`, half summed.
#[inline(always)]
fn dots22<L: Lanes>(l: L, q0: &[Unit], q1: &[Unit], ks: &[Unit]) -> (L::Folded, L::Folded) {
    let (k0, k1) = cut(ks, q0.len());
    let [mut a, mut b, mut c, mut d] = [l.splat(0.0); 4];
    for ((q0, q1), (k0, k1)) in q0.iter().zip(q1).zip(k0.iter().zip(k1)) {
        let (q0, q1) = (l.load(q0), l.load(q1));
        let (k0, k1) = (l.load(k0), l.load(k1));
        a = l.add(a, l.mul(q0, k0));
        b = l.add(b, l.mul(q0, k1));
        c = l.add(c, l.mul(q1, k0));
        d = l.add(d, l.mul(q1, k1));
    }
    (l.fold2(a, b), l.fold2(c, d))
}

/// The scores of `q0` and of `q1` with each of the eight keys in `ks`.
#[inline(always)]
fn scores28<L: Lanes>(l: L, q0: &[Unit], q1: &[Unit], ks: &[Unit], scale: f32) -> Unit {
    let n = q0.len();
    if !holds(ks.len() == 8 * n && q1.len() == n, "eight keys as long as the queries") {
        return [0.0; LANES];
    }
    let mut sums = [l.splat(0.0); 16];
    for (u, (q0, q1)) in q0.iter().zip(q1).enumerate() {
        let (q0, q1) = (l.load(q0), l.load(q1));
        for i in 0..8 {
            #[allow(unsafe_code, reason = "a check for each key would cost as much as its products")]
            // SAFETY: `i` is below 8 and `u` below `n`, and there are `8 · n` units.
            let k = l.load(unsafe { ks.get_unchecked(i * n + u) });
            sums[i] = l.add(sums[i], l.mul(q0, k));
            sums[8 + i] = l.add(sums[8 + i], l.mul(q1, k));
        }
    }
    let mut scores = [0.0; LANES];
    l.store(l.mul(l.sum16(sums), l.splat(scale)), &mut scores);
    scores
}

/// The lanes of `q` with each of the four keys in `ks`.
#[cfg_attr(any(feature = "batch", target_arch = "x86_64"), inline(always))]
#[cfg_attr(not(any(feature = "batch", target_arch = "x86_64")), inline(never))]
fn dots14<L: Lanes>(l: L, q: &[Unit], ks: &[Unit]) -> [L::F; 4] {
    let n = q.len();
    let (k0, ks) = cut(ks, n);
    let (k1, ks) = cut(ks, n);
    let (k2, k3) = cut(ks, n);
    let [mut a, mut b, mut c, mut d] = [l.splat(0.0); 4];
    for ((q, (k0, k1)), (k2, k3)) in q.iter().zip(k0.iter().zip(k1)).zip(k2.iter().zip(k3)) {
        let q = l.load(q);
        a = l.add(a, l.mul(q, l.load(k0)));
        b = l.add(b, l.mul(q, l.load(k1)));
        c = l.add(c, l.mul(q, l.load(k2)));
        d = l.add(d, l.mul(q, l.load(k3)));
    }
    [a, b, c, d]
}

/// `accs[i] += Σ_j p[i][j] · v_j`, position by position, for all queries of a block; query `i` sees the first
/// `visible(i)` of `positions`, and later queries see no fewer.
#[inline(always)]
fn mix_block<L: Lanes>(
    l: L,
    kv: &KvHead<'_>,
    weights: &[Unit],
    positions: usize,
    visible: &impl Fn(usize) -> usize,
    widened: &mut [Unit],
    accs: &mut [Unit],
) {
    let units = units_of(kv.value_len);
    let row_bytes = kv.kv_type.row_bytes(kv.value_len);
    let queries = accs.len() / units;
    let weight_len = weights.len() / queries.max(1) * LANES;
    let weights = weights.as_flattened();
    for first in (0..positions).step_by(POSITIONS) {
        let count = POSITIONS.min(positions - first);
        widen(l, kv.kv_type, part(kv.v, first * row_bytes, count * row_bytes), row_bytes, widened, units);
        let values = part(widened, 0, count * units);
        // A weight of 0 for what a query must not see would not do: 0 times an infinite value is a NaN.
        let seen = |i: usize| visible(i).saturating_sub(first).min(count);
        let row = |i: usize| part(weights, i * weight_len + first, count);
        for (i, accs) in accs.chunks_mut(MIXED * units).enumerate() {
            let i = MIXED * i;
            let mut common = 0;
            if cfg!(feature = "batch") && accs.len() == 4 * units {
                common = seen(i);
                let p = [row(i), row(i + 1), row(i + 2), row(i + 3)].map(|p| part(p, 0, common));
                let values = part(values, 0, common * units);
                let mut u = 0;
                while L::MANY && u + 4 <= units {
                    mix::<L, 4, 4>(l, p, values, units, u, accs);
                    u += 4;
                }
                while u < units {
                    mix::<L, 4, 1>(l, p, values, units, u, accs);
                    u += 1;
                }
            }
            for (n, acc) in accs.chunks_exact_mut(units).enumerate() {
                let seen = seen(i + n);
                if seen > common {
                    let p = [part(row(i + n), common, seen - common)];
                    let values = part(values, common * units, (seen - common) * units);
                    let mut u = 0;
                    while cfg!(feature = "batch") && u + 4 <= units {
                        mix::<L, 1, 4>(l, p, values, units, u, acc);
                        u += 4;
                    }
                    while u < units {
                        mix::<L, 1, 1>(l, p, values, units, u, acc);
                        u += 1;
                    }
                }
            }
        }
    }
}

/// [`mix_block`] for `Q` queries and the units `u .. u + C` of the values, in registers.
#[inline(always)]
fn mix<L: Lanes, const Q: usize, const C: usize>(
    l: L,
    p: [&[f32]; Q],
    values: &[Unit],
    units: usize,
    u: usize,
    accs: &mut [Unit],
) {
    let positions = values.len() / units.max(1);
    let fits = u + C <= units && p.iter().all(|p| p.len() >= positions);
    if !holds(fits, "a weight of each query for each value") {
        return;
    }
    let mut acc = [[l.splat(0.0); C]; Q];
    for (q, acc) in acc.iter_mut().enumerate() {
        for (c, acc) in acc.iter_mut().enumerate() {
            *acc = l.load(accs.get(q * units + u + c).unwrap_or(&[0.0; LANES]));
        }
    }
    for j in 0..positions {
        let mut v = [l.splat(0.0); C];
        for (c, v) in v.iter_mut().enumerate() {
            #[allow(unsafe_code, reason = "a check for each value would cost as much as its products")]
            // SAFETY: `j` is below the number of whole values, and `u + c` below the units of one.
            let value = unsafe { values.get_unchecked(j * units + u + c) };
            *v = l.load(value);
        }
        for (acc, p) in acc.iter_mut().zip(p) {
            #[allow(unsafe_code, reason = "as above")]
            // SAFETY: each query has a weight for each value, checked above.
            let weight = l.splat(unsafe { *p.get_unchecked(j) });
            for (acc, v) in acc.iter_mut().zip(v) {
                *acc = l.add(*acc, l.mul(weight, v));
            }
        }
    }
    for (q, acc) in acc.into_iter().enumerate() {
        for (c, acc) in acc.into_iter().enumerate() {
            if let Some(to) = accs.get_mut(q * units + u + c) {
                l.store(acc, to);
            }
        }
    }
}
