//! Rows of F32, F16 and BF16 weights.

use crate::array::from_fn;
use crate::part::{copy, part_mut};
use crate::quant::Q8_0Block;
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
                    copy(part_mut(&mut last, 0, tail.len()), tail);
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
    if let (Some(last), Some(out)) = (last, out.get_mut(units.len())) {
        l.store(W::load(l, &last), out);
    }
}

/// As [`widen_row`], of a row of whole blocks: `d·q`, rounded once.
#[inline(always)]
pub(super) fn widen_blocks<L: Lanes>(l: L, row: &[u8], ahead: usize, out: &mut [[f32; LANES]]) {
    let Ok(blocks) = bytemuck::try_cast_slice::<u8, Q8_0Block>(row) else { return };
    for (i, (block, out)) in blocks.iter().zip(out.as_chunks_mut::<2>().0).enumerate() {
        l.prefetch(row, i * size_of::<Q8_0Block>() + ahead);
        let d = l.splat_f16(block.d);
        for (qs, out) in block.qs.as_chunks().0.iter().zip(out) {
            l.store(l.mul(l.load_i8(qs), d), out);
        }
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
    let split: [_; R] = from_fn(|r| W::units(&rows[r * row_bytes..][..row_bytes]));
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
