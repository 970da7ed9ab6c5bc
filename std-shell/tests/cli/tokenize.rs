//! `barre tokenize`: the forms of llama-tokenize.

use super::{MODEL, barre, stdout, succeed};
use std::io::Write as _;
use std::process::Stdio;

const OF_TEXT: [&str; 5] = ["tokenize", "-m", MODEL, "-p", "abc"];

fn ids(text: &str) -> Vec<u32> {
    serde_json::from_str(text).expect("a list of numbers")
}

#[test]
fn ids_are_a_list_and_tokens_a_line_each() {
    let list = succeed(&[&OF_TEXT[..], &["--ids"]].concat());
    let all = ids(stdout(&list));
    assert_eq!(stdout(&list), format!("{all:?}\n"));
    assert_eq!(all[0], 1, "the beginning of the sequence");
    let without = succeed(&[&OF_TEXT[..], &["--ids", "--no-bos"]].concat());
    assert_eq!(ids(stdout(&without)), all[1..]);
    let lines = succeed(&OF_TEXT);
    assert_eq!(stdout(&lines).lines().count(), all.len());
    assert_eq!(stdout(&lines).lines().next(), Some("     1 -> '<s>'"));
}

#[test]
fn control_tokens_are_parsed_unless_told_otherwise() {
    let args = ["tokenize", "-m", MODEL, "-p", "</s>", "--ids", "--no-bos"];
    assert!(ids(stdout(&succeed(&args))).contains(&2));
    let plain = succeed(&[&args[..], &["--no-parse-special"]].concat());
    assert!(!ids(stdout(&plain)).contains(&2));
}

#[test]
fn stdin_is_taken_byte_by_byte() {
    let mut child = barre(&["tokenize", "-m", MODEL, "--stdin", "--ids"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command runs");
    child.stdin.take().expect("stdin").write_all(b"a\xff\0b\n").expect("its text");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success());
    // The byte tokens begin at 3.
    let all = ids(stdout(&output));
    for byte in [0xff, 0, b'\n'] {
        assert!(all.contains(&(3 + u32::from(byte))), "{byte} in {all:?}");
    }
}
