//! What the fuzzers do with their bytes. A crash they find is a call of one of these functions.

use crate::faults::small_file;
use crate::models::arena;
use crate::readers::Std;
use crate::synthetic::{Kv, Rng, Spec, Synthetic};
use barre_core::constrain::{Constraint, Schema, SchemaLimits, TokenIndex};
use barre_core::gguf::{Gguf, ValueType};
use barre_core::io::Stream;
use barre_core::kernels::{Kernels, KvType, Mode, Serial};
use barre_core::model::{Limits, Model, Plan, WeightPlacement};
use barre_core::sampler::{Sampler, SamplerParams};
use barre_core::session::{SavedError, Session};
use barre_core::tokenizer::{DecodeOptions, Decoder, EncodeOptions, EncodeScratch, Tokenizer};
use std::fmt::Display;
use std::sync::OnceLock;

fn one_line(e: &impl Display) {
    let text = e.to_string();
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
}

/// `data` as a GGUF file: the same verdict from memory and through a stream, every value and tensor within the file,
/// and if it is a model, a few tokens through it.
///
/// # Panics
/// If the core breaks a promise.
pub fn gguf(data: &[u8]) {
    let opened = Gguf::open(&mut &*data);
    let streamed = Gguf::open(&mut Stream::new(Std::short(data, 5)));
    assert_eq!(opened.as_ref().err(), streamed.as_ref().err(), "memory and stream");
    let gguf = match opened {
        Ok(gguf) => gguf,
        Err(e) => return one_line(&e),
    };
    for entry in gguf.metadata() {
        let mut buf = [0; 64];
        let _ = entry.uint();
        let _ = entry.read_str(&mut &*data, &mut buf);
        if let Ok(array) = entry.array() {
            if array.element_type() == ValueType::String {
                let strings = array.load_strings(&mut &*data).expect("they were there");
                assert_eq!(strings.len() as u64, array.len());
            } else {
                let mut few = [0; 4];
                let n = few.len().min(usize::try_from(array.len()).unwrap_or(usize::MAX));
                let _ = array.read_uint(&mut &*data, 0, &mut few[..n]);
            }
        }
    }
    for tensor in gguf.tensors() {
        let end = tensor.abs().get().checked_add(tensor.bytes().unwrap_or(0)).expect("it fits");
        assert!(end <= data.len() as u64, "{} lies in the file", tensor.name());
    }
    match Model::load(&gguf, &mut &*data) {
        Ok(model) => run(&model, data),
        Err(e) => one_line(&e),
    }
}

/// A few tokens through a model, unless it is made to take long.
fn run(model: &Model, mut file: &[u8]) {
    let kernels = Kernels::scalar();
    let limits = Limits {
        context: model.hparams().context_length.min(8),
        batch: 3,
        kv: KvType::F16,
        mode: Mode::Int8,
        threads: 1,
        weights: WeightPlacement::Mapped,
    };
    let Ok(plan) = Plan::new(model, &kernels, &limits).map_err(|e| one_line(&e)) else { return };
    if plan.bytes() > 4 << 20 {
        return;
    }
    let mut memory = arena(plan.bytes(), 0xa5);
    let mut session =
        Session::new(model, &mut file, &plan, memory.bytes_mut(), &kernels, &Serial).expect("it is mapped");
    let vocab_size = model.hparams().vocab_size;
    let tokens: Vec<u32> = (0..limits.context.min(4)).map(|i| (i * 7 % vocab_size) as u32).collect();
    session.prefill(&tokens).expect("tokens of the vocabulary");
    let mut sampler = Sampler::new(SamplerParams::default(), vocab_size as u32).expect("sound parameters");
    match sampler.sample(session.logits(), session.tokens()) {
        Ok(token) => assert!((token as usize) < vocab_size),
        Err(e) => one_line(&e),
    }
}

const BOTH: EncodeOptions = EncodeOptions { add_special: true, parse_special: true };
const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };

/// The first byte chooses: the rest is a GGUF file with a vocabulary, or a text for a SentencePiece or byte-level
/// tokenizer.
///
/// # Panics
/// If the core breaks a promise.
pub fn tokenizer(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let fixed = tokenizers();
    if let Some(tokenizer) = fixed.get(usize::from(kind)) {
        return text(tokenizer, data);
    }
    let Ok(gguf) = Gguf::open(&mut &*data) else { return };
    match Tokenizer::from_gguf(&gguf, &mut &*data) {
        Ok(tokenizer) => {
            text(&tokenizer, b"ab a<s>\xff \xe5\xad\x97 12345 it's");
            text(&tokenizer, &data[data.len() - data.len().min(100)..]);
        }
        Err(e) => one_line(&e),
    }
}

fn text(tokenizer: &Tokenizer, text: &[u8]) {
    let mut scratch = EncodeScratch::default();
    for options in [BOTH, PLAIN] {
        let mut tokens = Vec::new();
        if let Err(e) = tokenizer.encode(text, options, &mut scratch, &mut tokens) {
            return one_line(&e);
        }
        assert!(tokens.iter().all(|&t| t < tokenizer.len()));
        let mut exact = vec![0; tokens.len()];
        let again = tokenizer.encode_into(text, options, &mut scratch, &mut exact);
        assert_eq!((again, &exact), (Ok(tokens.len()), &tokens));
        let (mut whole, mut pieces) = (String::new(), String::new());
        let show = DecodeOptions { show_special: true, strip_space: false };
        tokenizer.decode(&tokens, show, &mut whole).expect("memory");
        let mut decoder = Decoder::new(show);
        for &token in &tokens {
            decoder.push(tokenizer, token, |part| pieces.push_str(part));
        }
        decoder.finish(|part| pieces.push_str(part));
        assert_eq!(whole, pieces, "token by token");
    }
}

/// One SentencePiece tokenizer, and a byte-level one of each kind of pre-tokenizer.
fn tokenizers() -> &'static [Tokenizer] {
    static ALL: OnceLock<Vec<Tokenizer>> = OnceLock::new();
    ALL.get_or_init(|| {
        let load = |file: &[u8]| {
            let mut reader = file;
            let gguf = Gguf::open(&mut reader).expect("a container");
            Tokenizer::from_gguf(&gguf, &mut reader).expect("a vocabulary")
        };
        let pre = ["llama-bpe", "qwen2", "gpt-2", "falcon", "starcoder", "deepseek-llm", "deepseek-coder"];
        std::iter::once(load(&small_file())).chain(pre.map(|pre| load(&byte_level_file(pre)))).collect()
    })
}

/// A file with nothing but a byte-level vocabulary.
#[must_use]
pub fn byte_level_file(pre: &str) -> Vec<u8> {
    let mut next = 255;
    let char_of = |b: u8| match b {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => char::from(b),
        _ => {
            next += 1;
            char::from_u32(next).expect("a letter")
        }
    };
    let mut tokens: Vec<String> = (0..=255).map(char_of).map(String::from).collect();
    let merges = ["a b", "Ġ a", "b c", "ab c", "1 2", "Ã ©", "Ġ Ġ", "ĠĠ ĠĠ"];
    tokens.extend(merges.iter().map(|m| m.replace(' ', "")));
    tokens.extend(["<|x|>", "<|end|>"].map(String::from));
    let n = tokens.len();
    let types = (0..n).map(|i| if i + 2 >= n { 3 } else { 1 }).collect();
    Synthetic { kv: Vec::new(), tensors: Vec::new() }
        .with("tokenizer.ggml.model", Kv::text("gpt2"))
        .with("tokenizer.ggml.pre", Kv::text(pre))
        .with("tokenizer.ggml.tokens", Kv::Strs(tokens))
        .with("tokenizer.ggml.token_type", Kv::I32s(types))
        .with("tokenizer.ggml.merges", Kv::Strs(merges.map(String::from).to_vec()))
        .with("tokenizer.ggml.eos_token_id", Kv::U32(n as u32 - 1))
        .file()
}

/// A model of some thousand weights, for saved sessions.
struct Tiny {
    file: Vec<u8>,
    model: Model,
    kernels: Kernels,
    plan: Plan,
}

fn tiny() -> &'static Tiny {
    static TINY: OnceLock<Tiny> = OnceLock::new();
    TINY.get_or_init(|| {
        let spec = Spec { embedding: 8, vocab: 16, ..Spec::small() };
        let file = spec.build().file();
        let mut reader = &file[..];
        let gguf = Gguf::open(&mut reader).expect("a container");
        let model = Model::load(&gguf, &mut reader).expect("a model");
        let kernels = Kernels::scalar();
        let limits = Limits {
            context: 8,
            batch: 4,
            kv: KvType::F16,
            mode: Mode::Int8,
            threads: 1,
            weights: WeightPlacement::Mapped,
        };
        let plan = Plan::new(&model, &kernels, &limits).expect("a plan");
        Tiny { file, model, kernels, plan }
    })
}

/// A session saved after these tokens (below 16, at most 8).
///
/// # Panics
/// If there are other tokens.
#[must_use]
pub fn saved_session(tokens: &[u32]) -> Vec<u8> {
    let tiny = tiny();
    let mut memory = arena(tiny.plan.bytes(), 0);
    let mut session = new_session(tiny, memory.bytes_mut());
    if !tokens.is_empty() {
        session.prefill(tokens).expect("room");
    }
    let mut saved = Vec::new();
    session.save(&mut Std::new(&mut saved)).expect("a vector takes everything");
    saved
}

fn new_session<'a>(tiny: &'a Tiny, memory: &'a mut [u8]) -> Session<'a, &'a [u8]> {
    Session::new(&tiny.model, &tiny.file[..], &tiny.plan, memory, &tiny.kernels, &Serial).expect("a session")
}

/// The first byte says how many positions the live session has, and whether checksums are put right first; the rest is
/// a saved session.
///
/// # Panics
/// If the core breaks a promise.
pub fn session(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let tiny = tiny();
    let mut file = data.to_vec();
    if kind & 1 == 1 {
        reseal(tiny, &mut file);
    }
    let live: Vec<u32> = (0..u32::from(kind >> 1) % 9).collect();
    let mut memory = arena(tiny.plan.bytes(), 0xa5);
    let mut session = new_session(tiny, memory.bytes_mut());
    if !live.is_empty() {
        session.prefill(&live).expect("room");
    }
    let logits: Vec<u32> = session.logits().iter().map(|x| x.to_bits()).collect();
    let mut scratch = [0xee; 4096];
    match session.restore(&mut Std::new(&*file), &mut scratch) {
        Ok(n) => {
            assert_eq!((session.position(), session.tokens().len()), (n, n));
            let mut again = Vec::new();
            session.save(&mut Std::new(&mut again)).expect("a vector takes everything");
            assert!(file.starts_with(&again), "what was restored is what is saved");
        }
        Err(e) => {
            assert!(!matches!(
                e,
                SavedError::Busy | SavedError::Write { .. } | SavedError::BufferTooSmall { .. }
            ));
            one_line(&e);
            assert_eq!(session.tokens(), live);
            assert!(session.logits().iter().map(|x| x.to_bits()).eq(logits.iter().copied()), "its logits");
        }
    }
    // Whatever is in the cache, it can go on; a live one that was left alone goes on as it would have.
    if session.position() < 8 {
        let next: Vec<u32> = session.step(3).expect("room").iter().map(|x| x.to_bits()).collect();
        if session.tokens()[..session.position() - 1] == live && !live.is_empty() {
            session.reset();
            session.prefill(&live).expect("room");
            let want = session.step(3).expect("room");
            let untouched = want.iter().map(|x| x.to_bits()).eq(next.iter().copied());
            // A restored session of the same tokens may have any keys and values.
            assert!(untouched || kind & 1 == 1, "the live session goes on");
        }
    }
}

/// Puts the fingerprint and the checksums right, as far as the file reaches.
fn reseal(tiny: &Tiny, file: &mut [u8]) {
    static SOUND: OnceLock<Vec<u8>> = OnceLock::new();
    let sound = SOUND.get_or_init(|| saved_session(&[]));
    if let (Some(to), Some(from)) = (file.get_mut(16..24), sound.get(16..24)) {
        to.copy_from_slice(from);
    }
    let Some(n) = file.get(24..32).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes) else { return };
    let n = n.min(64) as usize;
    let layers = tiny.model.hparams().layers.iter();
    let lens = [32, 4 * n].into_iter().chain(layers.map(|l| (l.key_len_all + l.value_len_all) * 2 * n));
    let (mut at, mut content) = (0, Vec::new());
    for len in lens {
        let Some(part) = file.get(at..at + len) else { return };
        content.extend_from_slice(part);
        at += len;
        let Some(sum) = file.get_mut(at..at + 8) else { return };
        sum.copy_from_slice(&crc64(&content).to_le_bytes());
        at += 8;
    }
}

/// `data` as a JSON Schema: whatever text comes out under it is one of its texts, and ends in time.
///
/// # Panics
/// If the core breaks a promise.
pub fn schema(data: &[u8]) {
    // Few states, so that a schema costs no more than milliseconds.
    let limits = SchemaLimits { text_bytes: 4096, states: 1 << 12, ..SchemaLimits::default() };
    let schema = match Schema::parse_within(data, &limits) {
        Ok(schema) => schema,
        Err(e) => return one_line(&e),
    };
    static INDEX: OnceLock<TokenIndex<'static>> = OnceLock::new();
    let tokenizer = &tokenizers()[1];
    let index = INDEX.get_or_init(|| TokenIndex::new(tokenizer).expect("a vocabulary of all bytes"));
    let mut constraint = match Constraint::new(&schema, index) {
        Ok(constraint) => constraint,
        Err(e) => return one_line(&e),
    };
    let mut rng = Rng(crc64(data));
    let Some(least) = constraint.min_tokens().filter(|&n| n <= 512) else { return };
    let mut left = least + rng.below(64);
    let (mut text, mut logits) = (Vec::new(), vec![0.0; tokenizer.len() as usize]);
    while !constraint.is_final() {
        logits.iter_mut().for_each(|x| *x = rng.unit());
        if left == 0 {
            assert!(constraint.is_complete(), "it ends in time");
            break;
        }
        constraint.mask(&mut logits, left).expect("a token that may come");
        let best = (0..).zip(&logits).max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(token, _)| token);
        constraint.accept(best).expect("a token that may come");
        if tokenizer.is_end_of_generation(best) {
            break;
        }
        text.extend(tokenizer.piece(best));
        left -= 1;
    }
    assert!(schema.admits(&text), "a text of the schema");
    assert!((schema.min_bytes()..=schema.max_bytes()).contains(&text.len()));
    // JSON sets numbers no bound: one of the schema's own may be beyond what a double holds. Then the grammar counts.
    let parsed = serde_json::from_slice::<serde_json::Value>(&text);
    let beyond = || serde_json::from_slice::<serde_json::Value>(data).is_err();
    let json = || serde_json::from_slice::<&serde_json::value::RawValue>(&text).is_ok();
    assert!(parsed.is_ok() || beyond() && json(), "{parsed:?}: {:?}", String::from_utf8_lossy(&text));
}

/// CRC-64/XZ, bit by bit from its definition: not the engine's.
#[must_use]
pub fn crc64(bytes: &[u8]) -> u64 {
    !bytes.iter().fold(!0, |crc, &b| {
        (0..8).fold(crc ^ u64::from(b), |c, _| c >> 1 ^ if c & 1 == 1 { 0xc96c_5795_d787_0f42 } else { 0 })
    })
}
