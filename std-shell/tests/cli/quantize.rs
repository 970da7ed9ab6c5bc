//! `barre quantize`: what goes where, what is kept, and what is refused.

use super::{MODEL, TempFile, barre, stderr, stdout, succeed};
use barre_core::gguf::Gguf;
use barre_core::gguf::writer::{Builder, Value};
use barre_core::io::ReadAt as _;
use barre_core::quant::WeightFormat::{self, F16, F32, Q4_K, Q5_0, Q6_K};
use barre_core::quant::{dequantize_row, quantize_row};
use std::collections::BTreeMap;

/// Numbers that no format holds exactly.
fn weights(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.37).sin() * 0.5).collect()
}

/// A file of F32 tensors with these shapes, all of [`weights`], and some metadata.
fn file(name: &str, tensors: &[(&str, &[u64])], spoil: Option<usize>) -> TempFile {
    let mut builder = Builder::new();
    builder.kv("general.architecture", Value::String(b"llama")).expect("a pair");
    builder.kv("llama.block_count", Value::U32(1)).expect("a pair");
    builder.kv("general.file_type", Value::U32(0)).expect("a pair");
    builder.kv("some.texts", Value::Strings(&[b"a", b"", b"longer"])).expect("a pair");
    builder.kv("some.number", Value::F64(0.1)).expect("a pair");
    for (name, dims) in tensors {
        builder.tensor(name, dims, F32).expect("a tensor");
    }
    let mut writer = builder.begin(Vec::new()).expect("a header");
    for (i, (_, dims)) in tensors.iter().enumerate() {
        let mut x = weights(dims.iter().product::<u64>() as usize);
        if spoil == Some(i) {
            x[3] = f32::NAN;
        }
        let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
        writer.tensor(&bytes).expect("the tensor's bytes");
    }
    TempFile::new(name, &writer.finish().expect("the file"))
}

/// The tensors of a file, with their formats and bytes.
fn tensors(bytes: &[u8]) -> BTreeMap<String, (WeightFormat, Vec<u8>)> {
    let mut reader = bytes;
    let gguf = Gguf::open(&mut reader).expect("a GGUF file");
    gguf.tensors()
        .map(|t| {
            let mut data = vec![0; t.bytes().expect("a size") as usize];
            reader.read_at(t.abs(), &mut data).expect("the tensor's bytes");
            (t.name().to_owned(), (t.format().expect("a known format"), data))
        })
        .collect()
}

#[test]
fn each_tensor_gets_the_quantizers_bytes() {
    let shapes: [(&str, &[u64]); 7] = [
        ("token_embd.weight", &[256, 8]),
        ("output_norm.weight", &[256]),
        ("blk.0.attn_q.weight", &[256, 4]),
        ("blk.0.attn_v.weight", &[256, 4]),
        ("blk.0.attn_k.weight", &[96, 4]),
        ("blk.0.ffn_up.weight", &[100, 4]),
        ("blk.0.odd_norm.weight", &[256, 2]),
    ];
    let (input, output) = (file("quantize-in", &shapes, None), TempFile::new("quantize-out", b"old"));
    let said = succeed(&["quantize", input.path(), output.path(), "--type", "q4_k_m"]);
    let made = tensors(&output.bytes());
    // Tied head; a norm; the base; one layer is the last eighth; 96 is no multiple of 256, 100 of nothing; a norm.
    let want = [Q6_K, F32, Q4_K, Q6_K, Q5_0, F16, F32];
    for ((name, dims), format) in shapes.into_iter().zip(want) {
        let (got, bytes) = &made[name];
        assert_eq!(*got, format, "{name}");
        let k = dims[0] as usize;
        let row_bytes = format.row_bytes(k).expect("whole blocks");
        let x = weights(dims.iter().product::<u64>() as usize);
        for (row, bytes) in x.chunks(k).zip(bytes.chunks(row_bytes)) {
            let mut want = vec![0; row_bytes];
            quantize_row(format, row, &mut want).expect("finite weights");
            assert_eq!(bytes, want, "{name}");
        }
    }
    assert!(stderr(&said).contains("rows of 96 are no whole number of Q4_K blocks"), "{}", stderr(&said));

    let shown = succeed(&["inspect", "--json", output.path()]);
    let shown: serde_json::Value = serde_json::from_str(stdout(&shown)).expect("JSON");
    let pairs: BTreeMap<&str, &serde_json::Value> = shown["metadata"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|pair| (pair["key"].as_str().expect("a key"), &pair["value"]))
        .collect();
    assert_eq!(*pairs["general.file_type"], 15);
    assert_eq!(*pairs["general.quantization_version"], 2);
    assert_eq!(*pairs["some.number"], 0.1);
    assert_eq!(pairs["some.texts"]["len"], 3);
    assert_eq!(pairs.len(), 6);
}

#[test]
fn a_model_survives_the_way_to_f32_and_runs() {
    let output = TempFile::new("quantize-f32", b"");
    succeed(&["quantize", MODEL, output.path(), "--type", "F32"]);
    let old = tensors(&std::fs::read(MODEL).expect("the golden model"));
    for (name, (format, bytes)) in tensors(&output.bytes()) {
        assert_eq!(format, F32);
        let (old_format, old_bytes) = &old[&name];
        let mut want = vec![0f32; bytes.len() / 4];
        dequantize_row(*old_format, old_bytes, &mut want).expect("whole blocks");
        let want: Vec<u8> = want.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert!(bytes == want, "{name} keeps its numbers");
    }
    succeed(&["run", "-m", output.path(), "-p", "a", "-n", "2", "--temp", "0"]);
}

#[test]
fn what_cannot_be_done_is_said_and_leaves_no_file() {
    let input = file("quantize-nan", &[("a.weight", &[256, 2]), ("b.weight", &[256, 2])], Some(1));
    let target = format!("{}.gguf", input.path());
    for (args, why) in [
        (["quantize", input.path(), &target, "--type", "Q4_K_M"], "b.weight: row 0: weight 3 is not finite"),
        (["quantize", input.path(), &target, "--type", "Q9_X"], "unknown type; known are F32, F16"),
        (["quantize", input.path(), input.path(), "--type", "F16"], "another file than the input"),
        (["quantize", "/no/such/file", &target, "--type", "F16"], "/no/such/file"),
    ] {
        let output = barre(&args).output().expect("the command runs");
        assert!(!output.status.success(), "{args:?}");
        assert!(stderr(&output).contains(why), "{args:?}: {}", stderr(&output));
        assert!(!std::path::Path::new(&target).exists(), "{args:?}");
        assert!(!std::path::Path::new(&format!("{target}.unfinished")).exists(), "{args:?}");
    }
}
