//! Bad input: one line that names the cause, exit code 1, nothing on stdout.

use super::{MODEL, TempFile, barre, fails, stderr, stdout};

/// Every command that takes a model file, with the rest of its arguments.
fn commands(file: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["run", "-m", file, "-p", "a"],
        vec!["inspect", file],
        vec!["verify", file],
        vec!["logits", "-m", file, "--tokens", "1,2", "-o", "/dev/null"],
        vec!["tokenize", "-m", file, "-p", "a"],
        vec!["bench", "-m", file, "-p", "2", "-n", "2", "-r", "1"],
    ]
}

#[test]
fn what_is_no_model_file_is_named() {
    let empty = TempFile::new("empty", b"");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\nsize 668788096\n";
    let pointer = TempFile::new("pointer", pointer);
    let header = br#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut safetensors = (header.len() as u64).to_le_bytes().to_vec();
    safetensors.extend_from_slice(header);
    safetensors.extend_from_slice(&[0; 4]);
    let safetensors = TempFile::new("safetensors", &safetensors);
    let text = TempFile::new("text", b"no model at all");
    let model = std::fs::read(MODEL).expect("the golden model");
    let cut = TempFile::new("cut", &model[..model.len() - 100]);
    let header_only = TempFile::new("header-only", b"GGUF");
    let directory = std::env::temp_dir();
    let cases = [
        ("/no/such/file.gguf", "/no/such/file.gguf does not exist"),
        (directory.to_str().expect("a path of text"), "is a directory"),
        (empty.path(), "is empty"),
        (pointer.path(), "Git LFS pointer"),
        (safetensors.path(), "safetensors"),
        (text.path(), "not a GGUF file"),
        (cut.path(), "the file at byte"),
        (header_only.path(), "the file ends at byte 4"),
    ];
    for (file, cause) in cases {
        for args in commands(file) {
            fails(&args, cause);
            fails(&args, file);
        }
    }
}

#[test]
fn a_pipe_is_refused_rather_than_waited_for() {
    let path = std::env::temp_dir().join(format!("barre-cli-{}-pipe", std::process::id()));
    let path = path.to_str().expect("a path of text");
    let made = std::process::Command::new("mkfifo").arg(path).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("LEFT OUT: there is no mkfifo here");
        return;
    }
    for args in commands(path) {
        fails(&args, "is a device or pipe");
    }
    std::fs::remove_file(path).expect("the pipe");
}

#[test]
fn parameters_out_of_range_are_named() {
    let run = |more: &[&'static str]| [&["run", "-m", MODEL, "-p", "a"], more].concat();
    let cases: [(&[&str], &str); 12] = [
        (&["-t", "0"], "0 threads"),
        (&["-t", "10000"], "10000 threads"),
        (&["-c", "513"], "context is 513; it must be 1 to 512"),
        (&["-b", "0"], "batch is 0"),
        (&["--temp", "-1"], "temperature"),
        (&["--temp", "nan"], "temperature"),
        (&["--temp", "inf"], "temperature"),
        (&["--top-p", "1.5"], "top_p"),
        (&["--min-p", "-0.5"], "min_p"),
        (&["--repeat-penalty", "0"], "repeat_penalty"),
        (&["--isa", "mmx"], "no instruction set is called `mmx`"),
        (&["-c", "1"], "the context is full"),
    ];
    for (more, cause) in cases {
        fails(&run(more), cause);
    }
    fails(&["run", "-m", MODEL, "-f", "/no/such/prompt"], "/no/such/prompt");
    fails(&["run", "-m", MODEL, "-p", "", "--no-bos"], "no tokens");
    fails(&["logits", "-m", MODEL, "--tokens", "1,474", "-o", "/dev/null"], "474");
    fails(&["logits", "-m", MODEL, "--tokens", "1", "-o", "/no/such/folder/x"], "/no/such/folder/x");
    fails(&["verify", MODEL, "--tensor", "blk.9.ffn_gate.weight"], "no tensor `blk.9.ffn_gate.weight`");
    fails(&["verify", MODEL, "--tensor", "output_norm.weight"], "is no matrix");
    fails(&["verify", MODEL, "-r", "0"], "repetition");
    fails(&["bench", "-m", MODEL, "-r", "0"], "repetitions");
    fails(&["bench", "-m", MODEL, "-p", "513", "-n", "0"], "context is 513");
    fails(&["bench", "-m", MODEL, "-t", "1,0"], "0 threads");
}

#[test]
fn a_missing_instruction_set_is_an_error_and_no_fallback() {
    let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
    for mut args in commands(MODEL) {
        if args[0] == "tokenize" {
            continue;
        }
        args.extend(["--isa", foreign]);
        fails(&args, "does not run on this machine, which lacks");
    }
    let output = barre(&["run", "-m", MODEL, "-p", "a"]).env("BARRE_ISA", foreign).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("does not run on this machine"));
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for args in [
        &["run", "-m", MODEL][..],
        #[cfg(not(feature = "demo"))]
        &["run", "-p", "a"],
        &["run", "-m", MODEL, "-p", "a", "b"],
        &["run", "-m", MODEL, "-p", "a", "--mode", "fast"],
        &["run", "-m", MODEL, "-p", "a", "-t", "two"],
        &["logits", "-m", MODEL, "--tokens", "1,x", "-o", "/dev/null"],
        &["tokenize", "-m", MODEL, "-p", "a", "--stdin"],
        &["walk"],
        #[cfg(not(feature = "demo"))]
        &[],
    ] {
        let output = barre(args).output().expect("the command runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(stdout(&output), "");
    }
}
