//! `--schema`, and the model inside barre: one whole line of JSON on stdout, or nothing.

use super::{MODEL, TempFile, barre, isas, stderr, stdout, succeed};
use barre_core::constrain::Schema;
use serde_json::Value;

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "maxItems": 3}
    },
    "required": ["name", "age"],
    "additionalProperties": false
}"#;

/// The value of the one line on stdout.
fn line(text: &str) -> Value {
    let line = text.strip_suffix('\n').expect("a whole line");
    assert!(!line.contains('\n'), "{text:?}");
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {text:?}"))
}

#[test]
fn any_model_keeps_any_schema() {
    let file = TempFile::new("schema", SCHEMA.as_bytes());
    let schema = Schema::parse(SCHEMA.as_bytes()).unwrap();
    for more in
        [&["--temp", "0"][..], &["--temp", "2", "--seed", "3"], &["--temp", "2", "--seed", "4", "-n", "40"]]
    {
        let args = [&["run", "-m", MODEL, "-p", "abc", "--schema", file.path()], more].concat();
        let output = succeed(&args);
        let text = stdout(&output);
        let person = line(text);
        assert!(schema.admits(text.trim_end().as_bytes()), "{text}");
        assert!((0..=130).contains(&person["age"].as_i64().unwrap()) && person["name"].is_string(), "{text}");
        for isa in isas() {
            let again = succeed(&[&args[..], &["--isa", isa, "-t", "2"]].concat());
            assert_eq!(stdout(&again), text, "{isa}");
        }
    }
}

#[test]
fn what_has_no_room_is_an_error_and_no_half_of_an_output() {
    let file = TempFile::new("room", SCHEMA.as_bytes());
    for more in [&["-n", "3"][..], &["-n", "0"], &["-c", "16"]] {
        let args = [&["run", "-m", MODEL, "-p", "abc", "--schema", file.path()], more].concat();
        let output = barre(&args).output().expect("the command runs");
        assert!(!output.status.success() && output.stdout.is_empty());
        assert!(stderr(&output).contains("the shortest output of the schema takes"), "{}", stderr(&output));
    }
}

#[test]
fn a_schema_that_cannot_be_used_is_named_with_the_place() {
    for (text, want) in [
        (r#"{"type":"string","format":"date"}"#, "byte 17: the keyword `format` is not supported"),
        (r#"{"type":"integer","minimum":1"#, "byte 29: not JSON"),
        (r#"{"type":"string","pattern":"^a*$"}"#, "byte 27: the pattern cannot be used"),
    ] {
        let file = TempFile::new("bad-schema", text.as_bytes());
        let output = barre(&["run", "-m", MODEL, "-p", "a", "--schema", file.path()]).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
        let error = stderr(&output);
        assert!(error.contains(want) && error.contains("bad-schema"), "{error}");
    }
    let output = barre(&["run", "-m", MODEL, "-p", "a", "--schema", "no-such-file"]).output().unwrap();
    assert!(stderr(&output).contains("cannot read the schema no-such-file"));
}

#[cfg(feature = "demo")]
mod inside {
    use super::*;

    #[test]
    fn a_sentence_becomes_one_line_of_json() {
        let schema = Schema::parse(barre_demo::SCHEMA.as_bytes()).unwrap();
        let long = "turn on the light and ".repeat(4);
        for sentence in [
            "please dim the bedroom lights to 30 percent",
            "",
            "  \t ",
            "</s>{\"action\":",
            "é💡\u{1}",
            &long,
        ] {
            let first = succeed(&["run", sentence]);
            let text = stdout(&first);
            assert!(line(text).is_object() || line(text).is_array());
            assert!(schema.admits(text.trim_end().as_bytes()), "{text}");
            assert!(stderr(&first).contains("decode") && stderr(&first).contains("constraint"));
            assert_eq!(stdout(&succeed(&["run", "-p", sentence])), text);
            for isa in isas() {
                assert_eq!(stdout(&succeed(&["run", "--isa", isa, "-t", "2", sentence])), text, "{isa}");
            }
        }
    }

    #[test]
    fn it_takes_other_schemas_and_says_when_there_is_no_room() {
        let file = TempFile::new("inside", br#"{"enum": ["yes", "no"]}"#);
        let answer = line(stdout(&succeed(&["run", "is it warm?", "--schema", file.path()])));
        assert!(answer == "yes" || answer == "no");
        // Its vocabulary may have a token for a whole answer, but none for no token.
        let output = barre(&["run", "turn on the light", "-n", "0"]).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
        assert!(stderr(&output).contains("the shortest output"));
        let output = barre(&["run", &"word ".repeat(2000)]).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
    }

    #[test]
    fn what_only_a_file_can_do_is_refused() {
        for flag in [["--ram", "1G"], ["--io", "read"], ["--throttle", "9"], ["--prompt-cache", "cache"]] {
            let output = barre(&[&["run", "turn on the light"], &flag[..]].concat()).output().unwrap();
            assert!(!output.status.success() && output.stdout.is_empty());
            assert!(stderr(&output).contains("-m FILE"), "{flag:?}: {}", stderr(&output));
        }
        let output = succeed(&["run", "turn on the light", "--json"]);
        let figures: Value = serde_json::from_str(stderr(&output)).expect("the figures");
        assert!(figures["prefill"]["tokens"].as_u64() > Some(3), "{figures}");
    }

    #[test]
    fn without_arguments_there_is_a_tour() {
        let output = succeed(&[]);
        let text = stdout(&output);
        let fused = text.lines().find_map(|l| l.strip_prefix("fused: ")).expect("the summary");
        let (fused, rest) = fused.split_once(" of ").unwrap();
        assert!(rest.starts_with(&format!("{fused} matrices")), "{text}");
        for part in ["= arena", "KV cache", "> please dim", "tokens/s"] {
            assert!(text.contains(part), "{text}");
        }
        let answer = text.lines().skip_while(|l| !l.starts_with("> ")).nth(1).unwrap();
        assert!(serde_json::from_str::<Value>(answer).is_ok(), "{answer}");
    }

    #[test]
    fn the_evaluation_counts_what_is_right_and_what_is_valid() {
        let args = [
            "eval-demo",
            "--format",
            "inside",
            "--mode",
            "int8",
            "--split",
            "random,combinations",
            "-n",
            "12",
        ];
        let rows = succeed(&[&args[..], &["--json", "-t", "2"]].concat());
        let rows: Vec<Value> = serde_json::from_str(stdout(&rows)).unwrap();
        assert_eq!(rows.len(), 2);
        for row in &rows {
            assert_eq!((&row["sentences"], &row["valid"]), (&Value::from(12), &Value::from(12)), "{row}");
            assert_eq!((&row["format"], &row["mode"]), (&Value::from("inside"), &Value::from("int8")));
        }
        assert!(rows[0]["exact_match"].is_null() && rows[1]["exact_match"].is_u64());
        let table = succeed(&args);
        assert!(stdout(&table).starts_with("| format |") && stdout(&table).lines().count() == 4);
        let missing = barre(&["eval-demo", "--weights", "no-such-file", "--format", "f32"]).output().unwrap();
        assert!(!missing.status.success() && stderr(&missing).contains("no-such-file"));
    }
}
