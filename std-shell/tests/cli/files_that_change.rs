//! F20, F21, F25: model files that change under a run, and memory that runs out.

use super::{MODEL, TempFile, barre, stderr, stdout, succeed};
use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::process::{Command, Stdio};

/// Starts a slow run of `model`, calls `change` after its first output, and gives its exit code, the rest of its
/// output and what it says.
fn run_and_change(model: &TempFile, io: &str, change: impl FnOnce()) -> (Option<i32>, usize, String) {
    let slow = ["--isa", "scalar", "--mode", "exact", "-t", "1", "--ignore-eos", "--temp", "0", "--io", io];
    let args = [&["run", "-m", model.path(), "-p", "abc"][..], &slow].concat();
    let mut child = barre(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut out = child.stdout.take().expect("stdout");
    out.read_exact(&mut [0]).expect("a first byte");
    change();
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).expect("the rest of stdout");
    let mut text = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut text).expect("stderr");
    (child.wait().expect("an end").code(), rest.len(), text)
}

#[test]
fn f20_a_file_cut_short_ends_the_run_with_its_cause() {
    let bytes = std::fs::read(MODEL).expect("the model");
    let whole = stdout(&succeed(&["run", "-m", MODEL, "-p", "abc", "--temp", "0", "--ignore-eos"])).len();
    let mut causes = [0; 3];
    for io in ["mmap", "read"] {
        for point in 0..20 {
            let model = TempFile::new(&format!("cut-{io}-{point}"), &bytes);
            let cut = bytes.len() as u64 * point / 20 + point;
            let (code, more, text) = run_and_change(&model, io, || {
                let file = OpenOptions::new().write(true).open(model.path()).expect("the file");
                file.set_len(cut).expect("cut");
            });
            assert_eq!(code, Some(1), "{io}, cut to {cut}: {text}");
            assert!(more < whole, "{io}: the text ends");
            let line = text.lines().last().expect("a line");
            let cause = ["cut short", "has changed", "ends at byte"];
            let which = cause.iter().position(|c| line.contains(c)).unwrap_or_else(|| panic!("{text}"));
            assert!(line.starts_with("error: ") && !text.contains("panicked"), "{text}");
            causes[which] += 1;
        }
    }
    println!("F20: 40 runs: {causes:?} ended by SIGBUS, by a look at the file, by a read");
}

#[test]
fn f21_bytes_changed_in_place_end_the_run() {
    let bytes = std::fs::read(MODEL).expect("the model");
    for io in ["mmap", "read"] {
        let model = TempFile::new(&format!("changed-{io}"), &bytes);
        let (code, _, text) = run_and_change(&model, io, || {
            let mut file = OpenOptions::new().write(true).open(model.path()).expect("the file");
            file.seek(SeekFrom::Start(bytes.len() as u64 / 2)).expect("a place");
            file.write_all(&[0; 64]).expect("written");
        });
        assert_eq!(code, Some(1), "{io}: {text}");
        assert!(text.contains("has changed while it was in use"), "{io}: {text}");
    }
}

#[test]
fn f25_addresses_that_run_out_are_an_error_or_no_matter() {
    let args = ["run", "-m", MODEL, "-p", "abc", "-n", "12", "--temp", "0", "-t"];
    let want = stdout(&succeed(&[&args[..], &["1"]].concat())).to_owned();
    let command = barre(&[&args[..], &["64"]].concat());
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|w| format!("'{}'", w.to_str().expect("text")))
        .collect();
    // The stacks of 64 threads are 128 MiB of addresses; what is left may not be enough for the rest.
    for kib in [30_000, 60_000, 120_000, 250_000, 500_000] {
        let script = format!("ulimit -v {kib}; exec {}", words.join(" "));
        let output = Command::new("sh").arg("-c").arg(script).output().expect("sh");
        let text = stderr(&output);
        if output.status.success() {
            assert_eq!(stdout(&output), want, "{kib} KiB");
        } else {
            assert_eq!(output.status.code(), Some(1), "{kib} KiB: {text}");
            assert!(text.starts_with("error: ") && text.lines().count() == 1, "{kib} KiB: {text}");
        }
    }
}
