//! Constrained output: whatever the logits are, it is JSON, valid against its schema, and ends in time.
//!
//! The checker here shares nothing with the engine: serde_json parses, and a schema that was made at random as a tree
//! is compared with the value.

use barre_core::constrain::{ConstrainError, Constraint, Schema, TokenIndex};
use barre_core::gguf::Gguf;
use barre_core::sampler::{Sampler, SamplerParams};
use barre_core::tokenizer::{DecodeOptions, Decoder, Tokenizer, VocabBuilder};
use barre_tests::shared::shared;
use barre_tests::synthetic::Rng;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

/// A schema as a tree.
#[derive(Clone, Debug)]
enum Shape {
    Null,
    Boolean,
    Integer(i64, i64),
    /// Fewest and most characters.
    Text(usize, usize),
    /// One of [`PATTERNS`].
    Pattern(usize),
    Listed(Vec<Value>),
    Array(Box<Shape>, usize, usize),
    /// Name, value, whether it is required.
    Object(Vec<(String, Shape, bool)>),
    AnyOf(Vec<Shape>),
    /// A definition by its number.
    Definition(usize),
}

type Check = fn(&str) -> bool;

/// Patterns with another way of saying what they match.
const PATTERNS: [(&str, Check); 4] = [
    ("^([01][0-9]|2[0-3]):[0-5][0-9]$", |s| {
        s.len() == 5
            && s.split_once(':').is_some_and(|(h, m)| {
                h.len() == 2 && h.parse::<u8>().is_ok_and(|h| h < 24) && m.parse::<u8>().is_ok_and(|m| m < 60)
            })
    }),
    ("^[a-fé💡\"\\\\]{2,4}$", |s| {
        (2..=4).contains(&s.chars().count()) && s.chars().all(|c| "abcdefé💡\"\\".contains(c))
    }),
    ("^(ab|a){0,3}\\u0007?$", |s| {
        let letters = s.strip_suffix('\u{7}').unwrap_or(s);
        // Each `b` follows an `a`, of which there are three at most.
        letters.matches('a').count() <= 3 && letters.replace("ab", "").chars().all(|c| c == 'a')
    }),
    ("^[^\\w\\s]$", |s| s.chars().count() == 1 && s.chars().all(|c| c != '_' && !c.is_ascii_alphanumeric())),
];

impl Shape {
    fn random(rng: &mut Rng, depth: usize, definitions: usize) -> Self {
        let kinds = if depth == 0 { 6 } else { 10 };
        let kind = rng.below(kinds);
        if definitions > 0 && rng.below(6) == 0 {
            return Self::Definition(rng.below(definitions));
        }
        match kind {
            0 => Self::Null,
            1 => Self::Boolean,
            2 => {
                let magnitude = rng.below(62);
                let low = (rng.bits() as i64) >> (63 - magnitude);
                Self::Integer(low, low.saturating_add((rng.bits() >> (64 - rng.below(62).max(1))) as i64))
            }
            3 => {
                let min = rng.below(4);
                Self::Text(min, min + rng.below(8))
            }
            4 => Self::Pattern(rng.below(PATTERNS.len())),
            5 => {
                let all = [
                    json!("on"),
                    json!("off"),
                    json!("on\t\"é"),
                    json!(12),
                    json!(null),
                    json!([1, {"a": "b"}]),
                ];
                Self::Listed((0..=rng.below(3)).map(|_| all[rng.below(all.len())].clone()).collect())
            }
            6 => {
                let min = rng.below(3);
                let item = Self::random(rng, depth - 1, definitions);
                Self::Array(Box::new(item), min, min + rng.below(3))
            }
            7 | 8 => {
                let names = ["action", "act", "room", "é\"\n", "value", ""];
                let start = rng.below(names.len());
                Self::Object(
                    (start..names.len())
                        .map(|i| {
                            (
                                names[i].to_owned(),
                                Self::random(rng, depth - 1, definitions),
                                rng.below(2) == 0,
                            )
                        })
                        .collect(),
                )
            }
            _ => Self::AnyOf((0..=rng.below(3)).map(|_| Self::random(rng, depth - 1, definitions)).collect()),
        }
    }

    fn write(&self, out: &mut String) {
        let _ = match self {
            Self::Null => write!(out, r#"{{"type":"null"}}"#),
            Self::Boolean => write!(out, r#"{{"type":"boolean"}}"#),
            Self::Integer(low, high) => {
                write!(out, r#"{{"type":"integer","minimum":{low},"maximum":{high}}}"#)
            }
            Self::Text(min, max) => write!(out, r#"{{"type":"string","minLength":{min},"maxLength":{max}}}"#),
            Self::Pattern(i) => write!(out, r#"{{"type":"string","pattern":{}}}"#, json!(PATTERNS[*i].0)),
            Self::Listed(values) => write!(out, r#"{{"enum":{}}}"#, json!(values)),
            Self::Definition(i) => write!(out, r##"{{"$ref":"#/$defs/{i}"}}"##),
            Self::Array(item, min, max) => {
                out.push_str(r#"{"type":"array","items":"#);
                item.write(out);
                write!(out, r#","minItems":{min},"maxItems":{max}}}"#)
            }
            Self::Object(properties) => {
                out.push_str(r#"{"type":"object","properties":{"#);
                for (i, (name, shape, _)) in properties.iter().enumerate() {
                    let _ = write!(out, "{}{}:", if i > 0 { "," } else { "" }, json!(name));
                    shape.write(out);
                }
                let required: Vec<&String> = properties.iter().filter(|p| p.2).map(|p| &p.0).collect();
                write!(out, r#"}},"required":{},"additionalProperties":false}}"#, json!(required))
            }
            Self::AnyOf(shapes) => {
                out.push_str(r#"{"anyOf":["#);
                for (i, shape) in shapes.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    shape.write(out);
                }
                write!(out, "]}}")
            }
        };
    }

    fn admits(&self, value: &Value, definitions: &[Self]) -> bool {
        let text = |check: &dyn Fn(&str) -> bool| value.as_str().is_some_and(check);
        match self {
            Self::Null => value.is_null(),
            Self::Boolean => value.is_boolean(),
            Self::Integer(low, high) => value.as_i64().is_some_and(|n| (*low..=*high).contains(&n)),
            Self::Text(min, max) => text(&|s| (*min..=*max).contains(&s.chars().count())),
            Self::Pattern(i) => text(&PATTERNS[*i].1),
            Self::Listed(values) => values.contains(value),
            Self::Definition(i) => definitions[*i].admits(value, definitions),
            Self::Array(item, min, max) => value.as_array().is_some_and(|items| {
                (*min..=*max).contains(&items.len()) && items.iter().all(|i| item.admits(i, definitions))
            }),
            Self::Object(properties) => value.as_object().is_some_and(|members| {
                members.keys().all(|name| properties.iter().any(|p| p.0 == *name))
                    && properties.iter().all(|(name, shape, required)| {
                        members.get(name).map_or(!required, |value| shape.admits(value, definitions))
                    })
            }),
            Self::AnyOf(shapes) => shapes.iter().any(|s| s.admits(value, definitions)),
        }
    }
}

/// A schema made at random: its text, its tree, its definitions.
fn random_schema(rng: &mut Rng) -> (String, Shape, Vec<Shape>) {
    let mut definitions = Vec::new();
    for i in 0..rng.below(3) {
        definitions.push(Shape::random(rng, 1, i));
    }
    let root = Shape::random(rng, 3, definitions.len());
    // A wrapper, since `$defs` may stand at the root only and beside any other keyword.
    let mut text = String::from(r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","$defs":{"#);
    for (i, definition) in definitions.iter().enumerate() {
        let _ = write!(text, "{}\"{i}\":", if i > 0 { "," } else { "" });
        definition.write(&mut text);
    }
    text += r#"},"anyOf":["#;
    root.write(&mut text);
    text += "]}";
    (text, root, definitions)
}

fn open(path: &Path) -> Tokenizer {
    let file = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut reader = file.as_slice();
    let gguf = Gguf::open(&mut reader).unwrap();
    Tokenizer::from_gguf(&gguf, &mut reader).unwrap()
}

fn own(name: &str) -> Tokenizer {
    open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/tokenizer").join(name))
}

/// A byte-level vocabulary of `tokens`, of which the first ends generation.
fn vocabulary(tokens: &[&str]) -> Tokenizer {
    let mut builder = VocabBuilder::new(b"gpt2", Some(b"gpt-2")).unwrap();
    builder.has_merges();
    for (i, token) in tokens.iter().enumerate() {
        builder.push_token(token.as_bytes()).unwrap();
        builder.push_type(if i == 0 { 3 } else { 1 }).unwrap();
    }
    builder.set_id(barre_core::tokenizer::Role::Eos, 0);
    builder.build().unwrap()
}

/// Random logits, now and then with much weight on few tokens and with excluded ones.
fn fill(rng: &mut Rng, logits: &mut [f32]) {
    for logit in logits.iter_mut() {
        *logit = rng.unit() * 4.0;
    }
    for _ in 0..4 {
        let n = logits.len();
        logits[rng.below(n)] = 20.0;
    }
}

/// One output with room for `room` tokens, and the number of its tokens.
fn generate(
    constraint: &mut Constraint<'_>,
    tokenizer: &Tokenizer,
    sampler: &mut Sampler,
    rng: &mut Rng,
    room: usize,
) -> (String, usize) {
    let mut logits = vec![0.0; tokenizer.len() as usize];
    let mut decoder = Decoder::new(DecodeOptions { show_special: false, strip_space: false });
    let (mut text, mut count) = (String::new(), 0);
    constraint.reset();
    while !(constraint.is_final() || count == room && constraint.is_complete()) {
        fill(rng, &mut logits);
        constraint.mask(&mut logits, room - count).unwrap();
        let token = sampler.sample(&logits, &[]).unwrap();
        constraint.accept(token).unwrap();
        if tokenizer.is_end_of_generation(token) {
            break;
        }
        count += 1;
        decoder.push(tokenizer, token, |part| text.push_str(part));
    }
    decoder.finish(|part| text.push_str(part));
    assert!(constraint.is_complete());
    (text, count)
}

#[test]
fn every_output_of_every_schema_is_valid_and_ends_in_time() {
    let mut rng = Rng(2026);
    for (name, schemas) in [("own-bpe.gguf", 700), ("own-spm.gguf", 700)] {
        let tokenizer = own(name);
        let index = TokenIndex::new(&tokenizer).unwrap();
        for _ in 0..schemas {
            let (text, root, definitions) = random_schema(&mut rng);
            let schema = Schema::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
            let mut constraint = Constraint::new(&schema, &index).unwrap_or_else(|e| panic!("{text}: {e}"));
            let least = constraint.min_tokens().unwrap();
            for (round, temperature) in [0.0, 1.0, 3.0, 1.0, 0.0].into_iter().enumerate() {
                let seed = rng.bits();
                let params = SamplerParams { temperature, seed, ..SamplerParams::GREEDY };
                let mut sampler = Sampler::new(params, tokenizer.len()).unwrap();
                // Plenty, and as little as can be.
                let room = if round < 3 { schema.max_bytes() } else { least + rng.below(3) };
                let (output, count) = generate(&mut constraint, &tokenizer, &mut sampler, &mut rng, room);
                assert!(count <= room, "{count} tokens in {room}: {output} of {text}");
                assert!((schema.min_bytes()..=schema.max_bytes()).contains(&output.len()));
                let value: Value =
                    serde_json::from_str(&output).unwrap_or_else(|e| panic!("{e}: {output} of {text}"));
                assert!(root.admits(&value, &definitions), "{output} of {text}");
                assert!(schema.admits(output.as_bytes()));
            }
            if let Some(short) = least.checked_sub(1) {
                let mut logits = vec![0.0; tokenizer.len() as usize];
                constraint.reset();
                let got = constraint.mask(&mut logits, short);
                assert_eq!(got, Err(ConstrainError::Budget { left: short, need: least }), "{text}");
            }
        }
    }
}

#[test]
fn the_mask_lets_through_exactly_the_tokens_that_are_accepted() {
    let mut tokenizers = vec![own("own-bpe.gguf"), own("own-spm.gguf")];
    for name in ["llama-spm", "llama-bpe", "qwen2"] {
        tokenizers.extend(shared(&format!("vocabs/ggml-vocab-{name}.gguf")).map(|path| open(&path)));
    }
    let text = br#"{"anyOf":[{"type":"object","properties":{"text":{"type":"string","maxLength":20},"n":{"type":"integer"}},
        "required":["text"]},{"type":"integer"}]}"#;
    let schema = Schema::parse(text).unwrap();
    let mut rng = Rng(7);
    for tokenizer in &tokenizers {
        let index = TokenIndex::new(tokenizer).unwrap();
        let mut constraint = Constraint::new(&schema, &index).unwrap();
        let mut logits = vec![0.0; tokenizer.len() as usize];
        while !constraint.is_final() {
            logits.fill(1.0);
            constraint.mask(&mut logits, usize::MAX).unwrap();
            let mut allowed = Vec::new();
            for token in 0..tokenizer.len() {
                let accepted = constraint.clone().accept(token).is_ok();
                assert_eq!(
                    logits[token as usize] == 1.0,
                    accepted,
                    "{:?}",
                    tokenizer.token_text(token).escape_ascii()
                );
                allowed.extend(accepted.then_some(token));
            }
            constraint.accept(allowed[rng.below(allowed.len())]).unwrap();
        }
    }
}

#[test]
fn what_is_wrong_with_logits_and_tokens_is_said() {
    let tokenizer = own("own-bpe.gguf");
    let index = TokenIndex::new(&tokenizer).unwrap();
    let schema = Schema::parse(br#"{"type":"integer","minimum":7,"maximum":12}"#).unwrap();
    let mut constraint = Constraint::new(&schema, &index).unwrap();
    let n = tokenizer.len() as usize;
    let eog = tokenizer.end_of_generation()[0];
    let named = |text: &str| tokenizer.token_named(text.as_bytes()).unwrap();
    let plain = vec![0.0f32; n];

    assert_eq!(constraint.mask(&mut [0.0; 3], 9), Err(ConstrainError::LogitsLen { got: 3, want: n }));
    for bad in [f32::NAN, f32::INFINITY] {
        let mut logits = plain.clone();
        logits[5] = bad;
        assert_eq!(constraint.mask(&mut logits, 9), Err(ConstrainError::NonFiniteLogits { index: 5 }));
    }
    let mut logits = vec![f32::NEG_INFINITY; n];
    logits[named("a") as usize] = 3.0;
    assert_eq!(constraint.mask(&mut logits, 9), Err(ConstrainError::AllMasked));

    for token in [eog, named("a"), n as u32, u32::MAX] {
        assert_eq!(constraint.accept(token), Err(ConstrainError::Refused { token }));
    }
    constraint.accept(named("1")).unwrap();
    assert!(!constraint.is_complete(), "1 is none of 7 to 12");
    assert_eq!(constraint.mask(&mut plain.clone(), 0), Err(ConstrainError::Budget { left: 0, need: 1 }));
    constraint.accept(named("0")).unwrap();
    assert!(constraint.is_complete() && constraint.is_final());
    let mut logits = plain.clone();
    constraint.mask(&mut logits, 0).unwrap();
    let left: Vec<usize> = (0..n).filter(|&i| logits[i] == 0.0).collect();
    assert!(left.iter().all(|&i| tokenizer.is_end_of_generation(i as u32)) && left.contains(&(eog as usize)));
    constraint.accept(eog).unwrap();
    assert_eq!(constraint.accept(named("1")), Err(ConstrainError::Refused { token: named("1") }));
    constraint.reset();
    assert!(!constraint.is_complete());
}

#[test]
fn a_vocabulary_without_single_bytes_is_led_past_its_dead_ends() {
    // From `"o` only `nx"` leads on, and `f` cannot be spelled at all.
    let tokenizer = vocabulary(&["</s>", "\"o", "nx\"", "\"", "on\"", "of", "[", "]", ","]);
    let index = TokenIndex::new(&tokenizer).unwrap();
    let schema = Schema::parse(br#"{"enum":["on","onx","off"]}"#).unwrap();
    let constraint = Constraint::new(&schema, &index).unwrap();
    assert_eq!(constraint.min_tokens(), Some(2));
    let mut logits = vec![0.0; 9];
    constraint.clone().mask(&mut logits, 9).unwrap();
    let left: Vec<usize> = (0..9).filter(|&i| logits[i] == 0.0).collect();
    assert_eq!(left, [1, 3]);
    let mut after = constraint.clone();
    after.accept(3).unwrap();
    assert_eq!(after.accept(5), Err(ConstrainError::Refused { token: 5 }), "`\"of` has no end");
    let none = Schema::parse(br#"{"enum":["off"]}"#).unwrap();
    assert_eq!(Constraint::new(&none, &index).err(), Some(ConstrainError::Vocabulary));
}
