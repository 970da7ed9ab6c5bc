//! The `barre` command as its users meet it.

mod bench;
mod constrained;
mod errors;
mod files_that_change;
mod inspect;
mod logits;
mod plan;
mod prompt_cache;
mod quantize;
mod run;
mod signals;
mod tokenize;
mod verify;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A golden model of the tree, with a vocabulary: Q4_K and Q6_K, 4 layers, 29 matrices, 512 positions.
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/llama-q4_k_m.gguf");

/// The command with these arguments, away from what the caller's environment says of it. A build for another machine
/// runs behind the emulator that `BARRE_TEST_RUNNER` names, with its arguments.
fn barre(args: &[&str]) -> Command {
    let runner = std::env::var("BARRE_TEST_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace().chain([env!("CARGO_BIN_EXE_barre")]);
    let mut command = Command::new(words.next().expect("the binary at least"));
    command.args(words).args(args).stdin(Stdio::null()).env_remove("BARRE_ISA").env_remove("DEBUG_DISPATCH");
    command
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text on stdout")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text on stderr")
}

/// Runs the command, which must succeed.
fn succeed(args: &[&str]) -> Output {
    let output = barre(args).output().expect("the command runs");
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    output
}

/// Fails with one line that contains `cause`.
fn fails(args: &[&str], cause: &str) {
    let output = barre(args).output().expect("the command runs");
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", stderr(&output));
    let line = stderr(&output).strip_suffix('\n').expect("a line");
    assert!(line.starts_with("error: ") && !line.contains('\n'), "{args:?}: {line:?}");
    assert!(line.contains(cause), "{args:?}: {line:?} lacks {cause:?}");
    assert_eq!(stdout(&output), "", "{args:?}");
}

/// Instruction sets of this machine, by name.
fn isas() -> Vec<&'static str> {
    barre::detect::available().into_iter().map(|isa| isa.name()).collect()
}

/// A file that goes away with its owner.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("barre-cli-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("a temporary file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path of text")
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.0).expect("the file that the command wrote")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file of the shared test data, if the environment names its place.
fn shared(path: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("BARRE_SHARED") else {
        eprintln!("LEFT OUT: BARRE_SHARED is not set, so nothing is checked against {path}");
        return None;
    };
    Some(Path::new(&root).join(path))
}
