//! Every instruction set of this machine against plain loops in the canonical order, on bits; those against f64.

use super::*;
use crate::kernels::Kernels;
use crate::quant::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use crate::quant::{Block, Q8_0Block, WeightFormat};
#[cfg(target_arch = "x86_64")]
use crate::simd::detected::{avx2, avx512};
use std::{vec, vec::Vec};

#[cfg(feature = "kv-q8_0")]
mod blocks;

/// Everything that runs here; the portable kernels first.
#[allow(unsafe_code, reason = "the proof that a CPU has a feature starts somewhere")]
fn all_kernels() -> Vec<Kernels> {
    #[allow(unused_mut)]
    let mut all = vec![Kernels::scalar()];
    #[cfg(target_arch = "x86_64")]
    if avx2() {
        // SAFETY: just detected.
        all.push(Kernels::avx2(unsafe { crate::simd::avx2::Avx2::assume() }));
    } else {
        std::println!("left out: AVX2, which this CPU does not have");
    }
    #[cfg(target_arch = "x86_64")]
    if avx512() {
        // SAFETY: just detected.
        all.push(Kernels::avx512(unsafe { crate::simd::avx512::Avx512::assume() }));
    } else {
        std::println!("left out: AVX-512, which this CPU does not have");
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the target has Advanced SIMD.
    all.push(Kernels::neon(unsafe { crate::simd::neon::Neon::assume() }));
    all
}

/// xorshift64*, Vigna 2016.
struct Rng(u64);

impl Rng {
    fn bits(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// −1..1.
    fn unit(&mut self) -> f32 {
        self.bits() as f32 / 2_147_483_648.0 - 1.0
    }

    /// `n` numbers in ±`scale`, some zeros of either sign among them.
    fn vec(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n)
            .map(|_| match self.bits() % 32 {
                0 => 0.0,
                1 => -0.0,
                _ => self.unit() * scale,
            })
            .collect()
    }
}

#[track_caller]
fn same(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "{what}: [{i}] {a:e} != {b:e}");
    }
}

/// The canonical order, spelled out.
fn sum16(terms: impl Iterator<Item = f32>) -> f32 {
    let mut lane = [0.0f32; 16];
    let mut n = 0;
    for x in terms {
        lane[n % 16] += x;
        n += 1;
    }
    while n % 16 != 0 {
        lane[n % 16] += 0.0 * 0.0;
        n += 1;
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lane[i] += lane[i + half];
        }
    }
    lane[0]
}

fn dot16(a: &[f32], b: &[f32]) -> f32 {
    sum16(a.iter().zip(b).map(|(a, b)| a * b))
}

const LENGTHS: [usize; 12] = [1, 2, 7, 15, 16, 17, 31, 48, 64, 100, 257, 2048];
const SPECIAL: [f32; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    88.722_83,
    88.722_84,
    -87.336_55,
    -103.972_08,
    -104.1,
    1e30,
    -1e30,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

#[test]
fn exp_is_accurate_and_its_lanes_agree() {
    // Every 509th float (all exponents, both signs), and those around the ends of the range.
    let step = if cfg!(target_arch = "aarch64") { 8191 } else { 509 };
    let mut worst = 0.0f64;
    let mut check = |xs: &[f32]| {
        let want: Vec<f32> = xs.iter().map(|&x| exp(x)).collect();
        for (&x, &e) in xs.iter().zip(&want) {
            if x.is_nan() {
                assert!(e.is_nan());
                continue;
            }
            let exact = libm::exp(f64::from(x));
            if exact >= f64::from(f32::MAX) * (1.0 + 2f64.powi(-25)) {
                // The last float below overflow may be taken for it, within the bound.
                assert!(e.is_infinite() || x < 88.722_85, "{x}");
                continue;
            }
            let ulp = (2f64).powi((libm::ilogb(exact.max(1e-300)) - 23).max(-149));
            if e.is_finite() {
                worst = worst.max((f64::from(e) - exact).abs() / ulp);
            } else {
                assert!(x > 88.722_8, "exp({x}) = {e}");
            }
        }
        for kernels in all_kernels() {
            // sigma(x)·x·y through the lanes is a function of e^−x; softmax of (x, 0) of e^x. Both see every bit.
            let mut got = xs.to_vec();
            let ones = vec![1.0; xs.len()];
            kernels.swiglu(&mut got, &ones);
            let silu: Vec<f32> = xs.iter().map(|&x| x / (1.0 + exp(0.0 - x)) * 1.0).collect();
            same(&got, &silu, kernels.isa().name());
        }
    };
    let all: Vec<f32> = (0..=u32::MAX).step_by(step).map(f32::from_bits).collect();
    for xs in all.chunks(1 << 16) {
        check(xs);
    }
    let ends: Vec<f32> = [88.722_83f32, 89.0, -87.336_55, -103.972_08, -104.0, 0.346_573_6]
        .into_iter()
        .flat_map(|x| (0..64).map(move |i| f32::from_bits(x.to_bits() - 32 + i)))
        .chain(SPECIAL)
        .collect();
    check(&ends);
    assert!(worst <= 1.0, "{worst} ulp");
    std::println!("exp: {worst:.3} ulp");
    assert_eq!(exp(f32::INFINITY), f32::INFINITY);
    assert_eq!(exp(f32::NEG_INFINITY).to_bits(), 0);
    assert_eq!(exp(-104.0).to_bits(), 0);
    assert_eq!(exp(0.0), 1.0);
}

/// Compares the exponentials themselves: the lanes that `softmax` and `attend` use, without a division after.
#[test]
fn exponentials_have_the_same_bits_in_every_lane() {
    fn check<L: crate::simd::Lanes>(l: L, step: usize) {
        let mut x = [0.0; 16];
        for first in (0..=u32::MAX - 16 * 101).step_by(step) {
            for (i, x) in x.iter_mut().enumerate() {
                *x = f32::from_bits(first + 101 * i as u32);
            }
            let mut e = [0.0; 16];
            l.store(super::exp::exp_lanes(l, l.load(&x)), &mut e);
            same(&e, &x.map(exp), "exp");
        }
    }
    let step = if cfg!(target_arch = "aarch64") { 65521 } else { 16127 };
    check(Scalar, step);
    #[cfg(target_arch = "x86_64")]
    if avx2() {
        #[allow(unsafe_code, reason = "the proof that a CPU has a feature starts somewhere")]
        // SAFETY: just detected.
        check(unsafe { crate::simd::avx2::Avx2::assume() }, step);
    }
    #[cfg(target_arch = "x86_64")]
    if avx512() {
        #[allow(unsafe_code, reason = "the proof that a CPU has a feature starts somewhere")]
        // SAFETY: just detected.
        check(unsafe { crate::simd::avx512::Avx512::assume() }, step);
    }
    #[cfg(target_arch = "aarch64")]
    #[allow(unsafe_code, reason = "the proof that a CPU has a feature starts somewhere")]
    // SAFETY: the target has Advanced SIMD.
    check(unsafe { crate::simd::neon::Neon::assume() }, step);
}

#[test]
fn sixteen_rows_become_sixteen_columns() {
    fn check<L: crate::simd::Lanes>(l: L) {
        let rows: [[f32; 16]; 16] = core::array::from_fn(|i| core::array::from_fn(|j| (16 * i + j) as f32));
        let mut columns = [[f32::NAN; 16]; 16];
        l.transpose(rows.each_ref(), &mut columns);
        for (i, column) in columns.iter().enumerate() {
            assert_eq!(*column, rows.map(|row| row[i]));
        }
    }
    check(Scalar);
    #[cfg(target_arch = "x86_64")]
    if avx2() {
        #[allow(unsafe_code, reason = "the proof that a CPU has a feature starts somewhere")]
        // SAFETY: just detected.
        check(unsafe { crate::simd::avx2::Avx2::assume() });
    }
    #[cfg(target_arch = "x86_64")]
    if avx512() {
        #[allow(unsafe_code, reason = "the proof that a CPU has a feature starts somewhere")]
        // SAFETY: just detected.
        check(unsafe { crate::simd::avx512::Avx512::assume() });
    }
}

#[test]
fn rms_norm_add_and_swiglu_follow_their_formulas() {
    let mut rng = Rng(1);
    for n in LENGTHS {
        let (x, w) = (rng.vec(n, 3.0), rng.vec(n, 2.0));
        let mean = dot16(&x, &x) / n as f32;
        let s = 1.0 / (mean + 1e-5).sqrt();
        let want: Vec<f32> = x.iter().zip(&w).map(|(x, w)| x * s * w).collect();
        let exact = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n as f64 + 1e-5;
        for kernels in all_kernels() {
            let name = kernels.isa().name();
            let mut out = vec![f32::NAN; n];
            kernels.rms_norm(&x, &w, 1e-5, &mut out);
            same(&out, &want, name);
            for ((out, x), w) in out.iter().zip(&x).zip(&w) {
                let exact = f64::from(*x) * f64::from(*w) / exact.sqrt();
                assert!((f64::from(*out) - exact).abs() <= 1e-6 * exact.abs() + 1e-30);
            }
            let mut sum = x.clone();
            kernels.add_assign(&mut sum, &w);
            same(&sum, &x.iter().zip(&w).map(|(x, w)| x + w).collect::<Vec<_>>(), name);
            let mut gate = x.clone();
            kernels.swiglu(&mut gate, &w);
            for ((got, &x), &w) in gate.iter().zip(&x).zip(&w) {
                assert_eq!(got.to_bits(), (x / (1.0 + exp(0.0 - x)) * w).to_bits(), "{name}");
                let exact = f64::from(x) / (1.0 + (-f64::from(x)).exp()) * f64::from(w);
                assert!((f64::from(*got) - exact).abs() <= 6e-7 * exact.abs() + 1e-30);
            }
        }
    }
}

#[test]
fn rope_turns_adjacent_pairs_and_leaves_the_rest() {
    let mut rng = Rng(3);
    for (head_len, n_rot) in [(64, 64), (128, 64), (80, 80), (7, 6), (9, 4), (2, 2), (5, 0)] {
        let factors = rng.vec(n_rot / 2, 1.0).iter().map(|f| f + 2.0).collect::<Vec<_>>();
        for factors in [None, Some(&factors[..])] {
            let mut table = vec![0.0; n_rot];
            rope_table(1234, n_rot, 10_000.0, 0.5, factors, &mut table);
            for (i, pair) in table.chunks(2).enumerate() {
                let factor = factors.map_or(1.0, |f| f64::from(f[i]));
                let theta = 1234.0 * 0.5 * 10_000f64.powf(-2.0 * i as f64 / n_rot as f64) / factor;
                assert!((f64::from(pair[0]) - theta.cos()).abs() < 1e-7, "{i}");
                assert!((f64::from(pair[1]) - theta.sin()).abs() < 1e-7, "{i}");
            }
            let x = rng.vec(3 * head_len, 2.0);
            let mut want = x.clone();
            for head in want.chunks_mut(head_len) {
                for i in 0..n_rot / 2 {
                    let (x0, x1, c, s) = (head[2 * i], head[2 * i + 1], table[2 * i], table[2 * i + 1]);
                    head[2 * i] = x0 * c - x1 * s;
                    head[2 * i + 1] = x0 * s + x1 * c;
                }
            }
            for kernels in all_kernels() {
                let mut got = x.clone();
                kernels.rope(&mut got, head_len, &table);
                same(&got, &want, kernels.isa().name());
            }
        }
    }
}

#[test]
fn caches_store_halves_as_the_quantizer_does() {
    let step = if cfg!(target_arch = "aarch64") { 16381 } else { 1021 };
    let mut src: Vec<f32> = (0..=u32::MAX).step_by(step).map(f32::from_bits).collect();
    src.extend((0..0x7c00u16).map(|h| {
        // Halfway between two halves, and just off it.
        let mid = (f16_to_f32(h) + f16_to_f32(h + 1)) / 2.0;
        f32::from_bits(mid.to_bits() + u32::from(h % 3) - 1)
    }));
    for n in [src.len(), 1, 15, 17] {
        let src = &src[src.len() - n..];
        for kernels in all_kernels() {
            let mut dst = vec![0xa5; 2 * n];
            kernels.kv_store(KvType::F16, src, &mut dst);
            for (x, h) in src.iter().zip(dst.as_chunks::<2>().0) {
                assert_eq!(u16::from_le_bytes(*h), f32_to_f16(*x), "{x:e} {}", kernels.isa());
            }
            let mut dst = vec![0xa5; 4 * n];
            kernels.kv_store(KvType::F32, src, &mut dst);
            for (x, b) in src.iter().zip(dst.as_chunks::<4>().0) {
                assert_eq!(x.to_bits(), u32::from_le_bytes(*b));
            }
        }
    }
}

/// `x` in `format`, one byte off any alignment, and what it reads back as.
fn encode(format: WeightFormat, x: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let mut bytes = vec![0];
    let mut back = Vec::new();
    if format == WeightFormat::Q8_0 {
        for x in x.as_chunks().0 {
            let (block, mut values) = (Q8_0Block::quantize(x), [0.0; 32]);
            bytes.extend_from_slice(bytemuck::bytes_of(&block));
            block.dequantize(&mut values);
            back.extend_from_slice(&values);
        }
        return (bytes, back);
    }
    for &x in x {
        match format {
            WeightFormat::F32 => {
                bytes.extend(x.to_le_bytes());
                back.push(x);
            }
            WeightFormat::F16 => {
                bytes.extend(f32_to_f16(x).to_le_bytes());
                back.push(f16_to_f32(f32_to_f16(x)));
            }
            _ => {
                bytes.extend(f32_to_bf16(x).to_le_bytes());
                back.push(bf16_to_f32(f32_to_bf16(x)));
            }
        }
    }
    (bytes, back)
}

#[test]
fn rows_multiply_in_the_canonical_order() {
    let mut rng = Rng(5);
    for format in [WeightFormat::F32, WeightFormat::F16, WeightFormat::BF16] {
        for (k, rows, tokens) in [
            (1, 1, 1),
            (15, 5, 2),
            (16, 4, 3),
            (17, 7, 5),
            (100, 19, 2),
            (256, 33, 67),
            (273, 18, 130),
            (1000, 6, 4),
        ] {
            let (bytes, w) = encode(format, &rng.vec(rows * k, 1.0));
            let x = rng.vec(tokens * k, 1.0);
            let want: Vec<f32> =
                (0..tokens * rows).map(|i| dot16(&w[i % rows * k..][..k], &x[i / rows * k..][..k])).collect();
            for kernels in all_kernels() {
                let what = std::format!("{format} {k} {rows} {tokens} {}", kernels.isa());
                let acts = Acts::float(&x, k, tokens);
                for t in 0..tokens.min(3) {
                    let mut out = vec![f32::NAN; rows];
                    kernels.matvec(format, &bytes[1..], &acts.token(t), &mut out, &mut []);
                    same(&out, &want[t * rows..][..rows], &what);
                }
                let mut out = vec![f32::NAN; tokens * rows];
                let mut scratch = vec![f32::NAN; kernels.matmul_scratch_bytes(format, k, tokens) / 4];
                let scratch = bytemuck::cast_slice_mut(&mut scratch);
                kernels.matmul(
                    format,
                    &bytes[1..],
                    &acts,
                    &mut OutCols::new(&mut out, tokens, rows),
                    scratch,
                );
                same(&out, &want, &what);
            }
        }
    }
}

/// What is inverse of a subnormal or infinite stays what it is on every instruction set.
#[test]
fn rows_convert_every_bit_pattern_exactly() {
    let halves: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for (format, widen) in [
        (WeightFormat::F16, f16_to_f32 as fn(u16) -> f32),
        (WeightFormat::BF16, bf16_to_f32 as fn(u16) -> f32),
    ] {
        for kernels in all_kernels() {
            let mut out = vec![0.0; 1 << 16];
            let acts = Acts::float(&[1.0], 1, 1);
            kernels.matvec(format, &halves, &acts.token(0), &mut out, &mut []);
            let want: Vec<f32> = (0..=u16::MAX).map(|h| widen(h) + 0.0).collect();
            same(&out, &want, format.name());
        }
    }
}

struct Case {
    kv_type: KvType,
    key_len: usize,
    value_len: usize,
    first_pos: usize,
    tokens: usize,
    group: usize,
}

/// Attention as its formulas say, in the canonical order, and in f64.
fn attention_oracle(
    case: &Case,
    k: &[f32],
    v: &[f32],
    q: &[f32],
    q_stride: usize,
    scale: f32,
) -> (Vec<f32>, Vec<f64>) {
    let &Case { key_len, value_len, first_pos, tokens, group, .. } = case;
    let (mut out, mut exact) = (Vec::new(), Vec::new());
    for t in 0..tokens {
        for g in 0..group {
            let q = &q[t * q_stride + g * key_len..][..key_len];
            let n = first_pos + t + 1;
            let mut p: Vec<f32> = (0..n).map(|j| dot16(q, &k[j * key_len..][..key_len]) * scale).collect();
            let max = p.iter().fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m });
            p.iter_mut().for_each(|x| *x = exp(*x - max));
            let inverse = 1.0 / sum16(p.iter().copied());
            let e: Vec<f64> = (0..n)
                .map(|j| {
                    let dot: f64 =
                        (0..key_len).map(|i| f64::from(q[i]) * f64::from(k[j * key_len + i])).sum();
                    (dot * f64::from(scale) - f64::from(max)).exp()
                })
                .collect();
            let e_sum: f64 = e.iter().sum();
            for d in 0..value_len {
                let mut acc = 0.0f32;
                for j in 0..n {
                    acc += p[j] * v[j * value_len + d];
                }
                out.push(acc * inverse);
                exact.push((0..n).map(|j| e[j] * f64::from(v[j * value_len + d])).sum::<f64>() / e_sum);
            }
        }
    }
    (out, exact)
}

#[test]
fn attention_is_canonical_however_it_is_blocked() {
    let mut rng = Rng(6);
    let case = |kv_type, key_len, value_len, first_pos, tokens, group| Case {
        kv_type,
        key_len,
        value_len,
        first_pos,
        tokens,
        group,
    };
    let cases = [
        case(KvType::F16, 64, 64, 0, 1, 1),
        case(KvType::F16, 64, 64, 37, 1, 8),
        case(KvType::F32, 64, 64, 100, 9, 4),
        case(KvType::F16, 128, 128, 31, 33, 3),
        case(KvType::F32, 8, 8, 0, 70, 1),
        case(KvType::F16, 80, 96, 15, 5, 2),
        case(KvType::F16, 7, 13, 16, 6, 5),
        case(KvType::F32, 33, 1, 64, 2, 7),
        case(KvType::F16, 96, 80, 300, 1, 1),
        case(KvType::F16, 64, 64, 45, 13, 3),
        case(KvType::F16, 60, 64, 3, 9, 7),
        case(KvType::F32, 128, 128, 17, 35, 1),
        case(KvType::Q8_0, 64, 64, 0, 1, 1),
        case(KvType::Q8_0, 64, 64, 37, 5, 8),
        case(KvType::Q8_0, 128, 32, 31, 33, 3),
        case(KvType::Q8_0, 32, 96, 300, 1, 1),
    ];
    for c in cases.into_iter().filter(|c| c.kv_type.is_compiled()) {
        let positions = c.first_pos + c.tokens;
        let scale = 3.0 / (c.key_len as f32).sqrt();
        let format = match c.kv_type {
            KvType::F32 => WeightFormat::F32,
            KvType::F16 => WeightFormat::F16,
            KvType::Q8_0 => WeightFormat::Q8_0,
        };
        let (k_bytes, k) = encode(format, &rng.vec(positions * c.key_len, 1.0));
        let (v_bytes, v) = encode(format, &rng.vec(positions * c.value_len, 1.0));
        let q_stride = c.group * c.key_len + 3;
        let q = rng.vec(c.tokens * q_stride, 1.0);
        let (want, exact) = attention_oracle(&c, &k, &v, &q, q_stride, scale);
        for (want, exact) in want.iter().zip(&exact) {
            assert!((f64::from(*want) - exact).abs() < 2e-6, "{want} {exact}");
        }
        let head = KvHead {
            kv_type: c.kv_type,
            key_len: c.key_len,
            value_len: c.value_len,
            k: &k_bytes[1..],
            v: &v_bytes[1..],
        };
        let job = AttendJob { first_pos: c.first_pos, tokens: c.tokens, group: c.group, scale };
        for kernels in all_kernels() {
            for queries in [1, 3, 5, 64] {
                let bytes = kernels.attend_scratch_bytes(c.key_len, c.value_len, positions + 17, 1, queries);
                let mut scratch = vec![f32::NAN; bytes / 4];
                let cols = c.group * c.value_len;
                let mut out = vec![f32::NAN; c.tokens * cols];
                kernels.attend(
                    &head,
                    &q,
                    q_stride,
                    &job,
                    &mut OutCols::new(&mut out, c.tokens, cols),
                    bytemuck::cast_slice_mut(&mut scratch),
                );
                same(&out, &want, kernels.isa().name());
            }
        }
    }
}

/// A value that overflowed to infinity harms only the tokens that see it, as if each were computed alone.
#[test]
fn attention_never_looks_ahead() {
    let mut rng = Rng(7);
    let tokens = 40;
    for len in [16, 64] {
        let (k_bytes, _) = encode(WeightFormat::F32, &rng.vec(tokens * len, 1.0));
        let mut v = rng.vec(tokens * len, 1.0);
        v[20 * len] = f32::INFINITY;
        v[21 * len + 3] = f32::NAN;
        let (v_bytes, _) = encode(WeightFormat::F32, &v);
        let q = rng.vec(tokens * len, 1.0);
        let head =
            KvHead { kv_type: KvType::F32, key_len: len, value_len: len, k: &k_bytes[1..], v: &v_bytes[1..] };
        for kernels in all_kernels() {
            let mut scratch = vec![0; kernels.attend_scratch_bytes(len, len, tokens, 1, tokens) / 4];
            let scratch: &mut [u8] = bytemuck::cast_slice_mut::<u32, u8>(&mut scratch);
            let job = AttendJob { first_pos: 0, tokens, group: 1, scale: 0.25 };
            let mut all = vec![0.0; tokens * len];
            kernels.attend(&head, &q, len, &job, &mut OutCols::new(&mut all, tokens, len), scratch);
            for t in 0..tokens {
                let mut one = vec![0.0; len];
                let job = AttendJob { first_pos: t, tokens: 1, group: 1, scale: 0.25 };
                kernels.attend(&head, &q[t * len..], len, &job, &mut OutCols::new(&mut one, 1, len), scratch);
                same(&all[t * len..][..len], &one, kernels.isa().name());
                assert_eq!(one.iter().all(|x| x.is_finite()), t < 20);
            }
        }
    }
}

/// The bits of every kernel's result in one FNV-1a hash, made once by the portable kernels on x86-64: the tests
/// above compare what runs on one machine, this compares machines.
#[test]
fn results_are_the_same_on_every_machine() {
    for kernels in all_kernels() {
        let mut rng = Rng(8);
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut add = |x: &[f32]| {
            for x in x {
                hash = (hash ^ u64::from(x.to_bits())).wrapping_mul(0x100_0000_01b3);
            }
        };
        let (len, tokens, group) = (40, 5, 3);
        let (mut x, w) = (rng.vec(len * group * tokens, 4.0), rng.vec(len * group * tokens, 4.0));
        let mut y = x.clone();
        kernels.rms_norm(&x, &w, 1e-6, &mut y);
        add(&y);
        kernels.swiglu(&mut y, &x);
        add(&y);
        kernels.add_assign(&mut x, &y);
        let mut table = [0.0; 32];
        rope_table(98_765, 32, 500_000.0, 0.25, None, &mut table);
        add(&table);
        kernels.rope(&mut x, len, &table);
        add(&x);
        let mut cache = vec![0; 2 * w.len()];
        kernels.kv_store(KvType::F16, &w, &mut cache);
        let head = KvHead { kv_type: KvType::F16, key_len: len, value_len: len, k: &cache, v: &cache };
        let job = AttendJob { first_pos: 9, tokens, group, scale: 0.3 };
        let mut scratch = vec![0.0f32; kernels.attend_scratch_bytes(len, len, 14, group, tokens) / 4];
        let scratch = bytemuck::cast_slice_mut(&mut scratch);
        kernels.attend(&head, &x, len * group, &job, &mut OutCols::new(&mut y, tokens, len * group), scratch);
        add(&y);
        let mut out = [0.0; 5];
        let acts = Acts::float(&x, len * group, tokens);
        for format in [WeightFormat::F16, WeightFormat::BF16] {
            let rows = cache.len() / 2 / (len * group);
            kernels.matvec(format, &cache, &acts.token(1), &mut out[..rows], &mut []);
            add(&out[..rows]);
        }
        assert_eq!(hash, 0x59f8_6d1f_a48c_45a4, "{}: {hash:#x}", kernels.isa());
    }
}

#[test]
fn slots_of_scratch_follow_one_another_aligned() {
    for kernels in all_kernels() {
        for format in WeightFormat::ALL {
            for (blocks, tokens) in [(1, 1), (7, 1), (22, 1), (22, 5), (22, 512)] {
                let bytes = kernels.matmul_scratch_bytes(format, blocks * format.block_len(), tokens);
                assert!(bytes.is_multiple_of(64), "{format} {blocks} {tokens} {}: {bytes}", kernels.isa());
            }
        }
    }
}
