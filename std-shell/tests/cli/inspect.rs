//! `barre inspect`: what the file says, and where.

use super::{MODEL, TempFile, stdout, succeed};
use serde_json::Value;

fn json(file: &str) -> Value {
    serde_json::from_str(stdout(&succeed(&["inspect", file, "--json"]))).expect("JSON")
}

#[test]
fn offsets_are_where_the_bytes_are() {
    let report = json(MODEL);
    let file_bytes = std::fs::metadata(MODEL).expect("the model").len();
    assert_eq!(report["version"], 3);
    assert_eq!(report["file_bytes"], file_bytes);
    assert_eq!(report["runs"], true);
    let base = report["data_offset"].as_u64().expect("an offset");
    let tensors = report["tensors"].as_array().expect("tensors");
    assert_eq!(tensors.len(), 39);
    let mut total = 0;
    for tensor in tensors {
        let number = |key: &str| tensor[key].as_u64().expect("a number");
        assert_eq!(number("absolute_offset"), base + number("offset"), "{tensor}");
        assert!(number("absolute_offset") + number("bytes") <= file_bytes, "{tensor}");
        total += number("bytes");
    }
    let formats = report["formats"].as_array().expect("formats");
    assert_eq!(formats.iter().map(|f| f["bytes"].as_u64().expect("bytes")).sum::<u64>(), total);
    let metadata = report["metadata"].as_array().expect("metadata");
    let value = |key: &str| &metadata.iter().find(|m| m["key"] == key).expect("the key")["value"];
    assert_eq!(value("llama.block_count"), 4);
    assert_eq!(value("general.architecture"), "llama");
    assert_eq!(value("llama.attention.layer_norm_rms_epsilon"), 0.00001);
    assert_eq!(value("tokenizer.ggml.tokens")["len"], 474);
    assert_eq!(value("tokenizer.ggml.tokens")["first"][1], "<s>");
}

#[test]
fn kernels_are_named() {
    let output = succeed(&["inspect", MODEL, "--isa", "scalar"]);
    let text = stdout(&output);
    let line = |name: &str| text.lines().find(|l| l.trim_start().starts_with(name)).expect("its line");
    assert!(line("blk.0.attn_q.weight").ends_with("fused Q4_K x blocks of 256, scalar"));
    assert!(line("token_embd.weight").ends_with("row by row"));
    assert!(line("output_norm.weight").ends_with("f32 vector"));
    assert!(text.contains("29 of 29 matrices on fused kernels"));
}

#[test]
fn a_file_that_cannot_be_run_is_shown_all_the_same() {
    // A vocabulary alone, with an escape sequence for a key.
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend_from_slice(&0u64.to_le_bytes());
    file.extend_from_slice(&1u64.to_le_bytes());
    let key = b"\x1b[31m";
    file.extend_from_slice(&(key.len() as u64).to_le_bytes());
    file.extend_from_slice(key);
    file.extend_from_slice(&4u32.to_le_bytes());
    file.extend_from_slice(&7u32.to_le_bytes());
    let file = TempFile::new("strange", &file);
    let output = succeed(&["inspect", file.path()]);
    assert!(stdout(&output).contains("barre does not run this model: "));
    assert!(!stdout(&output).contains('\x1b') && stdout(&output).contains("\\u{1b}[31m"));
    assert_eq!(json(file.path())["runs"], false);
}
