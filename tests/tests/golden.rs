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
