//! 32 bytes as an array.

use super::Scalar;
use crate::array::from_fn;
use crate::quant::float::f16_to_f32;
use crate::simd::ints::{Ints, STEP, SubBlocks};

#[inline(always)]
fn each(a: [u8; 32], f: impl Fn(u8) -> u8) -> [u8; 32] {
    a.map(f)
}

/// `Σ a·b` of 16 elements from `from` on, `a` and `b` read as signed bytes.
#[inline(always)]
fn dot16(a: &[u8; 32], b: &[u8; 32], from: usize) -> i32 {
    let (a, b) = (&a[from..from + 16], &b[from..from + 16]);
    a.iter().zip(b).map(|(&a, &b)| i32::from(a.cast_signed()) * i32::from(b.cast_signed())).sum()
}

#[inline(always)]
fn dot32(a: &[u8; 32], b: &[u8; 32]) -> i32 {
    dot16(a, b, 0) + dot16(a, b, 16)
}

impl Ints for Scalar {
    type Bytes = [u8; 32];
    type Sums = i32;
    type Scales16 = [i8; 16];
    type Eight = [i32; STEP];
    type Floats = [f32; STEP];
    type Picks = ();

    const UNROLL: bool = false;

    #[inline(always)]
    fn bytes(self, p: &[u8; 32]) -> [u8; 32] {
        *p
    }
    #[inline(always)]
    fn digits(self, p: &[i8; 32]) -> [u8; 32] {
        p.map(i8::cast_unsigned)
    }
    #[inline(always)]
    fn nibbles(self, p: &[u8; 16]) -> [u8; 32] {
        from_fn(|i| if i < 16 { p[i] & 15 } else { p[i - 16] >> 4 })
    }
    #[inline(always)]
    fn sixteens(self, bits: u32) -> [u8; 32] {
        from_fn(|i| ((bits >> i) & 1) as u8 * 16)
    }
    #[inline(always)]
    fn and(self, a: [u8; 32], mask: u8) -> [u8; 32] {
        each(a, |a| a & mask)
    }
    #[inline(always)]
    fn shr_and<const N: i32>(self, a: [u8; 32], mask: u8) -> [u8; 32] {
        each(a, |a| (a >> N) & mask)
    }
    #[inline(always)]
    fn shl_and<const N: i32>(self, a: [u8; 32], mask: u8) -> [u8; 32] {
        each(a, |a| (a << N) & mask)
    }
    #[inline(always)]
    fn or(self, a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
        from_fn(|i| a[i] | b[i])
    }

    #[inline(always)]
    fn sums(self, x: i32) -> i32 {
        x
    }
    #[inline(always)]
    fn dot(self, acc: i32, u: [u8; 32], y: [u8; 32]) -> i32 {
        acc + dot32(&u, &y)
    }
    #[inline(always)]
    fn dot_signed(self, acc: i32, w: [u8; 32], y: [u8; 32]) -> i32 {
        acc + dot32(&w, &y)
    }
    #[inline(always)]
    fn dot_signed_top(self, acc: i32, w: [u8; 32], y: [u8; 32]) -> i32 {
        acc + dot32(&w, &y)
    }

    #[inline(always)]
    fn picks(self) {}
    #[inline(always)]
    fn scales16(self, s: &[i8; 16]) -> [i8; 16] {
        *s
    }
    #[inline(always)]
    fn dot_grouped<const J: usize>(
        self,
        acc: i32,
        u: [[u8; 32]; 2],
        y: [[u8; 32]; 2],
        s: [i8; 16],
        (): (),
    ) -> i32 {
        let one = |u, y, j| dot16(u, y, 0) * i32::from(s[2 * j]) + dot16(u, y, 16) * i32::from(s[2 * j + 1]);
        acc + one(&u[0], &y[0], J) + one(&u[1], &y[1], J + 1)
    }
    #[inline(always)]
    fn dot_sums(self, s: [i8; 16], sums: &[i16; 16]) -> i32 {
        s.iter().zip(sums).map(|(&s, &sum)| i32::from(s) * i32::from(sum)).sum()
    }
    #[inline(always)]
    fn sub_shl<const N: i32>(self, a: i32, b: i32) -> i32 {
        a - (b << N)
    }

    #[inline(always)]
    fn reduce(self, sums: &[i32; STEP]) -> [i32; STEP] {
        *sums
    }
    #[inline(always)]
    fn eight(self, x: &[i16; STEP]) -> [i32; STEP] {
        x.map(i32::from)
    }
    #[inline(always)]
    fn eight_sub_shl<const N: i32>(self, a: [i32; STEP], b: [i32; STEP]) -> [i32; STEP] {
        from_fn(|i| a[i] - (b[i] << N))
    }
    #[inline(always)]
    fn to_f32(self, x: [i32; STEP]) -> [f32; STEP] {
        x.map(|x| x as f32)
    }
    #[inline(always)]
    fn halves(self, h: &[u16; STEP]) -> [f32; STEP] {
        h.map(f16_to_f32)
    }
    #[inline(always)]
    fn floats(self, x: &[f32; STEP]) -> [f32; STEP] {
        *x
    }
    #[inline(always)]
    fn splat(self, x: f32) -> [f32; STEP] {
        [x; STEP]
    }
    #[inline(always)]
    fn add(self, a: [f32; STEP], b: [f32; STEP]) -> [f32; STEP] {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; STEP], b: [f32; STEP]) -> [f32; STEP] {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; STEP], b: [f32; STEP]) -> [f32; STEP] {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn store(self, x: [f32; STEP], to: &mut [f32; STEP]) {
        *to = x;
    }

    #[inline(always)]
    fn prefetch(self, _: *const u8, _: usize, _: usize) {}
}

impl SubBlocks for Scalar {
    #[inline(always)]
    fn dot_scaled<const J: usize>(
        self,
        acc: i32,
        [u, v]: [[u8; 32]; 2],
        [y, z]: [[u8; 32]; 2],
        s: &[u8; 8],
    ) -> i32 {
        acc + dot32(&u, &y) * i32::from(s[J]) + dot32(&v, &z) * i32::from(s[J + 1])
    }
    #[inline(always)]
    fn dot_mins(self, m: &[u8; 8], sums: &[i16; 16]) -> i32 {
        (0..8).map(|j| i32::from(m[j]) * (i32::from(sums[2 * j]) + i32::from(sums[2 * j + 1]))).sum()
    }
}
