//! What a constraint holds on the heap: nothing new while an output is made, and no more than its limits allow while a
//! schema is compiled.

use barre_core::constrain::{Constraint, Schema, SchemaLimits, TokenIndex};
use barre_core::gguf::Gguf;
use barre_core::sampler::{Sampler, SamplerParams};
use barre_core::tokenizer::Tokenizer;
use barre_tests::heap::{Counting, Span};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `f` held at a time beyond those held before it, and what it leaves held.
fn held<T>(f: impl FnOnce() -> T) -> (usize, usize, T) {
    let heap = Span::begin();
    let result = f();
    (heap.peak(), heap.held(), result)
}

#[test]
fn nothing_is_allocated_while_an_output_is_made() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/tokenizer/own-bpe.gguf");
    let file = std::fs::read(path).unwrap();
    let gguf = Gguf::open(&mut file.as_slice()).unwrap();
    let tokenizer = Tokenizer::from_gguf(&gguf, &mut file.as_slice()).unwrap();
    let text = br#"{"type":"array","items":{"type":"string","maxLength":9},"minItems":2,"maxItems":4}"#;
    let (_, kept, schema) = held(|| Schema::parse(text).unwrap());
    assert!(kept.abs_diff(schema.bytes()) < 64, "{kept} of {}", schema.bytes());
    let (_, kept, index) = held(|| TokenIndex::new(&tokenizer).unwrap());
    // The index counts itself too, which lies on the stack here.
    assert!(kept <= index.bytes() && index.bytes() - kept < 2048, "{kept} of {}", index.bytes());
    let mut constraint = Constraint::new(&schema, &index).unwrap();
    let params = SamplerParams { temperature: 1.0, ..SamplerParams::GREEDY };
    let mut sampler = Sampler::new(params, tokenizer.len()).unwrap();
    let mut logits = vec![0.0; tokenizer.len() as usize];
    let heap = Span::begin();
    for _ in 0..20 {
        constraint.reset();
        while !constraint.is_final() {
            logits.fill(0.0);
            constraint.mask(&mut logits, usize::MAX).unwrap();
            let token = sampler.sample(&logits, &[]).unwrap();
            constraint.accept(token).unwrap();
        }
    }
    assert_eq!(heap.calls(), 0);
}

#[test]
fn a_hostile_schema_holds_no_more_than_its_limits_allow() {
    for states in [1000, 10_000, 100_000] {
        let limits = SchemaLimits { states, ..SchemaLimits::default() };
        for text in [
            r#"{"type":"string","pattern":"^(a|b){0,40}a(a|b){30}$"}"#,
            r#"{"type":"string","maxLength":999999999}"#,
            r#"{"type":"string","pattern":"^([a-z]{0,9}[^a]|[\u0000-\uffff]{0,3}){0,1000}$"}"#,
            r#"{"anyOf":[{"type":"string","maxLength":999},{"type":"string","pattern":"^[a-zé]{990,1000}x$"}]}"#,
        ] {
            let (peak, _, result) = held(|| Schema::parse_within(text.as_bytes(), &limits));
            assert!(peak < 20_000 + 400 * states, "{peak} bytes for {states} states: {text}");
            assert!(states > 50_000 || result.is_err(), "{text}");
        }
    }
}
