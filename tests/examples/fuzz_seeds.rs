//! Writes the seeds of the fuzz targets' corpora into the folder `fuzz/corpus`.

use barre_core::quant::WeightFormat;
use barre_tests::faults::small_file;
use barre_tests::fuzz::{byte_level_file, saved_session};
use barre_tests::raw::{Raw, ty};
use barre_tests::synthetic::{Kv, LayerSpec, Spec};
use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus"));
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = root.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)
    };

    let tiny = Spec {
        vocab: 8,
        embedding: 8,
        layers: vec![LayerSpec { heads: 2, heads_kv: 1, feed_forward: 4 }],
        ..Spec::small()
    };
    write("gguf", "tiny-model", &tiny.build().file())?;
    let biased = Spec { biases: true, rope_freqs: true, tied: true, rope_factor: Some(2.0), ..tiny.clone() };
    write("gguf", "tiny-model-biases", &biased.build().with("llama.expert_count", Kv::U64(0)).file())?;
    let q8 = Spec { embedding: 32, formats: vec![WeightFormat::Q8_0, WeightFormat::Q4_0], ..tiny };
    let q8 = Spec { layers: vec![LayerSpec { heads: 2, heads_kv: 2, feed_forward: 32 }], ..q8 };
    write("gguf", "tiny-model-q8", &q8.build().file())?;
    let every_type = (0..=12u32).filter(|&t| t != ty::STRING && t != ty::ARRAY);
    let pairs = every_type.clone().count() as u64;
    let scalars = every_type.fold(Raw::new(1, pairs + 3), |raw, t| {
        let len = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8][t as usize];
        raw.key(format!("key.{t}"), t).raw(&[1, 0, 0, 0, 0, 0, 0, 0][..len])
    });
    let container = scalars
        .kv_u32("general.alignment", 64)
        .array("nested", ty::ARRAY, 2)
        .u32(ty::STRING)
        .u64(2)
        .str("a")
        .str("")
        .u32(ty::BOOL)
        .u64(1)
        .u8(1)
        .kv_str("name", "text");
    write("gguf", "container", &container.info("t", &[32, 2], 8, 0).pad(64).data(68).0)?;
    write("gguf", "version-2", &Raw::with_version(2, 0, 1).kv_str("a", "b").0)?;

    let prefixed = |kind: u8, bytes: &[u8]| [&[kind][..], bytes].concat();
    write("tokenizer", "vocabulary-sentence-piece", &prefixed(0xff, &small_header()))?;
    write("tokenizer", "vocabulary-byte-level", &prefixed(0xff, &byte_level_file("llama-bpe")))?;
    for (name, text) in [
        ("words", "ab a  abc It's 12345, isn't it?\r\n\n  é字💡 <|x|><s>"),
        ("letters", "aaaaaaaaaaaaaaaaaaaaabababababcbcbc     "),
    ] {
        for kind in 0..8 {
            write("tokenizer", &format!("{name}-{kind}"), &prefixed(kind, text.as_bytes()))?;
        }
    }

    let (one, full) = (saved_session(&[3]), saved_session(&[1, 2, 3, 4, 5, 6, 7, 8]));
    for kind in [0, 1, 6, 7, 17] {
        write("session", &format!("one-{kind}"), &prefixed(kind, &one))?;
        write("session", &format!("full-{kind}"), &prefixed(kind, &full))?;
    }
    for (name, text) in [
        ("enum", r#"{"enum": ["on", "off", 3, null, {"a": [true]}]}"#),
        ("strings", r#"{"type":"string","minLength":1,"maxLength":5}"#),
        ("pattern", r#"{"type":"string","pattern":"^[a-c]{2,3}(x|\\u00e9+)?[^0-9]\\d$","maxLength":12}"#),
        ("integers", r#"{"type":["integer","null"],"minimum":-17,"maximum":4096}"#),
        ("array", r#"{"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":3}"#),
        (
            "object",
            r##"{"$defs":{"p":{"type":"integer","minimum":0,"maximum":9}},"type":"object","properties":{"a":{"$ref":"#/$defs/p"},"b":{"const":"x"},"c":{"anyOf":[{"type":"null"},{"type":"boolean"}]}},"required":["b"],"additionalProperties":false}"##,
        ),
    ] {
        write("schema", name, text.as_bytes())?;
    }
    write("session", "empty", &prefixed(2, &saved_session(&[])))
}

/// The small model's metadata without its tensors.
fn small_header() -> Vec<u8> {
    let mut file = small_file();
    file[8..16].fill(0);
    let gguf = barre_core::gguf::Gguf::open(&mut &file[..]).expect("a container");
    let end = gguf.data().base().get() as usize;
    file.truncate(end);
    file
}
