//! `barre plan`, and `barre run` in the memory that it names.

use super::{MODEL, TempFile, barre, stderr, stdout, succeed};
use serde_json::Value;

const CONTEXT: [&str; 2] = ["-c", "64"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn plan(more: &[&str]) -> Value {
    json(stdout(&succeed(&[&["plan", MODEL, "--json"], &CONTEXT[..], more].concat())))
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} of {value}"))
}

/// A budget with which a good part of the model is streamed, whatever this build of the program holds itself.
fn tight() -> u64 {
    // Two runs of a program differ by some pages.
    number(&plan(&[]), "minimum_bytes") + (400 << 10)
}

#[test]
fn regions_add_up_and_budgets_buy_residence() {
    let plan = plan(&[]);
    let regions = plan["regions"].as_array().expect("regions");
    let mut end = 0;
    for region in regions {
        let (offset, bytes, align) =
            (number(region, "offset"), number(region, "bytes"), number(region, "align"));
        assert!(offset >= end && offset.is_multiple_of(align), "{region}");
        end = offset + bytes;
    }
    assert_eq!(number(&plan["plan"], "arena_bytes"), end.next_multiple_of(64));
    let budgets = plan["budgets"].as_array().expect("budgets");
    assert!(budgets.len() >= 2);
    for pair in budgets.windows(2) {
        assert!(number(&pair[0], "budget_bytes") < number(&pair[1], "budget_bytes"));
        assert!(number(&pair[0], "resident_bytes") <= number(&pair[1], "resident_bytes"));
    }
    for budget in budgets {
        assert!(number(budget, "total_bytes") <= number(budget, "budget_bytes"), "{budget}");
        let streamed = number(budget, "streamed_bytes_per_token");
        for bound in budget["storage_bound"].as_array().expect("speeds") {
            let speed = bound["read_bytes_per_second"].as_f64().expect("a speed");
            match bound["tokens_per_second"].as_f64() {
                Some(rate) => assert!((rate * streamed as f64 / speed - 1.0).abs() < 1e-9),
                None => assert_eq!(budget["resident_fraction"], 1.0),
            }
        }
    }
    assert_eq!(budgets.last().expect("the last")["resident_fraction"], 1.0);
}

#[test]
fn the_table_has_regions_a_bar_and_what_memory_buys() {
    let output = succeed(&[&["plan", MODEL, "--ram", "32M", "--read-speed", "90"], &CONTEXT[..]].concat());
    let text = stdout(&output);
    for part in ["KV cache", "kernel scratch", "align", "= arena", "[W", "32.0 MiB", "90 MB/s", "100.0 %"] {
        assert!(text.contains(part), "{text} lacks {part:?}");
    }
    assert!(!text.contains("20 MB/s"), "only the speed that was given");
}

#[test]
fn a_budget_below_the_minimum_names_region_need_and_have() {
    for (ram, region) in [("64K", "the program itself"), ("0", "the program itself")] {
        for command in [&["plan", MODEL][..], &["run", "-m", MODEL, "-p", "abc"]] {
            let output = barre(&[command, &["--ram", ram]].concat()).output().expect("the command runs");
            assert_eq!(output.status.code(), Some(1));
            let text = stderr(&output);
            let have = if ram == "0" { "budget is 0" } else { "budget is 65536" };
            assert!(text.contains(region) && text.contains("at least") && text.contains(have), "{text}");
        }
    }
    for bad in ["", "x", "-1", "1.5G"] {
        let output = barre(&["plan", MODEL, &format!("--ram={bad}")]).output().expect("the command runs");
        assert_eq!(output.status.code(), Some(2), "{bad}");
    }
    let output = barre(&["run", "-m", MODEL, "-p", "abc", "--ram", "1G", "--io", "mmap"]).output();
    assert!(stderr(&output.expect("the command runs")).contains("--ram maps nothing"));
}

#[test]
fn the_text_does_not_depend_on_the_memory_and_the_memory_holds() {
    let args = ["run", "-m", MODEL, "-p", "abc", "-n", "24", "--temp", "0", "-t", "2", "-c", "64"];
    let want = stdout(&succeed(&args)).to_owned();
    for ram in [tight(), 1 << 30] {
        let ram = ram.to_string();
        let output = succeed(&[&args[..], &["--ram", &ram, "--json"]].concat());
        assert_eq!(stdout(&output), want, "{ram}");
        let figures = json(stderr(&output).lines().last().expect("figures"));
        let resident = figures["resident_fraction"].as_f64().expect("a fraction");
        let streamed = number(&figures, "streamed_bytes_per_token");
        let read = number(&figures["decode"], "bytes_read") as f64 / 23.0;
        if ram == (1 << 30).to_string() {
            assert_eq!(resident, 1.0);
            assert_eq!(read, streamed as f64, "a row of the embedding");
        } else {
            assert!(resident < 0.8, "{resident}");
            // What was announced for a 25th token was read too, or is still on its way.
            let ahead = number(&figures, "reader_bytes") as f64 / 23.0;
            assert!((read - streamed as f64).abs() <= ahead, "{read} of {streamed}");
            assert!(figures["decode"]["storage_stall_seconds"].as_f64().is_some());
        }
        if std::env::var_os("BARRE_TEST_RUNNER").is_some() {
            eprintln!("LEFT OUT: behind an emulator the process holds the emulator's memory too");
        } else if let Some(peak) = figures["peak_bytes"].as_u64() {
            let ram: u64 = ram.parse().expect("a number");
            assert!(peak <= ram, "{peak} of {ram}");
            assert!(resident == 1.0 || peak + (2 << 20) >= ram, "{peak} of {ram}");
        }
    }
    let ram = tight().to_string();
    let output = succeed(&[&args[..], &["--ram", &ram]].concat());
    let line = stderr(&output).lines().last().expect("a line");
    for part in ["% of weights resident", "MB read a token", "storage stall a token", "peak"] {
        assert!(line.contains(part), "{line:?} lacks {part:?}");
    }
}

#[test]
fn logits_are_the_same_to_the_byte() {
    let file = |name: &str| TempFile::new(name, b"");
    let (mapped, streamed) = (file("mapped.f32"), file("streamed.f32"));
    let args = ["logits", "-m", MODEL, "--tokens", "1,2,3,4,5,6,7,8,9,10,11,12", "-c", "64"];
    succeed(&[&args[..], &["-o", mapped.path()]].concat());
    let ram = tight().to_string();
    for io in ["read", "direct"] {
        let output = barre(&[&args[..], &["-o", streamed.path(), "--ram", &ram, "--io", io]].concat())
            .output()
            .expect("the command runs");
        if io == "direct" && stderr(&output).contains("cannot open") {
            eprintln!("LEFT OUT: this file system has no direct reads");
            continue;
        }
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(mapped.bytes() == streamed.bytes(), "{io}");
    }
}

#[test]
fn a_throttled_file_gives_the_same_text() {
    let args = ["run", "-m", MODEL, "-p", "abc", "-n", "4", "--temp", "0", "-c", "64"];
    let want = stdout(&succeed(&args)).to_owned();
    assert_eq!(stdout(&succeed(&[&args[..], &["--io", "read", "--throttle", "200"]].concat())), want);
}
