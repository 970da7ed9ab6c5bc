//! Decode kernels: GB/s of each format and mode, beside a plain read of the same memory in the same run.
//!
//! `cargo bench -p barre-tests --bench matvec [-- MEGABYTES] [FORMAT ...]`

use barre_core::kernels::{ActKind, Acts, ActsMut, Kernels, Mode};
use barre_core::quant::WeightFormat;
use std::hint::black_box;
use std::time::Instant;

const K: usize = 2048;
/// Bytes that are multiplied in all, so that a small matrix is timed as well as a large one.
const TOTAL: usize = 2_500_000_000;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn time(mut f: impl FnMut()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

/// Every byte is looked at, 64 at a time.
fn plain_read(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; 8];
    for chunk in bytes.as_chunks::<64>().0 {
        for (sum, word) in sums.iter_mut().zip(chunk.as_chunks::<8>().0) {
            *sum ^= u64::from_le_bytes(*word);
        }
    }
    sums.iter().fold(0, |a, b| a ^ b)
}

fn aligned(memory: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    memory.resize(bytes + 64, 0);
    let start = memory.as_ptr().align_offset(64);
    &mut memory[start..][..bytes]
}

fn main() {
    let megabytes = std::env::args().filter_map(|a| a.parse::<f64>().ok()).next().unwrap_or(256.0);
    let kernels = barre::detect::kernels_named(None).expect("kernels");
    println!("{}, one thread, rows of {K}, {megabytes} MB", kernels.isa());
    println!("{:6} {:6} {:>9} {:>9} {:>7}  same bits as scalar", "format", "mode", "GB/s", "read", "ratio");
    let asked: Vec<WeightFormat> =
        std::env::args().filter_map(|a| WeightFormat::ALL.into_iter().find(|f| f.name() == a)).collect();
    for format in WeightFormat::ALL.into_iter().filter(|f| asked.is_empty() || asked.contains(f)) {
        let row_bytes = format.row_bytes(K).expect("whole blocks");
        let rows = (megabytes * 1e6) as usize / row_bytes;
        // Small numbers whatever the format: no scale is NaN.
        let weights: Vec<u8> = (0..rows * row_bytes).map(|i| (i * 7 % 48) as u8).collect();
        for mode in [Mode::Int8, Mode::Exact] {
            if mode == Mode::Exact && ActKind::of(format) == ActKind::Float {
                continue;
            }
            measure(&kernels, format, mode, &weights, rows);
        }
    }
}

fn measure(kernels: &Kernels, format: WeightFormat, mode: Mode, weights: &[u8], rows: usize) {
    let kind = ActKind::of(format);
    let x: Vec<f32> = (0..K).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    let (mut acts_memory, mut scratch_memory) = (Vec::new(), Vec::new());
    let bytes = ActsMut::bytes(kind, mode, K, 1).expect("a size");
    let acts = match ActsMut::new(kind, mode, K, 1, aligned(&mut acts_memory, bytes)) {
        None => Acts::float(&x, K, 1),
        Some(mut acts) => {
            kernels.quantize(kind, mode, &x, acts.token_mut(0));
            acts.finish()
        }
    };
    let mut out = vec![0.0; rows];
    let scratch = aligned(&mut scratch_memory, kernels.matmul_scratch_bytes(format, K, 1));
    let (mut fused, mut read) = (Vec::new(), Vec::new());
    for _ in 0..(TOTAL / weights.len()).max(5) {
        read.push(time(|| {
            black_box(plain_read(weights));
        }));
        fused.push(time(|| {
            // As many rows as a thread claims at a time.
            for (weights, out) in weights.chunks(256 * weights.len() / rows).zip(out.chunks_mut(256)) {
                kernels.matvec(format, weights, &acts.token(0), out, scratch);
            }
            black_box(&out);
        }));
    }
    let some = 100.min(rows);
    let mut oracle = vec![0.0; some];
    Kernels::scalar().matvec(
        format,
        &weights[..some * weights.len() / rows],
        &acts.token(0),
        &mut oracle,
        scratch,
    );
    let same = oracle.iter().zip(&out).all(|(a, b)| a.to_bits() == b.to_bits());
    assert!(same, "{format} {mode:?}: the bits of {} are not those of scalar code", kernels.isa());
    let speed = |times| weights.len() as f64 / median(times) / 1e9;
    let (fused, read) = (speed(fused), speed(read));
    println!(
        "{:6} {:6} {fused:9.2} {read:9.2} {:7.2}  yes",
        format.name(),
        format!("{mode:?}"),
        fused / read
    );
}
