//! What the tokenizer holds on the heap: while a file is refused, and while text is encoded and decoded.

use barre_core::gguf::Gguf;
use barre_core::tokenizer::{
    DecodeOptions, Decoder, EncodeOptions, EncodeScratch, Tokenizer, VocabError, VocabProblem,
};
use barre_tests::heap::{Counting, Span};
use barre_tests::raw::{Raw, ty};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A byte-level vocabulary of `n` tokens of `len` bytes and `n` merges, of which the last is wrong if `broken`.
fn vocabulary(n: usize, len: usize, broken: bool) -> Vec<u8> {
    let token = |i: usize| format!("{i:0len$}");
    let mut raw = Raw::new(0, 6)
        .kv_str("tokenizer.ggml.model", "gpt2")
        .kv_str("tokenizer.ggml.pre", "gpt-2")
        .array("tokenizer.ggml.tokens", ty::STRING, n as u64);
    for i in 0..n {
        raw = raw.str(token(i));
    }
    raw = raw.array("tokenizer.ggml.token_type", ty::I32, n as u64);
    for i in 0..n {
        raw = raw.u32(if i % 2 == 0 { 1 } else { 3 });
    }
    raw = raw.kv_u32("tokenizer.ggml.bos_token_id", if broken { n as u32 } else { 0 });
    raw = raw.array("tokenizer.ggml.merges", ty::STRING, n as u64);
    for i in 0..n {
        raw = raw.str(format!("{} {}", token(i), token((i + 1) % n)));
    }
    raw.0
}

#[test]
fn the_peak_of_a_refused_vocabulary_is_bounded_by_what_was_read() {
    for (n, len) in [(10, 5), (1000, 4), (30_000, 5), (30_000, 16), (40, 30_000)] {
        let file = vocabulary(n, len, true);
        let mut reader = file.as_slice();
        let heap = Span::begin();
        let gguf = Gguf::open(&mut reader).unwrap();
        let error = Tokenizer::from_gguf(&gguf, &mut reader).err().unwrap();
        let peak = heap.peak();
        let problem = VocabProblem::Id { id: n as u64, n: n as u64 };
        assert_eq!(error, VocabError::BadVocab { key: "tokenizer.ggml.bos_token_id", problem });
        assert!(peak <= 2 * file.len() + (64 << 10), "{n} tokens of {len}: {peak} of {}", file.len());
        drop(gguf);
        assert_eq!(heap.held(), 0);
    }
}

#[test]
fn a_sound_vocabulary_takes_less_than_its_file_and_a_bounded_number_of_allocations() {
    let calls = |n| {
        let file = vocabulary(n, 6, false);
        let mut reader = file.as_slice();
        let gguf = Gguf::open(&mut reader).unwrap();
        let heap = Span::begin();
        let tokenizer = Tokenizer::from_gguf(&gguf, &mut reader).unwrap();
        let (held, calls) = (heap.held(), heap.calls());
        assert_eq!(tokenizer.len() as usize, n);
        assert!(held < file.len() + (64 << 10), "{held} of {}", file.len());
        assert!(held.abs_diff(tokenizer.bytes()) < 4096, "{held}, said to be {}", tokenizer.bytes());
        calls
    };
    assert_eq!(calls(100), calls(20_000), "none a token");
}

#[test]
fn encoding_and_decoding_again_allocate_nothing() {
    let vectors = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/tokenizer");
    for name in ["own-spm.gguf", "own-bpe.gguf"] {
        let file = std::fs::read(vectors.join(name)).unwrap();
        let mut reader = file.as_slice();
        let gguf = Gguf::open(&mut reader).unwrap();
        let tokenizer = Tokenizer::from_gguf(&gguf, &mut reader).unwrap();
        let text = "The barre <|user|> isn't 123 easy,  字 Ä <|tool|> \n".repeat(20);
        let options = EncodeOptions { add_special: true, parse_special: true };
        let (mut scratch, mut tokens) = (EncodeScratch::default(), vec![0; 4096]);
        let first = tokenizer.encode_into(text.as_bytes(), options, &mut scratch, &mut tokens);
        let heap = Span::begin();
        assert_eq!(tokenizer.encode_into(text.as_bytes(), options, &mut scratch, &mut tokens), first);
        let mut decoder = Decoder::new(DecodeOptions::default());
        let mut len = 0;
        for &token in &tokens[..first.unwrap()] {
            decoder.push(&tokenizer, token, |part| len += part.len());
        }
        decoder.finish(|part| len += part.len());
        assert_eq!(heap.calls(), 0);
        assert!(len > 0);
    }
}
