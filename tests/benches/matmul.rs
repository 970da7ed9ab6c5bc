//! Speed of the batch multiplication by format, on one thread: `cargo bench --bench matmul [-- FORMAT [TOKENS]]`.
//!
//! Each product of the fastest instruction set is compared with the scalar one, on bits, before it is timed.

use barre_core::kernels::{ActKind, Acts, ActsMut, Kernels, Mode, OutCols};
use barre_core::quant::WeightFormat;
use std::time::Instant;

const K: usize = 2048;
const ROWS: usize = 1024;
/// Rows a call, as a thread claims them.
const CHUNK_ROWS: usize = 64;

/// Memory aligned to 64.
fn aligned(memory: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    memory.resize(bytes + 64, 0);
    let skip = memory.as_ptr().align_offset(64);
    &mut memory[skip..][..bytes]
}

fn noise(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn multiply(
    kernels: &Kernels,
    format: WeightFormat,
    weights: &[u8],
    acts: &Acts<'_>,
    out: &mut [f32],
    scratch: &mut [u8],
) {
    let row_bytes = format.row_bytes(acts.k()).expect("k is a whole number of blocks");
    let rows = weights.len() / row_bytes;
    // Each chunk's results are a matrix of their own here; only the stride differs from a real one.
    for (first, weights) in weights.chunks(CHUNK_ROWS * row_bytes).enumerate() {
        let cols = CHUNK_ROWS.min(rows - first * CHUNK_ROWS);
        let out = &mut out[first * CHUNK_ROWS * acts.tokens()..][..cols * acts.tokens()];
        kernels.matmul(format, weights, acts, &mut OutCols::new(out, acts.tokens(), cols), scratch);
    }
}

/// The kernels that `BARRE_ISA` names, or this machine's best.
fn fastest() -> Kernels {
    barre::detect::kernels_named(None).expect("kernels")
}

fn bench(format: WeightFormat, mode: Mode, tokens: usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut weights = vec![0u8; format.row_bytes(K).expect("whole blocks") * ROWS];
    weights.iter_mut().for_each(|b| *b = noise(&mut state) as u8);
    let kind = ActKind::of(format);
    let bytes = ActsMut::bytes(kind, mode, K, tokens).expect("whole blocks");
    let mut memory = Vec::new();
    let mut acts =
        ActsMut::new(kind, mode, K, tokens, aligned(&mut memory, bytes)).expect("aligned and long enough");
    let (scalar, fast) = (Kernels::scalar(), fastest());
    for t in 0..tokens {
        let x: Vec<f32> = (0..K).map(|_| (noise(&mut state) as i32) as f32).collect();
        scalar.quantize(kind, mode, &x, acts.token_mut(t));
    }
    let acts = acts.finish();
    let mut out = vec![0.0; tokens * ROWS];
    let need = |k: &Kernels| k.matmul_scratch_bytes(format, K, tokens);
    let mut memory = Vec::new();
    let scratch = aligned(&mut memory, need(&scalar).max(need(&fast)));

    // Two chunks suffice: all rows are treated alike.
    let few = &weights[..format.row_bytes(K).expect("whole blocks") * 2 * CHUNK_ROWS];
    multiply(&scalar, format, few, &acts, &mut out, scratch);
    let want = out.clone();
    out.fill(0.0);
    multiply(&fast, format, few, &acts, &mut out, scratch);
    // Random halves may be NaN, whose payload is not part of the contract.
    let equal = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    assert!(out.iter().zip(&want).all(equal), "{format}: not the scalar bits");

    // Each pass by itself: on a shared machine the best is a pass that nothing disturbed.
    let passes = 7 * (2048 / tokens).clamp(4, 64);
    let mut times: Vec<f64> = (0..passes)
        .map(|_| {
            let start = Instant::now();
            multiply(&fast, format, &weights, &acts, &mut out, scratch);
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let macs = (ROWS * K * tokens) as f64;
    println!(
        "{format:5} {mode:?}\t{tokens:4} tokens: {:6.1} GMAC/s, best {:6.1}",
        macs / times[passes / 2] / 1e9,
        macs / times[0] / 1e9
    );
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    let only = args.next();
    let tokens: Vec<usize> = args.map(|t| t.parse().expect("a number of tokens")).collect();
    let tokens = if tokens.is_empty() { vec![512, 32, 4, 2] } else { tokens };
    for format in WeightFormat::ALL {
        if ActKind::of(format) == ActKind::Float || only.as_ref().is_some_and(|f| f != format.name()) {
            continue;
        }
        for &tokens in &tokens {
            bench(format, Mode::Int8, tokens);
        }
        bench(format, Mode::Exact, tokens[0]);
    }
}
