//! Texts as llama.cpp encodes them.
//!
//! The vocabularies and vectors of `vectors/tokenizer` are barre's own; `own.py` there makes them. Where
//! `BARRE_SHARED` names the shared data, its vocabularies' own test texts are encoded too. Where
//! `BARRE_TOKENIZER_CASES` names a folder with `NAME.jsonl` for these vocabularies, as `cases.py` writes, so are
//! those.

use barre_core::gguf::{Gguf, ValueType};
use barre_core::tokenizer::{DecodeOptions, EncodeOptions, EncodeScratch, Role, Tokenizer, VocabBuilder};
use serde_json::Value;
use std::path::{Path, PathBuf};

const SHARED: [&str; 9] = [
    "llama-spm",
    "phi-3",
    "llama-bpe",
    "qwen2",
    "gpt-2",
    "falcon",
    "starcoder",
    "deepseek-coder",
    "deepseek-llm",
];

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/tokenizer")
}

/// The shared vocabularies with their paths, or none, said aloud.
fn shared() -> Vec<(&'static str, PathBuf)> {
    let Some(shared) = std::env::var_os("BARRE_SHARED") else {
        eprintln!("BARRE_SHARED is not set: the shared vocabularies are left out");
        return Vec::new();
    };
    let path =
        |name: &&'static str| (*name, Path::new(&shared).join(format!("vocabs/ggml-vocab-{name}.gguf")));
    SHARED.iter().map(path).collect()
}

fn open(path: &Path) -> Tokenizer {
    let file = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut reader = file.as_slice();
    let gguf = Gguf::open(&mut reader).unwrap();
    Tokenizer::from_gguf(&gguf, &mut reader).unwrap()
}

fn encode(tokenizer: &Tokenizer, text: &[u8], add_special: bool, parse_special: bool) -> Vec<u32> {
    let mut out = Vec::new();
    let options = EncodeOptions { add_special, parse_special };
    tokenizer.encode(text, options, &mut EncodeScratch::default(), &mut out).unwrap();
    out
}

fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap();
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// Checks every line of `path` and returns how many texts there were.
fn check_cases(tokenizer: &Tokenizer, path: &Path) -> usize {
    let cases = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut texts = 0;
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if let Some(token) = case.get("token") {
            let token = u32::try_from(token.as_u64().unwrap()).unwrap();
            assert_eq!(tokenizer.piece(token).collect::<Vec<_>>(), unhex(&case["piece"]), "token {token}");
            assert_eq!(
                tokenizer.is_end_of_generation(token),
                case["eog"].as_bool().unwrap(),
                "token {token}"
            );
            continue;
        }
        let text = unhex(&case["text"]);
        let (add, parse) = (case["add"].as_bool().unwrap(), case["parse"].as_bool().unwrap());
        let got = encode(tokenizer, &text, add, parse);
        let want: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let shown = text.escape_ascii();
        assert_eq!(got, want, "{} \"{shown}\" add {add} parse {parse}", path.display());
        texts += 1;
    }
    texts
}

#[test]
fn own_sentence_piece_vocabularies() {
    for name in ["own-spm", "own-spm-spans"] {
        let tokenizer = open(&vectors().join(name).with_extension("gguf"));
        assert_eq!(check_cases(&tokenizer, &vectors().join(name).with_extension("jsonl")), 150);
    }
}

#[test]
fn own_byte_level_vocabulary_with_every_pre_tokenizer() {
    let file = std::fs::read(vectors().join("own-bpe.gguf")).unwrap();
    let mut reader = file.as_slice();
    let gguf = Gguf::open(&mut reader).unwrap();
    let strings = |key: &str| {
        let array = gguf.require(key).unwrap().array().unwrap();
        array.load_strings(&mut file.as_slice()).unwrap()
    };
    let (tokens, merges) = (strings("tokenizer.ggml.tokens"), strings("tokenizer.ggml.merges"));
    let types = gguf.require("tokenizer.ggml.token_type").unwrap().array_of(ValueType::I32).unwrap();
    let types: Vec<i32> = types.load(&mut reader).unwrap();
    let pre_tokenizers = [
        "default",
        "llama-bpe",
        "qwen2",
        "gpt-2",
        "falcon",
        "starcoder",
        "deepseek-coder",
        "deepseek-llm",
        "glm4",
    ];
    for pre in pre_tokenizers {
        let mut builder = VocabBuilder::new(b"gpt2", Some(pre.as_bytes())).unwrap();
        tokens.iter().for_each(|token| builder.push_token(token).unwrap());
        merges.iter().for_each(|merge| builder.push_merge(merge).unwrap());
        types.iter().for_each(|number| builder.push_type(*number).unwrap());
        for role in [Role::Bos, Role::Eos] {
            builder.set_id(role, gguf.uint(role.key()).unwrap().unwrap());
        }
        let tokenizer = builder.build().unwrap();
        assert_eq!(check_cases(&tokenizer, &vectors().join(format!("own-bpe.{pre}.jsonl"))), 150);
    }
}

#[test]
fn shared_vocabularies_encode_their_test_texts() {
    for (name, path) in shared() {
        let tokenizer = open(&path);
        let texts = std::fs::read_to_string(path.with_extension("gguf.inp")).unwrap();
        let ids = std::fs::read_to_string(path.with_extension("gguf.out")).unwrap();
        // The last separator ends the last text.
        let texts = texts.strip_suffix("\n__ggml_vocab_test__\n").unwrap();
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        assert_eq!(texts.len(), ids.lines().count(), "{name}");
        for (text, ids) in texts.iter().zip(ids.lines()) {
            let want: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert_eq!(encode(&tokenizer, text.as_bytes(), false, false), want, "{name}: {text:?}");
        }
    }
}

#[test]
fn shared_vocabularies_encode_random_texts() {
    let Some(cases) = std::env::var_os("BARRE_TOKENIZER_CASES") else {
        eprintln!("BARRE_TOKENIZER_CASES is not set: random texts for the shared vocabularies are left out");
        return;
    };
    for (name, path) in shared() {
        let texts = check_cases(&open(&path), &Path::new(&cases).join(format!("{name}.jsonl")));
        eprintln!("{name}: {texts} texts");
    }
}

#[test]
fn every_code_point_survives_the_round_trip() {
    let mut vocabularies = vec![vectors().join("own-spm.gguf"), vectors().join("own-bpe.gguf")];
    vocabularies
        .extend(shared().into_iter().filter(|v| ["llama-spm", "llama-bpe"].contains(&v.0)).map(|v| v.1));
    for path in vocabularies {
        let tokenizer = open(&path);
        let (mut scratch, mut tokens, mut text) = (EncodeScratch::default(), Vec::new(), String::new());
        for c in char::MIN..=char::MAX {
            let bytes = c.to_string();
            tokens.clear();
            text.clear();
            let options = EncodeOptions { add_special: true, parse_special: false };
            tokenizer.encode(bytes.as_bytes(), options, &mut scratch, &mut tokens).unwrap();
            tokenizer.decode(&tokens, DecodeOptions::default(), &mut text).unwrap();
            // U+2581 is how SentencePiece writes a space.
            let want = if c == '\u{2581}' && tokenizer.added_bos() == Some(1) { " " } else { bytes.as_str() };
            assert_eq!(text, want, "{}: {:x}", path.display(), u32::from(c));
        }
    }
}

/// 588 tokens of this vocabulary are no result of merges; whole pieces find them all the same.
#[test]
fn a_token_that_no_merge_gives_is_accepted() {
    let Some((_, path)) = shared().into_iter().find(|v| v.0 == "llama-bpe") else { return };
    let tokenizer = open(&path);
    assert_eq!(tokenizer.notes().merges_ignored, 0);
    assert_eq!(tokenizer.added_bos(), Some(128_000), "by default, for the file has no flag");
    assert!(tokenizer.is_end_of_generation(128_009) && !tokenizer.is_end_of_generation(128_000));
}
