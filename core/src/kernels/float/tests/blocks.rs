//! Keys and values in blocks: stored as the format's quantizer does, read exactly, the same everywhere.

use super::{Rng, all_kernels, same};
use crate::kernels::{AttendJob, KvHead, KvType, OutCols};
use crate::quant::{Block, Q8_0Block, WeightFormat};
use std::{vec, vec::Vec};

#[test]
fn rows_are_whole_blocks() {
    assert_eq!(KvType::ALL.map(|kv| kv.row_bytes(96)), [384, 192, 102]);
    assert_eq!(KvType::F32.row_bytes(usize::MAX), usize::MAX);
    assert_eq!(KvType::Q8_0.block_len(), WeightFormat::Q8_0.block_len());
    assert_eq!(KvType::Q8_0.block_bytes(), WeightFormat::Q8_0.block_bytes());
}

#[test]
fn blocks_are_stored_as_the_quantizer_makes_them() {
    let mut rng = Rng(9);
    let mut blocks = vec![[0.0; 32], [-0.0; 32]];
    // d is 1: what is quantized is the number itself, halves and their neighbours among them.
    for half in -127i8..127 {
        let x = f32::from(half) + 0.5;
        let mut block = [x, x.next_down(), x.next_up(), -x].repeat(8);
        block[5] = 127.0;
        blocks.push(block.try_into().unwrap());
    }
    // Every magnitude: scales that are no half, subnormal, zero, infinite.
    for exponent in -149..128 {
        for _ in 0..8 {
            let scale = (f64::from(exponent).exp2()) as f32;
            blocks.push(rng.vec(32, scale).try_into().unwrap());
        }
    }
    let src = blocks.as_flattened();
    for kernels in all_kernels() {
        let mut dst = vec![0xa5; 1 + blocks.len() * 34];
        kernels.kv_store(KvType::Q8_0, src, &mut dst[1..]);
        for (x, got) in blocks.iter().zip(dst[1..].chunks(34)) {
            assert_eq!(got, bytemuck::bytes_of(&Q8_0Block::quantize(x)), "{x:?} {}", kernels.isa());
        }
    }
}

/// Every scale, and every number, read by attending to one position: its value comes back as it is.
#[test]
fn every_block_is_read_exactly() {
    let len = 1 << 13;
    let q = vec![0.0; len];
    let mut numbers = (0..=u8::MAX).map(u8::cast_signed).cycle();
    for first in (0..=u16::MAX).step_by(len / 32) {
        let blocks: Vec<Q8_0Block> = (first..=u16::MAX)
            .take(len / 32)
            .map(|h| Q8_0Block { d: h.to_le_bytes(), qs: core::array::from_fn(|_| numbers.next().unwrap()) })
            .collect();
        // A step aside, so that the scales of the next row do not meet the same eighths of the numbers.
        numbers.next();
        let mut want = vec![0.0; len];
        for (block, want) in blocks.iter().zip(want.as_chunks_mut().0) {
            block.dequantize(want);
            // Added to the zero that the sum over positions begins with.
            *want = want.map(|x| x + 0.0);
        }
        let mut bytes = vec![0];
        bytes.extend_from_slice(bytemuck::cast_slice(&blocks));
        let zeros = vec![0; bytes.len() - 1];
        let head = KvHead { kv_type: KvType::Q8_0, key_len: len, value_len: len, k: &zeros, v: &bytes[1..] };
        let job = AttendJob { first_pos: 0, tokens: 1, group: 1, scale: 1.0 };
        for kernels in all_kernels() {
            let mut scratch = vec![0; kernels.attend_scratch_bytes(len, len, 1, 1, 1) / 4];
            let scratch: &mut [u8] = bytemuck::cast_slice_mut::<u32, u8>(&mut scratch);
            let mut got = vec![f32::NAN; len];
            kernels.attend(&head, &q, len, &job, &mut OutCols::new(&mut got, 1, len), scratch);
            same(&got, &want, kernels.isa().name());
        }
    }
}

/// What a key or value has become is not hidden: one number that is none, and all of its block is.
#[test]
fn blocks_with_a_number_that_is_none_become_nan() {
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7f80_0001)] {
        for at in [0, 17, 31] {
            let mut x = [1.5; 96];
            x[32 + at] = bad;
            for kernels in all_kernels() {
                let mut dst = [0xa5; 102];
                kernels.kv_store(KvType::Q8_0, &x, &mut dst);
                let read = |i: usize| {
                    let mut back = [0.0; 32];
                    bytemuck::pod_read_unaligned::<Q8_0Block>(&dst[34 * i..][..34]).dequantize(&mut back);
                    back
                };
                assert_eq!(dst[34..36], [0, 0x7e], "the same bytes everywhere");
                assert!(read(1).iter().all(|x| x.is_nan()));
                assert!(read(0) == read(2) && read(0).iter().all(|x| (x - 1.5).abs() < 0.01));
            }
        }
    }
}

/// Cache and result in one FNV-1a hash, made once by the portable kernels on x86-64.
#[test]
fn results_of_blocks_are_the_same_on_every_machine() {
    for kernels in all_kernels() {
        let mut rng = Rng(10);
        let (len, tokens, group, positions) = (64, 5, 3, 75);
        let rows = rng.vec(len * positions, 4.0);
        let q = rng.vec(len * group * tokens, 1.0);
        let mut cache = vec![0; KvType::Q8_0.row_bytes(rows.len())];
        kernels.kv_store(KvType::Q8_0, &rows, &mut cache);
        let head = KvHead { kv_type: KvType::Q8_0, key_len: len, value_len: len, k: &cache, v: &cache };
        let job = AttendJob { first_pos: positions - tokens, tokens, group, scale: 0.1 };
        let mut scratch = vec![0.0f32; kernels.attend_scratch_bytes(len, len, positions, group, tokens) / 4];
        let scratch = bytemuck::cast_slice_mut(&mut scratch);
        let mut out = vec![0.0; q.len()];
        kernels.attend(
            &head,
            &q,
            len * group,
            &job,
            &mut OutCols::new(&mut out, tokens, len * group),
            scratch,
        );
        let bytes = out.iter().flat_map(|x| x.to_le_bytes());
        let hash = cache
            .iter()
            .copied()
            .chain(bytes)
            .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        assert_eq!(hash, 0x7624_d4be_c4cb_46eb, "{}: {hash:#x}", kernels.isa());
    }
}
