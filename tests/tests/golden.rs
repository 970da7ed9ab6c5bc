//! Logits of the golden models against the float64 forward pass over their dequantized weights, on every
//! instruction set of the machine.

use barre_core::kernels::{KvType, Mode, Serial};
use barre_tests::models::{Golden, Run, all_kernels, goldens, nmse};

#[test]
fn int8_is_as_close_to_the_truth_as_llama_cpp() {
    for Golden { name, file, tokens, logits: truth, llama_cpp_nmse } in goldens() {
        for kernels in all_kernels() {
            let logits = Run::new(&kernels, &Serial).logits(&file[..], &tokens);
            let error = nmse(&logits, &truth);
            println!("{name:16} {:8} int8  {error:.3e}  (llama.cpp {llama_cpp_nmse:.3e})", kernels.isa());
            assert!(error <= 1.1 * llama_cpp_nmse, "{name}: {error:e}");
        }
    }
}

/// A half's rounding is some 2^-12 of each number, that of a block of 8 bits 1/254 of its largest: four orders of magnitude
/// in the mean square, from 7e-8 to 4e-5 .. 8e-5.
#[test]
fn a_cache_of_blocks_costs_what_eight_bits_cost() {
    for golden in goldens() {
        let Golden { name, file, tokens, logits: truth, .. } = &golden;
        if !golden.fits(KvType::Q8_0) {
            println!("{name:16} left out: its heads are no whole blocks");
            continue;
        }
        for kernels in all_kernels() {
            for (mode, mode_name) in [(Mode::Int8, "int8"), (Mode::Exact, "exact")] {
                let [f32, f16, q8_0] = KvType::ALL.map(|kv| {
                    let run = Run { mode, kv, ..Run::new(&kernels, &Serial) };
                    nmse(&run.logits(&file[..], tokens), truth)
                });
                let isa = kernels.isa();
                println!("{name:16} {isa:8} {mode_name:5} f32 {f32:.3e}, f16 {f16:.3e}, q8_0 {q8_0:.3e}");
                assert!(q8_0 <= f16 + 1e-4, "{name}: {q8_0:e}");
            }
        }
    }
}

#[test]
fn exact_mode_is_the_float64_forward_pass_to_f32_accuracy() {
    for Golden { name, file, tokens, logits: truth, .. } in goldens() {
        for kernels in all_kernels() {
            let run = Run { mode: Mode::Exact, kv: KvType::F32, ..Run::new(&kernels, &Serial) };
            let error = nmse(&run.logits(&file[..], &tokens), &truth);
            println!("{name:16} {:8} exact {error:.3e}", kernels.isa());
            assert!(error <= 1e-11, "{name}: {error:e}");
        }
    }
}
