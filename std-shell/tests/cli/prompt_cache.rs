//! `--prompt-cache`: the same text, less work; and files that are none.

use super::{MODEL, TempFile, barre, stderr, stdout, succeed};
use std::path::Path;

/// A name for a file that does not exist yet and goes away in the end.
fn absent(name: &str) -> TempFile {
    let file = TempFile::new(name, b"");
    std::fs::remove_file(file.path()).expect("it was there");
    file
}

fn run<'a>(prompt: &'a str, n: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["run", "-m", MODEL, "-p", prompt, "-n", n, "--temp", "0", "--ignore-eos"], more].concat()
}

/// Nothing was left beside `file`.
fn alone(file: &TempFile) {
    let path = Path::new(file.path());
    let name = path.file_name().and_then(|n| n.to_str()).expect("a name").to_owned() + ".";
    for other in std::fs::read_dir(path.parent().expect("a folder")).expect("a folder") {
        let other = other.expect("an entry").file_name();
        let other = other.to_string_lossy();
        assert!(!other.starts_with(&name), "{other} was left behind");
    }
}

#[test]
fn a_cached_prompt_gives_the_same_text_with_less_work() {
    let cache = absent("cache");
    let with = ["--prompt-cache", cache.path()];
    let want = stdout(&succeed(&run("abcdefgh", "12", &[]))).to_owned();
    let first = succeed(&run("abcdefgh", "12", &with));
    assert_eq!(stdout(&first), want);
    alone(&cache);
    let second = succeed(&run("abcdefgh", "12", &with));
    assert_eq!(stdout(&second), want);
    assert!(stderr(&second).contains("prefill 1 tokens"), "{}", stderr(&second));
    // Another context, a longer prompt and a shorter one.
    for prompt in ["abcdefgh", "abcdefghij", "abc", "zzz"] {
        let want = stdout(&succeed(&run(prompt, "12", &[]))).to_owned();
        let ro = ["--prompt-cache", cache.path(), "--prompt-cache-ro", "-c", "64", "--io", "read"];
        let before = cache.bytes();
        assert_eq!(stdout(&succeed(&run(prompt, "12", &ro))), want, "{prompt}");
        assert!(cache.bytes() == before, "--prompt-cache-ro");
    }
}

#[test]
fn a_kept_text_goes_on_where_it_ended() {
    let cache = absent("cache-all");
    let all = ["--prompt-cache", cache.path(), "--prompt-cache-all"];
    let whole = stdout(&succeed(&run("abc", "24", &[]))).to_owned();
    let first = succeed(&run("abc", "10", &all));
    let args =
        ["run", "-m", MODEL, "-n", "14", "--temp", "0", "--ignore-eos", "--prompt-cache", cache.path()];
    let rest = succeed(&args);
    assert_eq!(stdout(&first).trim_end_matches('\n').to_owned() + stdout(&rest), whole);
}

#[test]
fn a_file_that_is_no_session_of_this_model_is_named() {
    let cache = absent("cache-bad");
    let with = ["--prompt-cache", cache.path()];
    succeed(&run("abcdefgh", "1", &with));
    let sound = cache.bytes();
    let fails = |bytes: &[u8], more: &[&str], cause: &str| {
        std::fs::write(cache.path(), bytes).expect("written");
        let output = barre(&run("abcdefgh", "1", &[&with, more].concat())).output().expect("it runs");
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(cache.path()) && text.contains(cause), "{text}");
        assert!(stdout(&output).is_empty() && text.lines().count() == 1, "{text}");
        assert!(cache.bytes() == bytes, "the file is as it was");
    };
    fails(&sound[..sound.len() - 1], &[], "ends at byte");
    fails(b"", &[], "ends at byte 0");
    fails(b"GGUF\x03\0\0\0", &[], "not a saved session");
    let mut damaged = sound.clone();
    damaged[100] ^= 1;
    fails(&damaged, &[], "damaged");
    fails(&sound, &["--kv", "f32"], "another kv");
    fails(&sound, &["--mode", "exact"], "another mode");
    fails(&sound, &["-c", "4"], "positions");
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/llama-q2_k.gguf");
    let args = ["run", "-m", other, "-p", "abc", "-n", "1", "--prompt-cache", cache.path()];
    let output = barre(&args).output().expect("it runs");
    assert!(!output.status.success() && stderr(&output).contains("another model"), "{}", stderr(&output));
    std::fs::remove_file(cache.path()).expect("it was there");
    let args = run("abc", "1", &["--prompt-cache", cache.path(), "--prompt-cache-ro"]);
    let output = barre(&args).output().expect("it runs");
    assert!(!output.status.success() && stderr(&output).contains("cannot open"), "{}", stderr(&output));
    std::fs::write(cache.path(), b"").expect("written");
    let nowhere = run("abc", "1", &["--prompt-cache", "/nonexistent/folder/file"]);
    let output = barre(&nowhere).output().expect("it runs");
    assert!(!output.status.success() && stderr(&output).contains("cannot write"), "{}", stderr(&output));
}
