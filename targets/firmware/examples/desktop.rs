//! Prints on a desktop what an image prints: `desktop [FILE [PROMPT [NEW_TOKENS]]]`, by default the images' own.
//!
//! The machine's best kernels, all its threads, a mapped file. `tokens:` and `logits:` are to be the image's.

use barre::engine::{Engine, OpenOptions};
use barre_firmware::demo::{Demo, run};
use barre_firmware::model;
use std::error::Error;

/// More than any plan for [`model::CONTEXT`] positions with mapped weights.
const ARENA: usize = 64 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next();
    let prompt = args.next();
    let new_tokens = args.next().map_or(Ok(model::NEW_TOKENS), |n| n.parse())?;

    let engine = file.as_deref().map(|f| Engine::open(f.as_ref(), &OpenOptions::default())).transpose()?;
    let best = barre::detect::kernels(None)?;
    let mut memory = vec![0; ARENA + 64];
    let start = memory.as_ptr().align_offset(64);
    let demo = Demo {
        kernels: &best,
        executor: engine.as_ref().map_or(&barre_core::kernels::Serial as _, |e| e.pool() as _),
        arena: &mut memory[start..],
        window: None,
        context: model::CONTEXT,
        batch: model::CONTEXT,
        prompt: prompt.as_deref().unwrap_or(model::PROMPT),
        new_tokens,
        heap: None,
    };
    let mut out = String::new();
    let done = match &engine {
        Some(engine) => run(&mut engine.source(), demo, &mut out),
        None => run(&mut &*model::MODEL, demo, &mut out),
    };
    print!("{out}");
    Ok(done?)
}
