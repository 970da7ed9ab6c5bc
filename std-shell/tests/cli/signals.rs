//! Ctrl-C.

use super::{MODEL, barre};
use std::io::Read as _;
use std::process::{Command, Stdio};

#[test]
fn an_interrupt_ends_the_text_with_its_figures() {
    // The slowest way there is, so that much is left to do when the signal comes.
    let slow = ["--isa", "scalar", "--mode", "exact", "-t", "1", "--ignore-eos", "--temp", "0"];
    let args = [&["run", "-m", MODEL, "-p", "abc"][..], &slow].concat();
    let mut child = barre(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut out = child.stdout.take().expect("stdout");
    let mut byte = [0];
    out.read_exact(&mut byte).expect("a first byte");
    let sent = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill");
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).expect("the rest of stdout");
    let mut text = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut text).expect("stderr");
    assert_eq!(child.wait().expect("an end").code(), Some(130), "{text}");
    assert!(text.contains("tokens/s") && !text.contains("error"), "{text}");
}
