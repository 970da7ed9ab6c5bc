//! `barre logits`: one file, whatever computes it.

use super::{MODEL, TempFile, isas, succeed};

fn logits(name: &str, more: &[&str]) -> Vec<u8> {
    let file = TempFile::new(name, b"");
    let tokens = ["--tokens", "1,282,208,218,278,455,425,113,470,84,243,406"];
    succeed(&[&["logits", "-m", MODEL, "-o", file.path()][..], &tokens, more].concat());
    file.bytes()
}

#[test]
fn the_bits_do_not_depend_on_how_they_are_computed() {
    for mode in ["int8", "exact"] {
        for kv in ["f16", "f32"] {
            let same = ["--mode", mode, "--kv", kv];
            let first = logits("first", &[&same[..], &["-t", "1", "--isa", "scalar"]].concat());
            assert_eq!(first.len(), 12 * 474 * 4);
            for isa in isas() {
                for (threads, batch, io) in [("1", "1", "mmap"), ("2", "7", "read"), ("3", "12", "mmap")] {
                    let more =
                        [&same[..], &["-t", threads, "--batch", batch, "--io", io, "--isa", isa]].concat();
                    assert!(logits("again", &more) == first, "{more:?}");
                }
            }
        }
    }
}

#[test]
fn they_are_finite_and_one_row_a_position() {
    let all = logits("all", &[]);
    let floats: Vec<f32> =
        all.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    assert!(floats.iter().all(|x| x.is_finite()));
    let file = TempFile::new("one", b"");
    succeed(&["logits", "-m", MODEL, "--tokens", "1", "-o", file.path()]);
    assert_eq!(file.bytes(), all[..474 * 4], "the first position depends on the first token alone");
}
