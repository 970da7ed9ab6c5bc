//! `barre bench`: llama-bench's table and keys.

use super::{MODEL, stdout, succeed};
use serde_json::Value;

const ARGS: [&str; 9] = ["bench", "-m", MODEL, "-p", "16", "-n", "4", "-r", "2"];

#[test]
fn json_has_the_keys_of_llama_bench() {
    let output = succeed(&[&ARGS[..], &["-t", "1,2", "-o", "json"]].concat());
    let rows: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    let rows = rows.as_array().expect("a list");
    let tests: Vec<_> = rows.iter().map(|r| (&r["n_threads"], &r["n_prompt"], &r["n_gen"])).collect();
    let tests: Vec<[u64; 3]> =
        tests.iter().map(|&(t, p, n)| [t, p, n].map(|x| x.as_u64().expect("a number"))).collect();
    assert_eq!(tests, [[1, 16, 0], [1, 0, 4], [2, 16, 0], [2, 0, 4]]);
    for row in rows {
        for key in ["model_filename", "model_type", "cpu_info", "backends", "test_time", "type_k", "type_v"] {
            assert!(row[key].is_string(), "{key} of {row}");
        }
        for key in ["model_size", "model_n_params", "n_batch", "avg_ns", "stddev_ns"] {
            assert!(row[key].is_u64(), "{key} of {row}");
        }
        for key in ["avg_ts", "stddev_ts", "bytes_per_token", "gb_per_s"] {
            assert!(row[key].as_f64().is_some_and(|x| x >= 0.0), "{key} of {row}");
        }
        for key in ["samples_ns", "samples_ts"] {
            assert_eq!(row[key].as_array().map(Vec::len), Some(2), "{key} of {row}");
        }
    }
    // A decoded token reads every matrix once and a row of the embedding.
    let decode = &rows[1];
    let head = 474 * 210;
    assert!(decode["bytes_per_token"].as_f64().is_some_and(|b| b > f64::from(head) && b < 2e6), "{decode}");
}

#[test]
fn the_table_has_a_line_a_test() {
    let output = succeed(&[&ARGS[..], &["-t", "1"]].concat());
    let text = stdout(&output);
    assert!(text.starts_with("| model | size | params | backend | threads | test | t/s |"), "{text}");
    assert!(text.contains("| pp16 |") && text.contains("| tg4 |") && text.contains(" ± "), "{text}");
    assert_eq!(text.lines().count(), 4);
    let several = succeed(&["bench", "-m", MODEL, "-p", "8,16", "-n", "0", "-r", "1", "-t", "1"]);
    assert_eq!(stdout(&several).matches("| pp").count(), 2);
    assert!(!stdout(&several).contains("tg"));
}
