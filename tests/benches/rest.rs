//! What a token costs beside its matrices: sampling by size of vocabulary, tokenizing, the float kernels of one layer,
//! and attention by type of keys and values.
//!
//! `cargo bench -p barre-tests --bench rest [-- VOCABULARY.gguf ...]`; without files, the vocabularies of the tests.
//! `-- --cache` measures attention alone.

use barre_core::gguf::Gguf;
use barre_core::kernels::{ActKind, ActsMut, AttendJob, Kernels, KvHead, KvType, Mode, OutCols, rope_table};
use barre_core::sampler::{Sampler, SamplerParams};
use barre_core::tokenizer::{EncodeOptions, EncodeScratch, Tokenizer};
use std::path::PathBuf;
use std::time::Instant;

/// The fastest of some rounds, in microseconds.
fn least(mut f: impl FnMut()) -> f64 {
    (0..9)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64() * 1e6
        })
        .fold(f64::INFINITY, f64::min)
}

/// Numbers as logits are: near a Gaussian, all different.
fn numbers(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            let mut sum = 0.0;
            for _ in 0..4 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                sum += (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
            }
            sum * 5.0
        })
        .collect()
}

fn sampling() {
    let common = SamplerParams::default();
    let all = SamplerParams { top_k: 0, min_p: 0.0, ..common };
    let min_p = SamplerParams { top_p: 1.0, min_p: common.min_p, ..all };
    let plain = SamplerParams { top_p: 1.0, ..all };
    println!(
        "| vocabulary | greedy us | top-k 40, top-p, min-p us | top-p of all us | min-p of all us | temperature us |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    for vocabulary in [32_000u32, 128_256, 256_000] {
        let logits = numbers(vocabulary as usize);
        print!("| {vocabulary} |");
        for params in [SamplerParams::GREEDY, common, all, min_p, plain] {
            let mut sampler = Sampler::new(params, vocabulary).expect("a sampler");
            print!(
                " {:.0} |",
                least(|| {
                    std::hint::black_box(sampler.sample(&logits, &[1, 2, 3]).expect("a token"));
                })
            );
        }
        println!();
    }
}

fn tokenizing() {
    let vectors = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/tokenizer"));
    let mut paths: Vec<PathBuf> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--")).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths = ["own-bpe.gguf", "own-spm.gguf"].map(|name| vectors.join(name)).to_vec();
    }
    // English prose and program text, a megabyte.
    let sources =
        [include_str!("../../README.md"), include_str!("rest.rs"), include_str!("../../docs/memory.md")];
    let text: String = sources.into_iter().cycle().flat_map(str::chars).take(1 << 20).collect();
    println!("\n| vocabulary | tokens of 1 MB of text | ms | MB/s |\n| --- | ---: | ---: | ---: |");
    for path in paths {
        let file = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let gguf = Gguf::open(&mut file.as_slice()).expect("a GGUF file");
        let tokenizer = Tokenizer::from_gguf(&gguf, &mut file.as_slice()).expect("a vocabulary");
        let (mut tokens, mut scratch) = (Vec::new(), EncodeScratch::default());
        let us = least(|| {
            tokens.clear();
            tokenizer
                .encode(text.as_bytes(), EncodeOptions::default(), &mut scratch, &mut tokens)
                .expect("tokens");
        });
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        println!("| {name} | {} | {:.0} | {:.1} |", tokens.len(), us / 1e3, text.len() as f64 / us);
    }
}

/// The kernels of one layer of TinyLlama's shape, a token each.
fn layer() {
    const WIDTH: usize = 2048;
    const HIDDEN: usize = 5632;
    let kernels: Kernels = barre::detect::kernels_named(None).expect("kernels");
    let (x, w) = (numbers(WIDTH), numbers(WIDTH));
    let mut out = vec![0.0; WIDTH];
    let norm = least(|| kernels.rms_norm(&x, &w, 1e-5, &mut out));
    let add = least(|| kernels.add_assign(&mut out, &x));
    let mut table = vec![0.0; 64];
    rope_table(77, 64, 10_000.0, 1.0, None, &mut table);
    let rope = least(|| kernels.rope(&mut out, 64, &table));
    let (mut gate, up) = (numbers(HIDDEN), numbers(HIDDEN));
    let swiglu = least(|| kernels.swiglu(&mut gate, &up));
    let mut memory =
        vec![0u8; ActsMut::bytes(ActKind::Block256, Mode::Int8, HIDDEN, 1).expect("blocks") + 64];
    let skip = memory.as_ptr().align_offset(64);
    let mut acts = ActsMut::new(ActKind::Block256, Mode::Int8, HIDDEN, 1, &mut memory[skip..]).expect("room");
    let quantize = least(|| kernels.quantize(ActKind::Block256, Mode::Int8, &up, acts.token_mut(0)));
    println!("\n| kernel ({}) | elements | us |\n| --- | ---: | ---: |", kernels.isa());
    for (name, elements, us) in [
        ("RMS norm", WIDTH, norm),
        ("residual", WIDTH, add),
        ("rotation", WIDTH, rope),
        ("SwiGLU", HIDDEN, swiglu),
        ("quantizing", HIDDEN, quantize),
    ] {
        println!("| {name} | {elements} | {us:.2} |");
    }
}

/// Attention of one token over 4096 positions of caches that no cache of a CPU holds, one thread; and storing them.
fn cache() {
    const POSITIONS: usize = 4096;
    let kernels: Kernels = barre::detect::kernels_named(None).expect("kernels");
    println!("\n| KV cache ({}) | type | MB | ms | GB/s | store, ns a number |", kernels.isa());
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    for (what, heads, group, len) in
        [("64 heads of 64, 8 queries each", 64, 8, 64), ("32 heads of 128, 1 query each", 32, 1, 128)]
    {
        let rows = numbers(POSITIONS * len);
        let q = numbers(group * len);
        let mut out = vec![0.0; group * len];
        let bytes = kernels.attend_scratch_bytes(len, len, POSITIONS, group, 1);
        let mut memory = vec![0u8; bytes + 64];
        let skip = memory.as_ptr().align_offset(64);
        let scratch = &mut memory[skip..][..bytes];
        for kv in KvType::ALL {
            let mut row = vec![0; kv.row_bytes(rows.len())];
            let store = least(|| kernels.kv_store(kv, &rows, &mut row));
            let all: Vec<u8> = row.repeat(2 * heads);
            let us = least(|| {
                for kv_bytes in all.chunks(2 * row.len()) {
                    let (k, v) = kv_bytes.split_at(row.len());
                    let head = KvHead { kv_type: kv, key_len: len, value_len: len, k, v };
                    let job = AttendJob { first_pos: POSITIONS - 1, tokens: 1, group, scale: 0.1 };
                    let out = &mut OutCols::new(&mut out, 1, group * len);
                    kernels.attend(&head, &q, group * len, &job, out, scratch);
                }
            });
            let (mb, store) = (all.len() as f64 / 1e6, store * 1e3 / rows.len() as f64);
            println!(
                "| {what} | {} | {mb:.0} | {:.1} | {:.1} | {store:.2} |",
                kv.name(),
                us / 1e3,
                mb * 1e3 / us
            );
        }
    }
}

fn main() {
    if std::env::args().any(|a| a == "--cache") {
        return cache();
    }
    sampling();
    tokenizing();
    layer();
    cache();
}
