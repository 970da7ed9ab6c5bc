//! Fills the stack until it leaves RAM: prints the fault and exits with 1.

#![no_std]
#![no_main]

use barre_cortex_m::{Error, entry};
use barre_firmware::memory::Heap;
use core::hint::black_box;

#[global_allocator]
static HEAP: Heap<64> = Heap::new();

entry!(main);

fn main() -> Result<(), Error> {
    black_box(deeper(black_box(1)));
    Ok(())
}

fn deeper(n: u32) -> u32 {
    let frame = black_box([n; 64]);
    if n == 0 { 0 } else { deeper(black_box(n + 1)) + frame[63] }
}
