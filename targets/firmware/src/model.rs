//! What images carry in flash and what they ask it: barre's own model, a command for a house in, JSON out.

use crate::demo::{Demo, Task};
use crate::memory::HeapFigures;
use barre_core::kernels::{Executor, Kernels};

pub use barre_demo::MODEL;

/// The schema of the model's answers, compiled where the image is built.
pub static SCHEMA: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/schema"));

/// What images ask.
pub const SENTENCE: &str = "please dim the bedroom lights to 30 percent at quarter past seven in the evening";

/// Positions that images plan for: a long sentence, 64 tokens, and the longest right answer.
pub const CONTEXT: usize = 64 + barre_demo::MAX_OUTPUT_TOKENS;

/// The question of images, the model multiplied in place.
pub fn command<'a>(
    kernels: &'a Kernels,
    executor: &'a dyn Executor,
    arena: &'a mut [u8],
    heap: &'a dyn Fn() -> HeapFigures,
) -> Demo<'a> {
    Demo {
        kernels,
        executor,
        arena,
        window: None,
        context: CONTEXT,
        batch: 1,
        task: Task::Command(SENTENCE),
        heap: Some(heap),
    }
}
