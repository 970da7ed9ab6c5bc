//! The same bits everywhere: on every instruction set, thread count, batch and placement of the weights, and, by
//! the fingerprints kept in the tree, on every architecture.

use barre::pool::Pool;
use barre_core::io::Stream;
use barre_core::kernels::{KvType, Mode, Serial};
use barre_core::model::WeightPlacement;
use barre_tests::models::{Run, all_kernels, fingerprint, goldens};
use barre_tests::readers::Std;
use std::collections::BTreeMap;

/// `few` leaves out what does not depend on the CPU, for emulators that are thirty times slower than a machine: batches
/// of one, three threads, resident and plainly streamed weights.
const WAYS: &str = "BARRE_WAYS";

/// Model, mode, cache, fingerprint of the logits of all its tokens. `BLESS=1` adds what is not there.
const FINGERPRINTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/fingerprints.txt");

#[test]
fn every_way_of_running_a_model_gives_the_fingerprint_in_the_tree() {
    let kept = std::fs::read_to_string(FINGERPRINTS).unwrap_or_default();
    let mut kept: BTreeMap<String, String> =
        kept.lines().filter_map(|l| l.rsplit_once(' ')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let bless = std::env::var_os("BLESS").is_some();
    let few = match std::env::var(WAYS).as_deref() {
        Ok("few") => true,
        Err(std::env::VarError::NotPresent) => false,
        other => panic!("{WAYS} is {other:?}; it can be `few`"),
    };
    if few {
        println!("{WAYS}=few: batch 1, 3 threads, resident and streamed weights are left out");
    }
    let pools: Vec<Pool> = [2, 3].map(|n| Pool::new(n).expect("threads")).into();
    let mut ways = 0;
    for golden in goldens() {
        for (mode, mode_name) in [(Mode::Int8, "int8"), (Mode::Exact, "exact")] {
            for kv in KvType::ALL {
                let key = format!("{} {mode_name} {}", golden.name, kv.name());
                if !golden.fits(kv) {
                    println!("{key}: left out, its heads are no whole blocks");
                    continue;
                }
                let mut check = |what: &str, logits: &[f32]| {
                    let got = format!("{:016x}", fingerprint(logits));
                    if bless {
                        kept.entry(key.clone()).or_insert_with(|| got.clone());
                    }
                    let want = kept.get(&key).unwrap_or_else(|| panic!("{key} is not in the tree"));
                    assert_eq!(&got, want, "{key}: {what}");
                    ways += 1;
                };
                for kernels in all_kernels() {
                    let run = Run { mode, kv, ..Run::new(&kernels, &Serial) };
                    let isa = kernels.isa();
                    check(&format!("{isa}"), &run.logits(&golden.file[..], &golden.tokens));
                    for &batch in if few { &[7][..] } else { &[1, 7] } {
                        let run = Run { batch, ..run };
                        check(
                            &format!("{isa}, batch {batch}"),
                            &run.logits(&golden.file[..], &golden.tokens),
                        );
                    }
                    for pool in &pools[..if few { 1 } else { pools.len() }] {
                        let run = Run { executor: pool, batch: 64, ..run };
                        check(&format!("{isa}, threads"), &run.logits(&golden.file[..], &golden.tokens));
                    }
                    if !few {
                        let resident = Run { weights: WeightPlacement::Resident, ..run };
                        check(
                            &format!("{isa}, resident"),
                            &resident.logits(&golden.file[..], &golden.tokens),
                        );
                        // A window of a few rows, and a reader that can only be read.
                        let streamed = Run { weights: WeightPlacement::Streamed { window: 5000 }, ..run };
                        let reader = Stream::new(Std::new(std::io::Cursor::new(&golden.file)));
                        check(&format!("{isa}, streamed"), &streamed.logits(reader, &golden.tokens));
                    }
                    // A part pinned, cut inside a matrix, and the rest lent in chunks of a few rows.
                    let weights = WeightPlacement::Lent { pinned: 99_999, chunk: 5000, slots: 3 };
                    let lent = Run { weights, ..run };
                    check(&format!("{isa}, lent"), &lent.logits(&golden.file[..], &golden.tokens));
                }
            }
        }
    }
    println!("{ways} ways compared");
    if bless {
        let text: String = kept.iter().map(|(k, v)| format!("{k} {v}\n")).collect();
        std::fs::write(FINGERPRINTS, text).expect("fingerprints.txt");
    }
}
