//! Hostile vocabularies and texts: the rows V, X, M09 and M12 of the list of bad inputs.

use barre_core::gguf::{Gguf, GgufError, ValueType};
use barre_core::io::{AbsOffset, Stream};
use barre_core::tokenizer::{
    DecodeOptions, Decoder, EncodeError, EncodeOptions, EncodeScratch, MAX_TEXT_LEN, MAX_TOKEN_LEN,
    MAX_VOCAB_TEXT, Role, Tokenizer, VocabBuilder, VocabError, VocabProblem,
};
use barre_tests::clock::processor_time;
use barre_tests::raw::{Raw, ty};
use barre_tests::readers::Std;

const F32: u32 = 6;
const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };
const PARSE: EncodeOptions = EncodeOptions { add_special: false, parse_special: true };

/// A vocabulary in the making, written to a GGUF file key by key.
#[derive(Clone, Default)]
struct Keys {
    n: u64,
    body: Raw,
}

impl Keys {
    fn add(mut self, pair: impl FnOnce(Raw) -> Raw) -> Self {
        self.n += 1;
        self.body = pair(self.body);
        self
    }

    fn text(self, key: &str, value: &str) -> Self {
        self.add(|raw| raw.kv_str(key, value))
    }

    fn id(self, key: &str, id: u32) -> Self {
        self.add(|raw| raw.kv_u32(key, id))
    }

    fn flag(self, key: &str, value: bool) -> Self {
        self.add(|raw| raw.key(key, ty::BOOL).u8(u8::from(value)))
    }

    fn strings(self, key: &str, values: &[impl AsRef<[u8]>]) -> Self {
        self.add(|raw| {
            values.iter().fold(raw.array(key, ty::STRING, values.len() as u64), |raw, v| raw.str(v))
        })
    }

    fn numbers(self, key: &str, element: u32, values: &[u32]) -> Self {
        self.add(|raw| values.iter().fold(raw.array(key, element, values.len() as u64), |raw, v| raw.u32(*v)))
    }

    fn bytes(self, key: &str, count: u64) -> Self {
        self.add(|raw| raw.array(key, ty::U8, count).data(count as usize))
    }

    /// The file's bytes.
    fn file(&self) -> Vec<u8> {
        Raw::new(0, self.n).raw(&self.body.0).0
    }

    /// The tokenizer or the error: the same from memory, through a stream and byte by byte.
    fn open(&self) -> Result<Tokenizer, VocabError> {
        let file = self.file();
        let mut reader = file.as_slice();
        let gguf = Gguf::open(&mut reader).unwrap();
        let tokenizer = Tokenizer::from_gguf(&gguf, &mut reader);
        for most in [usize::MAX, 1] {
            let mut reader = Stream::new(Std::short(&file, most));
            let streamed = Tokenizer::from_gguf(&gguf, &mut reader);
            assert_eq!(streamed.err(), tokenizer.as_ref().err().copied(), "at most {most} bytes a read");
        }
        let larger = [&[0xee; 7][..], &file].concat();
        let mut reader = larger.as_slice();
        let gguf = Gguf::open_at(&mut reader, AbsOffset::new(7)).unwrap();
        match (&tokenizer, Tokenizer::from_gguf(&gguf, &mut reader)) {
            (Err(VocabError::Gguf(a)), Err(VocabError::Gguf(b))) => {
                assert_eq!(a.offset().map(|o| o + 7), b.offset(), "{a} | {b}");
            }
            (a, b) => assert_eq!(a.as_ref().err().copied(), b.err(), "inside a larger file"),
        }
        tokenizer
    }

    fn error(&self) -> VocabError {
        self.open().err().expect("refused")
    }
}

fn byte_tokens() -> Vec<String> {
    (0..=255).map(|b| format!("<0x{b:02X}>")).collect()
}

fn spm_tokens(more: &[&str]) -> Vec<String> {
    let special = ["<unk>", "<s>", "</s>"].map(String::from);
    special.into_iter().chain(byte_tokens()).chain(more.iter().map(ToString::to_string)).collect()
}

fn types(tokens: &[String]) -> Vec<u32> {
    let of = |t: &String| match t.as_str() {
        "<unk>" => 2,
        "<s>" | "</s>" => 3,
        t if t.starts_with("<0x") => 6,
        _ => 1,
    };
    tokens.iter().map(of).collect()
}

/// A sound SentencePiece vocabulary with further tokens.
fn spm(more: &[&str]) -> Keys {
    let tokens = spm_tokens(more);
    let scores: Vec<u32> = (0..tokens.len()).map(|i| (-(i as f32)).to_bits()).collect();
    Keys::default()
        .text("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", &tokens)
        .numbers("tokenizer.ggml.scores", F32, &scores)
        .numbers("tokenizer.ggml.token_type", ty::I32, &types(&tokens))
}

/// The 256 characters of byte-level BPE, one token each, by byte.
fn byte_chars() -> Vec<String> {
    let mut next = 255;
    let char_of = |b: u8| match b {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => char::from(b),
        _ => {
            next += 1;
            char::from_u32(next).unwrap()
        }
    };
    (0..=255).map(char_of).map(String::from).collect()
}

/// A sound byte-level vocabulary with further tokens and these merges.
fn bpe(more: &[&str], merges: &[&str]) -> Keys {
    let tokens: Vec<String> = byte_chars().into_iter().chain(more.iter().map(ToString::to_string)).collect();
    Keys::default()
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", "gpt-2")
        .strings("tokenizer.ggml.tokens", &tokens)
        .strings("tokenizer.ggml.merges", merges)
}

fn encode(tokenizer: &Tokenizer, text: &[u8], options: EncodeOptions) -> Vec<u32> {
    let mut out = Vec::new();
    tokenizer.encode(text, options, &mut EncodeScratch::default(), &mut out).unwrap();
    out
}

fn decode(tokenizer: &Tokenizer, tokens: &[u32]) -> String {
    let mut out = String::new();
    tokenizer.decode(tokens, DecodeOptions::default(), &mut out).unwrap();
    out
}

fn bad(key: &'static str, problem: VocabProblem) -> VocabError {
    VocabError::BadVocab { key, problem }
}

#[test]
fn v02_v05_v28_arrays_of_the_wrong_type() {
    let tokens = spm_tokens(&[]);
    let n = tokens.len() as u64;
    let model = || Keys::default().text("tokenizer.ggml.model", "llama");
    let with_tokens = || model().strings("tokenizer.ggml.tokens", &tokens);
    // SentencePiece has no use for merges, and does not look at them.
    let with_merges = || {
        Keys::default()
            .text("tokenizer.ggml.model", "gpt2")
            .text("tokenizer.ggml.pre", "gpt-2")
            .strings("tokenizer.ggml.tokens", &tokens)
    };
    let rows = [
        ("tokenizer.ggml.tokens", model().bytes("tokenizer.ggml.tokens", n), "string"),
        ("tokenizer.ggml.scores", with_tokens().bytes("tokenizer.ggml.scores", n), "f32"),
        ("tokenizer.ggml.token_type", with_tokens().bytes("tokenizer.ggml.token_type", n), "i32"),
        ("tokenizer.ggml.merges", with_merges().bytes("tokenizer.ggml.merges", 4), "string"),
        ("tokenizer.ggml.suppress_tokens", with_tokens().bytes("tokenizer.ggml.suppress_tokens", 4), "i32"),
    ];
    for (key, keys, want) in rows {
        let offset = match keys.error() {
            VocabError::Gguf(GgufError::WrongType { key: k, got: ValueType::U8, want: w, offset }) => {
                assert!(k == key && w == want, "{k} {w}");
                offset
            }
            e => panic!("{key}: {e:?}"),
        };
        // The array is the file's last, its elements `data`.
        let first = keys.file().iter().rposition(|&b| b != 0x5a).unwrap() + 1;
        assert_eq!(offset, first as u64, "{key}: where the elements begin");
    }
    let no_text = Keys::default().id("tokenizer.ggml.model", 1);
    assert!(matches!(no_text.error(), VocabError::Gguf(GgufError::WrongType { got: ValueType::U32, .. })));
}

#[test]
fn keys_that_are_missing() {
    for (keys, want) in [
        (Keys::default(), "tokenizer.ggml.model"),
        (Keys::default().text("tokenizer.ggml.model", "llama"), "tokenizer.ggml.tokens"),
    ] {
        match keys.error() {
            VocabError::Gguf(GgufError::MissingKey { key }) => assert_eq!(key, want),
            e => panic!("{e:?}"),
        }
    }
    let tokens = byte_chars();
    let no_merges =
        Keys::default().text("tokenizer.ggml.model", "gpt2").strings("tokenizer.ggml.tokens", &tokens);
    assert_eq!(no_merges.error(), VocabError::MissingKey { key: "tokenizer.ggml.merges" });
    let none: [&str; 0] = [];
    let empty = Keys::default().text("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", &none);
    assert_eq!(empty.error(), bad("tokenizer.ggml.tokens", VocabProblem::Empty));
}

#[test]
fn v04_fewer_scores_or_types_than_tokens() {
    let tokens = spm_tokens(&[]);
    let want = tokens.len() as u64;
    for (key, element) in [("tokenizer.ggml.scores", F32), ("tokenizer.ggml.token_type", ty::I32)] {
        for got in [1, want - 1] {
            let keys = Keys::default()
                .text("tokenizer.ggml.model", "llama")
                .strings("tokenizer.ggml.tokens", &tokens)
                .numbers(key, element, &vec![1; got as usize]);
            assert_eq!(keys.error(), bad(key, VocabProblem::Len { got, want }));
        }
    }
    let nan = Keys::default()
        .text("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", &tokens)
        .numbers("tokenizer.ggml.scores", F32, &vec![0x7fc0_0000; tokens.len()]);
    assert_eq!(nan.error(), bad("tokenizer.ggml.scores", VocabProblem::Score { id: 0 }));
}

#[test]
fn v08_ids_that_no_token_has() {
    let n = spm_tokens(&[]).len() as u64;
    for role in Role::ALL {
        for id in [n as u32, 1 << 20, u32::MAX] {
            let want = bad(role.key(), VocabProblem::Id { id: id.into(), n });
            assert_eq!(spm(&[]).id(role.key(), id).error(), want);
        }
        assert!(spm(&[]).id(role.key(), n as u32 - 1).open().is_ok());
    }
    let suppressed = spm(&[]).numbers("tokenizer.ggml.suppress_tokens", ty::I32, &[5, n as u32]);
    assert_eq!(suppressed.error(), bad("tokenizer.ggml.suppress_tokens", VocabProblem::Id { id: n, n }));
    let suppressed = spm(&[]).numbers("tokenizer.ggml.suppress_tokens", ty::I32, &[7, 5]).open().unwrap();
    assert_eq!(suppressed.suppressed(), [5, 7]);
    let negative = spm(&[]).numbers("tokenizer.ggml.suppress_tokens", ty::I32, &[u32::MAX]);
    assert!(matches!(negative.error(), VocabError::Gguf(GgufError::OutOfRange { .. })));
}

#[test]
fn v09_v10_no_default_ids_and_no_flag_without_its_id() {
    // One token: llama.cpp's default ids 0, 1, 2 and 11 are not all there.
    let one = Keys::default()
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", "llama-bpe")
        .strings("tokenizer.ggml.tokens", &["a"])
        .strings("tokenizer.ggml.merges", &[""; 0]);
    let tokenizer = one.open().unwrap();
    assert_eq!(tokenizer.special_ids(), &Default::default());
    assert_eq!((tokenizer.added_bos(), tokenizer.added_eos()), (None, None));
    assert_eq!(encode(&tokenizer, b"a", EncodeOptions::default()), [0]);
    for (flag, id_key) in
        [("tokenizer.ggml.add_bos_token", Role::Bos.key()), ("tokenizer.ggml.add_eos_token", Role::Eos.key())]
    {
        assert_eq!(one.clone().flag(flag, true).error(), bad(flag, VocabProblem::NoId { id_key }));
        assert!(one.clone().flag(flag, false).open().is_ok());
        assert!(one.clone().flag(flag, true).id(id_key, 0).open().is_ok());
    }
}

#[test]
fn flags_put_bos_and_eos_around_the_text() {
    let both = spm(&["▁", "a", "▁a"]).id(Role::Bos.key(), 1).id(Role::Eos.key(), 2);
    let a = spm_tokens(&["▁", "a"]).len() as u32;
    let text = |keys: Keys| encode(&keys.open().unwrap(), b"a", EncodeOptions::default());
    assert_eq!(text(both.clone()), [1, a]);
    assert_eq!(text(both.clone().flag("tokenizer.ggml.add_bos_token", false)), [a]);
    assert_eq!(text(both.clone().flag("tokenizer.ggml.add_eos_token", true)), [1, a, 2]);
    assert_eq!(text(both.flag("tokenizer.ggml.add_space_prefix", false)), [1, a - 1]);
}

#[test]
fn v11_v12_v13_odd_texts_are_accepted() {
    let tokenizer =
        spm(&["▁", "x", "x", "", "", "a\0b", "a", "b", "\0", "a\0"]).id(Role::Unknown.key(), 0).open();
    let tokenizer = tokenizer.unwrap();
    let first = spm_tokens(&[]).len() as u32;
    assert_eq!((tokenizer.notes().tokens_repeated, tokenizer.notes().tokens_empty), (1, 2));
    assert_eq!(encode(&tokenizer, b"x", PLAIN), [first, first + 1], "the lower id");
    assert_eq!(encode(&tokenizer, b"a\0b", PLAIN), [first, first + 5]);
    assert_eq!(tokenizer.token_text(first + 5), b"a\0b");
    assert_eq!(encode(&tokenizer, b"", PARSE), [0u32; 0]);
    assert_eq!(tokenizer.piece(first + 3).count(), 0);
}

#[test]
fn v15_byte_tokens_that_are_none() {
    for text in ["<0x-1>", "<0xZZ>", "<0x100>", "<0x1>", "a"] {
        let mut tokens = spm_tokens(&[]);
        tokens[3 + 0x41] = text.into();
        let mut types = types(&spm_tokens(&[]));
        types[3 + 0x41] = 6;
        let keys = Keys::default()
            .text("tokenizer.ggml.model", "llama")
            .strings("tokenizer.ggml.tokens", &tokens)
            .numbers("tokenizer.ggml.token_type", ty::I32, &types);
        let id = 3 + 0x41;
        assert_eq!(keys.error(), bad("tokenizer.ggml.token_type", VocabProblem::ByteToken { id }), "{text}");
    }
}

#[test]
fn v16_a_byte_without_a_token_is_unknown_or_refused() {
    let tokens: Vec<String> = spm_tokens(&[]).into_iter().filter(|t| t != "<0x41>").collect();
    let keys =
        Keys::default().text("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", &tokens);
    assert_eq!(keys.error(), bad("tokenizer.ggml.tokens", VocabProblem::MissingByte { byte: 0x41 }));
    let tokenizer =
        keys.id(Role::Unknown.key(), 0).flag("tokenizer.ggml.add_space_prefix", false).open().unwrap();
    assert_eq!(encode(&tokenizer, b"ABA", PLAIN), [0, 3 + 0x41, 0]);
    assert_eq!(tokenizer.notes().bytes_missing, 1);
}

#[test]
fn m12_a_raw_newline_in_place_of_its_byte_token() {
    let tokens: Vec<String> = spm_tokens(&["\n"]).into_iter().filter(|t| t != "<0x0A>").collect();
    let keys =
        Keys::default().text("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", &tokens);
    let tokenizer = keys.flag("tokenizer.ggml.add_space_prefix", false).open().unwrap();
    assert_eq!(encode(&tokenizer, b"\n", PLAIN), [tokens.len() as u32 - 1]);
    assert_eq!(decode(&tokenizer, &encode(&tokenizer, b"\n\n", PLAIN)), "\n\n");
}

#[test]
fn v17_v29_texts_that_are_too_long() {
    let keys = |len: usize| spm(&[&"x".repeat(len)]);
    assert!(keys(MAX_TOKEN_LEN).open().is_ok());
    let want = VocabError::Limit {
        what: "bytes of a token",
        got: MAX_TOKEN_LEN as u64 + 1,
        max: MAX_TOKEN_LEN as u64,
    };
    assert_eq!(keys(MAX_TOKEN_LEN + 1).error(), want);
    // The file is short of its gigabyte, so the container is refused; the builder by the number alone.
    let mut builder = VocabBuilder::new(b"llama", None).unwrap();
    let want = VocabError::Limit { what: "bytes of token text", got: 1 << 30, max: MAX_VOCAB_TEXT as u64 };
    assert_eq!(builder.reserve(10, 1 << 30), Err(want));
    assert!(matches!(builder.reserve(1 << 24, 0), Err(VocabError::Limit { what: "tokens", .. })));
}

#[test]
fn v19_merges_that_are_none() {
    for merge in ["ab", "", " ", "a ", " b", "a  b", "a b c", " a b", "a b "] {
        for index in 0..2u64 {
            let mut merges = vec!["a b", "a b"];
            merges[index as usize] = merge;
            assert_eq!(bpe(&["ab"], &merges).error(), VocabError::BadMerge { index }, "{merge:?}");
        }
    }
    let long = format!("{} b", "a".repeat(300));
    let longest = VocabError::Limit { what: "bytes of a merge", got: 302, max: 5 };
    assert_eq!(bpe(&["ab"], &[&long]).error(), longest);
}

#[test]
fn v20_v22_merges_without_a_token_are_left_out_and_the_first_of_equals_counts() {
    // "b c" first and last: its first rank is before that of "a b".
    let merges = ["x y", "q ab", "b c", "a b", "b c"];
    let tokenizer = bpe(&["ab", "bc"], &merges).open().unwrap();
    assert_eq!(tokenizer.notes().merges_ignored, 2);
    assert_eq!(tokenizer.notes().merges_repeated, 1);
    assert_eq!(encode(&tokenizer, b"abc", PLAIN), [u32::from(b'a'), 257]);
    assert_eq!(encode(&tokenizer, b"ab", PLAIN), [256]);
}

#[test]
fn v23_v24_unknown_tokenizers_are_named() {
    for model in ["t5", "bert", "rwkv", "plamo2", "none", "", "Llama", "gpt-2"] {
        let keys = Keys::default()
            .text("tokenizer.ggml.model", model)
            .bytes("tokenizer.ggml.precompiled_charsmap", 3);
        match keys.error() {
            VocabError::UnsupportedTokenizer { key: "tokenizer.ggml.model", name } => assert_eq!(name, model),
            e => panic!("{e:?}"),
        }
    }
    for pre in ["gpt-3", "", "LLAMA-BPE", "kimi-k2", "a name that is far too long to be kept in an error"] {
        let keys = Keys::default().text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", pre);
        match keys.error() {
            VocabError::UnsupportedTokenizer { key: "tokenizer.ggml.pre", name } => assert_eq!(name, pre),
            e => panic!("{e:?}"),
        }
    }
    // SentencePiece has no pre-tokenizer, so its name does not matter.
    assert!(spm(&[]).text("tokenizer.ggml.pre", "default").open().is_ok());
    let tokens = byte_chars();
    let none: [&str; 0] = [];
    let unnamed = Keys::default()
        .text("tokenizer.ggml.model", "gpt2")
        .strings("tokenizer.ggml.tokens", &tokens)
        .strings("tokenizer.ggml.merges", &none);
    assert!(unnamed.open().unwrap().notes().pre_tokenizer_assumed);
}

#[test]
fn v27_special_tokens_empty_or_within_one_another() {
    let special = ["", "<a>", "<a><b>", "<b>", "<", "aaaa", "aa", "<a", ">>"];
    let tokens: Vec<String> = spm_tokens(&special);
    let first = spm_tokens(&[]).len();
    let mut types = types(&tokens);
    types[first..].fill(3);
    types[first + 5] = 4;
    let keys = Keys::default()
        .text("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", &tokens)
        .numbers("tokenizer.ggml.token_type", ty::I32, &types)
        .flag("tokenizer.ggml.add_space_prefix", false);
    let tokenizer = keys.open().unwrap();
    let parts = |text: &str, options| {
        let of = |id: u32| (id as usize).checked_sub(first);
        encode(&tokenizer, text.as_bytes(), options).into_iter().map(of).collect::<Vec<_>>()
    };
    let some = |ids: &[usize]| ids.iter().copied().map(Some).collect::<Vec<_>>();
    assert_eq!(parts("<a><b>", PARSE), some(&[2]), "the longest");
    assert_eq!(parts("<b><a>", PARSE), some(&[3, 1]));
    assert_eq!(parts("<a<a>", PARSE), some(&[7, 1]));
    assert_eq!(parts("aaaaaaaaaaa", PARSE), [some(&[5, 5, 6]), vec![None]].concat());
    assert_eq!(parts("<<>>", PARSE), some(&[4, 4, 8]));
    // Only the user-defined one is in plain text.
    assert_eq!(parts("aaaa", PLAIN), some(&[5]));
    assert_eq!(parts("<b>", PLAIN), [Some(4), None, None], "its letters, of which `<` is a token");
    assert_eq!(parts(&"<".repeat(1000), PARSE).len(), 1000);
}

#[test]
fn x02_long_runs_of_one_letter_need_no_stack() {
    let letters = spm(&["▁", "Z", "ZZ", "ZZZZ", "ZZZZZZZZ"]).open().unwrap();
    let chars = bpe(&["ZZ", "ZZZZ"], &["Z Z", "ZZ ZZ"]).open().unwrap();
    let small = std::thread::Builder::new().stack_size(64 << 10);
    let run = small.spawn(move || {
        let z = "Z".repeat(131_072);
        assert_eq!(encode(&letters, z.as_bytes(), PLAIN).len(), 1 + 131_072 / 8);
        assert_eq!(encode(&chars, z.as_bytes(), PLAIN).len(), 131_072 / 4);
        let cjk = "字".repeat(26_000);
        assert_eq!(encode(&letters, cjk.as_bytes(), PLAIN).len(), 1 + 3 * 26_000);
        assert_eq!(encode(&chars, cjk.as_bytes(), PLAIN).len(), 3 * 26_000);
        let tokens = encode(&chars, cjk.as_bytes(), PLAIN);
        assert_eq!(decode(&chars, &tokens), cjk);
    });
    run.unwrap().join().unwrap();
}

#[test]
fn x04_a_text_that_is_too_long_is_refused_at_once() {
    let tokenizer = spm(&[]).open().unwrap();
    // Never touched, so that it takes no memory.
    let text = vec![0; MAX_TEXT_LEN + 1];
    let mut scratch = EncodeScratch::default();
    let result = tokenizer.encode_into(&text, PLAIN, &mut scratch, &mut []);
    assert_eq!(result, Err(EncodeError::TooLong { len: MAX_TEXT_LEN + 1, max: MAX_TEXT_LEN }));
}

#[test]
fn x05_bytes_that_are_no_utf8() {
    let rows: [(&[u8], &str); 6] = [
        (b"\x80", "\u{fffd}"),
        (b"\xc0\x80", "\0"),
        (b"\xed\xa0\x80", ""),
        (b"\xf4\x90\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        (b"\xe2\x82", "\u{fffd}\u{fffd}"),
        (b"a\xffb", "a\u{fffd}b"),
    ];
    let sentence_piece = spm(&["▁"]).flag("tokenizer.ggml.add_space_prefix", false).open().unwrap();
    let byte_level = bpe(&[], &[]).open().unwrap();
    for (text, replaced) in rows {
        let bytes: Vec<u32> = text.iter().map(|&b| 3 + u32::from(b)).collect();
        assert_eq!(encode(&sentence_piece, text, PLAIN), bytes, "the bytes themselves");
        // As llama.cpp has it, an overlong form is its code point and a surrogate passes.
        let want: Vec<u32> = match replaced {
            "" => text.iter().map(|&b| b.into()).collect(),
            _ => replaced.bytes().map(u32::from).collect(),
        };
        assert_eq!(encode(&byte_level, text, PLAIN), want, "{text:02x?}");
    }
}

#[test]
fn x07_time_grows_with_the_text() {
    let vocabularies = [
        spm(&["▁", "a", "b", "aa", "ab", "aab", "aaaa", "abab", "aabaab", "aaaaaaaa", "abababab"])
            .open()
            .unwrap(),
        bpe(
            &["aa", "ab", "aab", "aaaa", "abab", "aabaab"],
            &["a a", "a b", "aa b", "aa aa", "ab ab", "aab aab"],
        )
        .open()
        .unwrap(),
    ];
    let mut scratch = EncodeScratch::default();
    for (which, tokenizer) in vocabularies.iter().enumerate() {
        for unit in ["a", "ab", "aab"] {
            let mut seconds = |len: usize| {
                let text = unit.repeat(len / unit.len());
                let mut out = vec![0; len + 1];
                let run = |_| {
                    let start = processor_time();
                    tokenizer.encode_into(text.as_bytes(), PLAIN, &mut scratch, &mut out).unwrap();
                    (processor_time() - start).as_secs_f64()
                };
                (0..9).map(run).fold(f64::INFINITY, f64::min)
            };
            // Linear work takes ten times as long, quadratic work a hundred times.
            let ratio = seconds(100_000) / seconds(10_000);
            assert!(ratio <= 30.0, "{which} {unit}: {ratio} times the time");
        }
    }
}

#[test]
fn x09_f17_the_need_of_a_small_buffer_is_exact() {
    let tokenizer = spm(&["▁", "a", "▁a"]).id(Role::Bos.key(), 1).open().unwrap();
    let mut scratch = EncodeScratch::default();
    for text in ["", "a", "a a ab", "字 a"] {
        let want = encode(&tokenizer, text.as_bytes(), EncodeOptions::default());
        let need = want.len();
        for room in 0..=need + 1 {
            let mut out = vec![0xdead_beef; room];
            let got =
                tokenizer.encode_into(text.as_bytes(), EncodeOptions::default(), &mut scratch, &mut out);
            if room < need {
                assert_eq!(got, Err(EncodeError::BufferTooSmall { need }));
                assert_eq!(out, want[..room], "what there is room for");
            } else {
                assert_eq!(got, Ok(need));
                assert_eq!(out[..need], want);
                assert!(out[need..].iter().all(|&t| t == 0xdead_beef));
            }
        }
    }
}

#[test]
fn x11_a_character_over_several_tokens_comes_whole() {
    let tokenizer = bpe(&[], &[]).open().unwrap();
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut parts = Vec::new();
    for &byte in "aé字💡".as_bytes() {
        let mut part = String::new();
        decoder.push(&tokenizer, byte.into(), |text| part.push_str(text));
        parts.push(part);
    }
    assert_eq!(parts, ["a", "", "é", "", "", "字", "", "", "", "💡"]);
    let mut rest = String::new();
    decoder.push(&tokenizer, 0xe5, |text| rest.push_str(text));
    decoder.push(&tokenizer, u32::from(b'x'), |text| rest.push_str(text));
    decoder.push(&tokenizer, 0xf0, |text| rest.push_str(text));
    decoder.push(&tokenizer, u32::MAX, |text| rest.push_str(text));
    decoder.finish(|text| rest.push_str(text));
    assert_eq!(rest, "\u{fffd}x\u{fffd}");
}

#[test]
fn control_tokens_are_shown_only_when_asked_for() {
    let tokenizer = spm(&["▁", "a", "▁a"]).id(Role::Bos.key(), 1).open().unwrap();
    let a = spm_tokens(&["▁", "a"]).len() as u32;
    let text = |tokens: &[u32], show_special, strip_space| {
        let mut out = String::new();
        tokenizer.decode(tokens, DecodeOptions { show_special, strip_space }, &mut out).unwrap();
        out
    };
    assert_eq!(text(&[1, a, a, 2], false, true), "a a");
    assert_eq!(text(&[1, a, a, 2], false, false), " a a");
    assert_eq!(text(&[a, 1, 0], true, true), "a<s><unk>");
}

/// A file cut anywhere, or with any byte changed, gives a tokenizer or an error.
#[test]
fn damaged_vocabularies_never_panic() {
    let small = Keys::default()
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", "default")
        .strings("tokenizer.ggml.tokens", &["a", "b", "ab", "<|x|>", "é"])
        .strings("tokenizer.ggml.merges", &["a b"])
        .numbers("tokenizer.ggml.token_type", ty::I32, &[1, 1, 1, 3, 4])
        .numbers("tokenizer.ggml.scores", F32, &[0, 0, 0, 0, 0])
        .id(Role::Bos.key(), 3)
        .flag("tokenizer.ggml.add_bos_token", true)
        .file();
    let try_file = |file: &[u8]| {
        let mut reader = file;
        if let Ok(gguf) = Gguf::open(&mut reader)
            && let Ok(tokenizer) = Tokenizer::from_gguf(&gguf, &mut reader)
        {
            decode(&tokenizer, &encode(&tokenizer, b"ab<|x|> \xffa", PARSE));
        }
    };
    for len in 0..small.len() {
        try_file(&small[..len]);
    }
    for at in 0..small.len() {
        for bit in 0..8 {
            let mut file = small.clone();
            file[at] ^= 1 << bit;
            try_file(&file);
        }
    }
}
