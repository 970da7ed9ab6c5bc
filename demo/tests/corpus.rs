//! The corpus: the same everywhere, inside the schema, and without what the test splits keep.

use barre_demo::SCHEMA;
use barre_demo::corpus::{Sample, Split, sample};
use serde_json::Value;
use std::collections::HashSet;

fn samples(split: Split, count: u64) -> impl Iterator<Item = Sample> {
    (0..count).map(move |index| sample(split, index))
}

fn parsed(answer: &str) -> Value {
    serde_json::from_str(answer).unwrap_or_else(|e| panic!("{answer}: {e}"))
}

/// The commands of an answer: it itself, or the items of the array.
fn commands(answer: &Value) -> Vec<&Value> {
    answer.as_array().map_or_else(|| vec![answer], |items| items.iter().collect())
}

/// What is held out of a command: device, action and room if it has a room, and with the value if it has one.
fn combinations(command: &Value) -> Vec<String> {
    let text = |key: &str| command.get(key).map_or(String::new(), Value::to_string);
    let triple = format!("{} {} {}", text("device"), text("action"), text("room"));
    let mut keys = Vec::new();
    if command.get("room").is_some() {
        keys.push(triple.clone());
    }
    if command.get("value").is_some() {
        keys.push(format!("{triple} {}", text("value")));
    }
    keys
}

/// FNV-1a over the lines of a split.
fn digest(split: Split, count: u64) -> u64 {
    samples(split, count)
        .flat_map(|s| format!("{}\t{}\n", s.sentence, s.answer).into_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn the_corpus_is_the_same_on_every_machine() {
    // A change of these numbers is a change of the corpus: the model must be trained again.
    assert_eq!(format!("{:016x}", digest(Split::Train, 10_000)), "12f6df81fdfc35f6");
    assert_eq!(format!("{:016x}", digest(Split::TestCombinations, 2000)), "0ed5e9afbf8994dd");
    assert_eq!(format!("{:016x}", digest(Split::TestPhrasings, 2000)), "298ca6cfc28ed218");
}

#[test]
fn a_sample_is_one_tidy_line() {
    for split in Split::ALL {
        assert_eq!(Split::named(split.name()), Some(split));
        for s in samples(split, 5000) {
            assert_eq!(s.sentence, s.sentence.trim(), "{s:?}");
            assert!(
                !s.sentence.is_empty() && !s.sentence.contains(['\t', '\n', '{', '}'])
                    || s.answer.contains("none")
            );
            assert!(!s.sentence.contains(['\t', '\n', '\r']), "{s:?}");
            assert!(!s.answer.contains(' '), "{s:?}");
        }
    }
}

#[test]
fn every_answer_is_inside_the_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    for split in Split::ALL {
        for s in samples(split, 20_000) {
            let value = parsed(&s.answer);
            assert!(accepts(&schema, &schema, &value), "{s:?}");
            assert_eq!(value_in_order(&value), s.answer, "properties in the schema's order");
        }
    }
}

#[test]
fn the_schema_refuses_what_is_outside() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    for wrong in [
        r#"{"action":"none","device":"light"}"#,
        r#"{"action":"on"}"#,
        r#"{"action":"fly","device":"light"}"#,
        r#"{"action":"on","device":"light","time":"25:00"}"#,
        r#"{"action":"on","device":"light","delay":"010m"}"#,
        r#"{"action":"set","device":"light","value":600}"#,
        r#"[{"action":"on","device":"light"}]"#,
        r#"[{"action":"none"},{"action":"none"}]"#,
    ] {
        assert!(!accepts(&schema, &schema, &parsed(wrong)), "{wrong}");
    }
}

#[test]
fn no_held_out_combination_is_in_training() {
    let mut trained = HashSet::new();
    for s in samples(Split::Train, 100_000) {
        trained.extend(commands(&parsed(&s.answer)).into_iter().flat_map(combinations));
    }
    for s in samples(Split::TestCombinations, 5000) {
        let answer = parsed(&s.answer);
        let new = commands(&answer).into_iter().flat_map(combinations).any(|key| !trained.contains(&key));
        assert!(new, "{s:?}");
    }
}

#[test]
fn no_held_out_phrase_is_in_training() {
    // Marked phrases of several tables, each with words that no other phrase joins so.
    let held = [
        "at exactly",
        "rouse me",
        "see that",
        "without delay",
        "many thanks",
        "would you be able to",
        "along with",
        "any objection",
        "i suggest",
        "could you possibly",
        "no longer need",
        "hit pause on",
        "we're all gone",
        "pot of coffee",
        "gets under",
        "for another",
    ];
    let has = |s: &Sample| {
        let sentence = s.sentence.to_lowercase();
        held.iter().filter(|phrase| sentence.contains(**phrase)).copied().collect::<Vec<_>>()
    };
    for s in samples(Split::Train, 100_000) {
        assert!(has(&s).is_empty(), "{s:?}");
    }
    let mut seen = HashSet::new();
    for s in samples(Split::TestPhrasings, 10_000) {
        seen.extend(has(&s));
    }
    assert_eq!(seen.len(), held.len(), "the test of phrasings has them all: {seen:?}");
}

#[test]
fn splits_share_no_sentence_that_asks_for_something() {
    let trained: HashSet<String> = samples(Split::Train, 100_000).map(|s| s.sentence).collect();
    for split in [Split::TestCombinations, Split::TestPhrasings] {
        for s in samples(split, 5000) {
            assert!(!trained.contains(&s.sentence) || s.answer.contains("none"), "{s:?}");
        }
    }
}

/// JSON text of an answer with its properties in the schema's order, as the corpus writes it.
fn value_in_order(value: &Value) -> String {
    const ORDER: [&str; 14] = [
        "action", "device", "sensor", "room", "is", "value", "unit", "color", "day", "time", "delay",
        "duration", "if", "",
    ];
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(value_in_order).collect::<Vec<_>>().join(","))
        }
        Value::Object(object) => {
            let known = ORDER.iter().filter_map(|key| object.get(*key).map(|v| (key, v)));
            let pairs: Vec<String> = known.map(|(k, v)| format!("\"{k}\":{}", value_in_order(v))).collect();
            assert_eq!(pairs.len(), object.len(), "{value}");
            format!("{{{}}}", pairs.join(","))
        }
        other => other.to_string(),
    }
}

/// Whether `schema`, in the subset that the demo's schema uses, accepts `value`. A checker of its own, so that the
/// constraint engine is not measured with itself.
fn accepts(root: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(name) = schema.get("$ref") {
        let name = name.as_str().and_then(|n| n.strip_prefix("#/$defs/")).expect("a local reference");
        return accepts(root, &root["$defs"][name], value);
    }
    if let Some(choices) = schema.get("anyOf") {
        return choices.as_array().expect("a list").iter().any(|choice| accepts(root, choice, value));
    }
    if let Some(constant) = schema.get("const") {
        return constant == value;
    }
    if let Some(choices) = schema.get("enum") {
        return choices.as_array().expect("a list").contains(value);
    }
    match schema["type"].as_str().expect("a type") {
        "object" => {
            let Some(object) = value.as_object() else { return false };
            let properties = schema["properties"].as_object().expect("properties");
            let required = schema["required"].as_array().expect("a list");
            required.iter().all(|key| object.contains_key(key.as_str().expect("a key")))
                && object.iter().all(|(key, v)| properties.get(key).is_some_and(|p| accepts(root, p, v)))
        }
        "array" => value.as_array().is_some_and(|items| {
            let len = items.len() as u64;
            schema["minItems"].as_u64().is_some_and(|min| len >= min)
                && schema["maxItems"].as_u64().is_some_and(|max| len <= max)
                && items.iter().all(|item| accepts(root, &schema["items"], item))
        }),
        "integer" => value.as_u64().is_some_and(|n| {
            schema["minimum"].as_u64().is_some_and(|min| n >= min)
                && schema["maximum"].as_u64().is_some_and(|max| n <= max)
        }),
        "string" => value.as_str().is_some_and(|text| match schema["pattern"].as_str().expect("a pattern") {
            "^([01][0-9]|2[0-3]):[0-5][0-9]$" => text.split_once(':').is_some_and(|(h, m)| {
                let number = |t: &str| t.parse::<u32>().ok().filter(|_| t.len() == 2);
                number(h).is_some_and(|h| h < 24) && number(m).is_some_and(|m| m < 60)
            }),
            "^[1-9][0-9]{0,2}[smh]$" => {
                let digits = text.strip_suffix(['s', 'm', 'h']).unwrap_or("");
                digits.len() <= 3 && !digits.starts_with('0') && digits.parse::<u32>().is_ok()
            }
            other => panic!("a pattern that this test does not know: {other}"),
        }),
        other => panic!("a type that this test does not know: {other}"),
    }
}
