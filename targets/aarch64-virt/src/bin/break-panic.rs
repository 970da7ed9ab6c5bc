//! Panics: prints where and exits with 1.

#![no_std]
#![no_main]

use barre_aarch64_virt::{Error, entry};
use barre_firmware::memory::Heap;

#[global_allocator]
static HEAP: Heap<64> = Heap::new();

entry!(main);

fn main() -> Result<(), Error> {
    panic!("on purpose");
}
