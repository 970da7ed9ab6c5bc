//! Prints on a desktop what an image prints: `desktop [FILE PROMPT NEW_TOKENS]`, by default the images' own.
//!
//! The machine's best kernels; for a file all its threads, and the file mapped. `answer:`, `tokens:` and `logits:` are to be
//! the image's.

use barre::engine::{Engine, OpenOptions};
use barre_firmware::demo::{Demo, Task, run};
use barre_firmware::model;
use std::error::Error;

/// More than any plan for [`model::CONTEXT`] positions with mapped weights.
const ARENA: usize = 64 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (file, task) = match &args[..] {
        [] => (None, Task::Command(model::SENTENCE)),
        [file, prompt, new_tokens] => (Some(file), Task::Continue(prompt, new_tokens.parse()?)),
        _ => return Err("usage: desktop [FILE PROMPT NEW_TOKENS]".into()),
    };

    let engine = file.map(|f| Engine::open(f.as_ref(), &OpenOptions::default())).transpose()?;
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
        task,
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
