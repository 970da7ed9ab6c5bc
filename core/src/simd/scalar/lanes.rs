//! Sixteen f32 in an array: the oracle of the other instruction sets.

use super::Scalar;
use crate::quant::float::{bf16_to_f32, f16_to_f32, f32_to_f16};
use crate::simd::lanes::{Lanes, ROUND};

type F = [f32; 16];

#[inline(always)]
fn zip(a: F, b: F, op: impl Fn(f32, f32) -> f32) -> F {
    core::array::from_fn(|i| op(a[i], b[i]))
}

#[inline(always)]
fn pow2(k: i32) -> f32 {
    f32::from_bits((k.wrapping_add(127) << 23).cast_unsigned())
}

#[inline(always)]
fn half_at(p: &[u8; 32], i: usize) -> u16 {
    u16::from_le_bytes([p[2 * i], p[2 * i + 1]])
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
        core::array::from_fn(|i| f32::from_le_bytes([p[4 * i], p[4 * i + 1], p[4 * i + 2], p[4 * i + 3]]))
    }

    #[inline(always)]
    fn load_f16(self, p: &[u8; 32]) -> F {
        core::array::from_fn(|i| f16_to_f32(half_at(p, i)))
    }

    #[inline(always)]
    fn load_bf16(self, p: &[u8; 32]) -> F {
        core::array::from_fn(|i| bf16_to_f32(half_at(p, i)))
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
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                v[i] += v[i + half];
            }
        }
        v[0]
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
