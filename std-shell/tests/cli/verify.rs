//! `barre verify`: every format of the file, both modes, both baselines; scales that are not finite.

use super::{MODEL, TempFile, barre, stderr, stdout, succeed};
use serde_json::Value;

#[test]
fn every_format_is_measured_both_ways() {
    for io in ["mmap", "read"] {
        let output = succeed(&["verify", MODEL, "-r", "1", "--batch", "3", "--io", io]);
        let text = stdout(&output);
        assert!(text.starts_with("15028 blocks of 39 tensors scanned: every scale is finite\n"), "{text}");
        assert!(text.contains("\nblk.0.ffn_gate.weight  Q4_K, 256 inputs, 768 outputs\n"), "{text}");
        assert_eq!(text.matches("Q6_K, ").count(), 1);
        for (part, times) in
            [("(a) expand, scalar", 4), ("(b) expand, f32 SIMD", 4), ("fused int8", 4), ("fused exact", 4)]
        {
            assert_eq!(text.matches(part).count(), times, "{part} in {text}");
        }
        assert!(text.contains("  1 token,") && text.contains("  3 tokens,"));
        assert!(text.contains("7.11 times less"));
    }
}

#[test]
fn exact_agrees_with_f64_accumulation() {
    let output = succeed(&["verify", MODEL, "-r", "1", "--tensor", "blk.1.ffn_up"]);
    let max = |name: &str| -> Vec<f64> {
        let lines = stdout(&output).lines().filter(|l| l.trim_start().starts_with(name));
        lines
            .map(|l| l.split_whitespace().rev().nth(1).expect("a number").parse().expect("a number"))
            .collect()
    };
    let (exact, int8) = (max("fused exact"), max("fused int8"));
    assert_eq!((exact.len(), int8.len()), (4, 4));
    assert!(exact.iter().all(|&d| d <= 6e-6), "{exact:?}");
    assert!(int8.iter().all(|&d| d > 1e-5), "{int8:?}");
}

#[test]
fn a_scale_that_is_not_finite_is_found() {
    let report: Value =
        serde_json::from_str(stdout(&succeed(&["inspect", MODEL, "--json"]))).expect("a report");
    let tensors = report["tensors"].as_array().expect("tensors");
    let gate = tensors.iter().find(|t| t["name"] == "blk.2.ffn_gate.weight").expect("the tensor");
    let at = gate["absolute_offset"].as_u64().expect("an offset") + 5 * 144;
    let mut bytes = std::fs::read(MODEL).expect("the model");
    // The block's f16 scale: a NaN.
    bytes[at as usize..][..2].copy_from_slice(&0x7e00u16.to_le_bytes());
    let file = TempFile::new("nan", &bytes);
    let output = barre(&["verify", file.path(), "-r", "1"]).output().expect("the command runs");
    assert_eq!(output.status.code(), Some(1));
    let line = stderr(&output);
    assert!(line.contains(&format!("`blk.2.ffn_gate.weight`, block 5 at byte {at}")), "{line}");

    // And what comes of it when it is run is an error too, never a token.
    let output =
        barre(&["run", "-m", file.path(), "-p", "abc", "-n", "4"]).output().expect("the command runs");
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stderr(&output).contains("not a finite number"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}
