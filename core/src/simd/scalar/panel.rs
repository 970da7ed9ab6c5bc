//! Panels of 8 rows, a row at a time.

use super::Scalar;
use crate::simd::panel::PanelIsa;

const R: usize = 8;

/// `f` of each row.
#[inline(always)]
fn rows<T: Copy + Default>(mut f: impl FnMut(usize) -> T) -> [T; R] {
    let mut out = [T::default(); R];
    for (r, out) in out.iter_mut().enumerate() {
        *out = f(r);
    }
    out
}

impl PanelIsa<R> for Scalar {
    const TOKENS: usize = 1;
    const PART_PRODUCTS: usize = 0;
    const PAIRED_SCALES: bool = false;
    type Columns = Self;
    type Weights = [[u8; 4]; R];
    type Digits = [i8; 4];
    type Part = [i32; R];
    type WidePart = [i32; R];
    type Ints = [i32; R];
    type Floats = [f32; R];

    #[inline(always)]
    fn columns(self) -> Self {
        self
    }

    #[inline(always)]
    fn transpose<const C: usize>(
        self,
        rows: &[[[u8; 4]; C]; R],
        panel: &mut [[[u8; 4]; R]; C],
        columns: usize,
    ) {
        for (c, step) in panel[..columns].iter_mut().enumerate() {
            for (to, row) in step.iter_mut().zip(rows) {
                *to = row[c];
            }
        }
    }

    #[inline(always)]
    fn weights(self, w: &[[u8; 4]; R]) -> [[u8; 4]; R] {
        *w
    }
    #[inline(always)]
    fn digits(self, q: [i8; 4]) -> [i8; 4] {
        q
    }

    #[inline(always)]
    fn part(self) -> [i32; R] {
        [0; R]
    }
    #[inline(always)]
    fn dot(self, part: [i32; R], w: [[u8; 4]; R], q: [i8; 4]) -> [i32; R] {
        rows(|r| (0..4).fold(part[r], |sum, i| sum + i32::from(w[r][i]) * i32::from(q[i])))
    }
    #[inline(always)]
    fn fold_scaled(self, acc: [i32; R], part: [i32; R], scale: [i32; R]) -> [i32; R] {
        rows(|r| acc[r] + part[r] * scale[r])
    }
    #[inline(always)]
    fn fold(self, acc: [i32; R], part: [i32; R]) -> [i32; R] {
        rows(|r| acc[r] + part[r])
    }

    #[inline(always)]
    fn wide_part(self) -> [i32; R] {
        [0; R]
    }
    #[inline(always)]
    fn wide_dot(self, part: [i32; R], w: [[u8; 4]; R], q: [i8; 4]) -> [i32; R] {
        rows(|r| (0..4).fold(part[r], |sum, i| sum + i32::from(w[r][i] as i8) * i32::from(q[i])))
    }
    #[inline(always)]
    fn wide_sum(self, part: [i32; R]) -> [i32; R] {
        part
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> [i32; R] {
        [x; R]
    }
    #[inline(always)]
    fn add_i32(self, a: [i32; R], b: [i32; R]) -> [i32; R] {
        rows(|r| a[r] + b[r])
    }
    #[inline(always)]
    fn load_i32(self, x: &[i32; R]) -> [i32; R] {
        *x
    }
    #[inline(always)]
    fn dot_pairs(self, acc: [i32; R], c: &[i32; R], s: i32) -> [i32; R] {
        let halves = |x: i32| (i32::from(x as i16), x >> 16);
        let (low, high) = halves(s);
        rows(|r| acc[r] + halves(c[r]).0 * low + halves(c[r]).1 * high)
    }

    #[inline(always)]
    fn to_f32(self, x: [i32; R]) -> [f32; R] {
        rows(|r| x[r] as f32)
    }
    #[inline(always)]
    fn splat_f32(self, x: f32) -> [f32; R] {
        [x; R]
    }
    #[inline(always)]
    fn load_f32(self, x: &[f32; R]) -> [f32; R] {
        *x
    }
    #[inline(always)]
    fn store_f32(self, x: [f32; R], to: &mut [f32; R]) {
        *to = x;
    }
    #[inline(always)]
    fn add_f32(self, a: [f32; R], b: [f32; R]) -> [f32; R] {
        rows(|r| a[r] + b[r])
    }
    #[inline(always)]
    fn sub_f32(self, a: [f32; R], b: [f32; R]) -> [f32; R] {
        rows(|r| a[r] - b[r])
    }
    #[inline(always)]
    fn mul_f32(self, a: [f32; R], b: [f32; R]) -> [f32; R] {
        rows(|r| a[r] * b[r])
    }

    #[inline(always)]
    fn pair_sums(self, sums: &[i16; 16]) -> [i32; 4] {
        let mut out = [0; 4];
        for (out, s) in out.iter_mut().zip(sums.as_chunks::<4>().0) {
            *out = i32::from(s[0] + s[1]) & 0xffff | i32::from(s[2] + s[3]) << 16;
        }
        out
    }
    #[inline(always)]
    fn prefetch(self, _: *const u8) {}
}
