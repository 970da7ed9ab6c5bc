//! Rows of F32, F16 and BF16 weights.

use crate::kernels::{Acts, OutCols};
use crate::simd::lanes::{LANES, Lanes, padded};

/// A way to store floats, read a unit of sixteen at a time.
pub(super) trait FloatFormat {
    /// Bytes of a float.
    const BYTES: usize;
    /// The bytes of a unit.
    type Unit: Copy;

    /// The whole units of `row`, and a unit of what is left, if anything, with zeros after it.
    fn units(row: &[u8]) -> (&[Self::Unit], Option<Self::Unit>);
    /// A unit, converted exactly.
    fn load<L: Lanes>(l: L, unit: &Self::Unit) -> L::F;
}

macro_rules! float_format {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $load:ident) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl FloatFormat for $name {
            const BYTES: usize = $bytes;
            type Unit = [u8; $bytes * LANES];

            #[inline(always)]
            fn units(row: &[u8]) -> (&[Self::Unit], Option<Self::Unit>) {
                let (units, tail) = row.as_chunks();
                let last = (!tail.is_empty()).then(|| {
                    let mut last = [0; $bytes * LANES];
                    last[..tail.len()].copy_from_slice(tail);
                    last
                });
                (units, last)
            }

            #[inline(always)]
            fn load<L: Lanes>(l: L, unit: &Self::Unit) -> L::F {
                l.$load(unit)
            }
        }
    };
}
float_format!(
    /// IEEE 754 single precision.
    F32, 4, load_f32
);
float_format!(
    /// IEEE 754 half precision.
    F16, 2, load_f16
);
float_format!(
    /// The upper half of a single.
    Bf16, 2, load_bf16
);

/// Converts a row to f32, with zeros after it up to a whole unit; then asks for the same bytes `ahead` of it.
#[inline(always)]
pub(super) fn widen_row<L: Lanes, W: FloatFormat>(l: L, row: &[u8], ahead: usize, out: &mut [[f32; LANES]]) {
    let (units, last) = W::units(row);
    for (i, (unit, out)) in units.iter().zip(&mut *out).enumerate() {
        l.prefetch(row, i * LANES * W::BYTES + ahead);
        l.store(W::load(l, unit), out);
    }
    if let Some(last) = last {
        l.store(W::load(l, &last), &mut out[units.len()]);
    }
}

/// Bytes ahead of the present ones that are asked for, at least, in the order in which they lie: memory and its
/// prefetchers then see one stream, which measured half as fast again as four.
const AHEAD: usize = 32 << 10;

/// `out[r] = row r of weights · x`.
///
/// Four rows at a time share the loads of `x` and hide each other's latency.
#[inline(always)]
pub(super) fn matvec<L: Lanes, W: FloatFormat>(l: L, weights: &[u8], x: &[f32], out: &mut [f32]) {
    let row_bytes = x.len() * W::BYTES;
    let (xs, tail) = x.as_chunks();
    let last = padded(tail);
    let (quads, rest) = out.as_chunks_mut();
    let done = quads.len() * 4;
    for (i, quad) in quads.iter_mut().enumerate() {
        *quad = l.sum4(dot_rows::<L, W, 4>(l, &weights[4 * i * row_bytes..][..4 * row_bytes], xs, &last));
    }
    for (i, out) in rest.iter_mut().enumerate() {
        let [acc] = dot_rows::<L, W, 1>(l, &weights[(done + i) * row_bytes..][..row_bytes], xs, &last);
        *out = l.sum(acc);
    }
}

/// The sixteen lanes of each of `R` rows · (`xs`, `last`).
#[inline(always)]
fn dot_rows<L: Lanes, W: FloatFormat, const R: usize>(
    l: L,
    rows: &[u8],
    xs: &[[f32; LANES]],
    last: &[f32; LANES],
) -> [L::F; R] {
    let row_bytes = rows.len() / R;
    let unit_bytes = W::BYTES * LANES;
    let split: [_; R] = core::array::from_fn(|r| W::units(&rows[r * row_bytes..][..row_bytes]));
    let units = split.map(|(units, _)| &units[..xs.len()]);
    // The present rows are read side by side, so what is next begins after them.
    let ahead = rows.len().max(AHEAD);
    let mut acc = [l.splat(0.0); R];
    for (i, x) in xs.iter().enumerate() {
        let x = l.load(x);
        for line in 0..R * unit_bytes / 64 {
            l.prefetch(rows, ahead + i * R * unit_bytes + 64 * line);
        }
        for r in 0..R {
            acc[r] = l.add(acc[r], l.mul(W::load(l, &units[r][i]), x));
        }
    }
    let x = l.load(last);
    for r in 0..R {
        if let Some(unit) = &split[r].1 {
            acc[r] = l.add(acc[r], l.mul(W::load(l, unit), x));
        }
    }
    acc
}

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
