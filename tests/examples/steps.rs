//! Takes a prompt in and decodes, on one thread, for an instruction counter to watch:
//! `steps MODEL PROMPT_TOKENS DECODED_TOKENS`, on the instruction set that `BARRE_ISA` names.
//!
//! MODEL is a file, or a format's name: then a small model with all matrices in that format is made up.

use barre_core::gguf::Gguf;
use barre_core::kernels::Serial;
use barre_core::model::{Model, Plan};
use barre_core::quant::WeightFormat;
use barre_core::session::Session;
use barre_tests::models::{Run, arena, fingerprint};
use barre_tests::synthetic::{LayerSpec, Spec};

/// Two layers in `format` (of the last one a prompt passes but keys and values), whose weights are whatever the same few bytes mean in it: finite, and quickly made.
fn model_in(format: WeightFormat) -> Vec<u8> {
    let spec = Spec {
        vocab: 64,
        embedding: 512,
        layers: vec![LayerSpec { heads: 8, heads_kv: 2, feed_forward: 1024 }; 2],
        ..Spec::small()
    };
    let mut model = spec.build();
    for tensor in model.tensors.iter_mut().filter(|t| t.dims.len() == 2) {
        let elements = tensor.dims.iter().product::<u64>() as usize;
        let bytes = format.row_bytes(elements).expect("whole blocks");
        tensor.ggml_type = format.to_ggml();
        tensor.data = (0..bytes).map(|i| (i * 7 % 48) as u8).collect();
    }
    model.file()
}

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().expect("a model");
    let mut number = || args.next().and_then(|n| n.parse::<usize>().ok()).expect("a number of tokens");
    let (prompt, decoded) = (number(), number());
    let kernels = barre::detect::kernels_named(None).expect("an instruction set of this machine");
    let file = match WeightFormat::ALL.into_iter().find(|f| f.name() == name) {
        Some(format) => model_in(format),
        None => std::fs::read(&name).expect("the model file"),
    };
    let mut reader = &file[..];
    let gguf = Gguf::open(&mut reader).expect("a GGUF file");
    let model = Model::load(&gguf, &mut reader).expect("a model");
    let limits = Run::new(&kernels, &Serial).limits(64.max(prompt + decoded));
    let plan = Plan::new(&model, &kernels, &limits).expect("a plan");
    let mut arena = arena(plan.bytes(), 0);
    let mut session =
        Session::new(&model, reader, &plan, arena.bytes_mut(), &kernels, &Serial).expect("a session");
    let vocab = model.hparams().vocab_size;
    let token = |i: usize| ((i * 7 + 5) % vocab) as u32;
    let tokens: Vec<u32> = (0..prompt).map(token).collect();
    session.prefill(&tokens).expect("the prompt");
    for i in 0..decoded {
        session.step(token(prompt + i)).expect("a token");
    }
    println!("{} {prompt} {decoded} {:016x}", kernels.isa(), fingerprint(session.logits()));
}
