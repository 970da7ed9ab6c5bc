//! Scores with a position a lane: keys are transposed, sixteen at a time, and no sum crosses lanes.
//!
//! For many queries that costs less than to fold the lanes of every sum; and a number of a query is loaded into all
//! lanes by the load itself.

use super::{KvHead, Unit, units_of, widen};
use crate::array::from_fn;
use crate::part::{copy, cut_mut, holds, part, part_mut};
use crate::simd::lanes::{LANES, Lanes};

/// Queries whose scores are computed together: their sums with sixteen keys take half the registers of AVX2.
const QUERIES: usize = 4;

/// Whether this is the way for so many queries of so many units: transposing costs by the unit, and saves by the query.
/// Only where the compiler knows the length does it keep the sums in registers: heads of 64 and of 128.
#[inline(always)]
pub(super) fn suits<L: Lanes>(queries: usize, units: usize) -> bool {
    cfg!(feature = "batch") && L::TRANSPOSES && queries >= 2 * units && matches!(units, 4 | 8)
}

/// [`score_block`](super::score_block), where it [suits].
#[inline(always)]
pub(super) fn score_block<L: Lanes>(
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
    let score_units = scores.len() / (qs.len() / units).max(1);
    let (rows, columns) = cut_mut(widened, LANES * units);
    let columns = part_mut(columns, 0, LANES * units);
    if !holds(rows.len() == LANES * units && columns.len() == rows.len(), "room for sixteen keys twice") {
        return;
    }
    for qs in qs.chunks_exact_mut(QUERIES * units) {
        interleave(qs, part_mut(rows, 0, qs.len()));
    }
    let qs = &*qs;
    for (at, first) in (0..positions).step_by(LANES).enumerate() {
        let count = LANES.min(positions - first);
        widen(l, kv.kv_type, part(kv.k, first * row_bytes, count * row_bytes), row_bytes, rows, units);
        // Past the last position lie old rows, whose scores nobody reads.
        for (u, to) in columns.as_chunks_mut().0.iter_mut().enumerate() {
            #[allow(unsafe_code, reason = "checks for each unit would cost half of what transposing does")]
            // SAFETY: `j` is below 16 and `u` below `units`, as `columns` is as long as `rows`: `16 · units`.
            let row = |j| unsafe { rows.get_unchecked(j * units + u) };
            l.transpose(from_fn(row), to);
        }
        let columns = columns.as_chunks().0;
        for (qs, scores) in qs.chunks(QUERIES * units).zip(scores.chunks_mut(QUERIES * score_units)) {
            if qs.len() < QUERIES * units {
                for (q, scores) in qs.chunks_exact(units).zip(scores.chunks_exact_mut(score_units)) {
                    unit::<L, 1>(l, q, columns, scale, scores, at);
                }
            } else if let Ok(columns) = <&[_; 4]>::try_from(columns) {
                unit::<L, QUERIES>(l, qs, columns, scale, scores, at);
            } else if let Ok(columns) = <&[_; 8]>::try_from(columns) {
                unit::<L, QUERIES>(l, qs, columns, scale, scores, at);
            }
        }
    }
}

/// Puts the same element of each of [`QUERIES`] side by side: loads of one line of the cache do not wait for each
/// other's bank.
#[inline(always)]
fn interleave(qs: &mut [Unit], rows: &mut [Unit]) {
    copy(rows, qs);
    for (i, row) in rows.chunks_exact(rows.len() / QUERIES).enumerate() {
        for (to, x) in qs.as_flattened_mut().as_chunks_mut::<QUERIES>().0.iter_mut().zip(row.as_flattened()) {
            to[i] = *x;
        }
    }
}

/// Unit `at` of the scores of `Q` queries, whose elements lie side by side: those with the sixteen keys of which
/// `columns` has, element by element, a unit each.
#[inline(always)]
fn unit<L: Lanes, const Q: usize>(
    l: L,
    qs: &[Unit],
    columns: &[[Unit; LANES]],
    scale: f32,
    scores: &mut [Unit],
    at: usize,
) {
    if !holds(qs.len() == Q * columns.len(), "queries as long as the keys") {
        return;
    }
    let mut quarters = [[[0.0; LANES]; Q]; 4];
    for (i, sums) in quarters.iter_mut().enumerate() {
        let (a, c) = (lane::<L, Q>(l, qs, columns, i), lane::<L, Q>(l, qs, columns, i + 8));
        let mut ac = [l.splat(0.0); Q];
        for q in 0..Q {
            ac[q] = l.add(a[q], c[q]);
        }
        let (b, d) = (lane::<L, Q>(l, qs, columns, i + 4), lane::<L, Q>(l, qs, columns, i + 12));
        for q in 0..Q {
            l.store(l.add(ac[q], l.add(b[q], d[q])), &mut sums[q]);
        }
    }
    let score_units = scores.len() / Q;
    let [a, b, c, d] = &quarters;
    for (q, ((a, b), (c, d))) in a.iter().zip(b).zip(c.iter().zip(d)).enumerate() {
        let sum = l.add(l.add(l.load(a), l.load(c)), l.add(l.load(b), l.load(d)));
        if let Some(to) = scores.get_mut(q * score_units + at) {
            l.store(l.mul(sum, l.splat(scale)), to);
        }
    }
}

/// Lane `i` of the canonical sums of `Q` queries with sixteen keys.
#[inline(always)]
fn lane<L: Lanes, const Q: usize>(l: L, qs: &[Unit], columns: &[[Unit; LANES]], i: usize) -> [L::F; Q] {
    let qs = qs.as_flattened().as_chunks::<Q>().0;
    let mut acc = [l.splat(0.0); Q];
    for (u, (columns, qs)) in columns.iter().zip(qs.chunks_exact(LANES)).enumerate() {
        let k = l.load(&columns[i]);
        for q in 0..Q {
            let product = l.mul(l.splat(qs[i][q]), k);
            // A zero to which none is added may keep its sign, which the exponential loses.
            acc[q] = if u == 0 { product } else { l.add(acc[q], product) };
        }
    }
    acc
}
