//! Prints what `Plan` says of models, as rows of a Markdown table: `plan FILE...`.
//!
//! Kernels of one core, a batch of 8, an f16 cache; weights in place, and streamed through a window of 64 KiB (or of
//! one row, where that is longer).

use barre::engine::{Engine, OpenOptions};
use barre_core::kernels::{Kernels, KvType, Mode};
use barre_core::model::{Limits, Plan, PlanError, WeightPlacement};
use std::error::Error;

const CONTEXTS: [usize; 4] = [64, 128, 256, 512];
const WINDOW: usize = 64 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let kernels = Kernels::scalar();
    println!("| model | weights a token | context | KV cache | arena, in place | arena, streamed |");
    println!("|---|---|---|---|---|---|");
    for path in std::env::args().skip(1) {
        let engine = Engine::open(path.as_ref(), &OpenOptions::default())?;
        let model = engine.model();
        let row = model.matrices().map(|m| m.row_bytes()).max().unwrap_or(0);
        for context in CONTEXTS.into_iter().filter(|&c| c <= model.hparams().context_length) {
            let plan = |weights| -> Result<Plan, PlanError> {
                let (kv, mode) = (KvType::F16, Mode::Int8);
                Plan::new(model, &kernels, &Limits { context, batch: 8, kv, mode, threads: 1, weights })
            };
            let mapped = plan(WeightPlacement::Mapped)?;
            let streamed = plan(WeightPlacement::Streamed { window: WINDOW.max(row) })?;
            let cache = mapped.regions().find(|r| r.name == "KV cache").map_or(0, |r| r.bytes);
            let name = path.rsplit('/').next().unwrap_or(&path);
            println!(
                "| {name} | {} | {context} | {cache} | {} | {} |",
                mapped.bytes_per_token(),
                mapped.bytes(),
                streamed.bytes()
            );
        }
    }
    Ok(())
}
