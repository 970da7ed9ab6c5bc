//! Block formats against vectors from GGML: see `vectors/quant/make.py`.

use barre_core::quant::{QuantError, WeightFormat, dequantize_row, first_non_finite_block, quantize_row};
use std::path::Path;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/quant");

struct Vectors {
    format: WeightFormat,
    blocks: Vec<u8>,
    expanded: Vec<f32>,
    weights: Vec<f32>,
    quantized: Vec<u8>,
}

fn vectors() -> Vec<Vectors> {
    WeightFormat::ALL
        .into_iter()
        .map(|format| {
            let file = std::fs::read(Path::new(VECTORS).join(format!("{format}.bin"))).expect("vectors");
            let (count, rest) = file.split_at(4);
            let n = u32::from_le_bytes(count.try_into().unwrap()) as usize;
            let (blocks, rest) = rest.split_at(n * format.block_bytes());
            let (expanded, rest) = rest.split_at(n * format.block_len() * 4);
            let (weights, quantized) = rest.split_at(n * format.block_len() * 4);
            let floats = |b: &[u8]| b.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            Vectors {
                format,
                blocks: blocks.to_vec(),
                expanded: floats(expanded),
                weights: floats(weights),
                quantized: quantized.to_vec(),
            }
        })
        .collect()
}

fn blocked() -> impl Iterator<Item = Vectors> {
    vectors().into_iter().filter(|v| v.format.block_len() > 1)
}

#[test]
fn block_sizes_guessed() {
    let sizes = std::fs::read_to_string(Path::new(VECTORS).join("sizes.txt")).expect("sizes.txt");
    let mut seen = 0;
    for line in sizes.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let format = WeightFormat::ALL.into_iter().find(|f| f.name() == fields[0]).expect(fields[0]);
        let number = |i: usize| fields[i].parse::<usize>().unwrap();
        assert_eq!(format.to_ggml() as usize, number(1), "{format}");
        assert_eq!(format.block_len(), number(2), "{format}");
        assert_eq!(format.block_bytes(), number(3), "{format}");
        seen += 1;
    }
    assert_eq!(seen, WeightFormat::ALL.len());
}

#[test]
fn expansion_is_ggmls_bit_for_bit() {
    for v in vectors() {
        let mut out = vec![f32::NAN; v.expanded.len()];
        dequantize_row(v.format, &v.blocks, &mut out).unwrap();
        for (i, (got, want)) in out.iter().zip(&v.expanded).enumerate() {
            // A NaN's sign and payload are the processor's choice.
            let same = got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan());
            assert!(same, "{} weight {i}: {got} not {want}", v.format);
        }
    }
}

#[test]
fn quantization_is_ggmls_reference_quantizers() {
    for v in vectors() {
        let mut out = vec![0xa5; v.quantized.len()];
        quantize_row(v.format, &v.weights, &mut out).unwrap();
        let size = v.format.block_bytes();
        let same = out.chunks(size).zip(v.quantized.chunks(size)).filter(|(a, b)| a == b).count();
        let n = out.len() / size;
        println!("{:5} {same} of {n} blocks identical", v.format);
        for (i, (a, b)) in out.chunks(size).zip(v.quantized.chunks(size)).enumerate() {
            assert_eq!(a, b, "{} block {i}", v.format);
        }
    }
}

#[test]
fn what_is_quantized_comes_back_near() {
    for v in blocked() {
        // A bit fewer is four times the error. The factor is measured, and twice what the worst block needs.
        let bits = f64::from(v.format.name().as_bytes()[1] - b'0');
        let mut bytes = vec![0; v.quantized.len()];
        quantize_row(v.format, &v.weights, &mut bytes).unwrap();
        let mut back = vec![0.0; v.weights.len()];
        dequantize_row(v.format, &bytes, &mut back).unwrap();
        for (block, (x, y)) in
            v.weights.chunks(v.format.block_len()).zip(back.chunks(v.format.block_len())).enumerate()
        {
            // The rows of large minimums beside small scales: GGML's levels are far off there.
            if v.format.block_len() == 256 && (4..8).contains(&block) {
                continue;
            }
            let square = |x: f32| f64::from(x) * f64::from(x);
            let error: f64 = x.iter().zip(y).map(|(&x, &y)| square(x - y)).sum();
            let power: f64 = x.iter().map(|&x| square(x)).sum();
            let bound = power * 4.0 * 4f64.powf(1.0 - bits) + 1e-12;
            assert!(error <= bound, "{} block {block}: {error:e} of {power:e}", v.format);
        }
    }
}

#[test]
fn plain_formats_round_to_nearest() {
    let x = [0.0, -0.0, 1.0, 65504.0, 1e-7, -3.0e38, f32::MIN_POSITIVE];
    for (format, want) in [
        (WeightFormat::F32, x),
        (WeightFormat::F16, [0.0, -0.0, 1.0, 65504.0, 1.192_092_9e-7, f32::NEG_INFINITY, 0.0]),
    ] {
        let mut bytes = vec![0; format.row_bytes(x.len()).unwrap()];
        quantize_row(format, &x, &mut bytes).unwrap();
        let mut back = [f32::NAN; 7];
        dequantize_row(format, &bytes, &mut back).unwrap();
        assert_eq!(back.map(f32::to_bits), want.map(f32::to_bits), "{format}");
    }
}

#[test]
fn scales_that_are_not_finite_are_found() {
    for v in blocked() {
        assert_eq!(first_non_finite_block(v.format, &v.quantized), None, "{}", v.format);
        let last = v.quantized.len() / v.format.block_bytes() - 1;
        let places: &[usize] = match v.format {
            WeightFormat::Q2_K => &[80, 82],
            WeightFormat::Q3_K => &[108],
            WeightFormat::Q6_K => &[208],
            WeightFormat::Q8_K => &[2],
            WeightFormat::Q4_1 | WeightFormat::Q5_1 | WeightFormat::Q4_K | WeightFormat::Q5_K => &[0, 2],
            _ => &[0],
        };
        for place in places {
            let mut bytes = v.quantized.clone();
            let at = last * v.format.block_bytes() + place;
            bytes[at..at + 2].copy_from_slice(&[0xc0, 0x7f]);
            assert_eq!(first_non_finite_block(v.format, &bytes), Some(last), "{} at {place}", v.format);
        }
    }
    let ones = [1.0f32, 1.0, f32::NEG_INFINITY].map(f32::to_le_bytes);
    assert_eq!(first_non_finite_block(WeightFormat::F32, ones.as_flattened()), Some(2));
    let halves = [0x3c00u16, 0x7bff, 0xfc00].map(u16::to_le_bytes);
    assert_eq!(first_non_finite_block(WeightFormat::F16, halves.as_flattened()), Some(2));
    let uppers = [0x3f80u16, 0x7f7f, 0xff81].map(u16::to_le_bytes);
    assert_eq!(first_non_finite_block(WeightFormat::BF16, uppers.as_flattened()), Some(2));
}

#[test]
fn wrong_lengths_and_numbers_are_errors() {
    let mut out = [0.0; 33];
    let error = dequantize_row(WeightFormat::Q8_0, &[0; 34], &mut out).unwrap_err();
    assert_eq!(error, QuantError::NotBlockMultiple { format: WeightFormat::Q8_0, len: 33 });
    let error = dequantize_row(WeightFormat::Q8_0, &[0; 35], &mut out[..32]).unwrap_err();
    assert_eq!(error, QuantError::Bytes { need: 34, have: 35 });
    let mut x = [1.0; 256];
    x[200] = f32::NAN;
    for format in WeightFormat::ALL {
        let mut bytes = vec![0; format.row_bytes(256).unwrap()];
        assert_eq!(
            quantize_row(format, &x, &mut bytes),
            Err(QuantError::NonFinite { index: 200 }),
            "{format}"
        );
    }
}

/// Rows of pseudo-random finite numbers: any bits; sub-blocks that each lie close around a number of their own;
/// magnitudes over 64 powers of two.
#[test]
fn any_finite_row_is_quantized_without_a_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    };
    for round in 0..600 {
        let mut x = [0.0f32; 256];
        for part in x.as_chunks_mut::<32>().0 {
            // 2^-20 to 2^24, negative: a minimum.
            let near = 0xb580_0000 + next() % (44 << 23);
            for x in part {
                let bits = match round % 3 {
                    0 => next(),
                    1 => near + next() % 16,
                    _ => (next() & 0x807f_ffff) | (95 + next() % 64) << 23,
                };
                let any = f32::from_bits(bits);
                *x = if any.is_finite() { any } else { f32::MAX };
            }
        }
        for format in WeightFormat::ALL {
            let mut bytes = vec![0; format.row_bytes(x.len()).unwrap()];
            quantize_row(format, &x, &mut bytes).unwrap();
            dequantize_row(format, &bytes, &mut [0.0; 256]).unwrap();
        }
    }
}
