//! Every format, mode and instruction set against the definitions in `kernels`, on bits.

use super::{Matmul, Table};
use crate::kernels::{ActKind, ActToken, Acts, ActsMut, Kernels, Mode, OutCols, matvec};
use crate::quant::WeightFormat;
use crate::quant::float::f16_to_f32;
use crate::simd::IsaKind;
#[cfg(target_arch = "x86_64")]
use crate::simd::detected::{avx2, avx512, avxvnni};
use std::vec::Vec;
use std::{format, print, println, vec};

const FORMATS: [WeightFormat; 11] = [
    WeightFormat::Q4_0,
    WeightFormat::Q4_1,
    WeightFormat::Q5_0,
    WeightFormat::Q5_1,
    WeightFormat::Q8_0,
    WeightFormat::Q2_K,
    WeightFormat::Q3_K,
    WeightFormat::Q4_K,
    WeightFormat::Q5_K,
    WeightFormat::Q6_K,
    WeightFormat::Q8_K,
];

/// A xorshift generator: tests need repeatable noise, not quality.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Aligned memory, as the caller of a kernel provides it.
fn aligned(memory: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    memory.resize(bytes + 64, 0xa5);
    let skip = memory.as_ptr().align_offset(64);
    &mut memory[skip..][..bytes]
}

/// What a matrix or its activations are filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Data {
    Random,
    /// Every bit of the weights set, digits at one end of their range.
    Ones(i8),
    /// Only the sign bits of bytes set: the most negative scales and weights.
    Signs(i8),
}

/// Offsets of a format's halves in its block.
fn halves(format: WeightFormat) -> &'static [usize] {
    match format {
        WeightFormat::Q4_0 | WeightFormat::Q5_0 | WeightFormat::Q8_0 => &[0],
        WeightFormat::Q4_1 | WeightFormat::Q5_1 | WeightFormat::Q4_K | WeightFormat::Q5_K => &[0, 2],
        WeightFormat::Q2_K => &[80, 82],
        WeightFormat::Q3_K => &[108],
        WeightFormat::Q6_K => &[208],
        _ => &[],
    }
}

fn weights(format: WeightFormat, k: usize, rows: usize, data: Data, noise: &mut Noise) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..format.row_bytes(k).unwrap() * rows)
        .map(|_| match data {
            Data::Random => noise.next() as u8,
            Data::Ones(_) => 255,
            Data::Signs(_) => 128,
        })
        .collect();
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        for &at in halves(format) {
            // Finite, of either sign, now and then subnormal or zero.
            let half = (noise.next() as u16) & 0xa7ff;
            block[at..at + 2].copy_from_slice(&half.to_le_bytes());
        }
        if format == WeightFormat::Q8_K {
            block[..4].copy_from_slice(&(noise.next() as i32 as f32 * 1e-12).to_le_bytes());
        }
    }
    bytes
}

fn acts<'a>(
    kind: ActKind,
    mode: Mode,
    k: usize,
    tokens: usize,
    data: Data,
    noise: &mut Noise,
    memory: &'a mut Vec<u8>,
) -> Acts<'a> {
    let bytes = ActsMut::bytes(kind, mode, k, tokens).unwrap();
    let mut acts = ActsMut::new(kind, mode, k, tokens, aligned(memory, bytes)).unwrap();
    for t in 0..tokens {
        let token = acts.token_mut(t);
        for (i, q) in token.q.iter_mut().enumerate() {
            *q = match data {
                Data::Random => noise.next() as i8,
                Data::Ones(q) | Data::Signs(q) => q,
            };
            if i < k {
                // The top plane.
                *q = (*q).max(-127);
            }
        }
        for (sums, q) in token.sums.chunks_exact_mut(kind.sum_count(k)).zip(token.q.chunks_exact(k)) {
            for (sum, q) in sums.iter_mut().zip(q.chunks_exact(kind.sum_len()).cycle()) {
                *sum = q.iter().map(|&q| i16::from(q)).sum();
            }
        }
        let blocks = k / kind.block_len();
        for b in 0..token.d.len() {
            token.d[b] = if b < blocks { noise.next() as u32 as f32 * 1e-10 } else { token.d[b % blocks] };
        }
    }
    acts.finish()
}

/// A block in plain numbers: weights, the scale of each, the minimum of each 16, the floats.
struct Plain {
    weights: Vec<i32>,
    scales: Vec<i32>,
    mins: Vec<i32>,
    d: f32,
    m: f32,
}

/// The formats as GGML lays them out, an element at a time.
fn plain(format: WeightFormat, b: &[u8]) -> Plain {
    let half = |at: usize| f16_to_f32(u16::from_le_bytes([b[at], b[at + 1]]));
    let byte = |at: usize| i32::from(b[at]);
    let len = format.block_len();
    let nibble = |base: usize, i: usize| byte(base + i % 16) >> (4 * (i / 16)) & 15;
    let bit = |base: usize, i: usize| byte(base + i / 8) >> (i % 8) & 1;
    // Nibbles in chunks of 64, two bits in chunks of 128.
    let chunk4 = |base: usize, i: usize| byte(base + i / 64 * 32 + i % 32) >> (i / 32 % 2 * 4) & 15;
    let chunk2 = |base: usize, i: usize| byte(base + i / 128 * 32 + i % 32) >> (i / 32 % 4 * 2) & 3;
    // ggml's get_scale_min_k4.
    let six = |j: usize| {
        if j < 4 {
            (byte(4 + j) & 63, byte(8 + j) & 63)
        } else {
            (byte(8 + j) & 15 | byte(j) >> 6 << 4, byte(8 + j) >> 4 | byte(4 + j) >> 6 << 4)
        }
    };
    let by = |f: &dyn Fn(usize) -> i32, n: usize| (0..n).map(f).collect::<Vec<_>>();
    let one = |_: usize| 1;
    type Numbers<'a> = &'a dyn Fn(usize) -> i32;
    let (w, s, mins, d, m): (Numbers<'_>, Numbers<'_>, Numbers<'_>, f32, f32) = match format {
        WeightFormat::Q4_0 => (&|i| nibble(2, i) - 8, &one, &one, half(0), 0.0),
        WeightFormat::Q4_1 => (&|i| nibble(4, i), &one, &one, half(0), half(2)),
        WeightFormat::Q5_0 => (&|i| (nibble(6, i) | bit(2, i) << 4) - 16, &one, &one, half(0), 0.0),
        WeightFormat::Q5_1 => (&|i| nibble(8, i) | bit(4, i) << 4, &one, &one, half(0), half(2)),
        WeightFormat::Q8_0 => (&|i| i32::from(b[2 + i] as i8), &one, &one, half(0), 0.0),
        WeightFormat::Q2_K => {
            (&|i| chunk2(16, i), &|i| byte(i / 16) & 15, &|g| byte(g) >> 4, half(80), half(82))
        }
        WeightFormat::Q3_K => (
            &|i| chunk2(32, i) - if byte(i % 32) >> (i / 32) & 1 == 1 { 0 } else { 4 },
            &|i| {
                let g = i / 16;
                (byte(96 + g % 8) >> (g / 8 * 4) & 15 | (byte(104 + g % 4) >> (g / 4 * 2) & 3) << 4) - 32
            },
            &one,
            half(108),
            0.0,
        ),
        WeightFormat::Q4_K => (&|i| chunk4(16, i), &|i| six(i / 32).0, &|g| six(g / 2).1, half(0), half(2)),
        WeightFormat::Q5_K => (
            &|i| chunk4(48, i) | (byte(16 + i % 32) >> (i / 32) & 1) << 4,
            &|i| six(i / 32).0,
            &|g| six(g / 2).1,
            half(0),
            half(2),
        ),
        WeightFormat::Q6_K => (
            &|i| {
                let low = byte(i / 128 * 64 + i % 64) >> (i / 64 % 2 * 4) & 15;
                let high = byte(128 + i / 128 * 32 + i % 32) >> (i / 32 % 4 * 2) & 3;
                (low | high << 4) - 32
            },
            &|i| i32::from(b[192 + i / 16] as i8),
            &one,
            half(208),
            0.0,
        ),
        WeightFormat::Q8_K => {
            (&|i| i32::from(b[4 + i] as i8), &one, &one, f32::from_le_bytes([b[0], b[1], b[2], b[3]]), 0.0)
        }
        _ => unreachable!("a float format"),
    };
    Plain { weights: by(w, len), scales: by(s, len), mins: by(mins, len.div_ceil(16)), d, m }
}

/// One row times one token, as `kernels` defines it.
fn oracle(format: WeightFormat, row: &[u8], token: &ActToken<'_>) -> f32 {
    let len = format.block_len();
    let mut acc = 0.0f32;
    for (i, block) in row.chunks_exact(format.block_bytes()).enumerate() {
        let p = plain(format, block);
        let (mut isum, mut msum, mut ysum) = (0.0f32, 0.0f32, 0.0f32);
        for plane in 0..token.planes {
            let y: Vec<i32> =
                token.q[plane * token.k + i * len..][..len].iter().map(|&q| i32::from(q)).collect();
            let dot: i32 = (0..len).map(|j| p.weights[j] * p.scales[j] * y[j]).sum();
            let mins: i32 = (0..len).map(|j| p.mins[j / 16] * y[j]).sum();
            isum = isum * 256.0 + dot as f32;
            msum = msum * 256.0 + mins as f32;
            ysum = ysum * 256.0 + y.iter().sum::<i32>() as f32;
        }
        let dy = token.d[i];
        let term = (p.d * dy) * isum;
        acc += match format {
            WeightFormat::Q4_1 | WeightFormat::Q5_1 => term + (p.m * dy) * ysum,
            WeightFormat::Q2_K | WeightFormat::Q4_K | WeightFormat::Q5_K => term - (p.m * dy) * msum,
            _ => term,
        };
    }
    acc
}

/// Compares one product, with more columns around the window than the kernel may touch.
fn check(
    (table, rows_table): (&Table, &matvec::Table),
    format: WeightFormat,
    mode: Mode,
    (rows, k, tokens): (usize, usize, usize),
    data: Data,
) {
    let mut noise = Noise((rows * 31 + k * 7 + tokens) as u64 | 1);
    let matrix = weights(format, k, rows, data, &mut noise);
    let mut memory = Vec::new();
    let acts = acts(ActKind::of(format), mode, k, tokens, data, &mut noise, &mut memory);
    let (before, stride) = (3, rows + 5);
    let mut out = vec![f32::NAN; tokens * stride];
    let mut scratch = Vec::new();
    let kernel: Matmul = table.get(format).unwrap();
    {
        let whole = OutCols::new(&mut out, tokens, stride);
        // SAFETY: `whole` is not used while the window lives.
        let mut window = unsafe { whole.share(before, rows) };
        let scratch = aligned(&mut scratch, table.scratch_bytes(tokens));
        // SAFETY: `tables` gives only tables that this CPU can run.
        unsafe { kernel(&matrix, &acts, &mut window, scratch) };
    }
    let row_bytes = format.row_bytes(k).unwrap();
    for (t, got) in out.chunks_exact(stride).enumerate() {
        for (c, got) in got.iter().enumerate() {
            let at = format!("{format} {mode:?} {rows}x{k} {data:?}: token {t} column {c}");
            if (before..before + rows).contains(&c) {
                let want = oracle(format, &matrix[(c - before) * row_bytes..][..row_bytes], &acts.token(t));
                assert!(want.is_finite(), "{at}: {want}");
                assert_eq!(got.to_bits(), want.to_bits(), "{at}: {got} not {want}");
            } else {
                assert!(got.is_nan(), "{at} was written");
            }
        }
        // The kernel for one token gives the same, whatever its scratch holds.
        let entry = rows_table[format as usize].unwrap();
        let mut one = vec![f32::NAN; rows];
        let scratch = aligned(
            &mut scratch,
            matvec::scratch_bytes(IsaKind::Avx512, format.block_len(), k / format.block_len()),
        );
        scratch.fill(0xff);
        // SAFETY: `tables` gives only tables that this CPU can run.
        unsafe { entry(&matrix, &acts.token(t), &mut one, scratch) };
        for (c, (one, many)) in one.iter().zip(&got[before..]).enumerate() {
            let at = format!("{format} {mode:?} {rows}x{k} {data:?}: token {t} alone, row {c}");
            assert_eq!(one.to_bits(), many.to_bits(), "{at}: {one} not {many}");
        }
    }
}

/// The tables that this CPU can run.
fn tables() -> Vec<(&'static str, Table, &'static matvec::Table)> {
    #[allow(unused_mut, reason = "elsewhere there are no others")]
    let mut tables = vec![("scalar", Table::SCALAR, &matvec::SCALAR)];
    #[cfg(target_arch = "x86_64")]
    if avx2() {
        tables.push(("avx2", Table::AVX2, &matvec::AVX2));
    } else {
        println!("left out: avx2, which this CPU lacks");
    }
    #[cfg(target_arch = "x86_64")]
    if avxvnni() {
        tables.push(("avxvnni", Table::AVXVNNI, &matvec::AVXVNNI));
    } else {
        println!("left out: avxvnni, which this CPU lacks");
    }
    #[cfg(target_arch = "x86_64")]
    if avx512() {
        tables.push(("avx512", Table::AVX512, &matvec::AVX512));
    } else {
        println!("left out: avx512, which this CPU lacks");
    }
    // With a model of the tiles: that the instructions do what it does, `amx` sees to where the CPU has them.
    #[cfg(target_arch = "x86_64")]
    if avx512() {
        tables.push(("tiles", super::tiles::model::TABLE, &matvec::AVX512));
    }
    #[cfg(target_arch = "aarch64")]
    {
        tables.push(("neon", Table::NEON, &matvec::NEON));
        for (name, there, table) in [
            ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod"), Table::DOTPROD),
            ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm"), Table::I8MM),
        ] {
            if there {
                tables.push((name, table, &matvec::DOTPROD));
            } else {
                println!("left out, which this machine lacks: {name}");
            }
        }
    }
    // For emulators: a CPU with one more than another need not repeat what passed there.
    if let Ok(held) = std::env::var("BARRE_TEST_ISAS") {
        println!("BARRE_TEST_ISAS={held}: the others are left out");
        tables.retain(|(name, ..)| held.split(',').any(|held| held == *name));
        assert!(!tables.is_empty(), "none of {held} is here");
    }
    tables
}

#[test]
fn products_have_the_canonical_bits() {
    for (name, table, rows_table) in tables() {
        for format in FORMATS {
            print!("{name} {format}; ");
            let shapes: &[(usize, usize)] = match ActKind::of(format) {
                // Rows of twelve and ten blocks: kernels that take eight or sixteen of them begin in the middle of a row.
                ActKind::Block32 => &[(1, 32), (16, 256), (17, 288), (35, 96), (8, 544), (19, 384)],
                _ => &[(1, 256), (16, 256), (17, 512), (35, 768), (19, 2560)],
            };
            for mode in [Mode::Int8, Mode::Exact] {
                for &(rows, k) in shapes {
                    for tokens in [1, 2, 3, 4, 5, 7, 8, 9, 11] {
                        check((&table, rows_table), format, mode, (rows, k, tokens), Data::Random);
                    }
                }
                for end in [-128, 127] {
                    check((&table, rows_table), format, mode, (17, 512, 5), Data::Ones(end));
                    check((&table, rows_table), format, mode, (17, 512, 5), Data::Signs(end));
                }
            }
        }
        println!();
    }
}

#[test]
fn tokens_are_taken_in_blocks() {
    for (_, table, rows_table) in tables() {
        for format in [WeightFormat::Q4_K, WeightFormat::Q8_0] {
            check((&table, rows_table), format, Mode::Int8, (17, 256, 130), Data::Random);
        }
        // More rows and tokens than a call of a kernel with tiles takes at once, in halves of a pair and whole.
        for shape in [(40, 2560, 33), (65, 512, 16), (16, 256, 530)] {
            check((&table, rows_table), WeightFormat::Q5_K, Mode::Int8, shape, Data::Random);
            check((&table, rows_table), WeightFormat::Q6_K, Mode::Int8, shape, Data::Random);
        }
        // So long that a block has fewer tokens.
        check((&table, rows_table), WeightFormat::Q4_K, Mode::Exact, (2, 24_576, 45), Data::Random);
    }
}

#[test]
fn a_batch_of_one_needs_what_one_token_needs() {
    let (format, k, rows) = (WeightFormat::Q4_K, 512, 3);
    let kernels = Kernels::scalar();
    let mut noise = Noise(7);
    let weights = weights(format, k, rows, Data::Random, &mut noise);
    let mut memory = Vec::new();
    let acts = acts(ActKind::of(format), Mode::Int8, k, 1, Data::Random, &mut noise, &mut memory);
    let mut memory = Vec::new();
    let scratch = aligned(&mut memory, kernels.matmul_scratch_bytes(format, k, 1));
    let (mut batch, mut one) = (vec![f32::NAN; rows], vec![0.0; rows]);
    kernels.matmul(format, &weights, &acts, &mut OutCols::new(&mut batch, 1, rows), scratch);
    kernels.matvec(format, &weights, &acts.token(0), &mut one, scratch);
    assert_eq!(batch, one);
}
