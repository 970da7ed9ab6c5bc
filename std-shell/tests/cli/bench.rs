//! `barre bench`: llama-bench's table and keys.

use super::{MODEL, fails, stdout, succeed};
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
        for key in ["avg_ts", "stddev_ts", "bytes_per_token", "gb_per_s", "memory_gb_per_s"] {
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
    assert!(text.contains(" % |") && text.contains("memory read with 1 threads"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 4);
    let several = succeed(&["bench", "-m", MODEL, "-p", "8,16", "-n", "0", "-r", "1", "-t", "1"]);
    assert_eq!(stdout(&several).matches("| pp").count(), 2);
    assert!(!stdout(&several).contains("tg"));
}

#[test]
fn csv_has_a_line_of_keys_and_one_a_test() {
    let output = succeed(&[&ARGS[..], &["-t", "1", "-o", "csv"]].concat());
    let mut reader = csv::Reader::from_reader(stdout(&output).as_bytes());
    let keys = reader.headers().expect("a line of keys").clone();
    for key in ["model_filename", "n_threads", "n_depth", "avg_ts", "memory_gb_per_s"] {
        assert!(keys.iter().any(|k| k == key), "{key}");
    }
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("records");
    assert_eq!(rows.len(), 2);
    let column = |key: &str| keys.iter().position(|k| k == key).expect("a column");
    assert_eq!(rows.iter().map(|r| &r[column("n_prompt")]).collect::<Vec<_>>(), ["16", "0"]);
    assert!(rows[1][column("avg_ts")].parse::<f64>().is_ok_and(|rate| rate > 0.0));
}

#[test]
fn depths_come_before_and_can_be_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let svg = folder.path().join("depth.svg");
    let svg = svg.to_str().expect("UTF-8");
    let output = succeed(&[&ARGS[..], &["-t", "1", "-d", "0,32,64", "--svg", svg]].concat());
    let text = stdout(&output);
    assert!(
        text.contains("| pp16 |") && text.contains("| pp16 @ d32 |") && text.contains("| tg4 @ d64 |"),
        "{text}"
    );
    let picture = std::fs::read_to_string(svg).expect("a picture");
    assert!(
        picture.contains("<svg")
            && picture.contains("prefill, tokens/s")
            && picture.contains("decode, tokens/s")
    );
    assert_eq!(picture.matches("<circle").count(), 6, "a point for each depth of two lines");
    fails(&[&ARGS[..], &["-t", "1", "--svg", svg]].concat(), "two depths");
    fails(
        &[&ARGS[..], &["-t", "1", "-d", "0,8", "--svg", "/nowhere/at/all.svg"]].concat(),
        "/nowhere/at/all.svg",
    );
}
