//! What a firmware logs of barre with defmt: a plan, and the errors of a damaged file and of too small an arena.

#![no_std]
#![no_main]

use barre_core::gguf::Gguf;
use barre_core::kernels::{Kernels, KvType, Mode, Serial};
use barre_core::model::{Limits, Model, Plan, WeightPlacement};
use barre_core::session::Session;
use barre_cortex_m::{Error, entry};
use barre_firmware::memory::Heap;
use barre_firmware::model::MODEL;

#[global_allocator]
static HEAP: Heap<{ 176 << 10 }> = Heap::new();

entry!(main);

fn main() -> Result<(), Error> {
    if let Err(e) = Gguf::open(&mut &MODEL[..1000]) {
        defmt::error!("a damaged file: {}", e);
    }
    let mut reader = MODEL;
    let model = Model::load(&Gguf::open(&mut reader)?, &mut reader)?;
    let limits = Limits {
        context: 64,
        batch: 1,
        kv: KvType::F16,
        mode: Mode::Int8,
        threads: 1,
        weights: WeightPlacement::Mapped,
    };
    let kernels = Kernels::scalar();
    let plan = Plan::new(&model, &kernels, &limits)?;
    defmt::info!("planned {=usize} bytes for {}", plan.bytes(), plan.limits());
    for region in plan.regions() {
        defmt::debug!("{}", region);
    }
    if let Err(e) = Session::new(&model, reader, &plan, &mut [], &kernels, &Serial) {
        defmt::error!("no arena: {}", e);
    }
    Ok(())
}
