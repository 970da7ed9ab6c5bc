//! Takes a prompt in and decodes, on one thread, for an instruction counter to watch:
//! `steps MODEL.gguf PROMPT_TOKENS DECODED_TOKENS`, on the instruction set that `BARRE_ISA` names.
//!
//! What a token costs is the difference of two runs divided by the difference of their tokens; loading cancels out.

use barre_core::gguf::Gguf;
use barre_core::kernels::Serial;
use barre_core::model::{Model, Plan};
use barre_core::session::Session;
use barre_tests::models::{Run, arena, fingerprint};

fn main() {
    let mut args = std::env::args().skip(1);
    let file = args.next().expect("a model file");
    let mut number = || args.next().and_then(|n| n.parse::<usize>().ok()).expect("a number of tokens");
    let (prompt, decoded) = (number(), number());
    let kernels = barre::detect::kernels_named(None).expect("an instruction set of this machine");
    let bytes = std::fs::read(&file).expect("the model file");
    let mut reader = &bytes[..];
    let gguf = Gguf::open(&mut reader).expect("a GGUF file");
    let model = Model::load(&gguf, &mut reader).expect("a model");
    let limits = Run::new(&kernels, &Serial).limits((prompt + decoded).max(256));
    let plan = Plan::new(&model, &kernels, &limits).expect("a plan");
    let mut arena = arena(plan.bytes(), 0);
    let mut session = Session::new(&model, reader, &plan, arena.bytes_mut(), &kernels, &Serial).expect("a session");
    let vocab = u32::try_from(model.hparams().vocab_size).expect("a size of 32 bits");
    let token = |i: usize| (i as u32 * 7 + 5) % vocab;
    let tokens: Vec<u32> = (0..prompt).map(token).collect();
    session.prefill(&tokens).expect("the prompt");
    for i in 0..decoded {
        session.step(token(prompt + i)).expect("a token");
    }
    println!("{} {prompt} {decoded} {:016x}", kernels.isa(), fingerprint(session.logits()));
}
