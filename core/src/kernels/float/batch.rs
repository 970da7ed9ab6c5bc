//! F32, F16 and BF16 weights times a batch of tokens.

use super::rows::{FloatFormat, widen_row};
use crate::kernels::{Acts, OutCols};
use crate::simd::lanes::{LANES, Lanes, padded};

/// Rows that are widened together, and inputs of each: 16 KiB, half of a small L1 cache.
const PANEL_ROWS: usize = 16;
const PANEL_UNITS: usize = 16;
/// Tokens whose sums are kept at once: 64 KiB for a panel's rows.
const PANEL_TOKENS: usize = 64;

/// Bytes of scratch that [`matmul`] needs.
pub(in crate::kernels) const fn matmul_scratch_bytes(tokens: usize) -> usize {
    let tokens = if tokens < PANEL_TOKENS { tokens } else { PANEL_TOKENS };
    (PANEL_ROWS * PANEL_UNITS + PANEL_ROWS * tokens) * LANES * 4
}

/// `out[t][r] = row r of weights · token t`.
///
/// A panel of rows is widened to f32 once for many tokens, a piece of it at a time that stays in the L1 cache; the
/// lanes of each (row, token) wait in scratch between pieces.
#[inline(always)]
pub(super) fn matmul<L: Lanes, W: FloatFormat>(
    l: L,
    weights: &[u8],
    acts: &Acts<'_>,
    out: &mut OutCols<'_>,
    scratch: &mut [u8],
) {
    let (k, row_bytes) = (acts.k(), acts.k() * W::BYTES);
    let scratch: &mut [f32] = bytemuck::cast_slice_mut(&mut scratch[..matmul_scratch_bytes(acts.tokens())]);
    let (panel, accs) = scratch.as_chunks_mut::<LANES>().0.split_at_mut(PANEL_ROWS * PANEL_UNITS);
    for first_row in (0..out.cols()).step_by(PANEL_ROWS) {
        let rows = PANEL_ROWS.min(out.cols() - first_row);
        let weights = &weights[first_row * row_bytes..][..rows * row_bytes];
        for first_token in (0..acts.tokens()).step_by(PANEL_TOKENS) {
            let tokens = PANEL_TOKENS.min(acts.tokens() - first_token);
            let accs = &mut accs[..rows * tokens];
            accs.fill([0.0; LANES]);
            for first in (0..k).step_by(PANEL_UNITS * LANES) {
                let inputs = (PANEL_UNITS * LANES).min(k - first);
                let units = inputs.div_ceil(LANES);
                for (row, panel) in weights.chunks_exact(row_bytes).zip(panel.chunks_exact_mut(PANEL_UNITS)) {
                    let piece = &row[first * W::BYTES..][..inputs * W::BYTES];
                    widen_row::<L, W>(l, piece, inputs * W::BYTES, &mut panel[..units]);
                }
                let token = |t: usize| &acts.token(first_token + t).x[first..][..inputs];
                let mut t = 0;
                while t + 2 <= tokens {
                    multiply::<L, 2>(l, panel, [token(t), token(t + 1)], &mut accs[t * rows..][..2 * rows]);
                    t += 2;
                }
                if t < tokens {
                    multiply::<L, 1>(l, panel, [token(t)], &mut accs[t * rows..]);
                }
            }
            for (t, accs) in accs.chunks_exact(rows).enumerate() {
                let out = &mut out.row_mut(first_token + t)[first_row..][..rows];
                for (out, acc) in out.iter_mut().zip(accs) {
                    *out = l.sum(l.load(acc));
                }
            }
        }
    }
}

/// `accs(t, r) += row r of panel · xs[t]`, lane by lane, for all rows of `T` tokens.
#[inline(always)]
fn multiply<L: Lanes, const T: usize>(
    l: L,
    panel: &[[f32; LANES]],
    xs: [&[f32]; T],
    accs: &mut [[f32; LANES]],
) {
    let rows = accs.len() / T;
    let units = xs.map(|x| x.as_chunks().0);
    let lasts = xs.map(|x| [padded(x.as_chunks::<LANES>().1)]);
    let lasts = lasts.each_ref().map(|unit| &unit[..]);
    let whole = units[0].len();
    let tail = !xs[0].len().is_multiple_of(LANES);
    let mut r = 0;
    while r + 2 <= rows {
        let rows_units =
            [&panel[r * PANEL_UNITS..][..PANEL_UNITS], &panel[(r + 1) * PANEL_UNITS..][..PANEL_UNITS]];
        tile::<L, 2, T>(l, rows_units, units, accs, r, rows);
        if tail {
            let rows_units = [&rows_units[0][whole..], &rows_units[1][whole..]];
            tile::<L, 2, T>(l, rows_units, lasts, accs, r, rows);
        }
        r += 2;
    }
    if r < rows {
        let row = &panel[r * PANEL_UNITS..][..PANEL_UNITS];
        tile::<L, 1, T>(l, [row], units, accs, r, rows);
        if tail {
            tile::<L, 1, T>(l, [&row[whole..]], lasts, accs, r, rows);
        }
    }
}

/// `accs[t·rows + r + i] += ws[i] · xs[t]` in registers: with two of each, as many loads as multiplications.
#[inline(always)]
fn tile<L: Lanes, const R: usize, const T: usize>(
    l: L,
    ws: [&[[f32; LANES]]; R],
    xs: [&[[f32; LANES]]; T],
    accs: &mut [[f32; LANES]],
    r: usize,
    rows: usize,
) {
    let n = xs[0].len();
    let mut acc = [[l.splat(0.0); R]; T];
    let (ws, xs) = (ws.map(|w| &w[..n]), xs.map(|x| &x[..n]));
    for t in 0..T {
        for i in 0..R {
            acc[t][i] = l.load(&accs[t * rows + r + i]);
        }
    }
    for u in 0..n {
        let mut x = [l.splat(0.0); T];
        for t in 0..T {
            x[t] = l.load(&xs[t][u]);
        }
        for i in 0..R {
            let w = l.load(&ws[i][u]);
            for t in 0..T {
                acc[t][i] = l.add(acc[t][i], l.mul(w, x[t]));
            }
        }
    }
    for t in 0..T {
        for i in 0..R {
            l.store(acc[t][i], &mut accs[t * rows + r + i]);
        }
    }
}
