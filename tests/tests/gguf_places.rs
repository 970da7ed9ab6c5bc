//! Every tensor is found where it lies, and the faults of barre's origin stay fixed.

use barre_core::gguf::writer::{Builder, Value};
use barre_core::gguf::{Gguf, GgufError, Limits};
use barre_core::io::{AbsOffset, ReadAt, Stream};
use barre_core::quant::WeightFormat;
use barre_tests::readers::Std;
use std::path::PathBuf;

const ROLES: [(&str, u64, u64); 4] =
    [("attn_q", 256, 256), ("ffn_gate", 256, 512), ("ffn_down", 512, 256), ("attn_norm", 256, 1)];

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Bytes that tell tensor and position.
fn content(i: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|b| (i.wrapping_mul(151) ^ b ^ (b >> 8)) as u8).collect()
}

/// A model's bytes with the names of its tensors, in the order of their data.
fn model(rng: &mut Rng, layers: u64, alignment: u32) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let mut builder = Builder::new();
    builder.version(2 + rng.below(2) as u32).unwrap();
    builder.kv("general.architecture", Value::String(b"llama")).unwrap();
    if alignment != 32 || rng.below(2) == 0 {
        builder.alignment(alignment).unwrap();
    }
    builder.kv("pad", Value::String(&vec![b'x'; rng.below(100) as usize])).unwrap();
    let mut tensors = Vec::new();
    for layer in 0..layers {
        for (role, k, n) in ROLES {
            let format = WeightFormat::ALL[rng.below(14) as usize];
            let bytes = format.row_bytes(k as usize).unwrap() * n as usize;
            tensors.push((format!("blk.{layer}.{role}.weight"), [k, n], format, bytes));
        }
    }
    for i in (1..tensors.len()).rev() {
        tensors.swap(i, rng.below(i as u64 + 1) as usize);
    }
    let mut want = Vec::new();
    for (i, (name, dims, format, bytes)) in tensors.iter().enumerate() {
        let gap = if rng.below(3) == 0 { rng.below(10_000) } else { 0 };
        builder.tensor_after(gap, name, dims, *format).unwrap();
        want.push((name.clone(), content(i, *bytes)));
    }
    let (n, turn) = (tensors.len(), rng.below(tensors.len() as u64) as usize);
    let mut file = Vec::new();
    let mut writer = builder.begin_listed(Std::new(&mut file), |i| (i + turn) % n).unwrap();
    for (_, bytes) in &want {
        let (a, b) = bytes.split_at(bytes.len() / 3);
        writer.part(a).unwrap();
        writer.part(b).unwrap();
    }
    writer.finish().unwrap();
    (file, want)
}

#[test]
fn every_block_is_found_at_its_place() {
    let mut rng = Rng(7);
    for alignment in [8, 32, 64, 4096] {
        for layers in [1, 2, 5] {
            for start in [0usize, 1, 7, 31, 4097] {
                let (file, want) = model(&mut rng, layers, alignment);
                let larger = [vec![0xa5; start], file].concat();
                let at = AbsOffset::new(start as u64);
                let mut stream = Stream::new(Std::short(&larger, 1000));
                let gguf = Gguf::open_at(&mut stream, at).unwrap();
                assert_eq!(gguf.tensors().len(), want.len());
                assert_eq!(gguf.alignment(), alignment);
                for (name, bytes) in &want {
                    let info = gguf.tensor(name).unwrap();
                    assert_eq!(info.bytes(), Some(bytes.len() as u64));
                    assert_eq!((info.abs().get() - start as u64) % u64::from(alignment), 0);
                    let mut got = vec![0; bytes.len()];
                    stream.read_at(info.abs(), &mut got).unwrap();
                    assert!(got == *bytes, "{name}, alignment {alignment}, start {start}");
                }
            }
        }
    }
}

fn two_tensors(alignment: u32) -> Vec<u8> {
    let mut builder = Builder::new();
    builder.alignment(alignment).unwrap();
    builder.tensor("a", &[32, 3], WeightFormat::Q4_0).unwrap().tensor("b", &[8], WeightFormat::F32).unwrap();
    let mut file = Vec::new();
    let mut writer = builder.begin(Std::new(&mut file)).unwrap();
    writer.tensor(&[0xaa; 54]).unwrap();
    writer.tensor(&[0xbb; 32]).unwrap();
    writer.finish().unwrap();
    file
}

#[test]
fn base_taken_from_reader_position_after_a_read() {
    let file = two_tensors(32);
    let mut reader = Stream::new(Std::short(&file, usize::MAX));
    let gguf = Gguf::open(&mut reader).unwrap();
    let base = gguf.data().base();
    for _ in 0..2 {
        for (name, byte) in [("b", 0xbb), ("a", 0xaa)] {
            let mut got = [0; 32];
            reader.read_at(gguf.tensor(name).unwrap().abs(), &mut got).unwrap();
            assert_eq!(got, [byte; 32], "{name}");
            assert_eq!(gguf.data().base(), base);
        }
    }
}

#[test]
fn base_left_out() {
    let file = two_tensors(32);
    let gguf = Gguf::open(&mut &*file).unwrap();
    let b = gguf.tensor("b").unwrap();
    assert_eq!(b.offset().get(), 64);
    assert_eq!(b.abs().get(), gguf.data().base().get() + 64);
    assert_eq!((&*file).view(b.abs(), 32), Some(&[0xbb; 32][..]));
}

#[test]
fn alignment_fixed_at_32() {
    for alignment in [8, 64, 4096] {
        let file = two_tensors(alignment);
        let gguf = Gguf::open(&mut &*file).unwrap();
        for (name, byte) in [("a", 0xaa), ("b", 0xbb)] {
            let at = gguf.tensor(name).unwrap().abs();
            assert_eq!(at.get() % u64::from(alignment), 0);
            assert_eq!((&*file).view(at, 32), Some(&[byte; 32][..]), "{name} at {alignment}");
        }
    }
}

#[test]
fn block_sizes_guessed() {
    use WeightFormat as W;
    for (format, bytes) in [(W::Q5_K, 176), (W::Q4_0, 8 * 18), (W::Q8_0, 8 * 34), (W::Q8_K, 292)] {
        let mut builder = Builder::new();
        builder.tensor("t", &[256, 3], format).unwrap();
        let mut file = Vec::new();
        let mut writer = builder.begin(Std::new(&mut file)).unwrap();
        writer.tensor(&vec![0; 3 * bytes]).unwrap();
        writer.finish().unwrap();
        let gguf = Gguf::open(&mut &*file).unwrap();
        assert_eq!(gguf.tensor("t").unwrap().bytes(), Some(3 * bytes as u64), "{format}");
    }
}

#[test]
fn k_n_swapped() {
    let mut builder = Builder::new();
    builder.tensor("blk.0.ffn_gate.weight", &[2048, 5632], WeightFormat::Q4_K).unwrap();
    let mut file = Vec::new();
    let mut writer = builder.begin(Std::new(&mut file)).unwrap();
    writer.tensor(&vec![0; 5632 * 8 * 144]).unwrap();
    writer.finish().unwrap();
    let gguf = Gguf::open(&mut &*file).unwrap();
    let gate = gguf.tensor("blk.0.ffn_gate.weight").unwrap();
    assert_eq!((gate.k(), gate.n(), gate.dims()), (2048, 5632, &[2048, 5632][..]));
}

#[test]
fn a_place_outside_the_reader_is_an_error() {
    let file = two_tensors(32);
    let past = AbsOffset::new(file.len() as u64 + 5);
    assert!(matches!(Gguf::open_at(&mut &*file, past), Err(GgufError::Truncated { .. })));
    let end = Some(AbsOffset::new(file.len() as u64 + 1));
    let got = Gguf::open_with(&mut &*file, AbsOffset::ZERO, end, &Limits::DEFAULT).unwrap_err();
    assert_eq!(got.offset(), Some(file.len() as u64));
}

#[test]
fn real_files_open() {
    let Some(shared) = std::env::var_os("BARRE_SHARED").map(PathBuf::from) else {
        println!("left out: BARRE_SHARED is not set, no real file was opened");
        return;
    };
    let mut opened = 0;
    for folder in ["goldens", "models", "vocabs"] {
        for entry in std::fs::read_dir(shared.join(folder)).expect("the shared folder is there") {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "gguf") {
                continue;
            }
            let mut reader = Stream::new(Std::new(std::fs::File::open(&path).unwrap()));
            let gguf = Gguf::open(&mut reader).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!((gguf.gap_bytes(), gguf.trailing_bytes()), (0, 0), "{}", path.display());
            assert!(gguf.text("general.architecture").unwrap().is_some());
            let tokens = gguf.require("tokenizer.ggml.tokens").unwrap().array().unwrap();
            let strings = tokens.load_strings(&mut reader).unwrap();
            assert_eq!(strings.len() as u64, tokens.len());
            opened += 1;
        }
    }
    assert!(opened > 0);
    println!("{opened} files");
}
