//! Sixteen f32 in an array: the oracle of the other instruction sets.

use super::Scalar;
use crate::array::from_fn;
use crate::quant::float::{bf16_to_f32, f16_to_f32, f32_to_f16};
use crate::simd::lanes::{Lanes, ROUND};

type F = [f32; 16];

#[inline(always)]
fn zip(a: F, b: F, op: impl Fn(f32, f32) -> f32) -> F {
    from_fn(|i| op(a[i], b[i]))
}

#[inline(always)]
fn pow2(k: i32) -> f32 {
    f32::from_bits((k.wrapping_add(127) << 23).cast_unsigned())
}

/// By chunks: where code is to be small, the compiler leaves the checks of an index.
#[inline(always)]
fn widen(p: &[u8; 32], op: impl Fn(u16) -> f32) -> F {
    let mut v = [0.0; 16];
    for (to, half) in v.iter_mut().zip(p.as_chunks().0) {
        *to = op(u16::from_le_bytes(*half));
    }
    v
}

impl Lanes for Scalar {
    type F = F;
    type Folded = [f32; 2];

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [x; 16]
    }

    #[inline(always)]
    fn load(self, p: &[f32; 16]) -> F {
        *p
    }

    #[inline(always)]
    fn load_f32(self, p: &[u8; 64]) -> F {
        from_fn(|i| f32::from_le_bytes([p[4 * i], p[4 * i + 1], p[4 * i + 2], p[4 * i + 3]]))
    }

    #[inline(always)]
    fn load_f16(self, p: &[u8; 32]) -> F {
        widen(p, f16_to_f32)
    }

    #[inline(always)]
    fn load_bf16(self, p: &[u8; 32]) -> F {
        widen(p, bf16_to_f32)
    }

    #[inline(always)]
    fn load_i8(self, p: &[i8; 16]) -> F {
        p.map(f32::from)
    }

    #[inline(always)]
    fn splat_f16(self, h: [u8; 2]) -> F {
        [f16_to_f32(u16::from_le_bytes(h)); 16]
    }

    #[inline(always)]
    fn store(self, v: F, p: &mut [f32; 16]) {
        *p = v;
    }

    #[inline(always)]
    fn store_f32(self, v: F, p: &mut [u8; 64]) {
        for (to, x) in p.as_chunks_mut::<4>().0.iter_mut().zip(v) {
            *to = x.to_le_bytes();
        }
    }

    #[inline(always)]
    fn store_f16(self, v: F, p: &mut [u8; 32]) {
        for (to, x) in p.as_chunks_mut::<2>().0.iter_mut().zip(v) {
            *to = f32_to_f16(x).to_le_bytes();
        }
    }

    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        zip(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn pow2_halves(self, t: F) -> (F, F) {
        let k = t.map(|t| t.to_bits().wrapping_sub(ROUND.to_bits()).cast_signed());
        (k.map(|k| pow2(k >> 1)), k.map(|k| pow2(k - (k >> 1))))
    }

    #[inline(always)]
    fn sum(self, mut v: F) -> f32 {
        let mut rest = v.as_mut_slice();
        while let Some((low, high)) = rest.split_at_mut_checked(rest.len() / 2)
            && !low.is_empty()
        {
            for (low, high) in low.iter_mut().zip(high) {
                *low += *high;
            }
            rest = low;
        }
        let [sum, ..] = v;
        sum
    }

    #[inline(always)]
    fn fold2(self, a: F, b: F) -> [f32; 2] {
        [self.sum(a), self.sum(b)]
    }

    #[inline(always)]
    fn sum_folded(self, [a, b]: [f32; 2], [c, d]: [f32; 2]) -> [f32; 4] {
        [a, b, c, d]
    }

    #[inline(always)]
    fn prefetch(self, _: &[u8], _: usize) {}
}
