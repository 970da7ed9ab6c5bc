//! `barre run`: text to stdout, figures to stderr, the same text however it is computed.

use super::{MODEL, TempFile, barre, isas, shared, stderr, stdout, succeed};
use std::io::Read as _;
use std::process::Stdio;

const GREEDY: [&str; 9] = ["run", "-m", MODEL, "-p", "abc", "-n", "24", "--temp", "0"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&GREEDY[..], more].concat()
}

#[test]
fn the_text_does_not_depend_on_how_it_is_computed() {
    let first = succeed(&with(&["-t", "1"]));
    let text = stdout(&first);
    assert!(text.len() > 10 && text.ends_with('\n'), "{text:?}");
    for threads in ["1", "2", "3"] {
        for io in ["mmap", "read"] {
            for isa in isas() {
                let output = succeed(&with(&["-t", threads, "--isa", isa, "--io", io, "-b", "1"]));
                assert_eq!(stdout(&output), text, "{threads} threads, {isa}, {io}");
            }
        }
    }
}

#[test]
fn a_line_of_figures_ends_it() {
    let output = succeed(&with(&["-t", "2"]));
    let line = stderr(&output).lines().last().expect("a line");
    for part in ["2 threads", "load", "prefill", "decode 23 tokens", "tokens/s", "peak memory"] {
        assert!(line.contains(part), "{line:?} lacks {part:?}");
    }
    assert!(!stderr(&output).contains('\r'), "a bar where there is no terminal");
}

#[test]
fn a_seed_gives_the_same_text_again() {
    let sampled = |seed: &str| {
        let args =
            ["run", "-m", MODEL, "-p", "abc", "-n", "32", "--temp", "1.5", "--top-k", "0", "--seed", seed];
        stdout(&succeed(&args)).to_owned()
    };
    assert_eq!(sampled("7"), sampled("7"));
    assert_ne!(sampled("7"), sampled("8"));
}

#[test]
fn a_prompt_comes_from_a_file_too() {
    let file = TempFile::new("prompt", b"abc\n");
    let args = ["run", "-m", MODEL, "-f", file.path(), "-n", "24", "--temp", "0"];
    assert_eq!(stdout(&succeed(&args)), stdout(&succeed(&GREEDY)));
}

#[test]
fn no_tokens_are_no_text_and_a_full_context_is_the_end() {
    assert_eq!(stdout(&succeed(&["run", "-m", MODEL, "-p", "abc", "-n", "0"])), "\n");
    let output = succeed(&["run", "-m", MODEL, "-p", "abc", "-c", "16", "--temp", "0", "--ignore-eos"]);
    assert!(!stdout(&output).is_empty());
    let all = succeed(&["run", "-m", MODEL, "-p", "abc", "-c", "0", "-n", "2"]);
    assert!(stderr(&all).contains("decode 1 tokens"));
}

#[test]
fn every_matrix_is_multiplied_by_a_fused_kernel() {
    // BOS and one token; the head sees the last one only.
    let args = ["run", "-m", MODEL, "-p", "", "-n", "1", "--trace-dispatch"];
    let output = succeed(&args);
    let lines: Vec<&str> = stderr(&output).lines().filter(|l| l.starts_with("[dispatch_matmul]")).collect();
    assert_eq!(lines.len(), 29);
    assert_eq!(lines[0], "[dispatch_matmul] format=Q4_K, shape=[1, 256, 256]  # blk.0.attn_q");
    assert_eq!(lines[28], "[dispatch_matmul] format=Q6_K, shape=[1, 256, 474]  # output");
    assert!(stderr(&output).contains("fused: 29 of 29\n"));

    let logits = ["run", "-m", MODEL, "-p", "abc", "-n", "1"];
    let output = barre(&logits).env("DEBUG_DISPATCH", "1").output().expect("the command runs");
    assert!(stderr(&output).contains("# blk.3.ffn_down\n") && stderr(&output).contains("fused: 29 of 29\n"));
    let output = barre(&logits).env("DEBUG_DISPATCH", "0").output().expect("the command runs");
    assert!(!stderr(&output).contains("dispatch"));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    for (more, trace) in [(&[][..], false), (&["--trace-dispatch"][..], true)] {
        let args = [&["run", "-m", MODEL, "-p", "abc", "--temp", "0", "--ignore-eos"], more].concat();
        let mut child = barre(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let (mut out, mut err) = (child.stdout.take().expect("stdout"), child.stderr.take().expect("stderr"));
        let mut byte = [0];
        out.read_exact(&mut byte).expect("a first byte");
        drop(out);
        if trace {
            // Nobody reads stderr any more either.
            drop(err);
            assert_eq!(child.wait().expect("an end").code(), Some(0));
        } else {
            let mut text = String::new();
            err.read_to_string(&mut text).expect("stderr");
            assert_eq!(child.wait().expect("an end").code(), Some(0), "{text}");
            assert!(!text.contains("panicked") && !text.contains("error"), "{text}");
        }
    }
}

#[test]
fn a_trained_model_tells_its_story() {
    let Some(models) = shared("models") else { return };
    let readme = std::fs::read_to_string(models.join("README.md")).expect("its README");
    let story: Vec<&str> = readme.lines().filter_map(|l| l.strip_prefix("> ")).collect();
    let model = models.join("stories260K.gguf");
    let model = model.to_str().expect("a path of text");
    for isa in isas() {
        let args = ["run", "-m", model, "-p", "Once upon a time", "-n", "120", "--temp", "0", "--isa", isa];
        assert_eq!(stdout(&succeed(&args)), format!("{}\n", story.join("\n")), "{isa}");
    }
}
